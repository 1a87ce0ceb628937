"""Where logons come from: allowed networks, and the counting of failures that locks out who guesses.

A failure counts for the pair of CompID and address, and for the address alone; never for the CompID alone, so nobody
can lock a member out from another network, and a member's own lock ends with its window or an operator's word. CompIDs
that do not exist are counted like those that do. An IPv6 address stands for its /64, which is one customer's. Memory is
bounded: of more than `ENTRIES_MAX` counts the one touched longest ago is forgotten.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from venue.config_sections import LogonSection

ENTRIES_MAX = 8_192

Address = IPv4Address | IPv6Address
Key = tuple[bytes, str]
"""(CompID, address); an empty CompID is the address over all of them."""


def address_of(peer: str) -> Address | None:
    """The address in `host:port`; an IPv4 address in IPv6 clothes is an IPv4 address. None: it is none."""
    try:
        address = ip_address(peer.rpartition(":")[0].partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def place_of(address: Address | None) -> str:
    """What failures are counted under: the address, or the /64 of an IPv6 one."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(address)


class Networks:
    """A list of networks; an empty one has everybody in it."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._networks = [ip_network(text) for text in texts]

    def __contains__(self, address: Address | None) -> bool:
        if not self._networks:
            return True
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )


@dataclass
class Count:
    failures: int
    began: float
    locked_until: float = 0.0


class Lockout:
    """Failures of the last window. Any thread may ask."""

    def __init__(self, section: LogonSection, now: Callable[[], float] = time.monotonic) -> None:
        self._section, self._now = section, now
        self._counts: OrderedDict[Key, Count] = OrderedDict()
        self._lock = threading.Lock()

    def seconds_left(self, comp_id: bytes, place: str) -> int:
        """How long this pair is locked out yet; 0: it is not."""
        now = self._now()
        with self._lock:
            counts = [self._counts.get(key) for key in ((comp_id, place), (b"", place))]
        left = max((count.locked_until - now for count in counts if count is not None), default=0.0)
        return min(max(0, -int(-left // 1)), self._section.window_seconds)

    def failed(self, comp_id: bytes, place: str) -> bool:
        """Counts a failure; true when it locks somebody out."""
        section, now = self._section, self._now()
        with self._lock:
            own = self._count((comp_id, place), section.failures_max, now)
            return self._count((b"", place), section.address_failures_max, now) or own

    def passed(self, comp_id: bytes, place: str) -> None:
        """A good logon: the pair's failures are forgotten, the address's are not."""
        with self._lock:
            self._counts.pop((comp_id, place), None)

    def unlock(self, name: str) -> int:
        """Forgets what is counted for a CompID or an address; returns how many locks that ended."""
        now = self._now()
        with self._lock:
            chosen = [key for key in self._counts if name in (key[0].decode("ascii", "replace"), key[1])]
            return sum(self._counts.pop(key).locked_until > now for key in chosen)

    def locked(self) -> list[dict[str, object]]:
        """Who is locked out now, for operators."""
        now = self._now()
        with self._lock:
            return [
                {
                    "comp_id": key[0].decode("ascii", "replace"),
                    "address": key[1],
                    "seconds": int(c.locked_until - now) + 1,
                }
                for key, c in self._counts.items()
                if c.locked_until > now
            ]

    def check(self) -> None:
        """Asserts the bound."""
        with self._lock:
            assert len(self._counts) <= ENTRIES_MAX

    def _count(self, key: Key, failures_max: int, now: float) -> bool:
        window = self._section.window_seconds
        count = self._counts.pop(key, None)
        if count is None or (now - count.began >= window and count.locked_until <= now):
            count = Count(0, now)
        self._counts[key] = count
        if len(self._counts) > ENTRIES_MAX:
            self._counts.popitem(last=False)
        count.failures += 1
        if count.failures < failures_max or count.locked_until > now:
            return False
        count.locked_until, count.failures, count.began = now + window, 0, now
        return True

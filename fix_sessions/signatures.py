"""Signed logons: Ed25519 over what makes a Logon this one and no other, so that no password crosses the wire.

The signed bytes are SendingTime(52), MsgType(35), MsgSeqNum(34), SenderCompID(49) and TargetCompID(56), in this order,
as they stand in the message, with one SOH between two; the signature stands in RawData(96) in base64, its length in
RawDataLength(95). A time too far from the venue's clock, before the venue's start, or signed once already is refused:
a Logon that somebody has listened to is worth nothing.
"""

from __future__ import annotations

import base64
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from fix_sessions import messages

if TYPE_CHECKING:  # loaded only where a session signs
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NS = 10**9
SIGNED_TAGS = (52, 35, 34, 49, 56)
USED_MAX = 65_536


@cache
def nobody() -> Ed25519PublicKey:
    """A key whose check costs what any other's costs and that nobody can sign for."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().public_key()


def public_key(text: str) -> Ed25519PublicKey:
    """A key as the configuration has it: 32 bytes in base64."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text))


def signed_bytes(found: dict[int, bytes]) -> bytes:
    """What is signed, from a Logon's fields."""
    return b"\x01".join(found.get(tag, b"") for tag in SIGNED_TAGS)


def sign(key: Ed25519PrivateKey, found: dict[int, bytes]) -> bytes:
    """RawData(96) of a Logon with these fields; for clients."""
    return base64.b64encode(key.sign(signed_bytes(found)))


class Signatures:
    """Checks signatures and remembers those that were used. For one thread."""

    def __init__(self, seconds: int, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._seconds, self._now_ns = seconds, now_ns
        self._since_ns = now_ns()
        self._used: OrderedDict[bytes, int] = OrderedDict()

    def fault(self, found: dict[int, bytes], key: Ed25519PublicKey | None) -> str:
        """Why the Logon is not taken; empty when it is signed with this key, in time and for the first time.

        Without a key as long as with one. Only what its holder alone can cause is told in words.
        """
        from cryptography.exceptions import InvalidSignature

        payload, now_ns = signed_bytes(found), self._now_ns()
        try:
            signature = base64.b64decode(found.get(96, b""), validate=True)
            (key or nobody()).verify(signature, payload)
        except (ValueError, InvalidSignature):
            return "signature"
        if key is None:
            return "signature"
        sent_ns = messages.time(found.get(52, b""))
        if sent_ns is None or abs(now_ns - sent_ns) > self._seconds * NS or sent_ns < self._since_ns:
            return f"SendingTime(52) of a signed Logon must be within {self._seconds} seconds of the venue's clock and \
after its start; sign a new one"
        if payload in self._used:
            return "this signature was used already; sign a new Logon"
        return ""

    def use(self, found: dict[int, bytes]) -> None:
        """The Logon was signed by the key's holder: it is not taken again, whether it was let in or not."""
        now_ns = self._now_ns()
        while self._used and next(iter(self._used.values())) < now_ns - 3 * self._seconds * NS:
            self._used.popitem(last=False)
        self._used[signed_bytes(found)] = now_ns

    def full(self) -> bool:
        """More were used in a short time than can be remembered: then none is taken until some are old."""
        return len(self._used) >= USED_MAX

    def check(self) -> None:
        assert len(self._used) <= USED_MAX

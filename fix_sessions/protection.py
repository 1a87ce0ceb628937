"""Market-maker protection: what a maker's quotes traded in one instrument within a rolling window of time.

Why: whoever quotes many prices cannot move them as fast as a taker can hit them. Past a limit that was agreed all
quotes of the scope leave the book and no new one is taken until the maker asks for it. Pure: time comes with the trades
(the command's, in nanoseconds), so live and in a test it decides alike. It must never trip by itself, only by a trade.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from venue.config import Config, Member
from venue.config_sections import ProtectionSection

MS_NS = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Of one instrument, in lots. 0: no limit of this kind."""

    window_ns: int = 0
    quantity_lots: int = 0
    delta_lots: int = 0
    trades: int = 0

    @classmethod
    def of(cls, section: ProtectionSection, lot: Decimal) -> Limits:
        """What the configuration says, for an instrument with this lot; part of a lot counts as a whole one."""
        quantity, delta = (amount / lot for amount in (section.quantity, section.delta))
        lots = int(quantity.to_integral_value(ROUND_CEILING)), int(delta.to_integral_value(ROUND_CEILING))
        return cls(section.window_ms * MS_NS, lots[0], lots[1], section.trades)

    @property
    def any(self) -> bool:
        return self.window_ns > 0 and bool(self.quantity_lots or self.delta_lots or self.trades)


def protections(config: Config, member: Member) -> tuple[list[tuple[int, int, int, int]], tuple[str, str, str]]:
    """For the native application: a member's limits by instrument, and as they were agreed."""
    limits = [Limits.of(member.mmp, instrument.lot) for instrument in config.instruments]
    found = [(each.window_ns, each.quantity_lots, each.delta_lots, each.trades) for each in limits]
    return found, agreed(member.mmp)


def agreed(section: ProtectionSection) -> tuple[str, str, str]:
    """The limits of quantity, delta and trades in words."""
    return f"{section.quantity:f}", f"{section.delta:f}", str(section.trades)


@dataclass
class Protection:
    """The trades of one scope within the window, and whether they were too many."""

    limits: Limits
    tripped: bool = False
    quantity_lots: int = 0
    net_lots: int = 0
    _trades: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def trades(self) -> int:
        return len(self._trades)

    def trade(self, time_ns: int, lots: int, *, buy: bool) -> bool:
        """Counts a trade of a quote; True when it is the one that trips. A limit trips when it is reached."""
        signed = lots if buy else -lots
        self._trades.append((time_ns, signed))
        self.quantity_lots += lots
        self.net_lots += signed
        self._forget(time_ns - self.limits.window_ns)
        if self.tripped or not self.limits.any:
            return False
        self.tripped = bool(self.breach())
        return self.tripped

    def breach(self) -> str:
        """Which limit is reached: quantity, delta or trades; empty: none."""
        limits = self.limits
        if limits.quantity_lots and self.quantity_lots >= limits.quantity_lots:
            return "quantity"
        if limits.delta_lots and abs(self.net_lots) >= limits.delta_lots:
            return "delta"
        return "trades" if limits.trades and len(self._trades) >= limits.trades else ""

    def reset(self) -> None:
        """Counting begins anew, and quotes are taken again."""
        self._trades.clear()
        self.quantity_lots = self.net_lots = 0
        self.tripped = False

    def check(self) -> None:
        """Asserts that the sums are those of the trades."""
        assert self.quantity_lots == sum(abs(lots) for _, lots in self._trades)
        assert self.net_lots == sum(lots for _, lots in self._trades)
        assert self.limits.any or not self.tripped

    def _forget(self, until_ns: int) -> None:
        """Trades at `until_ns` or before are out of the window."""
        while self._trades and self._trades[0][0] <= until_ns:
            _, lots = self._trades.popleft()
            self.quantity_lots -= abs(lots)
            self.net_lots -= lots

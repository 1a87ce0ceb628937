"""Seeded order flow for the demo: what one broker does, step by step.

Prices wander around a middle that all brokers share, so that some orders meet and some rest. The flow reads nothing
but its own seed and the reports of its own orders; it never sends anything itself.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

from venue.config import Instrument

CANCEL_SHARE = 0.18
REPLACE_SHARE = 0.08
MARKET_SHARE = 0.05
IOC_SHARE = 0.07
POST_ONLY_SHARE = 0.04
REFUSED_SHARE = 0.01
SPREAD_TICKS = 25
LOTS_MAX = 20


@dataclass(frozen=True)
class Step:
    """One message: `kind` D, F or G; for F and G `orig` is the order's current ClOrdID."""

    kind: str
    instrument: Instrument
    side: str  # FIX 54
    qty: Decimal = Decimal(0)
    price: Decimal | None = None
    tif: str = "0"  # FIX 59
    post_only: bool = False
    orig: str = ""


@dataclass
class Resting:
    """An own order that may still be open."""

    instrument: Instrument
    side: str
    qty: Decimal
    price: Decimal


class OrderFlow:
    """`next()` gives the next step; `open` is kept up to date by the caller through `opened` and `closed`."""

    def __init__(self, seed: int, broker: int, instruments: tuple[Instrument, ...]) -> None:
        self._random = random.Random(f"{seed}/{broker}")
        self._instruments = instruments
        self._middles = {i.symbol: first_middle(seed, i) for i in instruments}
        self.open: dict[str, Resting] = {}

    def next(self) -> Step:
        chance = self._random.random()
        if self.open and chance < CANCEL_SHARE + REPLACE_SHARE:
            orig = self._random.choice(sorted(self.open))
            return self._cancel(orig) if chance < CANCEL_SHARE else self._replace(orig)
        return self._new()

    def opened(self, clordid: str, resting: Resting) -> None:
        self.open[clordid] = resting

    def closed(self, clordid: str) -> None:
        self.open.pop(clordid, None)

    def check(self) -> None:
        """Asserts that every order believed open is one this flow could have made."""
        assert all(resting.side in "12" and resting.qty > 0 for resting in self.open.values())

    def _cancel(self, orig: str) -> Step:
        resting = self.open.pop(orig)
        return Step("F", resting.instrument, resting.side, resting.qty, orig=orig)

    def _replace(self, orig: str) -> Step:
        resting = self.open.pop(orig)
        lots = self._random.randint(1, LOTS_MAX)
        price = resting.price + resting.instrument.tick * self._random.randint(-3, 3)
        price = min(max(price, resting.instrument.price_min), resting.instrument.price_max)
        return Step("G", resting.instrument, resting.side, resting.instrument.lot * lots, price, orig=orig)

    def _new(self) -> Step:
        instrument = self._random.choice(self._instruments)
        side = self._random.choice("12")
        qty = instrument.lot * self._random.randint(1, LOTS_MAX)
        chance = self._random.random()
        if chance < MARKET_SHARE:
            return Step("D", instrument, side, qty, None, "3")
        price = instrument.tick * self._ticks(instrument, side)
        if chance < MARKET_SHARE + REFUSED_SHARE:
            return Step("D", instrument, side, qty, instrument.price_max + instrument.tick)
        tif = "3" if chance < MARKET_SHARE + REFUSED_SHARE + IOC_SHARE else self._random.choice("01")
        return Step("D", instrument, side, qty, price, tif, post_only=tif != "3" and chance > 1 - POST_ONLY_SHARE)

    def _ticks(self, instrument: Instrument, side: str) -> int:
        """Around the middle, mostly on the passive side of it; the middle wanders."""
        middle = self._middles[instrument.symbol] + self._random.randint(-2, 2)
        self._middles[instrument.symbol] = min(max(middle, instrument.min_ticks + 99), instrument.max_ticks - 99)
        away = int(self._random.expovariate(1 / SPREAD_TICKS)) - 6
        ticks = middle - away if side == "1" else middle + away
        return min(max(ticks, instrument.min_ticks), instrument.max_ticks)


def first_middle(seed: int, instrument: Instrument) -> int:
    """The same for all brokers; in the middle third of the collar."""
    low, high = instrument.min_ticks, instrument.max_ticks
    return (random.Random(f"{seed}/{instrument.symbol}").randint(low, high) + low + high) // 3

"""A market maker for the sandbox: Avellaneda and Stoikov's quotes, sent over an ordinary FIX session.

Why: a broker who tries out its software needs a market that lives: a spread, depth behind it, quotes that move and lean
against what was traded. The model (High-frequency trading in a limit order book, 2008) gives all of that from five
parameters. It is a client like any other, on simplefix: it sees what brokers see and has no way into the venue but its
session. It must never trade against its own quotes and never quote outside an instrument's price window.

    reservation price   r = fair - inventory * risk_aversion * volatility^2 * horizon
    whole spread        d = risk_aversion * volatility^2 * horizon
                            + 2 / risk_aversion * ln(1 + risk_aversion / liquidity)
    best quotes         r - d / 2 and r + d / 2; further levels `level_ticks` behind each other

The horizon does not shrink as in the paper: a sandbox has no end of the day. Floats are at home here, prices that leave
are whole ticks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import simplefix

from fix_sessions.client import Broker
from venue.config import Instrument

BUY, SELL = "buy", "sell"
ENDED = frozenset((b"2", b"4", b"8", b"C"))


@dataclass(frozen=True)
class Parameters:
    """Of the model; prices in ticks, quantities in lots, times in seconds.

    `risk_aversion` (gamma): how much an inventory of one level's lots is feared; larger leans the quotes more.
    `volatility_ticks` (sigma): a square root of a second. `liquidity` (kappa): how quickly the chance of a fill falls
    with the distance, per tick; smaller widens the spread. `horizon_seconds`: how long an inventory is thought to be
    held. At most `inventory_lots_max` are held, long or short, before a side is left out.
    """

    risk_aversion: float = 0.02
    volatility_ticks: float = 1.5
    liquidity: float = 0.6
    horizon_seconds: float = 10.0
    levels: int = 3
    level_ticks: int = 2
    level_lots: int = 20
    inventory_lots_max: int = 400

    def __post_init__(self) -> None:
        for name in ("risk_aversion", "volatility_ticks", "liquidity", "horizon_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, is {getattr(self, name)}")
        for name in ("levels", "level_ticks", "level_lots", "inventory_lots_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, is {getattr(self, name)}")


@dataclass(frozen=True)
class Quote:
    """One level of one side."""

    side: str
    level: int
    ticks: int
    lots: int


def quotes(fair_ticks: float, inventory_lots: int, window: tuple[int, int], parameters: Parameters) -> list[Quote]:
    """What to show, best level first, bids then asks. Prices inside `window`; bids below asks by at least one tick.

    At the inventory's bound the side that would add to it is left out.
    """
    p = parameters
    risk = p.risk_aversion * p.volatility_ticks**2 * p.horizon_seconds
    reservation = fair_ticks - inventory_lots / p.level_lots * risk
    spread = risk + 2 / p.risk_aversion * math.log1p(p.risk_aversion / p.liquidity)
    low, high = window
    best_bid = min(max(math.floor(reservation - spread / 2), low), high - 1)
    best_ask = max(min(math.ceil(reservation + spread / 2), high), best_bid + 1)
    found = []
    for side, best, step, is_full in (
        (BUY, best_bid, -p.level_ticks, inventory_lots >= p.inventory_lots_max),
        (SELL, best_ask, p.level_ticks, inventory_lots <= -p.inventory_lots_max),
    ):
        if is_full:
            continue
        found += [
            Quote(side, level, best + level * step, p.level_lots)
            for level in range(p.levels)
            if low <= best + level * step <= high
        ]
    return found


class FairPrice:
    """Where the sandbox's market thinks an instrument belongs: a seeded walk that is drawn back to where it began."""

    def __init__(self, instrument: Instrument, rng: Random, volatility_ticks: float = 1.5, pull: float = 0.01) -> None:
        self.window = instrument.min_ticks, instrument.max_ticks
        self.middle = float(sum(self.window) // 2)
        self.ticks = self.middle
        self._rng, self._volatility_ticks, self._pull = rng, volatility_ticks, pull

    def move(self, seconds: float) -> float:
        """One step of so many seconds; the new price in ticks."""
        drawn_back = (self.middle - self.ticks) * min(1.0, self._pull * seconds)
        self.ticks += drawn_back + self._rng.gauss(0.0, self._volatility_ticks * math.sqrt(seconds))
        low, high = self.window
        self.ticks = min(max(self.ticks, low + 1.0), high - 1.0)
        return self.ticks


@dataclass
class Working:
    """An order that shows one quote; `pending` while the venue has not answered the last request about it."""

    clordid: str
    ticks: int
    pending: bool = True
    before: str = ""
    before_ticks: int = 0


class MarketMaker:
    """Keeps the quotes of one instrument in the book. `turn` after each change of the fair price."""

    def __init__(self, broker: Broker, instrument: Instrument, parameters: Parameters) -> None:
        self.broker, self.instrument, self.parameters = broker, instrument, parameters
        self.inventory_lots = 0
        self.fills = 0
        self.working: dict[tuple[str, int], Working] = {}

    def turn(self, fair_ticks: float) -> None:
        """Sends what brings the book to the quotes wanted now; at most one request a level is unanswered."""
        wanted = {
            (quote.side, quote.level): quote
            for quote in quotes(
                fair_ticks, self.inventory_lots, (self.instrument.min_ticks, self.instrument.max_ticks), self.parameters
            )
        }
        for key in [*self.working.keys(), *(key for key in wanted if key not in self.working)]:
            self._show(key, self.working.get(key), wanted.get(key))

    def on_message(self, message: simplefix.FixMessage) -> bool:
        """Takes what the venue says about one of its orders; whether it was about one."""
        if message.get(35) == b"9":
            return self._refused(message)
        if message.get(35) != b"8":
            return False
        if message.get(150) == b"H":
            return self._busted(message)
        name, orig = (message.get(11) or b"").decode(), (message.get(41) or b"").decode()
        key = next((k for k, w in self.working.items() if name in (w.clordid, w.before) or orig == w.clordid), None)
        if key is None:
            return False
        if message.get(150) == b"F":
            self.fills += 1
            self.inventory_lots += self._lots_bought(message)
        if message.get(39) in ENDED:
            del self.working[key]
        elif name == self.working[key].clordid:
            self.working[key].pending = False
        return True

    def forget(self) -> None:
        """After its orders were cancelled (a lost session): begins with an empty book, keeps the inventory."""
        self.working.clear()

    def check(self) -> None:
        """Asserts that no bid of its own is at or above an ask of its own that has not just been moved away."""
        bids = [w.ticks for (side, _), w in self.working.items() if side == BUY and not w.pending]
        asks = [w.ticks for (side, _), w in self.working.items() if side == SELL and not w.pending]
        assert not bids or not asks or max(bids) < min(asks), (bids, asks)

    def _show(self, key: tuple[str, int], working: Working | None, quote: Quote | None) -> None:
        side, symbol = key[0], self.instrument.symbol
        if working is not None and working.pending:
            return
        if quote is None:
            if working is not None:
                working.pending = True
                self.broker.cancel(working.clordid, symbol, side)
            return
        if working is None:
            if not self._would_cross(quote):
                name = self.broker.order(symbol, side, self._quantity(quote), self._price(quote), t18="6")
                self.working[key] = Working(name, quote.ticks)
        elif working.ticks != quote.ticks and not self._would_cross(quote):
            name = self.broker.replace(
                working.clordid, symbol, side, self._quantity(quote), self._price(quote), t18="6"
            )
            self.working[key] = Working(name, quote.ticks, before=working.clordid, before_ticks=working.ticks)

    def _would_cross(self, quote: Quote) -> bool:
        """Whether an own order of the other side stands in the way, at its old price or its new one."""
        for (side, _), working in self.working.items():
            prices = [working.ticks] + ([working.before_ticks] if working.pending and working.before else [])
            if side != quote.side and any(
                price <= quote.ticks if quote.side == BUY else price >= quote.ticks for price in prices
            ):
                return True
        return False

    def _refused(self, message: simplefix.FixMessage) -> bool:
        """A cancel or replace that came too late: the order it was about is as before, or gone and told so."""
        name = (message.get(11) or b"").decode()
        orig = (message.get(41) or b"").decode()
        for key, working in self.working.items():
            if name == working.clordid and working.before:
                if message.get(102) in (b"0", b"1"):  # too late, or unknown: it has ended
                    del self.working[key]
                else:
                    self.working[key] = Working(working.before, working.before_ticks, pending=False)
                return True
            if orig == working.clordid:
                working.pending = False
                return True
        return False

    def _busted(self, message: simplefix.FixMessage) -> bool:
        """A trade that the venue took back: the inventory is as if it had not been; orders stay as they are."""
        if (message.get(55) or b"").decode() != self.instrument.symbol:
            return False
        self.inventory_lots -= self._lots_bought(message)
        return True

    def _lots_bought(self, message: simplefix.FixMessage) -> int:
        """Of a trade; below zero when they were sold."""
        lots = int(Decimal(message.get(32).decode()) / self.instrument.lot)
        return lots if message.get(54) == b"1" else -lots

    def _price(self, quote: Quote) -> Decimal:
        return quote.ticks * self.instrument.tick

    def _quantity(self, quote: Quote) -> Decimal:
        return quote.lots * self.instrument.lot

"""The sandbox's other traders: small orders at random times around the fair price, over an ordinary FIX session.

Most take what the market maker shows, some wait behind it, some of those are cancelled again. Seeded; it reads nothing
but the fair price and the reports of its own orders, and never keeps more than `WAITING_MAX` orders open.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random

import simplefix

from fix_sessions.client import Broker
from fix_sessions.market_maker import BUY, ENDED, SELL
from venue.config import Instrument

TAKE_SHARE = 0.55
WAIT_SHARE = 0.35
REACH_TICKS = 12
LOTS_MAX = 8
WAITING_MAX = 20


class BackgroundFlow:
    """Random orders in one instrument, `orders_per_second` on average."""

    def __init__(self, broker: Broker, instrument: Instrument, rng: Random, orders_per_second: float = 2.0) -> None:
        if not 0 < orders_per_second <= 1_000:
            raise ValueError(f"orders_per_second must be above 0 and at most 1000, is {orders_per_second}")
        self.broker, self.instrument, self.orders_per_second = broker, instrument, orders_per_second
        self.waiting: dict[str, str] = {}
        self.sent = 0
        self._rng = rng
        self._until_next = rng.expovariate(orders_per_second)

    def turn(self, fair_ticks: float, seconds: float) -> None:
        """Sends what falls into so many seconds."""
        self._until_next -= seconds
        while self._until_next <= 0:
            self._until_next += self._rng.expovariate(self.orders_per_second)
            self._send(fair_ticks)

    def on_message(self, message: simplefix.FixMessage) -> None:
        """Takes a report: an order that has ended waits no longer."""
        if message.get(35) == b"8" and message.get(39) in ENDED:
            self.waiting.pop((message.get(41) or message.get(11) or b"").decode(), None)
            self.waiting.pop((message.get(11) or b"").decode(), None)

    def forget(self) -> None:
        """After its orders were cancelled."""
        self.waiting.clear()

    def check(self) -> None:
        """Asserts the bound of open orders."""
        assert len(self.waiting) <= WAITING_MAX
        assert set(self.waiting.values()) <= {BUY, SELL}

    def _send(self, fair_ticks: float) -> None:
        chance, side = self._rng.random(), self._rng.choice((BUY, SELL))
        lots, reach = self._rng.randint(1, LOTS_MAX), self._rng.randint(2, REACH_TICKS)
        toward = 1 if side == BUY else -1
        if chance < TAKE_SHARE:
            self._order(side, lots, fair_ticks + toward * reach, t59="3")
        elif chance < TAKE_SHARE + WAIT_SHARE and len(self.waiting) < WAITING_MAX:
            self.waiting[self._order(side, lots, fair_ticks - toward * reach)] = side
        elif self.waiting:
            name = next(iter(self.waiting))
            self.broker.cancel(name, self.instrument.symbol, self.waiting.pop(name))

    def _order(self, side: str, lots: int, ticks: float, **fields: str) -> str:
        low, high = self.instrument.min_ticks, self.instrument.max_ticks
        price: Decimal = min(max(round(ticks), low), high) * self.instrument.tick
        self.sent += 1
        return self.broker.order(self.instrument.symbol, side, lots * self.instrument.lot, price, **fields)

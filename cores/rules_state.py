"""What the rules in Python work on: commands, accounts, instruments, orders and the book of one instrument.

Why: with `rules.py` the oracle of the core's tests. Data and the questions that one of these can answer about itself;
nothing here decides, and nothing here writes an event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sortedcontainers import SortedDict, SortedList

from cores.records import (
    ACCOUNT_KILLED,
    FLAG_SMP_SHIFT,
    MARGIN_BP_MAX,
    ORDER_SLOT_NONE,
    PAGE_LEVELS,
    CommandFlag,
    Fact,
    OrdType,
    Phase,
    Side,
    Tif,
)

NEVER = (1 << 64) - 1
CALLS = (Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL)
STOPS = (OrdType.STOP, OrdType.STOP_LIMIT)


class Command(NamedTuple):
    """One record of dtype COMMAND as Python integers."""

    kind: int
    side: int
    ord_type: int
    tif: int
    flags: int
    precheck: int
    symbol: int
    seq: int
    time_ns: int
    account: int
    session: int
    asset: int
    order_id: int
    price_ticks: int
    qty_lots: int
    aux: int


def fee(amount: int, bp: int) -> int:
    """Rounded down, in the member's favour; so the fees of an order's fills never exceed the fee in its hold (G6)."""
    return amount * bp // 10000


def maker_fee(notional: int, maker_bp: int, taker_fee: int) -> int:
    """T4: a rebate is part of the taker's fee of the same fill."""
    return fee(notional, maker_bp) if maker_bp >= 0 else -min(fee(notional, -maker_bp), taker_fee)


def opposite(side: int) -> int:
    return Side.SELL if side == Side.BUY else Side.BUY


@dataclass
class Position:
    """What an account has in one asset. Available is balance + credit - hold, and only the venue's is ever negative."""

    balance: int = 0
    hold: int = 0
    credit: int = 0
    gross_max: int = 0

    @property
    def available(self) -> int:
        return self.balance + self.credit - self.hold

    def affords(self, amount: int, released: int = 0) -> bool:
        """Below zero, as the venue's may be, counts as nothing."""
        return amount <= max(0, self.available + released)


@dataclass
class Contract:
    """What an account has in a future. Lots and cost of a short position are below zero. Open are the leaves of its
    orders at rest, of each side."""

    lots: int = 0
    open_buys: int = 0
    open_sells: int = 0
    stage: int = 0
    cost: int = 0
    collateral: int = 0

    def open_lots(self, side: int) -> int:
        return self.open_buys if side == Side.BUY else self.open_sells

    def count_open(self, side: int, lots: int) -> None:
        if side == Side.BUY:
            self.open_buys += lots
        else:
            self.open_sells += lots


@dataclass
class Account:
    """By asset number: positions of money and goods, and of the assets that are a future's contract, contracts."""

    number: int
    positions: list[Position]
    contracts: list[Contract]
    flags: int = 0
    maker_bp: int = 0
    taker_bp: int = 0
    member: int = 0
    smp_group: int = 0
    smp_mode: int = 0
    open_orders: int = 0
    open_orders_max: int = 0
    messages_max: int = 0
    messages: int = 0
    messages_start_ns: int = 0
    restricted: int = 0
    duplicate_ns: int = 0
    last_order: tuple[int, int, int, int] = (0, 0, 0, 0)  # time, price, quantity, symbol | side << 16

    @property
    def frozen(self) -> bool:
        return bool(self.flags & CommandFlag.ACCOUNT_FROZEN)

    @property
    def killed(self) -> bool:
        return bool(self.flags & ACCOUNT_KILLED)


@dataclass
class Order:
    """An open order, or one on its way into the book. `leaves` is all of it, `shown` what the book shows."""

    order_id: int
    side: int
    price_ticks: int
    leaves: int
    cum: int
    account: int
    session: int
    ord_type: int = OrdType.LIMIT
    tif: int = Tif.DAY
    flags: int = 0
    display: int = 0
    stop_ticks: int = 0
    expiry_ns: int = 0
    shown: int = 0
    waiting: bool = False
    dormant: bool = False
    unpriced: bool = False
    future: bool = False
    closing: bool = False
    wide: bool = False
    forced: bool = False  # a liquidation (F10.5): never at rest

    @property
    def slot(self) -> int:
        return self.order_id & ORDER_SLOT_NONE

    @property
    def hidden(self) -> int:
        return self.leaves - self.shown

    @property
    def cold(self) -> bool:
        return bool(self.display or self.ord_type in STOPS or self.tif == Tif.GTD)

    @property
    def fact(self) -> int:
        return (
            (Fact.COLD if self.cold else 0)
            | (Fact.WAITING if self.waiting else 0)
            | (Fact.DORMANT if self.dormant else 0)
            | (Fact.UNPRICED if self.unpriced else 0)
            | (Fact.FUTURE if self.future else 0)
            | (Fact.CLOSING if self.closing else 0)
            | (Fact.WIDE if self.wide else 0)
        )

    @property
    def facts(self) -> int:
        return self.side | self.ord_type << 8 | self.tif << 16 | self.flags << 24 | self.fact << 32

    @property
    def smp_mode(self) -> int:
        return self.flags >> FLAG_SMP_SHIFT & 7

    @property
    def event_price(self) -> int:
        """The price as its events show it: 0 of what has none."""
        return 0 if self.unpriced or self.ord_type in (OrdType.MARKET, OrdType.STOP) else self.price_ticks

    def show(self) -> None:
        """What it shows when it takes a place anew; before it is in the book, all."""
        self.shown = min(self.display, self.leaves) if self.display and not self.dormant else self.leaves


@dataclass
class Terms:
    """Of an instrument: lot_size base units a lot, tick_value quote units for one lot at one tick."""

    base: int
    quote: int
    lot_size: int
    tick_value: int
    min_ticks: int
    max_ticks: int

    def contains(self, price: int) -> bool:
        return self.min_ticks <= price <= self.max_ticks


@dataclass
class Future:
    """What an instrument has more when it is a future."""

    mark_ticks: int = 0
    initial_bp: int = MARGIN_BP_MAX
    maintenance_bp: int = MARGIN_BP_MAX
    position_max: int = 0
    open_interest: int = 0


Queue = dict[int, Order]


@dataclass
class Symbol:
    """An instrument and its book: per side, levels by price, each a queue in order of arrival."""

    number: int
    terms: Terms
    free_slots: SortedList
    levels_max: int
    orders: dict[int, Order] = field(default_factory=dict)
    bids: SortedDict = field(default_factory=lambda: SortedDict(lambda price: -price))
    asks: SortedDict = field(default_factory=SortedDict)
    stop_buys: SortedDict = field(default_factory=SortedDict)
    stop_sells: SortedDict = field(default_factory=lambda: SortedDict(lambda price: -price))
    dormant: Queue = field(default_factory=dict)
    phase: int = Phase.CLOSED
    last_ticks: int = 0
    reference_ticks: int = 0
    dynamic_bp: int = 0
    static_bp: int = 0
    order_qty_max: int = 0
    order_value_max: int = 0
    future: Future | None = None

    # ---- places ----

    def levels(self, side: int) -> SortedDict:
        return self.bids if side == Side.BUY else self.asks

    def stops(self, side: int) -> SortedDict:
        return self.stop_buys if side == Side.BUY else self.stop_sells

    def best(self, side: int) -> int | None:
        levels = self.levels(side)
        return levels.peekitem(0)[0] if levels else None

    def walk(self, side: int) -> Iterator[Order]:
        """A side's orders, best price first, first in first within a price."""
        for queue in list(self.levels(side).values()):
            yield from list(queue.values())

    def walk_stops(self, side: int) -> Iterator[Order]:
        for queue in list(self.stops(side).values()):
            yield from list(queue.values())

    def walk_all(self) -> Iterator[Order]:
        """The walk of the state (M1): bids, asks, waiting buys, waiting sells, dormant."""
        for side in (Side.BUY, Side.SELL):
            yield from self.walk(side)
        for side in (Side.BUY, Side.SELL):
            yield from self.walk_stops(side)
        yield from list(self.dormant.values())

    def append(self, order: Order) -> None:
        """At the end of where it belongs."""
        if order.dormant:
            self.dormant[order.slot] = order
        elif order.waiting:
            self.stops(order.side).setdefault(order.stop_ticks, {})[order.slot] = order
        else:
            self.levels(order.side).setdefault(order.price_ticks, {})[order.slot] = order

    def unlink(self, order: Order) -> None:
        if order.dormant:
            del self.dormant[order.slot]
            return
        levels, place = self.levels(order.side), order.price_ticks
        if order.waiting:
            levels, place = self.stops(order.side), order.stop_ticks
        del levels[place][order.slot]
        if not levels[place]:
            del levels[place]

    def to_the_end(self, order: Order) -> None:
        queue = self.levels(order.side)[order.price_ticks]
        queue[order.slot] = queue.pop(order.slot)

    def forget(self, order: Order) -> None:
        if order.slot in self.orders:
            del self.orders[order.slot]
            self.free_slots.add(order.slot)

    # ---- pages ----

    @property
    def wide(self) -> bool:
        """W1."""
        return self.terms.max_ticks - self.terms.min_ticks >= self.levels_max

    def range_of(self, side: int, waiting: bool, price: int) -> int:
        """W2: bids and waiting sells count down from the window's end, asks and waiting buys up from its start."""
        down = (side == Side.BUY) != waiting
        return (self.terms.max_ticks - price if down else price - self.terms.min_ticks) // PAGE_LEVELS

    def has_room(self, side: int, waiting: bool, price: int, without: Order | None = None) -> bool:
        """W3: whether an order could take a place at this price, if `without` were in none."""
        places = self.stops(side) if waiting else self.levels(side)
        used = {
            self.range_of(side, waiting, place)
            for place, queue in places.items()
            if any(order is not without for order in queue.values())
        }
        return (
            not self.wide or self.range_of(side, waiting, price) in used or len(used) < self.levels_max // PAGE_LEVELS
        )

    # ---- questions ----

    @property
    def is_call(self) -> bool:
        return self.phase in CALLS

    @property
    def crossed(self) -> bool:
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        return bid is not None and ask is not None and bid >= ask

    def crosses(self, side: int, price: int | None) -> bool:
        """Whether an order of this side and limit (None: market) may trade with the other side's best."""
        other = self.best(opposite(side))
        return other is not None and self.within(side, price, other)

    @staticmethod
    def within(side: int, limit: int | None, price: int) -> bool:
        return limit is None or (price <= limit if side == Side.BUY else price >= limit)

    def due(self, order: Order, price: int) -> bool:
        """S2."""
        return price >= order.stop_ticks if order.side == Side.BUY else price <= order.stop_ticks

    def due_now(self, side: int, stop: int) -> bool:
        """N10: a stop that comes does not wait."""
        reached = self.last_ticks >= stop if side == Side.BUY else self.last_ticks <= stop
        return self.phase == Phase.CONTINUOUS and self.last_ticks != 0 and reached

    def band(self) -> tuple[int, int]:
        """C1: the prices between which trading goes on."""
        low, high = self.terms.min_ticks, self.terms.max_ticks
        for price, bp in ((self.last_ticks, self.dynamic_bp), (self.reference_ticks, self.static_bp)):
            if price and bp:
                low, high = max(low, price - fee(price, bp)), min(high, price + fee(price, bp))
        return low, high

    def collar_end(self, side: int) -> int:
        """P4: where an order without a price stands."""
        return self.terms.max_ticks if side == Side.BUY else self.terms.min_ticks

    def expiry_next(self) -> int:
        return min((o.expiry_ns for o in self.orders.values() if o.tif == Tif.GTD), default=NEVER)

    # ---- money ----

    def notional(self, price: int, lots: int) -> int:
        return price * lots * self.terms.tick_value

    def cost(self, price: int, lots: int, taker_bp: int) -> int:
        notional = self.notional(price, lots)
        return notional + fee(notional, taker_bp)

    def hold(self, side: int, price: int | None, leaves: int, taker_bp: int, closing: bool = False) -> int:
        """What an order needs at most: a sell its base units, a buy its notional and the taker's fee on it; a buy
        without a price nothing (N8). In a future the fee, and the margin of what does not close (F4)."""
        if self.future:
            value = 0 if price is None else self.notional(price, leaves)
            return fee(value, taker_bp) + (0 if closing else fee(value, self.future.initial_bp))
        if side == Side.SELL:
            return leaves * self.terms.lot_size
        return 0 if price is None else self.cost(price, leaves, taker_bp)

    def hold_of(self, order: Order, taker_bp: int) -> int:
        """What an open order holds (N15, S1)."""
        price = None if order.waiting and order.ord_type == OrdType.STOP else order.price_ticks
        return self.hold(order.side, price, order.leaves, taker_bp, order.closing)

    def hold_asset(self, side: int) -> int:
        return self.terms.base if side == Side.SELL and not self.future else self.terms.quote

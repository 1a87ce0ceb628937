"""What the market looks like, from the journal's commands: books, trades, prices of the day, phases.

It applies commands to a core of its own and never keeps a second book: the depth that is published is the core's, asked
when it is needed. Trades and busts are taken from the events, each once and in order. Must never show what is not
durable, which is the follower's promise, nor anything about who traded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cores import Core, EventKind, Phase
from cores.records import CommandFlag, CommandKind, EventFlag
from fix_sessions.messages import SEQ_BITS, decimal
from venue.config import Config, Instrument

CALLS = (Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL)
BUY, SELL = 1, 2
OPEN, CLOSE, MARK, HIGH, LOW, INDICATIVE = b"4", b"5", b"6", b"7", b"8", b"Q"
_INTERESTING = np.array([EventKind.FILL, EventKind.PHASE, EventKind.CLOCK, EventKind.BUSTED], np.uint8)

Level = tuple[int, int]
Statistics = dict[bytes, tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class Trade:
    """`trade_id` is the ExecID of the resting side, in 527 of both reports; `aggressor` is a side, 0 in an auction. A
    trade that is busted comes a second time, `busted`, with the time of that and without an aggressor."""

    trade_id: int
    price_ticks: int
    qty_lots: int
    time_ns: int
    aggressor: int
    busted: bool = False


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """An instrument came into another phase."""

    symbol: int
    phase: int
    seq: int
    time_ns: int


@dataclass
class DayPrices:
    """Prices of the trading day in ticks; 0: none yet. A day begins when an instrument leaves CLOSED, or, where nothing
    is ever closed, after the command that ends the day. `close` is the last day's until this one has ended."""

    first: int = 0
    high: int = 0
    low: int = 0
    last: int = 0
    close: int = 0

    def trade(self, price_ticks: int) -> None:
        self.first = self.first or price_ticks
        self.high = max(self.high, price_ticks)
        self.low = min(self.low or price_ticks, price_ticks)
        self.last = price_ticks

    def end(self) -> None:
        self.close = self.last or self.close

    def begin(self) -> None:
        self.first = self.high = self.low = self.last = 0


@dataclass
class Book:
    """One instrument's market. Trades and busts are numbered from 0; those from `trade_base` on are kept."""

    number: int
    instrument: Instrument
    tick_units: int
    lot_units: int
    seq: int = 0
    time_ns: int = 0
    phase: int = Phase.CLOSED
    day: DayPrices = field(default_factory=DayPrices)
    trades: deque[Trade] = field(default_factory=deque)
    trade_base: int = 0
    listened: bool = False
    depth_cache: tuple[int, int, list[Level], list[Level]] = (-1, 0, [], [])

    @property
    def symbol(self) -> bytes:
        return self.instrument.symbol.encode()

    @property
    def trade_end(self) -> int:
        return self.trade_base + len(self.trades)

    def price(self, ticks: int) -> bytes:
        return decimal(ticks * self.tick_units, self.instrument.price_scale)

    def quantity(self, lots: int) -> bytes:
        return decimal(lots * self.lot_units, self.instrument.qty_scale)

    def last_trade(self, end: int) -> Trade | None:
        """The last trade before number `end`; None when there is none, or when it has been busted by then."""
        busted = set()
        for offset in range(end - self.trade_base - 1, -1, -1):
            trade = self.trades[offset]
            if not trade.busted:
                return None if trade.trade_id in busted else trade
            busted.add(trade.trade_id)
        return None

    def trades_from(self, index: int) -> Iterator[Trade]:
        """Trades and busts from number `index` on."""
        assert self.trade_base <= index <= self.trade_end, "a trade that somebody waits for was thrown away"
        for offset in range(index - self.trade_base, len(self.trades)):
            yield self.trades[offset]

    def forget(self, index: int) -> None:
        """Throws away what is before number `index`; when that is a bust, before the last trade that is not."""
        while self.trade_base < index and self.trades[index - self.trade_base].busted:
            index -= 1
        while self.trade_base < index:
            self.trades.popleft()
            self.trade_base += 1


class Feed:
    """The whole market after one command more and one more. One thread."""

    def __init__(self, config: Config, core: Core) -> None:
        self.config = config
        self.core = core
        self.last_time_ns = int(core.last_time_ns)
        self.trade_count = 0
        self.books = [
            Book(
                number=i.id,
                instrument=i,
                tick_units=int(i.tick.scaleb(i.price_scale)),
                lot_units=int(i.lot.scaleb(i.qty_scale)),
                phase=int(core.phase(i.id)),
            )
            for i in config.instruments
        ]
        self.by_symbol = {book.symbol: book for book in self.books}
        self.levels_max = config.limits.levels

    @property
    def last_seq(self) -> int:
        return int(self.core.last_seq)

    def apply(self, commands: npt.NDArray[np.void]) -> tuple[list[Book], list[PhaseChange]]:
        """Applies consecutive commands. Returns the books that may look different now, and the changes of phase."""
        if not len(commands):
            return [], []
        events, _ = self.core.apply(commands)
        self.last_time_ns = int(commands["time_ns"][-1])
        changes = self._take(commands, events[np.isin(events["kind"], _INTERESTING)])
        touched = []
        for number in np.unique(events["symbol"]).tolist():
            if number < len(self.books):
                book = self.books[number]
                book.seq, book.time_ns = self.last_seq, self.last_time_ns
                phase = int(self.core.phase(number))
                if phase != book.phase:  # it was created
                    book.phase = phase
                    changes.append(PhaseChange(number, phase, book.seq, book.time_ns))
                touched.append(book)
        return touched, changes

    def depth(self, book: Book, levels: int) -> tuple[list[Level], list[Level]]:
        """The best `levels` of both sides, 0 for all, as the core has them now."""
        wanted = levels or self.levels_max
        seq, have, bids, offers = book.depth_cache
        if seq != book.seq or have < wanted:
            bids = self.core.depth(book.number, BUY, wanted)
            offers = self.core.depth(book.number, SELL, wanted)
            book.depth_cache = (book.seq, wanted, bids, offers)
        return bids[:wanted], offers[:wanted]

    def statistics(self, book: Book) -> Statistics:
        """Prices that are no levels and no trades, by MDEntryType(269): (ticks, lots or None)."""
        day = book.day
        pairs = ((OPEN, day.first), (CLOSE, day.close), (HIGH, day.high), (LOW, day.low))
        found: Statistics = {kind: (ticks, None) for kind, ticks in pairs if ticks}
        if book.instrument.is_future and (mark := int(self.core.mark_price(book.number))):
            found[MARK] = (mark, None)
        if book.phase in CALLS and (indicative := self.core.indicative(book.number)) is not None:
            found[INDICATIVE] = (int(indicative[0]), int(indicative[1]))
        return found

    def check(self) -> None:
        """Asserts that the core is sound and that the prices of the day fit one another."""
        self.core.check()
        for book in self.books:
            assert book.phase == self.core.phase(book.number)
            assert book.day.low <= book.day.first <= book.day.high and book.day.low <= book.day.last <= book.day.high

    # ---- what a checkpoint keeps ----

    def days(self) -> list[dict[str, Any]]:
        """The prices of the day and the last trade of every instrument, for `restore_days`."""
        return [
            {
                "symbol": book.instrument.symbol,
                "day": [book.day.first, book.day.high, book.day.low, book.day.last, book.day.close],
                "trade": [getattr(last, name) for name in Trade.__slots__] if last else [],
            }
            for book in self.books
            for last in [book.last_trade(book.trade_end)]
        ]

    def restore_days(self, days: list[dict[str, Any]]) -> None:
        for found in days:
            book = self.by_symbol.get(str(found["symbol"]).encode())
            if book is not None:
                book.day = DayPrices(*(int(price) for price in found["day"]))
                book.trades = deque()
                if found["trade"]:  # it stands
                    trade_id, price_ticks, qty_lots, time_ns, aggressor, *_ = (int(word) for word in found["trade"])
                    book.trades.append(Trade(trade_id, price_ticks, qty_lots, time_ns, aggressor))

    # ---- events ----

    def _take(self, commands: npt.NDArray[np.void], events: npt.NDArray[np.void]) -> list[PhaseChange]:
        """Trades, busts, changes of phase and ends of days, in the order in which they happened."""
        first_seq = int(commands["seq"][0])
        changes: list[PhaseChange] = []
        rows = iter(zip(*(events[name].tolist() for name in _COLUMNS), strict=True))
        for kind, symbol, exec_id, price_ticks, qty_lots, leaves, aux, side, _, order_id in rows:
            command = commands[(exec_id >> SEQ_BITS) - first_seq]
            book = self.books[symbol] if symbol < len(self.books) else None
            if kind == EventKind.FILL:
                *_, side, flags, _ = next(rows)  # the two fills of a trade are neighbours, the resting order's first
                if book is not None:
                    aggressor = side if flags & EventFlag.AGGRESSOR else 0
                    self._trade(book, Trade(exec_id, price_ticks, qty_lots, int(command["time_ns"]), aggressor))
            elif kind == EventKind.BUSTED:
                if book is not None and side == BUY:  # the seller's follows and says the same
                    time_ns = int(command["time_ns"])
                    self._add(book, Trade(order_id, price_ticks, qty_lots, time_ns, 0, busted=True))
            elif book is not None and kind == EventKind.PHASE:
                self._phase(book, leaves, aux)
                changes.append(PhaseChange(symbol, leaves, exec_id >> SEQ_BITS, int(command["time_ns"])))
            elif book is not None and _ends_day(command) and book.phase != Phase.CLOSED:
                book.day.end()
                book.day.begin()
        return changes

    def _trade(self, book: Book, trade: Trade) -> None:
        self.trade_count += 1
        book.day.trade(trade.price_ticks)
        self._add(book, trade)

    def _add(self, book: Book, trade: Trade) -> None:
        book.trades.append(trade)
        if not book.listened:
            book.forget(book.trade_end - 1)

    def _phase(self, book: Book, new: int, old: int) -> None:
        book.phase = new
        if new == Phase.CLOSED:
            book.day.end()
        elif old == Phase.CLOSED:
            book.day.begin()


_COLUMNS = ("kind", "symbol", "exec_id", "price_ticks", "qty_lots", "leaves_lots", "aux", "side", "flags", "order_id")


def _ends_day(command: np.void) -> bool:
    return bool(command["kind"] == CommandKind.TIME and command["flags"] & CommandFlag.TIME_CLOSE)

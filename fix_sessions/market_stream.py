"""What one subscriber was shown of one book, and what it must be told to be shown the newest: conflation.

A stream is one instrument, one depth, one choice of entry types, one interval. All who asked for the same share it: the
difference between what they hold and the market now is made and encoded once. Of levels and prices only the latest
counts; trades and busts are all told, each once and in order. Pure: no clock, no socket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fix_sessions.market_feed import Book, Feed, Level, Statistics, Trade
from fix_sessions.messages import identifier, timestamp

BID, OFFER, TRADE, EMPTY = b"0", b"1", b"2", b"J"
NEW, CHANGE, DELETE = b"0", b"1", b"2"


@dataclass(frozen=True)
class Terms:
    """What was asked for, of one instrument. `depth` 0: all levels; `full`: each update is a whole snapshot."""

    symbol: int
    depth: int
    types: frozenset[bytes]
    interval_ms: int
    full: bool = False


@dataclass
class Shown:
    """The state that a subscriber holds: levels by price, other prices by type, trades before number `trade`."""

    bids: dict[int, int] = field(default_factory=dict)
    offers: dict[int, int] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=dict)
    trade: int = 0
    seq: int = 0
    time_ns: int = 0


@dataclass(eq=False)
class Subscriber:
    """One session's part in a stream. `rpt_seq` counts its messages; `own` is set while it lags behind the stream."""

    session: int
    request: bytes
    rpt_seq: int = 0
    own: Shown | None = None


@dataclass
class Update:
    """The entries of one message, encoded, and how many there are."""

    entries: list[bytes] = field(default_factory=list)

    def body(self, shown: Shown) -> bytes:
        """What is the same for every subscriber."""
        head = b"60=%s\x01268=%d\x01" % (timestamp(shown.time_ns), len(self.entries))
        return head + b"".join(self.entries) + b"1181=%d\x01" % shown.seq


class Stream:
    """One state that several subscribers hold."""

    def __init__(self, feed: Feed, terms: Terms) -> None:
        self.feed = feed
        self.terms = terms
        self.book = feed.books[terms.symbol]
        self.shown = look(feed, self.book, terms)
        self.subscribers: list[Subscriber] = []
        self.due = 0.0

    def step(self) -> bytes | None:
        """Goes on to the market now; what to tell those who hold the state before, None when nothing changed."""
        before, self.shown = self.shown, look(self.feed, self.book, self.terms)
        return difference(self.book, self.terms, before, self.shown)

    def catch_up(self, subscriber: Subscriber) -> bytes | None:
        """What to tell one that stayed behind, who then holds what the others hold."""
        assert subscriber.own is not None, "it is not behind"
        body = difference(self.book, self.terms, subscriber.own, self.shown)
        subscriber.own = None
        return body

    def snapshot(self, subscriber: Subscriber | None = None) -> bytes:
        """The state that a subscriber holds, whole."""
        shown = subscriber.own if subscriber is not None and subscriber.own is not None else self.shown
        return whole(self.book, self.terms, shown)

    @property
    def trade_needed(self) -> int:
        """Number of the first trade that somebody here was not told yet."""
        owns = [s.own.trade for s in self.subscribers if s.own is not None]
        return min([self.shown.trade, *owns])

    def check(self) -> None:
        """Asserts that nobody holds more than the stream and that no trade that is needed is gone."""
        assert all(s.own is None or s.own.seq <= self.shown.seq for s in self.subscribers)
        assert self.book.trade_base <= self.trade_needed <= self.book.trade_end


def look(feed: Feed, book: Book, terms: Terms) -> Shown:
    """The market now, as these terms show it."""
    bids: list[Level] = []
    offers: list[Level] = []
    if BID in terms.types or OFFER in terms.types:
        bids, offers = feed.depth(book, terms.depth)
    statistics = feed.statistics(book)
    return Shown(
        bids=dict(bids) if BID in terms.types else {},
        offers=dict(offers) if OFFER in terms.types else {},
        statistics={kind: value for kind, value in statistics.items() if kind in terms.types},
        trade=book.trade_end,
        seq=feed.last_seq,
        time_ns=feed.last_time_ns,
    )


def difference(book: Book, terms: Terms, before: Shown, after: Shown) -> bytes | None:
    """The body of what leads from one state to the other; None when that is nothing."""
    update = Update()
    entries = update.entries
    if TRADE in terms.types and after.trade > before.trade:
        count = after.trade - before.trade
        trades = [trade for trade, _ in zip(book.trades_from(before.trade), range(count), strict=False)]
        entries += [trade_entry(book, trade, update=not terms.full) for trade in trades]
    if terms.full:
        if not entries and _same(before, after):
            return None
        update.entries = entries + _whole_entries(book, after)
        update.entries = update.entries or [b"269=J\x01"]
        return update.body(after)
    _levels(entries.append, book, BID, before.bids, after.bids)
    _levels(entries.append, book, OFFER, before.offers, after.offers)
    for kind, value in before.statistics.items():
        if kind not in after.statistics:
            entries.append(_price(book, DELETE, kind, *value))
    for kind, value in after.statistics.items():
        old = before.statistics.get(kind)
        if old != value:
            entries.append(_price(book, NEW if old is None else CHANGE, kind, *value))
    return update.body(after) if entries else None


def whole(book: Book, terms: Terms, shown: Shown) -> bytes:
    """The body of a snapshot, after MDReqID, Symbol and RptSeq; with the last trade, when it stands."""
    update = Update(_whole_entries(book, shown))
    if TRADE in terms.types and (last := book.last_trade(shown.trade)) is not None:
        update.entries.append(trade_entry(book, last, update=False))
    update.entries = update.entries or [b"269=J\x01"]
    return update.body(shown)


def trade_entry(book: Book, trade: Trade, *, update: bool) -> bytes:
    """One trade. In an update an entry that is new, or deleted when it was busted; a snapshot has no actions, there a
    busted trade comes with a condition."""
    moment = timestamp(trade.time_ns)
    name, action = identifier(trade.trade_id), DELETE if trade.busted else NEW
    values = (action, name, book.symbol)
    head = b"279=%s\x01269=2\x01278=%s\x0155=%s\x01" % values if update else b"269=2\x01278=%s\x01" % name
    price, quantity = book.price(trade.price_ticks), book.quantity(trade.qty_lots)
    fields = b"270=%s\x01271=%s\x01272=%s\x01273=%s\x01" % (price, quantity, moment[:8], moment[9:])
    condition = b"277=0\x01" if trade.busted and not update else b""
    side = b"2446=%d\x01" % trade.aggressor if trade.aggressor else b""
    return head + fields + condition + side


def _same(one: Shown, other: Shown) -> bool:
    return (one.bids, one.offers, one.statistics) == (other.bids, other.offers, other.statistics)


def _levels(
    add: Callable[[bytes], None], book: Book, kind: bytes, before: dict[int, int], after: dict[int, int]
) -> None:
    """Levels that went first, so that nobody's book is deeper than it asked for or crossed for no reason."""
    for ticks, lots in before.items():
        if ticks not in after:
            add(_price(book, DELETE, kind, ticks, lots))
    for ticks, lots in after.items():
        old = before.get(ticks)
        if old != lots:
            add(_price(book, NEW if old is None else CHANGE, kind, ticks, lots))


def _price(book: Book, action: bytes, kind: bytes, ticks: int, lots: int | None) -> bytes:
    head = b"279=%s\x01269=%s\x0155=%s\x01270=%s\x01" % (action, kind, book.symbol, book.price(ticks))
    return head if lots is None or action == DELETE else head + b"271=%s\x01" % book.quantity(lots)


def _whole_entries(book: Book, shown: Shown) -> list[bytes]:
    entries = []
    for kind, levels in ((BID, shown.bids), (OFFER, shown.offers)):
        for position, (ticks, lots) in enumerate(levels.items(), 1):
            values = (kind, book.price(ticks), book.quantity(lots), position)
            entries.append(b"269=%s\x01270=%s\x01271=%s\x01290=%d\x01" % values)
    for kind, (ticks, volume) in shown.statistics.items():
        size = b"" if volume is None else b"271=%s\x01" % book.quantity(volume)
        entries.append(b"269=%s\x01270=%s\x01%s" % (kind, book.price(ticks), size))
    return entries

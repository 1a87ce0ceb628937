"""Requests as records and reports as messages, in readable form: the twin of `orders.cpp` and `reports.cpp`.

The rules are theirs, line by line: what this venue cannot do becomes a `precheck` reason, the first one found counts,
and the request is journaled and refused like any other. One suite compares records and bytes of the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cores import CommandFlag, CommandKind, EventFlag, EventKind, OrdType, Reason, Tif
from cores.records import PRICE_TICKS_MAX, QTY_LOTS_MAX, SYMBOL_NONE
from fix_sessions import messages
from fix_sessions.messages import Field
from fix_sessions.reasons import cancel_codes, order_codes, texts
from venue.config import Config, Instrument, Member, Session
from venue.records import CLORDID_BYTES

UNKNOWN_SYMBOL = b"[N/A]"
SIDE_UNDISCLOSED = b"7"
KINDS = {b"D": CommandKind.NEW, b"F": CommandKind.CANCEL, b"G": CommandKind.REPLACE}
EXEC_TYPES = {
    EventKind.ACCEPTED: b"0",
    EventKind.REJECTED: b"8",
    EventKind.FILL: b"F",
    EventKind.CANCELLED: b"4",
    EventKind.REPLACED: b"5",
    EventKind.EXPIRED: b"C",
}


class TagRefused(ValueError):
    """The value of a tag cannot be taken at all: answered with a session Reject."""

    def __init__(self, tag: int) -> None:
        super().__init__(f"tag {tag}")
        self.tag = tag


@dataclass(frozen=True)
class Book:
    """An instrument's name and the sizes of its ticks and lots as integers."""

    number: int
    symbol: bytes
    tick_units: int
    price_scale: int
    lot_units: int
    qty_scale: int

    @classmethod
    def of(cls, instrument: Instrument) -> Book:
        return cls(
            instrument.id,
            instrument.symbol.encode(),
            int(instrument.tick.scaleb(instrument.price_scale)),
            instrument.price_scale,
            int(instrument.lot.scaleb(instrument.qty_scale)),
            instrument.qty_scale,
        )

    def price(self, ticks: int) -> bytes:
        return messages.decimal(ticks * self.tick_units, self.price_scale)

    def quantity(self, lots: int) -> bytes:
        return messages.decimal(lots * self.lot_units, self.qty_scale)


class Terms:
    """Everything the codec knows about the venue."""

    def __init__(self, config: Config) -> None:
        self.books = [Book.of(instrument) for instrument in config.instruments]
        self.by_symbol = {book.symbol: book for book in self.books}
        self.members: dict[int, tuple[Member, Session]] = {s.id: (m, s) for m, s in config.sessions()}
        self.texts = [texts(config, instrument) for instrument in config.instruments]
        self.texts_otherwise = texts(config, None)
        self.order_codes = order_codes()
        self.cancel_codes = cancel_codes()

    def book(self, number: int) -> Book | None:
        return self.books[number] if number < len(self.books) else None

    def text(self, symbol: int, reason: int) -> bytes:
        known = self.texts[symbol] if symbol < len(self.texts) else self.texts_otherwise
        return known[reason].encode()


@dataclass
class Request:
    """One D, F or G while it is read, then the eight words of its command."""

    session: int
    accounts: tuple[int, ...]
    terms: Terms
    body: bytes
    poss_dup: bool = False
    account: int = 0
    book: Book | None = None
    side: int = 0
    ord_type: int = 0
    tif: int = 0
    flags: int = 0
    reason: int = 0
    price_ticks: int = 0
    qty_lots: int = 0
    min_lots: int = 0
    kind: int = 0
    values: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, terms: Terms, session: int, body: bytes, poss_dup: bool, find_order: Any) -> Request:
        """Reads a body of MsgType D, F or G. Raises TagRefused for a ClOrdID that no record can hold."""
        request = cls(session, terms.members[session][0].accounts, terms, body, poss_dup)
        request.values = messages.first_fields(body)
        request.kind = KINDS[request.values[35]]
        names = (11,) if request.kind == CommandKind.NEW else (11, 41)
        for tag in names:
            if len(request.values.get(tag, b"")) >= CLORDID_BYTES:
                raise TagRefused(tag)
        request._read_owner()
        if request.kind == CommandKind.NEW:
            request._read_terms(b"12")
            request.qty_lots = request._quantity(38, required=True)
            request.min_lots = request._quantity(110, required=False)
            request.price_ticks = request._price()
        elif request.kind == CommandKind.REPLACE:
            request._read_terms(b"2")
            request._compare(find_order)
            request.qty_lots = request._quantity(38, required=True)
            request.price_ticks = request._price()
        else:
            request._compare(find_order)
        return request

    @property
    def clordid(self) -> bytes:
        return self.values.get(11, b"")

    @property
    def orig_clordid(self) -> bytes:
        return b"" if self.kind == CommandKind.NEW else self.values.get(41, b"")

    @property
    def symbol(self) -> int:
        return SYMBOL_NONE if self.book is None else self.book.number

    def words(self) -> tuple[int, ...]:
        """The command's words; sequence, time and order are the engine's to write."""
        head = self.kind | self.side << 8 | self.ord_type << 16 | self.tif << 24 | self.flags << 32
        head |= self.reason << 40 | self.symbol << 48
        return head, 0, 0, self.account | self.session << 32, 0, self.price_ticks, self.qty_lots, self.min_lots

    def _refuse(self, reason: Reason) -> None:
        self.reason = self.reason or int(reason)

    def _read_owner(self) -> None:
        self.account = self.accounts[0]
        text = self.values.get(1)
        if text is not None:
            number = int(text) if text.isdigit() and len(text) <= 5 else -1
            if number in self.accounts:
                self.account = number
            else:
                self._refuse(Reason.REJECT_SESSION_ACCOUNT_NOT_PERMITTED)
        self.book = self.terms.by_symbol.get(self.values.get(55, b""))
        if self.book is None:
            self._refuse(Reason.REJECT_SESSION_UNKNOWN_SYMBOL)
        self.side = self._choice(54, b"12")

    def _read_terms(self, ord_types: bytes) -> None:
        self.ord_type = self._choice(40, ord_types)
        self.tif = self._choice(59, b"0134")
        instructions = self.values.get(18)
        if instructions is None:
            return
        if instructions and all(one == b"6" for one in instructions.split(b" ")):
            self.flags |= CommandFlag.POST_ONLY
        else:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)

    def _choice(self, tag: int, allowed: bytes) -> int:
        text = self.values.get(tag)
        if text is None:
            return 0
        if len(text) == 1 and text in allowed:
            return int(text)
        self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        return 0

    def _quantity(self, tag: int, *, required: bool) -> int:
        text = self.values.get(tag)
        if text is None and required:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        if text is None or self.book is None:
            return 0
        limits = self.book.qty_scale, self.book.lot_units, QTY_LOTS_MAX
        return self._number(text, limits, Reason.REJECT_SESSION_QTY_OFF_LOT, Reason.REJECT_SESSION_QTY_OVERFLOW)

    def _price(self) -> int:
        text = self.values.get(44)
        if self.ord_type != OrdType.LIMIT:
            return 0
        if text is None:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        if text is None or self.book is None:
            return 0
        limits = self.book.price_scale, self.book.tick_units, PRICE_TICKS_MAX
        return self._number(text, limits, Reason.REJECT_SESSION_PRICE_OFF_TICK, Reason.REJECT_SESSION_PRICE_OVERFLOW)

    def _number(self, text: bytes, limits: tuple[int, int, int], inexact: Reason, overflow: Reason) -> int:
        try:
            return messages.count(text, *limits)
        except messages.Malformed:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        except messages.Inexact:
            self._refuse(inexact)
        except messages.Overflow:
            self._refuse(overflow)
        return 0

    def _compare(self, find_order: Any) -> None:
        """What a cancel or replace may leave out, or must not change, is known from its order."""
        account_open = len(self.accounts) > 1 and 1 not in self.values
        if not (account_open or 59 in self.values or 18 in self.values):
            return
        order = find_order(self.session, self.orig_clordid)
        if order is None:
            return
        if account_open and order["account"] in self.accounts:
            self.account = order["account"]
        if (59 in self.values and self.tif != order["tif"]) or (
            18 in self.values and self.flags != order["order_flags"]
        ):
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)


# ---- reports -------------------------------------------------------------------------------------------------------


def report_message(report: np.void, terms: Terms) -> tuple[bytes, list[Field]] | None:
    """MsgType and fields of the 8 or 9 that tells of this event; None when it is none of them."""
    kind = int(report["event"]["kind"])
    if kind == EventKind.CANCEL_REJECTED:
        return b"9", _cancel_reject(report, terms)
    if kind not in EXEC_TYPES:
        return None
    return b"8", _execution(report, terms, kind)


def _execution(report: np.void, terms: Terms, kind: int) -> list[Field]:
    event, book = report["event"], terms.book(int(report["symbol"]))
    reason, exec_id = int(event["reason"]), int(event["exec_id"])
    ticks, lots = int(report["order_price_ticks"]), int(report["order_qty_lots"])
    fill, aggressor = kind == EventKind.FILL, bool(event["flags"] & EventFlag.AGGRESSOR)
    found: list[Field] = [(1, b"%d" % report["account"]), (6, _average(report, book))]
    found += _named(11, report["clordid"])
    found += [(14, quantity(book, int(report["cum_lots"]))), (17, messages.identifier(exec_id))]
    if report["order_flags"] & CommandFlag.POST_ONLY:
        found.append((18, b"6"))
    if fill:
        found += [(31, price(book, int(event["price_ticks"]))), (32, quantity(book, int(event["qty_lots"])))]
    found.append((37, _order_id(event)))
    if lots:
        found.append((38, quantity(book, lots)))
    found.append((39, bytes(report["status"])))
    if report["ord_type"]:
        found.append((40, b"%d" % report["ord_type"]))
    found += _named(41, report["orig_clordid"])
    if ticks:
        found.append((44, price(book, ticks)))
    found.append((54, b"%d" % report["side"] if report["side"] else SIDE_UNDISCLOSED))
    found.append((55, book.symbol if book else UNKNOWN_SYMBOL))
    if reason:
        found += _named(58, terms.text(int(report["symbol"]), reason))
    found += [(59, b"%d" % Tif(int(report["tif"]))), (60, messages.timestamp(int(report["time_ns"])))]
    if kind == EventKind.REJECTED:
        found.append((103, b"%d" % terms.order_codes[reason]))
    found += [(150, EXEC_TYPES[EventKind(kind)]), (151, quantity(book, int(event["leaves_lots"])))]
    if fill:
        found += [(527, messages.identifier(exec_id - aggressor)), (851, b"2" if aggressor else b"1")]
    return found


def _cancel_reject(report: np.void, terms: Terms) -> list[Field]:
    event = report["event"]
    reason = int(event["reason"])
    found: list[Field] = [(1, b"%d" % report["account"])]
    found += _named(11, report["clordid"])
    found += [(37, _order_id(event)), (39, bytes(report["status"]))]
    found += _named(41, report["orig_clordid"])
    found += _named(58, terms.text(int(report["symbol"]), reason))
    found += [(60, messages.timestamp(int(report["time_ns"]))), (102, b"%d" % terms.cancel_codes[reason])]
    found.append((434, b"2" if report["command_kind"] == CommandKind.REPLACE else b"1"))
    return found


def price(book: Book | None, ticks: int) -> bytes:
    return book.price(ticks) if book else b"0"


def quantity(book: Book | None, lots: int) -> bytes:
    return book.quantity(lots) if book else b"0"


def _average(report: np.void, book: Book | None) -> bytes:
    if book is None:
        return b"0"
    return messages.average(int(report["value"]), int(report["cum_lots"]), book.tick_units, book.price_scale)


def _order_id(event: np.void) -> bytes:
    return b"%d" % event["order_id"] if event["order_id"] else b"NONE"


def _named(tag: int, value: bytes) -> list[Field]:
    text = bytes(value)
    return [(tag, text)] if text else []

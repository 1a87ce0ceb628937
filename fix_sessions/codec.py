"""Requests as records and reports as messages, in readable form: the twin of `orders.cpp` and `reports.cpp`.

The rules are theirs, line by line: what this venue cannot do becomes a `precheck` reason, the first one found counts,
and the request is journaled and refused like any other. One suite compares records and bytes of the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cores import CommandFlag, CommandKind, EventFlag, EventKind, OrdType, Reason, Side, Tif
from cores.records import FLAG_SMP_SHIFT, PRICE_TICKS_MAX, QTY_LOTS_MAX, SYMBOL_NONE, Smp
from fix_sessions import messages, quote_names
from fix_sessions.messages import Field
from fix_sessions.reasons import cancel_codes, order_codes, texts
from venue.config import Config, Instrument, Member, Session
from venue.pegs import KINDS as PEG_KINDS
from venue.pegs import PegTerms
from venue.records import CLORDID_BYTES

UNKNOWN_SYMBOL = b"[N/A]"
SIDE_UNDISCLOSED = b"7"
KINDS = {b"D": CommandKind.NEW, b"E": CommandKind.NEW, b"F": CommandKind.CANCEL, b"G": CommandKind.REPLACE}
EXEC_TYPES = {
    EventKind.ACCEPTED: b"0",
    EventKind.REJECTED: b"8",
    EventKind.FILL: b"F",
    EventKind.CANCELLED: b"4",
    EventKind.REPLACED: b"5",
    EventKind.EXPIRED: b"C",
    EventKind.TRIGGERED: b"L",
    EventKind.REFRESHED: b"D",
    EventKind.RESTATED: b"D",
}
ANSWERS_OF_QUOTES = (EventKind.ACCEPTED, EventKind.REJECTED, EventKind.REPLACED, EventKind.CANCEL_REJECTED)
MARKET_TO_LIMIT = b"K"
PEGGED = b"P"
STOPS = (OrdType.STOP, OrdType.STOP_LIMIT)
SMP_MODES = {  # SelfMatchPreventionInstruction(2964): FIX has 1, 2 and 3, and leaves 100 and above to the venues
    b"1": Smp.CANCEL_AGGRESSOR,
    b"2": Smp.CANCEL_RESTING,
    b"3": Smp.CANCEL_BOTH,
    b"100": Smp.DECREMENT,
}
SMP_BITS = 7 << FLAG_SMP_SHIFT
PRICE_REASONS = Reason.REJECT_SESSION_PRICE_OFF_TICK, Reason.REJECT_SESSION_PRICE_OVERFLOW
INSTRUCTION_BITS = CommandFlag.POST_ONLY | CommandFlag.ALL_OR_NONE
TERMS_OF_AN_ORDER = (18, 59, 110, 111, 126, 432, 2964, 9479)  # which a replace may repeat and must not change


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
        self.smp_groups = {s.id: config.smp_group(m) for m, s in config.sessions()}
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
    detail: int = 0  # the word order_id of a NEW: stop price or displayed quantity
    aux: int = 0
    kind: int = 0
    peg: PegTerms | None = None
    values: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, terms: Terms, session: int, body: bytes, poss_dup: bool, find_order: Any) -> Request:
        """Reads a D, F or G, or one order of an E. Raises TagRefused for a ClOrdID that no record can hold."""
        request = cls(session, terms.members[session][0].accounts, terms, body, poss_dup)
        request.values = messages.first_fields(body)
        request.kind = KINDS[request.values[35]]
        names = (11,) if request.kind == CommandKind.NEW else (11, 41)
        for tag in names:
            if len(request.values.get(tag, b"")) >= CLORDID_BYTES:
                raise TagRefused(tag)
        if request.clordid.startswith(quote_names.MARK):
            raise TagRefused(11)
        request._read_owner()
        if request.kind == CommandKind.NEW:
            request._read_new()
        elif request.kind == CommandKind.REPLACE:
            request._read_terms()
            request._compare(find_order)
            request._read_peg()
            request.qty_lots = request._quantity(38, required=True)
            request.price_ticks = request._price(replaced=True)
            request.aux = request._stop(replaced=True)
        else:
            request._compare(find_order)
        return request

    @classmethod
    def of_quote(cls, terms: Terms, session: int, kind: int, values: dict[int, bytes]) -> Request:
        """One side of a quote as a limit order of the day: `values` are a D's or G's."""
        request = cls(session, terms.members[session][0].accounts, terms, b"", kind=kind, values=values)
        request._read_owner()
        request._read_terms()
        request.qty_lots = request._quantity(38, required=True)
        request.price_ticks = request._price()
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
        owner = self.account | self.session << 32
        return head, 0, 0, owner, self.detail, self.price_ticks, self.qty_lots, self.aux

    def refuse(self, reason: Reason) -> None:
        """Remembers the first reason found."""
        self._refuse(reason)

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

    def _read_new(self) -> None:
        self._read_terms()
        self._read_peg()
        self.qty_lots = self._quantity(38, required=True)
        min_lots = self._not_negative(110)
        self.price_ticks = self._price()
        stop_ticks = self._stop()
        shown_lots = self._display()
        expiry_ns = self._expiry(min_lots)
        self.detail = stop_ticks if self.ord_type in STOPS else shown_lots
        self.aux = expiry_ns if self.tif == Tif.GTD else min_lots

    def _read_terms(self) -> None:
        if self.values.get(40) == MARKET_TO_LIMIT:
            self.ord_type = OrdType.MARKET_TO_LIMIT
        elif self.values.get(40) == PEGGED:
            self.ord_type = OrdType.LIMIT
        else:
            self.ord_type = self._choice(40, b"1234")
        self.tif = self._choice(59, b"0123467")
        self._read_instructions()
        slide = self.values.get(9479)
        if slide == b"S":
            self.flags |= CommandFlag.SLIDE
        elif slide not in (None, b"R"):
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        group, mode = self.values.get(2362), self.values.get(2964)
        own = self.terms.smp_groups[self.session]
        if group is not None and (own == 0 or group != b"%d" % own):
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        if mode is not None and mode not in SMP_MODES:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        elif mode is not None:
            self.flags |= SMP_MODES[mode] << FLAG_SMP_SHIFT

    def _read_instructions(self) -> None:
        """ExecInst(18): 6 post-only, G all-or-none, each once or more; a pegged order's M, R, P instead of G."""
        instructions = self.values.get(18)
        if instructions is None:
            return
        found = set(instructions.split(b" "))
        if not found <= ({b"6", b"M", b"R", b"P"} if self.is_pegged else {b"6", b"G"}):
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
            return
        self.flags |= CommandFlag.POST_ONLY if b"6" in found else 0
        self.flags |= CommandFlag.ALL_OR_NONE if b"G" in found else 0

    @property
    def is_pegged(self) -> bool:
        return self.values.get(40) == PEGGED

    def _read_peg(self) -> None:
        """What a pegged order follows, at which distance, and its limit. Its price is found when it is entered."""
        if not self.is_pegged:
            if 211 in self.values:
                self._refuse(Reason.REJECT_SESSION_BAD_COMBINATION)
            return
        kinds = [kind for kind in PEG_KINDS if kind.encode() in self.values.get(18, b"").split(b" ")]
        if len(kinds) != 1:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        together = self.tif in (Tif.DAY, Tif.GTC, Tif.GTD) and not self.flags & CommandFlag.SLIDE
        if not together or any(tag in self.values for tag in (99, 110, 111)):
            self._refuse(Reason.REJECT_SESSION_BAD_COMBINATION)
        offset, below = self.values.get(211), messages.is_negative(self.values.get(211, b""))
        ticks = 0
        if offset is not None and self.book is not None:
            limits = self.book.price_scale, self.book.tick_units, PRICE_TICKS_MAX
            unsigned = offset[1:] if below else offset
            ticks = self._number(unsigned, limits, *PRICE_REASONS)
        limit_ticks = self._ticks(44, required=False)
        if 44 in self.values and limit_ticks == 0:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        self.peg = PegTerms(kinds[0] if kinds else PEG_KINDS[0], -ticks if below else ticks, limit_ticks)

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

    def _not_negative(self, tag: int) -> int:
        lots = self._quantity(tag, required=False)
        if messages.is_negative(self.values.get(tag, b"")):
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        return lots

    def _price(self, *, replaced: bool = False) -> int:
        """Price(44). A type that has none may say 0: any other price would be a limit that nobody keeps."""
        if self.is_pegged:
            return 0
        optional = replaced and self.ord_type == OrdType.MARKET_TO_LIMIT
        if self.ord_type == 0 or self.ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT) or optional:
            return self._ticks(44, required=not optional) if self.ord_type else 0
        if any(digit in self.values.get(44, b"") for digit in b"123456789"):
            self._refuse(Reason.REJECT_SESSION_BAD_COMBINATION)
        return 0

    def _stop(self, *, replaced: bool = False) -> int:
        present = 99 in self.values
        if self.ord_type not in STOPS:
            if present:
                self._refuse(Reason.REJECT_SESSION_BAD_COMBINATION)
            return 0
        found = self._ticks(99, required=not replaced)
        if replaced and present and found == 0:  # 0 is "as it is" to the core
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        return found

    def _display(self) -> int:
        """MaxFloor(111): 0 or all of it is no iceberg."""
        lots = self._not_negative(111)
        if lots == self.qty_lots:
            return 0
        if lots and self.ord_type in STOPS:
            self._refuse(Reason.REJECT_SESSION_BAD_COMBINATION)
        return lots

    def _expiry(self, min_lots: int = 0, *, replaced: bool = False) -> int:
        """ExpireTime(126) or ExpireDate(432), one of them, with TimeInForce(59) 6 and only then."""
        dated, both = 126 in self.values or 432 in self.values, 126 in self.values and 432 in self.values
        wrong = (not dated or min_lots != 0) if self.tif == Tif.GTD else dated
        if both or (wrong and not replaced):
            self._refuse(Reason.REJECT_SESSION_BAD_COMBINATION)
        found: int | None = 0
        for tag, read in ((126, messages.time), (432, messages.day_end)):
            if tag in self.values:
                read_ns = read(self.values[tag])
                if read_ns is None:
                    self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
                else:
                    found = read_ns
        return found or 0

    def _ticks(self, tag: int, *, required: bool) -> int:
        text = self.values.get(tag)
        if text is None and required:
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)
        if text is None or self.book is None:
            return 0
        limits = self.book.price_scale, self.book.tick_units, PRICE_TICKS_MAX
        return self._number(text, limits, *PRICE_REASONS)

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
        if not (account_open or any(tag in self.values for tag in TERMS_OF_AN_ORDER)):
            return
        order = find_order(self.session, self.orig_clordid)
        if order is None:
            return
        if account_open and order["account"] in self.accounts:
            self.account = order["account"]
        changed = self.flags ^ order["order_flags"]
        same = 59 not in self.values or self.tif == order["tif"]
        for tag, mask in ((18, INSTRUCTION_BITS), (9479, CommandFlag.SLIDE), (2964, SMP_BITS)):
            same = same and (tag not in self.values or not changed & mask)
        if not same or not self._same_amounts(order):
            self._refuse(Reason.REJECT_SESSION_UNSUPPORTED_VALUE)

    def _same_amounts(self, order: dict[str, Any]) -> bool:
        """A replace may repeat the displayed quantity, MinQty and expiry, but changes none of them."""
        detail, aux, is_gtd = order["order_detail"], order["order_aux"], order["tif"] == Tif.GTD
        shown, min_lots = self._not_negative(111), self._not_negative(110)
        same = 111 not in self.values or shown == (0 if order["ord_type"] in STOPS else detail)
        same = same or (detail == 0 and shown == self._quantity(38, required=False))
        same = same and (110 not in self.values or min_lots == (0 if is_gtd else aux))
        dated = 126 in self.values or 432 in self.values
        return bool(same and (not dated or (is_gtd and self._expiry(replaced=True) == aux)))


# ---- reports -------------------------------------------------------------------------------------------------------


def report_message(report: np.void, terms: Terms) -> tuple[bytes, list[Field]] | None:
    """MsgType and fields of the 8 or 9 that tells of this event; None when it is none of them."""
    kind = int(report["event"]["kind"])
    if is_quiet(report):
        return None
    if kind == EventKind.CANCEL_REJECTED:
        return b"9", _cancel_reject(report, terms)
    if kind not in EXEC_TYPES:
        return None
    return b"8", _execution(report, terms, kind)


def is_order_event(report: np.void) -> bool:
    """Whether a report is told with an 8 or a 9."""
    kind = int(report["event"]["kind"])
    return kind == EventKind.CANCEL_REJECTED or kind in EXEC_TYPES


def is_quiet(report: np.void) -> bool:
    """Whether a report answers a command of a quote: a MassQuoteAcknowledgement tells of those, no 8 or 9."""
    kind, clordid = int(report["event"]["kind"]), bytes(report["clordid"])
    if kind in (EventKind.CANCELLED, EventKind.CANCEL_REJECTED) and not clordid:
        return bytes(report["orig_clordid"]).startswith(quote_names.MARK)
    return kind in ANSWERS_OF_QUOTES and clordid.startswith(quote_names.MARK)


def told_reason(report: np.void) -> int:
    """The reason whose words Text(58) has: a value that is not taken is named where the record shows which one it was,
    and what the venue cancels without being asked has words, too."""
    kind, reason = int(report["event"]["kind"]), int(report["event"]["reason"])
    if kind == EventKind.CANCELLED and reason == 0 and not bytes(report["orig_clordid"]):
        return int(Reason.CANCEL_MASS)
    return named_reason(reason, report["side"], report["ord_type"]) if kind == EventKind.REJECTED else reason


def named_reason(reason: int, side: int, ord_type: int) -> int:
    """The reason that names a new order's field, when its side or type was not taken."""
    if reason != Reason.REJECT_SESSION_UNSUPPORTED_VALUE or (side != 0 and ord_type != 0):
        return reason
    return int(Reason.REJECT_BAD_SIDE if side == 0 else Reason.REJECT_BAD_ORD_TYPE)


def _account(report: np.void, reason: int) -> list[Field]:
    """Account(1); none when the request named one that is not the session's: the record then has another."""
    if reason == Reason.REJECT_SESSION_ACCOUNT_NOT_PERMITTED:
        return []
    return [(1, b"%d" % report["account"])]


def _execution(report: np.void, terms: Terms, kind: int) -> list[Field]:
    event, book = report["event"], terms.book(int(report["symbol"]))
    reason, exec_id = int(event["reason"]), int(event["exec_id"])
    ticks, lots = int(report["order_price_ticks"]), int(report["order_qty_lots"])
    fill, flags, side = kind == EventKind.FILL, int(event["flags"]), int(report["side"])
    second = bool(flags & EventFlag.AGGRESSOR) or (bool(flags & EventFlag.AUCTION) and side == Side.SELL)
    detail, aux = int(report["order_detail"]), int(report["order_aux"])
    is_stop, is_gtd = report["ord_type"] in STOPS, report["tif"] == Tif.GTD
    found = [*_account(report, reason), (6, average(report, book))]
    found += _named(11, report["clordid"])
    found += [(14, quantity(book, int(report["cum_lots"]))), (17, messages.identifier(exec_id))]
    peg = int(report["peg"])
    found += instructions(int(report["order_flags"]), peg)
    if fill:
        found += [(31, price(book, int(event["price_ticks"]))), (32, quantity(book, int(event["qty_lots"])))]
    found.append((37, _order_id(event)))
    if lots:
        found.append((38, quantity(book, lots)))
    found.append((39, bytes(report["status"])))
    if report["ord_type"]:
        found.append((40, ord_type(int(report["ord_type"]), peg)))
    found += _named(41, report["orig_clordid"])
    if ticks:
        found.append((44, price(book, ticks)))
    found.append((54, b"%d" % report["side"] if report["side"] else SIDE_UNDISCLOSED))
    found.append((55, book.symbol if book else UNKNOWN_SYMBOL))
    told = told_reason(report)
    if told:
        found += _named(58, terms.text(int(report["symbol"]), told))
    found += [(59, b"%d" % Tif(int(report["tif"]))), (60, messages.timestamp(int(report["time_ns"])))]
    if kind == EventKind.REJECTED:
        found.append((103, b"%d" % terms.order_codes[reason]))
    found += order_terms(book, detail, aux, is_stop=bool(is_stop), is_gtd=bool(is_gtd))
    quote = quote_names.of_report(bytes(report["clordid"]), bytes(report["orig_clordid"]))
    found += [(117, quote.quote_id)] if quote else []
    leaves = int(event["qty_lots" if kind == EventKind.TRIGGERED else "leaves_lots"])
    venues = kind == EventKind.REPLACED and peg and not bytes(report["orig_clordid"])  # it has moved a pegged order
    found += [(150, b"D" if venues else EXEC_TYPES[EventKind(kind)]), (151, quantity(book, leaves))]
    found += [(299, quote.entry_id)] if quote else []
    found += [(378, b"3")] if venues else _restatement(kind, reason)
    if fill:
        found += [(527, messages.identifier(exec_id - second)), (851, _liquidity(flags))]
    if kind == EventKind.REFRESHED:
        found.append((1138, quantity(book, int(event["qty_lots"]))))
    return found


def instructions(flags: int, peg: int) -> list[Field]:
    """ExecInst(18); `peg` as in a report."""
    found = [b"6"] if flags & CommandFlag.POST_ONLY else []
    found += [b"%c" % peg] if peg > 1 else [b"G"] if flags & CommandFlag.ALL_OR_NONE else []
    return [(18, b" ".join(found))] if found else []


def ord_type(number: int, peg: int) -> bytes:
    """OrdType(40); a pegged order is a limit order to the core."""
    if peg:
        return PEGGED
    return MARKET_TO_LIMIT if number == OrdType.MARKET_TO_LIMIT else b"%d" % number


def order_terms(book: Book | None, detail: int, aux: int, *, is_stop: bool, is_gtd: bool) -> list[Field]:
    """StopPx(99), MinQty(110), MaxFloor(111), ExpireTime(126), where the order has them."""
    found: list[Field] = []
    if detail:
        found.append((99, price(book, detail)) if is_stop else (111, quantity(book, detail)))
    if aux:
        found.append((126, messages.timestamp(aux)) if is_gtd else (110, quantity(book, aux)))
    return found


def _restatement(kind: int, reason: int) -> list[Field]:
    """ExecRestatementReason(378) of what was not asked for, where FIX has one for it."""
    if kind == EventKind.REFRESHED:
        return [(378, b"8")]  # market option
    if kind == EventKind.RESTATED:
        return [(378, b"5" if reason == Reason.CANCEL_SELF_MATCH else b"3")]  # partial decline of OrderQty, repricing
    return [(378, b"17")] if kind == EventKind.CANCELLED and reason == Reason.CANCEL_SELF_MATCH else []


def _liquidity(flags: int) -> bytes:
    """LastLiquidityInd(851): auction, removed, added."""
    return b"4" if flags & EventFlag.AUCTION else b"2" if flags & EventFlag.AGGRESSOR else b"1"


def _cancel_reject(report: np.void, terms: Terms) -> list[Field]:
    event = report["event"]
    reason = int(event["reason"])
    found = _account(report, reason)
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


def average(report: np.void, book: Book | None) -> bytes:
    """AvgPx(6)."""
    if book is None:
        return b"0"
    return messages.average(int(report["value"]), int(report["cum_lots"]), book.tick_units, book.price_scale)


def _order_id(event: np.void) -> bytes:
    return b"%d" % event["order_id"] if event["order_id"] else b"NONE"


def _named(tag: int, value: bytes) -> list[Field]:
    text = bytes(value)
    return [(tag, text)] if text else []

"""Mass quotes: MassQuote (i), QuoteCancel (Z), and what market-maker protection does with them.

`quotes.cpp` is the native twin and serves them as a rule; with `VENUE_FIX=python` they are served here.

Each side of an entry is an ordinary order of the day: entered when it is first quoted, replaced afterwards, cancelled
when it is pulled. Entries are taken one after another and MassQuoteAcknowledgement (b) tells of each, once all of it is
durable. A refused entry rests nowhere: what it had in the book is pulled, for a maker whose new price is not taken does
not stand by the old one. Must never leave two orders for one side of an entry, nor a quote of a scope that protection
has closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from cores import CommandFlag, CommandKind, EventKind, Reason, Side
from fix_sessions import mass_quote, messages, quote_names
from fix_sessions.area import REASON_NOT_AVAILABLE, STOPPED_TEXT, Area, Floor, Inbound
from fix_sessions.codec import Request, TagRefused
from fix_sessions.mass_quote import Entry
from fix_sessions.messages import SEQ_BITS, Field
from fix_sessions.protection import MS_NS, Limits, Protection, agreed
from fix_sessions.quote_book import Quote, QuoteBook
from venue.records import SubmitStatus

ACCEPTED, CANCELLED_SYMBOLS, CANCELLED_ALL, REJECTED, REMOVED, NOT_FOUND, CANCELLED = 0, 1, 4, 5, 6, 9, 17
BY_SYMBOL, ALL, BY_QUOTE = b"1", b"4", b"5"
ONLY_ERRORS, EVERY = b"1", b"2"
PROTECTION = b"F"
DONE = (EventKind.FILL, EventKind.CANCELLED, EventKind.EXPIRED)
REFUSALS = (EventKind.REJECTED, EventKind.CANCEL_REJECTED)
SIDES = (int(Side.BUY), int(Side.SELL))
KNOWN_TEXT = b"QuoteID(117) was used before by this session, and this entry was refused then"


@dataclass
class Answer:
    """A MassQuoteAcknowledgement in the making: what was done, and the commands that it waits for."""

    session: int
    head: list[Field]
    status: int = ACCEPTED
    level: bytes = EVERY
    entries: list[Entry] = field(default_factory=list)
    text: bytes = b""
    waiting: set[int] = field(default_factory=set)
    pulled: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class MassQuote:
    """A MassQuote in hand."""

    message: Inbound
    quote_id: bytes
    answer: Answer
    parties: bytes

    @property
    def session(self) -> int:
        return self.message.session


class Quotes(Area):
    """The quotes of all sessions."""

    serves: ClassVar[tuple[bytes, ...]] = (b"Z", b"i")

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self._books: dict[int, QuoteBook] = {}
        self._protections: dict[tuple[int, int], Protection] = {}
        self._awaited: dict[int, tuple[Answer, Entry | None]] = {}
        self._ready: list[Answer] = []

    def serve(self, message: Inbound) -> None:
        if message.values[35] == b"i":
            self._mass_quote(message)
        else:
            self._quote_cancel(message)

    def on_start(self) -> None:
        """What lives in the book is known from the engine, not from anybody's memory."""
        for session in self.terms.members if self.floor.engine is not None else ():
            for order in self.floor.engine.session_orders(session):
                name = order["clordid"].encode()
                if quote_names.parse(name) is None:
                    continue
                if self.gateway.native:
                    self.gateway.add_quote(session, name)
                else:
                    self.book(session).add(name)

    def on_report(self, report: np.void, poss_resend: bool) -> None:
        seq, kind = int(report["event"]["exec_id"]) >> SEQ_BITS, int(report["event"]["kind"])
        awaited = self._awaited.pop(seq, None)
        if awaited is not None:
            self._answered(report, kind, seq, *awaited)
        clordid, orig = bytes(report["clordid"]), bytes(report["orig_clordid"])
        name = clordid if clordid.startswith(quote_names.MARK) else orig
        quote = quote_names.parse(name)
        session = int(report["session"])
        if quote is None or session not in self._books:
            return
        gone = kind in DONE and not report["event"]["leaves_lots"]
        if gone or (kind == EventKind.REPLACED and name == orig):
            self._books[session].drop(name)
        if kind == EventKind.FILL and not poss_resend:
            self._traded(report, quote.side == Side.BUY)

    def on_round(self) -> None:
        ready, self._ready = self._ready, []
        for answer in ready:
            self._tell(answer)

    def book(self, session: int) -> QuoteBook:
        """The session's quotes; from the first use on its reports are looked at."""
        found = self._books.get(session)
        if found is None:
            found = self._books[session] = QuoteBook(session, self.gateway.find_order)
            self.floor.watch(session, True)
        return found

    def protection(self, session: int, symbol: int) -> Protection:
        """The protection of one session's quotes in one instrument."""
        found = self._protections.get((session, symbol))
        if found is None:
            member, instrument = self.terms.members[session][0], self.floor.config.instruments[symbol]
            found = Protection(Limits.of(member.mmp, instrument.lot))
            self._protections[session, symbol] = found
        return found

    def check(self) -> None:
        for book in self._books.values():
            book.check()
        for (session, symbol), protection in self._protections.items():
            protection.check()
            rests = any(quote.symbol == symbol for quote in self.book(session).all())
            assert not (protection.tripped and rests), f"session {session}: protection has closed {symbol}"

    # ---- i ----

    def _mass_quote(self, message: Inbound) -> None:
        values = message.values
        if quote_names.quote_id_fault(values[117]):
            raise TagRefused(117)
        entries = mass_quote.read_entries(message.body)
        head: list[Field] = [(tag, values[tag]) for tag in (1, 117, 131, 301) if tag in values]
        answer = Answer(message.session, head, level=values.get(301, b"0"), entries=entries)
        if len(entries) > mass_quote.ENTRIES_MAX:
            text = b"a MassQuote takes at most %d entries; nothing was done" % mass_quote.ENTRIES_MAX
            self._refuse(answer, mass_quote.EXCEEDS_LIMIT, text)
            return
        quote = MassQuote(message, values[117], answer, mass_quote.parties(message.body))
        if values.get(9773) == b"Y":
            self._reset(message.session, {entry.values.get(55, b"") for entry in entries})
        for entry in entries:
            self._entry(quote, entry)
        if answer.stopped:
            self.floor.business_reject(message, REASON_NOT_AVAILABLE, STOPPED_TEXT, ref_tag=117)
        if not answer.waiting:
            self._tell(answer)

    def _entry(self, quote: MassQuote, entry: Entry) -> None:
        """One entry: what is not wanted any more first, then its sides in the order in which they do not meet."""
        fault = quote_names.entry_id_fault(entry.entry_id)
        if fault:
            entry.refuse(mass_quote.OTHER, fault.encode())
            return
        book = self.terms.by_symbol.get(entry.values.get(55, b""))
        if book is not None and self.protection(quote.session, book.number).tripped:
            entry.refuse(mass_quote.NOT_AUTHORIZED, self._closed_text(quote.session, book.symbol))
        requests = (
            {} if entry.refused else {side: self._read(quote, entry, side) for side in SIDES if entry.wants(side)}
        )
        live = {side: self.book(quote.session).find(entry.entry_id, side) for side in SIDES}
        for side, old in live.items():
            if old is not None and not _continues(old, requests.get(side)):
                self._pull(old, quote.answer, entry)
                live[side] = None
        for side in _in_order(requests, live):
            if not self._place(quote, entry, requests[side], live[side]):
                self._pull_entry(quote.session, entry, quote.answer)
                return

    def _read(self, quote: MassQuote, entry: Entry, side: int) -> Request:
        price, size = (entry.values[tag] for tag in mass_quote.SIDE_TAGS[side])
        values = {38: size, 40: b"2", 44: price, 54: b"%d" % side}
        values |= {tag: entry.values[tag] for tag in (55,) if tag in entry.values}
        values |= {tag: quote.message.values[tag] for tag in (1, 18) if tag in quote.message.values}
        return Request.of_quote(self.terms, quote.session, CommandKind.NEW, values)

    def _place(self, quote: MassQuote, entry: Entry, request: Request, old: Quote | None) -> bool:
        """Enters or replaces one side; False when it was refused."""
        session, name = quote.session, quote_names.compose(request.side, quote.quote_id, entry.entry_id)
        named: list[Field] = [(11, name)]
        if old is not None:
            request.kind = CommandKind.REPLACE
            request.qty_lots += old.filled_lots  # a size is what is to be open; OrderQty(38) has what is filled in it
            named.append((41, old.name))
        elif request.book is not None:
            self.gateway.add_book(session, request.book.number, request.account)
        body = mass_quote.annex([*named, *self._facts(quote, entry, request.side)], quote.parties)
        orig, poss_dup = old.name if old else b"", quote.message.poss_dup
        status, seq = self.gateway.submit(request.words(), name, orig, body, poss_dup)
        if status == SubmitStatus.OK:
            self._await(quote.answer, seq, entry)
        elif status == SubmitStatus.STOPPED:
            quote.answer.stopped = True
            entry.refuse(mass_quote.CLOSED, STOPPED_TEXT)
            return False
        order = self.gateway.find_order(session, name)
        done = status == SubmitStatus.KNOWN or (order is not None and order["last_exec_id"] >> SEQ_BITS >= seq)
        if order is None or order["status"] == b"8" or not done:
            if status == SubmitStatus.KNOWN:
                entry.refuse(mass_quote.DUPLICATE, KNOWN_TEXT)
            entry.refused = True  # why, its report says
            return False
        if status == SubmitStatus.OK:
            self.book(session).add(name)
        return True

    def _facts(self, quote: MassQuote, entry: Entry, side: int) -> list[Field]:
        """What of the message is about one side, for its annex."""
        shared = [(tag, quote.message.values[tag]) for tag in (1, 18, 117) if tag in quote.message.values]
        own = [(tag, entry.values[tag]) for tag in (55, *mass_quote.SIDE_TAGS[side]) if tag in entry.values]
        return [*shared, (302, entry.set_id), (299, entry.entry_id), *own]

    def _pull_entry(self, session: int, entry: Entry, answer: Answer) -> None:
        for side in SIDES:
            old = self.book(session).find(entry.entry_id, side)
            if old is not None:
                self._pull(old, answer, entry)

    def _pull(self, quote: Quote, answer: Answer, entry: Entry | None = None) -> None:
        """Cancels the order of a quote; its cancel has no name of its own."""
        facts: list[Field] = [(41, quote.name), (299, quote.entry_id)]
        facts += [pair for pair in answer.head if pair[0] == 117]
        head = int(CommandKind.CANCEL) | quote.side << 8 | quote.symbol << 48
        words = (head, 0, 0, quote.account | answer.session << 32, 0, 0, 0, 0)
        status, seq = self.gateway.submit(words, b"", quote.name, mass_quote.annex(facts), False)
        if status == SubmitStatus.OK:
            self._await(answer, seq, None)
            answer.pulled += 1
            self.book(answer.session).drop(quote.name)
        elif status == SubmitStatus.STOPPED:
            answer.stopped = True
            if entry is not None:
                entry.refuse(mass_quote.CLOSED, STOPPED_TEXT)

    # ---- Z ----

    def _quote_cancel(self, message: Inbound) -> None:
        values, session = message.values, message.session
        kind = values[298]
        head: list[Field] = [(tag, values[tag]) for tag in (117, 131, 301) if tag in values]
        answer = Answer(session, head, level=values.get(301, EVERY))
        named = read_named(message.body)
        symbols = {symbol for symbol, _ in named}
        unknown = next((symbol for symbol in sorted(symbols) if symbol not in self.terms.by_symbol), None)
        if unknown is not None:
            text = b"Symbol(55) " + unknown + b" is not traded here; nothing was done"
            self._refuse(answer, mass_quote.UNKNOWN_SYMBOL, text)
            return
        if kind == BY_SYMBOL and not named:
            text = b"QuoteCancelType(298) 1 needs the symbols in NoQuoteEntries(295); nothing was done"
            self._refuse(answer, mass_quote.OTHER, text)
            return
        numbers = {self.terms.by_symbol[symbol].number for symbol in symbols}
        entry_ids = {entry_id for _, entry_id in named if entry_id}
        for quote in self.book(session).all():
            if kind == BY_SYMBOL and quote.symbol not in numbers:
                continue
            if kind == BY_QUOTE and not _is_named(quote, values[117], entry_ids):
                continue
            self._pull(quote, answer)
        if values.get(9773) == b"Y":
            self._reset(session, None if kind == ALL else symbols)
        answer.status = {BY_SYMBOL: CANCELLED_SYMBOLS, ALL: CANCELLED_ALL}.get(kind, CANCELLED)
        if kind == BY_QUOTE and not answer.pulled:
            answer.status, answer.text = NOT_FOUND, b"no quote of that name is in the book"
        else:
            answer.text = b"%d orders of quotes were pulled" % answer.pulled
        if answer.stopped:
            self.floor.business_reject(message, REASON_NOT_AVAILABLE, STOPPED_TEXT, ref_tag=117)
        elif not answer.waiting:
            self._tell(answer)

    # ---- protection ----

    def _traded(self, report: np.void, buy: bool) -> None:
        session, symbol = int(report["session"]), int(report["symbol"])
        protection = self.protection(session, symbol)
        if not protection.trade(int(report["time_ns"]), int(report["event"]["qty_lots"]), buy=buy):
            return
        answer = Answer(session, [(9775, PROTECTION)], status=REMOVED)
        answer.text = self._closed_text(session, self.terms.books[symbol].symbol)
        entries: dict[bytes, Entry] = {}
        for quote in self.book(session).all():
            if quote.symbol == symbol:
                values = {55: self.terms.books[symbol].symbol}
                entries.setdefault(quote.entry_id, Entry(b"0", quote.entry_id, values))
                self._pull(quote, answer)
        answer.entries = list(entries.values())
        if not answer.waiting:
            self._ready.append(answer)

    def _closed_text(self, session: int, symbol: bytes) -> bytes:
        mmp, what = self.terms.members[session][0].mmp, self.protection(session, self.terms.by_symbol[symbol].number)
        limit = what.breach()
        most = dict(zip(("quantity", "delta", "trades"), agreed(mmp), strict=True))
        text = f"market-maker protection: {limit} of {most[limit]} reached" if limit else "market-maker protection"
        text = f"{text} in {symbol.decode()} within {what.limits.window_ns // MS_NS} ms: all its quotes were pulled"
        return f"{text}; MMProtectionReset(9773)=Y takes it off".encode()

    def _reset(self, session: int, symbols: set[bytes] | None) -> None:
        """The maker's word that it goes on; None: in every instrument."""
        for (owner, number), protection in self._protections.items():
            if owner == session and (symbols is None or self.terms.books[number].symbol in symbols):
                protection.reset()

    # ---- b ----

    def _await(self, answer: Answer, seq: int, entry: Entry | None) -> None:
        answer.waiting.add(seq)
        self._awaited[seq] = (answer, entry)

    def _answered(self, report: np.void, kind: int, seq: int, answer: Answer, entry: Entry | None) -> None:
        """A command's first event: what became of it. A pull that came too late pulled nothing, and nothing rests."""
        if entry is not None and kind in REFUSALS:
            reason = Reason(int(report["event"]["reason"]))
            code = mass_quote.REJECT_REASONS.get(reason, mass_quote.OTHER)
            entry.refuse(code, self.terms.text(int(report["symbol"]), reason))
        answer.waiting.discard(seq)
        if not answer.waiting:
            self._ready.append(answer)

    def _refuse(self, answer: Answer, code: int, text: bytes) -> None:
        """A message of which nothing was done."""
        answer.status, answer.text, answer.entries = REJECTED, text, []
        answer.head.append((300, b"%d" % code))
        self._tell(answer)

    def _tell(self, answer: Answer) -> None:
        """The acknowledgement, as QuoteResponseLevel(301) wants it: none, of what was refused, or of everything."""
        refused = [entry for entry in answer.entries if entry.refused]
        shown = refused if answer.level == ONLY_ERRORS else answer.entries
        wrong = bool(refused) or answer.status == REJECTED
        if answer.level not in (ONLY_ERRORS, EVERY) or (answer.level == ONLY_ERRORS and not wrong):
            return
        if answer.status == ACCEPTED and refused and len(refused) == len(answer.entries):
            answer.status = REJECTED
            answer.head.append((300, b"%d" % refused[0].code))
        fields = [*answer.head, (297, b"%d" % answer.status)]
        fields += [(58, answer.text)] if answer.text else []
        self.floor.send_as_is(answer.session, b"b", sorted(fields) + mass_quote.groups(shown))


def read_named(body: bytes) -> list[tuple[bytes, bytes]]:
    """(Symbol, QuoteEntryID or nothing) of every entry of a QuoteCancel."""
    found: list[tuple[bytes, bytes]] = []
    for tag, value in messages.fields(body):
        if tag == 55:
            found.append((value, b""))
        elif tag == 299 and found:
            found[-1] = (found[-1][0], value)
    return found


def _is_named(quote: Quote, quote_id: bytes, entry_ids: set[bytes]) -> bool:
    """Whether QuoteCancelType(298) 5 means this quote: its entry is named, or none is and its QuoteID is."""
    if entry_ids:
        return quote.entry_id in entry_ids
    parsed = quote_names.parse(quote.name)
    return parsed is not None and parsed.quote_id == quote_id


def _continues(old: Quote, request: Request | None) -> bool:
    """Whether a replace leads from an order to what is wanted now."""
    if request is None or request.symbol != old.symbol or request.account != old.account:
        return False
    return not (request.flags ^ old.flags) & CommandFlag.POST_ONLY


def _in_order(requests: dict[int, Request], live: dict[int, Quote | None]) -> list[int]:
    """The sides that are wanted, the bid first unless it would meet the entry's own old offer."""
    offer = live[SIDES[1]]
    bid = requests.get(SIDES[0])
    meets = bid is not None and offer is not None and bid.price_ticks >= offer.price_ticks
    sides = [side for side in SIDES if side in requests]
    return sides[::-1] if meets else sides

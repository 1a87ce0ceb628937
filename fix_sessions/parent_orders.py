"""Parent orders of execution algorithms: how a NewOrderSingle (D) asks for one, and what is journaled and told of it.

A parent is no order of the core. It is an entry of the journal, a TIME command, which does nothing to the core, with
the member's D in its annex behind what the venue made of it: start, end, slices. So it has a number, a time, a place in
the archive, and is read again at the next start. Its end is an entry of the same kind, and so is every refusal. Must
never keep anything about a parent that the journal does not say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from cores import CommandKind, Reason, Tif
from cores.records import SYMBOL_NONE
from fix_sessions import messages
from fix_sessions.codec import Request, Terms, price, quantity
from fix_sessions.messages import SEQ_BITS, Field
from venue.algorithms import BASIS_POINTS, FLAT, NS, Schedule
from venue.config import Config

VWAP, TWAP = b"1", b"1000"
STRATEGIES = {VWAP: "VWAP", TWAP: "TWAP"}
ALGORITHM_TAGS = (168, 847, 848, 849)
NOT_TOGETHER = (18, 99, 110, 111, 211, 432, 9479)
NOT_OF_CHILDREN = (11, 35, 38, 59, 126, 583, *ALGORITHM_TAGS)
SLICE = b"SliceSeconds="
BODY_BYTES_MAX = 3_000  # of a parent's D: what is added to it, and to its children's, must fit an annex
NEW, PARTIAL, FILLED, CANCELLED, EXPIRED, REJECTED = b"0", b"1", b"2", b"4", b"C", b"8"

PARENT, END, REFUSED, CANCEL_REFUSED = b"parent", b"parent_end", b"parent_refused", b"parent_cancel_refused"
VERBS = (PARENT, END, REFUSED, CANCEL_REFUSED)


class Refused(ValueError):
    """A parent that is not taken: OrdRejReason(103) and Text(58)."""

    def __init__(self, code: int, text: str | bytes) -> None:
        super().__init__(text)
        self.code = code
        self.text = text.encode() if isinstance(text, str) else text


@dataclass(frozen=True)
class Entry:
    """A journal entry about a parent. `words` are the venue's own, `values` the member's first value of every tag."""

    seq: int
    session: int
    account: int
    symbol: int
    body: bytes
    words: dict[bytes, bytes]
    values: dict[int, bytes]

    @classmethod
    def of(cls, seq: int, session: int, account: int, symbol: int, body: bytes) -> Entry | None:
        """The entry that a body makes; None when it is about no parent."""
        if not body.startswith(tuple(b"verb=%s\x01" % verb for verb in VERBS)):
            return None
        own, _, rest = body.partition(b"\x0135=")
        words = dict(part.partition(b"=")[::2] for part in own.split(messages.SOH) if part)
        values = messages.first_fields(b"35=" + rest) if rest else {}
        return cls(seq, session, account, symbol, body, words, values)

    @property
    def message(self) -> bytes:
        """The member's message, empty when the venue acted by itself."""
        _, _, rest = self.body.partition(b"\x0135=")
        return b"35=" + rest if rest else b""

    def number(self, word: bytes) -> int:
        return int(self.words.get(word, b"0"))


def entry_body(verb: bytes, actor: bytes, ref: bytes, words: dict[str, int | bytes], message: bytes = b"") -> bytes:
    """What is journaled: `verb`, `actor`, `ref`, further words, then the member's message if there was one."""
    own = b"verb=%s\x01actor=%s\x01ref=%s\x01" % (verb, actor, ref)
    for name, value in words.items():
        own += b"%s=%s\x01" % (name.encode(), b"%d" % value if isinstance(value, int) else value)
    return own + message


def command_words(session: int, account: int, symbol: int) -> tuple[int, ...]:
    """The TIME command that carries an entry: no flag, so it does nothing but advance the core's clock."""
    return int(CommandKind.TIME | symbol << 48), 0, 0, account | session << 32, 0, 0, 0, 0


@dataclass
class Parent:
    """A parent order. `cum_lots` and `value` count everything that its children did up to the last one that was sent;
    `bases` says what they were before each child that may still be reported on. What was taken back of a child is in
    `busted` and stays in `cum_lots`, for it is not done again; what is told is without it. `entered`: the commands of
    the children that are in `bases` since a new start.
    """

    seq: int
    session: int
    values: dict[int, bytes]
    template: Request
    schedule: Schedule
    rate_bp: int
    status: bytes = NEW
    cum_lots: int = 0
    value: int = 0
    children: int = 0
    bases: dict[int, tuple[int, int]] = field(default_factory=dict)
    busted: dict[int, tuple[int, int]] = field(default_factory=dict)
    entered: dict[int, int] = field(default_factory=dict)
    next_ns: int = 0
    last_seq: int = 0
    share_from: tuple[int, int] | None = None
    said: bytes = b""
    cancelled_by: bytes = b""

    @classmethod
    def of(cls, entry: Entry, terms: Terms, find_order: Any) -> Parent:
        """The parent that an entry of the journal began."""
        body = template_body(messages.fields(entry.message), entry.values[11])
        template = Request.read(terms, entry.session, body, False, find_order)
        profile = tuple(int(weight) for weight in entry.words[b"profile"].split(b","))
        bounds = entry.number(b"start_ns"), entry.number(b"end_ns"), entry.number(b"slices")
        schedule = Schedule(entry.number(b"qty_lots"), *bounds, profile)
        found = cls(entry.seq, entry.session, entry.values, template, schedule, entry.number(b"rate_bp"))
        found.next_ns, found.last_seq = schedule.start_ns, entry.seq
        return found

    @property
    def clordid(self) -> bytes:
        return self.values[11]

    @property
    def symbol(self) -> int:
        return self.template.symbol

    @property
    def qty_lots(self) -> int:
        return self.schedule.qty_lots

    @property
    def is_open(self) -> bool:
        return self.status in (NEW, PARTIAL)

    @property
    def facts(self) -> dict[str, int]:
        """What a request for many orders chooses by."""
        return {"symbol": self.symbol, "account": self.template.account, "side": self.template.side}

    def view(self) -> dict[str, Any]:
        """What operators see of it."""
        book, bounds = self.template.book, (self.schedule.start_ns, self.schedule.end_ns)
        start, end = (messages.timestamp(time_ns).decode() for time_ns in bounds)
        return {
            "order_id": self.seq << SEQ_BITS,
            "clordid": self.clordid.decode(),
            "strategy": STRATEGIES[self.values[847]],
            "symbol": self.values[55].decode(),
            "side": {b"1": "buy", b"2": "sell"}[self.values[54]],
            "qty": quantity(book, self.qty_lots).decode(),
            "done": quantity(book, self.told((self.cum_lots, self.value))[0]).decode(),
            "start": start,
            "end": end,
            "children": self.children,
            "refused": self.said.decode(),
        }

    def check(self) -> None:
        """Asserts that no more is done than was asked for, and that the status says so."""
        assert 0 <= self.cum_lots <= self.qty_lots
        assert (self.status == FILLED) == (self.cum_lots == self.qty_lots and not self.busted)
        assert self.status != NEW or self.cum_lots == 0

    def told(self, done: tuple[int, int]) -> tuple[int, int]:
        """Lots and value without what was taken back."""
        lots, value = (sum(taken) for taken in zip((0, 0), *self.busted.values(), strict=True))
        return max(0, done[0] - lots), max(0, done[1] - value)

    def bust(self, number: int, lots: int, value: int) -> None:
        """So much of what a child did is taken back; it is not done again."""
        before = self.busted.get(number, (0, 0))
        self.busted[number] = before[0] + lots, before[1] + value
        if not self.is_open:
            self.status = CANCELLED

    def count(self, lots: int, value: int) -> None:
        """What a child did."""
        self.cum_lots += lots
        self.value += value
        if self.cum_lots and self.is_open:
            done = CANCELLED if self.busted else FILLED
            self.status = done if self.cum_lots == self.qty_lots else PARTIAL

    def child(self, name: bytes, lots: int) -> tuple[tuple[int, ...], bytes]:
        """Command and body of a child of so many lots: the member's own fields, its price, immediate or cancel."""
        book = self.template.book
        body = b"35=D\x0111=%s\x01583=%s\x0138=%s\x0159=3\x01" % (name, self.clordid, quantity(book, lots))
        for tag, value in messages.fields(self.template.body):
            if tag not in NOT_OF_CHILDREN:
                body += b"%d=%s\x01" % (tag, value)
        body += b"parent=%d\x01cum_lots=%d\x01value=%d\x01" % (self.seq, self.cum_lots, self.value)
        return replace(self.template, qty_lots=lots).words(), body

    def fields(self, exec_type: bytes, status: bytes, done: tuple[int, int], text: bytes = b"") -> list[Field]:
        """An ExecutionReport (8) but for its ExecID(17) and TransactTime(60); `done` are lots and their value."""
        lots, value = self.told(done)
        if self.busted and status in (NEW, PARTIAL):
            status = PARTIAL if lots else NEW
        elif self.busted and status == FILLED:
            status = CANCELLED
        book = self.template.book
        unit, scale = (book.tick_units, book.price_scale) if book else (1, 0)
        found: list[Field] = [(1, b"%d" % self.template.account), (6, messages.average(value, lots, unit, scale))]
        found += [(11, self.clordid), (14, quantity(book, lots)), (37, b"%d" % (self.seq << SEQ_BITS))]
        found += [(38, quantity(book, self.qty_lots)), (39, status), (40, self.values[40])]
        found += [(44, price(book, self.template.price_ticks))] if self.template.price_ticks else []
        found += [(54, self.values[54]), (55, self.values[55])]
        found += [(58, text)] if text else []
        found += [(59, self.values.get(59, b"0")), (126, self.values[126]), (150, exec_type)]
        left = self.qty_lots - done[0] if status in (NEW, PARTIAL) else 0
        found += [(151, quantity(book, left))]
        return found + [(tag, self.values[tag]) for tag in ALGORITHM_TAGS if tag in self.values]


def template_body(fields: Any, clordid: bytes) -> bytes:
    """A D as its children would have it, of the parent's whole quantity and under its name."""
    kept = [b"35=D\x0111=%s\x0159=%d\x01" % (clordid, Tif.IOC)]
    kept += [b"%d=%s\x01" % pair for pair in fields if pair[0] == 38 or pair[0] not in NOT_OF_CHILDREN]
    return b"".join(kept)


class Draft:
    """A D that asks for an algorithm, as it is read; `refusal` is why it is not taken."""

    def __init__(
        self, config: Config, terms: Terms, session: int, body: bytes, now_ns: int, find_order: Callable[..., Any]
    ) -> None:
        self.config, self.terms, self.now_ns, self.body = config, terms, now_ns, body
        self.values = messages.first_fields(body)
        template = template_body(messages.fields(body), self.values[11])
        self.request = Request.read(terms, session, template, False, find_order)
        self.words: dict[str, int | bytes] = {}
        self.refusal: Refused | None = None
        try:
            self._read()
        except Refused as refused:
            self.refusal = refused

    @property
    def symbol(self) -> int:
        return SYMBOL_NONE if self.request.book is None else self.request.book.number

    def refuse_reason(self, reason: int) -> Refused:
        """A refusal with the code and the words that any order gets for this reason."""
        return Refused(self.terms.order_codes[reason], self.terms.text(self.symbol, reason))

    def _read(self) -> None:
        values, table = self.values, self.config.algorithms
        if table.parents_max == 0:
            raise Refused(0, "execution algorithms, TargetStrategy(847), are not served here")
        if values.get(847) not in STRATEGIES:
            raise Refused(11, "TargetStrategy(847) must be 1 (VWAP) or 1000 (TWAP); 168, 848 and 849 go with it only")
        if any(tag in values for tag in NOT_TOGETHER):
            raise Refused(
                11, "with TargetStrategy(847) go no ExecInst(18), 99, 110, 111, 211, 432 and 9479; leave them out"
            )
        if values[40] not in (b"1", b"2") or values.get(59, b"0") not in (b"0", b"6"):
            raise Refused(11, "with TargetStrategy(847) OrdType(40) is 1 or 2, and TimeInForce(59) 0 or 6")
        if self.request.reason:
            raise self.refuse_reason(self.request.reason)
        if len(self.body) > BODY_BYTES_MAX:
            raise Refused(99, f"the message's body is longer than {BODY_BYTES_MAX} bytes, the most of a parent order")
        self._read_amounts()
        self._read_interval()
        self._read_rate()

    def _read_amounts(self) -> None:
        request = self.request
        if request.qty_lots == 0:
            raise self.refuse_reason(Reason.REJECT_BAD_QTY)
        instrument = self.config.instruments[request.symbol]
        if self.values[40] == b"2" and not instrument.min_ticks <= request.price_ticks <= instrument.max_ticks:
            raise self.refuse_reason(Reason.REJECT_PRICE_OUT_OF_COLLAR)
        self.words["qty_lots"] = request.qty_lots

    def _read_interval(self) -> None:
        table, values = self.config.algorithms, self.values
        times = {tag: messages.time(values[tag]) for tag in (126, 168) if tag in values}
        end_ns, asked_ns = times.get(126), times.get(168, 0)
        if end_ns is None or asked_ns is None:
            raise Refused(
                11,
                "ExpireTime(126), the end, and EffectiveTime(168), the start, must be UTC times; 168 may be left out",
            )
        start_ns = max(self.now_ns, asked_ns)
        if end_ns <= start_ns:
            raise Refused(99, "ExpireTime(126) must be later than now and than EffectiveTime(168)")
        if end_ns - self.now_ns > table.duration_seconds_max * NS:
            raise Refused(
                99, f"ExpireTime(126) is more than {table.duration_seconds_max} seconds away; send a shorter one"
            )
        slice_ns = self._slice_seconds() * NS
        slices = max(1, (end_ns - start_ns + slice_ns // 2) // slice_ns)  # the nearest: a D is some time on its way
        self.words |= {"start_ns": start_ns, "end_ns": end_ns, "slices": slices}
        own = self.config.instruments[self.request.symbol].volume_profile
        profile = own if values[847] == VWAP and own else FLAT
        self.words["profile"] = ",".join(str(weight) for weight in profile).encode()

    def _slice_seconds(self) -> int:
        table, text = self.config.algorithms, self.values.get(848)
        if text is None:
            return table.slice_seconds
        number = text.removeprefix(SLICE)
        good = text.startswith(SLICE) and number.isdigit() and len(number) <= 6
        if not good or int(number) < table.slice_seconds_min:
            least = table.slice_seconds_min
            raise Refused(
                11, f"TargetStrategyParameters(848) must be SliceSeconds=n with a whole n of at least {least}"
            )
        return int(number)

    def _read_rate(self) -> None:
        text, rate_bp = self.values.get(849), BASIS_POINTS
        if text is not None:
            try:
                rate_bp = messages.count(text, 4, 1, BASIS_POINTS)
            except (messages.Malformed, messages.Inexact, messages.Overflow):
                rate_bp = 0
            if rate_bp == 0:
                raise Refused(
                    11, "ParticipationRate(849) must be above 0 and at most 1 (0.1 is ten per cent), of four decimals"
                )
        self.words["rate_bp"] = rate_bp

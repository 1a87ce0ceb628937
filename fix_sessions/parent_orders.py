"""Parent orders of execution algorithms: what is journaled of them, and what they are while they are at work.

A parent is no order of the core. It is an entry of the journal, a TIME command, which does nothing to the core, with
the member's D in its annex behind what the venue made of it: start, end, slices. So it has a number, a time, a place in
the archive, and is read again at the next start. A replace, the end and every refusal are entries of the same kind.
Must never keep anything about a parent that the journal does not say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from cores import CommandKind, Tif
from fix_sessions import child_names, messages
from fix_sessions.codec import Request, Terms, price, quantity
from fix_sessions.messages import SEQ_BITS, Field
from venue.algorithms import Schedule

VWAP, TWAP = b"1", b"1000"
STRATEGIES = {VWAP: "VWAP", TWAP: "TWAP"}
ALGORITHM_TAGS = (168, 847, 848, 849)
NOT_OF_CHILDREN = (11, 35, 38, 59, 126, 583, *ALGORITHM_TAGS)
REPLACEABLE = (11, 38, 44, 60, 126, 168, 848, 849)
Lots = tuple[int, int]
NOTHING: Lots = (0, 0)
NEW, PARTIAL, FILLED, CANCELLED, REPLACED, EXPIRED, REJECTED = b"0", b"1", b"2", b"4", b"5", b"C", b"8"

PARENT, REPLACE, END = b"parent", b"parent_replace", b"parent_end"
REFUSED, CANCEL_REFUSED = b"parent_refused", b"parent_cancel_refused"
LEG_REFUSED = b"leg_refused"  # an order of a list that was not entered: no parent, but told in the same way
VERBS = (PARENT, REPLACE, END, REFUSED, CANCEL_REFUSED, LEG_REFUSED)


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
    def verb(self) -> bytes:
        return self.words[b"verb"]

    @property
    def message(self) -> bytes:
        """The member's message, empty when the venue acted by itself."""
        _, _, rest = self.body.partition(b"\x0135=")
        return b"35=" + rest if rest else b""

    @property
    def changed(self) -> dict[int, bytes]:
        """Of a replace: what the parent has in force otherwise than its D says."""
        return {int(name[1:]): value for name, value in self.words.items() if name[:1] == b"t" and name[1:].isdigit()}

    @property
    def busted(self) -> Lots:
        """Lots and value that were taken back of the parent by then."""
        return self.number(b"busted"), self.number(b"busted_value")

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


@dataclass(frozen=True)
class Child:
    """A child as it was entered: what its parent had done before it, which entry had set the parent's terms, the
    Reason for which the child before it was refused, 0 when that was taken, and what of it all was busted by then.
    """

    seq: int
    parent_seq: int
    number: int
    cum_lots: int
    value: int
    version_seq: int
    said: int
    busted: Lots = NOTHING

    @classmethod
    def of(cls, seq: int, body: bytes) -> Child | None:
        """None when the body is no child's."""
        words = dict(part.partition(b"=")[::2] for part in body.split(messages.SOH))
        name = child_names.parse(words.get(b"11", b""))
        if name is None or b"cum_lots" not in words:
            return None
        version_seq, said = int(words.get(b"version", name[0])), int(words.get(b"said", b"0"))
        busted = int(words.get(b"busted", b"0")), int(words.get(b"busted_value", b"0"))
        return cls(seq, *name, int(words[b"cum_lots"]), int(words[b"value"]), version_seq, said, busted)


@dataclass(frozen=True)
class Version:
    """A parent's terms from an entry on: as it was entered, or as a replace made it. `base_lots` was done before, and
    before `earliest_ns` no slice is sent, for the last one that was sent had the time until then.
    """

    seq: int
    parent_seq: int
    session: int
    body: bytes
    values: dict[int, bytes]
    template: Request
    schedule: Schedule
    rate_bp: int
    base_lots: int
    earliest_ns: int
    changed: dict[int, bytes]

    @classmethod
    def of(cls, terms: Terms, parent: Entry, changed: Entry | None = None) -> Version:
        """What the entry of a parent says, or that of a replace of it."""
        body = parent.message if changed is None else changed_body(parent.message, changed.changed)
        entry = changed or parent
        values = messages.first_fields(body)
        template = Request.read(terms, entry.session, template_body(body), False, _no_order)
        profile = tuple(int(weight) for weight in entry.words[b"profile"].split(b","))
        bounds, base_lots = (entry.number(b"start_ns"), entry.number(b"end_ns")), entry.number(b"base_lots")
        schedule = Schedule(entry.number(b"qty_lots") - base_lots, *bounds, entry.number(b"slices"), profile)
        own = entry.seq, parent.seq, entry.session, body, values, template, schedule, entry.number(b"rate_bp")
        return cls(*own, base_lots, entry.number(b"earliest_ns"), changed.changed if changed else {})

    @property
    def clordid(self) -> bytes:
        return self.values[11]

    @property
    def qty_lots(self) -> int:
        return self.base_lots + self.schedule.qty_lots

    def due_lots(self, now_ns: int) -> int:
        """How much of all is to be done by the slice that a time belongs to."""
        return self.base_lots + self.schedule.due_lots(now_ns)

    def child(
        self, name: bytes, lots: int, done: Lots, said: int, busted: Lots = NOTHING
    ) -> tuple[tuple[int, ...], bytes]:
        """Command and body of a child of so many lots: the member's own fields, its price, immediate or cancel."""
        book = self.template.book
        body = b"35=D\x0111=%s\x01583=%s\x0138=%s\x0159=3\x01" % (name, self.clordid, quantity(book, lots))
        for tag, value in messages.fields(self.template.body):
            if tag not in NOT_OF_CHILDREN:
                body += b"%d=%s\x01" % (tag, value)
        body += b"parent=%d\x01cum_lots=%d\x01value=%d\x01" % (self.parent_seq, *done)
        body += b"version=%d\x01" % self.seq if self.seq != self.parent_seq else b""
        body += b"said=%d\x01" % said if said else b""
        body += b"busted=%d\x01busted_value=%d\x01" % busted if busted[0] else b""
        return replace(self.template, qty_lots=lots).words(), body

    def fields(
        self, exec_type: bytes, status: bytes, done: Lots, text: bytes = b"", busted: Lots = NOTHING
    ) -> list[Field]:
        """An ExecutionReport (8) but for its ExecID(17) and TransactTime(60); `done` are lots and their value, `busted`
        what of them was taken back.
        """
        lots, value = without(done, busted)
        if busted[0] and status in (NEW, PARTIAL):
            status = PARTIAL if lots else NEW
        elif busted[0] and status == FILLED:
            status = CANCELLED
        book = self.template.book
        unit, scale = (book.tick_units, book.price_scale) if book else (1, 0)
        found: list[Field] = [(1, b"%d" % self.template.account), (6, messages.average(value, lots, unit, scale))]
        found += [(11, self.clordid), (14, quantity(book, lots)), (37, b"%d" % (self.parent_seq << SEQ_BITS))]
        found += [(38, quantity(book, self.qty_lots)), (39, status), (40, self.values[40])]
        found += [(44, price(book, self.template.price_ticks))] if self.template.price_ticks else []
        found += [(54, self.values[54]), (55, self.values[55])]
        found += [(58, text)] if text else []
        found += [(59, self.values.get(59, b"0")), (126, self.values[126]), (150, exec_type)]
        left = self.qty_lots - done[0] if status in (NEW, PARTIAL) else 0
        found += [(151, quantity(book, left))]
        return found + [(tag, self.values[tag]) for tag in ALGORITHM_TAGS if tag in self.values]


@dataclass
class Parent:
    """A parent order. `cum_lots` and `value` count everything that its children did up to the last one that was sent;
    `bases` has the children that may still be reported on, each with the terms it was sent under. What was taken back
    of a child is in `busted` and stays in `cum_lots`, for it is not done again; what is told is without it.
    """

    entry: Entry
    version: Version
    names: list[bytes]
    status: bytes = NEW
    cum_lots: int = 0
    value: int = 0
    children: int = 0
    bases: dict[int, tuple[Version, Child]] = field(default_factory=dict)
    busted: dict[int, Lots] = field(default_factory=dict)
    next_ns: int = 0
    last_seq: int = 0
    share_from: tuple[int, int] | None = None
    said: int = 0
    cancelled_by: bytes = b""

    @classmethod
    def of(cls, entry: Entry, terms: Terms) -> Parent:
        """The parent that an entry of the journal began."""
        found = cls(entry, Version.of(terms, entry), [entry.values[11]])
        found.next_ns, found.last_seq = found.schedule.start_ns, entry.seq
        return found

    @property
    def seq(self) -> int:
        return self.entry.seq

    @property
    def session(self) -> int:
        return self.entry.session

    @property
    def entered_ns(self) -> int:
        """When it was entered, by the clock of the schedule."""
        return self.entry.number(b"entered_ns") or self.entry.number(b"start_ns")

    @property
    def clordid(self) -> bytes:
        return self.version.clordid

    @property
    def values(self) -> dict[int, bytes]:
        return self.version.values

    @property
    def template(self) -> Request:
        return self.version.template

    @property
    def schedule(self) -> Schedule:
        return self.version.schedule

    @property
    def rate_bp(self) -> int:
        return self.version.rate_bp

    @property
    def symbol(self) -> int:
        return self.template.symbol

    @property
    def qty_lots(self) -> int:
        return self.version.qty_lots

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
            "done": quantity(book, without((self.cum_lots, self.value), self.taken_back)[0]).decode(),
            "start": start,
            "end": end,
            "children": self.children,
            "refused": self.refused_text().decode(),
        }

    def refused_text(self) -> bytes:
        """Why its last child was refused; empty when that was taken."""
        return self.template.terms.text(self.symbol, self.said) if self.said else b""

    def check(self) -> None:
        """Asserts that no more is done than was asked for, and that the status says so."""
        assert 0 <= self.version.base_lots <= self.cum_lots <= self.qty_lots
        assert (self.status == FILLED) == (self.cum_lots == self.qty_lots and not self.busted)
        assert self.status != NEW or self.cum_lots == 0
        assert self.names[-1] == self.clordid

    @property
    def taken_back(self) -> Lots:
        """Lots and value of all that was taken back."""
        return sum(lots for lots, _ in self.busted.values()), sum(value for _, value in self.busted.values())

    @property
    def busted_words(self) -> dict[str, int]:
        """Of an entry: what was taken back by then."""
        lots, value = self.taken_back
        return {"busted": lots, "busted_value": value} if lots else {}

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
        """Command and body of its next child."""
        return self.version.child(name, lots, (self.cum_lots, self.value), self.said, self.taken_back)

    def change(self, version: Version) -> None:
        """What a replace made of it."""
        self.version, self.last_seq = version, version.seq
        self.names.append(version.clordid)
        self.next_ns = version.schedule.start_ns


def without(done: Lots, busted: Lots) -> Lots:
    """Lots and value but for what was taken back."""
    return max(0, done[0] - busted[0]), max(0, done[1] - busted[1])


def changed_body(body: bytes, changed: dict[int, bytes]) -> bytes:
    """A D with other values in it."""
    there = messages.first_fields(body)
    fields = [(tag, changed.get(tag, value)) for tag, value in messages.fields(body)]
    fields += [(tag, value) for tag, value in changed.items() if tag not in there]
    return b"".join(b"%d=%s\x01" % pair for pair in fields)


def template_body(body: bytes) -> bytes:
    """A D as its children would have it, of the parent's whole quantity and under its name."""
    fields = list(messages.fields(body))
    kept = [b"35=D\x0111=%s\x0159=%d\x01" % (next(value for tag, value in fields if tag == 11), Tif.IOC)]
    kept += [b"%d=%s\x01" % pair for pair in fields if pair[0] == 38 or pair[0] not in NOT_OF_CHILDREN]
    return b"".join(kept)


def _no_order(session: int, clordid: bytes) -> None:
    """A D has no order to be compared with."""

"""Execution algorithms: TWAP and VWAP parents, TargetStrategy(847) of a NewOrderSingle (D), sliced into children.

A child is an immediate-or-cancel order of the member's own session, submitted like any client's, so limits, kill
switches, funds, phases and self-match prevention meet it as they meet any order, and what became of it is settled by
the very command that entered it: nothing is ever working when something else happens, so a cancel has nothing to race
with, and a restart nothing to guess. A slice sends what is due by then and not done yet (venue/algorithms.py).

All that is known here is in the journal: parents and their ends are entries (parent_orders.py), children carry in
their annexes what the parent had done before them. A start of the venue reads these, of as much of the journal as a
parent can last. Must never send a child of a parent that has ended, nor more than the parent has left.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np

from cores import CommandKind, EventKind, Reason
from cores.records import Limit, Phase
from fix_sessions import child_names, parent_reports, parties, quote_names
from fix_sessions.area import REASON_NOT_AVAILABLE, REASON_OTHER, STOPPED_TEXT, TOO_LONG_TEXT, Area, Floor, Inbound
from fix_sessions.bust_reports import bust_fields
from fix_sessions.codec import TagRefused
from fix_sessions.messages import SEQ_BITS, Field
from fix_sessions.parent_drafts import Draft, Replacement
from fix_sessions.parent_history import Busted, Sweep, history
from fix_sessions.parent_orders import (
    ALGORITHM_TAGS,
    CANCEL_REFUSED,
    CANCELLED,
    END,
    EXPIRED,
    LEG_REFUSED,
    NOTHING,
    PARENT,
    REFUSED,
    REJECTED,
    REPLACE,
    Child,
    Entry,
    Parent,
    Version,
    command_words,
    entry_body,
)
from fix_sessions.parent_reports import FATAL
from venue.algorithms import BASIS_POINTS, NS, permitted_lots
from venue.busts import side_fields
from venue.log import event
from venue.records import CLORDID_BYTES, SubmitStatus

log = logging.getLogger("algorithms")

FINISHED_MAX = 4096
REQUESTS_MAX = 16_384
DUPLICATE = b"6"
RETRY_NS = NS
REACH_MORE_NS = 600 * NS  # a start that dies soon has not ended what was over
CHILD_ENDS = (EventKind.REJECTED, EventKind.CANCELLED, EventKind.EXPIRED)
TOO_LATE_TEXT = b"the order is not open any more: filled, cancelled or expired"
NO_PARENT_TEXT = b"168, 847, 848 and 849 go with a parent order only, and OrigClOrdID(41) names none; leave them out"
ENDED_TEXT = b"the interval is over: what was not done by ExpireTime(126) is not done"
SWEPT_TEXT = b"cancelled with others: mass cancel, disconnect or the venue's operator"
KILLED_TEXT = b"the session has been stopped by a kill switch"


class Algorithms(Area):
    """The parents of all sessions: those that are live, and the last ones of those that are not."""

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        floor.algorithms = self
        self._parents: dict[int, Parent] = {}
        self._names: dict[tuple[int, bytes], Parent] = {}
        self._live: dict[int, Parent] = {}
        self._finished: OrderedDict[int, Parent] = OrderedDict()
        self._requests: OrderedDict[tuple[int, bytes], None] = OrderedDict()
        self._untold: dict[int, tuple[Entry, Version | None]] = {}
        self._swept: dict[int, bytes] = {}
        self._restored = False

    def check(self) -> None:
        """Asserts that every parent is where its state says, and none has done more than it may."""
        for seq, parent in self._parents.items():
            parent.check()
            assert parent.seq == seq
            assert all(self._names[parent.session, name] is parent for name in parent.names)
            assert parent.is_open == (seq in self._live) != (seq in self._finished)
        assert len(self._parents) == len(self._live) + len(self._finished)
        assert len(self._names) == sum(len(parent.names) for parent in self._parents.values())
        assert len(self._finished) <= FINISHED_MAX

    @property
    def live(self) -> list[Parent]:
        """The parents at work, in order of entry; for any thread."""
        return list(self._live.values())

    # ---- D, F, G, H ----

    def knows(self, session: int, clordid: bytes) -> bool:
        """Whether a session's ClOrdID is a parent's, or that of a request about one."""
        return (session, clordid) in self._names or (session, clordid) in self._requests

    def takes(self, message: Inbound) -> bool:
        """Whether a D, F, G or H is about a parent, or uses a name that is known here."""
        session, values = message.session, message.values
        if values[35] == b"H":
            return (session, values[11]) in self._names
        if values[35] in (b"D", b"G") and any(tag in values for tag in ALGORITHM_TAGS):
            return True
        return (session, values.get(41, b"")) in self._names or self.knows(session, values[11])

    def serve(self, message: Inbound) -> None:
        kind, clordid = message.values[35], message.values[11]
        if kind == b"H":
            self._status(message)
            return
        if len(clordid) >= CLORDID_BYTES or clordid.startswith(quote_names.MARK):
            raise TagRefused(11)
        if len(message.values.get(41, b"")) >= CLORDID_BYTES:
            raise TagRefused(41)
        if fault := parties.fault(message.body):
            self.floor.business_reject(message, REASON_OTHER, fault)
        elif kind == b"D":
            self._enter(message)
        else:
            self._change(message)

    def _enter(self, message: Inbound) -> None:
        session, clordid = message.session, message.values[11]
        find, now_ns = self.gateway.find_order, self.floor.now_ns()
        taken = self.knows(session, clordid) or find(session, clordid) is not None
        if taken and message.poss_dup:
            return  # it is here already
        draft = Draft(self.floor.config, self.terms, session, message.body, now_ns, find)
        refusal, account = draft.refusal, draft.request.account
        if taken:
            refusal = draft.refuse_reason(Reason.REJECT_SESSION_DUPLICATE_CLORDID)
        elif refusal is None and self._count(session) >= self.floor.config.algorithms.parents_max:
            refusal = draft.refuse_reason(Reason.REJECT_OPEN_ORDERS)
        if refusal is not None:
            words: dict[str, int | bytes] = {"code": refusal.code, "text": refusal.text}
            self._journal(message, REFUSED, (session, account, draft.symbol), words)
            return
        entry = self._journal(message, PARENT, (session, account, draft.symbol), draft.words)
        if entry is not None:
            self.gateway.add_book(session, draft.symbol, account)
            self._work(self._parents[entry.seq], now_ns)
            self._want_ticks()

    def _count(self, session: int) -> int:
        return sum(parent.session == session for parent in self._live.values())

    def _change(self, message: Inbound) -> None:
        """F and G of a parent, or with a parent's name."""
        session, values = message.session, message.values
        parent = self._names.get((session, values[41]))
        if message.poss_dup and parent is not None and values[11] in (parent.cancelled_by, *parent.names):
            return
        is_replace, now_ns = values[35] == b"G", self.floor.now_ns()
        code, text, order = 99, b"", None
        if self.knows(session, values[11]) or self.gateway.find_order(session, values[11]) is not None:
            code, text = 6, self.terms.text(0xFFFF, Reason.REJECT_SESSION_DUPLICATE_CLORDID)
        elif parent is None:
            code, text = 1, self.terms.text(0xFFFF, Reason.REJECT_SESSION_UNKNOWN_ORIG_CLORDID)
            order = self.gateway.find_order(session, values[41]) if len(values[41]) < CLORDID_BYTES else None
            if order is not None:
                code, text = 99, NO_PARENT_TEXT
        elif (values[55], values[54]) != (parent.values[55], parent.values[54]):
            text = self.terms.text(0xFFFF, Reason.REJECT_SESSION_SYMBOL_MISMATCH)
        elif not parent.is_open:
            code, text = 0, TOO_LATE_TEXT
        elif is_replace:
            draft = Replacement(self.floor.config, self.terms, parent, message.body, now_ns, self.gateway.find_order)
            if draft.refusal is None:
                self._journal(message, REPLACE, (session, parent.template.account, parent.symbol), draft.words)
                return
            code, text = draft.refusal.cancel_code, draft.refusal.text
        else:
            self._end(parent, CANCELLED, b"cancelled by the member", b"", message)
            return
        owner = session, self.terms.members[session][0].accounts[0], 0xFFFF
        words: dict[str, int | bytes] = {"code": code, "text": text, "kind": b"2" if is_replace else b"1"}
        words |= {"parent": parent.seq if parent else 0, "status": REJECTED}
        if parent is not None:
            owner, words["status"] = (session, parent.template.account, parent.symbol), parent.status
        elif order is not None:
            owner, words["status"] = (session, order["account"], order["symbol"]), order["status"]
            words["order"] = order["order_id"]
        self._journal(message, CANCEL_REFUSED, owner, words)

    def _status(self, message: Inbound) -> None:
        parent = self._names[message.session, message.values[11]]
        fields = self.status_fields(parent)
        fields += [(790, message.values[790])] if 790 in message.values else []
        self.floor.when_durable(parent.last_seq, lambda: self.floor.send(parent.session, b"8", fields))

    def status_fields(self, parent: Parent) -> list[Field]:
        """An ExecutionReport (150=I) of a parent; true once everything up to `last_seq` is durable."""
        done = parent.cum_lots, parent.value
        return [*parent.version.fields(b"I", parent.status, done, b"", parent.taken_back), (17, b"0")]

    def open_parents(self, session: int) -> list[Parent]:
        """The live parents of a session, in order of entry."""
        return [parent for parent in self.live if parent.session == session]

    def refuse_leg(self, session: int, account: int, symbol: int, list_id: bytes, text: bytes, leg: bytes) -> int:
        """Journals and tells that an order of a list is not entered; returns the entry, 0: nothing is taken now."""
        words: dict[str, int | bytes] = {"code": 99, "text": text}
        body = entry_body(LEG_REFUSED, self._actor(session), list_id, words, leg)
        entry, _ = self._submit((session, account, symbol), body)
        return entry.seq if entry is not None else 0

    # ---- slices ----

    def end(self, order_id: int, text: str) -> str | None:
        """Has a live parent ended by an operator, from any thread; returns its ClOrdID, None when there is none."""
        parent = self._live.get(order_id >> SEQ_BITS)
        if parent is None:
            return None
        self._swept.setdefault(parent.seq, b"ended by the venue's operator: " + text.encode())
        return parent.clordid.decode()

    def turn(self) -> None:
        """What is due now; called several times a second while a parent lives."""
        if self._swept:
            self._end_swept()
        now_ns = self.floor.now_ns()
        for parent in self.live:
            if parent.next_ns <= now_ns and parent.is_open:
                try:
                    self._work(parent, now_ns)
                except Exception as error:  # the others go on; the operator is told, and the next second tries again
                    parent.next_ns = now_ns + RETRY_NS
                    what = f"{type(error).__name__}: {error}"
                    event(log, "algorithm failed", logging.ERROR, alarm="algorithms", parent=parent.seq, error=what)

    def _work(self, parent: Parent, now_ns: int) -> None:
        """One slice: a child of what is due, if there is any, and the end of the parent if this was its last."""
        schedule = parent.schedule
        if now_ns < schedule.start_ns:
            return
        lots = parent.version.due_lots(now_ns) - parent.cum_lots
        if parent.rate_bp < BASIS_POINTS:
            lots = min(lots, self._permitted(parent))
        if lots > 0 and self.floor.engine.phases()[parent.symbol] == Phase.CONTINUOUS and not self._send(parent, lots):
            return  # nothing is taken any more
        parent.next_ns = schedule.next_ns(now_ns)
        if parent.is_open and now_ns >= schedule.end_ns:
            said = parent.refused_text()
            text = ENDED_TEXT + (b"; a slice was refused: " + said if said else b"")
            self._end(parent, EXPIRED, b"the interval is over", text)

    def _permitted(self, parent: Parent) -> int:
        """What the parent's share of the trading allows; counted from its first slice in this run of the venue."""
        traded = self.floor.engine.traded(parent.symbol)
        if parent.share_from is None:
            parent.share_from = traded, parent.cum_lots
        traded_before, done_before = parent.share_from
        return permitted_lots(parent.rate_bp, traded - traded_before, parent.cum_lots - done_before)

    def _send(self, parent: Parent, lots: int) -> bool:
        """One child; false when the engine takes nothing any more."""
        assert parent.is_open and lots <= parent.qty_lots - parent.cum_lots
        name = child_names.compose(parent.seq, parent.children)
        words, body = parent.child(name, lots)
        child = Child.of(0, body)
        assert child is not None
        parent.bases[parent.children] = parent.version, child
        status, seq = self.gateway.submit(words, name, b"", body, False)
        if status == SubmitStatus.STOPPED:
            return False
        assert status == SubmitStatus.OK, status
        if parent.children in parent.bases:
            parent.bases[parent.children] = parent.version, replace(child, seq=seq)
        parent.children += 1
        parent.last_seq = seq
        order = self.gateway.find_order(parent.session, name)
        assert order is not None and order["status"] not in (b"0", b"1"), "a child is done at once"
        parent.count(order["cum_lots"], order["value"])
        if not parent.is_open:
            self._finish(parent)
        return True

    # ---- entries ----

    def _journal(
        self, message: Inbound, verb: bytes, owner: tuple[int, int, int], words: dict[str, int | bytes]
    ) -> Entry | None:
        """Writes an entry for a member's message; None, and the member is told, when it was not taken."""
        body = entry_body(verb, self._actor(message.session), message.values[11], words, message.body)
        entry, status = self._submit(owner, body)
        if status == SubmitStatus.STOPPED:
            self.floor.business_reject(message, REASON_NOT_AVAILABLE, STOPPED_TEXT)
        elif entry is None:
            self.floor.business_reject(message, REASON_OTHER, TOO_LONG_TEXT)
        return entry

    def _submit(self, owner: tuple[int, int, int], body: bytes) -> tuple[Entry | None, int]:
        status, seq = self.gateway.submit(command_words(*owner), b"", b"", body, False)
        if status != SubmitStatus.OK:
            return None, status
        entry = Entry.of(seq, *owner, body)
        assert entry is not None
        self._apply(entry)
        return entry, status

    def _apply(self, entry: Entry) -> None:
        """What an entry does, now or at the next start."""
        version: Version | None = None
        parent = self._parents.get(entry.number(b"parent"))
        if entry.verb == PARENT:
            parent = Parent.of(entry, self.terms)
            self._parents[entry.seq] = self._live[entry.seq] = parent
            self._name(parent)
            version = parent.version
        elif entry.verb == REPLACE and parent is not None:
            version = Version.of(self.terms, parent.entry, entry)
            parent.change(version)
            self._name(parent)
        elif 11 in entry.values and entry.verb != LEG_REFUSED and entry.words.get(b"code") != DUPLICATE:
            self._remember(entry.session, entry.values[11])
        if entry.verb == END and parent is not None:
            version = parent.version
            self._ended(parent, entry)
        self._untold[entry.seq] = entry, version

    def _name(self, parent: Parent) -> None:
        """From here on the name that it has is known as a parent's."""
        self._names[parent.session, parent.clordid] = parent
        self.gateway.name_parent(parent.session, parent.clordid, True)

    def _ended(self, parent: Parent, entry: Entry) -> None:
        if not parent.is_open:
            return
        parent.status = entry.words[b"status"]
        parent.cum_lots, parent.value = entry.number(b"cum_lots"), entry.number(b"value")
        parent.cancelled_by, parent.last_seq = entry.values.get(11, b""), entry.seq
        self._finish(parent)

    def _remember(self, session: int, clordid: bytes) -> None:
        """A request's name that the order table does not know, so that it is not used twice."""
        if self.knows(session, clordid):
            return
        self._requests[session, clordid] = None
        self.gateway.name_parent(session, clordid, True)
        if len(self._requests) > REQUESTS_MAX:
            self.gateway.name_parent(*self._requests.popitem(last=False)[0], False)

    def _end(self, parent: Parent, status: bytes, why: bytes, text: bytes, message: Inbound | None = None) -> None:
        """Ends a parent; its report leaves when that is durable. Without effect on one that has ended."""
        if not parent.is_open:
            return
        words: dict[str, int | bytes] = {"parent": parent.seq, "status": status, "cum_lots": parent.cum_lots}
        words |= {"value": parent.value, "version": parent.version.seq, "why": why, "text": text}
        words |= parent.busted_words
        owner = parent.session, parent.template.account, parent.symbol
        if message is not None:
            self._journal(message, END, owner, words)
        else:
            self._submit(owner, entry_body(END, b"algorithms", parent.clordid, words))

    def _finish(self, parent: Parent) -> None:
        del self._live[parent.seq]
        self._finished[parent.seq] = parent
        if len(self._finished) > FINISHED_MAX:
            _, old = self._finished.popitem(last=False)
            del self._parents[old.seq]
            for name in old.names:
                del self._names[old.session, name]
                self.gateway.name_parent(old.session, name, False)
        self._want_ticks()

    def _want_ticks(self) -> None:
        self.floor.tick(self.turn, bool(self._live))

    def _actor(self, session: int) -> bytes:
        return self.terms.members[session][1].comp_id.encode()

    # ---- reports ----

    def on_report(self, report: np.void, poss_resend: bool) -> None:
        kind, command = int(report["event"]["kind"]), int(report["command_kind"])
        child = child_names.parse(bytes(report["clordid"]))
        if child is not None:
            self._restore()
            self._child(report, kind, child, poss_resend)
        elif command == CommandKind.TIME and kind == EventKind.CLOCK:
            self._restore()
            entry, version = self._untold.pop(int(report["event"]["exec_id"]) >> SEQ_BITS, (None, None))
            if entry is not None and (version is not None or entry.verb not in (PARENT, REPLACE, END)):
                of = self._parents.get(version.parent_seq) if version is not None else None
                busted = of.taken_back if of is not None else NOTHING
                self._tell(report, parent_reports.of_entry(entry, version, report, busted), poss_resend)
        elif command == CommandKind.MASS_CANCEL and kind == EventKind.MASS_CANCELLED:
            where = int(report["symbol"]), int(report["account"]), int(report["side"])
            self._sweep(self._in_book(int(report["session"]), *where), SWEPT_TEXT)
        elif kind == EventKind.LIMIT_SET and report["ord_type"] == Limit.KILL_SESSION and report["order_qty_lots"]:
            self._sweep(self.open_parents(int(report["session"])), KILLED_TEXT)

    def cancel_on_disconnect(self, session: int) -> None:
        """A session is gone whose good-till orders stay, and so do parents with TimeInForce(59) 6."""
        self._sweep([p for p in self.open_parents(session) if p.values.get(59, b"0") != b"6"], SWEPT_TEXT)

    def _in_book(self, session: int, symbol: int, account: int, side: int) -> list[Parent]:
        """The live parents that a mass cancel of a session's orders covers."""
        return [
            parent
            for parent in self.open_parents(session)
            if (parent.symbol, parent.template.account) == (symbol, account) and side in (0, parent.template.side)
        ]

    def _sweep(self, parents: list[Parent], text: bytes) -> None:
        for parent in parents:
            self._swept.setdefault(parent.seq, text)
        if parents:
            self.floor.soon(self._end_swept)

    def _end_swept(self) -> None:
        swept, self._swept = self._swept, {}
        for seq, text in swept.items():
            if seq in self._live:
                self._end(self._live[seq], CANCELLED, b"swept", text)

    def _child(self, report: np.void, kind: int, name: tuple[int, int], poss_resend: bool) -> None:
        seq, number = name
        parent = self._parents.get(seq)
        if kind == EventKind.BUSTED:
            self._busted(parent, number, report, poss_resend)
            return
        if parent is None or number not in parent.bases:
            event(log, "a child without its parent", logging.ERROR, alarm="algorithms", parent=seq, child=number)
            return
        version, child = parent.bases[number]
        reason = Reason(int(report["event"]["reason"]))
        if kind == EventKind.REJECTED and reason in FATAL:
            self._sweep([parent] if parent.is_open else [], self.terms.text(parent.symbol, reason))
        elif kind in (EventKind.ACCEPTED, EventKind.REJECTED):
            parent.said = int(reason) if kind == EventKind.REJECTED else 0
        message = parent_reports.of_child(version, child, report, self.terms, parent.taken_back)
        if message is not None:
            self._tell(report, message, poss_resend)
        if kind in CHILD_ENDS or (kind == EventKind.FILL and report["event"]["leaves_lots"] == 0):
            del parent.bases[number]

    def _tell(self, report: np.void, message: parent_reports.Message, poss_resend: bool) -> None:
        self.floor.send(int(report["session"]), *message, int(report["event"]["exec_id"]), poss_resend)

    def _busted(self, parent: Parent | None, number: int, report: np.void, poss_resend: bool) -> None:
        """A child's trade was taken back: the parent has done less, and does it not again."""
        done_event = report["event"]
        seq = int(done_event["exec_id"]) >> SEQ_BITS
        body = self.floor.busts.body(int(done_event["order_id"]), seq)
        of_child = dict(bust_fields(report, self.terms, body))
        if parent is None:  # so long ago that it is forgotten
            of_child[11] = side_fields(body, int(report["side"])).get(583, of_child[11])
            self._tell(report, (b"8", sorted(of_child.items())), poss_resend)
            return
        lots = int(done_event["qty_lots"])
        if not poss_resend:  # else it was restored so
            parent.bust(number, lots, lots * int(done_event["price_ticks"]))
        later = [(base.cum_lots, base.value) for _, base in parent.bases.values() if base.seq > seq]
        done = min(later, default=(parent.cum_lots, parent.value))
        told = parent.version, parent.status, done, parent.taken_back, list(of_child.items())
        self._tell(report, parent_reports.of_bust(*told, report), poss_resend)

    # ---- a new start ----

    def on_start(self) -> None:
        """The parents go on; what was cancelled while nobody could end them is ended first."""
        self._restore()
        self._untold.clear()  # what was not told has been by now
        for parent in self._parents.values():
            parent.bases.clear()
        for parent in self.live:
            self.gateway.add_book(parent.session, parent.symbol, parent.template.account)
        self._want_ticks()

    def _restore(self) -> None:
        """Reads parents, children and ends from the journal, once."""
        if self._restored or self.floor.engine is None:
            return
        self._restored = True
        journal = self.floor.engine.data_dir / "journal"
        reach_ns = self.floor.config.algorithms.duration_seconds_max * NS + REACH_MORE_NS
        last: dict[int, Child] = {}
        versions: dict[int, Version] = {}
        for found in history(journal, reach_ns):
            if isinstance(found, Entry):
                if found.session in self.terms.members:
                    self._apply(found)
                    version = self._untold[found.seq][1]
                    if version is not None:
                        versions[found.seq] = version
            elif isinstance(found, Sweep):
                covered = self._in_book(found.session, found.symbol, found.account, found.side)
                self._swept |= {parent.seq: SWEPT_TEXT for parent in covered}
            elif isinstance(found, Busted):
                self._take_back(found)
            elif found.parent_seq in self._parents:
                self._parents[found.parent_seq].bases[found.number] = versions[found.version_seq], found
                last[found.parent_seq] = found
        for seq, child in last.items():
            if seq in self._live:
                self._settle(self._live[seq], child, journal)
        if self._swept:
            self.floor.soon(self._end_swept)
        event(log, "parents restored", live=len(self._live), finished=len(self._finished))

    def _take_back(self, found: Busted) -> None:
        """What the order table says was taken back of a child; all of it, however often it is asked."""
        parent = self._parents.get(found.parent_seq)
        if parent is not None:
            name = child_names.compose(found.parent_seq, found.number)
            lots, value = self.floor.engine.busted(parent.session, name)
            parent.busted.pop(found.number, None)
            if lots:
                parent.bust(found.number, lots, value)

    def _settle(self, parent: Parent, child: Child, journal: Path) -> None:
        """A parent as it was after its last child."""
        parent.children, parent.last_seq = child.number + 1, child.seq
        parent.count(child.cum_lots, child.value)
        name = child_names.compose(parent.seq, child.number)
        order = self.gateway.find_order(parent.session, name)
        if order is not None:
            lots, value = self.floor.engine.busted(parent.session, name)
            parent.count(order["cum_lots"] + lots, order["value"] + value)
        else:  # the order table forgets what ended before yesterday
            self.floor.engine.trades.follow()  # of the whole journal, once: exact, and long
            parent.count(*self.floor.engine.trades.of_entry(child.seq))
        if not parent.is_open:
            self._finish(parent)

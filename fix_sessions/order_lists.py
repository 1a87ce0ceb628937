"""Order lists: NewOrderList (E), ListCancelRequest (K), ListStatusRequest (M), answered with ListStatus (N).

With ContingencyType(1385)=1 a list is one-cancels-other: at the first fill of one order, and when one ends in any other
way, the rest are cancelled; should two have traded before that, what is left of both. The orders are ordinary ones for
the core; what ties them together is written in their annexes, and which of them are open is in the order table, so a
new start of the venue finds the lists again. The cancel of the others is a command after the fill: until it is
journaled, another order may still trade with them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cores import CommandKind
from fix_sessions import messages, parties
from fix_sessions.area import REASON_NOT_AVAILABLE, REASON_OTHER, REASON_UNKNOWN_ID, STOPPED_TEXT, Area, Floor, Inbound
from fix_sessions.codec import Request, is_order_event, quantity
from fix_sessions.messages import SEQ_BITS, SOH, Field
from venue.records import CLORDID_BYTES, SubmitStatus
from venue.trades import bodies

LEGS_MAX = 10
LEG_TAGS = (1, 11, 38, 40, 44, 54, 55, 59, 67)
FINISHED_MAX = 4096
ONE_CANCELS_OTHER = b"1"
OPEN = (b"0", b"1")
OF_LIST = frozenset((35, 58, 66, 68, 73, 394, 1385))
MARK = b"35=E" + SOH
REFUSED_TEXT = b"refused; its ExecutionReport says why"
ACK, RESPONSE, ALL_DONE = b"1", b"2", b"5"
EXECUTING, CANCELLING, DONE, REJECTED = b"3", b"4", b"6", b"7"


@dataclass
class Leg:
    """One order of a list: its ClOrdID, its OrderID once it has one, why it was not entered."""

    clordid: bytes
    order_id: int = 0
    refusal: bytes = b""
    refused_seq: int = 0  # the journal entry that says so


@dataclass
class OrderList:
    """A list of a session; `live` while an order of it is open."""

    session: int
    list_id: bytes
    one_cancels_other: bool
    names: list[bytes]
    legs: list[Leg]
    reports: int = 0
    live: bool = True


@dataclass(frozen=True)
class LegState:
    """What has become of a leg."""

    leg: Leg
    order: dict[str, Any] | None

    @property
    def is_open(self) -> bool:
        return self.order is not None and self.order["status"] in OPEN

    @property
    def has_traded(self) -> bool:
        return self.order is not None and self.order["cum_lots"] > 0

    @property
    def has_struck(self) -> bool:
        """It traded or ended: orders that did not trade have to go."""
        return not self.is_open or self.has_traded

    def has_to_go(self, others: list[LegState]) -> bool:
        """Whether the rest of this order is to be cancelled: one that has traded stays unless another one has too."""
        return self.is_open and any(other.has_traded if self.has_traded else other.has_struck for other in others)


class OrderLists(Area):
    """The lists that are live, and the last of those that are not."""

    serves: ClassVar[tuple[bytes, ...]] = (b"E", b"K", b"M")

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self._lists: dict[tuple[int, bytes], OrderList] = {}
        self._finished: OrderedDict[tuple[int, bytes], OrderList] = OrderedDict()
        self._by_order: dict[int, OrderList] = {}

    def check(self) -> None:
        """Asserts that what is live is tied to its orders, and nothing else is."""
        assert all(found.live for found in self._lists.values())
        assert all(found.live for found in self._by_order.values())
        assert len(self._finished) <= FINISHED_MAX

    def serve(self, message: Inbound) -> None:
        if message.values[35] == b"E":
            self._enter(message)
        elif message.values[35] == b"K":
            self._cancel_all(message)
        else:
            self._status(message)

    def on_report(self, report: np.void, poss_resend: bool) -> None:
        found = self._by_order.get(int(report["event"]["order_id"]))
        if found is not None and is_order_event(report):
            self._settle(found)

    # ---- E ----

    def _enter(self, message: Inbound) -> None:
        legs = legs_of(message.body)
        known = self._lists.get((message.session, message.values[66]))
        refusal = self._refusal(message, legs, known)
        names = [dict(leg)[11] for leg in legs]
        entered = OrderList(message.session, message.values[66], False, names, [Leg(name) for name in names])
        if refusal:
            if not legs:
                self.floor.business_reject(message, REASON_OTHER, refusal, 66)
            else:
                self._report(entered, ACK, REJECTED, refusal)
            return
        if known is not None:  # sent again
            self._report(known, RESPONSE, EXECUTING)
            return
        entered.one_cancels_other = message.values.get(1385) == ONE_CANCELS_OTHER
        bodies = [leg_body(message.body, legs, index) for index in range(len(legs))]
        read = self.gateway.find_order
        requests = [Request.read(self.terms, message.session, body, message.poss_dup, read) for body in bodies]
        if any(request.peg is not None for request in requests):
            self._report(entered, ACK, REJECTED, b"a list takes no pegged order; send that one as a NewOrderSingle")
            return
        self._lists[message.session, entered.list_id] = entered
        self.floor.watch(message.session, True)
        stopped = not all(self._submit(entered, at, request) for at, request in enumerate(requests))
        if stopped:
            self.floor.business_reject(message, REASON_NOT_AVAILABLE, STOPPED_TEXT, 66)
        refused = all(state.order is None for state in self._states(entered))
        self._report(entered, ACK, REJECTED if refused else EXECUTING)
        self._settle(entered)

    def _refusal(self, message: Inbound, legs: list[list[Field]], known: OrderList | None) -> bytes:
        values, names = message.values, [dict(leg).get(11, b"") for leg in legs]
        if values.get(1385, b"0") not in (b"0", ONE_CANCELS_OTHER):
            return b"ContingencyType(1385) must be 1 (one cancels the other) or left out"
        if values.get(394, b"3") != b"3":
            return b"BidType(394) must be 3 (no bidding process) or left out"
        if len(values[66]) >= CLORDID_BYTES:
            return b"ListID(66) is longer than 39 characters"
        if values[68] != b"%d" % len(legs):
            return b"TotNoOrders(68) must be the number of orders of this message; a list comes in one piece"
        if not 2 <= len(legs) <= LEGS_MAX:
            return b"a list has from 2 to 10 orders"
        if [dict(leg).get(67) for leg in legs] != [b"%d" % (at + 1) for at in range(len(legs))]:
            return b"ListSeqNo(67) must be 1, 2, ... in this order"
        if len(set(names)) != len(names):
            return b"ClOrdID(11) is used twice in the list; use each once"
        if any(self.floor.algorithms.knows(message.session, name) for name in names):
            return b"ClOrdID(11) of an order is that of an execution algorithm's parent; use each once"
        faults = (parties.fault(leg_body(message.body, legs, at)) for at in range(len(legs)))
        fault = next(filter(None, faults), b"")
        if fault:
            return fault
        if known is not None and not (message.poss_dup and names == known.names):
            return b"ListID(66) is that of a list which is not done; use each once"
        return b""

    def _submit(self, entered: OrderList, at: int, request: Request) -> bool:
        """Enters one leg, unless another one has struck already; false when nothing is taken any more."""
        leg = entered.legs[at]
        before = [LegState(other, self._order(entered.session, other)) for other in entered.legs[:at]]
        struck = entered.one_cancels_other and any(state.has_struck for state in before)
        if struck and self._order(entered.session, leg) is None:
            leg.refusal = b"not entered: another order of the list has traded or ended; nothing was done"
            self._refuse(entered, leg, request)
            return True
        if request.book is not None:
            self.gateway.add_book(entered.session, request.book.number, request.account)
        status, _ = self.gateway.submit(request.words(), request.clordid, b"", request.body, request.poss_dup)
        if status == SubmitStatus.STOPPED:
            leg.refusal = STOPPED_TEXT
        elif status == SubmitStatus.INVALID:
            leg.refusal = b"the order's fields are longer than 4080 bytes; nothing was done"
            self._refuse(entered, leg, request)
        order = self._order(entered.session, leg)
        if order is not None:
            leg.order_id = order["order_id"]
            self._by_order[leg.order_id] = entered
        elif not leg.refusal:
            leg.refusal = REFUSED_TEXT
        return bool(status != SubmitStatus.STOPPED)

    def _refuse(self, entered: OrderList, leg: Leg, request: Request) -> None:
        """An order that was not even entered."""
        kept = [(tag, request.values[tag]) for tag in LEG_TAGS if tag in request.values]
        body = b"35=E\x01" + b"".join(b"%d=%s\x01" % pair for pair in kept)
        owner = entered.session, request.account, request.symbol
        leg.refused_seq = self.floor.algorithms.refuse_leg(*owner, entered.list_id, leg.refusal, body)

    # ---- K, M ----

    def _cancel_all(self, message: Inbound) -> None:
        found = self._lists.get((message.session, message.values[66]))
        if found is None:
            text = b"ListID(66) names no list of this session with an open order"
            self.floor.business_reject(message, REASON_UNKNOWN_ID, text, 66)
            return
        for state in self._states(found):
            if state.order is not None and state.is_open and not self._cancel(found, state.order, message.body):
                self.floor.business_reject(message, REASON_NOT_AVAILABLE, STOPPED_TEXT, 66)
                return
        self._report(found, RESPONSE, CANCELLING)
        self._settle(found)

    def _status(self, message: Inbound) -> None:
        key = message.session, message.values[66]
        found = self._lists.get(key) or self._finished.get(key)
        if found is None:
            text = b"ListID(66) names no list of this session that is open or was done lately"
            self.floor.business_reject(message, REASON_UNKNOWN_ID, text, 66)
            return
        self._report(found, RESPONSE, EXECUTING if found.live else DONE)

    # ---- one cancels the other ----

    def _settle(self, found: OrderList) -> None:
        """Cancels what has to go by what the order table says now; harmless at any time and any number of times."""
        states = self._states(found)
        if found.one_cancels_other:
            for state in states:
                others = [other for other in states if other is not state]
                if state.order is not None and state.has_to_go(others):
                    body = b"verb=one_cancels_other\x01actor=%s\x01ref=%s\x01"
                    actor = self.terms.members[found.session][1].comp_id.encode()
                    self._cancel(found, state.order, body % (actor, found.list_id))
            states = self._states(found)
        if found.live and not any(state.is_open for state in states):
            self._report(found, ALL_DONE, DONE)
            self._finish(found)

    def _finish(self, found: OrderList) -> None:
        found.live = False
        del self._lists[found.session, found.list_id]
        for leg in found.legs:
            self._by_order.pop(leg.order_id, None)
        self._finished[found.session, found.list_id] = found
        if len(self._finished) > FINISHED_MAX:
            self._finished.popitem(last=False)
        self.floor.watch(found.session, False)

    def _cancel(self, found: OrderList, order: dict[str, Any], body: bytes) -> bool:
        head = CommandKind.CANCEL | order["side"] << 8 | order["symbol"] << 48
        owner = order["account"] | found.session << 32
        status, _ = self.gateway.submit((int(head), 0, 0, owner, order["order_id"], 0, 0, 0), b"", b"", body, False)
        return bool(status == SubmitStatus.OK)

    def _order(self, session: int, leg: Leg) -> dict[str, Any] | None:
        if not leg.clordid or len(leg.clordid) >= CLORDID_BYTES:
            return None
        order = self.gateway.find_order(session, leg.clordid)
        if order is None or (leg.order_id and order["order_id"] != leg.order_id):
            return None
        if order["status"] in OPEN and order["clordid"]:
            leg.clordid = order["clordid"]  # replaced: names of old are forgotten sooner than open orders
        return dict(order)

    def _states(self, found: OrderList) -> list[LegState]:
        return [LegState(leg, self._order(found.session, leg)) for leg in found.legs]

    # ---- N ----

    def _report(self, found: OrderList, kind: bytes, status: bytes, text: bytes = b"") -> None:
        """A ListStatus of what is now, as soon as that is durable."""
        states = self._states(found)
        if status == REJECTED and text:
            states = [LegState(state.leg, None) for state in states]
        found.reports += 1
        fields: list[Field] = [(66, found.list_id), (68, b"%d" % len(states)), (82, b"1"), (83, b"%d" % found.reports)]
        fields += [(429, kind), (431, status)]
        fields += [(444, text)] if text else []
        fields += [(893, b"Y"), (73, b"%d" % len(states))]
        for state in states:
            fields += self._leg_fields(found.session, state)
        seqs = [state.order["last_exec_id"] >> SEQ_BITS for state in states if state.order]
        seq = max([0, *seqs, *(state.leg.refused_seq for state in states)])
        self.floor.when_durable(seq, lambda: self.floor.send_as_is(found.session, b"N", fields))

    def _leg_fields(self, session: int, state: LegState) -> list[Field]:
        order, leg = state.order, state.leg
        if order is None:
            fields: list[Field] = [(11, leg.clordid), (14, b"0"), (39, b"8"), (151, b"0"), (84, b"0"), (6, b"0")]
            return [*fields, (58, leg.refusal)] if leg.refusal else fields
        book = self.terms.book(order["symbol"])
        unit, scale = (book.tick_units, book.price_scale) if book else (1, 0)
        refused = order["status"] == b"8"
        cancelled = 0 if refused else order["order_qty_lots"] - order["cum_lots"] - order["leaves_lots"]
        if self.floor.engine is not None:
            cancelled -= self.floor.engine.busted(session, leg.clordid)[0]
        fields = [
            (11, order["clordid"]),
            (14, quantity(book, order["cum_lots"])),
            (39, order["status"]),
            (151, quantity(book, order["leaves_lots"])),
            (84, quantity(book, cancelled)),
            (6, messages.average(order["value"], order["cum_lots"], unit, scale)),
        ]
        return [*fields, (58, REFUSED_TEXT)] if refused else fields

    # ---- a new start ----

    def on_start(self) -> None:
        """Finds the lists of the open orders again; what nobody could do while the venue was down is done first."""
        if self.floor.engine is None:
            return
        sessions: dict[int, tuple[int, bytes]] = {}
        for session in self.terms.members:
            for order in self.floor.engine.open_orders_of(session)[1]:
                sessions[order["order_id"]] = session, order["clordid"].encode()
        if not sessions:
            return
        entries = bodies(self.floor.engine.data_dir / "journal", {order >> SEQ_BITS for order in sessions})
        for order_id, (session, clordid) in sorted(sessions.items()):
            if entries.get(order_id >> SEQ_BITS, b"").startswith(MARK):
                self._restore(order_id, session, clordid, entries[order_id >> SEQ_BITS])
        if self._lists:
            self.floor.soon(self._settle_all)

    def _settle_all(self) -> None:
        for found in list(self._lists.values()):
            self._settle(found)

    def _restore(self, order_id: int, session: int, clordid: bytes, body: bytes) -> None:
        values = messages.first_fields(body)
        key = session, values.get(66, b"")
        found = self._lists.get(key)
        if found is None:
            named = sorted((int(dict(leg).get(67, b"0")), dict(leg)[11]) for leg in legs_of(body))
            names = [name for _, name in named]
            found = OrderList(session, key[1], values.get(1385) == ONE_CANCELS_OTHER, names, [Leg(n) for n in names])
            self._lists[key] = found
            self.floor.watch(session, True)
        own = next(leg for leg in found.legs if leg.clordid == values[11])
        own.order_id, own.clordid = order_id, clordid
        self._by_order[order_id] = found


def legs_of(body: bytes) -> list[list[Field]]:
    """The orders of a list, each from its ClOrdID on."""
    legs: list[list[Field]] = []
    for tag, value in messages.fields(body):
        if tag in OF_LIST:
            continue
        if tag == 11:
            legs.append([])
        if legs:
            legs[-1].append((tag, value))
    return legs


def leg_body(body: bytes, legs: list[list[Field]], index: int) -> bytes:
    """What is journaled with one order: the list's fields and its own as received, then the names of the others."""
    fields = [field for field in messages.fields(body) if field[0] in OF_LIST]
    fields += legs[index]
    for at, leg in enumerate(legs):
        if at != index:
            fields += [field for field in leg if field[0] in (11, 67)]
    return b"".join(b"%d=%s\x01" % field for field in fields)

"""The Python application: every message of the venue, readable; the native one serves D, F and G and their 8 and 9.

With `VENUE_FIX=python` it serves those too: reference, fallback and second implementation for the tests. Its methods
are called on the gateway's thread. Whatever depends on a state that is not durable yet is answered when it is.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cores import CommandFlag, CommandKind, EventKind, Reason, Tif
from fix_sessions import messages
from fix_sessions.codec import (
    STOPS,
    Request,
    TagRefused,
    Terms,
    instructions,
    ord_type,
    order_terms,
    price,
    quantity,
    report_message,
)
from fix_sessions.messages import SEQ_BITS, Field
from venue.config import Config
from venue.log import event
from venue.records import CLORDID_BYTES, SubmitStatus

if TYPE_CHECKING:
    from fix_sessions.logon import Doorkeeper

log = logging.getLogger("fix")

REASON_OTHER = 0
REASON_UNKNOWN_SECURITY = 2
REASON_UNSUPPORTED_TYPE = 3
REASON_NOT_AVAILABLE = 4
REASON_NOT_AUTHORIZED = 6
CANCEL_SECURITY = b"1"
CANCEL_ALL = b"7"
SEQ_MASK = (1 << SEQ_BITS) - 1


@dataclass
class MassCancel:
    """A mass cancel request whose commands are on their way."""

    session: int
    clordid: bytes
    kind: bytes
    values: dict[int, bytes]
    waiting: set[int] = field(default_factory=set)
    affected: int = 0
    refused: int = 0
    last_seq: int = 0
    time_ns: int = 0


class Application:
    """What the gateway hands to Python."""

    def __init__(self, config: Config) -> None:
        self.terms = Terms(config)
        self._gateway: Any = None
        self._doorkeeper: Doorkeeper | None = None
        self._mass_cancels: dict[int, MassCancel] = {}
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._served: dict[bytes, Callable[[int, int, dict[int, bytes], bytes, bool], None]] = {
            b"D": self._order,
            b"F": self._order,
            b"G": self._order,
            b"H": self._order_status,
            b"q": self._mass_cancel,
        }

    def attach(self, gateway: Any, doorkeeper: Doorkeeper) -> None:
        self._gateway, self._doorkeeper = gateway, doorkeeper

    def session_numbers(self) -> list[int]:
        return list(self.terms.members)

    def check(self) -> None:
        """Asserts that every command waited for belongs to the request that waits."""
        assert all(seq in cancel.waiting for seq, cancel in self._mass_cancels.items())

    # ---- called by the gateway ----

    def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int:
        """One message that is not native. Returns 0, or the tag whose value is refused with a session Reject."""
        values = messages.first_fields(body)
        serve = self._served.get(values[35])
        if serve is None:
            text = b"MsgType(35) " + values[35] + b" is not served here; D, F, G, H and q are"
            self._business_reject(session, number, values, REASON_UNSUPPORTED_TYPE, text)
            return 0
        try:
            serve(session, number, values, body, poss_dup)
        except TagRefused as refused:
            return refused.tag
        return 0

    def on_reports(self, reports: npt.NDArray[np.void], poss_resend: bool) -> None:
        """Reports that became durable, in order."""
        for report in reports:
            if int(report["session"]) in self.terms.members:
                self._report(report, poss_resend)

    def on_logon_request(self, connection: int, message: bytes, peer: str) -> None:
        assert self._doorkeeper is not None, "attached before start"
        self._doorkeeper.ask(connection, message, peer)

    def on_session(self, session: int, logged_on: bool, text: str) -> None:
        comp_id = self.terms.members[session][1].comp_id
        if logged_on:
            event(log, "session logged on", session=comp_id, peer=text)
        else:
            event(log, "session logged out", session=comp_id, reason=text)

    def on_turn(self) -> None:
        """After each round of reports, while something waits for them."""
        self._answer_waiting()

    # ---- D, F, G ----

    def _order(self, session: int, number: int, values: dict[int, bytes], body: bytes, poss_dup: bool) -> None:
        request = Request.read(self.terms, session, body, poss_dup, self._gateway.find_order)
        if request.kind == CommandKind.NEW and request.book is not None:
            self._gateway.add_book(session, request.book.number, request.account)
        status, _ = self._gateway.submit(request.words(), request.clordid, request.orig_clordid, body, poss_dup)
        if status == SubmitStatus.STOPPED:
            text = b"the venue takes no orders now; nothing was done"
            self._business_reject(session, number, values, REASON_NOT_AVAILABLE, text)
        elif status == SubmitStatus.INVALID:
            text = b"the message's body is longer than 4080 bytes; nothing was done"
            self._business_reject(session, number, values, REASON_OTHER, text)

    def _report(self, report: np.void, poss_resend: bool) -> None:
        session, exec_id = int(report["session"]), int(report["event"]["exec_id"])
        message = report_message(report, self.terms)
        if message is not None:
            self._gateway.send(session, *message, exec_id, poss_resend)
        elif report["command_kind"] == CommandKind.MASS_CANCEL:
            self._mass_cancel_done(report, poss_resend)

    # ---- H ----

    def _order_status(self, session: int, number: int, values: dict[int, bytes], body: bytes, poss_dup: bool) -> None:
        """Answered once what it tells is durable."""
        clordid = values[11]
        order = self._gateway.find_order(session, clordid) if len(clordid) < CLORDID_BYTES else None
        if order is None:
            fields = _unknown_order(values)
            self._gateway.send(session, b"8", fields)
            return
        fields = self._status_fields(order, values)
        self._when_durable(order["last_exec_id"] >> SEQ_BITS, lambda: self._gateway.send(session, b"8", fields))

    def _status_fields(self, order: dict[str, Any], values: dict[int, bytes]) -> list[Field]:
        book = self.terms.book(order["symbol"])
        unit, scale = (book.tick_units, book.price_scale) if book else (1, 0)
        fields: list[Field] = [
            (1, b"%d" % order["account"]),
            (6, messages.average(order["value"], order["cum_lots"], unit, scale)),
            (11, order["clordid"]),
            (14, quantity(book, order["cum_lots"])),
            (17, b"0"),
            (37, b"%d" % order["order_id"]),
            (38, quantity(book, order["order_qty_lots"])),
            (39, order["status"]),
            (54, b"%d" % order["side"] if order["side"] else b"7"),
            (55, book.symbol if book else b"[N/A]"),
            (59, b"%d" % order["tif"]),
            (150, b"I"),
            (151, quantity(book, order["leaves_lots"])),
        ]
        if order["ord_type"]:
            fields.append((40, ord_type(order["ord_type"])))
        if order["price_ticks"]:
            fields.append((44, price(book, order["price_ticks"])))
        is_stop, is_gtd = order["ord_type"] in STOPS, order["tif"] == Tif.GTD
        fields += instructions(order["order_flags"])
        fields += order_terms(book, order["order_detail"], order["order_aux"], is_stop=is_stop, is_gtd=is_gtd)
        if 790 in values:
            fields.append((790, values[790]))
        return fields

    def _when_durable(self, seq: int, answer: Callable[[], None]) -> None:
        if self._gateway.durable_seq() >= seq:
            answer()
        else:
            self._waiting.append((seq, answer))
            self._gateway.want_turns(True)

    def _answer_waiting(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._gateway.durable_seq():
            self._waiting.popleft()[1]()
        if not self._waiting:
            self._gateway.want_turns(False)

    # ---- q ----

    def _mass_cancel(self, session: int, number: int, values: dict[int, bytes], body: bytes, poss_dup: bool) -> None:
        """One command for every book that the request covers; one answer when the last of them is durable."""
        if len(values[11]) >= CLORDID_BYTES:
            raise TagRefused(11)
        cancel = MassCancel(session, values[11], values[530], values)
        books = self._books_to_cancel(session, values)
        if isinstance(books, str):
            self._mass_cancel_report(cancel, refusal=books)
            return
        side = int(values[54]) if values.get(54) in (b"1", b"2") else 0
        for symbol, account in books:
            head = CommandKind.MASS_CANCEL | side << 8 | CommandFlag.BY_SESSION << 32 | symbol << 48
            words = (int(head), 0, 0, account | session << 32, 0, 0, 0, 0)
            status, seq = self._gateway.submit(words, values[11], b"", body, poss_dup)
            if status == SubmitStatus.OK:
                cancel.waiting.add(seq)
                self._mass_cancels[seq] = cancel
            elif status == SubmitStatus.STOPPED:
                cancel.refused = int(Reason.REJECT_SESSION_STALE)
        if not cancel.waiting:
            self._mass_cancel_report(cancel)

    def _books_to_cancel(self, session: int, values: dict[int, bytes]) -> list[tuple[int, int]] | str:
        """(symbol, account) pairs, or why the request cannot be served."""
        accounts = self.terms.members[session][0].accounts
        if 1 in values:
            number = int(values[1]) if values[1].isdigit() and len(values[1]) <= 5 else -1
            if number not in accounts:
                return "Account(1) is not one of this session's; send one of its own or leave it out"
            accounts = (number,)
        if values[530] == CANCEL_ALL:
            return [book for book in self._gateway.books(session) if book[1] in accounts]
        if values[530] != CANCEL_SECURITY:
            return "MassCancelRequestType(530) must be 1 (one security) or 7 (all)"
        book = self.terms.by_symbol.get(values.get(55, b""))
        if book is None:
            return "Symbol(55) is missing or not traded here"
        return [(book.number, account) for account in accounts]

    def _mass_cancel_done(self, report: np.void, poss_resend: bool) -> None:
        done, exec_id = report["event"], int(report["event"]["exec_id"])
        cancel = self._mass_cancels.pop(exec_id >> SEQ_BITS, None)
        if cancel is None:
            if not bytes(report["clordid"]):
                return  # the venue's own: cancel on disconnect, an operator
            book = self.terms.book(int(report["symbol"]))
            values = {55: book.symbol} if book else {}
            cancel = MassCancel(int(report["session"]), bytes(report["clordid"]), CANCEL_SECURITY, values)
            cancel.waiting.add(exec_id >> SEQ_BITS)
        cancel.waiting.discard(exec_id >> SEQ_BITS)
        cancel.last_seq, cancel.time_ns = exec_id, int(report["time_ns"])
        if done["kind"] == EventKind.MASS_CANCELLED:
            cancel.affected += int(done["qty_lots"])
        else:
            cancel.refused = int(done["reason"])
        if not cancel.waiting:
            self._mass_cancel_report(cancel, poss_resend=poss_resend)

    def _mass_cancel_report(self, cancel: MassCancel, *, refusal: str = "", poss_resend: bool = False) -> None:
        if cancel.refused and not refusal:
            refusal = self.terms.texts_otherwise[cancel.refused]
        identifier = messages.identifier(cancel.last_seq) if cancel.last_seq else b"NONE"
        fields: list[Field] = [(11, cancel.clordid), (37, identifier), (530, cancel.kind)]
        fields += [(tag, cancel.values[tag]) for tag in (1, 54, 55) if tag in cancel.values]
        if refusal:
            code = b"1" if refusal.startswith("Symbol") else b"99" if cancel.kind in b"17" else b"0"
            fields += [(58, refusal.encode()), (531, b"0"), (532, code)]
        else:
            fields += [(531, cancel.kind), (533, b"%d" % cancel.affected)]
        if cancel.time_ns:
            fields.append((60, messages.timestamp(cancel.time_ns)))
        self._gateway.send(cancel.session, b"r", fields, cancel.last_seq, poss_resend)

    # ---- j ----

    def _business_reject(self, session: int, number: int, values: dict[int, bytes], code: int, text: bytes) -> None:
        fields: list[Field] = [(45, b"%d" % number), (58, text), (372, values[35]), (380, b"%d" % code)]
        if 11 in values:
            fields.append((379, values[11]))
        self._gateway.send(session, b"j", fields)


def _unknown_order(values: dict[int, bytes]) -> list[Field]:
    """An order status request that names no order of the session."""
    text = b"ClOrdID(11) names no order of this session"
    fields: list[Field] = [
        (6, b"0"),
        (11, values[11]),
        (14, b"0"),
        (17, b"0"),
        (37, b"NONE"),
        (39, b"8"),
        (54, values[54]),
    ]
    fields += [(55, values[55]), (58, text), (103, b"5"), (150, b"I"), (151, b"0")]
    if 790 in values:
        fields.append((790, values[790]))
    return fields

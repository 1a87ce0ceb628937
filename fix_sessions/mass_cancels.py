"""Mass cancels: OrderMassCancelRequest (q) is answered with one OrderMassCancelReport (r).

One command goes to every book that the request covers; the answer leaves when the last of them is durable. It must
never say that orders are cancelled before that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from cores import CommandFlag, CommandKind, EventKind, Reason
from fix_sessions import messages
from fix_sessions.area import Area, Floor, Inbound
from fix_sessions.codec import TagRefused, is_order_event
from fix_sessions.messages import SEQ_BITS, Field
from venue.records import CLORDID_BYTES, SubmitStatus

CANCEL_SECURITY = b"1"
CANCEL_ALL = b"7"


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


class MassCancels(Area):
    """Requests whose commands are on their way, by the commands' numbers."""

    serves: ClassVar[tuple[bytes, ...]] = (b"q",)

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self._cancels: dict[int, MassCancel] = {}

    def check(self) -> None:
        """Asserts that every command waited for belongs to the request that waits."""
        assert all(seq in cancel.waiting for seq, cancel in self._cancels.items())

    def serve(self, message: Inbound) -> None:
        session, values, body, poss_dup = message.session, message.values, message.body, message.poss_dup
        if len(values[11]) >= CLORDID_BYTES:
            raise TagRefused(11)
        cancel = MassCancel(session, values[11], values[530], values)
        books = self._books_to_cancel(session, values)
        if isinstance(books, str):
            self._answer(cancel, refusal=books)
            return
        side = int(values.get(54, b"0"))
        for symbol, account in books:
            head = CommandKind.MASS_CANCEL | side << 8 | CommandFlag.BY_SESSION << 32 | symbol << 48
            words = (int(head), 0, 0, account | session << 32, 0, 0, 0, 0)
            status, seq = self.gateway.submit(words, values[11], b"", body, poss_dup)
            if status == SubmitStatus.OK:
                cancel.waiting.add(seq)
                self._cancels[seq] = cancel
            elif status == SubmitStatus.STOPPED:
                cancel.refused = int(Reason.REJECT_SESSION_STALE)
        if not cancel.waiting:
            self._answer(cancel)

    def _books_to_cancel(self, session: int, values: dict[int, bytes]) -> list[tuple[int, int]] | str:
        """(symbol, account) pairs, or why the request cannot be served."""
        accounts = self.terms.members[session][0].accounts
        if 1 in values:
            number = int(values[1]) if values[1].isdigit() and len(values[1]) <= 5 else -1
            if number not in accounts:
                return "Account(1) is not one of this session's; send one of its own or leave it out"
            accounts = (number,)
        if values.get(54, b"1") not in (b"1", b"2"):
            return "Side(54) must be 1 (buy) or 2 (sell), or left out"
        if values[530] == CANCEL_ALL:
            return [book for book in self.gateway.books(session) if book[1] in accounts]
        if values[530] != CANCEL_SECURITY:
            return "MassCancelRequestType(530) must be 1 (one security) or 7 (all)"
        book = self.terms.by_symbol.get(values.get(55, b""))
        if book is None:
            return "Symbol(55) is missing or not traded here"
        return [(book.number, account) for account in accounts]

    def on_report(self, report: np.void, poss_resend: bool) -> None:
        if report["command_kind"] != CommandKind.MASS_CANCEL or is_order_event(report):
            return
        done, exec_id = report["event"], int(report["event"]["exec_id"])
        cancel = self._cancels.pop(exec_id >> SEQ_BITS, None)
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
            self._answer(cancel, poss_resend=poss_resend)

    def _answer(self, cancel: MassCancel, *, refusal: str = "", poss_resend: bool = False) -> None:
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
        self.floor.send(cancel.session, b"r", fields, cancel.last_seq, poss_resend)

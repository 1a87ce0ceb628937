"""Mass status: OrderMassStatusRequest (AF) is answered with one ExecutionReport (150=I) for each open order.
The parents of execution algorithms come after the orders.

The session's own orders, of one security or all, of one account or side when the request says so. The order table is
searched aside, because it may be long; the answer leaves when everything that it tells is durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, ClassVar

from fix_sessions.area import Area, Inbound, Outbound
from fix_sessions.messages import Field
from fix_sessions.order_desk import status_fields

STATUS_SECURITY = b"1"
STATUS_ALL = b"7"


class MassStatus(Area):
    """Answers AF."""

    serves: ClassVar[tuple[bytes, ...]] = (b"AF",)

    def serve(self, message: Inbound) -> None:
        values, session = message.values, message.session
        refusal = self._refusal(message)
        if refusal:
            self.floor.send(session, b"8", _nothing(values, refusal))
            return
        self.floor.aside(
            lambda: self.floor.engine.open_orders_of(session), lambda found: self._found(session, values, found)
        )

    def _refusal(self, message: Inbound) -> bytes:
        values = message.values
        if values[585] not in (STATUS_SECURITY, STATUS_ALL):
            return b"MassStatusReqType(585) must be 1 (one security) or 7 (all)"
        if values[585] == STATUS_SECURITY and values.get(55) not in self.terms.by_symbol:
            return b"Symbol(55) is missing or not traded here"
        if values.get(54, b"1") not in (b"1", b"2"):
            return b"Side(54) must be 1 (buy) or 2 (sell), or left out"
        if 1 in values and account_of(self.terms, message.session, values[1]) is None:
            return b"Account(1) is not one of this session's; send one of its own or leave it out"
        return b""

    def _found(self, session: int, values: dict[int, bytes], found: Any) -> None:
        if isinstance(found, Exception):
            self.floor.send(session, b"8", _nothing(values, b"the orders could not be read; ask again, or the venue"))
            return
        seq, orders = found
        orders = [order for order in orders if self._is_meant(order, values)]
        desk = self.floor.algorithms
        parents = [parent for parent in desk.open_parents(session) if self._is_meant(parent.facts, values)]
        seq = max([seq, *(parent.last_seq for parent in parents)])
        if orders or parents:
            answers = [desk.status_fields(parent) for parent in parents]
            self.floor.when_durable(seq, lambda: self.floor.pour(session, self._answers(orders, answers, values)))
        else:
            fields = _nothing(values, b"no open order of this session fits the request")
            self.floor.when_durable(seq, lambda: self.floor.send(session, b"8", fields))

    def _is_meant(self, order: dict[str, Any], values: dict[int, bytes]) -> bool:
        book = self.terms.book(order["symbol"])
        symbol = book.symbol if book else b""
        return bool(
            (values[585] == STATUS_ALL or symbol == values[55])
            and (1 not in values or order["account"] == int(values[1]))
            and (54 not in values or b"%d" % order["side"] == values[54])
        )

    def _answers(
        self, orders: list[dict[str, Any]], parents: list[list[Field]], values: dict[int, bytes]
    ) -> Iterator[Outbound]:
        count = len(orders) + len(parents)
        for number, fields in enumerate(chain(map(self._fields, orders), parents), 1):
            last = [(584, values[584]), (911, b"%d" % count), (912, b"Y" if number == count else b"N")]
            yield Outbound(b"8", [*fields, *last])

    def _fields(self, order: dict[str, Any]) -> list[Field]:
        names = {"status": order["status"].encode(), "clordid": order["clordid"].encode()}
        return status_fields(self.terms, {**order, **names})


def account_of(terms: Any, session: int, text: bytes) -> int | None:
    """The number of an account of this session's; None when the text names none."""
    number = int(text) if text.isdigit() and len(text) <= 5 else -1
    return number if number in terms.members[session][0].accounts else None


def _nothing(values: dict[int, bytes], text: bytes) -> list[Field]:
    """The one answer of a request that no order answers."""
    fields: list[Field] = [(6, b"0"), (14, b"0"), (17, b"0"), (37, b"NONE"), (39, b"8"), (54, values.get(54, b"7"))]
    fields += [(55, values.get(55, b"[N/A]")), (58, text), (103, b"5"), (150, b"I"), (151, b"0")]
    return [*fields, (584, values[584]), (911, b"0"), (912, b"Y")]

"""Single orders: NewOrderSingle (D), OrderCancelRequest (F), OrderCancelReplaceRequest (G), OrderStatusRequest (H).

D, F and G and their reports are served natively as a rule; here they are only with `VENUE_FIX=python`, but for pegged
orders, whose price is found here in any case (venue/pegs.py). What is about the parent of an execution algorithm goes
on to its area (algorithms.py).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from cores import CommandKind, EventKind, Reason, Tif
from fix_sessions import child_names, messages, parties, quote_names
from fix_sessions.area import REASON_NOT_AVAILABLE, REASON_OTHER, STOPPED_TEXT, TOO_LONG_TEXT, Area, Inbound
from fix_sessions.bust_reports import bust_fields
from fix_sessions.codec import STOPS, Request, instructions, ord_type, order_terms, price, quantity, report_message
from fix_sessions.messages import SEQ_BITS, Field
from venue.records import CLORDID_BYTES, SubmitStatus


class OrderDesk(Area):
    """Orders to the engine, reports to the sessions."""

    serves: ClassVar[tuple[bytes, ...]] = (b"D", b"F", b"G", b"H")

    def serve(self, message: Inbound) -> None:
        if self.floor.algorithms.takes(message):
            self.floor.algorithms.serve(message)
        elif message.values[35] == b"H":
            self._status(message)
        else:
            self._order(message)

    def on_start(self) -> None:
        """Pegged orders that rest are followed again."""
        self.floor.pegs.restore(self.floor.engine.data_dir / "journal")
        self.floor.pegs.start()

    def on_stop(self) -> None:
        self.floor.pegs.stop()

    def check(self) -> None:
        self.floor.pegs.check()

    def report(self, report: np.void, poss_resend: bool) -> None:
        """The 8 or 9 of a report that the native application has not sent; nothing when it is neither, or a child's."""
        if bytes(report["clordid"]).startswith(child_names.CHILD_MARK):
            return
        exec_id = int(report["event"]["exec_id"])
        if report["event"]["kind"] == EventKind.BUSTED:
            body = self.floor.busts.body(int(report["event"]["order_id"]), exec_id >> SEQ_BITS)
            self.floor.send(int(report["session"]), b"8", bust_fields(report, self.terms, body), exec_id, poss_resend)
            return
        message = report_message(report, self.terms)
        if message is not None:
            self.floor.send(int(report["session"]), *message, exec_id, poss_resend)

    def _order(self, message: Inbound) -> None:
        session, body, poss_dup = message.session, message.body, message.poss_dup
        request = Request.read(self.terms, session, body, poss_dup, self.gateway.find_order)
        fault = parties.fault(body)
        if fault:
            self.floor.business_reject(message, REASON_OTHER, fault)
            return
        if request.peg is not None:
            with self.floor.pegs.lock:
                self._find_price(request)
                self._submit(message, request)
                self._follow(request)
        else:
            self._submit(message, request)

    def _submit(self, message: Inbound, request: Request) -> None:
        session, body, poss_dup = message.session, message.body, message.poss_dup
        if request.kind == CommandKind.NEW and request.book is not None:
            self.gateway.add_book(session, request.book.number, request.account)
        status, _ = self.gateway.submit(request.words(), request.clordid, request.orig_clordid, body, poss_dup)
        if status == SubmitStatus.STOPPED:
            self.floor.business_reject(message, REASON_NOT_AVAILABLE, STOPPED_TEXT)
        elif status == SubmitStatus.INVALID:
            self.floor.business_reject(message, REASON_OTHER, TOO_LONG_TEXT)

    def _find_price(self, request: Request) -> None:
        """Where a pegged order stands on its entry, or after its member has changed it."""
        assert request.peg is not None
        if request.reason:
            return
        request.price_ticks = self.floor.pegs.price(request.symbol, request.side, request.peg)
        if request.price_ticks == 0:
            request.refuse(Reason.REJECT_SESSION_NO_REFERENCE)

    def _follow(self, request: Request) -> None:
        """From here on the service moves it, if it was taken."""
        order = self.gateway.find_order(request.session, request.clordid)
        if order is not None and order["clordid"] == request.clordid and order["peg"] and order["status"] in b"01":
            assert request.peg is not None
            self.floor.pegs.watch(request.symbol, order["order_id"], request.side, request.peg)

    def _status(self, message: Inbound) -> None:
        """Answered once what it tells is durable."""
        session, clordid = message.session, message.values[11]
        order = self.gateway.find_order(session, clordid) if len(clordid) < CLORDID_BYTES else None
        if order is None:
            self.floor.send(session, b"8", _unknown_order(message.values))
            return
        fields = status_fields(self.terms, order)
        if 790 in message.values:
            fields.append((790, message.values[790]))
        self.floor.when_durable(order["last_exec_id"] >> SEQ_BITS, lambda: self.floor.send(session, b"8", fields))


def status_fields(terms: Any, order: dict[str, Any]) -> list[Field]:
    """An ExecutionReport (150=I) of an order as `find_order` gives it."""
    book = terms.book(order["symbol"])
    unit, scale = (book.tick_units, book.price_scale) if book else (1, 0)
    fields: list[Field] = [
        (1, b"%d" % order["account"]),
        (6, messages.average(order["value"], order["cum_lots"], unit, scale)),
        (11, order["clordid"]),
        (14, quantity(book, order["cum_lots"])),
        (17, b"0"),
        (37, b"%d" % order["order_id"]),
        (39, order["status"]),
        (54, b"%d" % order["side"] if order["side"] else b"7"),
        (55, book.symbol if book else b"[N/A]"),
        (59, b"%d" % order["tif"]),
        (150, b"I"),
        (151, quantity(book, order["leaves_lots"])),
    ]
    quote = quote_names.parse(order["clordid"])
    fields += [(117, quote.quote_id), (299, quote.entry_id)] if quote else []
    if order["ord_type"]:
        fields.append((40, ord_type(order["ord_type"], order["peg"])))
    if order["order_qty_lots"]:
        fields.append((38, quantity(book, order["order_qty_lots"])))
    if order["price_ticks"]:
        fields.append((44, price(book, order["price_ticks"])))
    is_stop, is_gtd = order["ord_type"] in STOPS, order["tif"] == Tif.GTD
    fields += instructions(order["order_flags"], order["peg"])
    fields += order_terms(book, order["order_detail"], order["order_aux"], is_stop=is_stop, is_gtd=is_gtd)
    return fields


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

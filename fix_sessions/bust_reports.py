"""ExecutionReport (8) of a trade that was taken back, 150=H: the one message for both applications and for copies.

The order table knows an order's facts while it knows the order; of one that it has forgotten the command's annex says
them (venue/busts.py). LeavesQty(151) is what rests, for busted quantity does not come back to an order.
"""

from __future__ import annotations

import numpy as np

from cores import EventKind
from fix_sessions import messages, quote_names
from fix_sessions.codec import UNKNOWN_SYMBOL, Terms, average, price, quantity
from fix_sessions.messages import Field
from venue.busts import reason_given, side_fields

OF_THE_ANNEX = (19, 37)  # whether the table knows the order or not
REPORTED = (6, 11, 14, 19, 37, 38, 39, 151)
UNKNOWN_ORDER = {6: b"0", 14: b"0", 39: b"4", 151: b"0"}


def bust_fields(report: np.void, terms: Terms, body: bytes) -> list[Field]:
    """Its fields, in order of their tags; `body` is the annex of the BUST without its salt."""
    event, book, side = report["event"], terms.book(int(report["symbol"])), int(report["side"])
    assert event["kind"] == EventKind.BUSTED
    said = side_fields(body, side)
    found = {**UNKNOWN_ORDER, **{tag: value for tag, value in said.items() if tag in REPORTED}}
    if report["order_qty_lots"]:
        found = {tag: value for tag, value in said.items() if tag in OF_THE_ANNEX}
        lots = int(report["cum_lots"])
        found |= {11: bytes(report["clordid"]), 14: quantity(book, lots), 39: bytes(report["status"])}
        found |= {6: average(report, book), 38: quantity(book, int(report["order_qty_lots"]))}
        found[151] = quantity(book, int(event["leaves_lots"]))
    quote = quote_names.parse(found.get(11, b""))
    found |= {117: quote.quote_id, 299: quote.entry_id} if quote else {}
    found |= {1: b"%d" % report["account"], 17: messages.identifier(int(event["exec_id"])), 54: b"%d" % side}
    found |= {31: price(book, int(event["price_ticks"])), 32: quantity(book, int(event["qty_lots"]))}
    found |= {55: book.symbol if book else UNKNOWN_SYMBOL, 58: reason_given(body), 150: b"H"}
    found |= {60: messages.timestamp(int(report["time_ns"])), 527: messages.identifier(int(event["order_id"]))}
    found.setdefault(37, b"NONE")
    return sorted((tag, value) for tag, value in found.items() if value)

"""What members are told of parent orders: the ExecutionReports (8) and OrderCancelRejects (9) of entries and children.

Why a module: the order entry gateway tells the member, the drop-copy gateway tells it again in another process. Both
make the message here, of nothing but the report that is durable and what the journal says beside it. Must never use
anything that only the engine's process knows.
"""

from __future__ import annotations

import numpy as np

from cores import EventFlag, EventKind, Reason
from fix_sessions import messages
from fix_sessions.codec import Terms
from fix_sessions.messages import SEQ_BITS, Field
from fix_sessions.parent_orders import (
    ALGORITHM_TAGS,
    CANCEL_REFUSED,
    END,
    FILLED,
    LEG_REFUSED,
    NEW,
    NOTHING,
    PARENT,
    PARTIAL,
    REFUSED,
    REJECTED,
    REPLACE,
    REPLACED,
    Child,
    Entry,
    Lots,
    Version,
)

FATAL = (Reason.REJECT_KILLED, Reason.REJECT_ACCOUNT_FROZEN, Reason.REJECT_RESTRICTED)
"""A child that is refused for one of these ends its parent; after any other refusal the next slice tries again."""

Message = tuple[bytes, list[Field]]


def of_child(version: Version, child: Child, report: np.void, terms: Terms, busted: Lots = NOTHING) -> Message | None:
    """What a report of a child tells of its parent, of which `busted` was taken back; None when that is nothing."""
    kind = int(report["event"]["kind"])
    if kind == EventKind.FILL:
        done = child.cum_lots + int(report["cum_lots"]), child.value + int(report["value"])
        return b"8", _stamped(_fill(version, report, done, busted), report)
    reason = int(report["event"]["reason"])
    if kind != EventKind.REJECTED or reason in FATAL or reason == child.said:
        return None
    status = PARTIAL if child.cum_lots else NEW
    text = b"a slice was refused: " + terms.text(version.template.symbol, reason)
    return b"8", _stamped(version.fields(b"D", status, (child.cum_lots, child.value), text, busted), report)


def of_entry(entry: Entry, version: Version | None, report: np.void, busted: Lots = NOTHING) -> Message:
    """The answer to an entry; `version` is the parent's that it began, replaced or ended."""
    if entry.verb in (REFUSED, LEG_REFUSED):
        return b"8", _stamped(_refused(entry), report)
    if entry.verb == CANCEL_REFUSED:
        fields = [pair for pair in _stamped(_cancel_refused(entry), report) if pair[0] != 17]
        return b"9", fields
    assert version is not None, "it is about a parent that was taken"
    if entry.verb == PARENT:
        return b"8", _stamped(version.fields(NEW, NEW, (0, 0)), report)
    done = entry.number(b"cum_lots"), entry.number(b"value")
    if entry.verb == REPLACE:
        fields = version.fields(REPLACED, PARTIAL if done[0] else NEW, done, b"", busted)
    else:
        assert entry.verb == END, entry.verb
        status = entry.words[b"status"]
        fields = version.fields(status, status, done, entry.words[b"text"], busted)
        fields = [pair for pair in fields if pair[0] != 11]
        fields += [(11, entry.values.get(11, version.clordid))]
    fields += [(41, entry.values[41])] if 41 in entry.values else []
    return b"8", _stamped(fields, report)


def of_bust(version: Version, status: bytes, done: Lots, busted: Lots, child: list[Field], report: np.void) -> Message:
    """A child's trade was taken back: the parent has done less. `child` is what an order would be told of it."""
    of_child = dict(child)
    fields = version.fields(b"H", status, done, of_child[58], busted)
    fields += [(tag, of_child[tag]) for tag in (19, 31, 32, 527)]
    return b"8", _stamped([*fields, (198, of_child[37])], report)


def _stamped(fields: list[Field], report: np.void) -> list[Field]:
    """With ExecID(17) and TransactTime(60), in order of the tags."""
    exec_id, time_ns = int(report["event"]["exec_id"]), int(report["time_ns"])
    fields = [*fields, (17, messages.identifier(exec_id)), (60, messages.timestamp(time_ns))]
    return sorted(fields, key=lambda pair: pair[0])


def _fill(version: Version, report: np.void, done: Lots, busted: Lots) -> list[Field]:
    event, book = report["event"], version.template.book
    assert book is not None, "it has traded"
    exec_id = int(event["exec_id"])
    fields = version.fields(b"F", FILLED if done[0] == version.qty_lots else PARTIAL, done, b"", busted)
    fields += [(31, book.price(int(event["price_ticks"]))), (32, book.quantity(int(event["qty_lots"])))]
    second = bool(int(event["flags"]) & EventFlag.AGGRESSOR)
    fields += [(851, b"2" if second else b"1"), (198, b"%d" % event["order_id"])]
    return [*fields, (527, messages.identifier(exec_id - second))]


def _refused(entry: Entry) -> list[Field]:
    """The ExecutionReport (8) of a parent that was not taken, but for ExecID(17) and TransactTime(60)."""
    values = entry.values
    found: list[Field] = [(1, b"%d" % entry.account), (6, b"0"), (11, values[11]), (14, b"0")]
    found += [(37, b"%d" % (entry.seq << SEQ_BITS)), (39, REJECTED)]
    found += [(tag, values[tag]) for tag in (38, 40, 44) if tag in values]
    found += [(54, values[54]), (55, values[55]), (58, entry.words[b"text"]), (59, values.get(59, b"0"))]
    found += [(103, entry.words[b"code"]), (150, REJECTED), (151, b"0")]
    return found + [(tag, values[tag]) for tag in ALGORITHM_TAGS if tag in values]


def _cancel_refused(entry: Entry) -> list[Field]:
    """The OrderCancelReject (9) of a cancel or replace of a parent, but for TransactTime(60)."""
    values, words, parent_seq = entry.values, entry.words, entry.number(b"parent")
    number = parent_seq << SEQ_BITS or entry.number(b"order")
    order_id = b"%d" % number if number else b"NONE"
    found: list[Field] = [(1, b"%d" % entry.account), (11, values[11]), (37, order_id), (39, words[b"status"])]
    return [*found, (41, values[41]), (58, words[b"text"]), (102, words[b"code"]), (434, words[b"kind"])]

"""The commands behind the open orders, carried from batch to batch.

A fill's row in the archive tells the order's ClOrdID, client, limit price and so on, but its event holds none of
them: they were in the command that entered the order, or in the last that replaced it, perhaps batches ago. `Carried`
keeps those commands with their annexes for the orders that are open at a batch's end, and what only events say of
them: the price in force (a slid, triggered or repriced order's is not its command's), the stop price in force, and
whether a stop was triggered. It is derived from the records alone, so a verifier that reads the files in order has the
very same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cores.records import CommandKind, EventKind, OrdType
from venue.annexes import binary_array, blob_of
from venue.archive_records import SEQ_BITS, ColumnsError, Records, Words

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]

_ACCEPTED, _FILL, _CANCELLED = EventKind.ACCEPTED.value, EventKind.FILL.value, EventKind.CANCELLED.value
_REPLACED, _EXPIRED = EventKind.REPLACED.value, EventKind.EXPIRED.value
_OF_ORDER = np.zeros(256, np.bool_)  # by kind: events of one order that was at least received
_TRIGGERED, _RESTATED = EventKind.TRIGGERED.value, EventKind.RESTATED.value
_OF_ORDER[[_ACCEPTED, EventKind.REJECTED.value, _FILL, _CANCELLED, _REPLACED, _EXPIRED]] = True
_OF_ORDER[[_TRIGGERED, EventKind.REFRESHED.value, _RESTATED]] = True
_SETS_PRICE = np.zeros(256, np.bool_)
_SETS_PRICE[[_ACCEPTED, _REPLACED, _TRIGGERED, _RESTATED]] = True


def _no_words() -> Words:
    return np.zeros((0, 8), np.uint64)


@dataclass
class Carried:
    """Open orders in ascending order of id: the command that entered each, the last that set its terms, and `facts`:
    price in force, stop price in force, 1 once triggered."""

    order_ids: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    entries: Words = field(default_factory=_no_words)
    entry_annexes: pa.Array = field(default_factory=lambda: pa.array([], pa.binary()))
    terms: Words = field(default_factory=_no_words)
    terms_annexes: pa.Array = field(default_factory=lambda: pa.array([], pa.binary()))
    facts: U64 = field(default_factory=lambda: np.zeros((0, 3), np.uint64))

    def check(self) -> None:
        """Assert ascending ids and one entry and one set of terms for each."""
        count = len(self.order_ids)
        assert np.all(self.order_ids[1:] > self.order_ids[:-1])
        assert len(self.entries) == len(self.entry_annexes) == len(self.terms) == len(self.terms_annexes) == count
        assert self.facts.shape == (count, 3)

    def find(self, order_ids: U64) -> I64:
        """Where each order is in here; -1 where it is not."""
        if len(self.order_ids) == 0:
            return np.full(len(order_ids), -1, np.int64)
        at = np.minimum(np.searchsorted(self.order_ids, order_ids), len(self.order_ids) - 1)
        return np.where(self.order_ids[at] == order_ids, at, -1)


@dataclass
class OrderFacts:
    """For each event row, which command entered its order and which set its terms; -1 where unknown.

    The indices go into `commands` and the annexes: first those carried, touched by this batch, then the batch's own
    from `batch_start` on.
    """

    commands: Words
    annex: U8
    annex_ends: I64
    batch_start: int
    entry: I64
    terms: I64
    facts: U64  # for each row, as in Carried, after its event


def order_facts(records: Records, carried: Carried, kinds: I64) -> OrderFacts:
    """The commands behind every order event of a batch."""
    order_ids, rows = records.events[:, 3], records.row_commands()
    is_order = _OF_ORDER[kinds]
    entry_seq = (order_ids >> np.uint64(SEQ_BITS)).astype(np.int64)
    offset = entry_seq - records.first_seq
    within = is_order & (offset >= 0) & (offset < len(records.commands))
    touched = carried.find(np.unique(order_ids[is_order & ~within]))
    touched = touched[touched >= 0]
    start = 2 * len(touched)
    position = np.full(len(carried.order_ids) + 1, -1, np.int64)  # the last stands for "not carried"
    position[touched] = np.arange(len(touched))
    before = np.where(is_order & ~within, position[carried.find(order_ids)], -1)
    entry = np.where(within, start + offset, before)
    terms = np.where(within, entry, np.where(before >= 0, before + len(touched), -1))
    _follow_replaces(order_ids, kinds, start + rows, terms, is_order)
    annex, annex_ends = _with_carried(records, carried, touched)
    commands = np.concatenate([carried.entries[touched], carried.terms[touched], records.commands])
    facts = _facts(records, carried, kinds, is_order)
    return OrderFacts(commands, annex, annex_ends, start, entry, terms, facts)


def _facts(records: Records, carried: Carried, kinds: I64, is_order: npt.NDArray[np.bool_]) -> U64:
    """Price, stop price and triggered of each row's order after its event."""
    order_ids = records.events[:, 3]
    of_row = records.commands[records.row_commands()]
    before = carried.find(order_ids)
    facts = np.zeros((len(kinds), 3), np.uint64)
    known = is_order & (before >= 0)
    facts[known] = carried.facts[before[known]]
    accepted, ord_type = kinds == _ACCEPTED, (of_row[:, 0] >> np.uint64(16)) & np.uint64(0xFF)
    rejected = kinds == EventKind.REJECTED.value
    entered = accepted | rejected
    is_stop = entered & ((ord_type == OrdType.STOP.value) | (ord_type == OrdType.STOP_LIMIT.value))
    stops = np.where(entered, np.where(is_stop, of_row[:, 4], np.uint64(0)), of_row[:, 7])
    replace = (of_row[:, 0] & np.uint64(0xFF)) == CommandKind.REPLACE.value
    sets_stop = entered | ((kinds == _REPLACED) & replace & (of_row[:, 7] != 0))
    with_price = (ord_type == OrdType.LIMIT.value) | (ord_type == OrdType.STOP_LIMIT.value)
    prices = np.where(rejected, np.where(with_price, of_row[:, 5], np.uint64(0)), records.events[:, 4])
    _follow(order_ids, is_order & (_SETS_PRICE[kinds] | rejected), prices, facts[:, 0], is_order)
    _follow(order_ids, is_order & sets_stop, stops, facts[:, 1], is_order)
    triggered = (kinds == _TRIGGERED).astype(np.uint64)
    _follow(order_ids, accepted | (kinds == _TRIGGERED), triggered, facts[:, 2], is_order)
    return facts


def carry(records: Records, carried: Carried) -> Carried:
    """What is carried into the next batch: orders that were open before or entered here, less those that ended."""
    kinds = (records.events[:, 0] & np.uint64(0xFF)).astype(np.int64)
    order_ids, leaves = records.events[:, 3], records.events[:, 6]
    rows = records.row_commands()
    ended = (kinds == _CANCELLED) | (kinds == _EXPIRED) | ((kinds == _FILL) & (leaves == 0))
    gone = np.unique(order_ids[ended])
    entered = np.flatnonzero(kinds == _ACCEPTED)
    entered = entered[~np.isin(order_ids[entered], gone)]
    old = np.flatnonzero(~np.isin(carried.order_ids, gone))
    annexes = binary_array(records.annex, records.annex_ends)
    new = pa.array(rows[entered])
    ids = np.concatenate([carried.order_ids[old], order_ids[entered]])
    if np.any(ids[1:] <= ids[:-1]):
        raise ColumnsError("order ids of ACCEPTED events must ascend from event to event and from batch to batch")
    entries = np.concatenate([carried.entries[old], records.commands[rows[entered]]])
    entry_annexes = pa.concat_arrays([carried.entry_annexes.take(pa.array(old)), annexes.take(new)])
    terms = np.concatenate([carried.terms[old], records.commands[rows[entered]]])
    terms_annexes = pa.concat_arrays([carried.terms_annexes.take(pa.array(old)), annexes.take(new)])
    facts = _facts(records, carried, kinds, _OF_ORDER[kinds])
    after = np.concatenate([carried.facts[old], facts[entered]])
    result = Carried(ids, entries, entry_annexes, terms, terms_annexes, after)
    touched = np.flatnonzero(_OF_ORDER[kinds])
    place = result.find(order_ids[touched])
    result.facts[place[place >= 0]] = facts[touched[place >= 0]]  # of several rows, the last
    replaced = np.flatnonzero(kinds == _REPLACED)
    at = result.find(order_ids[replaced])
    replaced, at = replaced[at >= 0], at[at >= 0]
    if len(at):
        result.terms = result.terms.copy()
        result.terms[at] = records.commands[rows[replaced]]  # of several, the last: assignments go in order
        source = np.arange(len(ids))
        source[at] = len(ids) + rows[replaced]
        result.terms_annexes = pa.concat_arrays([terms_annexes, annexes]).take(pa.array(source))
    result.check()
    return result


def _follow_replaces(order_ids: U64, kinds: I64, commands: I64, terms: I64, is_order: npt.NDArray[np.bool_]) -> None:
    """From the row of a REPLACED on, the order's terms are those of that command."""
    _follow(order_ids, kinds == _REPLACED, commands, terms, is_order)


def _follow(
    order_ids: U64,
    sets: npt.NDArray[np.bool_],
    values: npt.NDArray[Any],
    result: npt.NDArray[Any],
    is_order: npt.NDArray[np.bool_],
) -> None:
    """Writes into `result`, at each of an order's rows, the value of its last row so far that sets one."""
    setters = np.flatnonzero(sets)
    if len(setters) == 0:
        return
    changed = np.unique(order_ids[setters])
    rank = np.minimum(np.searchsorted(changed, order_ids), len(changed) - 1)
    rows = np.flatnonzero(is_order & (changed[rank] == order_ids))
    span = len(order_ids)
    keys = rank[setters] * span + setters
    by_key = np.argsort(keys)
    at = np.searchsorted(keys[by_key], rank[rows] * span + rows, side="right") - 1
    found = setters[by_key[np.maximum(at, 0)]]
    same = (at >= 0) & (order_ids[found] == order_ids[rows])
    result[rows[same]] = values[found[same]]


def _with_carried(records: Records, carried: Carried, touched: I64) -> tuple[U8, I64]:
    if len(touched) == 0:
        return records.annex, records.annex_ends
    index = pa.array(touched)
    before, before_ends = blob_of(
        pa.concat_arrays([carried.entry_annexes.take(index), carried.terms_annexes.take(index)])
    )
    return np.concatenate([before, records.annex]), np.concatenate([before_ends, records.annex_ends + len(before)])

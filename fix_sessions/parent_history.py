"""What the journal says about parent orders: their entries, their children, and the mass cancels that swept them.

Read once, at a start of the venue, and only so far back as a parent can last: the segments say when they began. Entries
are found by their kind and by their first bytes, whole slices at a time; only what is about a parent becomes an object.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cores import CommandFlag, CommandKind, CoreConfig
from fix_sessions import child_names, messages
from fix_sessions.parent_orders import Entry
from venue.follower import Follower, Slice, segments
from venue.records import SALT_BYTES
from venue.trades import SLICE_COMMANDS, Trades

CHILD = b"35=D\x0111=" + child_names.CHILD_MARK


@dataclass(frozen=True)
class Child:
    """A child as it was entered, and what its parent had done before it."""

    seq: int
    parent_seq: int
    number: int
    cum_lots: int
    value: int

    @classmethod
    def of(cls, seq: int, body: bytes) -> Child | None:
        """None when the body is no child's."""
        words = dict(part.partition(b"=")[::2] for part in body.split(messages.SOH))
        name = child_names.parse(words.get(b"11", b""))
        if name is None or b"cum_lots" not in words:
            return None
        return cls(seq, *name, int(words[b"cum_lots"]), int(words[b"value"]))


@dataclass(frozen=True)
class Sweep:
    """A mass cancel of a session's orders in one book; side 0: both."""

    session: int
    symbol: int
    account: int
    side: int


Found = Entry | Child | Sweep


def history(journal_dir: Path, reach_ns: int) -> Iterator[Found]:
    """Everything about parents that began at most `reach_ns` before the last entry, in order."""
    first = first_seq(journal_dir, reach_ns)
    if first == 0:
        return
    with Follower(journal_dir, first) as follower:
        while len(piece := follower.poll(SLICE_COMMANDS)):
            yield from found_in(piece)


def first_seq(journal_dir: Path, reach_ns: int) -> int:
    """The first entry of the last segment that began more than `reach_ns` before the last entry; 0: no entries."""
    firsts = segments(journal_dir)
    with Follower(journal_dir) as follower:
        mark = follower.watermark()
    if mark is None or mark.durable_seq == 0 or not firsts:
        return 0
    last_ns = _time_of(journal_dir, mark.durable_seq)
    firsts = [seq for seq in firsts if seq <= mark.durable_seq]
    before = bisect_right(firsts, last_ns - reach_ns, key=lambda seq: _time_of(journal_dir, seq))
    return firsts[max(0, before - 1)]


def _time_of(journal_dir: Path, seq: int) -> int:
    with Follower(journal_dir, seq) as follower:
        return int(follower.poll(1).commands["time_ns"][0])


def found_in(piece: Slice) -> Iterator[Found]:
    """What consecutive entries say about parents, in order."""
    commands = piece.commands
    of_time = (commands["kind"] == CommandKind.TIME) & (commands["session"] != 0)
    swept = (commands["kind"] == CommandKind.MASS_CANCEL) & (commands["session"] != 0)
    swept &= (commands["flags"] & CommandFlag.BY_SESSION) != 0
    rows = set(np.flatnonzero(of_time | swept).tolist()) | set(_child_rows(piece))
    for row in sorted(rows):
        found = _found_at(piece, row)
        if found is not None:
            yield found


def _child_rows(piece: Slice) -> Iterator[int]:
    at = piece.annex.find(CHILD)
    while at >= 0:
        yield int(np.searchsorted(piece.annex_ends, at, side="right"))
        at = piece.annex.find(CHILD, at + 1)


def _found_at(piece: Slice, row: int) -> Found | None:
    command = piece.commands[row]
    kind, seq, session = int(command["kind"]), int(command["seq"]), int(command["session"])
    account, symbol = int(command["account"]), int(command["symbol"])
    if kind == CommandKind.MASS_CANCEL:
        return Sweep(session, symbol, account, int(command["side"]))
    start = int(piece.annex_ends[row - 1]) if row else 0
    body = piece.annex[start + SALT_BYTES : int(piece.annex_ends[row])]
    if kind == CommandKind.TIME:
        return Entry.of(seq, session, account, symbol, body)
    return Child.of(seq, body) if kind == CommandKind.NEW and body.startswith(CHILD) else None


def traded_by(journal_dir: Path, config: CoreConfig, entry_seq: int) -> tuple[int, int]:
    """Lots and their value that the order of this entry traded, by a replay of the whole journal: exact, and long."""
    trades = Trades(journal_dir, config)
    try:
        fills = trades.follow()
    finally:
        trades.close()
    own = fills[fills["order_id"] >> np.uint64(messages.SEQ_BITS) == entry_seq]
    return int(own["qty_lots"].sum()), int((own["qty_lots"] * own["price_ticks"]).sum())

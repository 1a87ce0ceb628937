"""What the journal says about parent orders: their entries, their children, and the mass cancels that swept them.

Read once, at a start of the venue, and only so far back as a parent can last: the segments say when they began. Entries
are found by their kind and by their first bytes, whole slices at a time; only what is about a parent becomes an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from venue._engine import segment_head_of

from cores import CommandFlag, CommandKind, Side
from fix_sessions import child_names
from fix_sessions.parent_orders import Child, Entry
from venue.busts import side_fields
from venue.follower import SEGMENT_HEAD_BYTES, Follower, Slice, segments
from venue.records import SALT_BYTES
from venue.trades import SLICE_COMMANDS

CHILD = b"35=D\x0111=" + child_names.CHILD_MARK


@dataclass(frozen=True)
class Sweep:
    """A mass cancel of a session's orders in one book; side 0: both."""

    session: int
    symbol: int
    account: int
    side: int


@dataclass(frozen=True)
class Busted:
    """A trade of a child that an operator wanted taken back; whether it was, the order table knows."""

    parent_seq: int
    number: int


Found = Entry | Child | Sweep | Busted


def history(journal_dir: Path, reach_ns: int) -> Iterator[Found]:
    """Everything about parents that began within the last `reach_ns` of the venue's running, in order."""
    first = first_seq(journal_dir, reach_ns)
    if first == 0:
        return
    with Follower(journal_dir, first) as follower:
        while len(piece := follower.poll(SLICE_COMMANDS)):
            yield from found_in(piece)


def first_seq(journal_dir: Path, reach_ns: int) -> int:
    """The first entry of a segment such that the venue has run for `reach_ns` since, or the very first; 0: no entries.

    Time in which it did not run is not counted: what was due then is made up for, and journaled, by the next start, so
    a parent whose end no start came to write is found however long ago that was.
    """
    with Follower(journal_dir) as follower:
        mark = follower.watermark()
    firsts = [seq for seq in segments(journal_dir) if mark is not None and seq <= mark.durable_seq]
    if mark is None or not firsts:
        return 0
    ran_ns, last = 0, mark.durable_seq
    until_ns, epoch = _time_of(journal_dir, last), _epoch_of(journal_dir, firsts[-1])
    for first in reversed(firsts):
        own = _epoch_of(journal_dir, first)
        if own != epoch:  # the writer began anew behind this segment
            until_ns = _time_of(journal_dir, last)
        begin_ns = _time_of(journal_dir, first)
        ran_ns += until_ns - begin_ns
        if ran_ns > reach_ns:
            return first
        last, until_ns, epoch = first - 1, begin_ns, own
    return firsts[0]


def _epoch_of(journal_dir: Path, first: int) -> int:
    """Which start of the writer made a segment."""
    with (journal_dir / f"{first:020d}.journal").open("rb") as file:
        head = segment_head_of(file.read(SEGMENT_HEAD_BYTES))
    assert head is not None, "the writer has read it"
    return int(head["epoch"])


def _time_of(journal_dir: Path, seq: int) -> int:
    with Follower(journal_dir, seq) as follower:
        return int(follower.poll(1).commands["time_ns"][0])


def found_in(piece: Slice) -> Iterator[Found]:
    """What consecutive entries say about parents, in order."""
    commands = piece.commands
    of_time = (commands["kind"] == CommandKind.TIME) & (commands["session"] != 0)
    swept = (commands["kind"] == CommandKind.MASS_CANCEL) & (commands["session"] != 0)
    swept &= (commands["flags"] & CommandFlag.BY_SESSION) != 0
    busts = commands["kind"] == CommandKind.BUST
    rows = set(np.flatnonzero(of_time | swept | busts).tolist()) | set(_child_rows(piece))
    for row in sorted(rows):
        if busts[row]:
            yield from _busted(_body(piece, row))
            continue
        found = _found_at(piece, row)
        if found is not None:
            yield found


def _busted(body: bytes) -> Iterator[Busted]:
    for side in Side.BUY, Side.SELL:
        name = child_names.parse(side_fields(body, side).get(11, b""))
        if name is not None:
            yield Busted(*name)


def _body(piece: Slice, row: int) -> bytes:
    start = int(piece.annex_ends[row - 1]) if row else 0
    return piece.annex[start + SALT_BYTES : int(piece.annex_ends[row])]


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
    body = _body(piece, row)
    if kind == CommandKind.TIME:
        return Entry.of(seq, session, account, symbol, body)
    return Child.of(seq, body) if kind == CommandKind.NEW and body.startswith(CHILD) else None

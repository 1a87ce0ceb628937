"""Whether each busted trade of an archive was there, as its BUST says, and was not busted before.

The core remembers no trades: it, and so the proof, only vouches that a bust makes no money and leaves nobody owing
(matching rules B1..B5). Whoever has the archive finds the rest, here: the two FILLs that a BUST names, earlier, with
its symbol, accounts, sessions, price, quantity and fees; no earlier bust of them; their instrument not defined anew
meanwhile. What lies in a batch that was not given is said to be unchecked, never taken for right.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from cores import EventFlag, EventKind, Side
from cores.records import CommandKind
from venue.annexes import SALT_BYTES
from venue.archive_file import ArchiveError, decode
from venue.archive_records import SEQ_BITS, Records
from venue.static_data import StaticData

BP = 10_000
INDEX_MASK = (1 << SEQ_BITS) - 1
_NAMED = 4  # so many trades are named in a note


@dataclass
class Found:
    """What is to be said of one file's busts: problems with their row, notes, and how many were found right."""

    problems: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    right: int = 0


@dataclass(frozen=True)
class Party:
    """One side of a trade as a BUST says it."""

    account: int
    session: int
    fee: int


@dataclass(frozen=True)
class Bust:
    """One BUST that was applied: what it says, and where its events stand."""

    exec_id: int
    trade_id: int
    symbol: int
    price_ticks: int
    qty_lots: int
    buyer: Party
    seller: Party
    row: int
    events: list[list[int]]
    annex: dict[bytes, bytes]  # what is told of the sides: `buy.<tag>`, `sell.<tag>`

    @property
    def name(self) -> str:
        return f"bust {_printed(self.exec_id)} of trade {_printed(self.trade_id)}"


class BustChecks:
    """What is carried from file to file: where trades can be looked up, and what was busted and defined anew."""

    def __init__(self) -> None:
        self._files: list[tuple[int, int, Path]] = []  # first and last seq of the files given so far
        self._busted: dict[int, int] = {}  # trade: the bust
        self._defined: dict[int, list[int]] = {}  # symbol: where it was

    def file(self, path: Path, records: Records, static: StaticData) -> Found:
        """Checks the busts of the next file."""
        if self._files and records.first_seq <= self._files[-1][1]:  # not a later file: another archive begins
            self._files, self._busted, self._defined = [], {}, {}
        self._files.append((records.first_seq, records.last_seq, path))
        found = Found()
        kinds = records.events[:, 0] & np.uint64(0xFF)
        for row in np.flatnonzero(kinds == EventKind.INSTRUMENT_SET):
            symbol, seq = int(records.events[row, 0]) >> 48, int(records.events[row, 1]) >> SEQ_BITS
            self._defined.setdefault(symbol, []).append(seq)
        sources: dict[Path, Records | None] = {path: records}
        missing: list[int] = []
        for bust in _busts(records, static, found):
            self._one(bust, sources, found, missing)
        if missing:
            found.notes.append(
                f"not checked: {len(missing)} busted trades lie in batches that were not given, or could not be read: "
                + ", ".join(_printed(trade) for trade in missing[:_NAMED])
                + (", ..." if len(missing) > _NAMED else "")
            )
        return found

    def _one(self, bust: Bust, sources: dict[Path, Records | None], found: Found, missing: list[int]) -> None:
        wrong = _own_fault(bust)
        before = self._busted.setdefault(bust.trade_id, bust.exec_id)
        if before != bust.exec_id:
            wrong = wrong or f"it was busted before, by {_printed(before)}"
        if wrong is None and (place := self._place(bust.trade_id >> SEQ_BITS)) is not None:
            first_seq, last_seq, path = self._files[place]
            if path not in sources:
                sources[path] = _read(path, first_seq, last_seq)
            source = sources[path]
            if source is not None:
                wrong = _fault(bust, source) or self._defined_anew(bust)
                if wrong is None:
                    self._say_gaps(bust, place, found)
                    found.right += 1
                    return
        if wrong is None:
            missing.append(bust.trade_id)
        else:
            found.problems.append((f"{bust.name}: {wrong}", bust.row))

    def _place(self, seq: int) -> int | None:
        at = bisect_right(self._files, seq, key=lambda file: file[0]) - 1
        return at if at >= 0 and seq <= self._files[at][1] else None

    def _defined_anew(self, bust: Bust) -> str | None:
        traded, busted = bust.trade_id >> SEQ_BITS, bust.exec_id >> SEQ_BITS
        between = [seq for seq in self._defined.get(bust.symbol, ()) if traded < seq < busted]
        return f"its instrument was defined anew between the two, by command {between[0]}" if between else None

    def _say_gaps(self, bust: Bust, place: int, found: Found) -> None:
        """A batch between the two that was not given may hold another bust of the trade."""
        files = self._files[place:]
        if any(after[0] != before[1] + 1 for before, after in pairwise(files)):
            found.notes.append(
                f"{bust.name}: not checked in the batches between the two that were not given: whether it was busted "
                "there too, or its instrument defined anew"
            )


def _busts(records: Records, static: StaticData, found: Found) -> Iterator[Bust]:
    """The busts of a batch; what no core could have made of a command is a problem."""
    kinds = (records.events[:, 0] & np.uint64(0xFF)).astype(np.int64)
    commands = (records.commands[:, 0] & np.uint64(0xFF)).astype(np.int64)
    rows = np.flatnonzero(kinds == EventKind.BUSTED)
    firsts = records.first_rows()
    refused = kinds[firsts] == EventKind.COMMAND_REJECTED
    meant = set(np.flatnonzero((commands == CommandKind.BUST) & ~refused).tolist())
    meant |= set(records.row_commands()[rows].tolist())
    for number in sorted(meant):
        first, end = int(firsts[number]), int(records.event_ends[number])
        own = [row for row in range(first, end) if kinds[row] == EventKind.BUSTED]
        if commands[number] != CommandKind.BUST:
            found.problems.append(("a BUSTED event, but its command is no BUST", own[0]))
            continue
        yield _bust(records, static, number, first, [list(map(int, records.events[row])) for row in own])


def _bust(records: Records, static: StaticData, number: int, row: int, events: list[list[int]]) -> Bust:
    head, seq, _, owner, trade_id, price, qty, aux = map(int, records.commands[number])
    value = price * qty * _tick_value(records, static, head >> 48, row)
    return Bust(
        exec_id=seq << SEQ_BITS,
        trade_id=trade_id,
        symbol=head >> 48,
        price_ticks=price,
        qty_lots=qty,
        buyer=Party(owner & 0xFFFF, owner >> 16 & 0xFFFF, _fee(value, aux & 0xFFFFFFFF)),
        seller=Party(owner >> 32 & 0xFFFF, owner >> 48, _fee(value, aux >> 32)),
        row=row,
        events=events,
        annex=_fields(records, number),
    )


def _fields(records: Records, number: int) -> dict[bytes, bytes]:
    """Of a command's annex, whatever it holds."""
    start = int(records.annex_ends[number - 1]) if number else 0
    body = records.annex[start : int(records.annex_ends[number])].tobytes()[SALT_BYTES:]
    return dict(field.split(b"=", 1) for field in body.split(b"\x01") if b"=" in field)


def _tick_value(records: Records, static: StaticData, symbol: int, row: int) -> int:
    """As the batch began, or as set in it before the row."""
    heads = records.events[:row, 0]
    here = np.flatnonzero(heads & np.uint64(0xFF) == EventKind.INSTRUMENT_SET)
    here = here[heads[here] >> np.uint64(48) == symbol]
    if len(here):
        return int(records.events[here[-1], 7])
    return static.instruments[symbol].tick_value if symbol < len(static.instruments) else 0


def _fee(value: int, bp: int) -> int:
    """Of basis points in an int32, below zero a rebate."""
    bp -= (bp & 1 << 31) << 1
    return -(value * -bp // BP) if bp < 0 else value * bp // BP


def _own_fault(bust: Bust) -> str | None:
    """What is wrong in the bust itself: its events are not those of its command."""
    if bust.trade_id >= bust.exec_id:
        return "it is not earlier than its bust"
    if len(bust.events) != 2:
        return f"it has {len(bust.events)} BUSTED events, must have 2"
    for side, said, event in zip((Side.BUY, Side.SELL), (bust.buyer, bust.seller), bust.events, strict=True):
        terms = {
            "symbol": (event[0] >> 48, bust.symbol),
            "side": (event[0] >> 16 & 0xFF, side.value),
            "trade": (event[3], bust.trade_id),
            **_terms(event, said, bust),
        }
        for name, (shown, right) in terms.items():
            if shown != right:
                return f"{name} of the {side.name.lower()} side's BUSTED event is {shown}, the BUST says {right}"
    return None


def _fault(bust: Bust, source: Records) -> str | None:
    """What is wrong with the trade that the bust names, in the records that must hold it."""
    number = (bust.trade_id >> SEQ_BITS) - source.first_seq
    row = int(source.first_rows()[number]) + (bust.trade_id & INDEX_MASK)
    end = int(source.event_ends[number])
    fills = [list(map(int, event)) for event in source.events[row : min(row + 2, end)]]
    if len(fills) < 2 or any(fill[0] & 0xFF != EventKind.FILL for fill in fills) or not _is_first(fills[0]):
        return "there is no such trade: no pair of FILLs begins there"
    sides = {fill[0] >> 16 & 0xFF: fill for fill in fills}
    if set(sides) != {Side.BUY, Side.SELL}:
        return "there is no such trade: the two FILLs there are of one side"
    for side, said in ((Side.BUY, bust.buyer), (Side.SELL, bust.seller)):
        fill = sides[side.value]
        terms = {"symbol": (fill[0] >> 48, bust.symbol), **_terms(fill, said, bust)}
        for name, (traded, busted) in terms.items():
            if traded != busted:
                return f"{name} of the {side.name.lower()} side is {busted} in the bust, {traded} in the trade"
        for tag, name, fact in ((19, "ExecID", _printed(fill[1])), (37, "OrderID", str(fill[3]))):
            key = f"{side.name.lower()}.{tag}"
            told = bust.annex.get(key.encode(), fact.encode()).decode("ascii", "replace")
            if told != fact:
                return (
                    f"its annex names the fill of the {side.name.lower()} side wrongly: {name} is {fact}, {key}={told}"
                )
    return None


def _terms(event: list[int], said: Party, bust: Bust) -> dict[str, tuple[int, int]]:
    """What a FILL or BUSTED event shows, and what the BUST says."""
    return {
        "account": (event[2] & 0xFFFFFFFF, said.account),
        "session": (event[2] >> 32 & 0xFFFF, said.session),
        "price_ticks": (event[4], bust.price_ticks),
        "qty_lots": (event[5], bust.qty_lots),
        "fee": (event[7] - (event[7] >> 63 << 64), said.fee),
    }


def _is_first(fill: list[int]) -> bool:
    """Of a trade's FILLs: the resting order's, in an uncross the buyer's."""
    flags = fill[0] >> 24 & 0xFFFFFF
    return not flags & EventFlag.AGGRESSOR and not (flags & EventFlag.AUCTION and fill[0] >> 16 & 0xFF == Side.SELL)


def _read(path: Path, first_seq: int, last_seq: int) -> Records | None:
    """The records of a file that was given before; what is wrong with it has been said there. None when it is gone, or
    another than it was then."""
    try:
        records = decode(path.name, path.read_bytes()).records()
    except (OSError, ArchiveError):
        return None
    return records if (records.first_seq, records.last_seq) == (first_seq, last_seq) else None


def _printed(exec_id: int) -> str:
    return f"{exec_id >> SEQ_BITS}-{exec_id & INDEX_MASK}"

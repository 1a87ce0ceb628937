"""Every fill and bust of the journal, for whoever asks what was traded: both sides of it, in order, durable ones only.

The engine does not remember fills; the journal has the commands, and a core of our own makes the fills of them again.
It is kept from question to question and goes on where it stood, so only the first one is long. What grows with the day
is in files, not in memory. All of the work is done by array operations that leave the interpreter's lock alone. Any
thread may ask, but never the gateway's: an answer takes as long as it takes.
"""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cores import Core, CoreConfig
from cores.records import EventFlag, EventKind, Side
from venue.follower import Follower, Slice
from venue.records import SALT_BYTES
from venue.row_file import RowFile

SLICE_COMMANDS = 65_536
SCAN_GAP = 200_000  # so many entries are read rather than a segment opened anew
SEQ_BITS = np.uint64(24)
FILL = np.dtype(
    [
        ("exec_id", "<u8"),
        ("trade_id", "<u8"),  # the same for both sides
        ("order_id", "<u8"),
        ("named_seq", "<u8"),  # the command that gave the order its present name; 0: a liquidation, which has none
        ("time_ns", "<u8"),
        ("trade_time_ns", "<u8"),
        ("price_ticks", "<u8"),
        ("qty_lots", "<u8"),
        ("fee", "<i8"),  # in quote units, below zero a rebate
        ("account", "<u4"),
        ("session", "<u2"),  # which was told of it
        ("symbol", "<u2"),
        ("side", "u1"),
        ("flags", "u1"),
        ("busted_exec_id", "<u8"),  # 0; of a bust the fill of its side, whose order, name, flags and time it has
    ]
)

CHANGE = np.dtype([("order_id", "<u8"), ("qty_lots", "<u8")])
"""OrderQty(38) of an order whose entry does not say it any more."""
NAMES_MIN = 4096

RARE = (EventKind.REPLACED, EventKind.RESTATED, EventKind.BUSTED, EventKind.INSTRUMENT_SET)
COPIED = ("exec_id", "order_id", "price_ticks", "qty_lots", "account", "session", "symbol", "side", "flags")

Fills = NDArray[np.void]
_TAKEN = np.zeros(256, np.bool_)
_TAKEN[[EventKind.FILL, EventKind.REPLACED, EventKind.BUSTED]] = True


class Trades:
    """The fills and busts of one journal as far as `follow` has come."""

    def __init__(self, journal_dir: Path, config: CoreConfig) -> None:
        self.journal_dir = journal_dir
        self._config = config
        self._lock = threading.Lock()
        self._log = RowFile(journal_dir, FILL)
        self._changes = RowFile(journal_dir, CHANGE)
        self._begin()

    def _begin(self) -> None:
        """Knows nothing yet."""
        self._follower = Follower(self.journal_dir)
        self._core: Core | None = None
        self._log.clear()
        self._changes.clear()
        self._names: dict[int, tuple[int, int]] = {}  # replaced orders: the command that did it last, and the symbol
        self._names_max = NAMES_MIN
        self.busted: dict[int, int] = {}  # trades that were taken back: the ExecID of the buyer's BUSTED
        self.instruments: dict[int, tuple[int, int]] = {}  # the command that set the terms last, and its tick_value

    @property
    def last_seq(self) -> int:
        """Up to which command the fills are known."""
        return self._follower.next_seq - 1

    def check(self) -> None:
        """Asserts that fills are in order, busts later than what they take back, and the bound on names."""
        fills = self.fills()
        ids = fills["exec_id"]
        assert bool(np.all(ids[1:] > ids[:-1]))
        assert bool(np.all(fills["busted_exec_id"] < ids))
        assert len(self._names) <= self._names_max
        with self._lock:
            self._log.check()
            self._changes.check()

    def follow(self, seconds_max: float = math.inf) -> None:
        """Reads what has become durable since, or as much of it as can be read in a time; the next call goes on there.

        Raises JournalDamaged or OSError; the next call then begins anew.
        """
        end = time.monotonic() + seconds_max
        while self._follow_slice() and time.monotonic() < end:
            pass

    def fills(self, after_exec_id: int = 0) -> Fills:
        """All of them, or those after an ExecID."""
        with self._lock:
            fills = self._log.rows()
        return fills[np.searchsorted(fills["exec_id"], np.uint64(after_exec_id), "right") :]

    def of_trade(self, exec_id: int) -> Fills:
        """Both fills of the trade that one of them is named of; none when no fill has this ExecID."""
        fills = self.fills()
        at = int(np.searchsorted(fills["exec_id"], np.uint64(exec_id)))
        if at == len(fills) or int(fills["exec_id"][at]) != exec_id or fills["busted_exec_id"][at]:
            return fills[:0]
        first = at if int(fills["trade_id"][at]) == exec_id else at - 1
        return fills[first : first + 2]

    def of_order(self, order_id: int) -> tuple[int, int]:
        """Lots, and their value, of an order's fills that were not taken back."""
        fills = self.fills()
        own = fills[fills["order_id"] == np.uint64(order_id)]
        kept = own[[int(trade) not in self.busted for trade in own["trade_id"]]]
        return int(kept["qty_lots"].sum()), int((kept["qty_lots"] * kept["price_ticks"]).sum())

    def of_entry(self, seq: int) -> tuple[int, int]:
        """Lots and their value that the orders of one command traded, busted or not: a bust gives none back to them."""
        fills = self.fills()
        of_entry = fills["order_id"] >> SEQ_BITS == seq
        own = fills[of_entry & (fills["busted_exec_id"] == 0)]
        return int(own["qty_lots"].sum()), int((own["qty_lots"] * own["price_ticks"]).sum())

    def order_lots(self, order_id: int) -> int:
        """OrderQty of an order as it was entered, replaced or restated last."""
        with self._lock:
            changes = self._changes.rows()
        changed = changes["qty_lots"][changes["order_id"] == np.uint64(order_id)]
        if len(changed):
            return int(changed[-1])
        with Follower(self.journal_dir, order_id >> int(SEQ_BITS)) as follower:
            return int(follower.poll(1).commands["qty_lots"][0])

    def close(self) -> None:
        """Gives files and memory back. Idempotent; a later `follow` begins anew."""
        with self._lock:
            self._end()

    def _follow_slice(self) -> bool:
        """Whether there was one."""
        with self._lock:
            try:
                piece = self._follower.poll(SLICE_COMMANDS)
                if len(piece):
                    self._take(piece)
            except BaseException:
                self._end()
                raise
            return len(piece) > 0

    def _end(self) -> None:
        self._follower.close()
        self._begin()

    def _take(self, piece: Slice) -> None:
        if self._core is None:
            self._core = Core(self._config)
        events, _ = self._core.apply(piece.commands)
        fills = self._fills_of(events, piece.commands)
        self._refer(fills, self._log.rows())
        self._log.append(fills)
        if len(self._names) > self._names_max:
            self._forget_names(self._core)

    def _fills_of(self, events: NDArray[np.void], commands: NDArray[np.void]) -> Fills:
        self._follow_rare(events[np.isin(events["kind"], RARE)])
        kinds = events["kind"]
        rows = np.flatnonzero(_TAKEN[kinds])
        events, is_fill = events[rows], kinds[rows] != EventKind.REPLACED
        seqs = events["exec_id"] >> SEQ_BITS
        if not is_fill.all():  # a pegged order that the venue has moved has the name that it had
            sessions = commands["session"][(seqs - commands["seq"][0]).astype(np.int64)]
            own = is_fill | (sessions == events["session"])
            events, is_fill, seqs = events[own], is_fill[own], seqs[own]
        fills = np.empty(int(is_fill.sum()), FILL)
        source = events[is_fill]
        for name in COPIED:
            fills[name] = source[name]
        fills["fee"] = source["aux"].view(np.int64) if len(source) else 0
        own = seqs[is_fill]
        fills["time_ns"] = commands["time_ns"][(own - commands["seq"][0]).astype(np.int64)] if len(own) else 0
        fills["trade_time_ns"] = fills["time_ns"]
        second = (fills["flags"] & EventFlag.AGGRESSOR) != 0
        second |= ((fills["flags"] & EventFlag.AUCTION) != 0) & (fills["side"] == Side.SELL)
        fills["trade_id"] = fills["exec_id"] - second.astype(np.uint64)
        busted = source["kind"] == EventKind.BUSTED
        fills["busted_exec_id"] = np.where(busted, fills["order_id"], 0)
        fills["trade_id"][busted] = fills["order_id"][busted]
        fills["named_seq"] = fills["order_id"] >> SEQ_BITS
        if self._names or not is_fill.all():
            self._follow_names(events, is_fill, seqs, fills)
        return fills

    def _refer(self, fills: Fills, earlier: Fills) -> None:
        """Gives each side of a bust what is known of the fill that it takes back."""
        for at in np.flatnonzero(fills["busted_exec_id"]).tolist():
            bust = fills[at]
            fill = _find((fills, earlier), int(bust["trade_id"]), int(bust["side"]))
            for name in ("order_id", "named_seq", "flags"):
                bust[name] = 0 if fill is None else fill[name]
            if fill is not None:
                bust["busted_exec_id"], bust["trade_time_ns"] = fill["exec_id"], fill["time_ns"]

    def _follow_rare(self, events: NDArray[np.void]) -> None:
        kinds = events["kind"]
        changed = events[(kinds == EventKind.REPLACED) | (kinds == EventKind.RESTATED)]
        if len(changed):
            rows = np.empty(len(changed), CHANGE)
            rows["order_id"], rows["qty_lots"] = changed["order_id"], changed["qty_lots"]
            self._changes.append(rows)
        for event in events[kinds == EventKind.INSTRUMENT_SET]:
            self.instruments[int(event["symbol"])] = int(event["exec_id"] >> SEQ_BITS), int(event["aux"])
        for event in events[kinds == EventKind.BUSTED]:
            self.busted.setdefault(int(event["order_id"]), int(event["exec_id"]))

    def _follow_names(
        self, events: NDArray[np.void], is_fill: NDArray[np.bool_], seqs: NDArray[np.uint64], fills: Fills
    ) -> None:
        rows = (events["order_id"].tolist(), events["symbol"].tolist(), is_fill.tolist(), seqs.tolist())
        at = 0
        for order_id, symbol, fill, seq in zip(*rows, strict=True):
            if not fill:
                self._names[order_id] = seq, symbol
                continue
            named = self._names.get(order_id)
            if named is not None:
                fills["named_seq"][at] = named[0]
            at += 1

    def _forget_names(self, core: Core) -> None:
        """Those of orders that are not open any more: such an order trades no more."""
        self._names = {
            order_id: name for order_id, name in self._names.items() if core.find_order(name[1], order_id) is not None
        }
        self._names_max = max(NAMES_MIN, 2 * len(self._names))


def _find(parts: tuple[Fills, ...], trade_id: int, side: int) -> np.void | None:
    """The fill of one side of a trade. None where there is no such trade: `venue verify` says so."""
    for part in parts:
        at = int(np.searchsorted(part["exec_id"], np.uint64(trade_id)))
        pair = part[at : at + 2]
        own = (pair["trade_id"] == trade_id) & (pair["side"] == side) & (pair["busted_exec_id"] == 0)
        if own.any():
            fill: np.void = pair[own][0]
            return fill
    return None


def bodies(journal_dir: Path, wanted: set[int]) -> dict[int, bytes]:
    """What was journaled beside these commands, without its salt."""
    found: dict[int, bytes] = {}
    seqs = sorted(wanted)
    while seqs:
        follower = Follower(journal_dir, seqs[0])
        try:
            seqs = _scan(follower, seqs, found)
        finally:
            follower.close()
    return found


def _scan(follower: Follower, seqs: list[int], found: dict[int, bytes]) -> list[int]:
    """Reads on until a gap that is not worth reading; returns what is left."""
    at = 0
    while at < len(seqs) and seqs[at] - follower.next_seq < SCAN_GAP:
        first = follower.next_seq
        piece = follower.poll(SLICE_COMMANDS)
        if not len(piece):
            return []
        while at < len(seqs) and seqs[at] < follower.next_seq:
            index = seqs[at] - first
            start = int(piece.annex_ends[index - 1]) if index else 0
            found[seqs[at]] = piece.annex[start + SALT_BYTES : int(piece.annex_ends[index])]
            at += 1
    return seqs[at:]

"""Reads the journal behind its writer: durable entries only, in order, without a gap.

Why: every part but the engine learns what happened from here, each in its own process, so that none of them can slow or
stop trading. A follower reads segment files up to the watermark that the writer maps; it takes no lock and writes
nothing. It must never hand out an entry that is not durable, skip one, or go on after damage.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cores.records import COMMAND
from venue._engine import JournalDamaged, parse, segment_head_of, watermark_of

SEGMENT_HEAD_BYTES = 64
ENTRY_BYTES_MAX = 88 + 4096
READ_BYTES = 4 << 20
MEND = (
    "mend it by putting back this segment from a standby's or a backup's copy of the journal folder, or rebuild the "
    "journal up to the last sealed batch from the archive"
)

__all__ = ["Follower", "JournalDamaged", "Slice", "Watermark", "segments"]


@dataclass(frozen=True)
class Slice:
    """Consecutive durable entries: the commands, and annex i at `annex[annex_ends[i - 1]:annex_ends[i]]`."""

    commands: NDArray[np.void]
    annex: bytes
    annex_ends: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.commands)


@dataclass(frozen=True)
class Watermark:
    """How far the writer is: entries up to `durable_seq` are durable and end at `offset` of segment `segment_seq`."""

    durable_seq: int
    segment_seq: int
    offset: int
    epoch: int
    state: int


def segments(journal_dir: Path) -> list[int]:
    """First sequence numbers of the segments that are there, ascending."""
    names = (path.name for path in journal_dir.glob("*.journal"))
    return sorted(int(name[:20]) for name in names if len(name) == 28 and name[:20].isdecimal())


class Follower:
    """Follows one journal from `from_seq` on. Survives rotation and restarts of the writer."""

    def __init__(self, journal_dir: Path | str, from_seq: int = 1) -> None:
        if from_seq < 1:
            raise ValueError(f"from_seq: sequence numbers begin at 1, not {from_seq}")
        self.journal_dir = Path(journal_dir)
        self.next_seq = from_seq
        self._mapping: mmap.mmap | None = None
        self._file = -1
        self._segment_seq = 0
        self._segment_epoch = 0
        self._offset = 0
        self._seen_epoch = 0
        self._first_epoch = 0

    def watermark(self) -> Watermark | None:
        """How far the writer is; None while there is no journal yet or the writer is changing it right now."""
        if self._mapping is None:
            path = self.journal_dir / "watermark"
            if not path.exists() or path.stat().st_size < 64:
                return None
            with path.open("rb") as file:
                self._mapping = mmap.mmap(file.fileno(), 64, prot=mmap.PROT_READ)
        found = watermark_of(self._mapping)
        return None if found is None else Watermark(*found)

    def poll(self, limit: int = 65_536) -> Slice:
        """At most `limit` further entries, empty when there are none yet. Raises JournalDamaged."""
        mark = self.watermark()
        if mark is None or not self._go_on(mark):
            return _slice([])
        pieces: list[Slice] = []
        count = 0
        while count < limit and self.next_seq <= mark.durable_seq:
            if self._file < 0:
                self._open_segment()
            piece = self._read(mark, limit - count)
            if piece is None:
                self._next_segment()
                continue
            pieces.append(piece)
            count += len(piece)
        return _slice(pieces)

    @property
    def lag(self) -> int:
        """Durable entries not yet handed out."""
        mark = self.watermark()
        return max(0, mark.durable_seq - self.next_seq + 1) if mark else 0

    def check(self) -> None:
        """Asserts that the position is inside the segment that is open."""
        assert self._file < 0 or self._segment_seq <= self.next_seq
        assert self._file < 0 or self._offset >= SEGMENT_HEAD_BYTES

    def close(self) -> None:
        """Gives file and mapping back. Idempotent."""
        self._close_segment()
        if self._mapping is not None:
            self._mapping.close()
            self._mapping = None

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _go_on(self, mark: Watermark) -> bool:
        """Whether the watermark can be followed from here. A new start of the writer may have replaced a segment."""
        if mark.epoch != self._seen_epoch:
            self._close_segment()
            self._first_epoch = self._first_epoch or mark.epoch
            self._seen_epoch = mark.epoch
        if self.next_seq - 1 <= mark.durable_seq:
            return True
        # After a power cut the watermark on disk is old until the writer has started again; then it must be right.
        if mark.epoch != self._first_epoch:
            raise JournalDamaged(
                f"{self.journal_dir}: the journal ends at entry {mark.durable_seq}, but entries up to "
                f"{self.next_seq - 1} were read from it before; {MEND}"
            )
        return False

    def _open_segment(self) -> None:
        """Opens the segment that holds `next_seq` and stands before it."""
        firsts = segments(self.journal_dir)
        index = bisect_right(firsts, self.next_seq) - 1
        if index < 0:
            raise JournalDamaged(f"{self.journal_dir}: no segment holds entry {self.next_seq}; {MEND}")
        self._segment_seq = firsts[index]
        path = self._path()
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        head = segment_head_of(os.pread(self._file, SEGMENT_HEAD_BYTES, 0))
        if head is None or head["first_seq"] != self._segment_seq:
            self._close_segment()
            raise JournalDamaged(f"{path}: offset 0: the segment's head is damaged; {MEND}")
        self._segment_epoch = head["epoch"]
        self._offset = SEGMENT_HEAD_BYTES
        self._skip_to(self.next_seq)

    def _skip_to(self, seq: int) -> None:
        at = self._segment_seq
        while at < seq:
            data = os.pread(self._file, READ_BYTES, self._offset)
            commands, _, _, consumed, _ = parse(data, at, self._segment_epoch, seq - 1, seq - at)
            if not len(commands):
                path, offset = self._path(), self._offset
                self._close_segment()
                raise JournalDamaged(f"{path}: offset {offset}: entry {at} is damaged or missing; {MEND}")
            at += len(commands)
            self._offset += consumed

    def _read(self, mark: Watermark, limit: int) -> Slice | None:
        """Entries of the open segment; None at its end."""
        current = mark.segment_seq == self._segment_seq
        size = mark.offset if current else os.fstat(self._file).st_size
        wanted = min(READ_BYTES, size - self._offset)
        if wanted <= 0 and not current:
            return None
        data = os.pread(self._file, max(0, wanted), self._offset)
        commands, annex, ends, consumed, bad = parse(data, self.next_seq, self._segment_epoch, mark.durable_seq, limit)
        if not len(commands):
            if not bad and not current:
                return None
            raise JournalDamaged(
                f"{self._path()}: offset {self._offset}: entry {self.next_seq} is damaged or missing, but entries up "
                f"to {mark.durable_seq} are durable; {MEND}"
            )
        self._offset += consumed
        self.next_seq += len(commands)
        return Slice(commands, annex, ends)

    def _next_segment(self) -> None:
        path = self.journal_dir / f"{self.next_seq:020d}.journal"
        ended, offset = self._path(), self._offset
        self._close_segment()
        if not path.exists():
            raise JournalDamaged(
                f"{ended}: offset {offset}: the segment ends before entry {self.next_seq}, and {path.name} is not "
                f"there; {MEND}"
            )

    def _path(self) -> Path:
        return self.journal_dir / f"{self._segment_seq:020d}.journal"

    def _close_segment(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _slice(pieces: list[Slice]) -> Slice:
    if not pieces:
        return Slice(np.empty(0, COMMAND), b"", np.empty(0, np.uint64))
    if len(pieces) == 1:
        return pieces[0]
    starts = np.cumsum([0, *(len(piece.annex) for piece in pieces[:-1])], dtype=np.uint64)
    ends = [piece.annex_ends + start for piece, start in zip(pieces, starts, strict=True)]
    commands = np.concatenate([piece.commands for piece in pieces])
    return Slice(commands, b"".join(piece.annex for piece in pieces), np.concatenate(ends))

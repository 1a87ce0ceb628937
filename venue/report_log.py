"""The last reports of all sessions in files, in order of their ExecID: what a drop copy is replayed from.

A file is a head of 64 bytes and records of `struct report`; when it has half of what is to be kept, the next one is
begun and the one before the last goes. It is a cache: it says up to which journal entry it is whole, survives the death
of its process at any instruction, and one that is damaged is thrown away and made again from the journal.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from venue.records import REPORT

HEAD_BYTES = 64
FILES_KEPT = 2
SEQ_BITS = 24
_HEAD = struct.Struct("<8sQQQQQ")  # magic, bytes of a record, from_seq, from_time_ns, seq, count
_MAGIC = b"FVREPLO2"
_SCAN_REPORTS = 16_384
_EXEC_ID = REPORT.fields["event"][1] + REPORT["event"].fields["exec_id"][1]  # type: ignore[index]


@dataclass
class _File:
    """One file: whole from the entry `from_seq` to `seq`, with `count` reports."""

    path: Path
    file: BinaryIO  # closed with its last reader
    from_seq: int
    from_time_ns: int  # of the entry before
    seq: int
    count: int

    @property
    def fd(self) -> int:
        return self.file.fileno()

    def write_head(self) -> None:
        words = (_MAGIC, REPORT.itemsize, self.from_seq, self.from_time_ns, self.seq, self.count)
        os.pwrite(self.fd, _HEAD.pack(*words), 0)

    def append(self, reports: NDArray[np.void], seq: int) -> None:
        data = memoryview(reports.tobytes())
        at = HEAD_BYTES + self.count * REPORT.itemsize
        while data:
            written = os.pwrite(self.fd, data, at)
            data, at = data[written:], at + written
        self.count, self.seq = self.count + len(reports), seq
        self.write_head()

    def read(self, first: int, limit: int) -> NDArray[np.void]:
        wanted = max(0, min(limit, self.count - first))
        data = os.pread(self.fd, wanted * REPORT.itemsize, HEAD_BYTES + first * REPORT.itemsize)
        return np.frombuffer(data, REPORT, len(data) // REPORT.itemsize)

    def exec_id(self, index: int) -> int:
        return int.from_bytes(os.pread(self.fd, 8, HEAD_BYTES + index * REPORT.itemsize + _EXEC_ID), "little")

    def after(self, exec_id: int) -> int:
        """Index of the first report later than `exec_id`."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.exec_id(middle) > exec_id else (middle + 1, high)
        return low

    def is_whole(self) -> bool:
        """Whether every report is there and in its place."""
        last = (self.from_seq << SEQ_BITS) - 1
        for first in range(0, self.count, _SCAN_REPORTS):
            found = self.read(first, _SCAN_REPORTS)["event"]["exec_id"]
            if len(found) != min(_SCAN_REPORTS, self.count - first) or found[0] <= last:
                return False
            if not (found[1:] > found[:-1]).all():  # unsigned: no difference
                return False
            last = int(found[-1])
        return last >> SEQ_BITS <= self.seq


class ReportLog:
    """Reports of the entries `from_seq` to `seq`; one writer, readers in the same process."""

    def __init__(self, folder: Path, reports_kept: int = 1 << 20) -> None:
        """`reports_kept`: at least half as many are kept, at most as many and those of one call of `append`."""
        self.folder = folder
        self.reports_kept = reports_kept
        folder.mkdir(parents=True, exist_ok=True)
        self._files: list[_File] = []
        for path in sorted(folder.glob("*.reports")):
            file = _open(path)
            if file is None or (self._files and self._files[-1].seq + 1 != file.from_seq):
                self.clear()
                break
            self._files.append(file)

    @property
    def is_empty(self) -> bool:
        return not self._files

    @property
    def from_seq(self) -> int:
        return self._files[0].from_seq

    @property
    def from_time_ns(self) -> int:
        """Time of the entry before `from_seq`."""
        return self._files[0].from_time_ns

    @property
    def seq(self) -> int:
        """The last entry whose reports are here, if it made any."""
        return self._files[-1].seq

    def begin(self, from_seq: int, from_time_ns: int) -> None:
        """Begins a file for the entries from `from_seq` on."""
        path = self.folder / f"{from_seq:020d}.reports"
        file = _File(path, cast(BinaryIO, path.open("w+b", buffering=0)), from_seq, from_time_ns, from_seq - 1, 0)
        file.write_head()
        self._files = [*self._files, file]  # readers on other threads keep the list that they have

    def append(self, reports: NDArray[np.void], seq: int, time_ns: int) -> None:
        """The reports of the entries up to `seq`, the last of which was made at `time_ns`."""
        last = self._files[-1]
        assert seq > last.seq, "entries come once and in order"
        last.append(reports, seq)
        if last.count >= max(1, self.reports_kept // FILES_KEPT):
            self.begin(seq + 1, time_ns)
            for old in self._files[:-FILES_KEPT]:
                old.path.unlink()
            self._files = self._files[-FILES_KEPT:]

    def after(self, exec_id: int, limit: int) -> NDArray[np.void]:
        """At most `limit` of the reports later than `exec_id`, in order."""
        for file in self._files:
            first = file.after(exec_id) if file.count and file.exec_id(file.count - 1) > exec_id else file.count
            if first < file.count:
                return file.read(first, limit)
        return np.empty(0, REPORT)

    def find(self, exec_id: int) -> np.void | None:
        """The report with this ExecID."""
        found = self.after(exec_id - 1, 1)
        return found[0] if len(found) and found[0]["event"]["exec_id"] == exec_id else None

    def clear(self) -> None:
        """Throws everything away."""
        self.close()
        for path in self.folder.glob("*.reports"):
            path.unlink()

    def close(self) -> None:
        self._files = []

    def check(self) -> None:
        """Asserts that the files follow one another and that every report is in its place."""
        assert all(file.is_whole() for file in self._files), "a report is missing or out of order"
        pairs = zip(self._files, self._files[1:], strict=False)
        assert all(one.seq + 1 == other.from_seq for one, other in pairs), "entries are missing between two files"


def _open(path: Path) -> _File | None:
    """The file, or None when it is not whole."""
    data = cast(BinaryIO, path.open("r+b", buffering=0))
    head = data.read(HEAD_BYTES)
    if len(head) >= _HEAD.size:
        magic, record_bytes, *facts = _HEAD.unpack(head[: _HEAD.size])
        file = _File(path, data, *facts)
        if magic == _MAGIC and record_bytes == REPORT.itemsize and file.is_whole():
            return file
    return None

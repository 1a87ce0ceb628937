"""Rows that are appended and looked at, in a file without a name: memory holds what is looked at, not what there is.

For what is made of the journal and asked for later, in any amount. The kernel reads pages in and drops them again; the
file is gone with the process, whatever ends it. It must never be where something is kept: the journal is.
"""

from __future__ import annotations

import tempfile
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]


class RowFile:
    """Rows of one type on the disk of `folder`. One thread appends; what `rows` gave out stays as it is."""

    def __init__(self, folder: Path, dtype: np.dtype[np.void]) -> None:
        self._folder, self._dtype = folder, dtype
        self._file: FileIO | None = None
        self._rows: Rows = np.empty(0, dtype)
        self.count = 0

    def check(self) -> None:
        """Asserts that the file has what was appended, no less and no more."""
        assert len(self._rows) <= self.count
        if self._file is not None:
            assert self._file.seek(0, 2) == self.count * self._dtype.itemsize

    def append(self, rows: Rows) -> None:
        """Adds them at the end. Raises OSError when the disk does not take them: all must then be cleared."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 (until it is cleared)
        data = rows.tobytes()
        while data:
            data = data[self._file.write(data) :]
        self.count += len(rows)

    def rows(self) -> Rows:
        """All of them, read only."""
        if self._file is not None and len(self._rows) < self.count:
            self._rows = np.asarray(np.memmap(self._file, self._dtype, "r", shape=self.count))
        return self._rows

    def clear(self) -> None:
        """Forgets all rows and gives the disk back, as soon as nobody has any of them. Idempotent."""
        if self._file is not None:
            self._file.close()
        self._file, self._rows, self.count = None, np.empty(0, self._dtype), 0

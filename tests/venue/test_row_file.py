"""Rows in a file without a name: what was appended is what is there, and it is nowhere in memory or in the folder."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue.row_file import RowFile

DTYPE = np.dtype([("number", "<u8"), ("side", "u1")])


def rows(*numbers: int) -> np.ndarray:
    found = np.zeros(len(numbers), DTYPE)
    found["number"] = numbers
    return found


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=2000), max_size=8), st.sets(st.integers(0, 7)))
def test_what_was_appended_is_there_and_stays(pieces: list[list[int]], looks: set[int]):
    with tempfile.TemporaryDirectory() as name:
        file = RowFile(Path(name), DTYPE)
        seen, given_out = [], []
        for at, piece in enumerate(pieces):
            file.append(rows(*piece))
            seen += piece
            if at in looks:
                given_out.append((list(seen), file.rows()))
            file.check()
        given_out.append((list(seen), file.rows()))
        assert file.count == len(seen) and not any(Path(name).iterdir())
        file.clear()
        file.check()
        assert len(file.rows()) == file.count == 0
        file.append(rows(7))
        assert file.rows()["number"].tolist() == [7]
        for numbers, found in given_out:
            assert found["number"].tolist() == numbers


def test_nobody_writes_to_what_was_given_out(tmp_path: Path):
    file = RowFile(tmp_path, DTYPE)
    file.append(rows(1))
    with pytest.raises(ValueError, match="read-only"):
        file.rows()["number"] = 2
    file.clear()


def test_a_full_disk_is_told_and_cleared():
    """/dev/full stands in for a disk that takes nothing."""
    file = RowFile(Path("/dev/shm"), DTYPE)
    file._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError) as caught:
        file.append(rows(1))
    assert caught.value.errno == errno.ENOSPC
    file.clear()
    file.check()
    assert file.count == 0

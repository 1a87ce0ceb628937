"""Batch records and their tree: round trips, bounds, and paths that prove one record and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue.batches import (
    PUBLIC_VALUES_BYTES,
    RECORD_BYTES,
    BatchRecord,
    RecordError,
    record_path,
    record_root,
    verify_record_path,
)

ROOT = st.binary(min_size=32, max_size=32)
U64 = st.integers(0, 2**64 - 1)


@st.composite
def records(draw: st.DrawFn) -> BatchRecord:
    first = draw(st.integers(1, 2**63))
    count = draw(st.integers(1, 2**62))
    return BatchRecord(draw(U64), first, first + count - 1, count, draw(U64), *(draw(ROOT) for _ in range(8)))


def made(batch_id: int) -> BatchRecord:
    """A cheap distinct record for trees."""
    digest = hashlib.sha256(batch_id.to_bytes(8, "big")).digest()
    return BatchRecord(batch_id, batch_id + 1, batch_id + 1, 1, 2, *(digest for _ in range(8)))


@given(records())
def test_bytes_round_trip(record: BatchRecord) -> None:
    data = record.to_bytes()
    assert len(data) == RECORD_BYTES
    assert BatchRecord.from_bytes(data) == record
    assert record.public_values() == data[8:272]
    assert BatchRecord.from_public_values(record.batch_id, record.public_values(), record.archive_sha256) == record


def test_offsets_of_the_public_values() -> None:
    """Each field lies where the contract and the guest expect it."""
    roots = [bytes([n]) * 32 for n in range(1, 9)]
    record = BatchRecord(7, 10, 14, 5, 9, *roots)
    values = record.public_values()
    assert len(values) == PUBLIC_VALUES_BYTES
    integers = [int.from_bytes(values[at : at + 8], "big") for at in range(0, 40, 8)]
    assert integers == [1, 10, 14, 5, 9]
    assert [values[at : at + 32] for at in range(40, 264, 32)] == roots[:7]
    assert record.to_bytes()[:8] == (7).to_bytes(8, "big") and record.to_bytes()[272:] == roots[7]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_id": -1}, "batch_id"),
        ({"batch_id": 2**64}, "batch_id"),
        ({"batch_id": True}, "batch_id"),
        ({"first_seq": 0, "command_count": 6}, "not a run"),
        ({"last_seq": 9}, "not a run"),
        ({"command_count": 4}, "cannot be sequence"),
        ({"event_count": 1.0}, "event_count"),
        ({"state_root": b"short"}, "state_root"),
        ({"archive_sha256": "00" * 16}, "archive_sha256"),
    ],
)
def test_bounds(change: dict[str, object], words: str) -> None:
    good = BatchRecord(7, 10, 14, 5, 9, *(bytes(32) for _ in range(8)))
    with pytest.raises(RecordError, match=words):
        dataclasses.replace(good, **change)  # type: ignore[arg-type]


def test_malformed_bytes_are_named() -> None:
    data = made(1).to_bytes()
    with pytest.raises(RecordError, match="304 bytes, got 303"):
        BatchRecord.from_bytes(data[:-1])
    with pytest.raises(RecordError, match="format 2 is not known"):
        BatchRecord.from_bytes(data[:8] + (2).to_bytes(8, "big") + data[16:])
    with pytest.raises(RecordError, match="at least one"):
        record_root([])
    with pytest.raises(RecordError, match="no record 1 among 1"):
        record_path([made(1)], 1)


def level_root(leaves: Sequence[bytes]) -> bytes:
    """The same tree built level by level, an odd node moving up unchanged: the contract's way."""
    level = list(leaves)
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


@pytest.mark.parametrize("count", range(1, 34))
def test_tree_two_ways_and_every_path(count: int) -> None:
    batch = [made(number) for number in range(count)]
    root = record_root(batch)
    assert root == level_root([hashlib.sha256(b"\x00" + record.to_bytes()).digest() for record in batch])
    for index, record in enumerate(batch):
        path = record_path(batch, index)
        assert verify_record_path(record, index, count, path, root)
        assert not verify_record_path(made(count + 1), index, count, path, root)
        assert not verify_record_path(record, index, count, [*path, bytes(32)], root)
        assert not verify_record_path(record, count, count, path, root)
        if path:
            assert not verify_record_path(record, index, count, path[:-1], root)
            assert not verify_record_path(record, (index + 1) % count, count, path, root)


def test_vector() -> None:
    """RFC 6962 shape by hand for three leaves."""
    a, b, c = (hashlib.sha256(b"\x00" + made(n).to_bytes()).digest() for n in range(3))
    left = hashlib.sha256(b"\x01" + a + b).digest()
    assert record_root([made(0), made(1), made(2)]) == hashlib.sha256(b"\x01" + left + c).digest()


@given(records(), st.integers(0, RECORD_BYTES * 8 - 1))
def test_any_changed_bit_changes_the_root(record: BatchRecord, bit: int) -> None:
    data = bytearray(record.to_bytes())
    data[bit // 8] ^= 1 << bit % 8
    try:
        changed = BatchRecord.from_bytes(bytes(data))
    except RecordError:
        return
    assert record_root([changed]) != record_root([record])

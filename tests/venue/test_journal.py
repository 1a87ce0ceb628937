"""The journal's bytes: their format, checksums, rotation, groups and counters."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue._engine import checksum, names_of, parse, segment_head_of

from cores import CommandKind, Side
from tests.venue.engine_flow import (
    LIMITS,
    SEGMENT_BYTES,
    SEGMENT_HEAD,
    body_of,
    endow,
    entries_of,
    entry_bytes,
    flow,
    head_bytes,
    limit,
    opened,
    segment_paths,
)
from venue.engine import JournalLocked
from venue.records import SubmitStatus

SYNCS = ["commit", "interval", "none"]


@given(st.binary(max_size=300), st.integers(0, 8))
def test_the_instruction_and_the_table_agree(data: bytes, skip: int):
    assert checksum(data[skip:]) == checksum(data[skip:], portable=True)


def test_checksum_is_crc32c():
    assert checksum(b"123456789") == 0xE3069283
    assert checksum(bytes(32)) == 0x8A9136AA


@given(st.lists(st.binary(max_size=200), max_size=6), st.integers(1, 1 << 32))
def test_entries_parse_back(annexes: list[bytes], first: int):
    commands = np.zeros(len(annexes), "V64").view(np.uint64).reshape(len(annexes), 8)
    commands[:, 1] = np.arange(first, first + len(annexes))
    data = b"".join(entry_bytes(command, annex, 7, first) for command, annex in zip(commands, annexes, strict=True))
    found, annex, ends, consumed, bad = parse(data + bytes(64), first, 7, 1 << 39, 100)
    assert found.tobytes() == commands.tobytes()
    assert annex == b"".join(annexes)
    assert ends.tolist() == np.cumsum([len(a) for a in annexes], dtype=np.uint64).tolist()
    assert (consumed, bad) == (len(data), False)


@given(st.integers(0, 200), st.integers(0, 7), st.integers(1, 3))
def test_parsing_stops_at_a_changed_bit(position: int, bit: int, wanted: int):
    command = np.zeros(8, np.uint64)
    entries = []
    for seq in range(1, 4):
        command[1] = seq
        entries.append(entry_bytes(command, b"annex" * 9, 1, 1))
    data = bytearray(b"".join(entries))
    at = position % len(entries[0]) + (wanted - 1) * len(entries[0])
    data[at] ^= 1 << bit
    found, _, _, consumed, bad = parse(bytes(data), 1, 1, 3, 10)
    assert len(found) == wanted - 1 and consumed == (wanted - 1) * len(entries[0]) and bad


@pytest.mark.parametrize("sync", SYNCS)
def test_what_is_submitted_is_what_is_written(tmp_path: Path, sync: str):
    with opened(tmp_path, sync=sync) as engine:
        endow(engine)
        body = body_of(1, "A-1", "", **{"38": "5", "44": "500"})
        _, seq = engine.submit(body=body, **limit(1, Side.BUY, 500, 5, "A-1"))
        engine.drain()
    entries = entries_of(segment_paths(tmp_path)[-1])
    assert [int(command["seq"]) for _, _, command, _, _ in entries] == list(range(1, seq + 1))
    _, _, command, annex, _ = entries[-1]
    assert annex[16:] == body
    assert (command["kind"], command["price_ticks"], command["qty_lots"]) == (CommandKind.NEW, 500, 5)
    times = [int(command["time_ns"]) for _, _, command, _, _ in entries]
    assert times == sorted(times) and times[0] > 1_700_000_000 * 10**9
    assert len({annex[:16] for _, _, _, annex, _ in entries}) == len(entries), "every salt is new"


def test_segment_head_is_as_documented(tmp_path: Path):
    opened(tmp_path).close()
    data = segment_paths(tmp_path)[0].read_bytes()
    magic, version, epoch, first, created, *limits, crc = SEGMENT_HEAD.unpack(data[:64])
    assert (magic, version, epoch, first) == (b"FVJOURNL", 1, 1, 1)
    assert created > 0 and tuple(limits) == LIMITS.words() and crc == checksum(data[:60])
    assert segment_head_of(head_bytes(5, 3)) == {
        "epoch": 3, "first_seq": 5, "created_ns": 0, "limits": LIMITS.words()
    }  # fmt: skip


def test_a_segment_is_full_size_before_it_is_used(tmp_path: Path):
    with opened(tmp_path):
        path = segment_paths(tmp_path)[0]
        assert path.stat().st_size == SEGMENT_BYTES
        assert path.stat().st_blocks * 512 >= SEGMENT_BYTES, "written, not sparse: entries cannot run out of space"
    assert path.stat().st_size == 64, "cut to what is used at a clean end"


@pytest.mark.parametrize("sync", SYNCS)
def test_rotation_keeps_the_sequence(tmp_path: Path, sync: str):
    with opened(tmp_path, sync=sync) as engine:
        endow(engine)
        for fields in flow(3, 3_000):
            engine.submit(**fields)
        engine.drain()
        last, counters = engine.last_seq, engine.counters()
    paths = segment_paths(tmp_path)
    assert len(paths) == counters["journal_segments"] >= 4
    seqs = []
    for path in paths:
        entries = entries_of(path)
        assert int(path.stem) == entries[0][2]["seq"], "a segment is named by its first entry"
        assert path.stat().st_size <= SEGMENT_BYTES
        seqs += [int(command["seq"]) for _, _, command, _, _ in entries]
    assert seqs == list(range(1, last + 1))
    assert counters["journal_records"] == last
    if sync == "commit":
        assert counters["journal_bytes"] == sum(path.stat().st_size - 64 for path in paths)
        assert sum(count for _, count in counters["journal_sync_buckets"]) == counters["journal_syncs"] > 0
    if sync == "none":
        assert counters["journal_syncs"] == 0


def test_groups_say_what_was_synced_before_them(tmp_path: Path):
    with opened(tmp_path) as engine:
        endow(engine)  # `call` waits: one group each
        for fields in flow(5, 500):
            engine.submit(**fields)
        engine.drain()
    groups = [
        (int(command["seq"]), group) for path in segment_paths(tmp_path) for _, _, command, _, group in entries_of(path)
    ]
    first_of_group = {group for _, group in groups}
    assert all(group <= seq for seq, group in groups)
    assert [group for _, group in groups] == sorted(group for _, group in groups)
    assert all(group == seq for seq, group in groups if seq in first_of_group)
    assert len(first_of_group) < len(groups), "submitters share a sync"


def test_each_start_has_its_own_epoch(tmp_path: Path):
    for epoch in range(1, 4):
        with opened(tmp_path) as engine:
            assert engine.epoch == epoch
            accepted = engine.call(kind=CommandKind.ACCOUNT, account=epoch)
            assert accepted[0] == 0
    heads = [segment_head_of(path.read_bytes()) for path in segment_paths(tmp_path)]
    assert [head["epoch"] for head in heads] == [1, 2, 3]
    assert [head["first_seq"] for head in heads] == [1, 2, 3]


def test_an_empty_start_leaves_no_second_segment(tmp_path: Path):
    for _ in range(3):
        opened(tmp_path).close()
    assert [path.stem for path in segment_paths(tmp_path)] == [f"{1:020d}"]
    with opened(tmp_path) as engine:
        assert engine.epoch == 4


def test_two_writers_are_refused_by_name(tmp_path: Path):
    with opened(tmp_path), pytest.raises(JournalLocked, match=rf"in use by process {os.getpid()}: stop it first"):
        opened(tmp_path)
    opened(tmp_path).close()


def test_watermark_is_as_documented(tmp_path: Path):
    with opened(tmp_path) as engine:
        endow(engine)
        engine.drain()
        words = struct.unpack("<8Q", (tmp_path / "journal" / "watermark").read_bytes())
        end = sum(length for _, length, *_ in entries_of(segment_paths(tmp_path)[0])) + 64
        assert words[0].to_bytes(8, "little") == b"WTRMARK1"
        assert words[1] % 2 == 0 and words[2:7] == (engine.durable_seq, 1, end, 1, 1)
    words = struct.unpack("<8Q", (tmp_path / "journal" / "watermark").read_bytes())
    assert words[6] == 0, "closed"


@given(st.binary(max_size=80))
def test_names_of_any_body(body: bytes):
    try:
        clordid, orig = names_of(body)
    except ValueError:
        assert body.startswith(b"35=") and len(body) > 40
        return
    if not body.startswith(b"35="):
        assert (clordid, orig) == (b"", b"")
    for tag, name in ((b"11=", clordid), (b"41=", orig)):
        if name:
            assert tag + name in body and b"\x01" not in name


def test_names_are_whole_fields_only():
    assert names_of(b"35=D\x01111=no\x0111=yes\x0158=11=no\x0141=orig\x0111=second\x01") == (b"yes", b"orig")
    assert names_of(b"35=D\x0111=" + b"x" * 39 + b"\x01") == (b"x" * 39, b"")
    with pytest.raises(ValueError, match="longer than 39"):
        names_of(b"35=D\x0111=" + b"x" * 40 + b"\x01")
    assert names_of(b"verb=deposit\x0111=no\x01") == (b"", b"")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("sync", SYNCS)
def test_a_close_that_has_to_rotate_waits_for_the_new_segment(tmp_path: Path, sync: str):
    """What is still to be written at the end may not fit the segment: the next one is made before the engine ends."""
    for turn in range(12):
        folder = tmp_path / str(turn)
        with opened(folder, sync=sync, segment_bytes=1 << 20) as engine:
            endow(engine)
            for number in range(560 + 20 * turn):
                body = body_of(1, f"A{number}", **{"58": "x" * 3_500})
                order = limit(1, Side.BUY, 500, 0, f"A{number}")  # refused: it is the journal that is looked at
                assert engine.submit(**order, body=body)[0] == SubmitStatus.OK
            last = engine.last_seq
        written = sum(len(entries_of(path)) for path in segment_paths(folder))
        assert written == last, f"turn {turn}"

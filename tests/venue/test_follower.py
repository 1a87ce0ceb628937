"""The follower: every durable entry, once, in order; over rotations and restarts; never past damage."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cores import Core, Side
from tests.venue.engine_flow import (
    LIMITS,
    body_of,
    crash_image,
    endow,
    entries_of,
    flow,
    limit,
    opened,
    segment_paths,
    set_watermark,
)
from venue.follower import Follower, JournalDamaged, Slice, segments

SYNCS = ["commit", "interval", "none"]


def all_of(follower: Follower, limit: int = 65_536) -> list[Slice]:
    """Polls until there is nothing more."""
    pieces = []
    while len(piece := follower.poll(limit)):
        assert len(piece) <= limit
        follower.check()
        pieces.append(piece)
    return pieces


def on_disk(folder: Path) -> list[tuple[bytes, bytes]]:
    """(command, annex) of every entry in every segment."""
    return [
        (command.tobytes(), annex) for path in segment_paths(folder) for _, _, command, annex, _ in entries_of(path)
    ]


def flat(pieces: list[Slice]) -> list[tuple[bytes, bytes]]:
    found = []
    for piece in pieces:
        starts = np.concatenate([[0], piece.annex_ends[:-1]])
        for command, start, end in zip(piece.commands, starts, piece.annex_ends, strict=True):
            found.append((command.tobytes(), piece.annex[int(start) : int(end)]))
    return found


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("limit_", [1, 7, 65_536])
def test_follows_everything_over_rotations(tmp_path: Path, sync: str, limit_: int):
    with opened(tmp_path, sync=sync) as engine:
        endow(engine)
        for fields in flow(2, 1_500):
            engine.submit(**fields)
        engine.drain()
    with Follower(tmp_path / "journal") as follower:
        found = flat(all_of(follower, limit_))
    assert len(segment_paths(tmp_path)) >= 3
    assert found == on_disk(tmp_path)


def test_a_core_behind_a_follower_has_the_writer_s_state(tmp_path: Path):
    core, follower = Core(LIMITS), Follower(tmp_path / "journal")
    done = threading.Event()

    def follow() -> None:
        while not (done.is_set() and follower.lag == 0):
            piece = follower.poll(100)
            if len(piece):
                core.apply(piece.commands)

    thread = threading.Thread(target=follow)
    thread.start()  # before there is a journal
    for start in range(3):
        with opened(tmp_path, snapshot_commands=100) as engine:
            if start == 0:
                endow(engine)
            for fields in flow(start, 700):
                engine.submit(**fields)
            engine.drain()
            state = engine.state()
    done.set()
    thread.join()
    assert (core.last_seq, core.snapshot()) == state
    follower.close()


@pytest.mark.parametrize("sync", SYNCS)
def test_only_durable_entries_are_handed_out(tmp_path: Path, sync: str):
    with opened(tmp_path, sync=sync) as engine, Follower(tmp_path / "journal") as follower:
        assert len(follower.poll()) == 0
        endow(engine)
        for fields in flow(7, 400):
            engine.submit(**fields)
            piece = follower.poll()
            if len(piece):
                assert piece.commands["seq"][-1] <= engine.durable_seq
                assert piece.commands["seq"][-1] == follower.next_seq - 1


def test_starts_anywhere(tmp_path: Path):
    with opened(tmp_path) as engine:
        endow(engine)
        for fields in flow(7, 1_200):
            engine.submit(**fields)
        engine.drain()
        last = engine.last_seq
    firsts = segments(tmp_path / "journal")
    assert len(firsts) >= 3
    for start in (1, 2, firsts[1] - 1, firsts[1], firsts[1] + 1, last, last + 1):
        with Follower(tmp_path / "journal", start) as follower:
            assert follower.lag == last - start + 1
            seqs = [int(seq) for piece in all_of(follower) for seq in piece.commands["seq"]]
            assert seqs == list(range(start, last + 1))
    with pytest.raises(ValueError, match="begin at 1"):
        Follower(tmp_path / "journal", 0)


def test_waits_for_a_journal_that_is_not_there_yet(tmp_path: Path):
    with Follower(tmp_path / "journal") as follower:
        assert len(follower.poll()) == 0 and follower.watermark() is None and follower.lag == 0
        with opened(tmp_path) as engine:
            endow(engine)
            assert len(follower.poll(3)) == 3


def test_survives_a_start_that_replaces_an_empty_segment(tmp_path: Path):
    with Follower(tmp_path / "journal") as follower:
        for epoch in range(1, 4):
            with opened(tmp_path) as engine:
                assert len(follower.poll()) == 0 and engine.epoch == epoch
        with opened(tmp_path) as engine:
            endow(engine)
            assert len(all_of(follower)) > 0 and follower.next_seq == engine.durable_seq + 1


def test_survives_a_torn_tail_that_is_cut(tmp_path: Path):
    with opened(tmp_path / "live") as engine:
        endow(engine)
        image = crash_image(tmp_path / "live", tmp_path / "image")
    (path,) = segment_paths(image)
    entries = entries_of(path)
    offset, seq = entries[-1][0], len(entries) - 1
    with path.open("r+b") as file:
        file.truncate(offset + 30)
    set_watermark(image, seq)
    mark = image / "journal" / "watermark"
    data = bytearray(mark.read_bytes())
    data[32:40] = offset.to_bytes(8, "little")
    mark.write_bytes(data)
    with Follower(image / "journal") as follower:
        assert sum(map(len, all_of(follower))) == seq
        with opened(image) as engine:
            assert "torn tail cut" in engine.notes[0]
            engine.submit(body=body_of(1, "after"), **limit(1, Side.BUY, 500, 1, "after"))
            engine.drain()
            (piece,) = all_of(follower)
            assert len(piece) == 1 and piece.annex[16:] == body_of(1, "after")


def damaged(folder: Path, seq: int, position: int = 40) -> Path:
    """Flips a bit of an entry; returns its segment."""
    for path in segment_paths(folder):
        for offset, _, command, _, _ in entries_of(path):
            if command["seq"] == seq:
                data = bytearray(path.read_bytes())
                data[offset + position] ^= 4
                path.write_bytes(data)
                return path
    raise AssertionError(f"no entry {seq}")


@pytest.mark.parametrize("position", [0, 4, 9, 16, 40, 100])
@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_damage_is_said_and_not_passed(tmp_path: Path, position: int, which: str):
    with opened(tmp_path) as engine:
        endow(engine)
        for fields in flow(7, 700):
            engine.submit(**fields)
        engine.drain()
        last = engine.last_seq
    seq = {"first": 1, "middle": 300, "last": last}[which]
    path = damaged(tmp_path, seq, position)
    with Follower(tmp_path / "journal") as follower:
        handed = 0
        with pytest.raises(JournalDamaged, match=rf"{path.name}: offset \d+: entry {seq} is damaged"):
            while len(piece := follower.poll(50)):
                handed += len(piece)
        with pytest.raises(JournalDamaged):
            follower.poll()
    assert handed == (seq - 1) // 50 * 50 or handed == seq - 1
    with pytest.raises(JournalDamaged, match="is damaged or missing"):
        all_of(Follower(tmp_path / "journal", min(seq + 1, last)))


def test_missing_segments_are_said(tmp_path: Path):
    with opened(tmp_path) as engine:
        endow(engine)
        for fields in flow(7, 1_200):
            engine.submit(**fields)
        engine.drain()
    paths = segment_paths(tmp_path)
    paths[1].rename(tmp_path / "away")
    with pytest.raises(JournalDamaged, match=rf"{paths[1].name} is not there"):
        all_of(Follower(tmp_path / "journal"))
    (tmp_path / "away").rename(paths[1])
    paths[0].unlink()
    with pytest.raises(JournalDamaged, match="no segment holds entry 1"):
        all_of(Follower(tmp_path / "journal"))
    paths[2].write_bytes(b"x" * 64 + paths[2].read_bytes()[64:])
    with pytest.raises(JournalDamaged, match="head is damaged"):
        all_of(Follower(tmp_path / "journal", int(paths[2].stem)))


def test_a_journal_that_forgot_is_said_once_its_writer_is_back(tmp_path: Path):
    with opened(tmp_path / "live") as engine:
        endow(engine)
        old = crash_image(tmp_path / "live", tmp_path / "old")
        for fields in flow(7, 100):
            engine.submit(**fields)
        engine.drain()
        ahead = engine.last_seq
    with Follower(old / "journal", ahead + 1) as follower:
        assert len(follower.poll()) == 0, "the watermark on disk may be old: wait for the writer"
        with opened(old), pytest.raises(JournalDamaged, match=f"entries up to {ahead} were read from it before"):
            follower.poll()


def test_an_empty_slice_has_the_types(tmp_path: Path):
    piece: Any = Follower(tmp_path / "journal").poll()
    assert (piece.commands.dtype.itemsize, piece.annex, piece.annex_ends.dtype) == (64, b"", np.uint64)

"""The archive folder and its sealer: complete or absent, the same after any crash, stopped by a difference."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cores import roots
from tests.venue.archive_market import Market, config, core_of, drained, joined, published_seq, sealed, sealer, started
from venue import archive as archive_module
from venue import checkpoint
from venue.archive import Archive, ArchiveReader, batch_name
from venue.archive_copy import ArchiveCopy
from venue.archive_file import ArchiveError
from venue.batches import BatchRecord
from venue.config import Config
from venue.sealer import DivergenceError, Sealer
from venue.verify import verify


class Crash(BaseException):
    """The process died here: nothing may catch it."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("batch-*"))}


def market(venue: Config, commands: int = 250, seed: int = 7) -> list[Any]:
    made = Market(venue, seed)
    return made.opening() + made.flow(commands)


def test_batches_are_cut_by_count_and_the_rest_by_draining(tmp_path: Path) -> None:
    venue = config(tmp_path, 100)
    records: list[BatchRecord] = []
    one = sealer(venue, market(venue), on_sealed=records.append)
    while one.step():
        one.check()
    assert [record.command_count for record in records] == [100, 100]
    one.drain()
    assert [record.command_count for record in records] == [100, 100, 62]
    one.check()
    one.archive.check()
    assert [record.batch_id for record in records] == [1, 2, 3]
    assert one.sealed_seq == 262 and one.lag_commands == 0
    assert verify([venue.archive_dir], replay=True).ok


def test_a_batch_is_cut_after_its_time(tmp_path: Path) -> None:
    venue, now = config(tmp_path, 100), [0.0]
    one = sealer(venue, market(venue, 10), clock=lambda: now[0])
    one.step()
    assert one.archive.last is None
    now[0] = venue.archive.seconds_per_batch
    one.step()
    assert one.archive.last is not None and one.archive.last.command_count == 22


def test_nothing_to_seal_seals_nothing(tmp_path: Path) -> None:
    venue = config(tmp_path)
    one = sealer(venue, [])
    one.drain()
    assert not one.step() and contents(venue.archive_dir) == {}


class Crashing:
    """Makes the nth durable step of the archive die: before writing, or with a half-written temporary file, or
    after the rename."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.how = ""
        real = archive_module.write_durably

        def write(path: Path, data: Any) -> None:
            self.left -= 1
            if self.left != -1:
                real(path, data)
                return
            if self.how == "half":
                path.with_name(path.name + ".part").write_bytes(bytes(data)[: len(data) // 2])
            if self.how == "after":
                real(path, data)
            raise Crash

        for module in ("venue.archive", "venue.sealer", "venue.checkpoint"):
            monkeypatch.setattr(f"{module}.write_durably", write)

    def at(self, step: int, how: str) -> None:
        self.left, self.how = step, how


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crashing]:
    yield Crashing(monkeypatch)


@pytest.mark.parametrize("how", ["before", "half", "after"])
def test_a_crash_at_every_step_gives_the_same_files(tmp_path: Path, crashing: Crashing, how: str) -> None:
    """Each write in turn is the last one of the process, which then starts again with other ideas of where to cut."""
    venue = config(tmp_path / "whole", 100)
    made = market(venue)
    drained(venue, made)
    expected = contents(venue.archive_dir)
    assert len(expected) == 9
    for step in range(14):
        folder = tmp_path / f"{how}{step}"
        crashed = config(folder, 100)
        crashing.at(step, how)
        try:
            drained(crashed, made)
        except Crash:
            crashing.at(-1, "")
            boundary = crashed.archive_dir / "boundary.json"
            # The cut that was written down stands, whatever the settings are now.
            last_seq = json.loads(boundary.read_bytes())["last_seq"] if boundary.exists() else 0
            published = published_seq(crashed)
            other = config(folder, 33 if last_seq > published else 100)
            one = sealer(other, made)
            while one.archive.next_seq <= last_seq:
                assert one.step()
            one.close()
        drained(crashed, made)
        assert contents(crashed.archive_dir) == expected, step
        assert not list(crashed.archive_dir.glob("*.part"))


def test_a_damaged_unpublished_file_is_made_again(tmp_path: Path, crashing: Crashing) -> None:
    venue = config(tmp_path / "a", 100)
    made = market(venue)
    crashing.at(2, "after")  # boundary, arrow, input: the record is missing
    with pytest.raises(Crash):
        drained(venue, made)
    path = venue.archive_dir / batch_name(1, ".arrow")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    drained(venue, made)
    assert path.read_bytes() == whole


def test_a_published_batch_is_never_written_again(tmp_path: Path) -> None:
    venue = config(tmp_path, 100)
    made = market(venue)
    drained(venue, made)
    before = {path: path.stat().st_mtime_ns for path in venue.archive_dir.glob("batch-*")}
    for _ in range(3):
        drained(venue, made)
    assert {path: path.stat().st_mtime_ns for path in venue.archive_dir.glob("batch-*")} == before


@pytest.mark.parametrize("damage", ["remove", "flip", "truncate", "empty"])
def test_checkpoints_are_only_a_cache(tmp_path: Path, damage: str) -> None:
    venue = config(tmp_path, 60)
    made = market(venue)
    drained(venue, made[:130])
    drained(venue, made[:200])
    found = sorted(venue.archive_dir.glob("checkpoint-*.state"))
    assert len(found) == checkpoint.KEEP
    chosen = random.Random(1)
    for path in found:
        data = bytearray(path.read_bytes())
        if damage == "flip":
            data[chosen.randrange(len(data))] ^= 1
        path.write_bytes(data[: {"truncate": len(data) // 2, "empty": 0}.get(damage, len(data))])
        if damage == "remove":
            path.unlink()
    started(venue, made)
    drained(venue, made)
    assert verify([venue.archive_dir], replay=True).ok


def test_a_checkpoint_of_another_state_is_passed_over(tmp_path: Path) -> None:
    venue, other = config(tmp_path / "a", 60), config(tmp_path / "b", 60)
    made = market(venue)
    drained(venue, made)
    drained(other, market(other, seed=8))
    for path in venue.archive_dir.glob("checkpoint-*"):
        shutil.copy(next(iter(other.archive_dir.glob("checkpoint-*"))), path)
    started(venue, made)


def test_the_checkpoint_saves_the_replay(tmp_path: Path) -> None:
    """With a sound checkpoint of the last batch no archive file is read at the start."""
    venue = config(tmp_path, 60)
    made = market(venue)
    drained(venue, made)
    for path in venue.archive_dir.glob("*.arrow"):
        path.write_bytes(b"gone")
    started(venue, made)
    for path in venue.archive_dir.glob("checkpoint-*"):
        path.unlink()
    with pytest.raises(ArchiveError, match=r"batch-0000000001.arrow: not a readable"):
        started(venue, made)


# ---- the writer's state roots ----


def put_root(venue: Config, seq: int, root: bytes) -> None:
    folder = venue.data_dir / "snapshot"
    folder.mkdir(exist_ok=True)
    (folder / f"{seq:020}.root").write_bytes(root)


def true_root(venue: Config, made: list[Any], seq: int) -> bytes:
    core = core_of(venue)
    if seq:
        core.apply(joined(made[:seq]).commands)
    root: bytes = roots.state_root(core)
    return root


def test_batches_are_cut_at_the_writers_roots_and_compared(tmp_path: Path) -> None:
    venue = config(tmp_path, 100)
    made = market(venue)
    put_root(venue, 137, true_root(venue, made, 137))
    records: list[BatchRecord] = []
    drained(venue, made, on_sealed=records.append)
    assert [record.last_seq for record in records] == [100, 137, 237, 262]
    compared = venue.archive_dir / "roots-compared"
    assert compared.read_text() == "137\n"
    put_root(venue, 150, true_root(venue, made, 150))  # late, and within a batch
    put_root(venue, 262, true_root(venue, made, 262))
    started(venue, made)
    assert compared.read_text() == "262\n"
    compared.unlink()
    put_root(venue, 0, true_root(venue, made, 0))
    started(venue, made)
    assert compared.read_text() == "262\n"


def test_roots_that_cannot_be_read_stop_sealing(tmp_path: Path) -> None:
    venue = config(tmp_path, 100)
    put_root(venue, 50, bytes(32))
    (venue.data_dir / "snapshot" / f"{50:020}.root").write_bytes(b"")
    with pytest.raises(DivergenceError, match="missing"):
        drained(venue, market(venue))


@pytest.mark.parametrize("seq", [50, 100, 137])
@pytest.mark.parametrize("late", [False, True])
def test_a_difference_stops_sealing(tmp_path: Path, seq: int, late: bool) -> None:
    venue = config(tmp_path, 100)
    made = market(venue)
    if late:
        drained(venue, made)
    put_root(venue, seq, bytes(32))
    with pytest.raises(DivergenceError, match=f"after sequence number {seq} the writer's state root is 0000"):
        drained(venue, made)
    if not late:
        assert published_seq(venue) < seq, "a batch that differs is not published"


def test_a_difference_is_the_process_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from venue import sealer as module

    venue = config(tmp_path, 100)
    made = market(venue)
    put_root(venue, 50, bytes(32))
    monkeypatch.setattr(module, "Sealer", lambda chosen, on_sealed: sealer(chosen, made, on_sealed=on_sealed))
    stop = threading.Event()
    stop.set()
    assert module.run(venue, stop) == module.EXIT_DIVERGED
    (venue.data_dir / "snapshot" / f"{50:020}.root").unlink()
    assert module.run(venue, stop) == 0
    (venue.archive_dir / batch_name(1, ".record")).unlink()
    assert module.run(venue, stop) == module.EXIT_ARCHIVE


# ---- the folder ----


def test_a_gap_in_the_archive_is_refused(tmp_path: Path) -> None:
    venue = sealed(tmp_path, 300, 60)
    (venue.archive_dir / batch_name(2, ".record")).unlink()
    with pytest.raises(ArchiveError, match=r"batch-0000000002.record is missing"):
        Archive(venue.archive_dir)


def test_a_damaged_boundary_is_refused(tmp_path: Path) -> None:
    venue = sealed(tmp_path, 100, 60)
    (venue.archive_dir / "boundary.json").write_bytes(b"{")
    with pytest.raises(ArchiveError, match=r"boundary.json: damaged"):
        started(venue, [])


def test_a_second_writer_is_kept_out(tmp_path: Path) -> None:
    venue = sealed(tmp_path, 100, 60)
    first = Archive(venue.archive_dir)
    part = venue.archive_dir / "batch-0000000003.arrow.part"
    part.write_bytes(b"being written")
    with pytest.raises(ArchiveError, match="another process writes this archive"):
        Archive(venue.archive_dir)
    assert part.exists(), "a second writer must not clear up behind the first"
    first.close()
    Archive(venue.archive_dir).close()
    assert not part.exists()


def test_the_reader_finds_sequence_numbers(tmp_path: Path) -> None:
    venue = sealed(tmp_path, 300, 37)
    reader = ArchiveReader(venue.archive_dir)
    for batch_id in reader.batch_ids:
        record = reader.record(batch_id)
        for seq in (record.first_seq, (record.first_seq + record.last_seq) // 2, record.last_seq):
            assert reader.find_seq(seq) == batch_id
        assert reader.first_time_ns(batch_id) == int(reader.batch(batch_id).table["event_time"][0].value)
    with pytest.raises(ArchiveError, match="no sealed batch has sequence number 313"):
        reader.find_seq(313)


def test_the_reader_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="not a readable archive folder"):
        ArchiveReader("nosuch://bucket/archive")
    venue = sealed(tmp_path, 100, 60)
    path = venue.archive_dir / batch_name(1, ".record")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ArchiveError, match="304 bytes"):
        ArchiveReader(venue.archive_dir).record(1)
    (venue.archive_dir / batch_name(2, ".arrow")).unlink()
    with pytest.raises(ArchiveError, match="cannot be read"):
        ArchiveReader(venue.archive_dir).batch(2)


# ---- the copy ----


def test_batches_are_copied_whole_and_in_order(tmp_path: Path) -> None:
    venue = sealed(tmp_path / "venue", 100, 60)
    target = tmp_path / "copy"
    one = ArchiveCopy(venue.archive_dir, target.as_uri())
    assert one.step() == 2 and one.step() == 0
    assert contents(target) == contents(venue.archive_dir)
    assert verify([target], replay=True).ok
    assert ArchiveCopy(venue.archive_dir, target.as_uri()).step() == 0, "what is there is not copied again"
    (target / batch_name(2, ".record")).unlink()
    (target / batch_name(2, ".arrow")).write_bytes(b"half of it")
    assert ArchiveCopy(venue.archive_dir, str(target)).step() == 1
    assert contents(target) == contents(venue.archive_dir)


def test_another_archive_is_not_copied_over(tmp_path: Path) -> None:
    one, other = sealed(tmp_path / "a", 100, 60), sealed(tmp_path / "b", 100, 60, seed=8)
    target = str(tmp_path / "copy")
    ArchiveCopy(one.archive_dir, target).step()
    before = contents(Path(target))
    with pytest.raises(ArchiveError, match="another batch is there"):
        ArchiveCopy(other.archive_dir, target).step()
    assert contents(Path(target)) == before
    with pytest.raises(ArchiveError, match="cannot be copied"):
        ArchiveCopy(one.archive_dir, "nosuch://bucket/x").step()


def test_the_copy_follows_and_outlives_an_absent_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    venue = sealed(tmp_path / "venue", 100, 60)
    blocked = tmp_path / "copy"
    blocked.write_bytes(b"a file where the folder should be")
    copy = ArchiveCopy(venue.archive_dir, str(blocked))
    copy.start()
    while "batch not copied" not in caplog.text:
        time.sleep(0.01)
    blocked.unlink()
    copy.notice()
    copy.close()
    assert contents(blocked) == contents(venue.archive_dir)


def test_a_sealer_is_checked(tmp_path: Path) -> None:
    venue = config(tmp_path, 100)
    one: Sealer = sealer(venue, market(venue))
    one.drain()
    one.core.apply_one(kind=5)
    with pytest.raises(AssertionError):
        one.check()

"""Recovery: after any crash what was acknowledged is there, once; after any damage the start stops and says where."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from venue._engine import checksum, replay

from cores import CommandKind, CoreConfig, Side
from tests.venue.engine_flow import (
    LIMITS,
    Sink,
    crash_image,
    endow,
    entries_of,
    flow,
    head_bytes,
    journal_by_hand,
    limit,
    opened,
    segment_paths,
    set_watermark,
)
from venue.engine import EXIT_JOURNAL_FAILED, Engine, JournalConfigError, JournalDamaged

ROOT = Path(__file__).parent.parent.parent


def written(folder: Path, commands: int = 60, seed: int = 1, **options: Any) -> Any:
    """A journal of so many commands after the endowment; returns (state, order table) at its end."""
    with opened(folder, **options) as engine:
        endow(engine)
        for fields in flow(seed, commands):
            engine.submit(**fields)
        engine.drain()
        return engine.state(), engine.orders_state()


def states_by_seq(folder: Path, seqs: range) -> dict[int, bytes]:
    return {seq: replay(folder / "journal", seq)["state"] for seq in seqs}


def reopened(folder: Path, **options: Any) -> Any:
    with opened(folder, **options) as engine:
        engine.check()
        return engine.state(), engine.orders_state()


# ---- clean ends and crashes ----


@pytest.mark.parametrize("snapshot_commands", [0, 1, 7, 10_000])
def test_a_clean_end_loses_nothing(tmp_path: Path, snapshot_commands: int):
    before = written(tmp_path, 300, snapshot_commands=snapshot_commands)
    assert reopened(tmp_path, snapshot_commands=snapshot_commands) == before
    assert reopened(tmp_path) == before


def test_work_goes_on_after_recovery_as_if_nothing_had_happened(tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    submissions = list(flow(8, 400))
    final = []
    for folder, stops in ((whole, (400,)), (parts, (1, 100, 101, 250, 400))):
        done = 0
        for stop in stops:
            with opened(folder, snapshot_commands=60) as engine:
                if done == 0:
                    endow(engine)
                for fields in submissions[done:stop]:
                    engine.submit(**fields)
                done = stop
                engine.drain()
                engine.check()
                commands = engine.last_seq
        final.append((commands, replay(folder / "journal")["by_event"]))
    assert final[0] == final[1]


@pytest.mark.parametrize("snapshot_commands", [0, 50])
def test_a_crash_image_recovers_to_what_was_durable(tmp_path: Path, snapshot_commands: int):
    with opened(tmp_path / "live", snapshot_commands=snapshot_commands) as engine:
        endow(engine)
        for fields in flow(4, 200):
            engine.submit(**fields)
        engine.drain()
        live = engine.state(), engine.orders_state()
        image = crash_image(tmp_path / "live", tmp_path / "image")
    assert reopened(image) == live


def test_killed_processes_keep_what_they_told(tmp_path: Path):
    """kill -9 in the middle, again and again: every report that was told is in the journal, none is told twice."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    previous = 0
    for cycle in range(6):
        arguments = [str(tmp_path), str(seed + cycle), "200000", "commit", "300"]
        process = engine_process(arguments)
        assert process.stdout is not None
        opening = process.stdout.readline().split()
        assert opening[:1] == ["open"], process.communicate()
        assert int(opening[1]) >= previous, "what was told is not lost"
        time.sleep(dice.uniform(0.02, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        told = told_of(tmp_path)
        assert np.all(np.diff(told[:, 0]) > 0), "in order, no ExecID twice"
        previous = int(told[-1, 0]) >> 24
    with opened(tmp_path) as engine:
        engine.check()
        assert engine.last_seq >= previous
    known = replay(tmp_path / "journal")
    assert known["last_seq"] >= previous and len(segment_paths(tmp_path)) >= 6


def engine_process(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.venue.engine_process", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)


def told_of(folder: Path) -> Any:
    """(exec id, session, durable seq at that time) of every report that reached the sink, but for a torn last line."""
    lines = (folder / "told").read_text().split("\n")[:-1]
    return np.array([[int(word) for word in line.split()] for line in lines], dtype=np.int64).reshape(-1, 3)


# ---- reports that did not reach their session ----


@pytest.mark.parametrize("snapshot_commands", [0, 40])
@pytest.mark.parametrize("stored", [0, 1, 30, 10_000])
def test_reports_that_no_store_has_are_pending_once(tmp_path: Path, snapshot_commands: int, stored: int):
    sink = Sink()
    with opened(tmp_path / "live", snapshot_commands=snapshot_commands) as engine:
        endow(engine)
        engine.set_sink(sink)
        for fields in flow(6, 150):
            engine.submit(**fields)
        engine.drain()
        image = crash_image(tmp_path / "live", tmp_path / "image")
    with opened(image, snapshot_commands=snapshot_commands) as again:
        for session in (1, 2, 3):
            told = sink.reports[sink.reports["session"] == session]
            after = int(told["event"]["exec_id"][min(stored, len(told) - 1)])
            wanted = told[told["event"]["exec_id"] > after]
            assert again.pending(session, after).tobytes() == wanted.tobytes()
            assert len(again.pending(session, 0)) == 0, "each once"


def test_unclaimed_reports_outlive_further_snapshots(tmp_path: Path):
    with opened(tmp_path / "live") as engine:
        endow(engine)
        engine.submit(**limit(1, Side.BUY, 500, 1, "A1"))
        engine.drain()
        image = crash_image(tmp_path / "live", tmp_path / "image")
    for _ in range(3):  # session 1 does not come back, while the venue goes on and takes snapshots
        with opened(image, snapshot_commands=5) as engine:
            engine.set_sink(Sink())
            for fields in flow(engine.epoch, 30):
                if fields["session"] != 1:
                    engine.submit(**fields)
            engine.drain()
            engine.snapshot()
    with opened(image) as engine:
        pending = engine.pending(1, 0)
        assert pending["clordid"][0] == b"A1" and len(np.unique(pending["event"]["exec_id"])) == len(pending)


def test_reports_made_before_there_is_a_sink_are_pending_once(tmp_path: Path):
    with opened(tmp_path / "live") as engine:
        endow(engine)
        for number in range(3):
            engine.submit(**limit(1, Side.BUY, 500, 1, f"A{number}"))
        engine.drain()
        engine.snapshot()
        sink = Sink()
        engine.set_sink(sink)
        engine.submit(**limit(1, Side.BUY, 500, 1, "A3"))
        engine.drain()
        engine.snapshot()
        image = crash_image(tmp_path / "live", tmp_path / "image")
        assert engine.pending(1)["clordid"].tolist() == [b"A0", b"A1", b"A2"]
        assert sink.reports["clordid"].tolist() == [b"A3"]
    with opened(image) as again:
        assert again.pending(1)["clordid"].tolist() == [b"A0", b"A1", b"A2", b"A3"], "the store says which it has"


# ---- torn tails ----


def test_a_tail_torn_at_any_byte_is_cut(tmp_path: Path):
    """Nothing of the last three records was acknowledged: the watermark of a power cut says so."""
    source = tmp_path / "source"
    written(source, 40)
    (path,) = segment_paths(source)
    data, entries = path.read_bytes(), entries_of(path)
    last = len(entries)
    states = states_by_seq(source, range(last - 3, last + 1))
    set_watermark(source, last - 3)
    folder = crash_image(source, tmp_path / "torn")
    (torn_path,) = segment_paths(folder)
    for cut in range(entries[-3][0], len(data)):
        torn_path.write_bytes(data[:cut])
        whole = sum(offset + length <= cut for offset, length, *_ in entries)
        torn = len(data[entries[whole][0] : cut].rstrip(b"\0"))
        found = replay(folder / "journal")
        assert (found["last_seq"], found["state"], found["torn_bytes"]) == (whole, states[whole], torn), f"byte {cut}"
        if cut % 8 < 2:
            again = crash_image(folder, tmp_path / "again")
            with opened(again) as engine:
                assert (engine.last_seq, engine.state()[1]) == (whole, states[whole]), f"byte {cut}"
                assert engine.notes == ([] if torn == 0 else [note_of(torn, entries[whole][0], path)])
                assert engine.submit(**limit(1, Side.BUY, 500, 1, "next"))[1] == whole + 1
            rmtree(again)


def rmtree(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def note_of(torn: int, offset: int, path: Path) -> str:
    return f"torn tail cut: {torn} bytes at offset {offset} of {path.name}, written but never acknowledged"


def test_an_acknowledged_tail_is_never_cut(tmp_path: Path):
    source = tmp_path / "source"
    written(source, 40)
    (path,) = segment_paths(source)
    data, entries = path.read_bytes(), entries_of(path)
    for cut in range(entries[-3][0], len(data), 7):
        folder = crash_image(source, tmp_path / "torn")
        (torn,) = segment_paths(folder)
        torn.write_bytes(data[:cut])
        whole = sum(offset + length <= cut for offset, length, *_ in entries)
        with pytest.raises(JournalDamaged) as caught:
            opened(folder)
        text = str(caught.value)
        assert f"{torn}: offset {entries[whole][0]}: entry {whole + 1} is missing or damaged" in text
        assert f"entries up to {len(entries)} were acknowledged" in text
        assert "standby" in text and "archive" in text
        assert torn.read_bytes() == data[:cut], "nothing was changed"
        rmtree(folder)


def torn_group(folder: Path, group_firsts: list[int], lost: int, durable: int) -> tuple[Path, bytes]:
    """A journal of ACCOUNT commands whose entry `lost` never reached the disk, though later ones did."""
    commands = [({"kind": CommandKind.ACCOUNT, "account": n + 1}, b"") for n in range(len(group_firsts))]
    entries = journal_by_hand(folder, commands, group_firsts)
    (path,) = segment_paths(folder)
    start = 64 + sum(len(entry) for entry in entries[: lost - 1])
    data = bytearray(path.read_bytes())
    data[start : start + len(entries[lost - 1])] = bytes(len(entries[lost - 1]))
    path.write_bytes(data)
    opened(folder.parent / "blank").close()
    mark = (folder.parent / "blank" / "journal" / "watermark").read_bytes()
    (folder / "journal" / "watermark").write_bytes(mark)
    set_watermark(folder, durable)
    return path, bytes(data)


def test_a_group_whose_pages_came_back_out_of_order_is_cut(tmp_path: Path):
    """A power cut before the sync may keep any pages of the group: none of it was acknowledged."""
    path, _ = torn_group(tmp_path / "data", [1, 2, 2, 2], lost=3, durable=1)
    with opened(tmp_path / "data") as engine:
        assert engine.last_seq == 2 and path.name in engine.notes[0]


def test_a_later_group_proves_that_the_entry_was_synced(tmp_path: Path):
    path, data = torn_group(tmp_path / "data", [1, 2, 2, 4], lost=3, durable=1)
    with pytest.raises(JournalDamaged, match=r"entry 3 is damaged, with good entries after it \(next at offset"):
        opened(tmp_path / "data")
    assert path.read_bytes() == data


def test_without_a_watermark_any_good_entry_after_a_bad_one_is_damage(tmp_path: Path):
    torn_group(tmp_path / "data", [1, 2, 2, 2], lost=3, durable=1)
    (tmp_path / "data" / "journal" / "watermark").unlink()
    with pytest.raises(JournalDamaged, match="entry 3 is damaged, with good entries after it"):
        opened(tmp_path / "data")


# ---- damage ----


def flip(path: Path, position: int, bits: int) -> None:
    """Changes bits of one byte in place; the same call again mends them."""
    with path.open("r+b", buffering=0) as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ bits]))


def test_every_flipped_bit_is_found(tmp_path: Path):
    """With its watermark no changed bit of a closed journal goes unnoticed; a start changes nothing."""
    written(tmp_path, 6)
    (path,) = segment_paths(tmp_path)
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            flip(path, position, 1 << bit)
            with pytest.raises(JournalDamaged, match=rf"{path.name}: offset \d+"):
                replay(tmp_path / "journal")
            if (position + bit) % 64 == 0:
                changed = path.read_bytes()
                with pytest.raises(JournalDamaged, match=rf"{path.name}: offset \d+"):
                    opened(tmp_path)
                assert path.read_bytes() == changed
            flip(path, position, 1 << bit)
    assert path.read_bytes() == data
    reopened(tmp_path)


def test_a_flipped_bit_without_a_watermark_is_found_or_was_the_tail(tmp_path: Path):
    written(tmp_path, 6)
    (tmp_path / "journal" / "watermark").unlink()
    (path,) = segment_paths(tmp_path)
    last = entries_of(path)[-1]
    before_last = replay(tmp_path / "journal", len(entries_of(path)) - 1)["state"]
    for position in range(path.stat().st_size):
        flip(path, position, 1 << position % 8)
        if position < last[0]:
            with pytest.raises(
                JournalDamaged, match=r"entry \d+ is damaged, with good|head is damaged|does not follow"
            ):
                replay(tmp_path / "journal")
        else:
            assert replay(tmp_path / "journal")["state"] == before_last
        flip(path, position, 1 << position % 8)


@pytest.mark.parametrize("lost", ["first", "middle", "last"])
def test_a_missing_segment_is_found(tmp_path: Path, lost: str):
    written(tmp_path, 1_500)
    paths = segment_paths(tmp_path)
    assert len(paths) >= 3
    {"first": paths[0], "middle": paths[1], "last": paths[-1]}[lost].unlink()
    with pytest.raises(JournalDamaged, match=r"are missing|is missing") as caught:
        opened(tmp_path)
    if lost == "middle":
        first, following = int(paths[1].stem), int(paths[2].stem)
        assert f"entries {first} to {following - 1} are missing" in str(caught.value)


def test_an_exchanged_segment_is_found(tmp_path: Path):
    written(tmp_path, 1_500)
    paths = segment_paths(tmp_path)
    paths[1].write_bytes(paths[0].read_bytes())
    with pytest.raises(JournalDamaged, match="the head says first sequence number 1"):
        opened(tmp_path)


def test_a_sealed_segment_that_lost_its_end_is_found(tmp_path: Path):
    written(tmp_path, 1_500)
    first = segment_paths(tmp_path)[0]
    offset, *_ = entries_of(first)[-1]
    data = first.read_bytes()
    for cut in (offset, offset + 20):
        first.write_bytes(data[:cut])
        with pytest.raises(JournalDamaged, match=r"missing|damaged"):
            opened(tmp_path)


def test_an_emptied_folder_is_not_a_new_venue(tmp_path: Path):
    written(tmp_path, 5)
    segment_paths(tmp_path)[0].unlink()
    with pytest.raises(JournalDamaged, match="no segment is there, but entries up to"):
        opened(tmp_path)


def test_other_limits_are_refused(tmp_path: Path):
    written(tmp_path, 5)
    other = CoreConfig(symbols=3, accounts=6, assets=3, orders=512, levels=1024)
    with pytest.raises(JournalConfigError, match="symbols=3 accounts=6 assets=3 orders=256 levels=1024"):
        Engine.open(tmp_path, other)
    with opened(tmp_path, snapshot_commands=1) as engine:
        engine.snapshot()
    with pytest.raises(JournalConfigError, match="written with limits"):
        Engine.open(tmp_path, other)


def test_another_format_version_is_not_called_damage(tmp_path: Path):
    written(tmp_path, 5)
    (path,) = segment_paths(tmp_path)
    head = bytearray(head_bytes(1, 1, LIMITS))
    head[8] = 9
    head[60:64] = checksum(bytes(head[:60])).to_bytes(4, "little")
    path.write_bytes(bytes(head) + path.read_bytes()[64:])
    with pytest.raises(JournalConfigError, match="another format version"):
        opened(tmp_path)


# ---- snapshots ----


def test_a_damaged_snapshot_is_passed_over(tmp_path: Path):
    before = written(tmp_path, 200, snapshot_commands=50)
    newest = sorted((tmp_path / "snapshot").glob("*.snapshot"))[-1]
    data = newest.read_bytes()
    dice = random.Random(5)
    for position in [0, 8, 20, 40, 95, 96, len(data) - 1, *dice.sample(range(len(data)), 20)]:
        changed = bytearray(data)
        changed[position] ^= 1 << dice.randrange(8)
        newest.write_bytes(changed)
        with opened(tmp_path) as engine:
            assert (engine.state(), engine.orders_state()) == before
            assert "passed over" in engine.notes[0] and newest.name in engine.notes[0]
    for cut in (0, 50, 96, len(data) - 8):
        newest.write_bytes(data[:cut])
        assert reopened(tmp_path) == before
    (tmp_path / "snapshot" / "next.tmp").write_bytes(b"half a snapsh")
    newest.write_bytes(data)
    assert reopened(tmp_path) == before


def test_a_snapshot_ahead_of_the_journal_is_damage(tmp_path: Path):
    written(tmp_path, 30, snapshot_commands=1_000)
    (path,) = segment_paths(tmp_path)
    path.write_bytes(path.read_bytes()[: entries_of(path)[-2][0]])
    (tmp_path / "journal" / "watermark").unlink()
    with pytest.raises(JournalDamaged, match="but a snapshot of entry"):
        opened(tmp_path)


def test_two_snapshots_are_kept_with_all_roots(tmp_path: Path):
    with opened(tmp_path, snapshot_commands=1_000_000) as engine:
        endow(engine)
        taken = []
        for fields in flow(2, 5):
            engine.submit(**fields)
            taken.append(engine.snapshot())
            seq, root = engine.state_root()
            wait_for_root(engine, seq, root)
        assert taken == sorted(set(taken)) and engine.snapshot_seq == taken[-1]
    assert [int(path.stem) for path in sorted((tmp_path / "snapshot").glob("*.snapshot"))] == taken[-2:]
    assert [seq for seq, _ in engine.roots()] == taken


def wait_for_root(engine: Engine, seq: int, root: bytes) -> None:
    deadline = time.monotonic() + 20
    while (seq, root) not in engine.roots():
        assert time.monotonic() < deadline, engine.roots()
        time.sleep(0.02)


# ---- failing disks ----


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "disk_faults.so"
    source = Path(__file__).parent / "disk_faults.c"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True
    )
    return library


@pytest.mark.parametrize("sync", ["commit", "interval"])
@pytest.mark.parametrize(
    ("call", "number", "after"),
    [
        ("pwrite", errno.ENOSPC, 0),
        ("pwrite", errno.EIO, 5),
        ("fdatasync", errno.EIO, 0),
        ("fdatasync", errno.EIO, 3),
        ("fdatasync", errno.ENOSPC, 2),
    ],
)
def test_the_first_failing_call_ends_trading(
    tmp_path: Path, faults: Path, sync: str, call: str, number: int, after: int
):
    written(tmp_path, 10)
    variables = {"FAULT_CALL": call, "FAULT_ERRNO": str(number), "FAULT_AFTER": str(after)}
    process = engine_process([str(tmp_path), "3", "2000", sync, "0"], LD_PRELOAD=str(faults), **variables)
    output, _ = process.communicate(timeout=60)
    what = "writing" if call == "pwrite" else "fdatasync"
    assert f"failed journal: {what} failed: {os.strerror(number)}" in output
    assert process.returncode == EXIT_JOURNAL_FAILED
    told = told_of(tmp_path)
    if sync == "commit":
        assert np.all(told[:, 0] >> 24 <= told[:, 2]), "nothing is told that was not durable then"
    with opened(tmp_path) as engine:
        engine.check()
        assert engine.last_seq >= (int(told[-1, 0]) >> 24 if len(told) else 0)


def test_short_writes_are_continued(tmp_path: Path, faults: Path):
    variables = {"FAULT_CALL": "short", "FAULT_ERRNO": "0", "FAULT_AFTER": "0"}
    process = engine_process([str(tmp_path), "3", "1500", "commit", "500"], LD_PRELOAD=str(faults), **variables)
    process.communicate(timeout=60)
    assert process.returncode == 0
    whole = [command["seq"] for path in segment_paths(tmp_path) for _, _, command, _, _ in entries_of(path)]
    with opened(tmp_path) as engine:
        assert len(whole) == engine.last_seq > 1_500


def test_a_full_disk_while_preparing_ends_trading_at_the_rotation(tmp_path: Path, faults: Path):
    """Entries fit what is prepared; when the next segment cannot be made, nothing that was told is lost."""
    written(tmp_path, 10)
    variables = {"FAULT_CALL": "pwrite", "FAULT_ERRNO": str(errno.ENOSPC), "FAULT_AFTER": "4", "FAULT_FILE": "next.tmp"}
    process = engine_process([str(tmp_path), "3", "20000", "commit", "0"], LD_PRELOAD=str(faults), **variables)
    output, _ = process.communicate(timeout=60)
    assert f"failed journal: a new segment failed: {os.strerror(errno.ENOSPC)}" in output
    assert process.returncode == EXIT_JOURNAL_FAILED
    told = told_of(tmp_path)
    assert len(segment_paths(tmp_path)) == 3 and len(told) > 300
    with opened(tmp_path) as engine:
        assert engine.last_seq >= int(told[-1, 0]) >> 24

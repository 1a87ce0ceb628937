"""The sealer behind a real engine and journal: what was traded is what is archived, however often it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cores import COMMAND, CoreConfig
from tests.venue.archive_market import CONFIG, Market, config, published_seq
from venue.archive import ArchiveReader
from venue.archive_file import decode
from venue.batches import BatchRecord
from venue.config import Config, load
from venue.engine import Engine
from venue.sealer import EXIT_DIVERGED, Sealer, run
from venue.verify import verify

DAY_NS = 86_400_000_000_000
ROOT = Path(__file__).parent.parent.parent
SEALER = """
import signal, sys, threading
from venue.config import load
from venue.log import configure
from venue.sealer import run
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
configure("archive")
sys.exit(run(load(sys.argv[1]), stop))
"""


def venue_in(folder: Path, commands_per_batch: int) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "venue.toml"
    path.write_text(CONFIG.format(data=folder, commands=commands_per_batch))
    return load(path)


def engine_of(venue: Config, snapshot_commands: int = 1_000_000) -> Engine:
    limits = venue.limits
    core = CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)
    return Engine.open(venue.data_dir, core, sync="commit", snapshot_commands=snapshot_commands)


def trade(engine: Engine, venue: Config, commands: int, seed: int = 7) -> tuple[np.ndarray, list[bytes]]:
    """Plays the market into the engine; returns the commands as they were meant, with their annex bodies."""
    market = Market(venue, seed, time_ns=time.time_ns() + DAY_NS, gtd_ns_max=DAY_NS)  # no GTD order expires meanwhile
    made = market.opening() + market.flow(commands)
    records = np.concatenate([command for command, _ in made])
    bodies = [annex[16:] for _, annex in made]
    plain = records.copy()
    plain["seq"] = plain["time_ns"] = 0  # the engine is the only clock
    assert engine.submit_many(plain, bodies) == len(made)
    return records, bodies


def archived(venue: Config) -> tuple[np.ndarray, list[bytes]]:
    """All commands and annex bodies in the archive."""
    reader = ArchiveReader(venue.archive_dir)
    commands, bodies = [], []
    for batch_id in reader.batch_ids:
        batch = reader.batch(batch_id)
        commands.append(batch.records().commands.view(COMMAND).reshape(-1))
        bodies += [annex[16:] for annex in batch.table["annex"].to_pylist() if annex is not None]
    return np.concatenate(commands), bodies


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def test_what_was_traded_is_archived(tmp_path: Path) -> None:
    venue = venue_in(tmp_path, 100)
    sealed: list[BatchRecord] = []
    stop, codes = threading.Event(), []
    lags: list[int] = []
    venue = replace(venue, archive=replace(venue.archive, uri=(tmp_path / "copy").as_uri()))
    started = [lambda one: lags.append(one.lag_commands)]
    thread = threading.Thread(target=lambda: codes.append(run(venue, stop, sealed.append, started[0])))
    thread.start()
    with engine_of(venue, snapshot_commands=150) as engine:
        meant, bodies = trade(engine, venue, 600)
        wait_for(lambda: bool(sealed) and sealed[-1].last_seq >= 500)
    stop.set()
    thread.join()
    assert codes == [0] and len(lags) == 1
    copied = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in venue.archive_dir.glob("batch-*")}
    found, found_bodies = archived(venue)
    assert found_bodies == bodies
    for name in COMMAND.names or ():
        if name != "time_ns":
            assert np.array_equal(found[name], meant[name]), name
    roots = [int(path.stem) for path in (venue.data_dir / "snapshot").glob("*.root")]
    assert max(roots) == len(meant) == sealed[-1].last_seq
    assert (venue.archive_dir / "roots-compared").read_text() == f"{len(meant)}\n"
    assert verify([venue.archive_dir], replay=True).ok
    assert run(venue, stop) == 0


def test_a_wrong_root_of_the_writer_stops_it(tmp_path: Path) -> None:
    venue = venue_in(tmp_path, 100)
    with engine_of(venue) as engine:
        trade(engine, venue, 200)
    (root,) = (venue.data_dir / "snapshot").glob("*.root")
    right = root.read_bytes()
    root.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    stop = threading.Event()
    stop.set()
    assert run(venue, stop) == EXIT_DIVERGED
    assert published_seq(venue) < int(root.stem), "the batch that differs was not published"
    root.write_bytes(right)
    assert run(venue, stop) == 0


def test_a_damaged_journal_ends_it_with_a_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    venue = venue_in(tmp_path, 100)
    with engine_of(venue) as engine:
        trade(engine, venue, 300)
    (segment,) = venue.journal_dir.glob("*.journal")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    stop = threading.Event()
    stop.set()
    assert run(venue, stop) == 1
    assert "journal damaged" in caplog.text


def start_sealer(venue: Config) -> subprocess.Popen[bytes]:
    log = (venue.data_dir / "sealer.log").open("ab")
    with log:
        return subprocess.Popen([sys.executable, "-c", SEALER, str(venue.path)], cwd=ROOT, stderr=log, stdout=log)


def test_killed_at_random_it_makes_the_same_files(tmp_path: Path) -> None:
    """SIGKILL at random moments of sealing, again and again; the files are those of one uninterrupted run."""
    seed = random.randrange(2**32)
    chosen = random.Random(seed)
    print(f"seed {seed}")
    venue = venue_in(tmp_path / "killed", 40)
    with engine_of(venue) as engine:
        trade(engine, venue, 5_000)
    kills = 0
    published = len(list(venue.archive_dir.glob("*.record"))) if venue.archive_dir.exists() else 0
    while kills < 6:
        process = start_sealer(venue)
        target = published + chosen.randrange(1, 16)

        def reached(process: subprocess.Popen[bytes] = process, target: int = target) -> bool:
            return process.poll() is not None or len(list(venue.archive_dir.glob("*.record"))) >= target

        wait_for(reached)
        assert process.poll() is None, (venue.data_dir / "sealer.log").read_text()
        time.sleep(chosen.random() * 0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        published = len(list(venue.archive_dir.glob("*.record")))
    process = start_sealer(venue)
    wait_for(lambda: process.poll() is not None or (venue.archive_dir / "batch-0000000120.record").exists())
    process.terminate()
    assert process.wait(60) == 0, (venue.data_dir / "sealer.log").read_text()
    once = config(tmp_path / "once", 40)
    (tmp_path / "once").mkdir()
    for name in ("journal", "snapshot"):
        (once.data_dir / name).symlink_to(venue.data_dir / name)
    one = Sealer(once)
    one.drain()
    one.check()
    names = sorted(path.name for path in once.archive_dir.glob("batch-*"))
    assert names == sorted(path.name for path in venue.archive_dir.glob("batch-*")) and len(names) == 3 * 126
    for name in names:
        assert (venue.archive_dir / name).read_bytes() == (once.archive_dir / name).read_bytes(), name
    last = venue.archive_dir / "batch-0000000126.arrow"
    assert decode(last.name, last.read_bytes()).record.last_seq == 5_012

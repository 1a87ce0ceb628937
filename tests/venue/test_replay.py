"""`venue replay`: counts and the state root out of the journal alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cores import Core
from cores.roots import state_root
from tests.venue.engine_flow import LIMITS, endow, entries_of, flow, opened, segment_paths
from venue import replay
from venue.follower import Follower


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with opened(tmp_path) as engine:
        endow(engine)
        for fields in flow(3, 900):
            engine.submit(**fields)
        engine.drain()
        (tmp_path / "root").write_text(engine.state_root()[1].hex())
    return tmp_path


def test_replay_gives_the_writer_s_root(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert replay.run(folder / "journal") == 0
    printed = capsys.readouterr().out
    assert f"state root   {(folder / 'root').read_text()}" in printed
    found = replay.replayed(folder / "journal")
    assert f"commands     {found.commands}" in printed and found.commands == found.last_seq == 918 + 4
    assert sum(found.by_command.values()) == found.commands and sum(found.by_event.values()) == found.events
    assert found.by_command["DEPOSIT"] == 15
    assert replay.run(folder) == 0, "the data folder does as well"


@pytest.mark.parametrize("to_seq", [1, 100, 500])
def test_replay_up_to_a_number(folder: Path, to_seq: int):
    core = Core(LIMITS)
    with Follower(folder / "journal") as follower:
        core.apply(follower.poll(to_seq).commands)
    found = replay.replayed(folder / "journal", to_seq)
    assert (found.last_seq, found.commands, found.state_root) == (to_seq, to_seq, state_root(core))


def test_replay_past_the_end_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert replay.run(folder / "journal", 10**6) == 1
    assert "the journal ends at 922, before 1000000" in capsys.readouterr().err
    assert replay.run(folder / "journal", 0) == 1
    assert "begin at 1" in capsys.readouterr().err


def test_replay_of_nothing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert replay.run(tmp_path / "absent") == 1
    assert "holds no journal segment" in capsys.readouterr().err


def test_replay_of_a_damaged_journal_says_where(folder: Path, capsys: pytest.CaptureFixture[str]):
    path = segment_paths(folder)[0]
    offset, *_ = entries_of(path)[50]
    data = bytearray(path.read_bytes())
    data[offset + 30] ^= 1
    path.write_bytes(data)
    assert replay.run(folder / "journal") == 3
    assert f"{path.name}: offset {offset}: entry 51" in capsys.readouterr().err


def test_replay_changes_nothing(folder: Path):
    before = {path: path.read_bytes() for path in sorted((folder / "journal").iterdir())}
    replay.replayed(folder / "journal")
    assert {path: path.read_bytes() for path in sorted((folder / "journal").iterdir())} == before

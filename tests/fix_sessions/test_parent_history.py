"""What is read of the journal at a start: never less than a parent can last, and nothing but what is about parents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cores import CommandKind, CoreConfig
from cores.records import COMMAND
from fix_sessions import child_names, parent_history
from fix_sessions.parent_history import Sweep, first_seq, history
from fix_sessions.parent_orders import END, PARENT, Child, Entry, command_words, entry_body
from tests.fix_sessions.rig import make_config
from venue import opening
from venue.engine import Engine
from venue.follower import Follower, segments

PLAIN = b"35=D\x0111=%d\x0155=ACME\x0158=" + b"." * 300 + b"\x01"


def written(folder: Path) -> Path:
    """A journal of many segments: plain orders, and among every hundred of them a parent, a child, an end, a sweep."""
    config = make_config(folder)
    sizes = config.limits
    core = CoreConfig(sizes.symbols, sizes.accounts, sizes.assets, sizes.orders, sizes.levels)
    with Engine.open(folder, core, sync="none", segment_bytes=65_536) as engine:
        opening.apply(engine, config)
        for index in range(2_000):
            if index % 100 == 50:
                body = entry_body(PARENT, b"ALPHA1", b"P", {}, b"35=D\x0111=P%d\x01" % index)
                record = np.array(command_words(1, 1, 0), np.uint64).view(COMMAND)[0]
                engine.submit(record, body=body)
                name = child_names.compose(engine.last_seq, 0)
                child = b"35=D\x0111=%s\x0158=x\x01parent=1\x01cum_lots=3\x01value=9\x01" % name
                engine.submit(kind=CommandKind.NEW, session=1, account=1, clordid=name, body=child)
                engine.submit(record, body=entry_body(END, b"algorithms", b"P", {"parent": engine.last_seq - 1}))
                engine.submit(kind=CommandKind.MASS_CANCEL, session=1, account=1, side=2, flags=1)
                engine.submit(kind=CommandKind.MASS_CANCEL, account=1)
                engine.submit(kind=CommandKind.TIME, symbol=0)
            engine.submit(kind=CommandKind.NEW, session=1, account=1, clordid=b"%d" % index, body=PLAIN % index)
        engine.drain()
    return folder / "journal"


def test_only_what_is_about_parents_is_found_in_order(tmp_path: Path):
    found = list(history(written(tmp_path), 10**18))
    assert len(segments(tmp_path / "journal")) > 5
    kinds = [item.words[b"verb"] if isinstance(item, Entry) else type(item) for item in found]
    assert kinds == [PARENT, Child, END, Sweep] * 20
    assert [item.values[11] for item in found if isinstance(item, Entry) and item.values] == [
        b"P%d" % index for index in range(50, 2_000, 100)
    ]
    for parent, child, end, sweep in zip(*[iter(found)] * 4, strict=True):
        assert isinstance(parent, Entry) and isinstance(child, Child) and isinstance(end, Entry)
        assert child == Child(parent.seq + 1, parent.seq, 0, 3, 9, parent.seq, 0)
        assert (end.number(b"parent"), end.message, parent.session, parent.account) == (parent.seq, b"", 1, 1)
        assert sweep == Sweep(1, 0, 1, 2)


def test_whatever_is_within_reach_is_read(tmp_path: Path):
    journal = written(tmp_path)
    with Follower(journal) as follower:
        commands = follower.poll(10_000).commands
    last_ns, firsts = int(commands["time_ns"][-1]), segments(journal)
    for index in range(0, len(commands), 97):
        within = commands["seq"][commands["time_ns"] >= commands["time_ns"][index]]
        first = first_seq(journal, last_ns - int(commands["time_ns"][index]))
        assert first in firsts and first <= within.min()
    assert first_seq(journal, 10**18) == 1 and first_seq(journal, 0) >= firsts[-2]
    assert list(history(tmp_path / "none", 1)) == []


def test_time_in_which_the_venue_did_not_run_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = written(tmp_path)
    with Follower(journal) as follower:
        first_run = follower.poll(10_000).commands["seq"][-1].item()
    config = CoreConfig(4, 8, 4, 1024, 16_384)
    for _ in range(2):  # each start writes ten entries
        with Engine.open(tmp_path, config, sync="none", segment_bytes=65_536) as engine:
            for _ in range(10):
                engine.submit(kind=CommandKind.TIME, symbol=0)
            engine.drain()

    def seconds(folder: Path, seq: int) -> int:
        """An entry a second, and a month between two starts."""
        return int(seq + 2_600_000 * ((seq > first_run) + (seq > first_run + 10)))

    monkeypatch.setattr(parent_history, "_time_of", seconds)
    runs = [(1, first_run), (first_run + 1, first_run + 10), (first_run + 11, first_run + 20)]
    for reach in (0, 5, 8, 9, 15, 17, 18, 19, 25, 100, 500, 1_000, 2_000, 10_000_000):
        first = first_seq(journal, reach)
        ran = sum(last - max(first, begin) for begin, last in runs if last > first)
        assert ran > reach or first == 1, reach
        later = [seq for seq in segments(journal) if seq > first and seq <= first_run + 20]
        ran_later = sum(last - max(later[0], begin) for begin, last in runs if last > later[0]) if later else 0
        assert ran_later <= reach + 70, "not a segment more than is needed"

"""The fills of a journal, made again: those that the engine told, under the names that orders had when they traded."""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import Core, EventKind
from tests.venue.engine_flow import LIMITS, endow, flow, opened
from venue import trades as trades_module
from venue.engine import Engine
from venue.follower import Follower
from venue.row_file import RowFile
from venue.trades import FILL, Trades


@contextmanager
def traded(seed: int, count: int) -> Iterator[Engine]:
    """An engine after a day, all of it durable."""
    with tempfile.TemporaryDirectory() as name, opened(Path(name) / "live", sync="none") as engine:
        endow(engine)
        for fields in flow(seed, count):
            engine.submit(**fields)
        engine.drain()
        followed(engine.trades, engine)
        yield engine


def followed(trades: Trades, engine: Engine) -> Any:
    while trades.last_seq < engine.last_seq:
        trades.follow()
    trades.check()
    return trades.fills()


def told(journal: Path) -> list[tuple[int, int, int, int, int]]:
    """Each fill's ExecID, order, the command that named it, and OrderQty of that order in the end; by simple means."""
    names: dict[int, int] = {}
    lots: dict[int, int] = {}
    found: list[tuple[int, int, int, int]] = []
    core, follower = Core(LIMITS), Follower(journal)
    commands = follower.poll(1 << 20).commands
    follower.close()
    for command in commands:
        events, _ = core.apply(np.array([command]))
        for event in events:
            order_id, seq = int(event["order_id"]), int(event["exec_id"]) >> 24
            if event["kind"] in (EventKind.REPLACED, EventKind.RESTATED):
                lots[order_id] = int(event["qty_lots"])
            if event["kind"] == EventKind.REPLACED and event["session"] == command["session"]:
                names[order_id] = seq
            if event["kind"] == EventKind.FILL:
                lots.setdefault(order_id, int(commands["qty_lots"][(order_id >> 24) - 1]))
                found.append(
                    (int(event["exec_id"]), order_id, names.get(order_id, order_id >> 24), int(event["qty_lots"]))
                )
    return [(exec_id, order, name, qty, lots[order]) for exec_id, order, name, qty in found]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(20, 400), st.sampled_from([1, 7, 65_536]), st.sampled_from([0, 3, 4096]))
def test_every_fill_under_the_name_it_had(seed: int, count: int, slice_commands: int, names_min: int):
    """However the journal is sliced, and however often the names of closed orders are forgotten."""
    with pytest.MonkeyPatch.context() as patch, traded(seed, count) as engine:
        patch.setattr(trades_module, "SLICE_COMMANDS", slice_commands)
        patch.setattr(trades_module, "NAMES_MIN", names_min)
        trades = Trades(engine.data_dir / "journal", LIMITS)
        fills = followed(trades, engine)
        wanted = told(trades.journal_dir)
        fields = ("exec_id", "order_id", "named_seq", "qty_lots")
        assert list(zip(*(fills[name].tolist() for name in fields), strict=True)) == [fill[:4] for fill in wanted], seed
        assert [trades.order_lots(fill[1]) for fill in wanted] == [fill[4] for fill in wanted], seed
        assert np.array_equal(fills, engine.trades.fills())
        for at in (0, len(wanted) // 2, len(wanted) - 1):
            after = wanted[at][0] if wanted else 0
            assert trades.fills(after)["exec_id"].tolist() == [fill[0] for fill in wanted if fill[0] > after]
        trades.close()


def test_names_of_closed_orders_are_forgotten(monkeypatch):
    monkeypatch.setattr(trades_module, "NAMES_MIN", 8)
    with traded(3, 3000) as engine:
        trades = Trades(engine.data_dir / "journal", LIMITS)
        monkeypatch.setattr(trades_module, "SLICE_COMMANDS", 50)
        followed(trades, engine)
        core = trades._core
        assert core is not None and trades._names_max > 0
        opened_now = sum(core.open_orders(symbol) for symbol in range(LIMITS.symbols))
        assert 0 < len(trades._names) <= max(8, 2 * opened_now)
        assert len({int(order) for order in trades._changes.rows()["order_id"]}) > len(trades._names)
        trades.close()


@pytest.mark.parametrize("at", range(4))
def test_what_failed_half_way_begins_anew(monkeypatch, at: int):
    """A full disk in the middle of it: the question fails, the next one finds all fills, each once."""
    append, calls = RowFile.append, iter(range(100))

    def full(file: RowFile, rows: Any) -> None:
        if next(calls) == at:
            append(file, rows[: len(rows) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        append(file, rows)

    with traded(5, 600) as engine:
        monkeypatch.setattr(trades_module, "SLICE_COMMANDS", 150)
        trades = Trades(engine.data_dir / "journal", LIMITS)
        monkeypatch.setattr(RowFile, "append", full)
        with pytest.raises(OSError, match="No space left"):
            trades.follow()
        assert trades.last_seq == 0 and len(trades.fills()) == 0
        assert np.array_equal(followed(trades, engine), engine.trades.fills())
        trades.close()


def test_many_ask_at_once():
    """Threads that follow and look while the day goes on: each sees an order of fills that only grows."""
    with tempfile.TemporaryDirectory() as name, opened(Path(name) / "live", sync="none") as engine:
        endow(engine)
        over, wrong = threading.Event(), list[int]()

        def ask() -> None:
            last = np.empty(0, FILL)
            while not over.is_set():
                engine.trades.follow()
                fills = engine.trades.fills()
                if not np.array_equal(fills[: len(last)], last):
                    wrong.append(len(last))
                last = fills

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for fields in flow(11, 2000):
            engine.submit(**fields)
        engine.drain()
        fills = followed(engine.trades, engine)
        over.set()
        for thread in threads:
            thread.join()
        assert not wrong and len(fills) > 100
        alone = Trades(engine.data_dir / "journal", LIMITS)
        assert np.array_equal(followed(alone, engine), fills)
        alone.close()

"""The interface of the core: arrays in and out, sequence, snapshot, piecewise restore, questions, and the switch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cores
from cores import COMMAND, EVENT, CommandKind, CoreConfig, EventKind, MissingError, SequenceError, Side, StateError
from cores.records import SEQ_MAX
from tests.cores.fix_cores import (
    SMALL,
    CompiledCore,
    Play,
    ReferenceCore,
    account,
    deposit,
    funded,
    generate,
    instrument,
    new,
    setup_fields,
)

Make = Callable[..., Any]


def played(make: Make, run: int, count: int = 200) -> tuple[Any, np.ndarray]:
    """A core after the usual start and `count` generated commands, and the commands."""
    core, play = make(SMALL), Play()
    records = [play.record(fields) for fields in setup_fields()]
    for record in records:
        core.apply(record)
    for number in range(count):
        records.append(play.record(generate(run << 16 | number)))
        play.see(core.apply(records[-1])[0])
    return core, np.concatenate(records)


# ---- apply ----


@pytest.mark.parametrize(
    ("commands", "error", "message"),
    [
        ([1, 2], TypeError, "numpy array of dtype cores.COMMAND, got list"),
        (np.zeros(3), TypeError, "got float64"),
        (np.zeros(3, EVENT), TypeError, "expected dtype cores.COMMAND"),
        (np.zeros((2, 2), COMMAND), ValueError, r"shape \(2, 2\)"),
        (np.zeros((), COMMAND), ValueError, "one dimension"),
    ],
)
def test_wrong_arrays_are_refused(make: Make, commands: Any, error: type[Exception], message: str) -> None:
    core = make(SMALL)
    with pytest.raises(error, match=message):
        core.apply(commands)
    assert core.last_seq == 0


def test_a_strided_array_is_taken_as_it_reads(make: Make) -> None:
    _, records = played(CompiledCore, 1)
    spread = np.zeros(2 * len(records), COMMAND)
    spread[::2] = records
    events, ends = make(SMALL).apply(spread[::2])
    expected, expected_ends = CompiledCore(SMALL).apply(records)
    assert events.tobytes() == expected.tobytes() and ends.tolist() == expected_ends.tolist()


def test_no_commands_no_events(make: Make) -> None:
    events, ends = make(SMALL).apply(np.zeros(0, COMMAND))
    assert events.dtype == EVENT and len(events) == 0 and len(ends) == 0


def test_a_batch_gives_what_its_commands_give_one_by_one(make: Make) -> None:
    one_by_one, records = played(make, 2)
    batch = make(SMALL)
    events, ends = batch.apply(records)
    assert batch.snapshot() == one_by_one.snapshot()
    assert ends[-1] == len(events)
    by_command = np.split(events, ends[:-1].astype(int))
    assert [int(part["exec_id"][0]) >> 24 for part in by_command] == records["seq"].tolist()


@pytest.mark.parametrize("run", range(3))
def test_a_batch_that_looks_ahead_gives_what_its_commands_give_one_by_one(run: int) -> None:
    """With so many symbols the batch takes the book for a large one, and asks for the lines of the next commands."""
    rng, symbols, start = Random(run), 1024, CompiledCore(CoreConfig(1024, 5, 2, 64, 64))
    for number in range(symbols):
        start.apply_one(**instrument(number))
    for number in range(1, 5):
        start.apply_one(**account(number))
        for asset in range(2):
            start.apply_one(**deposit(number, asset, 10**9))
    one, many = CompiledCore.restore(start.snapshot()), CompiledCore.restore(start.snapshot())
    rows, singly, entered, looked_ahead = [], [], [(1, 1)], 0
    for seq in range(start.last_seq + 1, start.last_seq + 1001):
        fields = new(rng.randint(1, 4), rng.choice([Side.BUY, Side.SELL]), rng.randint(110, 135), rng.randint(1, 9))
        if rng.random() < 0.35:
            order_id, owner = rng.choice(entered[-80:])
            kind = rng.choice([CommandKind.CANCEL, CommandKind.REPLACE])
            fields |= {"kind": kind, "account": owner, "order_id": order_id, "side": 0, "ord_type": 0}
        if rng.random() < 0.05:
            fields |= rng.choice([{"symbol": 1023}, {"symbol": 1024}, {"account": 5}, {"side": 9}, {"price_ticks": 1}])
        row = np.zeros(1, COMMAND)
        for name, value in (fields | {"seq": seq}).items():
            row[name] = value
        rows.append(row)
        singly.append(one.apply(row)[0])
        if singly[-1]["kind"][0] == EventKind.ACCEPTED:
            entered.append((int(singly[-1]["order_id"][0]), fields["account"]))
        looked_ahead += one.open_orders(0) * symbols > 20_000
    together, _ = many.apply(np.concatenate(rows))
    assert together.tobytes() == np.concatenate(singly).tobytes(), f"run {run}"
    assert many.snapshot() == one.snapshot()
    assert looked_ahead > 500
    many.check()


def test_more_events_than_one_buffer_holds(make: Make) -> None:
    """The compiled core works through a long batch in parts; they come back as one."""
    core = make(SMALL)
    records = np.zeros(40_000, COMMAND)
    records["kind"] = CommandKind.TIME
    records["seq"] = np.arange(1, len(records) + 1)
    events, ends = core.apply(records)
    assert ends.tolist() == list(range(1, len(records) + 1))
    assert (events["exec_id"] >> 24).tolist() == records["seq"].tolist()


def test_one_order_sweeps_a_book(make: Make) -> None:
    """The most events that one command can make, nearly: two for each of 60 resting orders."""
    core = funded(make)
    start = core.last_seq
    records = np.zeros(61, COMMAND)
    for i, fields in enumerate([new(1, Side.SELL, 120, 1)] * 60 + [new(2, Side.BUY, 120, 60)]):
        for name, value in (fields | {"seq": start + 1 + i}).items():
            records[i][name] = value
    events, ends = core.apply(records)
    assert len(events) == 60 + 1 + 120 and ends[-1] == len(events) and ends[59] == 60
    core.check()


@pytest.mark.parametrize("changes", [{"seq": 0}, {"seq": 3}, {"seq": 5}, {"seq": (1 << 64) - 1}, {"time_ns": 6}])
def test_a_broken_sequence_is_fatal_and_changes_nothing(make: Make, changes: dict[str, int]) -> None:
    core = make(SMALL)
    core.apply_one(**instrument(), time_ns=7)
    core.apply_one(**account(1))
    core.apply_one(**deposit(1, 0, 5))
    before = core.snapshot()
    with pytest.raises(SequenceError, match="stands at seq 3, 7 ns"):
        core.apply_one(**deposit(1, 0, 5) | changes)
    assert core.snapshot() == before
    core.apply_one(**deposit(1, 0, 5))
    core.check()


def test_a_batch_stops_at_the_broken_command(make: Make) -> None:
    core = make(SMALL)
    records = np.zeros(4, COMMAND)
    records["kind"] = CommandKind.TIME
    records["seq"] = [1, 2, 4, 5]
    with pytest.raises(SequenceError, match="command 2 of the batch: seq 4"):
        core.apply(records)
    assert core.last_seq == 2


def test_the_last_sequence_number_is_the_last(make: Make) -> None:
    core = make(SMALL)
    slots = core.walk_config()
    slots[1, 0] = SEQ_MAX
    core = make(SMALL)
    restored = make(SMALL)
    restored.restore_config(slots)
    restored.restore_account(core.walk_account(0))
    restored.restore_end()
    with pytest.raises(SequenceError):
        restored.apply_one(kind=CommandKind.TIME)


def test_apply_runs_without_the_gil() -> None:
    """Two cores in two threads give what one gives: nothing is shared, and neither waits for Python."""
    _, records = played(CompiledCore, 3, 400)
    expected = CompiledCore(SMALL).apply(records)[0].tobytes()
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(CompiledCore(SMALL).apply(records)[0].tobytes())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


# ---- snapshot and restore ----


def test_snapshots_cross_implementations() -> None:
    compiled, _ = played(CompiledCore, 4)
    reference, _ = played(ReferenceCore, 4)
    assert compiled.snapshot() == reference.snapshot()
    assert ReferenceCore.restore(compiled.snapshot()).snapshot() == compiled.snapshot()
    assert CompiledCore.restore(reference.snapshot()).snapshot() == compiled.snapshot()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32))
def test_a_damaged_snapshot_is_refused_or_is_another_state(run: int, seed: int) -> None:
    """Any one word changed: both implementations refuse it, or both take it and every invariant holds."""
    core, _ = played(CompiledCore, run, 40)
    words = np.frombuffer(core.snapshot(), "<u8").copy()
    rng = Random(seed)
    i = rng.randrange(len(words))
    old = int(words[i])
    words[i] = rng.choice([0, old + 1, old - 1, old ^ 1 << rng.randrange(64), (1 << 64) - 1, rng.getrandbits(64)]) % (
        1 << 64
    )
    outcomes: list[str] = []
    for make in (CompiledCore, ReferenceCore):
        try:
            restored = make.restore(words.tobytes())
        except StateError:
            outcomes.append("refused")
        else:
            restored.check()
            assert restored.snapshot() == words.tobytes()
            outcomes.append("taken")
    assert outcomes[0] == outcomes[1], f"word {i}: {old} -> {int(words[i])}: {outcomes}"


@pytest.mark.parametrize("cut", [0, 1, 63, 64, 128, -64, -1])
def test_a_short_snapshot_is_refused(make: Make, cut: int) -> None:
    core, _ = played(make, 5)
    with pytest.raises(StateError):
        make.restore(core.snapshot()[:cut])


def test_a_long_snapshot_is_refused(make: Make) -> None:
    core, _ = played(make, 5)
    with pytest.raises(StateError):
        make.restore(core.snapshot() + bytes(64))


def pieces(core: Any) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    symbols = [core.walk_symbol(number) for number in range(core.symbol_count)]
    return core.walk_config(), symbols, [core.walk_account(number) for number in range(core.account_count)]


def test_piecewise_restore_wants_everything_in_order(make: Make) -> None:
    source, _ = played(CompiledCore, 6)
    config, symbols, accounts = pieces(source)

    def restored(symbol_order: list[int], account_order: list[int]) -> Any:
        core = make(SMALL)
        core.restore_config(config)
        for number in symbol_order:
            core.restore_symbol(symbols[number])
        for number in account_order:
            core.restore_account(accounts[number])
        core.restore_end()
        return core

    everything = list(range(len(symbols))), list(range(len(accounts)))
    assert restored(*everything).snapshot() == source.snapshot()
    for wrong in (
        (everything[0][1:], everything[1]),
        (everything[0][:-1], everything[1]),
        (everything[0][::-1], everything[1]),
        (everything[0], everything[1][:-1]),
        (everything[0], [0, *everything[1]]),
    ):
        with pytest.raises(StateError):
            restored(*wrong)


def test_nothing_is_applied_before_the_end_of_a_restore(make: Make) -> None:
    source, _ = played(CompiledCore, 6)
    core = make(SMALL)
    core.restore_config(source.walk_config())
    with pytest.raises(StateError):
        core.apply_one(kind=CommandKind.TIME)
    with pytest.raises(StateError):
        make(SMALL, partial=(1, 1)).apply_one(kind=CommandKind.TIME, seq=1, time_ns=0)
    with pytest.raises(StateError):
        make(SMALL, partial=(1, 1)).snapshot()


def test_a_failed_restore_cannot_be_ended(make: Make) -> None:
    source, _ = played(CompiledCore, 6)
    config, symbols, _ = pieces(source)
    core = make(SMALL, partial=(3, 3))
    core.restore_config(config)
    bad = symbols[0].copy()
    bad[0, 2] = 0
    with pytest.raises(StateError):
        core.restore_symbol(bad)
    with pytest.raises(StateError):
        core.restore_end()


def test_a_partial_core_misses_an_account_of_a_resting_order(make: Make) -> None:
    """Found only in the middle of a match: the core stops there for good."""
    source = funded(CompiledCore)
    source.apply_one(**new(1, Side.SELL, 120, 5))
    core = make(SMALL, partial=(1, 1))
    core.restore_config(source.walk_config())
    core.restore_symbol(source.walk_symbol(0))
    core.restore_account(source.walk_account(2))
    core.restore_end()
    core.apply_one(**new(2, Side.BUY, 119, 5))
    with pytest.raises(MissingError):
        core.apply_one(**new(2, Side.BUY, 120, 5))
    with pytest.raises(MissingError):
        core.apply_one(**new(2, Side.BUY, 119, 5))


def test_a_partial_core_makes_room_for_what_its_commands_create(make: Make) -> None:
    source = CompiledCore(SMALL)
    core = make(SMALL, partial=(1, 1))
    core.restore_config(source.walk_config())
    core.restore_end()
    core.apply_one(**instrument())
    core.apply_one(**account(1))
    assert (core.symbol_count, core.account_count) == (1, 2)
    with pytest.raises(MissingError):
        core.apply_one(**account(2))


@pytest.mark.parametrize(
    ("slots", "error"),
    [
        (b"x" * 63, StateError),
        (np.zeros((2, 7), np.uint64), ValueError),
        (np.zeros((2, 8), np.int32), TypeError),
        ("slots", TypeError),
    ],
)
def test_wrong_slots_are_refused(make: Make, slots: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(SMALL).restore_config(slots)


def test_touched_is_cleared_and_ascending(make: Make) -> None:
    core, _ = played(make, 7)
    assert core.dirty_symbols().tolist() == sorted(core.dirty_symbols().tolist()) != []
    core.clear_dirty()
    assert core.dirty_symbols().tolist() == core.dirty_accounts().tolist() == []
    core.apply_one(**new(2, Side.BUY, 120, 1, symbol=9))
    assert core.dirty_symbols().tolist() == core.dirty_accounts().tolist() == []
    core.apply_one(**deposit(3, 0, 0))
    assert core.dirty_accounts().tolist() == [3], "it was read, so a witness needs it"


# ---- questions ----


def test_questions(make: Make) -> None:
    core = funded(make)
    events = core.apply_one(**new(1, Side.BUY, 120, 5, session=9, flags=1))
    core.apply_one(**new(2, Side.BUY, 120, 3))
    core.apply_one(**new(2, Side.BUY, 118, 2))
    view = core.find_order(0, int(events["order_id"][0]))
    assert (view.account, view.session, view.side, view.leaves_lots, view.cum_lots, view.flags) == (1, 9, 1, 5, 0, 1)
    assert core.depth(0, Side.BUY) == [(120, 8), (118, 2)]
    assert core.depth(0, Side.BUY, 1) == [(120, 8)]
    assert core.depth(0, Side.SELL) == core.depth(7, Side.BUY) == core.depth(0, Side.NONE) == []
    assert core.open_orders(0) == 3 and core.open_orders(7) == 0
    assert core.find_order(0, 12345) is None and core.find_order(7, 0) is None
    assert core.balance(99, 0) == core.balance(0, 99) == (0, 0, 0)
    assert core.supply(0) == 4 * 10**9 and core.supply(99) == 0
    assert len(core.walk_symbol(9)) == len(core.walk_account(9)) == 0


def test_the_largest_configuration_is_only_address_space() -> None:
    core = CompiledCore(CoreConfig(symbols=64, accounts=65536, assets=64, orders=262144, levels=262144))
    core.apply_one(**instrument(qty_lots=100 + 262143))
    core.apply_one(**account(1))
    core.apply_one(**deposit(1, 1, 10**12))
    for price in (100, 163, 4195, 100 + 262143):
        core.apply_one(**new(1, Side.BUY, price, 1))
    assert [price for price, _ in core.depth(0, Side.BUY)] == [262243, 4195, 163, 100]
    core.check()


# ---- the switch ----


@pytest.mark.parametrize(("value", "expected"), [("", "c _core"), ("reference", "reference reference")])
def test_the_environment_chooses(value: str, expected: str) -> None:
    code = "import cores; print(cores.IMPLEMENTATION, cores.Core.__module__.split('.')[1])"
    environment = {key: text for key, text in os.environ.items() if key != "VENUE_CORE"}
    environment |= {"VENUE_CORE": value} if value else {}
    root = Path(cores.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


def test_an_unknown_implementation_is_refused() -> None:
    root = Path(cores.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", "import cores"],
        env=os.environ | {"VENUE_CORE": "rust"},
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode and "VENUE_CORE='rust': must be 'c' or 'reference'" in done.stderr

"""The compiled core against the rules: the same bytes after every command, and every invariant held."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, MissingError, Reason
from tests.cores.fix_cores import SMALL, CompiledCore, Play, ReferenceCore, commands, generate, setup_fields

# 1,000 examples of 50 commands in about half a minute; CORE_EXAMPLES asks for more.
EXAMPLES = int(os.environ.get("CORE_EXAMPLES", "1000"))
PLENTY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, derandomize=False
)
REFUSALS = [EventKind.REJECTED, EventKind.CANCEL_REJECTED, EventKind.COMMAND_REJECTED]


def started() -> tuple[Any, Any, Play]:
    play = Play()
    records = np.concatenate([play.record(fields) for fields in setup_fields()])
    compiled, reference = CompiledCore(SMALL), ReferenceCore(SMALL)
    assert compiled.apply(records)[0].tobytes() == reference.apply(records)[0].tobytes()
    assert compiled.snapshot() == reference.snapshot()
    return compiled, reference, play


def events_bound(core: Any, record: np.ndarray) -> int:
    """What core_apply_batch keeps free for a command: it must never need more."""
    open_orders = core.open_orders(int(record["symbol"][0]))
    if record["kind"][0] in (CommandKind.NEW, CommandKind.REPLACE) and open_orders:
        return 2 + 2 * min(open_orders, int(record["qty_lots"][0]))
    if record["kind"][0] in (CommandKind.MASS_CANCEL, CommandKind.TIME):
        return 1 + open_orders
    return 2 if record["kind"][0] == CommandKind.NEW else 1


@PLENTY
@given(st.lists(commands, min_size=50, max_size=50))
def test_events_state_and_invariants_agree(fields: list[dict[str, Any]]) -> None:
    """Events, slots and touched sets are equal byte for byte; a refused command leaves only its number and time."""
    compiled, reference, play = started()
    before = compiled.snapshot()
    for entry in fields:
        record = play.record(entry)
        bound = events_bound(compiled, record)
        events, ends = compiled.apply(record)
        assert len(events) <= bound, f"{entry} made {len(events)} events, more than {bound}"
        expected, expected_ends = reference.apply(record)
        assert events.tobytes() == expected.tobytes(), f"{entry}\n{events}\n{expected}"
        assert ends.tolist() == expected_ends.tolist() == [len(events)]
        compiled.check()
        play.see(events)
        after = compiled.snapshot()
        if events["kind"][0] in REFUSALS:
            assert len(events) == 1
            assert after[:64] + after[80:] == before[:64] + before[80:], f"{entry} was refused but changed the state"
        before = after
    reference.check()
    assert compiled.snapshot() == reference.snapshot()
    assert compiled.dirty_symbols().tolist() == reference.dirty_symbols().tolist()
    assert compiled.dirty_accounts().tolist() == reference.dirty_accounts().tolist()


@settings(PLENTY, max_examples=EXAMPLES // 5)
@given(st.lists(commands, min_size=40, max_size=60), st.integers(0, 40))
def test_a_restored_core_has_the_same_future(fields: list[dict[str, Any]], cut: int) -> None:
    """Snapshot at any command, restore into either implementation: the rest of the run is the same."""
    compiled, _, play = started()
    records = []
    for entry in fields:
        record = play.record(entry)
        if len(records) == cut:
            snapshot = compiled.snapshot()
        events, _ = compiled.apply(record)
        play.see(events)
        records.append((record, events.tobytes()))
    if cut >= len(records):
        return
    for core in (CompiledCore.restore(snapshot), ReferenceCore.restore(snapshot)):
        core.check()
        assert core.snapshot() == snapshot
        for record, events in records[cut:]:
            assert core.apply(record)[0].tobytes() == events
        assert core.snapshot() == compiled.snapshot()


def restored_partially(make: Any, whole: Any, symbols: list[int], accounts: list[int], room: tuple[int, int]) -> Any:
    """A partial core with the slots of those symbols and accounts that exist already."""
    core = make(SMALL, partial=room)
    core.restore_config(whole.walk_config())
    for number in symbols:
        if number < whole.symbol_count:
            core.restore_symbol(whole.walk_symbol(number))
    for number in accounts:
        if number < whole.account_count:
            core.restore_account(whole.walk_account(number))
    core.restore_end()
    return core


@settings(PLENTY, max_examples=EXAMPLES // 5)
@given(st.lists(commands, min_size=1, max_size=30), st.lists(commands, min_size=1, max_size=5), st.data())
def test_touched_is_exactly_what_a_partial_core_needs(
    history: list[dict[str, Any]], batch: list[dict[str, Any]], data: st.DataObject
) -> None:
    """With what a batch touched, a partial core gives its events and slots; with one less it stops, never errs."""
    compiled, _, play = started()
    for entry in history:
        play.see(compiled.apply(play.record(entry))[0])
    pre = CompiledCore.restore(compiled.snapshot())
    compiled.clear_dirty()
    records = np.concatenate([play.record(entry) for entry in batch])
    events = compiled.apply(records)[0].tobytes()
    symbols, accounts = compiled.dirty_symbols().tolist(), compiled.dirty_accounts().tolist()
    for make in (CompiledCore, ReferenceCore):
        core = restored_partially(make, pre, symbols, accounts, (len(symbols), len(accounts)))
        assert core.apply(records)[0].tobytes() == events
        core.check()
        assert np.array_equal(core.walk_config(), compiled.walk_config())
        for number in symbols:
            assert np.array_equal(core.walk_symbol(number), compiled.walk_symbol(number))
        for number in accounts:
            assert np.array_equal(core.walk_account(number), compiled.walk_account(number))
    if symbols:
        left_out = data.draw(st.sampled_from(symbols))
        rest = [number for number in symbols if number != left_out]
        for make in (CompiledCore, ReferenceCore):
            core = restored_partially(make, pre, rest, accounts, (len(rest), len(accounts)))
            try:
                core.apply(records)
            except MissingError:
                continue
            raise AssertionError(f"symbol {left_out} was touched but not missed")


def test_the_generator_reaches_every_rule() -> None:
    """Every event kind and reason of the core turns up, else the differential test would be blind to it."""
    seen: set[tuple[str, int]] = set()
    for run in range(300):
        core, _, play = started()
        for number in range(50):
            events, _ = core.apply(play.record(generate(run << 16 | number)))
            play.see(events)
            seen.update(("kind", int(kind)) for kind in events["kind"])
            seen.update(("reason", int(reason)) for reason in events["reason"])
    # A full book needs 64 orders and has its own example in test_rules.
    wanted = {("reason", int(r)) for r in Reason if r < 128 and r != Reason.REJECT_BOOK_FULL}
    wanted |= {("kind", int(kind)) for kind in EventKind}
    assert wanted <= seen, f"never reached: {sorted(wanted - seen)}"

"""The compiled core against the rules: the same bytes after every command, and every invariant held."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, MissingError, OrdType, Reason, Side, Tif
from cores.records import FLAG_SMP_SHIFT, REJECT_SESSION_FIRST, Limit, Phase
from tests.cores.fix_cores import (
    SMALL,
    CompiledCore,
    Play,
    ReferenceCore,
    commands,
    deposit,
    funded,
    generate,
    market,
    new,
    setup_fields,
)

# 1,000 examples of 50 commands; CORE_EXAMPLES asks for more, and test_replay.py plays longer ones.
EXAMPLES = int(os.environ.get("CORE_EXAMPLES", "1000"))
RUNS_TO_REACH = 1000
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
    """What core_apply_batch keeps free for a command where nothing waits, hides or is prevented: never more events."""
    open_orders, kind = core.open_orders(int(record["symbol"][0])), record["kind"][0]
    if kind in (CommandKind.NEW, CommandKind.REPLACE, CommandKind.PHASE):
        return 51 * (open_orders + 1) + 8
    if kind == CommandKind.BUST:
        return 2
    return 2 + open_orders if kind in (CommandKind.MASS_CANCEL, CommandKind.TIME) else 1


@PLENTY
@given(st.lists(commands, min_size=50, max_size=50))
def test_events_state_and_invariants_agree(fields: list[dict[str, Any]]) -> None:
    """Events, slots and touched sets are equal byte for byte; a refused command leaves only its number and time."""
    compiled, reference, play = started()
    before = compiled.snapshot()
    for entry in fields:
        for core in (compiled, reference):
            core.clear_dirty()
        record = play.record(entry)
        bound = events_bound(compiled, record)
        events, ends = compiled.apply(record)
        assert 1 <= len(events) <= bound, f"{entry} made {len(events)} events, more than {bound}"
        expected, expected_ends = reference.apply(record)
        assert events.tobytes() == expected.tobytes(), f"{entry}\n{events}\n{expected}"
        assert ends.tolist() == expected_ends.tolist() == [len(events)]
        assert compiled.dirty_symbols().tolist() == reference.dirty_symbols().tolist(), entry
        assert compiled.dirty_accounts().tolist() == reference.dirty_accounts().tolist(), entry
        compiled.check()
        play.see(events)
        after = compiled.snapshot()
        if events["kind"][0] in REFUSALS:
            assert len(events) == 1
            assert after[:64] + after[80:] == before[:64] + before[80:], f"{entry} was refused but changed the state"
        before = after
    reference.check()
    assert compiled.snapshot() == reference.snapshot()


@settings(PLENTY, max_examples=EXAMPLES // 5)
@given(st.lists(commands, min_size=50, max_size=50), st.lists(st.integers(1, 49), max_size=3))
def test_a_batch_is_its_commands(fields: list[dict[str, Any]], cuts: list[int]) -> None:
    """Applied in batches, cut anywhere: the same events, touched sets and state as one by one."""
    compiled, reference, play = started()
    one_by_one = CompiledCore.restore(compiled.snapshot())
    records, events = [], []
    for core in (compiled, reference, one_by_one):
        core.clear_dirty()
    for entry in fields:
        records.append(play.record(entry))
        events.append(one_by_one.apply(records[-1])[0])
        play.see(events[-1])
    edges = sorted({0, *cuts, len(records)})
    for low, high in pairwise(edges):
        expected = np.concatenate(events[low:high])
        for core in (compiled, reference):
            made, ends = core.apply(np.concatenate(records[low:high]))
            assert made.tobytes() == expected.tobytes()
            assert ends.tolist() == np.cumsum([len(part) for part in events[low:high]]).tolist()
    for core in (compiled, reference):
        assert core.snapshot() == one_by_one.snapshot()
        assert core.dirty_symbols().tolist() == one_by_one.dirty_symbols().tolist()
        assert core.dirty_accounts().tolist() == one_by_one.dirty_accounts().tolist()


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


def test_min_qty_of_a_market_buy_counts_fills_that_it_can_pay_whole(make: Callable[..., Any]) -> None:
    """N13, found at random: it could pay the rest of its MinQty at the second price, but not the fill it would make."""
    core = funded(make, amount=1)
    core.apply_one(**deposit(1, 0, 1_000))
    core.apply_one(**deposit(2, 1, 5 * (3 * 118 + 7 * 119) + 50))
    core.apply_one(**new(1, Side.SELL, 118, 3))
    core.apply_one(**new(1, Side.SELL, 119, 8))
    accepted, cancelled = core.apply_one(**market(2, Side.BUY, 40, aux=5))
    assert accepted["kind"] == EventKind.ACCEPTED
    assert (cancelled["kind"], cancelled["reason"], cancelled["qty_lots"]) == (4, Reason.CANCEL_MIN_QTY, 40)
    kinds = core.apply_one(**market(2, Side.BUY, 10, aux=5))["kind"].tolist()
    assert kinds == [EventKind.ACCEPTED, *[EventKind.FILL] * 4], "with ten lots in all it pays both fills"


CALLS = (Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL)


def reached(seen: set[tuple[Any, ...]], event: np.void) -> None:
    """What one event shows to have been reached."""
    seen.add(("kind", EventKind(int(event["kind"])).name))
    if event["reason"] < REJECT_SESSION_FIRST:
        seen.add(("reason", Reason(int(event["reason"])).name))
    if event["kind"] == EventKind.PHASE:
        old, new_phase = Phase(int(event["aux"])), Phase(int(event["leaves_lots"]))
        seen.add(("phase", old.name, new_phase.name))
        if event["qty_lots"]:
            seen.add(("uncross", old.name, new_phase.name))
    if event["kind"] == EventKind.LIMIT_SET:
        seen.add(("limit", Limit(int(event["flags"])).name, event["qty_lots"] > 0))


def asked(seen: set[tuple[Any, ...]], record: np.void, phase: Phase) -> None:
    """What an accepted NEW asked for, and in which phase."""
    ord_type, tif, flags = OrdType(int(record["ord_type"])), Tif(int(record["tif"])), int(record["flags"])
    seen.add(("order", ord_type.name, tif.name))
    seen.add(("order in", ord_type.name, phase.name))
    seen.update(("flag", name) for name, bit in (("POST_ONLY", 1), ("SLIDE", 2), ("ALL_OR_NONE", 4)) if flags & bit)
    seen.add(("smp", flags >> FLAG_SMP_SHIFT))
    if ord_type == OrdType.LIMIT and 0 < record["order_id"] < record["qty_lots"]:
        seen.add(("iceberg", tif.name))
    if record["aux"] and tif != Tif.GTD:
        seen.add(("min qty", ord_type.name))


def is_of_futures(reason: Reason) -> bool:
    return Reason.REJECT_POSITION <= reason <= Reason.REJECT_NO_MARK or reason == Reason.CANCEL_MARGIN


def wanted_of_the_generator() -> set[tuple[Any, ...]]:
    """All but what only futures have, which have a generator of their own, and wide instruments (test_pages.py)."""
    reasons = {reason for reason in Reason if reason < REJECT_SESSION_FIRST and not is_of_futures(reason)}
    reasons -= {Reason.REJECT_PAGES_FULL, Reason.CANCEL_PAGES_FULL}
    wanted: set[tuple[Any, ...]] = {("kind", kind.name) for kind in EventKind if kind < EventKind.MARKED}
    wanted.add(("kind", EventKind.BUSTED.name))
    wanted |= {("reason", reason.name) for reason in reasons}
    wanted |= {("phase", old.name, target.name) for old in Phase for target in Phase if old != target}
    wanted |= {("uncross", old.name, target.name) for old in CALLS for target in (Phase.CONTINUOUS, Phase.CLOSED)}
    wanted |= {("limit", kind.name, amount) for kind in Limit if kind < Limit.MARGIN for amount in (False, True)}
    resting = {Tif.DAY, Tif.GTC, Tif.GTD}
    tifs = {OrdType.LIMIT: set(Tif), OrdType.MARKET: set(Tif) - {Tif.GTC, Tif.GTD}}
    wanted |= {("order", kind.name, tif.name) for kind in OrdType for tif in tifs.get(kind, resting)}
    wanted |= {("order in", kind.name, phase.name) for kind in OrdType for phase in (Phase.CONTINUOUS, *CALLS)}
    wanted |= {("flag", name) for name in ("POST_ONLY", "SLIDE", "ALL_OR_NONE")}
    wanted |= {("smp", mode) for mode in range(5)}
    wanted |= {("iceberg", tif.name) for tif in (*resting, Tif.AT_OPEN, Tif.AT_CLOSE)}
    return wanted | {("min qty", "LIMIT"), ("min qty", "MARKET")}


def test_the_generator_reaches_every_rule() -> None:
    """Every event kind, reason and phase change of the core, every kind of order, every limit turns up; else the
    differential tests would be blind to it."""
    seen: set[tuple[Any, ...]] = set()
    for run in range(RUNS_TO_REACH):
        core, _, play = started()
        for number in range(50):
            record = play.record(generate(run << 16 | number))
            phase = Phase(core.phase(int(record["symbol"][0])))
            events, _ = core.apply(record)
            play.see(events)
            for event in events:
                reached(seen, event)
            if events["kind"][0] == EventKind.ACCEPTED:
                asked(seen, record[0], phase)
    core, _, play = started()
    crowd = (generate(number) for number in range(1 << 16))
    for fields in (fields for fields in crowd if fields["kind"] == CommandKind.NEW and fields.get("tif") == Tif.GTC):
        events, _ = core.apply(play.record(fields))
        for event in events:
            reached(seen, event)
    wanted = wanted_of_the_generator()
    assert wanted <= seen, f"never reached: {sorted(wanted - seen)}"

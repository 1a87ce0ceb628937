"""Futures: the compiled core against the rules after every command, and what must hold whatever is traded.

The properties are looked at from outside, with nothing but balances, positions and events: money to the unit, lots that
sum to zero, results that add up, the ladder in its order.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cores import EventKind, MissingError, Reason, Side, Tif
from cores.records import Fact, Stage
from tests.cores.fix_cores import CORES, CompiledCore, ReferenceCore
from tests.cores.fix_futures import (
    CONFIG,
    FUTURE,
    HIGH,
    INITIAL_BP,
    LOW,
    MAINTENANCE_BP,
    QUOTE,
    REFUSALS,
    TICK,
    generate,
    margin,
    mark,
    opened,
    order,
    started,
)

Make = Callable[..., Any]

# 200 examples of 120 commands in about half a minute; CORE_EXAMPLES asks for more.
EXAMPLES = int(os.environ.get("CORE_EXAMPLES", "1000")) // 5
PLENTY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
NUMBERS = st.integers(0, 2**40)
ACCOUNTS = range(CONFIG.accounts)


def signed(word: Any) -> int:
    return int(np.uint64(word).astype(np.int64))


def quoted_in(core: Any, asset: int) -> list[int]:
    """Numbers of the futures whose money is in this asset."""
    symbols = [number for number in range(core.symbol_count) if core.walk_symbol(number)[1, 6]]
    return [number for number in symbols if int(core.walk_symbol(number)[0, 1]) >> 32 == asset]


def assert_money_and_lots(core: Any) -> None:
    """Supply = balances + collateral - cost; lots sum to zero, those above it to the open interest; nobody but the
    venue is below zero."""
    for asset in range(CONFIG.assets):
        total = sum(core.balance(number, asset)[0] for number in ACCOUNTS)
        for symbol in quoted_in(core, asset):
            views = [core.position(number, symbol) for number in range(core.account_count)]
            total += sum(view.collateral - view.cost for view in views)
            lots = [view.lots for view in views]
            assert sum(lots) == 0
            assert sum(x for x in lots if x > 0) == int(core.walk_symbol(symbol)[2, 3])
            assert all(view.collateral >= 0 for view in views) and views[0].collateral == 0
        uses = core.walk_config()[2 + asset, 3]
        assert total == (0 if uses >= 2 else core.supply(asset))
    for number in range(1, core.account_count):
        for asset in range(CONFIG.assets):
            balance, hold, credit = core.balance(number, asset)
            assert balance + credit - hold >= 0 or core.walk_config()[2 + asset, 3] >= 2


@PLENTY
@given(st.lists(NUMBERS, min_size=120, max_size=120))
def test_events_state_and_invariants_agree(numbers: list[int]) -> None:
    """Events, slots, touched sets and questions are equal; a refused command leaves only its number and time."""
    cores, play = started()
    compiled, reference = cores["c"], cores["reference"]
    before = compiled.snapshot()
    for number in numbers:
        fields = generate(number)
        record = play.record(fields)
        events, expected = compiled.apply(record)[0], reference.apply(record)[0]
        assert events.tobytes() == expected.tobytes(), f"{fields}\n{events}\n{expected}"
        compiled.check()
        play.see(events)
        after = compiled.snapshot()
        if events["kind"][0] in REFUSALS:
            assert len(events) == 1
            assert after[:64] + after[80:] == before[:64] + before[80:], f"{fields} was refused but changed the state"
        before = after
    reference.check()
    assert compiled.snapshot() == reference.snapshot()
    assert compiled.dirty_symbols().tolist() == reference.dirty_symbols().tolist()
    assert compiled.dirty_accounts().tolist() == reference.dirty_accounts().tolist()
    for symbol in range(CONFIG.symbols):
        assert compiled.mark_price(symbol) == reference.mark_price(symbol)
        for number in ACCOUNTS:
            assert compiled.position(number, symbol) == reference.position(number, symbol)
    assert_money_and_lots(compiled)


@settings(PLENTY, max_examples=EXAMPLES // 2)
@given(st.lists(NUMBERS, min_size=60, max_size=90), st.integers(0, 60))
def test_a_restored_core_has_the_same_future(numbers: list[int], cut: int) -> None:
    cores, play = started()
    compiled, snapshot, rest = cores["c"], b"", []
    for count, number in enumerate(numbers):
        if count == cut:
            snapshot = compiled.snapshot()
        record = play.record(generate(number))
        events = compiled.apply(record)[0]
        play.see(events)
        if snapshot:
            rest.append((record, events.tobytes()))
    snapshot = snapshot or compiled.snapshot()
    for core in (CompiledCore.restore(snapshot), ReferenceCore.restore(snapshot)):
        core.check()
        assert core.snapshot() == snapshot
        for record, expected in rest:
            assert core.apply(record)[0].tobytes() == expected
        assert core.snapshot() == compiled.snapshot()


def partial(make: Make, whole: Any, symbols: list[int], accounts: list[int], room: tuple[int, int]) -> Any:
    core = make(CONFIG, partial=room)
    core.restore_config(whole.walk_config())
    for number in symbols:
        if number < whole.symbol_count:
            core.restore_symbol(whole.walk_symbol(number))
    for number in accounts:
        if number < whole.account_count:
            core.restore_account(whole.walk_account(number))
    core.restore_end()
    return core


@settings(PLENTY, max_examples=EXAMPLES // 2)
@given(st.lists(NUMBERS, min_size=40, max_size=80), st.lists(NUMBERS, min_size=1, max_size=6), st.data())
def test_touched_is_exactly_what_a_partial_core_needs(
    history: list[int], batch: list[int], data: st.DataObject
) -> None:
    """With what a batch touched, a partial core gives its events and slots; with one less it stops, never errs."""
    cores, play = started()
    compiled = cores["c"]
    for number in history:
        play.see(compiled.apply(play.record(generate(number)))[0])
    pre = CompiledCore.restore(compiled.snapshot())
    compiled.clear_dirty()
    records = []
    for number in batch:
        records.append(play.record(generate(number)))
        play.see(compiled.apply(records[-1])[0])
    together = np.concatenate(records)
    expected = CompiledCore.restore(pre.snapshot()).apply(together)[0].tobytes()
    symbols, accounts = compiled.dirty_symbols().tolist(), compiled.dirty_accounts().tolist()
    room = len(symbols), len(accounts)
    for make in CORES.values():
        core = partial(make, pre, symbols, accounts, room)
        assert core.apply(together)[0].tobytes() == expected
        core.check()
        assert np.array_equal(core.walk_config(), compiled.walk_config())
        for number in symbols:
            assert np.array_equal(core.walk_symbol(number), compiled.walk_symbol(number))
        for number in accounts:
            assert np.array_equal(core.walk_account(number), compiled.walk_account(number))
    if accounts:
        left_out = data.draw(st.sampled_from(accounts))
        kept = [number for number in accounts if number != left_out]
        outcomes = set()
        for make in CORES.values():
            core = partial(make, pre, symbols, kept, (len(symbols), len(kept)))
            try:
                assert core.apply(together)[0].tobytes() == expected
                outcomes.add("the same")
            except MissingError:
                outcomes.add("missed")
        assert len(outcomes) == 1, (left_out, accounts)


def test_the_generator_reaches_every_rule() -> None:
    """Every event kind, reason and stage of futures turns up, else the tests above would be blind to them."""
    seen: set[tuple[str, int]] = set()
    for run in range(60):
        play, core = started()[1], started()[0]["c"]
        for number in range(120):
            events, _ = core.apply(play.record(generate(run << 16 | number)))
            play.see(events)
            seen.update(("kind", int(kind)) for kind in events["kind"])
            seen.update(("reason", int(reason)) for reason in events["reason"])
            stages = events["leaves_lots"][events["kind"] == EventKind.MARGIN]
            seen.update(("stage", int(stage)) for stage in stages)
    reasons = [Reason(number) for number in range(Reason.REJECT_POSITION, Reason.REJECT_NO_MARK + 1)]
    wanted = {("reason", int(reason)) for reason in [*reasons, Reason.CANCEL_MARGIN, Reason.CANCEL_FUNDS]}
    wanted |= {("reason", int(reason)) for reason in (Reason.CANCEL_AUCTION, Reason.CANCEL_VOLATILITY)}
    wanted |= {("kind", int(kind)) for kind in EventKind} | {("stage", int(stage)) for stage in Stage}
    assert wanted <= seen, f"never reached: {sorted(wanted - seen)}"


# ---- properties ----


@settings(PLENTY, max_examples=EXAMPLES // 5)
@given(st.sampled_from(sorted(CORES)), st.lists(NUMBERS, min_size=100, max_size=100))
def test_nothing_is_lost_and_the_ladder_keeps_its_order(name: str, numbers: list[int]) -> None:
    """After every command money and lots add up. A position is called before it is liquidated, liquidated before it is
    taken over; a deficit is paid only when the collateral is used up."""
    cores, play = started()
    core, stages = cores[name], Counter[tuple[int, int]]()
    for number in numbers:
        events = core.apply(play.record(generate(number)))[0]
        play.see(events)
        assert_money_and_lots(core)
        for event, after in zip(events, [*events[1:], None], strict=True):
            key, kind = (int(event["symbol"]), int(event["account"])), event["kind"]
            if kind == EventKind.MARGIN:
                stage, before = Stage(event["leaves_lots"]), stages[key]
                assert stage in (Stage.NONE, Stage.SETTLED) or stage == before + 1
                equity, needed = signed(event["qty_lots"]), int(event["aux"])
                assert (equity >= needed) == (stage == Stage.NONE) or stage == Stage.SETTLED
                stages[key] = stage
            elif kind == EventKind.POSITION and (event["qty_lots"] == 0 or closed_in_full(core, key, stages)):
                stages[key] = Stage.NONE
            elif kind == EventKind.DEFICIT:
                assert key[1] != 0 and event["qty_lots"] > 0
            if after is not None and after["kind"] == EventKind.DEFICIT:
                assert (kind, event["leaves_lots"]) == (EventKind.POSITION, 0)


def closed_in_full(core: Any, key: tuple[int, int], stages: Counter[tuple[int, int]]) -> bool:
    """A position that turned round within one trade is a new one."""
    return stages[key] != Stage.NONE and core.position(key[1], key[0]).stage == Stage.NONE


TRADES = st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(LOW, HIGH)), min_size=1, max_size=12)


@settings(PLENTY, max_examples=EXAMPLES)
@given(st.sampled_from(sorted(CORES)), TRADES, st.integers(LOW, HIGH))
def test_results_add_up_whatever_was_closed_when(name: str, trades: list[tuple[bool, int, int]], last: int) -> None:
    """Once flat, the results realised are what was paid in less what was paid out, and all the money is back."""
    core = opened(CORES[name], dict.fromkeys((1, 2), 10**7))
    lots = paid = 0
    realised = Counter[int]()
    for is_buy, quantity, price in [*trades, (None, None, last)]:
        if is_buy is None:
            is_buy, quantity = lots < 0, abs(lots)
        if not quantity:
            continue
        one, other = (Side.BUY, Side.SELL) if is_buy else (Side.SELL, Side.BUY)
        core.apply_one(**order(2, other, price, quantity))
        events = core.apply_one(**order(1, one, price, quantity))
        for event in events[events["kind"] == EventKind.POSITION]:
            realised[int(event["account"])] += signed(event["aux"])
        lots += quantity if is_buy else -quantity
        paid += quantity * price * TICK * (1 if is_buy else -1)
        view = core.position(1, FUTURE)
        assert view.lots == lots
        assert view.cost == realised[1] + paid, "what is not realised yet is in the cost"
    assert (lots, realised[1], realised[2]) == (0, -paid, paid)
    assert core.balance(1, QUOTE) == (10**7 - paid, 0, 0)
    assert core.balance(2, QUOTE) == (10**7 + paid, 0, 0)


@settings(PLENTY, max_examples=EXAMPLES)
@given(
    st.sampled_from(sorted(CORES)),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(1, 60),
    st.integers(LOW, HIGH),
    st.lists(st.tuples(st.integers(1, 30), st.integers(LOW, HIGH)), max_size=8),
)
def test_a_closing_order_never_needs_margin(
    name: str, side: Side, lots: int, price: int, orders: list[tuple[int, int]]
) -> None:
    """An account whose last unit is its collateral: every order within its position is taken, none beyond."""
    needed = lots * price * TICK * INITIAL_BP // 10000
    core = opened(CORES[name], {1: needed, 2: 10**8})
    other = Side.SELL if side == Side.BUY else Side.BUY
    core.apply_one(**order(2, other, price, lots))
    core.apply_one(**order(1, side, price, lots))
    assert core.balance(1, QUOTE) == (0, 0, 0) and core.position(1, FUTURE).collateral == needed
    left = lots
    for quantity, at in orders:
        (event,) = core.apply_one(**order(1, other, at, quantity, tif=Tif.GTC))
        taken = event["kind"] == EventKind.ACCEPTED
        assert taken == (quantity <= left), "else it would open, and there is nothing to hold"
        if taken:
            left -= quantity
            assert core.find_order(FUTURE, int(event["order_id"])).facts == Fact.FUTURE | Fact.CLOSING
    core.check()
    assert core.balance(1, QUOTE) == (0, 0, 0)


@settings(PLENTY, max_examples=EXAMPLES)
@given(
    st.sampled_from(sorted(CORES)),
    st.lists(st.tuples(st.integers(1, 40), st.integers(LOW, HIGH)), min_size=1, max_size=4),
    st.integers(LOW, HIGH),
    st.booleans(),
)
def test_equity(name: str, trades: list[tuple[int, int]], price: int, is_long: bool) -> None:
    """Collateral and the result so far, whatever the way there; what is needed is rounded down."""
    core = opened(CORES[name], dict.fromkeys((1, 2), 10**8))
    side, other = (Side.BUY, Side.SELL) if is_long else (Side.SELL, Side.BUY)
    for quantity, at in trades:
        core.apply_one(**order(2, other, at, quantity))
        core.apply_one(**order(1, side, at, quantity))
    core.apply_one(**mark(price))
    view, sign = core.position(1, FUTURE), 1 if is_long else -1
    result = sum(sign * (price - at) * quantity * TICK for quantity, at in trades)
    lots = sum(quantity for quantity, _ in trades)
    assert view.collateral == sum(at * quantity * TICK * INITIAL_BP // 10000 for quantity, at in trades)
    assert view.equity == view.collateral + result
    assert view.needed == int(Fraction(price * lots * TICK * MAINTENANCE_BP, 10000))
    assert core.position(2, FUTURE).equity == view.collateral - result


@settings(PLENTY, max_examples=EXAMPLES)
@given(
    st.sampled_from(sorted(CORES)),
    st.integers(1, 60),
    st.integers(0, 3_000),
    st.booleans(),
    st.lists(st.tuples(st.integers(1, 20), st.integers(-30, 30)), max_size=4),
    st.lists(st.integers(LOW, HIGH), min_size=6, max_size=12),
)
def test_a_position_ends_in_steps(
    name: str, lots: int, spare: int, is_long: bool, bids: list[tuple[int, int]], marks: list[int]
) -> None:
    """Whatever the marks and the other side: each step is kept, or as the page says from equity, money and stage."""
    core = opened(CORES[name], {1: lots * 132 * TICK * INITIAL_BP // 10000 + spare, 2: 10**8, 3: 10**8})
    side, other = (Side.BUY, Side.SELL) if is_long else (Side.SELL, Side.BUY)
    core.apply_one(**order(2, other, 132, lots))
    core.apply_one(**order(1, side, 132, lots))
    for quantity, offset in bids:
        core.apply_one(**order(3, side, 132 + offset, quantity))
    for price in marks:
        core.apply_one(**mark(price))
        before, money = core.position(1, FUTURE), core.balance(1, QUOTE)[0]
        events = core.apply_one(**margin(1))
        core.check()
        if before.lots == 0:
            assert Reason(events["reason"][0]) == Reason.REJECT_NO_POSITION
            return
        if before.equity >= before.needed and before.stage == Stage.NONE:
            assert Reason(events["reason"][0]) == Reason.REJECT_MARGIN_KEPT
            continue
        value = price * abs(before.lots) * TICK
        wanted = value * INITIAL_BP // 10000 - before.equity if before.equity < before.needed else 0
        equity = before.equity + min(money, wanted)
        (event,) = events[events["kind"] == EventKind.MARGIN]
        stage = Stage.NONE if equity >= before.needed else Stage(before.stage + 1)
        assert (signed(event["qty_lots"]), event["aux"], Stage(event["leaves_lots"])) == (equity, before.needed, stage)
        after = core.position(1, FUTURE)
        if stage == Stage.TAKEN_OVER:
            assert (after.lots, after.cost, after.collateral, after.stage) == (0, 0, 0, Stage.NONE)
        elif stage != Stage.LIQUIDATED:
            assert (after.lots, after.collateral - before.collateral) == (before.lots, min(money, wanted))

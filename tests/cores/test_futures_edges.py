"""Futures where they are rare: what a partial core lacks, self-matches, and account 0 with more lots than any other.

All of it on both implementations, which have to agree to the byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cores import COMMAND, CommandFlag, CommandKind, CoreError, EventKind, MissingError, OrdType, Reason, Side, Tif
from cores.records import FUTURE_ORDERS_MAX, POSITION_LOTS_MAX, Limit, Phase, Smp, Stage
from tests.cores.fix_cores import CORES, CompiledCore
from tests.cores.fix_futures import (
    CONFIG,
    FUTURE,
    QUOTE,
    Fields,
    account,
    deposit,
    future,
    limit,
    margin,
    margins,
    mark,
    market,
    order,
    phase,
    setup_fields,
)

Make = Callable[..., Any]
BUY, SELL = Side.BUY, Side.SELL
SETTLE = CommandFlag.MARGIN_SETTLE
POOR_AND_RICH = {1: 4_000, 2: 1_000_000, 3: 1_000_000, 4: 1_000_000, 5: 1_000_000}


def records_of(first_seq: int, fields: list[Fields]) -> np.ndarray:
    records = np.zeros(len(fields), COMMAND)
    for i, entry in enumerate(fields):
        for name, value in entry.items():
            records[i][name] = value
        records[i]["seq"] = first_seq + i
    return records


def played(make: Make, fields: list[Fields]) -> Any:
    core = make(CONFIG)
    core.apply(records_of(1, fields))
    core.check()
    return core


def opening() -> list[Fields]:
    """Account 1 is long 10 at 132 with little money, 2 short; 3 bids far below, 4 waits with a stop to sell."""
    start = [*setup_fields(POOR_AND_RICH, (10, 25)), order(2, SELL, 132, 10), order(1, BUY, 132, 10)]
    return [*start, order(3, BUY, 118, 3), order(4, SELL, 0, 2, ord_type=OrdType.STOP, order_id=120)]


CALL = [mark(120), margin(1)]
BUST: Fields = {"kind": CommandKind.BUST, "symbol": FUTURE, "account": 3, "session": 2, "order_id": 1 << 24}
BUST |= {"price_ticks": 132, "qty_lots": 3}
BATCHES: dict[str, tuple[list[Fields], list[Fields], int]] = {  # history, batch, how many of what it touches are missed
    "a mark": ([], [mark(130)], 1),
    "a margin": ([], [limit(Limit.MARGIN, 500, aux=300)], 1),
    "a limit on positions": ([], [limit(Limit.POSITION, 30)], 1),
    "an order that rests": ([], [order(5, BUY, 110, 1)], 3),
    "an order that is replaced": (
        [order(5, BUY, 110, 1)],
        [order(5, BUY, 111, 2)],
        3,
    ),
    "a fill": ([], [order(2, SELL, 118, 1)], 5),
    "a deficit of the aggressor": ([], [market(1, SELL, 3)], 5),
    "a deficit of the resting order": ([order(1, SELL, 121, 9)], [order(2, BUY, 121, 9)], 4),
    "a self-match": (
        [account(number, order_id=1, price_ticks=Smp.CANCEL_RESTING) for number in (3, 5)],
        [order(5, SELL, 118, 2)],
        4,
    ),
    "a margin call": ([], CALL, 2),
    "a liquidation": (CALL, [margin(1)], 5),
    "a liquidation with a deficit": ([order(3, BUY, 101, 9), *CALL], [margin(1)], 5),
    "a take-over": ([*CALL, margin(1)], [margin(1)], 3),
    "a settlement": ([mark(120), phase(Phase.CLOSED)], [margin(1, flags=SETTLE)], 3),
    "an uncross with a deficit": (
        [phase(Phase.PRE_OPEN), order(3, BUY, 103, 9), order(1, SELL, 101, 9)],
        [phase(Phase.CONTINUOUS)],
        5,
    ),
    "a bust": ([], [BUST], 4),
    "a bust with a deficit": ([], [BUST | {"account": 1, "session": 3, "price_ticks": 110, "qty_lots": 9}], 4),
    "an uncross": ([phase(Phase.PRE_OPEN), order(1, SELL, 110, 3)], [phase(Phase.CONTINUOUS)], 5),
}


def partial(make: Make, whole: Any, symbols: list[int], accounts: list[int]) -> Any:
    core = make(CONFIG, partial=(len(symbols), len(accounts)))
    core.restore_config(whole.walk_config())
    for number in symbols:
        core.restore_symbol(whole.walk_symbol(number))
    for number in accounts:
        core.restore_account(whole.walk_account(number))
    core.restore_end()
    return core


@pytest.mark.parametrize("name", BATCHES)
def test_what_a_partial_core_lacks_is_missed(name: str) -> None:
    """All that a command on a future touches is enough for it, and each of them is needed."""
    history, batch, needed = BATCHES[name]
    before, whole = (played(CompiledCore, [*opening(), *history]) for _ in range(2))
    whole.clear_dirty()
    records = records_of(whole.last_seq + 1, batch)
    events, _ = whole.apply(records)
    assert not set(events["kind"].tolist()) & {EventKind.REJECTED, EventKind.COMMAND_REJECTED}
    symbols, accounts = whole.dirty_symbols().tolist(), whole.dirty_accounts().tolist()
    assert len(symbols) + len(accounts) == needed
    for make in CORES.values():
        core = partial(make, before, symbols, accounts)
        assert core.apply(records)[0].tobytes() == events.tobytes()
        for left_out in symbols:
            with pytest.raises(MissingError):
                partial(make, before, [n for n in symbols if n != left_out], accounts).apply(records)
        for left_out in accounts:
            core = partial(make, before, symbols, [n for n in accounts if n != left_out])
            with pytest.raises(MissingError):
                core.apply(records)
            with pytest.raises(CoreError):
                core.apply(records)


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
@pytest.mark.parametrize("mode", list(Smp)[1:])
def test_a_self_match_in_a_future_is_no_trade(make: Make, mode: Smp) -> None:
    """The four modes against a resting sell of the group with one of another account behind it."""
    core = played(make, [*setup_fields(dict.fromkeys(range(1, 6), 100_000), (0, 0)), order(1, SELL, 130, 4)])
    groups = [account(number, 0, 0, order_id=7, price_ticks=mode) for number in (1, 2)]
    core.apply(records_of(core.last_seq + 1, [*groups[1:], order(3, SELL, 130, 4)]))
    core.apply_one(**account(4, 0, 0, order_id=7))
    core.apply_one(**order(4, SELL, 129, 3, order_id=2))
    events = core.apply_one(**order(2, BUY, 130, 6))
    core.check()
    ended = [EventKind(kind).name for kind in events["kind"]]
    traded = [core.position(number, FUTURE).lots for number in (1, 2, 3, 4)]
    if mode in (Smp.CANCEL_AGGRESSOR, Smp.CANCEL_BOTH):
        assert traded == [0, 0, 0, 0] and ended[-1] == "CANCELLED"
    elif mode == Smp.CANCEL_RESTING:
        assert traded == [-4, 6, -2, 0]
    else:
        assert traded == [-3, 3, 0, 0] and ended[1:4] == ["RESTATED", "RESTATED", "REFRESHED"]
    open_sells = {Smp.CANCEL_AGGRESSOR: 3, Smp.CANCEL_RESTING: 0, Smp.CANCEL_BOTH: 0, Smp.DECREMENT: 0}
    assert core.position(4, FUTURE).open_sells == open_sells[mode]
    assert {Reason(reason) for reason in events["reason"]} == {Reason.NONE, Reason.CANCEL_SELF_MATCH}


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_no_future_where_a_command_could_make_more_events_than_have_numbers(make: Make) -> None:
    """24 bits number the events of a command: 119 for each order and some do not fit with 2^18 orders."""
    for orders, reason in ((FUTURE_ORDERS_MAX, Reason.NONE), (2 * FUTURE_ORDERS_MAX, Reason.REJECT_BAD_INSTRUMENT)):
        core = make(replace(CONFIG, symbols=1, orders=orders))
        (event,) = core.apply_one(**future(0))
        assert Reason(event["reason"]) == reason
        assert (119 * orders + 16 < 1 << 24) == (reason == Reason.NONE)


def shares(amount: int, part: int, whole: int) -> int:
    return amount * part // whole


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_account_0_takes_over_more_lots_than_any_other_may_have(make: Make) -> None:
    """Three of the largest positions at three prices: its cost goes by exact shares, though no product fits 64 bits."""
    most = POSITION_LOTS_MAX
    start = [future(0, price_ticks=1, qty_lots=10, aux=1), margins(1, 1, symbol=0)]
    for number in range(1, 7):
        start += [account(number, 0, 0), deposit(number, 1 << 40)]
    for buyer, seller in ((1, 4), (2, 5), (3, 6)):
        start += [order(seller, SELL, 5, most, symbol=0), order(buyer, BUY, 5, most, symbol=0)]
    core = played(make, [*start, phase(Phase.CLOSED, symbol=0)])
    for number, price in ((1, 5), (2, 3), (3, 6)):
        core.apply_one(**mark(price, 0))
        core.apply_one(**margin(number, symbol=0, flags=SETTLE))
    core.check()
    cost, lots = (5 + 3 + 6) * most, 3 * most
    assert lots > 1 << 32
    assert core.position(0, 0).lots == lots and core.position(0, 0).cost == cost
    venue = core.balance(0, QUOTE)[0]
    for number in (4, 5, 6):
        core.apply_one(**mark(7, 0))
        core.apply_one(**margin(number, symbol=0, flags=SETTLE))
        core.check()
        share = cost if lots == most else shares(cost, most, lots)
        venue, cost, lots = venue + 7 * most - share, cost - share, lots - most
        view = core.position(0, 0)
        assert (view.lots, view.cost, Stage(view.stage)) == (lots, cost, Stage.NONE)
        assert core.balance(0, QUOTE)[0] == venue
    assert core.walk_symbol(0)[2, 3] == 0  # no open interest


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_a_settlement_leaves_no_position_and_no_unit(make: Make) -> None:
    """Every position ends at the mark, the loser pays all that it has, account 0 the rest."""
    core = played(make, [*opening(), order(2, BUY, 110, 5, tif=Tif.GTC), phase(Phase.CLOSED), mark(101)])
    supply = core.supply(QUOTE)
    for number in (1, 2):
        core.apply_one(**margin(number, flags=SETTLE))
        core.check()
    assert [core.position(number, FUTURE).lots for number in range(6)] == [0] * 6
    assert sum(core.balance(number, QUOTE)[0] for number in range(6)) == supply
    assert core.balance(1, QUOTE)[0] == 0 > core.balance(0, QUOTE)[0]

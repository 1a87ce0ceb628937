"""A partial core that lacks something stops where it needs it: it never goes on with less, and never works again.

The prover chooses what a witness leaves out. Whatever single symbol or account of the touched ones is missing, the
batch must end in MissingError, or in the same events if the commands can do without.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cores import CommandKind, CoreError, MissingError, Side
from tests.cores.fix_cores import CORES, SMALL, CompiledCore, Play, account, deposit, generate, instrument, market, new

TIME_CLOSE = {"kind": CommandKind.TIME, "symbol": 0, "flags": 1}


def partial(make: Any, whole: Any, symbols: list[int], accounts: list[int]) -> Any:
    core = make(SMALL, partial=(len(symbols), len(accounts)))
    core.restore_config(whole.walk_config())
    for number in symbols:
        if number < whole.symbol_count:
            core.restore_symbol(whole.walk_symbol(number))
    for number in accounts:
        if number < whole.account_count:
            core.restore_account(whole.walk_account(number))
    core.restore_end()
    return core


def left_out_one_by_one(history: list[dict[str, Any]], batch: list[dict[str, Any]]) -> int:
    """Leaves each touched symbol and account out in turn, in both implementations; how many of those were missed."""
    whole, play = CompiledCore(SMALL), Play()
    for fields in history:
        play.see(whole.apply(play.record(fields))[0])
    before = CompiledCore.restore(whole.snapshot())
    whole.clear_dirty()
    records = np.concatenate([play.record(fields) for fields in batch])
    expected = whole.apply(records)[0].tobytes()
    touched = whole.dirty_symbols().tolist(), whole.dirty_accounts().tolist()
    missed = 0
    for which, number in [(0, number) for number in touched[0]] + [(1, number) for number in touched[1]]:
        kept = [[entry for entry in touched[i] if i != which or entry != number] for i in (0, 1)]
        outcomes = []
        for make in CORES.values():
            core = partial(make, before, kept[0], kept[1])
            try:
                assert core.apply(records)[0].tobytes() == expected, (which, number, batch)
                outcomes.append("the same")
            except MissingError:
                outcomes.append("missed")
                with pytest.raises(CoreError):
                    core.apply(records)
        assert len(set(outcomes)) == 1, (which, number, outcomes, batch)
        missed += outcomes[0] == "missed"
    return missed


def opening() -> list[dict[str, Any]]:
    """Two bids of accounts 1 and 2, an ask of account 3; all have money."""
    start = [instrument()]
    for number in (1, 2, 3):
        start += [account(number), deposit(number, 0, 10**6), deposit(number, 1, 10**6)]
    return [*start, new(1, Side.BUY, 120, 5), new(2, Side.BUY, 119, 5), new(3, Side.SELL, 130, 5)]


BATCHES: dict[str, list[dict[str, Any]]] = {
    "a fill": [new(3, Side.SELL, 119, 7)],
    "a sweep at market": [market(3, Side.SELL, 9)],
    "an order that rests": [new(1, Side.BUY, 110, 1)],
    "all or nothing": [new(3, Side.SELL, 119, 9, tif=4)],
    "a replace that trades": [{"kind": CommandKind.REPLACE, "pick": 2, "price_ticks": 130, "qty_lots": 5}],
    "the end of a day": [TIME_CLOSE],
    "a mass cancel": [{"kind": CommandKind.MASS_CANCEL, "account": 1}],
    "a cancel": [{"kind": CommandKind.CANCEL, "pick": 2}],
    "a deposit": [deposit(2, 1, 5)],
    "an account": [account(2, 1, 2)],
    "a credit line": [{"kind": CommandKind.LIMIT, "account": 2, "asset": 1, "qty_lots": 5}],
    "a withdrawal": [{"kind": CommandKind.WITHDRAW, "account": 2, "asset": 1, "qty_lots": 5}],
}


@pytest.mark.parametrize("name", BATCHES)
def test_each_kind_of_command(name: str) -> None:
    assert left_out_one_by_one(opening(), BATCHES[name]) >= 1


def test_batches_at_random() -> None:
    missed = 0
    for seed in range(120):
        history = [generate(seed << 20 | number) for number in range(60)]
        batch = [generate(seed << 20 | 1 << 18 | number) for number in range(4)]
        missed += left_out_one_by_one([*opening(), *history], batch)
    assert missed > 300

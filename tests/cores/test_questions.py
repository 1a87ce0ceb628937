"""Questions: what both implementations say of what is there, what does not exist, and what a partial core lacks."""

from __future__ import annotations

from typing import Any

import pytest

from cores import CommandFlag, CommandKind, Phase, Side, Tif
from cores.records import Limit
from tests.cores.fix_cores import CORES, SMALL, account, deposit, funded, instrument, new
from tests.cores.fix_futures import CONTRACT, FUTURE, MONEY, QUOTE, mark, opened, order
from tests.cores.fix_market import Make
from tests.cores.test_missing import partial

NO_SYMBOL, NO_ACCOUNT, NO_ASSET = 9, 9, 9


def of_a_symbol(core: Any, symbol: int) -> list[Any]:
    """Every question that can be asked of one, and its state."""
    sides = [core.depth(symbol, side, 3) for side in (Side.BUY, Side.SELL, Side.NONE, 3)]
    found = [core.find_order(symbol, order_id) for order_id in (0, 1 << 24, 0xFFFFFF)]
    words = [core.phase(symbol), core.last_price(symbol), core.expiry_next(symbol), core.mark_price(symbol)]
    return [*sides, *found, *words, core.indicative(symbol), core.open_orders(symbol), len(core.walk_symbol(symbol))]


NOTHING = [[], [], [], [], None, None, None, Phase.CLOSED, (0, 0), None, 0, None, 0, 0]


def busy(make: Make) -> Any:
    """Symbol 0 in a call with a cross, a date and a last price; symbol 1 without an order."""
    core = funded(make)
    core.apply_one(**instrument(1, flags=CommandFlag.INSTRUMENT_CLOSED))
    core.apply_one(**new(1, Side.BUY, 120, 5))
    core.apply_one(**new(2, Side.SELL, 120, 2))
    core.apply_one(**new(1, Side.BUY, 119, 4, tif=Tif.GTD, aux=77))
    core.apply_one(**new(1, Side.BUY, 118, 9, order_id=3))
    core.apply_one(kind=CommandKind.PHASE, ord_type=Phase.CLOSE_CALL, price_ticks=121)
    core.apply_one(**new(2, Side.SELL, 119, 1))
    return core


def test_of_a_symbol_in_a_call(make: Make) -> None:
    core = busy(make)
    assert core.phase(0) == Phase.CLOSE_CALL and core.last_price(0) == (120, 121)
    assert core.expiry_next(0) == 77 and core.open_orders(0) == 4
    assert core.indicative(0) == (120, 1, 2, Side.BUY)
    assert core.depth(0, Side.BUY) == [(120, 3), (119, 4), (118, 3)] and core.depth(0, Side.SELL) == [(119, 1)]
    iceberg = core.find_order(0, int(core.walk_symbol(0)[5, 0]))
    assert (iceberg.leaves_lots, iceberg.hidden_lots, iceberg.display_lots) == (9, 6, 3)
    assert core.phase(1) == Phase.CLOSED and core.expiry_next(1) is None and core.indicative(1) is None


def test_of_what_does_not_exist(make: Make) -> None:
    core = opened(make)
    assert of_a_symbol(core, NO_SYMBOL) == NOTHING
    assert core.balance(NO_ACCOUNT, 0) == core.balance(1, NO_ASSET) == (0, 0, 0)
    assert core.supply(NO_ASSET) == core.supply(CONTRACT) == 0 and core.supply(QUOTE) == sum(MONEY.values())
    assert core.position(NO_ACCOUNT, FUTURE) is None
    assert core.position(1, 0) is None, "a spot symbol"
    assert core.position(1, NO_SYMBOL) is None
    assert core.mark_price(0) == 0 and core.mark_price(FUTURE) == 132
    assert len(core.walk_account(NO_ACCOUNT)) == 0


def test_of_a_position(make: Make) -> None:
    core = opened(make)
    core.apply_one(**order(1, Side.BUY, 132, 4))
    core.apply_one(**order(2, Side.SELL, 132, 3))
    core.apply_one(**mark(130))
    long, short = core.position(1, FUTURE), core.position(2, FUTURE)
    assert (long.lots, long.cost, long.open_buys, long.open_sells) == (3, 19_800, 1, 0)
    assert (short.lots, short.cost, short.equity - short.collateral) == (-3, -19_800, 300)
    assert core.balance(1, CONTRACT) == (3, 0, 0) and core.balance(2, CONTRACT) == (-3, 0, 0)


@pytest.mark.parametrize("name", sorted(CORES))
def test_of_what_a_partial_core_lacks(name: str) -> None:
    """It is as if it did not exist, but counts say that it does."""
    whole = busy(CORES[name])
    core = partial(CORES[name], whole, [1], [0, 2])
    assert (core.symbol_count, core.account_count) == (2, SMALL.accounts)
    assert of_a_symbol(core, 0) == NOTHING and of_a_symbol(core, 1) == of_a_symbol(whole, 1)
    assert core.balance(1, 0) == (0, 0, 0) and core.balance(2, 0) == whole.balance(2, 0) != (0, 0, 0)
    assert len(core.walk_account(1)) == 0 and core.position(1, 0) is None


def test_credit_is_part_of_the_answer(make: Make) -> None:
    core = make(SMALL)
    core.apply_one(**account(1))
    core.apply_one(**deposit(1, 1, 10))
    core.apply_one(kind=CommandKind.LIMIT, ord_type=Limit.CREDIT, account=1, asset=1, qty_lots=7)
    assert core.balance(1, 1) == (10, 0, 7) and core.supply(1) == 10

"""Pieces of a state that do not belong to the core they are given to, or do not fit what is said of them elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cores import Side, StateError
from cores.records import AMOUNT_MAX, KILLED_SESSIONS_MAX, POSITION_LOTS_MAX, AssetUse
from tests.cores.fix_cores import SMALL, CompiledCore, account, deposit, funded, instrument, new
from tests.cores.fix_futures import CONFIG, CONTRACT, FUTURE, QUOTE, future, margins, order
from tests.cores.fix_market import Make
from tests.cores.test_restore import agree


def refused(core: Any, step: str, slots: np.ndarray) -> None:
    with pytest.raises(StateError):
        getattr(core, step)(slots)
    with pytest.raises(StateError):
        core.restore_end()


@pytest.mark.parametrize("word", range(8))
def test_the_configuration_of_another_core(make: Make, word: int) -> None:
    slots = funded(make).walk_config()
    slots[0, word] += 1
    refused(make(SMALL), "restore_config", slots)


@pytest.mark.parametrize(
    ("word", "value"), [(2, 5), (3, 0), (3, 6), (4, 1), (4, KILLED_SESSIONS_MAX + 1), (5, 1), (6, 1), (7, 1)]
)
def test_counts_that_cannot_be(make: Make, word: int, value: int) -> None:
    slots = funded(make).walk_config()
    slots[1, word] = value
    refused(make(SMALL), "restore_config", slots)


def test_more_slots_than_a_book_can_have(make: Make) -> None:
    whole = funded(make)
    core = make(SMALL)
    core.restore_config(whole.walk_config())
    slots = np.zeros((2 * SMALL.orders + 9, 8), np.uint64)
    slots[:2] = whole.walk_symbol(0)
    slots[0, 6] = len(slots) - 1
    refused(core, "restore_symbol", slots)


def test_an_account_with_a_slot_too_many(make: Make) -> None:
    whole = funded(make)
    core = make(SMALL)
    core.restore_config(whole.walk_config())
    core.restore_symbol(whole.walk_symbol(0))
    core.restore_account(whole.walk_account(0))
    slots = whole.walk_account(1)
    refused(core, "restore_account", np.concatenate([slots, slots[-1:]]))


@pytest.mark.parametrize(
    ("symbols", "accounts"), [([1, 0], []), ([0, 0], []), ([0], [2, 1]), ([0], [2, 2]), ([0, 2], [])]
)
def test_a_partial_core_takes_them_rising(make: Make, symbols: list[int], accounts: list[int]) -> None:
    whole = funded(make)
    whole.apply_one(**instrument(1))
    core = make(SMALL, partial=(3, 3))
    core.restore_config(whole.walk_config())
    pieces = [("restore_symbol", whole.walk_symbol(min(n, 1)), n) for n in symbols]
    pieces += [("restore_account", whole.walk_account(n), n) for n in accounts]
    for _, slots, number in pieces:
        slots[0, 0] = number
    for step, slots, _ in pieces[:-1]:
        getattr(core, step)(slots)
    refused(core, pieces[-1][0], pieces[-1][1])


# ---- whole states of great amounts ----


def slots_of(core: Any) -> np.ndarray:
    return np.frombuffer(core.snapshot(), np.uint64).reshape(-1, 8).copy()


def order_rows(slots: np.ndarray, core: Any, symbol: int, first: int) -> list[int]:
    """Where the orders of a symbol are, in the order of the walk."""
    start = len(core.walk_config()) + sum(len(core.walk_symbol(number)) for number in range(symbol))
    return list(range(start + first, start + len(core.walk_symbol(symbol))))


@pytest.mark.parametrize("share", [1, 2])
def test_orders_that_need_more_than_there_can_be(share: int) -> None:
    """One whose fee passes AMOUNT_MAX, or three that are half of it each."""
    core = CompiledCore(SMALL)
    for fields in (instrument(order_id=1, aux=1 << 22), account(1), deposit(1, 1, AMOUNT_MAX)):
        core.apply_one(**fields)
    for _ in range(2 * share - 1):
        core.apply_one(**new(1, Side.BUY, 120, 1))
    slots = slots_of(core)
    rows = order_rows(slots, core, 0, 2)
    assert len(rows) == 2 * share - 1 and agree(slots, "as it was")
    slots[rows, 1] = AMOUNT_MAX // (120 << 22) // share
    assert not agree(slots, "more than AMOUNT_MAX")


def great_future(tick: int) -> Any:
    """A future in which account 1 is long 10 and account 2 short 10, with an order of 4 of each; fees are 0."""
    core = CompiledCore(CONFIG)
    start = [instrument(0, 0, QUOTE), future(aux=tick), margins(500, 400)]
    for number in (1, 2):
        start += [account(number, 0, 0), deposit(number, QUOTE, 1 << 60)]
    start += [order(1, Side.BUY, 132, 10), order(2, Side.SELL, 132, 10)]
    for fields in [*start, order(1, Side.BUY, 120, 4), order(2, Side.SELL, 140, 4)]:
        core.apply_one(**fields)
    assert core.position(1, FUTURE).lots == 10 and core.open_orders(FUTURE) == 2
    return core


def contract_row(slots: np.ndarray, lots: int) -> int:
    rows = (slots[:, 0] == CONTRACT) & (slots[:, 1] == lots % (1 << 64))
    (found,) = np.flatnonzero(rows)
    return int(found)


def test_positions_and_open_orders_beyond_the_bound() -> None:
    tick = 1 << 34  # the bound is 229 lots
    core = great_future(tick)
    slots = slots_of(core)
    assert agree(slots, "as it was")
    long, short = contract_row(slots, 10), contract_row(slots, -10)
    start = len(core.walk_config()) + len(core.walk_symbol(0))

    def moved(lots: int) -> bool:
        changed = slots.copy()
        changed[start + 2, 3] = lots
        for row, sign in ((long, 1), (short, -1)):
            changed[row, 1] = sign * lots % (1 << 64)
            changed[row, 3] = sign * lots * 132 * tick % (1 << 64)
        return agree(changed, f"{lots} lots")

    assert moved(225) and not moved(226), "with the open orders of 4"
    assert not moved(230), "without them"
    bid, ask = order_rows(slots, core, FUTURE, 3)
    for row, position, shift, price in ((bid, long, 0, 120), (ask, short, 31, 140)):
        for leaves, taken in ((219, True), (220, False)):
            changed = slots.copy()
            changed[row, 1] = leaves
            changed[position, 2] = leaves << shift
            cash = position - 1
            assert changed[cash, 0] == QUOTE
            changed[cash, 2] += (leaves - 4) * price * tick * 500 // 10_000
            assert agree(changed, f"{leaves} lots open") == taken


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_open_lots_never_run_into_the_next_bits(side: Side) -> None:
    """Two orders of 2^30 lots of one side: their sum has no room in the word."""
    core = great_future(50)
    core.apply_one(**order(1, side, 120 if side == Side.BUY else 140, 4))
    slots = slots_of(core)
    rows = [row for row in order_rows(slots, core, FUTURE, 3) if int(slots[row, 4]) & 0xFFFFFFFF == 1]
    assert agree(slots, "as it was") and len(rows) == 2
    slots[rows, 1] = (POSITION_LOTS_MAX + 1) // 2
    assert not agree(slots, "2^31 lots")


def test_a_contract_that_does_not_say_whose() -> None:
    slots = slots_of(great_future(50))
    slots[2 + CONTRACT, 3] = AssetUse.CASH
    assert not agree(slots, "a contract that is cash")

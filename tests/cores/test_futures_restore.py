"""States with futures that somebody else wrote: taken only when they are some, and the same by both implementations.

As in test_restore.py every word is overwritten in turn. What is new here are bits that share a word (open lots of both
sides and the stage), signed words, and facts of an asset that several slots must agree on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cores.records import AMOUNT_MAX, POSITION_LOTS_MAX
from tests.cores.fix_cores import CORES
from tests.cores.fix_futures import CONTRACT, FUTURE, OTHER, QUOTE, generate, opened, order, started
from tests.cores.test_restore import agree

SIDES_AND_STAGE = [1 << 30, 1 << 31, 1 << 36, 1 << 37, 1 << 61, 1 << 62, 1 << 63]
EDGES = [0, 1, 2, 3, 64, 163, POSITION_LOTS_MAX, POSITION_LOTS_MAX + 1, AMOUNT_MAX, AMOUNT_MAX + 1, (1 << 64) - 1]


def busy_state(seed: int) -> np.ndarray:
    """Slots of a state in the middle of generated trading: positions on both sides, stages, open orders."""
    cores, play = started()
    for number in range(150):
        play.see(cores["c"].apply(play.record(generate(seed << 16 | number)))[0])
    return np.frombuffer(cores["c"].snapshot(), np.uint64).reshape(-1, 8).copy()


def test_every_word_at_its_edges() -> None:
    slots = busy_state(12)
    assert agree(slots, "as it was")
    taken = tried = 0
    for index in range(len(slots)):
        for word in range(8):
            before = int(slots[index, word])
            near = [(before + 1) % (1 << 64), (before - 1) % (1 << 64), *(before ^ bit for bit in SIDES_AND_STAGE)]
            for value in {*EDGES, *near} - {before}:
                slots[index, word] = value
                taken += agree(slots, f"slot {index} word {word}: {value} for {before}")
                tried += 1
            slots[index, word] = before
    assert 0 < taken < tried // 4, "some words are free (a clock, a session), most are not"


def contract_slot(core: Any, number: int) -> int:
    """Where in the snapshot an account's slot of the contract is."""
    before = len(core.walk_config()) + sum(len(core.walk_symbol(symbol)) for symbol in range(core.symbol_count))
    before += sum(len(core.walk_account(other)) for other in range(number))
    rows = core.walk_account(number)[2:, 0].tolist()
    return before + 2 + int(rows.index(CONTRACT))


@pytest.mark.parametrize("name", sorted(CORES))
def test_the_bits_of_a_position(name: str) -> None:
    """A whole state in which one fact of account 1's long position of 10 is changed, with what would make it fit."""
    core = opened(CORES[name])
    core.apply_one(**order(2, 2, 132, 10))
    core.apply_one(**order(1, 1, 132, 10))
    slots = np.frombuffer(core.snapshot(), np.uint64).reshape(-1, 8).copy()
    long, short = contract_slot(core, 1), contract_slot(core, 2)
    assert (slots[long, 1], slots[short, 1]) == (10, (1 << 64) - 10)
    assert agree(slots, "as it was")

    def changed(*changes: tuple[int, int, int]) -> bool:
        spoiled = slots.copy()
        for row, word, value in changes:
            spoiled[row, word] = value % (1 << 64)
        return agree(spoiled, str(changes))

    cost, given = int(slots[long, 3]), int(slots[long, 4])
    assert changed((long, 2, 2 << 62)), "any stage that a position may have"
    assert not changed((long, 2, 3 << 62)), "taken over is no stage of a position"
    assert not changed((long, 1, 11)), "lots sum to zero"
    assert not changed((long, 1, 11), (short, 1, -11)), "and are the open interest"
    assert changed((long, 3, cost + 1), (short, 3, -cost - 1)), "what one paid more, the other got"
    assert not changed((long, 3, cost + 1)), "money is not made"
    assert changed((long, 4, given - 1), (short, 4, int(slots[short, 4]) + 1)), "collateral is money like any other"
    assert not changed((long, 3, -cost), (short, 3, cost)), "a long position has paid"
    assert not changed((long, 3, 164 * 50 * 10), (short, 3, -164 * 50 * 10)), "at no more than the highest price"
    assert not changed((long, 2, 1)), "open lots are those of open orders"


def test_uses_of_assets_agree() -> None:
    """An asset is cash, or the contract of one future that says so itself."""
    core = opened(CORES["c"])
    slots = np.frombuffer(core.snapshot(), np.uint64).reshape(-1, 8).copy()
    row = 2
    for asset, uses in ((CONTRACT, (0, 1, 2, 4, 7)), (QUOTE, (0, 2, 3, 7)), (6, (2, 3, 4, 7))):
        for use in uses:
            spoiled = slots.copy()
            spoiled[row + asset, 3] = use
            assert not agree(spoiled, f"asset {asset} used as {use}")
    unused = slots.copy()
    unused[row + 6, 3] = 1
    assert agree(unused, "cash in no instrument")


def test_the_generator_leaves_open_positions() -> None:
    """Else the first test would look at little."""
    cores, play = started()
    for number in range(150):
        play.see(cores["c"].apply(play.record(generate(12 << 16 | number)))[0])
    views = [cores["c"].position(number, symbol) for symbol in (FUTURE, OTHER) for number in range(6)]
    assert sum(view.lots != 0 for view in views) >= 4
    assert any(view.open_buys or view.open_sells for view in views)

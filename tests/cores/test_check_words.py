"""`check` finds what no command can bring about: counts, kills, uses and sums that were broken in memory by hand.

As test_check.py, whose cores and layout it takes; here are the words of struct core, and those that need two changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cores import Invariant, OrdType, Side
from cores.records import AMOUNT_MAX, KILLED_SESSIONS_MAX, QTY_LOTS_MAX, AssetUse
from tests.cores.fix_cores import (
    LOT_SIZE,
    PRICE_LOW,
    SMALL,
    TICK_VALUE,
    CompiledCore,
    account,
    deposit,
    instrument,
    new,
)
from tests.cores.fix_futures import CONTRACT, UNUSED
from tests.cores.test_check import (
    ASK_KEY,
    BEST,
    CLOSING_FACT,
    LADDERS,
    NUMBER,
    ORDER_COUNT,
    TOP,
    WAITING,
    Broken,
    BrokenFuture,
    Words,
    find,
    memory,
    plus,
    put,
    symbol,
    to,
)

SYMBOL_COUNT, ACCOUNT_COUNT, SYMBOLS_HELD, ACCOUNTS_HELD, KILLED_COUNT, KILLED = 8, 9, 10, 11, 43, 44  # of struct core
BAND_LOW, GUARDED, GROSS_COUNT = 27, 8, 9
NONE = (1 << 64) - 1
Damage = Callable[[Any], None]


def core(broken: Any) -> Words:
    return memory(broken.core)


def both(*damages: Damage) -> Damage:
    def apply(broken: Any) -> None:
        for damage in damages:
            damage(broken)

    return apply


def facts(change: Callable[[int], int], slot: int) -> Damage:
    return put(lambda b: b.order(slot), 5, change)


BREAKS: dict[str, tuple[Invariant, Damage]] = {
    "more symbols than there is room for": (Invariant.COUNTS, put(core, SYMBOLS_HELD, to(5))),
    "more accounts than there is room for": (Invariant.COUNTS, put(core, ACCOUNTS_HELD, to(6))),
    "more symbols than configured": (Invariant.COUNTS, put(core, SYMBOL_COUNT, to(5))),
    "more accounts than configured": (Invariant.COUNTS, put(core, ACCOUNT_COUNT, to(6))),
    "a symbol that is not held": (Invariant.COUNTS, put(core, SYMBOL_COUNT, to(2))),
    "an account that is not held": (Invariant.COUNTS, put(core, ACCOUNTS_HELD, to(4))),
    "an account that does not exist": (Invariant.COUNTS, put(lambda b: b.account, 0, to(99))),
    "more kills than there may be": (Invariant.LIMITS, put(core, KILLED_COUNT, to(KILLED_SESSIONS_MAX + 1))),
    "a killed session that cannot be": (
        Invariant.LIMITS,
        both(put(core, KILLED_COUNT, to(1)), put(core, KILLED, to(0x10000))),
    ),
    "a session killed twice": (
        Invariant.LIMITS,
        both(put(core, KILLED_COUNT, to(2)), put(core, KILLED, to(5)), put(core, KILLED + 1, to(5))),
    ),
    "an asset that is not in use": (Invariant.INSTRUMENT, put(lambda b: b.supply, 2, to(AssetUse.UNUSED))),
    "low end of the band": (Invariant.LIMITS, put(symbol, BAND_LOW, plus(1))),
    "whether an account is guarded": (Invariant.LIMITS, put(lambda b: b.account, GUARDED, to(1))),
    "number of gross limits": (Invariant.LIMITS, put(lambda b: b.account, GROSS_COUNT, to(1))),
    "an empty level": (Invariant.LINKS, put(lambda b: b.level(1, ASK_KEY), 0, to(NONE))),
    "more orders than are counted": (Invariant.SLOTS, put(symbol, ORDER_COUNT, plus(-1))),
    "side of a stop": (Invariant.LINKS, facts(plus(1), 5)),
    "a stop without a price in the book": (
        Invariant.ORDER,
        facts(lambda old: (old ^ WAITING) - (OrdType.STOP_LIMIT - OrdType.STOP << 8), 5),
    ),
    "a closing order of spot": (Invariant.ORDER, facts(lambda old: old | CLOSING_FACT, 0)),
    "more filled and left than may be": (Invariant.ORDER, put(lambda b: b.order(0), 3, to(QTY_LOTS_MAX))),
    "a balance far below zero": (Invariant.FUNDS, put(lambda b: b.position, 0, to(2**64 - AMOUNT_MAX - 1))),
    "a balance and credit beyond 63 bits": (
        Invariant.FUNDS,
        both(put(lambda b: b.position, 0, to(2**63 - 1)), put(lambda b: b.position, 2, to(1))),
    ),
    "more supply than may be": (
        Invariant.CREDIT,
        both(put(lambda b: b.position, 0, plus(AMOUNT_MAX)), put(lambda b: b.supply, 8, plus(AMOUNT_MAX))),
    ),
    "more supply and credit than may be": (
        Invariant.CREDIT,
        both(put(lambda b: b.position, 2, to(AMOUNT_MAX)), put(lambda b: b.supply, 9, to(AMOUNT_MAX))),
    ),
}
FREE_USE = 4 * (UNUSED - CONTRACT) + 2
FUTURE_BREAKS: dict[str, tuple[Invariant, Damage]] = {
    "a symbol twice": (Invariant.COUNTS, put(symbol, NUMBER, to(0))),
    "a contract of no symbol": (Invariant.INSTRUMENT, put(lambda b: b.use, FREE_USE, to(AssetUse.CONTRACT + 9))),
    "a contract of a spot symbol": (Invariant.INSTRUMENT, put(lambda b: b.use, FREE_USE, to(AssetUse.CONTRACT))),
    "a second contract": (Invariant.INSTRUMENT, put(lambda b: b.use, FREE_USE, to(AssetUse.CONTRACT + 1))),
}


@pytest.mark.parametrize("name", BREAKS)
def test_check_finds(name: str) -> None:
    invariant, damage = BREAKS[name]
    found(Broken(), invariant, damage)


@pytest.mark.parametrize("name", FUTURE_BREAKS)
def test_check_finds_in_a_future(name: str) -> None:
    invariant, damage = FUTURE_BREAKS[name]
    found(BrokenFuture(), invariant, damage)


def found(broken: Any, invariant: Invariant, damage: Damage) -> None:
    damage(broken)
    with pytest.raises(AssertionError, match=f"invariant {invariant.name} is broken"):
        broken.core.check()


class Narrow(Broken):
    """An ask at 130 in a window of 41 ticks: there are levels beyond it."""

    def __init__(self) -> None:
        self.core = CompiledCore(SMALL)
        for fields in (instrument(qty_lots=140), account(1), deposit(1, 0, 1000), new(1, Side.SELL, 130, 7)):
            self.core.apply_one(**fields)
        words = memory(self.core)
        self.symbol = words[find(words, [0, 1, LOT_SIZE, TICK_VALUE, PRICE_LOW, 140]) - 2 :]


def test_check_finds_a_level_beyond_the_window() -> None:
    far = both(put(symbol, LADDERS[1], to(1 << 50)), put(symbol, BEST + 1, to(50)))
    broken = Narrow()
    broken.core.check()
    assert int(broken.symbol[LADDERS[1] + TOP]) != 0
    found(broken, Invariant.LINKS, far)

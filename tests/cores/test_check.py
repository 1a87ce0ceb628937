"""`check` finds what it claims to find: each invariant is broken by hand in the compiled core's memory.

The layout is that of core_internal.h for 64 levels and 64 slots; what moves there moves here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cores import Invariant, OrdType, Side, Tif
from cores.records import AssetUse
from tests.cores.fix_cores import (
    LOT_SIZE,
    PRICE_HIGH,
    PRICE_LOW,
    TICK_VALUE,
    CompiledCore,
    ReferenceCore,
    deposit,
    funded,
    new,
)
from tests.cores.fix_futures import BASE, CONTRACT, HIGH, LOW, QUOTE, TICK, opened, order
from tests.cores.fix_futures import INITIAL_BP as BP

Words = np.ndarray[Any, np.dtype[np.uint64]]
AMOUNT = 10**9
TERMS = [0, 1, LOT_SIZE, TICK_VALUE, PRICE_LOW, PRICE_HIGH]
NUMBER, ORDER_COUNT, COLD_COUNT, WAITING_COUNT, BEST, DORMANT_HEAD, DORMANT_TAIL = 0, 8, 9, 10, 11, 15, 16
SLOT_FIRST, LOTS_SAFE, LOTS_PLAIN, PHASE, LAST_TICKS, DYNAMIC_BP, BAND_HIGH, EXPIRY_NEXT = (
    17,
    18,
    19,
    20,
    21,
    23,
    28,
    29,
)
MARK, INITIAL_BP, MAINTENANCE_BP, OPEN_INTEREST, BOUND, IS_WIDE = 31, 32, 33, 35, 36, 37
LADDERS, SLOTS, LEVELS, ORDERS = (46, 50, 54, 58), 62, (72, 328, 584, 840), 1096  # words from the symbol's region
COLDS = ORDERS + 8 * 64
TOP = 1  # of a bitmap with one word of numbers
LEVEL_WORDS, ORDER_WORDS = 4, 8
BID_KEY, ASK_KEY, ICEBERG_KEY, STOP_KEY = PRICE_HIGH - 120, 130 - PRICE_LOW, PRICE_HIGH - 110, 150 - PRICE_LOW
WAITING, DORMANT, UNPRICED, FUTURE_FACT, CLOSING_FACT = 2 << 32, 4 << 32, 8 << 32, 16 << 32, 32 << 32
GUARDED, MAKER_BP, OPEN_ORDERS, FLAGS = 2, 4, 6, 8  # of an account


def find(words: Words, pattern: list[int]) -> int:
    """Index of the only place where the words are `pattern`."""
    windows = np.lib.stride_tricks.sliding_window_view(words, len(pattern))
    (found,) = np.flatnonzero((windows == np.array(pattern, np.uint64)).all(axis=1))
    return int(found)


def memory(core: CompiledCore) -> Words:
    """All words of its arena, to be read and written."""
    count = core.arena_bytes // 8
    return np.ctypeslib.as_array((ctypes.c_uint64 * count).from_address(core.address))


class Broken:
    """A core with two bids at 120 (slots 0, 1), one at 119 (2) and an ask at 130 (3), an iceberg bid at 110 (4), a stop
    buy at 150 (5) and an ask at 131 for the closing auction (6), good till a date (7: 109), and its memory."""

    def __init__(self) -> None:
        self.core = funded(CompiledCore, amount=AMOUNT)
        for side, price in ((Side.BUY, 120), (Side.BUY, 120), (Side.BUY, 119), (Side.SELL, 130)):
            self.core.apply_one(**new(1, side, price, 7))
        self.core.apply_one(**new(1, Side.BUY, 110, 9, order_id=4))
        self.core.apply_one(**new(1, Side.BUY, 151, 7, ord_type=OrdType.STOP_LIMIT, order_id=150))
        self.core.apply_one(**new(1, Side.SELL, 131, 7, tif=Tif.AT_CLOSE))
        self.core.apply_one(**new(1, Side.BUY, 109, 7, tif=Tif.GTD, aux=1000))
        self.core.apply_one(**deposit(3, 2, 12_345))
        self.core.check()
        words = memory(self.core)
        self.words = words
        self.symbol = words[find(words, TERMS) - 2 :]
        self.position = words[find(words, [AMOUNT + 12_345, 0, 0]) :]  # of account 3 in asset 2
        account = find(words, [3, 1, 0, 25, 10])  # number, touched, guarded, fees
        self.account = words[account:]
        cash = [AssetUse.CASH, 0]
        self.supply = words[find(words, [4 * AMOUNT, 0, *cash, 4 * AMOUNT, 0, *cash, 4 * AMOUNT + 12_345, 0, 0, 0]) :]

    def level(self, side: int, key: int) -> Words:
        return self.symbol[LEVELS[side] + LEVEL_WORDS * key :]

    def order(self, slot: int) -> Words:
        return self.symbol[ORDERS + ORDER_WORDS * slot :]

    def cold(self, slot: int) -> Words:
        return self.symbol[COLDS + ORDER_WORDS * slot :]


class BrokenFuture:
    """A core with a future in which account 1 is long 10 and account 2 short 10 at 132, 1 bids for 4 more (slot 1) and
    offers 3 that close (slot 2), and its memory."""

    def __init__(self) -> None:
        self.core = opened(CompiledCore)
        for fields in (order(1, Side.BUY, 132, 10), order(2, Side.SELL, 132, 10), order(3, Side.BUY, 120, 5)):
            self.core.apply_one(**fields)
        self.core.apply_one(**order(1, Side.BUY, 121, 4))
        self.core.apply_one(**order(1, Side.SELL, 140, 3))
        self.core.check()
        words = memory(self.core)
        self.symbol = words[find(words, [CONTRACT, QUOTE, 1, TICK, LOW, HIGH]) - 2 :]
        supply = find(words, [500_000, 0, AssetUse.CASH, 0])  # of BASE
        self.use = words[supply + 4 * (CONTRACT - BASE) :]
        self.spot = words[find(words, [BASE, QUOTE, 10, 5, LOW, HIGH]) - 2 :]
        long, short = (132 * TICK * 10 * sign % (1 << 64) for sign in (1, -1))
        collateral = 132 * TICK * 10 * BP // 10_000
        self.long = words[find(words, [10, 4 | 3 << 31, long, collateral]) :]
        self.short = words[find(words, [2**64 - 10, 0, short, collateral]) :]
        self.order = self.symbol[ORDERS + ORDER_WORDS :]


def cross(broken: Broken) -> None:
    """Moves the ask from 130 to 119 with all its links."""
    key = 119 - PRICE_LOW
    broken.level(1, key)[:3] = broken.level(1, ASK_KEY)[:3]
    broken.symbol[LADDERS[1]] = 1 << key
    broken.symbol[BEST + 1] = key
    broken.order(3)[2] = 119


def unpriced(broken: Broken) -> None:
    """Makes a market-to-limit order of the bid at 119, and moves it to the collar's end; the ask goes."""
    broken.level(0, 0)[:4] = broken.level(0, PRICE_HIGH - 119)[:4]
    broken.symbol[LADDERS[0]] ^= 1 << (PRICE_HIGH - 119) | 1
    broken.symbol[BEST] = 0
    broken.order(2)[2] = PRICE_HIGH
    broken.order(2)[5] += (OrdType.MARKET_TO_LIMIT - OrdType.LIMIT << 8) + UNPRICED
    broken.symbol[LADDERS[1]] = 0
    broken.symbol[LADDERS[1] + TOP : LADDERS[1] + TOP + 2] = 0
    broken.symbol[BEST + 1] = 2**64 - 1
    broken.symbol[SLOTS] |= np.uint64(1 << 3)
    broken.symbol[SLOT_FIRST] = 3
    broken.symbol[ORDER_COUNT] -= 1


def put(part: Callable[[Broken], Words], index: int, change: Callable[[int], int]) -> Callable[[Broken], None]:
    def apply(broken: Broken) -> None:
        words = part(broken)
        words[index] = change(int(words[index])) % (1 << 64)

    return apply


def symbol(broken: Broken) -> Words:
    return broken.symbol


def plus(amount: int) -> Callable[[int], int]:
    return lambda old: old + amount


def to(value: int) -> Callable[[int], int]:
    return lambda old: value


BREAKS: dict[str, tuple[Invariant, Callable[[Broken], None]]] = {
    "number of a symbol": (Invariant.COUNTS, put(symbol, NUMBER, to(1))),
    "number of an account": (Invariant.COUNTS, put(lambda b: b.account, 0, to(2))),
    "lot size": (Invariant.INSTRUMENT, put(symbol, 4, to(0))),
    "window": (Invariant.INSTRUMENT, put(symbol, 7, plus(1))),
    "bound of safe lots": (Invariant.INSTRUMENT, put(symbol, LOTS_SAFE, plus(1))),
    "top of a ladder": (Invariant.BITMAP, put(symbol, LADDERS[0] + TOP, to(0))),
    "middle of a ladder": (Invariant.BITMAP, put(symbol, LADDERS[1] + TOP + 1, to(3))),
    "top of the slots": (Invariant.BITMAP, put(symbol, SLOTS + TOP, to(0))),
    "best bid": (Invariant.BEST, put(symbol, BEST, plus(1))),
    "best ask": (Invariant.BEST, put(symbol, BEST + 1, to(2**64 - 1))),
    "a level's bit": (Invariant.BEST, put(symbol, LADDERS[0], lambda old: old & (old - 1))),
    "link back": (Invariant.LINKS, put(lambda b: b.order(1), 6, to(2))),
    "link forward": (Invariant.LINKS, put(lambda b: b.order(0), 7, to(2))),
    "a ring": (Invariant.LINKS, put(lambda b: b.order(1), 7, to(0))),
    "tail of a level": (Invariant.LINKS, put(lambda b: b.level(0, BID_KEY), 1, to(0))),
    "head of a level": (Invariant.LINKS, put(lambda b: b.level(0, BID_KEY), 0, to(1))),
    "price of an order": (Invariant.LINKS, put(lambda b: b.order(2), 2, to(118))),
    "side of an order": (Invariant.LINKS, put(lambda b: b.order(2), 5, plus(1))),
    "lots of a level": (Invariant.AGGREGATE, put(lambda b: b.level(0, BID_KEY), 2, plus(1))),
    "leaves of an order": (Invariant.AGGREGATE, put(lambda b: b.order(0), 1, plus(1))),
    "an order with nothing left": (Invariant.ORDER, put(lambda b: b.order(0), 1, to(0))),
    "an order's slot in its id": (Invariant.ORDER, put(lambda b: b.order(0), 0, plus(1))),
    "an id from the future": (Invariant.ORDER, put(lambda b: b.order(0), 0, plus(1 << 40))),
    "an unknown tif": (Invariant.ORDER, put(lambda b: b.order(0), 5, plus(5 << 16))),
    "an unknown account": (Invariant.ORDER, put(lambda b: b.order(0), 4, plus(100))),
    "a price out of the window": (Invariant.ORDER, put(lambda b: b.order(3), 2, to(PRICE_HIGH + 1))),
    "a head beyond the slots": (Invariant.SLOTS, put(lambda b: b.level(1, ASK_KEY), 0, to(64))),
    "a used slot that is free": (Invariant.SLOTS, put(symbol, SLOTS, lambda old: old | 1)),
    "a free slot that is used": (Invariant.SLOTS, put(symbol, SLOTS, lambda old: old & ~(1 << 50))),
    "number of orders": (Invariant.SLOTS, put(symbol, ORDER_COUNT, plus(1))),
    "lowest free slot": (Invariant.SLOTS, put(symbol, SLOT_FIRST, plus(1))),
    "a crossed book": (Invariant.CROSSED, cross),
    "an unpriced order": (Invariant.CROSSED, unpriced),
    "a stop that is due": (Invariant.CROSSED, put(symbol, LAST_TICKS, to(150))),
    "best waiting stop": (Invariant.BEST, put(symbol, BEST + 2, plus(1))),
    "top of the stops": (Invariant.BITMAP, put(symbol, LADDERS[3] + TOP, to(1))),
    "stop price": (Invariant.LINKS, put(lambda b: b.cold(5), 2, to(151))),
    "stop price out of the window": (Invariant.ORDER, put(lambda b: b.cold(5), 2, to(PRICE_HIGH + 1))),
    "lots of the stops": (Invariant.AGGREGATE, put(lambda b: b.level(2, STOP_KEY), 2, plus(1))),
    "a stop that waits no more": (Invariant.LINKS, put(lambda b: b.order(5), 5, lambda old: old ^ WAITING)),
    "a stop in both places": (Invariant.ORDER, put(lambda b: b.order(5), 5, lambda old: old | DORMANT)),
    "number of stops": (Invariant.AGGREGATE, put(symbol, WAITING_COUNT, plus(1))),
    "number of cold orders": (Invariant.AGGREGATE, put(symbol, COLD_COUNT, plus(-1))),
    "hidden lots": (Invariant.AGGREGATE, put(lambda b: b.cold(4), 0, plus(1))),
    "hidden lots of a level": (Invariant.AGGREGATE, put(lambda b: b.level(0, ICEBERG_KEY), 3, plus(1))),
    "too much hidden": (Invariant.ORDER, put(lambda b: b.cold(4), 0, to(61))),
    "a display below what is shown": (Invariant.ORDER, put(lambda b: b.cold(4), 1, to(3))),
    "a cold part that is not said": (Invariant.ORDER, put(lambda b: b.order(7), 5, lambda old: old ^ 1 << 32)),
    "head of the dormant": (Invariant.LINKS, put(symbol, DORMANT_HEAD, to(2**64 - 1))),
    "tail of the dormant": (Invariant.LINKS, put(symbol, DORMANT_TAIL, to(0))),
    "a dormant order that is not for the close": (Invariant.ORDER, put(lambda b: b.order(6), 5, plus(-(7 << 16)))),
    "an expiry that is never looked for": (Invariant.AGGREGATE, put(symbol, EXPIRY_NEXT, to(1001))),
    "bound of plain lots": (Invariant.LIMITS, put(symbol, LOTS_PLAIN, plus(1))),
    "band": (Invariant.LIMITS, put(symbol, BAND_HIGH, plus(-1))),
    "an unknown phase": (Invariant.LIMITS, put(symbol, PHASE, to(6))),
    "a collar beyond all bounds": (Invariant.LIMITS, put(symbol, DYNAMIC_BP, to(10_001))),
    "open orders of an account": (Invariant.LIMITS, put(lambda b: b.account, OPEN_ORDERS, plus(1))),
    "flags of an account": (Invariant.ACCOUNT, put(lambda b: b.account, FLAGS, to(4))),
    "fees of an account": (Invariant.ACCOUNT, put(lambda b: b.account, MAKER_BP, to(26))),
    "whether an account is guarded": (Invariant.LIMITS, put(lambda b: b.account, GUARDED, to(4))),
    "a hold that nothing covers": (Invariant.FUNDS, put(lambda b: b.position, 1, to(AMOUNT + 12_346))),
    "a balance below zero": (Invariant.FUNDS, put(lambda b: b.position, 0, to(2**64 - 1))),
    "a credit out of bounds": (Invariant.FUNDS, put(lambda b: b.position, 2, to(1 << 62))),
    "a hold without an order": (Invariant.HOLDS, put(lambda b: b.position, 1, to(1))),
    "one unit too much": (Invariant.MONEY, put(lambda b: b.position, 0, plus(1))),
    "supply of an asset": (Invariant.MONEY, put(lambda b: b.supply, 0, plus(-1))),
    "a credit line from nowhere": (Invariant.CREDIT, put(lambda b: b.position, 2, to(1))),
    "sum of the credit lines": (Invariant.CREDIT, put(lambda b: b.supply, 1, to(1))),
}


def short_more(broken: BrokenFuture) -> None:
    """One lot more is short than is long, at no cost that its terms forbid."""
    broken.short[0] -= 1
    broken.short[2] -= 132 * TICK


FUTURE_BREAKS: dict[str, tuple[Invariant, Callable[[Any], None]]] = {
    "bound": (Invariant.INSTRUMENT, put(symbol, BOUND, plus(1))),
    "a contract of another": (Invariant.INSTRUMENT, put(lambda b: b.use, 2, plus(1))),
    "a contract that is cash": (Invariant.INSTRUMENT, put(lambda b: b.use, 2, to(1))),
    "a spot symbol that is a future": (Invariant.INSTRUMENT, put(lambda b: b.spot, 30, to(1))),
    "a spot symbol with a mark": (Invariant.LIMITS, put(lambda b: b.spot, MARK, to(132))),
    "a mark out of the window": (Invariant.LIMITS, put(symbol, MARK, to(HIGH + 1))),
    "no maintenance margin": (Invariant.LIMITS, put(symbol, MAINTENANCE_BP, to(0))),
    "maintenance above initial": (Invariant.LIMITS, put(symbol, MAINTENANCE_BP, to(BP + 1))),
    "initial margin beyond all bounds": (Invariant.LIMITS, put(symbol, INITIAL_BP, to(10_001))),
    "another initial margin": (Invariant.HOLDS, put(symbol, INITIAL_BP, plus(1))),
    "an order of spot": (Invariant.ORDER, put(lambda b: b.order, 5, lambda old: old ^ FUTURE_FACT)),
    "an order that closes": (Invariant.HOLDS, put(lambda b: b.order, 5, lambda old: old ^ CLOSING_FACT)),
    "open buys": (Invariant.HOLDS, put(lambda b: b.long, 1, plus(1))),
    "open sells": (Invariant.HOLDS, put(lambda b: b.long, 1, plus(1 << 31))),
    "a stage of nothing": (Invariant.FUNDS, put(lambda b: b.long, 1, plus(3 << 62))),
    "no lots at a cost": (Invariant.FUNDS, put(lambda b: b.long, 0, to(0))),
    "a long position that was sold": (Invariant.FUNDS, put(lambda b: b.long, 2, to(2**64 - 66_000))),
    "a short position that was bought": (Invariant.FUNDS, put(lambda b: b.short, 2, to(66_000))),
    "collateral beyond all bounds": (Invariant.FUNDS, put(lambda b: b.short, 3, to(1 << 62))),
    "more collateral than twice its value": (Invariant.POSITIONS, put(lambda b: b.short, 3, to(10 * 3 * HIGH * TICK))),
    "a cost above the window": (Invariant.POSITIONS, put(lambda b: b.long, 2, to(10 * HIGH * TICK + 1))),
    "a cost below the window": (Invariant.POSITIONS, put(lambda b: b.long, 2, to(10 * LOW * TICK - 1))),
    "positions that do not sum to zero": (Invariant.POSITIONS, short_more),
    "open interest": (Invariant.POSITIONS, put(symbol, OPEN_INTEREST, plus(1))),
    "a unit of collateral too much": (Invariant.MONEY, put(lambda b: b.long, 3, plus(1))),
    "a unit of cost too much": (Invariant.MONEY, put(lambda b: b.long, 2, plus(1))),
    "supply of a contract": (Invariant.MONEY, put(lambda b: b.use, 0, to(1))),
}


@pytest.mark.parametrize("name", FUTURE_BREAKS)
def test_check_finds_in_a_future(name: str) -> None:
    invariant, damage = FUTURE_BREAKS[name]
    broken = BrokenFuture()
    damage(broken)
    with pytest.raises(AssertionError, match=f"invariant {invariant.name} is broken"):
        broken.core.check()


@pytest.mark.parametrize("name", BREAKS)
def test_check_finds(name: str) -> None:
    invariant, damage = BREAKS[name]
    broken = Broken()
    damage(broken)
    with pytest.raises(AssertionError, match=f"invariant {invariant.name} is broken"):
        broken.core.check()


def test_every_invariant_is_broken_above() -> None:
    assert {invariant for invariant, _ in (*BREAKS.values(), *FUTURE_BREAKS.values())} == set(Invariant)


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        (Invariant.LINKS, lambda book: setattr(next(iter(book.symbols[0].orders.values())), "price_ticks", 121)),
        (Invariant.SLOTS, lambda book: book.symbols[0].free_slots.add(0)),
        (Invariant.ORDER, lambda book: setattr(next(iter(book.symbols[0].orders.values())), "leaves", 0)),
        (Invariant.HOLDS, lambda book: setattr(book.accounts[3].positions[0], "hold", 1)),
        (Invariant.MONEY, lambda book: setattr(book.accounts[3].positions[0], "balance", 1)),
        (Invariant.CREDIT, lambda book: book.credit.__setitem__(0, 1)),
        (Invariant.FUNDS, lambda book: setattr(book.accounts[3].positions[0], "balance", -1)),
        (Invariant.ACCOUNT, lambda book: setattr(book.accounts[3], "maker_bp", 99)),
        (Invariant.INSTRUMENT, lambda book: setattr(book.symbols[0].terms, "lot_size", 0)),
    ],
)
def test_check_of_the_reference_finds(invariant: Invariant, damage: Callable[[Any], None]) -> None:
    core = funded(ReferenceCore)
    core.apply_one(**new(1, Side.BUY, 120, 7))
    core.check()
    damage(core.book)
    with pytest.raises(AssertionError, match=f"invariant {invariant.name} is broken"):
        core.check()

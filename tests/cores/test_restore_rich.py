"""Restores of states with every kind of order, limit and remembered order: each word at its edges."""

from __future__ import annotations

import numpy as np
import pytest

from cores import CoreConfig, OrdType, Phase, Side, Tif
from cores.records import AMOUNT_MAX, Limit
from tests.cores.fix_cores import CORES, CompiledCore, ReferenceCore, account, deposit, instrument, new
from tests.cores.fix_market import Make, Market
from tests.cores.test_restore import EDGES, agree

BUY, SELL = Side.BUY, Side.SELL
MORE = [3, 4, 5, 16, 90, 118, 131, 65536, 10001]


def rich(make: Make, phase: Phase) -> Market:
    """Icebergs, stops, dormant orders, dates; in a call unpriced orders and a crossed book, too; every limit set."""
    market = Market(make)
    market.new("s", 3, SELL, 120, 1)
    market.new("t", 4, BUY, 120, 1)
    market.new("ice", 1, BUY, 110, 9, order_id=4)
    market.new("date", 1, BUY, 109, 5, tif=Tif.GTD, aux=1 << 40)
    market.new("iced date", 2, SELL, 140, 9, order_id=4, tif=Tif.GTD, aux=1 << 41)
    market.new("stop", 1, BUY, 0, 3, ord_type=OrdType.STOP, order_id=150)
    market.new("stop limit", 2, SELL, 105, 3, ord_type=OrdType.STOP_LIMIT, order_id=104, tif=Tif.GTD, aux=1 << 41)
    market.new("dormant", 1, SELL, 0, 2, ord_type=OrdType.MARKET, tif=Tif.AT_CLOSE)
    market.new("dormant ice", 2, BUY, 111, 9, order_id=3, tif=Tif.AT_CLOSE)
    if phase != Phase.CONTINUOUS:
        market.phase(phase, price_ticks=121)
        market.new("market", 1, BUY, 0, 2, ord_type=OrdType.MARKET)
        market.new("to limit", 2, SELL, 0, 2, ord_type=OrdType.MARKET_TO_LIMIT)
        market.new("crossed", 3, SELL, 108, 2, order_id=1)
    market.limit(Limit.DUPLICATE_NS, 1 << 20, account=1)
    market.limit(Limit.MESSAGES, 5, account=1)
    market.send(**new(1, BUY, 101, 1, time_ns=1 << 33))
    market.limit(Limit.OPEN_ORDERS, 90, account=1)
    market.limit(Limit.RESTRICTED, 4, account=1)
    market.limit(Limit.GROSS, AMOUNT_MAX, account=1, asset=1)
    market.limit(Limit.CREDIT, 7, account=1, asset=1)
    market.limit(Limit.DUPLICATE_NS, 1, account=2)
    market.limit(Limit.ORDER_QTY, 1 << 20)
    market.limit(Limit.ORDER_VALUE, 1 << 40)
    market.limit(Limit.COLLAR, 500, aux=600)
    for session in (7, 9, 300):
        market.limit(Limit.KILL_SESSION, 1, session=session)
    return market


@pytest.mark.parametrize("phase", [Phase.CONTINUOUS, Phase.VOLATILITY, Phase.CLOSE_CALL])
def test_every_word_of_a_rich_state_at_its_edges(phase: Phase) -> None:
    slots = np.frombuffer(rich(CompiledCore, phase).core.snapshot(), np.uint64).reshape(-1, 8).copy()
    assert slots.tobytes() == rich(ReferenceCore, phase).core.snapshot()
    assert agree(slots, "as it was")
    taken = 0
    for index in range(len(slots)):
        for word in range(8):
            before = int(slots[index, word])
            flipped = [before ^ 1 << bit for bit in (0, 1, 2, 3, 9, 16, 17, 18, 24, 25, 26, 27, 28, 32, 33, 34, 35)]
            for value in {*EDGES, *MORE, *flipped, (before + 1) % (1 << 64), (before - 1) % (1 << 64)} - {before}:
                slots[index, word] = value
                taken += agree(slots, f"slot {index} word {word}: {value} for {before}")
            slots[index, word] = before
    assert taken > 0


@pytest.mark.parametrize("prices", [(5, 4000), (70, 9000), (64, 8191), (4095, 4096, 12000)])
def test_uncross_over_levels_far_apart(make: Make, prices: tuple[int, ...]) -> None:
    """The walk up the bids crosses words, and words of words, of the ladder's bitmap."""
    core = make(CoreConfig(symbols=1, accounts=3, assets=2, orders=64, levels=16384))
    core.apply_one(**instrument(price_ticks=1, qty_lots=16384))
    for number in (1, 2):
        core.apply_one(**account(number))
        for asset in (0, 1):
            core.apply_one(**deposit(number, asset, 10**9))
    assert core.indicative(0) is None, "nothing is called out of a call"
    core.apply_one(kind=6, ord_type=Phase.PRE_OPEN)
    core.apply_one(**new(2, SELL, 1, 1))
    assert core.indicative(0) is None, "nor where nobody buys"
    for price in prices:
        core.apply_one(**new(1, BUY, price, 1))
    price, lots, surplus, side = core.indicative(0)
    assert (price, lots, surplus, side) == (max(prices), 1, 0, 0)
    core.apply_one(**new(2, SELL, 2, 9))
    price, lots, surplus, side = core.indicative(0)
    assert (price, lots, surplus, side) == (2, len(prices), 10 - len(prices), SELL)
    core.check()


def test_restored_cores_go_on_alike() -> None:
    for phase in (Phase.CONTINUOUS, Phase.VOLATILITY):
        before = rich(CompiledCore, phase).core.snapshot()
        events = []
        for make in CORES.values():
            core = make.restore(before)
            lines = [core.apply_one(kind=6, ord_type=to) for to in (Phase.CLOSE_CALL, Phase.CLOSED)]
            events.append([line.tobytes() for line in lines])
            core.check()
        assert events[0] == events[1]

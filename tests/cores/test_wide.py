"""Books wider than one word of a bitmap's middle level: sparse levels, thousands of orders."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cores import COMMAND, CommandKind, CoreConfig, EventKind, OrdType, Side, Tif
from tests.cores.fix_cores import CompiledCore, ReferenceCore, account, deposit, instrument

WIDE = CoreConfig(symbols=2, accounts=4, assets=2, orders=8192, levels=16384)
LOW, HIGH = 1, 16384


class Market:
    """Both implementations, given the same commands; every answer is compared."""

    def __init__(self) -> None:
        self.compiled, self.reference = CompiledCore(WIDE), ReferenceCore(WIDE)
        self.seq = 0
        self.open: dict[int, int] = {}  # order id: account
        self.submit([instrument(price_ticks=LOW, qty_lots=HIGH, order_id=1, aux=1)])
        for number in (1, 2, 3):
            self.submit([account(number), deposit(number, 0, 1 << 40), deposit(number, 1, 1 << 50)])

    def submit(self, fields: list[dict[str, int]]) -> np.ndarray:
        records = np.zeros(len(fields), COMMAND)
        for record, entry in zip(records, fields, strict=True):
            self.seq += 1
            for name, value in (entry | {"seq": self.seq, "time_ns": self.seq}).items():
                record[name] = value
        events, _ = self.compiled.apply(records)
        assert events.tobytes() == self.reference.apply(records)[0].tobytes()
        for event in events:
            if event["leaves_lots"] == 0:
                self.open.pop(int(event["order_id"]), None)
            elif event["kind"] in (EventKind.ACCEPTED, EventKind.REPLACED):
                self.open[int(event["order_id"])] = int(event["account"])
        return events

    def compare(self) -> None:
        self.compiled.check()
        assert self.compiled.snapshot() == self.reference.snapshot()
        for side in (Side.BUY, Side.SELL):
            assert self.compiled.depth(0, side, WIDE.levels) == self.reference.depth(0, side, WIDE.levels)


def order(rng: random.Random, **changes: int) -> dict[str, int]:
    side = rng.choice((Side.BUY, Side.SELL))
    middle = (LOW + HIGH) // 2
    price = rng.randint(LOW, middle - 1) if side == Side.BUY else rng.randint(middle, HIGH)
    fields = {"kind": CommandKind.NEW, "account": rng.randint(1, 3), "session": 1, "side": side, "qty_lots": 2}
    return fields | {"ord_type": OrdType.LIMIT, "tif": Tif.GTC, "price_ticks": price} | changes


@pytest.mark.parametrize("seed", range(3))
def test_sparse_levels_and_sweeps(seed: int) -> None:
    """A few orders over the whole window: the best price jumps over empty words, up and down."""
    rng, market = random.Random(seed), Market()
    for _ in range(120):
        market.submit([order(rng) for _ in range(rng.randint(1, 12))])
        if rng.random() < 0.5 and market.open:
            order_id, owner = rng.choice(sorted(market.open.items()))
            market.submit([{"kind": CommandKind.CANCEL, "account": owner, "session": 1, "order_id": order_id}])
        if rng.random() < 0.7:
            lots = rng.choice([1, 3, 9, 60])
            tif = rng.choice((Tif.IOC, Tif.FOK))
            market.submit([order(rng, qty_lots=lots, ord_type=OrdType.MARKET, price_ticks=0, tif=tif)])
        market.compare()
    for side in (Side.BUY, Side.SELL):
        market.submit([order(rng, side=side, qty_lots=1 << 20, ord_type=OrdType.MARKET, price_ticks=0, tif=Tif.IOC)])
        market.compare()
    assert market.compiled.open_orders(0) == 0


def test_thousands_of_orders_and_their_slots() -> None:
    """More than 4,096 open orders: the lowest free slot is found past a full word of the bitmap's middle level."""
    rng, market = random.Random(11), Market()
    for _ in range(9):
        market.submit([order(rng) for _ in range(500)])
    market.compare()
    assert market.compiled.open_orders(0) == 4_500
    for victims in (sorted(market.open)[:4_200], sorted(market.open)[-100:]):
        gone = [order_id for order_id in victims if order_id in market.open]
        rng.shuffle(gone)
        fields = [{"kind": CommandKind.CANCEL, "session": 1, "order_id": i, "account": market.open[i]} for i in gone]
        market.submit(fields)
        market.compare()
        market.submit([order(rng) for _ in range(300)])
        market.compare()
    market.submit([{"kind": CommandKind.MASS_CANCEL, "account": number, "session": 1} for number in (1, 2, 3)])
    market.compare()
    assert market.compiled.open_orders(0) == 0


def test_a_full_book_takes_no_more() -> None:
    rng, market = random.Random(12), Market()
    for _ in range(8):
        market.submit([order(rng) for _ in range(1_024)])
    assert market.compiled.open_orders(0) == WIDE.orders
    (refused,) = market.submit([order(rng)])
    assert refused["kind"] == EventKind.REJECTED
    market.compare()

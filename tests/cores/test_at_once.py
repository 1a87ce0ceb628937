"""What must be filled at once (N13) is, also where icebergs refresh in between: counted is what would be traded."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from cores import CommandKind, EventKind, OrdType, Side, Tif
from cores.records import CommandFlag, Limit
from tests.cores.fix_cores import SMALL, account, deposit, instrument, new
from tests.cores.fix_market import QUOTE, Make, Market

BUY, SELL = Side.BUY, Side.SELL


def market_of(make: Make, funds: int, maker_bp: int = 0, taker_bp: int = 0) -> Market:
    """Account 1 has so much quote money; accounts 1 to 3 sell."""
    market = Market(make, funds=10**6)
    market.send(**account(1, maker_bp & 0xFFFFFFFF, taker_bp))
    market.send(kind=CommandKind.WITHDRAW, account=1, asset=QUOTE, qty_lots=10**6 - funds)
    return market


def test_min_qty_of_a_market_buy_is_counted_tranche_by_tranche(make: Make) -> None:
    """Lots cost 500; it can pay 28. The second iceberg's refresh takes one lot of them, and the next nine it cannot
    pay: 20 are all it would buy, less than its MinQty of 23."""
    market = market_of(make, 14_000)
    market.new("a", 2, SELL, 100, 27, order_id=9)
    market.new("b", 3, SELL, 100, 2, order_id=1)
    market.new("x", 1, BUY, 0, 63, ord_type=OrdType.MARKET, tif=Tif.IOC, aux=23)
    market.see("""
        ACCEPTED x @0 x63 left 63 aux 23
        CANCELLED x CANCEL_MIN_QTY @0 x63 left 0
    """)
    market.new("y", 1, BUY, 0, 63, ord_type=OrdType.MARKET, tif=Tif.IOC, aux=20)
    assert market.lines[-1] == "CANCELLED y CANCEL_FUNDS @0 x43 left 0", "20 it buys"


def test_fok_market_buy_counts_its_own_icebergs_tranche_by_tranche(make: Make) -> None:
    """Its own lots cost it nothing. It would buy own 1, foreign 6, own 1, foreign 6: 12 foreign ones, and has the money
    for 11, which are what it would buy if its own second and third lot came at once."""
    market = market_of(make, 11 * 500 + 250)
    market.new("own", 1, SELL, 100, 3, order_id=1)
    market.new("b", 3, SELL, 100, 18, order_id=6)
    market.new("x", 1, BUY, 0, 14, ord_type=OrdType.MARKET, tif=Tif.FOK)
    market.see("""
        ACCEPTED x @0 x14 left 14
        CANCELLED x CANCEL_FOK @0 x14 left 0
    """)
    market.new("y", 1, BUY, 0, 14, ord_type=OrdType.MARKET, tif=Tif.DAY, flags=CommandFlag.ALL_OR_NONE)
    market.see("""
        ACCEPTED y @0 x14 left 14 flags 4
        CANCELLED y CANCEL_ALL_OR_NONE @0 x14 left 0
    """)


def test_fok_market_buy_pays_each_tranche_s_rounded_rebate(make: Make) -> None:
    """Of a lot of 500 units the taker pays 5 and the maker gets floor(4.5); of 15 at once it would be 75 and 67.
    So sixteen own lots cost it 16 units, and not 9."""
    bought = 0
    for funds in range(15_800, 15_840):
        market = market_of(make, funds, -90, 100)
        market.new("own", 1, SELL, 100, 16, order_id=1)
        market.new("b", 3, SELL, 101, 31)
        market.new("x", 1, BUY, 0, 47, ord_type=OrdType.MARKET, tif=Tif.FOK)
        filled = sum(int(line.split(" x")[2].split()[0]) for line in market.lines if line.startswith("FILL x"))
        assert filled in (0, 47), (funds, market.lines[-1])
        bought += filled == 47
    assert 0 < bought < 40, "the money was the question"


@pytest.mark.parametrize("seed", range(20261122, 20261126))
def test_at_once_or_not_at_all(make: Make, seed: int) -> None:
    """Whatever stands in the book: a FOK or all-or-none order trades all or nothing, any other MinQty or nothing."""
    for number in range(200 if make.__module__.endswith("reference") else 4_000):
        random = Random(f"{seed} {number}")
        lines, need, filled = entered(make, random)
        assert filled == 0 or filled >= need, (seed, number, need, filled, lines)


def entered(make: Make, random: Random) -> tuple[Any, int, int]:
    """One order against a few sells, with money that may not be enough: its events, what it needs, what it got."""
    core = make(SMALL)
    core.apply_one(**instrument(order_id=1, aux=random.choice((1, 3, 5, 7))))
    maker, taker = random.choice(((-99, 100), (-30, 31), (-25, 25), (10, 25), (0, 7)))
    grouped = random.random() < 0.3
    core.apply_one(**account(1, maker & 0xFFFFFFFF, taker, order_id=5 * grouped, price_ticks=random.randrange(5)))
    core.apply_one(**account(2, maker & 0xFFFFFFFF, taker))
    core.apply_one(**account(3, 0, 0, order_id=5 * grouped))
    for seller in (1, 2, 3):
        core.apply_one(**deposit(seller, 0, 10**6))
    for _ in range(random.randrange(1, 6)):
        lots = random.randrange(1, 40)
        display = random.choice((0, (lots + 15) // 16, (lots + 15) // 16, max(1, lots // 3)))
        core.apply_one(
            **new(random.choice((1, 1, 2, 3)), SELL, random.choice((100, 100, 100, 101)), lots, order_id=display)
        )
    if random.random() < 0.2:
        core.apply_one(kind=CommandKind.LIMIT, ord_type=Limit.COLLAR, qty_lots=random.choice((100, 200, 300)))
    lots = random.randrange(1, 120)
    core.apply_one(**deposit(1, 1, random.randrange(lots * 40, lots * 300)))
    wanted = new(1, BUY, random.randrange(100, 105), lots)
    if random.random() < 0.8:
        wanted |= {"ord_type": OrdType.MARKET, "price_ticks": 0}
    need, mode = lots, random.choice(("fok", "min", "all"))
    if mode == "min":
        need = wanted["aux"] = random.randrange(1, lots + 1)
    wanted |= {"fok": {"tif": Tif.FOK}, "min": {"tif": Tif.IOC}, "all": {"flags": CommandFlag.ALL_OR_NONE}}[mode]
    events = core.apply_one(**wanted)
    fills = events[(events["kind"] == EventKind.FILL) & (events["order_id"] == events["order_id"][0])]
    return events.tolist(), need, int(fills["qty_lots"].sum())

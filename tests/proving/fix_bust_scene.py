"""Busted trades in the story of every rule, in spot and in a future: each of B1..B5 decides something in here.

Account 4 never has more than what is needed, so that every unit counts; 1, 2 and 3 are rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cores import CommandKind, Side
from cores.records import POSITION_LOTS_MAX, QTY_LOTS_MAX
from tests.cores.fix_cores import account, deposit
from tests.cores.fix_futures import margin, mark
from tests.proving.fix_futures_scene import flatten

if TYPE_CHECKING:
    from tests.proving.fix_story import Story

BUY, SELL = Side.BUY, Side.SELL
BASE, QUOTE, SPOT, FUTURE = 0, 1, 3, 5
LOT_SIZE, SPOT_TICK, TICK, INITIAL_BP = 10, 5, 50, 500
MAKER_BP, TAKER_BP = 11, 27
POOR, VENUE = 4, 0
FEW = 7


def busts(s: Story) -> None:
    s.symbol = SPOT
    for number in (1, 2, 3, POOR):
        s.do(**account(number, MAKER_BP, TAKER_BP))
        for asset in (BASE, QUOTE):
            s.do(**deposit(number, asset, 1 << 42))
    for scene in (_forms, _spot, _venue):
        scene(s)
        s.clear()
    s.symbol = FUTURE
    s.do(**mark(132, FUTURE))
    for scene in (_future, _orders, _bound, _taken_over):
        flatten(s)
        scene(s)
        s.clear()
    flatten(s)
    s.symbol = 0


def _trade(s: Story, buyer: int, seller: int, lots: int, price: int = 132) -> dict[str, Any]:
    """A trade, and the BUST of it."""
    s.new(seller, SELL, price, lots, session=7)
    s.new(buyer, BUY, price, lots, session=8)
    named = {"kind": CommandKind.BUST, "symbol": s.symbol, "account": buyer | 8 << 16, "session": seller, "asset": 7}
    named |= {"order_id": s.core.last_seq << 24 | 1, "price_ticks": price, "qty_lots": lots}
    return named | {"aux": TAKER_BP | MAKER_BP << 32}


def _fund(s: Story, number: int, asset: int, amount: int) -> None:
    """Exactly so much is available to an account that holds nothing."""
    balance = s.core.balance(number, asset)[0]
    if balance > amount:
        s.do(kind=CommandKind.WITHDRAW, account=number, asset=asset, qty_lots=balance - amount)
    elif balance < amount:
        s.do(**deposit(number, asset, amount - balance))


def _forms(s: Story) -> None:
    """Whatever is wrong with the command itself, one thing at a time; the widest fees that there are."""
    bust = _trade(s, 2, 1, FEW)
    for wrong in (
        {"symbol": 6},
        {"account": 5 | 8 << 16},
        {"session": 5},
        {"flags": 1},
        {"order_id": 0xFFFFFF},
        {"order_id": s.core.last_seq + 6 << 24},
        {"price_ticks": 99},
        {"price_ticks": 164},
        {"qty_lots": 0},
        {"qty_lots": QTY_LOTS_MAX + 1},
        {"aux": 10_001},
        {"aux": -10_001 & 0xFFFFFFFF},
        {"aux": 10_001 << 32},
        {"aux": (-10_001 & 0xFFFFFFFF) << 32},
    ):
        s.do(**bust | wrong)
    s.do(**bust)
    s.do(**_trade(s, 1, 2, FEW) | {"aux": 10_000 | (-10_000 & 0xFFFFFFFF) << 32})
    s.do(**_trade(s, 1, 2, FEW) | {"aux": (-10_000 & 0xFFFFFFFF) | 10_000 << 32})


def _spot(s: Story) -> None:
    """The buyer with a unit too little, then with enough, some of it held; the seller likewise."""
    bust = _trade(s, POOR, 1, FEW)
    for left in (FEW * LOT_SIZE - 1, FEW * LOT_SIZE):
        _fund(s, POOR, BASE, left)
        s.do(**bust)
    bust = _trade(s, POOR, 1, FEW)
    held = s.new(POOR, SELL, 160, 1)
    s.do(**bust)
    s.cancel(POOR, held)
    _fund(s, POOR, BASE, 1 << 20)
    bust = _trade(s, 1, POOR, FEW)
    value = 132 * FEW * SPOT_TICK
    for left in (value - value * MAKER_BP // 10_000 - 1, value - value * MAKER_BP // 10_000):
        _fund(s, POOR, QUOTE, left)
        s.do(**bust)
    _fund(s, POOR, QUOTE, 1 << 42)


def _venue(s: Story) -> None:
    """The venue gives both fees back, if it has them."""
    bust = _trade(s, 2, 1, FEW)
    value = 132 * FEW * SPOT_TICK
    fees = value * MAKER_BP // 10_000 + value * TAKER_BP // 10_000
    for left in (fees - 1, fees):
        _fund(s, VENUE, QUOTE, left)
        s.do(**bust)
    s.do(**_trade(s, 2, 1, FEW) | {"aux": (-60 & 0xFFFFFFFF) << 32})
    _fund(s, VENUE, QUOTE, 1 << 42)


def _future(s: Story) -> None:
    """Lots go back, results are realised at the price of the trade; what opens needs its margin, less the fee."""
    bust = _trade(s, POOR, 1, FEW)
    s.do(**_trade(s, 3, POOR, FEW, 135) | {"qty_lots": 2})
    _trade(s, 3, POOR, 2, 135)
    value = 132 * FEW * TICK
    margin_less_fee = value * INITIAL_BP // 10_000 - value * TAKER_BP // 10_000
    for left in (margin_less_fee - 1, margin_less_fee):
        _fund(s, POOR, QUOTE, left)
        s.do(**bust)
    _fund(s, POOR, QUOTE, 1 << 42)
    s.do(**_trade(s, 3, 2, FEW, 140))


def _orders(s: Story) -> None:
    """Open orders have the lots that they close; those of the other side do not matter."""
    bust = _trade(s, POOR, 1, FEW)
    _trade(s, POOR, 1, 2)
    s.new(POOR, BUY, 120, 4)
    held = s.new(POOR, SELL, 150, 3)
    s.do(**bust)
    s.replace(POOR, held, 150, 2)
    s.do(**bust)


def _bound(s: Story) -> None:
    """What an account would have with its open orders."""
    bust = _trade(s, 2, 1, 5)
    _trade(s, 1, 3, POSITION_LOTS_MAX)
    held = s.new(1, BUY, 110, 1)
    s.do(**bust)
    s.cancel(1, held)
    s.do(**bust)
    _trade(s, 3, 1, POSITION_LOTS_MAX)


def _taken_over(s: Story) -> None:
    """A called position that goes is called no more; account 0 needs no margin for what it opens."""
    bust = _trade(s, POOR, 1, FEW)
    _fund(s, POOR, QUOTE, 0)
    s.do(**mark(110, FUTURE))
    s.do(**margin(POOR, symbol=FUTURE))
    s.do(**bust)
    s.do(**deposit(POOR, QUOTE, 3_000))
    bust = _trade(s, POOR, 1, FEW) | {"aux": 0}
    s.do(**mark(105, FUTURE))
    for _ in range(3):
        s.do(**margin(POOR, symbol=FUTURE))
    _fund(s, VENUE, QUOTE, 0)
    s.do(**bust | {"account": 1, "session": VENUE, "qty_lots": 2})
    s.do(**bust | {"account": VENUE, "qty_lots": 1})

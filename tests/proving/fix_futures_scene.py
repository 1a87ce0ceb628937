"""A second scene of futures in the story of every rule: where lots, money and places run out, to the unit.

Why: as in the story, each rule decides something in here. Account 4 never has more than what one order needs, so that
every unit counts; 1, 2 and 3 are rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cores import CommandFlag, CommandKind, OrdType, Side
from cores.records import POSITION_LOTS_MAX, Limit, Phase, Smp
from tests.cores.fix_cores import account, deposit, instrument
from tests.cores.fix_futures import future, margin, margins, mark

if TYPE_CHECKING:
    from tests.proving.fix_story import Story

BUY, SELL = Side.BUY, Side.SELL
QUOTE, FUTURE, CONTRACT = 1, 5, 4
TICK, TAKER_BP, INITIAL_BP = 50, 27, 500
FEES = (11, TAKER_BP)
POOR, VENUE = 4, 0


def futures(s: Story) -> None:
    s.symbol = FUTURE
    for number in (1, 2, 3, POOR):
        s.do(**account(number, *FEES))
        s.do(**deposit(number, QUOTE, 500_000))
    s.do(**future(FUTURE, CONTRACT))
    s.do(**instrument(FUTURE, 0, QUOTE))
    s.do(**margins(INITIAL_BP, 400, FUTURE))
    s.do(**mark(132, FUTURE))
    for scene in (_lots, _orders, _funds, _venue, _auction, _group_and_band, _turning_round):
        scene(s)
        s.clear()
        flatten(s)
    s.symbol = 0


def _holds(lots: int, price: int) -> int:
    """What an order that opens holds."""
    value = lots * price * TICK
    return value * TAKER_BP // 10000 + value * INITIAL_BP // 10000


def _fund(s: Story, number: int, amount: int) -> None:
    """Exactly so much is available to an account."""
    balance, hold, credit = s.core.balance(number, QUOTE)
    free = min(balance, balance + credit - hold)
    if free > 0:
        s.do(kind=CommandKind.WITHDRAW, account=number, asset=QUOTE, qty_lots=free)
    if amount:
        s.do(**deposit(number, QUOTE, amount))


def _trade(s: Story, buyer: int, seller: int, lots: int, price: int) -> None:
    s.new(seller, SELL, price, lots)
    s.new(buyer, BUY, price, lots)


def _long(s: Story, price: int = 132, left: int = 0) -> None:
    """Account 4 is long 10 lots and has so much left."""
    _fund(s, POOR, _holds(10, price))
    _trade(s, POOR, 2, 10, price)
    _fund(s, POOR, left)


def flatten(s: Story) -> None:
    for number in (VENUE, 1, 3, POOR):
        lots = s.core.position(number, FUTURE).lots
        s.do(**deposit(number, QUOTE, 100_000))
        if lots > 0:
            _trade(s, 2, number, lots, 132)
        elif lots < 0:
            _trade(s, number, 2, -lots, 132)
    s.do(**mark(132, FUTURE))


def _lots(s: Story) -> None:
    """The bound, the bits of open lots, the limit with position and orders, and what is replaced."""
    s.new(1, BUY, 110, POSITION_LOTS_MAX + 1)
    _trade(s, 2, 1, 10, 132)
    s.new(1, BUY, 110, POSITION_LOTS_MAX + 5)
    s.limit(Limit.POSITION, 12)
    s.new(2, BUY, 120, 3)
    held = s.new(2, BUY, 120, 2)
    s.new(2, BUY, 121, 1)
    s.replace(2, held, 119, 2)
    s.replace(2, held, 119, 3)
    s.new(2, SELL, 150, 23)
    s.new(2, SELL, 150, 22)
    s.limit(Limit.POSITION, 0)


def _orders(s: Story) -> None:
    """What closes is decided when an order comes and when it is replaced; what it held is there for its successor."""
    _long(s, left=2_000)
    closing = s.new(POOR, SELL, 150, 6)
    s.new(POOR, SELL, 151, 4)
    more = s.new(POOR, SELL, 152, 1)
    s.replace(POOR, closing, 150, 5)
    s.replace(POOR, more, 152, 1)
    _fund(s, POOR, 30_000)
    s.replace(POOR, more, 153, 2)
    _fund(s, POOR, 0)
    s.clear()
    _fund(s, POOR, _holds(7, 120))
    held = s.new(POOR, BUY, 120, 7)
    s.replace(POOR, held, 119, 7)
    s.replace(POOR, held, 121, 7)
    s.clear()
    s.stop(3, BUY, 150, 1)
    s.do(**account(3, 0, TAKER_BP))
    s.clear()
    s.limit(Limit.GROSS, 900, account=3, asset=QUOTE)
    s.new(3, BUY, 110, 5)
    s.limit(Limit.GROSS, 0, account=3, asset=QUOTE)
    _fund(s, POOR, 0)
    s.do(**mark(129, FUTURE))
    s.do(**margin(POOR, symbol=FUTURE))
    s.do(**account(POOR, 9, TAKER_BP))
    s.do(**account(POOR, *FEES))


def _funds(s: Story) -> None:
    """A market order that closes needs nothing, one that opens its margin for that alone; what is left needs its own; a
    sell at a better price than its own has no more margin than there is."""
    _long(s)
    s.new(3, BUY, 131, 4)
    s.market(POOR, SELL, 4)
    fee, opening = 131 * 10 * TICK * TAKER_BP // 10000, 131 * 4 * TICK * INITIAL_BP // 10000
    for left in (fee + opening - 1, fee + opening):
        _fund(s, POOR, left)
        s.new(3, BUY, 131, 10)
        s.market(POOR, SELL, 10)
        s.clear()
    flatten(s)
    _long(s, left=_holds(12, 100))
    s.new(3, BUY, 102, 10)
    s.new(POOR, SELL, 100, 12)
    s.clear()
    flatten(s)
    _fund(s, POOR, _holds(10, 100))
    s.new(3, BUY, 150, 10)
    s.new(POOR, SELL, 100, 10)


def _venue(s: Story) -> None:
    """Account 0 loses what it has not: no deficit, no more orders, and its stop does not rest in a call."""
    _fund(s, VENUE, _holds(3, 150) + _holds(2, 125))
    s.stop(VENUE, SELL, 129, 2, limit=125)
    _trade(s, VENUE, 2, 3, 150)
    s.new(2, BUY, 131, 3)
    s.new(VENUE, SELL, 131, 3)
    s.new(VENUE, BUY, 120, 1)
    s.do(kind=CommandKind.WITHDRAW, account=VENUE, asset=QUOTE, qty_lots=1)
    s.limit(Limit.COLLAR, 200)
    s.new(3, BUY, 129, 1)
    s.new(3, BUY, 110, 1)
    s.new(2, SELL, 110, 2)
    s.limit(Limit.COLLAR, 0)
    s.clear()
    s.phase(Phase.CONTINUOUS)


def _auction(s: Story) -> None:
    """A market-to-limit sell holds for the collar's low end; at the price of the uncross it needs more."""
    s.phase(Phase.PRE_OPEN)
    _fund(s, POOR, _holds(2, 100))
    s.new(POOR, SELL, 0, 2, ord_type=OrdType.MARKET_TO_LIMIT)
    s.new(3, SELL, 0, 2, ord_type=OrdType.MARKET_TO_LIMIT)
    s.new(1, SELL, 150, 3)
    s.new(2, BUY, 150, 1)
    s.phase(Phase.CONTINUOUS)


def _group_and_band(s: Story) -> None:
    """A liquidation meets its own group, and keeps within the band."""
    step = margin(POOR, symbol=FUTURE)
    _long(s)
    for number in (3, POOR):
        s.group(number, 9, Smp.CANCEL_RESTING)
    s.limit(Limit.COLLAR, 400)
    s.new(3, BUY, 130, 4)
    s.new(3, BUY, 120, 4)
    s.do(**mark(120, FUTURE))
    s.do(**step)
    s.do(**step)
    s.limit(Limit.COLLAR, 0)
    for number in (3, POOR):
        s.group(number, 0)


def _turning_round(s: Story) -> None:
    """A called position is closed in full by an order from before, which opens the other side with nothing left."""
    _long(s, left=_holds(15, 106))
    s.new(POOR, SELL, 106, 15)
    s.do(**mark(119, FUTURE))
    s.do(**margin(POOR, symbol=FUTURE))
    s.new(2, BUY, 106, 15)
    s.do(**margin(POOR, symbol=FUTURE))
    s.do(**margin(POOR, symbol=FUTURE, flags=CommandFlag.MARGIN_SETTLE))

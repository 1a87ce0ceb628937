"""One batch that walks through every rule of the core: each of them decides something in it.

Why: a program with any single rule broken must give other public values over this batch. So whoever adds a rule adds
the commands here that show it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from cores._core import Core

from cores import CommandKind, OrdType, Side, Tif
from cores.records import COMMAND, CommandFlag, Limit, Phase, Smp
from tests.cores.fix_cores import SMALL, account, deposit, instrument, market, new
from tests.proving.fix_bust_scene import busts
from tests.proving.fix_futures_scene import futures

BUY, SELL = Side.BUY, Side.SELL
MARKET = replace(SMALL, symbols=6, assets=6, levels=128)
FUTURE, CONTRACT, CASH = 4, 3, 1
FEES = {"maker_bp": 11, "taker_bp": 27}
SECOND_NS = 1_000_000_000


class Story:
    """Commands one after the other, applied at once, so that later ones can name the orders of earlier ones."""

    def __init__(self) -> None:
        self.core = Core(MARKET)
        self.records: list[np.ndarray[Any, Any]] = []
        self.time_ns = 0
        self.symbol = 0

    def do(self, **fields: Any) -> int:
        """Applies a command; returns the id of the order it made or named."""
        record = np.zeros(1, COMMAND)
        for name, value in fields.items():
            record[name] = value
        record["seq"] = self.core.last_seq + 1
        self.time_ns += len(self.records) % 2
        record["time_ns"] = self.time_ns
        events, _ = self.core.apply(record)
        self.records.append(record)
        self.see(events)
        return int(events["order_id"][0])

    def see(self, events: np.ndarray[Any, Any]) -> None:
        """What a command led to, for those who write on by it."""

    def new(self, *args: Any, **changes: Any) -> int:
        return self.do(**({"symbol": self.symbol} | new(*args) | changes))

    def market(self, number: int, side: Side, lots: int, **changes: Any) -> int:
        return self.do(**({"symbol": self.symbol} | market(number, side, lots, tif=Tif.DAY) | changes))

    def stop(self, number: int, side: Side, stop: int, lots: int, limit: int = 0, **changes: Any) -> int:
        """A STOP, or with `limit` a STOP_LIMIT."""
        ord_type = OrdType.STOP_LIMIT if limit else OrdType.STOP
        return self.new(number, side, limit, lots, ord_type=ord_type, order_id=stop, **changes)

    def replace(self, number: int, order_id: int, price: int, lots: int, **changes: Any) -> None:
        fields = {"order_id": order_id, "price_ticks": price, "qty_lots": lots, "account": number} | changes
        self.do(kind=CommandKind.REPLACE, symbol=self.symbol, **fields)

    def cancel(self, number: int, order_id: int) -> None:
        self.do(kind=CommandKind.CANCEL, symbol=self.symbol, account=number, order_id=order_id)

    def phase(self, target: int, **changes: Any) -> None:
        self.do(**({"kind": CommandKind.PHASE, "symbol": self.symbol, "ord_type": target} | changes))

    def time(self, flags: int) -> None:
        self.do(kind=CommandKind.TIME, symbol=self.symbol, flags=flags)

    def limit(self, kind: int, amount: int, **changes: Any) -> None:
        self.do(**({"kind": CommandKind.LIMIT, "symbol": self.symbol, "ord_type": kind, "qty_lots": amount} | changes))

    def group(self, number: int, group: int, mode: Smp = Smp.NONE, member: int = 0, **changes: Any) -> None:
        """Self-match group and mode, and the member of an account; its fees stay."""
        fields = {"order_id": group, "price_ticks": mode, "qty_lots": member} | changes
        self.do(**(account(number, **FEES) | fields))

    def mark(self, price: int, **changes: Any) -> None:
        self.do(**({"kind": CommandKind.MARK, "symbol": self.symbol, "price_ticks": price} | changes))

    def margin(self, number: int, **changes: Any) -> None:
        self.do(**({"kind": CommandKind.MARGIN, "symbol": self.symbol, "account": number, "session": 3} | changes))

    def clear(self) -> None:
        """Everybody's orders in the symbol go."""
        for number in range(MARKET.accounts):
            self.do(kind=CommandKind.MASS_CANCEL, symbol=self.symbol, account=number)


def story_of_every_rule() -> np.ndarray[Any, Any]:
    """Each rule of matching, money and refusal decides something in here."""
    s = Story()
    s.do(**instrument())
    for number in (1, 2, 3, 4):
        s.do(**account(number, **FEES))
        for asset in (0, 1):
            s.do(**deposit(number, asset, 3_000_003 if number < 4 else 900))
    _trading(s)
    _conditions(s)
    _refusals(s)
    for number in (1, 2, 3):
        s.do(**instrument(number, flags=1 if number == 1 else 0))
    _auctions(s)
    _calls(s)
    _stops(s)
    _icebergs(s)
    _self_matches(s)
    _collars(s)
    _limits(s)
    _rebates(s)
    _futures(s)
    futures(s)
    busts(s)
    _wide(s)
    _ends(s)
    return np.concatenate(s.records)


def _trading(s: Story) -> None:
    """Price, time, the resting order's price, priority after changes, fees with a remainder."""
    first = s.new(1, SELL, 120, 7)
    s.new(2, SELL, 120, 9)
    s.new(3, SELL, 119, 4)
    s.new(4, BUY, 120, 1)
    s.new(3, BUY, 121, 5)
    s.replace(1, first, 120, 6)
    s.new(3, BUY, 120, 3)
    s.replace(2, s.new(2, SELL, 121, 2), 121, 3)
    s.new(3, BUY, 121, 30)
    s.new(1, BUY, 119, 5)
    s.new(2, BUY, 119, 5)
    s.new(4, SELL, 118, 6)
    s.do(**market(3, SELL, 2))
    s.do(**market(1, BUY, 3))


def _conditions(s: Story) -> None:
    """IOC, FOK, MinQty, post-only, a market buy beyond its money."""
    s.new(1, SELL, 125, 5)
    s.new(2, BUY, 125, 9, tif=Tif.IOC)
    s.new(1, SELL, 126, 5)
    s.new(2, BUY, 126, 6, tif=Tif.FOK)
    s.new(2, BUY, 126, 5, tif=Tif.FOK)
    s.new(1, SELL, 127, 5)
    s.new(2, BUY, 127, 9, aux=6)
    s.new(2, BUY, 127, 4, aux=4)
    s.new(2, BUY, 127, 1, flags=1)
    s.new(2, BUY, 127, 3, flags=4)
    s.cancel(2, s.new(2, BUY, 130, 2, flags=3))
    s.new(1, SELL, 160, 5)
    s.do(**market(4, BUY, 90))


def _refusals(s: Story) -> None:
    """Every limit, just reached and just passed."""
    own = s.new(1, BUY, 110, 4)
    s.cancel(2, own)
    s.new(1, BUY, 100, 1)
    s.new(1, BUY, 100, 1, tif=Tif.IOC)
    s.new(1, BUY, 99, 1)
    s.new(1, SELL, 163, 1)
    s.new(2, SELL, 163, 1, tif=Tif.IOC)
    s.new(1, SELL, 164, 1)
    s.new(1, BUY, 110, 0)
    s.new(1, BUY, 110, 1, symbol=3)
    s.new(1, BUY, 110, 1, account=7)
    s.new(1, BUY, 110, 1, side=3)
    s.new(1, BUY, 110, 1, ord_type=7)
    s.new(1, BUY, 110, 1, tif=5)
    s.new(1, BUY, 110, 2, aux=3)
    s.new(1, BUY, 110, 1, flags=8)
    s.new(1, BUY, 110, 4, order_id=5)
    s.new(1, BUY, 110, 17, order_id=1)
    s.new(1, BUY, 110, 1, tif=Tif.GTD, aux=1)
    s.stop(1, BUY, 164, 1)
    s.new(1, BUY, 110, 1, precheck=131)
    s.new(4, SELL, 150, 10_000)
    s.do(**account(4, **FEES, flags=1))
    s.new(4, BUY, 101, 1)
    s.do(**account(1, maker_bp=1, taker_bp=2))
    partly = s.new(2, BUY, 122, 8)
    s.new(3, SELL, 122, 3)
    s.replace(2, partly, 122, 3)
    s.do(**instrument(aux=9))
    s.limit(13, 0)
    s.limit(Limit.CREDIT, 77_000, account=3, asset=1)


def _uncross(s: Story, orders: list[tuple[int, Side, int, int]], reference: int = 0, **changes: Any) -> None:
    """An opening with these limit orders, then an empty book again."""
    s.phase(Phase.PRE_OPEN, price_ticks=reference)
    for number, side, price, lots in orders:
        s.new(number, side, price, lots)
    s.time(4)
    s.phase(Phase.CONTINUOUS, **changes)
    s.clear()


def _auctions(s: Story) -> None:
    """Each of the four rules for the price, fees of both sides, first in first, all of an iceberg."""
    s.symbol = 1
    s.new(1, BUY, 110, 1)
    s.phase(Phase.PRE_OPEN, price_ticks=99)
    s.phase(Phase.PRE_OPEN, flags=2)
    s.phase(Phase.CONTINUOUS, flags=1)
    s.phase(6)
    s.phase(Phase.CLOSED)
    _uncross(s, [(1, BUY, 130, 10), (2, SELL, 120, 4), (3, SELL, 125, 5), (2, BUY, 122, 3)])
    _uncross(s, [(1, BUY, 130, 10), (2, SELL, 120, 5)])
    _uncross(s, [(1, BUY, 130, 5), (2, SELL, 120, 10)])
    _uncross(s, [(1, BUY, 130, 5), (2, SELL, 120, 5)], reference=123)
    _uncross(s, [(1, BUY, 130, 5), (2, SELL, 120, 5)], reference=140)
    _uncross(s, [(1, BUY, 130, 6), (2, SELL, 120, 5), (3, SELL, 121, 3)])
    _uncross(s, [(1, BUY, 126, 6), (2, SELL, 127, 5)])
    _uncross(s, [(1, BUY, 130, 10), (2, SELL, 120, 10), (3, SELL, 125, 3)], reference=125)
    _uncross(s, [(1, BUY, 120, 12), (3, BUY, 130, 8), (2, SELL, 120, 10)])
    s.phase(Phase.PRE_OPEN)
    s.new(1, SELL, 121, 20, order_id=5)
    s.new(2, SELL, 121, 10)
    s.new(3, BUY, 121, 15)
    s.time(4)
    s.phase(Phase.CONTINUOUS)
    s.new(3, BUY, 121, 3)
    s.clear()
    s.do(**instrument(1))
    _uncross(s, [(1, BUY, 131, 5), (2, SELL, 120, 5)])


def _calls(s: Story) -> None:
    """What each phase takes; orders without a price; the ends of at-open and at-close orders."""
    s.symbol = 1
    s.market(1, BUY, 2, tif=Tif.AT_OPEN)
    dormant = s.market(1, BUY, 4, tif=Tif.AT_CLOSE)
    s.new(2, SELL, 124, 3, tif=Tif.AT_CLOSE)
    s.new(3, SELL, 160, 3, tif=Tif.AT_CLOSE)
    s.replace(1, dormant, 0, 3)
    s.phase(Phase.PRE_OPEN)
    s.new(1, BUY, 124, 3, tif=Tif.IOC)
    s.new(1, BUY, 124, 3, flags=1)
    s.new(1, BUY, 124, 3, aux=1)
    s.market(1, BUY, 5)
    s.market(2, SELL, 2, tif=Tif.AT_OPEN)
    s.market(3, SELL, 7)
    s.new(2, BUY, 0, 6, ord_type=OrdType.MARKET_TO_LIMIT)
    s.new(3, SELL, 125, 1)
    s.new(2, BUY, 163, 1)
    s.time(4)
    s.phase(Phase.CONTINUOUS)
    s.new(1, BUY, 0, 2, ord_type=OrdType.MARKET_TO_LIMIT)
    s.phase(Phase.CLOSE_CALL)
    s.new(2, BUY, 126, 2, tif=Tif.AT_CLOSE)
    s.time(4)
    s.phase(Phase.CLOSED)
    s.phase(Phase.PRE_OPEN)
    s.new(1, BUY, 126, 2)
    s.new(2, SELL, 126, 1)
    s.phase(Phase.CLOSED, flags=1)
    s.phase(Phase.CONTINUOUS)
    s.phase(Phase.HALT)
    s.new(2, SELL, 126, 1)
    s.phase(Phase.CONTINUOUS)
    s.clear()
    s.phase(Phase.PRE_OPEN)
    s.market(1, BUY, 2)
    s.new(1, BUY, 120, 2, tif=Tif.AT_OPEN)
    s.new(2, BUY, 0, 2, ord_type=OrdType.MARKET_TO_LIMIT)
    s.new(3, BUY, 119, 2)
    s.phase(Phase.CONTINUOUS)
    s.new(1, BUY, 0, 2, ord_type=OrdType.MARKET_TO_LIMIT)
    s.new(2, SELL, 0, 3, ord_type=OrdType.MARKET_TO_LIMIT)


def _stops(s: Story) -> None:
    """Due and not yet due; first in first; a cascade; what is left; a stop that is due at once; REPLACE of one."""
    s.symbol = 2
    s.new(1, SELL, 120, 1)
    s.new(2, BUY, 120, 1)
    s.stop(1, BUY, 122, 2)
    s.stop(2, BUY, 122, 3, limit=126)
    s.stop(3, BUY, 125, 2)
    s.stop(1, SELL, 118, 2)
    moved = s.stop(2, SELL, 110, 2, limit=109)
    s.replace(2, moved, 109, 2, aux=117)
    for price in (121, 122, 124, 125, 126, 128):
        s.new(3, SELL, price, 2)
    s.new(2, BUY, 116, 1)
    s.new(2, BUY, 121, 1)
    s.new(2, BUY, 122, 3)
    s.stop(1, BUY, 121, 1)
    s.new(1, SELL, 110, 3)
    s.new(1, BUY, 0, 9, ord_type=OrdType.MARKET_TO_LIMIT)
    s.clear()
    s.stop(3, SELL, 101, 2)
    s.phase(Phase.PRE_OPEN)
    s.new(1, BUY, 101, 4)
    s.new(2, SELL, 101, 2)
    s.phase(Phase.CONTINUOUS)
    s.clear()


def _icebergs(s: Story) -> None:
    """The shown part alone trades first; a refresh loses the place; less quantity goes off what is hidden."""
    s.symbol = 2
    iceberg = s.new(1, SELL, 130, 20, order_id=5)
    s.new(2, SELL, 130, 5)
    s.new(3, BUY, 130, 7)
    s.replace(1, iceberg, 130, 16)
    s.new(3, BUY, 130, 13)
    s.new(3, BUY, 130, 3, tif=Tif.FOK)
    s.replace(1, iceberg, 130, 200)
    s.replace(1, iceberg, 130, 30)
    s.new(3, BUY, 130, 12, tif=Tif.FOK)
    expiry_ns = s.time_ns + 100
    expiring = s.new(1, SELL, 131, 4, tif=Tif.GTD, aux=expiry_ns)
    s.new(1, SELL, 132, 4, tif=Tif.GTD, aux=expiry_ns + 1)
    s.time_ns = expiry_ns - len(s.records) % 2
    s.time(2)
    s.cancel(1, expiring)
    s.clear()


def _self_matches(s: Story) -> None:
    """The four modes, the account's own, other groups, and counting FOK around them."""
    s.symbol = 2
    for number in (1, 2):
        s.group(number, 7, Smp.CANCEL_RESTING)
    for mode in Smp:
        s.new(1, SELL, 125, 4)
        s.new(3, SELL, 125, 4)
        s.new(2, BUY, 125, 6, flags=mode << 4)
        s.clear()
    s.new(1, SELL, 125, 9, order_id=2)
    s.new(2, BUY, 125, 3, flags=Smp.DECREMENT << 4)
    s.new(3, SELL, 125, 4)
    s.new(2, BUY, 125, 5, tif=Tif.FOK)
    s.new(2, BUY, 125, 4, tif=Tif.FOK)
    s.clear()
    s.group(1, 1 << 32)
    s.group(1, 0, member=9)
    s.group(1, 0, mode=5)
    s.group(1, 0)
    s.group(2, 0)


def _collars(s: Story) -> None:
    """A band around the last price and around the reference; what is left rests or goes; stops in the call."""
    s.symbol = 3
    s.new(1, SELL, 120, 1)
    s.new(2, BUY, 120, 1)
    s.limit(Limit.COLLAR, 10_001)
    s.limit(Limit.COLLAR, 200)
    s.stop(3, BUY, 122, 2)
    s.do(**account(4, **FEES))
    s.stop(4, BUY, 122, 90)
    for price in (121, 122, 124):
        s.new(1, SELL, price, 2)
    s.new(2, BUY, 125, 9)
    s.phase(Phase.CONTINUOUS)
    s.clear()
    s.limit(Limit.COLLAR, 0, aux=300)
    s.new(1, BUY, 115, 2)
    s.new(2, SELL, 110, 3, tif=Tif.IOC)
    s.phase(Phase.CONTINUOUS, price_ticks=116)
    s.new(2, SELL, 110, 3)
    s.clear()
    s.phase(Phase.CONTINUOUS)
    s.limit(Limit.COLLAR, 0)


def _clear_all(s: Story) -> None:
    for symbol in range(MARKET.symbols):
        s.symbol = symbol
        s.clear()


def _limits(s: Story) -> None:
    """Each limit reached and passed, and taken away again."""
    _clear_all(s)
    s.symbol = 3
    s.limit(Limit.ORDER_QTY, 10)
    s.new(1, BUY, 110, 10, tif=Tif.IOC)
    s.new(1, BUY, 110, 11)
    s.limit(Limit.ORDER_QTY, 0)
    s.limit(Limit.ORDER_VALUE, 110 * 5 * 8)
    s.new(1, BUY, 110, 8)
    s.new(1, BUY, 110, 9)
    s.new(1, BUY, 111, 8)
    s.limit(Limit.ORDER_VALUE, 0)
    s.limit(Limit.RESTRICTED, 1, account=1)
    s.new(1, BUY, 110, 1)
    s.limit(Limit.RESTRICTED, 2, account=1)
    s.new(1, BUY, 110, 1)
    s.limit(Limit.RESTRICTED, 0, account=1)
    s.clear()
    s.limit(Limit.OPEN_ORDERS, 2, account=3)
    for price in (110, 111, 112):
        s.new(3, BUY, price, 1)
    s.limit(Limit.OPEN_ORDERS, 0, account=3)
    s.limit(Limit.GROSS, 3_000, account=2, asset=1)
    s.new(2, BUY, 100, 5)
    s.new(2, BUY, 100, 1)
    s.limit(Limit.GROSS, 0, account=2, asset=1)
    s.limit(Limit.DUPLICATE_NS, 50, account=2)
    for pause in (0, 0, 60):
        s.time_ns += pause
        s.new(2, BUY, 101, 2)
    s.new(2, BUY, 101, 3)
    _members(s)


def _members(s: Story) -> None:
    """Messages of a second over the accounts of a member; sessions and members that are killed and re-armed."""
    s.group(2, 0, member=3)
    s.limit(Limit.MESSAGES, 2, account=3)
    kept = s.new(2, BUY, 102, 4)
    s.replace(2, kept, 102, 3)
    s.new(3, BUY, 103, 1)
    s.replace(2, kept, 102, 2)
    s.time_ns += SECOND_NS
    s.replace(2, kept, 102, 2)
    s.limit(Limit.MESSAGES, 0, account=3)
    s.limit(Limit.KILL_MEMBER, 1, account=3)
    s.new(2, BUY, 104, 1)
    s.group(3, 0)
    s.replace(2, kept, 102, 1)
    s.cancel(2, kept)
    s.limit(Limit.KILL_MEMBER, 0, account=3)
    for session in (5, 1, 9):
        s.limit(Limit.KILL_SESSION, 1, session=session)
    s.new(1, BUY, 105, 1)
    s.new(1, BUY, 105, 1, session=6)
    s.limit(Limit.KILL_SESSION, 0, session=1)
    s.new(1, BUY, 105, 2)
    s.group(2, 0)
    s.limit(Limit.DUPLICATE_NS, 0, account=2)
    s.clear()


def _rebates(s: Story) -> None:
    """A maker that is paid: its own rate, and at most the aggressor's fee."""
    _clear_all(s)
    s.symbol = 3
    for maker_bp in (-10, -60):
        s.do(**(account(3, maker_bp=0) | {"aux": (maker_bp & 0xFFFFFFFF) | 27 << 32}))
        s.new(3, SELL, 120, 7)
        s.new(1, BUY, 120, 7)
    s.do(**(account(3) | {"aux": (-10_001 & 0xFFFFFFFF) | 27 << 32}))
    s.do(**account(3, **FEES))
    s.symbol = 0


def _future(s: Story, **changes: Any) -> None:
    flags = CommandFlag.INSTRUMENT_FUTURE
    s.do(
        **instrument(
            **({"symbol": FUTURE, "base": CONTRACT, "quote": CASH, "order_id": 1, "aux": 50, "flags": flags} | changes)
        )
    )


def _futures(s: Story) -> None:
    """What makes a future and what does not; positions that open, grow, close and turn; the ladder; settlement."""
    _clear_all(s)
    s.symbol = FUTURE
    for wrong in ({"order_id": 2}, {"base": 0}, {"aux": 1 << 52}, {"flags": 4}):
        _future(s, **wrong)
    s.do(kind=CommandKind.PHASE, symbol=FUTURE, ord_type=Phase.CLOSED)
    _future(s)
    s.do(**instrument(3, CONTRACT, CASH))
    s.do(**instrument(3, 0, CONTRACT))
    _future(s, flags=0)
    _future(s, symbol=3, base=2)
    s.limit(Limit.GROSS, 0, account=1, asset=2)
    _future(s, symbol=5, base=2)
    s.do(**deposit(1, CONTRACT, 5))
    s.limit(Limit.GROSS, 5, account=1, asset=CONTRACT)
    for initial_bp, maintenance_bp in ((10_001, 1), (500, 501), (500, 0), (500, 400)):
        s.limit(Limit.MARGIN, initial_bp, aux=maintenance_bp)
    s.limit(Limit.MARGIN, 500, aux=400, symbol=3)
    s.mark(99)
    s.mark(130, symbol=3)
    s.do(**deposit(4, CASH, 4_000))
    _positions(s)
    _ladder(s)
    _settlement(s)


def _positions(s: Story) -> None:
    """Accounts 1 and 2 are rich, 4 has some 4,000: margin for 12 lots."""
    s.new(4, BUY, 130, 1_000)
    s.new(4, BUY, 130, 12)
    s.new(4, BUY, 130, 3)
    s.limit(Limit.MARGIN, 600, aux=400)
    s.clear()
    s.new(1, SELL, 131, 7)
    s.new(1, SELL, 133, 4)
    s.new(1, SELL, 134, 40)
    s.margin(4)
    s.new(4, BUY, 131, 3)
    s.margin(4)
    s.market(4, BUY, 60)
    s.clear()
    s.market(4, BUY, 9, tif=Tif.FOK)
    s.market(4, BUY, 9, flags=CommandFlag.ALL_OR_NONE)
    s.market(4, BUY, 9, aux=2)
    s.do(**account(4, maker_bp=1, taker_bp=2))
    closing = s.new(4, SELL, 140, 7)
    s.new(4, SELL, 140, 9)
    s.new(4, SELL, 141, 2)
    s.replace(4, closing, 139, 5)
    s.do(**account(4, maker_bp=1, taker_bp=2))
    s.new(2, BUY, 139, 3, order_id=1)
    s.clear()
    s.new(2, BUY, 132, 40)
    s.new(1, SELL, 132, 30)
    s.new(1, BUY, 129, 45)
    s.market(2, SELL, 50)
    s.clear()
    s.limit(Limit.POSITION, 20)
    s.new(3, BUY, 120, 12)
    s.new(3, BUY, 121, 9)
    s.new(3, BUY, 121, 8)
    s.limit(Limit.POSITION, 0)
    s.clear()
    s.new(3, SELL, 131, 6, order_id=2)
    s.new(2, BUY, 131, 7)
    s.stop(3, SELL, 130, 2)
    s.new(1, SELL, 130, 5)
    s.new(2, BUY, 130, 5)
    s.clear()
    s.phase(Phase.PRE_OPEN)
    s.new(3, BUY, 128, 4)
    s.new(1, SELL, 126, 6)
    s.market(2, BUY, 1)
    s.market(2, SELL, 1)
    s.new(2, SELL, 0, 3, ord_type=OrdType.MARKET_TO_LIMIT)
    s.phase(Phase.CONTINUOUS)
    s.clear()


def _ladder(s: Story) -> None:
    """Kept, topped up, called, lifted, called, liquidated in part, taken over with a deficit."""
    s.new(1, SELL, 130, 9)
    s.new(4, BUY, 130, 4)
    s.clear()
    s.margin(4)
    s.mark(150)
    s.margin(1)
    s.mark(130)
    s.margin(4)
    s.mark(128)
    s.margin(4)
    s.mark(119)
    s.margin(4)
    s.do(**deposit(4, CASH, 400))
    s.new(4, BUY, 110, 1)
    s.new(4, SELL, 140, 2)
    for price in (127, 119):
        s.mark(price)
        s.margin(4)
    s.margin(4, flags=CommandFlag.MARGIN_SETTLE)
    s.new(2, BUY, 118, 2)
    s.new(2, BUY, 101, 1)
    s.stop(3, SELL, 118, 1)
    s.limit(Limit.COLLAR, 1_000)
    s.phase(Phase.HALT)
    s.margin(4)
    s.phase(Phase.CONTINUOUS)
    s.margin(4)
    s.new(4, SELL, 141, 1)
    s.new(4, BUY, 110, 1)
    s.margin(4)
    s.limit(Limit.COLLAR, 0)
    s.clear()
    s.mark(119)
    s.margin(4)


def _settlement(s: Story) -> None:
    """What is open is settled in CLOSED; terms wait for that."""
    _future(s)
    s.new(2, BUY, 110, 3)
    s.margin(1, flags=CommandFlag.MARGIN_SETTLE)
    s.phase(Phase.CLOSED)
    for number in (0, 1, 2, 3, 4, 1):
        s.margin(number, flags=CommandFlag.MARGIN_SETTLE)
    s.clear()
    s.margin(1)
    _future(s, qty_lots=200 - 37)
    s.mark(130)
    s.symbol = 0


def _wide(s: Story) -> None:
    """Prices far apart, with two pages a ladder: they are given out, used up and given back."""
    s.symbol = 3
    s.clear()
    s.do(**instrument(3, qty_lots=1_000))
    far = s.new(1, BUY, 150, 2)
    s.new(2, BUY, 400, 1)
    s.new(1, BUY, 700, 1)
    s.new(1, BUY, 401, 2)
    s.replace(1, far, 700, 2)
    s.new(3, SELL, 380, 9, tif=Tif.FOK)
    s.new(3, SELL, 380, 5, tif=Tif.FOK)
    beside = s.new(1, BUY, 200, 1)
    s.new(1, BUY, 300, 1)
    s.new(2, BUY, 201, 1)
    s.replace(1, beside, 700, 1)
    s.stop(1, BUY, 600, 1, limit=650)
    s.stop(2, BUY, 800, 1, limit=300)
    s.stop(2, BUY, 900, 1, limit=900)
    s.new(3, SELL, 600, 1)
    s.market(1, BUY, 1)
    s.new(3, SELL, 700, 2)
    s.new(3, SELL, 950, 2)
    s.new(1, BUY, 301, 1, tif=Tif.AT_CLOSE)
    s.new(1, BUY, 850, 1, tif=Tif.AT_CLOSE)
    s.phase(Phase.CLOSE_CALL)
    s.market(2, BUY, 2)
    s.do(kind=CommandKind.MASS_CANCEL, symbol=s.symbol, account=3)
    for price, lots in ((201, 3), (300, 2), (700, 2)):
        s.new(3, SELL, price, lots)
    s.phase(Phase.CONTINUOUS)
    s.clear()
    s.do(**instrument(3))
    s.symbol = 0


def _ends(s: Story) -> None:
    """Mass cancels by account and by session, expiry, money going out, the same slot used again."""
    s.new(3, SELL, 130, 1, session=1)
    s.new(3, SELL, 131, 1, session=2)
    s.new(2, SELL, 131, 1, session=2, tif=Tif.GTC)
    s.do(kind=CommandKind.MASS_CANCEL, account=3, session=2, flags=1)
    s.do(kind=CommandKind.MASS_CANCEL, account=1, session=9, side=BUY)
    s.new(1, BUY, 105, 2, tif=Tif.GTC, ord_type=OrdType.LIMIT)
    s.do(kind=CommandKind.TIME, flags=1)
    address = {"order_id": 0x8877665544332211, "price_ticks": 0xFFEEDDCCBBAA9988, "aux": 0x44332211}
    for amount in (500, 10**9):
        s.do(kind=CommandKind.WITHDRAW, account=1, asset=0, qty_lots=amount, **address)
    s.do(kind=CommandKind.WITHDRAW, account=2, asset=1, qty_lots=7, **address)

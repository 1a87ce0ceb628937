"""The rules of phases and of the uncross (P1..P6, U1..U6).

Why: a layer of the oracle. The price of the uncross is found as the rule says it, by looking at every candidate.
"""

from __future__ import annotations

from typing import NamedTuple

from cores.records import AMOUNT_MAX, CommandFlag, EventFlag, EventKind, OrdType, Phase, Reason, Side, Tif
from cores.rules_matching import Matching
from cores.rules_state import CALLS, Command, Order, Symbol, fee


class Indicative(NamedTuple):
    """What an uncross would do now (U6); all 0 when nothing would trade."""

    price_ticks: int = 0
    qty_lots: int = 0
    surplus_lots: int = 0
    surplus_side: int = 0


def demand(symbol: Symbol, price: int) -> int:
    return sum(order.leaves for order in symbol.walk(Side.BUY) if order.price_ticks >= price)


def supply(symbol: Symbol, price: int) -> int:
    return sum(order.leaves for order in symbol.walk(Side.SELL) if order.price_ticks <= price)


def indicative(symbol: Symbol) -> Indicative:
    """U1, U2."""
    orders = [order for side in (Side.BUY, Side.SELL) for order in symbol.walk(side)]
    candidates = {order.price_ticks for order in orders if not order.unpriced}
    if not candidates and symbol.reference_ticks:
        candidates = {symbol.reference_ticks}
    sizes = {price: (demand(symbol, price), supply(symbol, price)) for price in candidates}
    volume = max((min(size) for size in sizes.values()), default=0)
    if volume == 0:
        return Indicative()
    surpluses = {price: d - s for price, (d, s) in sizes.items() if min(d, s) == volume}
    least = min(abs(surplus) for surplus in surpluses.values())
    best = sorted(price for price, surplus in surpluses.items() if abs(surplus) == least)
    price = choose(symbol, best, [surpluses[price] for price in best])
    left = demand(symbol, price) - supply(symbol, price)
    side = Side.NONE if left == 0 else Side.BUY if left > 0 else Side.SELL
    return Indicative(price, volume, abs(left), side)


def choose(symbol: Symbol, prices: list[int], surpluses: list[int]) -> int:
    """U2: market pressure, then the reference price."""
    low, high = prices[0], prices[-1]
    if all(surplus > 0 for surplus in surpluses):
        return high
    if all(surplus < 0 for surplus in surpluses):
        return low
    if symbol.reference_ticks == 0:
        return (low + high) // 2
    return max(low, min(high, symbol.reference_ticks))


class Auction(Matching):
    """PHASE, and what it does to the book."""

    def phase(self, c: Command) -> int:
        """P5, P6."""
        if c.symbol >= self.symbol_count:
            return Reason.REJECT_UNKNOWN_SYMBOL
        symbol, target = self.touch_symbol(c.symbol), c.ord_type
        reason = self.phase_reason(symbol, c)
        if reason:
            return reason
        symbol.reference_ticks = c.price_ticks or symbol.reference_ticks
        found = Indicative()
        if symbol.is_call and not c.flags and target in (Phase.CONTINUOUS, Phase.CLOSED):
            found = indicative(symbol)
            self.uncross(symbol, found)
        if target in (Phase.CONTINUOUS, Phase.CLOSED):
            self.end_auction_orders(symbol, found.price_ticks)
        if target == Phase.CLOSED:
            for order in list(symbol.dormant.values()):
                self.end(symbol, order, EventKind.EXPIRED, Reason.CANCEL_AUCTION)
        if target == Phase.CLOSE_CALL:
            self.wake_dormant(symbol)
        old, symbol.phase = symbol.phase, target
        self.emit(EventKind.PHASE, 0, 0, 0, (0, 0, 0), price=found.price_ticks, qty=found.qty_lots, leaves=target,
                  aux=old)  # fmt: skip
        if target == Phase.CONTINUOUS and symbol.last_ticks:
            self.begin(symbol)
            self.traded = [symbol.last_ticks]
            self.run_stops(symbol)
        return Reason.NONE

    def phase_reason(self, symbol: Symbol, c: Command) -> int:
        """P5."""
        target = c.ord_type
        if c.flags not in (0, CommandFlag.NO_UNCROSS):
            return Reason.REJECT_BAD_FLAGS
        if target > Phase.HALT or target == symbol.phase:
            return Reason.REJECT_BAD_PHASE
        if c.price_ticks and not symbol.terms.contains(c.price_ticks):
            return Reason.REJECT_PRICE_OUT_OF_COLLAR
        if c.flags and not (symbol.phase in CALLS and target == Phase.CLOSED):
            return Reason.REJECT_BAD_FLAGS
        if target == Phase.CONTINUOUS and not symbol.is_call and symbol.crossed:
            return Reason.REJECT_BAD_PHASE
        return Reason.NONE

    def uncross(self, symbol: Symbol, found: Indicative) -> None:
        """U3..U5."""
        left, income = found.qty_lots, 0
        while left:
            bid, ask = (next(symbol.walk(side)) for side in (Side.BUY, Side.SELL))
            lots = min(left, bid.leaves, ask.leaves)
            for order in (bid, ask):
                self.touch_account(order.account)
            fees = [self.fill_resting(symbol, order, lots, found.price_ticks) for order in (bid, ask)]
            for order, paid in zip((bid, ask), fees, strict=True):
                self.settle_resting(symbol, order, lots, found.price_ticks, paid)
            income += sum(fees)
            left -= lots
        if income:
            self.touch_account(0).positions[symbol.terms.quote].balance += income
        if found.qty_lots:
            symbol.last_ticks = symbol.reference_ticks = found.price_ticks

    def fill_resting(self, symbol: Symbol, order: Order, lots: int, price: int) -> int:
        """One side of a trade of the uncross (U3, U4); returns the fee to pay."""
        paid = fee(symbol.notional(price, lots), self.touch_account(order.account).taker_bp)
        order.cum += lots
        self.report(EventKind.FILL, 0, order, EventFlag.AUCTION, price=price, qty=lots, leaves=order.leaves - lots,
                    aux=paid)  # fmt: skip
        return paid

    def settle_resting(self, symbol: Symbol, order: Order, lots: int, price: int, paid: int) -> None:
        """Its hold, its money or position (F7), and its place."""
        account = self.touch_account(order.account)
        self.release(symbol, account, order)
        order.leaves -= lots
        order.show()
        self.hold(symbol, account, order)
        if order.leaves == 0:
            symbol.unlink(order)
            self.gone(symbol, account, order)
        if symbol.future:
            self.trade(symbol, account, order.side, lots, price, paid, order.session)
        else:
            self.pay(symbol, account, order.side, lots, symbol.notional(price, lots), paid)

    def end_auction_orders(self, symbol: Symbol, price: int) -> None:
        """P6.3: what was for the auction only, and what still has no price."""
        for order in [order for side in (Side.BUY, Side.SELL) for order in symbol.walk(side)]:
            if order.tif in (Tif.AT_OPEN, Tif.AT_CLOSE):
                self.end(symbol, order, EventKind.EXPIRED, Reason.CANCEL_AUCTION)
            elif order.unpriced and not self.becomes_priced(symbol, order, price):
                self.end(symbol, order, EventKind.CANCELLED, Reason.CANCEL_AUCTION)

    def becomes_priced(self, symbol: Symbol, order: Order, price: int) -> bool:
        """A market-to-limit order stands at the price of the uncross from now on."""
        account = self.touch_account(order.account)
        if order.ord_type != OrdType.MARKET_TO_LIMIT or price == 0:
            return False
        if symbol.cost(price, order.leaves, account.taker_bp) > AMOUNT_MAX:
            return False
        needed = symbol.hold(order.side, price, order.leaves, account.taker_bp, order.closing)
        released = symbol.hold_of(order, account.taker_bp)
        if symbol.future and not account.positions[symbol.terms.quote].affords(needed, released):
            return False
        if not symbol.has_room(order.side, False, price, order):
            return False
        self.take_off(symbol, account, order)
        order.unpriced, order.price_ticks = False, price
        self.rest(symbol, account, order)
        self.report(EventKind.RESTATED, Reason.CANCEL_AUCTION, order, price=price, qty=order.cum + order.leaves,
                    leaves=order.leaves)  # fmt: skip
        return True

    def wake_dormant(self, symbol: Symbol) -> None:
        """P6.4: they keep their holds and take their places, as long as there are pages (W6)."""
        for order in list(symbol.dormant.values()):
            if not symbol.has_room(order.side, False, order.price_ticks):
                self.end(symbol, order, EventKind.CANCELLED, Reason.CANCEL_PAGES_FULL)
                continue
            symbol.unlink(order)
            order.dormant = False
            order.show()
            symbol.append(order)

"""The rules of trading: an order meets the other side, self-matches, icebergs, collars, stops (T1..T6, S1..S5, C2).

Why: the middle layer of the oracle. It takes orders whose terms have been checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from cores.records import AMOUNT_MAX, CommandFlag, EventFlag, EventKind, OrdType, Phase, Reason, Side, Smp, Tif
from cores.rules_positions import Positions
from cores.rules_state import Account, Order, Symbol, fee, maker_fee, opposite

RESTING_TIFS = (Tif.DAY, Tif.GTC, Tif.GTD)


class Matching(Positions):
    """What happens between orders. `band` and `traded` are those of the command that is being applied."""

    band: tuple[int, int]
    traded: list[int]

    def begin(self, symbol: Symbol) -> None:
        """C1: a command's band is that of the state before it."""
        self.band = symbol.band()
        self.traded = []

    # ---- in and out of the book ----

    def rest(self, symbol: Symbol, account: Account, order: Order) -> None:
        """N15: at the end of its place, with its hold."""
        order.show()
        symbol.append(order)
        self.hold(symbol, account, order)

    def take_off(self, symbol: Symbol, account: Account, order: Order) -> None:
        """Out of its place; its hold is available again."""
        symbol.unlink(order)
        self.release(symbol, account, order)

    def open(self, symbol: Symbol, account: Account, order: Order) -> None:
        """It gets its slot and counts as an open order."""
        if order.slot not in symbol.orders:
            symbol.free_slots.remove(order.slot)
            symbol.orders[order.slot] = order
            account.open_orders += 1

    def gone(self, symbol: Symbol, account: Account, order: Order) -> None:
        """Its slot is free again."""
        if order.slot in symbol.orders:
            symbol.forget(order)
            account.open_orders -= 1

    def end(self, symbol: Symbol, order: Order, kind: int, reason: int) -> None:
        """A resting order is over: off the book, with its event."""
        account = self.touch_account(order.account)
        self.take_off(symbol, account, order)
        self.gone(symbol, account, order)
        self.report(kind, reason, order, price=order.event_price, qty=order.leaves)

    # ---- trading ----

    def match(self, symbol: Symbol, account: Account, order: Order, limit: int | None) -> int:
        """T1..T6: trades until done or out of reach; the fees of all its fills then go to account 0."""
        self.income = 0
        reason = self.meet_all(symbol, account, order, limit)
        if self.income:
            self.touch_account(0).positions[symbol.terms.quote].balance += self.income
        return reason

    def meet_all(self, symbol: Symbol, account: Account, order: Order, limit: int | None) -> int:
        low, high = self.band
        while order.leaves and symbol.crosses(order.side, limit):
            price, queue = symbol.levels(opposite(order.side)).peekitem(0)
            if not low <= price <= high:
                return Reason.CANCEL_VOLATILITY
            resting = next(iter(queue.values()))
            mode = self.self_match(account, self.touch_account(resting.account), order)
            if mode and not order.forced:
                self.prevent(symbol, order, resting, mode)
                if mode in (Smp.CANCEL_AGGRESSOR, Smp.CANCEL_BOTH):
                    return Reason.CANCEL_SELF_MATCH
                continue
            lots = min(resting.shown, order.leaves)
            if limit is None and not order.forced and not self.can_go_on(symbol, account, order, price, lots):
                return Reason.CANCEL_FUNDS
            self.fill(symbol, account, order, resting, lots)
        return Reason.NONE

    def can_go_on(self, symbol: Symbol, account: Account, order: Order, price: int, lots: int) -> bool:
        """T4, F6: whether an order without a price has the funds for the next fill."""
        if symbol.future:
            return self.can_pay(symbol, account, order, price, lots)
        cost = symbol.cost(price, lots, account.taker_bp)
        return order.side == Side.SELL or account.positions[symbol.terms.quote].affords(cost)

    def self_match(self, account: Account, other: Account, order: Order) -> int:
        """T2: the mode when both are of one group, else 0."""
        alike = account.smp_group != 0 and account.smp_group == other.smp_group
        return (order.smp_mode or account.smp_mode) if alike else Smp.NONE

    def prevent(self, symbol: Symbol, order: Order, resting: Order, mode: int) -> None:
        """T2: what the resting order loses, and in DECREMENT the aggressor."""
        if mode in (Smp.CANCEL_RESTING, Smp.CANCEL_BOTH):
            self.end(symbol, resting, EventKind.CANCELLED, Reason.CANCEL_SELF_MATCH)
        elif mode == Smp.DECREMENT:
            lots = min(order.leaves, resting.shown)
            holder = self.touch_account(resting.account)
            self.reduce(symbol, holder, resting, lots)
            order.leaves -= lots
            self.decremented(resting, lots)
            self.decremented(order, lots)
            self.after_loss(symbol, holder, resting)

    def decremented(self, order: Order, lots: int) -> None:
        kind, qty = (EventKind.RESTATED, order.cum + order.leaves) if order.leaves else (EventKind.CANCELLED, lots)
        self.report(kind, Reason.CANCEL_SELF_MATCH, order, price=order.event_price, qty=qty, leaves=order.leaves)

    def reduce(self, symbol: Symbol, account: Account, resting: Order, lots: int) -> None:
        self.release(symbol, account, resting)
        resting.leaves -= lots
        resting.shown -= lots
        self.hold(symbol, account, resting)

    def after_loss(self, symbol: Symbol, account: Account, resting: Order) -> None:
        """Gone when nothing is left; refreshed when nothing is shown (T5)."""
        if resting.leaves == 0:
            symbol.unlink(resting)
            self.gone(symbol, account, resting)
        elif resting.shown == 0:
            resting.show()
            symbol.to_the_end(resting)
            self.report(EventKind.REFRESHED, 0, resting, price=resting.price_ticks, qty=resting.shown,
                        leaves=resting.leaves)  # fmt: skip

    def fill(self, symbol: Symbol, account: Account, order: Order, resting: Order, lots: int) -> None:
        """T3, T4: base to the buyer, quote to the seller; each pays its fee in quote, the buyer on top."""
        price, maker = resting.price_ticks, self.touch_account(resting.account)
        notional = symbol.notional(price, lots)
        taker_paid = fee(notional, account.taker_bp)
        maker_paid = maker_fee(notional, maker.maker_bp, taker_paid)
        self.reduce(symbol, maker, resting, lots)
        order.leaves -= lots
        for party, who, paid, flags in (
            (maker, resting, maker_paid, 0),
            (account, order, taker_paid, EventFlag.AGGRESSOR),
        ):
            if not symbol.future:
                self.pay(symbol, party, who.side, lots, notional, paid)
            who.cum += lots
            self.report(EventKind.FILL, 0, who, flags, price=price, qty=lots, leaves=who.leaves, aux=paid)
        if symbol.future:
            self.trade(symbol, maker, resting.side, lots, price, maker_paid, resting.session)
            self.trade(symbol, account, order.side, lots, price, taker_paid, order.session)
        self.income += maker_paid + taker_paid
        self.traded.append(price)
        symbol.last_ticks = price
        self.after_loss(symbol, maker, resting)

    def pay(self, symbol: Symbol, account: Account, side: int, lots: int, notional: int, paid: int) -> None:
        sign, terms = (1 if side == Side.BUY else -1), symbol.terms
        account.positions[terms.base].balance += sign * lots * terms.lot_size
        account.positions[terms.quote].balance -= sign * notional + paid

    # ---- what can be filled at once ----

    def at_once_reason(self, symbol: Symbol, account: Account, order: Order, limit: int | None, min_qty: int) -> int:
        """N13."""
        if order.tif == Tif.FOK:
            need, reason = order.leaves, Reason.CANCEL_FOK
        elif order.flags & CommandFlag.ALL_OR_NONE and symbol.crosses(order.side, limit):
            need, reason = order.leaves, Reason.CANCEL_ALL_OR_NONE
        else:
            need, reason = min_qty, Reason.CANCEL_MIN_QTY
        if need == 0 or self.fillable(symbol, account, order, limit) >= need:
            return Reason.NONE
        return reason

    def pieces(self, symbol: Symbol, side: int) -> Iterator[tuple[Order, int]]:
        """A side's quantity in the order in which it would trade: at each level first what all show, then, round by
        round, what each refresh shows (T5)."""
        for queue in symbol.levels(side).values():
            yield from ((resting, resting.shown) for resting in queue.values())
            hiding = [(resting, resting.hidden) for resting in queue.values() if resting.hidden]
            while hiding:
                yield from ((resting, min(resting.display, hidden)) for resting, hidden in hiding)
                hiding = [(resting, hidden - resting.display) for resting, hidden in hiding if hidden > resting.display]

    def fillable(self, symbol: Symbol, account: Account, order: Order, limit: int | None) -> int:
        """Lots that would trade now."""
        lots, (low, high) = 0, self.band
        available = max(0, account.positions[symbol.terms.quote].available)
        for resting, offered in self.pieces(symbol, opposite(order.side)):
            price = resting.price_ticks
            if lots == order.leaves or not symbol.within(order.side, limit, price) or not low <= price <= high:
                break
            looks = account.smp_group and (order.smp_mode or account.smp_mode)
            mode = self.self_match(account, self.touch_account(resting.account), order) if looks else Smp.NONE
            if mode == Smp.CANCEL_RESTING:
                continue
            if mode:
                break
            fill = min(offered, order.leaves - lots)
            if limit is None and order.side == Side.BUY:
                notional = symbol.notional(price, fill)
                taker_paid = fee(notional, account.taker_bp)
                if notional + taker_paid > available:
                    break
                available -= notional + taker_paid
                if resting.account == account.number:
                    available += notional - maker_fee(notional, account.maker_bp, taker_paid)
            lots += fill
        return lots

    # ---- the aggressor's way ----

    def aggress(self, symbol: Symbol, account: Account, order: Order, limit: int | None, reason: int) -> None:
        """N14, C2: it trades unless there is a reason against; what is left rests or is cancelled."""
        reason = reason or self.match(symbol, account, order, limit)
        if reason == Reason.CANCEL_VOLATILITY:
            self.trip(symbol)
            may_rest = limit is not None and order.tif in RESTING_TIFS
        else:
            may_rest = limit is not None and order.tif not in (Tif.IOC, Tif.FOK) and not reason
        if may_rest and symbol.future and not self.can_hold(symbol, account, order):
            may_rest, reason = False, Reason.CANCEL_FUNDS
        if may_rest and not symbol.has_room(order.side, False, order.price_ticks):
            may_rest, reason = False, Reason.CANCEL_PAGES_FULL
        if order.leaves == 0:
            self.gone(symbol, account, order)
        elif may_rest:
            self.open(symbol, account, order)
            self.rest(symbol, account, order)
        else:
            self.report(EventKind.CANCELLED, reason or Reason.CANCEL_IOC, order, price=order.event_price,
                        qty=order.leaves)  # fmt: skip
            self.gone(symbol, account, order)

    def trip(self, symbol: Symbol) -> None:
        """C2: out of the band, into a call."""
        old, symbol.phase = symbol.phase, Phase.VOLATILITY
        self.emit(EventKind.PHASE, Reason.CANCEL_VOLATILITY, 0, 0, (0, 0, 0), leaves=symbol.phase, aux=old)

    # ---- stops ----

    def run_stops(self, symbol: Symbol) -> None:
        """S3: elects and triggers until no stop is due by the command's trades."""
        queue: list[Order] = []
        while self.traded:
            queue += self.elect(symbol, min(self.traded), max(self.traded))
            if not queue:
                break
            self.trigger(symbol, queue.pop(0))

    def elect(self, symbol: Symbol, low: int, high: int) -> list[Order]:
        elected = []
        for side, price in ((Side.BUY, high), (Side.SELL, low)):
            for order in symbol.walk_stops(side):
                if not symbol.due(order, price):
                    break
                symbol.unlink(order)
                elected.append(order)
        return elected

    def trigger(self, symbol: Symbol, order: Order) -> None:
        """S4, S5."""
        account = self.touch_account(order.account)
        if order.slot in symbol.orders:
            self.release(symbol, account, order)
        order.waiting = False
        self.report(EventKind.TRIGGERED, 0, order, price=order.event_price, qty=order.leaves, leaves=order.leaves,
                    aux=order.stop_ticks)  # fmt: skip
        if symbol.is_call:
            self.join_call(symbol, account, order)
        else:
            limit = None if order.ord_type == OrdType.STOP else order.price_ticks
            self.aggress(symbol, account, order, limit, Reason.NONE)

    def join_call(self, symbol: Symbol, account: Account, order: Order) -> None:
        """S5: a STOP without a price, if it can be held for; in a future, whatever joins (F6). W6."""
        if order.ord_type == OrdType.STOP:
            order.unpriced, order.price_ticks = True, symbol.collar_end(order.side)
        reason = Reason.NONE
        if order.ord_type == OrdType.STOP or symbol.future:
            needed = symbol.hold_of(order, account.taker_bp)
            too_large = symbol.cost(order.price_ticks, order.leaves, account.taker_bp) > AMOUNT_MAX
            if too_large or not account.positions[symbol.hold_asset(order.side)].affords(needed):
                reason = Reason.CANCEL_FUNDS
        if not reason and not symbol.has_room(order.side, False, order.price_ticks):
            reason = Reason.CANCEL_PAGES_FULL
        if reason:
            self.report(EventKind.CANCELLED, reason, order, price=order.event_price, qty=order.leaves)
            self.gone(symbol, account, order)
            return
        self.open(symbol, account, order)
        self.rest(symbol, account, order)

"""The rules of the core in plain Python: with reference.py the oracle of its tests.

Why: a reader should be able to check a rule without reading C, and a second implementation finds what tests of one
cannot. It gives the same events, slots and snapshots as the C core, byte for byte. It must never be clever: where a
rule can be written as the sentence that describes it, it is. The sentences are in spec/matching_rules.md, and their
numbers stand beside the functions: here NEW, CANCEL, REPLACE, MASS_CANCEL and TIME; phases and the uncross in
rules_auction.py, trading and stops in rules_matching.py, accounts and limits in rules_ledger.py, positions in
rules_positions.py, marks and the margin ladder in rules_futures.py, busted trades
in rules_busts.py.
"""

from __future__ import annotations

from collections.abc import Callable

from cores.records import (
    AMOUNT_MAX,
    FLAG_SMP_SHIFT,
    ICEBERG_TRANCHES_MAX,
    QTY_LOTS_MAX,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    OrdType,
    Phase,
    Reason,
    Side,
    Smp,
    Tif,
)
from cores.rules_auction import indicative
from cores.rules_busts import Busts
from cores.rules_matching import RESTING_TIFS
from cores.rules_state import STOPS, Account, Command, Order, Symbol, Terms, fee, opposite

__all__ = ["Account", "Book", "Command", "Order", "Symbol", "Terms", "fee", "indicative"]

TIFS = {
    OrdType.LIMIT: set(Tif),
    OrdType.MARKET: {Tif.DAY, Tif.AT_OPEN, Tif.IOC, Tif.FOK, Tif.AT_CLOSE},
    OrdType.STOP: set(RESTING_TIFS),
    OrdType.STOP_LIMIT: set(RESTING_TIFS),
    OrdType.MARKET_TO_LIMIT: set(RESTING_TIFS),
}
AUCTION_TIFS = (Tif.AT_OPEN, Tif.AT_CLOSE)
FLAGS_OF_NEW = CommandFlag.POST_ONLY | CommandFlag.SLIDE | CommandFlag.ALL_OR_NONE | 7 << FLAG_SMP_SHIFT


class Book(Busts):
    """State and rules of the core, one command at a time; `reference.Core` gives it the interface of the binding."""

    # ---- one command ----

    def apply(self, c: Command) -> list[tuple[int, ...]]:
        """Applies one command whose number and time are right; returns its events."""
        self.events = []
        self.command = c
        reason = c.precheck or self.dispatch(c)
        if reason:
            self.refuse(c, reason)
        self.last_seq = c.seq
        self.last_time_ns = c.time_ns
        return self.events

    def dispatch(self, c: Command) -> int:
        """The rule set of the command's kind. A non-zero answer is the reason why it was refused."""
        rules: dict[int, Callable[[Command], int]] = {
            CommandKind.NEW: self.new,
            CommandKind.CANCEL: self.cancel,
            CommandKind.REPLACE: self.replace,
            CommandKind.MASS_CANCEL: self.mass_cancel,
            CommandKind.TIME: self.time,
            CommandKind.PHASE: self.phase,
            CommandKind.INSTRUMENT: self.instrument,
            CommandKind.ACCOUNT: self.account,
            CommandKind.LIMIT: self.limit,
            CommandKind.DEPOSIT: self.deposit,
            CommandKind.WITHDRAW: self.withdraw,
            CommandKind.MARK: self.mark,
            CommandKind.MARGIN: self.margin,
            CommandKind.BUST: self.bust,
        }
        rule = rules.get(c.kind)
        return rule(c) if rule else Reason.REJECT_UNSUPPORTED

    # ---- NEW ----

    def new(self, c: Command) -> int:
        """N1..N16."""
        reason = self.parties_reason(c)
        if reason:
            return reason
        symbol, account = self.symbols[c.symbol], self.accounts[c.account]
        reason = self.party_reason(account, c) or self.form_reason(symbol, c) or self.values_reason(symbol, c)
        reason = reason or self.new_phase_reason(symbol, c)
        if reason:
            return reason
        price = self.price_of(symbol, c)
        reason, closing = self.new_limits_reason(symbol, account, c, price), False
        if not reason:
            closing, reason = self.future_reason(symbol, account, c.side, c.qty_lots)
        if not reason:
            price, reason = self.priced_reason(symbol, account, c, price, closing)
        if not reason and not symbol.free_slots:
            reason = Reason.REJECT_BOOK_FULL
        reason = reason or self.new_room_reason(symbol, c, price)
        if reason:
            return reason
        self.begin(symbol)
        order = self.order_of(symbol, c, price, closing)
        self.report(EventKind.ACCEPTED, 0, order, c.flags, price=order.event_price, qty=c.qty_lots, leaves=c.qty_lots,
                    aux=c.aux)  # fmt: skip
        self.count_message(account, c)
        self.remember(account, c)
        self.enter(symbol, account, order, price, 0 if c.tif == Tif.GTD else c.aux)
        self.run_stops(symbol)
        return Reason.NONE

    def party_reason(self, account: Account, c: Command) -> int:
        """N1's second half."""
        return Reason.REJECT_ACCOUNT_FROZEN if account.frozen else self.killed_reason(account, c.session)

    def form_reason(self, symbol: Symbol | None, c: Command | Order) -> int:
        """N2, N3; a market order in a future, when it comes, is not one that must be filled at once (F5)."""
        future_market = symbol is not None and symbol.future is not None and c.ord_type == OrdType.MARKET
        if c.side not in (Side.BUY, Side.SELL):
            return Reason.REJECT_BAD_SIDE
        if c.ord_type not in TIFS:
            return Reason.REJECT_BAD_ORD_TYPE
        if c.tif not in TIFS[OrdType(c.ord_type)] or (future_market and c.tif == Tif.FOK):
            return Reason.REJECT_BAD_TIF
        post_only, all_or_none = c.flags & CommandFlag.POST_ONLY, c.flags & CommandFlag.ALL_OR_NONE
        good = (
            not c.flags & ~FLAGS_OF_NEW
            and c.flags >> FLAG_SMP_SHIFT <= max(Smp)
            and (not post_only or (c.ord_type == OrdType.LIMIT and c.tif in RESTING_TIFS))
            and (not c.flags & CommandFlag.SLIDE or post_only)
            and (not all_or_none or c.ord_type in (OrdType.LIMIT, OrdType.MARKET))
            and (not all_or_none or (c.tif not in AUCTION_TIFS and not post_only and not future_market))
        )
        return Reason.NONE if good else Reason.REJECT_BAD_FLAGS

    def values_reason(self, symbol: Symbol, c: Command) -> int:
        """N4, N5."""
        if not 1 <= c.qty_lots <= QTY_LOTS_MAX:
            return Reason.REJECT_BAD_QTY
        if c.ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT) and not symbol.terms.contains(c.price_ticks):
            return Reason.REJECT_PRICE_OUT_OF_COLLAR
        if c.ord_type in STOPS:
            if not symbol.terms.contains(c.order_id):
                return Reason.REJECT_BAD_STOP
        elif c.order_id:
            may_hide = c.ord_type == OrdType.LIMIT and c.tif in (*RESTING_TIFS, *AUCTION_TIFS)
            if not may_hide or not c.order_id <= c.qty_lots <= c.order_id * ICEBERG_TRANCHES_MAX:
                return Reason.REJECT_BAD_DISPLAY
        if c.tif == Tif.GTD:
            return Reason.NONE if c.aux > c.time_ns else Reason.REJECT_BAD_EXPIRY
        may_ask = c.ord_type in (OrdType.LIMIT, OrdType.MARKET) and c.tif not in AUCTION_TIFS
        may_ask = may_ask and (symbol.future is None or c.ord_type == OrdType.LIMIT)
        if c.aux > c.qty_lots or (c.aux and not may_ask):
            return Reason.REJECT_BAD_MIN_QTY
        return Reason.NONE

    def new_phase_reason(self, symbol: Symbol, c: Command) -> int:
        """N6: P1..P3."""
        at_once = (
            c.tif in (Tif.IOC, Tif.FOK)
            or bool(c.flags & (CommandFlag.POST_ONLY | CommandFlag.ALL_OR_NONE))
            or (c.aux > 0 and c.tif != Tif.GTD)
        )
        bad = (
            symbol.phase in (Phase.CLOSED, Phase.HALT)
            or (symbol.is_call and at_once)
            or (c.tif == Tif.AT_OPEN and symbol.phase != Phase.PRE_OPEN)
        )
        return Reason.REJECT_BAD_PHASE if bad else Reason.NONE

    def price_of(self, symbol: Symbol, c: Command) -> int | None:
        """N8: the price that the order starts from; None when it has none."""
        if c.ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT):
            return c.price_ticks
        if c.ord_type == OrdType.STOP:
            return None
        if symbol.is_call or c.tif == Tif.AT_CLOSE:
            return symbol.collar_end(c.side)
        return symbol.best(opposite(c.side)) if c.ord_type == OrdType.MARKET_TO_LIMIT else None

    def priced_reason(self, symbol: Symbol, account: Account, c: Command, price: int | None,
                      closing: bool) -> tuple[int | None, int]:  # fmt: skip
        """N8: the order's price after a slide, and why it is refused."""
        reason = self.notional_reason(symbol, account, price, c.qty_lots)
        if reason:
            return price, reason
        if c.flags & CommandFlag.POST_ONLY and symbol.crosses(c.side, price):
            price = self.slid_price(symbol, account, c)
            if price is None:
                return price, Reason.REJECT_POST_ONLY_WOULD_CROSS
        needed = symbol.hold(c.side, price, c.qty_lots, account.taker_bp, closing)
        return price, self.funds_reason(symbol, account, c.side, needed, 0)

    def notional_reason(self, symbol: Symbol, account: Account, price: int | None, lots: int) -> int:
        too_large = price is not None and symbol.cost(price, lots, account.taker_bp) > AMOUNT_MAX
        if too_large or lots * symbol.terms.lot_size > AMOUNT_MAX:
            return Reason.REJECT_NOTIONAL_TOO_LARGE
        return Reason.NONE

    def slid_price(self, symbol: Symbol, account: Account, c: Command) -> int | None:
        """One tick behind the other side's best; None when the order may not or cannot slide."""
        best = symbol.best(opposite(c.side))
        if not c.flags & CommandFlag.SLIDE or best is None:
            return None
        price = best - 1 if c.side == Side.BUY else best + 1
        too_large = symbol.cost(price, c.qty_lots, account.taker_bp) > AMOUNT_MAX
        return price if symbol.terms.contains(price) and not too_large else None

    def funds_reason(self, symbol: Symbol, account: Account, side: int, needed: int, released: int) -> int:
        """What it will hold must be available, and with LIMIT_GROSS stay within that (N8, F5)."""
        position = account.positions[symbol.hold_asset(side)]
        if not position.affords(needed, released):
            return Reason.REJECT_INSUFFICIENT_FUNDS
        if position.gross_max and position.hold - released + needed > position.gross_max:
            return Reason.REJECT_EXPOSURE
        return self.venue_reason(symbol)

    def new_room_reason(self, symbol: Symbol, c: Command, price: int | None) -> int:
        """W4."""
        room = True
        if c.ord_type in STOPS:
            due = symbol.due_now(c.side, c.order_id)
            room = due or symbol.has_room(c.side, True, c.order_id)
        elif price is not None and c.tif not in (Tif.IOC, Tif.FOK) and not self.will_be_dormant(symbol, c):
            room = symbol.has_room(c.side, False, price)
        return Reason.NONE if room else Reason.REJECT_PAGES_FULL

    @staticmethod
    def will_be_dormant(symbol: Symbol, c: Command | Order) -> bool:
        """N11."""
        return c.tif == Tif.AT_CLOSE and symbol.phase != Phase.CLOSE_CALL

    def order_of(self, symbol: Symbol, c: Command, price: int | None, closing: bool) -> Order:
        stop = c.ord_type in STOPS
        display = 0 if stop or c.order_id == c.qty_lots else c.order_id
        market = c.ord_type in (OrdType.MARKET, OrdType.MARKET_TO_LIMIT)
        return Order(
            order_id=c.seq << 24 | symbol.free_slots[0],
            side=c.side,
            price_ticks=price or 0,
            leaves=c.qty_lots,
            cum=0,
            account=c.account,
            session=c.session,
            ord_type=c.ord_type,
            tif=c.tif,
            flags=c.flags,
            display=display,
            stop_ticks=c.order_id if stop else 0,
            expiry_ns=c.aux if c.tif == Tif.GTD else 0,
            unpriced=market and (symbol.is_call or c.tif == Tif.AT_CLOSE),
            future=symbol.future is not None,
            closing=closing,
            wide=symbol.wide,
        )

    def enter(self, symbol: Symbol, account: Account, order: Order, price: int | None, min_qty: int) -> None:
        """N10..N15."""
        if order.ord_type in STOPS:
            self.await_stop(symbol, account, order)
        elif self.will_be_dormant(symbol, order):
            order.dormant = True
            self.open(symbol, account, order)
            self.rest(symbol, account, order)
        elif symbol.is_call:
            self.open(symbol, account, order)
            self.rest(symbol, account, order)
        elif order.ord_type == OrdType.MARKET_TO_LIMIT and price is None:
            self.report(EventKind.CANCELLED, Reason.CANCEL_NO_PRICE, order, qty=order.leaves)
        else:
            limit = None if order.ord_type == OrdType.MARKET else price
            reason = self.at_once_reason(symbol, account, order, limit, min_qty)
            self.aggress(symbol, account, order, limit, reason)

    def await_stop(self, symbol: Symbol, account: Account, order: Order) -> None:
        """N10, S1."""
        if symbol.due_now(order.side, order.stop_ticks):
            self.trigger(symbol, order)
            return
        order.waiting = True
        self.open(symbol, account, order)
        self.rest(symbol, account, order)

    # ---- CANCEL, REPLACE ----

    def target(self, symbol: Symbol, c: Command) -> Order | None:
        """The command's order: open in this symbol under that very id, and of the command's account."""
        order = symbol.orders.get(c.order_id & 0xFFFFFF)
        if order is None or order.order_id != c.order_id or order.account != c.account:
            return None
        return order

    def cancel(self, c: Command) -> int:
        reason = self.parties_reason(c)
        if reason:
            return reason
        order = self.target(self.symbols[c.symbol], c)
        if order is None:
            return Reason.REJECT_UNKNOWN_ORDER
        self.end(self.symbols[c.symbol], order, EventKind.CANCELLED, Reason.NONE)
        return Reason.NONE

    def replace(self, c: Command) -> int:
        """R1..R4."""
        reason = self.parties_reason(c)
        if reason:
            return reason
        symbol, account = self.symbols[c.symbol], self.accounts[c.account]
        reason = self.party_reason(account, c)
        if reason:
            return reason
        order = self.target(symbol, c)
        if order is None:
            return Reason.REJECT_UNKNOWN_ORDER
        has_price = order.ord_type != OrdType.STOP and not order.unpriced
        price = c.price_ticks if has_price else order.price_ticks
        stop = c.aux if order.waiting and c.aux else order.stop_ticks
        leaves = c.qty_lots - order.cum
        reason, closing = self.replace_reason(symbol, account, order, c, price, stop), False
        if not reason:
            closing, reason = self.future_reason(symbol, account, order.side, leaves, order)
        reason = reason or self.replace_terms_reason(symbol, account, order, price, leaves, closing)
        reason = reason or self.replace_room_reason(symbol, order, price, stop)
        if reason:
            return reason
        kept = price == order.price_ticks and stop == order.stop_ticks and leaves <= order.leaves
        old_price, order.price_ticks = order.price_ticks, price
        self.report(EventKind.REPLACED, 0, order, EventFlag.PRIORITY_KEPT if kept else 0, price=order.event_price,
                    qty=c.qty_lots, leaves=leaves)  # fmt: skip
        order.price_ticks = old_price
        self.count_message(account, c)
        self.begin(symbol)
        if kept:
            self.reduce_hidden_first(symbol, account, order, leaves, closing)
        else:
            self.reenter(symbol, account, order, price, stop, leaves, closing)
        self.run_stops(symbol)
        return Reason.NONE

    def replace_reason(self, symbol: Symbol, account: Account, order: Order, c: Command, price: int,
                       stop: int) -> int:  # fmt: skip
        """R1 after the order was found, up to the limits."""
        if symbol.phase in (Phase.CLOSED, Phase.HALT):
            return Reason.REJECT_BAD_PHASE
        if not 1 <= c.qty_lots <= QTY_LOTS_MAX:
            return Reason.REJECT_BAD_QTY
        if c.qty_lots <= order.cum:
            return Reason.REJECT_QTY_BELOW_FILLED
        waiting_stop = self.waits_without_price(order)
        if not waiting_stop and not symbol.terms.contains(price):
            return Reason.REJECT_PRICE_OUT_OF_COLLAR
        if not symbol.terms.contains(stop) and order.waiting:
            return Reason.REJECT_BAD_STOP
        leaves = c.qty_lots - order.cum
        if order.display and order.display * ICEBERG_TRANCHES_MAX < leaves:
            return Reason.REJECT_BAD_DISPLAY
        return self.replace_limits_reason(symbol, account, c, None if waiting_stop else price, leaves)

    @staticmethod
    def waits_without_price(order: Order) -> bool:
        return order.waiting and order.ord_type == OrdType.STOP

    def replace_terms_reason(self, symbol: Symbol, account: Account, order: Order, price: int, leaves: int,
                             closing: bool) -> int:  # fmt: skip
        """R1's part of N8."""
        at = None if self.waits_without_price(order) else price
        reason = self.notional_reason(symbol, account, at, leaves)
        if reason:
            return reason
        in_book = not order.waiting and not order.dormant
        post_only = order.flags & CommandFlag.POST_ONLY and in_book and symbol.phase == Phase.CONTINUOUS
        if post_only and symbol.crosses(order.side, price):
            return Reason.REJECT_POST_ONLY_WOULD_CROSS
        needed = symbol.hold(order.side, at, leaves, account.taker_bp, closing)
        return self.funds_reason(symbol, account, order.side, needed, symbol.hold_of(order, account.taker_bp))

    def replace_room_reason(self, symbol: Symbol, order: Order, price: int, stop: int) -> int:
        """W5."""
        room = True
        if order.waiting:
            room = symbol.due_now(order.side, stop) or symbol.has_room(order.side, True, stop, order)
        elif not order.dormant:
            room = symbol.has_room(order.side, False, price, order)
        return Reason.NONE if room else Reason.REJECT_PAGES_FULL

    def reduce_hidden_first(self, symbol: Symbol, account: Account, order: Order, leaves: int, closing: bool) -> None:
        """R2."""
        hidden = max(0, order.hidden - (order.leaves - leaves))
        self.release(symbol, account, order)
        order.leaves, order.shown, order.closing = leaves, leaves - hidden, closing
        self.hold(symbol, account, order)

    def reenter(self, symbol: Symbol, account: Account, order: Order, price: int, stop: int, leaves: int,
                closing: bool) -> None:  # fmt: skip
        """R3."""
        self.take_off(symbol, account, order)
        order.price_ticks, order.stop_ticks, order.leaves, order.closing = price, stop, leaves, closing
        if order.waiting:
            order.waiting = False
            if symbol.due_now(order.side, stop):
                self.rest_silently(symbol, account, order)
                self.trigger(symbol, order)
                return
            order.waiting = True
            self.rest(symbol, account, order)
        elif order.dormant or symbol.is_call:
            self.rest(symbol, account, order)
        else:
            self.aggress(symbol, account, order, price, Reason.NONE)

    def rest_silently(self, symbol: Symbol, account: Account, order: Order) -> None:
        """A stop that is due at once: it holds until it is triggered, which gives that back."""
        order.waiting = True
        self.hold(symbol, account, order)

    # ---- MASS_CANCEL, TIME ----

    def mass_cancel(self, c: Command) -> int:
        """M1: the account's orders in one symbol: all, of one side, or of one session."""
        reason = self.parties_reason(c)
        if reason:
            return reason
        if c.side not in (Side.NONE, Side.BUY, Side.SELL):
            return Reason.REJECT_BAD_SIDE
        if c.flags not in (0, CommandFlag.BY_SESSION):
            return Reason.REJECT_BAD_FLAGS
        symbol, count = self.symbols[c.symbol], 0
        for order in list(symbol.walk_all()):
            mine = order.account == c.account and (not c.flags or order.session == c.session)
            if mine and c.side in (Side.NONE, order.side):
                self.end(symbol, order, EventKind.CANCELLED, Reason.CANCEL_MASS)
                count += 1
        self.answer(EventKind.MASS_CANCELLED, qty=count)
        return Reason.NONE

    def time(self, c: Command) -> int:
        """M2."""
        flags = CommandFlag(c.flags & 7)
        if c.flags > 7:
            return Reason.REJECT_BAD_FLAGS
        count = 0
        if c.flags:
            if c.symbol >= self.symbol_count:
                return Reason.REJECT_UNKNOWN_SYMBOL
            symbol = self.touch_symbol(c.symbol)
            for order in list(symbol.walk_all()):
                day = flags & CommandFlag.TIME_CLOSE and order.tif == Tif.DAY
                due = flags & CommandFlag.TIME_EXPIRE and order.tif == Tif.GTD and order.expiry_ns <= c.time_ns
                if day or due:
                    self.end(symbol, order, EventKind.EXPIRED, Reason.NONE)
                    count += 1
            if flags & CommandFlag.TIME_INDICATIVE and symbol.is_call:
                found = indicative(symbol)
                self.emit(EventKind.INDICATIVE, 0, found.surplus_side, 0, (0, 0, 0), price=found.price_ticks,
                          qty=found.qty_lots, leaves=found.surplus_lots)  # fmt: skip
        self.answer(EventKind.CLOCK, qty=count)
        return Reason.NONE

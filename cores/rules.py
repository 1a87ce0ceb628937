"""The rules of the core in plain Python: their specification, and with reference.py the oracle of its tests.

Why: a reader should be able to check a rule without reading C, and a second implementation finds what tests of one
cannot. It gives the same events, slots and snapshots as the C core, byte for byte. It must never be clever: where a
rule can be written as the sentence that describes it, it is.

The rules in one place:

* A command is numbered and timed by the sequencer; a wrong number or a time that goes backwards is no rule of the
  market but a broken journal, and stops the core (SequenceError).
* A command is checked in full before anything changes; the first rule that it breaks is its reject reason.
* Price-time priority. Trades happen at the resting order's price.
* An order's id is its command's number and the lowest free slot of its symbol; a replaced order keeps its id.
* Money never appears: fees move to account 0, balances of an asset sum to what was deposited less what was withdrawn.
* Open orders hold what they may cost at most: a buy its notional and the taker fee on it, a sell its base units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sortedcontainers import SortedDict, SortedList

from cores.records import (
    AMOUNT_MAX,
    FEE_BP_MAX,
    ORDER_SLOT_NONE,
    PRICE_TICKS_MAX,
    QTY_LOTS_MAX,
    CommandFlag,
    CommandKind,
    CoreConfig,
    EventFlag,
    EventKind,
    MissingError,
    OrdType,
    Reason,
    Side,
    Tif,
)


class Command(NamedTuple):
    """One record of dtype COMMAND as Python integers."""

    kind: int
    side: int
    ord_type: int
    tif: int
    flags: int
    precheck: int
    symbol: int
    seq: int
    time_ns: int
    account: int
    session: int
    asset: int
    order_id: int
    price_ticks: int
    qty_lots: int
    aux: int


@dataclass
class Position:
    """What an account has in one asset. Available is balance + credit - hold and is never negative."""

    balance: int = 0
    hold: int = 0
    credit: int = 0

    @property
    def available(self) -> int:
        return self.balance + self.credit - self.hold


@dataclass
class Account:
    number: int
    positions: list[Position]
    flags: int = 0
    maker_bp: int = 0
    taker_bp: int = 0

    @property
    def frozen(self) -> bool:
        return bool(self.flags & CommandFlag.ACCOUNT_FROZEN)


@dataclass
class Order:
    """An open order, or one on its way into the book."""

    order_id: int
    side: int
    price_ticks: int
    leaves: int
    cum: int
    account: int
    session: int
    ord_type: int = OrdType.LIMIT
    tif: int = Tif.DAY
    flags: int = 0

    @property
    def slot(self) -> int:
        return self.order_id & ORDER_SLOT_NONE

    @property
    def facts(self) -> int:
        return self.side | self.ord_type << 8 | self.tif << 16 | self.flags << 24


@dataclass
class Terms:
    """Of an instrument: lot_size base units a lot, tick_value quote units for one lot at one tick."""

    base: int
    quote: int
    lot_size: int
    tick_value: int
    min_ticks: int
    max_ticks: int


@dataclass
class Symbol:
    """An instrument and its book: per side, levels by price, each a queue in order of arrival."""

    number: int
    terms: Terms
    free_slots: SortedList
    orders: dict[int, Order] = field(default_factory=dict)
    bids: SortedDict = field(default_factory=lambda: SortedDict(lambda price: -price))
    asks: SortedDict = field(default_factory=SortedDict)

    def levels(self, side: int) -> SortedDict:
        return self.bids if side == Side.BUY else self.asks

    def best(self, side: int) -> int | None:
        levels = self.levels(side)
        return levels.peekitem(0)[0] if levels else None

    def walk(self, side: int) -> Iterator[Order]:
        """A side's orders, best price first, first in first within a price."""
        for queue in list(self.levels(side).values()):
            yield from list(queue.values())

    def append(self, order: Order) -> None:
        self.levels(order.side).setdefault(order.price_ticks, {})[order.slot] = order

    def unlink(self, order: Order) -> None:
        levels = self.levels(order.side)
        del levels[order.price_ticks][order.slot]
        if not levels[order.price_ticks]:
            del levels[order.price_ticks]

    def forget(self, order: Order) -> None:
        del self.orders[order.slot]
        self.free_slots.add(order.slot)

    def crosses(self, side: int, price: int | None) -> bool:
        """Whether an order of this side and limit (None: market) may trade with the other side's best."""
        other = self.best(opposite(side))
        if other is None:
            return False
        return price is None or (other <= price if side == Side.BUY else other >= price)

    def notional(self, price: int, lots: int) -> int:
        return price * lots * self.terms.tick_value

    def hold(self, side: int, price: int, leaves: int, taker_bp: int) -> int:
        """What an open order needs at most: a sell its base units, a buy its notional and the higher fee on it."""
        if side == Side.SELL:
            return leaves * self.terms.lot_size
        notional = self.notional(price, leaves)
        return notional + fee(notional, taker_bp)

    def hold_asset(self, side: int) -> int:
        return self.terms.base if side == Side.SELL else self.terms.quote


def opposite(side: int) -> int:
    return Side.SELL if side == Side.BUY else Side.BUY


def fee(notional: int, bp: int) -> int:
    """Rounded down, in the member's favour; so the fees of an order's fills never exceed the fee in its hold."""
    return notional * bp // 10000


class Book:
    """State and rules of the core, one command at a time; `reference.Core` gives it the interface of the binding."""

    def __init__(self, config: CoreConfig, partial: tuple[int, int] | None = None) -> None:
        self.config = config
        self.room = partial or (config.symbols, config.accounts)
        self.partial = partial is not None
        self.last_seq = 0
        self.last_time_ns = 0
        self.symbol_count = 0
        self.account_count = 0
        self.symbols: dict[int, Symbol] = {}
        self.accounts: dict[int, Account] = {}
        self.supply = [0] * config.assets
        self.credit = [0] * config.assets
        self.touched_symbols: set[int] = set()
        self.touched_accounts: set[int] = set()
        self.events: list[tuple[int, ...]] = []
        if not self.partial:
            self.account_create(0)
            self.account_count = 1

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
            CommandKind.INSTRUMENT: self.instrument,
            CommandKind.ACCOUNT: self.account,
            CommandKind.LIMIT: self.limit,
            CommandKind.DEPOSIT: self.deposit,
            CommandKind.WITHDRAW: self.withdraw,
        }
        rule = rules.get(c.kind)
        return rule(c) if rule else Reason.REJECT_UNSUPPORTED

    def emit(self, kind: int, reason: int, side: int, flags: int, owner: tuple[int, int, int], order_id: int = 0,
             price: int = 0, qty: int = 0, leaves: int = 0, aux: int = 0) -> None:  # fmt: skip
        exec_id = self.command.seq << 24 | len(self.events)
        self.events.append((kind, reason, side, flags, 0, self.command.symbol, exec_id, *owner, order_id, price, qty,
                            leaves & 0xFFFFFFFFFFFFFFFF, aux))  # fmt: skip

    def answer(self, kind: int, reason: int = 0, **fields: int) -> None:
        """An event about the command itself: side, flags, symbol and owner are the command's."""
        c = self.command
        self.emit(kind, reason, c.side, c.flags, (c.account, c.session, c.asset), **fields)

    def report(self, kind: int, reason: int, order: Order, flags: int = 0, **fields: int) -> None:
        """An event about an order: side and owner are the order's."""
        owner = (order.account, order.session, 0)
        self.emit(kind, reason, order.side, flags, owner, order_id=order.order_id, **fields)

    def refuse(self, c: Command, reason: int) -> None:
        """One event per refused command; a refused NEW still gets an order id, in no slot."""
        kind, order_id = EventKind.COMMAND_REJECTED, c.order_id
        if c.kind == CommandKind.NEW:
            kind, order_id = EventKind.REJECTED, c.seq << 24 | ORDER_SLOT_NONE
        elif c.kind in (CommandKind.CANCEL, CommandKind.REPLACE):
            kind = EventKind.CANCEL_REJECTED
        self.answer(kind, reason, order_id=order_id, price=c.price_ticks, qty=c.qty_lots, aux=c.aux)

    # ---- who is concerned ----

    def touch_symbol(self, number: int) -> Symbol:
        if number not in self.symbols:
            raise MissingError(f"symbol {number} is not in this partial core")
        self.touched_symbols.add(number)
        return self.symbols[number]

    def touch_account(self, number: int) -> Account:
        if number not in self.accounts:
            raise MissingError(f"account {number} is not in this partial core")
        self.touched_accounts.add(number)
        return self.accounts[number]

    def parties_reason(self, c: Command) -> int:
        """Symbol first, then account."""
        if c.symbol >= self.symbol_count:
            return Reason.REJECT_UNKNOWN_SYMBOL
        self.touch_symbol(c.symbol)
        if c.account >= self.account_count:
            return Reason.REJECT_UNKNOWN_ACCOUNT
        self.touch_account(c.account)
        return Reason.NONE

    # ---- NEW ----

    def new(self, c: Command) -> int:
        """ACCEPTED, then the fills, then CANCELLED for a remainder that may not rest."""
        reason = self.parties_reason(c)
        if reason:
            return reason
        symbol, account = self.symbols[c.symbol], self.accounts[c.account]
        reason = Reason.REJECT_ACCOUNT_FROZEN if account.frozen else self.form_reason(c)
        reason = reason or self.terms_reason(symbol, account, c)
        if reason:
            return reason
        if not symbol.free_slots:
            return Reason.REJECT_BOOK_FULL
        market = c.ord_type == OrdType.MARKET
        limit = None if market else c.price_ticks
        order = Order(c.seq << 24 | symbol.free_slots[0], c.side, limit or 0, c.qty_lots, 0, c.account, c.session,
                      c.ord_type, c.tif, c.flags)  # fmt: skip
        self.report(EventKind.ACCEPTED, 0, order, c.flags, price=order.price_ticks, qty=c.qty_lots, leaves=c.qty_lots,
                    aux=c.aux)  # fmt: skip
        reason = self.at_once_reason(symbol, account, order, limit, c.aux)
        reason = reason or self.match(symbol, account, order, limit)
        if order.leaves == 0:
            return Reason.NONE
        if not reason and (market or c.tif in (Tif.IOC, Tif.FOK)):
            reason = Reason.CANCEL_IOC
        if reason:
            self.report(EventKind.CANCELLED, reason, order, price=order.price_ticks, qty=order.leaves)
        else:
            symbol.free_slots.remove(order.slot)
            symbol.orders[order.slot] = order
            self.rest(symbol, account, order)
        return Reason.NONE

    def form_reason(self, c: Command) -> int:
        """The rules on an order's own fields, but for its price."""
        market = c.ord_type == OrdType.MARKET
        tifs = {Tif.DAY, Tif.IOC, Tif.FOK} if market else {Tif.DAY, Tif.GTC, Tif.IOC, Tif.FOK}
        if c.side not in (Side.BUY, Side.SELL):
            return Reason.REJECT_BAD_SIDE
        if c.ord_type not in (OrdType.MARKET, OrdType.LIMIT):
            return Reason.REJECT_BAD_ORD_TYPE
        if c.tif not in tifs:
            return Reason.REJECT_BAD_TIF
        may_rest = not market and c.tif in (Tif.DAY, Tif.GTC)
        if c.flags not in ((0, CommandFlag.POST_ONLY) if may_rest else (0,)):
            return Reason.REJECT_BAD_FLAGS
        if not 1 <= c.qty_lots <= QTY_LOTS_MAX:
            return Reason.REJECT_BAD_QTY
        return Reason.NONE

    def terms_reason(self, symbol: Symbol, account: Account, c: Command) -> int:
        """Collar, MinQty, notional, post-only and funds. A market order has no price to look at."""
        terms = symbol.terms
        if c.ord_type == OrdType.LIMIT and not terms.min_ticks <= c.price_ticks <= terms.max_ticks:
            return Reason.REJECT_PRICE_OUT_OF_COLLAR
        if c.aux > c.qty_lots:
            return Reason.REJECT_BAD_MIN_QTY
        if c.ord_type == OrdType.LIMIT:
            return self.limit_terms_reason(symbol, account, c.side, c.price_ticks, c.qty_lots, 0, c.flags)
        base_units = c.qty_lots * terms.lot_size
        if base_units > AMOUNT_MAX:
            return Reason.REJECT_NOTIONAL_TOO_LARGE
        if c.side == Side.SELL and base_units > account.positions[terms.base].available:
            return Reason.REJECT_INSUFFICIENT_FUNDS
        return Reason.NONE

    def limit_terms_reason(self, symbol: Symbol, account: Account, side: int, price: int, lots: int, released: int,
                           flags: int) -> int:  # fmt: skip
        """For a NEW, and for a REPLACE that gives back the `released` hold of its order first."""
        cost = symbol.hold(Side.BUY, price, lots, account.taker_bp)
        if cost > AMOUNT_MAX or lots * symbol.terms.lot_size > AMOUNT_MAX:
            return Reason.REJECT_NOTIONAL_TOO_LARGE
        if flags & CommandFlag.POST_ONLY and symbol.crosses(side, price):
            return Reason.REJECT_POST_ONLY_WOULD_CROSS
        needed = symbol.hold(side, price, lots, account.taker_bp)
        if needed > account.positions[symbol.hold_asset(side)].available + released:
            return Reason.REJECT_INSUFFICIENT_FUNDS
        return Reason.NONE

    def at_once_reason(self, symbol: Symbol, account: Account, order: Order, limit: int | None, min_qty: int) -> int:
        """A FOK must fill in full at once, MinQty at least so much; otherwise nothing trades."""
        fok = order.tif == Tif.FOK
        need = order.leaves if fok else min_qty
        if need == 0 or self.fillable(symbol, account, order, limit) >= need:
            return Reason.NONE
        return Reason.CANCEL_FOK if fok else Reason.CANCEL_MIN_QTY

    def fillable(self, symbol: Symbol, account: Account, order: Order, limit: int | None) -> int:
        """Lots that would trade now. A market buy also stops where it cannot pay for a fill in full."""
        lots, quote = 0, symbol.terms.quote
        available = account.positions[quote].available
        for resting in symbol.walk(opposite(order.side)):
            worse = limit is not None and (
                resting.price_ticks > limit if order.side == Side.BUY else resting.price_ticks < limit
            )
            if worse or lots == order.leaves:
                break
            fill = min(resting.leaves, order.leaves - lots)
            if order.ord_type == OrdType.MARKET and order.side == Side.BUY:
                notional = symbol.notional(resting.price_ticks, fill)
                taker_fee = fee(notional, account.taker_bp)
                if notional + taker_fee > available:
                    break
                available -= notional + taker_fee
                if resting.account == account.number:
                    available += notional - fee(notional, account.maker_bp)
            lots += fill
        return lots

    # ---- matching ----

    def match(self, symbol: Symbol, account: Account, order: Order, limit: int | None) -> int:
        """Trades until done or out of reach; the fees of all its fills then go to account 0."""
        income, reason = self.fill_all(symbol, account, order, limit)
        if income:
            self.touch_account(0).positions[symbol.terms.quote].balance += income
        return reason

    def fill_all(self, symbol: Symbol, account: Account, order: Order, limit: int | None) -> tuple[int, int]:
        """Best price first, first in first, at the resting order's price; the fees paid, and why it ended early."""
        income = 0
        market_buy = order.ord_type == OrdType.MARKET and order.side == Side.BUY
        while order.leaves and symbol.crosses(order.side, limit):
            queue = symbol.levels(opposite(order.side)).peekitem(0)[1]
            resting: Order = next(iter(queue.values()))
            lots = min(resting.leaves, order.leaves)
            notional = symbol.notional(resting.price_ticks, lots)
            cost = notional + fee(notional, account.taker_bp)
            if market_buy and cost > account.positions[symbol.terms.quote].available:
                return income, Reason.CANCEL_FUNDS
            fees = self.settle(symbol, account, order, resting, lots)
            income += sum(fees)
            for party, flags, paid in ((resting, 0, fees[0]), (order, EventFlag.AGGRESSOR, fees[1])):
                party.leaves -= lots
                party.cum += lots
                self.report(EventKind.FILL, 0, party, flags, price=resting.price_ticks, qty=lots, leaves=party.leaves,
                            aux=paid)  # fmt: skip
            if resting.leaves == 0:
                symbol.unlink(resting)
                symbol.forget(resting)
        return income, Reason.NONE

    def settle(self, symbol: Symbol, taker: Account, order: Order, resting: Order, lots: int) -> tuple[int, int]:
        """Base to the buyer, quote to the seller; each pays its fee in quote, the buyer on top; returns the fees."""
        maker, terms = self.touch_account(resting.account), symbol.terms
        notional = symbol.notional(resting.price_ticks, lots)
        maker_fee, taker_fee = fee(notional, maker.maker_bp), fee(notional, taker.taker_bp)
        before = symbol.hold(resting.side, resting.price_ticks, resting.leaves, maker.taker_bp)
        after = symbol.hold(resting.side, resting.price_ticks, resting.leaves - lots, maker.taker_bp)
        maker.positions[symbol.hold_asset(resting.side)].hold -= before - after
        for party, paid, side in ((maker, maker_fee, resting.side), (taker, taker_fee, order.side)):
            sign = 1 if side == Side.BUY else -1
            party.positions[terms.base].balance += sign * lots * terms.lot_size
            party.positions[terms.quote].balance -= sign * notional + paid
        return maker_fee, taker_fee

    def rest(self, symbol: Symbol, account: Account, order: Order) -> None:
        """Into the book, behind the others at its price, with its hold."""
        symbol.append(order)
        hold = symbol.hold(order.side, order.price_ticks, order.leaves, account.taker_bp)
        account.positions[symbol.hold_asset(order.side)].hold += hold

    def take_off(self, symbol: Symbol, account: Account, order: Order) -> None:
        """Out of the book; its hold is available again."""
        symbol.unlink(order)
        hold = symbol.hold(order.side, order.price_ticks, order.leaves, account.taker_bp)
        account.positions[symbol.hold_asset(order.side)].hold -= hold

    # ---- CANCEL, REPLACE ----

    def target(self, symbol: Symbol, c: Command) -> Order | None:
        """The command's order: open in this symbol under that very id, and of the command's account."""
        order = symbol.orders.get(c.order_id & ORDER_SLOT_NONE)
        if order is None or order.order_id != c.order_id or order.account != c.account:
            return None
        return order

    def cancel(self, c: Command) -> int:
        reason = self.parties_reason(c)
        if reason:
            return reason
        symbol, account = self.symbols[c.symbol], self.accounts[c.account]
        order = self.target(symbol, c)
        if order is None:
            return Reason.REJECT_UNKNOWN_ORDER
        self.take_off(symbol, account, order)
        symbol.forget(order)
        self.report(EventKind.CANCELLED, 0, order, price=order.price_ticks, qty=order.leaves)
        return Reason.NONE

    def replace(self, c: Command) -> int:
        """At its price with no more quantity an order keeps its place; else it goes out and comes in as new."""
        reason = self.parties_reason(c)
        if reason:
            return reason
        symbol, account = self.symbols[c.symbol], self.accounts[c.account]
        if account.frozen:
            return Reason.REJECT_ACCOUNT_FROZEN
        order = self.target(symbol, c)
        if order is None:
            return Reason.REJECT_UNKNOWN_ORDER
        reason = self.replace_reason(symbol, account, order, c)
        if reason:
            return reason
        leaves = c.qty_lots - order.cum
        kept = c.price_ticks == order.price_ticks and leaves <= order.leaves
        self.report(EventKind.REPLACED, 0, order, EventFlag.PRIORITY_KEPT if kept else 0, price=c.price_ticks,
                    qty=c.qty_lots, leaves=leaves)  # fmt: skip
        if kept:
            position = account.positions[symbol.hold_asset(order.side)]
            position.hold -= symbol.hold(order.side, order.price_ticks, order.leaves, account.taker_bp)
            order.leaves = leaves
            position.hold += symbol.hold(order.side, order.price_ticks, order.leaves, account.taker_bp)
            return Reason.NONE
        self.take_off(symbol, account, order)
        order.price_ticks, order.leaves = c.price_ticks, leaves
        self.match(symbol, account, order, c.price_ticks)
        if order.leaves:
            self.rest(symbol, account, order)
        else:
            symbol.forget(order)
        return Reason.NONE

    def replace_reason(self, symbol: Symbol, account: Account, order: Order, c: Command) -> int:
        if not 1 <= c.qty_lots <= QTY_LOTS_MAX:
            return Reason.REJECT_BAD_QTY
        if c.qty_lots <= order.cum:
            return Reason.REJECT_QTY_BELOW_FILLED
        if not symbol.terms.min_ticks <= c.price_ticks <= symbol.terms.max_ticks:
            return Reason.REJECT_PRICE_OUT_OF_COLLAR
        released = symbol.hold(order.side, order.price_ticks, order.leaves, account.taker_bp)
        return self.limit_terms_reason(symbol, account, order.side, c.price_ticks, c.qty_lots - order.cum, released,
                                       order.flags)  # fmt: skip

    # ---- MASS_CANCEL, TIME ----

    def mass_cancel(self, c: Command) -> int:
        """The account's orders in one symbol: all, of one side, or of one session; bids first, best first."""
        reason = self.parties_reason(c)
        if reason:
            return reason
        if c.side not in (Side.NONE, Side.BUY, Side.SELL):
            return Reason.REJECT_BAD_SIDE
        if c.flags not in (0, CommandFlag.BY_SESSION):
            return Reason.REJECT_BAD_FLAGS
        symbol, count = self.symbols[c.symbol], 0
        for side in (Side.BUY, Side.SELL) if c.side == Side.NONE else (c.side,):
            for order in symbol.walk(side):
                if order.account != c.account or (c.flags and order.session != c.session):
                    continue
                self.take_off(symbol, self.accounts[c.account], order)
                symbol.forget(order)
                self.report(EventKind.CANCELLED, Reason.CANCEL_MASS, order, price=order.price_ticks, qty=order.leaves)
                count += 1
        self.answer(EventKind.MASS_CANCELLED, qty=count)
        return Reason.NONE

    def time(self, c: Command) -> int:
        """Only moves the clock; with TIME_CLOSE the Day orders of one symbol expire."""
        if c.flags not in (0, CommandFlag.TIME_CLOSE):
            return Reason.REJECT_BAD_FLAGS
        count = 0
        if c.flags:
            if c.symbol >= self.symbol_count:
                return Reason.REJECT_UNKNOWN_SYMBOL
            symbol = self.touch_symbol(c.symbol)
            for order in [order for side in (Side.BUY, Side.SELL) for order in symbol.walk(side)]:
                if order.tif != Tif.DAY:
                    continue
                self.take_off(symbol, self.touch_account(order.account), order)
                symbol.forget(order)
                self.report(EventKind.EXPIRED, 0, order, price=order.price_ticks, qty=order.leaves)
                count += 1
        self.answer(EventKind.CLOCK, qty=count)
        return Reason.NONE

    # ---- INSTRUMENT, ACCOUNT ----

    def instrument_reason(self, terms: Terms) -> int:
        if terms.base >= self.config.assets or terms.quote >= self.config.assets:
            return Reason.REJECT_BAD_ASSET
        valid = (
            terms.base != terms.quote
            and 1 <= terms.lot_size <= AMOUNT_MAX
            and 1 <= terms.tick_value <= AMOUNT_MAX
            and 1 <= terms.min_ticks <= terms.max_ticks <= PRICE_TICKS_MAX
            and terms.max_ticks - terms.min_ticks < self.config.levels
        )
        return Reason.NONE if valid else Reason.REJECT_BAD_INSTRUMENT

    def instrument(self, c: Command) -> int:
        """Creates the next number, or redefines one while its book is empty."""
        if c.symbol > self.symbol_count or c.symbol >= self.config.symbols:
            return Reason.REJECT_BAD_INSTRUMENT
        terms = Terms(c.account, c.session | c.asset << 16, c.order_id, c.aux, c.price_ticks, c.qty_lots)
        reason = self.instrument_reason(terms)
        if reason:
            return reason
        if c.symbol == self.symbol_count:
            self.symbol_create(c.symbol, terms)
            self.symbol_count += 1
        symbol = self.touch_symbol(c.symbol)
        if symbol.orders:
            return Reason.REJECT_BOOK_NOT_EMPTY
        symbol.terms = terms
        self.answer(
            EventKind.INSTRUMENT_SET, order_id=c.order_id, price=c.price_ticks, qty=c.qty_lots, aux=c.aux
        )  # fmt: skip
        return Reason.NONE

    def symbol_create(self, number: int, terms: Terms) -> Symbol:
        if len(self.symbols) == self.room[0]:
            raise MissingError(f"symbol {number}: no room for another symbol in this partial core")
        self.symbols[number] = Symbol(number, terms, SortedList(range(self.config.orders)))
        return self.symbols[number]

    def account_create(self, number: int) -> Account:
        if len(self.accounts) == self.room[1]:
            raise MissingError(f"account {number}: no room for another account in this partial core")
        self.accounts[number] = Account(number, [Position() for _ in range(self.config.assets)])
        return self.accounts[number]

    def account(self, c: Command) -> int:
        """Creates the next number, or changes one; not its fees while its open orders hold funds at the old ones."""
        maker_bp, taker_bp = c.aux & 0xFFFFFFFF, c.aux >> 32
        if c.account > self.account_count or c.account >= self.config.accounts:
            return Reason.REJECT_BAD_ACCOUNT
        if c.flags not in (0, CommandFlag.ACCOUNT_FROZEN):
            return Reason.REJECT_BAD_FLAGS
        if not maker_bp <= taker_bp <= FEE_BP_MAX:
            return Reason.REJECT_BAD_ACCOUNT
        if c.account == self.account_count:
            self.account_create(c.account)
            self.account_count += 1
        account = self.touch_account(c.account)
        changed = (maker_bp, taker_bp) != (account.maker_bp, account.taker_bp)
        if changed and any(position.hold for position in account.positions):
            return Reason.REJECT_BAD_ACCOUNT
        account.flags, account.maker_bp, account.taker_bp = c.flags, maker_bp, taker_bp
        self.answer(EventKind.ACCOUNT_SET, aux=c.aux)
        return Reason.NONE

    # ---- LIMIT, DEPOSIT, WITHDRAW ----

    def position_reason(self, c: Command) -> int:
        if c.account >= self.account_count:
            return Reason.REJECT_UNKNOWN_ACCOUNT
        if c.asset >= self.config.assets:
            return Reason.REJECT_BAD_ASSET
        self.touch_account(c.account)
        return Reason.NONE

    def limit(self, c: Command) -> int:
        """Supply and credit lines of an asset together stay within AMOUNT_MAX, so no balance can pass it."""
        reason = self.position_reason(c)
        if reason:
            return reason
        position = self.accounts[c.account].positions[c.asset]
        credit = self.credit[c.asset] - position.credit + c.qty_lots
        if c.qty_lots > AMOUNT_MAX or self.supply[c.asset] + credit > AMOUNT_MAX:
            return Reason.REJECT_BAD_AMOUNT
        if position.balance + c.qty_lots - position.hold < 0:
            return Reason.REJECT_BAD_AMOUNT
        self.credit[c.asset] = credit
        position.credit = c.qty_lots
        self.answer(EventKind.LIMIT_SET, qty=c.qty_lots)
        return Reason.NONE

    def deposit(self, c: Command) -> int:
        reason = self.position_reason(c)
        if reason:
            return reason
        total = self.supply[c.asset] + self.credit[c.asset] + c.qty_lots
        if c.qty_lots == 0 or total > AMOUNT_MAX:
            return Reason.REJECT_BAD_AMOUNT
        position = self.accounts[c.account].positions[c.asset]
        self.supply[c.asset] += c.qty_lots
        position.balance += c.qty_lots
        self.answer(EventKind.DEPOSITED, qty=c.qty_lots, leaves=position.balance)
        return Reason.NONE

    def withdraw(self, c: Command) -> int:
        """Own money only: never out of a credit line, nor what open orders hold, nor more than the venue has."""
        reason = self.position_reason(c)
        if reason:
            return reason
        position = self.accounts[c.account].positions[c.asset]
        if not 1 <= c.qty_lots <= AMOUNT_MAX:
            return Reason.REJECT_BAD_AMOUNT
        if c.aux >> 32:
            return Reason.REJECT_BAD_FLAGS
        if c.qty_lots > min(position.balance, position.available, self.supply[c.asset]):
            return Reason.REJECT_INSUFFICIENT_FUNDS
        self.supply[c.asset] -= c.qty_lots
        position.balance -= c.qty_lots
        self.answer(EventKind.WITHDRAWN, order_id=c.order_id, price=c.price_ticks, qty=c.qty_lots,
                    leaves=position.balance, aux=c.aux)  # fmt: skip
        return Reason.NONE

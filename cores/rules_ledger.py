"""The rules on accounts, money from outside and limits, and how events are written (spec/matching_rules.md, L1..L6).

Why: the lowest layer of the oracle. It knows no book.
"""

from __future__ import annotations

from sortedcontainers import SortedList

from cores.records import (
    ACCOUNT_KILLED,
    AMOUNT_MAX,
    COLLAR_BP_MAX,
    FEE_BP_MAX,
    FUTURE_ORDERS_MAX,
    KILLED_SESSIONS_MAX,
    MARGIN_BP_MAX,
    MESSAGES_SECOND_NS,
    ORDER_SLOT_NONE,
    POSITION_LOTS_MAX,
    QTY_LOTS_MAX,
    AssetUse,
    CommandFlag,
    CommandKind,
    CoreConfig,
    EventKind,
    Limit,
    MissingError,
    Phase,
    Reason,
    Smp,
)
from cores.rules_state import Account, Command, Contract, Future, Order, Position, Symbol, Terms

WORD = (1 << 64) - 1


def signed32(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def position_bound(terms: Terms, config: CoreConfig) -> int:
    """F2: most lots of a position."""
    if config.orders > FUTURE_ORDERS_MAX:
        return 0
    return min(POSITION_LOTS_MAX, AMOUNT_MAX // 1024 // config.accounts // (terms.max_ticks * terms.tick_value))


class Ledger:
    """Accounts, supplies, limits, instruments' terms. `command` is the one that is being applied."""

    command: Command

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
        self.uses = [int(AssetUse.UNUSED)] * config.assets
        self.killed_sessions: set[int] = set()
        self.touched_symbols: set[int] = set()
        self.touched_accounts: set[int] = set()
        self.events: list[tuple[int, ...]] = []
        if not self.partial:
            self.account_create(0)
            self.account_count = 1

    # ---- events ----

    def emit(self, kind: int, reason: int, side: int, flags: int, owner: tuple[int, int, int], order_id: int = 0,
             price: int = 0, qty: int = 0, leaves: int = 0, aux: int = 0) -> None:  # fmt: skip
        exec_id = self.command.seq << 24 | len(self.events)
        words = (order_id & WORD, price, qty & WORD, leaves & WORD, aux & WORD)
        self.events.append((kind, reason, side, flags, 0, self.command.symbol, exec_id, *owner, *words))

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

    def symbol_create(self, number: int, terms: Terms) -> Symbol:
        if len(self.symbols) == self.room[0]:
            raise MissingError(f"symbol {number}: no room for another symbol in this partial core")
        self.symbols[number] = Symbol(number, terms, SortedList(range(self.config.orders)), self.config.levels)
        return self.symbols[number]

    def account_create(self, number: int) -> Account:
        if len(self.accounts) == self.room[1]:
            raise MissingError(f"account {number}: no room for another account in this partial core")
        positions = [Position() for _ in range(self.config.assets)]
        contracts = [Contract() for _ in range(self.config.assets)]
        self.accounts[number] = Account(number, positions, contracts, member=number)
        return self.accounts[number]

    # ---- rules on orders that come from limits ----

    def killed_reason(self, account: Account, session: int) -> int:
        """N1: the session first, then the member."""
        if session in self.killed_sessions or self.touch_account(account.member).killed:
            return Reason.REJECT_KILLED
        return Reason.NONE

    def size_reason(self, symbol: Symbol, qty: int, price: int | None, lots: int) -> int:
        if symbol.order_qty_max and qty > symbol.order_qty_max:
            return Reason.REJECT_ORDER_TOO_LARGE
        if symbol.order_value_max and price and symbol.notional(price, lots) > symbol.order_value_max:
            return Reason.REJECT_VALUE_TOO_LARGE
        return Reason.NONE

    def throttled(self, account: Account, time_ns: int) -> bool:
        """L3."""
        member = self.touch_account(account.member)
        over = time_ns >= member.messages_start_ns + MESSAGES_SECOND_NS
        return bool(member.messages_max) and not over and member.messages >= member.messages_max

    def new_limits_reason(self, symbol: Symbol, account: Account, c: Command, price: int | None) -> int:
        """N7."""
        reason = self.size_reason(symbol, c.qty_lots, price, c.qty_lots)
        if reason:
            return reason
        if account.restricted >> symbol.terms.base & 1:
            return Reason.REJECT_RESTRICTED
        if account.open_orders_max and account.open_orders >= account.open_orders_max:
            return Reason.REJECT_OPEN_ORDERS
        if self.throttled(account, c.time_ns):
            return Reason.REJECT_THROTTLED
        time_ns, *last = account.last_order
        alike = last == [c.price_ticks, c.qty_lots, c.symbol | c.side << 16]
        if account.duplicate_ns and alike and c.time_ns - time_ns < account.duplicate_ns:
            return Reason.REJECT_DUPLICATE
        return Reason.NONE

    def replace_limits_reason(self, symbol: Symbol, account: Account, c: Command, price: int | None,
                              leaves: int) -> int:  # fmt: skip
        """R1's part of N7."""
        reason = self.size_reason(symbol, c.qty_lots, price, leaves)
        if reason:
            return reason
        if account.restricted >> symbol.terms.base & 1:
            return Reason.REJECT_RESTRICTED
        return Reason.REJECT_THROTTLED if self.throttled(account, c.time_ns) else Reason.NONE

    def count_message(self, account: Account, c: Command) -> None:
        """L3, R4."""
        member = self.touch_account(account.member)
        if not member.messages_max:
            return
        if c.time_ns >= member.messages_start_ns + MESSAGES_SECOND_NS:
            member.messages_start_ns, member.messages = c.time_ns, 0
        member.messages += 1

    def remember(self, account: Account, c: Command) -> None:
        if account.duplicate_ns:
            account.last_order = (c.time_ns, c.price_ticks, c.qty_lots, c.symbol | c.side << 16)

    # ---- INSTRUMENT, ACCOUNT ----

    def instrument_reason(self, number: int, terms: Terms, future: bool) -> int:
        """L5, F1, F2: why these are no terms of that symbol."""
        if terms.base >= self.config.assets or terms.quote >= self.config.assets:
            return Reason.REJECT_BAD_ASSET
        if not self.assets_are_free(number, terms, future):
            return Reason.REJECT_BAD_ASSET
        valid = (
            terms.base != terms.quote
            and 1 <= terms.lot_size <= AMOUNT_MAX
            and 1 <= terms.tick_value <= AMOUNT_MAX
            and 1 <= terms.min_ticks <= terms.max_ticks
            and terms.max_ticks < 1 << 40
        )
        valid = valid and (not future or (terms.lot_size == 1 and position_bound(terms, self.config) > 0))
        return Reason.NONE if valid else Reason.REJECT_BAD_INSTRUMENT

    def assets_are_free(self, number: int, terms: Terms, future: bool) -> bool:
        """F1: a contract is nobody else's."""
        base, quote = self.uses[terms.base], self.uses[terms.quote]
        if future:
            fresh = base == AssetUse.UNUSED and self.supply[terms.base] == self.credit[terms.base] == 0
            base = AssetUse.UNUSED if fresh or base == AssetUse.CONTRACT + number else AssetUse.CONTRACT
        return max(base, quote) < AssetUse.CONTRACT

    def redefine_reason(self, symbol: Symbol, terms: Terms, future: bool) -> int:
        """L5, F1."""
        if future != (symbol.future is not None) or (future and terms.base != symbol.terms.base):
            return Reason.REJECT_BAD_INSTRUMENT
        if symbol.orders or (symbol.future and symbol.future.open_interest):
            return Reason.REJECT_BOOK_NOT_EMPTY
        return Reason.NONE

    def instrument(self, c: Command) -> int:
        """L5, F1."""
        if c.flags > CommandFlag.INSTRUMENT_CLOSED | CommandFlag.INSTRUMENT_FUTURE:
            return Reason.REJECT_BAD_FLAGS
        if c.symbol > self.symbol_count or c.symbol >= self.config.symbols:
            return Reason.REJECT_BAD_INSTRUMENT
        terms = Terms(c.account, c.session | c.asset << 16, c.order_id, c.aux, c.price_ticks, c.qty_lots)
        future = bool(c.flags & CommandFlag.INSTRUMENT_FUTURE)
        reason = self.instrument_reason(c.symbol, terms, future)
        if reason:
            return reason
        if c.symbol == self.symbol_count:
            closed = c.flags & CommandFlag.INSTRUMENT_CLOSED
            self.symbol_create(c.symbol, terms).phase = Phase.CLOSED if closed else Phase.CONTINUOUS
            self.symbols[c.symbol].future = Future() if future else None
            self.symbol_count += 1
        symbol = self.touch_symbol(c.symbol)
        reason = self.redefine_reason(symbol, terms, future)
        if reason:
            return reason
        symbol.terms = terms
        symbol.last_ticks = symbol.reference_ticks = 0
        self.uses[terms.base], self.uses[terms.quote] = AssetUse.CASH, AssetUse.CASH
        if symbol.future:
            symbol.future.mark_ticks = 0
            self.uses[terms.base] = AssetUse.CONTRACT + c.symbol
        self.answer(
            EventKind.INSTRUMENT_SET, order_id=c.order_id, price=c.price_ticks, qty=c.qty_lots, aux=c.aux
        )  # fmt: skip
        return Reason.NONE

    def account(self, c: Command) -> int:
        """L1."""
        maker_bp, taker_bp = signed32(c.aux & 0xFFFFFFFF), c.aux >> 32
        group, mode, member = c.order_id, c.price_ticks, c.qty_lots or c.account
        if c.account > self.account_count or c.account >= self.config.accounts:
            return Reason.REJECT_BAD_ACCOUNT
        if c.flags not in (0, CommandFlag.ACCOUNT_FROZEN):
            return Reason.REJECT_BAD_FLAGS
        if not (taker_bp <= FEE_BP_MAX and -FEE_BP_MAX <= maker_bp <= taker_bp):
            return Reason.REJECT_BAD_ACCOUNT
        if mode > max(Smp) or group >> 32 or (member >= self.account_count and member != c.account):
            return Reason.REJECT_BAD_ACCOUNT
        if c.account == self.account_count:
            self.account_create(c.account)
            self.account_count += 1
        account = self.touch_account(c.account)
        changed = (maker_bp, taker_bp) != (account.maker_bp, account.taker_bp)
        held = any(position.hold for position in account.positions)
        if changed and (held or any(x.open_buys or x.open_sells for x in account.contracts)):
            return Reason.REJECT_BAD_ACCOUNT
        account.flags = c.flags | account.flags & ACCOUNT_KILLED
        account.maker_bp, account.taker_bp = maker_bp, taker_bp
        account.smp_group, account.smp_mode, account.member = group, mode, member
        self.answer(EventKind.ACCOUNT_SET, aux=c.aux)
        return Reason.NONE

    # ---- LIMIT ----

    def limit(self, c: Command) -> int:
        """L2: what is set by account and asset, by account, by symbol, by session."""
        kind = c.ord_type
        if kind > max(Limit):
            return Reason.REJECT_UNSUPPORTED
        if kind in (Limit.CREDIT, Limit.GROSS):
            reason = self.position_limit(c, kind)
        elif kind in (Limit.ORDER_QTY, Limit.ORDER_VALUE, Limit.COLLAR):
            reason = self.symbol_limit(c, kind)
        elif kind in (Limit.MARGIN, Limit.POSITION):
            reason = self.future_limit(c, kind)
        elif kind == Limit.KILL_SESSION:
            reason = self.session_limit(c)
        else:
            reason = self.account_limit(c, kind)
        if not reason:
            self.emit(EventKind.LIMIT_SET, 0, c.side, kind, (c.account, c.session, c.asset), qty=c.qty_lots, aux=c.aux)
        return reason

    def position_reason(self, c: Command) -> int:
        if c.account >= self.account_count:
            return Reason.REJECT_UNKNOWN_ACCOUNT
        if c.asset >= self.config.assets or self.uses[c.asset] >= AssetUse.CONTRACT:
            return Reason.REJECT_BAD_ASSET
        self.touch_account(c.account)
        return Reason.NONE

    def position_limit(self, c: Command, kind: int) -> int:
        """Supply and credit lines of an asset together stay within AMOUNT_MAX, so no balance can pass it."""
        reason = self.position_reason(c)
        if reason:
            return reason
        position, amount = self.accounts[c.account].positions[c.asset], c.qty_lots
        if amount > AMOUNT_MAX:
            return Reason.REJECT_BAD_AMOUNT
        if kind == Limit.GROSS:
            position.gross_max = amount
            self.uses[c.asset] = AssetUse.CASH  # or a limit would lie under a contract that the asset becomes (F1)
            return Reason.NONE
        credit = self.credit[c.asset] - position.credit + amount
        if self.supply[c.asset] + credit > AMOUNT_MAX or position.balance + amount - position.hold < 0:
            return Reason.REJECT_BAD_AMOUNT
        self.credit[c.asset] = credit
        position.credit = amount
        return Reason.NONE

    def account_limit(self, c: Command, kind: int) -> int:
        if c.account >= self.account_count:
            return Reason.REJECT_UNKNOWN_ACCOUNT
        account, amount = self.touch_account(c.account), c.qty_lots
        most = {Limit.DUPLICATE_NS: AMOUNT_MAX, Limit.RESTRICTED: WORD, Limit.KILL_MEMBER: 1}
        if amount > most.get(Limit(kind), QTY_LOTS_MAX):
            return Reason.REJECT_BAD_AMOUNT
        if kind == Limit.OPEN_ORDERS:
            account.open_orders_max = amount
        elif kind == Limit.MESSAGES:
            account.messages_max, account.messages, account.messages_start_ns = amount, 0, 0
        elif kind == Limit.DUPLICATE_NS:
            account.duplicate_ns = amount
            account.last_order = account.last_order if amount else (0, 0, 0, 0)
        elif kind == Limit.RESTRICTED:
            account.restricted = amount
        else:
            account.flags = account.flags & CommandFlag.ACCOUNT_FROZEN | (ACCOUNT_KILLED if amount else 0)
        return Reason.NONE

    def symbol_limit(self, c: Command, kind: int) -> int:
        if c.symbol >= self.symbol_count:
            return Reason.REJECT_UNKNOWN_SYMBOL
        symbol, amount = self.touch_symbol(c.symbol), c.qty_lots
        most = {Limit.ORDER_QTY: QTY_LOTS_MAX, Limit.ORDER_VALUE: AMOUNT_MAX, Limit.COLLAR: COLLAR_BP_MAX}
        if amount > most[Limit(kind)] or (kind == Limit.COLLAR and c.aux > COLLAR_BP_MAX):
            return Reason.REJECT_BAD_AMOUNT
        if kind == Limit.ORDER_QTY:
            symbol.order_qty_max = amount
        elif kind == Limit.ORDER_VALUE:
            symbol.order_value_max = amount
        else:
            symbol.dynamic_bp, symbol.static_bp = amount, c.aux
        return Reason.NONE

    def future_limit(self, c: Command, kind: int) -> int:
        """F3."""
        if c.symbol >= self.symbol_count:
            return Reason.REJECT_UNKNOWN_SYMBOL
        symbol = self.touch_symbol(c.symbol)
        if symbol.future is None:
            return Reason.REJECT_BAD_INSTRUMENT
        if kind == Limit.POSITION:
            if c.qty_lots > QTY_LOTS_MAX:
                return Reason.REJECT_BAD_AMOUNT
            symbol.future.position_max = c.qty_lots
            return Reason.NONE
        if not 1 <= c.aux <= c.qty_lots <= MARGIN_BP_MAX:
            return Reason.REJECT_BAD_AMOUNT
        if c.qty_lots != symbol.future.initial_bp and symbol.orders:
            return Reason.REJECT_BOOK_NOT_EMPTY
        symbol.future.initial_bp, symbol.future.maintenance_bp = c.qty_lots, c.aux
        return Reason.NONE

    def session_limit(self, c: Command) -> int:
        killed = c.session in self.killed_sessions
        if c.qty_lots > 1 or (c.qty_lots and not killed and len(self.killed_sessions) == KILLED_SESSIONS_MAX):
            return Reason.REJECT_BAD_AMOUNT
        if c.qty_lots:
            self.killed_sessions.add(c.session)
        else:
            self.killed_sessions.discard(c.session)
        return Reason.NONE

    # ---- DEPOSIT, WITHDRAW ----

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

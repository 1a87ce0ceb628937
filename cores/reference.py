"""The core in Python with the interface of the compiled one: selected by VENUE_CORE=reference.

Why: the oracle of the differential tests, and a fallback where nothing can be compiled. `rules.py` has the rules; here
are arrays in and out, the canonical state, its restore, and the invariants. It must never accept a state that the
compiled core refuses, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cores._arrays import Commands, Events, Words, commands_of, slots_of
from cores.records import (
    AMOUNT_MAX,
    COLLAR_BP_MAX,
    COMMAND,
    EVENT,
    FEE_BP_MAX,
    ICEBERG_TRANCHES_MAX,
    KILLED_SESSIONS_MAX,
    MARGIN_BP_MAX,
    ORDER_SLOT_NONE,
    POSITION_LOTS_MAX,
    QTY_LOTS_MAX,
    SEQ_MAX,
    STATE_VERSION,
    AssetUse,
    CoreConfig,
    Fact,
    Invariant,
    MissingError,
    OrderView,
    OrdType,
    Phase,
    PositionView,
    SequenceError,
    Side,
    Smp,
    Stage,
    StateError,
    Tif,
)
from cores.rules import TIFS, Account, Book, Command, Order, Symbol, Terms
from cores.rules_auction import Indicative, indicative
from cores.rules_futures import margin_of
from cores.rules_ledger import position_bound, signed32
from cores.rules_state import NEVER, STOPS, Contract, Future, Position

WORD = 0xFFFFFFFFFFFFFFFF
HALF = 0xFFFFFFFF
LOTS = 0x7FFFFFFF  # of open lots in a slot


def _words(rows: list[tuple[int, ...]]) -> Words:
    """Slots from their leading words; the rest is zero, negative numbers are two's complement."""
    slots = np.zeros((len(rows), 8), np.uint64)
    for i, row in enumerate(rows):
        slots[i, : len(row)] = [value & WORD for value in row]
    return slots


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


class Core:
    """One core. Not safe for use by two threads at once (its owner is the one writer)."""

    def __init__(self, config: CoreConfig | None = None, *, partial: tuple[int, int] | None = None) -> None:
        """A fresh core; `partial=(symbols, accounts)` makes one with room for so many only, to be restored."""
        self.config = CoreConfig() if config is None else config
        if not isinstance(self.config, CoreConfig):
            raise TypeError(f"config: expected CoreConfig, got {type(config).__name__}")
        if partial and not (0 <= partial[0] <= self.config.symbols and 0 <= partial[1] <= self.config.accounts):
            raise ValueError(f"core: {self.config} with partial={partial} is out of range")
        self.book = Book(self.config, partial)
        self.restoring = False
        self.usable = partial is None
        self.missing = False

    # ---- applying ----

    def apply(self, commands: Commands) -> tuple[Events, Words]:
        """Applies commands in order; returns (events, ends): ends[i] is the count of events after command i."""
        commands = commands_of(commands)
        rows: list[tuple[int, ...]] = []
        ends = np.empty(len(commands), np.uint64)
        for i, fields in enumerate(commands.tolist()):
            command = Command(*fields)
            self._expect_applicable(i, command)
            try:
                rows.extend(self.book.apply(command))
            except MissingError as error:
                self.missing = True
                raise MissingError(f"command {i} of the batch: {error.args[0]}") from None
            ends[i] = len(rows)
        return np.array(rows, EVENT), ends

    def apply_one(self, **fields: int) -> Events:
        """Applies one command given by its fields (seq: the next by default); returns its events."""
        record = np.zeros(1, COMMAND)
        fields.setdefault("seq", self.last_seq + 1)
        fields.setdefault("time_ns", self.last_time_ns)
        for name, value in fields.items():
            record[name] = value
        return self.apply(record)[0]

    def _expect_applicable(self, i: int, command: Command) -> None:
        if self.missing:
            raise MissingError(f"command {i} of the batch needs a symbol or account that this partial core lacks")
        if not self.usable:
            raise StateError("the core was not restored to the end, or a restore failed: make a new one")
        book = self.book
        if command.seq != book.last_seq + 1 or command.seq > SEQ_MAX or command.time_ns < book.last_time_ns:
            raise SequenceError(
                f"command {i} of the batch: seq {command.seq} at {command.time_ns} ns, but the core stands at seq "
                f"{book.last_seq}, {book.last_time_ns} ns; the {i} before it were applied"
            )

    # ---- invariants ----

    def check(self) -> None:
        """Raises AssertionError with the first broken invariant; says nothing when all hold."""
        broken = self._broken()
        if broken is not None:
            raise AssertionError(f"core: invariant {broken.name} is broken after seq {self.last_seq}")

    def _broken(self) -> Invariant | None:
        book = self.book
        for symbol in book.symbols.values():
            broken = self._symbol_broken(symbol)
            if broken is not None:
                return broken
        for account in book.accounts.values():
            if not self._account_is_valid(account):
                return Invariant.ACCOUNT
            if not self._limits_are_valid(account):
                return Invariant.LIMITS
            if not all(self._position_is_valid(account, p) for p in account.positions):
                return Invariant.FUNDS
            if not all(self._contract_is_valid(account, asset) for asset in range(self.config.assets)):
                return Invariant.POSITIONS
        return None if book.partial else self._money_broken() or self._contracts_broken()

    def _symbol_broken(self, symbol: Symbol) -> Invariant | None:
        future = symbol.future is not None
        if self.book.instrument_reason(symbol.number, symbol.terms, future) or not self._uses_are_valid(symbol):
            return Invariant.INSTRUMENT
        if not self._market_is_valid(symbol):
            return Invariant.INSTRUMENT
        walked: dict[int, Order] = {}
        for side in (Side.BUY, Side.SELL):
            for price, queue in symbol.levels(side).items():
                if not queue or any(o.price_ticks != price or o.side != side for o in queue.values()):
                    return Invariant.LINKS
                if any(o.waiting or o.dormant for o in queue.values()):
                    return Invariant.LINKS
                walked.update(queue)
            for price, queue in symbol.stops(side).items():
                if not queue or any(o.stop_ticks != price or o.side != side for o in queue.values()):
                    return Invariant.LINKS
                if not all(o.waiting for o in queue.values()):
                    return Invariant.LINKS
                walked.update(queue)
        if not all(order.dormant for order in symbol.dormant.values()):
            return Invariant.LINKS
        walked.update(symbol.dormant)
        if walked != symbol.orders or set(symbol.free_slots) | set(walked) != set(range(self.config.orders)):
            return Invariant.SLOTS
        if len(symbol.free_slots) + len(walked) != self.config.orders:
            return Invariant.SLOTS
        if not all(self._order_is_valid(symbol, order) for order in walked.values()):
            return Invariant.ORDER
        if symbol.phase == Phase.CONTINUOUS and not self._is_continuous(symbol):
            return Invariant.CROSSED
        return None

    @staticmethod
    def _is_continuous(symbol: Symbol) -> bool:
        """Nothing crossed, nothing without a price or for an auction only in the book, no stop due."""
        orders = [order for side in (Side.BUY, Side.SELL) for order in symbol.walk(side)]
        stops = [order for side in (Side.BUY, Side.SELL) for order in symbol.walk_stops(side)]
        return (
            not symbol.crossed
            and not any(order.unpriced or order.tif in (Tif.AT_OPEN, Tif.AT_CLOSE) for order in orders)
            and not any(symbol.last_ticks and symbol.due(order, symbol.last_ticks) for order in stops)
        )

    def _uses_are_valid(self, symbol: Symbol) -> bool:
        """F1, F2."""
        terms, uses = symbol.terms, self.book.uses
        if symbol.future is None:
            return uses[terms.base] == uses[terms.quote] == AssetUse.CASH
        future = symbol.future
        return (
            uses[terms.base] == AssetUse.CONTRACT + symbol.number
            and uses[terms.quote] == AssetUse.CASH
            and (future.mark_ticks == 0 or terms.contains(future.mark_ticks))
            and 1 <= future.maintenance_bp <= future.initial_bp <= MARGIN_BP_MAX
            and future.position_max <= QTY_LOTS_MAX
        )

    @staticmethod
    def _market_is_valid(symbol: Symbol) -> bool:
        prices = (symbol.last_ticks, symbol.reference_ticks)
        return (
            0 <= symbol.phase <= max(Phase)
            and all(price == 0 or symbol.terms.contains(price) for price in prices)
            and max(symbol.dynamic_bp, symbol.static_bp) <= COLLAR_BP_MAX
            and symbol.order_qty_max <= QTY_LOTS_MAX
            and symbol.order_value_max <= AMOUNT_MAX
        )

    def _money_broken(self) -> Invariant | None:
        book = self.book
        needed: dict[tuple[int, int], int] = {}
        owed = self._money_in_contracts()
        count = dict.fromkeys(book.accounts, 0)
        for symbol in book.symbols.values():
            for order in symbol.orders.values():
                key = order.account, symbol.hold_asset(order.side)
                hold = symbol.hold_of(order, book.accounts[order.account].taker_bp)
                needed[key] = needed.get(key, 0) + hold
                count[order.account] += 1
        if any(account.open_orders != count[number] for number, account in book.accounts.items()):
            return Invariant.LIMITS
        for asset in range(self.config.assets):
            positions = [account.positions[asset] for account in book.accounts.values()]
            for number, account in book.accounts.items():
                if account.positions[asset].hold != needed.get((number, asset), 0):
                    return Invariant.HOLDS
            if sum(p.balance for p in positions) + owed[asset] != book.supply[asset]:
                return Invariant.MONEY
            credit = sum(p.credit for p in positions)
            if credit != book.credit[asset] or book.supply[asset] + credit > AMOUNT_MAX:
                return Invariant.CREDIT
        return None

    def _money_in_contracts(self) -> list[int]:
        """By quote asset: collateral - cost of all positions."""
        money = [0] * self.config.assets
        for symbol in self.book.symbols.values():
            if symbol.future:
                contracts = [account.contracts[symbol.terms.base] for account in self.book.accounts.values()]
                money[symbol.terms.quote] += sum(contract.collateral - contract.cost for contract in contracts)
        return money

    def _contracts_broken(self) -> Invariant | None:
        """Lots sum to zero, those above zero to the open interest, and open lots are those of the open orders. A
        contract is that of its future."""
        for asset, use in enumerate(self.book.uses):
            owner = self.book.symbols.get(use - AssetUse.CONTRACT)
            if use >= AssetUse.CONTRACT and (owner is None or owner.future is None or owner.terms.base != asset):
                return Invariant.INSTRUMENT
        for symbol in self.book.symbols.values():
            open_lots: dict[tuple[int, int], int] = {}
            for order in symbol.orders.values():
                key = order.account, order.side
                open_lots[key] = open_lots.get(key, 0) + order.leaves
            if symbol.future is None:
                continue
            for number, account in self.book.accounts.items():
                contract = account.contracts[symbol.terms.base]
                sides = [open_lots.get((number, side), 0) for side in (Side.BUY, Side.SELL)]
                if [contract.open_buys, contract.open_sells] != sides:
                    return Invariant.HOLDS
                if not self._within_terms(symbol, account):
                    return Invariant.POSITIONS
            lots = [account.contracts[symbol.terms.base].lots for account in self.book.accounts.values()]
            if sum(lots) != 0 or sum(x for x in lots if x > 0) != symbol.future.open_interest:
                return Invariant.POSITIONS
        return None

    def _contract_is_valid(self, account: Account, asset: int) -> bool:
        """What can be said without the terms: cost has the sign of the lots, the venue gives no collateral."""
        contract, position = account.contracts[asset], account.positions[asset]
        if self.book.uses[asset] < AssetUse.CONTRACT:
            return contract == Contract()
        sign, owned = (-1 if contract.lots < 0 else 1), account.number != 0 and contract.lots != 0
        lots, cost = sign * contract.lots, sign * contract.cost
        return (
            position == Position()
            and lots <= POSITION_LOTS_MAX * (1 if account.number else self.config.accounts)
            and lots <= cost <= (AMOUNT_MAX if lots else 0)
            and 0 <= contract.collateral <= (AMOUNT_MAX if owned else 0)
            and 0 <= contract.stage <= (Stage.LIQUIDATED if owned else Stage.NONE)
        )

    def _within_terms(self, symbol: Symbol, account: Account) -> bool:
        """F2, F5: the position is not too large, and its cost and collateral are what prices can make of it."""
        contract, terms = account.contracts[symbol.terms.base], symbol.terms
        bound, lots, cost = position_bound(terms, self.config), abs(contract.lots), abs(contract.cost)
        low, high = (lots * terms.tick_value * ticks for ticks in (terms.min_ticks, terms.max_ticks))
        most = max(contract.lots + contract.open_buys, contract.open_sells - contract.lots, lots)
        in_bound = most <= bound or account.number == 0
        return in_bound and low <= cost <= high and contract.collateral <= 2 * high

    def _order_is_valid(self, symbol: Symbol, order: Order) -> bool:
        terms, account = symbol.terms, self.book.accounts.get(order.account)
        waiting_stop = order.ord_type == OrdType.STOP and order.waiting
        in_form = (
            0 < order.order_id >> 24 <= self.book.last_seq
            and order.side in (Side.BUY, Side.SELL)
            and order.ord_type in TIFS
            and order.tif in TIFS[OrdType(order.ord_type)] - {Tif.IOC, Tif.FOK}
            and not self.book.form_reason(None, order)
            and order.future == (symbol.future is not None)
            and order.wide == symbol.wide
            and (order.leaves <= POSITION_LOTS_MAX if order.future else not order.closing)
            and 1 <= order.shown <= order.leaves
            and order.leaves + order.cum <= QTY_LOTS_MAX
            and (order.price_ticks == 0 if waiting_stop else terms.contains(order.price_ticks))
            and order.account < self.book.account_count
            and order.leaves * terms.lot_size <= AMOUNT_MAX
        )
        if not in_form:
            return False
        if not waiting_stop and symbol.cost(order.price_ticks, order.leaves, 0) > AMOUNT_MAX:
            return False
        return self._extras_are_valid(symbol, order) and (account is None or order.account == account.number)

    @staticmethod
    def _extras_are_valid(symbol: Symbol, order: Order) -> bool:
        """What only some orders have: a display, a stop price, an expiry, a state of waiting."""
        stop = order.ord_type in STOPS
        unpriced_types = (OrdType.MARKET, OrdType.STOP, OrdType.MARKET_TO_LIMIT)
        return (
            (symbol.terms.contains(order.stop_ticks) if stop else order.stop_ticks == 0)
            and (not order.display or order.ord_type == OrdType.LIMIT)
            and order.display <= QTY_LOTS_MAX
            and (not order.display or order.dormant or order.shown <= order.display)
            and (not order.dormant or order.hidden == 0)
            and (not order.display or order.display * ICEBERG_TRANCHES_MAX >= order.leaves)
            and (order.dormant or order.hidden <= order.display * (ICEBERG_TRANCHES_MAX - 1))
            and order.display <= QTY_LOTS_MAX
            and (order.tif == Tif.GTD) == (order.expiry_ns > 0)
            and (stop or not order.waiting)
            and (not order.waiting or not (order.dormant or order.unpriced))
            and (not order.dormant or (order.tif == Tif.AT_CLOSE and symbol.phase != Phase.CLOSE_CALL))
            and (not order.unpriced or order.ord_type in unpriced_types)
            and (order.unpriced or order.waiting or order.ord_type not in (OrdType.MARKET, OrdType.STOP))
            and (not order.unpriced or order.price_ticks == symbol.collar_end(order.side))
        )

    @staticmethod
    def _account_is_valid(account: Account) -> bool:
        fees = -FEE_BP_MAX <= account.maker_bp <= account.taker_bp and 0 <= account.taker_bp <= FEE_BP_MAX
        return 0 <= account.flags <= 3 and fees and account.smp_mode <= max(Smp) and not account.smp_group >> 32

    def _limits_are_valid(self, account: Account) -> bool:
        return (
            account.open_orders <= self.config.symbols * self.config.orders
            and account.member < self.book.account_count
            and max(account.open_orders_max, account.messages_max) <= QTY_LOTS_MAX
            and account.messages <= account.messages_max
            and (account.messages > 0 or account.messages_start_ns == 0)
            and account.messages_start_ns <= self.book.last_time_ns
            and account.duplicate_ns <= AMOUNT_MAX
            and self._last_order_is_valid(account)
        )

    def _last_order_is_valid(self, account: Account) -> bool:
        """Remembered only while there is a window for duplicates, of the past, and all zero before the first."""
        time_ns, _, qty, symbol_side = account.last_order
        if qty == 0:
            return account.last_order == (0, 0, 0, 0)
        return (
            account.duplicate_ns != 0
            and qty <= QTY_LOTS_MAX
            and symbol_side >> 16 in (Side.BUY, Side.SELL)
            and symbol_side & 0xFFFF < self.book.symbol_count
            and time_ns <= self.book.last_time_ns
        )

    @staticmethod
    def _position_is_valid(account: Account, position: Position) -> bool:
        """Nobody spends what is not there but the venue, which bears the deficits of others."""
        balance, hold, credit = position.balance, position.hold, position.credit
        in_bounds = hold <= AMOUNT_MAX and credit <= AMOUNT_MAX and -AMOUNT_MAX <= balance < (1 << 63) - credit
        return in_bounds and (account.number == 0 or balance + credit >= hold)

    # ---- canonical state ----

    def walk_config(self) -> Words:
        """Slots of the configuration, counters and supplies, as (n, 8) words."""
        book, killed = self.book, sorted(self.book.killed_sessions)
        return _words(
            [
                (STATE_VERSION, *self.config.words()),
                (book.last_seq, book.last_time_ns, book.symbol_count, book.account_count, len(killed)),
                *zip(range(self.config.assets), book.supply, book.credit, book.uses, strict=True),
                *(tuple(killed[i : i + 7]) for i in range(0, len(killed), 7)),
            ]
        )

    def walk_symbol(self, number: int) -> Words:
        """Slots of a symbol and its open orders; empty when it does not exist here."""
        symbol = self.book.symbols.get(number)
        if symbol is None:
            return _words([])
        t, rows = symbol.terms, []
        for o in symbol.walk_all():
            rows.append((o.order_id, o.shown, o.price_ticks, o.cum, o.account | o.session << 32, o.facts))
            if o.cold:
                rows.append((o.hidden, o.display, o.stop_ticks, o.expiry_ns, 0, 0))
        count = len(rows) + (2 if symbol.future else 1)
        head = (number, t.base | t.quote << 32, t.lot_size, t.tick_value, t.min_ticks, t.max_ticks, count)
        market = (symbol.phase, symbol.last_ticks, symbol.reference_ticks, symbol.dynamic_bp | symbol.static_bp << 32,
                  symbol.order_qty_max, symbol.order_value_max, int(symbol.future is not None))  # fmt: skip
        future: list[tuple[int, ...]] = []
        if symbol.future:
            f = symbol.future
            future = [(f.mark_ticks, f.initial_bp | f.maintenance_bp << 32, f.position_max, f.open_interest)]
        return _words([head, market, *future, *rows])

    def walk_account(self, number: int) -> Words:
        """Slots of an account and its positions; empty when it does not exist here."""
        account = self.book.accounts.get(number)
        if account is None:
            return _words([])
        a = account
        limits = (a.open_orders, a.open_orders_max, a.messages_max, a.messages, a.messages_start_ns, a.restricted,
                  a.duplicate_ns)  # fmt: skip
        rows: list[tuple[int, ...]] = [limits]
        if a.duplicate_ns:
            rows.append(a.last_order)
        words = [(asset, *self._asset_words(account, asset)) for asset in range(self.config.assets)]
        rows += [row for row in words if any(row[1:])]
        fees = a.maker_bp & HALF | a.taker_bp << 32
        return _words([(number, a.flags, fees, len(rows), a.member, a.smp_group, a.smp_mode), *rows])

    def _asset_words(self, account: Account, asset: int) -> tuple[int, ...]:
        if self.book.uses[asset] < AssetUse.CONTRACT:
            p = account.positions[asset]
            return p.balance, p.hold, p.credit, p.gross_max
        c = account.contracts[asset]
        return c.lots, c.open_buys | c.open_sells << 31 | c.stage << 62, c.cost, c.collateral

    def snapshot(self) -> bytes:
        """The whole state as bytes: equal states give equal bytes, from either implementation."""
        if self.book.partial:
            raise StateError("a partial core has no whole state to write")
        parts = [self.walk_config()]
        parts += [self.walk_symbol(number) for number in range(self.symbol_count)]
        parts += [self.walk_account(number) for number in range(self.account_count)]
        return np.concatenate(parts).tobytes()

    @classmethod
    def restore(cls, data: bytes) -> Core:
        """A core from the bytes of `snapshot`; StateError when they are no state."""
        slots = slots_of(data)
        if len(slots) == 0:
            raise StateError("snapshot: empty")
        try:
            config = CoreConfig(*(int(word) for word in slots[0, 1:6]))
        except ValueError as error:
            raise StateError(f"snapshot: its first slot is no configuration ({error})") from error
        core = cls(config)
        killed = int(slots[1, 4]) if len(slots) > 1 else 0
        done = 2 + config.assets + -(-killed // 7)
        core.restore_config(slots[:done])
        for restore, counts, word in (
            (core.restore_symbol, core.symbol_count, 6),
            (core.restore_account, core.account_count, 3),
        ):
            for _ in range(counts):
                if done == len(slots):
                    raise StateError("snapshot: ends too early")
                end = done + 1 + int(slots[done, word])
                if end > len(slots):
                    raise StateError("snapshot: ends too early")
                restore(slots[done:end])
                done = end
        if done != len(slots):
            raise StateError("snapshot: has slots after its end")
        core.restore_end()
        return core

    def restore_config(self, slots: Any) -> None:
        """First step of a piecewise restore: the slots of `walk_config`."""
        rows, book = slots_of(slots).tolist(), self.book
        base = 2 + self.config.assets
        fresh = not self.restoring and book.last_seq == 0 and len(rows) >= base
        self.usable = self.restoring = False
        self._expect(fresh and rows[0] == [STATE_VERSION, *self.config.words(), 0, 0], "configuration")
        last_seq, time_ns, symbols, accounts, killed, *zeros = rows[1]
        self._expect(last_seq <= SEQ_MAX and symbols <= self.config.symbols and not any(zeros), "configuration")
        self._expect(1 <= accounts <= self.config.accounts and killed <= KILLED_SESSIONS_MAX, "configuration")
        for asset, (number, supply, credit, use, *rest) in enumerate(rows[2:base]):
            self._expect(number == asset and supply + credit <= AMOUNT_MAX and not any(rest), "configuration")
            unused = use < AssetUse.CONTRACT or (use < AssetUse.CONTRACT + symbols and supply == credit == 0)
            self._expect(unused, "configuration")
            book.supply[asset], book.credit[asset], book.uses[asset] = supply, credit, use
        words = [word for row in rows[base:] for word in row[:7]]
        self._expect(len(rows) == base + -(-killed // 7) and not any(row[7] for row in rows[base:]), "configuration")
        self._expect(words[:killed] == sorted(set(words[:killed])) and not any(words[killed:]), "configuration")
        self._expect(not words or max(words) <= 0xFFFF, "configuration")
        book.killed_sessions = set(words[:killed])
        book.last_seq, book.last_time_ns, book.symbol_count, book.account_count = last_seq, time_ns, symbols, accounts
        book.accounts.clear()
        self.restoring = True

    def restore_symbol(self, slots: Any) -> None:
        """The slots of one `walk_symbol`; in ascending order of number."""
        rows, book = slots_of(slots).tolist(), self.book
        what = "symbol"
        self._expect(bool(rows) and self._may_restore(rows[0][0], book.symbols, book.symbol_count, 0), what)
        number, assets, lot_size, tick_value, low, high, count, zero = rows[0]
        self._expect(count == len(rows) - 1 and count >= 1 and zero == 0, what)
        terms = Terms(assets & HALF, assets >> 32, lot_size, tick_value, low, high)
        self._expect(not book.instrument_reason(number, terms, bool(rows[1][6])), what)
        symbol = book.symbol_create(number, terms)
        symbol.phase, symbol.last_ticks, symbol.reference_ticks, collars, *limits, future, _ = rows[1]
        symbol.dynamic_bp, symbol.static_bp = collars & HALF, collars >> 32
        symbol.order_qty_max, symbol.order_value_max = limits
        left = rows[2:]
        if future:
            self._expect(len(left) > 0, what)
            mark, margins, most, interest, *_ = left.pop(0)
            symbol.future = Future(mark, margins & HALF, margins >> 32, most, interest)
        while left:
            order, used = self._order_from(left)
            self._expect(order.slot in symbol.free_slots and self._order_is_valid(symbol, order), what)
            place = order.stop_ticks if order.waiting else order.price_ticks
            self._expect(order.dormant or symbol.has_room(order.side, order.waiting, place), what)
            symbol.free_slots.remove(order.slot)
            symbol.orders[order.slot] = order
            symbol.append(order)
            left = left[used:]
        self._expect(self.walk_symbol(number).tolist() == rows and self._symbol_broken(symbol) is None, what)

    def _order_from(self, rows: list[list[int]]) -> tuple[Order, int]:
        """The order of the first slot or two, and how many they are."""
        order_id, shown, price, cum, owner, facts, *_ = rows[0]
        fact, used, cold = facts >> 32, 1, [0, 0, 0, 0]
        if fact & Fact.COLD:
            self._expect(len(rows) > 1, "symbol")
            used, cold = 2, rows[1][:4]
        hidden, display, stop, expiry = cold
        self._expect(owner >> 48 == 0, "symbol")
        return Order(
            order_id=order_id,
            side=facts & 0xFF,
            price_ticks=price,
            leaves=shown + hidden,
            cum=cum,
            account=owner & HALF,
            session=owner >> 32 & 0xFFFF,
            ord_type=facts >> 8 & 0xFF,
            tif=facts >> 16 & 0xFF,
            flags=facts >> 24 & 0xFF,
            display=display,
            stop_ticks=stop,
            expiry_ns=expiry,
            shown=shown,
            waiting=bool(fact & Fact.WAITING),
            dormant=bool(fact & Fact.DORMANT),
            unpriced=bool(fact & Fact.UNPRICED),
            future=bool(fact & Fact.FUTURE),
            closing=bool(fact & Fact.CLOSING),
            wide=bool(fact & Fact.WIDE),
        ), used

    def restore_account(self, slots: Any) -> None:
        """The slots of one `walk_account`; in ascending order of number."""
        rows, book = slots_of(slots).tolist(), self.book
        what = "account"
        self._expect(bool(rows) and self._may_restore(rows[0][0], book.accounts, book.account_count, 1), what)
        self._expect(len(rows) > 1, what)
        number, flags, fees, _, member, group, mode, _ = rows[0]
        account = book.account_create(number)
        account.flags, account.maker_bp, account.taker_bp = flags, signed32(fees & HALF), fees >> 32
        account.member, account.smp_group, account.smp_mode = member, group, mode
        (account.open_orders, account.open_orders_max, account.messages_max, account.messages,
         account.messages_start_ns, account.restricted, account.duplicate_ns, _) = rows[1]  # fmt: skip
        positions = rows[2:]
        if account.duplicate_ns:
            self._expect(len(rows) > 2, what)
            account.last_order = tuple(rows[2][:4])
            positions = rows[3:]
        self._expect(self._account_is_valid(account) and self._limits_are_valid(account), what)
        for asset, first, second, third, fourth, *_ in positions:
            self._expect(asset < self.config.assets and fourth <= AMOUNT_MAX, what)
            if book.uses[asset] < AssetUse.CONTRACT:
                position = Position(_signed(first), second, third, fourth)
                self._expect(self._position_is_valid(account, position), what)
                account.positions[asset] = position
            else:
                opens = second & LOTS, second >> 31 & LOTS
                account.contracts[asset] = Contract(_signed(first), *opens, second >> 62, _signed(third), fourth)
                self._expect(self._contract_is_valid(account, asset), what)
        self._expect(self.walk_account(number).tolist() == rows, what)

    def restore_end(self) -> None:
        """Last step of a piecewise restore: from here on the core applies commands."""
        book = self.book
        whole = len(book.symbols) == book.symbol_count and len(book.accounts) == book.account_count
        self._expect(self.restoring, "end")
        self._expect(book.partial or (whole and self._broken() is None), "end")
        self.restoring, self.usable = False, True

    def _may_restore(self, number: int, held: Iterable[int], exist: int, room: int) -> bool:
        """It exists, follows the last one given, fits, and a whole core leaves none out."""
        numbers = list(held)
        if not self.restoring or number >= exist or len(numbers) >= self.book.room[room]:
            return False
        if self.book.partial:
            return not numbers or number > numbers[-1]
        return number == len(numbers)

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.usable = self.restoring = False
            raise StateError(f"restore: the slots of the {what} do not belong here or are no state")

    def dirty_symbols(self) -> Words:
        """Symbols that commands read or changed since `clear_dirty`, ascending."""
        return np.array(sorted(self.book.touched_symbols), np.uint64)

    def dirty_accounts(self) -> Words:
        """Accounts that commands read or changed since `clear_dirty`, ascending."""
        return np.array(sorted(self.book.touched_accounts), np.uint64)

    def clear_dirty(self) -> None:
        self.book.touched_symbols.clear()
        self.book.touched_accounts.clear()

    # ---- questions ----

    @property
    def last_seq(self) -> int:
        return self.book.last_seq

    @property
    def last_time_ns(self) -> int:
        return self.book.last_time_ns

    @property
    def symbol_count(self) -> int:
        return self.book.symbol_count

    @property
    def account_count(self) -> int:
        return self.book.account_count

    def find_order(self, symbol: int, order_id: int) -> OrderView | None:
        """The open order, or None."""
        found = self.book.symbols.get(symbol)
        order = found.orders.get(order_id & ORDER_SLOT_NONE) if found else None
        if order is None or order.order_id != order_id:
            return None
        return OrderView(
            order_id=order.order_id,
            leaves_lots=order.leaves,
            price_ticks=order.price_ticks,
            cum_lots=order.cum,
            account=order.account,
            session=order.session,
            side=order.side,
            ord_type=order.ord_type,
            tif=order.tif,
            flags=order.flags,
            facts=order.fact,
            hidden_lots=order.hidden,
            display_lots=order.display,
            stop_ticks=order.stop_ticks,
            expiry_ns=order.expiry_ns,
        )

    def depth(self, symbol: int, book_side: int, levels_max: int = 10) -> list[tuple[int, int]]:
        """[(price_ticks, qty_lots)], best first."""
        found = self.book.symbols.get(symbol)
        if found is None or book_side not in (Side.BUY, Side.SELL):
            return []
        levels = list(found.levels(book_side).items())[:levels_max]
        return [(price, sum(order.shown for order in queue.values())) for price, queue in levels]

    def open_orders(self, symbol: int) -> int:
        found = self.book.symbols.get(symbol)
        return len(found.orders) if found else 0

    def balance(self, account: int, asset: int) -> tuple[int, int, int]:
        """(balance, hold, credit) of an account in an asset, of a contract its lots; zeros when there is none."""
        found = self.book.accounts.get(account)
        if found is None or asset >= self.config.assets:
            return 0, 0, 0
        if self.book.uses[asset] >= AssetUse.CONTRACT:
            return found.contracts[asset].lots, 0, 0
        position = found.positions[asset]
        return position.balance, position.hold, position.credit

    def supply(self, asset: int) -> int:
        return self.book.supply[asset] if asset < self.config.assets else 0

    def phase(self, symbol: int) -> int:
        """The phase of a symbol; CLOSED when there is none."""
        found = self.book.symbols.get(symbol)
        return found.phase if found else Phase.CLOSED

    def last_price(self, symbol: int) -> tuple[int, int]:
        """(last price, reference price) in ticks; 0 is none."""
        found = self.book.symbols.get(symbol)
        return (found.last_ticks, found.reference_ticks) if found else (0, 0)

    def expiry_next(self, symbol: int) -> int | None:
        """The first expiry of a GTD order in ns; None: no such order."""
        found = self.book.symbols.get(symbol)
        expiry_ns = found.expiry_next() if found else NEVER
        return None if expiry_ns == NEVER else expiry_ns

    def indicative(self, symbol: int) -> Indicative | None:
        """(price_ticks, qty_lots, surplus_lots, surplus_side) of a call; None when nothing would trade, or no call."""
        market = self.book.symbols.get(symbol)
        found = indicative(market) if market and market.is_call else Indicative()
        return found if found.qty_lots else None

    def mark_price(self, symbol: int) -> int:
        """The mark price of a future in ticks; 0: none yet, or no future."""
        found = self.book.symbols.get(symbol)
        return found.future.mark_ticks if found and found.future else 0

    def position(self, account: int, symbol: int) -> PositionView | None:
        """What an account has in a future; None when there is no such account or future."""
        market, owner = self.book.symbols.get(symbol), self.book.accounts.get(account)
        if market is None or market.future is None or owner is None:
            return None
        contract, margin = owner.contracts[market.terms.base], margin_of(market, owner)
        return PositionView(
            lots=contract.lots,
            cost=contract.cost,
            collateral=contract.collateral,
            equity=margin.equity,
            needed=margin.needed,
            stage=contract.stage,
            open_buys=contract.open_buys,
            open_sells=contract.open_sells,
        )

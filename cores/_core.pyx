# cython: language_level=3, boundscheck=False, wraparound=False
"""The C core as a Python object: arrays of commands in, arrays of events out, nothing in between.

Why: replay, archive, proofs and tests apply millions of commands; a batch crosses into C once and without the GIL.
It must never interpret a record: the rules are in the C sources and nowhere else.
"""

from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memcpy
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

cimport numpy as cnp

import numpy as np

from cores._arrays import commands_of, slots_of
from cores.records import (
    COMMAND,
    EVENT,
    CoreConfig,
    CoreStatus,
    Invariant,
    MissingError,
    OrderView,
    PositionView,
    SequenceError,
    StateError,
)

cnp.import_array()

EVENTS_SPARE = 16384  # room for the events of a batch beyond the worst case of one command


cdef inline void *data_of(cnp.ndarray array) noexcept:
    return cnp.PyArray_DATA(array)


cdef class Core:
    """One core. Not safe for use by two threads at once (its owner is the one writer)."""

    def __cinit__(self, config=None, *, partial=None):
        """A fresh core; `partial=(symbols, accounts)` makes one with room for so many only, to be restored."""
        if config is None:
            config = CoreConfig()
        if not isinstance(config, CoreConfig):
            raise TypeError(f"config: expected CoreConfig, got {type(config).__name__}")
        self.config = config
        self.limits.symbols, self.limits.accounts, self.limits.assets, self.limits.orders, self.limits.levels = (
            config.words()
        )
        cdef uint64_t symbols = 0, accounts = 0
        self.partial = partial is not None
        if self.partial:
            symbols, accounts = partial
            self.size = core_size_partial(&self.limits, symbols, accounts)
        else:
            self.size = core_size(&self.limits)
        if self.size == 0:
            raise ValueError(f"core: {config} with partial={partial} is out of range")
        # Anonymous pages cost memory only once touched, so a generous configuration is free.
        cdef void *arena = mmap(NULL, self.size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if arena == MAP_FAILED:
            raise MemoryError(f"core: no address space for {self.size} bytes; lower orders, levels or symbols")
        self.arena = <core *>arena
        cdef core_status status
        if self.partial:
            status = core_init_partial(self.arena, &self.limits, symbols, accounts)
        else:
            status = core_init(self.arena, &self.limits)
        if status != CORE_OK:
            raise ValueError(f"core: {config} refused with status {CoreStatus(status).name}")
        self.events = np.empty(core_events_max(&self.limits) + EVENTS_SPARE, EVENT)

    def __dealloc__(self):
        if self.arena is not NULL:
            munmap(self.arena, self.size)

    # ---- applying ----

    def apply(self, commands):
        """Applies commands in order; returns (events, ends): ends[i] is the count of events after command i."""
        commands = commands_of(commands)
        cdef u64 count = commands.shape[0], done = 0, written = 0, part, made, i
        ends = np.empty(count, np.uint64)
        cdef cnp.ndarray part_events
        cdef const command *source = <const command *>data_of(commands)
        cdef u64 *end_at = <u64 *>data_of(ends)
        cdef event *target = <event *>data_of(self.events)
        cdef u64 capacity = self.events.shape[0]
        parts = []
        while True:
            with nogil:
                part = core_apply_batch(self.arena, source + done, count - done, target, capacity, &made, end_at + done)
                for i in range(done, done + part):
                    end_at[i] += written
            done += part
            written += made
            part_events = np.empty(made, EVENT)
            memcpy(data_of(part_events), target, made * sizeof(event))
            parts.append(part_events)
            if done == count:
                return parts[0] if len(parts) == 1 else np.concatenate(parts), ends
            if core_status_last(self.arena) != CORE_OK:
                self._raise_fatal(commands, done)

    def apply_one(self, **fields):
        """Applies one command given by its fields (seq: the next by default); returns its events."""
        record = np.zeros(1, COMMAND)
        fields.setdefault("seq", self.last_seq + 1)
        fields.setdefault("time_ns", self.last_time_ns)
        for name, value in fields.items():
            record[name] = value
        return self.apply(record)[0]

    def _raise_fatal(self, commands, done):
        cdef core_status status = core_status_last(self.arena)
        if status == CORE_BAD_SEQUENCE:
            raise SequenceError(
                f"command {done} of the batch: seq {commands['seq'][done]} at {commands['time_ns'][done]} ns, "
                f"but the core stands at seq {self.last_seq}, {self.last_time_ns} ns; the {done} before it were applied"
            )
        if status == CORE_MISSING:
            raise MissingError(f"command {done} of the batch needs a symbol or account that this partial core lacks")
        raise StateError("the core was not restored to the end, or a restore failed: make a new one")

    # ---- invariants ----

    def check(self):
        """Raises AssertionError with the first broken invariant; says nothing when all hold."""
        cdef u64 broken
        with nogil:
            broken = core_check(self.arena)
        if broken:
            raise AssertionError(f"core: invariant {Invariant(broken).name} is broken after seq {self.last_seq}")

    # ---- canonical state ----

    def walk_config(self):
        """Slots of the configuration, counters and supplies, as (n, 8) words."""
        slots = np.empty((core_walk_config(self.arena, NULL), 8), np.uint64)
        core_walk_config(self.arena, <slot *>data_of(slots))
        return slots

    def walk_symbol(self, u64 number):
        """Slots of a symbol and its open orders; empty when it does not exist here."""
        slots = np.empty((core_walk_symbol(self.arena, number, NULL), 8), np.uint64)
        if slots.size:
            core_walk_symbol(self.arena, number, <slot *>data_of(slots))
        return slots

    def walk_account(self, u64 number):
        """Slots of an account and its positions; empty when it does not exist here."""
        slots = np.empty((core_walk_account(self.arena, number, NULL), 8), np.uint64)
        if slots.size:
            core_walk_account(self.arena, number, <slot *>data_of(slots))
        return slots

    def snapshot(self):
        """The whole state as bytes: equal states give equal bytes, from either implementation."""
        if self.partial:
            raise StateError("a partial core has no whole state to write")
        cdef u64 count
        cdef slot *target
        slots = np.empty((core_snapshot(self.arena, NULL), 8), np.uint64)
        target = <slot *>data_of(slots)
        with nogil:
            core_snapshot(self.arena, target)
        return slots.tobytes()

    @classmethod
    def restore(cls, data):
        """A core from the bytes of `snapshot`; StateError when they are no state."""
        slots = slots_of(data)
        if slots.shape[0] == 0:
            raise StateError("snapshot: empty")
        try:
            config = CoreConfig(*(int(word) for word in slots[0, 1:6]))
        except ValueError as error:
            raise StateError(f"snapshot: its first slot is no configuration ({error})") from error
        cdef Core core = cls(config)
        cdef const slot *source = <const slot *>data_of(slots)
        cdef u64 count = slots.shape[0]
        cdef core_status status
        with nogil:
            status = core_restore_snapshot(core.arena, source, count)
        if status != CORE_OK:
            raise StateError(f"snapshot: {count} slots that are no state of a core (first slot {slots[0].tolist()})")
        return core

    def restore_config(self, slots):
        """First step of a piecewise restore: the slots of `walk_config`."""
        slots = slots_of(slots)
        self._expect(core_restore_config(self.arena, <const slot *>data_of(slots), slots.shape[0]), "configuration")

    def restore_symbol(self, slots):
        """The slots of one `walk_symbol`; in ascending order of number."""
        slots = slots_of(slots)
        self._expect(core_restore_symbol(self.arena, <const slot *>data_of(slots), slots.shape[0]), "symbol")

    def restore_account(self, slots):
        """The slots of one `walk_account`; in ascending order of number."""
        slots = slots_of(slots)
        self._expect(core_restore_account(self.arena, <const slot *>data_of(slots), slots.shape[0]), "account")

    def restore_end(self):
        """Last step of a piecewise restore: from here on the core applies commands."""
        self._expect(core_restore_end(self.arena), "end")

    cdef int _expect(self, core_status status, str what) except -1:
        if status != CORE_OK:
            raise StateError(f"restore: the slots of the {what} do not belong here or are no state")
        return 0

    def dirty_symbols(self):
        """Symbols that commands read or changed since `clear_dirty`, ascending."""
        numbers = np.empty(core_dirty_symbols(self.arena, NULL), np.uint64)
        core_dirty_symbols(self.arena, <u64 *>data_of(numbers) if numbers.size else NULL)
        return numbers

    def dirty_accounts(self):
        """Accounts that commands read or changed since `clear_dirty`, ascending."""
        numbers = np.empty(core_dirty_accounts(self.arena, NULL), np.uint64)
        core_dirty_accounts(self.arena, <u64 *>data_of(numbers) if numbers.size else NULL)
        return numbers

    def clear_dirty(self):
        core_clear_dirty(self.arena)

    # ---- questions ----

    @property
    def last_seq(self):
        return core_last_seq(self.arena)

    @property
    def last_time_ns(self):
        return int(self.walk_config()[1, 1])

    @property
    def symbol_count(self):
        return core_symbol_count(self.arena)

    @property
    def account_count(self):
        return core_account_count(self.arena)

    @property
    def address(self):
        """Address of the C core, for code that speaks core.h; valid while this object lives."""
        return <uintptr_t>self.arena

    @property
    def arena_bytes(self):
        """Size of the C core's arena; its untouched pages take no memory."""
        return self.size

    def find_order(self, u64 symbol, u64 order_id):
        """The open order, or None."""
        cdef order_view view
        if not core_find_order(self.arena, symbol, order_id, &view):
            return None
        return OrderView(
            order_id=view.order_id,
            leaves_lots=view.leaves_lots,
            price_ticks=view.price_ticks,
            cum_lots=view.cum_lots,
            account=view.owner & 0xffffffff,
            session=view.owner >> 32,
            side=view.flags & 0xff,
            ord_type=view.flags >> 8 & 0xff,
            tif=view.flags >> 16 & 0xff,
            flags=view.flags >> 24 & 0xff,
            facts=view.flags >> 32,
            hidden_lots=view.hidden_lots,
            display_lots=view.display_lots,
            stop_ticks=view.stop_ticks,
            expiry_ns=view.expiry_ns,
        )

    def depth(self, u64 symbol, int book_side, u64 levels_max=10):
        """[(price_ticks, qty_lots)], best first."""
        levels_max = min(levels_max, self.limits.levels)
        prices = np.empty(max(1, levels_max), np.uint64)
        lots = np.empty(max(1, levels_max), np.uint64)
        cdef u64 count = core_depth(self.arena, symbol, <side>book_side, levels_max, <u64 *>data_of(prices),
                                    <u64 *>data_of(lots))
        return list(zip(prices[:count].tolist(), lots[:count].tolist(), strict=True))

    def open_orders(self, u64 symbol):
        return core_open_orders(self.arena, symbol)

    def phase(self, u64 symbol):
        """enum phase; CLOSED when there is no such symbol."""
        return core_phase(self.arena, symbol)

    def last_price(self, u64 symbol):
        """(last price, reference price) in ticks; 0: none yet."""
        cdef u64 reference
        cdef u64 last = core_last_price(self.arena, symbol, &reference)
        return last, reference

    def expiry_next(self, u64 symbol):
        """Time in ns that is not after the first expiry of a GTD order; None: no such order."""
        cdef u64 expiry_ns = core_expiry_next(self.arena, symbol)
        return None if expiry_ns == ~<u64>0 else expiry_ns

    def indicative(self, u64 symbol):
        """(price, volume, surplus, side of the surplus) of a call; None when nothing would trade, or no call."""
        cdef indicative found
        if not core_indicative(self.arena, symbol, &found):
            return None
        return found.price_ticks, found.qty_lots, found.surplus_lots, found.surplus_side

    def balance(self, u64 account, u64 asset):
        """(balance, hold, credit) of an account in an asset; zeros when there is none."""
        cdef u64 hold, credit
        cdef u64 balance = core_balance(self.arena, account, asset, &hold, &credit)
        return <int64_t>balance, hold, credit

    def position(self, u64 account, u64 symbol):
        """The account's position in a future, perhaps of no lots; None: no such account, or no future."""
        cdef position_view view
        if not core_position(self.arena, account, symbol, &view):
            return None
        return PositionView(
            lots=<int64_t>view.lots,
            cost=<int64_t>view.cost,
            collateral=view.collateral,
            equity=<int64_t>view.equity,
            needed=view.needed,
            stage=view.stage,
            open_buys=view.open_buys,
            open_sells=view.open_sells,
        )

    def mark_price(self, u64 symbol):
        """Mark price of a future in ticks; 0: none yet."""
        return core_mark(self.arena, symbol)

    def supply(self, u64 asset):
        return core_supply(self.arena, asset)

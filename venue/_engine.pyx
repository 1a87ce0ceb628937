# cython: language_level=3, boundscheck=False, wraparound=False
"""The engine as a Python object, and the native part of the journal's readers.

Why: the host process opens and closes the engine, serves what is not hot, and reads counters from Python; the order path
itself goes through the capsule and never comes here. It must never hold the GIL while it waits for the engine's lock.
"""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap,
)

import sys

import numpy as np

from cores.records import COMMAND, EVENT, PositionView
from venue.records import REPORT

SYNC_MODES = {"commit": 0, "interval": 1, "none": 2}
cdef const char *CAPSULE_NAME = b"venue._engine.engine_api"


class JournalError(Exception):
    """The journal cannot be opened or read. `damaged` is true when acknowledged entries are missing or changed."""

    damaged = False


class JournalLocked(JournalError):
    """Another engine is the writer."""


class JournalDamaged(JournalError):
    """Acknowledged entries are missing or changed: the text says where and how to mend it."""

    damaged = True


class JournalConfigError(JournalError, ValueError):
    """The journal was written under other limits or by another version."""


cdef object error_of(int status, bytes text):
    kinds = {JOURNAL_LOCKED: JournalLocked, JOURNAL_DAMAGED: JournalDamaged, JOURNAL_CONFIG: JournalConfigError}
    return kinds.get(status, JournalError)(text.decode("utf-8", "replace"))


cdef inline uintptr_t address_of(object array) except? 0:
    return <uintptr_t>array.__array_interface__["data"][0]


cdef object reports_array(const report *reports, u64 count):
    array = np.empty(count, REPORT)
    if count:
        memcpy(<void *><uintptr_t>address_of(array), reports, count * sizeof(report))
    return array


cdef void call_sink(void *context, const report *reports, u64 count) noexcept with gil:
    cdef Engine engine = <Engine>context
    try:
        engine._sink(reports_array(reports, count))
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef void call_fatal(void *context, const char *reason) noexcept with gil:
    cdef Engine engine = <Engine>context
    try:
        engine._on_fatal(reason.decode("utf-8", "replace"))
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef int set_name(char *target, object text, str what) except -1:
    cdef bytes raw = text.encode("ascii") if isinstance(text, str) else bytes(text)
    if len(raw) >= CLORDID_BYTES:
        raise ValueError(f"{what}: {len(raw)} characters, at most {CLORDID_BYTES - 1}")
    memset(target, 0, CLORDID_BYTES)
    memcpy(target, <const char *>raw, len(raw))
    return 0


MESSAGE_TYPES = {1: b"D", 2: b"F", 3: b"G"}


cdef status_of(const order_status *found):
    """An order as a dict of `struct order_status`."""
    return {
        "order_id": found.order_id, "order_qty_lots": found.order_qty_lots, "leaves_lots": found.leaves_lots,
        "cum_lots": found.cum_lots, "value": found.value, "price_ticks": found.price_ticks,
        "last_exec_id": found.last_exec_id, "account": found.account, "session": found.session,
        "symbol": found.symbol, "side": found.side, "ord_type": found.ord_type, "tif": found.tif,
        "order_flags": found.order_flags, "order_detail": found.order_detail, "order_aux": found.order_aux,
        "peg": found.peg, "status": chr(found.status), "clordid": found.clordid.decode("ascii"),
    }


cdef position_of(const position_view *view):
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


cdef peg_of(const peg_view *view):
    if view.peg == 0:
        return None
    return {
        "order_id": view.order_id, "price_ticks": view.price_ticks, "qty_lots": view.qty_lots,
        "leaves_lots": view.leaves_lots, "account": view.account, "session": view.session, "side": view.side,
        "peg": chr(view.peg), "clordid": view.clordid.decode("ascii"),
    }


cdef u64 ORDERS_PORTION = 8192


cdef class Engine:
    """The one writer of a data directory. See `venue.engine.Engine` for the face with logging and roots."""

    cdef engine_s *engine
    cdef public object _sink
    cdef public object _on_fatal
    cdef readonly object config
    cdef object _events_dtype

    def __cinit__(self, data_dir, config, *, sync="commit", interval_ms=5, segment_bytes=64 << 20,
                  snapshot_commands=1_000_000, on_fatal=None):
        """Recovers and starts. Raises JournalError and its kinds; `snapshot_commands=0`: snapshots on request only."""
        cdef engine_options options
        cdef char text[TEXT_BYTES]
        cdef bytes path = str(data_dir).encode()
        cdef int status
        if sync not in SYNC_MODES:
            raise ValueError(f"sync: must be one of {', '.join(SYNC_MODES)}, is {sync!r}")
        if segment_bytes < 65536:
            raise ValueError(f"segment_bytes: at least 65536, is {segment_bytes}")
        if interval_ms <= 0 or snapshot_commands < 0:
            raise ValueError("interval_ms must be positive and snapshot_commands not negative")
        self.config = config
        self._on_fatal = on_fatal
        memset(&options, 0, sizeof(options))
        memset(text, 0, sizeof(text))
        options.data_dir = path
        (options.config.symbols, options.config.accounts, options.config.assets, options.config.orders,
         options.config.levels) = config.words()
        options.sync = SYNC_MODES[sync]
        options.interval_ns = int(interval_ms * 1_000_000)
        options.segment_bytes = segment_bytes
        options.snapshot_commands = snapshot_commands
        if on_fatal is not None:
            options.on_fatal = call_fatal
            options.fatal_context = <void *>self
        with nogil:
            status = engine_open(&options, &self.engine, text)
        if status != JOURNAL_OK:
            self.engine = NULL
            raise error_of(status, text)

    def __dealloc__(self):
        if self.engine is not NULL:
            with nogil:
                engine_close(self.engine)
            self.engine = NULL

    cdef int _alive(self) except -1:
        if self.engine is NULL:
            raise ValueError("the engine is closed")
        return 0

    # ---- submitting ----

    cdef object _fill(self, submission *s, command, clordid, orig_clordid, body, poss_dup, origin, fields):
        """Fills the submission; returns the body, which must stay alive while it is used."""
        record = np.zeros(1, COMMAND)
        if command is not None:
            record[0] = command if isinstance(command, np.void) else np.asarray(command, COMMAND).reshape(-1)[0]
        for name, value in fields.items():
            record[name] = value
        memset(s, 0, sizeof(submission))
        memcpy(&s.command, <void *><uintptr_t>address_of(record), sizeof(core_command))
        set_name(s.clordid, clordid, "clordid")
        set_name(s.orig_clordid, orig_clordid, "orig_clordid")
        cdef bytes raw = bytes(body)
        kind = int(record["kind"][0])
        if not raw and clordid and kind in MESSAGE_TYPES:
            raw = b"35=" + MESSAGE_TYPES[kind] + b"\x0111=" + bytes(s.clordid) + b"\x01"
            if orig_clordid:
                raw += b"41=" + bytes(s.orig_clordid) + b"\x01"
        s.body = <const uint8_t *><const char *>raw
        s.body_bytes = <uint32_t>len(raw)
        s.flags = SUBMIT_POSS_DUP if poss_dup else 0
        s.origin = origin
        return raw

    def submit(self, command=None, *, clordid=b"", orig_clordid=b"", body=b"", poss_dup=False, origin=0, **fields):
        """Submits one command (a COMMAND record, or its fields); returns (SubmitStatus, seq)."""
        self._alive()
        cdef submission s
        cdef u64 seq = 0
        cdef int status
        alive = self._fill(&s, command, clordid, orig_clordid, body, poss_dup, origin, fields)
        with nogil:
            status = engine_submit(self.engine, &s, &seq)
        return status, seq

    def move_peg(self, *, u64 symbol, u64 order_id, u64 account, u64 price_ticks, u64 qty_lots, body):
        """Submits a REPLACE of a pegged order's price, unless it is open, pegged and of this quantity no more; returns
        (SubmitStatus, seq)."""
        self._alive()
        cdef submission s
        cdef u64 seq = 0
        cdef int status
        fields = {"kind": 3, "symbol": symbol, "account": account, "order_id": order_id}
        fields.update(ord_type=0, price_ticks=price_ticks, qty_lots=qty_lots)
        alive = self._fill(&s, None, b"", b"", body, False, 0, fields)
        s.flags = SUBMIT_IF_PEGGED
        with nogil:
            status = engine_submit(self.engine, &s, &seq)
        return status, seq

    def submit_many(self, commands, bodies=None):
        """Submits commands in order with one crossing of the GIL; returns how many were taken."""
        self._alive()
        cdef submission s
        cdef u64 seq = 0, count, i
        cdef int status = SUBMIT_OK
        commands = np.ascontiguousarray(commands, COMMAND)
        blob = b"".join(bodies) if bodies is not None else b""
        ends = np.cumsum([len(b) for b in bodies], dtype=np.uint64) if bodies is not None else None
        cdef const core_command *source = <const core_command *><uintptr_t>address_of(commands)
        cdef const uint8_t *bytes_at = <const uint8_t *><const char *>blob
        cdef const u64 *end_at = <const u64 *><uintptr_t>address_of(ends) if bodies is not None and len(ends) else NULL
        count = commands.shape[0]
        memset(&s, 0, sizeof(submission))
        with nogil:
            for i in range(count):
                s.command = source[i]
                if end_at is not NULL:
                    s.body = bytes_at + (end_at[i - 1] if i else 0)
                    s.body_bytes = <uint32_t>(end_at[i] - (end_at[i - 1] if i else 0))
                status = submit_parsed(self.engine, &s, &seq)
                if status != SUBMIT_OK:
                    break
            else:
                i = count
        return int(i)

    def call(self, command=None, *, clordid=b"", orig_clordid=b"", body=b"", poss_dup=False, origin=0, **fields):
        """Submits and waits until safe; returns (SubmitStatus, seq, events)."""
        self._alive()
        cdef submission s
        cdef u64 seq = 0, count = 0
        cdef event *events = NULL
        cdef int status
        alive = self._fill(&s, command, clordid, orig_clordid, body, poss_dup, origin, fields)
        with nogil:
            status = engine_call(self.engine, &s, &seq, &events, &count)
        made = np.empty(count, EVENT)
        if count:
            memcpy(<void *><uintptr_t>address_of(made), events, count * sizeof(event))
        free(events)
        return status, seq, made

    # ---- reports ----

    def set_sink(self, sink):
        """`sink(reports: ndarray[REPORT])` is called in sequence order, never under the lock; None takes it away."""
        self._alive()
        old = self._sink
        if sink is None:
            with nogil:
                engine_set_sink(self.engine, NULL, NULL)
            self._sink = None
            return
        self._sink = sink
        with nogil:
            engine_set_sink(self.engine, call_sink, <void *>self)

    def pending(self, uint16_t session, u64 after_exec_id=0):
        """Reports of this session later than `after_exec_id` that no sink was given; each is returned once."""
        self._alive()
        cdef report *taken = NULL
        cdef u64 count
        with nogil:
            engine_lock(self.engine)
            count = reports_take_pending(&self.engine.reports, session, after_exec_id, &taken)
            engine_unlock(self.engine)
        array = reports_array(taken, count)
        free(taken)
        return array

    @property
    def capsule(self):
        """`struct engine_api` for native callers; valid until close."""
        self._alive()
        return PyCapsule_New(&self.engine.api, CAPSULE_NAME, NULL)

    # ---- questions ----

    def find_order(self, uint16_t session, clordid):
        """What has become of an order, as a dict of `struct order_status`; None when the ClOrdID names none."""
        self._alive()
        cdef order_status found
        cdef bytes raw = clordid.encode("ascii") if isinstance(clordid, str) else bytes(clordid)
        cdef const char *name = raw
        cdef int there
        with nogil:
            there = engine_find_order(self.engine, session, name, &found)
        return status_of(&found) if there else None

    def busted(self, uint16_t session, clordid):
        """(lots, their value) of an order's fills that were taken back; (0, 0) when the ClOrdID names none."""
        self._alive()
        cdef order_status found
        cdef const tracked *order = NULL
        cdef bytes raw = bytes(clordid)
        cdef const char *name = raw
        cdef u64 lots = 0, value = 0
        with nogil:
            if engine_find_order(self.engine, session, name, &found):
                engine_lock(self.engine)
                order = orders_of_id(&self.engine.orders, found.order_id)
                if order is not NULL:
                    lots, value = order.busted_lots, order.busted_value
                engine_unlock(self.engine)
        return int(lots), int(value)

    def open_orders_of(self, uint16_t session):
        """(seq, dicts like `find_order`'s of every open order of the session, in order of entry); seq: the last command
        that any of them may know of. The lock is taken for a portion at a time, so each is as it was at its own moment.
        """
        self._alive()
        cdef u64 at = 0, day, end, seq, count, i
        cdef order_status *portion = <order_status *>malloc(ORDERS_PORTION * sizeof(order_status))
        if portion is NULL:
            raise MemoryError("no memory for open orders")
        found = {}
        try:
            with nogil:
                engine_lock(self.engine)
                day = self.engine.orders.day
                engine_unlock(self.engine)
            while True:
                with nogil:
                    engine_lock(self.engine)
                    if day != self.engine.orders.day:  # what is forgotten at midnight moves the others
                        day, at = self.engine.orders.day, 0
                    count = orders_open_part(&self.engine.orders, session, &at, ORDERS_PORTION, portion)
                    end, seq = self.engine.orders.tracked_count, self.engine.last_seq
                    engine_unlock(self.engine)
                for i in range(count):
                    found[portion[i].order_id] = status_of(&portion[i])
                if at >= end:
                    return int(seq), list(found.values())
        finally:
            free(portion)

    def session_orders(self, uint16_t session):
        """All open orders that a session entered, as `find_order` gives them, in the order in which they came."""
        self._alive()
        cdef order_status *found = NULL
        cdef u64 count, i
        with nogil:
            count = engine_session_orders(self.engine, session, &found)
        if found is NULL:
            raise MemoryError()
        try:
            return [status_of(&found[i]) for i in range(count)]
        finally:
            free(found)

    def depth(self, u64 symbol, int book_side, u64 levels_max=10):
        """[(price_ticks, qty_lots)], best first."""
        self._alive()
        levels_max = min(levels_max, self.config.levels)
        prices = np.empty(max(1, levels_max), np.uint64)
        lots = np.empty(max(1, levels_max), np.uint64)
        cdef u64 *price_at = <u64 *><uintptr_t>address_of(prices)
        cdef u64 *lot_at = <u64 *><uintptr_t>address_of(lots)
        cdef u64 count
        with nogil:
            engine_lock(self.engine)
            count = core_depth(self.engine.core, symbol, <side>book_side, levels_max, price_at, lot_at)
            engine_unlock(self.engine)
        return [(int(prices[i]), int(lots[i])) for i in range(count)]

    def best(self, u64 symbol, int book_side):
        """(price_ticks, qty_lots) of the best level, or None."""
        self._alive()
        cdef u64 price = 0, lots = 0, found
        with nogil:
            engine_lock(self.engine)
            found = core_best_price(self.engine.core, symbol, <side>book_side, &price, &lots)
            engine_unlock(self.engine)
        return (int(price), int(lots)) if found else None

    def pegs(self, u64 symbol, order_ids):
        """(best buy price, best sell price) of all other orders in the book, 0 where there is none, and what has become
        of these, as a dict each; None for an order that is not open or pegged no longer."""
        self._alive()
        cdef u64 count = len(order_ids)
        cdef u64 best[2]
        if count > PEGS_MAX:
            raise ValueError(f"{count} pegged orders in one look, at most {PEGS_MAX}")
        ids = np.array(order_ids, np.uint64)
        cdef u64 *id_at = <u64 *><uintptr_t>address_of(ids) if count else NULL
        cdef peg_view *views = <peg_view *>malloc((count + 1) * sizeof(peg_view))
        if views is NULL:
            raise MemoryError(f"no memory for {count} pegged orders")
        try:
            with nogil:
                engine_lock(self.engine)
                pegs_look(self.engine, symbol, id_at, count, views, best)
                engine_unlock(self.engine)
            return (int(best[0]), int(best[1])), [peg_of(&views[i]) for i in range(count)]
        finally:
            free(views)

    def open_pegs(self):
        """[(symbol, order id, number of the command with the member's terms in force)] of the open pegged orders."""
        self._alive()
        cdef u64 count = 0, capacity = 256
        cdef u64 *at
        while True:
            found = np.empty((capacity, 3), np.uint64)
            at = <u64 *><uintptr_t>address_of(found)
            with nogil:
                engine_lock(self.engine)
                count = pegs_open(self.engine, at, capacity)
                engine_unlock(self.engine)
            if count <= capacity:
                return [tuple(row) for row in found[:count].tolist()]
            capacity = count

    def balance(self, u64 account, u64 asset):
        """(balance, hold, credit) in units; the balance may be negative while credit is drawn."""
        self._alive()
        cdef u64 balance, hold = 0, credit = 0
        with nogil:
            engine_lock(self.engine)
            balance = core_balance(self.engine.core, account, asset, &hold, &credit)
            engine_unlock(self.engine)
        return int(balance) - (1 << 64 if balance >> 63 else 0), int(hold), int(credit)

    def open_orders(self, u64 symbol):
        """How many orders rest in the symbol's book."""
        self._alive()
        cdef u64 count = 0
        with nogil:
            engine_lock(self.engine)
            if symbol < core_symbol_count(self.engine.core):
                count = core_open_orders(self.engine.core, symbol)
            engine_unlock(self.engine)
        return int(count)

    def phases(self):
        """The phase of every symbol, by number."""
        self._alive()
        cdef u64 symbol, count
        found = np.empty(self.config.symbols, np.uint64)
        cdef u64 *at = <u64 *><uintptr_t>address_of(found)
        with nogil:
            engine_lock(self.engine)
            count = core_symbol_count(self.engine.core)
            for symbol in range(count):
                at[symbol] = core_phase(self.engine.core, symbol)
            engine_unlock(self.engine)
        return found[:count].tolist()

    def prices(self, u64 symbol):
        """(last price, reference price) in ticks, 0 where there is none."""
        self._alive()
        cdef u64 last = 0, reference = 0
        with nogil:
            engine_lock(self.engine)
            if symbol < core_symbol_count(self.engine.core):
                last = core_last_price(self.engine.core, symbol, &reference)
            engine_unlock(self.engine)
        return int(last), int(reference)

    def mark_price(self, u64 symbol):
        """Mark price of a future in ticks, 0 where there is none."""
        self._alive()
        cdef u64 mark
        with nogil:
            engine_lock(self.engine)
            mark = core_mark(self.engine.core, symbol)
            engine_unlock(self.engine)
        return int(mark)

    def positions(self, u64 symbol):
        """PositionView by account of everybody who has lots in a future."""
        self._alive()
        cdef u64 account, count = 0
        cdef position_view *views = <position_view *>malloc(self.config.accounts * sizeof(position_view))
        accounts = np.empty(self.config.accounts, np.uint64)
        cdef u64 *at = <u64 *><uintptr_t>address_of(accounts)
        if views is NULL:
            raise MemoryError(f"no memory for {self.config.accounts} positions")
        try:
            with nogil:
                engine_lock(self.engine)
                for account in range(core_account_count(self.engine.core)):
                    if core_position(self.engine.core, account, symbol, &views[count]) and views[count].lots != 0:
                        at[count] = account
                        count += 1
                engine_unlock(self.engine)
            return {int(at[i]): position_of(&views[i]) for i in range(count)}
        finally:
            free(views)

    def traded(self, u64 symbol):
        """Lots traded in a symbol, each trade counted once, since a moment before this process: take differences."""
        self._alive()
        cdef u64 lots
        with nogil:
            lots = engine_traded(self.engine, symbol)
        return int(lots)

    @property
    def expiry_hint(self):
        """No GTD order expires before this time in ns; 0 while that is not known. One word, read without the lock."""
        self._alive()
        return self.engine.expiry_hint

    def expiries_due(self, u64 now_ns):
        """Numbers of the symbols with GTD orders that have expired by now; brings `expiry_hint` up to date."""
        self._alive()
        cdef u64 count
        found = np.empty(self.config.symbols, np.uint64)
        cdef u64 *at = <u64 *><uintptr_t>address_of(found)
        with nogil:
            count = engine_expiries_due(self.engine, now_ns, at)
        return found[:count].tolist()

    def state(self):
        """(seq, canonical state bytes as `cores.Core.snapshot` gives them)."""
        self._alive()
        cdef u64 count, seq
        cdef slot *slots
        with nogil:
            engine_lock(self.engine)
            count = core_snapshot(self.engine.core, NULL)
            slots = <slot *>malloc(count * sizeof(slot))
            if slots is not NULL:
                core_snapshot(self.engine.core, slots)
            seq = self.engine.last_seq
            engine_unlock(self.engine)
        if slots is NULL:
            raise MemoryError(f"no memory for {count} slots")
        try:
            return int(seq), (<const char *>slots)[: count * sizeof(slot)]
        finally:
            free(slots)

    def orders_state(self):
        """(numbers of orders and of names, day), and the order table as bytes: equal tables give equal bytes."""
        self._alive()
        cdef u64 orders, names, day, orders_bytes, bytes_all
        cdef char *copy
        with nogil:
            engine_lock(self.engine)
            orders, names, day = self.engine.orders.tracked_count, self.engine.orders.known_count, self.engine.orders.day
            orders_bytes = orders * sizeof(tracked)
            bytes_all = orders_bytes + names * sizeof(known)
            copy = <char *>malloc(bytes_all + 1)
            if copy is not NULL and orders:
                memcpy(copy, self.engine.orders.tracked, orders_bytes)
            if copy is not NULL and names:
                memcpy(copy + orders_bytes, self.engine.orders.known, names * sizeof(known))
            engine_unlock(self.engine)
        if copy is NULL:
            raise MemoryError(f"no memory for {bytes_all} bytes")
        try:
            return (orders, names, day), copy[:bytes_all]
        finally:
            free(copy)

    @property
    def durable_seq(self):
        self._alive()
        return engine_durable_seq(self.engine)

    @property
    def last_seq(self):
        self._alive()
        return self.engine.last_seq

    @property
    def last_time_ns(self):
        """Time of the last command."""
        self._alive()
        return self.engine.last_time_ns

    @property
    def epoch(self):
        """Number of this start of the engine on this journal, from 1."""
        self._alive()
        return self.engine.journal.epoch

    @property
    def snapshot_seq(self):
        """Sequence number of the newest snapshot on disk, 0 when there is none."""
        self._alive()
        return self.engine.snapshots.last_seq

    @property
    def notes(self):
        """What recovery found and mended, one line each."""
        self._alive()
        return self.engine.notes.decode("utf-8", "replace").splitlines()

    @property
    def stopped(self):
        """Why no order is taken any more; empty while orders are taken or after a plain stop."""
        self._alive()
        return self.engine.reason.decode("utf-8", "replace") if self.engine.stopped else ""

    def counters(self):
        """What the metrics show: journal records, bytes, syncs, seconds and buckets of syncs, depths of queues."""
        self._alive()
        cdef journal_counters c = self.engine.journal.counters
        bounds = [16e-6 * 2**i for i in range(SYNC_BUCKETS - 1)] + [float("inf")]
        return {
            "journal_records": c.records, "journal_bytes": c.bytes, "journal_segments": c.segments,
            "journal_syncs": c.syncs, "journal_sync_seconds": c.sync_ns / 1e9,
            "journal_sync_buckets": [(bounds[i], c.sync_buckets[i]) for i in range(SYNC_BUCKETS)],
            "last_seq": self.engine.last_seq, "durable_seq": engine_durable_seq(self.engine),
            "reports_waiting": self.engine.reports.total - self.engine.reports.released,
            "reports_pending": self.engine.reports.pending_count, "journal_bytes_waiting": self.engine.journal.active.used,
            "orders_tracked": self.engine.orders.tracked_count, "clordids_known": self.engine.orders.known_count,
            "order_table_bytes": orders_bytes(&self.engine.orders),
        }

    # ---- life ----

    def snapshot(self):
        """Takes a snapshot now and waits until it is on disk; returns its sequence number."""
        self._alive()
        cdef int error
        cdef u64 seq
        with nogil:
            engine_lock(self.engine)
            snapshot_wait(self.engine)
            seq = self.engine.last_seq
            if seq > self.engine.snapshots.last_seq:
                snapshot_take(self.engine)
                error = snapshot_wait(self.engine)
            else:
                error = 0
            engine_unlock(self.engine)
        if error:
            raise OSError(error, "the snapshot was not written")
        return int(seq)

    def drain(self):
        """Waits until everything submitted is safe and handed to the sink; false when the journal failed first."""
        self._alive()
        cdef int done
        with nogil:
            done = engine_drain(self.engine)
        return bool(done)

    def stop(self):
        """Takes no more commands; what was taken still becomes safe and is reported."""
        self._alive()
        with nogil:
            engine_stop(self.engine)

    def close(self):
        """Stops, writes everything, takes a last snapshot. Idempotent."""
        cdef engine_s *engine = self.engine
        self.engine = NULL
        if engine is not NULL:
            with nogil:
                engine_close(engine)
        self._sink = None

    def check(self):
        """Raises AssertionError when an invariant of the core or of the order table is broken."""
        self._alive()
        cdef u64 broken
        with nogil:
            broken = engine_check(self.engine)
        if broken:
            raise AssertionError(f"engine: core invariant {broken & 0xffffffff}, order table invariant {broken >> 32}")


cdef int submit_parsed(engine_s *engine, submission *s, u64 *seq) noexcept nogil:
    """The names out of the body, then submit."""
    memset(s.clordid, 0, CLORDID_BYTES)
    memset(s.orig_clordid, 0, CLORDID_BYTES)
    if s.body_bytes and not names_into(s.body, s.body_bytes, s.clordid, s.orig_clordid):
        return SUBMIT_INVALID
    return engine_submit(engine, s, seq)


cdef extern from *:
    """
    static int names_into(const uint8_t *body, u64 bytes, char *clordid, char *orig_clordid) {
        struct names names;
        int good = names_read(body, bytes, &names);
        memcpy(clordid, names.clordid, CLORDID_BYTES);
        memcpy(orig_clordid, names.orig_clordid, CLORDID_BYTES);
        return good;
    }
    """
    int names_into(const uint8_t *body, u64 bytes, char *clordid, char *orig_clordid) noexcept nogil


include "_journal.pxi"
include "_replica.pxi"

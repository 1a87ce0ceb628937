"""The engine's C interface: engine.h is the contract for native callers, engine_internal.h is for the binding only."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

# core.h once more, and not by way of cores._core: this module needs the C core, not the Python class around it.
cdef extern from "core.h" nogil:
    ctypedef unsigned long long u64

    struct core_command "command":
        u64 head, seq, time_ns, owner, order_id, price_ticks, qty_lots, aux

    struct event:
        u64 head, exec_id

    struct slot:
        u64 word[8]

    struct core_config:
        u64 symbols, accounts, assets, orders, levels

    struct core:
        pass

    enum side:
        SIDE_NONE

    u64 CORE_FATAL

    size_t core_size(const core_config *config)
    int core_init(core *c, const core_config *config)
    u64 core_events_max(const core_config *config)
    u64 core_apply(core *c, const core_command *cmd, event *events)
    u64 core_symbol_count(const core *c)
    u64 core_snapshot(const core *c, slot *slots)
    u64 core_best_price(const core *c, u64 symbol, side s, u64 *price_ticks, u64 *qty_lots)
    u64 core_depth(const core *c, u64 symbol, side s, u64 levels_max, u64 *price_ticks, u64 *qty_lots)
    u64 core_open_orders(const core *c, u64 symbol)
    u64 core_phase(const core *c, u64 symbol)
    u64 core_last_price(const core *c, u64 symbol, u64 *reference_ticks)
    u64 core_account_count(const core *c)
    struct position_view:
        u64 lots, cost, collateral, equity, needed, stage, open_buys, open_sells
    u64 core_position(const core *c, u64 account, u64 symbol, position_view *view)
    u64 core_mark(const core *c, u64 symbol)
    u64 core_balance(const core *c, u64 account, u64 asset, u64 *hold, u64 *credit)


cdef extern from "engine_internal.h" nogil:
    enum:
        CLORDID_BYTES
        ANNEX_BYTES_MAX
        SALT_BYTES
        TEXT_BYTES
        SYNC_BUCKETS
        SUBMIT_POSS_DUP
        SUBMIT_IF_PEGGED
        PEGS_MAX
        SUBMIT_OK
        SUBMIT_KNOWN
        SUBMIT_STOPPED
        SUBMIT_INVALID
        JOURNAL_OK
        JOURNAL_LOCKED
        JOURNAL_DAMAGED
        JOURNAL_CONFIG
        JOURNAL_FAILED

    struct submission:
        core_command command
        char clordid[40]
        char orig_clordid[40]
        const uint8_t *body
        uint32_t body_bytes
        uint32_t flags
        u64 origin

    struct report:
        event event
        u64 time_ns, origin, order_qty_lots, order_price_ticks, cum_lots, value, order_detail, order_aux
        uint16_t session, symbol
        uint8_t side, ord_type, tif, order_flags, command_kind, command_session_differs, status, peg
        uint32_t account
        char clordid[40]
        char orig_clordid[40]

    struct order_status:
        u64 order_id, order_qty_lots, leaves_lots, cum_lots, value, price_ticks, last_exec_id, order_detail, order_aux
        uint32_t account
        uint16_t session, symbol
        uint8_t side, ord_type, tif, order_flags, status, peg
        char clordid[40]

    ctypedef void (*engine_sink)(void *context, const report *reports, u64 count) noexcept nogil

    struct engine_api:
        uint32_t version

    struct journal_counters:
        u64 records, bytes, syncs, sync_ns, segments
        u64 sync_buckets[16]

    struct group:
        u64 used

    struct journal_s "journal":
        journal_counters counters
        group active
        uint32_t epoch
        int failed

    struct tracked:
        u64 order_id, busted_lots, busted_value

    struct known:
        u64 time_ns

    struct orders_s "orders":
        tracked *tracked
        known *known
        u64 tracked_count, known_count, day
    u64 orders_bytes(const orders_s *orders)

    struct reports_s "reports":
        u64 total, released, pending_count
        report *pending

    struct snapshots_s "snapshots":
        u64 last_seq
        int busy, failed_errno

    struct engine_s "engine":
        journal_s journal
        core *core
        orders_s orders
        reports_s reports
        snapshots_s snapshots
        u64 last_seq, last_time_ns, safe_seq, recovered_seq, expiry_hint
        int stopped
        char *reason
        char *notes
        engine_api api

    struct engine_options:
        const char *data_dir
        core_config config
        int sync
        u64 interval_ns, segment_bytes, snapshot_commands
        void (*on_fatal)(void *context, const char *reason) noexcept nogil
        void *fatal_context

    int engine_open(const engine_options *options, engine_s **opened, char *text)
    int engine_submit(engine_s *engine, const submission *s, u64 *seq)
    int engine_call(engine_s *engine, const submission *s, u64 *seq, event **events, u64 *count)
    int engine_find_order(engine_s *engine, uint16_t session, const char *clordid, order_status *status)
    u64 engine_session_orders(engine_s *engine, uint16_t session, order_status **found)
    void engine_set_sink(engine_s *engine, engine_sink sink, void *context)
    u64 engine_durable_seq(const engine_s *engine)
    u64 engine_expiries_due(engine_s *engine, u64 now_ns, u64 *symbols)
    u64 engine_traded(engine_s *engine, u64 symbol)
    int engine_drain(engine_s *engine)
    void engine_stop(engine_s *engine)
    void engine_close(engine_s *engine)
    u64 engine_check(engine_s *engine)
    void engine_lock(engine_s *engine)
    void engine_unlock(engine_s *engine)
    int replica_open(const core_config *config, const char *path, u64 seq, engine_s **opened, char *text)
    int replica_apply(engine_s *replica, const core_command *command, const uint8_t *annex, u64 annex_bytes)
    int replica_save(engine_s *replica, const char *dir, uint32_t epoch)
    void engine_free(engine_s *engine)
    u64 reports_take_pending(reports_s *reports, uint16_t session, u64 after_exec_id, report **taken)
    const tracked *orders_of_id(const orders_s *orders, u64 order_id)
    u64 orders_open_part(const orders_s *orders, uint16_t session, u64 *next, u64 limit, order_status *found)
    struct peg_view:
        u64 order_id, price_ticks, qty_lots, leaves_lots
        uint32_t account
        uint16_t session
        uint8_t peg, side
        char clordid[40]

    void pegs_look(const engine_s *engine, u64 symbol, const u64 *order_ids, u64 count, peg_view *views, u64 *best_ticks)
    u64 pegs_open(const engine_s *engine, u64 *found, u64 capacity)
    void snapshot_take(engine_s *engine)
    int snapshot_wait(engine_s *engine)

    struct watermark:
        u64 durable_seq, segment_first_seq, segment_offset, epoch, state

    struct segment_head:
        uint32_t epoch
        u64 first_seq, created_ns
        uint32_t symbols, accounts, assets, orders, levels

    ctypedef int (*entry_visitor)(void *context, const core_command *command, const uint8_t *annex,
                                  u64 annex_bytes) noexcept nogil

    struct scan:
        const char *dir
        const core_config *config
        u64 from_seq, to_seq, durable_seq
        int watermarked
        entry_visitor visit
        void *context
        core_config found
        u64 last_seq, last_time_ns, entries, tail_first_seq, tail_offset, torn_bytes
        uint32_t epoch
        char text[2048]

    int journal_scan(scan *s)
    int watermark_load(const char *dir, watermark *copy)
    int watermark_read(const void *mapping, watermark *copy)
    int segment_head_read(const uint8_t *data, u64 bytes, segment_head *head)
    u64 entries_parse(const uint8_t *data, u64 bytes, u64 next_seq, uint32_t epoch, u64 durable_seq, u64 limit,
                      core_command *commands, uint8_t *annex, u64 annex_capacity, u64 *annex_used, u64 *annex_ends,
                      u64 *consumed, int *bad)


cdef extern from "crc32c.h" nogil:
    uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
    uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes)

"""The core's C interface for other Cython modules; core.h is the contract."""

from libc.stdint cimport uint64_t


cdef extern from "core.h" nogil:
    ctypedef uint64_t u64

    struct command:
        u64 head
        u64 seq
        u64 time_ns
        u64 owner
        u64 order_id
        u64 price_ticks
        u64 qty_lots
        u64 aux

    struct event:
        u64 head
        u64 exec_id
        u64 owner
        u64 order_id
        u64 price_ticks
        u64 qty_lots
        u64 leaves_lots
        u64 aux

    struct slot:
        u64 word[8]

    struct core_config:
        u64 symbols
        u64 accounts
        u64 assets
        u64 orders
        u64 levels

    struct core:
        pass

    struct order_view:
        u64 order_id
        u64 leaves_lots
        u64 price_ticks
        u64 cum_lots
        u64 owner
        u64 flags
        u64 hidden_lots
        u64 display_lots
        u64 stop_ticks
        u64 expiry_ns

    struct indicative:
        u64 price_ticks
        u64 qty_lots
        u64 surplus_lots
        u64 surplus_side

    struct position_view:
        u64 lots
        u64 cost
        u64 collateral
        u64 equity
        u64 needed
        u64 stage
        u64 open_buys
        u64 open_sells

    enum core_status:
        CORE_OK
        CORE_BAD_CONFIG
        CORE_BAD_SEQUENCE
        CORE_BAD_STATE
        CORE_MISSING

    enum side:
        SIDE_NONE
        SIDE_BUY
        SIDE_SELL

    u64 CORE_FATAL

    size_t core_size(const core_config *config)
    core_status core_init(core *c, const core_config *config)
    size_t core_size_partial(const core_config *config, u64 symbols, u64 accounts)
    core_status core_init_partial(core *c, const core_config *config, u64 symbols, u64 accounts)
    u64 core_events_max(const core_config *config)
    u64 core_apply(core *c, const command *cmd, event *events)
    core_status core_status_last(const core *c)
    u64 core_apply_batch(core *c, const command *commands, u64 count, event *events, u64 events_capacity,
                         u64 *events_count, u64 *event_ends)
    u64 core_check(core *c)
    u64 core_last_seq(const core *c)
    u64 core_symbol_count(const core *c)
    u64 core_account_count(const core *c)
    u64 core_walk_config(const core *c, slot *slots)
    u64 core_walk_symbol(const core *c, u64 symbol, slot *slots)
    u64 core_walk_account(const core *c, u64 account, slot *slots)
    core_status core_restore_config(core *c, const slot *slots, u64 count)
    core_status core_restore_symbol(core *c, const slot *slots, u64 count)
    core_status core_restore_account(core *c, const slot *slots, u64 count)
    core_status core_restore_end(core *c)
    u64 core_snapshot(const core *c, slot *slots)
    core_status core_restore_snapshot(core *c, const slot *slots, u64 count)
    u64 core_dirty_symbols(const core *c, u64 *symbols)
    u64 core_dirty_accounts(const core *c, u64 *accounts)
    void core_clear_dirty(core *c)
    int core_find_order(const core *c, u64 symbol, u64 order_id, order_view *view)
    u64 core_best_price(const core *c, u64 symbol, side s, u64 *price_ticks, u64 *qty_lots)
    u64 core_depth(const core *c, u64 symbol, side s, u64 levels_max, u64 *price_ticks, u64 *qty_lots)
    u64 core_open_orders(const core *c, u64 symbol)
    u64 core_phase(const core *c, u64 symbol)
    u64 core_last_price(const core *c, u64 symbol, u64 *reference_ticks)
    u64 core_expiry_next(const core *c, u64 symbol)
    u64 core_indicative(const core *c, u64 symbol, indicative *found)
    u64 core_supply(const core *c, u64 asset)
    u64 core_balance(const core *c, u64 account, u64 asset, u64 *hold, u64 *credit)
    u64 core_position(const core *c, u64 account, u64 symbol, position_view *view)
    u64 core_mark(const core *c, u64 symbol)


cdef class Core:
    cdef core *arena  # owned; not null outside of __cinit__; the core.h functions take it
    cdef core_config limits
    cdef size_t size
    cdef bint partial
    cdef readonly object config
    cdef object events  # scratch of apply: one command's worst case and more
    cdef object __weakref__  # state trees are kept by core and go with it

    cdef int _expect(self, core_status status, str what) except -1

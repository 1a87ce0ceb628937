/* What core.h says of its functions at the ends of what they take, where no Python caller goes: configurations out of
 * range, null pointers that are allowed, numbers that do not exist. Ends with 0, or at the first line that is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define EXPECT(holds)                                                                                                  \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "contract.c:%d: %s\n", __LINE__, #holds);                                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static const struct core_config CONFIG = {2, 4, 2, 64, 64};
static u64 seq;

static void *memory(size_t bytes) {
    void *p = malloc(bytes);
    EXPECT(p != 0);
    return memset(p, 0x5a, bytes);
}

static struct command command(u64 kind, u64 account, u64 order_id, u64 price, u64 lots, u64 aux) {
    return (struct command){.head = kind,
                            .seq = ++seq,
                            .owner = account,
                            .order_id = order_id,
                            .price_ticks = price,
                            .qty_lots = lots,
                            .aux = aux};
}

static u64 submit(struct core *core, struct command c, struct event *events) {
    u64 made = core_apply(core, &c, events);
    EXPECT(made != CORE_FATAL && made <= core_events_max(&CONFIG));
    return made;
}

static struct command limit_order(u64 account, enum side side, u64 price, u64 lots) {
    struct command c = command(COMMAND_NEW, account, 0, price, lots, 0);
    c.head |= (u64)side << 8 | ORD_LIMIT << 16;
    return c;
}

/* One symbol with a window of 100..163 ticks, accounts 1 and 2 with plenty of both assets. */
static struct core *market(struct event *events) {
    struct core *core = memory(core_size(&CONFIG));
    seq = 0;
    EXPECT(core_init(core, &CONFIG) == CORE_OK);
    struct command c = command(COMMAND_INSTRUMENT, 1ull << 32, 1, 100, 163, 1);
    submit(core, c, events);
    for (u64 account = 1; account <= 2; account++) {
        submit(core, command(COMMAND_ACCOUNT, account, 0, 0, 0, 0), events);
        submit(core, command(COMMAND_DEPOSIT, account, 0, 0, 1ull << 60, 0), events);
        submit(core, command(COMMAND_DEPOSIT, account | 1ull << 48, 0, 0, 1ull << 60, 0), events);
    }
    return core;
}

static void configurations(void) {
    static const struct core_config wrong[] = {
        {0, 4, 2, 64, 64}, {SYMBOLS_MAX + 1, 4, 2, 64, 64},  {2, 0, 2, 64, 64},
        {2, 4, 1, 64, 64}, {2, ACCOUNTS_MAX + 1, 2, 64, 64}, {2, 4, ASSETS_MAX + 1, 64, 64},
        {2, 4, 2, 32, 64}, {2, 4, 2, 2 * ORDERS_MAX, 64},    {2, 4, 2, 65, 64},
        {2, 4, 2, 64, 32}, {2, 4, 2, 64, 2 * LEVELS_MAX},    {2, 4, 2, 64, 96}};
    struct core *core = memory(core_size(&CONFIG));
    for (u64 i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        EXPECT(core_size(&wrong[i]) == 0);
        EXPECT(core_size_partial(&wrong[i], 1, 1) == 0);
        EXPECT(core_init(core, &wrong[i]) == CORE_BAD_CONFIG);
        EXPECT(core_init_partial(core, &wrong[i], 1, 1) == CORE_BAD_CONFIG);
    }
    static const struct core_config largest = {SYMBOLS_MAX, ACCOUNTS_MAX, ASSETS_MAX, ORDERS_MAX, LEVELS_MAX};
    EXPECT(core_size(&largest) > core_size(&CONFIG));
    EXPECT(core_size_partial(&CONFIG, CONFIG.symbols + 1, 1) == 0);
    EXPECT(core_size_partial(&CONFIG, 1, CONFIG.accounts + 1) == 0);
    EXPECT(core_init_partial(core, &CONFIG, CONFIG.symbols + 1, 1) == CORE_BAD_CONFIG);
    EXPECT(core_init_partial(core, &CONFIG, 1, CONFIG.accounts + 1) == CORE_BAD_CONFIG);
    EXPECT(core_size_partial(&CONFIG, 0, 0) != 0);
    free(core);
}

static void questions(struct event *events) {
    struct core *core = market(events);
    u64 price = 0, lots = 0, hold = 7, credit = 7;
    struct order_view view;
    EXPECT(core_best_price(core, 0, SIDE_BUY, &price, &lots) == 0);
    submit(core, limit_order(1, SIDE_BUY, 120, 5), events);
    u64 order_id = events[0].order_id;
    submit(core, limit_order(2, SIDE_BUY, 121, 6), events);
    submit(core, limit_order(2, SIDE_SELL, 130, 7), events);
    EXPECT(core_best_price(core, 0, SIDE_BUY, &price, &lots) == 1 && price == 121 && lots == 6);
    EXPECT(core_best_price(core, 0, SIDE_SELL, &price, &lots) == 1 && price == 130 && lots == 7);
    EXPECT(core_best_price(core, 1, SIDE_SELL, &price, &lots) == 0);
    EXPECT(core_best_price(core, 0, SIDE_NONE, &price, &lots) == 0);
    EXPECT(core_best_price(core, 0, (enum side)3, &price, &lots) == 0);
    EXPECT(core_depth(core, 0, SIDE_BUY, 0, &price, &lots) == 0);
    EXPECT(core_find_order(core, 0, order_id, &view) == 1 && view.leaves_lots == 5 && view.price_ticks == 120);
    EXPECT(core_find_order(core, 0, order_id + (1ull << 24), &view) == 0); /* the slot is another order's */
    EXPECT(core_find_order(core, 0, order_id + 7, &view) == 0);            /* a free slot */
    EXPECT(core_find_order(core, 0, order_id | ORDER_SLOT_NONE, &view) == 0);
    EXPECT(core_find_order(core, 1, order_id, &view) == 0);
    EXPECT(core_open_orders(core, 0) == 3 && core_open_orders(core, 1) == 0);
    EXPECT(core_supply(core, 0) == 2ull << 60 && core_supply(core, 2) == 0);
    EXPECT(core_balance(core, 1, 1, &hold, &credit) == 1ull << 60 && hold == 5 * 120 && credit == 0);
    EXPECT(core_balance(core, 9, 1, &hold, &credit) == 0 && hold == 0 && credit == 0);
    EXPECT(core_balance(core, 1, 9, &hold, &credit) == 0);
    EXPECT(core_symbol_count(core) == 1 && core_account_count(core) == 3 && core_last_seq(core) == seq);
    EXPECT(core_walk_symbol(core, 1, 0) == 0 && core_walk_account(core, 3, 0) == 0);
    EXPECT(core_check(core) == 0);
    free(core);
}

static void sequences(struct event *events) {
    struct core *core = market(events);
    struct command c = limit_order(1, SIDE_BUY, 120, 5);
    u64 seqs[] = {0, c.seq - 1, c.seq + 1, SEQ_MAX + 1, ~0ull};
    for (u64 i = 0; i < sizeof seqs / sizeof seqs[0]; i++) {
        struct command wrong = c;
        wrong.seq = seqs[i];
        EXPECT(core_apply(core, &wrong, events) == CORE_FATAL && core_status_last(core) == CORE_BAD_SEQUENCE);
        EXPECT(core_last_seq(core) == c.seq - 1);
    }
    c.time_ns = 1000;
    EXPECT(submit(core, c, events) == 1 && core_status_last(core) == CORE_OK);
    c.seq++;
    c.time_ns = 999;
    EXPECT(core_apply(core, &c, events) == CORE_FATAL && core_status_last(core) == CORE_BAD_SEQUENCE);
    EXPECT(core_check(core) == 0);
    free(core);
}

static void batches(struct event *events) {
    struct core *core = market(events);
    struct command orders[4];
    u64 made = 99, ends[4];
    for (int i = 0; i < 4; i++)
        orders[i] = limit_order(1, SIDE_BUY, 120 + (u64)i, 5);
    EXPECT(core_apply_batch(core, orders, 0, events, core_events_max(&CONFIG), &made, 0) == 0 && made == 0);
    EXPECT(core_apply_batch(core, orders, 4, events, 1, &made, ends) < 4 && core_status_last(core) == CORE_OK);
    u64 done = core_last_seq(core) + 1 - orders[0].seq;
    EXPECT(core_apply_batch(core, orders + done, 4 - done, events, core_events_max(&CONFIG), &made, 0) == 4 - done);
    EXPECT(made == 4 - done);
    EXPECT(core_apply_batch(core, orders, 1, events, core_events_max(&CONFIG), &made, ends) == 0 && made == 0);
    EXPECT(core_status_last(core) == CORE_BAD_SEQUENCE);
    free(core);
}

static void restores(struct event *events) {
    struct core *core = market(events), *other = memory(core_size(&CONFIG));
    u64 count = core_snapshot(core, 0);
    struct slot *slots = memory(count * sizeof *slots);
    EXPECT(core_snapshot(core, slots) == count);
    EXPECT(core_init(other, &CONFIG) == CORE_OK && core_restore_snapshot(other, slots, 0) == CORE_BAD_STATE);
    struct command c = command(COMMAND_TIME, 0, 0, 0, 0, 0);
    c.head |= (u64)SYMBOL_NONE << 48;
    EXPECT(core_apply(other, &c, events) == CORE_FATAL && core_status_last(other) == CORE_BAD_STATE);
    EXPECT(core_apply(other, &c, events) == CORE_FATAL && core_status_last(other) == CORE_BAD_STATE);
    EXPECT(core_restore_snapshot(other, slots, count) == CORE_BAD_STATE); /* only a fresh core is restored */
    EXPECT(core_init(other, &CONFIG) == CORE_OK && core_restore_snapshot(other, slots, count) == CORE_OK);
    EXPECT(core_apply(other, &c, events) == 1 && core_check(other) == 0);
    core_clear_dirty(core);
    EXPECT(core_dirty_symbols(core, 0) == 0 && core_dirty_accounts(core, 0) == 0);
    free(slots);
    free(core);
    free(other);
}

int main(void) {
    struct event *events = memory(core_events_max(&CONFIG) * sizeof *events);
    configurations();
    questions(events);
    sequences(events);
    batches(events);
    restores(events);
    free(events);
    return 0;
}

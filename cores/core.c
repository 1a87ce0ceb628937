/* The core's arena, and core_apply: numbers, dispatch, and the answer to a refused command. */
#include "ladder.h"

static u64 power_of_two_from_64(u64 value, u64 max) {
    return value >= 64 && value <= max && (value & (value - 1)) == 0;
}

static u64 config_is_valid(const struct core_config *config) {
    return config->symbols - 1 < SYMBOLS_MAX && config->accounts - 1 < ACCOUNTS_MAX && config->assets >= 2 &&
           config->assets <= ASSETS_MAX && power_of_two_from_64(config->orders, ORDERS_MAX) &&
           power_of_two_from_64(config->levels, LEVELS_MAX);
}

/* Entries of a directory for `held` regions: a power of two, at most half full. */
static u64 directory_entries(u64 held) {
    u64 entries = 2;
    while (entries < 2 * held)
        entries *= 2;
    return entries;
}

/* Fills in every offset; returns the arena's size. All sizes are multiples of 8; the largest, 4,096 symbols of
 * 2^18 orders with their cold parts and 4 * 2^18 levels, is 2^38 bytes and a little. */
static u64 lay_out(struct core *core, const struct core_config *config, u64 symbols, u64 accounts, u64 partial) {
    u64 end = sizeof(struct symbol);
    core->config.symbols = config->symbols; /* word by word: a copy of the whole may become a call to memcpy */
    core->config.accounts = config->accounts;
    core->config.assets = config->assets;
    core->config.orders = config->orders;
    core->config.levels = config->levels;
    core->symbol_regions = symbols;
    core->account_regions = accounts;
    core->partial = partial;
    core->symbol_mask = partial ? directory_entries(symbols) - 1 : 0;
    core->account_mask = partial ? directory_entries(accounts) - 1 : 0;
    core->level_words = config->levels >> 6;
    core->slot_words = config->orders >> 6;
    core->page_mask = config->levels / PAGE_LEVELS - 1;
    for (u64 side = BID; side < LADDERS; side++) {
        core->ladder_offset[side] = end;
        end += bitmap_words(config->levels) * sizeof(u64);
        core->pages_offset[side] = end;
        end += config->levels / PAGE_LEVELS * sizeof(u64);
    }
    core->slots_offset = end;
    end += bitmap_words(config->orders) * sizeof(u64);
    end = (end + 63) / 64 * 64;
    for (u64 side = BID; side < LADDERS; side++) {
        core->levels_offset[side] = end;
        end += config->levels * sizeof(struct level);
    }
    core->orders_offset = end;
    core->colds_offset = end + config->orders * sizeof(struct order);
    core->symbol_stride = core->colds_offset + config->orders * sizeof(struct cold);
    core->account_stride =
        sizeof(struct account) + (config->assets * (sizeof(struct position) + sizeof(u64)) + 63) / 64 * 64;

    core->supply_offset = sizeof(struct core);
    core->symbol_directory_offset = core->supply_offset + config->assets * SUPPLY_WORDS * sizeof(u64);
    core->account_directory_offset =
        core->symbol_directory_offset + (partial ? (core->symbol_mask + 1) * sizeof(u64) : 0);
    end = core->account_directory_offset + (partial ? (core->account_mask + 1) * sizeof(u64) : 0);
    core->accounts_offset = (end + 63) / 64 * 64;
    core->symbols_offset = core->accounts_offset + accounts * core->account_stride;
    return core->symbols_offset + symbols * core->symbol_stride;
}

static enum core_status init(struct core *core, const struct core_config *config, u64 symbols, u64 accounts,
                             u64 partial) {
    if (!config_is_valid(config) || symbols > config->symbols || accounts > config->accounts)
        return CORE_BAD_CONFIG;
    lay_out(core, config, symbols, accounts, partial);
    core->status = CORE_OK;
    core->last_seq = 0;
    core->last_time_ns = 0;
    core->symbol_count = 0;
    core->account_count = 0;
    core->symbols_held = 0;
    core->accounts_held = 0;
    core->restoring = RESTORE_NONE;
    core->killed_count = 0;
    for (u64 asset = 0; asset < config->assets; asset++) {
        supply_of(core, asset)[0] = 0;
        supply_of(core, asset)[1] = 0;
        *asset_use_of(core, asset) = ASSET_UNUSED;
    }
    if (partial) {
        u64 *directory = at(core, core->symbol_directory_offset);
        for (u64 i = 0; i <= core->symbol_mask; i++)
            directory[i] = 0;
        directory = at(core, core->account_directory_offset);
        for (u64 i = 0; i <= core->account_mask; i++)
            directory[i] = 0;
        core->status = CORE_BAD_STATE; /* until core_restore_end */
        return CORE_OK;
    }
    account_create(core, 0);
    core->account_count = 1;
    return CORE_OK;
}

size_t core_size(const struct core_config *config) {
    struct core layout;
    return config_is_valid(config) ? lay_out(&layout, config, config->symbols, config->accounts, 0) : 0;
}

enum core_status core_init(struct core *core, const struct core_config *config) {
    return init(core, config, config->symbols, config->accounts, 0);
}

size_t core_size_partial(const struct core_config *config, u64 symbols, u64 accounts) {
    struct core layout;
    if (!config_is_valid(config) || symbols > config->symbols || accounts > config->accounts)
        return 0;
    return lay_out(&layout, config, symbols, accounts, 1);
}

enum core_status core_init_partial(struct core *core, const struct core_config *config, u64 symbols, u64 accounts) {
    return init(core, config, symbols, accounts, 1);
}

/* What one command can make of `orders` open orders, its own among them. An order makes at most
 *  - 2 as it is used up in the uncross (each trade there uses up one, or is the last), 1 as it ends with the auction;
 *  - at rest, 3 for each portion it shows, at most ICEBERG_TRANCHES_MAX of them: two FILLs (or two of self-match
 *    prevention), and REFRESHED: 48. A stop, which shows one portion and is triggered once, makes fewer: TRIGGERED,
 *    the two of its last trade as an aggressor, its end, and the two that use it up at rest;
 * so 51. Beside that come, once: ACCEPTED or REPLACED, TRIGGERED, the two of the last trade of the command's own order or
 * of the uncross, its end, PHASE, and what answers the command: 8 with one to spare.
 *
 * In a future each trade makes four more: two POSITIONs and two DEFICITs. So an order makes 6 + 1 and 7 * 16, 119, and
 * once come: ACCEPTED or REPLACED, TRIGGERED, 6 of the last trade, its end, PHASE, the answer; or MARGIN and, of the
 * position that is taken over, 4: 16 are more than enough. */
static u64 events_of(u64 orders, u64 is_future) {
    return is_future ? 119 * orders + 16 : 51 * orders + 8;
}

u64 core_events_max(const struct core_config *config) {
    return events_of(config->orders, config->orders <= FUTURE_ORDERS_MAX); /* below 2^24 */
}

static u64 apply_rare(struct core *core, const struct command *c, struct output *out) {
    switch (command_kind_of(c)) {
    case COMMAND_MASS_CANCEL:
        return book_mass_cancel(core, c, out);
    case COMMAND_TIME:
        return book_time(core, c, out);
    case COMMAND_PHASE:
        return phase_set(core, c, out);
    case COMMAND_INSTRUMENT:
        return instrument_set(core, c, out);
    case COMMAND_ACCOUNT:
        return account_set(core, c, out);
    case COMMAND_LIMIT:
        return limit_set(core, c, out);
    case COMMAND_DEPOSIT:
        return account_deposit(core, c, out);
    case COMMAND_WITHDRAW:
        return account_withdraw(core, c, out);
    case COMMAND_MARK:
        return future_mark(core, c, out);
    case COMMAND_MARGIN:
        return future_margin(core, c, out);
    case COMMAND_BUST:
        return trade_bust(core, c, out);
    default:
        return REJECT_UNSUPPORTED;
    }
}

u64 refuse(const struct command *c, struct event *events, u64 reason) {
    if (reason == REASON_STOPPED)
        return CORE_FATAL;
    u64 command = command_kind_of(c), kind = EVENT_COMMAND_REJECTED, order_id = c->order_id;
    if (command == COMMAND_NEW) {
        kind = EVENT_REJECTED;
        order_id = c->seq << 24 | ORDER_SLOT_NONE;
    } else if (command == COMMAND_CANCEL || command == COMMAND_REPLACE) {
        kind = EVENT_CANCEL_REJECTED;
    }
    event_write(events, c->seq << 24, answer_head(c, kind, reason), c->owner, order_id, c->price_ticks, c->qty_lots, 0,
                c->aux);
    return 1;
}

STAGE u64 answer_rare(struct core *core, const struct command *c, struct event *events) {
    struct output out = output_of(c, events);
    return answered(c, events, &out, apply_rare(core, c, &out));
}

/* Calls nothing but at its end: it saves no registers. */
HOT u64 dispatch(struct core *core, const struct command *c, struct event *events) {
    u64 kind = command_kind_of(c), precheck = command_precheck(c);
    if (new_is_plain(c))
        return book_new_plain(core, c, events);
    if (precheck != 0)
        return refuse(c, events, precheck);
    if (kind == COMMAND_CANCEL)
        return book_cancel(core, c, events);
    if (kind == COMMAND_NEW)
        return book_new(core, c, events);
    if (kind == COMMAND_REPLACE)
        return book_replace(core, c, events);
    return answer_rare(core, c, events);
}

u64 core_apply(struct core *core, const struct command *command, struct event *events) {
    if (core->status != CORE_OK) {
        if (core->status >= CORE_BAD_STATE) /* not restored to the end, or stopped half-way by what is missing */
            return CORE_FATAL;
        core->status = CORE_OK;
    }
    u64 seq = command->seq, time_ns = command->time_ns;
    if (seq != core->last_seq + 1 || seq > SEQ_MAX || time_ns < core->last_time_ns) {
        core->status = CORE_BAD_SEQUENCE;
        return CORE_FATAL;
    }
    core->last_seq = seq;
    core->last_time_ns = time_ns;
    return dispatch(core, command, events);
}

enum core_status core_status_last(const struct core *core) {
    return (enum core_status)core->status;
}

/* Most events that this command can make in the state as it is. Where nothing waits and nothing is hidden, a NEW or
 * REPLACE meets each resting order at most once, with two events; it takes a lot of each, unless self-match prevention
 * only takes them off. */
static u64 events_bound(const struct core *core, const struct command *c) {
    const struct symbol *s = command_symbol(c) < core->symbol_count ? symbol_peek(core, command_symbol(c)) : 0;
    if (s == 0)
        return 1;
    u64 kind = command_kind_of(c);
    if (kind == COMMAND_MASS_CANCEL || kind == COMMAND_TIME)
        return 2 + s->order_count;
    if (kind == COMMAND_BUST)
        return 6; /* BUSTED, POSITION and DEFICIT, twice */
    if (kind != COMMAND_NEW && kind != COMMAND_REPLACE && kind != COMMAND_PHASE && kind != COMMAND_MARGIN)
        return 1;
    if (kind == COMMAND_PHASE || kind == COMMAND_MARGIN || s->cold_count != 0) /* waiting stops are cold, too */
        return events_of(s->order_count < core->config.orders ? s->order_count + 1 : s->order_count, s->is_future);
    const struct account *account =
        owner_account(c->owner) < core->account_count ? account_peek(core, owner_account(c->owner)) : 0;
    u64 met = account == 0 || account->smp_group != 0 || c->qty_lots > s->order_count ? s->order_count : c->qty_lots;
    return 5 + (s->is_future ? 6 : 2) * met; /* ACCEPTED or REPLACED, TRIGGERED, PHASE, its end */
}

#ifdef VENUE_GUEST
#define FORESIGHT 0
#define FORESIGHT_ORDERS 0
#else
#define FORESIGHT 4 /* commands: that much work hides a miss of a cache */
#define FORESIGHT_ORDERS 20000 /* fewer open orders are in a cache that is near enough */
#endif

HOT void ask_for(uintptr_t address) {
    __builtin_prefetch((const void *)address, 1);
}

/* In a batch it is known what comes. First the lines that a command names are asked for: a number that it should not have
 * named, or one of a partial core, leads to a line of nobody, which does no harm... */
HOT void foresee(const struct core *core, const struct command *c) {
    uintptr_t account = (uintptr_t)core + core->accounts_offset + owner_account(c->owner) * core->account_stride;
    uintptr_t symbol = (uintptr_t)core + core->symbols_offset + command_symbol(c) * core->symbol_stride;
    ask_for(symbol);
    ask_for(symbol + 64);
    ask_for(symbol + 128);
    ask_for(account);
    ask_for(account + sizeof(struct account));
    ask_for(symbol + core->orders_offset + (c->order_id & ORDER_SLOT_NONE) * sizeof(struct order));
}

/* Where the order of a CANCEL or REPLACE lies, or null. Takes nothing for granted but that the arena is as it should be. */
static const struct order *order_meant(const struct core *core, const struct symbol *s, const struct command *c) {
    u64 slot = c->order_id & ORDER_SLOT_NONE, kind = command_kind_of(c) - COMMAND_CANCEL;
    if (kind > COMMAND_REPLACE - COMMAND_CANCEL || slot >= core->config.orders || bitmap_has(slots_of(core, s), slot))
        return 0;
    return &orders_of(core, s)[slot];
}

/* ... then, when these are there, those that they lead to: the order's level and neighbours. */
HOT void foresee_more(const struct core *core, const struct command *c) {
    if (core->partial || command_symbol(c) >= core->symbol_count)
        return;
    const struct symbol *s = symbol_region(core, command_symbol(c));
    if (s->order_count * core->symbol_count < FORESIGHT_ORDERS)
        return;
    const struct order *orders = orders_of(core, s), *order = order_meant(core, s, c);
    u64 side = command_side(c) - 1, price = c->price_ticks;
    if (order != 0) {
        side = order_side(order);
        price = order->price;
        if (order->prev != SLOT_NONE)
            __builtin_prefetch(&orders[order->prev], 1);
        if (order->next != SLOT_NONE)
            __builtin_prefetch(&orders[order->next], 1);
    }
    if (side <= ASK && !s->is_wide && price - s->min_ticks <= s->max_ticks - s->min_ticks)
        __builtin_prefetch(&levels_of(core, s, side)[ladder_key(s, side, price)], 1);
}

u64 core_apply_batch(struct core *core, const struct command *commands, u64 count, struct event *events,
                     u64 events_capacity, u64 *events_count, u64 *event_ends) {
    u64 applied = 0, written = 0, most = core_events_max(&core->config);
    if (core->status == CORE_BAD_SEQUENCE)
        core->status = CORE_OK; /* so that a stop for want of room cannot be taken for one */
    for (; applied < count; applied++) {
        if (events_capacity - written < most && core->status < CORE_BAD_STATE &&
            events_bound(core, &commands[applied]) > events_capacity - written)
            break;
        if (FORESIGHT != 0 && count - applied > 2 * FORESIGHT) {
            foresee(core, &commands[applied + 2 * FORESIGHT]);
            foresee_more(core, &commands[applied + FORESIGHT]);
        }
        u64 made = core_apply(core, &commands[applied], events + written);
        if (made == CORE_FATAL)
            break;
        written += made;
        if (event_ends != 0)
            event_ends[applied] = written;
    }
    *events_count = written;
    return applied;
}

/* The canonical state: written out as slots, and read back. What is read back may come from anybody, so every word is
 * checked before it is used and nothing is read that was not written. */
#include "book.h"

static void write_slot(struct slot *slot, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g) {
    slot->word[0] = a;
    slot->word[1] = b;
    slot->word[2] = c;
    slot->word[3] = d;
    slot->word[4] = e;
    slot->word[5] = f;
    slot->word[6] = g;
    slot->word[7] = 0;
}

/* ---- out ---- */

#define KILLED_A_SLOT 7u

static u64 killed_slots(u64 killed_count) {
    return (killed_count + KILLED_A_SLOT - 1) / KILLED_A_SLOT;
}

u64 core_config_slots(u64 assets, u64 killed_count) {
    return 2 + assets + killed_slots(killed_count);
}

/* The `index`-th seven of the killed sessions; zeros behind the last. */
static void write_killed(const struct core *core, u64 index, struct slot *slot) {
    for (u64 i = 0; i < KILLED_A_SLOT; i++) {
        u64 place = index * KILLED_A_SLOT + i;
        slot->word[i] = place < core->killed_count ? core->killed[place] : 0;
    }
    slot->word[7] = 0;
}

u64 core_walk_config(const struct core *core, struct slot *slots) {
    const struct core_config *config = &core->config;
    if (slots != 0) {
        write_slot(&slots[0], STATE_VERSION, config->symbols, config->accounts, config->assets, config->orders,
                   config->levels, 0);
        write_slot(&slots[1], core->last_seq, core->last_time_ns, core->symbol_count, core->account_count,
                   core->killed_count, 0, 0);
        for (u64 asset = 0; asset < config->assets; asset++)
            write_slot(&slots[2 + asset], asset, supply_of(core, asset)[0], supply_of(core, asset)[1],
                       *asset_use_of(core, asset), 0, 0, 0);
        for (u64 i = 0; i < killed_slots(core->killed_count); i++)
            write_killed(core, i, &slots[2 + config->assets + i]);
    }
    return core_config_slots(config->assets, core->killed_count);
}

/* The orders of a level, or the dormant, from the first on. Returns where the next slot goes. */
static struct slot *write_orders(const struct core *core, const struct symbol *s, u64 slot, struct slot *slots) {
    const struct order *orders = orders_of(core, s);
    while (slot != SLOT_NONE) {
        const struct order *order = &orders[slot];
        write_slot(slots++, order->id, order->leaves, order->price, order->cum, order->owner, order->facts, 0);
        if (order_facts(order) & FACT_COLD) {
            const struct cold *cold = &colds_of(core, s)[slot];
            write_slot(slots++, cold->hidden, cold->display, cold->stop, cold->expiry_ns, 0, 0, 0);
        }
        slot = order->next;
    }
    return slots;
}

u64 core_walk_symbol(const struct core *core, u64 number, struct slot *slots) {
    const struct symbol *s = number < core->symbol_count ? symbol_peek(core, number) : 0;
    if (s == 0)
        return 0;
    u64 rest = 1 + s->is_future + s->order_count + s->cold_count;
    if (slots == 0)
        return 1 + rest;
    write_slot(slots++, number, s->base | s->quote << 32, s->lot_size, s->tick_value, s->min_ticks, s->max_ticks, rest);
    write_slot(slots++, s->phase, s->last_ticks, s->reference_ticks, s->dynamic_bp | s->static_bp << 32,
               s->order_qty_max, s->order_value_max, s->is_future);
    if (s->is_future)
        write_slot(slots++, s->mark_ticks, s->initial_bp | s->maintenance_bp << 32, s->position_max, s->open_interest,
                   0, 0, 0);
    for (u64 ladder = BID; ladder < LADDERS; ladder++) {
        for (u64 key = s->best[ladder]; key != LEVEL_NONE; key = ladder_next(core, s, ladder, key))
            slots = write_orders(core, s, level_at(core, s, ladder, key)->head, slots);
    }
    write_orders(core, s, s->dormant_head, slots);
    return 1 + rest;
}

/* The slots before the assets. */
static void walk_account_words(const struct account *account, u64 rest, struct slot *slots) {
    u64 fees = (account->maker_bp & 0xffffffff) | account->taker_bp << 32;
    write_slot(&slots[0], account->number, account->flags, fees, rest, account->member, account->smp_group,
               account->smp_mode);
    write_slot(&slots[1], account->open_orders, account->open_orders_max, account->messages_max, account->messages,
               account->messages_start_ns, account->restricted, account->duplicate_ns);
    if (account->duplicate_ns != 0)
        write_slot(&slots[2], account->last_time_ns, account->last_price, account->last_qty, account->last_symbol_side,
                   0, 0, 0);
}

u64 core_walk_account(const struct core *core, u64 number, struct slot *slots) {
    const struct account *account = number < core->account_count ? account_peek(core, number) : 0;
    if (account == 0)
        return 0;
    u64 count = account->duplicate_ns == 0 ? 2 : 3;
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        const struct position *p = position_of(account, asset);
        if ((p->balance | p->hold | p->credit | p->gross_max) == 0)
            continue;
        if (slots != 0)
            write_slot(&slots[count], asset, p->balance, p->hold, p->credit, p->gross_max, 0, 0);
        count++;
    }
    if (slots != 0)
        walk_account_words(account, count - 1, slots);
    return count;
}

u64 core_snapshot(const struct core *core, struct slot *slots) {
    u64 count = core_walk_config(core, slots);
    for (u64 number = 0; number < core->symbol_count; number++)
        count += core_walk_symbol(core, number, slots != 0 ? slots + count : 0);
    for (u64 number = 0; number < core->account_count; number++)
        count += core_walk_account(core, number, slots != 0 ? slots + count : 0);
    return count;
}

/* ---- in ---- */

static enum core_status restore_failed(struct core *core) {
    core->restoring = RESTORE_FAILED;
    core->status = CORE_BAD_STATE;
    return CORE_BAD_STATE;
}

/* The killed sessions, ascending, and zeros behind the last. */
static u64 restore_killed(struct core *core, const struct slot *slots, u64 count) {
    u64 next = 0;
    for (u64 place = 0; place < killed_slots(count) * KILLED_A_SLOT; place++) {
        const u64 *word = slots[place / KILLED_A_SLOT].word;
        u64 session = word[place % KILLED_A_SLOT];
        if (word[7] != 0 || (place < count ? session < next || session > 0xffff : session != 0))
            return 0;
        if (place < count)
            core->killed[place] = session;
        next = session + 1;
    }
    core->killed_count = count;
    return 1;
}

enum core_status core_restore_config(struct core *core, const struct slot *slots, u64 count) {
    const struct core_config *config = &core->config;
    core->status = CORE_BAD_STATE; /* until core_restore_end */
    if (core->restoring != RESTORE_NONE || core->last_seq != 0 || count < 2)
        return restore_failed(core);
    const u64 *w = slots[0].word, *counts = slots[1].word;
    if (w[0] != STATE_VERSION || w[1] != config->symbols || w[2] != config->accounts || w[3] != config->assets ||
        w[4] != config->orders || w[5] != config->levels || (w[6] | w[7]) != 0)
        return restore_failed(core);
    if (counts[0] > SEQ_MAX || counts[2] > config->symbols || counts[3] - 1 >= config->accounts ||
        counts[4] > KILLED_SESSIONS_MAX || (counts[5] | counts[6] | counts[7]) != 0 ||
        count != core_config_slots(config->assets, counts[4]))
        return restore_failed(core);
    core->last_seq = counts[0];
    core->last_time_ns = counts[1];
    core->symbol_count = counts[2];
    core->account_count = counts[3];
    core->symbols_held = 0;
    core->accounts_held = 0;
    for (u64 asset = 0; asset < config->assets; asset++) {
        const u64 *words = slots[2 + asset].word;
        if (words[0] != asset || words[1] > AMOUNT_MAX || words[2] > AMOUNT_MAX || words[1] + words[2] > AMOUNT_MAX ||
            (words[4] | words[5] | words[6] | words[7]) != 0)
            return restore_failed(core);
        if (words[3] >= ASSET_CONTRACT && (words[3] - ASSET_CONTRACT >= counts[2] || (words[1] | words[2]) != 0))
            return restore_failed(core);
        supply_of(core, asset)[0] = words[1];
        supply_of(core, asset)[1] = words[2];
        *asset_use_of(core, asset) = words[3];
    }
    if (!restore_killed(core, slots + 2 + config->assets, counts[4]))
        return restore_failed(core);
    core->restoring = RESTORE_CONFIG_DONE;
    return CORE_OK;
}

/* A number may be restored when it exists, follows the last one, and a whole core leaves none out. */
static u64 may_restore(const struct core *core, u64 number, u64 exist, u64 held, u64 regions, u64 last) {
    if (core->restoring != RESTORE_CONFIG_DONE || number >= exist || held >= regions)
        return 0;
    return core->partial ? held == 0 || number > last : number == held;
}

static u64 restore_cold(struct core *core, struct symbol *s, u64 slot, const u64 *w) {
    struct cold *cold = &colds_of(core, s)[slot];
    cold->hidden = w[0];
    cold->display = w[1];
    cold->stop = w[2];
    cold->expiry_ns = w[3];
    if (cold->expiry_ns != 0 && cold->expiry_ns < s->expiry_next)
        s->expiry_next = cold->expiry_ns;
    s->cold_count++;
    return (w[4] | w[5] | w[6] | w[7]) == 0;
}

/* The next order of the walk, from one slot or two; *walked is where the last one was and must not fall. Returns how many
 * slots were used, 0 when they are no state. */
static u64 restore_order(struct core *core, struct symbol *s, const struct slot *slots, u64 count, u64 *walked) {
    const u64 *w = slots[0].word;
    u64 slot = w[0] & ORDER_SLOT_NONE, used = 1;
    if (slot >= core->config.orders || !bitmap_has(slots_of(core, s), slot) || (w[6] | w[7]) != 0)
        return 0;
    struct order *order = &orders_of(core, s)[slot];
    order->id = w[0];
    order->leaves = w[1];
    order->price = w[2];
    order->cum = w[3];
    order->owner = w[4];
    order->facts = w[5];
    if (order_facts(order) & FACT_COLD) {
        if (count == 1 || !restore_cold(core, s, slot, slots[1].word))
            return 0;
        used = 2;
    }
    if (!order_is_valid(core, s, order, slot))
        return 0;
    bitmap_clear(slots_of(core, s), core->slot_words, slot);
    s->order_count++;
    u64 side = order_side(order), place;
    if (order_facts(order) == 0) {
        u64 key = ladder_key(s, side, order->price);
        ladder_append(core, s, side, key, slot, order->leaves, 0); /* FACT_WIDE is a fact */
        place = side << 48 | key;
    } else {
        if (!order_has_room(core, s, slot))
            return 0;
        place = order_restore_place(core, s, slot);
    }
    if (place < *walked)
        return 0;
    *walked = place;
    return used;
}

/* Slot 1: what the market is like. */
static u64 restore_market(struct symbol *s, const u64 *w) {
    s->phase = w[0];
    s->last_ticks = w[1];
    s->reference_ticks = w[2];
    s->dynamic_bp = w[3] & 0xffffffff;
    s->static_bp = w[3] >> 32;
    s->order_qty_max = w[4];
    s->order_value_max = w[5];
    s->is_future = w[6];
    return w[6] <= 1 && w[7] == 0;
}

/* And the slot behind it, of a future. */
static u64 restore_future(struct symbol *s, const u64 *w) {
    s->mark_ticks = w[0];
    s->initial_bp = w[1] & 0xffffffff;
    s->maintenance_bp = w[1] >> 32;
    s->position_max = w[2];
    s->open_interest = w[3];
    return (w[4] | w[5] | w[6] | w[7]) == 0;
}

enum core_status core_restore_symbol(struct core *core, const struct slot *slots, u64 count) {
    if (count < 2)
        return restore_failed(core);
    const u64 *w = slots[0].word;
    u64 walked = 0, last = core->symbols_held != 0 ? symbol_region(core, core->symbols_held - 1)->number : 0;
    if (!may_restore(core, w[0], core->symbol_count, core->symbols_held, core->symbol_regions, last) ||
        w[6] != count - 1 || w[6] > 2 + 2 * core->config.orders || w[7] != 0)
        return restore_failed(core);
    struct symbol *s = symbol_create(core, w[0]);
    s->base = w[1] & 0xffffffff;
    s->quote = w[1] >> 32;
    s->lot_size = w[2];
    s->tick_value = w[3];
    s->min_ticks = w[4];
    s->max_ticks = w[5];
    if (!restore_market(s, slots[1].word) || count < 2 + s->is_future ||
        (s->is_future && !restore_future(s, slots[2].word)))
        return restore_failed(core);
    if (instrument_reason(core, s) != REASON_NONE || !symbol_market_is_valid(s) || !instrument_uses_are_right(core, s))
        return restore_failed(core);
    s->is_wide = instrument_is_wide(core, s);
    if (s->is_wide)
        pages_clear(core, s);
    s->bound = future_bound(core, s);
    s->lots_safe = instrument_lots_safe(s);
    symbol_derive(s);
    for (u64 i = 2 + s->is_future, used = 0; i < count; i += used) {
        used = restore_order(core, s, slots + i, count - i, &walked);
        if (used == 0)
            return restore_failed(core);
    }
    s->slot_first = bitmap_first(slots_of(core, s), core->slot_words);
    return symbol_is_continuous(core, s) ? CORE_OK : restore_failed(core);
}

/* The slots before the assets: two, or three with a window for duplicates. Returns how many, or 0. */
static u64 restore_account_words(const struct core *core, struct account *account, const struct slot *slots,
                                 u64 count) {
    if (count < 2)
        return 0;
    const u64 *w = slots[0].word, *v = slots[1].word;
    account->flags = w[1];
    account->maker_bp = (u64)(int64_t)(int32_t)(uint32_t)w[2];
    account->taker_bp = w[2] >> 32;
    account->member = w[4];
    account->smp_group = w[5];
    account->smp_mode = w[6];
    account->open_orders = v[0];
    account->open_orders_max = v[1];
    account->messages_max = v[2];
    account->messages = v[3];
    account->messages_start_ns = v[4];
    account->restricted = v[5];
    account->duplicate_ns = v[6];
    u64 used = 2;
    if (account->duplicate_ns != 0) {
        if (count < 3)
            return 0;
        const u64 *last = slots[2].word;
        if ((last[4] | last[5] | last[6] | last[7]) != 0)
            return 0;
        account->last_time_ns = last[0];
        account->last_price = last[1];
        account->last_qty = last[2];
        account->last_symbol_side = last[3];
        used = 3;
    }
    return (w[7] | v[7]) == 0 && account_broken(core, account) == 0 ? used : 0;
}

enum core_status core_restore_account(struct core *core, const struct slot *slots, u64 count) {
    if (count == 0)
        return restore_failed(core);
    const u64 *w = slots[0].word;
    u64 last = core->accounts_held != 0 ? account_region(core, core->accounts_held - 1)->number : 0;
    if (!may_restore(core, w[0], core->account_count, core->accounts_held, core->account_regions, last) ||
        w[3] != count - 1)
        return restore_failed(core);
    struct account *account = account_create(core, w[0]);
    u64 used = restore_account_words(core, account, slots, count), next_asset = 0;
    if (used == 0)
        return restore_failed(core);
    for (u64 i = used; i < count; i++) {
        w = slots[i].word;
        if (w[0] < next_asset || w[0] >= core->config.assets || (w[1] | w[2] | w[3] | w[4]) == 0 ||
            (w[5] | w[6] | w[7]) != 0)
            return restore_failed(core);
        struct position *p = position_of(account, w[0]);
        p->balance = w[1];
        p->hold = w[2];
        p->credit = w[3];
        p->gross_max = w[4];
        if (!position_is_valid(core, account, w[0]))
            return restore_failed(core);
        account->gross_count += has_gross_limit(core, account, w[0]);
        next_asset = w[0] + 1;
    }
    account_derive(account);
    return CORE_OK;
}

enum core_status core_restore_end(struct core *core) {
    if (core->restoring != RESTORE_CONFIG_DONE)
        return restore_failed(core);
    if (!core->partial) {
        if (core->symbols_held != core->symbol_count || core->accounts_held != core->account_count ||
            core_check(core) != 0)
            return restore_failed(core);
    }
    core->restoring = RESTORE_NONE;
    core->status = CORE_OK;
    return CORE_OK;
}

enum core_status core_restore_snapshot(struct core *core, const struct slot *slots, u64 count) {
    u64 killed = count < 2 ? 0 : slots[1].word[4], done;
    if (killed > KILLED_SESSIONS_MAX)
        return restore_failed(core);
    done = core_config_slots(core->config.assets, killed);
    if (count < done || core_restore_config(core, slots, done) != CORE_OK)
        return restore_failed(core);
    for (u64 number = 0; number < core->symbol_count; number++) {
        u64 orders = done < count ? slots[done].word[6] : count;
        if (orders >= count - done || core_restore_symbol(core, slots + done, 1 + orders) != CORE_OK)
            return restore_failed(core);
        done += 1 + orders;
    }
    for (u64 number = 0; number < core->account_count; number++) {
        u64 assets = done < count ? slots[done].word[3] : count;
        if (assets >= count - done || core_restore_account(core, slots + done, 1 + assets) != CORE_OK)
            return restore_failed(core);
        done += 1 + assets;
    }
    return done == count ? core_restore_end(core) : restore_failed(core);
}

/* ---- what was touched ---- */

u64 core_dirty_symbols(const struct core *core, u64 *symbols) {
    u64 count = 0;
    for (u64 i = 0; i < core->symbols_held; i++) {
        const struct symbol *s = symbol_region(core, i);
        if (!s->touched)
            continue;
        if (symbols != 0)
            symbols[count] = s->number;
        count++;
    }
    return count;
}

u64 core_dirty_accounts(const struct core *core, u64 *accounts) {
    u64 count = 0;
    for (u64 i = 0; i < core->accounts_held; i++) {
        const struct account *account = account_region(core, i);
        if (!account->touched)
            continue;
        if (accounts != 0)
            accounts[count] = account->number;
        count++;
    }
    return count;
}

void core_clear_dirty(struct core *core) {
    for (u64 i = 0; i < core->symbols_held; i++)
        symbol_region(core, i)->touched = 0;
    for (u64 i = 0; i < core->accounts_held; i++)
        account_region(core, i)->touched = 0;
}

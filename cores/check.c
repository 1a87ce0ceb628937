/* Every invariant of the state, looked at from outside: run after each command in tests, and on every restored state.
 * It trusts no link or count: a broken book ends the walk with a number, never with a loop or a wild read. */
#include "ladder.h"
#include "money.h"

u64 order_is_valid(const struct core *core, const struct symbol *s, const struct order *order, u64 slot) {
    u64 side = order->facts & 0xff, ord_type = order->facts >> 8 & 0xff, tif = order->facts >> 16 & 0xff;
    if ((order->id & ORDER_SLOT_NONE) != slot || order->id >> 24 == 0 || order->id >> 24 > core->last_seq)
        return 0;
    if (side - 1 > 1 || ord_type != ORD_LIMIT || tif > TIF_GTC || order->facts >> 24 > FLAG_POST_ONLY)
        return 0;
    if (order->leaves == 0 || order->cum > QTY_LOTS_MAX || order->leaves > QTY_LOTS_MAX - order->cum)
        return 0;
    if (order->price < s->min_ticks || order->price > s->max_ticks)
        return 0;
    if ((order->owner & ~OWNER_ORDER_MASK) != 0 || owner_account(order->owner) >= core->account_count)
        return 0;
    return cost_checked(s, order->price, order->leaves, 0) != SLOT_NONE &&
           (u128)order->leaves * s->lot_size <= AMOUNT_MAX;
}

u64 position_is_valid(const struct position *p) {
    int64_t balance = (int64_t)p->balance;
    if (p->hold > AMOUNT_MAX || p->credit > AMOUNT_MAX || p->gross_max > AMOUNT_MAX)
        return 0;
    if (balance > (int64_t)AMOUNT_MAX || balance < -(int64_t)AMOUNT_MAX)
        return 0;
    return balance + (int64_t)p->credit >= (int64_t)p->hold;
}

static u64 bitmap_agrees(const u64 *map, u64 capacity) {
    u64 middle = bitmap_middle_words(capacity), words = capacity >> 6;
    const u64 *upper = map + words + 1;
    for (u64 i = 0; i < middle * 64; i++) {
        u64 expected = i < words && map[i] != 0;
        if ((upper[i >> 6] >> (i & 63) & 1) != expected)
            return 0;
    }
    for (u64 i = 0; i < 64; i++) {
        u64 expected = i < middle && upper[i] != 0;
        if ((map[words] >> i & 1) != expected)
            return 0;
    }
    return 1;
}

static u64 bitmap_members(const u64 *map, u64 capacity) {
    u64 members = 0;
    for (u64 i = 0; i < capacity >> 6; i++) {
        for (u64 word = map[i]; word != 0; word &= word - 1)
            members++;
    }
    return members;
}

/* One level: *orders_seen counts on, so that a ring of links cannot hold the walk. */
static u64 check_level(const struct core *core, const struct symbol *s, u64 side, u64 key, u64 *orders_seen) {
    const struct level *level = &levels_of(core, s, side)[key];
    u64 lots = 0, prev = SLOT_NONE, slot = level->head;
    if (slot == SLOT_NONE)
        return INVARIANT_LINKS;
    while (slot != SLOT_NONE) {
        if (slot >= core->config.orders || *orders_seen == s->order_count || bitmap_has(slots_of(core, s), slot))
            return INVARIANT_SLOTS;
        const struct order *order = &orders_of(core, s)[slot];
        if (!order_is_valid(core, s, order, slot))
            return INVARIANT_ORDER;
        if (order->prev != prev || order_side(order) != side || ladder_key(s, side, order->price) != key)
            return INVARIANT_LINKS;
        lots += order->leaves;
        *orders_seen += 1;
        prev = slot;
        slot = order->next;
    }
    if (level->tail != prev)
        return INVARIANT_LINKS;
    return level->lots == lots ? 0 : INVARIANT_AGGREGATE;
}

static u64 check_symbol(const struct core *core, const struct symbol *s) {
    u64 seen = 0, broken = 0;
    if (instrument_reason(core, s) != REASON_NONE || s->lots_safe != instrument_lots_safe(s))
        return INVARIANT_INSTRUMENT;
    if (!bitmap_agrees(slots_of(core, s), core->config.orders))
        return INVARIANT_BITMAP;
    for (u64 side = BID; side <= ASK; side++) {
        const u64 *ladder = ladder_of(core, s, side);
        if (!bitmap_agrees(ladder, core->config.levels))
            return INVARIANT_BITMAP;
        u64 key = bitmap_first(ladder, core->level_words);
        if (s->best[side] != key)
            return INVARIANT_BEST;
        for (; key != LEVEL_NONE && broken == 0; key = bitmap_next(ladder, core->level_words, key)) {
            if (key > s->max_ticks - s->min_ticks)
                return INVARIANT_LINKS;
            broken = check_level(core, s, side, key, &seen);
        }
    }
    if (broken != 0)
        return broken;
    if (seen != s->order_count || s->slot_first != bitmap_first(slots_of(core, s), core->slot_words) ||
        bitmap_members(slots_of(core, s), core->config.orders) != core->config.orders - s->order_count)
        return INVARIANT_SLOTS;
    if (s->best[BID] != LEVEL_NONE && s->best[ASK] != LEVEL_NONE &&
        ladder_price(s, BID, s->best[BID]) >= ladder_price(s, ASK, s->best[ASK]))
        return INVARIANT_CROSSED;
    return 0;
}

/* The last order is remembered only while there is a window for duplicates, and all zero before the first. */
static u64 last_order_is_valid(const struct core *core, const struct account *account) {
    u64 symbol = account->last_symbol_side & 0xffff, side = account->last_symbol_side >> 16;
    if (account->last_qty == 0)
        return (account->last_time_ns | account->last_price | account->last_symbol_side) == 0;
    return account->duplicate_ns != 0 && account->last_qty <= QTY_LOTS_MAX && side - 1 <= 1 &&
           symbol < core->symbol_count && account->last_time_ns <= core->last_time_ns;
}

static u64 account_limits_are_valid(const struct core *core, const struct account *account) {
    if (account->open_orders > core->config.symbols * core->config.orders || account->open_orders_max > QTY_LOTS_MAX)
        return 0;
    if (account->messages_max > QTY_LOTS_MAX || account->messages > account->messages_max ||
        account->messages_start_ns > core->last_time_ns || (account->messages == 0 && account->messages_start_ns != 0))
        return 0;
    return account->duplicate_ns <= AMOUNT_MAX && last_order_is_valid(core, account);
}

u64 account_broken(const struct core *core, const struct account *account) {
    if (account->flags > (FLAG_ACCOUNT_FROZEN | ACCOUNT_KILLED) ||
        !fees_are_valid(account->maker_bp, account->taker_bp) || account->member >= core->account_count ||
        account->smp_group >> 32 != 0 || account->smp_mode > SMP_DECREMENT)
        return INVARIANT_ACCOUNT;
    return account_limits_are_valid(core, account) ? 0 : INVARIANT_LIMITS;
}

static u64 check_account(const struct core *core, const struct account *account) {
    u64 broken = account_broken(core, account), gross_count = 0;
    if (broken != 0)
        return broken;
    for (u64 asset = 0; asset < core->config.assets; asset++)
        gross_count += position_of(account, asset)->gross_max != 0;
    if (gross_count != account->gross_count || account->guarded != account_guards(account))
        return INVARIANT_LIMITS;
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        if (!position_is_valid(position_of(account, asset)))
            return INVARIANT_FUNDS;
    }
    return 0;
}

/* Sums what the open orders need into the positions' scratch words, then compares. */
static u64 check_holds(struct core *core) {
    for (u64 i = 0; i < core->accounts_held; i++) {
        for (u64 asset = 0; asset < core->config.assets; asset++)
            position_of(account_region(core, i), asset)->needed = 0;
    }
    for (u64 i = 0; i < core->symbols_held; i++) {
        const struct symbol *s = symbol_region(core, i);
        const struct order *orders = orders_of(core, s);
        for (u64 side = BID; side <= ASK; side++) {
            for (u64 slot = ladder_walk(core, s, side, SLOT_NONE); slot != SLOT_NONE;
                 slot = ladder_walk(core, s, side, slot)) {
                const struct order *order = &orders[slot];
                const struct account *account = account_region(core, owner_account(order->owner));
                u64 needs = hold_of(s, side, order->price, order->leaves, account->taker_bp);
                u64 *needed = &position_of(account, hold_asset(s, side))->needed;
                if (needs > AMOUNT_MAX || *needed > AMOUNT_MAX)
                    return INVARIANT_HOLDS;
                *needed += needs;
            }
        }
    }
    for (u64 i = 0; i < core->accounts_held; i++) {
        for (u64 asset = 0; asset < core->config.assets; asset++) {
            const struct position *p = position_of(account_region(core, i), asset);
            if (p->hold != p->needed)
                return INVARIANT_HOLDS;
        }
    }
    return 0;
}

static u64 check_money(const struct core *core) {
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        const u64 *supply = supply_of(core, asset);
        __int128 balance = 0, credit = 0;
        for (u64 i = 0; i < core->accounts_held; i++) {
            const struct position *p = position_of(account_region(core, i), asset);
            balance += (int64_t)p->balance;
            credit += p->credit;
        }
        if (balance != (__int128)supply[0])
            return INVARIANT_MONEY;
        if (credit != (__int128)supply[1] || supply[0] > AMOUNT_MAX || supply[1] > AMOUNT_MAX - supply[0])
            return INVARIANT_CREDIT;
    }
    return 0;
}

static u64 killed_is_valid(const struct core *core) {
    if (core->killed_count > KILLED_SESSIONS_MAX)
        return 0;
    for (u64 i = 0, next = 0; i < core->killed_count; i++) {
        if (core->killed[i] < next || core->killed[i] > 0xffff)
            return 0;
        next = core->killed[i] + 1;
    }
    return 1;
}

static u64 check_counts(const struct core *core) {
    if (core->symbols_held > core->symbol_regions || core->accounts_held > core->account_regions ||
        core->symbol_count > core->config.symbols || core->account_count > core->config.accounts)
        return INVARIANT_COUNTS;
    if (!core->partial && (core->symbols_held != core->symbol_count || core->accounts_held != core->account_count))
        return INVARIANT_COUNTS;
    for (u64 i = 0, next = 0; i < core->symbols_held; i++) {
        u64 number = symbol_region(core, i)->number;
        if (number >= core->symbol_count || number < next)
            return INVARIANT_COUNTS;
        next = number + 1;
    }
    for (u64 i = 0, next = 0; i < core->accounts_held; i++) {
        u64 number = account_region(core, i)->number;
        if (number >= core->account_count || number < next)
            return INVARIANT_COUNTS;
        next = number + 1;
    }
    return 0;
}

u64 core_check(struct core *core) {
    u64 broken = check_counts(core);
    if (broken == 0 && !killed_is_valid(core))
        broken = INVARIANT_LIMITS;
    for (u64 i = 0; broken == 0 && i < core->symbols_held; i++)
        broken = check_symbol(core, symbol_region(core, i));
    for (u64 i = 0; broken == 0 && i < core->accounts_held; i++)
        broken = check_account(core, account_region(core, i));
    if (broken != 0 || core->partial)
        return broken;
    broken = check_holds(core);
    return broken != 0 ? broken : check_money(core);
}

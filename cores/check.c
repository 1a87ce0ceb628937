/* Every invariant of the state, looked at from outside: run after each command in tests, and on every restored state.
 * It trusts no link or count: a broken book ends the walk with a number, never with a loop or a wild read. */
#include "book.h"

/* Facts and price say where the order is, and its type allows that. */
static u64 place_is_valid(const struct symbol *s, const struct order *order) {
    u64 facts = order_facts(order), ord_type = order_ord_type(order), unpriced = facts & FACT_UNPRICED;
    u64 auction = order_tif(order) == TIF_AT_OPEN || order_tif(order) == TIF_AT_CLOSE;
    if (facts >> 7 != 0 || facts / FACT_WIDE != s->is_wide || (facts & FACT_FUTURE) / FACT_FUTURE != s->is_future ||
        (facts & FACT_CLOSING && !s->is_future))
        return 0;
    if (auction && !(facts & FACT_DORMANT) && s->phase == PHASE_CONTINUOUS)
        return 0;
    if (facts & FACT_WAITING) {
        if (!is_stop(ord_type) || facts & (FACT_DORMANT | FACT_UNPRICED))
            return 0;
        return ord_type == ORD_STOP ? order->price == 0 : price_is_valid(s, order->price);
    }
    if (facts & FACT_DORMANT && (order_tif(order) != TIF_AT_CLOSE || s->phase == PHASE_CLOSE_CALL))
        return 0;
    if (unpriced ? ord_type == ORD_LIMIT || ord_type == ORD_STOP_LIMIT : ord_type == ORD_MARKET || ord_type == ORD_STOP)
        return 0;
    return unpriced ? order->price == collar_end(s, order_side(order)) : price_is_valid(s, order->price);
}

/* The cold part is there exactly when it says something. An iceberg has at most ICEBERG_TRANCHES_MAX portions left to
 * show, which bounds the events of a command. */
static u64 cold_is_valid(const struct symbol *s, const struct order *order, const struct cold *cold) {
    u64 stops = is_stop(order_ord_type(order)), gtd = order_tif(order) == TIF_GTD;
    if (!(order_facts(order) & FACT_COLD))
        return !stops && !gtd;
    if (!stops && !gtd && cold->display == 0)
        return 0;
    if ((cold->expiry_ns != 0) != gtd || (stops ? !price_is_valid(s, cold->stop) : cold->stop != 0))
        return 0;
    if (cold->display == 0)
        return cold->hidden == 0;
    if (order_ord_type(order) != ORD_LIMIT || cold->display > QTY_LOTS_MAX)
        return 0;
    if (order_facts(order) & FACT_DORMANT) /* shows and hides nothing before it is in the book */
        return cold->hidden == 0 && order->leaves <= cold->display * ICEBERG_TRANCHES_MAX; /* below 2^44 */
    return order->leaves <= cold->display && cold->hidden <= cold->display * (ICEBERG_TRANCHES_MAX - 1);
}

/* A plain order in the book, small enough for any price: most are, and a restore looks at each. */
HOT u64 is_valid_and_plain(const struct core *core, const struct symbol *s, const struct order *order, u64 slot) {
    u64 facts = order->facts, leaves = order->leaves, cum = order->cum;
    return (facts & ~((u64)TIF_GTC << 16 | 3)) == ORD_LIMIT << 8 && (facts & 3) - 1 <= 1 &&
           (order->id & ORDER_SLOT_NONE) == slot && (order->id >> 24) - 1 < core->last_seq &&
           leaves - 1 < s->lots_safe && ((leaves | cum) >> 40 | (leaves + cum) >> 40) == 0 &&
           price_is_valid(s, order->price) && order->owner >> 48 == 0 &&
           owner_account(order->owner) < core->account_count;
}

u64 order_is_valid(const struct core *core, const struct symbol *s, const struct order *order, u64 slot) {
    if (is_valid_and_plain(core, s, order, slot))
        return 1;
    u64 side = order->facts & 0xff, tif = order_tif(order), flags = order->facts >> 24 & 0xff;
    if ((order->id & ORDER_SLOT_NONE) != slot || order->id >> 24 == 0 || order->id >> 24 > core->last_seq)
        return 0;
    if (side - 1 > 1 || order_form_reason(order_ord_type(order), tif, flags) != REASON_NONE || tif == TIF_IOC ||
        tif == TIF_FOK || !place_is_valid(s, order) || !cold_is_valid(s, order, &colds_of(core, s)[slot]))
        return 0;
    u64 all = order->leaves + order_hidden(core, s, slot); /* hidden is below 2^44 */
    if (order->leaves == 0 || order->leaves > QTY_LOTS_MAX || order->cum > QTY_LOTS_MAX ||
        all > QTY_LOTS_MAX - order->cum)
        return 0;
    if (s->is_future && all > POSITION_LOTS_MAX)
        return 0;
    if ((order->owner & ~OWNER_ORDER_MASK) != 0 || owner_account(order->owner) >= core->account_count)
        return 0;
    return cost_checked(s, order->price, all, 0) != SLOT_NONE && (u128)all * s->lot_size <= AMOUNT_MAX;
}

/* A position in a future; what its terms say of it, check_position does. Account 0 gives no collateral, and nobody calls
 * it. */
static u64 contract_is_valid(const struct core *core, const struct account *account, const struct position *p) {
    u64 is_venue = account->number == 0;
    int64_t lots = (int64_t)p->lots, cost = (int64_t)p->cost, most = AMOUNT_MAX;
    int64_t lots_max = POSITION_LOTS_MAX * (is_venue ? core->config.accounts : 1); /* below 2^47 */
    if ((lots == 0 || is_venue) && (p->collateral | stage_of(p)) != 0)
        return 0;
    if (stage_of(p) > STAGE_LIQUIDATED || p->collateral > AMOUNT_MAX || lots > lots_max || lots < -lots_max)
        return 0;
    if (lots == 0)
        return cost == 0;
    return lots > 0 ? cost >= lots && cost <= most : cost <= lots && cost >= -most;
}

u64 position_is_valid(const struct core *core, const struct account *account, u64 asset) {
    const struct position *p = position_of(account, asset);
    int64_t balance = (int64_t)p->balance;
    if (is_contract(core, asset))
        return contract_is_valid(core, account, p);
    if (p->hold > AMOUNT_MAX || p->credit > AMOUNT_MAX || p->gross_max > AMOUNT_MAX)
        return 0;
    if (balance > INT64_MAX - (int64_t)p->credit || balance < -(int64_t)AMOUNT_MAX)
        return 0;
    return account->number == 0 || balance + (int64_t)p->credit >= (int64_t)p->hold;
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

/* What the walk of a symbol's orders has seen so far. */
struct seen {
    u64 orders, cold, waiting;
    u64 expiry_next;
    u64 lots, hidden; /* of one list */
};

/* The orders of one list: a level, or the dormant. seen->orders counts on, so that a ring of links cannot hold the
 * walk. */
static u64 check_list(const struct core *core, const struct symbol *s, u64 head, u64 tail, u64 ladder, u64 key,
                      struct seen *seen) {
    u64 prev = SLOT_NONE, place = ladder == LADDERS ? FACT_DORMANT : ladder > ASK ? FACT_WAITING : 0;
    seen->lots = 0;
    seen->hidden = 0;
    for (u64 slot = head; slot != SLOT_NONE; slot = orders_of(core, s)[slot].next) {
        if (slot >= core->config.orders || seen->orders == s->order_count || bitmap_has(slots_of(core, s), slot))
            return INVARIANT_SLOTS;
        const struct order *order = &orders_of(core, s)[slot];
        const struct cold *cold = &colds_of(core, s)[slot];
        u64 facts = order_facts(order);
        if (!order_is_valid(core, s, order, slot))
            return INVARIANT_ORDER;
        if (order->prev != prev || (facts & (FACT_DORMANT | FACT_WAITING)) != place)
            return INVARIANT_LINKS;
        if (ladder <= ASK && (order_side(order) != ladder || ladder_key(s, ladder, order->price) != key))
            return INVARIANT_LINKS;
        if (place == FACT_WAITING && (order_side(order) + STOP_BUY != ladder || stop_key(s, ladder, cold->stop) != key))
            return INVARIANT_LINKS;
        if (order_tif(order) == TIF_GTD)
            seen->expiry_next = smaller_of(seen->expiry_next, cold->expiry_ns);
        seen->lots += order->leaves;
        seen->hidden += order_hidden(core, s, slot);
        seen->orders++;
        seen->cold += facts & FACT_COLD;
        seen->waiting += place == FACT_WAITING;
        prev = slot;
    }
    return tail == prev ? 0 : INVARIANT_LINKS;
}

static u64 check_level(const struct core *core, const struct symbol *s, u64 ladder, u64 key, struct seen *seen) {
    const struct level *level = level_at(core, s, ladder, key);
    if (level->head == SLOT_NONE)
        return INVARIANT_LINKS;
    u64 broken = check_list(core, s, level->head, level->tail, ladder, key, seen);
    if (broken != 0)
        return broken;
    return level->lots == seen->lots && level->hidden == seen->hidden ? 0 : INVARIANT_AGGREGATE;
}

/* Only at a collar's end can orders be unpriced. */
static u64 has_unpriced(const struct core *core, const struct symbol *s, u64 side) {
    const struct order *orders = orders_of(core, s);
    if (s->best[side] != 0)
        return 0;
    for (u64 slot = level_at(core, s, side, 0)->head; slot != SLOT_NONE; slot = orders[slot].next) {
        if (order_facts(&orders[slot]) & FACT_UNPRICED)
            return 1;
    }
    return 0;
}

u64 symbol_is_continuous(const struct core *core, const struct symbol *s) {
    if (s->phase != PHASE_CONTINUOUS)
        return 1;
    if (s->best[BID] != LEVEL_NONE && s->best[ASK] != LEVEL_NONE &&
        ladder_price(s, BID, s->best[BID]) >= ladder_price(s, ASK, s->best[ASK]))
        return 0;
    for (u64 side = BID; side <= ASK; side++) {
        u64 ladder = side + STOP_BUY, key = s->best[ladder];
        if (has_unpriced(core, s, side))
            return 0;
        if (s->last_ticks != 0 && key != LEVEL_NONE && stop_is_due(side, stop_price(s, ladder, key), s->last_ticks))
            return 0;
    }
    return 1;
}

/* The words that follow from the others. */
static u64 derived_are_right(const struct symbol *s) {
    struct symbol derived;
    derived.lots_safe = s->lots_safe;
    derived.phase = s->phase;
    derived.tick_value = s->tick_value;
    derived.min_ticks = s->min_ticks;
    derived.max_ticks = s->max_ticks;
    derived.last_ticks = s->last_ticks;
    derived.reference_ticks = s->reference_ticks;
    derived.dynamic_bp = s->dynamic_bp;
    derived.static_bp = s->static_bp;
    derived.order_qty_max = s->order_qty_max;
    derived.order_value_max = s->order_value_max;
    symbol_derive(&derived);
    return derived.lots_plain == s->lots_plain && derived.band_low == s->band_low && derived.band_high == s->band_high;
}

/* The bitmap of a ladder whose symbol is not wide, and its best key. */
static u64 ladder_broken(const struct core *core, const struct symbol *s, u64 side) {
    const u64 *ladder = ladder_of(core, s, side);
    if (!bitmap_agrees(ladder, core->config.levels))
        return INVARIANT_BITMAP;
    return s->best[side] == bitmap_first(ladder, core->level_words) ? 0 : INVARIANT_BEST;
}

static u64 check_ladders(const struct core *core, const struct symbol *s, struct seen *seen) {
    u64 broken = 0;
    for (u64 side = BID; side < LADDERS && broken == 0; side++) {
        u64 key = s->best[side];
        broken = s->is_wide ? pages_broken(core, s, side) : ladder_broken(core, s, side);
        for (; key != LEVEL_NONE && broken == 0; key = ladder_next(core, s, side, key)) {
            if (key > s->max_ticks - s->min_ticks)
                return INVARIANT_LINKS;
            broken = check_level(core, s, side, key, seen);
        }
    }
    return broken;
}

static u64 check_symbol(const struct core *core, const struct symbol *s) {
    struct seen seen = {.orders = 0, .cold = 0, .waiting = 0, .expiry_next = ~0ull};
    if (instrument_reason(core, s) != REASON_NONE || s->is_wide != instrument_is_wide(core, s) ||
        s->lots_safe != instrument_lots_safe(s) || s->bound != future_bound(core, s) ||
        !instrument_uses_are_right(core, s))
        return INVARIANT_INSTRUMENT;
    if (!symbol_market_is_valid(s) || !derived_are_right(s))
        return INVARIANT_LIMITS;
    if (!bitmap_agrees(slots_of(core, s), core->config.orders))
        return INVARIANT_BITMAP;
    u64 broken = check_ladders(core, s, &seen);
    if (broken == 0)
        broken = check_list(core, s, s->dormant_head, s->dormant_tail, LADDERS, 0, &seen);
    if (broken != 0)
        return broken;
    if (seen.cold != s->cold_count || seen.waiting != s->waiting_count || seen.expiry_next < s->expiry_next)
        return INVARIANT_AGGREGATE;
    if (seen.orders != s->order_count || s->slot_first != bitmap_first(slots_of(core, s), core->slot_words) ||
        bitmap_members(slots_of(core, s), core->config.orders) != core->config.orders - s->order_count)
        return INVARIANT_SLOTS;
    return symbol_is_continuous(core, s) ? 0 : INVARIANT_CROSSED;
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
        gross_count += has_gross_limit(core, account, asset);
    if (gross_count != account->gross_count || account->guarded != account_guards(account))
        return INVARIANT_LIMITS;
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        if (!position_is_valid(core, account, asset))
            return INVARIANT_FUNDS;
    }
    return 0;
}

/* What the open orders of a symbol need, added to the scratch words. */
static u64 sum_needed(const struct core *core, const struct symbol *s) {
    const struct order *orders = orders_of(core, s);
    for (u64 slot = orders_walk(core, s, SLOT_NONE); slot != SLOT_NONE; slot = orders_walk(core, s, slot)) {
        const struct order *order = &orders[slot];
        struct account *account = account_region(core, owner_account(order->owner));
        u64 side = order_side(order), all = order->leaves + order_hidden(core, s, slot);
        u64 needs = order_needs(s, order, all, account->taker_bp);
        u64 *needed = needed_of(core, account, s->is_future ? s->quote : hold_asset(s, side));
        if (needs > AMOUNT_MAX || *needed > AMOUNT_MAX)
            return INVARIANT_HOLDS;
        *needed += needs;
        if (s->is_future) {
            u64 *open = needed_of(core, account, s->base);
            if ((*open >> (side * OPEN_BITS) & OPEN_MASK) + all > POSITION_LOTS_MAX)
                return INVARIANT_HOLDS;
            *open += all << (side * OPEN_BITS);
        }
        account->needed_orders++;
    }
    return 0;
}

/* Sums what all open orders need into the scratch words, then compares. */
static u64 check_holds(struct core *core) {
    u64 broken = 0;
    for (u64 i = 0; i < core->accounts_held; i++) {
        account_region(core, i)->needed_orders = 0;
        for (u64 asset = 0; asset < core->config.assets; asset++)
            *needed_of(core, account_region(core, i), asset) = 0;
    }
    for (u64 i = 0; broken == 0 && i < core->symbols_held; i++)
        broken = sum_needed(core, symbol_region(core, i));
    if (broken != 0)
        return broken;
    for (u64 i = 0; i < core->accounts_held; i++) {
        for (u64 asset = 0; asset < core->config.assets; asset++) {
            const struct account *account = account_region(core, i);
            const struct position *p = position_of(account, asset);
            u64 held = is_contract(core, asset) ? p->open & ((1ull << STAGE_SHIFT) - 1) : p->hold;
            if (held != *needed_of(core, account, asset))
                return INVARIANT_HOLDS;
        }
        if (account_region(core, i)->open_orders != account_region(core, i)->needed_orders)
            return INVARIANT_LIMITS;
    }
    return 0;
}

/* What the terms of a future say of a position in it. No product passes 64 bits: contract_is_valid has looked at lots and
 * cost, and a price with its tick value is below 2^52 (F2). */
static u64 check_position(const struct symbol *s, const struct account *account) {
    const struct position *p = position_of(account, s->base);
    int64_t lots = (int64_t)p->lots, bound = (int64_t)s->bound;
    u64 size = lots < 0 ? -p->lots : p->lots, cost = lots < 0 ? -p->cost : p->cost;
    if (size > s->bound && account->number != 0)
        return INVARIANT_POSITIONS;
    if (lots != 0 && ((cost - 1) / size >= s->max_ticks * s->tick_value || cost / size < s->min_ticks * s->tick_value ||
                      p->collateral / size > 2 * s->max_ticks * s->tick_value))
        return INVARIANT_POSITIONS;
    if (account->number != 0 &&
        (lots + (int64_t)open_of_side(p, BID) > bound || (int64_t)open_of_side(p, ASK) - lots > bound))
        return INVARIANT_POSITIONS;
    return 0;
}

/* The positions in a future sum to zero, and the long ones to its open interest. *quoted: what they are of the quote's
 * supply. */
static u64 check_future(const struct core *core, const struct symbol *s, __int128 *quoted) {
    __int128 lots = 0, longs = 0;
    for (u64 i = 0; i < core->accounts_held; i++) {
        const struct account *account = account_region(core, i);
        const struct position *p = position_of(account, s->base);
        if (check_position(s, account) != 0)
            return INVARIANT_POSITIONS;
        lots += (int64_t)p->lots;
        if ((int64_t)p->lots > 0)
            longs += (int64_t)p->lots;
        *quoted += p->collateral;
        *quoted -= (int64_t)p->cost;
    }
    return lots == 0 && longs == (__int128)s->open_interest ? 0 : INVARIANT_POSITIONS;
}

/* Of the futures: what they hold of the supply of `asset`, and that a contract is one's. */
static u64 check_futures(const struct core *core, u64 asset, __int128 *quoted) {
    u64 broken = 0, use = *asset_use_of(core, asset);
    if (use >= ASSET_CONTRACT) {
        const struct symbol *s =
            use - ASSET_CONTRACT < core->symbol_count ? symbol_region(core, use - ASSET_CONTRACT) : 0;
        if (s == 0 || !s->is_future || s->base != asset)
            return INVARIANT_INSTRUMENT;
    }
    for (u64 i = 0; broken == 0 && i < core->symbols_held; i++) {
        const struct symbol *s = symbol_region(core, i);
        if (s->is_future && s->quote == asset)
            broken = check_future(core, s, quoted);
    }
    return broken;
}

static u64 check_money(const struct core *core) {
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        const u64 *supply = supply_of(core, asset);
        __int128 balance = 0, credit = 0;
        u64 broken = check_futures(core, asset, &balance);
        if (broken != 0)
            return broken;
        if (is_contract(core, asset)) {
            if ((supply[0] | supply[1]) != 0)
                return INVARIANT_MONEY;
            continue;
        }
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

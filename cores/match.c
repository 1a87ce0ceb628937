/* Trading: the aggressor's way through the other side's levels, the settlement of each fill, self-match prevention and
 * the refreshing of icebergs (rules T1..T6), and the count of what it could trade at once (N13). */
#include "book.h"

void aggressor_start(const struct symbol *s, struct aggressor *a, u64 facts, u64 limit) {
    u64 window = s->max_ticks - s->min_ticks, low = s->band_low - s->min_ticks, high = s->band_high - s->min_ticks;
    u64 mode = facts >> (24 + FLAG_SMP_SHIFT) & 7;
    if (mode == SMP_NONE)
        mode = a->account->smp_mode;
    a->smp_mode = mode;
    a->group = mode == SMP_NONE || a->account->smp_group == 0 ? GROUP_NONE : a->account->smp_group;
    a->total = a->leaves;
    a->key_price = limit == 0 ? window : ladder_key(s, a->side ^ 1, limit);
    a->key_min = a->side == BID ? low : window - high;
    a->key_max = smaller_of(a->key_price, a->side == BID ? high : window - low);
    a->pays_as_goes = limit == 0 && a->side == BID;
}

/* Settles one fill between the aggressor and the resting order, but for the venue's income. `all` are the resting
 * order's leaves before. Balances wrap as two's complement; the bounds of money.h keep their true values inside it. */
HOT void settle(const struct symbol *s, const struct aggressor *a, struct account *resting, u64 price, u64 all,
                u64 lots, u64 *maker_fee, u64 *taker_fee) {
    u64 notional = notional_of(s, price, lots), base_units = lots * s->lot_size;
    *taker_fee = fee_of(notional, a->account->taker_bp);
    *maker_fee = maker_fee_of(notional, resting->maker_bp, *taker_fee);
    struct position *maker_base = position_of(resting, s->base), *maker_quote = position_of(resting, s->quote);
    struct position *taker_base = position_of(a->account, s->base), *taker_quote = position_of(a->account, s->quote);
    if (a->side == BID) {
        maker_base->balance -= base_units;
        maker_base->hold -= base_units;
        maker_quote->balance += notional - *maker_fee;
        taker_base->balance += base_units;
        taker_quote->balance -= notional + *taker_fee;
        return;
    }
    maker_base->balance += base_units;
    maker_quote->balance -= notional + *maker_fee;
    maker_quote->hold -=
        hold_of(s, BID, price, all, resting->taker_bp) - hold_of(s, BID, price, all - lots, resting->taker_bp);
    taker_base->balance -= base_units;
    taker_quote->balance += notional - *taker_fee;
}

static u64 can_pay(const struct symbol *s, const struct aggressor *a, u64 price, u64 lots) {
    u64 notional = notional_of(s, price, lots);
    return !exceeds(notional + fee_of(notional, a->account->taker_bp),
                    available_of(position_of(a->account, s->quote))); /* a fee is at most its notional */
}

/* The first order of the best level is done: the level's next one is its first now. */
HOT void drop_head(struct core *core, struct symbol *s, struct account *account, u64 side, u64 key, u64 slot, u64 next,
                   u64 wide) {
    if (next == SLOT_NONE) {
        (void)(wide ? pages_drop_level(core, s, side, key) : ladder_drop_level(core, s, side, key));
    } else {
        level_in(core, s, side, key, wide)->head = next;
        orders_of(core, s)[next].prev = SLOT_NONE;
    }
    slot_free(core, s, account, slot);
}

/* What the first order of a level shows is used up, and it has facts: an iceberg shows more and goes to the end, anything
 * else is done (T5). */
STAGE void shown_is_spent(struct core *core, struct symbol *s, struct account *account, u64 side, u64 key, u64 slot,
                          struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    struct cold *cold = &colds_of(core, s)[slot];
    struct level *level = level_at(core, s, side, key);
    u64 all = order_hidden(core, s, slot);
    if (all == 0) {
        s->cold_count -= order_facts(order) & FACT_COLD;
        drop_head(core, s, account, side, key, slot, order->next, s->is_wide);
        return;
    }
    order->leaves = smaller_of(cold->display, all);
    cold->hidden = all - order->leaves;
    level->hidden -= order->leaves;
    level->lots += order->leaves;
    if (order->next != SLOT_NONE) {
        struct order *orders = orders_of(core, s);
        level->head = order->next;
        orders[order->next].prev = SLOT_NONE;
        orders[level->tail].next = slot;
        order->prev = level->tail;
        order->next = SLOT_NONE;
        level->tail = slot;
    }
    emit(out, order_head(s, EVENT_REFRESHED, 0, side + 1, 0), order->owner, order->id, order->price, order->leaves, all,
         0);
}

/* An order has lost `lots` to self-match prevention and has `leaves` left, of an OrderQty of `total`. */
static void emit_decremented(const struct symbol *s, u64 side, u64 owner, u64 order_id, u64 price, u64 lots, u64 leaves,
                             u64 total, struct output *out) {
    if (leaves == 0)
        emit(out, order_head(s, EVENT_CANCELLED, CANCEL_SELF_MATCH, side + 1, 0), owner, order_id, price, lots, 0, 0);
    else
        emit(out, order_head(s, EVENT_RESTATED, CANCEL_SELF_MATCH, side + 1, 0), owner, order_id, price, total, leaves,
             0);
}

/* SMP_DECREMENT: both lose the smaller one's lots, of the resting order what it shows. */
static void decrement(struct core *core, struct symbol *s, struct aggressor *a, struct account *resting, u64 slot,
                      struct output *out) {
    struct order *maker = &orders_of(core, s)[slot];
    u64 side = a->side ^ 1, key = s->best[side], lots = smaller_of(a->leaves, maker->leaves);
    u64 all = maker->leaves + order_hidden(core, s, slot), left = all - lots;
    order_hold(s, resting, maker, all, left);
    level_at(core, s, side, key)->lots -= lots;
    maker->leaves -= lots;
    a->leaves -= lots;
    a->total -= lots;
    emit_decremented(s, side, maker->owner, maker->id, maker->price, lots, left, maker->cum + left, out);
    emit_decremented(s, a->side, a->owner, a->order_id, a->price, lots, a->leaves, a->total, out);
    if (maker->leaves != 0)
        return;
    if (order_facts(maker))
        shown_is_spent(core, s, resting, side, key, slot, out);
    else
        drop_head(core, s, resting, side, key, slot, maker->next, 0);
}

/* The aggressor has met an order of its own group (T2); returns CANCEL_SELF_MATCH when that is its end. */
STAGE u64 prevent(struct core *core, struct symbol *s, struct aggressor *a, struct account *resting, u64 slot,
                  struct output *out) {
    if (a->smp_mode == SMP_DECREMENT)
        decrement(core, s, a, resting, slot, out);
    else if (a->smp_mode != SMP_CANCEL_AGGRESSOR)
        order_remove(core, s, resting, slot, EVENT_CANCELLED, CANCEL_SELF_MATCH, out);
    return a->smp_mode == SMP_CANCEL_AGGRESSOR || a->smp_mode == SMP_CANCEL_BOTH ? CANCEL_SELF_MATCH : REASON_NONE;
}

/* The aggressor has traded from `first` to `last`; what was paid in fees goes to the venue. */
HOT u64 way_ends(struct core *core, struct symbol *s, u64 first, u64 last, u64 fees, struct trades *trades) {
    u64 low = smaller_of(first, last), high = first ^ last ^ low;
    s->last_ticks = last;
    trades->low = smaller_of(trades->low, low);
    if (trades->high < high)
        trades->high = high;
    if (fees == 0)
        return REASON_NONE;
    struct account *venue = account_touch(core, 0);
    if (venue == 0)
        return REASON_STOPPED;
    position_of(venue, s->quote)->balance += fees;
    return REASON_NONE;
}

/* One body for both, so that a fill in a symbol that is not wide is not asked what it is. */
HOT u64 match_in(struct core *core, struct symbol *s, struct aggressor *a, struct trades *trades, struct output *out,
                 u64 wide) {
    u64 other = a->side ^ 1, fees = 0, reason = REASON_NONE, first = 0, last = 0;
    struct order *orders = orders_of(core, s);
    struct level *levels = levels_of(core, s, other);
    while (a->leaves != 0 && s->best[other] <= a->key_max && s->best[other] >= a->key_min) {
        u64 key = s->best[other];
        struct level *level = wide ? level_in(core, s, other, key, 1) : &levels[key];
        u64 slot = level->head, hidden = 0, maker_fee, taker_fee;
        struct order *maker = &orders[slot];
        struct account *resting = account_touch(core, owner_account(maker->owner));
        if (resting == 0)
            return REASON_STOPPED;
        if (resting->smp_group == a->group) {
            reason = prevent(core, s, a, resting, slot, out);
            if (reason != REASON_NONE)
                break;
            continue;
        }
        u64 lots = maker->leaves < a->leaves ? maker->leaves : a->leaves, left = maker->leaves - lots;
        if (a->pays_as_goes && !can_pay(s, a, maker->price, lots)) {
            reason = CANCEL_FUNDS;
            break;
        }
        if (wide)
            hidden = order_hidden(core, s, slot);
        else if (order_facts(maker)) /* in the book of spot, in CONTINUOUS: it is cold */
            hidden = colds_of(core, s)[slot].hidden;
        last = maker->price;
        if (first == 0)
            first = last;
        settle(s, a, resting, last, maker->leaves + hidden, lots, &maker_fee, &taker_fee);
        fees += maker_fee + taker_fee; /* at most the notionals, which are money that is there */
        a->leaves -= lots;
        emit(out, order_head(s, EVENT_FILL, 0, other + 1, 0), maker->owner, maker->id, last, lots, left + hidden,
             maker_fee);
        emit(out, order_head(s, EVENT_FILL, 0, a->side + 1, FLAG_AGGRESSOR), a->owner, a->order_id, last, lots,
             a->leaves, taker_fee);
        level->lots -= lots;
        maker->leaves = left;
        maker->cum += lots;
        if (left == 0) {
            if (order_facts(maker))
                shown_is_spent(core, s, resting, other, key, slot, out);
            else
                drop_head(core, s, resting, other, key, slot, maker->next, 0);
        }
    }
    if (last != 0 && way_ends(core, s, first, last, fees, trades) == REASON_STOPPED)
        return REASON_STOPPED;
    if (reason == REASON_NONE && a->leaves != 0 && s->best[other] <= a->key_price) {
        phase_trip(s, out);
        return CANCEL_VOLATILITY;
    }
    return reason;
}

u64 match(struct core *core, struct symbol *s, struct aggressor *a, struct trades *trades, struct output *out) {
    return match_in(core, s, a, trades, out, 0);
}

u64 match_wide(struct core *core, struct symbol *s, struct aggressor *a, struct trades *trades, struct output *out) {
    return match_in(core, s, a, trades, out, 1);
}

/* ---- in a future ---- */

/* A fill, all of it. Returns what both pay in fees, or SLOT_NONE when account 0 is missing. */
static u64 fill_future(struct core *core, struct symbol *s, struct aggressor *a, struct account *resting, u64 slot,
                       u64 lots, struct output *out) {
    struct order *maker = &orders_of(core, s)[slot];
    u64 side = a->side ^ 1, key = s->best[side], price = maker->price, owner = maker->owner;
    u64 notional = notional_of(s, price, lots), all = maker->leaves + order_hidden(core, s, slot);
    u64 taker_fee = fee_of(notional, a->account->taker_bp);
    u64 maker_fee = maker_fee_of(notional, resting->maker_bp, taker_fee);
    order_hold(s, resting, maker, all, all - lots);
    a->leaves -= lots;
    emit(out, order_head(s, EVENT_FILL, 0, side + 1, 0), owner, maker->id, price, lots, all - lots, maker_fee);
    emit(out, order_head(s, EVENT_FILL, 0, a->side + 1, FLAG_AGGRESSOR), a->owner, a->order_id, price, lots, a->leaves,
         taker_fee);
    if (future_trade(core, s, resting, owner, side, price, lots, maker_fee, out) == REASON_STOPPED ||
        future_trade(core, s, a->account, a->owner, a->side, price, lots, taker_fee, out) == REASON_STOPPED)
        return SLOT_NONE;
    level_at(core, s, side, key)->lots -= lots;
    maker->leaves -= lots;
    maker->cum += lots;
    if (maker->leaves == 0)
        shown_is_spent(core, s, resting, side, key, slot, out);
    return maker_fee + taker_fee;
}

/* Beside `match`, so that a fill of spot is not asked what it is. */
u64 match_future(struct core *core, struct symbol *s, struct aggressor *a, struct trades *trades, struct output *out) {
    u64 other = a->side ^ 1, fees = 0, reason = REASON_NONE, first = 0, last = 0;
    while (a->leaves != 0 && s->best[other] <= a->key_max && s->best[other] >= a->key_min) {
        u64 slot = level_at(core, s, other, s->best[other])->head;
        const struct order *maker = &orders_of(core, s)[slot];
        struct account *resting = account_touch(core, owner_account(maker->owner));
        if (resting == 0)
            return REASON_STOPPED;
        if (resting->smp_group == a->group) {
            reason = prevent(core, s, a, resting, slot, out);
            if (reason != REASON_NONE)
                break;
            continue;
        }
        u64 lots = smaller_of(maker->leaves, a->leaves);
        if (a->pays_as_goes && !future_can_pay(s, a->account, a->side, maker->price, lots)) {
            reason = CANCEL_FUNDS;
            break;
        }
        last = maker->price;
        if (first == 0)
            first = last;
        u64 paid = fill_future(core, s, a, resting, slot, lots, out);
        if (paid == SLOT_NONE)
            return REASON_STOPPED;
        fees += paid;
    }
    if (last != 0 && way_ends(core, s, first, last, fees, trades) == REASON_STOPPED)
        return REASON_STOPPED;
    u64 may_trip = (a->order_id & ORDER_SLOT_NONE) != ORDER_SLOT_NONE; /* a liquidation has no slot, and does not */
    if (may_trip && reason == REASON_NONE && a->leaves != 0 && s->best[other] <= a->key_price) {
        phase_trip(s, out);
        return CANCEL_VOLATILITY;
    }
    return reason;
}

/* ---- what could be traded at once ---- */

struct count {
    u64 lots, enough;
    u64 available; /* of a market buy */
    u64 is_done;   /* it would trade no further */
    u64 is_missing;
};

/* It would fill `lots` of this order, if it has leaves for so many, and pays for them as it would then. */
static void count_fill(const struct symbol *s, const struct aggressor *a, const struct order *maker, u64 lots,
                       struct count *count) {
    lots = smaller_of(lots, a->leaves - count->lots); /* a fill is paid whole, also when less were enough */
    if (a->pays_as_goes) {
        u64 notional = notional_of(s, maker->price, lots), fee = fee_of(notional, a->account->taker_bp);
        if (notional + fee > count->available) {
            count->is_done = 1;
            return;
        }
        count->available -= notional + fee;
        if (owner_account(maker->owner) == a->account->number) /* its own resting sells pay it */
            count->available += notional - maker_fee_of(notional, a->account->maker_bp, fee);
    }
    count->lots += lots;
    if (count->lots >= count->enough)
        count->is_done = 1;
}

/* 1 when the order would be taken off instead of traded with. */
static u64 count_prevents(struct core *core, const struct aggressor *a, const struct order *maker,
                          struct count *count) {
    if (a->group == GROUP_NONE)
        return 0;
    const struct account *resting = account_touch(core, owner_account(maker->owner));
    if (resting == 0) {
        count->is_missing = 1;
        count->is_done = 1;
        return 1;
    }
    if (resting->smp_group != a->group)
        return 0;
    if (a->smp_mode != SMP_CANCEL_RESTING)
        count->is_done = 1;
    return 1;
}

/* A level as it would trade: first what all show, then, round by round, what each refresh shows (T5). There are at most
 * ICEBERG_TRANCHES_MAX rounds: the displayed quantity times that is at least what is left. */
static void count_level(struct core *core, const struct symbol *s, const struct aggressor *a, u64 key,
                        struct count *count) {
    const struct level *level = level_at(core, s, a->side ^ 1, key);
    const struct order *orders = orders_of(core, s);
    for (u64 slot = level->head; slot != SLOT_NONE && !count->is_done; slot = orders[slot].next) {
        if (!count_prevents(core, a, &orders[slot], count))
            count_fill(s, a, &orders[slot], orders[slot].leaves, count);
    }
    u64 more = level->hidden != 0;
    for (u64 round = 0; more && !count->is_done; round++) {
        more = 0;
        for (u64 slot = level->head; slot != SLOT_NONE && !count->is_done; slot = orders[slot].next) {
            u64 hidden = order_hidden(core, s, slot), display = colds_of(core, s)[slot].display;
            if (hidden == 0 || hidden <= round * display) /* below 2^44; a slot without hidden lots has no display */
                continue;
            u64 left = hidden - round * display;
            more |= left > display;
            if (!count_prevents(core, a, &orders[slot], count))
                count_fill(s, a, &orders[slot], smaller_of(left, display), count);
        }
    }
}

u64 match_lots(struct core *core, const struct symbol *s, const struct aggressor *a, u64 enough) {
    u64 other = a->side ^ 1, key = s->best[other];
    if (a->group == GROUP_NONE && !a->pays_as_goes)
        return ladder_lots(core, s, other, a->key_min, a->key_max, enough);
    struct count count = {.enough = enough, .available = free_of(position_of(a->account, s->quote))};
    if (key < a->key_min)
        return 0;
    while (key <= a->key_max && key != LEVEL_NONE && !count.is_done) {
        count_level(core, s, a, key, &count);
        key = ladder_next(core, s, other, key);
    }
    return count.is_missing ? SLOT_NONE : count.lots;
}

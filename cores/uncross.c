/* The uncross: the price at which a call's book trades most, and the trades at it (rules U1..U6).
 *
 * The price is found in one walk up the levels between the best ask and the best bid, which are all at which anything
 * could trade. Orders without a price stand at the collar's end, key 0 of their side, and are no candidates.
 */
#include "book.h"

/* The prices that are best so far, and what is said of all of them. */
struct candidates {
    u64 volume, surplus; /* V and |D - S|; volume 0: none yet */
    u64 low, high;
    u64 all_buy, all_sell; /* the surplus is positive, or negative, at all of them */
};

static u64 level_lots(const struct level *level) {
    return level->lots + level->hidden;
}

/* Lots of a side at keys up to `key_max`, hidden ones included: D or S of the price with that key. Below 2^58. */
static u64 lots_up_to(const struct core *core, const struct symbol *s, u64 side, u64 key_max) {
    u64 lots = 0;
    for (u64 key = s->best[side]; key <= key_max && key != LEVEL_NONE; key = ladder_next(core, s, side, key))
        lots += level_lots(level_at(core, s, side, key));
    return lots;
}

/* Whether any order of a level has a price; only at a collar's end may it be that none has. */
static u64 level_is_priced(const struct core *core, const struct symbol *s, u64 side, u64 key) {
    if (key != 0)
        return 1;
    const struct order *orders = orders_of(core, s);
    for (u64 slot = level_at(core, s, side, key)->head; slot != SLOT_NONE; slot = orders[slot].next) {
        if (!(order_facts(&orders[slot]) & FACT_UNPRICED))
            return 1;
    }
    return 0;
}

static u64 difference(u64 a, u64 b) {
    return a > b ? a - b : b - a;
}

/* U2: more volume, then less surplus, replaces what was best; the same of both joins it. Prices come in rising order. */
static void consider(struct candidates *best, u64 price, u64 demand, u64 supply) {
    u64 volume = smaller_of(demand, supply), surplus = difference(demand, supply);
    if (volume == 0 || volume < best->volume || (volume == best->volume && surplus > best->surplus))
        return;
    if (volume > best->volume || surplus < best->surplus) {
        best->volume = volume;
        best->surplus = surplus;
        best->low = price;
        best->all_buy = 1;
        best->all_sell = 1;
    }
    best->high = price;
    best->all_buy &= demand > supply;
    best->all_sell &= demand < supply;
}

/* Walks up the prices from the best ask to the best bid, where the two meet. */
static void find_candidates(const struct core *core, const struct symbol *s, struct candidates *best) {
    u64 ask_key = s->best[ASK], bid_key_max = ladder_key(s, BID, ladder_price(s, ASK, ask_key));
    u64 ask_key_max = ladder_key(s, ASK, ladder_price(s, BID, s->best[BID]));
    u64 demand = lots_up_to(core, s, BID, bid_key_max), supply = 0;
    u64 bid_key = ladder_has(core, s, BID, bid_key_max) ? bid_key_max : ladder_previous(core, s, BID, bid_key_max);
    while (ask_key <= ask_key_max || bid_key != LEVEL_NONE) {
        u64 ask_price = ask_key <= ask_key_max ? ladder_price(s, ASK, ask_key) : ~0ull;
        u64 bid_price = bid_key != LEVEL_NONE ? ladder_price(s, BID, bid_key) : ~0ull;
        u64 price = smaller_of(ask_price, bid_price), priced = 0, bid_lots = 0;
        if (ask_price == price) {
            supply += level_lots(level_at(core, s, ASK, ask_key));
            priced = level_is_priced(core, s, ASK, ask_key);
            ask_key = ladder_next(core, s, ASK, ask_key); /* LEVEL_NONE is above every key */
        }
        if (bid_price == price) {
            bid_lots = level_lots(level_at(core, s, BID, bid_key));
            priced |= level_is_priced(core, s, BID, bid_key);
            bid_key = ladder_previous(core, s, BID, bid_key);
        }
        if (priced)
            consider(best, price, demand, supply);
        demand -= bid_lots; /* they are not at the next price or better */
    }
}

static u64 chosen_price(const struct symbol *s, const struct candidates *best) {
    if (best->all_buy)
        return best->high;
    if (best->all_sell)
        return best->low;
    if (s->reference_ticks == 0)
        return (best->low + best->high) / 2;
    if (s->reference_ticks < best->low)
        return best->low;
    return smaller_of(best->high, s->reference_ticks);
}

u64 uncross_find(const struct core *core, const struct symbol *s, struct indicative *found) {
    struct candidates best = {.volume = 0, .surplus = 0, .low = 0, .high = 0, .all_buy = 0, .all_sell = 0};
    found->price_ticks = 0;
    found->qty_lots = 0;
    found->surplus_lots = 0;
    found->surplus_side = SIDE_NONE;
    if (s->best[BID] == LEVEL_NONE || s->best[ASK] == LEVEL_NONE ||
        ladder_price(s, BID, s->best[BID]) < ladder_price(s, ASK, s->best[ASK]))
        return 0;
    u64 window = s->max_ticks - s->min_ticks;
    find_candidates(core, s, &best);
    if (best.volume == 0 && s->reference_ticks != 0) /* crossed, and nothing has a price */
        consider(&best, s->reference_ticks, lots_up_to(core, s, BID, window), lots_up_to(core, s, ASK, window));
    if (best.volume == 0)
        return 0;
    u64 price = chosen_price(s, &best); /* perhaps none of the candidates: counted again */
    u64 demand = lots_up_to(core, s, BID, ladder_key(s, BID, price));
    u64 supply = lots_up_to(core, s, ASK, ladder_key(s, ASK, price));
    found->price_ticks = price;
    found->qty_lots = best.volume;
    found->surplus_lots = difference(demand, supply);
    if (demand != supply)
        found->surplus_side = demand > supply ? SIDE_BUY : SIDE_SELL;
    return 1;
}

/* ---- trading ---- */

static u64 all_leaves(const struct core *core, const struct symbol *s, u64 slot) {
    return orders_of(core, s)[slot].leaves + order_hidden(core, s, slot);
}

/* Takes `lots` off the first order of a level; it keeps its place and shows what it then may, or is gone. Returns its
 * leaves. */
static u64 take_lots(struct core *core, struct symbol *s, struct account *account, u64 side, u64 slot, u64 lots) {
    struct order *order = &orders_of(core, s)[slot];
    struct cold *cold = &colds_of(core, s)[slot];
    struct level *level = level_at(core, s, side, ladder_key(s, side, order->price));
    u64 left = all_leaves(core, s, slot) - lots, shown = left, hidden = 0;
    if (order_facts(order) & FACT_COLD) {
        if (cold->display != 0)
            shown = smaller_of(cold->display, left);
        hidden = left - shown;
        level->hidden -= cold->hidden - hidden;
        cold->hidden = hidden;
    }
    level->lots -= order->leaves - shown; /* never below zero in two's complement: shown may have grown */
    order->leaves = shown;
    order->cum += lots;
    if (left != 0)
        return left;
    ladder_unlink(core, s, side, slot, s->is_wide);
    order_release(core, s, account, slot);
    return 0;
}

/* The same trade in a future, after both events: the buyer's hold and position, then the seller's. */
static u64 settle_positions(struct core *core, struct symbol *s, struct account *const *accounts, const u64 *slots,
                            const u64 *leaves, u64 price, u64 lots, struct output *out) {
    const struct order *orders = orders_of(core, s);
    for (u64 side = BID; side <= ASK; side++) {
        const struct order *order = &orders[slots[side]]; /* its words are there also when its slot is free */
        u64 fee = fee_of(notional_of(s, price, lots), accounts[side]->taker_bp);
        order_hold(s, accounts[side], order, leaves[side] + lots, leaves[side]);
        if (future_trade(core, s, accounts[side], order->owner, side, price, lots, fee, out) == REASON_STOPPED)
            return REASON_STOPPED;
    }
    return REASON_NONE;
}

/* Settles a trade between two resting orders: the buy's hold is that of its own price, at least the uncross'. Returns the
 * fees of both, which go to the venue, or SLOT_NONE when an account is missing. */
static u64 settle_resting(struct core *core, struct symbol *s, const struct indicative *found, u64 lots,
                          struct output *out) {
    u64 slots[2], leaves[2], notional = notional_of(s, found->price_ticks, lots), base_units = lots * s->lot_size,
                             fees = 0;
    struct account *accounts[2];
    struct order *orders = orders_of(core, s);
    for (u64 side = BID; side <= ASK; side++) {
        slots[side] = level_at(core, s, side, s->best[side])->head;
        accounts[side] = account_touch(core, owner_account(orders[slots[side]].owner));
        if (accounts[side] == 0)
            return SLOT_NONE;
    }
    for (u64 side = BID; side <= ASK; side++) {
        const struct order *order = &orders[slots[side]];
        struct account *account = accounts[side];
        struct position *base = position_of(account, s->base), *quote = position_of(account, s->quote);
        u64 before = all_leaves(core, s, slots[side]), fee = fee_of(notional, account->taker_bp);
        if (s->is_future) {
            /* after both events */
        } else if (side == BID) {
            base->balance += base_units;
            quote->balance -= notional + fee;
            quote->hold -= hold_of(s, BID, order->price, before, account->taker_bp) -
                           hold_of(s, BID, order->price, before - lots, account->taker_bp);
        } else {
            base->balance -= base_units;
            base->hold -= base_units;
            quote->balance += notional - fee;
        }
        leaves[side] = take_lots(core, s, account, side, slots[side], lots);
        emit(out, order_head(s, EVENT_FILL, 0, side + 1, FLAG_AUCTION), order->owner, order->id, found->price_ticks,
             lots, leaves[side], fee);
        fees += fee;
    }
    if (s->is_future &&
        settle_positions(core, s, accounts, slots, leaves, found->price_ticks, lots, out) != REASON_NONE)
        return SLOT_NONE;
    return fees;
}

u64 uncross_trade(struct core *core, struct symbol *s, const struct indicative *found, struct output *out) {
    u64 fees = 0;
    for (u64 left = found->qty_lots; left != 0;) { /* each round uses up an order, or is the last */
        u64 bid = all_leaves(core, s, level_at(core, s, BID, s->best[BID])->head);
        u64 ask = all_leaves(core, s, level_at(core, s, ASK, s->best[ASK])->head);
        u64 lots = smaller_of(left, smaller_of(bid, ask)), paid = settle_resting(core, s, found, lots, out);
        if (paid == SLOT_NONE)
            return REASON_STOPPED;
        fees += paid; /* at most the notionals, which are money that is there */
        left -= lots;
    }
    if (fees != 0) {
        struct account *venue = account_touch(core, 0);
        if (venue == 0)
            return REASON_STOPPED;
        position_of(venue, s->quote)->balance += fees;
    }
    s->last_ticks = found->price_ticks;
    s->reference_ticks = found->price_ticks;
    return REASON_NONE;
}

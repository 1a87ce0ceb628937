/* The order book: NEW, CANCEL, REPLACE, MASS_CANCEL and the expiry of Day orders, in price-time priority.
 *
 * A command is first checked in full, rule by rule in a fixed order, and the first rule it breaks is its reject reason;
 * only then is anything written. So a refused command leaves no trace but its number and its time.
 */
#include "ladder.h"
#include "money.h"

struct aggressor {
    struct account *account;
    u64 side;
    u64 order_id;
    u64 owner;
    u64 leaves;
    u64 key_max;     /* the worst level of the other side that it may trade with */
    u64 pays_as_goes; /* a market buy has no hold: each fill is paid from what is available then */
};

HOT void slot_free(const struct core *core, struct symbol *s, u64 slot) {
    bitmap_set(slots_of(core, s), core->slot_words, slot);
    if (slot < s->slot_first) /* SLOT_NONE is the largest number */
        s->slot_first = slot;
    s->order_count--;
}

/* Takes a free slot: the lowest but for an order whose match freed lower ones. Returns 0, so that it can be a last
 * call. */
HOT u64 slot_take(const struct core *core, struct symbol *s, u64 slot) {
    s->order_count++;
    if (slot == s->slot_first && bitmap_drop_first(slots_of(core, s), slot, &s->slot_first))
        return 0;
    return ladder_take_slot(core, s, slot);
}

/* Settles one fill between the aggressor and the resting order, but for the venue's income: what both paid in fees is
 * added to *fees. False when an account is missing. Balances wrap as two's complement; the bounds of money.h keep their
 * true values inside it. */
HOT int settle(struct core *core, const struct symbol *s, const struct aggressor *a, const struct order *maker,
               u64 lots, u64 *maker_fee, u64 *taker_fee) {
    struct account *resting = account_touch(core, owner_account(maker->owner));
    if (resting == 0)
        return 0;
    u64 notional = notional_of(s, maker->price, lots), base_units = lots * s->lot_size;
    *maker_fee = fee_of(notional, resting->maker_bp);
    *taker_fee = fee_of(notional, a->account->taker_bp);
    struct position *maker_base = position_of(resting, s->base), *maker_quote = position_of(resting, s->quote);
    struct position *taker_base = position_of(a->account, s->base), *taker_quote = position_of(a->account, s->quote);
    if (a->side == BID) {
        maker_base->balance -= base_units;
        maker_base->hold -= base_units;
        maker_quote->balance += notional - *maker_fee;
        taker_base->balance += base_units;
        taker_quote->balance -= notional + *taker_fee;
        return 1;
    }
    maker_base->balance += base_units;
    maker_quote->balance -= notional + *maker_fee;
    maker_quote->hold -= hold_of(s, BID, maker->price, maker->leaves, resting->taker_bp) -
                         hold_of(s, BID, maker->price, maker->leaves - lots, resting->taker_bp);
    taker_base->balance -= base_units;
    taker_quote->balance += notional - *taker_fee;
    return 1;
}

static int can_pay(const struct symbol *s, const struct aggressor *a, u64 price, u64 lots) {
    u64 notional = notional_of(s, price, lots);
    return notional + fee_of(notional, a->account->taker_bp) <= available_of(position_of(a->account, s->quote));
}

/* A resting order is filled: the level's next one is its first now. */
HOT void drop_head(struct core *core, struct symbol *s, u64 side, u64 key, u64 slot, u64 next) {
    if (next == SLOT_NONE) {
        ladder_drop_level(core, s, side, key);
    } else {
        levels_of(core, s, side)[key].head = next;
        orders_of(core, s)[next].prev = SLOT_NONE;
    }
    slot_free(core, s, slot);
}

/* Trades until the aggressor is done or nothing is left that it may trade with; the fees of all its fills then go to the
 * venue. Returns CANCEL_FUNDS when a market buy met an order it cannot pay in full, and REASON_STOPPED at once when an
 * account is missing. */
static u64 match(struct core *core, struct symbol *s, struct aggressor *a, struct output *out) {
    u64 other = a->side ^ 1, fees = 0, reason = REASON_NONE;
    struct order *orders = orders_of(core, s);
    struct level *levels = levels_of(core, s, other);
    while (a->leaves != 0 && s->best[other] <= a->key_max) { /* LEVEL_NONE is above every key_max */
        u64 key = s->best[other], slot = levels[key].head, maker_fee, taker_fee;
        struct order *maker = &orders[slot];
        u64 lots = maker->leaves < a->leaves ? maker->leaves : a->leaves, left = maker->leaves - lots;
        if (a->pays_as_goes && !can_pay(s, a, maker->price, lots)) {
            reason = CANCEL_FUNDS;
            break;
        }
        if (!settle(core, s, a, maker, lots, &maker_fee, &taker_fee))
            return REASON_STOPPED;
        fees += maker_fee + taker_fee; /* at most the notionals, which are money that is there */
        a->leaves -= lots;
        emit(out, order_head(s, EVENT_FILL, 0, other + 1, 0), maker->owner, maker->id, maker->price, lots, left,
             maker_fee);
        emit(out, order_head(s, EVENT_FILL, 0, a->side + 1, FLAG_AGGRESSOR), a->owner, a->order_id, maker->price, lots,
             a->leaves, taker_fee);
        levels[key].lots -= lots;
        maker->leaves = left;
        maker->cum += lots;
        if (left == 0)
            drop_head(core, s, other, key, slot, maker->next);
    }
    if (fees != 0) {
        struct account *venue = account_touch(core, 0);
        if (venue == 0)
            return REASON_STOPPED;
        position_of(venue, s->quote)->balance += fees;
    }
    return reason;
}

/* How much a market buy would get for what it has, fill by fill as match would do it. Its own resting sells pay it. */
static u64 payable_lots(const struct core *core, const struct symbol *s, const struct aggressor *a, u64 enough) {
    const struct order *orders = orders_of(core, s);
    u64 available = available_of(position_of(a->account, s->quote)), lots = 0;
    for (u64 slot = ladder_walk(core, s, ASK, SLOT_NONE); slot != SLOT_NONE && lots < enough;
         slot = ladder_walk(core, s, ASK, slot)) {
        const struct order *maker = &orders[slot];
        u64 fill = maker->leaves < enough - lots ? maker->leaves : enough - lots;
        u64 notional = notional_of(s, maker->price, fill), cost = notional + fee_of(notional, a->account->taker_bp);
        if (cost > available)
            break;
        available -= cost;
        lots += fill;
        if (owner_account(maker->owner) == a->account->number)
            available += notional - fee_of(notional, a->account->maker_bp);
    }
    return lots;
}

/* Takes a resting order out of the book and gives its hold back. Returns 0, so that it can be a last call. */
HOT u64 take_off(struct core *core, struct symbol *s, struct account *account, u64 slot) {
    struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order);
    position_of(account, hold_asset(s, side))->hold -= hold_of(s, side, order->price, order->leaves, account->taker_bp);
    return ladder_unlink(core, s, side, slot);
}

/* The same for good: its slot is free. */
STAGE u64 forget(struct core *core, struct symbol *s, struct account *account, u64 slot) {
    slot_free(core, s, slot);
    return take_off(core, s, account, slot);
}

HOT void emit_gone(const struct symbol *s, const struct order *order, u64 kind, u64 reason, struct output *out) {
    emit(out, order_head(s, kind, reason, order->facts & 0xff, 0), order->owner, order->id, order->price, order->leaves,
         0, 0);
}

/* Symbol and account of a command, or why not. */
HOT u64 parties(struct core *core, const struct command *c, struct symbol **s, struct account **account) {
    if (command_symbol(c) >= core->symbol_count)
        return REJECT_UNKNOWN_SYMBOL;
    *s = symbol_touch(core, command_symbol(c));
    if (*s == 0)
        return REASON_STOPPED;
    if (owner_account(c->owner) >= core->account_count)
        return REJECT_UNKNOWN_ACCOUNT;
    *account = account_touch(core, owner_account(c->owner));
    return *account == 0 ? REASON_STOPPED : REASON_NONE;
}

/* ---- NEW ---- */

/* 1..QTY_LOTS_MAX, which is 2^40 - 1. */
static inline int qty_is_valid(u64 lots) {
    return lots != 0 && lots >> 40 == 0;
}

/* The rules on the fields alone. */
static u64 new_form_reason(const struct command *c) {
    u64 tif = command_tif(c), flags = command_flags(c), ord_type = command_ord_type(c);
    u64 market = ord_type == ORD_MARKET;
    u64 tifs = 1u << TIF_DAY | 1u << TIF_IOC | 1u << TIF_FOK | (market ? 0 : 1u << TIF_GTC);
    if (command_side(c) - 1 > 1)
        return REJECT_BAD_SIDE;
    if (ord_type - 1 > 1)
        return REJECT_BAD_ORD_TYPE;
    if (tif > 7 || !(tifs >> tif & 1))
        return REJECT_BAD_TIF;
    if (flags != 0 && (flags > FLAG_POST_ONLY || market || tif >= TIF_IOC))
        return REJECT_BAD_FLAGS;
    if (!qty_is_valid(c->qty_lots))
        return REJECT_BAD_QTY;
    return REASON_NONE;
}

/* The rules on notional, post-only and funds for a limit order of `lots` that may use `released` of its own hold. */
static u64 terms_reason(const struct symbol *s, const struct account *account, u64 side, u64 price, u64 lots,
                        u64 released, u64 post_only) {
    if (lots > s->lots_safe &&
        (cost_checked(s, price, lots, account->taker_bp) == SLOT_NONE || base_checked(s, lots) == SLOT_NONE))
        return REJECT_NOTIONAL_TOO_LARGE;
    if (post_only && s->best[side ^ 1] <= ladder_key(s, side ^ 1, price))
        return REJECT_POST_ONLY_WOULD_CROSS;
    if (hold_of(s, side, price, lots, account->taker_bp) >
        available_of(position_of(account, hold_asset(s, side))) + released)
        return REJECT_INSUFFICIENT_FUNDS;
    return REASON_NONE;
}

static u64 market_terms_reason(const struct symbol *s, const struct account *account, u64 side, u64 lots) {
    u64 base_units = base_checked(s, lots);
    if (base_units == SLOT_NONE)
        return REJECT_NOTIONAL_TOO_LARGE;
    if (side == ASK && base_units > available_of(position_of(account, s->base)))
        return REJECT_INSUFFICIENT_FUNDS;
    return REASON_NONE;
}

static u64 new_reason(const struct command *c, const struct symbol *s, const struct account *account) {
    if (account->flags & FLAG_ACCOUNT_FROZEN)
        return REJECT_ACCOUNT_FROZEN;
    u64 reason = new_form_reason(c), market = command_ord_type(c) == ORD_MARKET, side = command_side(c) - 1;
    if (reason != REASON_NONE)
        return reason;
    if (!market && (c->price_ticks < s->min_ticks || c->price_ticks > s->max_ticks))
        return REJECT_PRICE_OUT_OF_COLLAR;
    if (c->aux > c->qty_lots)
        return REJECT_BAD_MIN_QTY;
    reason = market ? market_terms_reason(s, account, side, c->qty_lots)
                    : terms_reason(s, account, side, c->price_ticks, c->qty_lots, 0, command_flags(c));
    if (reason != REASON_NONE)
        return reason;
    return s->slot_first == SLOT_NONE ? REJECT_BOOK_FULL : REASON_NONE;
}

/* Whether what must be filled at once can be: all of a FOK, MinQty of any other. */
static u64 at_once_reason(const struct core *core, const struct symbol *s, const struct command *c,
                          const struct aggressor *a) {
    u64 fok = command_tif(c) == TIF_FOK, need = fok ? c->qty_lots : c->aux;
    if (need == 0)
        return REASON_NONE;
    u64 lots =
        a->pays_as_goes ? payable_lots(core, s, a, a->leaves) : ladder_lots(core, s, a->side ^ 1, a->key_max, need);
    if (lots >= need)
        return REASON_NONE;
    return fok ? CANCEL_FOK : CANCEL_MIN_QTY;
}

HOT void emit_accepted(const struct command *c, u64 slot, u64 price, struct output *out) {
    emit(out, answer_head(c, EVENT_ACCEPTED, 0), c->owner & OWNER_ORDER_MASK, c->seq << 24 | slot, price, c->qty_lots,
         c->qty_lots, c->aux);
}

/* Puts what is left of a new order into the book, behind the others at its price, with its hold. */
HOT u64 rest_new(struct core *core, struct symbol *s, struct position *p, const struct command *c, u64 slot, u64 leaves,
                 u64 hold, u64 key) {
    u64 side = command_side(c) - 1;
    struct order *order = &orders_of(core, s)[slot];
    order->id = c->seq << 24 | slot;
    order->leaves = leaves;
    order->price = c->price_ticks;
    order->cum = c->qty_lots - leaves;
    order->owner = c->owner & OWNER_ORDER_MASK;
    order->facts = c->head << 24 >> 32;
    p->hold += hold;
    ladder_append(core, s, side, key, slot);
    return slot_take(core, s, slot);
}

/* The rest of an accepted order's way: it may trade at once, and may not rest. */
STAGE u64 new_trade(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                    struct output *out) {
    u64 market = command_ord_type(c) == ORD_MARKET, side = command_side(c) - 1, slot = s->slot_first;
    u64 price = market ? 0 : c->price_ticks;
    struct aggressor a = {
        .account = account,
        .side = side,
        .order_id = c->seq << 24 | slot,
        .owner = c->owner & OWNER_ORDER_MASK,
        .leaves = c->qty_lots,
        .key_max = market ? s->max_ticks - s->min_ticks : ladder_key(s, side ^ 1, price),
        .pays_as_goes = market && side == BID,
    };
    emit_accepted(c, slot, price, out);
    u64 reason = at_once_reason(core, s, c, &a);
    if (reason == REASON_NONE)
        reason = match(core, s, &a, out);
    if (reason == REASON_STOPPED || a.leaves == 0)
        return reason == REASON_STOPPED ? reason : REASON_NONE;
    if (reason == REASON_NONE && (market || command_tif(c) >= TIF_IOC))
        reason = CANCEL_IOC;
    if (reason == REASON_NONE)
        return rest_new(core, s, position_of(account, hold_asset(s, side)), c, slot, a.leaves,
                        hold_of(s, side, price, a.leaves, account->taker_bp), ladder_key(s, side, price));
    emit(out, order_head(s, EVENT_CANCELLED, reason, side + 1, 0), a.owner, a.order_id, price, a.leaves, 0, 0);
    return REASON_NONE;
}

/* All the rules. */
STAGE u64 new_special(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                      struct output *out) {
    u64 reason = new_reason(c, s, account);
    return reason != REASON_NONE ? reason : new_trade(core, s, account, c, out);
}

/* A plain order is a limit order, Day or GTC, with no flag and no MinQty: most are. */
HOT int new_is_plain(const struct command *c) {
    uint32_t facts = (uint32_t)(c->head >> 8), tif_or_side = TIF_GTC << 16 | 3;
    return (facts & ~tif_or_side) == ORD_LIMIT << 8 && (facts & 3) - 1 <= 1 && c->aux == 0;
}

STAGE u64 accept_plain(struct core *core, struct symbol *s, struct position *p, const struct command *c, u64 hold,
                       u64 key, struct output *out) {
    u64 slot = s->slot_first;
    emit_accepted(c, slot, c->price_ticks, out);
    return rest_new(core, s, p, c, slot, c->qty_lots, hold, key);
}

/* The shortest way, for a plain order that breaks no rule and just rests; whatever is not clear at a glance goes by all
 * the rules of new_special. Both ways give one result; this one makes no call but its last. */
u64 book_new(struct core *core, const struct command *c, struct output *out) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return reason;
    u64 lots = c->qty_lots, window = s->max_ticks - s->min_ticks, other_key = c->price_ticks - s->min_ticks;
    if (!new_is_plain(c) || account->flags != 0 || lots - 1 >= s->lots_safe || other_key > window)
        return new_special(core, s, account, c, out);
    u64 hold, best;
    struct position *p;
    if (command_side(c) == SIDE_BUY) {
        p = position_of(account, s->quote);
        hold = hold_of(s, BID, c->price_ticks, lots, account->taker_bp);
        best = s->best[ASK];
    } else {
        p = position_of(account, s->base);
        hold = hold_of(s, ASK, c->price_ticks, lots, account->taker_bp);
        best = s->best[BID];
        other_key = window - other_key;
    }
    if (hold > available_of(p) || s->slot_first == SLOT_NONE || best <= other_key)
        return new_special(core, s, account, c, out);
    return accept_plain(core, s, p, c, hold, window - other_key, out);
}

/* ---- CANCEL, REPLACE ---- */

/* Slot of the command's target: live, with that very id, and of the command's account. */
HOT u64 target_slot(const struct core *core, const struct symbol *s, const struct command *c) {
    u64 slot = c->order_id & ORDER_SLOT_NONE;
    if (slot >= core->config.orders || bitmap_has(slots_of(core, s), slot))
        return SLOT_NONE;
    const struct order *order = &orders_of(core, s)[slot];
    if (order->id != c->order_id || owner_account(order->owner) != owner_account(c->owner))
        return SLOT_NONE;
    return slot;
}

u64 book_cancel(struct core *core, const struct command *c, struct output *out) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return reason;
    u64 slot = target_slot(core, s, c);
    if (slot == SLOT_NONE)
        return REJECT_UNKNOWN_ORDER;
    emit_gone(s, &orders_of(core, s)[slot], EVENT_CANCELLED, REASON_NONE, out);
    return forget(core, s, account, slot);
}

static u64 replace_reason(const struct symbol *s, const struct account *account, const struct command *c,
                          const struct order *order) {
    u64 side = order_side(order);
    if (!qty_is_valid(c->qty_lots))
        return REJECT_BAD_QTY;
    if (c->qty_lots <= order->cum)
        return REJECT_QTY_BELOW_FILLED;
    if (c->price_ticks < s->min_ticks || c->price_ticks > s->max_ticks)
        return REJECT_PRICE_OUT_OF_COLLAR;
    return terms_reason(s, account, side, c->price_ticks, c->qty_lots - order->cum,
                        hold_of(s, side, order->price, order->leaves, account->taker_bp), order->facts >> 24);
}

/* Same price, no more quantity: reduced where it stands. */
static void reduce(struct core *core, struct symbol *s, struct account *account, struct order *order, u64 leaves) {
    u64 side = order_side(order);
    levels_of(core, s, side)[ladder_key(s, side, order->price)].lots -= order->leaves - leaves;
    position_of(account, hold_asset(s, side))->hold -=
        hold_of(s, side, order->price, order->leaves, account->taker_bp) -
        hold_of(s, side, order->price, leaves, account->taker_bp);
    order->leaves = leaves;
}

/* Another price or more quantity: leaves the book and comes in again, behind the others, under its old id. */
static u64 reenter(struct core *core, struct symbol *s, struct account *account, const struct command *c, u64 slot,
                   struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order), leaves = c->qty_lots - order->cum;
    struct aggressor a = {
        .account = account,
        .side = side,
        .order_id = order->id,
        .owner = order->owner,
        .leaves = leaves,
        .key_max = ladder_key(s, side ^ 1, c->price_ticks),
    };
    take_off(core, s, account, slot);
    if (s->best[side ^ 1] <= a.key_max && match(core, s, &a, out) == REASON_STOPPED)
        return REASON_STOPPED;
    if (a.leaves == 0) {
        slot_free(core, s, slot);
        return REASON_NONE;
    }
    order->price = c->price_ticks;
    order->cum += leaves - a.leaves;
    order->leaves = a.leaves;
    position_of(account, hold_asset(s, side))->hold += hold_of(s, side, order->price, a.leaves, account->taker_bp);
    ladder_append(core, s, side, ladder_key(s, side, order->price), slot);
    return REASON_NONE;
}

u64 book_replace(struct core *core, const struct command *c, struct output *out) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return reason;
    if (account->flags & FLAG_ACCOUNT_FROZEN)
        return REJECT_ACCOUNT_FROZEN;
    u64 slot = target_slot(core, s, c);
    if (slot == SLOT_NONE)
        return REJECT_UNKNOWN_ORDER;
    struct order *order = &orders_of(core, s)[slot];
    reason = replace_reason(s, account, c, order);
    if (reason != REASON_NONE)
        return reason;
    u64 leaves = c->qty_lots - order->cum;
    u64 kept = c->price_ticks == order->price && leaves <= order->leaves ? FLAG_PRIORITY_KEPT : 0;
    emit(out, order_head(s, EVENT_REPLACED, 0, order->facts & 0xff, kept), order->owner, order->id, c->price_ticks,
         c->qty_lots, leaves, 0);
    if (!kept)
        return reenter(core, s, account, c, slot, out);
    reduce(core, s, account, order, leaves);
    return REASON_NONE;
}

/* ---- MASS_CANCEL, TIME ---- */

u64 book_mass_cancel(struct core *core, const struct command *c, struct output *out) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return reason;
    if (command_side(c) > SIDE_SELL)
        return REJECT_BAD_SIDE;
    if (command_flags(c) > FLAG_BY_SESSION)
        return REJECT_BAD_FLAGS;
    u64 mask = command_flags(c) ? OWNER_ORDER_MASK : 0xffffffff, count = 0;
    struct order *orders = orders_of(core, s);
    for (u64 side = BID; side <= ASK; side++) {
        if (command_side(c) != SIDE_NONE && command_side(c) != side + 1)
            continue;
        u64 next;
        for (u64 slot = ladder_walk(core, s, side, SLOT_NONE); slot != SLOT_NONE; slot = next) {
            next = ladder_walk(core, s, side, slot);
            if ((orders[slot].owner ^ c->owner) & mask)
                continue;
            forget(core, s, account, slot);
            emit_gone(s, &orders[slot], EVENT_CANCELLED, CANCEL_MASS, out);
            count++;
        }
    }
    emit(out, answer_head(c, EVENT_MASS_CANCELLED, 0), c->owner, 0, 0, count, 0, 0);
    return REASON_NONE;
}

/* Counts the expired orders in *count; REASON_STOPPED when an account is missing. */
static u64 expire_day_orders(struct core *core, struct symbol *s, struct output *out, u64 *count) {
    struct order *orders = orders_of(core, s);
    u64 next;
    for (u64 side = BID; side <= ASK; side++) {
        for (u64 slot = ladder_walk(core, s, side, SLOT_NONE); slot != SLOT_NONE; slot = next) {
            next = ladder_walk(core, s, side, slot);
            if ((orders[slot].facts >> 16 & 0xff) != TIF_DAY)
                continue;
            struct account *account = account_touch(core, owner_account(orders[slot].owner));
            if (account == 0)
                return REASON_STOPPED;
            forget(core, s, account, slot);
            emit_gone(s, &orders[slot], EVENT_EXPIRED, REASON_NONE, out);
            *count += 1;
        }
    }
    return REASON_NONE;
}

u64 book_time(struct core *core, const struct command *c, struct output *out) {
    u64 count = 0;
    if (command_flags(c) > FLAG_TIME_CLOSE)
        return REJECT_BAD_FLAGS;
    if (command_flags(c)) {
        if (command_symbol(c) >= core->symbol_count)
            return REJECT_UNKNOWN_SYMBOL;
        struct symbol *s = symbol_touch(core, command_symbol(c));
        if (s == 0 || expire_day_orders(core, s, out, &count) == REASON_STOPPED)
            return REASON_STOPPED;
    }
    emit(out, answer_head(c, EVENT_CLOCK, 0), c->owner, 0, 0, count, 0, 0);
    return REASON_NONE;
}

/* Orders that end without their own doing: MASS_CANCEL, TIME, and those that were for an auction only; and the dormant on
 * their way into the closing call (rules M1, M2, P6.3, P6.4). */
#include "book.h"

/* An order ends, and its account is looked for first. */
static u64 end_order(struct core *core, struct symbol *s, u64 slot, u64 kind, u64 reason, struct output *out) {
    struct account *account = account_touch(core, owner_account(orders_of(core, s)[slot].owner));
    return account == 0 ? REASON_STOPPED : order_remove(core, s, account, slot, kind, reason, out);
}

u64 orders_cancel(struct core *core, struct symbol *s, struct account *account, u64 owner, u64 mask, u64 side,
                  u64 reason, struct output *out) {
    const struct order *orders = orders_of(core, s);
    u64 count = 0, next;
    /* Most orders of a walk are not its own: of these nothing but the owner and the next one is looked at. No order is left
     * to be found once the account has none. */
    for (u64 slot = orders_walk(core, s, SLOT_NONE); slot != SLOT_NONE && account->open_orders != 0; slot = next) {
        while (((orders[slot].owner ^ owner) & mask) != 0 && orders[slot].next != SLOT_NONE)
            slot = orders[slot].next;
        next = orders_walk(core, s, slot);
        if (((orders[slot].owner ^ owner) & mask) != 0 || (side != SIDE_NONE && side != (orders[slot].facts & 0xff)))
            continue;
        order_remove(core, s, account, slot, EVENT_CANCELLED, reason, out);
        count++;
    }
    return count;
}

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
    u64 mask = command_flags(c) ? OWNER_ORDER_MASK : 0xffffffff;
    u64 count = orders_cancel(core, s, account, c->owner, mask, command_side(c), CANCEL_MASS, out);
    emit(out, answer_head(c, EVENT_MASS_CANCELLED, 0), c->owner, 0, 0, count, 0, 0);
    return REASON_NONE;
}

/* One walk for the Day orders and for the GTD orders whose time has come; counts them in *count. */
static u64 expire(struct core *core, struct symbol *s, const struct command *c, struct output *out, u64 *count) {
    const struct order *orders = orders_of(core, s);
    u64 flags = command_flags(c), expiry_next = ~0ull, next;
    if (!(flags & FLAG_TIME_CLOSE) && s->expiry_next > c->time_ns)
        return REASON_NONE; /* no GTD order's time has come */
    for (u64 slot = orders_walk(core, s, SLOT_NONE); slot != SLOT_NONE; slot = next) {
        u64 tif = order_tif(&orders[slot]), ends = tif == TIF_DAY && flags & FLAG_TIME_CLOSE;
        next = orders_walk(core, s, slot);
        if (tif == TIF_GTD) {
            u64 expiry_ns = colds_of(core, s)[slot].expiry_ns;
            ends = flags & FLAG_TIME_EXPIRE && expiry_ns <= c->time_ns;
            if (!ends)
                expiry_next = smaller_of(expiry_next, expiry_ns);
        }
        if (!ends)
            continue;
        if (end_order(core, s, slot, EVENT_EXPIRED, REASON_NONE, out) == REASON_STOPPED)
            return REASON_STOPPED;
        *count += 1;
    }
    s->expiry_next = expiry_next;
    return REASON_NONE;
}

u64 book_time(struct core *core, const struct command *c, struct output *out) {
    u64 count = 0, flags = command_flags(c);
    if (flags > (FLAG_TIME_CLOSE | FLAG_TIME_EXPIRE | FLAG_TIME_INDICATIVE))
        return REJECT_BAD_FLAGS;
    if (flags != 0) {
        if (command_symbol(c) >= core->symbol_count)
            return REJECT_UNKNOWN_SYMBOL;
        struct symbol *s = symbol_touch(core, command_symbol(c));
        if (s == 0)
            return REASON_STOPPED;
        if (flags & (FLAG_TIME_CLOSE | FLAG_TIME_EXPIRE) && expire(core, s, c, out, &count) == REASON_STOPPED)
            return REASON_STOPPED;
        if (flags & FLAG_TIME_INDICATIVE && phase_is_call(s->phase)) {
            struct indicative found;
            uncross_find(core, s, &found);
            emit(out, order_head(s, EVENT_INDICATIVE, 0, found.surplus_side, 0), 0, 0, found.price_ticks,
                 found.qty_lots, found.surplus_lots, 0);
        }
    }
    emit(out, answer_head(c, EVENT_CLOCK, 0), c->owner, 0, 0, count, 0, 0);
    return REASON_NONE;
}

/* ---- phases ---- */

/* A market-to-limit order takes the price of the uncross, last in that level; a sell that is worth too much there ends, as
 * without an uncross. */
static u64 become_priced(struct core *core, struct symbol *s, u64 slot, u64 price, struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    struct account *account = account_touch(core, owner_account(order->owner));
    if (account == 0)
        return REASON_STOPPED;
    if (price == 0 || cost_checked(s, price, order->leaves, account->taker_bp) == SLOT_NONE)
        return order_remove(core, s, account, slot, EVENT_CANCELLED, CANCEL_AUCTION, out);
    order_take_off(core, s, account, slot);
    order->price = price;
    /* a future's sell may need more than at the collar's end; and a page of its own (W6) */
    if ((s->is_future && !order_is_funded(s, account, order)) || !order_has_room(core, s, slot)) {
        emit_gone(core, s, slot, EVENT_CANCELLED, CANCEL_AUCTION, out);
        return order_release(core, s, account, slot);
    }
    order->facts &= ~((u64)FACT_UNPRICED << 32);
    emit(out, order_head(s, EVENT_RESTATED, CANCEL_AUCTION, order->facts & 0xff, 0), order->owner, order->id, price,
         order->cum + order->leaves, order->leaves, 0);
    return order_place(core, s, account, slot);
}

u64 expire_auction_orders(struct core *core, struct symbol *s, u64 uncross_ticks, u64 dormant, struct output *out) {
    const struct order *orders = orders_of(core, s);
    u64 next, reason;
    for (u64 slot = orders_walk(core, s, SLOT_NONE); slot != SLOT_NONE; slot = next) {
        u64 tif = order_tif(&orders[slot]), facts = order_facts(&orders[slot]);
        next = orders_walk(core, s, slot);
        if (facts & FACT_WAITING || (facts & FACT_DORMANT && !dormant))
            continue;
        reason = REASON_NONE;
        if (tif == TIF_AT_OPEN || tif == TIF_AT_CLOSE)
            reason = end_order(core, s, slot, EVENT_EXPIRED, CANCEL_AUCTION, out);
        else if (facts & FACT_UNPRICED && order_ord_type(&orders[slot]) == ORD_MARKET_TO_LIMIT)
            reason = become_priced(core, s, slot, uncross_ticks, out);
        else if (facts & FACT_UNPRICED)
            reason = end_order(core, s, slot, EVENT_CANCELLED, CANCEL_AUCTION, out);
        if (reason == REASON_STOPPED)
            return REASON_STOPPED;
    }
    return REASON_NONE;
}

u64 dormant_enter(struct core *core, struct symbol *s, struct output *out) {
    struct order *orders = orders_of(core, s);
    while (s->dormant_head != SLOT_NONE) {
        u64 slot = s->dormant_head, side = order_side(&orders[slot]);
        if (!ladder_has_room(core, s, side, ladder_key(s, side, orders[slot].price))) { /* W6 */
            if (end_order(core, s, slot, EVENT_CANCELLED, CANCEL_PAGES_FULL, out) == REASON_STOPPED)
                return REASON_STOPPED;
            continue;
        }
        dormant_unlink(core, s, slot);
        orders[slot].facts &= ~((u64)FACT_DORMANT << 32);
        book_append(core, s, side, slot);
    }
    return REASON_NONE;
}

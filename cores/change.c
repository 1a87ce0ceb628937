/* CANCEL and REPLACE: an open order goes, or becomes another (rules R1..R4). */
#include "book.h"

/* A plain order leaves the book for good. Returns 1, its event. */
STAGE u64 forget_plain(struct core *core, struct symbol *s, struct account *account, u64 slot) {
    struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order);
    slot_free(core, s, account, slot);
    position_of(account, hold_asset(s, side))->hold -= hold_of(s, side, order->price, order->leaves, account->taker_bp);
    return ladder_unlink(core, s, side, slot, 0);
}

STAGE u64 forget(struct core *core, struct symbol *s, struct account *account, u64 slot, const struct command *c,
                 struct event *events) {
    struct output out = output_of(c, events);
    order_remove(core, s, account, slot, EVENT_CANCELLED, REASON_NONE, &out);
    return 1;
}

u64 book_cancel(struct core *core, const struct command *c, struct event *events) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return refuse(c, events, reason);
    u64 slot = target_slot(core, s, c);
    if (slot == SLOT_NONE)
        return refuse(c, events, REJECT_UNKNOWN_ORDER);
    const struct order *order = &orders_of(core, s)[slot];
    if (order_facts(order))
        return forget(core, s, account, slot, c, events);
    event_write(events, c->seq << 24, EVENT_CANCELLED | (order->facts & 0xff) << 16 | c->head >> 48 << 48, order->owner,
                c->order_id, order->price, order->leaves, 0, 0);
    return forget_plain(core, s, account, slot);
}

/* ---- REPLACE ---- */

/* What the order is to become. */
struct change {
    u64 price; /* as it is stored */
    u64 stop;  /* 0: it waits for none */
    u64 leaves;
    u64 all; /* leaves as they are */
    u64 closing; /* in a future: FACT_CLOSING or 0 */
};

static u64 keeps_its_price(const struct order *order) {
    return order_facts(order) & FACT_UNPRICED || order_ord_type(order) == ORD_STOP ||
           order_ord_type(order) == ORD_MARKET;
}

/* R1 up to the displayed quantity. */
static u64 change_reason(const struct core *core, const struct symbol *s, const struct command *c,
                         const struct order *order, struct change *change) {
    u64 facts = order_facts(order), slot = order->id & ORDER_SLOT_NONE;
    const struct cold *cold = &colds_of(core, s)[slot];
    if (s->phase != PHASE_CONTINUOUS && !phase_is_call(s->phase))
        return REJECT_BAD_PHASE;
    if (!qty_is_valid(c->qty_lots))
        return REJECT_BAD_QTY;
    if (c->qty_lots <= order->cum)
        return REJECT_QTY_BELOW_FILLED;
    change->leaves = c->qty_lots - order->cum;
    change->all = order->leaves + order_hidden(core, s, slot);
    change->price = keeps_its_price(order) ? order->price : c->price_ticks;
    change->stop = 0;
    change->closing = 0;
    if (!keeps_its_price(order) && !price_is_valid(s, c->price_ticks))
        return REJECT_PRICE_OUT_OF_COLLAR;
    if (facts & FACT_WAITING) {
        change->stop = c->aux != 0 ? c->aux : cold->stop;
        if (!price_is_valid(s, change->stop))
            return REJECT_BAD_STOP;
    }
    if (facts & FACT_COLD && cold->display != 0 && cold->display * ICEBERG_TRANCHES_MAX < change->leaves)
        return REJECT_BAD_DISPLAY; /* the product is below 2^44 */
    return REASON_NONE;
}

static u64 replace_reason(struct core *core, const struct symbol *s, struct account *account, const struct command *c,
                          const struct order *order, struct change *change) {
    u64 side = order_side(order), reason = change_reason(core, s, c, order, change), flags = 0;
    if (reason == REASON_NONE && (account->guarded || c->qty_lots > s->lots_plain))
        reason = limits_replace_reason(core, s, account, c, change->price, change->leaves);
    if (reason != REASON_NONE)
        return reason;
    if (s->phase == PHASE_CONTINUOUS)
        flags = order->facts >> 24 & FLAG_POST_ONLY;
    u64 price = change->price;
    if (s->is_future) {
        u64 others = open_of_side(position_of(account, s->base), side) - change->all;
        change->closing = future_closing(s, account, side, others, change->leaves);
        return future_terms_reason(core, s, account, side, &price, change->leaves, order, flags);
    }
    return terms_reason(s, account, side, &price, change->leaves,
                        hold_of(s, side, order->price, change->all, account->taker_bp), flags);
}

/* Of a wide symbol, W5: whether there is a page for where it goes, once it has left its place. */
static u64 change_has_room(const struct core *core, const struct symbol *s, const struct order *order,
                           const struct change *change) {
    u64 facts = order_facts(order), side = order_side(order), slot = order->id & ORDER_SLOT_NONE, ladder = side;
    u64 from = ladder_key(s, side, order->price), to = ladder_key(s, side, change->price);
    if (facts & FACT_DORMANT || (facts & FACT_WAITING && stop_is_due_now(s, side, change->stop)))
        return 1;
    if (facts & FACT_WAITING) {
        ladder = side + STOP_BUY;
        from = stop_key(s, ladder, colds_of(core, s)[slot].stop);
        to = stop_key(s, ladder, change->stop);
    }
    return pages_have_room(core, s, ladder, to) || pages_is_alone(core, s, ladder, from);
}

static void set_closing(struct order *order, const struct change *change) {
    order->facts = (order->facts & ~((u64)FACT_CLOSING << 32)) | change->closing << 32;
}

/* No more leaves at its price: reduced where it stands, what it hides first. */
static void reduce(struct core *core, struct symbol *s, struct account *account, u64 slot,
                   const struct change *change) {
    struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order), facts = order_facts(order), less = change->all - change->leaves, hidden_less = 0;
    order_hold(s, account, order, change->all, 0);
    set_closing(order, change);
    order_hold(s, account, order, 0, change->leaves);
    if (facts & FACT_COLD) {
        hidden_less = smaller_of(less, colds_of(core, s)[slot].hidden);
        colds_of(core, s)[slot].hidden -= hidden_less;
    }
    order->leaves -= less - hidden_less;
    if (facts & FACT_DORMANT)
        return;
    struct level *level = facts & FACT_WAITING
                              ? level_at(core, s, side + STOP_BUY, stop_key(s, side + STOP_BUY, change->stop))
                              : level_at(core, s, side, ladder_key(s, side, order->price));
    level->lots -= less - hidden_less;
    level->hidden -= hidden_less;
}

/* Leaves its place and enters again, behind the others, under its old id (R3). */
static u64 reenter(struct core *core, struct symbol *s, struct account *account, u64 slot, const struct change *change,
                   struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    struct trades trades = {.low = ~0ull, .high = 0};
    u64 reason;
    order_take_off(core, s, account, slot);
    set_closing(order, change);
    order->price = change->price;
    order->leaves = change->leaves;
    if (change->stop != 0)
        colds_of(core, s)[slot].stop = change->stop;
    if (order_facts(order) & FACT_WAITING && stop_is_due_now(s, order_side(order), change->stop))
        reason = order_trigger(core, s, account, slot, &trades, out);
    else if (order_facts(order) & (FACT_WAITING | FACT_DORMANT))
        reason = order_place(core, s, account, slot);
    else
        reason = order_enter(core, s, account, slot, 0, &trades, out);
    return reason == REASON_STOPPED ? reason : after_trades(core, s, &trades, out);
}

static u64 apply_the_rules(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                           u64 slot, struct output *out) {
    struct change change;
    u64 reason = REASON_NONE;
    if (account->flags & FLAG_ACCOUNT_FROZEN)
        return REJECT_ACCOUNT_FROZEN;
    if (core->killed_count != 0 || account->guarded)
        reason = limits_killed(core, account, c->owner >> 32);
    if (reason != REASON_NONE)
        return reason;
    if (slot == SLOT_NONE)
        return REJECT_UNKNOWN_ORDER;
    const struct order *order = &orders_of(core, s)[slot];
    reason = replace_reason(core, s, account, c, order, &change);
    if (reason == REASON_NONE && s->is_wide && !change_has_room(core, s, order, &change))
        reason = REJECT_PAGES_FULL;
    if (reason != REASON_NONE)
        return reason;
    u64 same_stop = change.stop == 0 || change.stop == colds_of(core, s)[slot].stop;
    u64 kept = change.price == order->price && same_stop && change.leaves <= change.all ? FLAG_PRIORITY_KEPT : 0;
    emit(out, order_head(s, EVENT_REPLACED, 0, order->facts & 0xff, kept), order->owner, order->id,
         order_facts(order) & FACT_UNPRICED ? 0 : change.price, c->qty_lots, change.leaves, 0);
    if (account->guarded)
        limits_count(core, account, c, 0);
    if (!kept)
        return reenter(core, s, account, slot, &change, out);
    reduce(core, s, account, slot, &change);
    return REASON_NONE;
}

/* A plain order, a change that breaks no rule, and no trade: the short way, as book_new has one. */
HOT int replace_is_plain(const struct core *core, const struct symbol *s, const struct account *account,
                         const struct command *c, const struct order *order) {
    u64 side = order_side(order), price = c->price_ticks;
    if ((order->facts & ~((u64)TIF_GTC << 16 | 3)) != ORD_LIMIT << 8 || (account->guarded | core->killed_count) != 0)
        return 0;
    return c->qty_lots - 1 < s->lots_plain && c->qty_lots > order->cum && price_is_valid(s, price) &&
           s->best[side ^ 1] > ladder_key(s, side ^ 1, price);
}

STAGE u64 replace_by_the_rules(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                               u64 slot, struct event *events) {
    struct output out = output_of(c, events);
    return answered(c, events, &out, apply_the_rules(core, s, account, c, slot, &out));
}

/* Goes by the rules where the money is not there. */
STAGE u64 replace_plain(struct core *core, struct symbol *s, struct account *account, const struct command *c, u64 slot,
                        struct event *events) {
    struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order), price = c->price_ticks, leaves = c->qty_lots - order->cum;
    struct position *p = position_of(account, hold_asset(s, side));
    u64 more = hold_of(s, side, price, leaves, account->taker_bp) -
               hold_of(s, side, order->price, order->leaves, account->taker_bp);
    if ((int64_t)more > (int64_t)available_of(p)) /* both within AMOUNT_MAX of zero */
        return replace_by_the_rules(core, s, account, c, slot, events);
    u64 kept = price == order->price && leaves <= order->leaves ? FLAG_PRIORITY_KEPT : 0;
    event_write(events, c->seq << 24, EVENT_REPLACED | (side + 1) << 16 | kept << 24 | c->head >> 48 << 48,
                order->owner, c->order_id, price, c->qty_lots, leaves, 0);
    p->hold += more;
    u64 key = ladder_key(s, side, price);
    if (kept) {
        levels_of(core, s, side)[key].lots -= order->leaves - leaves;
        order->leaves = leaves;
        return 1;
    }
    ladder_unlink(core, s, side, slot, 0);
    order->price = price;
    order->leaves = leaves;
    ladder_append(core, s, side, key, slot, leaves, 0);
    return 1;
}

u64 book_replace(struct core *core, const struct command *c, struct event *events) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return refuse(c, events, reason);
    u64 slot = target_slot(core, s, c);
    if (slot != SLOT_NONE && replace_is_plain(core, s, account, c, &orders_of(core, s)[slot]))
        return replace_plain(core, s, account, c, slot, events);
    return replace_by_the_rules(core, s, account, c, slot, events);
}

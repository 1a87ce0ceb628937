/* The way of one order into the book, and stops: election, triggering and the cascade (rules N13, N14, S1..S5, C2). */
#include "book.h"

/* Whether what must be filled at once can be: all of a FOK, and of an all-or-none that could trade at all; MinQty of any
 * other. */
static u64 at_once_reason(struct core *core, const struct symbol *s, const struct command *c,
                          const struct aggressor *a) {
    u64 need = command_tif(c) == TIF_GTD ? 0 : c->aux, reason = CANCEL_MIN_QTY, best = s->best[a->side ^ 1];
    if (command_tif(c) == TIF_FOK) {
        need = c->qty_lots;
        reason = CANCEL_FOK;
    } else if (command_flags(c) & FLAG_ALL_OR_NONE && best <= a->key_price) {
        need = c->qty_lots;
        reason = CANCEL_ALL_OR_NONE;
    }
    if (need == 0)
        return REASON_NONE;
    u64 lots = match_lots(core, s, a, need);
    if (lots == SLOT_NONE)
        return REASON_STOPPED;
    return lots >= need ? REASON_NONE : reason;
}

u64 order_enter(struct core *core, struct symbol *s, struct account *account, u64 slot, const struct command *entry,
                struct trades *trades, struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    if (s->phase != PHASE_CONTINUOUS)
        return order_place(core, s, account, slot);
    u64 side = order_side(order), ord_type = order_ord_type(order), tif = order_tif(order);
    u64 market = ord_type == ORD_MARKET || ord_type == ORD_STOP;
    u64 may_rest = !market && tif != TIF_IOC && tif != TIF_FOK;
    struct aggressor a;
    a.account = account;
    a.side = side;
    a.order_id = order->id;
    a.owner = order->owner;
    a.leaves = order->leaves;
    a.price = order->price;
    aggressor_start(s, &a, order->facts, order->price);
    a.total += order->cum;
    if (market && s->is_future) /* both sides */
        a.pays_as_goes = 1;
    u64 reason = entry != 0 ? at_once_reason(core, s, entry, &a) : REASON_NONE;
    if (reason == REASON_NONE && s->is_future)
        reason = match_future(core, s, &a, trades, out);
    else if (reason == REASON_NONE)
        reason = s->is_wide ? match_wide(core, s, &a, trades, out) : match(core, s, &a, trades, out);
    if (reason == REASON_STOPPED)
        return REASON_STOPPED;
    order->leaves = a.leaves;
    order->cum = a.total - a.leaves;
    if (a.leaves == 0)
        return order_release(core, s, account, slot);
    if (reason == REASON_NONE && !may_rest)
        reason = CANCEL_IOC;
    if (reason == REASON_NONE || (reason == CANCEL_VOLATILITY && may_rest)) {
        if (s->is_future && !order_is_funded(s, account, order)) /* F6: of any other it is there */
            reason = CANCEL_FUNDS;
        else if (order_has_room(core, s, slot))
            return order_place(core, s, account, slot);
        else
            reason = CANCEL_PAGES_FULL; /* W6: of a NEW or REPLACE it is there */
    }
    emit_gone(core, s, slot, EVENT_CANCELLED, reason, out);
    return order_release(core, s, account, slot);
}

/* A triggered order joins the call (S5), one without a price at the collar's end, if the funds are there. */
static u64 join_call(struct core *core, struct symbol *s, struct account *account, u64 slot, struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    u64 is_stop_order = order_ord_type(order) == ORD_STOP, reason = REASON_NONE;
    if (is_stop_order) {
        order->price = collar_end(s, order_side(order));
        order->facts |= (u64)FACT_UNPRICED << 32;
    }
    if ((is_stop_order || s->is_future) && /* else what it held has just become available */
        (cost_checked(s, order->price, order->leaves, account->taker_bp) == SLOT_NONE ||
         !order_is_funded(s, account, order)))
        reason = CANCEL_FUNDS;
    else if (!order_has_room(core, s, slot))
        reason = CANCEL_PAGES_FULL;
    if (reason == REASON_NONE)
        return order_place(core, s, account, slot);
    emit_gone(core, s, slot, EVENT_CANCELLED, reason, out);
    return order_release(core, s, account, slot);
}

u64 order_trigger(struct core *core, struct symbol *s, struct account *account, u64 slot, struct trades *trades,
                  struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    order->facts &= ~((u64)FACT_WAITING << 32);
    emit(out, order_head(s, EVENT_TRIGGERED, 0, order->facts & 0xff, 0), order->owner, order->id, order->price,
         order->leaves, order->leaves, colds_of(core, s)[slot].stop);
    if (s->phase != PHASE_CONTINUOUS)
        return join_call(core, s, account, slot, out);
    return order_enter(core, s, account, slot, 0, trades, out);
}

/* ---- the cascade ---- */

struct queue { /* of elected stops, linked by `next`: they are in no ladder, and hold until they are triggered */
    u64 head, tail;
};

/* Moves the stops of a ladder that are due at `price` to the end of the queue. */
static void elect(const struct core *core, struct symbol *s, u64 ladder, u64 price, struct queue *queue) {
    struct order *orders = orders_of(core, s);
    while (s->best[ladder] != LEVEL_NONE &&
           stop_is_due(ladder - STOP_BUY, stop_price(s, ladder, s->best[ladder]), price)) {
        u64 key = s->best[ladder], slot = level_at(core, s, ladder, key)->head;
        ladder_unlink_at(core, s, ladder, key, slot, s->is_wide);
        s->waiting_count--;
        orders[slot].next = SLOT_NONE;
        if (queue->head == SLOT_NONE)
            queue->head = slot;
        else
            orders[queue->tail].next = slot;
        queue->tail = slot;
    }
}

u64 trigger_run(struct core *core, struct symbol *s, u64 low_ticks, u64 high_ticks, struct output *out) {
    struct trades trades = {.low = low_ticks, .high = high_ticks};
    struct queue queue = {.head = SLOT_NONE, .tail = SLOT_NONE};
    for (;;) { /* each round triggers one of the stops that were waiting */
        elect(core, s, STOP_BUY, trades.high, &queue);
        elect(core, s, STOP_SELL, trades.low, &queue);
        u64 slot = queue.head;
        if (slot == SLOT_NONE)
            break;
        struct order *order = &orders_of(core, s)[slot];
        struct account *account = account_touch(core, owner_account(order->owner));
        if (account == 0)
            return REASON_STOPPED;
        queue.head = order->next;
        order_hold(s, account, order, order->leaves, 0);
        if (order_trigger(core, s, account, slot, &trades, out) == REASON_STOPPED)
            return REASON_STOPPED;
    }
    symbol_derive(s);
    return REASON_NONE;
}

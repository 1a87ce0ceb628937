/* The places of open orders: the book, the waiting stops, the dormant; and what each holds. */
#include "book.h"

static void dormant_append(const struct core *core, struct symbol *s, u64 slot) {
    struct order *orders = orders_of(core, s);
    orders[slot].prev = s->dormant_tail;
    orders[slot].next = SLOT_NONE;
    if (s->dormant_tail == SLOT_NONE)
        s->dormant_head = slot;
    else
        orders[s->dormant_tail].next = slot;
    s->dormant_tail = slot;
}

void dormant_unlink(const struct core *core, struct symbol *s, u64 slot) {
    struct order *orders = orders_of(core, s);
    u64 prev = orders[slot].prev, next = orders[slot].next;
    if (prev == SLOT_NONE)
        s->dormant_head = next;
    else
        orders[prev].next = next;
    if (next == SLOT_NONE)
        s->dormant_tail = prev;
    else
        orders[next].prev = prev;
}

void book_append(const struct core *core, struct symbol *s, u64 side, u64 slot) {
    struct order *order = &orders_of(core, s)[slot];
    u64 key = ladder_key(s, side, order->price), hidden = 0;
    if (order_facts(order) & FACT_COLD) {
        struct cold *cold = &colds_of(core, s)[slot];
        if (cold->display != 0 && cold->display < order->leaves)
            hidden = order->leaves - cold->display;
        cold->hidden = hidden;
        order->leaves -= hidden;
    }
    ladder_append(core, s, side, key, slot, order->leaves, s->is_wide);
    level_at(core, s, side, key)->hidden += hidden; /* as the lots: below 2^58 */
}

static void waiting_append(const struct core *core, struct symbol *s, u64 ladder, u64 slot) {
    s->waiting_count++;
    ladder_append(core, s, ladder, stop_key(s, ladder, colds_of(core, s)[slot].stop), slot,
                  orders_of(core, s)[slot].leaves, s->is_wide);
}

u64 order_place(struct core *core, struct symbol *s, struct account *account, u64 slot) {
    struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order), facts = order_facts(order);
    order_hold(s, account, order, 0, order->leaves);
    if (facts & FACT_WAITING)
        waiting_append(core, s, side + STOP_BUY, slot);
    else if (facts & FACT_DORMANT)
        dormant_append(core, s, slot);
    else
        book_append(core, s, side, slot);
    return REASON_NONE;
}

u64 order_has_room(const struct core *core, const struct symbol *s, u64 slot) {
    const struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order), facts = order_facts(order), waits = side + STOP_BUY;
    if (!s->is_wide || facts & FACT_DORMANT)
        return 1;
    return facts & FACT_WAITING ? pages_have_room(core, s, waits, stop_key(s, waits, colds_of(core, s)[slot].stop))
                                : pages_have_room(core, s, side, ladder_key(s, side, order->price));
}

u64 order_restore_place(const struct core *core, struct symbol *s, u64 slot) {
    struct order *order = &orders_of(core, s)[slot];
    u64 ladder = order_side(order), facts = order_facts(order), key;
    if (facts & FACT_DORMANT) {
        dormant_append(core, s, slot);
        return (u64)LADDERS << 48;
    }
    if (facts & FACT_WAITING) {
        ladder += STOP_BUY;
        key = stop_key(s, ladder, colds_of(core, s)[slot].stop);
        waiting_append(core, s, ladder, slot);
    } else {
        key = ladder_key(s, ladder, order->price);
        ladder_append(core, s, ladder, key, slot, order->leaves, s->is_wide);
        level_at(core, s, ladder, key)->hidden += order_hidden(core, s, slot);
    }
    return ladder << 48 | key;
}

HOT u64 take_off_in(const struct core *core, struct symbol *s, struct account *account, u64 slot, u64 wide) {
    struct order *order = &orders_of(core, s)[slot];
    u64 side = order_side(order), facts = order_facts(order);
    if (facts & FACT_WAITING) {
        s->waiting_count--;
        ladder_unlink_at(core, s, side + STOP_BUY, stop_key(s, side + STOP_BUY, colds_of(core, s)[slot].stop), slot,
                         wide);
    } else if (facts & FACT_DORMANT) {
        dormant_unlink(core, s, slot);
    } else {
        u64 hidden = order_hidden(core, s, slot);
        level_in(core, s, side, ladder_key(s, side, order->price), wide)->hidden -= hidden;
        ladder_unlink(core, s, side, slot, wide);
        order->leaves += hidden;
        if (hidden != 0)
            colds_of(core, s)[slot].hidden = 0;
    }
    order_hold(s, account, order, order->leaves, 0);
    return REASON_NONE;
}

STAGE u64 take_off_wide(const struct core *core, struct symbol *s, struct account *account, u64 slot) {
    return take_off_in(core, s, account, slot, 1);
}

u64 order_take_off(const struct core *core, struct symbol *s, struct account *account, u64 slot) {
    return s->is_wide ? take_off_wide(core, s, account, slot) : take_off_in(core, s, account, slot, 0);
}

u64 order_release(struct core *core, struct symbol *s, struct account *account, u64 slot) {
    s->cold_count -= order_facts(&orders_of(core, s)[slot]) & FACT_COLD;
    slot_free(core, s, account, slot);
    return REASON_NONE;
}

void emit_gone(const struct core *core, const struct symbol *s, u64 slot, u64 kind, u64 reason, struct output *out) {
    const struct order *order = &orders_of(core, s)[slot];
    emit(out, order_head(s, kind, reason, order->facts & 0xff, 0), order->owner, order->id, order_price(order),
         order->leaves + order_hidden(core, s, slot), 0, 0);
}

u64 order_remove(struct core *core, struct symbol *s, struct account *account, u64 slot, u64 kind, u64 reason,
                 struct output *out) {
    emit_gone(core, s, slot, kind, reason, out);
    order_take_off(core, s, account, slot);
    return order_release(core, s, account, slot);
}

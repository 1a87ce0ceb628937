/* The price ladders of one symbol: two sides of FIFO levels, and two more of waiting stops by their stop price.
 *
 * A level's key is mirrored per side so that better is lower on both: bids count down from max_ticks, asks up from
 * min_ticks. An incoming order may trade with the other side's levels whose key is at most its own price's key on that
 * side. The best key of a side is kept in the symbol; the bitmap finds the next one when a level empties. Of the stops
 * the first to come due has the lowest key: buys count up like asks, sells down like bids.
 *
 * Where the window has no more ticks than there are levels, a level lies at its key. Else the symbol is wide and its
 * levels lie in pages (pages.c). Functions that a plain order's short way shares are told which: there it is a constant.
 */
#ifndef FIX_VENUE_LADDER_H
#define FIX_VENUE_LADDER_H

#include "core_internal.h"

HOT u64 ladder_key(const struct symbol *s, u64 side, u64 price) {
    return of_side(side, s->max_ticks - price, price - s->min_ticks);
}

static inline u64 ladder_price(const struct symbol *s, u64 side, u64 key) {
    return side == BID ? s->max_ticks - key : s->min_ticks + key;
}

/* Key of a stop price on STOP_BUY or STOP_SELL, and back. */
static inline u64 stop_key(const struct symbol *s, u64 ladder, u64 stop) {
    return ladder_key(s, STOP_SELL - ladder, stop);
}
static inline u64 stop_price(const struct symbol *s, u64 ladder, u64 key) {
    return ladder_price(s, STOP_SELL - ladder, key);
}

static inline u64 order_side(const struct order *order) {
    return (order->facts & 0xff) - 1;
}

/* ---- pages.c, of a wide symbol ---- */

/* No page is in use: before the first order, and when the terms have changed. */
void pages_clear(const struct core *core, struct symbol *s);
/* Where the level of `key` lies; its page is in use. */
u64 pages_index(const struct core *core, const struct symbol *s, u64 ladder, u64 key);
/* The same, and takes a page into use if need be; there is one (ladder_has_room). */
u64 pages_index_for(const struct core *core, struct symbol *s, u64 ladder, u64 key);
/* As ladder_drop_level: a page that has emptied with it is free. */
u64 pages_drop_level(const struct core *core, struct symbol *s, u64 ladder, u64 key);
u64 pages_has(const struct core *core, const struct symbol *s, u64 ladder, u64 key);
u64 pages_next(const struct core *core, const struct symbol *s, u64 ladder, u64 key);
u64 pages_previous(const struct core *core, const struct symbol *s, u64 ladder, u64 key);
/* Whether an order could rest at `key`. */
u64 pages_have_room(const struct core *core, const struct symbol *s, u64 ladder, u64 key);
/* Whether an order at `key` is the only one in its page. */
u64 pages_is_alone(const struct core *core, const struct symbol *s, u64 ladder, u64 key);
u64 pages_broken(const struct core *core, const struct symbol *s, u64 ladder); /* 0, or an enum invariant */

/* ---- of any symbol ---- */

HOT struct level *level_in(const struct core *core, const struct symbol *s, u64 ladder, u64 key, u64 wide) {
    return &levels_of(core, s, ladder)[wide ? pages_index(core, s, ladder, key) : key];
}
static inline struct level *level_at(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    return level_in(core, s, ladder, key, s->is_wide);
}

/* Whether a key has a level, the next one after it that has, the last one before it; LEVEL_NONE: there is none. */
static inline u64 ladder_has(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    return s->is_wide ? pages_has(core, s, ladder, key) : bitmap_has(ladder_of(core, s, ladder), key);
}
static inline u64 ladder_next(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    return s->is_wide ? pages_next(core, s, ladder, key)
                      : bitmap_next(ladder_of(core, s, ladder), core->level_words, key);
}
static inline u64 ladder_previous(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    return s->is_wide ? pages_previous(core, s, ladder, key)
                      : bitmap_previous(ladder_of(core, s, ladder), core->level_words, key);
}

static inline u64 ladder_has_room(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    return !s->is_wide || pages_have_room(core, s, ladder, key);
}

/* Appends the order in `slot`, which shows `lots`, to the level of `key`, making it if need be: writes its links. What
 * the order hides, the caller adds. */
HOT void ladder_append(const struct core *core, struct symbol *s, u64 side, u64 key, u64 slot, u64 lots, u64 wide) {
    struct order *orders = orders_of(core, s), *order = &orders[slot];
    u64 *ladder = ladder_of(core, s, side), index = wide ? pages_index_for(core, s, side, key) : key;
    struct level *level = &levels_of(core, s, side)[index];
    order->next = SLOT_NONE;
    if (bitmap_has(ladder, index)) {
        order->prev = level->tail;
        orders[level->tail].next = slot;
        level->tail = slot;
        level->lots += lots; /* below 2^40 * 2^18 orders = 2^58 */
        return;
    }
    order->prev = SLOT_NONE;
    level->head = slot;
    level->tail = slot;
    level->lots = lots;
    level->hidden = 0;
    if (wide)
        ladder[index >> 6] |= 1ull << (index & 63);
    else
        bitmap_set(ladder, core->level_words, index);
    if (key < s->best[side]) /* LEVEL_NONE is the largest number */
        s->best[side] = key;
}

/* Clears the bit of a level that has emptied and finds the best one again. Returns 1, so that it can be the
 * last call of what makes one event. */
u64 ladder_drop_level(const struct core *core, struct symbol *s, u64 side, u64 key);

/* Takes the order out of the level of `key`; its words stay as they are. Returns 1 likewise. */
HOT u64 ladder_unlink_at(const struct core *core, struct symbol *s, u64 side, u64 key, u64 slot, u64 wide) {
    struct order *orders = orders_of(core, s), *order = &orders[slot];
    u64 prev = order->prev, next = order->next;
    if ((prev & next) == SLOT_NONE) /* neither: a slot has fewer bits */
        return wide ? pages_drop_level(core, s, side, key) : ladder_drop_level(core, s, side, key);
    struct level *level = level_in(core, s, side, key, wide);
    level->lots -= order->leaves;
    if (prev == SLOT_NONE)
        level->head = next;
    else
        orders[prev].next = next;
    if (next == SLOT_NONE)
        level->tail = prev;
    else
        orders[next].prev = prev;
    return 1;
}

HOT u64 ladder_unlink(const struct core *core, struct symbol *s, u64 side, u64 slot, u64 wide) {
    return ladder_unlink_at(core, s, side, ladder_key(s, side, orders_of(core, s)[slot].price), slot, wide);
}

/* The less common ways of taking an order slot: its word has emptied (bitmap_drop_first did it), or it is not the lowest.
 * Here and not beside its caller, so that a compiler cannot see the constant result, 1, and undo the last call. */
u64 ladder_take_slot(const struct core *core, struct symbol *s, u64 slot);

/* The slot after `slot` in the walk of a ladder: best level first, first in first. SLOT_NONE starts and ends it. */
u64 ladder_walk(const struct core *core, const struct symbol *s, u64 ladder, u64 slot);

/* The same in the walk of all open orders: bids, asks, waiting buys, waiting sells, dormant. */
u64 orders_walk(const struct core *core, const struct symbol *s, u64 slot);

/* Lots on a side from its best key on, hidden ones included, while keys are in `key_min`..`key_max`; counted until
 * `enough`. */
u64 ladder_lots(const struct core *core, const struct symbol *s, u64 side, u64 key_min, u64 key_max, u64 enough);

#endif

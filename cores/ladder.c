/* Walks over the price ladders: for mass cancels, the state walk, and the quantity that FOK and MinQty need. */
#include "ladder.h"

u64 bitmap_climb(u64 *map, u64 words, u64 number) {
    u64 top = number >> 12, *middle = &map[words + 1], left = middle[top] & ~(1ull << (number >> 6 & 63));
    middle[top] = left;
    if (!BRANCH_IS_CHEAP || left == 0) {
        map[words] &= ~((u64)(left == 0) << top);
        if (map[words] == 0)
            return BITMAP_NONE;
        top = lowest_bit(map[words]);
        left = middle[top];
    }
    u64 word = top << 6 | lowest_bit(left);
    return word << 6 | lowest_bit(map[word]);
}

u64 ladder_take_slot(const struct core *core, struct symbol *s, u64 slot) {
    u64 *slots = slots_of(core, s);
    if (slot == s->slot_first)
        s->slot_first = bitmap_climb(slots, core->slot_words, slot);
    else
        bitmap_clear(slots, core->slot_words, slot);
    return 1;
}

u64 ladder_drop_level(const struct core *core, struct symbol *s, u64 side, u64 key) {
    u64 *ladder = ladder_of(core, s, side);
    if (key != s->best[side])
        bitmap_clear(ladder, core->level_words, key);
    else if (!bitmap_drop_first(ladder, key, &s->best[side]))
        s->best[side] = bitmap_climb(ladder, core->level_words, key);
    return 1;
}

static u64 key_of(const struct core *core, const struct symbol *s, u64 ladder, u64 slot) {
    return ladder <= ASK ? ladder_key(s, ladder, orders_of(core, s)[slot].price)
                         : stop_key(s, ladder, colds_of(core, s)[slot].stop);
}

HOT u64 walk_in(const struct core *core, const struct symbol *s, u64 ladder, u64 slot, u64 wide) {
    u64 key = s->best[ladder];
    if (slot != SLOT_NONE) {
        const struct order *order = &orders_of(core, s)[slot];
        if (order->next != SLOT_NONE)
            return order->next;
        key = key_of(core, s, ladder, slot);
        key = wide ? pages_next(core, s, ladder, key) : bitmap_next(ladder_of(core, s, ladder), core->level_words, key);
    }
    return key == LEVEL_NONE ? SLOT_NONE : level_in(core, s, ladder, key, wide)->head;
}

STAGE u64 walk_wide(const struct core *core, const struct symbol *s, u64 ladder, u64 slot) {
    return walk_in(core, s, ladder, slot, 1);
}

u64 ladder_walk(const struct core *core, const struct symbol *s, u64 ladder, u64 slot) {
    return s->is_wide ? walk_wide(core, s, ladder, slot) : walk_in(core, s, ladder, slot, 0);
}

u64 orders_walk(const struct core *core, const struct symbol *s, u64 slot) {
    u64 ladder = BID;
    if (slot != SLOT_NONE) {
        const struct order *order = &orders_of(core, s)[slot];
        u64 facts = order->facts >> 32;
        if (facts & FACT_DORMANT)
            return order->next;
        ladder = order_side(order) + (facts & FACT_WAITING ? STOP_BUY : 0);
        slot = ladder_walk(core, s, ladder++, slot);
    }
    for (; slot == SLOT_NONE && ladder < LADDERS; ladder++)
        slot = ladder_walk(core, s, ladder, SLOT_NONE);
    return slot != SLOT_NONE ? slot : s->dormant_head;
}

u64 ladder_lots(const struct core *core, const struct symbol *s, u64 side, u64 key_min, u64 key_max, u64 enough) {
    u64 lots = 0, key = s->best[side];
    if (key < key_min)
        return 0;
    while (key <= key_max && key != LEVEL_NONE && lots < enough) {
        const struct level *level = level_at(core, s, side, key);
        lots += level->lots + level->hidden; /* below 2^58: a symbol has at most 2^18 orders of 2^40 lots */
        key = ladder_next(core, s, side, key);
    }
    return lots;
}

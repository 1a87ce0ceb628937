/* Walks over a price ladder: for mass cancels, the state walk, and the quantity that FOK and MinQty need. */
#include "ladder.h"

u64 ladder_walk(const struct core *core, const struct symbol *s, u64 side, u64 slot) {
    u64 key = s->best[side];
    if (slot != SLOT_NONE) {
        const struct order *order = &orders_of(core, s)[slot];
        if (order->next != SLOT_NONE)
            return order->next;
        key = bitmap_next(ladder_of(core, s, side), core->level_middle, ladder_key(s, side, order->price));
    }
    return key == LEVEL_NONE ? SLOT_NONE : levels_of(core, s, side)[key].head;
}

u64 ladder_lots(const struct core *core, const struct symbol *s, u64 side, u64 key_max, u64 enough) {
    const u64 *ladder = ladder_of(core, s, side);
    const struct level *levels = levels_of(core, s, side);
    u64 lots = 0;
    u64 key = s->best[side];
    while (key <= key_max && key != LEVEL_NONE && lots < enough) {
        lots += levels[key].lots; /* below 2^58: a symbol has at most 2^18 orders of 2^40 lots */
        key = bitmap_next(ladder, core->level_middle, key);
    }
    return lots;
}

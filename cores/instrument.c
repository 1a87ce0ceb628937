/* Instruments: created in number order, redefined only while nobody has an order in them. */
#include "core_internal.h"

struct symbol *symbol_create(struct core *core, u64 number) {
    u64 index = core->symbols_held;
    if (index == core->symbol_regions)
        return 0;
    core->symbols_held++;
    struct symbol *s = symbol_region(core, index);
    if (core->partial)
        directory_add(core, core->symbol_directory_offset, core->symbol_mask, number, s);
    s->number = number;
    s->touched = 0;
    s->order_count = 0;
    s->cold_count = 0;
    s->waiting_count = 0;
    for (u64 side = BID; side < LADDERS; side++) {
        s->best[side] = LEVEL_NONE;
        bitmap_clear_all(ladder_of(core, s, side), core->config.levels);
    }
    s->dormant_head = SLOT_NONE;
    s->dormant_tail = SLOT_NONE;
    s->phase = PHASE_CLOSED;
    s->last_ticks = 0;
    s->reference_ticks = 0;
    s->dynamic_bp = 0;
    s->static_bp = 0;
    s->order_qty_max = 0;
    s->order_value_max = 0;
    s->expiry_next = ~0ull;
    bitmap_set_all(slots_of(core, s), core->config.orders);
    s->slot_first = 0;
    return s;
}

/* A fee is at most the notional itself, so half of AMOUNT_MAX leaves room for it. */
u64 instrument_lots_safe(const struct symbol *s) {
    u64 by_base = AMOUNT_MAX / s->lot_size;
    if (s->tick_value > AMOUNT_MAX / 2 / s->max_ticks)
        return 0;
    u64 by_quote = AMOUNT_MAX / 2 / (s->max_ticks * s->tick_value);
    return by_base < by_quote ? by_base : by_quote;
}

u64 instrument_reason(const struct core *core, const struct symbol *terms) {
    if (terms->base >= core->config.assets || terms->quote >= core->config.assets)
        return REJECT_BAD_ASSET;
    if (terms->base == terms->quote || terms->lot_size - 1 >= AMOUNT_MAX || terms->tick_value - 1 >= AMOUNT_MAX)
        return REJECT_BAD_INSTRUMENT;
    if (terms->min_ticks == 0 || terms->min_ticks > terms->max_ticks || terms->max_ticks > PRICE_TICKS_MAX ||
        terms->max_ticks - terms->min_ticks >= core->config.levels)
        return REJECT_BAD_INSTRUMENT;
    return REASON_NONE;
}

static u64 none_or_in_window(const struct symbol *s, u64 price) {
    return price == 0 || (price >= s->min_ticks && price <= s->max_ticks);
}

u64 symbol_market_is_valid(const struct symbol *s) {
    return s->phase <= PHASE_HALT && none_or_in_window(s, s->last_ticks) && none_or_in_window(s, s->reference_ticks) &&
           s->dynamic_bp <= COLLAR_BP_MAX && s->static_bp <= COLLAR_BP_MAX && s->order_qty_max <= QTY_LOTS_MAX &&
           s->order_value_max <= AMOUNT_MAX;
}

u64 instrument_set(struct core *core, const struct command *c, struct output *out) {
    u64 number = command_symbol(c);
    struct symbol terms; /* field by field: an initialiser would clear all of it with a call to memset */
    terms.base = owner_account(c->owner);
    terms.quote = c->owner >> 32;
    terms.lot_size = c->order_id;
    terms.min_ticks = c->price_ticks;
    terms.max_ticks = c->qty_lots;
    terms.tick_value = c->aux;
    if (command_flags(c) > FLAG_INSTRUMENT_CLOSED)
        return REJECT_BAD_FLAGS;
    if (number > core->symbol_count || number >= core->config.symbols)
        return REJECT_BAD_INSTRUMENT;
    u64 reason = instrument_reason(core, &terms);
    if (reason != REASON_NONE)
        return reason;
    struct symbol *s = number < core->symbol_count ? symbol_peek(core, number) : symbol_create(core, number);
    if (s == 0) {
        core->status = CORE_MISSING;
        return REASON_STOPPED;
    }
    s->touched = 1;
    if (s->order_count != 0)
        return REJECT_BOOK_NOT_EMPTY;
    if (number == core->symbol_count) {
        core->symbol_count++;
        s->phase = command_flags(c) ? PHASE_CLOSED : PHASE_CONTINUOUS;
    }
    s->base = terms.base;
    s->quote = terms.quote;
    s->lot_size = terms.lot_size;
    s->tick_value = terms.tick_value;
    s->min_ticks = terms.min_ticks;
    s->max_ticks = terms.max_ticks;
    s->last_ticks = 0; /* the price of other terms */
    s->reference_ticks = 0;
    s->lots_safe = instrument_lots_safe(s);
    symbol_derive(s);
    emit(out, answer_head(c, EVENT_INSTRUMENT_SET, 0), c->owner, c->order_id, c->price_ticks, c->qty_lots, 0, c->aux);
    return REASON_NONE;
}

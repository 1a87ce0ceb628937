/* Instruments: created in number order, redefined only while nobody has an order in them. */
#include "ladder.h"

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
    s->is_future = 0;
    s->mark_ticks = 0;
    s->initial_bp = 0;
    s->maintenance_bp = 0;
    s->position_max = 0;
    s->open_interest = 0;
    s->bound = 0;
    s->is_wide = 0;
    bitmap_set_all(slots_of(core, s), core->config.orders);
    s->slot_first = 0;
    return s;
}

/* A fee is at most the notional itself, so half of AMOUNT_MAX leaves room for it. Never above QTY_LOTS_MAX: an order of
 * so many lots takes the short way, where nothing else bounds it; that is not for futures, and knows no pages. */
u64 instrument_lots_safe(const struct symbol *s) {
    if (s->is_future || s->is_wide)
        return 0;
    u64 by_base = AMOUNT_MAX / s->lot_size;
    if (s->tick_value > AMOUNT_MAX / 2 / s->max_ticks)
        return 0;
    u64 by_quote = AMOUNT_MAX / 2 / (s->max_ticks * s->tick_value);
    u64 lots = by_base < by_quote ? by_base : by_quote;
    return lots < QTY_LOTS_MAX ? lots : QTY_LOTS_MAX;
}

u64 instrument_is_wide(const struct core *core, const struct symbol *s) {
    return s->max_ticks - s->min_ticks >= core->config.levels;
}

/* F1: a contract is no other instrument's base or quote, and what is used as cash is no contract. */
static u64 uses_are_free(const struct core *core, const struct symbol *terms) {
    u64 use = *asset_use_of(core, terms->base);
    const u64 *supply = supply_of(core, terms->base);
    if (is_contract(core, terms->quote))
        return 0;
    if (!terms->is_future)
        return !is_contract(core, terms->base);
    return use == ASSET_CONTRACT + terms->number || (use == ASSET_UNUSED && (supply[0] | supply[1]) == 0);
}

u64 instrument_uses_are_right(const struct core *core, const struct symbol *s) {
    u64 base_use = s->is_future ? ASSET_CONTRACT + s->number : ASSET_CASH;
    return *asset_use_of(core, s->base) == base_use && *asset_use_of(core, s->quote) == ASSET_CASH;
}

u64 instrument_reason(const struct core *core, const struct symbol *terms) {
    if (terms->base >= core->config.assets || terms->quote >= core->config.assets || !uses_are_free(core, terms))
        return REJECT_BAD_ASSET;
    if (terms->base == terms->quote || terms->lot_size - 1 >= AMOUNT_MAX || terms->tick_value - 1 >= AMOUNT_MAX)
        return REJECT_BAD_INSTRUMENT;
    if (terms->min_ticks == 0 || terms->min_ticks > terms->max_ticks || terms->max_ticks > PRICE_TICKS_MAX)
        return REJECT_BAD_INSTRUMENT;
    if (terms->is_future && (terms->lot_size != 1 || future_bound(core, terms) == 0))
        return REJECT_BAD_INSTRUMENT;
    return REASON_NONE;
}

static u64 none_or_in_window(const struct symbol *s, u64 price) {
    return price == 0 || (price >= s->min_ticks && price <= s->max_ticks);
}

static u64 future_words_are_valid(const struct symbol *s) {
    if (!s->is_future)
        return (s->mark_ticks | s->initial_bp | s->maintenance_bp | s->position_max | s->open_interest) == 0;
    return s->is_future == 1 && none_or_in_window(s, s->mark_ticks) && s->maintenance_bp != 0 &&
           s->maintenance_bp <= s->initial_bp && s->initial_bp <= MARGIN_BP_MAX && s->position_max <= QTY_LOTS_MAX &&
           s->open_interest <= ACCOUNTS_MAX * POSITION_LOTS_MAX;
}

u64 symbol_market_is_valid(const struct symbol *s) {
    return s->phase <= PHASE_HALT && none_or_in_window(s, s->last_ticks) && none_or_in_window(s, s->reference_ticks) &&
           s->dynamic_bp <= COLLAR_BP_MAX && s->static_bp <= COLLAR_BP_MAX && s->order_qty_max <= QTY_LOTS_MAX &&
           s->order_value_max <= AMOUNT_MAX && future_words_are_valid(s);
}

/* What its assets are used for, and a future's own words. */
static void set_uses(struct core *core, struct symbol *s) {
    *asset_use_of(core, s->base) = s->is_future ? ASSET_CONTRACT + s->number : ASSET_CASH;
    *asset_use_of(core, s->quote) = ASSET_CASH;
    s->mark_ticks = 0;
    s->bound = future_bound(core, s);
    if (s->is_future && s->initial_bp == 0) {
        s->initial_bp = MARGIN_BP_MAX;
        s->maintenance_bp = MARGIN_BP_MAX;
    }
}

u64 instrument_set(struct core *core, const struct command *c, struct output *out) {
    u64 number = command_symbol(c);
    u64 flags = command_flags(c), is_new = number == core->symbol_count;
    struct symbol terms; /* field by field: an initialiser would clear all of it with a call to memset */
    terms.number = number;
    terms.is_future = flags / FLAG_INSTRUMENT_FUTURE;
    terms.base = owner_account(c->owner);
    terms.quote = c->owner >> 32;
    terms.lot_size = c->order_id;
    terms.min_ticks = c->price_ticks;
    terms.max_ticks = c->qty_lots;
    terms.tick_value = c->aux;
    if (flags > (FLAG_INSTRUMENT_CLOSED | FLAG_INSTRUMENT_FUTURE))
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
    if (!is_new && (s->is_future != terms.is_future || (s->is_future && s->base != terms.base)))
        return REJECT_BAD_INSTRUMENT;
    if ((s->order_count | s->open_interest) != 0)
        return REJECT_BOOK_NOT_EMPTY;
    if (is_new) {
        core->symbol_count++;
        s->phase = flags & FLAG_INSTRUMENT_CLOSED ? PHASE_CLOSED : PHASE_CONTINUOUS;
        s->is_future = terms.is_future;
    }
    s->base = terms.base;
    s->quote = terms.quote;
    s->lot_size = terms.lot_size;
    s->tick_value = terms.tick_value;
    s->min_ticks = terms.min_ticks;
    s->max_ticks = terms.max_ticks;
    s->last_ticks = 0; /* the price of other terms */
    s->reference_ticks = 0;
    s->is_wide = instrument_is_wide(core, s);
    if (s->is_wide)
        pages_clear(core, s);
    s->lots_safe = instrument_lots_safe(s);
    set_uses(core, s);
    symbol_derive(s);
    emit(out, answer_head(c, EVENT_INSTRUMENT_SET, 0), c->owner, c->order_id, c->price_ticks, c->qty_lots, 0, c->aux);
    return REASON_NONE;
}

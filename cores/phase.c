/* Phases of trading: the PHASE command (rules P5, P6), the trip into a volatility call (C2), and the words of a symbol
 * that follow from its phase, prices and limits. */
#include "ladder.h"
#include "money.h"

u64 phase_is_call(u64 phase) {
    return phase >= PHASE_PRE_OPEN && phase <= PHASE_CLOSE_CALL;
}

/* Narrows the band to `price` +- bp of it. price < 2^40 and bp <= 10^4 < 2^14: the product is below 2^54. */
static void narrow_band(struct symbol *s, u64 price, u64 bp) {
    u64 distance = price * bp / FEE_DENOMINATOR; /* at most the price */
    if (price == 0 || bp == 0)
        return;
    if (price - distance > s->band_low)
        s->band_low = price - distance;
    if (price + distance < s->band_high)
        s->band_high = price + distance;
}

/* Lots up to which an order is no larger than any may be, in no way and at no price. */
static u64 lots_within_limits(const struct symbol *s) {
    u64 lots = s->lots_safe < QTY_LOTS_MAX ? s->lots_safe : QTY_LOTS_MAX;
    if (s->order_qty_max != 0 && s->order_qty_max < lots)
        lots = s->order_qty_max;
    if (s->order_value_max == 0)
        return lots;
    if (s->tick_value > s->order_value_max / s->max_ticks)
        return 0;
    u64 by_value = s->order_value_max / (s->max_ticks * s->tick_value); /* the product is at most order_value_max */
    return by_value < lots ? by_value : lots;
}

void symbol_derive(struct symbol *s) {
    s->lots_plain = s->phase == PHASE_CONTINUOUS ? lots_within_limits(s) : 0;
    s->band_low = s->min_ticks;
    s->band_high = s->max_ticks;
    narrow_band(s, s->last_ticks, s->dynamic_bp);
    narrow_band(s, s->reference_ticks, s->static_bp);
}

static void emit_phase(const struct symbol *s, u64 reason, u64 price, u64 qty, u64 old, struct output *out) {
    emit(out, order_head(s, EVENT_PHASE, reason, SIDE_NONE, 0), 0, 0, price, qty, s->phase, old);
}

void phase_trip(struct symbol *s, struct output *out) {
    u64 old = s->phase;
    s->phase = PHASE_VOLATILITY;
    symbol_derive(s);
    emit_phase(s, CANCEL_VOLATILITY, 0, 0, old, out);
}

static u64 is_crossed(const struct symbol *s) {
    return s->best[BID] != LEVEL_NONE && s->best[ASK] != LEVEL_NONE &&
           ladder_price(s, BID, s->best[BID]) >= ladder_price(s, ASK, s->best[ASK]);
}

static u64 phase_reason(const struct symbol *s, const struct command *c) {
    u64 target = command_ord_type(c), price = c->price_ticks;
    if (command_flags(c) > FLAG_NO_UNCROSS)
        return REJECT_BAD_FLAGS;
    if (target > PHASE_HALT || target == s->phase)
        return REJECT_BAD_PHASE;
    if (price != 0 && (price < s->min_ticks || price > s->max_ticks))
        return REJECT_PRICE_OUT_OF_COLLAR;
    if (command_flags(c) && (!phase_is_call(s->phase) || target != PHASE_CLOSED))
        return REJECT_BAD_FLAGS;
    if (target == PHASE_CONTINUOUS && !phase_is_call(s->phase) && is_crossed(s)) /* from CLOSED or HALT */
        return REJECT_BAD_PHASE;
    return REASON_NONE;
}

/* The uncross, if this way has one: *found keeps its price and volume, zeros when nothing traded. */
static u64 uncross_between(struct core *core, struct symbol *s, const struct command *c, struct indicative *found,
                           struct output *out) {
    u64 target = command_ord_type(c);
    found->price_ticks = 0;
    found->qty_lots = 0;
    if (!phase_is_call(s->phase) || command_flags(c) || (target != PHASE_CONTINUOUS && target != PHASE_CLOSED))
        return REASON_NONE;
    return uncross_find(core, s, found) ? uncross_trade(core, s, found, out) : REASON_NONE;
}

u64 phase_set(struct core *core, const struct command *c, struct output *out) {
    u64 target = command_ord_type(c);
    struct indicative found;
    if (command_symbol(c) >= core->symbol_count)
        return REJECT_UNKNOWN_SYMBOL;
    struct symbol *s = symbol_touch(core, command_symbol(c));
    if (s == 0)
        return REASON_STOPPED;
    u64 reason = phase_reason(s, c);
    if (reason != REASON_NONE)
        return reason;
    if (c->price_ticks != 0)
        s->reference_ticks = c->price_ticks;
    if (uncross_between(core, s, c, &found, out) == REASON_STOPPED)
        return REASON_STOPPED;
    if ((target == PHASE_CONTINUOUS || target == PHASE_CLOSED) &&
        expire_auction_orders(core, s, found.price_ticks, target == PHASE_CLOSED, out) == REASON_STOPPED)
        return REASON_STOPPED;
    if (target == PHASE_CLOSE_CALL && dormant_enter(core, s, out) == REASON_STOPPED)
        return REASON_STOPPED;
    u64 old = s->phase;
    s->phase = target;
    symbol_derive(s);
    emit_phase(s, REASON_NONE, found.price_ticks, found.qty_lots, old, out);
    if (target == PHASE_CONTINUOUS && s->last_ticks != 0)
        return trigger_run(core, s, s->last_ticks, s->last_ticks, out);
    return REASON_NONE;
}

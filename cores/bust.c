/* BUST: a trade is taken back, both sides of it at once (rules B1..B5).
 *
 * What was paid goes back at the price of the trade, fees with it, and nothing else changes: no order comes to life
 * again, no quantity is given back to one, no price is unmade. The core remembers no trades, so it cannot know that there
 * was one: it vouches that no money is made or lost and that nobody is left owing. That the trade was there, with these
 * terms and not busted before, is found by whoever has the archive.
 */
#include "book.h"

/* One side of the trade, and what takes it back. */
struct undone {
    struct account *account;
    u64 owner; /* account | session << 32, as in events */
    u64 side;  /* of the trade */
    u64 fee;  /* that it paid, two's complement */
};

/* An int32 in the lower half of a word, in two's complement of the whole. */
static u64 signed_bp(u64 word) {
    return (u64)(int64_t)(int32_t)(uint32_t)word;
}

static u64 magnitude(u64 signed_word) {
    return (int64_t)signed_word < 0 ? -signed_word : signed_word;
}

static u64 fee_paid(u64 value, u64 bp) {
    return (int64_t)bp < 0 ? -fee_of(value, -bp) : fee_of(value, bp);
}

/* Value with either fee, and base units, are amounts that can be. */
static u64 is_bounded(const struct symbol *s, const struct command *c) {
    u64 bought_bp = magnitude(signed_bp(c->aux)), sold_bp = magnitude(signed_bp(c->aux >> 32));
    u64 bp = bought_bp < sold_bp ? sold_bp : bought_bp;
    return cost_checked(s, c->price_ticks, c->qty_lots, bp) != SLOT_NONE && base_checked(s, c->qty_lots) != SLOT_NONE;
}

/* B1 but for the parties: form, in the order of the words. */
static u64 form_reason(const struct symbol *s, const struct command *c) {
    if (command_flags(c) != 0)
        return REJECT_BAD_FLAGS;
    if (c->order_id >> 24 == 0 || c->order_id >> 24 >= c->seq)
        return REJECT_UNKNOWN_TRADE;
    if (!price_is_valid(s, c->price_ticks))
        return REJECT_PRICE_OUT_OF_COLLAR;
    if (!qty_is_valid(c->qty_lots))
        return REJECT_BAD_QTY;
    if (magnitude(signed_bp(c->aux)) > FEE_BP_MAX || magnitude(signed_bp(c->aux >> 32)) > FEE_BP_MAX)
        return REJECT_BAD_AMOUNT;
    return is_bounded(s, c) ? REASON_NONE : REJECT_NOTIONAL_TOO_LARGE;
}

/* Whether what is needed (two's complement) is more than there is. Account 0 may be below zero and need nothing. */
static int lacks(const struct position *p, u64 needed) {
    return (int64_t)needed > 0 && exceeds(needed, available_of(p));
}

/* B2: the buyer has the base still, the seller the money. */
static u64 spot_reason(const struct symbol *s, const struct command *c, const struct undone *undone) {
    const struct position *base = position_of(undone->account, s->base), *cash = position_of(undone->account, s->quote);
    if (undone->side == BID)
        return lacks(base, c->qty_lots * s->lot_size) ? REJECT_INSUFFICIENT_FUNDS : REASON_NONE;
    u64 value = notional_of(s, c->price_ticks, c->qty_lots);
    return lacks(cash, value - undone->fee) ? REJECT_INSUFFICIENT_FUNDS : REASON_NONE;
}

/* B3: the position that is left has room, its margin, and lots for the orders that were to close it. */
static u64 future_reason(const struct symbol *s, const struct command *c, const struct undone *undone) {
    const struct account *account = undone->account;
    const struct position *p = position_of(account, s->base), *cash = position_of(account, s->quote);
    u64 side = undone->side ^ 1, held = lots_of_side(p, undone->side), open = open_of_side(p, side);
    u64 closes = (int64_t)held <= 0 ? 0 : smaller_of(held, c->qty_lots), opens = c->qty_lots - closes;
    if (closes != 0 && open > held - closes)
        return REJECT_POSITION;
    if (account->number == 0)
        return REASON_NONE;
    if (opens != 0 && exceeds(c->qty_lots - held + open, s->bound))
        return REJECT_POSITION;
    u64 margin = fee_of(notional_of(s, c->price_ticks, opens), s->initial_bp);
    return lacks(cash, margin - undone->fee) ? REJECT_INSUFFICIENT_FUNDS : REASON_NONE;
}

/* B4: the venue has the fees still, and is not so deep in what it paid for others that trading stopped. */
static u64 venue_reason(const struct symbol *s, const struct account *venue, u64 fees) {
    const struct position *cash = position_of(venue, s->quote);
    if (s->is_future && (int64_t)cash->balance < -(int64_t)VENUE_LACKS_MAX)
        return REJECT_INSUFFICIENT_FUNDS;
    return lacks(cash, fees) ? REJECT_INSUFFICIENT_FUNDS : REASON_NONE;
}

/* B5. */
static u64 undo(struct core *core, struct symbol *s, const struct command *c, const struct undone *undone,
                struct output *out) {
    struct account *account = undone->account;
    u64 value = notional_of(s, c->price_ticks, c->qty_lots), base = c->qty_lots * s->lot_size;
    emit(out, order_head(s, EVENT_BUSTED, 0, undone->side + 1, 0), undone->owner, c->order_id, c->price_ticks,
         c->qty_lots, 0, undone->fee);
    if (s->is_future)
        return future_trade(core, s, account, undone->owner, undone->side ^ 1, c->price_ticks, c->qty_lots,
                            -undone->fee, out);
    position_of(account, s->base)->balance += undone->side == BID ? -base : base;
    position_of(account, s->quote)->balance += undone->fee + (undone->side == BID ? value : -value);
    return REASON_NONE;
}

/* One half of the command's owner: account | session << 16. */
static u64 side_reason(struct core *core, u64 half, u64 side, struct undone *undone) {
    undone->owner = (half & 0xffff) | half >> 16 << 32;
    undone->side = side;
    if ((half & 0xffff) >= core->account_count)
        return REJECT_UNKNOWN_ACCOUNT;
    undone->account = account_touch(core, half & 0xffff);
    return undone->account == 0 ? REASON_STOPPED : REASON_NONE;
}

/* Symbol, buyer, seller and venue, in that order. */
static u64 bust_parties(struct core *core, const struct command *c, struct symbol **s, struct undone *bought,
                        struct undone *sold) {
    if (command_symbol(c) >= core->symbol_count)
        return REJECT_UNKNOWN_SYMBOL;
    *s = symbol_touch(core, command_symbol(c));
    if (*s == 0)
        return REASON_STOPPED;
    u64 reason = side_reason(core, c->owner & 0xffffffff, BID, bought);
    if (reason == REASON_NONE)
        reason = side_reason(core, c->owner >> 32, ASK, sold);
    if (reason == REASON_NONE && account_touch(core, 0) == 0)
        return REASON_STOPPED;
    return reason;
}

u64 trade_bust(struct core *core, const struct command *c, struct output *out) {
    struct symbol *s;
    struct undone bought, sold;
    u64 reason = bust_parties(core, c, &s, &bought, &sold);
    if (reason == REASON_NONE)
        reason = form_reason(s, c);
    if (reason != REASON_NONE)
        return reason;
    struct account *venue = account_touch(core, 0);
    u64 value = notional_of(s, c->price_ticks, c->qty_lots);
    bought.fee = fee_paid(value, signed_bp(c->aux));
    sold.fee = fee_paid(value, signed_bp(c->aux >> 32));
    reason = s->is_future ? future_reason(s, c, &bought) : spot_reason(s, c, &bought);
    if (reason == REASON_NONE)
        reason = s->is_future ? future_reason(s, c, &sold) : spot_reason(s, c, &sold);
    if (reason == REASON_NONE)
        reason = venue_reason(s, venue, bought.fee + sold.fee);
    if (reason != REASON_NONE)
        return reason;
    position_of(venue, s->quote)->balance -= bought.fee + sold.fee;
    undo(core, s, c, &bought, out);
    return undo(core, s, c, &sold, out);
}

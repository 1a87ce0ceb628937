/* Cash-settled futures: what a trade does to a position, what orders in a future need, the mark price, and the margin
 * ladder from the call to the take-over (rules F4..F11).
 *
 * Bounds: `bound` (F2) times the accounts times max_ticks times tick_value is at most AMOUNT_MAX / 1024, below 2^52. No
 * account but account 0 is ever long or short more than `bound`, nor would be with its open orders; account 0 is the
 * other side of all of them at most. So every value, cost or margin in here is below 2^53, and a collateral, which covers
 * at most a margin and a loss, at most twice that.
 */
#include "book.h"

u64 future_bound(const struct core *core, const struct symbol *s) {
    u64 most = AMOUNT_MAX / 1024 / core->config.accounts;
    if (!s->is_future || core->config.orders > FUTURE_ORDERS_MAX || s->tick_value > most / s->max_ticks)
        return 0;
    u64 bound = most / (s->max_ticks * s->tick_value);
    return bound < POSITION_LOTS_MAX ? bound : POSITION_LOTS_MAX;
}

static u64 magnitude(u64 signed_word) {
    return (int64_t)signed_word < 0 ? -signed_word : signed_word;
}

/* ---- what orders need ---- */

u64 future_hold_of(const struct symbol *s, u64 price, u64 lots, u64 taker_bp, u64 facts) {
    u64 value = notional_of(s, price, lots), margin = facts & FACT_CLOSING ? 0 : fee_of(value, s->initial_bp);
    return fee_of(value, taker_bp) + margin;
}

void future_hold(const struct symbol *s, struct account *account, const struct order *order, u64 from, u64 to) {
    u64 facts = order_facts(order);
    position_of(account, s->quote)->hold += future_hold_of(s, order->price, to, account->taker_bp, facts) -
                                            future_hold_of(s, order->price, from, account->taker_bp, facts);
    position_of(account, s->base)->open += (to - from) << (order_side(order) * OPEN_BITS); /* neither sum overflows */
}

u64 future_closing(const struct symbol *s, const struct account *account, u64 side, u64 others, u64 lots) {
    u64 held = lots_of_side(position_of(account, s->base), side ^ 1);
    return (int64_t)(others + lots) <= (int64_t)held ? FACT_CLOSING : 0; /* lots is at least 1 */
}

u64 future_terms_reason(struct core *core, const struct symbol *s, const struct account *account, u64 side, u64 *price,
                        u64 lots, const struct order *order, u64 flags) {
    const struct position *p = position_of(account, s->base), *cash = position_of(account, s->quote);
    u64 all = order == 0 ? 0 : order->leaves + order_hidden(core, s, order->id & ORDER_SLOT_NONE);
    u64 others = open_of_side(p, side) - all, max = s->bound; /* lots is below 2^40, the other lots below 2^48 */
    if (s->position_max != 0 && s->position_max < max)
        max = s->position_max;
    if (others + lots > POSITION_LOTS_MAX || exceeds(lots_of_side(p, side) + others + lots, max))
        return REJECT_POSITION;
    u64 closing = future_closing(s, account, side, others, lots);
    if (stage_of(p) != STAGE_NONE && !closing)
        return REJECT_MARGIN_CALLED;
    if (flags & FLAG_POST_ONLY && post_only_reason(s, account, side, price, lots, flags) != REASON_NONE)
        return REJECT_POST_ONLY_WOULD_CROSS;
    u64 hold = future_hold_of(s, *price, lots, account->taker_bp, closing);
    u64 released = order != 0 ? order_needs(s, order, all, account->taker_bp) : 0;
    if (exceeds(hold, available_of(cash) + released) && hold != 0)
        return REJECT_INSUFFICIENT_FUNDS;
    if (cash->gross_max != 0 && cash->hold - released + hold > cash->gross_max)
        return REJECT_EXPOSURE;
    const struct account *venue = account_touch(core, 0);
    if (venue == 0)
        return REASON_STOPPED;
    if ((int64_t)position_of(venue, s->quote)->balance < -(int64_t)VENUE_LACKS_MAX)
        return REJECT_INSUFFICIENT_FUNDS;
    return REASON_NONE;
}

/* The lots of a trade of this side that close. */
static u64 closes_of(const struct position *p, u64 side, u64 lots) {
    u64 held = lots_of_side(p, side ^ 1);
    return (int64_t)held <= 0 ? 0 : smaller_of(held, lots);
}

u64 future_can_pay(const struct symbol *s, const struct account *account, u64 side, u64 price, u64 lots) {
    u64 opens = lots - closes_of(position_of(account, s->base), side, lots);
    if (opens == 0)
        return 1;
    u64 fee = fee_of(notional_of(s, price, lots), account->taker_bp);
    return !exceeds(fee + fee_of(notional_of(s, price, opens), s->initial_bp),
                    available_of(position_of(account, s->quote)));
}

/* ---- trades ---- */

/* floor(rest * part / whole), rest and part < whole < 2^48. Of all but account 0 the lots are below 2^31, and the product
 * fits; of account 0 it is found bit by bit, without a division of 128 bits. */
static u64 part_of_rest(u64 rest, u64 part, u64 whole) {
    if (whole >> 32 == 0)
        return rest * part / whole;
    u64 quotient = 0, left = 0;
    for (u64 bit = 1ull << 47; bit != 0; bit >>= 1) { /* quotient * whole + left = rest * (bits of part so far) */
        quotient *= 2;
        left *= 2;
        if (part & bit)
            left += rest; /* below 3 * whole */
        while (left >= whole) {
            left -= whole;
            quotient++;
        }
    }
    return quotient;
}

/* The share of an amount that goes with `part` of `whole` lots: floor(amount * part / whole). */
static u64 share_of(u64 amount, u64 part, u64 whole) {
    if (part == whole)
        return amount;
    return amount / whole * part + part_of_rest(amount % whole, part, whole);
}

static u64 longs_of(const struct position *p) {
    return (int64_t)p->lots > 0 ? p->lots : 0;
}

static void stage_set(struct position *p, u64 stage) {
    p->open = (p->open & ~(3ull << STAGE_SHIFT)) | stage << STAGE_SHIFT;
}

/* The lots that close give back their share of collateral and realise their result, which is returned. */
static u64 close_lots(const struct symbol *s, struct position *p, struct position *cash, u64 price, u64 lots) {
    u64 held = magnitude(p->lots), value = notional_of(s, price, lots), is_long = (int64_t)p->lots > 0;
    u64 cost = share_of(magnitude(p->cost), lots, held), back = share_of(p->collateral, lots, held);
    u64 result = is_long ? value - cost : cost - value;
    p->lots -= is_long ? lots : -lots;
    p->cost -= is_long ? cost : -cost;
    p->collateral -= back;
    cash->balance += back + result;
    if (lots == held)
        stage_set(p, STAGE_NONE);
    return result;
}

/* The lots that open add their value to the cost, and take their margin, or what there is of it, out of the balance. */
static void open_lots(const struct symbol *s, const struct account *account, u64 side, u64 price, u64 lots) {
    struct position *p = position_of(account, s->base), *cash = position_of(account, s->quote);
    u64 value = notional_of(s, price, lots);
    p->lots += side == BID ? lots : -lots;
    p->cost += side == BID ? value : -value;
    if (account->number == 0)
        return;
    u64 margin = smaller_of(fee_of(value, s->initial_bp), free_of(cash));
    p->collateral += margin;
    cash->balance -= margin;
}

/* Whoever is below zero is helped by the collateral; what is then lacking is returned. */
static u64 cover(struct position *p, struct position *cash) {
    if ((int64_t)available_of(cash) >= 0)
        return 0;
    u64 given = smaller_of(p->collateral, -available_of(cash));
    p->collateral -= given;
    cash->balance += given;
    return -available_of(cash);
}

static void emit_position(const struct symbol *s, const struct position *p, u64 owner, u64 price, u64 result,
                          struct output *out) {
    u64 side = p->lots == 0 ? SIDE_NONE : (int64_t)p->lots > 0 ? SIDE_BUY : SIDE_SELL;
    emit(out, order_head(s, EVENT_POSITION, 0, side, 0), owner | s->base << 48, p->cost, price, magnitude(p->lots),
         p->collateral, result);
}

u64 future_trade(struct core *core, struct symbol *s, struct account *account, u64 owner, u64 side, u64 price, u64 lots,
                 u64 fee, struct output *out) {
    struct position *p = position_of(account, s->base), *cash = position_of(account, s->quote);
    u64 closes = closes_of(p, side, lots), result = 0, longs = longs_of(p);
    if (closes != 0)
        result = close_lots(s, p, cash, price, closes);
    cash->balance -= fee;
    if (lots != closes)
        open_lots(s, account, side, price, lots - closes);
    s->open_interest += longs_of(p) - longs;
    u64 lacking = account->number == 0 ? 0 : cover(p, cash);
    emit_position(s, p, owner, price, result, out);
    if (lacking == 0)
        return REASON_NONE;
    struct account *venue = account_touch(core, 0);
    if (venue == 0)
        return REASON_STOPPED;
    position_of(venue, s->quote)->balance -= lacking;
    cash->balance += lacking;
    emit(out, order_head(s, EVENT_DEFICIT, 0, SIDE_NONE, 0), owner | s->quote << 48, 0, 0, lacking, 0, 0);
    return REASON_NONE;
}

/* ---- the mark price ---- */

u64 future_mark(struct core *core, const struct command *c, struct output *out) {
    if (command_symbol(c) >= core->symbol_count)
        return REJECT_UNKNOWN_SYMBOL;
    struct symbol *s = symbol_touch(core, command_symbol(c));
    if (s == 0)
        return REASON_STOPPED;
    if (command_flags(c) != 0)
        return REJECT_BAD_FLAGS;
    if (!s->is_future)
        return REJECT_BAD_INSTRUMENT;
    if (!price_is_valid(s, c->price_ticks))
        return REJECT_PRICE_OUT_OF_COLLAR;
    emit(out, answer_head(c, EVENT_MARKED, 0), c->owner, 0, c->price_ticks, s->open_interest, 0, s->mark_ticks);
    s->mark_ticks = c->price_ticks;
    return REASON_NONE;
}

/* ---- the margin ladder ---- */

/* A position at the mark price; equity in two's complement. */
struct margin {
    u64 equity, needed, initial;
};

static void margin_at_mark(const struct symbol *s, const struct position *p, struct margin *margin) {
    u64 value = notional_of(s, s->mark_ticks, p->lots); /* below zero short, as the cost */
    margin->equity = p->collateral + value - p->cost;
    margin->needed = fee_of(magnitude(value), s->maintenance_bp);
    margin->initial = fee_of(magnitude(value), s->initial_bp);
}

static u64 margin_owner(const struct symbol *s, const struct command *c) {
    return (c->owner & OWNER_ORDER_MASK) | s->base << 48;
}

static void emit_margin(const struct symbol *s, const struct command *c, const struct margin *margin, u64 stage,
                        struct output *out) {
    emit(out, answer_head(c, EVENT_MARGIN, 0), margin_owner(s, c), 0, s->mark_ticks, margin->equity, stage,
         margin->needed);
}

/* F11: all lots go to account 0 at the mark price. */
static u64 take_over(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                     struct output *out) {
    const struct position *p = position_of(account, s->base);
    u64 lots = magnitude(p->lots), side = (int64_t)p->lots > 0 ? ASK : BID, price = s->mark_ticks;
    struct account *venue = account_touch(core, 0);
    if (venue == 0 ||
        future_trade(core, s, account, c->owner & OWNER_ORDER_MASK, side, price, lots, 0, out) != REASON_NONE)
        return REASON_STOPPED;
    return future_trade(core, s, venue, 0, side ^ 1, price, lots, 0, out);
}

/* F10.5: all lots are traded at the market. */
static u64 liquidate(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                     struct output *out) {
    const struct position *p = position_of(account, s->base);
    struct trades trades = {.low = ~0ull, .high = 0};
    struct aggressor a;
    a.account = account;
    a.side = (int64_t)p->lots > 0 ? ASK : BID;
    a.order_id = c->seq << 24 | ORDER_SLOT_NONE;
    a.owner = c->owner & OWNER_ORDER_MASK;
    a.leaves = magnitude(p->lots);
    a.price = 0;
    aggressor_start(s, &a, 0, 0);
    a.group = GROUP_NONE;
    a.pays_as_goes = 0;
    if (match_future(core, s, &a, &trades, out) == REASON_STOPPED)
        return REASON_STOPPED;
    return after_trades(core, s, &trades, out);
}

/* The steps that end a position: settled, liquidated or taken over. */
static u64 margin_ends(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                       const struct margin *margin, u64 stage, struct output *out) {
    orders_cancel(core, s, account, c->owner, 0xffffffff, SIDE_NONE, CANCEL_MARGIN, out);
    emit_margin(s, c, margin, stage, out);
    if (stage != STAGE_LIQUIDATED)
        return take_over(core, s, account, c, out);
    stage_set(position_of(account, s->base), STAGE_LIQUIDATED);
    return liquidate(core, s, account, c, out);
}

/* F10.2 to F10.6 of a position with a mark price. */
static u64 margin_step(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                       struct margin *margin, struct output *out) {
    struct position *p = position_of(account, s->base), *cash = position_of(account, s->quote);
    u64 stage = stage_of(p), given = 0;
    if (!exceeds(margin->needed, margin->equity)) {
        if (stage == STAGE_NONE)
            return REJECT_MARGIN_KEPT;
    } else {
        given = smaller_of(free_of(cash), margin->initial - margin->equity); /* equity < needed <= initial */
    }
    margin->equity += given;
    u64 is_kept = !exceeds(margin->needed, margin->equity);
    if (!is_kept && stage == STAGE_CALLED && s->phase != PHASE_CONTINUOUS)
        return REJECT_BAD_PHASE;
    p->collateral += given;
    cash->balance -= given;
    if (!is_kept && stage != STAGE_NONE)
        return margin_ends(core, s, account, c, margin, stage + 1, out);
    stage = is_kept ? STAGE_NONE : STAGE_CALLED;
    stage_set(p, stage);
    emit_margin(s, c, margin, stage, out);
    return REASON_NONE;
}

u64 future_margin(struct core *core, const struct command *c, struct output *out) {
    struct symbol *s;
    struct account *account;
    struct margin margin;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return reason;
    if (command_flags(c) > FLAG_MARGIN_SETTLE)
        return REJECT_BAD_FLAGS;
    if (!s->is_future)
        return REJECT_BAD_INSTRUMENT;
    const struct position *p = position_of(account, s->base);
    if (account->number == 0 || p->lots == 0)
        return REJECT_NO_POSITION;
    if (s->mark_ticks == 0)
        return REJECT_NO_MARK;
    margin_at_mark(s, p, &margin);
    if (!(command_flags(c) & FLAG_MARGIN_SETTLE))
        return margin_step(core, s, account, c, &margin, out);
    if (s->phase != PHASE_CLOSED)
        return REJECT_BAD_PHASE;
    return margin_ends(core, s, account, c, &margin, STAGE_SETTLED, out);
}

/* ---- questions ---- */

u64 core_mark(const struct core *core, u64 symbol) {
    const struct symbol *s = symbol < core->symbol_count ? symbol_peek(core, symbol) : 0;
    return s == 0 ? 0 : s->mark_ticks;
}

u64 core_position(const struct core *core, u64 account, u64 symbol, struct position_view *view) {
    const struct symbol *s = symbol < core->symbol_count ? symbol_peek(core, symbol) : 0;
    const struct account *a = account < core->account_count ? account_peek(core, account) : 0;
    struct margin margin = {.equity = 0, .needed = 0, .initial = 0};
    if (s == 0 || a == 0 || !s->is_future)
        return 0;
    const struct position *p = position_of(a, s->base);
    margin.equity = p->collateral;
    if (s->mark_ticks != 0)
        margin_at_mark(s, p, &margin);
    view->lots = p->lots;
    view->cost = p->cost;
    view->collateral = p->collateral;
    view->equity = margin.equity;
    view->needed = margin.needed;
    view->stage = stage_of(p);
    view->open_buys = open_of_side(p, BID);
    view->open_sells = open_of_side(p, ASK);
    return 1;
}

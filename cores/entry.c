/* NEW: the rules N1..N9, and the ways of an accepted order (N10..N16).
 *
 * A command is first checked in full, rule by rule in a fixed order, and the first rule it breaks is its reject reason;
 * only then is anything written. So a refused command leaves no trace but its number and its time.
 *
 * Most orders are plain: a limit order, Day or GTC, with no flag, MinQty or display, of an account with no limit, in
 * continuous trading; or immediate, the same but for TimeInForce or price. They have short ways of their own; their
 * result is that of the long one.
 */
#include "book.h"

#define TIF_BIT(tif) (1u << (tif))
#define TIFS_ENTRY (TIF_BIT(TIF_DAY) | TIF_BIT(TIF_GTC) | TIF_BIT(TIF_GTD)) /* may rest as they are */
#define TIFS_AUCTION (TIF_BIT(TIF_AT_OPEN) | TIF_BIT(TIF_AT_CLOSE))
#define TIFS_AT_ONCE (TIF_BIT(TIF_IOC) | TIF_BIT(TIF_FOK))

static u64 tif_in(u64 tif, u64 tifs) {
    return tif <= 7 && tifs >> tif & 1;
}

/* ---- the rules ---- */

static u64 flags_are_valid(u64 ord_type, u64 tif, u64 flags) {
    u64 modes = 7u << FLAG_SMP_SHIFT, post_only = flags & FLAG_POST_ONLY;
    if ((flags & ~(modes | FLAG_POST_ONLY | FLAG_SLIDE | FLAG_ALL_OR_NONE)) != 0 ||
        flags >> FLAG_SMP_SHIFT > SMP_DECREMENT)
        return 0;
    if (post_only && (ord_type != ORD_LIMIT || !tif_in(tif, TIFS_ENTRY)))
        return 0;
    if (flags & FLAG_SLIDE && !post_only)
        return 0;
    return !(flags & FLAG_ALL_OR_NONE) || (ord_type <= ORD_LIMIT && !tif_in(tif, TIFS_AUCTION) && !post_only);
}

u64 order_form_reason(u64 ord_type, u64 tif, u64 flags) {
    u64 tifs = TIFS_ENTRY;
    if (ord_type == ORD_LIMIT)
        tifs |= TIFS_AUCTION | TIFS_AT_ONCE;
    else if (ord_type == ORD_MARKET)
        tifs = TIF_BIT(TIF_DAY) | TIFS_AUCTION | TIFS_AT_ONCE;
    if (ord_type - 1 > ORD_MARKET_TO_LIMIT - 1)
        return REJECT_BAD_ORD_TYPE;
    if (!tif_in(tif, tifs))
        return REJECT_BAD_TIF;
    return flags_are_valid(ord_type, tif, flags) ? REASON_NONE : REJECT_BAD_FLAGS;
}

static u64 display_is_valid(const struct command *c) {
    u64 display = c->order_id;
    if (display == 0)
        return 1;
    return command_ord_type(c) == ORD_LIMIT && !tif_in(command_tif(c), TIFS_AT_ONCE) && display <= c->qty_lots &&
           display * ICEBERG_TRANCHES_MAX >= c->qty_lots; /* below 2^44 */
}

/* F5: what may not be asked of a market order in a future; its TimeInForce comes before its flags. */
STAGE u64 future_market_reason(u64 tif, u64 flags, u64 reason) {
    if (tif == TIF_FOK)
        return REJECT_BAD_TIF;
    return reason == REASON_NONE && flags & FLAG_ALL_OR_NONE ? REJECT_BAD_FLAGS : reason;
}

/* N2..N5: the rules on the command's words. */
static u64 form_reason(const struct symbol *s, const struct command *c) {
    u64 ord_type = command_ord_type(c), tif = command_tif(c);
    if (command_side(c) - 1 > 1)
        return REJECT_BAD_SIDE;
    u64 reason = order_form_reason(ord_type, tif, command_flags(c));
    if (s->is_future && ord_type == ORD_MARKET)
        reason = future_market_reason(tif, command_flags(c), reason);
    if (reason != REASON_NONE)
        return reason;
    if (!qty_is_valid(c->qty_lots))
        return REJECT_BAD_QTY;
    if ((ord_type == ORD_LIMIT || ord_type == ORD_STOP_LIMIT) && !price_is_valid(s, c->price_ticks))
        return REJECT_PRICE_OUT_OF_COLLAR;
    if (is_stop(ord_type)) {
        if (!price_is_valid(s, c->order_id))
            return REJECT_BAD_STOP;
    } else if (!display_is_valid(c)) {
        return REJECT_BAD_DISPLAY;
    }
    if (tif == TIF_GTD)
        return c->aux > c->time_ns ? REASON_NONE : REJECT_BAD_EXPIRY;
    if (c->aux > c->qty_lots || (c->aux != 0 && (ord_type > ORD_LIMIT || tif_in(tif, TIFS_AUCTION) ||
                                                 (s->is_future && ord_type == ORD_MARKET))))
        return REJECT_BAD_MIN_QTY;
    return REASON_NONE;
}

/* N6. */
static u64 phase_allows(const struct symbol *s, const struct command *c) {
    u64 tif = command_tif(c);
    if (s->phase == PHASE_CONTINUOUS)
        return tif != TIF_AT_OPEN;
    if (!phase_is_call(s->phase) || (tif == TIF_AT_OPEN && s->phase != PHASE_PRE_OPEN))
        return 0;
    return !tif_in(tif, TIFS_AT_ONCE) && !(command_flags(c) & (FLAG_POST_ONLY | FLAG_ALL_OR_NONE)) &&
           (c->aux == 0 || tif == TIF_GTD);
}

/* The slid price of a post-only order that would trade, or 0. */
static u64 slid_price(const struct symbol *s, const struct account *account, u64 side, u64 lots) {
    u64 best = ladder_price(s, side ^ 1, s->best[side ^ 1]), price = side == BID ? best - 1 : best + 1;
    if (!price_is_valid(s, price))
        return 0;
    return cost_checked(s, price, lots, account->taker_bp) == SLOT_NONE ? 0 : price; /* only a sell's goes up */
}

u64 post_only_reason(const struct symbol *s, const struct account *account, u64 side, u64 *price, u64 lots, u64 flags) {
    if (s->best[side ^ 1] > ladder_key(s, side ^ 1, *price))
        return REASON_NONE;
    *price = flags & FLAG_SLIDE ? slid_price(s, account, side, lots) : 0;
    return *price == 0 ? REJECT_POST_ONLY_WOULD_CROSS : REASON_NONE;
}

u64 terms_reason(const struct symbol *s, const struct account *account, u64 side, u64 *price, u64 lots, u64 released,
                 u64 flags) {
    const struct position *p = position_of(account, hold_asset(s, side));
    if (lots > s->lots_safe &&
        (cost_checked(s, *price, lots, account->taker_bp) == SLOT_NONE || base_checked(s, lots) == SLOT_NONE))
        return REJECT_NOTIONAL_TOO_LARGE;
    if (flags & FLAG_POST_ONLY && post_only_reason(s, account, side, price, lots, flags) != REASON_NONE)
        return REJECT_POST_ONLY_WOULD_CROSS;
    u64 hold = hold_of(s, side, *price, lots, account->taker_bp);
    if (exceeds(hold, available_of(p) + released) && hold != 0)
        return REJECT_INSUFFICIENT_FUNDS;
    return p->gross_max != 0 && p->hold - released + hold > p->gross_max ? REJECT_EXPOSURE : REASON_NONE;
}

/* An order without a price that waits for an auction. */
static u64 is_unpriced(const struct symbol *s, const struct command *c) {
    u64 ord_type = command_ord_type(c);
    if (ord_type == ORD_MARKET)
        return s->phase != PHASE_CONTINUOUS || command_tif(c) == TIF_AT_CLOSE;
    return ord_type == ORD_MARKET_TO_LIMIT && s->phase != PHASE_CONTINUOUS;
}

/* The price that N8 starts from; 0: none. */
static u64 asked_price(const struct symbol *s, const struct command *c) {
    u64 ord_type = command_ord_type(c), side = command_side(c) - 1;
    if (ord_type == ORD_LIMIT || ord_type == ORD_STOP_LIMIT)
        return c->price_ticks;
    if (is_unpriced(s, c))
        return collar_end(s, side);
    if (ord_type == ORD_MARKET_TO_LIMIT && s->best[side ^ 1] != LEVEL_NONE)
        return ladder_price(s, side ^ 1, s->best[side ^ 1]);
    return 0;
}

/* Of a wide symbol, W4: whether there is a page for where the order waits or may come to rest. */
static u64 new_has_room(const struct core *core, const struct symbol *s, const struct command *c, u64 price) {
    u64 side = command_side(c) - 1, tif = command_tif(c), waits = side + STOP_BUY;
    if (is_stop(command_ord_type(c)))
        return stop_is_due_now(s, side, c->order_id) ||
               pages_have_room(core, s, waits, stop_key(s, waits, c->order_id));
    if (price == 0 || tif_in(tif, TIFS_AT_ONCE) || (tif == TIF_AT_CLOSE && s->phase != PHASE_CLOSE_CALL))
        return 1;
    return pages_have_room(core, s, side, ladder_key(s, side, price));
}

/* N1 to N9; *price gets the order's price. */
static u64 new_reason(struct core *core, const struct command *c, const struct symbol *s, struct account *account,
                      u64 *price) {
    u64 reason = REASON_NONE;
    if (account->flags & FLAG_ACCOUNT_FROZEN)
        return REJECT_ACCOUNT_FROZEN;
    if (core->killed_count != 0 || account->guarded)
        reason = limits_killed(core, account, c->owner >> 32);
    if (reason == REASON_NONE)
        reason = form_reason(s, c);
    if (reason != REASON_NONE)
        return reason;
    if (!phase_allows(s, c))
        return REJECT_BAD_PHASE;
    *price = asked_price(s, c);
    if (account->guarded || c->qty_lots > s->lots_plain)
        reason = limits_new_reason(core, s, account, c, *price);
    if (reason == REASON_NONE && s->is_future)
        reason = future_terms_reason(core, s, account, command_side(c) - 1, price, c->qty_lots, 0, command_flags(c));
    else if (reason == REASON_NONE)
        reason = terms_reason(s, account, command_side(c) - 1, price, c->qty_lots, 0, command_flags(c));
    if (reason != REASON_NONE)
        return reason;
    if (s->slot_first == SLOT_NONE)
        return REJECT_BOOK_FULL;
    return s->is_wide && !new_has_room(core, s, c, *price) ? REJECT_PAGES_FULL : REASON_NONE;
}

/* ---- the ways ---- */

HOT void emit_accepted(const struct command *c, u64 slot, u64 price, struct output *out) {
    emit(out, answer_head(c, EVENT_ACCEPTED, 0), c->owner & OWNER_ORDER_MASK, c->seq << 24 | slot, price, c->qty_lots,
         c->qty_lots, c->aux);
}

/* Puts what is left of a plain order into the book, behind the others at its price, with its hold. */
HOT void rest_plain(const struct core *core, struct symbol *s, struct account *account, struct position *p,
                    const struct order *made, u64 side, u64 slot, u64 hold, u64 key) {
    struct order *order = &orders_of(core, s)[slot];
    order->id = made->id;
    order->leaves = made->leaves;
    order->price = made->price;
    order->cum = made->cum;
    order->owner = made->owner;
    order->facts = made->facts;
    p->hold += hold;
    s->order_count++;
    account->open_orders++;
    ladder_append(core, s, side, key, slot, made->leaves, 0);
}

/* A plain or immediate order that breaks no rule and may trade at once. `price`: 0 of a market order. */
STAGE u64 trade_plain(struct core *core, struct symbol *s, struct account *account, const struct command *c, u64 price,
                      struct event *events) {
    struct output output = output_of(c, events), *out = &output;
    u64 side = command_side(c) - 1, slot = s->slot_first, may_rest = price != 0 && command_tif(c) != TIF_IOC;
    struct trades trades = {.low = ~0ull, .high = 0};
    struct aggressor a;
    a.account = account;
    a.side = side;
    a.order_id = c->seq << 24 | slot;
    a.owner = c->owner & OWNER_ORDER_MASK;
    a.leaves = c->qty_lots;
    a.price = price;
    aggressor_start(s, &a, 0, price);
    emit_accepted(c, slot, price, out);
    u64 reason = match(core, s, &a, &trades, out);
    if (reason == REASON_STOPPED)
        return CORE_FATAL;
    if (reason == REASON_NONE && !may_rest)
        reason = CANCEL_IOC;
    if (a.leaves != 0 && reason != REASON_NONE && (reason != CANCEL_VOLATILITY || !may_rest)) {
        emit(out, order_head(s, EVENT_CANCELLED, reason, side + 1, 0), a.owner, a.order_id, price, a.leaves, 0, 0);
    } else if (a.leaves != 0) {
        struct order rest = {.id = a.order_id, .leaves = a.leaves, .price = price, .owner = a.owner};
        rest.cum = a.total - a.leaves; /* without what self-match prevention took off */
        rest.facts = c->head << 24 >> 32;
        rest_plain(core, s, account, position_of(account, hold_asset(s, side)), &rest, side, slot,
                   hold_of(s, side, price, a.leaves, account->taker_bp), ladder_key(s, side, price));
        slot_use(core, s, slot);
    }
    return answered(c, events, out, after_trades(core, s, &trades, out));
}

/* Writes an accepted order into its slot: all of it, in no place yet. */
static struct order *order_write(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                                 u64 slot, u64 price) {
    struct order *order = &orders_of(core, s)[slot];
    u64 stop = is_stop(command_ord_type(c)) ? c->order_id : 0, facts = is_unpriced(s, c) ? FACT_UNPRICED : 0;
    u64 display = stop == 0 && c->order_id < c->qty_lots ? c->order_id : 0; /* all of it displayed: no iceberg */
    order->id = c->seq << 24 | slot;
    order->leaves = c->qty_lots;
    order->price = command_ord_type(c) == ORD_STOP ? 0 : price;
    order->cum = 0;
    order->owner = c->owner & OWNER_ORDER_MASK;
    if ((stop | display) != 0 || command_tif(c) == TIF_GTD) {
        struct cold *cold = &colds_of(core, s)[slot];
        cold->hidden = 0;
        cold->display = display;
        cold->stop = stop;
        cold->expiry_ns = command_tif(c) == TIF_GTD ? c->aux : 0;
        if (command_tif(c) == TIF_GTD && c->aux < s->expiry_next)
            s->expiry_next = c->aux;
        s->cold_count++;
        facts |= FACT_COLD;
    }
    if (s->is_future) {
        u64 side = command_side(c) - 1, open = open_of_side(position_of(account, s->base), side);
        facts |= FACT_FUTURE | future_closing(s, account, side, open, c->qty_lots);
    }
    if (s->is_wide)
        facts |= FACT_WIDE;
    order->facts = c->head << 24 >> 32 | facts << 32;
    slot_take(core, s, account, slot);
    return order;
}

/* Where an accepted order goes: N10..N14. */
static u64 new_goes(struct core *core, struct symbol *s, struct account *account, const struct command *c, u64 slot,
                    struct trades *trades, struct output *out) {
    struct order *order = &orders_of(core, s)[slot];
    u64 ord_type = command_ord_type(c), fact = 0;
    if (is_stop(ord_type)) {
        if (stop_is_due_now(s, command_side(c) - 1, c->order_id))
            return order_trigger(core, s, account, slot, trades, out);
        fact = FACT_WAITING;
    } else if (command_tif(c) == TIF_AT_CLOSE && s->phase != PHASE_CLOSE_CALL) {
        fact = FACT_DORMANT;
    } else if (ord_type == ORD_MARKET_TO_LIMIT && order->price == 0) {
        emit_gone(core, s, slot, EVENT_CANCELLED, CANCEL_NO_PRICE, out);
        return order_release(core, s, account, slot);
    }
    if (fact == 0)
        return order_enter(core, s, account, slot, c, trades, out);
    order->facts |= fact << 32;
    return order_place(core, s, account, slot);
}

/* All the rules. */
static u64 apply_the_rules(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                           struct output *out) {
    struct trades trades = {.low = ~0ull, .high = 0};
    u64 price = 0, reason = new_reason(core, c, s, account, &price), slot = s->slot_first;
    if (reason != REASON_NONE)
        return reason;
    const struct order *order = order_write(core, s, account, c, slot, price);
    emit_accepted(c, slot, order_price(order), out);
    if (account->guarded)
        limits_count(core, account, c, 1);
    if (new_goes(core, s, account, c, slot, &trades, out) == REASON_STOPPED)
        return REASON_STOPPED;
    return after_trades(core, s, &trades, out);
}

STAGE u64 new_by_the_rules(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                           struct event *events) {
    struct output out = output_of(c, events);
    return answered(c, events, &out, apply_the_rules(core, s, account, c, &out));
}

/* An immediate order is a limit order, IOC, or a market order, Day or IOC, else as plain as a plain one: it has a short
 * way, too, when it breaks no rule. */
STAGE u64 new_special(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                      struct event *events) {
    u64 facts = c->head >> 8 & 0xffffffff, side = (facts & 0xff) - 1, price = c->price_ticks;
    u64 kind = facts >> 8, market = kind == ORD_MARKET || kind == (ORD_MARKET | TIF_IOC << 8);
    if ((!market && kind != (ORD_LIMIT | TIF_IOC << 8)) || side > 1 ||
        (c->aux | c->order_id | account->guarded | core->killed_count) != 0 || c->qty_lots - 1 >= s->lots_plain ||
        s->slot_first == SLOT_NONE)
        return new_by_the_rules(core, s, account, c, events);
    if (market)
        price = 0;
    else if (!price_is_valid(s, price))
        return new_by_the_rules(core, s, account, c, events);
    if (exceeds(hold_of(s, side, price, c->qty_lots, account->taker_bp),
                available_of(position_of(account, hold_asset(s, side)))))
        return new_by_the_rules(core, s, account, c, events);
    return trade_plain(core, s, account, c, price, events);
}

/* One event, and the order rests. */
HOT u64 accept_plain(struct core *core, struct symbol *s, struct account *account, struct position *p,
                     const struct command *c, u64 hold, u64 key, struct event *events, u64 side) {
    u64 slot = s->slot_first, head = c->head, exec_id = c->seq << 24, price = c->price_ticks, lots = c->qty_lots;
    struct order made = {.id = exec_id | slot, .leaves = lots, .price = price, .cum = 0};
    made.owner = c->owner & OWNER_ORDER_MASK;
    made.facts = head << 24 >> 32;
    event_write(events, exec_id, EVENT_ACCEPTED | (side + 1) << 16 | head >> 48 << 48, made.owner, made.id, price, lots,
                lots, 0);
    rest_plain(core, s, account, p, &made, side, slot, hold, key);
    return slot_use_first(core, s, slot);
}

#if BRANCH_IS_CHEAP /* one for each side: there its ladder and levels are at hand */
STAGE u64 accept_buy(struct core *core, struct symbol *s, struct account *account, struct position *p,
                     const struct command *c, u64 hold, u64 key, struct event *events) {
    return accept_plain(core, s, account, p, c, hold, key, events, BID);
}

STAGE u64 accept_sell(struct core *core, struct symbol *s, struct account *account, struct position *p,
                      const struct command *c, u64 hold, u64 key, struct event *events) {
    return accept_plain(core, s, account, p, c, hold, key, events, ASK);
}

HOT u64 accept(struct core *core, struct symbol *s, struct account *account, struct position *p,
               const struct command *c, u64 hold, u64 key, struct event *events, u64 side) {
    return side == BID ? accept_buy(core, s, account, p, c, hold, key, events)
                       : accept_sell(core, s, account, p, c, hold, key, events);
}
#else
STAGE u64 accept(struct core *core, struct symbol *s, struct account *account, struct position *p,
                 const struct command *c, u64 hold, u64 key, struct event *events, u64 side) {
    return accept_plain(core, s, account, p, c, hold, key, events, side);
}
#endif

u64 book_new(struct core *core, const struct command *c, struct event *events) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    return reason != REASON_NONE ? refuse(c, events, reason) : new_special(core, s, account, c, events);
}

/* The short way of a plain order of one side. */
HOT u64 new_of_side(struct core *core, struct symbol *s, struct account *account, const struct command *c,
                    struct event *events, u64 side) {
    u64 lots = c->qty_lots, price = c->price_ticks, hold = hold_of(s, side, price, lots, account->taker_bp);
    struct position *p = position_of(account, hold_asset(s, side));
    if (exceeds(hold, available_of(p)))
        return new_by_the_rules(core, s, account, c, events);
    if (s->best[side ^ 1] <= ladder_key(s, side ^ 1, price))
        return trade_plain(core, s, account, c, price, events);
    return accept(core, s, account, p, c, hold, ladder_key(s, side, price), events, side);
}

/* The short way of a plain order that breaks no rule; whatever is not clear at a glance goes by all the rules. It makes no
 * call but its last. lots_plain is 0 out of CONTINUOUS. */
u64 book_new_plain(struct core *core, const struct command *c, struct event *events) {
    struct symbol *s;
    struct account *account;
    u64 reason = parties(core, c, &s, &account);
    if (reason != REASON_NONE)
        return refuse(c, events, reason);
    if ((c->aux | c->order_id | account->guarded | core->killed_count) != 0 || c->qty_lots - 1 >= s->lots_plain ||
        !price_is_valid(s, c->price_ticks) || s->slot_first == SLOT_NONE)
        return new_by_the_rules(core, s, account, c, events);
    if (!BRANCH_IS_CHEAP)
        return new_of_side(core, s, account, c, events, command_side(c) - 1);
    return command_side(c) == SIDE_BUY ? new_of_side(core, s, account, c, events, BID)
                                       : new_of_side(core, s, account, c, events, ASK);
}

/* What the parts of the book share: where an order lies, what it holds, and the ways in and out.
 *
 * An order at rest is in one place: in the book at its price, among the waiting stops at its stop price, or in the list of
 * the dormant. While it trades on its own it is in none (its slot stays taken), holds nothing, and `leaves` are all of
 * it.
 */
#ifndef FIX_VENUE_BOOK_H
#define FIX_VENUE_BOOK_H

#include "ladder.h"
#include "money.h"

/* Lowest and highest price that a command has traded at; high 0: it has not. */
struct trades {
    u64 low, high;
};

static inline u64 smaller_of(u64 a, u64 b) {
    return a < b ? a : b;
}

static inline u64 order_ord_type(const struct order *order) {
    return order->facts >> 8 & 0xff;
}
static inline u64 order_tif(const struct order *order) {
    return order->facts >> 16 & 0xff;
}
static inline u64 order_facts(const struct order *order) {
    return order->facts >> 32;
}

/* As its events show it: 0 of what has none. */
static inline u64 order_price(const struct order *order) {
    return order_facts(order) & FACT_UNPRICED ? 0 : order->price;
}

static inline u64 order_hidden(const struct core *core, const struct symbol *s, u64 slot) {
    return order_facts(&orders_of(core, s)[slot]) & FACT_COLD ? colds_of(core, s)[slot].hidden : 0;
}

static inline u64 is_stop(u64 ord_type) {
    return ord_type - ORD_STOP <= ORD_STOP_LIMIT - ORD_STOP;
}

/* Where an unpriced order stands. */
static inline u64 collar_end(const struct symbol *s, u64 side) {
    return side == BID ? s->max_ticks : s->min_ticks;
}

/* 1..QTY_LOTS_MAX, which is 2^40 - 1. */
static inline int qty_is_valid(u64 lots) {
    return lots != 0 && lots >> 40 == 0;
}

static inline int price_is_valid(const struct symbol *s, u64 price) {
    return price >= s->min_ticks && price <= s->max_ticks;
}

/* Whether a stop of this side is due at `price` (rule S2). */
static inline u64 stop_is_due(u64 side, u64 stop, u64 price) {
    return side == BID ? price >= stop : price <= stop;
}

/* A stop that comes in CONTINUOUS and is due at the last price does not wait. */
static inline u64 stop_is_due_now(const struct symbol *s, u64 side, u64 stop) {
    return s->phase == PHASE_CONTINUOUS && s->last_ticks != 0 && stop_is_due(side, stop, s->last_ticks);
}

HOT void slot_free(const struct core *core, struct symbol *s, struct account *account, u64 slot) {
    bitmap_set(slots_of(core, s), core->slot_words, slot);
    if (!BRANCH_IS_CHEAP || slot < s->slot_first) /* SLOT_NONE is the largest number */
        s->slot_first = smaller_of(slot, s->slot_first);
    s->order_count--;
    account->open_orders--;
}

/* The lowest free slot is free no more. Returns 1, so that it can be the last call of what makes one event. */
HOT u64 slot_use_first(const struct core *core, struct symbol *s, u64 slot) {
    return bitmap_drop_first(slots_of(core, s), slot, &s->slot_first) ? 1 : ladder_take_slot(core, s, slot);
}

/* The same of a free slot: the lowest but for an order whose match freed lower ones. */
HOT void slot_use(const struct core *core, struct symbol *s, u64 slot) {
    if (slot == s->slot_first)
        slot_use_first(core, s, slot);
    else
        ladder_take_slot(core, s, slot);
}

HOT void slot_take(const struct core *core, struct symbol *s, struct account *account, u64 slot) {
    s->order_count++;
    account->open_orders++;
    slot_use(core, s, slot);
}

/* Symbol and account of a command, or why not. */
HOT u64 parties(struct core *core, const struct command *c, struct symbol **s, struct account **account) {
    if (command_symbol(c) >= core->symbol_count)
        return REJECT_UNKNOWN_SYMBOL;
    *s = symbol_touch(core, command_symbol(c));
    if (*s == 0)
        return REASON_STOPPED;
    if (owner_account(c->owner) >= core->account_count)
        return REJECT_UNKNOWN_ACCOUNT;
    *account = account_touch(core, owner_account(c->owner));
    return *account == 0 ? REASON_STOPPED : REASON_NONE;
}

/* Slot of the command's target: live, with that very id, and of the command's account. */
HOT u64 target_slot(const struct core *core, const struct symbol *s, const struct command *c) {
    u64 slot = c->order_id & ORDER_SLOT_NONE;
    if (slot >= core->config.orders || bitmap_has(slots_of(core, s), slot))
        return SLOT_NONE;
    const struct order *order = &orders_of(core, s)[slot];
    if (order->id != c->order_id || owner_account(order->owner) != owner_account(c->owner))
        return SLOT_NONE;
    return slot;
}

/* ---- future.c ---- */

/* Lots of a position in a future that are long (below zero: short), seen from a side; open orders; the stage. */
static inline u64 lots_of_side(const struct position *p, u64 side) {
    return side == BID ? p->lots : -p->lots;
}
static inline u64 open_of_side(const struct position *p, u64 side) {
    return p->open >> (side * OPEN_BITS) & OPEN_MASK;
}
static inline u64 stage_of(const struct position *p) {
    return p->open >> STAGE_SHIFT;
}

/* An order in a future holds its fee, and unless it closes its initial margin (F4); price 0: nothing. */
u64 future_hold_of(const struct symbol *s, u64 price, u64 lots, u64 taker_bp, u64 facts);
void future_hold(const struct symbol *s, struct account *account, const struct order *order, u64 from, u64 to);
/* FACT_CLOSING, or 0, of an order of `lots` beside `others` lots of open orders of its side. */
u64 future_closing(const struct symbol *s, const struct account *account, u64 side, u64 others, u64 lots);
/* F5 and N8; `order` is the one that is replaced, or null. */
u64 future_terms_reason(struct core *core, const struct symbol *s, const struct account *account, u64 side, u64 *price,
                        u64 lots, const struct order *order, u64 flags);
/* F6: whether what does not close can be paid. */
u64 future_can_pay(const struct symbol *s, const struct account *account, u64 side, u64 price, u64 lots);
/* F7, F8: what a trade does to the position of the account that bought or sold. `owner` of its events. */
u64 future_trade(struct core *core, struct symbol *s, struct account *account, u64 owner, u64 side, u64 price, u64 lots,
                 u64 fee, struct output *out);

/* ---- place.c ---- */

/* What an order holds with so many leaves. */
HOT u64 order_needs(const struct symbol *s, const struct order *order, u64 leaves, u64 taker_bp) {
    if (order_facts(order) & FACT_FUTURE)
        return future_hold_of(s, order->price, leaves, taker_bp, order_facts(order));
    return hold_of(s, order_side(order), order->price, leaves, taker_bp);
}

/* Its hold becomes that of `to` leaves, from that of `from`; so do its account's open lots in a future. */
HOT void order_hold(const struct symbol *s, struct account *account, const struct order *order, u64 from, u64 to) {
    if (order_facts(order) & FACT_FUTURE) {
        future_hold(s, account, order, from, to);
        return;
    }
    u64 side = order_side(order);
    position_of(account, hold_asset(s, side))->hold +=
        hold_of(s, side, order->price, to, account->taker_bp) - hold_of(s, side, order->price, from, account->taker_bp);
}

/* Whether what an order would hold, that is in no place, is available. */
static inline u64 order_is_funded(const struct symbol *s, const struct account *account, const struct order *order) {
    u64 asset = order_facts(order) & FACT_FUTURE ? s->quote : hold_asset(s, order_side(order));
    return !exceeds(order_needs(s, order, order->leaves, account->taker_bp), free_of(position_of(account, asset)));
}

/* Whether a page is there for the place that its facts say. */
u64 order_has_room(const struct core *core, const struct symbol *s, u64 slot);
/* Puts an order that is in no place into the one that its facts say, behind the others, with its hold. */
u64 order_place(struct core *core, struct symbol *s, struct account *account, u64 slot);
/* The same into the book, of an order that has its hold already. */
void book_append(const struct core *core, struct symbol *s, u64 side, u64 slot);
/* Out of the list of the dormant, and in no place. */
void dormant_unlink(const struct core *core, struct symbol *s, u64 slot);
/* The same as order_place without a hold or a change of what it shows, for a restore. Returns a number that never falls in the walk. */
u64 order_restore_place(const struct core *core, struct symbol *s, u64 slot);
/* The inverse of order_place: out of its place, its hold given back, nothing hidden any more. */
u64 order_take_off(const struct core *core, struct symbol *s, struct account *account, u64 slot);
/* An order that is in no place is no more: its slot is free. */
u64 order_release(struct core *core, struct symbol *s, struct account *account, u64 slot);
/* An order at rest is no more, and the event says why. */
u64 order_remove(struct core *core, struct symbol *s, struct account *account, u64 slot, u64 kind, u64 reason,
                 struct output *out);
/* The event alone. */
void emit_gone(const struct core *core, const struct symbol *s, u64 slot, u64 kind, u64 reason, struct output *out);

/* ---- match.c ---- */

#define GROUP_NONE (~0ull) /* no account's self-match group */

struct aggressor {
    struct account *account;
    u64 side;
    u64 order_id;
    u64 owner;
    u64 leaves;
    u64 total;            /* OrderQty: what is filled and leaves, less what self-match prevention took off */
    u64 price;            /* as its events show it */
    u64 key_min, key_max; /* levels of the other side that it may trade with: within its price and the band */
    u64 key_price;        /* the worst within its price alone */
    u64 pays_as_goes;     /* a market buy has no hold: each fill is paid from what is available then */
    u64 group;            /* whom it may not meet, or GROUP_NONE */
    u64 smp_mode;
};

/* Fills in what follows from the rest: `facts` are those of its order, `limit` its price or 0 for a market order. */
void aggressor_start(const struct symbol *s, struct aggressor *a, u64 facts, u64 limit);
/* Trades until the aggressor is done or nothing is left that it may trade with. Returns why it may not go on, if it may
 * not: CANCEL_FUNDS, CANCEL_SELF_MATCH, CANCEL_VOLATILITY (and the symbol is in the call); or REASON_STOPPED. */
u64 match(struct core *core, struct symbol *s, struct aggressor *a, struct trades *trades, struct output *out);
/* The same in a wide symbol: `match` is for the others. */
u64 match_wide(struct core *core, struct symbol *s, struct aggressor *a, struct trades *trades, struct output *out);
/* The same in a future, wide or not, where a market order of either side pays as it goes. */
u64 match_future(struct core *core, struct symbol *s, struct aggressor *a, struct trades *trades, struct output *out);
/* Lots that it could trade at once, counted until `enough` (rule N13); SLOT_NONE when an account is missing. */
u64 match_lots(struct core *core, const struct symbol *s, const struct aggressor *a, u64 enough);

/* ---- trigger.c ---- */

/* An order in its slot and in no place enters the book: in CONTINUOUS it trades first, and rests if it may; in a call it
 * rests. `entry` is the NEW command, for what must be filled at once, or null. */
u64 order_enter(struct core *core, struct symbol *s, struct account *account, u64 slot, const struct command *entry,
                struct trades *trades, struct output *out);
/* A stop in no place is triggered (S4, S5). */
u64 order_trigger(struct core *core, struct symbol *s, struct account *account, u64 slot, struct trades *trades,
                  struct output *out);
/* After the aggressor's way: stops, and the band that follows from the new last price. */
HOT u64 after_trades(struct core *core, struct symbol *s, const struct trades *trades, struct output *out) {
    if (trades->high == 0)
        return REASON_NONE;
    if (s->waiting_count != 0)
        return trigger_run(core, s, trades->low, trades->high, out);
    if (s->dynamic_bp != 0)
        symbol_derive(s);
    return REASON_NONE;
}

/* ---- expiry.c ---- */

/* The account's orders (those whose owner agrees with `owner` in the bits of `mask`), of one side or both, are cancelled
 * in the order of the walk. Returns how many. */
u64 orders_cancel(struct core *core, struct symbol *s, struct account *account, u64 owner, u64 mask, u64 side,
                  u64 reason, struct output *out);

/* ---- check.c ---- */

/* In CONTINUOUS: best bid below best ask, nothing unpriced, no stop due. Elsewhere always true. */
u64 symbol_is_continuous(const struct core *core, const struct symbol *s);

/* ---- entry.c ---- */

/* N2, N3 but for the side. */
u64 order_form_reason(u64 ord_type, u64 tif, u64 flags);

/* Rule N8 for an order of `lots` that may use `released` of its own hold. `flags`: FLAG_POST_ONLY and FLAG_SLIDE; *price
 * may become the slid one; 0: a market order. */
u64 terms_reason(const struct symbol *s, const struct account *account, u64 side, u64 *price, u64 lots, u64 released,
                 u64 flags);
/* Its post-only part; the notional is within its bounds. */
u64 post_only_reason(const struct symbol *s, const struct account *account, u64 side, u64 *price, u64 lots, u64 flags);

#endif

/* Amounts: notional, fee, hold and the settlement of one fill.
 *
 * Bounds that every line here rests on: supply + sum of credit lines of an asset <= AMOUNT_MAX < 2^62 (DEPOSIT and
 * LIMIT keep it), balances sum to the supply and none is below minus its credit line; so a balance lies in
 * [-2^62, 2^62] and balance + credit <= AMOUNT_MAX. The notional of an accepted order with its fee is at most
 * AMOUNT_MAX, and a fill's notional is at most that of the resting order in it.
 *
 * With futures account 0 may fall below that: it pays what losers cannot. F2 keeps the value of all open lots of a future
 * below 2^52, and once account 0 is below -2^60 no more orders come in: what the orders and positions that are there can
 * still lose, ten times that value in each of at most 63 futures, is less than 2^62. So every balance stays above -2^62,
 * and every balance with its credit line (the supply, what account 0 lacks, and costs) below 2^63.
 */
#ifndef FIX_VENUE_MONEY_H
#define FIX_VENUE_MONEY_H

#include "core_internal.h"

typedef unsigned __int128 u128;

#define VENUE_LACKS_MAX (1ull << 60) /* what account 0 may lack before no more orders come in */

/* floor(amount * bp / 10000); bp <= 10000 < 2^14. Below 2^50 the product fits 64 bits; above, up to 2^63, it is split so
 * that nothing passes them. */
HOT u64 fee_of(u64 amount, u64 bp) {
    if (amount >> 50 == 0)
        return amount * bp / FEE_DENOMINATOR;
    return amount / FEE_DENOMINATOR * bp + amount % FEE_DENOMINATOR * bp / FEE_DENOMINATOR;
}

/* What the resting order pays on a fill: its maker fee, or below zero (two's complement) a rebate, which is part of the
 * aggressor's fee of that fill: so the venue never pays. */
HOT u64 maker_fee_of(u64 notional, u64 maker_bp, u64 taker_fee) {
    if ((int64_t)maker_bp >= 0)
        return fee_of(notional, maker_bp);
    u64 rebate = fee_of(notional, -maker_bp);
    return -(rebate < taker_fee ? rebate : taker_fee);
}

/* Of an accepted order or of a fill: bounded by AMOUNT_MAX. */
HOT u64 notional_of(const struct symbol *s, u64 price, u64 lots) {
    return price * lots * s->tick_value;
}

/* Notional with its fee, or SLOT_NONE above AMOUNT_MAX. price, lots < 2^40: their product fits 128 bits; once it is
 * below 2^62, times tick_value < 2^62 fits too. tick_value >= 1, so a product above the bound stays above it. */
static inline u64 cost_checked(const struct symbol *s, u64 price, u64 lots, u64 bp) {
    u128 product = (u128)price * lots;
    if (product > AMOUNT_MAX)
        return SLOT_NONE;
    product = (u128)(u64)product * s->tick_value;
    if (product > AMOUNT_MAX)
        return SLOT_NONE;
    u64 cost = (u64)product + fee_of((u64)product, bp); /* at most 2^63 */
    return cost > AMOUNT_MAX ? SLOT_NONE : cost;
}

/* The same for base units: lots < 2^40, lot_size < 2^62. */
static inline u64 base_checked(const struct symbol *s, u64 lots) {
    u128 product = (u128)lots * s->lot_size;
    return product > AMOUNT_MAX ? SLOT_NONE : (u64)product;
}

/* What an open order needs: a buy its notional and the highest fee on it, a sell its base units. */
HOT u64 hold_of(const struct symbol *s, u64 side, u64 price, u64 leaves, u64 taker_bp) {
    if (BRANCH_IS_CHEAP && side == ASK)
        return leaves * s->lot_size;
    u64 notional = notional_of(s, price, leaves), cost = notional + fee_of(notional, taker_bp);
    return BRANCH_IS_CHEAP ? cost : of_side(side, cost, leaves * s->lot_size);
}

HOT u64 hold_asset(const struct symbol *s, u64 side) {
    return of_side(side, s->quote, s->base);
}

/* balance + credit - hold; between commands below zero (two's complement) for account 0 alone. */
HOT u64 available_of(const struct position *p) {
    return p->balance + p->credit - p->hold;
}

/* The same, and 0 where it is below zero. */
static inline u64 free_of(const struct position *p) {
    u64 available = available_of(p);
    return (int64_t)available < 0 ? 0 : available;
}

/* Whether an amount (below 2^63) is more than what is available. */
HOT int exceeds(u64 amount, u64 available) {
    return (int64_t)amount > (int64_t)available;
}

#endif

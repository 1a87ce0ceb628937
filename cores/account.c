/* Accounts and money from outside: creation, fees and freezing, credit lines, deposits and withdrawals.
 *
 * The supply of an asset is what was deposited less what was withdrawn, and always the sum of all balances. */
#include "money.h"

struct account *account_create(struct core *core, u64 number) {
    u64 index = core->accounts_held;
    if (index == core->account_regions)
        return 0;
    core->accounts_held++;
    struct account *account = account_region(core, index);
    if (core->partial)
        directory_add(core, core->account_directory_offset, core->account_mask, number, account);
    account->number = number;
    account->touched = 0;
    account->flags = 0;
    account->maker_bp = 0;
    account->taker_bp = 0;
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        struct position *p = position_of(account, asset);
        p->balance = 0;
        p->hold = 0;
        p->credit = 0;
    }
    return account;
}

u64 fees_are_valid(u64 maker_bp, u64 taker_bp) {
    return maker_bp <= taker_bp && taker_bp <= FEE_BP_MAX;
}

static u64 has_hold(const struct core *core, const struct account *account) {
    u64 any = 0;
    for (u64 asset = 0; asset < core->config.assets; asset++)
        any |= position_of(account, asset)->hold;
    return any;
}

/* Fees may not change under open orders: their holds were taken at the old fee. */
u64 account_set(struct core *core, const struct command *c, struct output *out) {
    u64 number = owner_account(c->owner), maker_bp = c->aux & 0xffffffff, taker_bp = c->aux >> 32;
    if (number > core->account_count || number >= core->config.accounts)
        return REJECT_BAD_ACCOUNT;
    if (command_flags(c) > FLAG_ACCOUNT_FROZEN)
        return REJECT_BAD_FLAGS;
    if (!fees_are_valid(maker_bp, taker_bp))
        return REJECT_BAD_ACCOUNT;
    struct account *account = number < core->account_count ? account_peek(core, number) : account_create(core, number);
    if (account == 0) {
        core->status = CORE_MISSING;
        return REASON_STOPPED;
    }
    account->touched = 1;
    if ((account->maker_bp != maker_bp || account->taker_bp != taker_bp) && has_hold(core, account))
        return REJECT_BAD_ACCOUNT;
    if (number == core->account_count)
        core->account_count++;
    account->flags = command_flags(c);
    account->maker_bp = maker_bp;
    account->taker_bp = taker_bp;
    emit(out, answer_head(c, EVENT_ACCOUNT_SET, 0), c->owner, 0, 0, 0, 0, c->aux);
    return REASON_NONE;
}

/* The position of a command's (account, asset), or why not. */
static u64 position_named(struct core *core, const struct command *c, struct position **p) {
    if (owner_account(c->owner) >= core->account_count)
        return REJECT_UNKNOWN_ACCOUNT;
    if (owner_asset(c->owner) >= core->config.assets)
        return REJECT_BAD_ASSET;
    struct account *account = account_touch(core, owner_account(c->owner));
    if (account == 0)
        return REASON_STOPPED;
    *p = position_of(account, owner_asset(c->owner));
    return REASON_NONE;
}

u64 account_limit(struct core *core, const struct command *c, struct output *out) {
    struct position *p;
    u64 reason = position_named(core, c, &p);
    if (reason != REASON_NONE)
        return reason;
    u64 *supply = supply_of(core, owner_asset(c->owner)), amount = c->qty_lots;
    if (amount > AMOUNT_MAX || supply[0] + supply[1] - p->credit + amount > AMOUNT_MAX)
        return REJECT_BAD_AMOUNT;
    if ((int64_t)(p->balance + amount - p->hold) < 0) /* balance + amount <= AMOUNT_MAX, hold <= AMOUNT_MAX */
        return REJECT_BAD_AMOUNT;
    supply[1] += amount - p->credit;
    p->credit = amount;
    emit(out, answer_head(c, EVENT_LIMIT_SET, 0), c->owner, 0, 0, amount, 0, 0);
    return REASON_NONE;
}

u64 account_deposit(struct core *core, const struct command *c, struct output *out) {
    struct position *p;
    u64 reason = position_named(core, c, &p);
    if (reason != REASON_NONE)
        return reason;
    u64 *supply = supply_of(core, owner_asset(c->owner)), amount = c->qty_lots;
    if (amount - 1 >= AMOUNT_MAX || supply[0] + supply[1] + amount > AMOUNT_MAX)
        return REJECT_BAD_AMOUNT;
    supply[0] += amount;
    p->balance += amount;
    emit(out, answer_head(c, EVENT_DEPOSITED, 0), c->owner, 0, 0, amount, p->balance, 0);
    return REASON_NONE;
}

/* Own money only: never out of a credit line, and never more than there is in the venue. */
u64 account_withdraw(struct core *core, const struct command *c, struct output *out) {
    struct position *p;
    u64 reason = position_named(core, c, &p);
    if (reason != REASON_NONE)
        return reason;
    u64 *supply = supply_of(core, owner_asset(c->owner)), amount = c->qty_lots;
    if (amount - 1 >= AMOUNT_MAX)
        return REJECT_BAD_AMOUNT;
    if (c->aux >> 32)
        return REJECT_BAD_FLAGS; /* an address has 20 bytes */
    if ((int64_t)p->balance < (int64_t)amount || amount > available_of(p) || amount > supply[0])
        return REJECT_INSUFFICIENT_FUNDS;
    supply[0] -= amount;
    p->balance -= amount;
    emit(out, answer_head(c, EVENT_WITHDRAWN, 0), c->owner, c->order_id, c->price_ticks, amount, p->balance, c->aux);
    return REASON_NONE;
}

/* Accounts and money from outside: creation, fees, member, self-match group and freezing, deposits and withdrawals.
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
    account->member = number;
    account->smp_group = 0;
    account->smp_mode = SMP_NONE;
    account->guarded = 0;
    account->gross_count = 0;
    account->open_orders = 0;
    account->open_orders_max = 0;
    account->messages_max = 0;
    account->messages = 0;
    account->messages_start_ns = 0;
    account->restricted = 0;
    account->duplicate_ns = 0;
    account->last_time_ns = 0;
    account->last_price = 0;
    account->last_qty = 0;
    account->last_symbol_side = 0;
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        struct position *p = position_of(account, asset);
        p->balance = 0;
        p->hold = 0;
        p->credit = 0;
        p->gross_max = 0;
    }
    return account;
}

u64 account_guards(const struct account *account) {
    return account->flags | account->gross_count | account->open_orders_max | account->messages_max |
           account->restricted | account->duplicate_ns | (account->member ^ account->number);
}

void account_derive(struct account *account) {
    account->guarded = account_guards(account);
}

u64 fees_are_valid(u64 maker_bp, u64 taker_bp) {
    return taker_bp <= FEE_BP_MAX && (int64_t)maker_bp <= (int64_t)taker_bp &&
           (int64_t)maker_bp >= -(int64_t)FEE_BP_MAX;
}

static u64 has_hold(const struct core *core, const struct account *account) {
    u64 any = 0;
    for (u64 asset = 0; asset < core->config.assets; asset++) {
        const struct position *p = position_of(account, asset);
        any |= is_contract(core, asset) ? p->open << (64 - STAGE_SHIFT) : p->hold; /* open lots, whatever they hold */
    }
    return any;
}

/* The rules on the fields alone. A member is any account that exists, or this very one. */
static u64 account_form_reason(const struct core *core, const struct command *c, u64 number, u64 maker_bp) {
    if (number > core->account_count || number >= core->config.accounts)
        return REJECT_BAD_ACCOUNT;
    if (command_flags(c) > FLAG_ACCOUNT_FROZEN)
        return REJECT_BAD_FLAGS;
    if (!fees_are_valid(maker_bp, c->aux >> 32) || c->price_ticks > SMP_DECREMENT || c->order_id >> 32 != 0)
        return REJECT_BAD_ACCOUNT;
    if (c->qty_lots >= core->account_count && c->qty_lots != number)
        return REJECT_BAD_ACCOUNT;
    return REASON_NONE;
}

/* Fees may not change under open orders: their holds were taken at the old fee. */
u64 account_set(struct core *core, const struct command *c, struct output *out) {
    u64 number = owner_account(c->owner), maker_bp = (u64)(int64_t)(int32_t)(uint32_t)c->aux, taker_bp = c->aux >> 32;
    u64 reason = account_form_reason(core, c, number, maker_bp);
    if (reason != REASON_NONE)
        return reason;
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
    account->flags = command_flags(c) | (account->flags & ACCOUNT_KILLED);
    account->maker_bp = maker_bp;
    account->taker_bp = taker_bp;
    account->member = c->qty_lots != 0 ? c->qty_lots : number;
    account->smp_group = c->order_id;
    account->smp_mode = c->price_ticks;
    account_derive(account);
    emit(out, answer_head(c, EVENT_ACCOUNT_SET, 0), c->owner, 0, 0, 0, 0, c->aux);
    return REASON_NONE;
}

u64 account_position(struct core *core, const struct command *c, struct account **account, struct position **p) {
    if (owner_account(c->owner) >= core->account_count)
        return REJECT_UNKNOWN_ACCOUNT;
    if (owner_asset(c->owner) >= core->config.assets || is_contract(core, owner_asset(c->owner)))
        return REJECT_BAD_ASSET;
    *account = account_touch(core, owner_account(c->owner));
    if (*account == 0)
        return REASON_STOPPED;
    *p = position_of(*account, owner_asset(c->owner));
    return REASON_NONE;
}

u64 account_deposit(struct core *core, const struct command *c, struct output *out) {
    struct account *account;
    struct position *p;
    u64 reason = account_position(core, c, &account, &p);
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
    struct account *account;
    struct position *p;
    u64 reason = account_position(core, c, &account, &p);
    if (reason != REASON_NONE)
        return reason;
    u64 *supply = supply_of(core, owner_asset(c->owner)), amount = c->qty_lots;
    if (amount - 1 >= AMOUNT_MAX)
        return REJECT_BAD_AMOUNT;
    if (c->aux >> 32)
        return REJECT_BAD_FLAGS; /* an address has 20 bytes */
    if ((int64_t)p->balance < (int64_t)amount || exceeds(amount, available_of(p)) || amount > supply[0])
        return REJECT_INSUFFICIENT_FUNDS;
    supply[0] -= amount;
    p->balance -= amount;
    emit(out, answer_head(c, EVENT_WITHDRAWN, 0), c->owner, c->order_id, c->price_ticks, amount, p->balance, c->aux);
    return REASON_NONE;
}

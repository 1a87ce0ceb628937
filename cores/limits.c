/* Limits: what LIMIT sets, and the rules on a NEW or REPLACE that come from it (N1, N7, R1, R4).
 *
 * Every limit is 0 when it is not set. Messages are counted at the member's account while that has a limit on them; the
 * last order of an account is remembered while it has a window for duplicates.
 */
#include "money.h"

/* ---- the rules on orders ---- */

/* Place of a session among the killed ones, ascending: the first that is not below it. */
static u64 killed_place(const struct core *core, u64 session) {
    u64 low = 0, high = core->killed_count;
    while (low < high) { /* halves: at most nine rounds */
        u64 middle = (low + high) >> 1;
        if (core->killed[middle] < session)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static u64 session_is_killed(const struct core *core, u64 session) {
    u64 place = killed_place(core, session);
    return place < core->killed_count && core->killed[place] == session;
}

/* The account that carries the member's limits; where it is another one, limits_killed has found it before. */
static struct account *member_of(const struct core *core, struct account *account) {
    struct account *member = account->member == account->number ? account : account_peek(core, account->member);
    if (member == 0)
        __builtin_unreachable();
    return member;
}

u64 limits_killed(struct core *core, const struct account *account, u64 session) {
    if (session_is_killed(core, session & 0xffff))
        return REJECT_KILLED;
    const struct account *member = account;
    if (account->member != account->number) {
        member = account_touch(core, account->member);
        if (member == 0)
            return REASON_STOPPED;
    }
    return member->flags & ACCOUNT_KILLED ? REJECT_KILLED : REASON_NONE;
}

static u64 size_reason(const struct symbol *s, u64 qty, u64 price_ticks, u64 lots) {
    if (s->order_qty_max != 0 && qty > s->order_qty_max)
        return REJECT_ORDER_TOO_LARGE;
    /* above AMOUNT_MAX cost_checked says SLOT_NONE, which is above every limit */
    if (s->order_value_max != 0 && price_ticks != 0 && cost_checked(s, price_ticks, lots, 0) > s->order_value_max)
        return REJECT_VALUE_TOO_LARGE;
    return REASON_NONE;
}

static u64 is_restricted(const struct symbol *s, const struct account *account) {
    return account->restricted >> s->base & 1; /* base < 64 */
}

/* Time never goes backwards, so no difference to an earlier time wraps. */
static u64 second_is_over(const struct account *member, u64 time_ns) {
    return time_ns - member->messages_start_ns >= MESSAGES_SECOND_NS;
}

static u64 throttle_reason(const struct core *core, struct account *account, u64 time_ns) {
    const struct account *member = member_of(core, account);
    if (member->messages_max == 0 || second_is_over(member, time_ns) || member->messages < member->messages_max)
        return REASON_NONE;
    return REJECT_THROTTLED;
}

static u64 symbol_and_side(const struct command *c) {
    return command_symbol(c) | command_side(c) << 16;
}

static u64 is_duplicate(const struct account *account, const struct command *c) {
    return account->duplicate_ns != 0 && account->last_qty == c->qty_lots && account->last_price == c->price_ticks &&
           account->last_symbol_side == symbol_and_side(c) &&
           c->time_ns - account->last_time_ns < account->duplicate_ns;
}

u64 limits_new_reason(const struct core *core, const struct symbol *s, struct account *account, const struct command *c,
                      u64 price_ticks) {
    u64 reason = size_reason(s, c->qty_lots, price_ticks, c->qty_lots);
    if (reason != REASON_NONE)
        return reason;
    if (is_restricted(s, account))
        return REJECT_RESTRICTED;
    if (account->open_orders_max != 0 && account->open_orders >= account->open_orders_max)
        return REJECT_OPEN_ORDERS;
    reason = throttle_reason(core, account, c->time_ns);
    if (reason != REASON_NONE)
        return reason;
    return is_duplicate(account, c) ? REJECT_DUPLICATE : REASON_NONE;
}

u64 limits_replace_reason(const struct core *core, const struct symbol *s, struct account *account,
                          const struct command *c, u64 price_ticks, u64 leaves) {
    u64 reason = size_reason(s, c->qty_lots, price_ticks, leaves);
    if (reason != REASON_NONE)
        return reason;
    return is_restricted(s, account) ? REJECT_RESTRICTED : throttle_reason(core, account, c->time_ns);
}

void limits_count(const struct core *core, struct account *account, const struct command *c, u64 remember) {
    struct account *member = member_of(core, account);
    if (member->messages_max != 0) {
        if (second_is_over(member, c->time_ns)) {
            member->messages_start_ns = c->time_ns;
            member->messages = 0;
        }
        member->messages++;
    }
    if (remember && account->duplicate_ns != 0) {
        account->last_time_ns = c->time_ns;
        account->last_price = c->price_ticks;
        account->last_qty = c->qty_lots;
        account->last_symbol_side = symbol_and_side(c);
    }
}

/* ---- LIMIT ---- */

/* A credit line is part of what the venue may owe, and may not fall below what is drawn or held on it. */
static u64 credit_set(struct core *core, const struct command *c) {
    struct account *account;
    struct position *p;
    u64 reason = account_position(core, c, &account, &p);
    if (reason != REASON_NONE)
        return reason;
    u64 *supply = supply_of(core, owner_asset(c->owner)), amount = c->qty_lots;
    if (amount > AMOUNT_MAX || supply[0] + supply[1] - p->credit + amount > AMOUNT_MAX)
        return REJECT_BAD_AMOUNT;
    if ((int64_t)(p->balance + amount - p->hold) < 0) /* balance + amount is below 2^63, hold <= AMOUNT_MAX */
        return REJECT_BAD_AMOUNT;
    supply[1] += amount - p->credit;
    p->credit = amount;
    return REASON_NONE;
}

static u64 gross_set(struct core *core, const struct command *c) {
    struct account *account;
    struct position *p;
    u64 reason = account_position(core, c, &account, &p);
    if (reason != REASON_NONE)
        return reason;
    if (c->qty_lots > AMOUNT_MAX)
        return REJECT_BAD_AMOUNT;
    if (*asset_use_of(core, owner_asset(c->owner)) == ASSET_UNUSED)
        *asset_use_of(core, owner_asset(c->owner)) = ASSET_CASH; /* a contract has another word there */
    account->gross_count += (u64)(c->qty_lots != 0) - (u64)(p->gross_max != 0);
    p->gross_max = c->qty_lots;
    account_derive(account);
    return REASON_NONE;
}

static void messages_set(struct account *account, u64 amount) {
    account->messages_max = amount;
    account->messages = 0;
    account->messages_start_ns = 0;
}

static void duplicate_set(struct account *account, u64 amount) {
    account->duplicate_ns = amount;
    if (amount != 0)
        return;
    account->last_time_ns = 0;
    account->last_price = 0;
    account->last_qty = 0;
    account->last_symbol_side = 0;
}

/* OPEN_ORDERS, MESSAGES, DUPLICATE_NS, RESTRICTED and KILL_MEMBER. */
static u64 account_limit_set(struct core *core, const struct command *c, u64 kind) {
    u64 amount = c->qty_lots, max = QTY_LOTS_MAX;
    if (kind == LIMIT_DUPLICATE_NS)
        max = AMOUNT_MAX;
    else if (kind == LIMIT_RESTRICTED)
        max = ~0ull;
    else if (kind == LIMIT_KILL_MEMBER)
        max = 1;
    if (owner_account(c->owner) >= core->account_count)
        return REJECT_UNKNOWN_ACCOUNT;
    struct account *account = account_touch(core, owner_account(c->owner));
    if (account == 0)
        return REASON_STOPPED;
    if (amount > max)
        return REJECT_BAD_AMOUNT;
    if (kind == LIMIT_OPEN_ORDERS)
        account->open_orders_max = amount;
    else if (kind == LIMIT_MESSAGES)
        messages_set(account, amount);
    else if (kind == LIMIT_DUPLICATE_NS)
        duplicate_set(account, amount);
    else if (kind == LIMIT_RESTRICTED)
        account->restricted = amount;
    else
        account->flags = (account->flags & FLAG_ACCOUNT_FROZEN) | (amount != 0 ? ACCOUNT_KILLED : 0);
    account_derive(account);
    return REASON_NONE;
}

/* ORDER_QTY, ORDER_VALUE and COLLAR. */
static u64 symbol_limit_set(struct core *core, const struct command *c, u64 kind) {
    u64 amount = c->qty_lots;
    if (command_symbol(c) >= core->symbol_count)
        return REJECT_UNKNOWN_SYMBOL;
    struct symbol *s = symbol_touch(core, command_symbol(c));
    if (s == 0)
        return REASON_STOPPED;
    if (kind == LIMIT_ORDER_QTY) {
        if (amount > QTY_LOTS_MAX)
            return REJECT_BAD_AMOUNT;
        s->order_qty_max = amount;
    } else if (kind == LIMIT_ORDER_VALUE) {
        if (amount > AMOUNT_MAX)
            return REJECT_BAD_AMOUNT;
        s->order_value_max = amount;
    } else {
        if (amount > COLLAR_BP_MAX || c->aux > COLLAR_BP_MAX)
            return REJECT_BAD_AMOUNT;
        s->dynamic_bp = amount;
        s->static_bp = c->aux;
    }
    symbol_derive(s);
    return REASON_NONE;
}

/* MARGIN, POSITION, and what is no limit. Holds were taken at the initial margin, so that may not change under orders. */
STAGE u64 future_limit_set(struct core *core, const struct command *c, u64 kind) {
    u64 amount = c->qty_lots, maintenance_bp = c->aux;
    if (kind > LIMIT_POSITION)
        return REJECT_UNSUPPORTED;
    if (command_symbol(c) >= core->symbol_count)
        return REJECT_UNKNOWN_SYMBOL;
    struct symbol *s = symbol_touch(core, command_symbol(c));
    if (s == 0)
        return REASON_STOPPED;
    if (!s->is_future)
        return REJECT_BAD_INSTRUMENT;
    if (kind == LIMIT_POSITION) {
        if (amount > QTY_LOTS_MAX)
            return REJECT_BAD_AMOUNT;
        s->position_max = amount;
        return REASON_NONE;
    }
    if (amount > MARGIN_BP_MAX || maintenance_bp == 0 || maintenance_bp > amount)
        return REJECT_BAD_AMOUNT;
    if (amount != s->initial_bp && s->order_count != 0)
        return REJECT_BOOK_NOT_EMPTY;
    s->initial_bp = amount;
    s->maintenance_bp = maintenance_bp;
    return REASON_NONE;
}

/* Killing what is killed and re-arming what is armed change nothing. */
static u64 kill_session(struct core *core, const struct command *c) {
    u64 session = c->owner >> 32 & 0xffff, place = killed_place(core, session),
        killed = session_is_killed(core, session);
    if (c->qty_lots > 1)
        return REJECT_BAD_AMOUNT;
    if (c->qty_lots == killed)
        return REASON_NONE;
    if (killed) {
        core->killed_count--;
        for (u64 i = place; i < core->killed_count; i++)
            core->killed[i] = core->killed[i + 1];
        return REASON_NONE;
    }
    if (core->killed_count == KILLED_SESSIONS_MAX)
        return REJECT_BAD_AMOUNT;
    for (u64 i = core->killed_count; i > place; i--)
        core->killed[i] = core->killed[i - 1];
    core->killed[place] = session;
    core->killed_count++;
    return REASON_NONE;
}

static u64 limit_apply(struct core *core, const struct command *c, u64 kind) {
    switch (kind) {
    case LIMIT_CREDIT:
        return credit_set(core, c);
    case LIMIT_GROSS:
        return gross_set(core, c);
    case LIMIT_ORDER_QTY:
    case LIMIT_ORDER_VALUE:
    case LIMIT_COLLAR:
        return symbol_limit_set(core, c, kind);
    case LIMIT_KILL_SESSION:
        return kill_session(core, c);
    default:
        return account_limit_set(core, c, kind);
    }
}

u64 limit_set(struct core *core, const struct command *c, struct output *out) {
    u64 kind = command_ord_type(c);
    u64 reason = kind <= LIMIT_KILL_MEMBER ? limit_apply(core, c, kind) : future_limit_set(core, c, kind);
    if (reason != REASON_NONE)
        return reason;
    emit(out, EVENT_LIMIT_SET | command_side(c) << 16 | kind << 24 | command_symbol(c) << 48, c->owner, 0, 0,
         c->qty_lots, 0, c->aux);
    return REASON_NONE;
}

/* How the core lays its state out in the caller's arena. Private to cores/: others use core.h.
 *
 *  struct core | supplies | directories | account regions | symbol regions
 *  account region: struct account, then one struct position an asset, then one word an asset
 *  symbol region:  struct symbol, level bitmaps (bids, asks, stop buys, stop sells), pages (the same four), bitmap of
 *                  free slots, levels (the same four), orders, cold orders
 *
 * Levels and orders are written before they are read, so creating a symbol costs its bitmaps only. In a whole core the
 * region's index is the number of the symbol or account. A partial core (the guest's) has regions for some of them
 * only and finds them through a small hash directory.
 */
#ifndef FIX_VENUE_CORE_INTERNAL_H
#define FIX_VENUE_CORE_INTERNAL_H

#include "bitmap.h"
#include "core.h"

#define SLOT_NONE (~0ull)
#define LEVEL_NONE BITMAP_NONE
#define REASON_STOPPED 256u                    /* beside enum reason: something is missing, see core->status */
#define OWNER_ORDER_MASK 0x0000ffffffffffffull /* account and session; an order has no asset of its own */
#define SUPPLY_WORDS 4u                        /* supply, sum of the credit lines, use (enum asset_use), spare */
#define FEE_DENOMINATOR 10000u
#define MESSAGES_SECOND_NS 1000000000u
#define ACCOUNT_KILLED 2u /* beside FLAG_ACCOUNT_FROZEN in an account's flags: LIMIT_KILL_MEMBER */
#define OPEN_BITS 31u     /* of the lots of open buys, then as many of open sells, then the stage of a position */
#define OPEN_MASK POSITION_LOTS_MAX
#define STAGE_SHIFT (2 * OPEN_BITS)

/* In a zkVM every instruction is proved, and saving registers is a good part of a small function. HOT code is inlined
 * into its few callers; a STAGE is never inlined and called last, so that neither it nor its caller saves registers. */
#define HOT static inline __attribute__((always_inline))
#define STAGE static __attribute__((noinline))

enum { BID = 0, ASK = 1 }; /* index of a side: enum side less one */

/* A zkVM runs what a branch leaves out for nothing, so there it saves. A processor guesses, and a wrong guess costs it
 * some sixty instructions: a book's side is a coin's toss, which it gets wrong every other time. */
#ifdef VENUE_GUEST
#define BRANCH_IS_CHEAP 1
#else
#define BRANCH_IS_CHEAP 0
#endif

/* One of two words by a side, BID or ASK. */
HOT u64 of_side(u64 side, u64 bid, u64 ask) {
    if (BRANCH_IS_CHEAP)
        return side == BID ? bid : ask;
    return bid ^ ((bid ^ ask) & -side);
}

enum {
    STOP_BUY = 2,
    STOP_SELL = 3,
    LADDERS = 4
}; /* ladders of a symbol beside BID and ASK: waiting stops by stop price */

enum restoring { RESTORE_NONE = 0, RESTORE_CONFIG_DONE = 1, RESTORE_FAILED = 2 };

struct core {
    struct core_config config;
    u64 status;
    u64 last_seq;
    u64 last_time_ns;
    u64 symbol_count; /* that exist; a partial core holds some of them */
    u64 account_count;
    u64 symbols_held; /* regions in use */
    u64 accounts_held;
    u64 symbol_regions; /* regions in the arena */
    u64 account_regions;
    u64 partial;
    u64 restoring; /* enum restoring */
    u64 symbol_mask; /* directory entries less one, partial core only */
    u64 account_mask;
    u64 level_words; /* lowest words of the bitmaps */
    u64 slot_words;
    u64 page_mask; /* pages of a ladder less one */
    /* bytes from the start of the arena */
    u64 supply_offset, symbol_directory_offset, account_directory_offset, accounts_offset, symbols_offset;
    u64 account_stride, symbol_stride;
    /* bytes from the start of a symbol region */
    u64 ladder_offset[LADDERS], pages_offset[LADDERS], slots_offset, levels_offset[LADDERS], orders_offset,
        colds_offset;
    u64 killed_count;
    u64 killed[KILLED_SESSIONS_MAX]; /* ascending */
};

struct position { /* of one account in one asset */
    union {
        struct {         /* cash */
            u64 balance; /* two's complement: negative while credit is drawn */
            u64 hold;
            u64 credit;
            u64 gross_max; /* 0: none */
        };
        struct {            /* the contract of a future */
            u64 lots;       /* two's complement: below zero short */
            u64 open;       /* lots of open buys, of open sells and the stage: OPEN_BITS */
            u64 cost;       /* two's complement, the sign of `lots` */
            u64 collateral; /* quote units */
        };
    };
};

struct account { /* what every order asks for comes first, in one cache line */
    u64 number;
    u64 touched;
    u64 guarded; /* derived: not 0 when NEW and REPLACE must go by all the rules: flags, limits, or another's member */
    u64 taker_bp;
    u64 maker_bp; /* two's complement: below zero a rebate */
    u64 smp_group;
    u64 open_orders;
    u64 smp_mode;
    u64 flags;
    u64 member; /* number of the account with the member's limits, often its own */
    u64 gross_count; /* derived: positions with a gross limit */
    u64 open_orders_max;
    u64 messages_max;
    u64 messages;
    u64 messages_start_ns;
    u64 restricted;
    u64 duplicate_ns;
    u64 last_time_ns, last_price, last_qty, last_symbol_side; /* the last accepted order, while duplicate_ns is set */
    u64 needed_orders; /* scratch of core_check */
    u64 spare[2];
};

struct symbol {
    u64 number;
    u64 touched;
    u64 base;
    u64 quote;
    u64 lot_size;
    u64 tick_value;
    u64 min_ticks;
    u64 max_ticks;
    u64 order_count; /* open orders: in the book, waiting and dormant */
    u64 cold_count; /* of them with FACT_COLD */
    u64 waiting_count; /* of them waiting stops */
    u64 best[LADDERS]; /* key of the best level of a ladder, or LEVEL_NONE */
    u64 dormant_head, dormant_tail;
    u64 slot_first; /* lowest free slot, or SLOT_NONE */
    u64 lots_safe; /* up to so many lots no amount of an order can pass AMOUNT_MAX, whatever its price and fee */
    u64 lots_plain; /* up to so many an order may take the short way: lots_safe and the symbol's limits; 0 out of CONTINUOUS */
    u64 phase;
    u64 last_ticks; /* 0: no trade yet */
    u64 reference_ticks; /* 0: none yet */
    u64 dynamic_bp;
    u64 static_bp;
    u64 order_qty_max;
    u64 order_value_max;
    u64 band_low, band_high; /* derived: ticks between which trading goes on; the window when no collar binds */
    u64 expiry_next; /* derived: not after the first expiry of a GTD order, ~0 without one */
    u64 is_future; /* the rest is 0 in other instruments */
    u64 mark_ticks; /* 0: none yet */
    u64 initial_bp;
    u64 maintenance_bp;
    u64 position_max; /* as set: 0 is none */
    u64 open_interest;
    u64 bound; /* derived: most lots an account may be long or short */
    u64 is_wide; /* derived: the window has more ticks than there are levels, and its ladders are paged (pages.c) */
    u64 page_first[LADDERS], page_count[LADDERS]; /* of a wide symbol: its pages in use */
};

struct level {
    u64 head;
    u64 tail;
    u64 lots; /* sum of what the orders show */
    u64 hidden; /* sum of what they hide */
};

struct order {
    u64 id;
    u64 leaves; /* shown; all leaves are this and cold.hidden */
    u64 price;
    u64 cum;
    u64 owner;
    u64 facts; /* side | ord_type << 8 | tif << 16 | flags << 24 | enum fact << 32 */
    u64 prev;
    u64 next;
};

struct cold { /* beside the order of the same slot, meaningful with FACT_COLD only */
    u64 hidden;
    u64 display; /* 0: no iceberg */
    u64 stop; /* stop price of a STOP or STOP_LIMIT, also after it was triggered */
    u64 expiry_ns;
    u64 spare[4];
};
_Static_assert(sizeof(struct order) == 64, "a hot order is one cache line");
_Static_assert(sizeof(struct account) == 192, "whole cache lines, so that positions begin with one");
_Static_assert(sizeof(struct position) == 32, "two positions a cache line");
_Static_assert(sizeof(struct level) == 32, "two levels a cache line");
_Static_assert(sizeof(struct cold) == 64, "a cold order is one cache line");

/* Where the next event goes, and its number. */
struct output {
    struct event *at;
    u64 exec_id;
};

HOT struct output output_of(const struct command *c, struct event *events) {
    return (struct output){.at = events, .exec_id = c->seq << 24};
}

HOT void event_write(struct event *event, u64 exec_id, u64 head, u64 owner, u64 order_id, u64 price, u64 qty,
                     u64 leaves, u64 aux) {
    event->head = head;
    event->exec_id = exec_id;
    event->owner = owner;
    event->order_id = order_id;
    event->price_ticks = price;
    event->qty_lots = qty;
    event->leaves_lots = leaves;
    event->aux = aux;
}

HOT void emit(struct output *out, u64 head, u64 owner, u64 order_id, u64 price, u64 qty, u64 leaves, u64 aux) {
    struct event *event = out->at;
    u64 exec_id = out->exec_id;
    out->at = event + 1;
    out->exec_id = exec_id + 1;
    event_write(event, exec_id, head, owner, order_id, price, qty, leaves, aux);
}

/* ---- fields of a command ---- */

static inline u64 command_kind_of(const struct command *c) {
    return c->head & 0xff;
}
static inline u64 command_side(const struct command *c) {
    return c->head >> 8 & 0xff;
}
static inline u64 command_ord_type(const struct command *c) {
    return c->head >> 16 & 0xff;
}
static inline u64 command_tif(const struct command *c) {
    return c->head >> 24 & 0xff;
}
static inline u64 command_flags(const struct command *c) {
    return c->head >> 32 & 0xff;
}
static inline u64 command_precheck(const struct command *c) {
    return c->head >> 40 & 0xff;
}
static inline u64 command_symbol(const struct command *c) {
    return c->head >> 48;
}
static inline u64 owner_account(u64 owner) {
    return owner & 0xffffffff;
}
static inline u64 owner_asset(u64 owner) {
    return owner >> 48;
}

/* Head of an event that answers the command itself: side, flags and symbol are the command's. */
static inline u64 answer_head(const struct command *c, u64 kind, u64 reason) {
    return kind | reason << 8 | command_side(c) << 16 | command_flags(c) << 24 | command_symbol(c) << 48;
}

static inline u64 order_head(const struct symbol *s, u64 kind, u64 reason, u64 side, u64 flags) {
    return kind | reason << 8 | side << 16 | flags << 24 | s->number << 48;
}

/* ---- regions ---- */

HOT void *at(const void *base, u64 offset) {
    return (char *)(uintptr_t)base + offset;
}
static inline u64 *supply_of(const struct core *core, u64 asset) {
    return (u64 *)at(core, core->supply_offset) + asset * SUPPLY_WORDS;
}
/* Of an enum asset_use; of a contract ASSET_CONTRACT and the number of its future. */
static inline u64 *asset_use_of(const struct core *core, u64 asset) {
    return supply_of(core, asset) + 2;
}
static inline u64 is_contract(const struct core *core, u64 asset) {
    return *asset_use_of(core, asset) >= ASSET_CONTRACT;
}
static inline struct symbol *symbol_region(const struct core *core, u64 index) {
    return at(core, core->symbols_offset + index * core->symbol_stride);
}
static inline struct account *account_region(const struct core *core, u64 index) {
    return at(core, core->accounts_offset + index * core->account_stride);
}
static inline struct position *position_of(const struct account *account, u64 asset) {
    return (struct position *)at(account, sizeof(struct account)) + asset;
}
static inline u64 has_gross_limit(const struct core *core, const struct account *account, u64 asset) {
    return !is_contract(core, asset) && position_of(account, asset)->gross_max != 0;
}
/* Scratch of core_check, behind the positions: what the open orders need of an asset. */
static inline u64 *needed_of(const struct core *core, const struct account *account, u64 asset) {
    return (u64 *)position_of(account, core->config.assets) + asset;
}
static inline u64 *ladder_of(const struct core *core, const struct symbol *s, u64 side) {
    return at(s, core->ladder_offset[side]); /* NOLINT(clang-analyzer-security.ArrayBound): a side is 0 or 1 */
}
static inline u64 *pages_of(const struct core *core, const struct symbol *s, u64 ladder) {
    return at(s, core->pages_offset[ladder]);
}
static inline u64 *slots_of(const struct core *core, const struct symbol *s) {
    return at(s, core->slots_offset);
}
static inline struct level *levels_of(const struct core *core, const struct symbol *s, u64 side) {
    return at(s, core->levels_offset[side]); /* NOLINT(clang-analyzer-security.ArrayBound): a side is 0 or 1 */
}
static inline struct order *orders_of(const struct core *core, const struct symbol *s) {
    return at(s, core->orders_offset);
}
static inline struct cold *colds_of(const struct core *core, const struct symbol *s) {
    return at(s, core->colds_offset);
}

/* A directory entry is the offset of a region, 0 when empty; the region says its number, in its first word. Linear
 * probing, at most half full. */
HOT void *directory_find(const struct core *core, u64 directory_offset, u64 mask, u64 number) {
    const u64 *directory = at(core, directory_offset);
    for (u64 i = number & mask;; i = (i + 1) & mask) {
        if (directory[i] == 0)
            return 0;
        u64 *region = at(core, directory[i]);
        if (region[0] == number)
            return region;
    }
}

static inline void directory_add(struct core *core, u64 directory_offset, u64 mask, u64 number, const void *region) {
    u64 *directory = at(core, directory_offset), i = number & mask;
    while (directory[i] != 0)
        i = (i + 1) & mask;
    directory[i] = (u64)((const char *)region - (const char *)core);
}

/* A guest makes no other: there the question costs nothing. */
HOT u64 is_partial(const struct core *core) {
#ifdef VENUE_GUEST
    (void)core;
    return 1;
#else
    return core->partial;
#endif
}

/* Region of a symbol that exists, or null when this partial core does not have it. Reads only. */
HOT struct symbol *symbol_peek(const struct core *core, u64 number) {
    if (is_partial(core))
        return directory_find(core, core->symbol_directory_offset, core->symbol_mask, number);
    return symbol_region(core, number);
}

HOT struct account *account_peek(const struct core *core, u64 number) {
    if (is_partial(core))
        return directory_find(core, core->account_directory_offset, core->account_mask, number);
    return account_region(core, number);
}

/* The same for a command: what a command looked at is marked touched (core_dirty_*; a whole core's only, nobody asks a
 * partial one), and a region that is missing stops the core. The caller has checked that the number exists, and gives
 * up on null. */
HOT struct symbol *symbol_touch(struct core *core, u64 number) {
    struct symbol *s;
    if (is_partial(core)) {
        s = directory_find(core, core->symbol_directory_offset, core->symbol_mask, number);
        if (s == 0)
            core->status = CORE_MISSING;
        return s;
    }
    s = symbol_region(core, number);
    if (s == 0)
        __builtin_unreachable(); /* spares the caller's test for null */
    s->touched = 1;
    return s;
}

HOT struct account *account_touch(struct core *core, u64 number) {
    struct account *account;
    if (is_partial(core)) {
        account = directory_find(core, core->account_directory_offset, core->account_mask, number);
        if (account == 0)
            core->status = CORE_MISSING;
        return account;
    }
    account = account_region(core, number);
    if (account == 0)
        __builtin_unreachable();
    account->touched = 1;
    return account;
}

/* ---- across files ---- */

struct symbol *symbol_create(struct core *core, u64 number); /* null: no region left (partial core) */
struct account *account_create(struct core *core, u64 number);
/* REASON_NONE, or why these are no terms of an instrument (number, touched and the book's words are not looked at). */
u64 instrument_reason(const struct core *core, const struct symbol *terms);
u64 instrument_lots_safe(const struct symbol *s); /* 0 of what is wide or a future: none of its orders is plain */
u64 instrument_is_wide(const struct core *core, const struct symbol *s);
u64 future_bound(const struct core *core, const struct symbol *s); /* rule F2; 0 of what is no future */
u64 instrument_uses_are_right(const struct core *core,
                              const struct symbol *s); /* its assets say that it uses them so */
u64 symbol_market_is_valid(const struct symbol *s); /* phase, last, reference, collars, limits: what terms are not */
u64 fees_are_valid(u64 maker_bp, u64 taker_bp); /* maker_bp in two's complement */
u64 order_is_valid(const struct core *core, const struct symbol *s, const struct order *order, u64 slot);
u64 position_is_valid(const struct core *core, const struct account *account, u64 asset);

/* phase.c, uncross.c */
u64 phase_is_call(u64 phase);
void symbol_derive(
    struct symbol *s); /* lots_plain, band_low and band_high from the rest: after any change of phase, last,
                                         reference, collars or limits */
u64 uncross_find(const struct core *core, const struct symbol *s,
                 struct indicative *found); /* 1: something would trade */
/* Trades at found->price_ticks until found->qty_lots are used up; REASON_STOPPED when an account is missing. */
u64 uncross_trade(struct core *core, struct symbol *s, const struct indicative *found, struct output *out);
/* The book trips its collar: VOLATILITY and its event (rule C2). */
void phase_trip(struct symbol *s, struct output *out);

/* limits.c: rules N1 (killed), N7 and their like of REPLACE. price_ticks 0: the value is not checked. */
u64 limits_killed(struct core *core, const struct account *account, u64 session); /* REASON_NONE, KILLED, STOPPED */
u64 limits_new_reason(const struct core *core, const struct symbol *s, struct account *account, const struct command *c,
                      u64 price_ticks);
u64 limits_replace_reason(const struct core *core, const struct symbol *s, struct account *account,
                          const struct command *c, u64 price_ticks, u64 leaves);
/* An accepted NEW (remembered for duplicates) or REPLACE counts as a message of its member. */
void limits_count(const struct core *core, struct account *account, const struct command *c, u64 remember);
u64 account_guards(const struct account *account); /* what `guarded` is to be */
void account_derive(struct account *account); /* and sets it: after any change of flags, member or limits */
u64 account_broken(const struct core *core, const struct account *account); /* 0, or INVARIANT_* of its own words */
/* Account and position of a command's (account, asset), or why not. */
u64 account_position(struct core *core, const struct command *c, struct account **account, struct position **p);

/* trigger.c, entry.c, expiry.c: what the other parts need of the book */
/* Stops due between the extremes are triggered until none is (S3..S5); the caller has emitted everything else. */
u64 trigger_run(struct core *core, struct symbol *s, u64 low_ticks, u64 high_ticks, struct output *out);
/* P6.3 for the book, then for the dormant with `dormant`: uncross_ticks 0 when nothing traded. */
u64 expire_auction_orders(struct core *core, struct symbol *s, u64 uncross_ticks, u64 dormant, struct output *out);
u64 dormant_enter(struct core *core, struct symbol *s, struct output *out); /* P6.4 */

/* The one event of a refused command; returns the number of events, or CORE_FATAL for REASON_STOPPED. */
u64 refuse(const struct command *command, struct event *events, u64 reason);

/* Number of events of a command that has emitted them all, or been refused. */
HOT u64 answered(const struct command *command, struct event *events, const struct output *out, u64 reason) {
    return reason == REASON_NONE ? out->exec_id & 0xffffff : refuse(command, events, reason);
}

/* Each applies one kind of command and returns the number of its events: their short ways make one, need no output and so
 * no memory of their own. new_is_plain says which NEW a book_new_plain is for; it goes by all the rules where it must. */
u64 book_new_plain(struct core *core, const struct command *command, struct event *events);
u64 book_new(struct core *core, const struct command *command, struct event *events);
u64 book_cancel(struct core *core, const struct command *command, struct event *events);
u64 book_replace(struct core *core, const struct command *command, struct event *events);

/* A limit order, Day or GTC, without a flag or a precheck: the sum of its kind, side, type and TimeInForce has no other bit
 * than these two above that of the smallest. */
HOT int new_is_plain(const struct command *c) {
    u64 least = COMMAND_NEW | SIDE_BUY << 8 | ORD_LIMIT << 16 | TIF_DAY << 24;
    return ((c->head - least) & ~(u64)((SIDE_SELL - SIDE_BUY) << 8 | TIF_GTC << 24)) << 16 == 0;
}

/* Each of the others returns a reject reason or REASON_STOPPED; on REASON_NONE it has written its events. */
u64 book_mass_cancel(struct core *core, const struct command *command, struct output *out);
u64 book_time(struct core *core, const struct command *command, struct output *out);
u64 phase_set(struct core *core, const struct command *command, struct output *out);
u64 instrument_set(struct core *core, const struct command *command, struct output *out);
u64 account_set(struct core *core, const struct command *command, struct output *out);
u64 limit_set(struct core *core, const struct command *command, struct output *out);
u64 trade_bust(struct core *core, const struct command *command, struct output *out);
u64 account_deposit(struct core *core, const struct command *command, struct output *out);
u64 account_withdraw(struct core *core, const struct command *command, struct output *out);
u64 future_mark(struct core *core, const struct command *command, struct output *out);
u64 future_margin(struct core *core, const struct command *command, struct output *out);

#endif

/* The contract of the venue's matching core: apply(state, command) -> events.
 *
 * One freestanding C11 function decides matching, balances and holds. The same sources run in the live venue, in
 * every replay and inside the zkVM guest: what is proved is what traded. Therefore in here: integers only, no
 * allocation, no clock, no randomness, no pointers kept between calls, bounded loops, every byte written before it
 * is read (in a zkVM, memory outside the image is chosen by the prover).
 *
 * All records are 64 bytes, little-endian, eight u64 words: a narrow field costs several aligned accesses in rv64im.
 * Narrow facts share a word and are composed with one store.
 */
#ifndef FIX_VENUE_CORE_H
#define FIX_VENUE_CORE_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;

/* ---- commands ------------------------------------------------------------------------------------------------ */

enum command_kind {
    COMMAND_NEW = 1,         /* FIX D */
    COMMAND_CANCEL = 2,      /* FIX F */
    COMMAND_REPLACE = 3,     /* FIX G: qty_lots is the new OrderQty(38), filled part included */
    COMMAND_MASS_CANCEL = 4, /* FIX q, cancel on disconnect, kill: one symbol and account a command */
    COMMAND_TIME = 5,        /* advances the clock; its flags say what else happens in `symbol` */
    COMMAND_PHASE = 6,       /* moves `symbol` into another phase of trading */
    COMMAND_INSTRUMENT = 7,  /* creates symbol number `symbol`, or redefines it while its book is empty */
    COMMAND_ACCOUNT = 8,     /* creates or changes an account */
    COMMAND_LIMIT = 9,       /* sets one limit: enum limit, in the place of ord_type */
    COMMAND_DEPOSIT = 10,
    COMMAND_WITHDRAW = 11,
    COMMAND_MARK = 12,       /* the mark price of the future `symbol` */
    COMMAND_MARGIN = 13,     /* one step of the margin ladder for an account's position in the future `symbol` */
    COMMAND_BUST = 14,       /* takes a trade back, both sides of it */
};

enum side { SIDE_NONE = 0, SIDE_BUY = 1, SIDE_SELL = 2 }; /* FIX 54 */
enum ord_type { ORD_MARKET = 1, ORD_LIMIT = 2, ORD_STOP = 3, ORD_STOP_LIMIT = 4, ORD_MARKET_TO_LIMIT = 5 }; /* FIX 40 */
enum tif { /* FIX 59 */
           TIF_DAY = 0,
           TIF_GTC = 1,
           TIF_AT_OPEN = 2,
           TIF_IOC = 3,
           TIF_FOK = 4,
           TIF_GTD = 6,
           TIF_AT_CLOSE = 7,
};

/* Phases of an instrument. In a call orders rest without trading, and the book may be crossed. */
enum phase {
    PHASE_CLOSED = 0,
    PHASE_CONTINUOUS = 1,
    PHASE_PRE_OPEN = 2, /* call */
    PHASE_VOLATILITY = 3, /* call, begun by a collar or by a command */
    PHASE_CLOSE_CALL = 4, /* call */
    PHASE_HALT = 5,
};

/* Self-match prevention: what happens when an order meets another of its own group. */
enum smp {
    SMP_NONE = 0, /* in an order: what its account says */
    SMP_CANCEL_AGGRESSOR = 1,
    SMP_CANCEL_RESTING = 2,
    SMP_CANCEL_BOTH = 3,
    SMP_DECREMENT = 4, /* both lose the smaller one's quantity */
};

enum limit {
    LIMIT_CREDIT = 0, /* (account, asset): the credit line, qty_lots = amount. For all below 0 means no limit */
    LIMIT_GROSS = 1, /* (account, asset): most that open orders may hold, qty_lots = amount */
    LIMIT_OPEN_ORDERS = 2, /* account: open orders over all symbols */
    LIMIT_MESSAGES = 3, /* member (account): accepted NEW and REPLACE in a second */
    LIMIT_DUPLICATE_NS = 4, /* account: an order like the last accepted one within so many ns is refused */
    LIMIT_RESTRICTED = 5, /* account: qty_lots = mask of base assets (bit = asset) that it may not trade */
    LIMIT_ORDER_QTY = 6, /* symbol: lots of one order */
    LIMIT_ORDER_VALUE = 7, /* symbol: notional of one order, in quote units */
    LIMIT_COLLAR = 8, /* symbol: qty_lots = dynamic collar in bp, aux = static collar in bp */
    LIMIT_KILL_SESSION = 9, /* session: qty_lots 1 = its NEW and REPLACE are refused, 0 = re-armed */
    LIMIT_KILL_MEMBER = 10, /* member (account): the same for all accounts of the member */
    LIMIT_MARGIN = 11, /* future: qty_lots = initial margin in bp, aux = maintenance margin in bp */
    LIMIT_POSITION = 12, /* future: most lots an account may be long or short, with its open orders */
};

enum command_flag {
    FLAG_POST_ONLY = 1, /* NEW: FIX 18=6 */
    FLAG_SLIDE = 2, /* NEW, with POST_ONLY: stand one tick behind the other side instead of a refusal */
    FLAG_ALL_OR_NONE = 4, /* NEW: FIX 18=G, at entry only */
    FLAG_BY_SESSION = 1, /* MASS_CANCEL: only orders entered by `session` */
    FLAG_TIME_CLOSE = 1, /* TIME: the Day orders of `symbol` expire */
    FLAG_TIME_EXPIRE = 2, /* TIME: the GTD orders of `symbol` whose time has come expire */
    FLAG_TIME_INDICATIVE = 4, /* TIME: in a call, an INDICATIVE event of `symbol` */
    FLAG_ACCOUNT_FROZEN = 1, /* ACCOUNT: NEW and REPLACE are refused, CANCEL is not */
    FLAG_INSTRUMENT_CLOSED = 1, /* INSTRUMENT: created in phase CLOSED, else CONTINUOUS */
    FLAG_INSTRUMENT_FUTURE = 2, /* INSTRUMENT: a cash-settled future; its base asset is the contract */
    FLAG_MARGIN_SETTLE = 1, /* MARGIN, in CLOSED: the position is settled at the mark price */
    FLAG_NO_UNCROSS = 1, /* PHASE, from a call to CLOSED: without trading */
};
#define FLAG_SMP_SHIFT 4 /* NEW: bits 4..6 of flags are an enum smp */

#define SYMBOL_NONE 0xffffu
#define ORDER_SLOT_NONE 0xffffffu

/* head: kind | side << 8 | ord_type << 16 | tif << 24 | flags << 32 | precheck << 40 | symbol << 48.
 * precheck is a reject reason (>= REJECT_SESSION_FIRST) found before the core: the core then only numbers the
 * command, refuses it with that reason and touches nothing else, so that a refused order is journaled, has an
 * OrderID and is archived like any other (RTS 24 Art 7).
 * owner: account | session << 32 | asset << 48.
 *
 *              order_id        price_ticks     qty_lots        aux
 * NEW          stop or display limit price     OrderQty        MinQty (0 = none); GTD: expiry, ns
 * CANCEL       target          -               -               -
 * REPLACE      target          new price       new OrderQty    new stop price of a waiting stop (0 = as it is)
 * MASS_CANCEL  -               -               -               -              (side: 0 = both)
 * PHASE        -               reference price -               -              (ord_type: enum phase; price 0 = as it is)
 * INSTRUMENT   lot_size        min_ticks       max_ticks       tick_value     (owner: base | quote << 32)
 * ACCOUNT      smp group       enum smp        member          maker_bp | taker_bp << 32
 * LIMIT        -               -               amount          LIMIT_COLLAR: static bp      (ord_type: enum limit)
 * MARK         -               mark price      -               -
 * MARGIN       -               -               -               -
 * BUST         trade           its price       its quantity    buyer's bp | seller's bp << 32 (owner: below)
 * DEPOSIT      -               -               amount          -
 * WITHDRAW     address[0..7]   address[8..15]  amount          address[16..19] (little-endian words)
 * NEW, order_id: the stop price of a STOP or STOP_LIMIT, in ticks; of any other the displayed quantity of an iceberg
 * (FIX 111), in lots, 0 = all.
 * ACCOUNT: smp group 0 = no self-match prevention; member: number of the account that carries the member's limits, 0 =
 * the account itself; maker_bp is an int32, below zero a rebate.
 * BUST: owner is the buyer's account | its session << 16 | the seller's account << 32 | its session << 48; trade is the
 * exec_id of the first of its FILLs; each bp is an int32 whose fee on the notional is what that account paid, below zero a
 * rebate.
 * lot_size: base units a lot. tick_value: quote units for one lot at a price of one tick. */
struct command {
    u64 head;
    u64 seq;
    u64 time_ns; /* UTC, never backwards, written by the sequencer */
    u64 owner;
    u64 order_id;
    u64 price_ticks;
    u64 qty_lots;
    u64 aux;
};

/* ---- events -------------------------------------------------------------------------------------------------- */

enum event_kind {
    EVENT_ACCEPTED = 1, /* qty = OrderQty, leaves = OrderQty, aux = MinQty; flags: command flags */
    EVENT_REJECTED = 2, /* a NEW that was refused; order_id = seq << 24 | ORDER_SLOT_NONE */
    EVENT_FILL = 3, /* price, qty = LastQty, leaves, aux = fee in quote units, two's complement;
                                   flags: FLAG_AGGRESSOR or FLAG_AUCTION */
    EVENT_CANCELLED = 4, /* qty = quantity taken off, leaves = 0, reason says why */
    EVENT_REPLACED = 5, /* price, qty = new OrderQty, leaves = new leaves; flags: FLAG_PRIORITY_KEPT */
    EVENT_CANCEL_REJECTED = 6, /* CANCEL or REPLACE that was refused; order_id = the command's */
    EVENT_EXPIRED = 7, /* as CANCELLED */
    EVENT_DEPOSITED = 8, /* qty = amount, leaves = balance after, owner has the asset */
    EVENT_WITHDRAWN = 9, /* order_id, price_ticks, aux = address words, qty = amount, leaves = balance after */
    EVENT_INSTRUMENT_SET = 10, /* order_id, price_ticks, qty_lots, aux, owner: as the command's */
    EVENT_ACCOUNT_SET = 11, /* aux as the command's */
    EVENT_LIMIT_SET = 12, /* qty = amount */
    EVENT_CLOCK = 13, /* TIME was applied; qty = orders expired */
    EVENT_MASS_CANCELLED = 14, /* MASS_CANCEL was applied, after its CANCELLED events; qty = orders cancelled */
    EVENT_COMMAND_REJECTED = 15, /* any other command that was refused */
    EVENT_TRIGGERED = 16, /* a stop: price = limit price or 0, qty = leaves, aux = stop price */
    EVENT_REFRESHED = 17, /* an iceberg: price, qty = lots displayed anew, leaves = with the hidden ones */
    EVENT_RESTATED = 18, /* changed unasked: price, qty = OrderQty, leaves, reason */
    EVENT_PHASE = 19, /* price, qty = price and volume of the uncross or 0, leaves = new phase, aux = old */
    EVENT_INDICATIVE = 20, /* price, qty = volume, leaves = surplus, side = of the surplus; all 0: no trade */
    EVENT_MARKED = 21, /* price = mark, qty = open interest, aux = old mark */
    EVENT_POSITION = 22, /* a position after a trade: owner has the contract, side = long BUY, short SELL or NONE,
                                   order_id = cost, price = price of the trade, qty = lots, leaves = collateral,
                                   aux = result realised, two's complement, in quote units */
    EVENT_DEFICIT = 23, /* qty = what account 0 paid for the owner, whose asset is the quote asset */
    EVENT_MARGIN = 24, /* owner has the contract, price = mark, qty = equity, two's complement, leaves = enum stage,
                                   aux = maintenance margin needed */
    EVENT_BUSTED = 25, /* one side of a trade taken back, the buyer's first: order_id = the trade, price, qty = its,
                                   side = the owner's in it, aux = fee given back, two's complement */
};

enum event_flag {
    FLAG_AGGRESSOR = 2, /* FILL: LastLiquidityInd(851) 2, else 1 */
    FLAG_PRIORITY_KEPT = 4, /* REPLACED */
    FLAG_AUCTION = 8, /* FILL of an uncross: LastLiquidityInd(851) 4 */
};

/* Reject reasons, and (on CANCELLED) reasons of an unsolicited cancel. REJECT_* below 64, CANCEL_* from 64,
 * REJECT_SESSION_* from 128 (only ever found by the session layer and passed in `precheck`). */
enum reason {
    REASON_NONE = 0, /* CANCELLED: on the member's own request */
    REJECT_UNKNOWN_SYMBOL = 1,
    REJECT_UNKNOWN_ACCOUNT = 2,
    REJECT_ACCOUNT_FROZEN = 3,
    REJECT_BAD_SIDE = 4,
    REJECT_BAD_ORD_TYPE = 5,
    REJECT_BAD_TIF = 6,
    REJECT_BAD_FLAGS = 7,
    REJECT_BAD_QTY = 8, /* zero, or above QTY_LOTS_MAX */
    REJECT_PRICE_OUT_OF_COLLAR = 9,
    REJECT_BAD_MIN_QTY = 10, /* above OrderQty */
    REJECT_NOTIONAL_TOO_LARGE = 11,
    REJECT_POST_ONLY_WOULD_CROSS = 12,
    REJECT_INSUFFICIENT_FUNDS = 13,
    REJECT_BOOK_FULL = 14, /* no free order slot in this symbol */
    REJECT_UNKNOWN_ORDER = 15, /* never existed, already gone, or another account's */
    REJECT_QTY_BELOW_FILLED = 16, /* REPLACE to a quantity at or below what is filled */
    REJECT_BAD_INSTRUMENT = 17, /* number not next, window or lot invalid, base equals quote */
    REJECT_BOOK_NOT_EMPTY = 18,
    REJECT_BAD_ACCOUNT = 19, /* number not next, fees out of range */
    REJECT_BAD_ASSET = 20,
    REJECT_BAD_AMOUNT = 21, /* zero, or the supply would pass AMOUNT_MAX */
    REJECT_UNSUPPORTED = 22, /* unknown kind of command, or not in this version */
    REJECT_BAD_PHASE = 23, /* the order is not taken in this phase, or no phase leads to that one */
    REJECT_BAD_STOP = 24, /* stop price outside the collar */
    REJECT_BAD_DISPLAY = 25, /* displayed quantity of an order that has none, above OrderQty, or too small */
    REJECT_BAD_EXPIRY = 26, /* GTD that has expired already */
    REJECT_ORDER_TOO_LARGE = 27, /* LIMIT_ORDER_QTY */
    REJECT_VALUE_TOO_LARGE = 28, /* LIMIT_ORDER_VALUE */
    REJECT_OPEN_ORDERS = 29, /* LIMIT_OPEN_ORDERS */
    REJECT_THROTTLED = 30, /* LIMIT_MESSAGES */
    REJECT_DUPLICATE = 31, /* LIMIT_DUPLICATE_NS */
    REJECT_RESTRICTED = 32, /* LIMIT_RESTRICTED */
    REJECT_KILLED = 33, /* LIMIT_KILL_SESSION or LIMIT_KILL_MEMBER */
    REJECT_EXPOSURE = 34, /* LIMIT_GROSS */
    REJECT_POSITION = 35, /* LIMIT_POSITION, or the future's own bound */
    REJECT_MARGIN_CALLED = 36, /* under a margin call only orders that close are taken */
    REJECT_NO_POSITION = 37, /* MARGIN: there is nothing to margin */
    REJECT_MARGIN_KEPT = 38, /* MARGIN: the margin is there */
    REJECT_NO_MARK = 39, /* MARGIN: the future has no mark price yet */
    REJECT_PAGES_FULL = 40, /* wide instrument: no page of price levels left for the order's price */
    REJECT_UNKNOWN_TRADE = 41, /* BUST: no trade can have that number */
    CANCEL_IOC = 64, /* unfilled part of an IOC or market order */
    CANCEL_FOK = 65, /* could not be filled at once in full */
    CANCEL_MIN_QTY = 66, /* less than MinQty could be filled at once */
    CANCEL_FUNDS = 67, /* a market buy met a resting order it cannot pay in full */
    CANCEL_MASS = 68,
    CANCEL_SELF_MATCH = 69, /* also of RESTATED: decremented */
    CANCEL_ALL_OR_NONE = 70,
    CANCEL_NO_PRICE = 71, /* market-to-limit, and nothing on the other side */
    CANCEL_VOLATILITY = 72, /* the rest of an order that may not wait for the auction; also of PHASE */
    CANCEL_AUCTION = 73, /* the rest of an order that was for the auction only; RESTATED: market-to-limit */
    CANCEL_MARGIN = 74, /* the position is being liquidated or settled */
    CANCEL_PAGES_FULL = 75, /* wide instrument: what should come to rest found no page for its price */
    REJECT_SESSION_FIRST = 128,
    REJECT_SESSION_UNKNOWN_SYMBOL = 128,
    REJECT_SESSION_PRICE_OFF_TICK = 129,
    REJECT_SESSION_QTY_OFF_LOT = 130,
    REJECT_SESSION_DUPLICATE_CLORDID = 131,
    REJECT_SESSION_UNKNOWN_ORIG_CLORDID = 132,
    REJECT_SESSION_ACCOUNT_NOT_PERMITTED = 133,
    REJECT_SESSION_UNSUPPORTED_VALUE = 134, /* a value of 40, 59, 18, 54 ... this venue does not take */
    REJECT_SESSION_PRICE_OVERFLOW = 135,
    REJECT_SESSION_QTY_OVERFLOW = 136,
    REJECT_SESSION_SYMBOL_MISMATCH = 137, /* F/G names another symbol or side than its order has */
    REJECT_SESSION_STALE = 138, /* session is being closed or intake has stopped */
    REJECT_SESSION_BAD_COMBINATION = 139, /* each value is taken, but not these together */
    REJECT_SESSION_NO_REFERENCE = 140, /* a pegged order, and there is no price that it could follow */
};

/* head: kind | reason << 8 | side << 16 | flags << 24 | symbol << 48.
 * exec_id: seq << 24 | index: unique for ever; printed `seq-index` as ExecID(17). The two FILL events of one trade
 * are neighbours, the resting order's first; its exec_id is the trade's id (TVTIC), printed in 527.
 * owner: account | session << 32 | asset << 48, the affected order's. */
struct event {
    u64 head;
    u64 exec_id;
    u64 owner;
    u64 order_id; /* creating seq << 24 | slot: the live orders alone determine future ids */
    u64 price_ticks;
    u64 qty_lots;
    u64 leaves_lots;
    u64 aux;
};

_Static_assert(sizeof(struct command) == 64, "a command is one 64-byte record");
_Static_assert(sizeof(struct event) == 64, "an event is one 64-byte record");

/* ---- bounds -------------------------------------------------------------------------------------------------- */

#define SYMBOLS_MAX 4096u
#define ACCOUNTS_MAX 65536u
#define ASSETS_MAX 64u
#define ORDERS_MAX 262144u /* a symbol: three bitmap levels of 64 */
#define LEVELS_MAX 262144u /* a symbol and side */
#define PAGE_LEVELS 64u /* of a wide instrument: levels that are given to a range of prices together */
#define QTY_LOTS_MAX ((1ull << 40) - 1)
#define PRICE_TICKS_MAX ((1ull << 40) - 1)
#define AMOUNT_MAX ((1ull << 62) - 1) /* supply of an asset, a balance, a hold, a notional with its fee */
#define FEE_BP_MAX 10000u /* -FEE_BP_MAX <= maker_bp <= taker_bp <= FEE_BP_MAX */
#define SEQ_MAX ((1ull << 40) - 1)
#define COLLAR_BP_MAX 10000u
#define ICEBERG_TRANCHES_MAX 16u /* displayed quantity times this is at least OrderQty: bounds the fills of a command */
#define KILLED_SESSIONS_MAX 256u
#define POSITION_LOTS_MAX ((1ull << 31) - 1)
#define FUTURE_ORDERS_MAX 131072u /* with more orders a symbol no futures: 24 bits number the events of a command */
#define MARGIN_BP_MAX 10000u

/* ---- the core ------------------------------------------------------------------------------------------------ */

struct core_config {
    u64 symbols; /* 1..SYMBOLS_MAX */
    u64 accounts; /* 1..ACCOUNTS_MAX; account 0 is the venue's own: it receives the fees */
    u64 assets; /* 2..ASSETS_MAX */
    u64 orders; /* open orders a symbol, a power of two from 64 */
    u64 levels; /* price levels a symbol and side, a power of two from 64: a window of more ticks makes it wide */
};

struct core; /* lives at the start of the caller's arena; position independent, so a snapshot is a memcpy */

enum core_status {
    CORE_OK = 0,
    CORE_BAD_CONFIG = 1,
    CORE_BAD_SEQUENCE = 2, /* a command's seq is not the last one plus one, or its time goes backwards */
    CORE_BAD_STATE = 3, /* a restore from slots that are no state of this core */
    CORE_MISSING = 4, /* partial core: the command needs a symbol or account that was left out */
};

#define CORE_FATAL (~0ull) /* returned for an event count: see core_status_last() */

size_t core_size(const struct core_config *config); /* 0 when out of range */
enum core_status core_init(struct core *core, const struct core_config *config);

/* A partial core (the guest's): memory for so many symbols and accounts only, those of the witness and those that its
 * commands create. It must be restored (below) before it applies anything, with any of the symbols and accounts, in
 * ascending order of number. Applying the commands of a batch needs exactly what core_dirty_* of a whole core that
 * applied them lists. */
size_t core_size_partial(const struct core_config *config, u64 symbols, u64 accounts); /* 0 when out of range */
enum core_status core_init_partial(struct core *core, const struct core_config *config, u64 symbols, u64 accounts);

/* Most events one command can make: the caller's buffer has at least so many. */
u64 core_events_max(const struct core_config *config);

/* Applies one command; writes its events in order and returns their number (at least one), or CORE_FATAL:
 * core_status_last says why, and nothing was changed, except after CORE_MISSING: a partial core that missed something
 * may have stopped half-way and refuses everything from then on. No command of a member can cause CORE_FATAL. */
u64 core_apply(struct core *core, const struct command *command, struct event *events);
enum core_status core_status_last(const struct core *core);

/* Applies commands until done, until a fatal one, or until `events_capacity` cannot hold the next one's worst case
 * (never more than core_events_max). Returns how many were applied; when fewer than `count`, core_status_last is
 * CORE_OK for want of room. *events_count gets the events written, event_ends[i] (when not null) the running count. */
u64 core_apply_batch(struct core *core, const struct command *commands, u64 count, struct event *events,
                     u64 events_capacity, u64 *events_count, u64 *event_ends);

enum invariant {
    INVARIANT_COUNTS = 1, /* regions in use are those of the numbers below the counts, ascending */
    INVARIANT_INSTRUMENT = 2, /* terms of an instrument are valid */
    INVARIANT_BITMAP = 3, /* a bitmap's upper levels say what its lowest level says */
    INVARIANT_BEST = 4, /* the best key of a side is its lowest occupied one */
    INVARIANT_LINKS = 5, /* every level is a doubly linked list of orders at its price */
    INVARIANT_AGGREGATE = 6, /* a level's lots are the sum of its orders' leaves */
    INVARIANT_ORDER = 7, /* an order's own fields are valid */
    INVARIANT_SLOTS = 8, /* the used slots are those of the open orders */
    INVARIANT_CROSSED = 9, /* in continuous trading: best bid below best ask, nothing unpriced, no stop due */
    INVARIANT_ACCOUNT = 10, /* an account's own fields are valid */
    INVARIANT_FUNDS = 11, /* balance + credit - hold is not negative but of account 0, amounts are within bounds */
    INVARIANT_HOLDS = 12, /* holds are what the open orders need */
    INVARIANT_MONEY = 13, /* balances, and of futures collateral less cost, sum to the supply, to the unit */
    INVARIANT_CREDIT = 14, /* credit lines sum to what the configuration says, supply + credit <= AMOUNT_MAX */
    INVARIANT_POSITIONS = 16, /* positions sum to zero, open interest is right, collateral is not negative */
    INVARIANT_LIMITS = 15, /* counts and limits of an account or symbol are valid; open orders are counted right */
};

/* 0, or the first broken invariant. HOLDS, MONEY, CREDIT and POSITIONS are looked at in a whole core only. Changes
 * nothing but scratch words of its own. */
u64 core_check(struct core *core);

u64 core_last_seq(const struct core *core);
u64 core_symbol_count(const struct core *core);
u64 core_account_count(const struct core *core);

/* ---- canonical state ----------------------------------------------------------------------------------------- */

/* The state as 64-byte slots; word 7 of every slot is zero (the hash stores the bits there that its field encoding
 * cleared). Two cores with equal slots behave equally for ever.
 *  config   slot 0: STATE_VERSION, symbols, accounts, assets, orders, levels
 *           slot 1: last_seq, last_time_ns, symbol count, account count, killed sessions
 *           then one slot an asset: asset, supply, sum of the credit lines, use (enum asset_use, or ASSET_CONTRACT + symbol)
 *           then the killed sessions, ascending, seven a slot
 *  symbol   slot 0: symbol, base | quote << 32, lot_size, tick_value, min_ticks, max_ticks, number of slots that follow
 *           slot 1: phase, last_ticks, reference_ticks, dynamic_bp | static_bp << 32, order_qty_max, order_value_max,
 *           1 of a future, else 0
 *           of a future then one slot: mark_ticks, initial_bp | maintenance_bp << 32, position_max, open interest, 0, 0, 0
 *           then the orders: bids best first, then asks best first, first in first within a level; then the waiting
 *           stops, buys by rising stop price, then sells by falling stop price, first in first; then the orders that
 *           wait for the closing call, first in first:
 *           order_id, leaves shown, price_ticks, cum, owner, facts, 0
 *           facts: side | ord_type << 8 | tif << 16 | flags << 24 | enum fact << 32
 *           and after an order with FACT_COLD: hidden lots, display_lots, stop_ticks, expiry_ns, 0, 0, 0
 *  account  slot 0: account, flags, maker_bp | taker_bp << 32, number of slots that follow, member, smp group, enum smp
 *           slot 1: open orders, open_orders_max, messages_max, messages in this second, its start ns, restricted mask,
 *           duplicate_ns
 *           slot 2: time, price, qty, symbol | side << 16 of the last order, 0, 0, 0; only if duplicate_ns != 0
 *           then, by asset number, one slot for each asset with a non-zero word:
 *           asset, balance (two's complement), hold, credit, gross_max; of a contract:
 *           asset, lots (two's complement, below zero short), open: lots of open buys | of open sells << 31 |
 *           enum stage << 62, cost (two's complement), collateral */
enum fact {
    FACT_COLD = 1, /* hidden, display, stop or expiry: a second slot */
    FACT_WAITING = 2, /* a stop that has not been triggered */
    FACT_DORMANT = 4, /* an at-close order before the closing call */
    FACT_UNPRICED = 8, /* a market order waiting in a call, at the collar's end */
    FACT_FUTURE = 16, /* every order in a future */
    FACT_CLOSING = 32, /* in a future: covered by the position when it came, holds no margin */
    FACT_WIDE = 64, /* every order in a wide instrument: its price window has more ticks than there are levels */
};
enum asset_use { ASSET_UNUSED = 0, ASSET_CASH = 1, ASSET_CONTRACT = 2 }; /* of the future number use - 2 */
enum stage { STAGE_NONE = 0, STAGE_CALLED = 1, STAGE_LIQUIDATED = 2, STAGE_TAKEN_OVER = 3, STAGE_SETTLED = 4 };

struct slot {
    u64 word[8];
};
_Static_assert(sizeof(struct slot) == 64, "a state slot is one 64-byte record");

#define STATE_VERSION 2u

/* Slots of the configuration with so many assets and killed sessions. */
u64 core_config_slots(u64 assets, u64 killed_count);

/* Each returns the number of slots; writes them when `slots` is not null. */
u64 core_walk_config(const struct core *core, struct slot *slots);
u64 core_walk_symbol(const struct core *core, u64 symbol, struct slot *slots);
u64 core_walk_account(const struct core *core, u64 account, struct slot *slots);

/* The inverse, into a core fresh from core_init or core_init_partial of the same configuration: config first, then the
 * symbols and the accounts in ascending order (all of them; in a partial core any of them: those left out are
 * "missing", and a command that needs one is fatal, never wrong), then core_restore_end, which checks what can be
 * checked with what is there (a whole core: everything core_check does). Linear in the slots given. */
enum core_status core_restore_config(struct core *core, const struct slot *slots, u64 count);
enum core_status core_restore_symbol(struct core *core, const struct slot *slots, u64 count);
enum core_status core_restore_account(struct core *core, const struct slot *slots, u64 count);
enum core_status core_restore_end(struct core *core);

/* The whole state: the walks of the configuration, of every symbol and of every account, one after the other. Word 1..5
 * of its first slot are the core_config, so that a reader can size the arena. Whole cores only. */
u64 core_snapshot(const struct core *core, struct slot *slots); /* number of slots; writes them when not null */
enum core_status core_restore_snapshot(struct core *core, const struct slot *slots, u64 count);

/* Whole cores only: symbols and accounts that commands read or changed since core_clear_dirty, a superset of the changed
 * ones. Fills numbers in ascending order (when not null), returns how many. */
u64 core_dirty_symbols(const struct core *core, u64 *symbols);
u64 core_dirty_accounts(const struct core *core, u64 *accounts);
void core_clear_dirty(struct core *core);

/* ---- questions (read only; for the sequencer, reports and operators) ------------------------------------------- */

struct order_view {
    u64 order_id, leaves_lots, price_ticks, cum_lots, owner,
        flags; /* leaves with hidden ones; flags: facts of the slot */
    u64 hidden_lots, display_lots, stop_ticks, expiry_ns;
};
struct indicative {
    u64 price_ticks, qty_lots, surplus_lots, surplus_side; /* all 0: nothing would trade */
};
int core_find_order(const struct core *core, u64 symbol, u64 order_id, struct order_view *view); /* 1 found, 0 not */
u64 core_best_price(const struct core *core, u64 symbol, enum side side, u64 *price_ticks, u64 *qty_lots); /* 0/1 */
u64 core_depth(const struct core *core, u64 symbol, enum side side, u64 levels_max, u64 *price_ticks, u64 *qty_lots);
u64 core_open_orders(const struct core *core, u64 symbol);
u64 core_phase(const struct core *core, u64 symbol); /* enum phase; CLOSED when there is no such symbol */
u64 core_last_price(const struct core *core, u64 symbol, u64 *reference_ticks); /* 0: none yet */
u64 core_expiry_next(const struct core *core, u64 symbol); /* ns, not after the first GTD expiry; ~0: none */
u64 core_indicative(const struct core *core, u64 symbol, struct indicative *indicative); /* 1: would trade, 0 not */
u64 core_supply(const struct core *core, u64 asset);
u64 core_balance(const struct core *core, u64 account, u64 asset, u64 *hold, u64 *credit); /* two's complement */

struct position_view { /* lots, cost and equity: two's complement, below zero short, short and lacking */
    u64 lots, cost, collateral;
    u64 equity, needed; /* at the mark price; without one the collateral and 0 */
    u64 stage, open_buys, open_sells;
};
/* 1 found; 0: no such account, or the symbol is no future. */
u64 core_position(const struct core *core, u64 account, u64 symbol, struct position_view *view);
u64 core_mark(const struct core *core, u64 symbol); /* mark price of a future; 0: none */

#endif

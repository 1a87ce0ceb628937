/* The order table: what sessions call their orders, and what has become of them.
 *
 * A projection of the journal: the same commands, annexes and events give the same table, live or replayed. The core
 * knows orders by handle and forgets them when they are done; FIX asks by ClOrdID and for AvgPx, and must recognise a
 * ClOrdID that was used before. Must never decide anything about matching.
 *
 * Retention: everything about an open order is kept. A finished order, and every other ClOrdID, is kept until the second
 * UTC midnight after it was last touched: at least 24 hours and therefore the whole trading day. Orders are forgotten at
 * the first command of a new UTC day, by that command's time: replay forgets the same ones.
 */
#ifndef FIX_VENUE_ORDERS_H
#define FIX_VENUE_ORDERS_H

#include "engine.h"

/* ClOrdID(11) and OrigClOrdID(41) of an annex body; empty when the body is none of FIX. 0: one is too long. Of OrdType(40)
 * P (pegged) the peg as in struct report. Good for as long as the body is. */
struct names {
    char clordid[CLORDID_BYTES];
    char orig_clordid[CLORDID_BYTES];
    uint8_t peg;
    const uint8_t *bust; /* the body of a busted trade (venue/busts.py), null for any other */
    u64 bust_bytes;
};
int names_read(const uint8_t *body, u64 body_bytes, struct names *names);

#define NO_ORDER 0xffffffffu

struct tracked { /* an order, open or finished */
    u64 order_id, order_qty_lots, leaves_lots, cum_lots, value, price_ticks, last_exec_id;
    u64 busted_lots, busted_value; /* filled and taken back: in none of the counts before */
    u64 detail, aux; /* as order_detail and order_aux of struct report */
    u64 time_ns; /* of the last event */
    uint32_t account;
    uint32_t known; /* index of its current ClOrdID, NO_ORDER when it has none */
    uint16_t session, symbol;
    uint8_t side, ord_type, tif, order_flags, status;
    uint8_t triggered; /* a stop that is none any more */
    uint8_t peg; /* as in struct report */
    uint8_t pad;
    uint32_t terms_after; /* how many commands after its entry the member's last accepted request stands, capped */
};
_Static_assert(sizeof(struct tracked) == 120, "no hidden padding: the table is written to snapshots");

struct known { /* a ClOrdID of a session */
    char clordid[CLORDID_BYTES];
    u64 time_ns;
    uint32_t order; /* index, NO_ORDER: a refused request without one */
    uint16_t session;
    uint8_t names_order; /* 1: an accepted name of its order, good as OrigClOrdID */
    uint8_t pad;
};
_Static_assert(sizeof(struct known) == 56, "no hidden padding: the table is written to snapshots");

struct map { /* open addressing; an entry is the hash's upper half and index + 1, 0 when empty */
    u64 *entries;
    u64 mask;
};

struct orders {
    struct tracked *tracked;
    struct known *known;
    u64 tracked_count, tracked_capacity, known_count, known_capacity;
    u64 day; /* of the last command, days since 1970 */
    struct map by_id, by_name;
    u64 seed[2]; /* of the names' hash: no sender can choose names that collide */
};

void orders_init(struct orders *orders);
void orders_free(struct orders *orders);

/* Memory of what the table remembers, with its maps; more is set aside, and not used yet. */
u64 orders_bytes(const struct orders *orders);

/* Before the command of this time: forgets what has outlived its retention. */
void orders_advance(struct orders *orders, u64 time_ns);

/* The use of (session, clordid), or null. */
const struct known *orders_known(const struct orders *orders, uint16_t session, const char *clordid);

/* What the session layer's `precheck` is for this NEW, CANCEL or REPLACE: 0, duplicate, unknown original, mismatch.
 * Writes the order's id into a CANCEL or REPLACE that names it by OrigClOrdID. */
u64 orders_precheck(const struct orders *orders, struct command *command, const struct names *names);

/* Applies one event of the command to the table and writes its report. */
void orders_apply(struct orders *orders, const struct command *command, const struct names *names,
                  const struct event *event, struct report *report);

/* The order of this id, or null. */
const struct tracked *orders_of_id(const struct orders *orders, u64 order_id);

int orders_find(const struct orders *orders, uint16_t session, const char *clordid, struct order_status *status);

/* The session's open orders among the `limit` orders of the table from `*next` on, which moves; `found` has room. */
u64 orders_open_part(const struct orders *orders, uint16_t session, u64 *next, u64 limit, struct order_status *found);

/* Open orders that a session entered, in the order in which they came; writes them when `found` is not null. */
u64 orders_open(const struct orders *orders, uint16_t session, struct order_status *found);

/* Takes over arrays of a snapshot (copied); 0 when an index in them is out of range. */
int orders_load(struct orders *orders, const struct tracked *tracked, u64 tracked_count, const struct known *known,
                u64 known_count, u64 day);

/* 0, or the number of the first broken invariant; `core` says which orders are open. */
u64 orders_check(const struct orders *orders, const struct core *core);

#endif

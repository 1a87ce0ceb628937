/* The venue's one writer: stamp, journal, apply, queue, release when durable.
 *
 * One engine per process and data directory. Any thread may submit; submissions are ordered by one lock. The events
 * of a command are applied at once, but no report leaves before its journal entry is durable. Must never lose an
 * accepted command, report one that is not durable (sync = none says so in its name), or retry a failed sync.
 *
 * Native callers take this interface from the PyCapsule `venue._engine.engine_api` (struct engine_api).
 */
#ifndef FIX_VENUE_ENGINE_H
#define FIX_VENUE_ENGINE_H

#include "../cores/core.h"

#define CLORDID_BYTES 40 /* NUL-padded: at most 39 characters */
#define ANNEX_BYTES_MAX 4096

struct engine;

/* What a caller hands in. The engine writes seq, time_ns and, for CANCEL and REPLACE by OrigClOrdID, order_id; it adds
 * the annex salt and finds duplicate and unknown ClOrdIDs (precheck) itself. */
struct submission {
    struct command command;
    char clordid[CLORDID_BYTES];      /* FIX 11, empty for operator commands */
    char orig_clordid[CLORDID_BYTES]; /* FIX 41 */
    const uint8_t *body;              /* annex without its salt: FIX body fields as received */
    uint32_t body_bytes;
    uint32_t flags; /* SUBMIT_* */
    u64 origin;     /* returned in the reports: a control request id; 0 for FIX */
};

enum submit_flag {
    SUBMIT_POSS_DUP = 1, /* FIX 43=Y or 97=Y: a ClOrdID already known is not an error, nothing is journaled */
    SUBMIT_COMMIT_FOLLOWS = 2, /* more submissions follow at once, then `commit`: they are synced together */
    SUBMIT_IF_PEGGED = 4, /* a REPLACE by order_id: only while that order is open, pegged and of this quantity */
};

enum submit_status {
    SUBMIT_OK = 0,      /* journaled and applied; the reports follow when durable */
    SUBMIT_KNOWN = 1, /* SUBMIT_POSS_DUP and the ClOrdID is known, or SUBMIT_IF_PEGGED and it is not: nothing done */
    SUBMIT_STOPPED = 2, /* intake has stopped: nothing was done */
    SUBMIT_INVALID = 3, /* body longer than ANNEX_BYTES_MAX - 16: nothing was done */
};

/* One event, with everything an ExecutionReport or OrderCancelReject needs. Self-contained: later commands do not
 * change it. `session` is who must get it: the order's session, or the command's for rejects; 0 for nobody. */
struct report {
    struct event event;
    u64 time_ns;
    u64 origin;
    u64 order_qty_lots;
    u64 order_price_ticks; /* 0 while it has none: a market order, a stop, what is unpriced in a call */
    u64 cum_lots;
    u64 value; /* sum of price_ticks * qty_lots over its fills: AvgPx = value / cum */
    u64 order_detail; /* of a stop its stop price in ticks, of any other its displayed quantity in lots (0: all) */
    u64 order_aux; /* of a GTD order its expiry in ns, of any other its MinQty in lots */
    uint16_t session;
    uint16_t symbol;
    uint8_t side, ord_type, tif, order_flags;
    uint8_t command_kind; /* of the command that caused the event */
    uint8_t command_session_differs; /* 1 when another session's (or an operator's) command caused it */
    uint8_t status; /* OrdStatus(39) after the event, as its character */
    uint8_t peg; /* the order is pegged: M, R or P of its ExecInst(18), or 1 when it named none; else 0 */
    uint32_t account;
    char clordid
        [CLORDID_BYTES]; /* the order's current ClOrdID (after REPLACED the new one; for rejects the request's) */
    char orig_clordid[CLORDID_BYTES]; /* FIX 41 where the message carries it */
};

/* Called in sequence order with the reports of one or more commands, once durable. Never under the engine's lock. */
typedef void (*engine_sink)(void *context, const struct report *reports, u64 count);

struct order_status {
    u64 order_id, order_qty_lots, leaves_lots, cum_lots, value, price_ticks, last_exec_id;
    u64 order_detail, order_aux; /* as in struct report */
    uint32_t account;
    uint16_t session, symbol;
    uint8_t side, ord_type, tif, order_flags, status, peg;
    char clordid[CLORDID_BYTES];
};

struct engine_api {
    uint32_t version; /* ENGINE_API_VERSION */
    enum submit_status (*submit)(struct engine *engine, const struct submission *submission, u64 *seq);
    int (*find_order)(struct engine *engine, uint16_t session, const char *clordid, struct order_status *status);
    void (*set_sink)(struct engine *engine, engine_sink sink, void *context);
    u64 (*durable_seq)(const struct engine *engine);
    /* Commits what was submitted with SUBMIT_COMMIT_FOLLOWS: at once, the reports then come to the sink on this thread;
     * or, when it is much or the disk is slow, by the committer's thread. */
    void (*commit)(struct engine *engine);
    struct engine *engine;
};
#define ENGINE_API_VERSION 4u

#endif

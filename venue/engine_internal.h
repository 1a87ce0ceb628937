/* The engine's own state, shared by engine.c, reports.c and snapshot.c, and its interface to the Python binding. */
#ifndef FIX_VENUE_ENGINE_INTERNAL_H
#define FIX_VENUE_ENGINE_INTERNAL_H

#include "engine.h"
#include "journal.h"
#include "orders.h"

#define CHUNK_REPORTS 1024u
#define REPORTS_WAITING_SOFT 65536u /* so many unreleased reports make submitters wait */
#define REPORTS_KEPT 16384u         /* handed to the sink, but perhaps not in a session's store when a crash comes */
#define SNAPSHOTS_KEPT 2

struct chunk { /* of the report queue; never moves, so that the sink reads it without the lock */
    struct chunk *next;
    u64 first; /* number of its first report, counted from the start of the process */
    struct report reports[CHUNK_REPORTS];
};

struct reports {
    struct chunk *oldest, *releasing, *tail, *spare;
    u64 total, releasable, released;
    int busy; /* a thread is in the sink */
    engine_sink sink;
    void *sink_context;
    u64 sink_from; /* number of the first report that this sink is given */
    struct report *pending; /* for sessions, made while no sink was there, or found by recovery */
    u64 pending_count, pending_capacity;
};

struct image { /* what a snapshot holds */
    u64 seq, time_ns, day, mark;
    struct slot *slots;
    struct tracked *tracked;
    struct known *known;
    struct report *reports;
    u64 slot_count, tracked_count, known_count, report_count;
};

struct snapshot_head {
    char magic[8];
    uint32_t format, epoch;
    u64 seq, time_ns, day;
    u64 slot_count, tracked_count, known_count, report_count;
    uint32_t tracked_bytes, known_bytes, report_bytes; /* sizes of the records */
    uint32_t body_checksum;
    uint32_t reserved;
    uint32_t checksum; /* of the bytes before */
};
_Static_assert(sizeof(struct snapshot_head) == 96, "a snapshot's head is 96 bytes");

struct snapshots {
    char dir[PATH_BYTES];
    u64 interval;  /* commands between two */
    u64 next_at;   /* sequence number at which the next is due */
    u64 last_seq;  /* of the newest written, 0: none */
    struct image image;
    int busy, closing, thread_started;
    int failed_errno; /* of the last attempt; snapshots only shorten recovery, so trading goes on */
    pthread_t thread;
    pthread_cond_t wake, done;
};

struct engine {
    struct journal journal;
    struct core_config config;
    struct core *core;
    size_t core_bytes;
    struct orders orders;
    struct event *events;
    struct reports reports;
    struct snapshots snapshots;
    u64 last_seq, last_time_ns, safe_seq, recovered_seq;
    u64 expiry_hint; /* ns: no GTD order anywhere expires earlier; 0: not known. Read without the lock by the clock */
    u64 *traded_lots; /* by symbol, since the snapshot that this process began with */
    int lock_fd;
    int stopped;
    char reason[256];
    char notes[TEXT_BYTES]; /* what recovery found and mended */
    void (*on_fatal)(void *context, const char *reason);
    void *fatal_context;
    struct engine_api api;
};

struct engine_options {
    const char *data_dir;
    struct core_config config;
    enum journal_sync sync;
    u64 interval_ns, segment_bytes, snapshot_commands;
    void (*on_fatal)(void *context, const char *reason);
    void *fatal_context;
};

/* ---- engine.c ---- */
enum journal_status engine_open(const struct engine_options *options, struct engine **engine, char text[TEXT_BYTES]);
enum submit_status engine_submit(struct engine *engine, const struct submission *submission, u64 *seq);
/* Submits and waits until safe; the caller frees *events. SUBMIT_STOPPED when it was taken but cannot become safe. */
enum submit_status engine_call(struct engine *engine, const struct submission *submission, u64 *seq,
                               struct event **events, u64 *count);
int engine_find_order(struct engine *engine, uint16_t session, const char *clordid, struct order_status *status);
/* All open orders of a session; the caller frees *found, which is null when there is no memory. */
u64 engine_session_orders(struct engine *engine, uint16_t session, struct order_status **found);
void engine_set_sink(struct engine *engine, engine_sink sink, void *context);
u64 engine_durable_seq(const struct engine *engine);
/* Symbols with a GTD order whose time has come, or that may have one; `symbols` has room for all. Sets expiry_hint. */
u64 engine_expiries_due(struct engine *engine, u64 now_ns, u64 *symbols);
u64 engine_traded(struct engine *engine, u64 symbol); /* lots, each trade once: only differences mean something */
void engine_commit(struct engine *engine);
/* Waits until everything submitted is safe and handed to the sink; 0 when intake failed first. */
int engine_drain(struct engine *engine);
void engine_stop(struct engine *engine); /* intake ends; what was taken still becomes safe */
void engine_close(struct engine *engine);
u64 engine_check(struct engine *engine);
void engine_lock(struct engine *engine);
void engine_unlock(struct engine *engine);

/* Parts of the above that a replica needs too. */
enum journal_status engine_core_make(struct engine *engine, char text[TEXT_BYTES]);
int engine_replay_entry(void *context, const struct command *command, const uint8_t *annex, u64 annex_bytes);
void engine_free(struct engine *engine);

/* ---- replica.c ---- */
/* An engine that only follows: the state after a snapshot, or of an empty venue when `path` is null. It has no journal,
 * takes no lock and starts no thread; nothing but the calls below may be made with it. */
enum journal_status replica_open(const struct core_config *config, const char *path, u64 seq, struct engine **opened,
                                 char text[TEXT_BYTES]);
/* Applies the next entry of the journal; its reports are pending. 0 when it is not the next one, or no entry at all. */
int replica_apply(struct engine *replica, const struct command *command, const uint8_t *annex, u64 annex_bytes);
int replica_save(struct engine *replica, const char *dir, uint32_t epoch); /* a snapshot; 0, or an errno */

/* ---- reports.c: all with the lock held ---- */
struct report *report_add(struct reports *reports);
void reports_release(struct engine *engine); /* gives the lock up while it is in the sink */
int reports_full(const struct engine *engine);
void report_keep_pending(struct reports *reports, const struct report *report);
/* Takes the session's pending reports later than `after_exec_id` out; the caller frees. */
u64 reports_take_pending(struct reports *reports, uint16_t session, u64 after_exec_id, struct report **taken);
/* Number of the first report that a snapshot keeps beside the pending ones: recent, and not pending itself. */
u64 reports_kept_first(const struct reports *reports);
const struct report *report_at(const struct reports *reports, u64 number);
void reports_free(struct reports *reports);

/* ---- pegs.c: all with the lock held ---- */
#define PEGS_MAX 1024u /* of one book, in one look */

struct peg_view {
    u64 order_id, price_ticks, qty_lots, leaves_lots;
    uint32_t account;
    uint16_t session;
    uint8_t peg; /* 0: not open, or pegged no longer */
    uint8_t side;
    char clordid[CLORDID_BYTES];
};
/* Whether a SUBMIT_IF_PEGGED still finds the order that it was made for. */
int pegs_moves(const struct engine *engine, const struct command *command);
/* What has become of these orders of a book (at most PEGS_MAX), and the best buy and sell price (0: none) among all the
 * others in it. */
void pegs_look(const struct engine *engine, u64 symbol, const u64 *order_ids, u64 count, struct peg_view *views,
               u64 best_ticks[2]);
/* The open pegged orders of all books: (symbol, order id, number of the command with the member's terms in force);
 * writes at most `capacity`, returns how many there are. */
u64 pegs_open(const struct engine *engine, u64 *found, u64 capacity);

/* ---- snapshot.c ---- */
enum journal_status snapshots_open(struct engine *engine, char text[TEXT_BYTES]);
enum journal_status snapshot_load_newest(struct engine *engine, char text[TEXT_BYTES]);
void snapshot_take(struct engine *engine); /* lock held; does nothing while one is being written */
int snapshot_wait(struct engine *engine);  /* lock held; 0 or the errno of the last attempt */
void snapshots_close(struct engine *engine);
/* JOURNAL_DAMAGED and a fault when the file is no snapshot of `seq`; core and order table must be empty. */
enum journal_status snapshot_load(struct engine *engine, u64 seq, const char *path, const char **fault,
                                  char text[TEXT_BYTES]);
int snapshot_image(struct engine *engine, struct image *image); /* the state as it is now; 0 without memory */
void snapshot_image_free(struct image *image);
int snapshot_write(const char *dir, const struct image *image, uint32_t epoch); /* 0, or an errno */

#endif

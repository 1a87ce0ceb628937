/* The journal: what happened, in order, on disk before anybody is told.
 *
 * A journal is a folder of segments `<first_seq, 20 digits>.journal`. A segment is a 64-byte head and entries; a start
 * of the engine begins a new segment under a new epoch. An entry is a 24-byte head, the 64-byte command, its annex and
 * zeros up to a multiple of 8. All numbers are little-endian; checksums are CRC-32C.
 *
 *   segment head: magic[8] | format u32 | epoch u32 | first_seq u64 | created_ns u64 | symbols, accounts, assets,
 *                 orders, levels u32 (the core's configuration) | 0 u64 | checksum u32 of the 60 bytes before
 *   entry head:   bytes u32 (of the whole entry) | checksum u32 (of everything but itself) | annex_bytes u32 |
 *                 epoch u32 | group_first_seq u64
 *
 * `group_first_seq`: every entry before it was on disk when this one was written. It tells a torn group (a crash, never
 * acknowledged: cut) from damage (stop). Must never retry a failed sync, skip a bad entry, or have two writers.
 */
#ifndef FIX_VENUE_JOURNAL_H
#define FIX_VENUE_JOURNAL_H

#include "../cores/core.h"
#include "engine.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define JOURNAL_FORMAT 1u
#define JOURNAL_MAGIC "FVJOURNL"
#define WATERMARK_MAGIC 0x314b52414d525457ull /* "WTRMARK1" */
#define SEGMENT_BYTES_MIN 65536u
#define SALT_BYTES 16u
#define PATH_BYTES 1024
#define TEXT_BYTES 2048

struct segment_head {
    char magic[8];
    uint32_t format;
    uint32_t epoch;
    u64 first_seq;
    u64 created_ns;
    uint32_t symbols, accounts, assets, orders, levels;
    uint32_t reserved[2];
    uint32_t checksum;
};
_Static_assert(sizeof(struct segment_head) == 64, "a segment's head is 64 bytes");

struct entry_head {
    uint32_t bytes;
    uint32_t checksum;
    uint32_t annex_bytes;
    uint32_t epoch;
    u64 group_first_seq;
};
_Static_assert(sizeof(struct entry_head) == 24, "an entry's head is 24 bytes");

#define ENTRY_BYTES_MIN (sizeof(struct entry_head) + sizeof(struct command))
#define ENTRY_BYTES_MAX (ENTRY_BYTES_MIN + ANNEX_BYTES_MAX)

/* Up to where followers may read; a file mapped by all. `turn` is odd while the writer changes the other words. */
struct watermark {
    u64 magic;
    u64 turn;
    u64 durable_seq;
    u64 segment_first_seq;
    u64 segment_offset; /* end of the last durable entry */
    u64 epoch;
    u64 state; /* enum watermark_state */
    u64 reserved;
};
_Static_assert(sizeof(struct watermark) == 64, "the watermark is 64 bytes");

enum watermark_state { WATERMARK_CLOSED = 0, WATERMARK_RUNNING = 1, WATERMARK_FAILED = 2 };

/* A consistent copy; 0 when the mapping is no watermark, or the writer is changing it right now. */
int watermark_read(const void *mapping, struct watermark *copy);

enum journal_status {
    JOURNAL_OK = 0,
    JOURNAL_LOCKED = 1,  /* another engine has it */
    JOURNAL_DAMAGED = 2, /* acknowledged entries are missing or changed: exit code 3 */
    JOURNAL_CONFIG = 3,  /* written under another configuration of the core, or by another version */
    JOURNAL_FAILED = 4,  /* an operating system call failed */
};

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* One entry at `data`, or 0 when these bytes are none (whatever the sequence number). */
struct entry {
    const struct entry_head *head;
    const struct command *command;
    const uint8_t *annex;
};
int entry_read(const uint8_t *data, u64 bytes, struct entry *entry);

/* Called for every entry in order; a non-zero answer ends the scan early. */
typedef int (*entry_visitor)(void *context, const struct command *command, const uint8_t *annex, u64 annex_bytes);

struct scan {
    const char *dir;
    const struct core_config *config; /* null: take what the journal says */
    u64 from_seq;
    u64 to_seq;      /* SEQ_MAX: all */
    u64 durable_seq; /* what the watermark says; entries up to here must be there */
    int watermarked; /* there is a watermark */
    entry_visitor visit;
    void *context;
    /* results */
    struct core_config found;
    u64 last_seq, last_time_ns, entries;
    u64 tail_first_seq, tail_offset, torn_bytes; /* the last segment: where its good entries end, what follows them */
    uint32_t epoch;                              /* the highest seen; 0: there is no segment */
    char text[TEXT_BYTES];                       /* what is wrong, where, and how to mend it */
};
enum journal_status journal_scan(struct scan *scan);

/* Every segment's first sequence number in ascending order; the caller frees. Returns the count, -1 on failure. */
int64_t journal_segments(const char *dir, u64 **first_seqs);

/* Reads `dir/watermark` without mapping it for long; 0 when there is none. */
int watermark_load(const char *dir, struct watermark *copy);

/* Parses entries from `data` for a follower: at most `limit`, up to `durable_seq`. Returns how many; `*consumed` gets
 * their bytes, `*bad` 1 when the bytes after them are neither an entry nor zeros. `annex_ends` are running. */
u64 entries_parse(const uint8_t *data, u64 bytes, u64 next_seq, uint32_t epoch, u64 durable_seq, u64 limit,
                  struct command *commands, uint8_t *annex, u64 annex_capacity, u64 *annex_used, u64 *annex_ends,
                  u64 *consumed, int *bad);

int segment_head_read(const uint8_t *data, u64 bytes, struct segment_head *head); /* 0: not one */

/* ---- writing ------------------------------------------------------------------------------------------------- */

enum journal_sync { SYNC_COMMIT = 0, SYNC_INTERVAL = 1, SYNC_NONE = 2 };

#define SYNC_BUCKETS 16 /* upper bounds 2^i * 16 microseconds, the last one open */

struct journal_counters {
    u64 records, bytes, syncs, sync_ns, segments;
    u64 sync_buckets[SYNC_BUCKETS];
};

struct group { /* entries that are written and synced together */
    uint8_t *data;
    u64 used, capacity;
    u64 first_seq, last_seq;
    u64 mark; /* the engine's: reports made up to the last entry */
};

struct journal {
    /* options */
    char dir[PATH_BYTES];
    enum journal_sync sync;
    u64 interval_ns;
    u64 segment_bytes;
    struct core_config config;
    /* Under the lock, all calls below but journal_open and journal_close are made with it held. Called when entries
     * up to `seq` are as safe as the sync mode asks for, and when writing has failed for good. */
    void (*on_safe)(void *context, u64 seq, u64 mark);
    void (*on_failed)(void *context, const char *reason);
    void *context;

    pthread_mutex_t lock;
    pthread_cond_t work; /* there is something to write */
    pthread_cond_t room; /* the active group was taken, or something became safe or failed */
    pthread_t committer, preparer;
    pthread_cond_t prepare;
    int threads, closing, committed_all, failed, committer_waits;
    int committing;   /* a thread has taken a group and writes it */
    u64 last_sync_ns; /* how long the last sync took */
    u64 room_waiters;

    struct group active, writing;
    u64 next_seq;
    u64 durable_seq; /* atomic: readers do not take the lock */
    uint32_t epoch;
    int dir_fd, fd;
    u64 segment_first_seq, segment_offset, segment_limit;
    int prepared_fd; /* -1: not yet */
    int prepare_errno;
    u64 unsynced_since_ns; /* interval: when the oldest unsynced write was made; 0: none */
    u64 unsynced_seq;
    struct watermark *watermark;
    const char *doing; /* the committer's current step, for the reason of a failure */
    uint8_t salts[4096];
    u64 salts_used;
    struct journal_counters counters;
};

#define GROUP_BYTES_SOFT (4u << 20) /* an active group this full makes submitters wait */

/* Takes the lock file of the folder; -1 and text naming the holder when another process has it. Closing gives it back. */
int journal_lock(const char *dir, char text[TEXT_BYTES]);

/* Begins a new segment at `next_seq` under `epoch` and starts the threads. The options are set in `journal`. */
enum journal_status journal_open(struct journal *journal, u64 next_seq, uint32_t epoch, char text[TEXT_BYTES]);

/* Cuts what a scan found after the last good entry and makes sure of what is before. */
enum journal_status journal_cut(const struct scan *scan, char text[TEXT_BYTES]);

int journal_full(const struct journal *journal);
/* Appends one entry; the salt is added here. Never blocks. `journal_mark` follows when its reports are queued. */
void journal_append(struct journal *journal, const struct command *command, const uint8_t *body, u64 body_bytes);
void journal_mark(struct journal *journal, u64 mark, int wake);
/* Begins the commit of what was marked without `wake`. */
void journal_commit(struct journal *journal);
/* The same; but little, on a disk that is quick, is written and synced right here while the committer sleeps: two
 * changes of thread cost half as much as the sync. Gives the lock up meanwhile. */
void journal_commit_here(struct journal *journal);

/* Writes what is buffered, syncs, ends the threads, closes. Takes the lock itself. */
void journal_close(struct journal *journal);

int write_whole(int fd, const void *data, u64 bytes, u64 offset); /* 0, or an errno */
u64 now_ns(clockid_t clock);

#endif

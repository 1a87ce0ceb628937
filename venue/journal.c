/* Writing the journal: one group gathers in memory while the one before it is written and synced. */
#define _GNU_SOURCE
#include "journal.h"

#include "crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS 1000000000ull
#define ZEROS_BYTES (1u << 20)
#define HERE_BYTES_MAX 2048u     /* more is worth a thread of its own: meanwhile the next group gathers */
#define HERE_SYNC_NS_MAX 2000000u /* a caller is not made to wait again for a disk that was slower than this */
#define IDLE_NS 2000000ull /* sync = none: how often the committer looks for something to write */

u64 now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (u64)now.tv_sec * NS + (u64)now.tv_nsec;
}

int write_whole(int fd, const void *data, u64 bytes, u64 offset) {
    const uint8_t *at = data;
    while (bytes > 0) {
        ssize_t done = pwrite(fd, at, bytes, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : ENOSPC;
        at += done;
        bytes -= (u64)done;
        offset += (u64)done;
    }
    return 0;
}

/* ---- the lock file ------------------------------------------------------------------------------------------- */

int journal_lock(const char *dir, char text[TEXT_BYTES]) {
    char path[PATH_BYTES + 32], holder[32] = "";
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        snprintf(text, TEXT_BYTES, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t got = pread(fd, holder, sizeof holder - 1, 0);
        for (ssize_t i = 0; i < got; i++)
            holder[i] = holder[i] == '\n' ? 0 : holder[i];
        snprintf(text, TEXT_BYTES, "%s: the journal is in use by process %s: stop it first", path,
                 got > 0 ? holder : "unknown");
        close(fd);
        return -1;
    }
    int length = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || write_whole(fd, holder, (u64)length, 0) != 0) {
        snprintf(text, TEXT_BYTES, "%s: cannot be written: %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- segments ------------------------------------------------------------------------------------------------ */

/* An unnamed segment full of zeros, so that writing entries changes no metadata and cannot run out of space. */
static int segment_prepare(struct journal *journal, int *error) {
    uint8_t *zeros = calloc(1, ZEROS_BYTES);
    int fd = openat(journal->dir_fd, "next.tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    *error = zeros == 0 ? ENOMEM : fd < 0 ? errno : 0;
    for (u64 at = 0; *error == 0 && at < journal->segment_bytes; at += ZEROS_BYTES) {
        u64 left = journal->segment_bytes - at;
        *error = write_whole(fd, zeros, left < ZEROS_BYTES ? left : ZEROS_BYTES, at);
    }
    if (*error == 0 && fsync(fd) != 0)
        *error = errno;
    free(zeros);
    if (*error != 0 && fd >= 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Gives the prepared segment its head and its name. */
static int segment_begin(struct journal *journal, int fd, u64 first_seq) {
    char name[32];
    struct segment_head head = {
        .magic = JOURNAL_MAGIC,
        .format = JOURNAL_FORMAT,
        .epoch = journal->epoch,
        .first_seq = first_seq,
        .created_ns = now_ns(CLOCK_REALTIME),
        .symbols = (uint32_t)journal->config.symbols,
        .accounts = (uint32_t)journal->config.accounts,
        .assets = (uint32_t)journal->config.assets,
        .orders = (uint32_t)journal->config.orders,
        .levels = (uint32_t)journal->config.levels,
    };
    head.checksum = crc32c(0, &head, offsetof(struct segment_head, checksum));
    snprintf(name, sizeof name, "%020" PRIu64 ".journal", first_seq);
    int error = write_whole(fd, &head, sizeof head, 0);
    if (error == 0 && (fdatasync(fd) != 0 || renameat(journal->dir_fd, "next.tmp", journal->dir_fd, name) != 0 ||
                       fsync(journal->dir_fd) != 0))
        error = errno;
    journal->fd = fd;
    journal->segment_first_seq = first_seq;
    journal->segment_offset = sizeof head;
    journal->segment_limit = journal->segment_bytes;
    journal->counters.segments++;
    return error;
}

/* Ends after the committer has: what that has to write at the end may need one more segment. */
static void *preparer_main(void *context) {
    struct journal *journal = context;
    pthread_mutex_lock(&journal->lock);
    while (!journal->committed_all) {
        if (journal->prepared_fd >= 0 || journal->prepare_errno != 0) {
            pthread_cond_wait(&journal->prepare, &journal->lock);
            continue;
        }
        int error;
        pthread_mutex_unlock(&journal->lock);
        int fd = segment_prepare(journal, &error);
        pthread_mutex_lock(&journal->lock);
        journal->prepared_fd = fd;
        journal->prepare_errno = error;
        pthread_cond_broadcast(&journal->prepare);
    }
    pthread_mutex_unlock(&journal->lock);
    return 0;
}

/* Called by the committer without the lock: seals the full segment and goes on in the prepared one. */
static int rotate(struct journal *journal, u64 first_seq) {
    journal->doing = "fdatasync";
    if (fdatasync(journal->fd) != 0)
        return errno;
    journal->doing = "a new segment";
    if (ftruncate(journal->fd, (off_t)journal->segment_offset) != 0)
        return errno;
    close(journal->fd);
    journal->fd = -1;
    pthread_mutex_lock(&journal->lock);
    while (journal->prepared_fd < 0 && journal->prepare_errno == 0)
        pthread_cond_wait(&journal->prepare, &journal->lock);
    int fd = journal->prepared_fd, error = journal->prepare_errno;
    pthread_mutex_unlock(&journal->lock);
    if (error == 0)
        error = segment_begin(journal, fd, first_seq);
    pthread_mutex_lock(&journal->lock);
    journal->prepared_fd = -1; /* only now: its name must be free before the next one is made */
    pthread_cond_broadcast(&journal->prepare);
    pthread_mutex_unlock(&journal->lock);
    return error;
}

/* ---- groups -------------------------------------------------------------------------------------------------- */

static void publish(struct journal *journal, u64 durable_seq, enum watermark_state state) {
    struct watermark *mark = journal->watermark;
    u64 turn = mark->turn + 1 + mark->turn % 2; /* odd, whatever a killed writer left */
    __atomic_store_n(&mark->turn, turn, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&mark->magic, WATERMARK_MAGIC, __ATOMIC_RELAXED);
    __atomic_store_n(&mark->durable_seq, durable_seq, __ATOMIC_RELAXED);
    __atomic_store_n(&mark->segment_first_seq, journal->segment_first_seq, __ATOMIC_RELAXED);
    __atomic_store_n(&mark->segment_offset, journal->segment_offset, __ATOMIC_RELAXED);
    __atomic_store_n(&mark->epoch, journal->epoch, __ATOMIC_RELAXED);
    __atomic_store_n(&mark->state, state, __ATOMIC_RELAXED);
    __atomic_store_n(&mark->turn, turn + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&journal->durable_seq, durable_seq, __ATOMIC_RELEASE);
}

static int group_write(struct journal *journal) {
    const struct group *group = &journal->writing;
    u64 at = 0;
    while (at < group->used) {
        u64 end = at, room = journal->segment_limit - journal->segment_offset, first_left = 0;
        while (end < group->used) {
            const struct entry_head *head = (const void *)(group->data + end);
            if (end + head->bytes - at > room) {
                first_left = ((const struct command *)(head + 1))->seq;
                break;
            }
            end += head->bytes;
        }
        journal->doing = "writing";
        int error = write_whole(journal->fd, group->data + at, end - at, journal->segment_offset);
        if (error != 0)
            return error;
        journal->segment_offset += end - at;
        at = end;
        if (first_left != 0 && (error = rotate(journal, first_left)) != 0)
            return error;
    }
    return 0;
}

static int group_sync(struct journal *journal) {
    u64 begin = now_ns(CLOCK_MONOTONIC);
    journal->doing = "fdatasync";
    if (fdatasync(journal->fd) != 0)
        return errno;
    u64 took = now_ns(CLOCK_MONOTONIC) - begin, bucket = 0;
    while (bucket + 1 < SYNC_BUCKETS && took > (16000ull << bucket))
        bucket++;
    journal->counters.sync_buckets[bucket]++;
    journal->counters.syncs++;
    journal->counters.sync_ns += took;
    journal->last_sync_ns = took;
    return 0;
}

static void group_take(struct journal *journal) {
    struct group empty = journal->writing;
    journal->writing = journal->active;
    journal->active = empty;
    journal->active.used = 0;
    journal->active.first_seq = journal->next_seq;
    if (journal->room_waiters > 0)
        pthread_cond_broadcast(&journal->room);
}

static void fail(struct journal *journal, int error) {
    char reason[256];
    snprintf(reason, sizeof reason, "journal: %s failed: %s; no order is taken any more", journal->doing,
             strerror(error));
    journal->failed = 1;
    publish(journal, journal->durable_seq, WATERMARK_FAILED);
    pthread_cond_broadcast(&journal->room);
    pthread_cond_signal(&journal->work); /* the committer ends */
    journal->on_failed(journal->context, reason);
}

static int sync_is_due(const struct journal *journal, int closing) {
    return journal->unsynced_since_ns != 0 &&
           (closing || now_ns(CLOCK_MONOTONIC) - journal->unsynced_since_ns >= journal->interval_ns);
}

static void wait_for_work(struct journal *journal) {
    u64 pause = journal->sync == SYNC_NONE ? IDLE_NS : 0;
    if (journal->sync == SYNC_INTERVAL && journal->unsynced_since_ns != 0)
        pause = journal->interval_ns;
    journal->committer_waits = 1;
    if (pause == 0) {
        pthread_cond_wait(&journal->work, &journal->lock);
    } else {
        u64 until = now_ns(CLOCK_MONOTONIC) + pause;
        struct timespec deadline = {.tv_sec = (time_t)(until / NS), .tv_nsec = (long)(until % NS)};
        pthread_cond_timedwait(&journal->work, &journal->lock, &deadline);
    }
    journal->committer_waits = 0;
}

/* Writes the taken group and syncs as the mode asks, without the lock; then tells what is safe. 0 after a failure. */
static int commit_once(struct journal *journal) {
    u64 last_seq = journal->writing.last_seq, mark = journal->writing.mark;
    int wrote = journal->writing.used > 0, synced = 0, closing = journal->closing;
    journal->committing = 1;
    pthread_mutex_unlock(&journal->lock);
    int error = wrote ? group_write(journal) : 0;
    if (wrote && error == 0) {
        journal->unsynced_seq = last_seq;
        if (journal->unsynced_since_ns == 0)
            journal->unsynced_since_ns = now_ns(CLOCK_MONOTONIC);
    }
    if (error == 0 &&
        (journal->sync == SYNC_COMMIT || (journal->sync == SYNC_INTERVAL && sync_is_due(journal, closing)))) {
        error = group_sync(journal);
        synced = 1;
    }
    pthread_mutex_lock(&journal->lock);
    if (error != 0) {
        journal->committing = 0;
        fail(journal, error);
        return 0;
    }
    if (synced || journal->sync == SYNC_NONE) {
        journal->unsynced_since_ns = 0;
        publish(journal, journal->unsynced_seq, WATERMARK_RUNNING);
    }
    if (wrote)
        journal->counters.bytes += journal->writing.used;
    journal->writing.used = 0;
    if (wrote)
        journal->on_safe(journal->context, last_seq, mark);
    if (journal->room_waiters > 0)
        pthread_cond_broadcast(&journal->room);
    journal->committing = 0;
    return 1;
}

static int committer_is_due(const struct journal *journal) {
    if (journal->failed)
        return 1;
    return !journal->committing && (journal->active.used > 0 || journal->closing || sync_is_due(journal, 0));
}

static void *committer_main(void *context) {
    struct journal *journal = context;
    pthread_mutex_lock(&journal->lock);
    for (;;) {
        while (!committer_is_due(journal))
            wait_for_work(journal);
        if (journal->failed || (journal->active.used == 0 && journal->unsynced_since_ns == 0))
            break; /* or closing, and nothing is left */
        group_take(journal);
        if (!commit_once(journal))
            break;
    }
    pthread_mutex_unlock(&journal->lock);
    return 0;
}

/* ---- appending ----------------------------------------------------------------------------------------------- */

int journal_full(const struct journal *journal) {
    return journal->active.used >= GROUP_BYTES_SOFT;
}

static void salt_take(struct journal *journal, uint8_t *salt) {
    if (journal->salts_used == sizeof journal->salts) {
        size_t have = 0;
        while (have < sizeof journal->salts) {
            ssize_t got = getrandom(journal->salts + have, sizeof journal->salts - have, 0);
            if (got > 0)
                have += (size_t)got;
        }
        journal->salts_used = 0;
    }
    memcpy(salt, journal->salts + journal->salts_used, SALT_BYTES);
    journal->salts_used += SALT_BYTES;
}

static void group_grow(struct group *group, u64 bytes) {
    if (group->used + bytes <= group->capacity)
        return;
    group->capacity = group->capacity * 2 + bytes;
    void *data = realloc(group->data, group->capacity);
    if (data == 0)
        abort(); /* the entry can be neither kept nor refused any more */
    group->data = data;
}

void journal_append(struct journal *journal, const struct command *command, const uint8_t *body, u64 body_bytes) {
    struct group *group = &journal->active;
    u64 annex_bytes = SALT_BYTES + body_bytes, bytes = (ENTRY_BYTES_MIN + annex_bytes + 7) / 8 * 8;
    group_grow(group, bytes);
    uint8_t *at = group->data + group->used;
    struct entry_head *head = (void *)at;
    head->bytes = (uint32_t)bytes;
    head->annex_bytes = (uint32_t)annex_bytes;
    head->epoch = journal->epoch;
    head->group_first_seq = journal->sync == SYNC_COMMIT ? group->first_seq : journal->durable_seq + 1;
    memcpy(at + sizeof *head, command, sizeof *command);
    salt_take(journal, at + ENTRY_BYTES_MIN);
    if (body_bytes > 0)
        memcpy(at + ENTRY_BYTES_MIN + SALT_BYTES, body, body_bytes);
    memset(at + ENTRY_BYTES_MIN + annex_bytes, 0, bytes - ENTRY_BYTES_MIN - annex_bytes);
    uint32_t crc = crc32c(0, at, sizeof(uint32_t));
    head->checksum = crc32c(crc, at + 2 * sizeof(uint32_t), bytes - 2 * sizeof(uint32_t));
    group->used += bytes;
    group->last_seq = command->seq;
    journal->next_seq = command->seq + 1;
    journal->counters.records++;
}

void journal_mark(struct journal *journal, u64 mark, int wake) {
    journal->active.mark = mark;
    if (wake)
        journal_commit(journal);
}

void journal_commit(struct journal *journal) {
    if (journal->committer_waits && (journal->sync != SYNC_NONE || journal_full(journal)))
        pthread_cond_signal(&journal->work);
}

void journal_commit_here(struct journal *journal) {
    u64 bytes = journal->active.used;
    int idle = journal->committer_waits && !journal->committing && !journal->failed && !journal->closing;
    int little = bytes <= HERE_BYTES_MAX && bytes <= journal->segment_limit - journal->segment_offset;
    if (bytes == 0 || journal->sync != SYNC_COMMIT || !idle || !little || journal->last_sync_ns > HERE_SYNC_NS_MAX) {
        journal_commit(journal);
        return;
    }
    group_take(journal);
    if (commit_once(journal) && (journal->active.used > 0 || journal->closing))
        pthread_cond_signal(&journal->work); /* what came from other threads meanwhile */
}

/* ---- opening and closing ------------------------------------------------------------------------------------- */

static int failed_call(const char *what, int error, char text[TEXT_BYTES]) {
    snprintf(text, TEXT_BYTES, "%s: %s", what, strerror(error));
    return JOURNAL_FAILED;
}

enum journal_status journal_cut(const struct scan *scan, char text[TEXT_BYTES]) {
    char path[PATH_BYTES + 32];
    if (scan->tail_first_seq == 0)
        return JOURNAL_OK;
    snprintf(path, sizeof path, "%s/%020" PRIu64 ".journal", scan->dir, scan->tail_first_seq);
    int fd = open(path, O_RDWR | O_CLOEXEC), error = fd < 0 ? errno : 0;
    if (error == 0 && (ftruncate(fd, (off_t)scan->tail_offset) != 0 || fsync(fd) != 0))
        error = errno;
    if (fd >= 0)
        close(fd);
    return error == 0 ? JOURNAL_OK : failed_call(path, error, text);
}

static int watermark_open(struct journal *journal) {
    int fd = openat(journal->dir_fd, "watermark", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno;
    void *mapping = MAP_FAILED;
    if (ftruncate(fd, sizeof(struct watermark)) == 0)
        mapping = mmap(0, sizeof(struct watermark), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int error = mapping == MAP_FAILED ? errno : 0;
    close(fd);
    if (mapping != MAP_FAILED)
        journal->watermark = mapping;
    return error;
}

static void locks_make(struct journal *journal) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&journal->lock, 0);
    pthread_cond_init(&journal->work, &monotonic);
    pthread_cond_init(&journal->room, &monotonic);
    pthread_cond_init(&journal->prepare, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

enum journal_status journal_open(struct journal *journal, u64 next_seq, uint32_t epoch, char text[TEXT_BYTES]) {
    int error = 0;
    locks_make(journal);
    journal->next_seq = next_seq;
    journal->epoch = epoch;
    journal->prepared_fd = -1;
    journal->salts_used = sizeof journal->salts;
    journal->active.first_seq = next_seq;
    journal->dir_fd = open(journal->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (journal->dir_fd < 0)
        return failed_call(journal->dir, errno, text);
    if ((error = watermark_open(journal)) != 0)
        return failed_call("watermark", error, text);
    int fd = segment_prepare(journal, &error);
    if (error != 0 || (error = segment_begin(journal, fd, next_seq)) != 0)
        return failed_call("a new segment", error, text);
    publish(journal, next_seq - 1, WATERMARK_RUNNING);
    if (msync(journal->watermark, sizeof(struct watermark), MS_SYNC) != 0)
        return failed_call("watermark", errno, text);
    if ((error = pthread_create(&journal->preparer, 0, preparer_main, journal)) != 0 ||
        (error = pthread_create(&journal->committer, 0, committer_main, journal)) != 0)
        return failed_call("starting a thread", error, text);
    journal->threads = 1;
    return JOURNAL_OK;
}

static void threads_end(struct journal *journal) {
    pthread_mutex_lock(&journal->lock);
    journal->closing = 1;
    pthread_cond_broadcast(&journal->work);
    pthread_cond_broadcast(&journal->room);
    pthread_mutex_unlock(&journal->lock);
    pthread_join(journal->committer, 0);
    pthread_mutex_lock(&journal->lock);
    journal->committed_all = 1;
    pthread_cond_broadcast(&journal->prepare);
    pthread_mutex_unlock(&journal->lock);
    pthread_join(journal->preparer, 0);
    journal->threads = 0;
}

void journal_close(struct journal *journal) {
    if (journal->threads)
        threads_end(journal);
    if (journal->fd > 0 && !journal->failed) {
        /* What sync = none left to the system is synced at a clean end; an error here changes nothing that was said. */
        if (fdatasync(journal->fd) == 0 && ftruncate(journal->fd, (off_t)journal->segment_offset) == 0) {
            pthread_mutex_lock(&journal->lock);
            publish(journal, journal->durable_seq, WATERMARK_CLOSED);
            pthread_mutex_unlock(&journal->lock);
        }
        close(journal->fd);
    }
    if (journal->prepared_fd >= 0) {
        close(journal->prepared_fd);
        unlinkat(journal->dir_fd, "next.tmp", 0);
    }
    if (journal->watermark != 0) {
        msync(journal->watermark, sizeof(struct watermark), MS_SYNC);
        munmap(journal->watermark, sizeof(struct watermark));
    }
    if (journal->dir_fd > 0)
        close(journal->dir_fd);
    free(journal->active.data);
    free(journal->writing.data);
}

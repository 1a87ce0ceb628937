/* Snapshots: the state after a command, so that recovery replays the rest only.
 *
 * `snapshot/<seq, 20 digits>.snapshot`: head, the core's canonical slots, the order table, the reports that a session's
 * store may lack. The copy is made under the lock; a thread of its own writes it to a temporary name, syncs and renames
 * it, and not before its last command is durable and its last report was handed over. A snapshot only shortens recovery:
 * a damaged one is passed over, a failing write stops nothing.
 */
#define _GNU_SOURCE
#include "engine_internal.h"

#include "crc32c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPSHOT_MAGIC "FVSNAPSH"
#define SNAPSHOT_FORMAT 2u

/* ---- taking -------------------------------------------------------------------------------------------------- */

static void *copy_of(const void *array, u64 count, size_t size) {
    void *copy = malloc(count * size + 1);
    if (copy != 0 && count > 0)
        memcpy(copy, array, count * size);
    return copy;
}

void snapshot_image_free(struct image *image) {
    free(image->slots);
    free(image->tracked);
    free(image->known);
    free(image->reports);
    memset(image, 0, sizeof *image);
}

/* Unclaimed reports, then those of the recent ones that are for a session. */
static void reports_copy(const struct reports *reports, struct image *image) {
    u64 first = reports_kept_first(reports), count = reports->pending_count;
    image->reports = malloc((count + reports->total - first + 1) * sizeof(struct report));
    if (image->reports == 0)
        return;
    if (count > 0)
        memcpy(image->reports, reports->pending, count * sizeof(struct report));
    for (u64 number = first; number < reports->total; number++) {
        const struct report *report = report_at(reports, number);
        if (report->session != 0)
            image->reports[count++] = *report;
    }
    image->report_count = count;
}

/* With an interval of 0 snapshots are taken on request only. */
static u64 next_at(const struct engine *engine) {
    return engine->snapshots.interval == 0 ? SEQ_MAX + 1 : engine->last_seq + engine->snapshots.interval;
}

int snapshot_image(struct engine *engine, struct image *image) {
    image->seq = engine->last_seq;
    image->time_ns = engine->last_time_ns;
    image->day = engine->orders.day;
    image->mark = engine->reports.total;
    image->slot_count = core_snapshot(engine->core, 0);
    image->slots = malloc(image->slot_count * sizeof(struct slot));
    image->tracked_count = engine->orders.tracked_count;
    image->known_count = engine->orders.known_count;
    image->tracked = copy_of(engine->orders.tracked, image->tracked_count, sizeof(struct tracked));
    image->known = copy_of(engine->orders.known, image->known_count, sizeof(struct known));
    reports_copy(&engine->reports, image);
    if (image->slots == 0 || image->tracked == 0 || image->known == 0 || image->reports == 0) {
        snapshot_image_free(image);
        return 0;
    }
    core_snapshot(engine->core, image->slots);
    return 1;
}

void snapshot_take(struct engine *engine) {
    struct snapshots *snapshots = &engine->snapshots;
    if (snapshots->busy || !snapshots->thread_started)
        return;
    snapshots->next_at = next_at(engine);
    if (!snapshot_image(engine, &snapshots->image)) {
        snapshots->failed_errno = ENOMEM;
        return;
    }
    snapshots->busy = 1;
    pthread_cond_signal(&snapshots->wake);
}

int snapshot_wait(struct engine *engine) {
    while (engine->snapshots.busy && !engine->journal.failed)
        pthread_cond_wait(&engine->snapshots.done, &engine->journal.lock);
    return engine->snapshots.failed_errno;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static int section_write(int fd, const void *data, u64 bytes, u64 *at, uint32_t *checksum) {
    int error = write_whole(fd, data, bytes, *at);
    *checksum = crc32c(*checksum, data, bytes);
    *at += bytes;
    return error;
}

static int image_write(int fd, const struct image *image, uint32_t epoch) {
    struct snapshot_head head = {
        .magic = SNAPSHOT_MAGIC,
        .format = SNAPSHOT_FORMAT,
        .epoch = epoch,
        .seq = image->seq,
        .time_ns = image->time_ns,
        .day = image->day,
        .slot_count = image->slot_count,
        .tracked_count = image->tracked_count,
        .known_count = image->known_count,
        .report_count = image->report_count,
        .tracked_bytes = sizeof(struct tracked),
        .known_bytes = sizeof(struct known),
        .report_bytes = sizeof(struct report),
    };
    u64 at = sizeof head;
    int error = section_write(fd, image->slots, image->slot_count * sizeof(struct slot), &at, &head.body_checksum);
    if (error == 0)
        error =
            section_write(fd, image->tracked, image->tracked_count * sizeof(struct tracked), &at, &head.body_checksum);
    if (error == 0)
        error = section_write(fd, image->known, image->known_count * sizeof(struct known), &at, &head.body_checksum);
    if (error == 0)
        error =
            section_write(fd, image->reports, image->report_count * sizeof(struct report), &at, &head.body_checksum);
    head.checksum = crc32c(0, &head, offsetof(struct snapshot_head, checksum));
    return error != 0 ? error : write_whole(fd, &head, sizeof head, 0);
}

static u64 snapshot_number(const char *name) {
    if (strlen(name) != 29 || strcmp(name + 20, ".snapshot") != 0 || strspn(name, "0123456789") != 20)
        return 0;
    return strtoull(name, 0, 10);
}

static int descending(const void *a, const void *b) {
    u64 left = *(const u64 *)a, right = *(const u64 *)b;
    return (left < right) - (left > right);
}

#define LISTED_MAX 64

static int snapshots_list(const char *dir, u64 numbers[LISTED_MAX]) {
    int count = 0;
    DIR *folder = opendir(dir);
    if (folder == 0)
        return 0;
    for (struct dirent *item; count < LISTED_MAX && (item = readdir(folder)) != 0;) {
        u64 number = snapshot_number(item->d_name);
        if (number != 0)
            numbers[count++] = number;
    }
    closedir(folder);
    qsort(numbers, (size_t)count, sizeof(u64), descending);
    return count;
}

static void prune(const char *dir) {
    u64 numbers[LISTED_MAX];
    int count = snapshots_list(dir, numbers);
    for (int i = SNAPSHOTS_KEPT; i < count; i++) {
        char path[PATH_BYTES + 48];
        snprintf(path, sizeof path, "%s/%020" PRIu64 ".snapshot", dir, numbers[i]);
        unlink(path);
    }
}

int snapshot_write(const char *dir, const struct image *image, uint32_t epoch) {
    char temporary[PATH_BYTES + 48], path[PATH_BYTES + 48];
    snprintf(temporary, sizeof temporary, "%s/next.tmp", dir);
    snprintf(path, sizeof path, "%s/%020" PRIu64 ".snapshot", dir, image->seq);
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int opened = folder >= 0 && fd >= 0, error = opened ? image_write(fd, image, epoch) : errno;
    if (opened && error == 0 && (fsync(fd) != 0 || rename(temporary, path) != 0 || fsync(folder) != 0))
        error = errno;
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    if (error == 0)
        prune(dir);
    return error;
}

static void *snapshot_main(void *context) {
    struct engine *engine = context;
    struct snapshots *snapshots = &engine->snapshots;
    engine_lock(engine);
    for (;;) {
        while (!snapshots->busy && !snapshots->closing)
            pthread_cond_wait(&snapshots->wake, &engine->journal.lock);
        if (!snapshots->busy)
            break;
        struct image *image = &snapshots->image;
        int valid;
        for (;;) {
            valid = engine->journal.durable_seq >= image->seq && engine->reports.released >= image->mark;
            if (valid || engine->journal.failed || snapshots->closing)
                break;
            /* In the interval mode nothing wakes this at the sync itself: look again soon. */
            struct timespec soon;
            u64 until = now_ns(CLOCK_MONOTONIC) + 5000000;
            soon.tv_sec = (time_t)(until / 1000000000);
            soon.tv_nsec = (long)(until % 1000000000);
            pthread_cond_timedwait(&snapshots->wake, &engine->journal.lock, &soon);
        }
        int error = ECANCELED;
        u64 seq = image->seq;
        if (valid) {
            engine_unlock(engine);
            error = snapshot_write(snapshots->dir, image, engine->journal.epoch);
            engine_lock(engine);
        }
        snapshot_image_free(image);
        snapshots->failed_errno = error;
        if (error == 0)
            __atomic_store_n(&snapshots->last_seq, seq, __ATOMIC_RELEASE);
        snapshots->busy = 0;
        pthread_cond_broadcast(&snapshots->done);
    }
    engine_unlock(engine);
    return 0;
}

/* ---- opening and closing ------------------------------------------------------------------------------------- */

enum journal_status snapshots_open(struct engine *engine, char text[TEXT_BYTES]) {
    struct snapshots *snapshots = &engine->snapshots;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&snapshots->wake, &monotonic);
    pthread_cond_init(&snapshots->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    snapshots->next_at = next_at(engine);
    int error = pthread_create(&snapshots->thread, 0, snapshot_main, engine);
    if (error != 0) {
        snprintf(text, TEXT_BYTES, "starting a thread: %s", strerror(error));
        return JOURNAL_FAILED;
    }
    snapshots->thread_started = 1;
    return JOURNAL_OK;
}

void snapshots_close(struct engine *engine) {
    struct snapshots *snapshots = &engine->snapshots;
    if (!snapshots->thread_started)
        return;
    engine_lock(engine);
    snapshots->closing = 1;
    pthread_cond_broadcast(&snapshots->wake);
    engine_unlock(engine);
    pthread_join(snapshots->thread, 0);
    snapshot_image_free(&snapshots->image);
}

/* ---- loading ------------------------------------------------------------------------------------------------- */

static u64 body_bytes(const struct snapshot_head *head) {
    return head->slot_count * sizeof(struct slot) + head->tracked_count * sizeof(struct tracked) +
           head->known_count * sizeof(struct known) + head->report_count * sizeof(struct report);
}

/* Why these bytes are no snapshot of `seq`; null when they are one. */
static const char *head_fault(const uint8_t *data, u64 bytes, u64 seq, struct snapshot_head *head) {
    if (bytes < sizeof *head)
        return "shorter than its head";
    memcpy(head, data, sizeof *head);
    if (memcmp(head->magic, SNAPSHOT_MAGIC, sizeof head->magic) != 0)
        return "not a snapshot";
    if (crc32c(0, head, offsetof(struct snapshot_head, checksum)) != head->checksum)
        return "its head is damaged";
    if (head->format != SNAPSHOT_FORMAT || head->tracked_bytes != sizeof(struct tracked) ||
        head->known_bytes != sizeof(struct known) || head->report_bytes != sizeof(struct report))
        return "written by another version";
    if (head->seq != seq || head->slot_count < 2)
        return "its name and its head disagree";
    if (body_bytes(head) != bytes - sizeof *head)
        return "cut short";
    if (crc32c(0, data + sizeof *head, bytes - sizeof *head) != head->body_checksum)
        return "its body is damaged";
    return 0;
}

static int limits_equal(const struct core_config *config, const u64 *words) {
    return words[1] == config->symbols && words[2] == config->accounts && words[3] == config->assets &&
           words[4] == config->orders && words[5] == config->levels;
}

static enum journal_status body_load(struct engine *engine, const uint8_t *data, const struct snapshot_head *head,
                                     const char *path, char text[TEXT_BYTES]) {
    const struct slot *slots = (const void *)(data + sizeof *head);
    const struct tracked *tracked = (const void *)(slots + head->slot_count);
    const struct known *known = (const void *)(tracked + head->tracked_count);
    const struct report *reports = (const void *)(known + head->known_count);
    if (!limits_equal(&engine->config, slots[0].word)) {
        snprintf(text, TEXT_BYTES,
                 "%s: written with limits symbols=%" PRIu64 " accounts=%" PRIu64 " assets=%" PRIu64 " orders=%" PRIu64
                 " levels=%" PRIu64 "; the limits are part of the state and cannot change: put these back",
                 path, slots[0].word[1], slots[0].word[2], slots[0].word[3], slots[0].word[4], slots[0].word[5]);
        return JOURNAL_CONFIG;
    }
    if (core_restore_snapshot(engine->core, slots, head->slot_count) != CORE_OK ||
        !orders_load(&engine->orders, tracked, head->tracked_count, known, head->known_count, head->day))
        return JOURNAL_DAMAGED;
    for (u64 i = 0; i < head->report_count; i++)
        report_keep_pending(&engine->reports, &reports[i]);
    engine->last_seq = head->seq;
    engine->last_time_ns = head->time_ns;
    engine->snapshots.last_seq = head->seq;
    return JOURNAL_OK;
}

/* Maps the file and loads it; JOURNAL_DAMAGED and a fault when it is no good. */
enum journal_status snapshot_load(struct engine *engine, u64 seq, const char *path, const char **fault,
                                  char text[TEXT_BYTES]) {
    struct stat facts;
    struct snapshot_head head;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *fault = "cannot be read";
    if (fd < 0 || fstat(fd, &facts) != 0 || facts.st_size == 0) {
        if (fd >= 0)
            close(fd);
        return JOURNAL_DAMAGED;
    }
    uint8_t *data = mmap(0, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED)
        return JOURNAL_DAMAGED;
    enum journal_status status = JOURNAL_DAMAGED;
    *fault = head_fault(data, (u64)facts.st_size, seq, &head);
    if (*fault == 0) {
        *fault = "no state of this core";
        status = body_load(engine, data, &head, path, text);
    }
    munmap(data, (size_t)facts.st_size);
    return status;
}

enum journal_status snapshot_load_newest(struct engine *engine, char text[TEXT_BYTES]) {
    u64 numbers[LISTED_MAX];
    int count = snapshots_list(engine->snapshots.dir, numbers);
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES + 48];
        const char *fault;
        snprintf(path, sizeof path, "%s/%020" PRIu64 ".snapshot", engine->snapshots.dir, numbers[i]);
        enum journal_status status = snapshot_load(engine, numbers[i], path, &fault, text);
        if (status != JOURNAL_DAMAGED)
            return status;
        size_t used = strlen(engine->notes);
        snprintf(engine->notes + used, TEXT_BYTES - used, "%s%.900s: passed over: %s", used ? "\n" : "", path, fault);
        madvise(engine->core, engine->core_bytes, MADV_DONTNEED); /* fresh zero pages */
        core_init(engine->core, &engine->config);
    }
    return JOURNAL_OK;
}

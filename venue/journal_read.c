/* Reading a journal: entries out of bytes, whole journals for recovery and replay, and the judgement on a bad entry. */
#include "journal.h"

#include "crc32c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMEDIES                                                                                                       \
    "mend it by one of: (1) put back this segment from a standby's or a backup's copy of the journal folder; "         \
    "(2) rebuild the journal up to the last sealed batch from the archive. Nothing was changed."

/* ---- entries and heads --------------------------------------------------------------------------------------- */

static uint32_t entry_checksum(const uint8_t *data, u64 bytes) {
    uint32_t crc = crc32c(0, data, sizeof(uint32_t)); /* the length, then everything after the checksum */
    return crc32c(crc, data + 2 * sizeof(uint32_t), bytes - 2 * sizeof(uint32_t));
}

int entry_read(const uint8_t *data, u64 bytes, struct entry *entry) {
    const struct entry_head *head = (const void *)data;
    if (bytes < ENTRY_BYTES_MIN || head->bytes < ENTRY_BYTES_MIN || head->bytes > ENTRY_BYTES_MAX)
        return 0;
    if (head->bytes > bytes || head->bytes % 8 != 0 || head->annex_bytes > ANNEX_BYTES_MAX)
        return 0;
    if ((ENTRY_BYTES_MIN + head->annex_bytes + 7) / 8 * 8 != head->bytes)
        return 0;
    if (entry_checksum(data, head->bytes) != head->checksum)
        return 0;
    entry->head = head;
    entry->command = (const void *)(data + sizeof *head);
    entry->annex = data + ENTRY_BYTES_MIN;
    return 1;
}

int segment_head_read(const uint8_t *data, u64 bytes, struct segment_head *head) {
    if (bytes < sizeof *head)
        return 0;
    memcpy(head, data, sizeof *head);
    return memcmp(head->magic, JOURNAL_MAGIC, sizeof head->magic) == 0 && head->format == JOURNAL_FORMAT &&
           crc32c(0, head, offsetof(struct segment_head, checksum)) == head->checksum;
}

u64 entries_parse(const uint8_t *data, u64 bytes, u64 next_seq, uint32_t epoch, u64 durable_seq, u64 limit,
                  struct command *commands, uint8_t *annex, u64 annex_capacity, u64 *annex_used, u64 *annex_ends,
                  u64 *consumed, int *bad) {
    u64 count = 0, at = 0;
    struct entry entry;
    *bad = 0;
    while (count < limit && next_seq <= durable_seq) {
        if (!entry_read(data + at, bytes - at, &entry) || entry.command->seq != next_seq ||
            entry.head->epoch != epoch) {
            for (u64 i = at; i < bytes && !*bad; i++)
                *bad = data[i] != 0;
            break;
        }
        if (entry.head->annex_bytes > annex_capacity - *annex_used)
            break;
        commands[count] = *entry.command;
        memcpy(annex + *annex_used, entry.annex, entry.head->annex_bytes);
        *annex_used += entry.head->annex_bytes;
        annex_ends[count++] = *annex_used;
        at += entry.head->bytes;
        next_seq++;
    }
    *consumed = at;
    return count;
}

/* ---- the watermark ------------------------------------------------------------------------------------------- */

int watermark_read(const void *mapping, struct watermark *copy) {
    const u64 *words = mapping;
    u64 *out = (u64 *)copy;
    for (int tries = 0; tries < 10000; tries++) { /* a writer killed half-way leaves an odd turn until the next start */
        u64 turn = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE);
        for (int i = 0; i < 8; i++)
            out[i] = __atomic_load_n(&words[i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (turn % 2 == 0 && turn == __atomic_load_n(&words[1], __ATOMIC_RELAXED))
            return copy->magic == WATERMARK_MAGIC;
    }
    return 0;
}

int watermark_load(const char *dir, struct watermark *copy) {
    char path[PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/watermark", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = pread(fd, copy, sizeof *copy, 0);
    close(fd);
    return got == sizeof *copy && copy->magic == WATERMARK_MAGIC;
}

/* ---- segments ------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
    u64 left = *(const u64 *)a, right = *(const u64 *)b;
    return (left > right) - (left < right);
}

/* `00000000000000000001.journal` -> 1; 0 when the name is another. */
static u64 segment_number(const char *name) {
    if (strlen(name) != 28 || strcmp(name + 20, ".journal") != 0 || strspn(name, "0123456789") != 20)
        return 0;
    return strtoull(name, 0, 10);
}

int64_t journal_segments(const char *dir, u64 **first_seqs) {
    int64_t count = 0, capacity = 16;
    DIR *folder = opendir(dir);
    *first_seqs = malloc((size_t)capacity * sizeof(u64));
    if (folder == 0 || *first_seqs == 0) {
        int missing = folder == 0 && errno == ENOENT;
        if (folder != 0)
            closedir(folder);
        return missing ? 0 : -1;
    }
    for (struct dirent *item; (item = readdir(folder)) != 0;) {
        u64 number = segment_number(item->d_name);
        if (number == 0)
            continue;
        if (count == capacity) {
            capacity *= 2;
            u64 *grown = realloc(*first_seqs, (size_t)capacity * sizeof(u64));
            if (grown == 0) {
                closedir(folder);
                return -1;
            }
            *first_seqs = grown;
        }
        (*first_seqs)[count++] = number;
    }
    closedir(folder);
    qsort(*first_seqs, (size_t)count, sizeof(u64), ascending);
    return count;
}

struct segment {
    char path[PATH_BYTES + 32];
    uint8_t *data;
    u64 bytes;
    struct segment_head head;
    int last;
};

static enum journal_status segment_load(struct scan *scan, u64 first_seq, struct segment *segment) {
    struct stat facts;
    snprintf(segment->path, sizeof segment->path, "%s/%020" PRIu64 ".journal", scan->dir, first_seq);
    int fd = open(segment->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0 || (segment->data = malloc((size_t)facts.st_size + 1)) == 0) {
        snprintf(scan->text, TEXT_BYTES, "%s: cannot be read: %s", segment->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return JOURNAL_FAILED;
    }
    segment->bytes = 0;
    while (segment->bytes < (u64)facts.st_size) {
        ssize_t got =
            pread(fd, segment->data + segment->bytes, (size_t)facts.st_size - segment->bytes, (off_t)segment->bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            snprintf(scan->text, TEXT_BYTES, "%s: reading at offset %" PRIu64 " failed: %s", segment->path,
                     segment->bytes, strerror(errno));
            close(fd);
            return JOURNAL_FAILED;
        }
        if (got == 0)
            break;
        segment->bytes += (u64)got;
    }
    close(fd);
    return JOURNAL_OK;
}

static int configs_equal(const struct segment_head *head, const struct core_config *config) {
    return head->symbols == config->symbols && head->accounts == config->accounts && head->assets == config->assets &&
           head->orders == config->orders && head->levels == config->levels;
}

static enum journal_status head_judge(struct scan *scan, struct segment *segment, u64 first_seq) {
    struct segment_head *head = &segment->head;
    if (!segment_head_read(segment->data, segment->bytes, head)) {
        int other = segment->bytes >= sizeof *head && memcmp(head->magic, JOURNAL_MAGIC, sizeof head->magic) == 0 &&
                    crc32c(0, head, offsetof(struct segment_head, checksum)) == head->checksum;
        snprintf(scan->text, TEXT_BYTES, "%s: offset 0: %s; %s", segment->path,
                 other ? "a segment of another format version" : "the segment's head is damaged", REMEDIES);
        return other ? JOURNAL_CONFIG : JOURNAL_DAMAGED;
    }
    if (head->first_seq != first_seq || head->epoch < scan->epoch) {
        snprintf(scan->text, TEXT_BYTES,
                 "%s: offset 0: the head says first sequence number %" PRIu64 ", epoch %" PRIu32
                 ", which does not follow (epoch so far %" PRIu32 "); %s",
                 segment->path, head->first_seq, head->epoch, scan->epoch, REMEDIES);
        return JOURNAL_DAMAGED;
    }
    if (scan->config != 0 && !configs_equal(head, scan->config)) {
        snprintf(scan->text, TEXT_BYTES,
                 "%s: written with limits symbols=%" PRIu32 " accounts=%" PRIu32 " assets=%" PRIu32 " orders=%" PRIu32
                 " levels=%" PRIu32 "; the limits are part of the state and cannot change: put these back",
                 segment->path, head->symbols, head->accounts, head->assets, head->orders, head->levels);
        return JOURNAL_CONFIG;
    }
    scan->found = (struct core_config){head->symbols, head->accounts, head->assets, head->orders, head->levels};
    scan->epoch = head->epoch;
    return JOURNAL_OK;
}

/* ---- judgement ----------------------------------------------------------------------------------------------- */

static int all_zeros(const uint8_t *data, u64 bytes) {
    for (u64 i = 0; i < bytes; i++)
        if (data[i] != 0)
            return 0;
    return 1;
}

/* The highest group_first_seq among valid later entries after `at`, 0 when there is none; *found is where one lies. */
static u64 later_group(const struct segment *segment, u64 at, u64 expected, u64 *found) {
    u64 highest = 0;
    struct entry entry;
    for (u64 i = at + 8; i + ENTRY_BYTES_MIN <= segment->bytes; i += 8) {
        if (!entry_read(segment->data + i, segment->bytes - i, &entry))
            continue;
        if (entry.head->epoch != segment->head.epoch || entry.command->seq < expected)
            continue;
        if (entry.head->group_first_seq >= highest) {
            highest = entry.head->group_first_seq;
            *found = i;
        }
    }
    return highest;
}

/* The bytes at `at` are no entry `expected`. Zeros to the end, or a group that a crash cut short before its sync, end
 * the journal there. Anything that was acknowledged, as the watermark or a later group says, is damage. */
static enum journal_status bad_judge(struct scan *scan, const struct segment *segment, u64 at, u64 expected) {
    u64 found = 0, rest = segment->bytes - at;
    int zeros = all_zeros(segment->data + at, rest);
    scan->tail_offset = at;
    scan->torn_bytes = zeros ? 0 : rest;
    for (u64 i = segment->bytes; scan->torn_bytes != 0 && i > at && segment->data[i - 1] == 0; i--)
        scan->torn_bytes--; /* what was preallocated is not torn */
    if (scan->watermarked && expected <= scan->durable_seq && (segment->last || !zeros)) {
        snprintf(scan->text, TEXT_BYTES,
                 "%s: offset %" PRIu64 ": entry %" PRIu64 " is missing or damaged, but entries up to %" PRIu64
                 " were acknowledged; %s",
                 segment->path, at, expected, scan->durable_seq, REMEDIES);
        return JOURNAL_DAMAGED;
    }
    if (zeros)
        return JOURNAL_OK;
    u64 group = later_group(segment, at, expected, &found);
    if (segment->last && (group == 0 || (scan->watermarked && group <= expected)))
        return JOURNAL_OK;
    snprintf(scan->text, TEXT_BYTES,
             "%s: offset %" PRIu64 ": entry %" PRIu64 " is damaged, with good entries after it (%s %" PRIu64 "); %s",
             segment->path, at, expected, found ? "next at offset" : "segments after this one, which ends at",
             found ? found : segment->bytes, REMEDIES);
    return JOURNAL_DAMAGED;
}

static enum journal_status segment_scan(struct scan *scan, const struct segment *segment) {
    u64 at = sizeof(struct segment_head);
    struct entry entry;
    for (u64 seq = segment->head.first_seq;; seq++) {
        scan->tail_offset = at;
        if (seq > scan->to_seq)
            return JOURNAL_OK;
        if (at == segment->bytes)
            return bad_judge(scan, segment, at, seq);
        if (!entry_read(segment->data + at, segment->bytes - at, &entry) || entry.command->seq != seq ||
            entry.head->epoch != segment->head.epoch || entry.head->group_first_seq > seq ||
            entry.command->time_ns < scan->last_time_ns)
            return bad_judge(scan, segment, at, seq);
        scan->last_seq = seq;
        scan->last_time_ns = entry.command->time_ns;
        if (seq >= scan->from_seq) {
            scan->entries++;
            if (scan->visit != 0 &&
                scan->visit(scan->context, entry.command, entry.annex, entry.head->annex_bytes) != 0) {
                scan->to_seq = seq;
                return JOURNAL_OK;
            }
        }
        at += entry.head->bytes;
    }
}

static enum journal_status gap(struct scan *scan, u64 first_seq) {
    snprintf(scan->text, TEXT_BYTES,
             "%s: entries %" PRIu64 " to %" PRIu64 " are missing: the next segment is %020" PRIu64 ".journal; %s",
             scan->dir, scan->last_seq + 1, first_seq - 1, first_seq, REMEDIES);
    return JOURNAL_DAMAGED;
}

static enum journal_status segments_scan(struct scan *scan, const u64 *firsts, int64_t count) {
    int64_t start = 0;
    while (start + 1 < count && firsts[start + 1] <= scan->from_seq)
        start++;
    scan->last_seq = scan->from_seq - 1;
    if (firsts[start] > scan->from_seq)
        return gap(scan, firsts[start]);
    scan->last_seq = firsts[start] - 1;
    for (int64_t i = start; i < count && scan->last_seq < scan->to_seq; i++) {
        struct segment segment = {.last = i + 1 == count};
        if (firsts[i] != scan->last_seq + 1)
            return gap(scan, firsts[i]);
        enum journal_status status = segment_load(scan, firsts[i], &segment);
        if (status == JOURNAL_OK)
            status = head_judge(scan, &segment, firsts[i]);
        scan->tail_first_seq = firsts[i];
        if (status == JOURNAL_OK)
            status = segment_scan(scan, &segment);
        free(segment.data);
        if (status != JOURNAL_OK)
            return status;
    }
    if (scan->last_seq + 1 < scan->from_seq) {
        snprintf(scan->text, TEXT_BYTES,
                 "%s: the journal ends at entry %" PRIu64 ", but a snapshot of entry %" PRIu64 " exists; %s", scan->dir,
                 scan->last_seq, scan->from_seq - 1, REMEDIES);
        return JOURNAL_DAMAGED;
    }
    return JOURNAL_OK;
}

enum journal_status journal_scan(struct scan *scan) {
    u64 *firsts = 0;
    int64_t count = journal_segments(scan->dir, &firsts);
    enum journal_status status = JOURNAL_OK;
    if (count < 0) {
        snprintf(scan->text, TEXT_BYTES, "%s: cannot be listed: %s", scan->dir, strerror(errno));
        status = JOURNAL_FAILED;
    } else if (count > 0) {
        status = segments_scan(scan, firsts, count);
    } else if (scan->from_seq > 1 || (scan->watermarked && scan->durable_seq > 0)) {
        snprintf(scan->text, TEXT_BYTES, "%s: no segment is there, but entries up to %" PRIu64 " were acknowledged; %s",
                 scan->dir, scan->watermarked ? scan->durable_seq : scan->from_seq - 1, REMEDIES);
        status = JOURNAL_DAMAGED;
    }
    free(firsts);
    return status;
}

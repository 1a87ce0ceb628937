/* The one writer: under one lock a command is checked against the order table, stamped, journaled and applied, and its
 * reports are queued; they leave when the journal says that the command is safe.
 *
 * Nothing is dropped for want of room: a submitter waits while the journal's active group has GROUP_BYTES_SOFT bytes or
 * REPORTS_WAITING_SOFT reports have not been handed over. A submit from inside the sink never waits. */
#define _GNU_SOURCE
#include "engine_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GTD_ENTRY (COMMAND_NEW | (u64)TIF_GTD << 24) /* of a command's head */

static __thread int in_sink; /* a submit from inside the sink must not wait for the sink */

void engine_lock(struct engine *engine) {
    pthread_mutex_lock(&engine->journal.lock);
}

void engine_unlock(struct engine *engine) {
    pthread_mutex_unlock(&engine->journal.lock);
}

static void wait_for_room(struct engine *engine) {
    engine->journal.room_waiters++;
    pthread_cond_signal(&engine->journal.work); /* whoever promised a commit may be the one that waits here */
    pthread_cond_wait(&engine->journal.room, &engine->journal.lock);
    engine->journal.room_waiters--;
}

static void broken(const char *what, u64 seq) {
    fprintf(stderr, "engine: %s at sequence number %" PRIu64 "; stopping before anything wrong is said\n", what, seq);
    abort();
}

/* ---- applying ------------------------------------------------------------------------------------------------ */

/* Applies to core and order table; the events lie in engine->events, the reports in the queue or, on replay, pending. */
static u64 apply(struct engine *engine, const struct command *command, const struct names *names, u64 origin,
                 int replayed) {
    u64 count = core_apply(engine->core, command, engine->events);
    if (count == CORE_FATAL)
        broken("the core refused a journaled command", command->seq);
    for (u64 i = 0; i < count; i++) {
        struct report scratch, *report = replayed ? &scratch : report_add(&engine->reports);
        orders_apply(&engine->orders, command, names, &engine->events[i], report);
        report->origin = origin;
        if ((engine->events[i].head & 0xff) == EVENT_FILL && report->side == SIDE_BUY)
            engine->traded_lots[report->symbol] += engine->events[i].qty_lots;
        if (replayed)
            report_keep_pending(&engine->reports, report);
    }
    engine->last_seq = command->seq;
    engine->last_time_ns = command->time_ns;
    if ((command->head & 0xff0000ff) == GTD_ENTRY && command->aux < engine->expiry_hint)
        __atomic_store_n(&engine->expiry_hint, command->aux, __ATOMIC_RELAXED);
    return count;
}

static int names_agree(const struct submission *submission, const struct names *names) {
    return strncmp(submission->clordid, names->clordid, CLORDID_BYTES) == 0 &&
           strncmp(submission->orig_clordid, names->orig_clordid, CLORDID_BYTES) == 0;
}

/* SUBMIT_OK when the command may go on, with its number, time, target and precheck. */
static enum submit_status admit(struct engine *engine, const struct submission *submission, const struct names *names,
                                struct command *command) {
    while (!engine->stopped && !in_sink && (journal_full(&engine->journal) || reports_full(engine)))
        wait_for_room(engine);
    if (engine->stopped || engine->last_seq == SEQ_MAX)
        return SUBMIT_STOPPED;
    if (submission->flags & SUBMIT_IF_PEGGED && !pegs_moves(engine, command))
        return SUBMIT_KNOWN;
    u64 time_ns = now_ns(CLOCK_REALTIME);
    command->time_ns = time_ns > engine->last_time_ns ? time_ns : engine->last_time_ns;
    command->seq = engine->last_seq + 1;
    orders_advance(&engine->orders, command->time_ns);
    u64 reason = orders_precheck(&engine->orders, command, names);
    if (reason == REJECT_SESSION_DUPLICATE_CLORDID && submission->flags & SUBMIT_POSS_DUP)
        return SUBMIT_KNOWN;
    if ((command->head >> 40 & 0xff) == 0)
        command->head |= reason << 40;
    return SUBMIT_OK;
}

static void release(struct engine *engine) {
    int before = in_sink;
    in_sink = 1;
    reports_release(engine);
    in_sink = before;
}

struct answer { /* what engine_call wants of its command */
    struct event *events;
    u64 count;
};

/* Lock held. */
static enum submit_status submit(struct engine *engine, const struct submission *submission, const struct names *names,
                                 u64 *seq, struct answer *answer) {
    struct command command = submission->command;
    enum submit_status status = admit(engine, submission, names, &command);
    if (status != SUBMIT_OK)
        return status;
    journal_append(&engine->journal, &command, submission->body, submission->body_bytes);
    u64 count = apply(engine, &command, names, submission->origin, 0);
    if (answer != 0 && (answer->events = malloc(count * sizeof(struct event))) != 0) {
        memcpy(answer->events, engine->events, count * sizeof(struct event));
        answer->count = count;
    }
    *seq = command.seq;
    if (command.seq >= engine->snapshots.next_at)
        snapshot_take(engine);
    journal_mark(&engine->journal, engine->reports.total, (submission->flags & SUBMIT_COMMIT_FOLLOWS) == 0);
    if (engine->journal.sync == SYNC_NONE) {
        engine->safe_seq = command.seq;
        engine->reports.releasable = engine->reports.total;
        release(engine);
    }
    return SUBMIT_OK;
}

static enum submit_status names_of(const struct submission *submission, struct names *names) {
    if (submission->body_bytes > ANNEX_BYTES_MAX - SALT_BYTES)
        return SUBMIT_INVALID;
    if (!names_read(submission->body, submission->body_bytes, names) || !names_agree(submission, names))
        return SUBMIT_INVALID;
    return SUBMIT_OK;
}

enum submit_status engine_submit(struct engine *engine, const struct submission *submission, u64 *seq) {
    struct names names;
    enum submit_status status = names_of(submission, &names);
    if (status != SUBMIT_OK)
        return status;
    engine_lock(engine);
    status = submit(engine, submission, &names, seq, 0);
    engine_unlock(engine);
    return status;
}

void engine_commit(struct engine *engine) {
    engine_lock(engine);
    journal_commit_here(&engine->journal);
    engine_unlock(engine);
}

enum submit_status engine_call(struct engine *engine, const struct submission *submission, u64 *seq,
                               struct event **events, u64 *count) {
    struct names names;
    struct answer answer = {0};
    enum submit_status status = names_of(submission, &names);
    if (status != SUBMIT_OK)
        return status;
    engine_lock(engine);
    status = submit(engine, submission, &names, seq, &answer);
    while (status == SUBMIT_OK && engine->safe_seq < *seq && !engine->journal.failed)
        wait_for_room(engine);
    if (status == SUBMIT_OK && engine->safe_seq < *seq)
        status = SUBMIT_STOPPED;
    engine_unlock(engine);
    *events = answer.events;
    *count = answer.count;
    return status;
}

/* ---- what the journal tells ---------------------------------------------------------------------------------- */

static void on_safe(void *context, u64 seq, u64 mark) {
    struct engine *engine = context;
    if (seq > engine->safe_seq)
        engine->safe_seq = seq;
    if (mark > engine->reports.releasable)
        engine->reports.releasable = mark;
    release(engine);
    if (engine->snapshots.busy)
        pthread_cond_signal(&engine->snapshots.wake);
}

static void on_failed(void *context, const char *reason) {
    struct engine *engine = context;
    engine->stopped = 1;
    snprintf(engine->reason, sizeof engine->reason, "%s", reason);
    pthread_cond_broadcast(&engine->snapshots.wake);
    pthread_cond_broadcast(&engine->snapshots.done);
    if (engine->on_fatal == 0)
        return;
    engine_unlock(engine);
    engine->on_fatal(engine->fatal_context, engine->reason);
    engine_lock(engine);
}

/* ---- questions ----------------------------------------------------------------------------------------------- */

int engine_find_order(struct engine *engine, uint16_t session, const char *clordid, struct order_status *status) {
    char name[CLORDID_BYTES] = {0};
    size_t bytes = strnlen(clordid, CLORDID_BYTES);
    if (bytes == CLORDID_BYTES)
        return 0;
    memcpy(name, clordid, bytes);
    engine_lock(engine);
    int found = orders_find(&engine->orders, session, name, status);
    engine_unlock(engine);
    return found;
}

u64 engine_session_orders(struct engine *engine, uint16_t session, struct order_status **found) {
    engine_lock(engine);
    u64 count = orders_open(&engine->orders, session, 0);
    *found = malloc((count + 1) * sizeof **found);
    count = *found == 0 ? 0 : orders_open(&engine->orders, session, *found);
    engine_unlock(engine);
    return count;
}

u64 engine_expiries_due(struct engine *engine, u64 now_ns, u64 *symbols) {
    u64 count = 0, next = ~0ull;
    engine_lock(engine);
    for (u64 symbol = 0; symbol < core_symbol_count(engine->core); symbol++) {
        u64 expiry = core_expiry_next(engine->core, symbol);
        if (expiry <= now_ns)
            symbols[count++] = symbol;
        if (expiry < next)
            next = expiry;
    }
    __atomic_store_n(&engine->expiry_hint, next, __ATOMIC_RELAXED);
    engine_unlock(engine);
    return count;
}

u64 engine_traded(struct engine *engine, u64 symbol) {
    engine_lock(engine);
    u64 lots = symbol < engine->config.symbols ? engine->traded_lots[symbol] : 0;
    engine_unlock(engine);
    return lots;
}

void engine_set_sink(struct engine *engine, engine_sink sink, void *context) {
    engine_lock(engine);
    while (engine->reports.busy && !in_sink) /* the old sink is not called any more when this returns */
        wait_for_room(engine);
    if (engine->reports.sink == 0)
        engine->reports.sink_from = engine->reports.released;
    engine->reports.sink = sink;
    engine->reports.sink_context = context;
    engine_unlock(engine);
}

u64 engine_durable_seq(const struct engine *engine) {
    return __atomic_load_n(&engine->journal.durable_seq, __ATOMIC_ACQUIRE);
}

int engine_drain(struct engine *engine) {
    engine_lock(engine);
    u64 seq = engine->last_seq, mark = engine->reports.total;
    while (!engine->journal.failed && (engine->safe_seq < seq || engine->reports.released < mark))
        wait_for_room(engine);
    int done = engine->safe_seq >= seq && engine->reports.released >= mark;
    engine_unlock(engine);
    return done;
}

u64 engine_check(struct engine *engine) {
    engine_lock(engine);
    u64 broken_core = core_check(engine->core), broken_orders = orders_check(&engine->orders, engine->core);
    engine_unlock(engine);
    return broken_core | broken_orders << 32;
}

/* ---- opening and closing ------------------------------------------------------------------------------------- */

int engine_replay_entry(void *context, const struct command *command, const uint8_t *annex, u64 annex_bytes) {
    struct engine *engine = context;
    struct names names = {0};
    if (annex_bytes < SALT_BYTES || !names_read(annex + SALT_BYTES, annex_bytes - SALT_BYTES, &names))
        broken("a journaled annex has no salt or an overlong ClOrdID", command->seq);
    orders_advance(&engine->orders, command->time_ns);
    apply(engine, command, &names, 0, 1);
    return 0;
}

static void note(struct engine *engine, const char *text) {
    size_t used = strlen(engine->notes);
    snprintf(engine->notes + used, TEXT_BYTES - used, "%s%s", used ? "\n" : "", text);
}

static enum journal_status recover(struct engine *engine, uint32_t *epoch, char text[TEXT_BYTES]) {
    struct watermark mark;
    struct scan scan = {.dir = engine->journal.dir,
                        .config = &engine->config,
                        .to_seq = SEQ_MAX,
                        .visit = engine_replay_entry,
                        .context = engine};
    enum journal_status status = snapshot_load_newest(engine, text);
    if (status != JOURNAL_OK)
        return status;
    scan.watermarked = watermark_load(engine->journal.dir, &mark);
    scan.durable_seq = scan.watermarked ? mark.durable_seq : 0;
    scan.from_seq = engine->last_seq + 1;
    status = journal_scan(&scan);
    memcpy(text, scan.text, TEXT_BYTES);
    if (status != JOURNAL_OK)
        return status;
    if (scan.torn_bytes > 0) {
        char cut[PATH_BYTES + 200];
        snprintf(cut, sizeof cut,
                 "torn tail cut: %" PRIu64 " bytes at offset %" PRIu64 " of %020" PRIu64
                 ".journal, written but never acknowledged",
                 scan.torn_bytes, scan.tail_offset, scan.tail_first_seq);
        note(engine, cut);
    }
    *epoch = (!scan.watermarked || scan.epoch > mark.epoch ? scan.epoch : (uint32_t)mark.epoch) + 1;
    engine->safe_seq = engine->recovered_seq = engine->last_seq;
    return journal_cut(&scan, text);
}

static enum journal_status folders_make(const struct engine_options *options, struct engine *engine,
                                        char text[TEXT_BYTES]) {
    if (strlen(options->data_dir) + 16 > PATH_BYTES) {
        snprintf(text, TEXT_BYTES, "%s: the path is too long", options->data_dir);
        return JOURNAL_FAILED;
    }
    snprintf(engine->journal.dir, PATH_BYTES, "%s/journal", options->data_dir);
    snprintf(engine->snapshots.dir, PATH_BYTES, "%s/snapshot", options->data_dir);
    const char *paths[] = {options->data_dir, engine->journal.dir, engine->snapshots.dir};
    for (int i = 0; i < 3; i++) {
        if (mkdir(paths[i], 0755) != 0 && errno != EEXIST) {
            snprintf(text, TEXT_BYTES, "%s: cannot be made: %s", paths[i], strerror(errno));
            return JOURNAL_FAILED;
        }
    }
    return JOURNAL_OK;
}

enum journal_status engine_core_make(struct engine *engine, char text[TEXT_BYTES]) {
    engine->core_bytes = core_size(&engine->config);
    if (engine->core_bytes == 0) {
        snprintf(text, TEXT_BYTES, "limits are out of range: see core_config in core.h");
        return JOURNAL_CONFIG;
    }
    engine->core =
        mmap(0, engine->core_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    engine->events = malloc(core_events_max(&engine->config) * sizeof(struct event));
    engine->traded_lots = calloc(engine->config.symbols, sizeof(u64));
    if (engine->core == MAP_FAILED || engine->events == 0 || engine->traded_lots == 0) {
        snprintf(text, TEXT_BYTES, "no memory for a core of %zu bytes: lower orders, levels or symbols",
                 engine->core_bytes);
        return JOURNAL_CONFIG;
    }
    core_init(engine->core, &engine->config);
    return JOURNAL_OK;
}

static void options_set(struct engine *engine, const struct engine_options *options) {
    struct journal *journal = &engine->journal;
    engine->config = options->config;
    engine->on_fatal = options->on_fatal;
    engine->fatal_context = options->fatal_context;
    engine->snapshots.interval = options->snapshot_commands;
    journal->config = options->config;
    journal->sync = options->sync;
    journal->interval_ns = options->interval_ns;
    journal->segment_bytes = options->segment_bytes;
    journal->on_safe = on_safe;
    journal->on_failed = on_failed;
    journal->context = engine;
    journal->fd = journal->dir_fd = journal->prepared_fd = -1;
    engine->api =
        (struct engine_api){ENGINE_API_VERSION, engine_submit, engine_find_order, engine_set_sink, engine_durable_seq,
                            engine_commit,      engine};
}

void engine_free(struct engine *engine) {
    if (engine->core != 0 && engine->core != MAP_FAILED)
        munmap(engine->core, engine->core_bytes);
    free(engine->events);
    free(engine->traded_lots);
    orders_free(&engine->orders);
    reports_free(&engine->reports);
    if (engine->lock_fd >= 0)
        close(engine->lock_fd);
    free(engine);
}

enum journal_status engine_open(const struct engine_options *options, struct engine **opened, char text[TEXT_BYTES]) {
    struct engine *engine = calloc(1, sizeof *engine);
    uint32_t epoch = 0;
    if (engine == 0) {
        snprintf(text, TEXT_BYTES, "no memory");
        return JOURNAL_FAILED;
    }
    engine->lock_fd = -1;
    options_set(engine, options);
    orders_init(&engine->orders);
    enum journal_status status = folders_make(options, engine, text);
    if (status == JOURNAL_OK && (engine->lock_fd = journal_lock(engine->journal.dir, text)) < 0)
        status = JOURNAL_LOCKED;
    if (status == JOURNAL_OK)
        status = engine_core_make(engine, text);
    if (status == JOURNAL_OK)
        status = recover(engine, &epoch, text);
    if (status == JOURNAL_OK) {
        status = journal_open(&engine->journal, engine->last_seq + 1, epoch, text);
        if (status == JOURNAL_OK)
            status = snapshots_open(engine, text);
        if (status != JOURNAL_OK)
            journal_close(&engine->journal);
    }
    if (status != JOURNAL_OK) {
        engine_free(engine);
        return status;
    }
    *opened = engine;
    return JOURNAL_OK;
}

void engine_stop(struct engine *engine) {
    engine_lock(engine);
    engine->stopped = 1;
    pthread_cond_broadcast(&engine->journal.room);
    engine_unlock(engine);
}

void engine_close(struct engine *engine) {
    engine_lock(engine);
    engine->stopped = 1;
    pthread_cond_broadcast(&engine->journal.room);
    if (!engine->journal.failed && engine->snapshots.interval > 0 && engine->last_seq > engine->snapshots.last_seq) {
        snapshot_wait(engine);
        snapshot_take(engine);
    }
    engine_unlock(engine);
    journal_close(&engine->journal);
    snapshots_close(engine);
    engine_free(engine);
}

/* The report queue: filled at apply, handed to the sink in order once safe, and what waits for a session's return. */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

static struct chunk *chunk_make(struct reports *reports) {
    struct chunk *chunk = reports->spare;
    if (chunk != 0)
        reports->spare = chunk->next;
    else if ((chunk = malloc(sizeof *chunk)) == 0)
        abort(); /* the report of an applied command can be neither kept nor taken back */
    chunk->next = 0;
    chunk->first = reports->total;
    return chunk;
}

struct report *report_add(struct reports *reports) {
    if (reports->tail == 0 || reports->total - reports->tail->first == CHUNK_REPORTS) {
        struct chunk *chunk = chunk_make(reports);
        if (reports->tail == 0)
            reports->oldest = reports->releasing = chunk;
        else
            reports->tail->next = chunk;
        reports->tail = chunk;
    }
    return &reports->tail->reports[reports->total++ - reports->tail->first];
}

void report_keep_pending(struct reports *reports, const struct report *report) {
    if (report->session == 0)
        return;
    if (reports->pending_count == reports->pending_capacity) {
        reports->pending_capacity = reports->pending_capacity * 2 + CHUNK_REPORTS;
        void *pending = realloc(reports->pending, reports->pending_capacity * sizeof *report);
        if (pending == 0)
            abort();
        reports->pending = pending;
    }
    reports->pending[reports->pending_count++] = *report;
}

int reports_full(const struct engine *engine) {
    return engine->reports.total - engine->reports.released >= REPORTS_WAITING_SOFT;
}

/* Chunks that have been handed over stay until REPORTS_KEPT newer reports have been too. */
static void recycle(struct reports *reports) {
    while (reports->oldest != reports->releasing &&
           reports->released >= reports->oldest->first + CHUNK_REPORTS + REPORTS_KEPT) {
        struct chunk *chunk = reports->oldest;
        reports->oldest = chunk->next;
        chunk->next = reports->spare;
        reports->spare = chunk;
    }
}

static void hand_over(struct engine *engine, const struct report *first, u64 count) {
    struct reports *reports = &engine->reports;
    engine_sink sink = reports->sink;
    void *context = reports->sink_context;
    if (sink == 0) {
        for (u64 i = 0; i < count; i++)
            report_keep_pending(reports, &first[i]);
        return;
    }
    pthread_mutex_unlock(&engine->journal.lock);
    sink(context, first, count);
    pthread_mutex_lock(&engine->journal.lock);
}

void reports_release(struct engine *engine) {
    struct reports *reports = &engine->reports;
    if (reports->busy) /* that thread goes on with these: one at a time keeps the order */
        return;
    reports->busy = 1;
    while (reports->released < reports->releasable) {
        struct chunk *chunk = reports->releasing;
        if (reports->released - chunk->first == CHUNK_REPORTS) {
            reports->releasing = chunk->next;
            continue;
        }
        u64 end = chunk->first + CHUNK_REPORTS;
        end = end < reports->releasable ? end : reports->releasable;
        hand_over(engine, &chunk->reports[reports->released - chunk->first], end - reports->released);
        reports->released = end;
        recycle(reports);
    }
    reports->busy = 0;
    if (engine->journal.room_waiters > 0)
        pthread_cond_broadcast(&engine->journal.room);
    if (engine->snapshots.busy)
        pthread_cond_signal(&engine->snapshots.wake);
}

u64 reports_take_pending(struct reports *reports, uint16_t session, u64 after_exec_id, struct report **taken) {
    u64 kept = 0, count = 0;
    *taken = malloc((reports->pending_count + 1) * sizeof **taken);
    if (*taken == 0)
        return 0;
    for (u64 i = 0; i < reports->pending_count; i++) {
        const struct report *report = &reports->pending[i];
        if (report->session != session)
            reports->pending[kept++] = *report;
        else if (report->event.exec_id > after_exec_id)
            (*taken)[count++] = *report;
    }
    reports->pending_count = kept;
    return count;
}

u64 reports_kept_first(const struct reports *reports) {
    u64 recent = reports->released > REPORTS_KEPT ? reports->released - REPORTS_KEPT : 0;
    u64 mine = reports->sink == 0 ? reports->released : reports->sink_from;
    return recent > mine ? recent : mine;
}

const struct report *report_at(const struct reports *reports, u64 number) {
    const struct chunk *chunk = reports->oldest;
    while (number - chunk->first >= CHUNK_REPORTS)
        chunk = chunk->next;
    return &chunk->reports[number - chunk->first];
}

static void chunks_free(struct chunk *chunk) {
    while (chunk != 0) {
        struct chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void reports_free(struct reports *reports) {
    chunks_free(reports->oldest);
    chunks_free(reports->spare);
    free(reports->pending);
}

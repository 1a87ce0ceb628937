/* Fuzz target of the core: whatever commands the bytes make (fuzz_script.h), the core keeps its promises of core.h.
 *
 * After every command: at least one event and no more than the bound, numbered in order, and every invariant holds. A
 * refused sequence changes nothing. At the end: a core restored from a snapshot on the way, in memory full of garbage,
 * has the same slots, the same further events in batches, and the same end; so has a partial core with what was touched;
 * and a snapshot with overwritten words is refused or is a sound state. FUZZ_PRINT in the environment prints the
 * commands and their events as they are applied. */
#include "core.h"
#include "fuzz_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMANDS_MAX = 2048, GARBAGE = 0xa5, BATCH_SPARE = 8 };

static struct {
    struct command *commands;
    struct event *events; /* of commands after the snapshot only */
    u64 event_count, event_room;
    struct event *one, *batch; /* of one command; of a part of a batch */
    struct slot *start, *end;  /* snapshots on the way and at the end */
    u64 start_count, end_count;
    int print;
} run;

static void broken(const char *what, u64 number) {
    fflush(stdout);
    fprintf(stderr, "fuzz_core: %s (%llu)\n", what, (unsigned long long)number);
    abort();
}

static void expect(u64 holds, const char *what, u64 number) {
    if (!holds)
        broken(what, number);
}

/* Says the first slot that differs, word by word. */
static void same_slots(const struct slot *found, u64 found_count, const struct slot *wanted, u64 count,
                       const char *what) {
    for (u64 i = 0; i < found_count && i < count; i++) {
        if (memcmp(&found[i], &wanted[i], sizeof *found) == 0)
            continue;
        for (int w = 0; w < 8; w++)
            fprintf(stderr, "slot %llu word %d: %llx, not %llx\n", (unsigned long long)i, w,
                    (unsigned long long)found[i].word[w], (unsigned long long)wanted[i].word[w]);
        broken(what, i);
    }
    expect(found_count == count, what, found_count);
}

static void *garbage(u64 bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    expect(memory != 0, "no memory", bytes);
    return memset(memory, GARBAGE, bytes);
}

static struct slot *snapshot(const struct core *core, u64 *count) {
    *count = core_snapshot(core, 0);
    struct slot *slots = garbage(*count * sizeof *slots);
    expect(core_snapshot(core, slots) == *count, "a snapshot changes its size", *count);
    return slots;
}

static void keep_events(const struct event *events, u64 count) {
    if (run.event_count + count > run.event_room) {
        run.event_room = 2 * (run.event_count + count);
        run.events = realloc(run.events, run.event_room * sizeof *events);
        expect(run.events != 0, "no memory", run.event_room);
    }
    memcpy(run.events + run.event_count, events, count * sizeof *events);
    run.event_count += count;
}

/* Applies one command; 0 when its sequence was refused, as it then has to be. */
static u64 apply(struct core *core, const struct core_config *config, const struct command *c) {
    u64 before = core_last_seq(core), bound = core_events_max(config);
    if (run.print)
        script_print_command(c);
    u64 count = core_apply(core, c, run.one);
    if (count == CORE_FATAL) {
        expect(core_status_last(core) == CORE_BAD_SEQUENCE, "a whole core stopped", core_status_last(core));
        expect(core_last_seq(core) == before, "a refused sequence changed the number", before);
        expect(core_check(core) == 0, "a refused sequence broke an invariant", core_check(core));
        return 0;
    }
    for (u64 i = 0; run.print && i < count && i < bound; i++)
        script_print_event(&run.one[i]);
    expect(count >= 1 && count <= bound, "number of events", count);
    expect(core_last_seq(core) == c->seq && c->seq == before + 1, "sequence", c->seq);
    for (u64 i = 0; i < count; i++)
        expect(run.one[i].exec_id == (c->seq << 24 | i), "exec_id of an event", i);
    u64 invariant = core_check(core);
    expect(invariant == 0, "invariant", invariant);
    return count;
}

/* The first pass: one command after the other, with the snapshot taken on the way. Returns how many were applied. */
static u64 play(struct core *core, const struct core_config *config, struct script *script, u64 split) {
    struct command command;
    u64 steps = script->size / STEP_BYTES, count = 0, cut = steps * split / 64, taken = 0;
    for (; count < COMMANDS_MAX && script_next(script, &command);) {
        if (!taken && count >= cut) {
            run.start = snapshot(core, &run.start_count);
            core_clear_dirty(core);
            run.event_count = 0;
            taken = count + 1;
        }
        u64 made = apply(core, config, &command);
        if (made == 0)
            continue;
        script_applied(script, &command, run.one, made);
        run.commands[count++] = command;
        if (taken)
            keep_events(run.one, made);
    }
    if (!taken) {
        run.start = snapshot(core, &run.start_count);
        core_clear_dirty(core);
        run.event_count = 0;
        taken = count + 1;
    }
    memmove(run.commands, run.commands + (taken - 1), (count - (taken - 1)) * sizeof command);
    return count - (taken - 1);
}

static void same_events(const struct event *events, u64 first, u64 count, const char *what) {
    expect(first + count <= run.event_count, what, first + count);
    expect(memcmp(events, run.events + first, count * sizeof *events) == 0, what, first);
}

static struct core *fresh(const struct core_config *config) {
    struct core *core = garbage(core_size(config));
    expect(core_init(core, config) == CORE_OK, "a core could not be made", 0);
    return core;
}

/* Applies the rest in batches with little room and compares with what came out one by one. */
static void repeat_in_batches(struct core *core, const struct core_config *config, u64 count) {
    u64 room = core_events_max(config) + BATCH_SPARE, done = 0, seen = 0, ends[COMMANDS_MAX];
    while (done < count) {
        u64 made = 0, part = core_apply_batch(core, run.commands + done, count - done, run.batch, room, &made, ends);
        expect(core_status_last(core) == CORE_OK, "status of a batch", core_status_last(core));
        expect(part != 0 && made <= room && ends[part - 1] == made, "a batch makes no progress", done);
        same_events(run.batch, seen, made, "events of a restored core in batches");
        done += part;
        seen += made;
    }
    expect(seen == run.event_count, "events of a restored core", seen);
}

static void restore_numbers(struct core *to, const struct core *from, const u64 *numbers, u64 count, u64 accounts) {
    for (u64 i = 0; i < count; i++) {
        u64 n = accounts ? core_walk_account(from, numbers[i], 0) : core_walk_symbol(from, numbers[i], 0);
        if (n == 0)
            continue;
        struct slot *slots = garbage(n * sizeof *slots);
        if (accounts)
            core_walk_account(from, numbers[i], slots);
        else
            core_walk_symbol(from, numbers[i], slots);
        enum core_status status = accounts ? core_restore_account(to, slots, n) : core_restore_symbol(to, slots, n);
        expect(status == CORE_OK, accounts ? "a partial core refuses an account" : "a partial core refuses a symbol",
               numbers[i]);
        free(slots);
    }
}

static void same_walks(const struct core *a, const struct core *b, const u64 *numbers, u64 count, u64 accounts) {
    for (u64 i = 0; i < count; i++) {
        u64 n = accounts ? core_walk_account(a, numbers[i], 0) : core_walk_symbol(a, numbers[i], 0);
        u64 m = accounts ? core_walk_account(b, numbers[i], 0) : core_walk_symbol(b, numbers[i], 0);
        expect(n == m, "a touched region of a partial core has another size", numbers[i]);
        struct slot *x = garbage(n * sizeof *x), *y = garbage(n * sizeof *y);
        if (n != 0 && accounts) {
            core_walk_account(a, numbers[i], x);
            core_walk_account(b, numbers[i], y);
        } else if (n != 0) {
            core_walk_symbol(a, numbers[i], x);
            core_walk_symbol(b, numbers[i], y);
        }
        same_slots(x, n, y, n, "a touched region of a partial core differs");
        free(x);
        free(y);
    }
}

/* `after` applied the commands, `before` stands where the snapshot was: a core with what was touched does the same. */
static void repeat_partially(const struct core *before, const struct core *after, const struct core_config *config,
                             u64 count) {
    u64 symbol_count = core_dirty_symbols(after, 0), account_count = core_dirty_accounts(after, 0), seen = 0;
    u64 *symbols = garbage(symbol_count * sizeof *symbols), *accounts = garbage(account_count * sizeof *accounts);
    core_dirty_symbols(after, symbols);
    core_dirty_accounts(after, accounts);
    struct core *core = garbage(core_size_partial(config, symbol_count, account_count));
    struct slot *slots = garbage(core_walk_config(before, 0) * sizeof *slots);
    expect(core_init_partial(core, config, symbol_count, account_count) == CORE_OK, "no partial core", 0);
    expect(core_restore_config(core, slots, core_walk_config(before, slots)) == CORE_OK, "restored configuration", 0);
    restore_numbers(core, before, symbols, symbol_count, 0);
    restore_numbers(core, before, accounts, account_count, 1);
    expect(core_restore_end(core) == CORE_OK, "end of a partial restore", 0);
    for (u64 i = 0; i < count; i++) {
        u64 made = core_apply(core, &run.commands[i], run.one);
        expect(made != CORE_FATAL, "a partial core misses what was not marked", core_status_last(core));
        same_events(run.one, seen, made, "events of a partial core");
        expect(core_check(core) == 0, "invariant of a partial core", core_check(core));
        seen += made;
    }
    expect(seen == run.event_count, "events of a partial core", seen);
    same_walks(core, after, symbols, symbol_count, 0);
    same_walks(core, after, accounts, account_count, 1);
    free(slots);
    free(core);
    free(symbols);
    free(accounts);
}

/* A state with words overwritten is refused, or it is a state: sound, and written back as it was read. */
static void restore_tampered(const struct script *script, const struct core_config *config) {
    if (script->tamper_count == 0)
        return;
    for (u64 i = 0; i < script->tamper_count; i++) {
        const struct patch *t = &script->tampers[i];
        run.end[t->slot % run.end_count].word[t->word] = t->value;
    }
    struct core *core = fresh(config);
    if (core_restore_snapshot(core, run.end, run.end_count) == CORE_OK) {
        u64 invariant = core_check(core), count;
        expect(invariant == 0, "a restore took a state that breaks an invariant", invariant);
        struct slot *again = snapshot(core, &count);
        same_slots(again, count, run.end, run.end_count, "a restore took a state that it does not write back");
        free(again);
    } else {
        expect(core_apply(core, run.commands, run.one) == CORE_FATAL, "a core works after a refused restore", 0);
    }
    free(core);
}

static void set_up(struct core *core, struct script *script) {
    struct command command;
    for (u64 i = 0; script_setup(script, i, &command); i++) {
        command.seq = i + 1;
        if (run.print)
            script_print_command(&command);
        u64 made = core_apply(core, &command, run.one);
        expect(made == 1 && (run.one[0].head & 0xff) != EVENT_COMMAND_REJECTED, "a set-up command was refused", i);
        script_applied(script, &command, run.one, made);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct core_config config = script_config(bytes, size);
    struct script script;
    struct core *core = fresh(&config);
    run.print = getenv("FUZZ_PRINT") != 0;
    if (run.print)
        setvbuf(stdout, 0, _IOLBF, 0); /* a sanitizer ends the program without a flush */
    run.commands = garbage(COMMANDS_MAX * sizeof *run.commands);
    run.one = garbage(core_events_max(&config) * sizeof *run.one);
    run.batch = garbage((core_events_max(&config) + BATCH_SPARE) * sizeof *run.batch);
    script_begin(&script, bytes, size);
    if (script_has_setup(bytes, size))
        set_up(core, &script);
    u64 count = play(core, &config, &script, script_split(bytes, size));
    run.end = snapshot(core, &run.end_count);

    struct core *again = fresh(&config);
    expect(core_restore_snapshot(again, run.start, run.start_count) == CORE_OK, "a snapshot is refused", 0);
    u64 slots = 0;
    struct slot *repeated = snapshot(again, &slots);
    same_slots(repeated, slots, run.start, run.start_count, "a restored core has other slots");
    free(repeated);
    repeat_partially(again, core, &config, count);
    repeat_in_batches(again, &config, count);
    repeated = snapshot(again, &slots);
    same_slots(repeated, slots, run.end, run.end_count, "a restored core ends with other slots");
    restore_tampered(&script, &config);

    free(repeated);
    free(again);
    free(core);
    free(run.start);
    free(run.end);
    free(run.one);
    free(run.batch);
    free(run.commands);
    return 0;
}

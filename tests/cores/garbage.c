/* Applies a file of commands in arenas that were filled with a byte before, and prints what came out: the same for every
 * byte, or the core read memory that it had not written. Then the same for a partial core of what the second half of
 * the commands touched. Usage: garbage FILL SYMBOLS ACCOUNTS ASSETS ORDERS LEVELS FILE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

static int fill;

static void *filled(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory == 0)
        exit(2);
    return memset(memory, fill, bytes);
}

static void print(const void *words, u64 bytes) {
    static u64 hash = 0xcbf29ce484222325ull;
    for (u64 i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)words)[i]) * 0x100000001b3ull;
    printf("%llx\n", (unsigned long long)hash);
}

static void apply(struct core *core, const struct command *commands, u64 count, struct event *events) {
    for (u64 i = 0; i < count; i++) {
        u64 made = core_apply(core, &commands[i], events);
        if (made == CORE_FATAL) {
            printf("fatal %d\n", (int)core_status_last(core));
            exit(1);
        }
        print(events, made * sizeof *events);
    }
}

int main(int argc, char **argv) {
    if (argc != 8)
        return 2;
    u64 sizes[5];
    fill = atoi(argv[1]);
    for (int i = 0; i < 5; i++)
        sizes[i] = strtoull(argv[2 + i], 0, 10);
    struct core_config config = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]};
    FILE *file = fopen(argv[7], "rb");
    struct command *commands = filled(sizeof *commands * 100000);
    u64 count = fread(commands, sizeof *commands, 100000, file), half = count / 2;
    struct event *events = filled(sizeof *events * core_events_max(&config));
    struct core *core = filled(core_size(&config)), *before = filled(core_size(&config));
    core_init(core, &config);
    apply(core, commands, half, events);
    struct slot *slots = filled(sizeof *slots * core_snapshot(core, 0));
    u64 slot_count = core_snapshot(core, slots);
    print(slots, slot_count * sizeof *slots);
    core_init(before, &config);
    if (core_restore_snapshot(before, slots, slot_count) != CORE_OK)
        return 3;
    core_clear_dirty(core);
    apply(core, commands + half, count - half, events);
    printf("check %d\n", (int)core_check(core));

    u64 *symbols = filled(8 * config.symbols), *accounts = filled(8 * config.accounts);
    u64 symbol_count = core_dirty_symbols(core, symbols), account_count = core_dirty_accounts(core, accounts);
    struct core *partial = filled(core_size_partial(&config, symbol_count, account_count));
    core_init_partial(partial, &config, symbol_count, account_count);
    core_restore_config(partial, slots, core_walk_config(before, slots));
    for (u64 i = 0; i < symbol_count; i++) {
        u64 n = core_walk_symbol(before, symbols[i], slots);
        if (n != 0 && core_restore_symbol(partial, slots, n) != CORE_OK)
            return 3;
    }
    for (u64 i = 0; i < account_count; i++) {
        u64 n = core_walk_account(before, accounts[i], slots);
        if (n != 0 && core_restore_account(partial, slots, n) != CORE_OK)
            return 3;
    }
    if (core_restore_end(partial) != CORE_OK)
        return 3;
    apply(partial, commands + half, count - half, events);
    printf("check %d\n", (int)core_check(partial));
    return 0;
}

/* Bytes of a fuzzer as a sequence of commands. Why: bytes taken as records would nearly all be refused at the first
 * field, and a failing input would be unreadable. Every eight bytes are one step, so that leaving steps out keeps the
 * others what they are. Must never call the core: what it knows of orders it has from the events. */
#ifndef FIX_VENUE_FUZZ_SCRIPT_H
#define FIX_VENUE_FUZZ_SCRIPT_H

#include "core.h"

enum { STEP_BYTES = 8, SEEN_MAX = 64, PATCHES_MAX = 8, TAMPERS_MAX = 16, SYMBOLS_SEEN = 8 };

struct seen_order {
    u64 order_id, symbol, account, price_ticks;
};

/* A trade as a BUST names it, in the words of the command. */
struct seen_trade {
    u64 symbol, owner, order_id, price_ticks, qty_lots, aux;
};

/* One word that will be overwritten: of the next command (slot unused) or of a state slot. */
struct patch {
    u64 slot, word, value;
};

struct script {
    const uint8_t *bytes;
    u64 size, at;
    u64 seq, time_ns; /* of the last command that was applied */
    struct seen_order seen[SEEN_MAX];
    u64 seen_count;
    struct seen_trade trades[SEEN_MAX];
    u64 trade_count, tick_values[SYMBOLS_SEEN];
    u64 is_wide;
    struct patch patches[PATCHES_MAX], tampers[TAMPERS_MAX];
    u64 patch_count, tamper_count;
};

/* The first step is the run's own. */
struct core_config script_config(const uint8_t *bytes, u64 size);
u64 script_split(const uint8_t *bytes, u64 size); /* commands before the snapshot, in 64ths of all */
u64 script_has_setup(const uint8_t *bytes, u64 size);
u64 script_is_wide(const uint8_t *bytes, u64 size); /* instruments have more prices than there are levels */

void script_begin(struct script *script, const uint8_t *bytes, u64 size);
int script_next(struct script *script, struct command *command); /* 0: no more; seq and time follow the last */
void script_applied(struct script *script, const struct command *command, const struct event *events, u64 count);

/* 0 when there is no such set-up command. */
u64 script_setup(const struct script *script, u64 number, struct command *command);

void script_print_command(const struct command *command);
void script_print_event(const struct event *event);

#endif

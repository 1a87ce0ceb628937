/* A core with a fault in it, to show that the fuzz target finds one: a fill of seven lots that comes right after an
 * acceptance tells one lot more. fuzz_core.c is compiled with core_apply renamed to spoiled_apply; batches stay right. */
#include "core.h"

u64 spoiled_apply(struct core *core, const struct command *command, struct event *events);

u64 spoiled_apply(struct core *core, const struct command *command, struct event *events) {
    u64 count = core_apply(core, command, events);
    if (count != CORE_FATAL && count > 1 && (events[1].head & 0xff) == EVENT_FILL && events[1].qty_lots == 7)
        events[1].qty_lots++;
    return count;
}

/* Statement 1 as a program: what a shim gives it, and the input it reads.
 *
 * The input is one run of u64 words, little-endian, made by cores/batch.py. Nobody vouches for it: whoever proves may
 * write anything there. The program checks every length and number before it uses it, and proves only what the public
 * values say, of which the input's claims are no part.
 *
 *  words
 *  0        INPUT_FORMAT
 *  1        commands: at least one
 *  2, 3     symbols, accounts: how many of those that exist before the batch are shown
 *  4, 5     symbol regions, account regions: shown ones and those the batch creates
 *  6, 7     symbol blocks, account blocks: digests that stand for those not shown
 *  8..11    deposit accumulator before the batch
 *  then     numbers of the shown symbols, ascending; numbers of the shown accounts, ascending
 *           symbol blocks, account blocks: 4 words each, from the left (block_level in roots.h says which they are)
 *           commands: 8 words each (struct command)
 *           annex digests of the commands: 4 words each
 *           slots, 8 words each, as the walks of core.h write them: the configuration's, then those of each shown
 *           symbol, then those of each shown account; a table's first slot says how many there are
 *
 * The slots come last because the walk after the batch is written over them: memory that was never touched costs the
 * prover more than memory that was.
 */
#ifndef FIX_VENUE_GUEST_H
#define FIX_VENUE_GUEST_H

#include "roots.h"

#define INPUT_FORMAT 1u
#define INPUT_HEADER_WORDS 12u
#define INPUT_WORDS_MAX (1ull << 28) /* 2 GiB */

/* Memory that the shim gives: three separate regions. Their content before the first write is the prover's choice. */
struct guest_memory {
    u64 *input; /* may be written beyond its end, up to input_words_max */
    u64 input_words;
    u64 input_words_max;
    struct event *events;
    u64 events_max;
    struct core *core;
    u64 core_size_max;
};

/* Why the program stopped without public values. The codes are for people: a non-zero exit cannot be proved. */
enum guest_status {
    GUEST_OK = 0,
    GUEST_BAD_INPUT = 1,   /* not this format, a length or number out of range, or words left over */
    GUEST_BAD_CONFIG = 2,  /* the configuration's slots are none */
    GUEST_BAD_STATE = 3,   /* shown symbols or accounts that no core can be in */
    GUEST_BAD_COMMAND = 4, /* sequence or time does not continue the state's */
    GUEST_MISSING = 5,     /* a command needs a symbol or account that is not shown, or a region that is not given */
    GUEST_NO_MEMORY = 6,
};

enum guest_status guest_run(const struct guest_memory *memory, uint8_t public_values[PUBLIC_VALUES_SIZE]);

#endif

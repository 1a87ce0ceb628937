/* The guest's program as a plain function: for the replay backend, and to compare it with the live core.
 *
 * Memory it gives is deliberately filled with rubbish where the zkVM's would be the prover's choice, so that a read
 * before the first write shows in tests instead of passing on zeros. */
#include "guest.h"

#include <string.h>
#include <sys/mman.h>

#define RUBBISH 0xa5
#define RUBBISH_BYTES (1u << 20) /* of each region; beyond it pages stay zero */

/* 0, or an enum guest_status. The input is copied: the program overwrites it. */
__attribute__((visibility("default"))) int venue_guest_run(const uint8_t *input, size_t size, uint8_t *out);

static void *reserve(size_t size) {
    void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return 0;
    memset(memory, RUBBISH, size < RUBBISH_BYTES ? size : RUBBISH_BYTES);
    return memory;
}

int venue_guest_run(const uint8_t *input, size_t size, uint8_t *out) {
    struct guest_memory memory;
    enum guest_status status = GUEST_NO_MEMORY;
    struct core_config largest = {.orders = ORDERS_MAX}; /* the number of orders alone bounds the events */
    size_t input_size = size + (1ull << 32), events_size = core_events_max(&largest) * sizeof(struct event);
    size_t core_size = 1ull << 39;
    if (size % 8 != 0 || size > INPUT_WORDS_MAX * 8)
        return GUEST_BAD_INPUT;
    memory.input = reserve(input_size);
    memory.events = reserve(events_size);
    memory.core = reserve(core_size);
    if (memory.input != 0 && memory.events != 0 && memory.core != 0) {
        memcpy(memory.input, input, size);
        memory.input_words = size / 8;
        memory.input_words_max = input_size / 8;
        memory.events_max = events_size / sizeof(struct event);
        memory.core_size_max = core_size;
        status = guest_run(&memory, out);
    }
    if (memory.input != 0)
        munmap(memory.input, input_size);
    if (memory.events != 0)
        munmap(memory.events, events_size);
    if (memory.core != 0)
        munmap(memory.core, core_size);
    return (int)status;
}

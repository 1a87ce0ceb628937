/* The program as a ZisK guest. Poseidon2 and SHA-256 run as plain code there.
 *
 * The input file lies at 0x10000008 behind its length; public outputs are 64 u32 words at 0xa0410000, 256 bytes: eight
 * fewer than the public values have. So the outputs are the SHA-256 of the public values in words 0..7, each four
 * bytes of the digest in order, and zeros. Whoever verifies has the values (they are in the batch record) and hashes
 * them. */
#include "guest.h"
#include "sha256.h"

#define INPUT_SIZE_AT 0x10000008ull
#define INPUT_AT 0x10000010ull
#define INPUT_END 0x18000000ull
#define OUTPUT_AT 0xa0410000ull
#define OUTPUT_WORDS 64u
#define HEAP_AT 0xa0430000ull
#define HEAP_END 0xbffc0000ull
#define EVENTS_SIZE 0x5000000ull

static _Noreturn void end(u64 code) {
    register u64 call __asm__("a7") = 93;
    register u64 result __asm__("a0") = code;
    for (;;)
        __asm__ volatile("ecall" : "+r"(result) : "r"(call) : "memory");
}

/* The input's own place is read-only: it is copied to RAM, where the walk may overwrite and outgrow it. */
_Noreturn void guest_main(void) {
    struct guest_memory memory;
    uint8_t values[PUBLIC_VALUES_SIZE], digest[32];
    u64 size = *(const volatile u64 *)INPUT_SIZE_AT;
    volatile uint32_t *output = (volatile uint32_t *)OUTPUT_AT;
    if (size % 8 != 0 || size > INPUT_END - INPUT_AT)
        end(GUEST_BAD_INPUT);
    memory.events = (struct event *)HEAP_AT;
    memory.events_max = EVENTS_SIZE / sizeof(struct event);
    memory.input = (u64 *)(HEAP_AT + EVENTS_SIZE);
    memory.input_words = size / 8;
    memory.input_words_max = 2 * memory.input_words + 65536;
    memory.core = (struct core *)(memory.input + memory.input_words_max);
    memory.core_size_max = HEAP_END - (u64)memory.core;
    for (u64 i = 0; i < memory.input_words; i++)
        memory.input[i] = ((const u64 *)INPUT_AT)[i];
    enum guest_status status = guest_run(&memory, values);
    if (status != GUEST_OK)
        end(status);
    sha256(values, PUBLIC_VALUES_SIZE, digest);
    for (u64 i = 0; i < OUTPUT_WORDS; i++) {
        const uint8_t *d = digest + 4 * i;
        output[i] = i < 8 ? (uint32_t)d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24 : 0;
    }
    end(0);
}

__asm__(".section .text.start, \"ax\", @progbits\n"
        ".globl _start\n"
        "_start:\n"
        ".option push\n"
        ".option norelax\n"
        "    la gp, _global_pointer\n"
        ".option pop\n"
        "    li sp, 0xa0400000\n"
        "    call guest_main\n"
        "    unimp\n");

/* The program as an SP1 guest: entry, input, public values, end.
 *
 * Memory outside the image is the prover's choice until written, so the three regions are plain addresses above the
 * image, and only what guest_run writes or HINT_READ filled is ever read. */
#include "guest.h"
#include "sha256.h"

#define HALT 0x00u
#define WRITE 0x02u
#define COMMIT 0x10u
#define COMMIT_DEFERRED_PROOFS 0x1au
#define HINT_LEN 0xf0u
#define HINT_READ 0xf1u
#define PUBLIC_VALUES_FD 13u

/* Regions, far apart; the zkVM's addresses end at 2^37 - 2^34. The image lies below all of them (see sp1.ld). */
#define INPUT_AT 0x80000000ull
#define EVENTS_AT 0x180000000ull
#define CORE_AT 0x200000000ull
#define CORE_END 0x1b00000000ull

static inline u64 ecall(u64 number, u64 first, u64 second, u64 third) {
    register u64 code __asm__("t0") = number;
    register u64 a __asm__("a0") = first;
    register u64 b __asm__("a1") = second;
    register u64 c __asm__("a2") = third;
    __asm__ volatile("ecall" : "+r"(code) : "r"(a), "r"(b), "r"(c) : "memory");
    return code;
}

static _Noreturn void halt(u64 code) {
    for (;;)
        ecall(HALT, code, 0, 0);
}

/* Publishes the bytes and commits to their SHA-256; both runs of eight commits are required. */
static void publish(const uint8_t values[PUBLIC_VALUES_SIZE]) {
    uint8_t digest[32];
    ecall(WRITE, PUBLIC_VALUES_FD, (u64)values, PUBLIC_VALUES_SIZE);
    sha256(values, PUBLIC_VALUES_SIZE, digest);
    for (u64 i = 0; i < 8; i++) {
        const uint8_t *d = digest + 4 * i;
        ecall(COMMIT, i, (u64)d[0] | (u64)d[1] << 8 | (u64)d[2] << 16 | (u64)d[3] << 24, 0);
    }
    for (u64 i = 0; i < 8; i++)
        ecall(COMMIT_DEFERRED_PROOFS, i, 0, 0);
}

_Noreturn void guest_main(void) {
    struct guest_memory memory;
    uint8_t values[PUBLIC_VALUES_SIZE] __attribute__((aligned(8)));
    u64 size = ecall(HINT_LEN, 0, 0, 0);
    if (size % 8 != 0 || size > INPUT_WORDS_MAX * 8)
        halt(GUEST_BAD_INPUT);
    ecall(HINT_READ, INPUT_AT, size, 0);
    memory.input = (u64 *)INPUT_AT;
    memory.input_words = size / 8;
    memory.input_words_max = (EVENTS_AT - INPUT_AT) / 8;
    memory.events = (struct event *)EVENTS_AT;
    memory.events_max = (CORE_AT - EVENTS_AT) / sizeof(struct event);
    memory.core = (struct core *)CORE_AT;
    memory.core_size_max = CORE_END - CORE_AT;
    enum guest_status status = guest_run(&memory, values);
    if (status != GUEST_OK)
        halt(status);
    publish(values);
    halt(0);
}

__asm__(".section .text.start, \"ax\", @progbits\n"
        ".globl _start\n"
        "_start:\n"
        "    li sp, 0x78000000\n"
        "    call guest_main\n"
        "    unimp\n");

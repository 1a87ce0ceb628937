/* Poseidon2 over KoalaBear, width 16: the permutation under the command, event and state trees.
 *
 * It is the one that SP1 6.10 itself commits with and offers its guests as ecall 0x133 (8 external and 20 internal
 * rounds, S-box x^3), which makes it about sixty times cheaper to prove than a SHA-256 block. A state is eight u64
 * words: sixteen field elements, the low half of a word first. Every half must be below FIELD_PRIME; the circuit
 * requires it and nothing checks it at run time, so callers mask what they hash (see roots.h).
 *
 * This header hides which implementation runs: the ecall in the SP1 guest, plain C everywhere else.
 */
#ifndef FIX_VENUE_POSEIDON2_H
#define FIX_VENUE_POSEIDON2_H

#include <stdint.h>

typedef uint64_t u64;

#define FIELD_PRIME 0x7f000001u /* 2^31 - 2^24 + 1 */

#ifdef VENUE_GUEST_SP1

static inline void poseidon2_permute(u64 state[8]) {
    register u64 code __asm__("t0") = 0x133;
    register u64 *words __asm__("a0") = state;
    register u64 none __asm__("a1") = 0;
    /* This call leaves its code in t0, so that the compiler may keep it there from one to the next. */
    __asm__ volatile("ecall" : : "r"(code), "r"(words), "r"(none) : "memory");
}

#else

/* Permutes one state in place. */
void poseidon2_permute(u64 state[8]);

/* Permutes `count` independent states that lie one after the other, in SIMD lanes where the CPU has them. */
void poseidon2_permute_many(u64 *states, u64 count);

/* Lanes that poseidon2_permute_many uses on this CPU: 16, 8 or 1. */
unsigned poseidon2_lanes(void);

/* For tests and benchmarks: allow at most so many lanes from now on (16, 8 or 1). */
void poseidon2_limit_lanes(unsigned lanes);

#endif
#endif

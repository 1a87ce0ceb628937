/* Poseidon2 in plain C: the reference for the vector lanes, and what runs where there are none.
 *
 * Elements are in Montgomery form (x * 2^32 mod p) between the first and the last multiplication. Not compiled into
 * the SP1 guest, which has the permutation as an ecall.
 */
#include "poseidon2.h"

#ifndef VENUE_GUEST_SP1

#include "poseidon2_constants.h"

#define PRIME_INVERSE 0x81000001u /* of the prime, mod 2^32 */
#define MONTGOMERY_SQUARE 0x17f7efe4u /* 2^64 mod p: times this turns plain into Montgomery form */

/* a * b / 2^32 mod p, for a * b < p * 2^32; the result is below p. */
static inline uint32_t multiply(uint32_t a, uint32_t b) {
    u64 product = (u64)a * b;
    u64 multiple = (u64)((uint32_t)product * PRIME_INVERSE) * FIELD_PRIME;
    uint32_t high = (uint32_t)(product >> 32), low = (uint32_t)(multiple >> 32);
    return high >= low ? high - low : high - low + FIELD_PRIME;
}

static inline uint32_t add(uint32_t a, uint32_t b) {
    uint32_t sum = a + b;
    return sum >= FIELD_PRIME ? sum - FIELD_PRIME : sum;
}

static inline uint32_t cube(uint32_t x) {
    return multiply(multiply(x, x), x);
}

/* Four by four: circ(2, 3, 1, 1). Then every element gets the sum of its column, itself once more. */
static inline void external_layer(uint32_t state[16]) {
    uint32_t column[4] = {0, 0, 0, 0};
    for (int i = 0; i < 16; i += 4) {
        uint32_t a = state[i], b = state[i + 1], c = state[i + 2], d = state[i + 3];
        uint32_t ab = add(a, b), cd = add(c, d), all = add(ab, cd);
        uint32_t all_b = add(all, b), all_d = add(all, d);
        state[i] = add(all_b, ab);
        state[i + 1] = add(all_b, add(c, c));
        state[i + 2] = add(all_d, cd);
        state[i + 3] = add(all_d, add(a, a));
        for (int j = 0; j < 4; j++)
            column[j] = add(column[j], state[i + j]);
    }
    for (int i = 0; i < 16; i++)
        state[i] = add(state[i], column[i % 4]);
}

static inline void external_round(uint32_t state[16], const uint32_t constants[16]) {
    for (int i = 0; i < 16; i++)
        state[i] = cube(add(state[i], constants[i]));
    external_layer(state);
}

static inline void internal_round(uint32_t state[16], uint32_t constant) {
    state[0] = cube(add(state[0], constant));
    u64 sum = 0;
    for (int i = 0; i < 16; i++)
        sum += state[i];
    for (int i = 0; i < 16; i++) {
        /* (sum + d * x) / 2^32: below 16 p + 2^15 p, or 2^31 p for the first, so one reduction is enough. */
        u64 value = sum + (u64)state[i] * INTERNAL_DIAGONAL[i];
        u64 multiple = (u64)((uint32_t)value * PRIME_INVERSE) * FIELD_PRIME;
        uint32_t high = (uint32_t)(value >> 32), low = (uint32_t)(multiple >> 32);
        state[i] = high >= low ? high - low : high - low + FIELD_PRIME;
    }
}

void poseidon2_permute(u64 words[8]) {
    uint32_t state[16];
    for (int i = 0; i < 8; i++) {
        state[2 * i] = multiply((uint32_t)words[i], MONTGOMERY_SQUARE);
        state[2 * i + 1] = multiply((uint32_t)(words[i] >> 32), MONTGOMERY_SQUARE);
    }
    external_layer(state);
    for (int round = 0; round < ROUNDS_EXTERNAL / 2; round++)
        external_round(state, EXTERNAL_CONSTANTS[round]);
    for (int round = 0; round < ROUNDS_INTERNAL; round++)
        internal_round(state, INTERNAL_CONSTANTS[round]);
    for (int round = ROUNDS_EXTERNAL / 2; round < ROUNDS_EXTERNAL; round++)
        external_round(state, EXTERNAL_CONSTANTS[round]);
    for (int i = 0; i < 8; i++)
        words[i] = (u64)multiply(state[2 * i], 1) | (u64)multiply(state[2 * i + 1], 1) << 32;
}

#endif

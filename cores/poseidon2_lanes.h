/* The body of one vectorised Poseidon2: included by poseidon2_lanes.c once for each instruction set.
 *
 * A VECTOR holds the same element of LANES independent states as u32; sixteen of them are the states. The includer
 * defines VECTOR, LANES, NAME(x), TARGET (the function attribute), and the operations used below: SPLAT(u32),
 * LOAD(pointer), STORE(pointer, v), ADD, SUB, LEAST (unsigned minimum), WIDE (product of the even u32 as u64),
 * ODD (odd elements moved to the even places), HIGHS(even, odd): the upper halves of two vectors of u64, joined.
 */

static inline TARGET VECTOR NAME(multiply)(VECTOR a, VECTOR b) {
    const VECTOR prime = SPLAT(FIELD_PRIME), inverse = SPLAT(PRIME_INVERSE);
    VECTOR even = WIDE(a, b), odd = WIDE(ODD(a), ODD(b));
    VECTOR even_multiple = WIDE(WIDE(even, inverse), prime), odd_multiple = WIDE(WIDE(odd, inverse), prime);
    VECTOR difference = SUB(HIGHS(even, odd), HIGHS(even_multiple, odd_multiple));
    return LEAST(difference, ADD(difference, prime)); /* a negative difference wraps to above the prime */
}

static inline TARGET VECTOR NAME(add)(VECTOR a, VECTOR b) {
    VECTOR sum = ADD(a, b);
    return LEAST(sum, SUB(sum, SPLAT(FIELD_PRIME)));
}

static inline TARGET VECTOR NAME(cube)(VECTOR x) {
    return NAME(multiply)(NAME(multiply)(x, x), x);
}

static inline TARGET void NAME(external_layer)(VECTOR state[16]) {
    VECTOR column[4];
    for (int i = 0; i < 16; i += 4) {
        VECTOR a = state[i], b = state[i + 1], c = state[i + 2], d = state[i + 3];
        VECTOR ab = NAME(add)(a, b), cd = NAME(add)(c, d), all = NAME(add)(ab, cd);
        VECTOR all_b = NAME(add)(all, b), all_d = NAME(add)(all, d);
        state[i] = NAME(add)(all_b, ab);
        state[i + 1] = NAME(add)(all_b, NAME(add)(c, c));
        state[i + 2] = NAME(add)(all_d, cd);
        state[i + 3] = NAME(add)(all_d, NAME(add)(a, a));
    }
    for (int j = 0; j < 4; j++)
        column[j] = NAME(add)(NAME(add)(state[j], state[4 + j]), NAME(add)(state[8 + j], state[12 + j]));
    for (int i = 0; i < 16; i++)
        state[i] = NAME(add)(state[i], column[i % 4]);
}

static inline TARGET void NAME(external_round)(VECTOR state[16], const uint32_t constants[16]) {
    for (int i = 0; i < 16; i++)
        state[i] = NAME(cube)(NAME(add)(state[i], SPLAT(constants[i])));
    NAME(external_layer)(state);
}

/* x / 2^shift mod p for 17 <= shift <= 24, because p = 127 * 2^24 + 1: the low bits times 127 * 2^(24 - shift) leave
 * x >> shift. No multiplication. */
#define HALVED(x, shift)                                                                                               \
    NAME(subtract)(SHIFT_RIGHT(x, shift),                                                                              \
                   SUB(SHIFT_RIGHT(SHIFT_LEFT(x, 32 - (shift)), 1), SHIFT_RIGHT(SHIFT_LEFT(x, 32 - (shift)), 8)))

static inline TARGET VECTOR NAME(subtract)(VECTOR a, VECTOR b) {
    VECTOR difference = SUB(a, b);
    return LEAST(difference, ADD(difference, SPLAT(FIELD_PRIME)));
}

static inline TARGET void NAME(internal_round)(VECTOR state[16], uint32_t constant) {
    VECTOR pair[8];
    state[0] = NAME(cube)(NAME(add)(state[0], SPLAT(constant)));
    for (int i = 0; i < 8; i++)
        pair[i] = NAME(add)(state[i], state[i + 8]);
    for (int width = 4; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            pair[i] = NAME(add)(pair[i], pair[i + width]);
    VECTOR sum = NAME(multiply)(pair[0], SPLAT(1));
    for (int i = 0; i < 8; i++)
        state[i] = NAME(add)(sum, NAME(multiply)(state[i], SPLAT(INTERNAL_DIAGONAL[i])));
    state[8] = NAME(add)(sum, NAME(multiply)(state[8], SPLAT(INTERNAL_DIAGONAL[8])));
    state[9] = NAME(add)(sum, HALVED(state[9], 24));
    state[10] = NAME(add)(sum, HALVED(state[10], 23));
    state[11] = NAME(add)(sum, HALVED(state[11], 22));
    state[12] = NAME(add)(sum, HALVED(state[12], 21));
    state[13] = NAME(add)(sum, HALVED(state[13], 20));
    state[14] = NAME(add)(sum, HALVED(state[14], 19));
    state[15] = NAME(add)(sum, HALVED(state[15], 17));
}

/* Permutes LANES states. They are turned so that a vector holds one element of each. */
static TARGET void NAME(permute)(u64 *words) {
    uint32_t turned[16][LANES] __attribute__((aligned(64)));
    VECTOR state[16];
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 8; i++) {
            turned[2 * i][lane] = (uint32_t)words[8 * lane + i];
            turned[2 * i + 1][lane] = (uint32_t)(words[8 * lane + i] >> 32);
        }
    for (int i = 0; i < 16; i++)
        state[i] = NAME(multiply)(LOAD(turned[i]), SPLAT(MONTGOMERY_SQUARE));
    NAME(external_layer)(state);
    for (int round = 0; round < ROUNDS_EXTERNAL / 2; round++)
        NAME(external_round)(state, EXTERNAL_CONSTANTS[round]);
    for (int round = 0; round < ROUNDS_INTERNAL; round++)
        NAME(internal_round)(state, INTERNAL_CONSTANTS[round]);
    for (int round = ROUNDS_EXTERNAL / 2; round < ROUNDS_EXTERNAL; round++)
        NAME(external_round)(state, EXTERNAL_CONSTANTS[round]);
    for (int i = 0; i < 16; i++)
        STORE(turned[i], NAME(multiply)(state[i], SPLAT(1)));
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 8; i++)
            words[8 * lane + i] = (u64)turned[2 * i][lane] | (u64)turned[2 * i + 1][lane] << 32;
}

#undef HALVED
#undef VECTOR
#undef LANES
#undef NAME
#undef TARGET
#undef SPLAT
#undef LOAD
#undef STORE
#undef ADD
#undef SUB
#undef LEAST
#undef WIDE
#undef ODD
#undef HIGHS
#undef SHIFT_LEFT
#undef SHIFT_RIGHT

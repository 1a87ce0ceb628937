/* Poseidon2 over many independent states at once: 16 in AVX-512 registers, 8 in AVX2, one by one elsewhere.
 *
 * Which one runs is decided at run time from the CPU, so one build serves every machine. Results are those of
 * poseidon2.c, bit for bit; tests compare all of them.
 */
#include "poseidon2.h"

#ifndef VENUE_GUEST_SP1

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <string.h>

#include "poseidon2_constants.h"

#define PRIME_INVERSE 0x81000001u
#define MONTGOMERY_SQUARE 0x17f7efe4u
#define LANES_MAX 16

#define VECTOR __m512i
#define LANES 16
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f")))
#define SPLAT(x) _mm512_set1_epi32((int)(x))
#define LOAD(p) _mm512_load_si512((const void *)(p))
#define STORE(p, v) _mm512_store_si512((void *)(p), v)
#define ADD(a, b) _mm512_add_epi32(a, b)
#define SUB(a, b) _mm512_sub_epi32(a, b)
#define LEAST(a, b) _mm512_min_epu32(a, b)
#define WIDE(a, b) _mm512_mul_epu32(a, b)
#define ODD(a) _mm512_srli_epi64(a, 32)
#define HIGHS(even, odd) _mm512_mask_shuffle_epi32(odd, 0x5555, even, 0xf5)
#define SHIFT_LEFT(a, n) _mm512_slli_epi32(a, n)
#define SHIFT_RIGHT(a, n) _mm512_srli_epi32(a, n)
#include "poseidon2_lanes.h"

#define VECTOR __m256i
#define LANES 8
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2")))
#define SPLAT(x) _mm256_set1_epi32((int)(x))
#define LOAD(p) _mm256_load_si256((const __m256i *)(const void *)(p))
#define STORE(p, v) _mm256_store_si256((__m256i *)(void *)(p), v)
#define ADD(a, b) _mm256_add_epi32(a, b)
#define SUB(a, b) _mm256_sub_epi32(a, b)
#define LEAST(a, b) _mm256_min_epu32(a, b)
#define WIDE(a, b) _mm256_mul_epu32(a, b)
#define ODD(a) _mm256_srli_epi64(a, 32)
#define HIGHS(even, odd) _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa)
#define SHIFT_LEFT(a, n) _mm256_slli_epi32(a, n)
#define SHIFT_RIGHT(a, n) _mm256_srli_epi32(a, n)
#include "poseidon2_lanes.h"

static unsigned lanes_allowed = LANES_MAX;

void poseidon2_limit_lanes(unsigned lanes) {
    lanes_allowed = lanes;
}

unsigned poseidon2_lanes(void) {
    __builtin_cpu_init();
    if (lanes_allowed >= 16 && __builtin_cpu_supports("avx512f"))
        return 16;
    return lanes_allowed >= 8 && __builtin_cpu_supports("avx2") ? 8 : 1;
}

static void permute_lanes(u64 *states, unsigned lanes) {
    if (lanes == 16)
        permute_avx512(states);
    else
        permute_avx2(states);
}

void poseidon2_permute_many(u64 *states, u64 count) {
    unsigned lanes = poseidon2_lanes();
    u64 padded[LANES_MAX * 8] __attribute__((aligned(64)));
    if (lanes > 1) {
        for (; count >= lanes; count -= lanes, states += 8 * lanes)
            permute_lanes(states, lanes);
        if (count > 2) { /* a few left: cheaper in lanes with idle ones than one by one */
            memset(padded, 0, sizeof padded);
            memcpy(padded, states, count * 64);
            permute_lanes(padded, lanes);
            memcpy(states, padded, count * 64);
            return;
        }
    }
    for (; count > 0; count--, states += 8)
        poseidon2_permute(states);
}

#else

unsigned poseidon2_lanes(void) {
    return 1;
}

void poseidon2_limit_lanes(unsigned lanes) {
    (void)lanes;
}

void poseidon2_permute_many(u64 *states, u64 count) {
    for (; count > 0; count--, states += 8)
        poseidon2_permute(states);
}

#endif
#endif

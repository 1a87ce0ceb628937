/* SHA-256: padding in one place, the compression of a block in three (guest precompile, CPU instructions, plain C). */
#include "sha256.h"

static inline uint32_t load_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static const uint32_t START[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

#ifdef VENUE_GUEST_SP1

typedef u64 word; /* the precompile's layout: one 32-bit word each, the upper half must be zero */

static inline void precompile(u64 number, u64 *first, u64 *second) {
    register u64 code __asm__("t0") = number;
    register u64 *a __asm__("a0") = first;
    register u64 *b __asm__("a1") = second;
    __asm__ volatile("ecall" : "+r"(code) : "r"(a), "r"(b) : "memory");
}

static void compress(word state[8], const uint8_t *block, u64 blocks) {
    u64 schedule[64];
    for (; blocks > 0; blocks--, block += 64) {
        for (int i = 0; i < 16; i++)
            schedule[i] = load_be32(block + 4 * i);
        precompile(0x00300105, schedule, 0);
        precompile(0x00010106, schedule, state);
    }
}

#else

typedef uint32_t word;

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static void compress_plain(uint32_t state[8], const uint8_t *block, u64 blocks) {
    for (; blocks > 0; blocks--, block += 64) {
        uint32_t w[64];
        for (int i = 0; i < 16; i++)
            w[i] = load_be32(block + 4 * i);
        for (int i = 16; i < 64; i++) {
            uint32_t early = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t late = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + early + w[i - 7] + late;
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 64; i++) {
            uint32_t high = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
            uint32_t first = h + high + ((e & f) ^ (~e & g)) + ROUND[i] + w[i];
            uint32_t low = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
            uint32_t second = low + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + first;
            d = c, c = b, b = a, a = first + second;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(VENUE_GUEST)

#include <immintrin.h>

/* Four rounds an instruction pair; the message schedule is kept in a ring of four vectors. */
__attribute__((target("sha,sse4.1"))) static void compress_cpu(uint32_t state[8], const uint8_t *block, u64 blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)&state[0]);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)&state[4]);
    __m128i badc = _mm_shuffle_epi32(low, 0xb1), efgh = _mm_shuffle_epi32(high, 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, efgh, 8), cdgh = _mm_blend_epi16(efgh, badc, 0xf0);
    for (; blocks > 0; blocks--, block += 64) {
        __m128i w[4], abef_before = abef, cdgh_before = cdgh;
        for (int i = 0; i < 16; i++) {
            if (i < 4) {
                w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i)), swap);
            } else {
                __m128i middle = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
                __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), middle);
                w[i & 3] = _mm_sha256msg2_epu32(sum, w[(i + 3) & 3]);
            }
            __m128i constants = _mm_loadu_si128((const __m128i *)(const void *)&ROUND[4 * i]);
            __m128i input = _mm_add_epi32(w[i & 3], constants);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, input);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(input, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)&state[0], _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}

static void compress(word state[8], const uint8_t *block, u64 blocks) {
    unsigned eax = 7, ebx, ecx = 0, edx;
    static int extensions = -1; /* every thread that races here writes the same value */
    if (__builtin_expect(extensions < 0, 0)) {
        __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
        __builtin_cpu_init();
        extensions = (ebx >> 29 & 1) && __builtin_cpu_supports("sse4.1");
    }
    if (extensions)
        compress_cpu(state, block, blocks);
    else
        compress_plain(state, block, blocks);
}

#else

static void compress(word state[8], const uint8_t *block, u64 blocks) {
    compress_plain(state, block, blocks);
}

#endif
#endif

void sha256(const uint8_t *data, u64 length, uint8_t digest[32]) {
    word state[8];
    uint8_t tail[128]; /* the rest of the message, 0x80, zeros, the length in bits: one block or two */
    u64 whole = length / 64, rest = length % 64, tail_size = rest < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++)
        state[i] = START[i];
    compress(state, data, whole);
    for (u64 i = 0; i < tail_size; i++)
        tail[i] = i < rest ? data[64 * whole + i] : i == rest ? 0x80 : 0;
    for (int i = 0; i < 8; i++)
        tail[tail_size - 1 - (u64)i] = (uint8_t)(length * 8 >> 8 * i);
    compress(state, tail, tail_size / 64);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

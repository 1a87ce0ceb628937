/* A guest for the prover's own tests: small, and using every call that the venue's guest uses.
 *
 * Input: u64 rounds, u64 exit code, then bytes. It hashes the bytes with SHA-256 twice, once in plain code
 * and once with the precompile, and permutes a Poseidon2 state `rounds` times. Public values, 264 bytes: the
 * two digests (equal, or the guest says so by a non-zero exit), the last state (64 bytes), the input's
 * length, then zeros. A wanted exit code other than 0 is taken after the public values: a run that cannot be
 * proved.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

enum {
    SYS_HALT = 0x00,
    SYS_WRITE = 0x02,
    SYS_COMMIT = 0x10,
    SYS_COMMIT_DEFERRED = 0x1A,
    SYS_HINT_LEN = 0xF0,
    SYS_HINT_READ = 0xF1,
    SYS_SHA_EXTEND = 0x00300105,
    SYS_SHA_COMPRESS = 0x00010106,
    SYS_POSEIDON2 = 0x133
};

enum { PUBLIC_BYTES = 264, PUBLIC_FD = 13 };

/* Memory that no load or store touches before a precompile does: a prover that goes by loads and stores loses it. */
#define CALLED_AT 0x90000000ul

static const u32 round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const u32 initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

extern u64 _end[];

static inline u64 call(u64 code, u64 first, u64 second) {
    register u64 t0 __asm__("t0") = code;
    register u64 a0 __asm__("a0") = first;
    register u64 a1 __asm__("a1") = second;
    __asm__ volatile("ecall" : "+r"(t0) : "r"(a0), "r"(a1) : "memory");
    return t0;
}

static inline void call_write(u64 fd, const void *bytes, u64 length) {
    register u64 t0 __asm__("t0") = SYS_WRITE;
    register u64 a0 __asm__("a0") = fd;
    register u64 a1 __asm__("a1") = (u64)bytes;
    register u64 a2 __asm__("a2") = length;
    __asm__ volatile("ecall" : "+r"(t0) : "r"(a0), "r"(a1), "r"(a2) : "memory");
}

static inline u32 rotate(u32 x, int n) {
    return (x >> n) | (x << (32 - n));
}

static void compress_plain(u64 *w, u64 *h) {
    u32 s[8];
    for (int i = 16; i < 64; i++) {
        u32 x = (u32)w[i - 15], y = (u32)w[i - 2];
        u32 s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >> 3);
        u32 s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >> 10);
        w[i] = (u32)((u32)w[i - 16] + s0 + (u32)w[i - 7] + s1);
    }
    for (int i = 0; i < 8; i++)
        s[i] = (u32)h[i];
    for (int i = 0; i < 64; i++) {
        u32 s1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        u32 t1 = s[7] + s1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + round_constants[i] + (u32)w[i];
        u32 s0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        u32 t2 = s0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        for (int j = 7; j > 0; j--)
            s[j] = s[j - 1];
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] = (u32)((u32)h[i] + s[i]);
}

static void compress_called(u64 *w, u64 *h) {
    call(SYS_SHA_EXTEND, (u64)w, 0);
    call(SYS_SHA_COMPRESS, (u64)w, (u64)h);
}

static u8 padded_byte(const u8 *bytes, u64 length, u64 blocks, u64 i) {
    if (i < length)
        return bytes[i];
    if (i == length)
        return 0x80;
    u64 from_end = blocks * 64 - 1 - i;
    return from_end < 8 ? (u8)((length * 8) >> (8 * from_end)) : 0;
}

/* The schedule from its 17th word on is written by `compress` alone. */
static void sha256(const u8 *bytes, u64 length, void (*compress)(u64 *, u64 *), u64 *w, u64 h[8]) {
    u64 blocks = (length + 8) / 64 + 1;
    for (int i = 0; i < 8; i++)
        h[i] = initial_state[i];
    for (u64 block = 0; block < blocks; block++) {
        for (int i = 0; i < 16; i++) {
            u64 word = 0;
            for (int j = 0; j < 4; j++)
                word = word << 8 | padded_byte(bytes, length, blocks, block * 64 + (u64)i * 4 + (u64)j);
            w[i] = word;
        }
        compress(w, h);
    }
}

static void put_digest(u8 *out, const u64 h[8]) {
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++)
            out[4 * i + j] = (u8)(h[i] >> (24 - 8 * j));
}

static void put_word(u8 *out, u64 word) {
    for (int i = 0; i < 8; i++)
        out[i] = (u8)(word >> (8 * i));
}

void toy_main(void) {
    u8 public_values[PUBLIC_BYTES];
    u64 h[8], state[8], w[64];
    u64 *called_w = (u64 *)CALLED_AT;
    u64 length = call(SYS_HINT_LEN, 0, 0);
    u64 *input = (u64 *)(((u64)_end + 7) & ~7ul);
    call(SYS_HINT_READ, (u64)input, length);
    const u8 *bytes = (const u8 *)(input + 2);

    for (int i = 0; i < PUBLIC_BYTES; i++)
        public_values[i] = 0;
    sha256(bytes, length - 16, compress_plain, w, h);
    put_digest(public_values, h);
    sha256(bytes, length - 16, compress_called, called_w, h);
    put_digest(public_values + 32, h);
    for (int i = 0; i < 8; i++)
        state[i] = (u64)(i + 1) << 32 | (u64)(i + 9);
    for (u64 i = 0; i < input[0]; i++)
        call(SYS_POSEIDON2, (u64)state, 0);
    for (int i = 0; i < 8; i++)
        put_word(public_values + 64 + 8 * i, state[i]);
    put_word(public_values + 128, length);

    call_write(PUBLIC_FD, public_values, PUBLIC_BYTES);
    sha256(public_values, PUBLIC_BYTES, compress_called, called_w, h);
    for (u64 i = 0; i < 8; i++) {
        u32 w = (u32)h[i];
        call(SYS_COMMIT, i, (w >> 24) | (w >> 8 & 0xff00) | (w << 8 & 0xff0000) | (u64)(u32)(w << 24));
    }
    for (u64 i = 0; i < 8; i++)
        call(SYS_COMMIT_DEFERRED, i, 0);
    call(SYS_HALT, input[1], 0);
    __builtin_unreachable();
}

__attribute__((naked, section(".text.start"))) void _start(void) {
    __asm__ volatile("li sp, 0x78000000\n\tjal toy_main");
}

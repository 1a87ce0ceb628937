/* CRC-32C by the processor's instruction, or by a table where there is none. */
#include "crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u

static uint32_t table[256];

__attribute__((constructor)) static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value & 1 ? value >> 1 ^ POLYNOMIAL : value >> 1;
        table[i] = value;
    }
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes) {
    const uint8_t *at = data;
    crc = ~crc;
    while (bytes--)
        crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(uint32_t crc, const void *data, size_t bytes) {
    const uint8_t *at = data;
    uint64_t value = (uint32_t)~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        value = __builtin_ia32_crc32di(value, word);
    }
    uint32_t narrow = (uint32_t)value;
    while (bytes--)
        narrow = __builtin_ia32_crc32qi(narrow, *at++);
    return ~narrow;
}

static int has_instruction(void) {
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

static uint32_t crc32c_instruction(uint32_t crc, const void *data, size_t bytes) {
    const uint8_t *at = data;
    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = __crc32cd(crc, word);
    }
    while (bytes--)
        crc = __crc32cb(crc, *at++);
    return ~crc;
}

static int has_instruction(void) {
    return 1;
}

#else

static uint32_t crc32c_instruction(uint32_t crc, const void *data, size_t bytes) {
    return crc32c_portable(crc, data, bytes);
}

static int has_instruction(void) {
    return 0;
}

#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes) {
    return has_instruction() ? crc32c_instruction(crc, data, bytes) : crc32c_portable(crc, data, bytes);
}

/* The two functions that a C compiler may call on its own, for copies and clears of whole records. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int value, size_t size);

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    if ((((uintptr_t)to | (uintptr_t)from | size) & 7) == 0) {
        for (size_t i = 0; i < size / 8; i++)
            ((uint64_t *)to)[i] = ((const uint64_t *)from)[i];
    } else {
        for (size_t i = 0; i < size; i++)
            ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}

void *memset(void *to, int value, size_t size) {
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)value;
    return to;
}

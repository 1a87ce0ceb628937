/* A set of small numbers as a three-level bitmap: its lowest member is three count-trailing-zeros away.
 *
 * Used for the occupied price levels of a side and for the free order slots of a symbol. First come the words with one
 * bit a number, then the top word, then the middle words. A bit of an upper level is set exactly when the word below it
 * is not zero. Capacity is a power of two from 64 to 64^3; `words` is capacity / 64 wherever a level above is needed.
 * Nothing here may read a word that bitmap_clear_all or bitmap_set_all has not written.
 */
#ifndef FIX_VENUE_BITMAP_H
#define FIX_VENUE_BITMAP_H

#include "core.h"

#define BITMAP_NONE (~0ull)

static inline u64 bitmap_middle_words(u64 capacity) {
    return capacity <= 4096 ? 1 : capacity >> 12;
}

static inline u64 bitmap_words(u64 capacity) {
    return 1 + bitmap_middle_words(capacity) + (capacity >> 6);
}

static inline u64 lowest_bit(u64 word) {
    return (u64)__builtin_ctzll(word);
}

static inline u64 highest_bit(u64 word) {
    return 63 - (u64)__builtin_clzll(word);
}

static inline void bitmap_clear_all(u64 *map, u64 capacity) {
    u64 words = bitmap_words(capacity);
    for (u64 i = 0; i < words; i++)
        map[i] = 0;
}

/* Every number from 0 to capacity - 1 becomes a member. */
static inline void bitmap_set_all(u64 *map, u64 capacity) {
    u64 middle = bitmap_middle_words(capacity), words = capacity >> 6;
    for (u64 i = 0; i < words; i++)
        map[i] = ~0ull;
    map[words] = middle == 64 ? ~0ull : (1ull << middle) - 1;
    for (u64 i = 0; i < middle; i++)
        map[words + 1 + i] = words >= 64 ? ~0ull : (1ull << words) - 1;
}

static inline u64 bitmap_has(const u64 *map, u64 number) {
    return map[number >> 6] >> (number & 63) & 1;
}

static inline void bitmap_set(u64 *map, u64 words, u64 number) {
    u64 old = map[number >> 6];
    map[number >> 6] = old | 1ull << (number & 63);
    if (old == 0) { /* else the levels above have their bits already */
        map[words + 1 + (number >> 12)] |= 1ull << (number >> 6 & 63);
        map[words] |= 1ull << (number >> 12);
    }
}

static inline void bitmap_clear(u64 *map, u64 words, u64 number) {
    u64 left = map[number >> 6] & ~(1ull << (number & 63));
    map[number >> 6] = left;
    if (left == 0) {
        u64 *middle = &map[words + 1 + (number >> 12)];
        left = *middle & ~(1ull << (number >> 6 & 63));
        *middle = left;
        if (left == 0)
            map[words] &= ~(1ull << (number >> 12));
    }
}

static inline u64 bitmap_first(const u64 *map, u64 words) {
    if (map[words] == 0)
        return BITMAP_NONE;
    u64 top = lowest_bit(map[words]);
    u64 word = top << 6 | lowest_bit(map[words + 1 + top]);
    return word << 6 | lowest_bit(map[word]);
}

/* Removes the lowest member, `number`; true when the next one is in the same word, and then *next gets it. Otherwise
 * only that word is done, and bitmap_climb does the rest: a call of its own, so that the common way needs none. */
static inline int bitmap_drop_first(u64 *map, u64 number, u64 *next) {
    u64 left = map[number >> 6] & (map[number >> 6] - 1);
    map[number >> 6] = left;
    if (left == 0)
        return 0;
    *next = (number & ~63ull) | lowest_bit(left);
    return 1;
}

/* After a bitmap_drop_first that emptied its word: the levels above, and the next member (there is none below) or
 * BITMAP_NONE. */
u64 bitmap_climb(u64 *map, u64 words, u64 number);

/* The lowest member above `number`, or BITMAP_NONE. Nobody asks for what comes after BITMAP_NONE, or before it, though the
 * analyzer thinks so: it does not know that no key is above the window's. */
/* NOLINTBEGIN(clang-analyzer-core.BitwiseShift) */
static inline u64 bitmap_next(const u64 *map, u64 words, u64 number) {
    u64 word = number >> 6, top = number >> 12;
    u64 rest = (map[word] >> (number & 63) >> 1) << (number & 63) << 1;
    if (rest != 0)
        return word << 6 | lowest_bit(rest);
    rest = (map[words + 1 + top] >> (word & 63) >> 1) << (word & 63) << 1;
    if (rest == 0) {
        rest = (map[words] >> top >> 1) << top << 1;
        if (rest == 0)
            return BITMAP_NONE;
        top = lowest_bit(rest);
        rest = map[words + 1 + top];
    }
    word = top << 6 | lowest_bit(rest);
    return word << 6 | lowest_bit(map[word]);
}

/* The highest member below `number`, or BITMAP_NONE. */
static inline u64 bitmap_previous(const u64 *map, u64 words, u64 number) {
    u64 word = number >> 6, top = number >> 12;
    u64 rest = map[word] & ((1ull << (number & 63)) - 1);
    if (rest != 0)
        return word << 6 | highest_bit(rest);
    rest = map[words + 1 + top] & ((1ull << (word & 63)) - 1);
    if (rest == 0) {
        rest = map[words] & ((1ull << top) - 1);
        if (rest == 0)
            return BITMAP_NONE;
        top = highest_bit(rest);
        rest = map[words + 1 + top];
    }
    word = top << 6 | highest_bit(rest);
    return word << 6 | highest_bit(map[word]);
}
/* NOLINTEND(clang-analyzer-core.BitwiseShift) */

#endif

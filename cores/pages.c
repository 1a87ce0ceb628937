/* Pages: where the levels of a wide symbol lie, whose window has more ticks than a ladder has levels (rules W1..W6).
 *
 * A page is PAGE_LEVELS neighbouring keys. A ladder has as many pages as its levels hold, and gives one to a range of
 * prices when the first order comes to it, and takes it back when the last one has gone. So which ranges have a page
 * follows from the open orders alone; which page a range has does not, and nothing outside this file asks.
 *
 * The entries of a ladder are a ring: from page_first on those in use, best range first, then the free ones. An entry is
 * the number of its range (key / PAGE_LEVELS) above, and below it that of its page: the word of the level bitmap, and the
 * PAGE_LEVELS levels, with that number. A range is found by halving; to take or give back a page moves the entries on
 * its nearer side by one, so it costs little near the best price, where most of it happens, and in a restore, which comes
 * from the best to the worst. The upper levels of the bitmap are not used, and the word of a free page is zero.
 */
#include "ladder.h"

#define PAGE_SHIFT 6u /* a page of keys is a word of the bitmap */
#define PAGE_BITS 12u /* of an entry: LEVELS_MAX / PAGE_LEVELS is 2^12; above it the range, below 2^34 */
#define PAGE_MASK ((1ull << PAGE_BITS) - 1)
_Static_assert(1u << PAGE_SHIFT == PAGE_LEVELS, "a page is one word of the bitmap");
_Static_assert(LEVELS_MAX / PAGE_LEVELS <= 1u << PAGE_BITS, "an entry holds the number of every page");

static inline u64 entry_at(const struct core *core, const struct symbol *s, u64 ladder, u64 place) {
    return pages_of(core, s, ladder)[(s->page_first[ladder] + place) & core->page_mask];
}

static inline u64 range_at(const struct core *core, const struct symbol *s, u64 ladder, u64 place) {
    return entry_at(core, s, ladder, place) >> PAGE_BITS;
}

/* Of the page in use at `place`: the levels that are occupied, a bit for each. */
static inline u64 word_at(const struct core *core, const struct symbol *s, u64 ladder, u64 place) {
    return ladder_of(core, s, ladder)[entry_at(core, s, ladder, place) & PAGE_MASK];
}

/* The first place whose range is not before this one; page_count where there is none. */
static u64 place_of(const struct core *core, const struct symbol *s, u64 ladder, u64 range) {
    u64 low = 0, high = s->page_count[ladder];
    if (range == s->best[ladder] >> PAGE_SHIFT) /* most commands are about the best prices */
        return 0;
    while (low < high) { /* halves: at most thirteen rounds */
        u64 middle = (low + high) >> 1;
        if (range_at(core, s, ladder, middle) < range)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static u64 has_range(const struct core *core, const struct symbol *s, u64 ladder, u64 place, u64 range) {
    return place < s->page_count[ladder] && range_at(core, s, ladder, place) == range;
}

static u64 index_at(const struct core *core, const struct symbol *s, u64 ladder, u64 place, u64 key) {
    return (entry_at(core, s, ladder, place) & PAGE_MASK) << PAGE_SHIFT | (key & (PAGE_LEVELS - 1));
}

void pages_clear(const struct core *core, struct symbol *s) {
    for (u64 ladder = BID; ladder < LADDERS; ladder++) {
        u64 *entries = pages_of(core, s, ladder);
        for (u64 page = 0; page <= core->page_mask; page++)
            entries[page] = page;
        s->page_first[ladder] = 0;
        s->page_count[ladder] = 0;
    }
}

/* ---- in and out of use ---- */

/* A free page is given to the range, whose place is between those in use: there is one. */
static void take_page(const struct core *core, struct symbol *s, u64 ladder, u64 place, u64 range) {
    u64 *entries = pages_of(core, s, ladder), mask = core->page_mask, page;
    u64 first = s->page_first[ladder], count = s->page_count[ladder]++;
    if (place < count - place) {
        first--;
        s->page_first[ladder] = first & mask;
        page = entries[first & mask];
        for (u64 i = first; i != first + place; i++)
            entries[i & mask] = entries[(i + 1) & mask];
    } else {
        page = entries[(first + count) & mask];
        for (u64 i = first + count; i != first + place; i--)
            entries[i & mask] = entries[(i - 1) & mask];
    }
    entries[(first + place) & mask] = range << PAGE_BITS | page;
}

/* The page at `place` is free again. */
static void give_back(const struct core *core, struct symbol *s, u64 ladder, u64 place) {
    u64 *entries = pages_of(core, s, ladder), mask = core->page_mask;
    u64 first = s->page_first[ladder], last = first + --s->page_count[ladder], free_at = last;
    u64 page = entries[(first + place) & mask] & PAGE_MASK;
    if (place < last - first - place) {
        for (u64 i = first + place; i != first; i--)
            entries[i & mask] = entries[(i - 1) & mask];
        s->page_first[ladder] = (first + 1) & mask;
        free_at = first;
    } else {
        for (u64 i = first + place; i != last; i++)
            entries[i & mask] = entries[(i + 1) & mask];
    }
    entries[free_at & mask] = page;
}

u64 pages_index_for(const struct core *core, struct symbol *s, u64 ladder, u64 key) {
    u64 range = key >> PAGE_SHIFT, place = place_of(core, s, ladder, range);
    if (!has_range(core, s, ladder, place, range))
        take_page(core, s, ladder, place, range);
    return index_at(core, s, ladder, place, key);
}

u64 pages_drop_level(const struct core *core, struct symbol *s, u64 ladder, u64 key) {
    u64 place = place_of(core, s, ladder, key >> PAGE_SHIFT), index = index_at(core, s, ladder, place, key);
    u64 *word = &ladder_of(core, s, ladder)[index >> PAGE_SHIFT];
    *word &= ~(1ull << (index & 63));
    if (*word == 0)
        give_back(core, s, ladder, place);
    if (key != s->best[ladder])
        return 1;
    s->best[ladder] = LEVEL_NONE;
    if (s->page_count[ladder] != 0)
        s->best[ladder] = range_at(core, s, ladder, 0) << PAGE_SHIFT | lowest_bit(word_at(core, s, ladder, 0));
    return 1;
}

/* ---- questions ---- */

u64 pages_index(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    return index_at(core, s, ladder, place_of(core, s, ladder, key >> PAGE_SHIFT), key);
}

u64 pages_has(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    u64 range = key >> PAGE_SHIFT, place = place_of(core, s, ladder, range);
    return has_range(core, s, ladder, place, range) && word_at(core, s, ladder, place) >> (key & 63) & 1;
}

u64 pages_next(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    u64 place = place_of(core, s, ladder, key >> PAGE_SHIFT);
    u64 rest = word_at(core, s, ladder, place) >> (key & 63) >> 1 << (key & 63)
                                                                  << 1; /* the range of `key` has a page */
    if (rest == 0) {
        if (++place == s->page_count[ladder])
            return LEVEL_NONE;
        rest = word_at(core, s, ladder, place);
    }
    return range_at(core, s, ladder, place) << PAGE_SHIFT | lowest_bit(rest);
}

u64 pages_previous(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    u64 range = key >> PAGE_SHIFT, place = place_of(core, s, ladder, range), rest = 0;
    if (has_range(core, s, ladder, place, range))
        rest = word_at(core, s, ladder, place) & ((1ull << (key & 63)) - 1);
    if (rest == 0) {
        if (place-- == 0)
            return LEVEL_NONE;
        rest = word_at(core, s, ladder, place);
    }
    return range_at(core, s, ladder, place) << PAGE_SHIFT | highest_bit(rest);
}

u64 pages_have_room(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    u64 range = key >> PAGE_SHIFT;
    return s->page_count[ladder] <= core->page_mask ||
           has_range(core, s, ladder, place_of(core, s, ladder, range), range);
}

u64 pages_is_alone(const struct core *core, const struct symbol *s, u64 ladder, u64 key) {
    u64 word = word_at(core, s, ladder, place_of(core, s, ladder, key >> PAGE_SHIFT));
    const struct level *level = level_at(core, s, ladder, key);
    return (word & (word - 1)) == 0 && level->head == level->tail;
}

/* ---- invariants ---- */

/* Every page has one entry. */
static u64 pages_are_right(const struct core *core, const struct symbol *s, u64 ladder) {
    u64 seen[(LEVELS_MAX / PAGE_LEVELS) >> 6];
    for (u64 i = 0; i <= core->page_mask >> 6; i++)
        seen[i] = 0;
    for (u64 place = 0; place <= core->page_mask; place++) {
        u64 page = entry_at(core, s, ladder, place) & PAGE_MASK;
        if (page > core->page_mask || seen[page >> 6] >> (page & 63) & 1)
            return 0;
        seen[page >> 6] |= 1ull << (page & 63);
    }
    return 1;
}

u64 pages_broken(const struct core *core, const struct symbol *s, u64 ladder) {
    u64 count = s->page_count[ladder], best = LEVEL_NONE;
    if (s->page_first[ladder] > core->page_mask || count > core->page_mask + 1 || !pages_are_right(core, s, ladder))
        return INVARIANT_BITMAP;
    for (u64 place = 0; place <= core->page_mask; place++) {
        u64 range = range_at(core, s, ladder, place), in_use = place < count;
        if ((word_at(core, s, ladder, place) != 0) != in_use || (!in_use && range != 0))
            return INVARIANT_BITMAP;
        if (place != 0 && in_use && range <= range_at(core, s, ladder, place - 1))
            return INVARIANT_BITMAP;
    }
    if (count != 0)
        best = range_at(core, s, ladder, 0) << PAGE_SHIFT | lowest_bit(word_at(core, s, ladder, 0));
    return s->best[ladder] == best ? 0 : INVARIANT_BEST;
}

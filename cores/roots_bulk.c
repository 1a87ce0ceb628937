/* Independent hashes side by side. A group of states is filled, permuted together, filled again; the groups are small
 * enough to stay in the first cache. What is hashed is written down in roots.h; tests compare both, leaf by leaf. */
#include "roots_bulk.h"
#include "sha256.h"

#ifndef VENUE_GUEST

#include <string.h>

#define GROUP 64

struct group {
    u64 state[GROUP][STATE_WORDS];
    u64 tag[GROUP];
} __attribute__((aligned(64)));

static inline u64 absorb(u64 *tag, u64 word) {
    u64 kept = word & WORD_KEPT;
    *tag = *tag >> 2 | (word ^ kept);
    return kept;
}

/* Four words of each record into the upper half of its state, then a permutation. `stride` counts words. */
static void absorb_quarter(struct group *group, const u64 *words, u64 stride, u64 count) {
    for (u64 i = 0; i < count; i++)
        for (int j = 0; j < 4; j++)
            group->state[i][4 + j] = absorb(&group->tag[i], words[i * stride + (u64)j]);
    poseidon2_permute_many(group->state[0], count);
}

static void finish(struct group *group, u64 domain, u64 count, u64 *digests) {
    for (u64 i = 0; i < count; i++) {
        group->state[i][4] = group->tag[i] >> 2;
        group->state[i][5] = domain;
        group->state[i][6] = 0;
        group->state[i][7] = 0;
    }
    poseidon2_permute_many(group->state[0], count);
    for (u64 i = 0; i < count; i++)
        memcpy(digests + DIGEST_WORDS * i, group->state[i], 8 * DIGEST_WORDS);
}

void command_leaves(const struct command *commands, const u64 *annexes, u64 count, u64 *digests) {
    struct group group;
    for (u64 done = 0, size; done < count; done += size) {
        const u64 *words = (const u64 *)(const void *)(commands + done);
        size = count - done < GROUP ? count - done : GROUP;
        for (u64 i = 0; i < size; i++) {
            group.tag[i] = 0;
            for (int j = 0; j < DIGEST_WORDS; j++)
                group.state[i][j] = absorb(&group.tag[i], annexes[DIGEST_WORDS * (done + i) + (u64)j]);
        }
        absorb_quarter(&group, words, 8, size);
        absorb_quarter(&group, words + 4, 8, size);
        finish(&group, DOMAIN_COMMAND, size, digests + DIGEST_WORDS * done);
    }
}

void event_leaves(const struct event *events, const u64 *event_ends, const u64 *annexes, u64 commands, u64 *digests) {
    struct group group;
    u64 count = commands ? event_ends[commands - 1] : 0, command = 0, start = 0;
    for (u64 done = 0, size; done < count; done += size) {
        const u64 *words = (const u64 *)(const void *)(events + done);
        size = count - done < GROUP ? count - done : GROUP;
        for (u64 i = 0; i < size; i++) {
            while (done + i >= event_ends[command])
                start = event_ends[command++];
            group.tag[i] = 0;
            for (int j = 0; j < DIGEST_WORDS; j++)
                group.state[i][j] = annexes[DIGEST_WORDS * command + (u64)j] & WORD_KEPT;
            group.state[i][4] = DOMAIN_BLIND;
            group.state[i][5] = done + i - start;
            group.state[i][6] = 0;
            group.state[i][7] = 0;
        }
        poseidon2_permute_many(group.state[0], size);
        absorb_quarter(&group, words, 8, size);
        absorb_quarter(&group, words + 4, 8, size);
        finish(&group, DOMAIN_EVENT, size, digests + DIGEST_WORDS * done);
    }
}

void join_pairs(const u64 *digests, u64 pairs, u64 *nodes) {
    struct group group;
    for (u64 done = 0, size; done < pairs; done += size) {
        size = pairs - done < GROUP ? pairs - done : GROUP;
        memcpy(group.state, digests + STATE_WORDS * done, 8 * STATE_WORDS * size);
        poseidon2_permute_many(group.state[0], size);
        for (u64 i = 0; i < size; i++)
            memcpy(nodes + DIGEST_WORDS * (done + i), group.state[i], 8 * DIGEST_WORDS);
    }
}

void bulk_tree_root(const u64 *leaves, u64 count, u64 *scratch, u64 root[DIGEST_WORDS]) {
    if (count == 0) {
        memset(root, 0, 8 * DIGEST_WORDS);
        return;
    }
    if (scratch != leaves)
        memcpy(scratch, leaves, 8 * DIGEST_WORDS * count);
    for (; count > 1; count = (count + 1) / 2) { /* level by level; a digest without a partner moves up as it is */
        join_pairs(scratch, count / 2, scratch);
        if (count % 2)
            memmove(scratch + DIGEST_WORDS * (count / 2), scratch + DIGEST_WORDS * (count - 1), 8 * DIGEST_WORDS);
    }
    memcpy(root, scratch, 8 * DIGEST_WORDS);
}

void bulk_slots_digest(u64 domain, const struct slot *slots, const u64 *ends, u64 count, u64 *digests) {
    struct group group, active; /* a table's chain is sequential: run up to GROUP tables side by side */
    u64 next[GROUP], owner[GROUP];
    for (u64 done = 0, size; done < count; done += size) {
        size = count - done < GROUP ? count - done : GROUP;
        for (u64 i = 0; i < size; i++) {
            next[i] = done + i ? ends[done + i - 1] : 0;
            memset(group.state[i], 0, sizeof group.state[i]);
            group.state[i][0] = domain;
        }
        for (;;) {
            u64 running = 0;
            for (u64 i = 0; i < size; i++) {
                if (next[i] == ends[done + i])
                    continue;
                const u64 *word = slots[next[i]].word;
                active.tag[running] = 0;
                memcpy(active.state[running], group.state[i], 8 * DIGEST_WORDS);
                for (int j = 0; j < 4; j++)
                    active.state[running][4 + j] = absorb(&active.tag[running], word[j]);
                owner[running++] = i;
            }
            if (running == 0)
                break;
            poseidon2_permute_many(active.state[0], running);
            for (u64 k = 0; k < running; k++) {
                const u64 *word = slots[next[owner[k]]++].word;
                for (int j = 0; j < 3; j++)
                    active.state[k][4 + j] = absorb(&active.tag[k], word[4 + j]);
                active.state[k][7] = active.tag[k] >> 2;
            }
            poseidon2_permute_many(active.state[0], running);
            for (u64 k = 0; k < running; k++)
                memcpy(group.state[owner[k]], active.state[k], 8 * DIGEST_WORDS);
        }
        for (u64 i = 0; i < size; i++)
            memcpy(digests + DIGEST_WORDS * (done + i), group.state[i], 8 * DIGEST_WORDS);
    }
}

u64 witness_cover(const u64 *touched, u64 touched_count, u64 count, u64 *levels, u64 *numbers) {
    u64 blocks = 0, from = 0;
    for (u64 i = 0; i <= touched_count; i++) {
        u64 to = i < touched_count ? touched[i] : count;
        while (from < to) {
            u64 level = block_level(from, to);
            levels[blocks] = level;
            numbers[blocks] = from >> level;
            blocks++;
            from += 1ull << level;
        }
        from = to + 1;
    }
    return blocks;
}

void bulk_deposits(uint8_t acc[32], const struct event *events, u64 count) {
    for (u64 i = 0; i < count; i++)
        if ((events[i].head & 0xff) == EVENT_DEPOSITED)
            deposit_extend(acc, &events[i]);
}

void bulk_withdrawals(const struct event *events, u64 count, uint8_t root[32]) {
    struct withdrawal_tree tree;
    withdrawal_init(&tree);
    for (u64 i = 0; i < count; i++)
        if ((events[i].head & 0xff) == EVENT_WITHDRAWN)
            withdrawal_push(&tree, &events[i]);
    withdrawal_root(&tree, root);
}

void annex_digests(const uint8_t *bytes, const u64 *ends, u64 count, u64 *digests) {
    for (u64 i = 0; i < count; i++) {
        u64 start = i ? ends[i - 1] : 0;
        uint8_t digest[32];
        sha256(bytes + start, ends[i] - start, digest);
        memcpy(digests + DIGEST_WORDS * i, digest, sizeof digest);
    }
}

#endif

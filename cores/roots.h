/* What is hashed, and how: leaves, trees and state digests of a batch (spec/statements.md has the same in prose).
 *
 * A digest is four words, the first half of a permuted state. A word enters a state with the top two bits of both
 * halves cleared, so that each half is below the field's prime; the cleared bits are collected in a tag word that is
 * hashed too. So equal digests mean equal records, and no honest or dishonest input can break the permutation.
 *
 * Everything here works in place on a state of eight words and needs no memory of its own: the zkVM pays for every
 * word touched. Nothing here may read a word before it was written.
 */
#ifndef FIX_VENUE_ROOTS_H
#define FIX_VENUE_ROOTS_H

#include "core.h"
#include "poseidon2.h"

#define WORD_KEPT 0x3fffffff3fffffffull
#define DIGEST_WORDS 4
#define STATE_WORDS 8

/* Domain words: ASCII, first letter in the lowest byte. */
#define DOMAIN_COMMAND 0x646d63ull  /* "cmd" */
#define DOMAIN_EVENT 0x747665ull    /* "evt" */
#define DOMAIN_BLIND 0x646e6962ull  /* "bind" */
#define DOMAIN_CONFIG 0x676663ull   /* "cfg" */
#define DOMAIN_SYMBOL 0x6d7973ull   /* "sym" */
#define DOMAIN_ACCOUNT 0x636361ull  /* "acc" */

/* state[0..3] becomes the leaf of a command: three permutations over
 * [annex 0..3, command 0..3] [digest, command 4..7] [digest, tag of the twelve, "cmd", 0, 0].
 * annex: SHA-256 of the command's annex as four little-endian words. */
void command_leaf(u64 state[STATE_WORDS], const struct command *command, const u64 annex[DIGEST_WORDS]);

/* state[0..3] becomes the leaf of the index-th event of the command with that annex: the blind is one permutation of
 * [annex 0..3, "bind", index, 0, 0]; then as a command's, from the blind: [blind, event 0..3] [digest, event 4..7]
 * [digest, tag of the eight, "evt", 0, 0]. Whoever sees a blind learns nothing about the annex or other blinds. */
void event_leaf(u64 state[STATE_WORDS], const struct event *event, const u64 annex[DIGEST_WORDS], u64 index);

/* state[0..3] becomes the digest of `count` slots: from [domain, 0, 0, 0], two permutations a slot over
 * [digest, slot 0..3] [digest, slot 4..6, tag of the seven]. */
void slots_digest(u64 state[STATE_WORDS], u64 domain, const struct slot *slots, u64 count);

/* A tree in the shape of RFC 6962 (a node's left part holds the largest power of two of leaves below its count),
 * node = one permutation of [left, right], grown from the left in logarithmic memory. An empty tree's root is zero. */
#define TREE_LEVELS_MAX 40
struct tree {
    u64 count; /* leaves */
    u64 *top;  /* where the next digest is to be put: STATE_WORDS words that may be used to make it */
    u64 stack[(TREE_LEVELS_MAX + 2) * DIGEST_WORDS];
};

static inline void tree_init(struct tree *tree) {
    tree->count = 0;
    tree->top = tree->stack;
}

/* Appends the digest at the top: a leaf (level 0), or the root of 2^level leaves, of which the count must be a
 * multiple. */
static inline void tree_push(struct tree *tree, u64 level) {
    u64 *top = tree->top;
    for (u64 carry = tree->count >> level; carry & 1; carry >>= 1) {
        top -= DIGEST_WORDS; /* the two topmost digests are one state already */
        poseidon2_permute(top);
    }
    tree->top = top + DIGEST_WORDS;
    tree->count += 1ull << level;
}

/* Joins what is left from the right; the tree takes no more leaves afterwards. */
void tree_root(struct tree *tree, u64 root[DIGEST_WORDS]);

/* The largest aligned block that starts at leaf `from` and ends by `to`: its level. Blocks so chosen, one after the
 * other, are what a witness gives for a run of leaves that a batch does not touch. from < to. */
u64 block_level(u64 from, u64 to);

/* state_root = node(node(symbols_root, accounts_root), config digest). */
void join_state_root(const u64 symbols[DIGEST_WORDS], const u64 accounts[DIGEST_WORDS], const u64 config[DIGEST_WORDS],
                     u64 root[DIGEST_WORDS]);

/* ---- what a contract opens: SHA-256 ------------------------------------------------------------------------- */

/* acc = SHA-256(acc || seq || account || asset || amount), numbers as u64 big-endian. */
void deposit_extend(uint8_t acc[32], const struct event *deposited);

/* RFC 6962 with SHA-256 over 0x00 || address[20] || asset || amount || seq; zeros when there is none. */
struct withdrawal_tree {
    u64 count;
    u64 depth;
    uint8_t stack[TREE_LEVELS_MAX + 2][32];
};
void withdrawal_init(struct withdrawal_tree *tree);
void withdrawal_push(struct withdrawal_tree *tree, const struct event *withdrawn);
void withdrawal_root(struct withdrawal_tree *tree, uint8_t root[32]);

/* ---- public values ------------------------------------------------------------------------------------------- */

#define PUBLIC_VALUES_FORMAT 1u
#define PUBLIC_VALUES_SIZE 264u

struct public_values {
    u64 first_seq, last_seq, command_count, event_count;
    u64 prev_state_root[DIGEST_WORDS], state_root[DIGEST_WORDS];
    u64 command_root[DIGEST_WORDS], event_root[DIGEST_WORDS];
    uint8_t prev_deposit_acc[32], deposit_acc[32], withdrawal_root[32];
};

/* Numbers big-endian as a contract reads them; a root is its four words little-endian. */
void public_values_write(const struct public_values *values, uint8_t out[PUBLIC_VALUES_SIZE]);

#endif

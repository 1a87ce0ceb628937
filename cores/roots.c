/* Leaves, trees and state digests, one at a time: what the guest runs, and what roots_bulk.c must agree with. */
#include "roots.h"
#include "sha256.h"

/* A word without its cleared bits. The compiler must not look through it: it would make several masks of one xor. */
static inline u64 kept_bits(u64 word) {
    u64 kept = word & WORD_KEPT;
    __asm__("" : "+r"(kept));
    return kept;
}

/* Puts a word's kept bits into the state and its cleared bits into the tag: two bits a half and word, the first
 * word's lowest. A tag of twelve words has 24 bits a half once the last shift is done. */
#define ABSORB(target, word)                                                                                           \
    do {                                                                                                               \
        u64 absorbed = (word);                                                                                         \
        u64 kept = kept_bits(absorbed);                                                                                \
        (target) = kept;                                                                                               \
        tag = tag >> 2 | (absorbed ^ kept);                                                                            \
    } while (0)

static inline void finish_leaf(u64 state[STATE_WORDS], u64 tag, u64 domain) {
    state[4] = tag >> 2;
    state[5] = domain;
    state[6] = 0;
    state[7] = 0;
    poseidon2_permute(state);
}

/* Most words are below 2^30 in both halves. When all of a record are but its ids and its time, only those need masking
 * and make the tag: the same digest for two thirds of the work. A word's cleared bits end up shifted right by twice its
 * distance from the end of what is tagged. */
static inline u64 any_wide(u64 words) {
    return words != kept_bits(words);
}

static u64 command_words_wide(u64 state[STATE_WORDS], const struct command *command, u64 tag) {
    ABSORB(state[4], command->head);
    ABSORB(state[5], command->seq);
    ABSORB(state[6], command->time_ns);
    ABSORB(state[7], command->owner);
    poseidon2_permute(state);
    ABSORB(state[4], command->order_id);
    ABSORB(state[5], command->price_ticks);
    ABSORB(state[6], command->qty_lots);
    ABSORB(state[7], command->aux);
    poseidon2_permute(state);
    return tag;
}

void command_leaf(u64 state[STATE_WORDS], const struct command *command, const u64 annex[DIGEST_WORDS]) {
    u64 tag = 0, head = command->head, seq = command->seq, owner = command->owner, price = command->price_ticks;
    u64 lots = command->qty_lots, aux = command->aux, time = command->time_ns, id = command->order_id;
    ABSORB(state[0], annex[0]);
    ABSORB(state[1], annex[1]);
    ABSORB(state[2], annex[2]);
    ABSORB(state[3], annex[3]);
    if (any_wide(head | seq | owner | price | lots | aux)) {
        tag = command_words_wide(state, command, tag);
    } else {
        u64 time_kept = kept_bits(time), id_kept = kept_bits(id);
        state[4] = head;
        state[5] = seq;
        state[6] = time_kept;
        state[7] = owner;
        poseidon2_permute(state);
        state[4] = id_kept;
        state[5] = price;
        state[6] = lots;
        state[7] = aux;
        poseidon2_permute(state);
        tag = tag >> 16 | (time ^ time_kept) >> 10 | (id ^ id_kept) >> 6;
    }
    finish_leaf(state, tag, DOMAIN_COMMAND);
}

static u64 event_words_wide(u64 state[STATE_WORDS], const struct event *event) {
    u64 tag = 0;
    ABSORB(state[4], event->head);
    ABSORB(state[5], event->exec_id);
    ABSORB(state[6], event->owner);
    ABSORB(state[7], event->order_id);
    poseidon2_permute(state);
    ABSORB(state[4], event->price_ticks);
    ABSORB(state[5], event->qty_lots);
    ABSORB(state[6], event->leaves_lots);
    ABSORB(state[7], event->aux);
    poseidon2_permute(state);
    return tag;
}

void event_leaf(u64 state[STATE_WORDS], const struct event *event, const u64 annex[DIGEST_WORDS], u64 index) {
    u64 tag;
    for (int i = 0; i < DIGEST_WORDS; i++)
        state[i] = annex[i] & WORD_KEPT;
    state[4] = DOMAIN_BLIND;
    state[5] = index;
    state[6] = 0;
    state[7] = 0;
    poseidon2_permute(state);
    u64 head = event->head, exec_id = event->exec_id, owner = event->owner, id = event->order_id;
    u64 price = event->price_ticks, lots = event->qty_lots, leaves = event->leaves_lots, aux = event->aux;
    if (any_wide(head | owner | price | lots | leaves | aux)) {
        tag = event_words_wide(state, event);
    } else {
        u64 exec_kept = kept_bits(exec_id), id_kept = kept_bits(id);
        state[4] = head;
        state[5] = exec_kept;
        state[6] = owner;
        state[7] = id_kept;
        poseidon2_permute(state);
        state[4] = price;
        state[5] = lots;
        state[6] = leaves;
        state[7] = aux;
        poseidon2_permute(state);
        tag = (exec_id ^ exec_kept) >> 12 | (id ^ id_kept) >> 8;
    }
    finish_leaf(state, tag, DOMAIN_EVENT);
}

static u64 slot_words_wide(u64 state[STATE_WORDS], const u64 word[8]) {
    u64 tag = 0;
    ABSORB(state[4], word[0]);
    ABSORB(state[5], word[1]);
    ABSORB(state[6], word[2]);
    ABSORB(state[7], word[3]);
    poseidon2_permute(state);
    ABSORB(state[4], word[4]);
    ABSORB(state[5], word[5]);
    ABSORB(state[6], word[6]);
    return tag;
}

void slots_digest(u64 state[STATE_WORDS], u64 domain, const struct slot *slots, u64 count) {
    state[0] = domain;
    state[1] = 0;
    state[2] = 0;
    state[3] = 0;
    for (const struct slot *slot = slots, *end = slots + count; slot != end; slot++) {
        u64 id = slot->word[0], a = slot->word[1], b = slot->word[2], c = slot->word[3], d = slot->word[4];
        u64 e = slot->word[5], f = slot->word[6], tag;
        if (any_wide(a | b | c | d | e | f)) {
            tag = slot_words_wide(state, slot->word);
        } else {
            u64 id_kept = kept_bits(id);
            state[4] = id_kept;
            state[5] = a;
            state[6] = b;
            state[7] = c;
            poseidon2_permute(state);
            state[4] = d;
            state[5] = e;
            state[6] = f;
            tag = (id ^ id_kept) >> 12;
        }
        state[7] = tag >> 2;
        poseidon2_permute(state);
    }
}

void tree_root(struct tree *tree, u64 root[DIGEST_WORDS]) {
    if (tree->count == 0)
        for (int i = 0; i < DIGEST_WORDS; i++)
            tree->stack[i] = 0;
    while (tree->top > tree->stack + DIGEST_WORDS) {
        tree->top -= DIGEST_WORDS;
        poseidon2_permute(tree->top - DIGEST_WORDS);
    }
    for (int i = 0; i < DIGEST_WORDS; i++)
        root[i] = tree->stack[i];
}

u64 block_level(u64 from, u64 to) {
    u64 level = 0;
    while (!(from >> level & 1) && (2ull << level) <= to - from)
        level++;
    return level;
}

void join_state_root(const u64 symbols[DIGEST_WORDS], const u64 accounts[DIGEST_WORDS], const u64 config[DIGEST_WORDS],
                     u64 root[DIGEST_WORDS]) {
    u64 state[STATE_WORDS];
    for (int i = 0; i < DIGEST_WORDS; i++) {
        state[i] = symbols[i];
        state[DIGEST_WORDS + i] = accounts[i];
    }
    poseidon2_permute(state);
    for (int i = 0; i < DIGEST_WORDS; i++)
        state[DIGEST_WORDS + i] = config[i];
    poseidon2_permute(state);
    for (int i = 0; i < DIGEST_WORDS; i++)
        root[i] = state[i];
}

/* ---- what a contract opens ----------------------------------------------------------------------------------- */

static void store_be64(uint8_t *out, u64 x) {
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(x >> (56 - 8 * i));
}

static void copy_bytes(uint8_t *out, const uint8_t *in, u64 length) {
    for (u64 i = 0; i < length; i++)
        out[i] = in[i];
}

void deposit_extend(uint8_t acc[32], const struct event *deposited) {
    uint8_t message[64];
    copy_bytes(message, acc, 32);
    store_be64(message + 32, deposited->exec_id >> 24);
    store_be64(message + 40, deposited->owner & 0xffffffffu);
    store_be64(message + 48, deposited->owner >> 48);
    store_be64(message + 56, deposited->qty_lots);
    sha256(message, sizeof message, acc);
}

void withdrawal_init(struct withdrawal_tree *tree) {
    tree->count = 0;
    tree->depth = 0;
}

static void withdrawal_join(struct withdrawal_tree *tree) {
    uint8_t message[65];
    message[0] = 1;
    copy_bytes(message + 1, tree->stack[tree->depth - 2], 32);
    copy_bytes(message + 33, tree->stack[tree->depth - 1], 32);
    tree->depth--;
    sha256(message, sizeof message, tree->stack[tree->depth - 1]);
}

void withdrawal_push(struct withdrawal_tree *tree, const struct event *withdrawn) {
    uint8_t message[45];
    const u64 address[3] = {withdrawn->order_id, withdrawn->price_ticks, withdrawn->aux};
    message[0] = 0;
    for (int i = 0; i < 20; i++)
        message[1 + i] = (uint8_t)(address[i / 8] >> 8 * (i % 8));
    store_be64(message + 21, withdrawn->owner >> 48);
    store_be64(message + 29, withdrawn->qty_lots);
    store_be64(message + 37, withdrawn->exec_id >> 24);
    sha256(message, sizeof message, tree->stack[tree->depth]);
    tree->depth++;
    for (u64 carry = tree->count; carry & 1; carry >>= 1)
        withdrawal_join(tree);
    tree->count++;
}

void withdrawal_root(struct withdrawal_tree *tree, uint8_t root[32]) {
    while (tree->depth > 1)
        withdrawal_join(tree);
    for (int i = 0; i < 32; i++)
        root[i] = tree->depth ? tree->stack[0][i] : 0;
}

/* ---- public values ------------------------------------------------------------------------------------------- */

static void store_root(uint8_t *out, const u64 root[DIGEST_WORDS]) {
    for (int i = 0; i < 32; i++)
        out[i] = (uint8_t)(root[i / 8] >> 8 * (i % 8));
}

void public_values_write(const struct public_values *values, uint8_t out[PUBLIC_VALUES_SIZE]) {
    store_be64(out, PUBLIC_VALUES_FORMAT);
    store_be64(out + 8, values->first_seq);
    store_be64(out + 16, values->last_seq);
    store_be64(out + 24, values->command_count);
    store_be64(out + 32, values->event_count);
    store_root(out + 40, values->prev_state_root);
    store_root(out + 72, values->state_root);
    store_root(out + 104, values->command_root);
    store_root(out + 136, values->event_root);
    copy_bytes(out + 168, values->prev_deposit_acc, 32);
    copy_bytes(out + 200, values->deposit_acc, 32);
    copy_bytes(out + 232, values->withdrawal_root, 32);
}

/* The hashes of roots.h over whole arrays, in SIMD lanes: for sealing and verifying, never in a guest. */
#ifndef FIX_VENUE_ROOTS_BULK_H
#define FIX_VENUE_ROOTS_BULK_H

#include "roots.h"

/* digests[4 * count]. */
void command_leaves(const struct command *commands, const u64 *annexes, u64 count, u64 *digests);

/* Event i belongs to command c when event_ends[c - 1] <= i < event_ends[c]; its index counts from there. */
void event_leaves(const struct event *events, const u64 *event_ends, const u64 *annexes, u64 commands, u64 *digests);

/* nodes[4 * i] = node(digests[8 * i], digests[8 * i + 4]); may be done in place. */
void join_pairs(const u64 *digests, u64 pairs, u64 *nodes);

/* Root of the tree over `count` leaves; scratch[4 * count] is overwritten, and may be the leaves themselves. */
void bulk_tree_root(const u64 *leaves, u64 count, u64 *scratch, u64 root[DIGEST_WORDS]);

/* Slot tables i = slots[ends[i - 1] .. ends[i]), each digested on its own: digests[4 * count]. */
void bulk_slots_digest(u64 domain, const struct slot *slots, const u64 *ends, u64 count, u64 *digests);

/* The blocks that cover the leaves 0..count but for the `touched` ones (ascending): what a witness gives beside the
 * touched leaves. Writes a block's level and its number among the blocks of that level; returns how many there are.
 * At most (touched_count + 1) * 2 * TREE_LEVELS_MAX. */
u64 witness_cover(const u64 *touched, u64 touched_count, u64 count, u64 *levels, u64 *numbers);

/* Extends a deposit accumulator by every DEPOSITED among the events; makes the tree of every WITHDRAWN. */
void bulk_deposits(uint8_t acc[32], const struct event *events, u64 count);
void bulk_withdrawals(const struct event *events, u64 count, uint8_t root[32]);

/* Annex i = bytes[ends[i - 1] .. ends[i]): its SHA-256 as four little-endian words. */
void annex_digests(const uint8_t *bytes, const u64 *ends, u64 count, u64 *digests);

#endif

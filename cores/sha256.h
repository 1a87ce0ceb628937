/* SHA-256 (FIPS 180-4), one call over one contiguous message.
 *
 * Used where a contract or a plain tool must be able to check: annex digests, deposits, withdrawals, and the digest of
 * a guest's public values. Freestanding; in the SP1 guest a block is two precompile calls, on x86-64 with the SHA
 * extensions it is the CPU's, elsewhere it is plain C.
 */
#ifndef FIX_VENUE_SHA256_H
#define FIX_VENUE_SHA256_H

#include <stdint.h>

typedef uint64_t u64;

void sha256(const uint8_t *data, u64 length, uint8_t digest[32]);

#endif

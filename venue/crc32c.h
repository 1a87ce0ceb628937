/* CRC-32C (Castagnoli): the checksum of journal entries, segment heads and snapshots. */
#ifndef FIX_VENUE_CRC32C_H
#define FIX_VENUE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over the bytes. Uses the processor's instruction where it has one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same by table, on any processor: the fallback, and the check on the instruction. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif

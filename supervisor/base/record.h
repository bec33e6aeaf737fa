/*
 * record.h: records in shared memory that survive a writer that dies at any
 * instruction. Each place holds two copies, each with a counter and a CRC. A
 * change is written to the older copy, then its counter is raised; a reader
 * takes the newest copy whose CRC is right.
 *
 * One writer, and readers only after the writer is gone, so no atomics are
 * needed beyond the order of the stores.
 */
#ifndef MUSTER_RECORD_H
#define MUSTER_RECORD_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes that a place for payloads of `size` bytes takes; a multiple of 8.
 * `size` must be a multiple of 8.
 */
#define RECORD_PLACE_SIZE(size) (2 * (8 + (size)))

/*
 * Writes `payload` of `size` bytes as the newest copy. `place` is aligned to
 * 8 and of RECORD_PLACE_SIZE(size) bytes; all zeros is an empty place.
 */
void record_write(void *place, const void *payload, size_t size);

/*
 * Reads the newest right copy into `ret_payload`.
 * Returns 0; -ENOENT: nothing was ever written; -EBADMSG: something was, and
 * no copy is right.
 */
int record_read(const void *place, void *ret_payload, size_t size);

/* CRC-32C of `size` bytes, continued from `crc` (0 at the start). */
uint32_t record_crc(uint32_t crc, const void *bytes, size_t size);

#endif

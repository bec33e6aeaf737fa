/*
 * frame.h: the codec of the channel protocol's frame. Bytes in, fields out; no
 * I/O, no loop, no memory of its own, so a test can cut a stream anywhere.
 *
 * A frame is a header of 32 bytes (little-endian), then `size` bytes: a name
 * of `name_size` bytes and a body of exactly one JSON value. The codec checks
 * what the header alone can tell; the body is its receiver's business.
 *
 * What is done for every frame that passes is inline: a relay does it millions
 * of times a second.
 *
 * All functions may be called from any thread and after fork.
 */
#ifndef MUSTER_FRAME_H
#define MUSTER_FRAME_H

#include "protocol.h"

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct frame_header {
	uint32_t size;	     /* bytes behind the header: name and body */
	uint8_t kind;	     /* enum muster_kind */
	uint8_t flags;	     /* enum muster_flag */
	uint16_t name_size;  /* bytes of the name that starts the payload */
	uint32_t from;	     /* the sender; the supervisor's stamp */
	uint32_t to;	     /* an address */
	uint64_t id;	     /* of a request or its answer; see the protocol */
	uint32_t timeout_ms; /* of a request: how long the sender waits */
	uint32_t sequence;   /* the hop's counter; 0 = not counted */
};

/* Rules of the frame that end a channel when they are broken. */
enum frame_fault {
	FRAME_OK = 0,
	FRAME_BAD_KIND,
	FRAME_BAD_FLAGS,
	FRAME_BAD_NAME, /* name_size over size, or over 255 */
	FRAME_EMPTY_BODY,
	FRAME_TOO_LARGE, /* size over max_message */
	FRAME_BAD_SEQUENCE,
};

/* Reads the header from `bytes` (32 of them, any alignment). */
static inline void
frame_load(const uint8_t *bytes, struct frame_header *ret_header)
{
	memcpy(ret_header, bytes, sizeof *ret_header);
	ret_header->size = le32toh(ret_header->size);
	ret_header->name_size = le16toh(ret_header->name_size);
	ret_header->from = le32toh(ret_header->from);
	ret_header->to = le32toh(ret_header->to);
	ret_header->id = le64toh(ret_header->id);
	ret_header->timeout_ms = le32toh(ret_header->timeout_ms);
	ret_header->sequence = le32toh(ret_header->sequence);
}

/*
 * Writes the header to `bytes` (room for 32, any alignment), with `sequence` in
 * place of its own. Four words made in registers: a struct that is filled field
 * by field and then copied waits for its own small stores.
 */
static inline void
frame_store_as(
	uint8_t *bytes, const struct frame_header *header, uint32_t sequence)
{
	uint64_t words[4] = {
		htole64(header->size | (uint64_t)header->kind << 32 |
			(uint64_t)header->flags << 40 |
			(uint64_t)header->name_size << 48),
		htole64(header->from | (uint64_t)header->to << 32),
		htole64(header->id),
		htole64(header->timeout_ms | (uint64_t)sequence << 32),
	};

	memcpy(bytes, &words[0], 8);
	memcpy(bytes + 8, &words[1], 8);
	memcpy(bytes + 16, &words[2], 8);
	memcpy(bytes + 24, &words[3], 8);
}

/* The same with the header's sequence. */
static inline void
frame_store(uint8_t *bytes, const struct frame_header *header)
{
	frame_store_as(bytes, header, header->sequence);
}

/* Overwrites single fields of a stored header in place. */
static inline void
frame_stamp_from(uint8_t *bytes, uint32_t from)
{
	from = htole32(from);
	memcpy(bytes + offsetof(struct frame_header, from), &from, sizeof from);
}

static inline void
frame_stamp_id(uint8_t *bytes, uint64_t id)
{
	id = htole64(id);
	memcpy(bytes + offsetof(struct frame_header, id), &id, sizeof id);
}

static inline void
frame_stamp_sequence(uint8_t *bytes, uint32_t sequence)
{
	sequence = htole32(sequence);
	memcpy(bytes + offsetof(struct frame_header, sequence), &sequence,
		sizeof sequence);
}

/*
 * Checks a header by itself; the sequence is the channel's business.
 * `max_message` is the bound of `size` in bytes.
 * Returns FRAME_OK or the first rule broken. Nothing was allocated and
 * nothing needs to be read behind the header to know.
 */
enum frame_fault frame_check(
	const struct frame_header *header, uint32_t max_message);

/* The rule in words, a static string: "the size is over max_message", … */
const char *frame_fault_text(enum frame_fault fault);

/* The number that follows `sequence`: after 0xffffffff comes 1, never 0. */
static inline uint32_t
frame_next_sequence(uint32_t sequence)
{
	return sequence == UINT32_MAX ? 1 : sequence + 1;
}

/*
 * The distance from `older` to `newer` on the circle of numbers without 0;
 * negative when `newer` lies before `older`. Meaningful for distances under
 * 2^31.
 */
static inline int32_t
frame_sequence_distance(uint32_t older, uint32_t newer)
{
	/* 0 is no number of the circle: a step over it counts one less. */
	int32_t distance = (int32_t)(newer - older);

	if (distance > 0 && newer < older)
		return distance - 1;
	if (distance < 0 && newer > older)
		return distance + 1;
	return distance;
}

#endif

/*
 * frame.c: the codec of the frame. It knows the layout and the rules that a
 * header alone can break. Sequences, descriptors and delivery belong to the
 * two ends of a channel.
 */
#include "frame.h"

#include <endian.h>
#include <string.h>

/* The wire layout; the compiler lays the struct out without padding. */
_Static_assert(sizeof(struct frame_header) == MUSTER_HEADER_SIZE,
	"the header has 32 bytes");
_Static_assert(offsetof(struct frame_header, from) == 8, "from");
_Static_assert(offsetof(struct frame_header, id) == 16, "id");
_Static_assert(offsetof(struct frame_header, sequence) == 28, "sequence");

void
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

void
frame_store(uint8_t *bytes, const struct frame_header *header)
{
	struct frame_header wire = {
		.size = htole32(header->size),
		.kind = header->kind,
		.flags = header->flags,
		.name_size = htole16(header->name_size),
		.from = htole32(header->from),
		.to = htole32(header->to),
		.id = htole64(header->id),
		.timeout_ms = htole32(header->timeout_ms),
		.sequence = htole32(header->sequence),
	};

	memcpy(bytes, &wire, sizeof wire);
}

void
frame_stamp_from(uint8_t *bytes, uint32_t from)
{
	from = htole32(from);
	memcpy(bytes + offsetof(struct frame_header, from), &from, sizeof from);
}

void
frame_stamp_id(uint8_t *bytes, uint64_t id)
{
	id = htole64(id);
	memcpy(bytes + offsetof(struct frame_header, id), &id, sizeof id);
}

void
frame_stamp_sequence(uint8_t *bytes, uint32_t sequence)
{
	sequence = htole32(sequence);
	memcpy(bytes + offsetof(struct frame_header, sequence), &sequence,
		sizeof sequence);
}

enum frame_fault
frame_check(const struct frame_header *header, uint32_t max_message)
{
	if (header->kind < MUSTER_MESSAGE || header->kind > MUSTER_PUBLISH)
		return FRAME_BAD_KIND;
	if (header->flags & ~(MUSTER_FLAG_FD | MUSTER_FLAG_BRIDGED))
		return FRAME_BAD_FLAGS;
	if (header->size > max_message)
		return FRAME_TOO_LARGE;
	if (header->name_size > MUSTER_NAME_MAX ||
		header->name_size > header->size)
		return FRAME_BAD_NAME;
	if (header->size == header->name_size)
		return FRAME_EMPTY_BODY;
	return FRAME_OK;
}

const char *
frame_fault_text(enum frame_fault fault)
{
	switch (fault) {
	case FRAME_OK:
		return "the frame is right";
	case FRAME_BAD_KIND:
		return "the kind is unknown";
	case FRAME_BAD_FLAGS:
		return "a reserved flag is set";
	case FRAME_BAD_NAME:
		return "name_size is over size or over 255";
	case FRAME_EMPTY_BODY:
		return "the body is empty";
	case FRAME_TOO_LARGE:
		return "the size is over max_message";
	case FRAME_BAD_SEQUENCE:
		return "the sequence is out of order";
	}
	return "the frame breaks an unknown rule";
}

uint32_t
frame_next_sequence(uint32_t sequence)
{
	return sequence == UINT32_MAX ? 1 : sequence + 1;
}

int32_t
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

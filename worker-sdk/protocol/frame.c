/*
 * frame.c: the codec of the frame. It knows the layout and the rules that a
 * header alone can break. Sequences, descriptors and delivery belong to the
 * two ends of a channel.
 */
#include "frame.h"

/* The wire layout; the compiler lays the struct out without padding. */
_Static_assert(sizeof(struct frame_header) == MUSTER_HEADER_SIZE,
	"the header has 32 bytes");
_Static_assert(offsetof(struct frame_header, from) == 8, "from");
_Static_assert(offsetof(struct frame_header, id) == 16, "id");
_Static_assert(offsetof(struct frame_header, sequence) == 28, "sequence");

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

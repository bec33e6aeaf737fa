/*
 * ring.c: walks the frames of a ring. Used wherever what was queued must be
 * looked at again: to be numbered, given back, moved to another receiver. The
 * way of a message never comes through here.
 */
#include "ring.h"

static bool
ring_run_frame(const struct memory_view *view, const struct memory_entry *entry,
	struct ring_cursor *cursor, struct ring_frame *frame)
{
	uint32_t rest = entry->length - cursor->offset;
	uint64_t total;

	if (rest < MUSTER_HEADER_SIZE)
		return false;
	frame->bytes =
		memory_at(view, entry->block, entry->offset + cursor->offset);
	frame_load(frame->bytes, &frame->header);
	total = (uint64_t)frame->header.size + MUSTER_HEADER_SIZE;
	if (total > rest)
		return false;

	frame->position = frame->end = cursor->position;
	frame->offset = cursor->offset;
	frame->end_offset = cursor->offset + (uint32_t)total;
	frame->is_run = true;
	frame->count = 1;
	frame->pieces[0] = (struct piece){
		.block = entry->block,
		.offset = entry->offset + cursor->offset,
		.length = (uint32_t)total,
	};
	cursor->offset = frame->end_offset;
	return true;
}

static bool
ring_pieces_frame(const struct memory_view *view, uint32_t channel,
	uint32_t end, struct ring_cursor *cursor, struct ring_frame *frame)
{
	const struct memory_entry *entry;
	uint64_t total = 0;

	frame->position = cursor->position;
	frame->offset = 0;
	frame->count = 0;
	frame->is_run = false;
	do {
		if (cursor->position == end || frame->count == RING_PIECES_MAX)
			return false;
		entry = memory_entry_at(view, channel, cursor->position);
		/* The next frame begins before this one has ended. */
		if (frame->count > 0 &&
			(entry->flags & (MEMORY_TAKEN | MEMORY_PIECE)) !=
				MEMORY_PIECE)
			return false;
		frame->pieces[frame->count++] = (struct piece){
			.block = entry->block,
			.offset = entry->offset,
			.length = entry->length,
		};
		total += entry->length;
		frame->end = cursor->position++;
	} while (entry->flags & MEMORY_CONTINUES);
	frame->end_offset = entry->length;

	if (frame->pieces[0].length < MUSTER_HEADER_SIZE)
		return false;
	frame->bytes = memory_at(
		view, frame->pieces[0].block, frame->pieces[0].offset);
	frame_load(frame->bytes, &frame->header);
	return total == (uint64_t)frame->header.size + MUSTER_HEADER_SIZE;
}

bool
ring_next(const struct memory_view *view, uint32_t channel, uint32_t end,
	struct ring_cursor *cursor, struct ring_frame *ret_frame)
{
	while (cursor->position != end) {
		const struct memory_entry *entry =
			memory_entry_at(view, channel, cursor->position);

		if (entry->flags & MEMORY_TAKEN) {
			cursor->position++;
			cursor->offset = 0;
			continue;
		}
		if (entry->flags & MEMORY_PIECE) {
			if (ring_pieces_frame(
				    view, channel, end, cursor, ret_frame))
				return true;
			continue;
		}
		if (ring_run_frame(view, entry, cursor, ret_frame))
			return true;
		cursor->position++;
		cursor->offset = 0;
	}
	return false;
}

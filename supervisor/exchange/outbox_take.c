/*
 * outbox_take.c: frames leave an outbox other than by its channel: given back,
 * handed to another receiver, or split off. What becomes of each is the
 * caller's to decide.
 */
#include "outbox.h"

#include "base/sys.h"

#include <errno.h>

static bool
outbox_was_written(const struct outbox *outbox, const struct ring_frame *frame)
{
	int32_t ahead = (int32_t)(frame->end - outbox->written);

	return ahead < 0 ||
	       (ahead == 0 && frame->end_offset <= outbox->written_bytes);
}

void
outbox_take_all(struct outbox *outbox,
	void (*take)(void *context, struct outbox_taken *taken), void *context)
{
	struct memory_channel *row = outbox_row(outbox);
	struct ring_cursor cursor = {.position = row->head};
	uint32_t tail = row->tail;
	struct ring_frame frame;

	while (ring_next(
		outbox->view, outbox->channel, tail, &cursor, &frame)) {
		const struct memory_entry *entry =
			outbox_entry(outbox, frame.end);
		struct outbox_taken taken = {
			.frame = &frame,
			.source = {.channel = entry->sender,
				.sequence = entry->sender_sequence,
				.mark = entry->sender_mark,
				.has_id = entry->flags & MEMORY_WITH_ID},
			.fd = outbox_take_fd(outbox, frame.position),
			.was_written = outbox_was_written(outbox, &frame),
		};

		if (taken.was_written && frame.header.sequence != 0 &&
			frame_sequence_distance(
				frame.header.sequence, row->acked) >= 0)
			continue; /* part of an entry that is half taken */
		take(context, &taken);
	}
	while (row->head != tail)
		outbox_pop(outbox);
	outbox_set_written(outbox, tail);
	outbox->written_bytes = 0;
	outbox->mid_frame = false;
	outbox->queued = outbox->unacked = 0;
}

/* Marks a frame in the middle of the ring as taken. */
static void
outbox_mark_taken(struct outbox *outbox, const struct ring_frame *frame)
{
	for (uint32_t p = frame->position; p != frame->end + 1; p++)
		outbox_entry(outbox, p)->flags |= MEMORY_TAKEN;
	outbox->queued -= (uint64_t)frame->header.size + MUSTER_HEADER_SIZE;
}

void
outbox_take_some(struct outbox *outbox,
	enum outbox_verdict (*take)(void *context, struct outbox_taken *taken),
	void *context)
{
	struct memory_channel *row = outbox_row(outbox);
	struct ring_cursor cursor = {.position = row->head};
	enum outbox_verdict verdict = OUTBOX_LEAVE;
	struct ring_frame frame;

	while (verdict != OUTBOX_STOP &&
		ring_next(outbox->view, outbox->channel, row->tail, &cursor,
			&frame)) {
		const struct memory_entry *entry =
			outbox_entry(outbox, frame.end);
		uint32_t position = frame.position;
		struct outbox_taken taken = {
			.frame = &frame,
			.source = {.channel = entry->sender,
				.sequence = entry->sender_sequence,
				.mark = entry->sender_mark,
				.has_id = entry->flags & MEMORY_WITH_ID},
			.fd = outbox_take_fd(outbox, position),
		};

		verdict = take(context, &taken);
		if (verdict == OUTBOX_TAKE)
			outbox_mark_taken(outbox, &frame);
		else if (taken.fd >= 0 &&
			 outbox_keep_fd(outbox, taken.fd, position) < 0)
			(void)sys_close(taken.fd);
	}
	while (row->head != row->tail &&
		(outbox_entry(outbox, row->head)->flags & MEMORY_TAKEN))
		outbox_pop(outbox);
	outbox_set_written(outbox, row->head);
}

/* Splitting --------------------------------------------------------------- */

/* Where the frames begin of which no byte was written. */
static struct ring_cursor
outbox_unbegun(const struct outbox *outbox)
{
	struct ring_cursor cursor = {.position = outbox->written};
	const struct memory_entry *entry;
	struct ring_frame frame;

	if (outbox->written_bytes == 0 && !outbox->mid_frame)
		return cursor;
	entry = outbox_entry(outbox, cursor.position);
	if (entry->flags & MEMORY_PIECE) {
		while (outbox_entry(outbox, cursor.position)->flags &
			MEMORY_CONTINUES)
			cursor.position++;
		cursor.position++;
		return cursor;
	}
	while (cursor.offset < outbox->written_bytes &&
		ring_next(outbox->view, outbox->channel, outbox->written + 1,
			&cursor, &frame))
		continue;
	if (cursor.offset == entry->length)
		cursor = (struct ring_cursor){.position = cursor.position + 1};
	return cursor;
}

/* The descriptors from the entry at `from` on go along. */
static void
outbox_split_fds(struct outbox *outbox, uint32_t from, struct outbox *rest)
{
	for (uint32_t p = from; p != outbox_row(outbox)->tail; p++) {
		int fd = outbox_take_fd(outbox, p);

		if (fd >= 0 && outbox_keep_fd(rest, fd, p - from) < 0)
			(void)sys_close(fd);
	}
}

/* Gives the rest of a run, behind the frame that was begun, to `rest`. */
static void
outbox_split_run(
	struct outbox *outbox, struct ring_cursor at, struct outbox *rest)
{
	struct memory_entry *entry = outbox_entry(outbox, at.position);
	struct memory_entry *copy = outbox_entry(rest, 0);
	struct ring_cursor cursor = {.position = at.position};
	struct ring_frame frame;

	while (cursor.offset < at.offset &&
		ring_next(outbox->view, outbox->channel, at.position + 1,
			&cursor, &frame))
		continue;
	*copy = *entry;
	copy->offset += at.offset;
	copy->length -= at.offset;
	memory_reference(outbox->memory, copy->block);
	rest->queued += copy->length;
	outbox->queued -= copy->length;
	entry->length = at.offset;
	entry->last = frame.header.sequence;
	outbox_row(rest)->tail = 1;
}

int
outbox_split(struct outbox *outbox, struct outbox *ret_rest)
{
	struct ring_cursor at = outbox_unbegun(outbox);
	struct memory_channel *row = outbox_row(outbox), *rest;
	uint32_t first = at.offset > 0 ? at.position + 1 : at.position;
	int r = outbox_init(
		ret_rest, outbox->memory, MEMORY_WAITING, outbox->limit);

	if (r < 0)
		return r;
	rest = outbox_row(ret_rest);
	outbox_split_fds(outbox, at.position, ret_rest);
	if (at.offset > 0)
		outbox_split_run(outbox, at, ret_rest);
	for (uint32_t p = first; p != row->tail; p++) {
		const struct memory_entry *entry = outbox_entry(outbox, p);

		*outbox_entry(ret_rest, rest->tail++) = *entry;
		ret_rest->queued += entry->length;
		outbox->queued -= entry->length;
	}
	row->tail = first;
	if (row->flags & MEMORY_TAKES_PART)
		row->sent = row->head == row->tail
				    ? row->acked
				    : outbox_entry(outbox, row->tail - 1)->last;
	if (row->head == row->tail)
		outbox_copies_drop(&outbox->copies, outbox->memory);
	return 0;
}

/* Looking --------------------------------------------------------------- */

void
outbox_visit_unwritten(struct outbox *outbox,
	void (*visit)(void *context, const struct ring_frame *frame),
	void *context)
{
	struct memory_channel *row = outbox_row(outbox);
	struct ring_cursor cursor = {.position = row->head};
	struct ring_frame frame;

	while (ring_next(
		outbox->view, outbox->channel, row->tail, &cursor, &frame))
		if (!outbox_was_written(outbox, &frame))
			visit(context, &frame);
}

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

static struct outbox_taken
outbox_describe(struct outbox *outbox, struct ring_frame *frame)
{
	const struct memory_entry *entry = outbox_entry(outbox, frame->end);

	return (struct outbox_taken){
		.frame = frame,
		.source = {.channel = entry->sender,
			.sequence = entry->sender_sequence,
			.mark = entry->sender_mark,
			.has_id = entry->flags & MEMORY_WITH_ID},
		.fd = outbox_take_fd(outbox, frame->position),
		.was_written = outbox_was_written(outbox, frame),
	};
}

/* Frees the entries in front of `position`. */
static void
outbox_pop_to(struct outbox *outbox, uint32_t position)
{
	struct memory_channel *row = outbox_row(outbox);

	if ((int32_t)(outbox->written - position) < 0)
		outbox_set_written(outbox, position, 0);
	while (row->head != position)
		outbox_pop(outbox);
}

/* Frees the ring up to the end of the frame. */
static void
outbox_leave(struct outbox *outbox, const struct ring_frame *frame)
{
	struct memory_entry *entry = outbox_entry(outbox, frame->end);
	uint32_t written = outbox->written_bytes;

	if (!frame->is_run || frame->end_offset == entry->length) {
		outbox_pop_to(outbox, frame->end + 1);
		return;
	}
	outbox_pop_to(outbox, frame->end);
	journal_save(outbox->view->journal, entry, sizeof *entry);
	entry->offset += frame->end_offset;
	entry->length -= frame->end_offset;
	if (outbox->written == frame->end)
		outbox_set_written(outbox, frame->end,
			written > frame->end_offset
				? written - frame->end_offset
				: 0);
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
		struct outbox_taken taken = outbox_describe(outbox, &frame);
		/* Then it is part of an entry that is half taken in. */
		bool is_acked = taken.was_written &&
				frame.header.sequence != 0 &&
				frame_sequence_distance(
					frame.header.sequence, row->acked) >= 0;

		memory_begin(outbox->memory);
		if (!is_acked)
			take(context, &taken);
		else if (taken.fd >= 0)
			(void)sys_close(taken.fd);
		outbox_leave(outbox, &frame);
		memory_commit(outbox->memory);
		cursor = (struct ring_cursor){.position = row->head};
	}
	outbox_pop_to(outbox, tail);
	outbox->mid_frame = false;
	outbox->queued = outbox->unacked = 0;
}

/* Marks a frame in the middle of the ring as taken. */
static void
outbox_mark_taken(struct outbox *outbox, const struct ring_frame *frame)
{
	for (uint32_t p = frame->position; p != frame->end + 1; p++) {
		struct memory_entry *entry = outbox_entry(outbox, p);

		journal_set(outbox->view->journal, entry->flags,
			entry->flags | MEMORY_TAKEN);
	}
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
		uint32_t position = frame.position;
		struct outbox_taken taken = outbox_describe(outbox, &frame);

		memory_begin(outbox->memory);
		verdict = take(context, &taken);
		if (verdict == OUTBOX_TAKE)
			outbox_mark_taken(outbox, &frame);
		memory_commit(outbox->memory);
		if (verdict == OUTBOX_TAKE)
			continue;
		if (taken.fd >= 0 &&
			outbox_keep_fd(outbox, taken.fd, position) < 0)
			(void)sys_close(taken.fd);
	}
	while (row->head != row->tail &&
		(outbox_entry(outbox, row->head)->flags & MEMORY_TAKEN))
		outbox_pop_to(outbox, row->head + 1);
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
	journal_save(outbox->view->journal, entry, sizeof *entry);
	entry->length = at.offset;
	entry->last = frame.header.sequence;
	outbox_row(rest)->tail = 1;
}

int
outbox_split(struct outbox *outbox, struct outbox *ret_rest)
{
	struct ring_cursor at = outbox_unbegun(outbox);
	struct memory_channel *row = outbox_row(outbox), *rest;
	struct journal *journal = outbox->view->journal;
	uint32_t first = at.offset > 0 ? at.position + 1 : at.position;
	int r;

	memory_begin(outbox->memory);
	r = outbox_init(
		ret_rest, outbox->memory, MEMORY_WAITING, outbox->limit);
	if (r < 0) {
		memory_commit(outbox->memory);
		return r;
	}
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
	journal_set(journal, row->tail, first);
	journal->has_shrunk = true;
	if (row->flags & MEMORY_TAKES_PART)
		journal_set(journal, row->sent,
			row->head == row->tail
				? row->acked
				: outbox_entry(outbox, row->tail - 1)->last);
	memory_commit(outbox->memory);
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

/*
 * outbox_mend.c: a ring that an earlier brain left is made such that it can be
 * written: without frames whose descriptors died with that brain, and without
 * what doesn't add up. Its receiver has none of it yet, so that numbers may
 * change; a gap in them may not be.
 */
#include "outbox.h"

#include <errno.h>
#include <stdlib.h>

struct mend {
	struct outbox *outbox;
	struct memory_entry *entries; /* that stay, in order */
	uint32_t count;
	uint32_t position; /* of the entry that the last of them was part of */
	uint32_t sequence; /* of the last frame that stays */
	uint32_t fd_count;
};

static bool
mend_has_fd(const struct outbox *outbox, uint32_t position)
{
	return outbox_find_fd(outbox, position) < outbox->fd_count;
}

/* Whether the frame can be written as it stands. */
static bool
mend_may_stay(const struct outbox *outbox, const struct ring_frame *frame)
{
	return frame_check(&frame->header, UINT32_MAX) == FRAME_OK &&
	       (!(frame->header.flags & MUSTER_FLAG_FD) ||
		       mend_has_fd(outbox, frame->position));
}

static uint32_t
mend_next(const struct outbox *outbox, uint32_t sequence)
{
	return outbox_row(outbox)->flags & MEMORY_TAKES_PART
		       ? frame_next_sequence(sequence)
		       : 0;
}

/* The number before that of the first frame. */
static uint32_t
mend_first(const struct outbox *outbox)
{
	return outbox_row(outbox)->flags & MEMORY_TAKES_PART
		       ? outbox_row(outbox)->acked
		       : 0;
}

/* Whether the ring is frame behind frame, number behind number. */
static bool
mend_is_whole(const struct outbox *outbox)
{
	const struct memory_channel *row = outbox_row(outbox);
	struct ring_cursor cursor = {.position = row->head}, before = cursor;
	uint32_t sequence = mend_first(outbox);
	struct ring_frame frame;

	while (ring_next(
		outbox->view, outbox->channel, row->tail, &cursor, &frame)) {
		const struct memory_entry *entry =
			outbox_entry(outbox, frame.end);
		bool is_end =
			!frame.is_run || frame.end_offset == entry->length;

		sequence = mend_next(outbox, sequence);
		if (frame.position != before.position ||
			frame.offset != before.offset ||
			frame.header.sequence != sequence ||
			(is_end && entry->last != sequence) ||
			!mend_may_stay(outbox, &frame))
			return false;
		before = cursor;
		if (is_end)
			before =
				(struct ring_cursor){.position = frame.end + 1};
	}
	return before.position == row->tail &&
	       (!(row->flags & MEMORY_TAKES_PART) || row->sent == sequence);
}

/* Tells of each frame that goes. */
static void
mend_tell(struct outbox *outbox,
	void (*lost)(void *context, struct outbox_taken *taken), void *context)
{
	struct ring_cursor cursor = {.position = outbox_row(outbox)->head};
	uint32_t tail = outbox_row(outbox)->tail;
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
		};

		if (mend_may_stay(outbox, &frame))
			continue;
		taken.fd = outbox_take_fd(outbox, frame.position);
		lost(context, &taken);
		/* What lies behind it in a run has no beginning. */
		if (frame.is_run)
			cursor = (struct ring_cursor){
				.position = frame.position + 1};
	}
}

static void
mend_keep_run(struct mend *mend, const struct ring_frame *frame)
{
	struct memory_entry *entry = &mend->entries[mend->count];

	if (mend->count > 0 && mend->position == frame->position) {
		entry[-1].length += frame->pieces[0].length;
		entry[-1].last = mend->sequence;
		return;
	}
	*entry = *outbox_entry(mend->outbox, frame->position);
	entry->offset = frame->pieces[0].offset;
	entry->length = frame->pieces[0].length;
	entry->last = mend->sequence;
	mend->position = frame->position;
	mend->count++;
}

static void
mend_keep(struct mend *mend, const struct ring_frame *frame)
{
	struct outbox *outbox = mend->outbox;

	mend->sequence = mend_next(outbox, mend->sequence);
	if (frame->header.sequence != mend->sequence) {
		journal_save(outbox->view->journal, frame->bytes,
			MUSTER_HEADER_SIZE);
		frame_stamp_sequence(frame->bytes, mend->sequence);
	}
	if (frame->is_run) {
		mend_keep_run(mend, frame);
		return;
	}
	if (mend_has_fd(outbox, frame->position))
		outbox->fds[mend->fd_count++].position =
			outbox_row(outbox)->head + mend->count;
	for (uint32_t p = frame->position; p != frame->end + 1; p++) {
		mend->entries[mend->count] = *outbox_entry(outbox, p);
		mend->entries[mend->count++].last = mend->sequence;
	}
}

static void
mend_collect(struct mend *mend)
{
	const struct outbox *outbox = mend->outbox;
	struct ring_cursor cursor = {.position = outbox_row(outbox)->head};
	struct ring_frame frame;

	while (ring_next(outbox->view, outbox->channel,
		outbox_row(outbox)->tail, &cursor, &frame)) {
		if (mend_may_stay(outbox, &frame))
			mend_keep(mend, &frame);
		else if (frame.is_run)
			cursor = (struct ring_cursor){
				.position = frame.position + 1};
	}
}

/* Puts what stays in place of what was. */
static void
mend_replace(struct mend *mend)
{
	struct outbox *outbox = mend->outbox;
	struct memory_channel *row = outbox_row(outbox);
	struct journal *journal = outbox->view->journal;

	for (uint32_t i = 0; i < mend->count; i++)
		memory_reference(outbox->memory, mend->entries[i].block);
	for (uint32_t p = row->head; p != row->tail; p++)
		memory_release(outbox->memory, outbox_entry(outbox, p)->block);
	outbox->queued = outbox->unacked = 0;
	for (uint32_t i = 0; i < mend->count; i++) {
		struct memory_entry *entry =
			outbox_entry(outbox, row->head + i);

		journal_save(journal, entry, sizeof *entry);
		*entry = mend->entries[i];
		outbox->queued += entry->length;
	}
	outbox_set_written(outbox, row->head, 0);
	journal_set(journal, row->tail, row->head + mend->count);
	journal->has_shrunk = true;
	if (row->flags & MEMORY_TAKES_PART)
		journal_set(journal, row->sent, mend->sequence);
}

int
outbox_mend(struct outbox *outbox,
	void (*lost)(void *context, struct outbox_taken *taken), void *context)
{
	struct mend mend = {.outbox = outbox, .sequence = mend_first(outbox)};

	if (mend_is_whole(outbox))
		return 0;
	mend.entries = calloc(MEMORY_RING_SIZE, sizeof *mend.entries);
	if (mend.entries == NULL)
		return -ENOMEM;
	memory_begin(outbox->memory);
	mend_tell(outbox, lost, context);
	mend_collect(&mend);
	mend_replace(&mend);
	memory_commit(outbox->memory);
	free(mend.entries);
	return 0;
}

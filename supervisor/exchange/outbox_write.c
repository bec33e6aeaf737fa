/*
 * outbox_write.c: the way from an outbox to the kernel, and what the receiver
 * says of it: acknowledgements, and from where it wants to have it again.
 *
 * When to write, and what a broken channel means, is decided in peer.c.
 */
#include "outbox.h"

#include "base/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum {
	OUTBOX_IOVECS = 1024,
	OUTBOX_CALLS = 8, /* sendmsg calls in one outbox_write at most */
};

/* Whether something may be written, as far as the window lets it. */
static bool
outbox_wants_write(const struct outbox *outbox)
{
	return outbox->owes_ack ||
	       outbox->uncounted_written < outbox->uncounted_size ||
	       (outbox->is_open && outbox->written != outbox_row(outbox)->tail);
}

/* What one sendmsg takes along. */
struct outbox_batch {
	struct iovec iov[OUTBOX_IOVECS];
	int count;
	int uncounted; /* index of the numberless bytes, or -1 */
	bool with_fd;
	uint32_t end; /* position behind the last entry */
};

/* Acknowledges all that was read so far: only the newest number is said. */
static void
outbox_store_ack(struct outbox *outbox)
{
	const struct memory_channel *row = outbox_row(outbox);
	struct frame_header header = {.kind = MUSTER_MESSAGE, .to = row->id};
	char frame[MUSTER_HEADER_SIZE + 64];
	int size = snprintf(frame + MUSTER_HEADER_SIZE,
		sizeof frame - MUSTER_HEADER_SIZE,
		"{\"event\":\"ack\",\"sequence\":%u}", row->received);

	header.size = (uint32_t)size;
	frame_store((uint8_t *)frame, &header);
	if (outbox_append_uncounted(
		    outbox, frame, MUSTER_HEADER_SIZE + (size_t)size) == 0)
		outbox->owes_ack = false;
}

static void
outbox_batch_uncounted(struct outbox *outbox, struct outbox_batch *batch)
{
	if (batch->uncounted >= 0)
		return;
	if (outbox->owes_ack && outbox->uncounted_size == 0)
		outbox_store_ack(outbox);
	if (outbox->uncounted_written == outbox->uncounted_size)
		return;
	batch->uncounted = batch->count;
	batch->iov[batch->count++] = (struct iovec){
		.iov_base = outbox->uncounted + outbox->uncounted_written,
		.iov_len = outbox->uncounted_size - outbox->uncounted_written,
	};
}

/*
 * Whether what begins at `position` may go though `unacked` bytes are not
 * acknowledged. While the receiver's own channel is not read its
 * acknowledgements can't come in; were its window shut meanwhile, two that
 * flood each other would wait for ever.
 */
static bool
outbox_fits_window(
	const struct outbox *outbox, uint32_t position, uint64_t unacked)
{
	const struct memory_entry *entry = outbox_entry(outbox, position);
	uint64_t window = MUSTER_UNACKED_MAX;
	uint64_t need = entry->length;

	if (!(outbox_row(outbox)->flags & MEMORY_TAKES_PART) || unacked == 0)
		return true;
	if (outbox->is_unread)
		window += 2 * outbox->limit;
	else if ((entry->flags & MEMORY_WITH_FD) &&
		 outbox_find_fd(outbox, position) >= OUTBOX_FDS_UNACKED)
		return false;
	while (entry->flags & MEMORY_CONTINUES) {
		entry = outbox_entry(outbox, ++position);
		need += entry->length;
	}
	return unacked + need <= window;
}

/*
 * Collects what may go: numberless bytes between two frames, then entries. A
 * frame with a descriptor is the first of its call. What is no longer open
 * finishes the frame that it has begun; one that an earlier brain began on
 * another channel is begun anew (outbox_rewind).
 */
static void
outbox_collect(struct outbox *outbox, struct outbox_batch *batch)
{
	uint32_t tail = outbox_row(outbox)->tail;
	uint32_t skip = outbox->written_bytes;
	bool between =
		outbox->begun_before || (!outbox->mid_frame && skip == 0);
	uint64_t unacked = outbox->unacked;

	batch->count = 0;
	batch->uncounted = -1;
	batch->with_fd = false;
	batch->end = outbox->written;
	if (between || outbox->uncounted_written > 0)
		outbox_batch_uncounted(outbox, batch);

	for (uint32_t p = outbox->written;
		p != tail && batch->count < OUTBOX_IOVECS - 1; p++) {
		const struct memory_entry *entry = outbox_entry(outbox, p);

		if (between && (!outbox->is_open ||
				       !outbox_fits_window(outbox, p, unacked)))
			return;
		if ((entry->flags & MEMORY_WITH_FD) && skip == 0) {
			if (batch->count > 0)
				return;
			batch->with_fd = true;
		}
		batch->iov[batch->count++] = (struct iovec){
			.iov_base = memory_at(outbox->view, entry->block,
				entry->offset + skip),
			.iov_len = entry->length - skip,
		};
		batch->end = p + 1;
		unacked += entry->length;
		skip = 0;
		between = !(entry->flags & MEMORY_CONTINUES);
		if (between)
			outbox_batch_uncounted(outbox, batch);
	}
}

static ssize_t
outbox_send(struct outbox *outbox, int fd, struct outbox_batch *batch)
{
	struct msghdr message = {
		.msg_iov = batch->iov,
		.msg_iovlen = (size_t)batch->count,
	};
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct cmsghdr *c;
	uint32_t which = outbox->fd_count;

	if (batch->with_fd)
		which = outbox_find_fd(outbox, outbox->written);
	if (which == outbox->fd_count)
		return sys_sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	memset(&control, 0, sizeof control);
	message.msg_control = control.room;
	message.msg_controllen = sizeof control.room;
	c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &outbox->fds[which].fd, sizeof(int));
	return sys_sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The kernel took `taken` bytes of the entry at `written`. */
static void
outbox_advance(struct outbox *outbox, uint32_t taken)
{
	struct memory_entry *entry = outbox_entry(outbox, outbox->written);

	outbox->queued -= taken;
	outbox->taken += taken;
	outbox->written_bytes += taken;
	if (outbox->written_bytes < entry->length)
		return;
	outbox->written_bytes = 0;
	outbox->mid_frame = entry->flags & MEMORY_CONTINUES;
	outbox->written++;
	if (outbox_row(outbox)->flags & MEMORY_TAKES_PART)
		outbox->unacked += entry->length;
	else
		outbox_pop(outbox);
}

/*
 * While the kernel is called, all that it is offered counts as written: whoever
 * comes after a brain that is killed there must not hand it to somebody else,
 * as the receiver may have it.
 */
static void
outbox_offer(struct outbox *outbox, uint32_t end)
{
	if (end != outbox->written)
		journal_set(outbox->view->journal, outbox_row(outbox)->written,
			memory_progress(end, 0));
}

/* Books what the kernel took. Returns whether it was all of the batch. */
static bool
outbox_book(struct outbox *outbox, const struct outbox_batch *batch, size_t n)
{
	for (int i = 0; i < batch->count; i++) {
		size_t size = batch->iov[i].iov_len;
		size_t taken = n < size ? n : size;

		if (i == batch->uncounted)
			outbox->uncounted_written += taken;
		else
			outbox_advance(outbox, (uint32_t)taken);
		n -= taken;
		if (taken < size)
			return false;
	}
	return true;
}

static void
outbox_forget_uncounted(struct outbox *outbox)
{
	if (outbox->uncounted_written < outbox->uncounted_size)
		return;
	outbox->uncounted_size = outbox->uncounted_written = 0;
	if (outbox->uncounted_room > 1024) {
		free(outbox->uncounted);
		outbox->uncounted = NULL;
		outbox->uncounted_room = 0;
	}
}

int
outbox_write(struct outbox *outbox, int fd)
{
	struct outbox_batch batch;

	for (int call = 0; call < OUTBOX_CALLS; call++) {
		ssize_t n;
		bool whole;

		outbox_collect(outbox, &batch);
		if (batch.count == 0)
			return 1;
		outbox_offer(outbox, batch.end);
		n = outbox_send(outbox, fd, &batch);
		whole = n >= 0 && outbox_book(outbox, &batch, (size_t)n);
		outbox_set_written(
			outbox, outbox->written, outbox->written_bytes);
		if (n == -EAGAIN)
			return 0;
		if (n == -ENOBUFS || n == -ETOOMANYREFS || n == -ENOMEM)
			return -EBUSY;
		if (n < 0)
			return (int)n;
		outbox_forget_uncounted(outbox);
		if (!whole)
			return 0;
		if (!outbox_wants_write(outbox))
			return 1;
	}
	return 0;
}

/* Acknowledgements ------------------------------------------------------ */

/* The last number of which the kernel may have taken the frame whole. */
static uint32_t
outbox_last_written(const struct outbox *outbox)
{
	const struct memory_channel *row = outbox_row(outbox);

	if (outbox->written_bytes > 0)
		return outbox_entry(outbox, outbox->written)->last;
	if (outbox->written == row->head)
		return row->acked;
	return outbox_entry(outbox, outbox->written - 1)->last;
}

int
outbox_ack(struct outbox *outbox, uint32_t sequence)
{
	struct memory_channel *row = outbox_row(outbox);

	if (frame_sequence_distance(row->acked, sequence) <= 0)
		return 0;
	if (frame_sequence_distance(sequence, outbox_last_written(outbox)) < 0)
		return -EPROTO;
	journal_set(outbox->view->journal, row->acked, sequence);
	while (row->head != outbox->written) {
		struct memory_entry *entry = outbox_entry(outbox, row->head);

		if (frame_sequence_distance(entry->last, sequence) < 0)
			break;
		outbox->unacked -= entry->length;
		outbox_pop(outbox);
	}
	return 0;
}

/* Cuts the frames up to `sequence` off the run at the head. */
static void
outbox_cut(struct outbox *outbox, uint32_t sequence)
{
	struct memory_channel *row = outbox_row(outbox);
	struct memory_entry *entry = outbox_entry(outbox, row->head);
	struct ring_cursor cursor = {.position = row->head};
	struct ring_frame frame;

	while (ring_next(
		outbox->view, outbox->channel, row->tail, &cursor, &frame)) {
		if (frame.position != row->head || !frame.is_run ||
			frame_sequence_distance(
				frame.header.sequence, sequence) < 0) {
			if (frame.position == row->head && frame.is_run) {
				journal_save(outbox->view->journal, entry,
					sizeof *entry);
				entry->offset += frame.offset;
				entry->length -= frame.offset;
			}
			return;
		}
	}
}

int
outbox_rewind(struct outbox *outbox, uint32_t sequence)
{
	struct memory_channel *row = outbox_row(outbox);

	if (frame_sequence_distance(sequence, row->sent) < 0 ||
		frame_sequence_distance(row->acked, sequence) < 0)
		return -EPROTO;
	memory_begin(outbox->memory);
	journal_set(outbox->view->journal, row->acked, sequence);
	while (row->head != row->tail &&
		frame_sequence_distance(
			outbox_entry(outbox, row->head)->last, sequence) >= 0)
		outbox_pop(outbox);
	if (row->head != row->tail)
		outbox_cut(outbox, sequence);

	outbox_set_written(outbox, row->head, 0);
	memory_commit(outbox->memory);
	outbox->mid_frame = outbox->begun_before = false;
	outbox->unacked = outbox->queued = 0;
	for (uint32_t p = row->head; p != row->tail; p++)
		outbox->queued += outbox_entry(outbox, p)->length;
	return 0;
}

void
outbox_number(struct outbox *outbox, const struct ring_frame *frame,
	uint32_t sequence)
{
	struct journal *journal = outbox->view->journal;

	journal_save(journal, frame->bytes, MUSTER_HEADER_SIZE);
	frame_stamp_sequence(frame->bytes, sequence);
	for (uint32_t p = frame->position; p != frame->end + 1; p++)
		journal_set(journal, outbox_entry(outbox, p)->last, sequence);
}

void
outbox_renumber(struct outbox *outbox)
{
	struct memory_channel *row = outbox_row(outbox);
	struct ring_cursor cursor = {.position = row->head};
	struct ring_frame frame;

	memory_begin(outbox->memory);
	while (ring_next(
		outbox->view, outbox->channel, row->tail, &cursor, &frame))
		outbox_number(outbox, &frame, outbox_next_sequence(outbox));
	memory_commit(outbox->memory);
}

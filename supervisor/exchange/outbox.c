/*
 * outbox.c: what waits for one receiver, and its way to the kernel.
 *
 * Here entries are appended, written, acknowledged, written again and taken
 * back. Who the receiver is, and when a full queue pauses whom, is decided in
 * peer.c and router.c; how frames lie in a ring is ring.c's.
 */
#include "outbox.h"

#include "base/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum {
	OUTBOX_IOVECS = 1024,
	OUTBOX_CALLS = 8, /* sendmsg calls in one outbox_write at most */
	/* A receiver with so much waiting is slow: its frames are copied. */
	OUTBOX_SLOW_BYTES = 256 * 1024,
};

int
outbox_init(struct outbox *outbox, struct memory *memory, enum memory_use use,
	uint64_t limit)
{
	uint32_t channel = memory_take_channel(memory, use);

	if (channel == MEMORY_NONE)
		return -ENOSPC;
	outbox_adopt(outbox, memory, channel, limit);
	return 0;
}

void
outbox_adopt(struct outbox *outbox, struct memory *memory, uint32_t channel,
	uint64_t limit)
{
	struct memory_channel *row;

	memset(outbox, 0, sizeof *outbox);
	outbox->memory = memory;
	outbox->view = memory_view(memory);
	outbox->channel = channel;
	outbox->copy_block = MEMORY_NONE;
	outbox->limit = limit;
	outbox->window = MUSTER_UNACKED_MAX;
	list_init(&outbox->paused);
	row = outbox_row(outbox);
	outbox->written = row->written;
	for (uint32_t p = row->head; p != row->tail; p++) {
		uint32_t length =
			memory_entry_at(outbox->view, channel, p)->length;

		if ((int32_t)(p - row->written) < 0)
			outbox->unacked += length;
		else
			outbox->queued += length;
	}
}

static struct memory_entry *
outbox_entry(const struct outbox *outbox, uint32_t position)
{
	return memory_entry_at(outbox->view, outbox->channel, position);
}

static void
outbox_drop_copy_block(struct outbox *outbox)
{
	memory_release(outbox->memory, outbox->copy_block);
	outbox->copy_block = MEMORY_NONE;
	outbox->copy_fill = 0;
}

/* The row keeps it too: who comes after a brain must know what went out. */
static void
outbox_set_written(struct outbox *outbox, uint32_t position)
{
	outbox->written = position;
	outbox_row(outbox)->written = position;
}

/* Frees the entry at the head. An empty outbox keeps no block. */
static void
outbox_pop(struct outbox *outbox)
{
	struct memory_channel *row = outbox_row(outbox);

	memory_release(outbox->memory, outbox_entry(outbox, row->head)->block);
	row->head++;
	if (row->head == row->tail)
		outbox_drop_copy_block(outbox);
}

/* Takes the descriptor that travels with the entry at `position`, or -1. */
static int
outbox_take_fd(struct outbox *outbox, uint32_t position)
{
	int fd;

	if (outbox->fd_count == 0 || outbox->fds[0].position != position)
		return -1;
	fd = outbox->fds[0].fd;
	outbox->fd_count--;
	memmove(outbox->fds, outbox->fds + 1,
		outbox->fd_count * sizeof *outbox->fds);
	return fd;
}

static int
outbox_keep_fd(struct outbox *outbox, int fd)
{
	if (outbox->fd_count == outbox->fd_room) {
		uint32_t room = outbox->fd_room == 0 ? 4 : outbox->fd_room * 2;
		struct outbox_fd *fds =
			realloc(outbox->fds, room * sizeof *fds);

		if (fds == NULL)
			return -ENOMEM;
		outbox->fds = fds;
		outbox->fd_room = room;
	}
	outbox->fds[outbox->fd_count++] = (struct outbox_fd){
		.position = outbox_row(outbox)->tail,
		.fd = fd,
	};
	return 0;
}

void
outbox_fini(struct outbox *outbox)
{
	struct memory_channel *row = outbox_row(outbox);

	while (row->head != row->tail)
		outbox_pop(outbox);
	outbox_drop_copy_block(outbox);
	for (uint32_t i = 0; i < outbox->fd_count; i++)
		(void)sys_close(outbox->fds[i].fd);
	free(outbox->fds);
	free(outbox->uncounted);
	memory_free_channel(outbox->memory, outbox->channel);
	memset(outbox, 0, sizeof *outbox);
}

/* Writes an entry and then raises the tail: only then it counts. */
static void
outbox_push(struct outbox *outbox, struct piece piece, uint32_t flags,
	uint32_t last, struct outbox_source source)
{
	struct memory_channel *row = outbox_row(outbox);

	*outbox_entry(outbox, row->tail) = (struct memory_entry){
		.block = piece.block,
		.offset = piece.offset,
		.length = piece.length,
		.flags = flags,
		.last = last,
		.sender = source.channel,
		.sender_sequence = source.sequence,
	};
	__atomic_signal_fence(__ATOMIC_RELEASE);
	row->tail++;
	outbox->queued += piece.length;
}

/* Lengthens the last entry when the run is its neighbour. */
static bool
outbox_join(struct outbox *outbox, struct piece run, uint32_t last,
	struct outbox_source source)
{
	struct memory_channel *row = outbox_row(outbox);
	struct memory_entry *entry;

	if (row->tail == outbox->written)
		return false; /* everything is written: its end is history */
	entry = outbox_entry(outbox, row->tail - 1);
	if (entry->flags != 0 || entry->block != run.block ||
		entry->offset + entry->length != run.offset)
		return false;
	entry->last = last;
	entry->sender = source.channel;
	entry->sender_sequence = source.sequence;
	__atomic_signal_fence(__ATOMIC_RELEASE);
	entry->length += run.length;
	outbox->queued += run.length;
	return true;
}

/*
 * Makes room for `size` bytes in the block for copies.
 * Returns where to write, and the place in `ret_piece`; NULL: no block is free.
 */
static uint8_t *
outbox_copy_room(struct outbox *outbox, uint32_t size, bool privileged,
	struct piece *ret_piece)
{
	if (outbox->copy_block != MEMORY_NONE &&
		outbox->copy_fill + size > MEMORY_SMALL_SIZE) {
		/* Nobody else refers to it: it starts anew. */
		if (memory_references(outbox->memory, outbox->copy_block) == 1)
			outbox->copy_fill = 0;
		else
			outbox_drop_copy_block(outbox);
	}
	if (outbox->copy_block == MEMORY_NONE) {
		outbox->copy_block =
			memory_take_small(outbox->memory, privileged);
		outbox->copy_fill = 0;
		if (outbox->copy_block == MEMORY_NONE)
			return NULL;
	}
	*ret_piece = (struct piece){
		.block = outbox->copy_block,
		.offset = outbox->copy_fill,
		.length = size,
	};
	outbox->copy_fill += size;
	return memory_at(outbox->view, ret_piece->block, ret_piece->offset);
}

static void
outbox_append_or_join(struct outbox *outbox, struct piece run, uint32_t last,
	struct outbox_source source)
{
	if (outbox_join(outbox, run, last, source))
		return;
	memory_reference(outbox->memory, run.block);
	outbox_push(outbox, run, 0, last, source);
}

void
outbox_append_run(struct outbox *outbox, struct piece run, uint32_t last,
	struct outbox_source source)
{
	uint32_t copy_max = outbox->queued > OUTBOX_SLOW_BYTES
				    ? OUTBOX_COPY_MAX_SLOW
				    : OUTBOX_COPY_MAX;
	struct piece copy;
	uint8_t *room;

	if (outbox_join(outbox, run, last, source))
		return;
	if (run.length <= copy_max) {
		room = outbox_copy_room(outbox, run.length, false, &copy);
		if (room != NULL) {
			memcpy(room,
				memory_at(outbox->view, run.block, run.offset),
				run.length);
			run = copy;
		}
	}
	outbox_append_or_join(outbox, run, last, source);
}

int
outbox_append_pieces(struct outbox *outbox, const struct piece *pieces,
	uint32_t count, uint32_t sequence, struct outbox_source source, int fd)
{
	uint32_t flags = MEMORY_PIECE;

	if (fd >= 0) {
		if (outbox_keep_fd(outbox, fd) < 0) {
			(void)sys_close(fd);
			return -ENOMEM;
		}
		flags |= MEMORY_WITH_FD;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (i + 1 < count)
			flags |= MEMORY_CONTINUES;
		else
			flags &= ~(uint32_t)MEMORY_CONTINUES;
		memory_reference(outbox->memory, pieces[i].block);
		outbox_push(outbox, pieces[i], flags, sequence, source);
		flags &= ~(uint32_t)MEMORY_WITH_FD;
	}
	return 0;
}

int
outbox_copy_header(struct outbox *outbox, const struct frame_header *header,
	const void *name, struct piece *ret_piece)
{
	uint8_t *room = outbox_copy_room(outbox,
		MUSTER_HEADER_SIZE + header->name_size, false, ret_piece);

	if (room == NULL)
		return -ENOBUFS;
	frame_store(room, header);
	memcpy(room + MUSTER_HEADER_SIZE, name, header->name_size);
	memory_reference(outbox->memory, ret_piece->block);
	return 0;
}

/* A long frame from 0: spread over as many small blocks as it takes. */
static int
outbox_append_long_copy(struct outbox *outbox,
	const struct frame_header *header, const uint8_t *payload,
	struct outbox_source source, bool privileged)
{
	struct piece pieces[RING_PIECES_MAX];
	uint32_t left = header->size, count = 0, take;
	int r = -ENOBUFS;
	uint8_t *room;

	outbox_drop_copy_block(outbox);
	while (count < RING_PIECES_MAX) {
		uint32_t head = count == 0 ? MUSTER_HEADER_SIZE : 0;
		bool large = left > MEMORY_SMALL_SIZE * 8;
		uint32_t size = large ? MEMORY_LARGE_SIZE : MEMORY_SMALL_SIZE;
		uint32_t block =
			large ? memory_take_large(outbox->memory)
			      : memory_take_small(outbox->memory, privileged);

		if (block == MEMORY_NONE)
			break;
		take = left < size - head ? left : size - head;
		room = memory_at(outbox->view, block, 0);
		if (head > 0)
			frame_store(room, header);
		memcpy(room + head, payload, take);
		pieces[count++] =
			(struct piece){.block = block, .length = head + take};
		payload += take;
		left -= take;
		if (left == 0) {
			r = outbox_append_pieces(outbox, pieces, count,
				header->sequence, source, -1);
			break;
		}
	}
	for (uint32_t i = 0; i < count; i++)
		memory_release(outbox->memory, pieces[i].block);
	return r;
}

int
outbox_append_copy(struct outbox *outbox, const struct frame_header *header,
	const void *payload, struct outbox_source source, bool privileged)
{
	struct piece piece;
	uint8_t *room;

	if (header->size > MEMORY_SMALL_SIZE - MUSTER_HEADER_SIZE)
		return outbox_append_long_copy(
			outbox, header, payload, source, privileged);
	room = outbox_copy_room(
		outbox, MUSTER_HEADER_SIZE + header->size, privileged, &piece);
	if (room == NULL)
		return -ENOBUFS;
	frame_store(room, header);
	memcpy(room + MUSTER_HEADER_SIZE, payload, header->size);
	outbox_append_or_join(outbox, piece, header->sequence, source);
	return 0;
}

int
outbox_append_uncounted(struct outbox *outbox, const void *bytes, size_t size)
{
	if (outbox->uncounted_size + size > outbox->uncounted_room) {
		size_t room = (outbox->uncounted_size + size) * 2;
		char *grown = realloc(outbox->uncounted, room);

		if (grown == NULL)
			return -ENOMEM;
		outbox->uncounted = grown;
		outbox->uncounted_room = room;
	}
	memcpy(outbox->uncounted + outbox->uncounted_size, bytes, size);
	outbox->uncounted_size += size;
	return 0;
}

/* Writing --------------------------------------------------------------- */

/* Whether the receiver's unacknowledged bytes leave room for `more`. */
static bool
outbox_may_send(const struct outbox *outbox, uint64_t more)
{
	return !(outbox_row(outbox)->flags & MEMORY_TAKES_PART) ||
	       outbox->unacked + more < outbox->window ||
	       outbox->unacked + more == 0;
}

bool
outbox_wants_write(const struct outbox *outbox)
{
	if (outbox->uncounted_written < outbox->uncounted_size)
		return true;
	return outbox->is_open && outbox->written != outbox_row(outbox)->tail &&
	       (outbox_may_send(outbox, 0) || outbox->mid_frame ||
		       outbox->written_bytes > 0);
}

/* What one sendmsg takes along. */
struct outbox_batch {
	struct iovec iov[OUTBOX_IOVECS];
	int count;
	int uncounted; /* index of the numberless bytes, or -1 */
	bool with_fd;
};

static void
outbox_batch_uncounted(struct outbox *outbox, struct outbox_batch *batch)
{
	if (batch->uncounted >= 0 ||
		outbox->uncounted_written == outbox->uncounted_size)
		return;
	batch->uncounted = batch->count;
	batch->iov[batch->count++] = (struct iovec){
		.iov_base = outbox->uncounted + outbox->uncounted_written,
		.iov_len = outbox->uncounted_size - outbox->uncounted_written,
	};
}

/*
 * Collects what may go: numberless bytes between two frames, then entries. A
 * frame with a descriptor is the first of its call.
 */
static void
outbox_collect(struct outbox *outbox, struct outbox_batch *batch)
{
	uint32_t tail = outbox_row(outbox)->tail;
	uint32_t skip = outbox->written_bytes;
	bool between = !outbox->mid_frame && skip == 0;
	uint64_t total = 0;

	batch->count = 0;
	batch->uncounted = -1;
	batch->with_fd = false;
	if (between || outbox->uncounted_written > 0)
		outbox_batch_uncounted(outbox, batch);
	if (!outbox->is_open)
		return;

	for (uint32_t p = outbox->written;
		p != tail && batch->count < OUTBOX_IOVECS - 1; p++) {
		const struct memory_entry *entry = outbox_entry(outbox, p);

		if (between && !outbox_may_send(outbox, total))
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
		total += entry->length - skip;
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
	ssize_t n;

	if (!batch->with_fd || outbox->fd_count == 0 ||
		outbox->fds[0].position != outbox->written)
		return sys_sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	memset(&control, 0, sizeof control);
	message.msg_control = control.room;
	message.msg_controllen = sizeof control.room;
	c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &outbox->fds[0].fd, sizeof(int));
	n = sys_sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		(void)sys_close(outbox_take_fd(outbox, outbox->written));
	return n;
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
	outbox_set_written(outbox, outbox->written + 1);
	if (outbox_row(outbox)->flags & MEMORY_TAKES_PART)
		outbox->unacked += entry->length;
	else
		outbox_pop(outbox);
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
		n = outbox_send(outbox, fd, &batch);
		if (n == -EAGAIN || n == -ENOBUFS || n == -ETOOMANYREFS ||
			n == -ENOMEM)
			return 0;
		if (n < 0)
			return (int)n;
		whole = outbox_book(outbox, &batch, (size_t)n);
		outbox_forget_uncounted(outbox);
		if (!whole)
			return 0;
		if (!outbox_wants_write(outbox))
			return 1;
	}
	return 0;
}

/* Acknowledgements ------------------------------------------------------ */

int
outbox_ack(struct outbox *outbox, uint32_t sequence)
{
	struct memory_channel *row = outbox_row(outbox);

	if (frame_sequence_distance(sequence, row->sent) < 0)
		return -EPROTO;
	if (frame_sequence_distance(row->acked, sequence) <= 0)
		return 0;
	row->acked = sequence;
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
	row->acked = sequence;
	while (row->head != row->tail &&
		frame_sequence_distance(
			outbox_entry(outbox, row->head)->last, sequence) >= 0)
		outbox_pop(outbox);
	if (row->head != row->tail)
		outbox_cut(outbox, sequence);

	outbox_set_written(outbox, row->head);
	outbox->written_bytes = 0;
	outbox->mid_frame = false;
	outbox->unacked = outbox->queued = 0;
	for (uint32_t p = row->head; p != row->tail; p++)
		outbox->queued += outbox_entry(outbox, p)->length;
	return 0;
}

void
outbox_renumber(struct outbox *outbox)
{
	struct memory_channel *row = outbox_row(outbox);
	struct ring_cursor cursor = {.position = row->head};
	struct ring_frame frame;

	while (ring_next(
		outbox->view, outbox->channel, row->tail, &cursor, &frame)) {
		uint32_t sequence = outbox_next_sequence(outbox);

		frame_stamp_sequence(frame.bytes, sequence);
		for (uint32_t p = frame.position; p != frame.end + 1; p++)
			outbox_entry(outbox, p)->last = sequence;
	}
}

/* Taking back ----------------------------------------------------------- */

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
				.sequence = entry->sender_sequence},
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

/* Frees the frame that stands at the front. */
static void
outbox_shift(struct outbox *outbox, const struct ring_frame *frame)
{
	struct memory_channel *row = outbox_row(outbox);
	struct memory_entry *entry = outbox_entry(outbox, row->head);
	uint32_t total = frame->header.size + MUSTER_HEADER_SIZE;

	outbox->queued -= total;
	if (frame->is_run && total < entry->length) {
		entry->offset += total;
		entry->length -= total;
		return;
	}
	while (row->head != frame->end + 1)
		outbox_pop(outbox);
	outbox_set_written(outbox, row->head);
}

void
outbox_take_while(struct outbox *outbox,
	bool (*take)(void *context, struct outbox_taken *taken), void *context)
{
	struct memory_channel *row = outbox_row(outbox);
	struct ring_frame frame;

	for (;;) {
		struct ring_cursor cursor = {.position = row->head};
		struct outbox_taken taken = {.frame = &frame, .fd = -1};
		uint32_t with_fd;

		if (!ring_next(outbox->view, outbox->channel, row->tail,
			    &cursor, &frame))
			return;
		with_fd =
			outbox_entry(outbox, row->head)->flags & MEMORY_WITH_FD;
		if (with_fd && outbox->fd_count > 0)
			taken.fd = outbox->fds[0].fd;
		if (!take(context, &taken))
			return;
		if (with_fd)
			(void)outbox_take_fd(outbox, frame.position);
		outbox_shift(outbox, &frame);
	}
}

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

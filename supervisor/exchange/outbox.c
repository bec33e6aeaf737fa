/*
 * outbox.c: what waits for one receiver: its ring, and how frames get into it.
 *
 * How they leave it is outbox_write.c's, how they are taken back
 * outbox_take.c's. Who the receiver is, and when a full queue pauses whom, is
 * decided in peer.c and router.c; how frames lie in a ring is ring.c's.
 */
#include "outbox.h"

#include "base/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/*
 * Up to where an earlier brain may have written. What it was in the middle of
 * nobody has whole, so a frame in pieces counts as not begun.
 */
static void
outbox_find_written(struct outbox *outbox)
{
	const struct memory_channel *row = outbox_row(outbox);

	outbox->written = memory_position(row->written);
	outbox->written_bytes = (uint32_t)(row->written >> 32);
	while (outbox->written != row->head &&
		(outbox_entry(outbox, outbox->written - 1)->flags &
			MEMORY_CONTINUES)) {
		outbox->written--;
		outbox->written_bytes = 0;
	}
	if (outbox->written == row->tail ||
		outbox->written_bytes >=
			outbox_entry(outbox, outbox->written)->length)
		outbox->written_bytes = 0;
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
	outbox->copies.block = MEMORY_NONE;
	outbox->limit = limit;
	list_init(&outbox->paused);
	row = outbox_row(outbox);
	outbox_find_written(outbox);
	outbox->begun_before = outbox->written_bytes > 0;
	for (uint32_t p = row->head; p != row->tail; p++) {
		uint32_t length = outbox_entry(outbox, p)->length;

		if ((int32_t)(p - outbox->written) < 0)
			outbox->unacked += length;
		else
			outbox->queued += length;
	}
	outbox->queued -= outbox->written_bytes;
}

void
outbox_copies_drop(struct outbox_copies *copies, struct memory *memory)
{
	memory_release(memory, copies->block);
	copies->block = MEMORY_NONE;
	copies->fill = 0;
}

void
outbox_set_written(struct outbox *outbox, uint32_t position, uint32_t bytes)
{
	outbox->written = position;
	outbox->written_bytes = bytes;
	journal_set(outbox->view->journal, outbox_row(outbox)->written,
		memory_progress(position, bytes));
}

uint32_t
outbox_find_fd(const struct outbox *outbox, uint32_t position)
{
	uint32_t i = 0;

	while (i < outbox->fd_count && outbox->fds[i].position != position)
		i++;
	return i;
}

int
outbox_take_fd(struct outbox *outbox, uint32_t position)
{
	uint32_t i = outbox_find_fd(outbox, position);
	int fd;

	if (i == outbox->fd_count)
		return -1;
	fd = outbox->fds[i].fd;
	outbox->fd_count--;
	memmove(outbox->fds + i, outbox->fds + i + 1,
		(outbox->fd_count - i) * sizeof *outbox->fds);
	return fd;
}

static void
outbox_close_fd(struct outbox *outbox, uint32_t position)
{
	int fd = outbox_take_fd(outbox, position);

	if (fd >= 0)
		(void)sys_close(fd);
}

void
outbox_pop(struct outbox *outbox)
{
	struct memory_channel *row = outbox_row(outbox);
	uint32_t block = outbox_entry(outbox, row->head)->block;

	/* First the store: a block that is released may lose its pages. */
	journal_set(outbox->view->journal, row->head, row->head + 1);
	if (memory_is_changing(outbox->memory))
		outbox->view->journal->has_shrunk = true;
	memory_release(outbox->memory, block);
	outbox_close_fd(outbox, row->head - 1);
	if (row->head == row->tail)
		outbox_copies_drop(&outbox->copies, outbox->memory);
}

int
outbox_reserve_fd(struct outbox *outbox)
{
	uint32_t room = outbox->fd_room == 0 ? 4 : outbox->fd_room * 2;
	struct outbox_fd *fds;

	if (outbox->fd_count < outbox->fd_room)
		return 0;
	fds = realloc(outbox->fds, room * sizeof *fds);
	if (fds == NULL)
		return -ENOMEM;
	outbox->fds = fds;
	outbox->fd_room = room;
	return 0;
}

int
outbox_keep_fd(struct outbox *outbox, int fd, uint32_t position)
{
	if (outbox_reserve_fd(outbox) < 0)
		return -ENOMEM;
	outbox->fds[outbox->fd_count++] = (struct outbox_fd){
		.position = position,
		.fd = fd,
	};
	return 0;
}

void
outbox_fini(struct outbox *outbox)
{
	const struct memory_channel *row = outbox_row(outbox);

	for (uint32_t p = row->head; p != row->tail; p++)
		memory_release(outbox->memory, outbox_entry(outbox, p)->block);
	outbox_copies_drop(&outbox->copies, outbox->memory);
	for (uint32_t i = 0; i < outbox->fd_count; i++)
		(void)sys_close(outbox->fds[i].fd);
	free(outbox->fds);
	free(outbox->uncounted);
	memory_free_channel(outbox->memory, outbox->channel);
	memset(outbox, 0, sizeof *outbox);
}

/* Writes the entry at `position`; it counts when the tail is raised. */
static void
outbox_put(struct outbox *outbox, uint32_t position, struct piece piece,
	uint32_t flags, uint32_t last, struct outbox_source source)
{
	struct memory_entry *entry = outbox_entry(outbox, position);

	/* What lies behind the tail means nothing, unless it did when this
	 * change began. */
	if (outbox->view->journal->has_shrunk)
		journal_save(outbox->view->journal, entry, sizeof *entry);
	*entry = (struct memory_entry){
		.block = piece.block,
		.offset = piece.offset,
		.length = piece.length,
		.flags = flags,
		.last = last,
		.sender = source.channel,
		.sender_sequence = source.sequence,
		.sender_mark = source.mark,
	};
	memory_reference(outbox->memory, piece.block);
	outbox->queued += piece.length;
}

/* Raises the tail by one store: all that was put counts at once. */
static void
outbox_commit(struct outbox *outbox, uint32_t tail)
{
	journal_barrier();
	journal_set(outbox->view->journal, outbox_row(outbox)->tail, tail);
}

/*
 * Runs of several workers may share an entry while no frame in it has an id:
 * nobody is ever told of them. Else the entry says who sent it, which the
 * frame, where a slot's address stands, doesn't.
 */
static bool
outbox_may_mix(const struct outbox *outbox, const struct memory_entry *entry,
	struct outbox_source source)
{
	const struct memory_channel *rows = outbox->view->channels;

	if (entry->sender == source.channel &&
		entry->sender_mark == source.mark)
		return true;
	return !source.has_id && !(entry->flags & MEMORY_WITH_ID) &&
	       entry->sender != MEMORY_NONE && source.channel != MEMORY_NONE &&
	       rows[entry->sender].use == MEMORY_WORKER &&
	       rows[source.channel].use == MEMORY_WORKER;
}

/* Lengthens the last entry when the run is its neighbour. */
static bool
outbox_join(struct outbox *outbox, struct piece run, uint32_t last,
	struct outbox_source source)
{
	struct memory_channel *row = outbox_row(outbox);
	struct memory_entry *entry;

	if (row->tail == outbox->written || outbox->keeps_single)
		return false; /* everything is written: its end is history */
	entry = outbox_entry(outbox, row->tail - 1);
	if ((entry->flags & ~(uint32_t)MEMORY_WITH_ID) != 0 ||
		entry->block != run.block ||
		entry->offset + entry->length != run.offset ||
		!outbox_may_mix(outbox, entry, source))
		return false;
	journal_save(outbox->view->journal, entry, sizeof *entry);
	entry->last = last;
	entry->sender = source.channel;
	entry->sender_sequence = source.sequence;
	entry->sender_mark = source.mark;
	if (source.has_id)
		entry->flags |= MEMORY_WITH_ID;
	journal_barrier();
	entry->length += run.length;
	JOURNAL_CRASH_POINT();
	outbox->queued += run.length;
	return true;
}

bool
outbox_copies_has_room(const struct outbox *outbox, uint32_t size)
{
	return outbox->copies.block != MEMORY_NONE &&
	       outbox->copies.fill + size <= MEMORY_SMALL_SIZE;
}

uint8_t *
outbox_copies_take(struct outbox_copies *copies, struct memory *memory,
	uint32_t size, bool privileged, struct piece *ret_piece)
{
	if (copies->block != MEMORY_NONE &&
		copies->fill + size > MEMORY_SMALL_SIZE) {
		/* Nobody else refers to it: it starts anew. */
		if (memory_references(memory, copies->block) == 1)
			copies->fill = 0;
		else
			outbox_copies_drop(copies, memory);
	}
	if (copies->block == MEMORY_NONE) {
		copies->block = memory_take_small(memory, privileged);
		copies->fill = 0;
		if (copies->block == MEMORY_NONE)
			return NULL;
	}
	*ret_piece = (struct piece){
		.block = copies->block,
		.offset = copies->fill,
		.length = size,
	};
	copies->fill += size;
	return memory_at(
		memory_view(memory), ret_piece->block, ret_piece->offset);
}

static void
outbox_append_or_join(struct outbox *outbox, struct piece run, uint32_t last,
	struct outbox_source source)
{
	uint32_t tail = outbox_row(outbox)->tail;

	if (outbox_join(outbox, run, last, source))
		return;
	outbox_put(outbox, tail, run, source.has_id ? MEMORY_WITH_ID : 0, last,
		source);
	outbox_commit(outbox, tail + 1);
}

void
outbox_append_run(struct outbox *outbox, struct piece run, uint32_t last,
	struct outbox_source source)
{
	struct piece copy;
	uint8_t *room;

	if (outbox_join(outbox, run, last, source))
		return;
	if (run.length <= outbox_copy_max(outbox)) {
		room = outbox_copies_take(&outbox->copies, outbox->memory,
			run.length, false, &copy);
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
	uint32_t tail = outbox_row(outbox)->tail;
	int r = 0;

	if (fd >= 0 && outbox_keep_fd(outbox, fd, tail) < 0) {
		(void)sys_close(fd);
		r = -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t flags = MEMORY_PIECE;

		if (source.has_id)
			flags |= MEMORY_WITH_ID;
		if (i == 0 && fd >= 0)
			flags |= MEMORY_WITH_FD;
		if (i + 1 < count)
			flags |= MEMORY_CONTINUES;
		outbox_put(
			outbox, tail + i, pieces[i], flags, sequence, source);
	}
	outbox_commit(outbox, tail + count);
	return r;
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
	room = outbox_copies_take(&outbox->copies, outbox->memory,
		MUSTER_HEADER_SIZE + header->size, privileged, &piece);
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

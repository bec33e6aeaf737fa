/*
 * outbox.h: the queue of one receiver and the writing side of its channel.
 *
 * An outbox is a ring of entries in the exchange memory, [head, tail). Entries
 * from head to `written` are with the kernel and wait for the receiver's
 * acknowledgement; the rest waits to be written. What stands in the ring
 * survives the brain; the struct here is the brain's view of it.
 *
 * Neighbours join: a run of frames that lies together in a block is one entry
 * and leaves as one piece. Runs of up to 512 bytes that aren't neighbours of
 * the last are copied together into small blocks of the outbox's own, and so
 * are longer ones when the receiver is slow, so that a small frame of a slow
 * receiver pins no large block.
 *
 * For the loop's thread; no function calls back but those that say so.
 */
#ifndef MUSTER_EXCHANGE_OUTBOX_H
#define MUSTER_EXCHANGE_OUTBOX_H

#include "list.h"
#include "memory.h"
#include "protocol/frame.h"
#include "ring.h"

#include <sys/types.h>

struct outbox_fd {
	uint32_t position; /* of the entry that it travels with */
	int fd;
};

struct outbox {
	struct memory *memory;
	const struct memory_view *view;
	uint32_t channel; /* the row */
	bool is_open;	  /* frames may be written */

	uint32_t written;	/* the first entry not wholly written */
	uint32_t written_bytes; /* of that entry */
	bool mid_frame;		/* that entry continues a frame */
	uint64_t queued;	/* bytes not yet written */
	uint64_t unacked;	/* bytes of the entries head … written */
	uint64_t taken;		/* bytes that the kernel ever took */
	uint64_t limit;		/* of queued: over it senders are paused */
	uint64_t window;	/* of unacked: more is not written */
	struct link paused;	/* peer::pause of those senders */

	uint32_t copy_block; /* the small block that copies go to */
	uint32_t copy_fill;

	/* What has no number: welcome, acknowledgements, the answer to
	 * `resume`. Written between two frames, before what waits. */
	char *uncounted;
	size_t uncounted_size, uncounted_written, uncounted_room;

	struct outbox_fd *fds; /* in order of position */
	uint32_t fd_count, fd_room;
};

enum {
	/* Entries that must be free before a frame is taken. */
	OUTBOX_ROOM = RING_PIECES_MAX + 2,
	/* Runs up to this are copied; longer ones referred to. */
	OUTBOX_COPY_MAX = 512,
	OUTBOX_COPY_MAX_SLOW = 8192,
};

/* Whose frame it is, kept with the entry. */
struct outbox_source {
	uint32_t channel;
	uint32_t sequence;
};

/*
 * Takes a new row (`use`) or the row `channel` that an earlier brain left.
 * `limit`: bytes that may wait before senders are paused.
 * Returns 0; -ENOSPC: no row is free.
 */
int outbox_init(struct outbox *outbox, struct memory *memory,
	enum memory_use use, uint64_t limit);
void outbox_adopt(struct outbox *outbox, struct memory *memory,
	uint32_t channel, uint64_t limit);

/* Forgets what is queued, frees the row, closes waiting descriptors. */
void outbox_fini(struct outbox *outbox);

static inline struct memory_channel *
outbox_row(const struct outbox *outbox)
{
	return &outbox->view->channels[outbox->channel];
}

/* Whether the queue takes one more frame, however long. */
static inline bool
outbox_is_under_limit(const struct outbox *outbox)
{
	return outbox->queued <= outbox->limit;
}

/* Whether the ring has room for any frame. */
static inline bool
outbox_has_room(const struct outbox *outbox)
{
	const struct memory_channel *row = outbox_row(outbox);

	return row->tail - row->head <= MEMORY_RING_SIZE - OUTBOX_ROOM;
}

/*
 * The number that the next frame of this channel carries; 0 while the receiver
 * takes no part in resuming or has not settled it. Counts it as used.
 */
static inline uint32_t
outbox_next_sequence(struct outbox *outbox)
{
	struct memory_channel *row = outbox_row(outbox);

	if (!(row->flags & MEMORY_TAKES_PART))
		return 0;
	row->sent = frame_next_sequence(row->sent);
	return row->sent;
}

/*
 * Appends a run of whole frames that lie together, already stamped with numbers
 * of outbox_next_sequence up to `last`. The caller keeps its own reference to
 * the block. Needs outbox_has_room before the numbers are drawn. Where no small
 * block is free for a copy, the run is referred to.
 */
void outbox_append_run(struct outbox *outbox, struct piece run, uint32_t last,
	struct outbox_source source);

/*
 * Appends one frame in several pieces, its header whole in the first and
 * stamped. `fd` travels with it (taken over) or is -1.
 * Returns 0; -ENOMEM: no memory for the descriptor's place, which is closed.
 */
int outbox_append_pieces(struct outbox *outbox, const struct piece *pieces,
	uint32_t count, uint32_t sequence, struct outbox_source source, int fd);

/*
 * Appends one frame of which `header` (already numbered) and the name and body
 * `payload` are copied; for payloads of up to MEMORY_SMALL_SIZE minus a header
 * one copy, longer ones in several pieces. `privileged`: may use the reserve.
 * Returns 0; -ENOBUFS: not enough blocks.
 */
int outbox_append_copy(struct outbox *outbox, const struct frame_header *header,
	const void *payload, struct outbox_source source, bool privileged);

/*
 * Copies `header` into the outbox's small blocks and returns where it lies in
 * `ret_piece`, with a reference for the caller; the head of a frame whose body
 * is shared. Returns 0 or -ENOBUFS.
 */
int outbox_copy_header(struct outbox *outbox, const struct frame_header *header,
	const void *name, struct piece *ret_piece);

/* Queues bytes that have no number. Returns 0 or -ENOMEM. */
int outbox_append_uncounted(
	struct outbox *outbox, const void *bytes, size_t size);

/* Whether there is something that may be written. */
bool outbox_wants_write(const struct outbox *outbox);

/*
 * Writes to `fd` what the kernel takes in one sendmsg.
 * Returns 1: everything that may be written is; 0: more is left (the socket is
 * full, or the call's bounds were reached); or the negative errno of a channel
 * that is broken (-EPIPE, -ECONNRESET, …).
 */
int outbox_write(struct outbox *outbox, int fd);

/*
 * The receiver took everything up to `sequence`.
 * Returns 0; -EPROTO: that number was never written.
 */
int outbox_ack(struct outbox *outbox, uint32_t sequence);

/*
 * A resumed receiver took everything up to `sequence`: what follows is written
 * again. Returns 0; -EPROTO: the number doesn't fit.
 */
int outbox_rewind(struct outbox *outbox, uint32_t sequence);

/*
 * The receiver has settled whether it takes part: what waits gets its numbers
 * (or zeros).
 */
void outbox_renumber(struct outbox *outbox);

/* What a taker is told of a frame. */
struct outbox_taken {
	struct ring_frame *frame;
	struct outbox_source source;
	int fd;		  /* the taker's to close, or -1 */
	bool was_written; /* its last byte had gone to the kernel */
};

/*
 * Empties the ring: calls `take` for each frame that was not acknowledged, in
 * order, then frees its entries. `take` may append to other outboxes.
 */
void outbox_take_all(struct outbox *outbox,
	void (*take)(void *context, struct outbox_taken *taken), void *context);

/*
 * Takes single frames from the front of a ring that is written to no channel:
 * calls `take` until it returns false, which leaves that frame.
 */
void outbox_take_while(struct outbox *outbox,
	bool (*take)(void *context, struct outbox_taken *taken), void *context);

/* Calls `visit` for each frame not wholly written. */
void outbox_visit_unwritten(struct outbox *outbox,
	void (*visit)(void *context, const struct ring_frame *frame),
	void *context);

#endif

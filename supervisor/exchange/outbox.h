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

struct peer;

struct outbox_fd {
	uint32_t position; /* of the entry that it travels with */
	int fd;
};

/* A small block to which frames are copied one behind another. */
struct outbox_copies {
	uint32_t block; /* MEMORY_NONE: none yet */
	uint32_t fill;
};

struct outbox {
	struct memory *memory;
	const struct memory_view *view;
	uint32_t channel;  /* the row */
	struct peer *peer; /* whose channel it is written to, or NULL */
	bool is_open;	   /* frames may be written */
	bool is_unread;	   /* its channel is paused: no ack can come in */
	bool keeps_single; /* each frame has an entry of its own */

	/* The row has these too, for who comes after this brain. */
	uint32_t written;	/* the first entry not wholly written */
	uint32_t written_bytes; /* of that entry */
	bool mid_frame;		/* that entry continues a frame */
	bool begun_before;	/* they tell of the channel before this one */
	uint64_t queued;	/* bytes not yet written */
	uint64_t unacked;	/* bytes of the entries head … written */
	uint64_t taken;		/* bytes that the kernel ever took */
	uint64_t limit;		/* of queued: over it senders are paused */
	struct link paused;	/* peer::pause of those senders */

	struct outbox_copies copies;

	/* What has no number: welcome, acknowledgements, the answer to
	 * `resume`. Written between two frames, before what waits. */
	bool owes_ack; /* an `ack` is made when it can be written */
	char *uncounted;
	size_t uncounted_size, uncounted_written, uncounted_room;

	/* In order of position. Each is kept until its frame is acknowledged:
	 * a receiver that resumes, or another, gets it again. */
	struct outbox_fd *fds;
	uint32_t fd_count, fd_room;
};

enum {
	/* Entries that must be free before a frame is taken. */
	OUTBOX_ROOM = RING_PIECES_MAX + 2,
	/* Runs up to this are copied; longer ones referred to. */
	OUTBOX_COPY_MAX = 512,
	OUTBOX_COPY_MAX_SLOW = 8192,
	/* A receiver with so much waiting is slow. */
	OUTBOX_SLOW_BYTES = 256 * 1024,
	/* Descriptors that are written and not acknowledged. */
	OUTBOX_FDS_UNACKED = 64,
};

/* Whose frame it is, kept with the entry. */
struct outbox_source {
	uint32_t channel;  /* MEMORY_NONE: 0 itself says it */
	uint32_t sequence; /* of the last frame, as its sender counts */
	uint32_t mark;	   /* which process or client the channel is */
	bool has_id;	   /* its sender may want to hear of its fate */
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

/* Whether so much is free that those who filled it may go on. */
static inline bool
outbox_is_low(const struct outbox *outbox)
{
	const struct memory_channel *row = outbox_row(outbox);

	return outbox->queued <= outbox->limit / 2 &&
	       row->tail - row->head <= MEMORY_RING_SIZE / 2;
}

/* Up to how many bytes are copied for this receiver now. */
static inline uint32_t
outbox_copy_max(const struct outbox *outbox)
{
	return outbox->queued > OUTBOX_SLOW_BYTES ||
			       memory_is_tight(outbox->memory)
		       ? OUTBOX_COPY_MAX_SLOW
		       : OUTBOX_COPY_MAX;
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
	journal_set(outbox->view->journal, row->sent,
		frame_next_sequence(row->sent));
	return row->sent;
}

/* A frame was passed on to the receiver. */
static inline void
outbox_count_in(struct outbox *outbox)
{
	struct memory_channel *row = outbox_row(outbox);

	journal_set(
		outbox->view->journal, row->messages_in, row->messages_in + 1);
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
 * Takes `size` bytes of a block for copies; returns where to write them, or
 * NULL: no block is free. `ret_piece` has no reference of its own.
 */
uint8_t *outbox_copies_take(struct outbox_copies *copies, struct memory *memory,
	uint32_t size, bool privileged, struct piece *ret_piece);
void outbox_copies_drop(struct outbox_copies *copies, struct memory *memory);

/* Whether the outbox's own block has room for a copy of `size` bytes. */
bool outbox_copies_has_room(const struct outbox *outbox, uint32_t size);

/* Queues bytes that have no number. Returns 0 or -ENOMEM. */
int outbox_append_uncounted(
	struct outbox *outbox, const void *bytes, size_t size);

/*
 * Writes to `fd` what the kernel takes and the window lets go.
 * Returns 1: everything that may be written is; 0: more is left (the socket is
 * full, or the call's bounds were reached); -EBUSY: the kernel has no room,
 * which no event will tell: try again a little later; or the negative errno of
 * a channel that is broken (-EPIPE, -ECONNRESET, …).
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
 * order, and frees its place: both in one change, so that a brain that dies in
 * between leaves each frame in one place. `take` may append to other outboxes.
 */
void outbox_take_all(struct outbox *outbox,
	void (*take)(void *context, struct outbox_taken *taken), void *context);

enum outbox_verdict {
	OUTBOX_TAKE,  /* it is taken out */
	OUTBOX_LEAVE, /* it stays; those behind it are offered too */
	OUTBOX_STOP,  /* it stays, and so do all behind it */
};

/*
 * Offers the frames of an outbox that keeps them single and is written to no
 * channel, from the oldest on.
 */
void outbox_take_some(struct outbox *outbox,
	enum outbox_verdict (*take)(void *context, struct outbox_taken *taken),
	void *context);

/*
 * Moves all frames of which no byte was written into a new outbox, and sets the
 * numbers back to what was. The caller ends `ret_rest` by outbox_fini.
 * Returns 0; -ENOSPC: no row is free, nothing happened.
 */
int outbox_split(struct outbox *outbox, struct outbox *ret_rest);

/*
 * For a ring that an earlier brain left, before anything of it is written:
 * takes out what can't be written as it was. That is a frame whose descriptor
 * died with that brain, and what doesn't add up. The rest is numbered anew
 * without a gap. `lost` is called for each frame that is still known. Returns
 * 0; -ENOMEM: nothing was changed.
 */
int outbox_mend(struct outbox *outbox,
	void (*lost)(void *context, struct outbox_taken *taken), void *context);

/* Calls `visit` for each frame not wholly written. */
void outbox_visit_unwritten(struct outbox *outbox,
	void (*visit)(void *context, const struct ring_frame *frame),
	void *context);

/* For the files of the outbox ------------------------------------------- */

static inline struct memory_entry *
outbox_entry(const struct outbox *outbox, uint32_t position)
{
	return memory_entry_at(outbox->view, outbox->channel, position);
}

/* Where writing goes on. */
void outbox_set_written(
	struct outbox *outbox, uint32_t position, uint32_t bytes);

/* Gives a frame that stands in the ring this number. */
void outbox_number(struct outbox *outbox, const struct ring_frame *frame,
	uint32_t sequence);

/* Frees the entry at the head. An empty outbox keeps no block. */
void outbox_pop(struct outbox *outbox);

/* The place of the descriptor that travels with the entry at `position`;
 * fd_count: none does. */
uint32_t outbox_find_fd(const struct outbox *outbox, uint32_t position);

/* Takes the descriptor that travels with the entry at `position`, or -1. */
int outbox_take_fd(struct outbox *outbox, uint32_t position);

/* Makes room for one more. Returns 0 or -ENOMEM. */
int outbox_reserve_fd(struct outbox *outbox);

/* Keeps it with that entry. Returns 0 or -ENOMEM: it is still the caller's. */
int outbox_keep_fd(struct outbox *outbox, int fd, uint32_t position);

#endif

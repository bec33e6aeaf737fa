/*
 * channel.h: the heap-based end of a channel: bytes to frames and back.
 *
 * Worker programs (through the SDK) and clients of the control socket use it;
 * the supervisor's end lives in shared memory and has its own. No loop, no
 * clock, no policy: the owner watches the descriptor, says when to read, write
 * and acknowledge, and decides what a frame means.
 *
 * Reading: channel_read takes what is there into one buffer; channel_next walks
 * its whole frames in place until it returns 0. Writing: channel_put builds a
 * frame in a block; channel_flush writes. A worker's frames are numbered from
 * 1 and their blocks kept until the other side acknowledged them, so that they
 * can be sent again on another descriptor; a client's have number 0 and are
 * forgotten when the kernel has taken them.
 *
 * One thread. Never calls back. The structs are open for the inline functions;
 * owners read the fields that say so and write none.
 */
#ifndef MUSTER_CHANNEL_H
#define MUSTER_CHANNEL_H

#include "frame.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

enum {
	CHANNEL_READ_SIZE = 256 * 1024,	 /* bytes of one read at most */
	CHANNEL_BLOCK_SIZE = 256 * 1024, /* bytes of a usual output block */
	CHANNEL_SPARE_BLOCKS = 16,	 /* free blocks that are kept */
};

enum channel_role {
	CHANNEL_WORKER, /* numbers its frames, acknowledges, can resume */
	CHANNEL_CLIENT, /* writes and expects sequence 0, never acknowledges */
};

/* Whole frames, oldest first, on the list channel.head or channel.spare. */
struct channel_block {
	struct channel_block *next;
	size_t capacity; /* bytes */
	size_t used;
	size_t sent;   /* of `used`, taken by the kernel */
	size_t whole;  /* start of a frame, at most `sent`: a hint */
	uint32_t last; /* sequence of the last frame */
	bool counted;  /* its capacity is part of channel.kept */
	int fd;	       /* that travels with its one frame, or -1 */
	uint8_t bytes[];
};

struct channel {
	int fd; /* readable for owners; -1: none, see channel_resume */
	enum channel_role role;
	bool broken;  /* writing failed; reading goes on to the end */
	bool blocked; /* readable: the kernel's buffer was full */
	bool held;    /* nothing but control frames: a resume is under way */

	uint8_t *in;
	size_t in_capacity;
	size_t in_start; /* first byte that isn't walked */
	size_t in_end;
	uint32_t max_message; /* bound of a received frame's size */
	uint32_t expected;    /* sequence of the next counted frame */
	uint32_t acked;	      /* the last that we acknowledged */
	size_t unacked_bytes; /* read since then */
	enum frame_fault fault;

	int fds[MUSTER_FDS_MAX]; /* arrived, oldest first */
	unsigned fds_count;
	int partial_fd;		/* taken by a frame that isn't whole yet */
	bool partial_claimed;	/* its header was seen */
	unsigned fds_unclaimed; /* closed since no frame took them */
	uint64_t fds_closed;	/* readable: the same, over all channels */

	struct channel_block *head;   /* the oldest that is kept */
	struct channel_block *cursor; /* the first with something unsent */
	struct channel_block *tail;   /* where frames are built */
	struct channel_block *spare;  /* free ones, the hottest first */
	unsigned spare_count;
	size_t pending;	   /* readable: bytes of frames not written yet */
	size_t kept;	   /* bytes of blocks begun and not acknowledged */
	unsigned kept_fds; /* blocks with a descriptor among them */
	uint32_t next;	   /* sequence of the next frame */
	uint32_t settled;  /* the last that the other side acknowledged */

	uint8_t control[128]; /* an `ack` or `resume`, never kept */
	size_t control_size;
	size_t control_sent;
	bool ack_again; /* another ack when the one half written is out */
};

struct channel_frame {
	struct frame_header header;
	const char *name; /* header.name_size bytes, no NUL */
	const char *body; /* no NUL */
	size_t size;	  /* bytes of the body */
	int fd;		  /* with MUSTER_FLAG_FD: the descriptor, the caller's
			   * from now on; -1 where none came or none belongs */
};

/*
 * Starts on the stream socket `fd`, which must be non-blocking; asks for a send
 * buffer of 512 KiB and takes what is granted. Takes `fd` over on success.
 * Returns 0 or -ENOMEM.
 */
int channel_init(struct channel *channel, int fd, enum channel_role role);

/* Closes and frees everything; what was not written is lost. */
void channel_fini(struct channel *channel);

/*
 * Reads once, up to 256 KiB. Call it when channel_next has returned 0; frames
 * handed out before are void then.
 * Returns the bytes read, more than 0; 0: the other side is gone, nothing will
 * come any more; -EAGAIN: nothing there; -ENOMEM: a long frame found no memory,
 * try again later; another errno: as 0, but unusual.
 */
ssize_t channel_read(struct channel *channel);

/* The general case of channel_next. */
int channel_next_slowly(
	struct channel *channel, struct channel_frame *ret_frame);

/*
 * Gives the next whole frame of what was read, in place: valid until the next
 * channel_read. Its sequence was checked, and counts as taken in.
 * Returns 1: a frame; 0: no whole one is left, and descriptors that no frame
 * took were closed; -EPROTO: the other side broke a rule, channel.fault says
 * which; -EMFILE: it sent too many descriptors that no frame announced. After
 * an error the channel can only be ended.
 */
static inline int
channel_next(struct channel *channel, struct channel_frame *ret_frame)
{
	const uint8_t *at = channel->in + channel->in_start;
	size_t have = channel->in_end - channel->in_start;
	struct frame_header *header = &ret_frame->header;

	if (have < MUSTER_HEADER_SIZE)
		return channel_next_slowly(channel, ret_frame);
	frame_load(at, header);
	/* A whole, plain, counted message: nearly every frame. */
	if (header->kind != MUSTER_MESSAGE ||
		(header->flags | header->name_size) != 0 ||
		header->size - 1 >= channel->max_message ||
		header->size > have - MUSTER_HEADER_SIZE ||
		header->sequence != channel->expected ||
		header->sequence == 0 || channel->partial_claimed)
		return channel_next_slowly(channel, ret_frame);
	channel->expected = frame_next_sequence(channel->expected);
	channel->in_start += MUSTER_HEADER_SIZE + header->size;
	ret_frame->name = NULL;
	ret_frame->body = (const char *)at + MUSTER_HEADER_SIZE;
	ret_frame->size = header->size;
	ret_frame->fd = -1;
	return 1;
}

/*
 * Makes room for `size` bytes in one piece, writing what waits when a block is
 * full. Returns 0 or -ENOMEM.
 */
int channel_grow(struct channel *channel, size_t size);

/*
 * Room for a frame of `size` bytes with its header. More may be there: see
 * channel_room_size. Gives NULL without memory. Valid until the next call that
 * isn't channel_commit.
 */
static inline uint8_t *
channel_room(struct channel *channel, size_t size)
{
	if (channel->tail->capacity - channel->tail->used < size &&
		channel_grow(channel, size) < 0)
		return NULL;
	return channel->tail->bytes + channel->tail->used;
}

static inline size_t
channel_room_size(const struct channel *channel)
{
	return channel->tail->capacity - channel->tail->used;
}

/*
 * Adds the frame whose payload stands 32 bytes behind channel_room's pointer.
 * The sequence is the channel's; the other fields are the caller's.
 */
static inline void
channel_commit(struct channel *channel, const struct frame_header *header)
{
	struct channel_block *block = channel->tail;
	size_t total = MUSTER_HEADER_SIZE + (size_t)header->size;
	uint32_t sequence = 0;

	if (channel->role == CHANNEL_WORKER) {
		sequence = block->last = channel->next;
		channel->next = frame_next_sequence(sequence);
	}
	frame_store_as(block->bytes + block->used, header, sequence);
	block->used += total;
	channel->pending += total;
}

/*
 * Queues a frame: header->size is the sum of `name_size` bytes of name and the
 * bytes of `body`; both are copied. `name` is NULL where name_size is 0. The
 * owner bounds channel.pending. Returns 0 or -ENOMEM.
 */
static inline int
channel_put(struct channel *channel, const struct frame_header *header,
	const char *name, const char *body)
{
	size_t total = MUSTER_HEADER_SIZE + (size_t)header->size;
	uint8_t *at = channel_room(channel, total);

	if (!at)
		return -ENOMEM;
	at += MUSTER_HEADER_SIZE;
	if (name)
		memcpy(at, name, header->name_size);
	memcpy(at + header->name_size, body, header->size - header->name_size);
	channel_commit(channel, header);
	return 0;
}

/*
 * The same for a frame with MUSTER_FLAG_FD, which `fd` travels with. It is
 * taken over, and closed when the other side has acknowledged the frame; a
 * client's when the kernel has taken it. Returns 0 or -ENOMEM: then it is the
 * caller's still.
 */
int channel_put_fd(struct channel *channel, const struct frame_header *header,
	const char *name, const char *body, int fd);

/*
 * Writes what the kernel and the window of unacknowledged bytes let through.
 * Returns 0: all is written; -EAGAIN: something waits, for the kernel
 * (channel.blocked: watch for writing), an acknowledgement or a new channel;
 * -EPIPE: the other side doesn't read any more: go on reading to the end.
 */
int channel_flush(struct channel *channel);

/* Frames that were taken in since the last acknowledgement. */
uint32_t channel_unacked(const struct channel *channel);

/* Queues an `ack` for them, in front of frames that wait. Flush it. */
void channel_ack(struct channel *channel);

/*
 * The other side has all frames up to `sequence`: they are forgotten.
 * Returns 0; -EPROTO: no such frame was sent.
 */
int channel_settle(struct channel *channel, uint32_t sequence);

/* Whether everything that was put is written and acknowledged. */
bool channel_is_settled(const struct channel *channel);

/*
 * The descriptor is at its end: closes it, throws a half-read frame away and
 * keeps what the other side hasn't acknowledged. channel.fd is -1 then.
 */
void channel_suspend(struct channel *channel);

/*
 * Goes on over `fd` (taken over): queues the request `resume` with `id` as its
 * first frame, and holds all others back. Call it suspended.
 */
void channel_resume(struct channel *channel, int fd, uint64_t id);

/*
 * `resume` was answered: the other side has everything up to `received`. What
 * it has not is written again with the same numbers, then what is new.
 * Returns 0; -EPROTO: it wants frames that are gone or were never sent.
 */
int channel_resumed(struct channel *channel, uint32_t received);

#endif

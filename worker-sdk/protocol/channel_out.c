/*
 * channel_out.c: the writing half of a channel's end.
 *
 * Frames are built whole, one behind the other, in blocks of 256 KiB (a longer
 * frame gets a block of its own). A list of blocks is both the queue and the
 * memory of what may have to be sent again:
 *
 *	head … acknowledged up to somewhere … cursor … unsent … tail
 *
 * A block is free when its last frame is acknowledged, and is the first to be
 * used again while it is in the processor's cache. Acknowledgements are in no
 * block: they are written between two frames, in front of what waits, and are
 * never sent again.
 *
 * Reading is channel.c's; when to flush and to acknowledge is the owner's.
 */
#include "channel_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	WRITE_PIECES = 8,	/* of one sendmsg */
	WRITE_MAX = 512 * 1024, /* bytes of one sendmsg, about */
	/* Descriptors written and not acknowledged; more wait. */
	CHANNEL_FDS_KEPT = 64,
};

/* Blocks ----------------------------------------------------------------- */

static struct channel_block *
block_new(struct channel *channel, size_t size)
{
	struct channel_block *block = channel->spare;
	size_t capacity = CHANNEL_BLOCK_SIZE - sizeof *block;

	if (size > capacity) {
		block = malloc(sizeof *block + size);
		capacity = size;
	} else if (block) {
		channel->spare = block->next;
		channel->spare_count--;
	} else {
		block = malloc(CHANNEL_BLOCK_SIZE);
	}
	if (!block)
		return NULL;
	*block = (struct channel_block){.capacity = capacity, .fd = -1};
	return block;
}

static void
block_close_fd(struct channel_block *block)
{
	if (block->fd >= 0)
		close(block->fd);
	block->fd = -1;
}

static void
block_free(struct channel *channel, struct channel_block *block)
{
	if (block->capacity == CHANNEL_BLOCK_SIZE - sizeof *block &&
		channel->spare_count < CHANNEL_SPARE_BLOCKS) {
		block->next = channel->spare;
		channel->spare = block;
		channel->spare_count++;
		return;
	}
	free(block);
}

/* The end of the frame that starts at `offset`. */
static size_t
frame_end(const struct channel_block *block, size_t offset)
{
	struct frame_header header;

	frame_load(block->bytes + offset, &header);
	return offset + MUSTER_HEADER_SIZE + header.size;
}

/* The first start or end of a frame that isn't inside of what was sent. */
static size_t
next_boundary(struct channel_block *block)
{
	while (block->whole < block->sent) {
		size_t end = frame_end(block, block->whole);

		if (end > block->sent)
			return end;
		block->whole = end;
	}
	return block->whole;
}

/*
 * The head has nothing that is needed any more. Where it is the tail too, it is
 * used again from its start: the same lines of the cache.
 */
static void
release_head(struct channel *channel)
{
	struct channel_block *block = channel->head;
	struct channel_block *usual;

	if (block->counted) {
		channel->kept -= block->capacity;
		channel->kept_fds -= block->fd >= 0;
	}
	block_close_fd(block);
	if (block != channel->tail) {
		channel->head = block->next;
		if (channel->cursor == block)
			channel->cursor = block->next;
		block_free(channel, block);
		return;
	}
	block->used = block->sent = block->whole = 0;
	block->counted = false;
	if (block->capacity <= CHANNEL_BLOCK_SIZE)
		return;
	/* A long frame's block is too much memory to sit on. */
	usual = block_new(channel, 0);
	if (usual) {
		channel->head = channel->cursor = channel->tail = usual;
		free(block);
	}
}

static bool
is_written(const struct channel_block *block)
{
	return block->sent == block->used; /* NOLINT: there always is one */
}

/*
 * Whether the head may go: written, and acknowledged up to `sequence`. A block
 * that stayed empty, since a long frame needed one of its own behind it, goes
 * as well; an empty tail is what it is.
 */
static bool
head_is_done(const struct channel *channel, uint32_t sequence)
{
	const struct channel_block *head = channel->head;

	if (!is_written(head))
		return false;
	if (head->used == 0)
		return head != channel->tail;
	return channel->role == CHANNEL_CLIENT ||
	       frame_sequence_distance(head->last, sequence) >= 0;
}

int
channel_out_init(struct channel *channel)
{
	struct channel_block *block = block_new(channel, 0);

	if (!block)
		return -ENOMEM;
	channel->head = channel->cursor = channel->tail = block;
	return 0;
}

static void
free_list(struct channel_block *block)
{
	while (block) {
		struct channel_block *next = block->next;

		block_close_fd(block);
		free(block);
		block = next;
	}
}

void
channel_out_fini(struct channel *channel)
{
	free_list(channel->head);
	free_list(channel->spare);
	channel->head = channel->cursor = channel->tail = NULL;
	channel->spare = NULL;
}

int
channel_grow(struct channel *channel, size_t size)
{
	struct channel_block *block;

	/* A block is full, so it pays to write it: this neither blocks nor
	 * calls back. Errors show when the owner flushes or reads. */
	if (!channel->blocked)
		(void)channel_flush(channel);
	if (channel->tail->capacity - channel->tail->used >= size)
		return 0;
	block = block_new(channel, size);
	if (!block)
		return -ENOMEM;
	channel->tail->next = block;
	channel->tail = block;
	return 0;
}

int
channel_put_fd(struct channel *channel, const struct frame_header *header,
	const char *name, const char *body, int fd)
{
	size_t total = MUSTER_HEADER_SIZE + (size_t)header->size;
	struct channel_block *block = malloc(sizeof *block + total);
	struct channel_block *behind = block_new(channel, 0);

	/* It is alone in its block, and what follows has another. */
	if (!block || !behind) {
		free(block);
		if (behind)
			block_free(channel, behind);
		return -ENOMEM;
	}
	*block = (struct channel_block){.capacity = total, .fd = fd};
	channel->tail->next = block;
	channel->tail = block;
	(void)channel_put(channel, header, name, body);
	block->next = behind;
	channel->tail = behind;
	return 0;
}

/* Writing ---------------------------------------------------------------- */

/* What one sendmsg is to write, and whose bytes they are. */
struct plan {
	struct iovec pieces[WRITE_PIECES];
	struct channel_block *owners[WRITE_PIECES]; /* NULL: control */
	unsigned count;
	size_t bytes;
	int fd; /* that goes with the first piece, or -1 */
};

static void
plan_add(struct plan *plan, struct channel_block *owner, uint8_t *bytes,
	size_t size)
{
	if (size == 0)
		return;
	plan->pieces[plan->count].iov_base = bytes;
	plan->pieces[plan->count].iov_len = size;
	plan->owners[plan->count] = owner;
	plan->count++;
	plan->bytes += size;
}

/*
 * The control frame, as early as it may go: at once where it is half written
 * or nothing else may go, else when the frame under way is out. Gives how much
 * of the cursor's block comes before it.
 */
static size_t
plan_control(struct channel *channel, struct plan *plan)
{
	struct channel_block *block = channel->cursor;
	size_t rest = 0;

	if (channel->control_size == 0)
		return 0;
	if (channel->control_sent == 0 && !channel->held) {
		rest = next_boundary(block) - block->sent;
		plan_add(plan, block, block->bytes + block->sent, rest);
	}
	plan_add(plan, NULL, channel->control + channel->control_sent,
		channel->control_size - channel->control_sent);
	return rest;
}

static void
plan_blocks(struct channel *channel, struct plan *plan, size_t planned)
{
	struct channel_block *block = channel->cursor;
	size_t kept = channel->kept;

	for (; block && plan->count < WRITE_PIECES && plan->bytes < WRITE_MAX;
		block = block->next) {
		size_t from = block->sent + planned;

		planned = 0;
		if (from == block->used)
			continue;
		if (channel->role == CHANNEL_WORKER && !block->counted) {
			/* The window: the first may always go. */
			if (kept > 0 &&
				kept + block->capacity > MUSTER_UNACKED_MAX)
				break;
			kept += block->capacity;
		}
		if (block->fd >= 0 && block->sent == 0) {
			/* The first of its call, and not too many at once. */
			if (plan->count > 0 ||
				channel->kept_fds >= CHANNEL_FDS_KEPT)
				break;
			plan->fd = block->fd;
		}
		plan_add(plan, block, block->bytes + from, block->used - from);
	}
}

static void put_ack(struct channel *channel);

static void
control_advance(struct channel *channel, size_t bytes)
{
	channel->control_sent += bytes;
	if (channel->control_sent < channel->control_size)
		return;
	channel->control_size = channel->control_sent = 0;
	if (channel->ack_again)
		put_ack(channel);
	channel->ack_again = false;
}

static void
advance(struct channel *channel, const struct plan *plan, size_t bytes)
{
	for (unsigned i = 0; i < plan->count && bytes > 0; i++) {
		struct channel_block *block = plan->owners[i];
		size_t part = plan->pieces[i].iov_len;

		if (part > bytes)
			part = bytes;
		bytes -= part;
		if (!block) {
			control_advance(channel, part);
			continue;
		}
		block->sent += part;
		channel->pending -= part;
		if (channel->role == CHANNEL_WORKER && !block->counted) {
			block->counted = true;
			channel->kept += block->capacity;
			channel->kept_fds += block->fd >= 0;
		}
	}
	while (is_written(channel->cursor) && channel->cursor->next)
		channel->cursor = channel->cursor->next;
	if (channel->role == CHANNEL_WORKER)
		return;
	while (head_is_done(channel, 0))
		release_head(channel);
}

/* One piece, the usual case, goes the shorter way into the kernel. */
static ssize_t
write_plan(int fd, struct plan *plan)
{
	const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr message = {
		.msg_iov = plan->pieces,
		.msg_iovlen = plan->count,
	};
	ssize_t taken;

	if (plan->fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control.bytes;
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &plan->fd, sizeof(int));
	}
	do
		taken = plan->count == 1 && plan->fd < 0
				? send(fd, plan->pieces[0].iov_base,
					  plan->pieces[0].iov_len, flags)
				: sendmsg(fd, &message, flags);
	while (taken < 0 && errno == EINTR);
	return taken;
}

int
channel_flush(struct channel *channel)
{
	struct plan plan;
	ssize_t taken;

	if (channel->broken)
		return -EPIPE;
	while (channel->fd >= 0) {
		plan.count = 0;
		plan.bytes = 0;
		plan.fd = -1;
		size_t planned = plan_control(channel, &plan);
		if (!channel->held)
			plan_blocks(channel, &plan, planned);
		if (plan.count == 0)
			break;
		taken = write_plan(channel->fd, &plan);
		if (taken < 0 &&
			(errno == EAGAIN || errno == ENOBUFS ||
				errno == ENOMEM || errno == ETOOMANYREFS)) {
			channel->blocked = true;
			return -EAGAIN;
		}
		if (taken < 0) {
			channel->broken = true;
			channel->blocked = false;
			return -EPIPE;
		}
		advance(channel, &plan, (size_t)taken);
		/* A short write means full: no need to ask once more. */
		channel->blocked = (size_t)taken < plan.bytes;
		if (channel->blocked)
			return -EAGAIN;
	}
	return channel->pending > 0 || channel->control_size > 0 ? -EAGAIN : 0;
}

/* Acknowledging ---------------------------------------------------------- */

static uint32_t
received(const struct channel *channel)
{
	if (channel->expected > 1)
		return channel->expected - 1;
	/* 1 is expected at the start, and after 0xffffffff. */
	return channel->acked == 0 ? 0 : UINT32_MAX;
}

uint32_t
channel_unacked(const struct channel *channel)
{
	if (channel->role != CHANNEL_WORKER)
		return 0;
	return (uint32_t)frame_sequence_distance(
		channel->acked, received(channel));
}

static void
put_control(struct channel *channel, enum muster_kind kind, uint64_t id,
	const char *body, int size)
{
	struct frame_header header = {
		.size = (uint32_t)size,
		.kind = (uint8_t)kind,
		.to = MUSTER_TO_SUPERVISOR,
		.id = id,
	};

	frame_store(channel->control, &header);
	memcpy(channel->control + MUSTER_HEADER_SIZE, body, (size_t)size);
	channel->control_size = MUSTER_HEADER_SIZE + (size_t)size;
	channel->control_sent = 0;
}

static void
put_ack(struct channel *channel)
{
	char body[64];
	int size = snprintf(body, sizeof body,
		"{\"event\":\"ack\",\"sequence\":%u}", received(channel));

	put_control(channel, MUSTER_MESSAGE, 0, body, size);
	channel->acked = received(channel);
	channel->unacked_bytes = 0;
}

void
channel_ack(struct channel *channel)
{
	if (channel_unacked(channel) == 0 || channel->fd < 0)
		return;
	if (channel->control_sent == 0 && !channel->held) {
		put_ack(channel); /* in place of an older one */
		return;
	}
	channel->ack_again = true;
	channel->acked = received(channel);
	channel->unacked_bytes = 0;
}

int
channel_settle(struct channel *channel, uint32_t sequence)
{
	if (frame_sequence_distance(sequence, channel->next) < 1)
		return -EPROTO;
	if (frame_sequence_distance(channel->settled, sequence) <= 0)
		return 0;
	channel->settled = sequence;
	while (head_is_done(channel, sequence))
		release_head(channel);
	return 0;
}

bool
channel_is_settled(const struct channel *channel)
{
	if (channel->pending > 0)
		return false;
	return channel->role == CHANNEL_CLIENT ||
	       frame_sequence_distance(channel->settled, channel->next) == 1;
}

/* Resuming --------------------------------------------------------------- */

void
channel_out_suspend(struct channel *channel)
{
	channel->control_size = channel->control_sent = 0;
	channel->ack_again = false;
	channel->held = true;
}

void
channel_out_resume(struct channel *channel, uint64_t id)
{
	char body[80];
	int size = snprintf(body, sizeof body,
		"{\"method\":\"resume\",\"params\":{\"received\":%u}}",
		received(channel));

	channel->held = true;
	put_control(channel, MUSTER_REQUEST, id, body, size);
	channel->acked = received(channel);
	channel->unacked_bytes = 0;
}

/* The start of the first frame of a block that comes after `sequence`. */
static size_t
first_after(const struct channel_block *block, uint32_t sequence)
{
	size_t offset = 0;

	while (offset < block->used) {
		struct frame_header header;

		frame_load(block->bytes + offset, &header);
		if (frame_sequence_distance(sequence, header.sequence) > 0)
			break;
		offset += MUSTER_HEADER_SIZE + (size_t)header.size;
	}
	return offset;
}

int
channel_resumed(struct channel *channel, uint32_t sequence)
{
	struct channel_block *block;

	if (frame_sequence_distance(channel->settled, sequence) < 0 ||
		channel_settle(channel, sequence) < 0)
		return -EPROTO;
	channel->held = false;
	channel->pending = 0;
	channel->kept = 0;
	channel->kept_fds = 0;
	for (block = channel->head; block; block = block->next) {
		block->sent = block->whole = first_after(block, sequence);
		block->counted = block->sent > 0;
		if (block->counted) {
			channel->kept += block->capacity;
			channel->kept_fds += block->fd >= 0;
		}
		channel->pending += block->used - block->sent;
	}
	channel->cursor = channel->head;
	while (is_written(channel->cursor) && channel->cursor->next)
		channel->cursor = channel->cursor->next;
	return 0;
}

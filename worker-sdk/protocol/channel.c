/*
 * channel.c: the reading half of a channel's end, and its birth and death.
 *
 * Stream bytes become frames in one buffer, which is read into and walked over
 * in place. What is written, kept and sent again is channel_out.c's: the two
 * halves share the descriptor and nothing else.
 */
#include "channel.h"

#include "channel_out.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	/* A buffer that grew for a long frame shrinks above this size. */
	IN_KEEP_MAX = 1024 * 1024,
};

static void
attach_fd(struct channel *channel, int fd)
{
	int size = MUSTER_SOCKET_BUFFER;

	/* What is granted will do; a pipe in a test has no buffer to ask. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	channel->fd = fd;
	channel->broken = false;
	channel->blocked = false;
	channel->fds_unclaimed = 0;
}

int
channel_init(struct channel *channel, int fd, enum channel_role role)
{
	*channel = (struct channel){
		.role = role,
		.in_capacity = CHANNEL_READ_SIZE,
		.max_message = MUSTER_MAX_MESSAGE,
		.expected = role == CHANNEL_WORKER ? 1 : 0,
		.next = 1,
		.partial_fd = -1,
	};
	channel->in = malloc(channel->in_capacity);
	if (!channel->in || channel_out_init(channel) < 0) {
		free(channel->in);
		return -ENOMEM;
	}
	attach_fd(channel, fd);
	return 0;
}

static void
close_fds(struct channel *channel)
{
	for (unsigned i = 0; i < channel->fds_count; i++)
		close(channel->fds[i]);
	channel->fds_count = 0;
	if (channel->partial_fd >= 0)
		close(channel->partial_fd);
	channel->partial_fd = -1;
	channel->partial_claimed = false;
}

void
channel_suspend(struct channel *channel)
{
	close_fds(channel);
	if (channel->fd >= 0)
		close(channel->fd);
	channel->fd = -1;
	channel->in_start = channel->in_end = 0;
	channel->blocked = false;
	channel_out_suspend(channel);
}

void
channel_resume(struct channel *channel, int fd, uint64_t id)
{
	attach_fd(channel, fd);
	channel_out_resume(channel, id);
}

void
channel_fini(struct channel *channel)
{
	channel_suspend(channel);
	channel_out_fini(channel);
	free(channel->in);
	channel->in = NULL;
}

/* Moves what isn't walked to the front, where the next read joins it. */
static int
make_room(struct channel *channel)
{
	size_t have = channel->in_end - channel->in_start;
	size_t want = CHANNEL_READ_SIZE;
	struct frame_header header;
	uint8_t *bytes;

	if (have >= MUSTER_HEADER_SIZE) {
		frame_load(channel->in + channel->in_start, &header);
		if (MUSTER_HEADER_SIZE + (size_t)header.size > want)
			want = MUSTER_HEADER_SIZE + (size_t)header.size;
	}
	if (want > channel->in_capacity ||
		(channel->in_capacity > IN_KEEP_MAX && want <= IN_KEEP_MAX)) {
		bytes = malloc(want);
		if (!bytes)
			return -ENOMEM;
		if (have > 0)
			memcpy(bytes, channel->in + channel->in_start, have);
		free(channel->in);
		channel->in = bytes;
		channel->in_capacity = want;
	} else if (have > 0 && channel->in_start > 0) {
		memmove(channel->in, channel->in + channel->in_start, have);
	}
	channel->in_start = 0;
	channel->in_end = have;
	return 0;
}

static void
take_fds(struct channel *channel, struct msghdr *message)
{
	struct cmsghdr *item;

	for (item = CMSG_FIRSTHDR(message); item;
		item = CMSG_NXTHDR(message, item)) {
		const unsigned char *data = CMSG_DATA(item);
		size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (item->cmsg_level != SOL_SOCKET ||
			item->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, data + i * sizeof fd, sizeof fd);
			if (channel->fds_count < MUSTER_FDS_MAX)
				channel->fds[channel->fds_count++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t
channel_read(struct channel *channel)
{
	union {
		char bytes[CMSG_SPACE(MUSTER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece;
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control.bytes,
	};
	ssize_t got;

	if (channel->fd < 0)
		return -EAGAIN;
	if (channel->fault != FRAME_OK)
		return -EPROTO; /* nothing behind it makes sense */
	if (make_room(channel) < 0)
		return -ENOMEM;
	piece.iov_base = channel->in + channel->in_end;
	piece.iov_len = channel->in_capacity - channel->in_end;
	if (piece.iov_len > CHANNEL_READ_SIZE)
		piece.iov_len = CHANNEL_READ_SIZE;
	do
		got = recvmsg(
			channel->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		if (errno == EWOULDBLOCK)
			return -EAGAIN;
		return errno == ECONNRESET ? 0 : -errno;
	}
	if (message.msg_controllen > 0)
		take_fds(channel, &message);
	channel->in_end += (size_t)got;
	channel->unacked_bytes += (size_t)got;
	return got;
}

/* All whole headers are walked: nobody will ask for what is left. */
static int
drop_unclaimed(struct channel *channel)
{
	unsigned count = channel->fds_count;

	for (unsigned i = 0; i < count; i++)
		close(channel->fds[i]);
	channel->fds_count = 0;
	channel->fds_unclaimed += count;
	channel->fds_closed += count;
	return channel->fds_unclaimed >= MUSTER_FDS_UNCLAIMED_MAX ? -EMFILE : 0;
}

/* A header with FD takes the oldest descriptor, once. */
static void
claim_fd(struct channel *channel)
{
	if (channel->partial_claimed)
		return;
	channel->partial_claimed = true;
	channel->partial_fd = -1;
	if (channel->fds_count == 0)
		return;
	channel->partial_fd = channel->fds[0];
	channel->fds_count--;
	memmove(channel->fds, channel->fds + 1,
		channel->fds_count * sizeof channel->fds[0]);
}

static enum frame_fault
check_sequence(const struct channel *channel, const struct frame_header *header)
{
	if (header->sequence == channel->expected)
		return FRAME_OK;
	/* The supervisor's own control frames stand outside of the count. */
	if (channel->role == CHANNEL_WORKER && header->sequence == 0 &&
		header->from == MUSTER_TO_SUPERVISOR)
		return FRAME_OK;
	return FRAME_BAD_SEQUENCE;
}

int
channel_next_slowly(struct channel *channel, struct channel_frame *ret_frame)
{
	const uint8_t *at = channel->in + channel->in_start;
	size_t have = channel->in_end - channel->in_start;
	struct frame_header header;

	if (channel->fault != FRAME_OK)
		return -EPROTO;
	if (have < MUSTER_HEADER_SIZE)
		return drop_unclaimed(channel);
	frame_load(at, &header);
	channel->fault = frame_check(&header, channel->max_message);
	if (channel->fault == FRAME_OK)
		channel->fault = check_sequence(channel, &header);
	if (channel->fault != FRAME_OK)
		return -EPROTO;
	if (header.flags & MUSTER_FLAG_FD)
		claim_fd(channel);
	if (have - MUSTER_HEADER_SIZE < header.size)
		return drop_unclaimed(channel);

	if (header.sequence != 0)
		channel->expected = frame_next_sequence(header.sequence);
	channel->in_start += MUSTER_HEADER_SIZE + (size_t)header.size;
	ret_frame->header = header;
	ret_frame->name = (const char *)at + MUSTER_HEADER_SIZE;
	ret_frame->body = ret_frame->name + header.name_size;
	ret_frame->size = header.size - header.name_size;
	ret_frame->fd = channel->partial_fd;
	channel->partial_fd = -1;
	channel->partial_claimed = false;
	return 1;
}

/*
 * channel_fuzz.c: any bytes, cut anywhere, into the reading end of a channel.
 *
 * The first byte chooses the role and the size of the pieces; the rest is what
 * the other side writes. Checked is what the readers of frames rely on: a frame
 * lies inside of what was read, its header keeps the rules, nothing comes after
 * an error.
 */
#include "protocol/channel.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_MESSAGE = 1 << 20 };

static void
check(bool right)
{
	if (!right)
		abort();
}

static void
check_frame(const struct channel *channel, const struct channel_frame *frame)
{
	const char *start = (const char *)channel->in;

	check(frame_check(&frame->header, MAX_MESSAGE) == FRAME_OK);
	check(frame->size > 0);
	check(frame->body >= start + MUSTER_HEADER_SIZE);
	check(frame->body + frame->size <= start + channel->in_end);
	check(frame->size + frame->header.name_size == frame->header.size);
	if (frame->fd >= 0)
		close(frame->fd);
}

/* Returns false: the channel has ended. */
static bool
walk(struct channel *channel)
{
	struct channel_frame frame;
	int result;

	while ((result = channel_next(channel, &frame)) == 1)
		check_frame(channel, &frame);
	if (result == 0)
		return true;
	check(result == -EPROTO);
	check(channel_next(channel, &frame) == -EPROTO);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct channel channel;
	int ends[2];
	size_t piece;
	bool alive = true;

	if (size == 0)
		return 0;
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	check(channel_init(&channel, ends[0],
		      bytes[0] & 1 ? CHANNEL_CLIENT : CHANNEL_WORKER) == 0);
	channel.max_message = MAX_MESSAGE;
	piece = bytes[0] & 2 ? 1 + (size_t)(bytes[0] >> 2) : size;
	for (size_t at = 1; at < size && alive; at += piece) {
		size_t part = size - at < piece ? size - at : piece;

		if (write(ends[1], bytes + at, part) < 0)
			break;
		check(channel_read(&channel) > 0);
		alive = walk(&channel);
	}
	(void)channel_unacked(&channel);
	channel_ack(&channel);
	channel_fini(&channel);
	close(ends[1]);
	return 0;
}

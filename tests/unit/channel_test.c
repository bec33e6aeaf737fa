/*
 * channel_test.c: the heap-based end of a channel, over a real socket pair.
 * What the SDK adds is sdk_test.c's.
 */
#include "protocol/channel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(channel, .timeout = 30);

struct pair {
	struct channel channel;
	int other;
};

static void
pair_init(struct pair *pair, enum channel_role role)
{
	int ends[2];

	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	cr_assert_eq(channel_init(&pair->channel, ends[0], role), 0);
	pair->other = ends[1];
}

static void
pair_fini(struct pair *pair)
{
	channel_fini(&pair->channel);
	close(pair->other);
}

static size_t
make_frame(uint8_t *bytes, uint32_t sequence, const char *body, uint32_t size)
{
	struct frame_header header = {
		.size = size,
		.kind = MUSTER_MESSAGE,
		.from = 4,
		.to = 3,
		.sequence = sequence,
	};

	frame_store(bytes, &header);
	memcpy(bytes + MUSTER_HEADER_SIZE, body, size);
	return MUSTER_HEADER_SIZE + size;
}

static int
put(struct channel *channel, uint32_t to, const char *body, size_t size)
{
	struct frame_header header = {
		.size = (uint32_t)size,
		.kind = MUSTER_MESSAGE,
		.to = to,
	};

	return channel_put(channel, &header, NULL, body);
}

/* Reads `size` bytes of the other end, writing on meanwhile. */
static void
pull(struct pair *pair, uint8_t *bytes, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t got = read(pair->other, bytes + have, size - have);

		if (got > 0)
			have += (size_t)got;
		else
			cr_assert_neq(channel_flush(&pair->channel), -EPIPE);
	}
}

Test(channel, a_stream_may_be_cut_at_every_byte)
{
	uint8_t bytes[400];
	size_t size = 0;

	size += make_frame(bytes + size, 1, "{\"a\":1}", 7);
	size += make_frame(bytes + size, 2, "2", 1);
	size += make_frame(bytes + size, 3, "\"three\"", 7);
	for (size_t cut = 1; cut < size; cut++) {
		struct pair pair;
		struct channel_frame frame;
		uint32_t seen = 0;

		pair_init(&pair, CHANNEL_WORKER);
		for (size_t at = 0; at < size; at += cut) {
			size_t part = size - at < cut ? size - at : cut;

			cr_assert_eq(write(pair.other, bytes + at, part),
				(ssize_t)part);
			cr_assert_eq(
				channel_read(&pair.channel), (ssize_t)part);
			while (channel_next(&pair.channel, &frame) == 1) {
				seen++;
				cr_assert_eq(frame.header.sequence, seen);
			}
		}
		cr_assert_eq(seen, 3);
		cr_assert_eq(frame.size, 7);
		cr_assert_eq(memcmp(frame.body, "\"three\"", 7), 0);
		cr_assert_eq(channel_unacked(&pair.channel), 3);
		pair_fini(&pair);
	}
}

Test(channel, tells_nothing_from_the_end)
{
	struct pair pair;
	struct channel_frame frame;

	pair_init(&pair, CHANNEL_WORKER);
	cr_expect_eq(channel_read(&pair.channel), -EAGAIN);
	cr_expect_eq(channel_next(&pair.channel, &frame), 0);
	shutdown(pair.other, SHUT_WR);
	cr_expect_eq(channel_read(&pair.channel), 0);
	pair_fini(&pair);
}

Test(channel, takes_long_frames_and_forgets_the_room)
{
	struct pair pair;
	struct channel_frame frame;
	const size_t size = 3 << 20;
	uint8_t *bytes = malloc(size + 64);
	char *body = malloc(size);
	size_t total;
	size_t done = 0;

	memset(body, 'x', size);
	pair_init(&pair, CHANNEL_WORKER);
	total = make_frame(bytes, 1, body, (uint32_t)size);
	while (channel_next(&pair.channel, &frame) == 0) {
		ssize_t put_bytes =
			write(pair.other, bytes + done, total - done);

		if (put_bytes > 0)
			done += (size_t)put_bytes;
		cr_assert_gt(channel_read(&pair.channel), 0);
	}
	cr_expect_eq(frame.size, size);
	cr_expect_eq(memcmp(frame.body, body, size), 0);
	total = make_frame(bytes, 2, "1", 1);
	cr_assert_eq(write(pair.other, bytes, total), (ssize_t)total);
	cr_assert_gt(channel_read(&pair.channel), 0);
	cr_expect_eq(channel_next(&pair.channel, &frame), 1);
	cr_expect_leq(pair.channel.in_capacity, 1 << 20);
	pair_fini(&pair);
	free(bytes);
	free(body);
}

static void
expect_fault(enum channel_role role, struct frame_header header,
	enum frame_fault fault)
{
	struct pair pair;
	struct channel_frame frame;
	uint8_t bytes[MUSTER_HEADER_SIZE];

	pair_init(&pair, role);
	pair.channel.max_message = 1000;
	frame_store(bytes, &header);
	cr_assert_eq(write(pair.other, bytes, sizeof bytes), sizeof bytes);
	cr_assert_gt(channel_read(&pair.channel), 0);
	cr_expect_eq(channel_next(&pair.channel, &frame), -EPROTO);
	cr_expect_eq(pair.channel.fault, fault);
	cr_expect_eq(channel_next(&pair.channel, &frame), -EPROTO);
	cr_expect_eq(channel_read(&pair.channel), -EPROTO);
	pair_fini(&pair);
}

Test(channel, names_the_rule_that_is_broken)
{
	struct frame_header right = {
		.size = 9, .kind = 1, .from = 4, .sequence = 1};
	struct frame_header bad;

	bad = right;
	bad.sequence = 2;
	expect_fault(CHANNEL_WORKER, bad, FRAME_BAD_SEQUENCE);
	bad.sequence = 0;
	expect_fault(CHANNEL_WORKER, bad, FRAME_BAD_SEQUENCE);
	expect_fault(CHANNEL_CLIENT, right, FRAME_BAD_SEQUENCE);
	bad = right;
	bad.size = 1001;
	expect_fault(CHANNEL_WORKER, bad, FRAME_TOO_LARGE);
	bad.size = UINT32_MAX;
	expect_fault(CHANNEL_WORKER, bad, FRAME_TOO_LARGE);
	bad.size = 0;
	expect_fault(CHANNEL_WORKER, bad, FRAME_EMPTY_BODY);
	bad = right;
	bad.name_size = 9;
	expect_fault(CHANNEL_WORKER, bad, FRAME_EMPTY_BODY);
	bad.name_size = 10;
	expect_fault(CHANNEL_WORKER, bad, FRAME_BAD_NAME);
	bad = right;
	bad.kind = 0;
	expect_fault(CHANNEL_WORKER, bad, FRAME_BAD_KIND);
	bad = right;
	bad.flags = 0x80;
	expect_fault(CHANNEL_WORKER, bad, FRAME_BAD_FLAGS);
}

Test(channel, the_sequence_goes_round_without_0)
{
	struct pair pair;
	struct channel_frame frame;
	uint8_t bytes[100];
	size_t size;

	pair_init(&pair, CHANNEL_WORKER);
	pair.channel.expected = UINT32_MAX;
	pair.channel.acked = UINT32_MAX - 1;
	size = make_frame(bytes, UINT32_MAX, "1", 1);
	cr_assert_eq(write(pair.other, bytes, size), (ssize_t)size);
	cr_assert_gt(channel_read(&pair.channel), 0);
	cr_expect_eq(channel_next(&pair.channel, &frame), 1);
	cr_expect_eq(pair.channel.expected, 1);
	cr_expect_eq(channel_unacked(&pair.channel), 1);
	size = make_frame(bytes, 1, "1", 1);
	cr_assert_eq(write(pair.other, bytes, size), (ssize_t)size);
	cr_assert_gt(channel_read(&pair.channel), 0);
	cr_expect_eq(channel_next(&pair.channel, &frame), 1);
	cr_expect_eq(channel_unacked(&pair.channel), 2);
	pair_fini(&pair);
}

Test(channel, a_client_writes_0_and_keeps_nothing)
{
	struct pair pair;
	uint8_t bytes[200];
	struct frame_header header;

	pair_init(&pair, CHANNEL_CLIENT);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(put(&pair.channel, 4, "1", 1), 0);
	cr_expect_eq(pair.channel.pending, 99);
	cr_expect_eq(channel_flush(&pair.channel), 0);
	cr_expect_eq(pair.channel.pending, 0);
	cr_expect_eq(pair.channel.tail->used, 0);
	cr_expect_eq(channel_is_settled(&pair.channel), true);
	pull(&pair, bytes, 99);
	for (int i = 0; i < 3; i++) {
		frame_load(bytes + i * 33, &header);
		cr_expect_eq(header.sequence, 0);
	}
	pair_fini(&pair);
}

Test(channel, a_client_reads_0_again_and_again)
{
	struct pair pair;
	struct channel_frame frame;
	uint8_t bytes[100];
	size_t size = 0;

	pair_init(&pair, CHANNEL_CLIENT);
	for (int i = 0; i < 3; i++)
		size += make_frame(bytes + size, 0, "1", 1);
	cr_assert_eq(write(pair.other, bytes, size), (ssize_t)size);
	cr_assert_gt(channel_read(&pair.channel), 0);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(channel_next(&pair.channel, &frame), 1);
	cr_expect_eq(channel_next(&pair.channel, &frame), 0);
	cr_expect_eq(channel_unacked(&pair.channel), 0);
	pair_fini(&pair);
}

/*
 * Frames of many sizes with acknowledgements in between: what arrives is whole,
 * in order, and the acknowledgements stand between frames.
 */
Test(channel, acknowledgements_go_between_frames)
{
	enum { FRAMES = 400 };
	struct pair pair;
	const size_t body_max = 70000;
	char *body = malloc(body_max);
	uint8_t *bytes = malloc(body_max + 64);
	uint8_t in[64];
	uint32_t next = 1;
	uint32_t arrived = 0;
	unsigned acks = 0;
	unsigned sent = 0;
	unsigned random = 1;

	memset(body, 'b', body_max);
	pair_init(&pair, CHANNEL_WORKER);
	while (next <= FRAMES) {
		struct frame_header header;
		struct channel_frame frame;
		uint8_t head[MUSTER_HEADER_SIZE];

		for (int i = 0; i < 3 && sent < FRAMES; i++, sent++) {
			random = random * 1103515245 + 12345;
			cr_assert_eq(put(&pair.channel, 4, body,
					     1 + random / 7 % body_max),
				0);
		}
		cr_assert_eq(write(pair.other, in,
				     make_frame(in, ++arrived, "1", 1)),
			33);
		cr_assert_eq(channel_read(&pair.channel), 33);
		cr_assert_eq(channel_next(&pair.channel, &frame), 1);
		cr_assert_eq(channel_next(&pair.channel, &frame), 0);
		channel_ack(&pair.channel);
		cr_assert_neq(channel_flush(&pair.channel), -EPIPE);
		pull(&pair, head, sizeof head);
		frame_load(head, &header);
		cr_assert_eq(frame_check(&header, 1 << 20), FRAME_OK);
		pull(&pair, bytes, header.size);
		if (header.sequence == 0) {
			acks++;
			continue;
		}
		cr_assert_eq(header.sequence, next);
		cr_assert_eq(bytes[header.size - 1], 'b');
		if (next % 64 == 0)
			cr_assert_eq(channel_settle(&pair.channel, next), 0);
		next++;
	}
	cr_expect_gt(acks, 10);
	cr_assert_eq(channel_settle(&pair.channel, FRAMES), 0);
	cr_expect_eq(channel_is_settled(&pair.channel), true);
	cr_expect_eq(pair.channel.kept, 0);
	pair_fini(&pair);
	free(body);
	free(bytes);
}

static void
move(struct pair *pair)
{
	int ends[2];

	channel_suspend(&pair->channel);
	close(pair->other);
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	pair->other = ends[1];
	channel_resume(&pair->channel, ends[0], 99);
}

/* A channel that is broken again and again loses and doubles nothing. */
Test(channel, resumes_at_every_point)
{
	struct pair pair;
	const uint32_t size = 50000;
	char *body = malloc(size);
	uint8_t *bytes = malloc(size);
	uint32_t next = 1;
	uint32_t sent = 0;
	unsigned random = 7;

	memset(body, 'b', size);
	pair_init(&pair, CHANNEL_WORKER);
	for (int round = 0; round < 60; round++) {
		struct frame_header header;
		uint8_t head[MUSTER_HEADER_SIZE];
		unsigned take;

		for (int i = 0; i < 8; i++, sent++)
			cr_assert_eq(put(&pair.channel, 4, body, size), 0);
		cr_assert_neq(channel_flush(&pair.channel), -EPIPE);
		random = random * 1103515245 + 12345;
		take = random / 65536 % 12;
		for (unsigned i = 0; i < take && next <= sent; i++, next++) {
			pull(&pair, head, sizeof head);
			frame_load(head, &header);
			cr_assert_eq(header.sequence, next);
			cr_assert_eq(header.size, size);
			pull(&pair, bytes, size);
		}
		if (round % 3 == 0)
			cr_assert_eq(
				channel_settle(&pair.channel, next - 1), 0);
		move(&pair);
		cr_assert_neq(channel_flush(&pair.channel), -EPIPE);
		pull(&pair, head, sizeof head);
		frame_load(head, &header);
		cr_assert_eq(header.kind, MUSTER_REQUEST);
		cr_assert_eq(header.sequence, 0);
		cr_assert_eq(header.id, 99);
		pull(&pair, bytes, header.size);
		cr_assert_eq(channel_resumed(&pair.channel, next - 1), 0);
	}
	while (next <= sent) {
		struct frame_header header;
		uint8_t head[MUSTER_HEADER_SIZE];

		pull(&pair, head, sizeof head);
		frame_load(head, &header);
		cr_assert_eq(header.sequence, next);
		pull(&pair, bytes, size);
		cr_assert_eq(channel_settle(&pair.channel, next), 0);
		next++;
	}
	cr_expect_eq(channel_is_settled(&pair.channel), true);
	pair_fini(&pair);
	free(body);
	free(bytes);
}

Test(channel, refuses_a_resume_that_doesnt_fit)
{
	struct pair pair;

	pair_init(&pair, CHANNEL_WORKER);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(put(&pair.channel, 4, "1", 1), 0);
	cr_assert_eq(channel_flush(&pair.channel), 0);
	cr_expect_eq(channel_settle(&pair.channel, 6), -EPROTO);
	cr_assert_eq(channel_settle(&pair.channel, 3), 0);
	move(&pair);
	cr_expect_eq(channel_resumed(&pair.channel, 2), -EPROTO);
	cr_expect_eq(channel_resumed(&pair.channel, 6), -EPROTO);
	cr_expect_eq(channel_resumed(&pair.channel, 4), 0);
	pair_fini(&pair);
}

Test(channel, writing_to_a_dead_end_is_told_and_reading_goes_on)
{
	struct pair pair;
	struct channel_frame frame;
	uint8_t bytes[100];
	size_t size = make_frame(bytes, 1, "1", 1);

	pair_init(&pair, CHANNEL_WORKER);
	cr_assert_eq(write(pair.other, bytes, size), (ssize_t)size);
	close(pair.other);
	cr_assert_eq(put(&pair.channel, 4, "1", 1), 0);
	cr_expect_eq(channel_flush(&pair.channel), -EPIPE);
	cr_expect_eq(channel_read(&pair.channel), (ssize_t)size);
	cr_expect_eq(channel_next(&pair.channel, &frame), 1);
	cr_expect_eq(channel_read(&pair.channel), 0);
	pair.other = -1;
	channel_fini(&pair.channel);
}

Test(channel, a_descriptor_waits_for_its_frame)
{
	struct pair pair;
	struct channel_frame frame;
	uint8_t bytes[100];
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = {bytes, 40}; /* half of the frame */
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control.bytes,
	};
	struct cmsghdr *item = CMSG_FIRSTHDR(&message);
	struct frame_header header = {
		.size = 20,
		.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.sequence = 1,
	};
	int ends[2];

	memset(bytes, '1', sizeof bytes);
	frame_store(bytes, &header);
	pair_init(&pair, CHANNEL_WORKER);
	cr_assert_eq(pipe(ends), 0);
	item->cmsg_level = SOL_SOCKET;
	item->cmsg_type = SCM_RIGHTS;
	item->cmsg_len = CMSG_LEN(sizeof ends[1]);
	memcpy(CMSG_DATA(item), &ends[1], sizeof ends[1]);
	cr_assert_eq(sendmsg(pair.other, &message, 0), 40);
	cr_assert_eq(channel_read(&pair.channel), 40);
	cr_expect_eq(channel_next(&pair.channel, &frame), 0);
	cr_assert_eq(write(pair.other, bytes + 40, 12), 12);
	cr_assert_eq(channel_read(&pair.channel), 12);
	cr_assert_eq(channel_next(&pair.channel, &frame), 1);
	cr_assert_geq(frame.fd, 0);
	cr_expect_eq(fcntl(frame.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_expect_eq(write(frame.fd, "x", 1), 1);
	cr_expect_eq(pair.channel.fds_closed, 0);
	close(frame.fd);
	close(ends[0]);
	close(ends[1]);
	pair_fini(&pair);
}

/* Frames that need a block each, behind blocks that stayed empty. */
static void
send_long(enum channel_role role)
{
	struct pair pair;
	const uint32_t size = 1 << 20;
	char *body = malloc(size);
	uint8_t *bytes = malloc(size + MUSTER_HEADER_SIZE);

	memset(body, 'b', size);
	pair_init(&pair, role);
	for (uint32_t i = 1; i <= 12; i++) {
		struct frame_header header;

		cr_assert_not_null(channel_room(&pair.channel, 100));
		cr_assert_eq(put(&pair.channel, 4, body, size), 0);
		pull(&pair, bytes, size + MUSTER_HEADER_SIZE);
		frame_load(bytes, &header);
		cr_assert_eq(header.size, size);
		cr_assert_eq(pair.channel.pending, 0);
		if (role == CHANNEL_WORKER)
			cr_assert_eq(channel_settle(&pair.channel, i), 0);
		cr_expect_eq(pair.channel.head, pair.channel.tail);
		cr_expect_eq(pair.channel.kept, 0);
		cr_expect_lt(pair.channel.tail->capacity, size);
	}
	cr_expect_eq(channel_is_settled(&pair.channel), true);
	pair_fini(&pair);
	free(body);
	free(bytes);
}

Test(channel, lets_go_of_long_frames)
{
	send_long(CHANNEL_WORKER);
	send_long(CHANNEL_CLIENT);
}

/* Descriptors ---------------------------------------------------------------
 */

/* Reads what is there with at most one descriptor; -1: none came. */
static ssize_t
receive(int socket, uint8_t *bytes, size_t size, int *ret_fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = {bytes, size};
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};
	ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

	*ret_fd = -1;
	if (got > 0 && message.msg_controllen > 0)
		memcpy(ret_fd, CMSG_DATA(&control.align), sizeof(int));
	return got;
}

static int
put_fd(struct channel *channel, const char *body, int fd)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.to = 4,
	};

	return channel_put_fd(channel, &header, NULL, body, fd);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* It is the first of its call, so that it comes with the first byte of its
 * frame; what stands behind may go along. */
Test(channel, a_descriptor_goes_with_its_frame)
{
	struct pair pair;
	uint8_t bytes[4096];
	int mine = dup(STDERR_FILENO), theirs;

	pair_init(&pair, CHANNEL_WORKER);
	cr_assert_eq(put(&pair.channel, 4, "1", 1), 0);
	cr_assert_eq(put_fd(&pair.channel, "2", mine), 0);
	cr_assert_eq(put(&pair.channel, 4, "3", 1), 0);
	cr_assert_eq(channel_flush(&pair.channel), 0);
	cr_assert_eq(
		receive(pair.other, bytes, MUSTER_HEADER_SIZE + 1, &theirs),
		MUSTER_HEADER_SIZE + 1);
	cr_expect_eq(theirs, -1);
	cr_assert_eq(receive(pair.other, bytes, 1, &theirs), 1);
	cr_expect_geq(theirs, 0);
	close(theirs);
	cr_assert_eq(receive(pair.other, bytes, sizeof bytes, &theirs),
		2 * (MUSTER_HEADER_SIZE + 1) - 1);
	cr_expect_eq(theirs, -1);
	cr_expect(is_open(mine), "it may have to be sent again");
	cr_assert_eq(channel_settle(&pair.channel, 2), 0);
	cr_expect_not(is_open(mine));
	pair_fini(&pair);
}

Test(channel, a_descriptor_is_sent_again)
{
	struct pair pair;
	uint8_t bytes[4096];
	int mine = dup(STDERR_FILENO), theirs, ends[2];

	pair_init(&pair, CHANNEL_WORKER);
	cr_assert_eq(put_fd(&pair.channel, "1", mine), 0);
	cr_assert_eq(channel_flush(&pair.channel), 0);
	channel_suspend(&pair.channel);
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	close(pair.other);
	pair.other = ends[1];
	channel_resume(&pair.channel, ends[0], 9);
	cr_assert_neq(channel_flush(&pair.channel), -EPIPE);
	cr_assert_gt(receive(pair.other, bytes, sizeof bytes, &theirs), 0);
	cr_assert_eq(channel_resumed(&pair.channel, 0), 0);
	cr_assert_neq(channel_flush(&pair.channel), -EPIPE);
	cr_assert_gt(receive(pair.other, bytes, sizeof bytes, &theirs), 0);
	cr_expect_geq(theirs, 0);
	close(theirs);
	pair_fini(&pair);
	cr_expect_not(is_open(mine));
}

/* What isn't acknowledged is bounded in descriptors, too. */
Test(channel, so_many_descriptors_go_at_once)
{
	struct pair pair;
	uint8_t bytes[4096];
	int theirs, count = 0;

	pair_init(&pair, CHANNEL_WORKER);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(put_fd(&pair.channel, "1", dup(STDERR_FILENO)), 0);
	cr_expect_eq(channel_flush(&pair.channel), -EAGAIN);
	cr_expect_not(pair.channel.blocked);
	while (receive(pair.other, bytes, sizeof bytes, &theirs) > 0) {
		close(theirs);
		count++;
	}
	cr_expect_eq(count, 64);
	cr_assert_eq(channel_settle(&pair.channel, 64), 0);
	cr_expect_eq(channel_flush(&pair.channel), 0);
	pair_fini(&pair);
}

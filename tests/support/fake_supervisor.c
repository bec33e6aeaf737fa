/*
 * fake_supervisor.c: see its header. Only the frame's codec is shared with the
 * code under test.
 */
#include "fake_supervisor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void
set_number(const char *name, int number)
{
	char text[16];

	snprintf(text, sizeof text, "%d", number);
	setenv(name, text, 1);
}

static int
make_channel(struct fake *fake, int *ret_worker)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		    ends) < 0)
		return -1;
	fake->channel = ends[0];
	fake->have = fake->start = 0;
	*ret_worker = ends[1];
	return 0;
}

int
fake_start(struct fake *fake)
{
	int resume[2];
	int worker;

	*fake = (struct fake){.next = 1};
	fake->bytes = malloc(FAKE_ROOM);
	if (!fake->bytes || make_channel(fake, &worker) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, resume) <
			0)
		return -1;
	fake->resume = resume[0];
	set_number(MUSTER_ENV_CHANNEL, worker);
	set_number(MUSTER_ENV_RESUME, resume[1]);
	set_number(MUSTER_ENV_ID, 3);
	set_number(MUSTER_ENV_INSTANCE, 2);
	set_number(MUSTER_ENV_GENERATION, 5);
	setenv(MUSTER_ENV_APP, "api", 1);
	return 0;
}

void
fake_stop(struct fake *fake)
{
	if (fake->channel >= 0)
		close(fake->channel);
	if (fake->resume >= 0)
		close(fake->resume);
	free(fake->bytes);
}

static bool
take_frame(struct fake *fake, struct fake_frame *frame)
{
	const uint8_t *at = fake->bytes + fake->start;
	size_t have = fake->have - fake->start;
	static char *copy;

	if (have < MUSTER_HEADER_SIZE)
		return false;
	frame_load(at, &frame->header);
	if (have - MUSTER_HEADER_SIZE < frame->header.size)
		return false;
	at += MUSTER_HEADER_SIZE;
	memcpy(frame->name, at, frame->header.name_size);
	frame->name[frame->header.name_size] = '\0';
	free(copy);
	copy = strndup((const char *)at + frame->header.name_size,
		frame->header.size - frame->header.name_size);
	frame->body = copy;
	fake->start += MUSTER_HEADER_SIZE + (size_t)frame->header.size;
	return true;
}

int
fake_read(struct fake *fake, struct fake_frame *ret_frame)
{
	struct pollfd poll_fd = {.fd = fake->channel, .events = POLLIN};
	ssize_t got;

	while (!take_frame(fake, ret_frame)) {
		memmove(fake->bytes, fake->bytes + fake->start,
			fake->have - fake->start);
		fake->have -= fake->start;
		fake->start = 0;
		if (poll(&poll_fd, 1, FAKE_WAIT_MS) <= 0)
			return -1;
		got = read(fake->channel, fake->bytes + fake->have,
			FAKE_ROOM - fake->have);
		if (got <= 0)
			return 0;
		fake->have += (size_t)got;
	}
	return 1;
}

bool
fake_is_quiet(struct fake *fake)
{
	struct pollfd poll_fd = {.fd = fake->channel, .events = POLLIN};

	return fake->have == fake->start && poll(&poll_fd, 1, 0) == 0;
}

int
fake_write(struct fake *fake, const struct frame_header *header,
	const char *name, const char *body, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	uint8_t head[MUSTER_HEADER_SIZE];
	struct iovec pieces[3] = {
		{head, sizeof head},
		{(char *)(uintptr_t)name, header->name_size},
		{(char *)(uintptr_t)body, header->size - header->name_size},
	};
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 3};
	struct cmsghdr *item;

	frame_store(head, header);
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control.bytes;
		item = CMSG_FIRSTHDR(&message);
		item->cmsg_level = SOL_SOCKET;
		item->cmsg_type = SCM_RIGHTS;
		item->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(item), &fd, sizeof fd);
	}
	return sendmsg(fake->channel, &message, MSG_NOSIGNAL) ==
			       (ssize_t)(sizeof head + header->size)
		       ? 0
		       : -1;
}

int
fake_message(struct fake *fake, uint32_t from, const char *body)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_MESSAGE,
		.from = from,
		.to = 3,
		.sequence = fake->next++,
	};

	return fake_write(fake, &header, NULL, body, -1);
}

int
fake_event(struct fake *fake, const char *body)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_MESSAGE,
		.to = 3,
		.sequence = fake->next++,
	};

	return fake_write(fake, &header, NULL, body, -1);
}

int
fake_answer(struct fake *fake, uint64_t id, const char *body)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_REPLY,
		.to = 3,
		.id = id,
		.sequence = fake->next++,
	};

	return fake_write(fake, &header, NULL, body, -1);
}

static int
uncounted(struct fake *fake, const char *body)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_MESSAGE,
		.to = 3,
	};

	return fake_write(fake, &header, NULL, body, -1);
}

int
fake_ack(struct fake *fake, uint32_t sequence)
{
	char body[64];

	snprintf(body, sizeof body, "{\"event\":\"ack\",\"sequence\":%u}",
		sequence);
	return uncounted(fake, body);
}

int
fake_welcome(struct fake *fake)
{
	return uncounted(fake,
		"{\"event\":\"welcome\",\"protocol\":1,\"id\":3,\"app\":"
		"\"api\","
		"\"instance\":2,\"generation\":5,\"max_message\":1048576,"
		"\"listeners\":[{\"fd\":3,\"name\":\"http\","
		"\"address\":\"tcp://127.0.0.1:8080\"}]}");
}

int
fake_pass(struct fake *fake, int *ret_old)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = {(char[]){'R'}, 1};
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control.bytes,
	};
	struct cmsghdr *item = CMSG_FIRSTHDR(&message);
	int worker;
	ssize_t sent;

	*ret_old = fake->channel;
	if (make_channel(fake, &worker) < 0)
		return -1;
	item->cmsg_level = SOL_SOCKET;
	item->cmsg_type = SCM_RIGHTS;
	item->cmsg_len = CMSG_LEN(sizeof worker);
	memcpy(CMSG_DATA(item), &worker, sizeof worker);
	sent = sendmsg(fake->resume, &message, MSG_NOSIGNAL);
	close(worker);
	return sent == 1 ? 0 : -1;
}

int
fake_replace(struct fake *fake)
{
	int old;
	int result = fake_pass(fake, &old);

	close(old);
	return result;
}

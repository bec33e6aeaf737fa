/*
 * join.c: how a program that muster did not start gets a handle: over the
 * control socket or the bus, as a guest. From there on it is a handle as any,
 * but that its frames have no numbers.
 */
#include "handle.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	JOIN_WAIT_MS = 5000,
	JOIN_HELLO = 1, /* id of the request */
};

/* Waits for `events`. Returns 0 or -ETIMEDOUT. */
static int
wait_for(int fd, short events, int64_t until)
{
	struct pollfd wait = {.fd = fd, .events = events};
	int64_t left;

	do
		left = until - loop_now();
	while (left > 0 && poll(&wait, 1, (int)left) < 0 && errno == EINTR);
	return left > 0 && wait.revents ? 0 : -ETIMEDOUT;
}

/* Connecting -------------------------------------------------------------- */

/* Returns the descriptor, connected and non-blocking. */
static int
connect_to(const struct sockaddr *address, socklen_t size, int64_t until)
{
	int fd = socket(address->sa_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t error_size = sizeof error;
	int result = 0;

	if (fd < 0)
		return -errno;
	/* A UNIX socket whose queue is full says EAGAIN, and no event tells
	 * when it isn't: it is tried again. */
	while (connect(fd, address, size) < 0 && result == 0) {
		if (errno == EINPROGRESS) {
			result = wait_for(fd, POLLOUT, until);
			if (result == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR,
						   &error, &error_size) < 0)
				error = errno;
			if (result == 0)
				result = -error;
			break;
		}
		if (errno != EAGAIN && errno != EINTR)
			result = -errno;
		else if (loop_now() >= until)
			result = -ETIMEDOUT;
		else
			poll(NULL, 0, 5);
	}
	if (result == 0)
		return fd;
	close(fd);
	return result;
}

static int
connect_unix(const char *path, int64_t until)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(path);

	if (size == 0 || size >= sizeof address.sun_path)
		return -EINVAL;
	memcpy(address.sun_path, path, size);
	return connect_to(
		(const struct sockaddr *)&address, sizeof address, until);
}

/* Takes HOST:PORT or [HOST]:PORT apart. Returns false: it is neither. */
static bool
split_host(char *text, char **ret_host, char **ret_port)
{
	char *colon = strrchr(text, ':');

	if (!colon || colon == text || colon[1] == '\0')
		return false;
	*colon = '\0';
	*ret_port = colon + 1;
	*ret_host = text;
	if (text[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		(*ret_host)++;
	}
	return true;
}

static int
connect_tcp(const char *text, int64_t until)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char copy[300], *host, *port;
	int one = 1, fd = -ENOENT;

	if (strlen(text) >= sizeof copy)
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	if (!split_host(copy, &host, &port))
		return -EINVAL;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -ENOENT;
	for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
		fd = connect_to(at->ai_addr, at->ai_addrlen, until);
	freeaddrinfo(found);
	if (fd >= 0)
		(void)setsockopt(
			fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static int
connect_address(const char *address, int64_t until)
{
	if (strncmp(address, "unix://", 7) == 0)
		address += 7;
	if (address[0] == '/')
		return connect_unix(address, until);
	if (strncmp(address, "tcp://", 6) == 0)
		return connect_tcp(address + 6, until);
	return -EINVAL;
}

/* Introducing oneself ------------------------------------------------------ */

static int
put_hello(struct channel *channel, const char *token)
{
	struct frame_header header = {.kind = MUSTER_REQUEST, .id = JOIN_HELLO};
	json_t *body = json_pack("{s:s, s:{s:i, s:s, s:s*}}", "method", "hello",
		"params", "protocol", MUSTER_PROTOCOL_VERSION, "role", "guest",
		"token", token);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	int result = text ? 0 : -EINVAL;

	json_decref(body);
	if (text) {
		header.size = (uint32_t)strlen(text);
		result = channel_put(channel, &header, NULL, text);
	}
	free(text);
	return result;
}

/* Writes and reads until a frame is there. */
static int
next_frame(
	struct channel *channel, int64_t until, struct channel_frame *ret_frame)
{
	for (;;) {
		int result = channel_next(channel, ret_frame);
		ssize_t got;

		if (result != 0)
			return result == 1 ? 0 : -EPROTO;
		(void)channel_flush(channel);
		got = channel_read(channel);
		if (got == -EAGAIN) {
			result = wait_for(channel->fd,
				(short)(POLLIN |
					(channel->pending > 0 ? POLLOUT : 0)),
				until);
			if (result < 0)
				return result;
		} else if (got <= 0) {
			return got == -ENOMEM ? -ENOMEM : -EACCES;
		}
	}
}

static int
take_welcome(struct muster *muster, const struct channel_frame *frame)
{
	json_t *body;
	json_int_t id, max;

	if (frame->header.kind == MUSTER_ERROR)
		return -EACCES;
	if (frame->header.kind != MUSTER_REPLY ||
		frame->header.id != JOIN_HELLO)
		return -EPROTO;
	body = json_loadb(frame->body, frame->size, HANDLE_JSON_FLAGS, NULL);
	id = json_integer_value(json_object_get(body, "id"));
	max = json_integer_value(json_object_get(body, "max_message"));
	json_decref(body);
	if (id <= 0 || id > MUSTER_LAST_ENDPOINT)
		return -EPROTO;
	muster->id = (uint32_t)id;
	if (max > 0 && max <= UINT32_MAX - MUSTER_HEADER_SIZE)
		muster->max_message = muster->channel.max_message =
			(uint32_t)max;
	return 0;
}

static int
say_hello(struct muster *muster, const char *token, int64_t until)
{
	struct channel_frame frame;
	int result = put_hello(&muster->channel, token);

	if (result == 0)
		result = next_frame(&muster->channel, until, &frame);
	return result == 0 ? take_welcome(muster, &frame) : result;
}

int
muster_join(const char *address, const char *token, struct muster **ret_muster)
{
	int64_t until = loop_now() + JOIN_WAIT_MS;
	struct muster *muster = attach_new();
	int fd = -1, result;

	if (!muster)
		return -ENOMEM;
	muster->is_guest = true;
	muster->app = strdup("");
	result = muster->app ? attach_make_alive(muster) : -ENOMEM;
	if (result == 0)
		result = fd = connect_address(address, until);
	if (fd >= 0) {
		result = channel_init(&muster->channel, fd, CHANNEL_CLIENT);
		if (result < 0)
			close(fd);
	}
	if (result == 0)
		result = say_hello(muster, token, until);
	if (result < 0) {
		attach_destroy(muster);
		return result;
	}
	*ret_muster = muster;
	return 0;
}

/*
 * ask.c: the least of a client: fixed frames, blocking calls. The control
 * socket is the keeper's, so a connection that is made while there is no brain
 * waits for the next.
 */
#include "ask.h"

#include "measure.h"

#include <netinet/in.h>
#include <protocol/frame.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BODY_MAX = 1 << 20 };

static size_t
put_request(uint8_t *bytes, uint64_t id, const char *body)
{
	struct frame_header header = {.kind = MUSTER_REQUEST,
		.size = (uint32_t)strlen(body),
		.to = MUSTER_TO_SUPERVISOR,
		.id = id};

	frame_store(bytes, &header);
	memcpy(bytes + MUSTER_HEADER_SIZE, body, header.size);
	return MUSTER_HEADER_SIZE + header.size;
}

static bool
read_all(int fd, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = recv(fd, bytes, size, 0);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

/* Whether the reply to request `id` comes; other frames are passed over. */
static bool
await_reply(int fd, uint64_t id)
{
	static uint8_t body[BODY_MAX];
	uint8_t bytes[MUSTER_HEADER_SIZE];
	struct frame_header header;

	for (;;) {
		if (!read_all(fd, bytes, sizeof(bytes)))
			return false;
		frame_load(bytes, &header);
		if (header.size > sizeof(body) ||
			!read_all(fd, body, header.size))
			return false;
		if (header.kind == MUSTER_ERROR)
			measure_fail("musterd: %.*s", (int)header.size,
				(const char *)body);
		if (header.kind == MUSTER_REPLY && header.id == id)
			return true;
	}
}

bool
ask_supervisor(const struct daemon *daemon, const char *method, int patience_ms)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = patience_ms / 1000,
		.tv_usec = patience_ms % 1000 * 1000};
	char body[64];
	uint8_t bytes[512];
	bool answered;
	size_t size;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		measure_die("socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/muster.sock",
		daemon->home);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	size = put_request(bytes, 1, "{\"protocol\":1,\"role\":\"operator\"}");
	snprintf(body, sizeof(body), "{\"method\":\"%s\"}", method);
	size += put_request(bytes + size, 2, body);
	answered = connect(fd, (struct sockaddr *)&address, sizeof(address)) ==
			   0 &&
		   send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size &&
		   await_reply(fd, 2);
	close(fd);
	return answered;
}

uint16_t
ask_free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		measure_die("free port");
	close(fd);
	return ntohs(address.sin_port);
}

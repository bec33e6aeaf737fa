/*
 * main.c: answers datagrams, as one of several workers on one address.
 *
 * Each datagram goes to one of them: with `balance` shared to whichever reads
 * first, with reuseport always to the same for one sender. The answer says
 * which worker it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <muster.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	DATAGRAM_MAX = 2048,
	TURN_MAX = 64, /* then the channel has its turn */
};

struct server {
	struct muster *muster;
	int fd;
	int leaving;
};

static void
answer_some(const struct server *server)
{
	struct sockaddr_storage sender;
	char bytes[DATAGRAM_MAX + 32];

	for (int i = 0; i < TURN_MAX; i++) {
		socklen_t size = sizeof sender;
		int head = snprintf(bytes, sizeof bytes,
			"worker %u: ", muster_id(server->muster));
		ssize_t got = recvfrom(server->fd, bytes + head, DATAGRAM_MAX,
			MSG_DONTWAIT, (struct sockaddr *)&sender, &size);

		if (got < 0)
			return; /* another worker has it */
		(void)sendto(server->fd, bytes, (size_t)(head + got),
			MSG_DONTWAIT, (struct sockaddr *)&sender, size);
	}
}

/* What is in the socket is for whoever comes next, so it just ends. */
static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	struct server *server = data;

	(void)muster;
	(void)reason;
	(void)deadline_ms;
	server->leaving = 1;
}

static void
run(struct server *server)
{
	struct pollfd polls[2] = {
		{.fd = server->fd, .events = POLLIN},
		{.fd = muster_fd(server->muster), .events = POLLIN},
	};

	while (!server->leaving && poll(polls, 2, -1) >= 0) {
		if (polls[0].revents)
			answer_some(server);
		if (polls[1].revents && muster_dispatch(server->muster) < 0)
			return;
	}
}

int
main(void)
{
	struct server server = {.fd = -1};
	int result = muster_attach(&server.muster);

	if (result == 0)
		result = server.fd = muster_listener(server.muster, NULL);
	if (result >= 0) {
		muster_on_shutdown(server.muster, on_shutdown, &server);
		result = muster_ready(server.muster);
	}
	if (result < 0) {
		fprintf(stderr, "udp-echo: %s\n",
			result == -ENOENT
				? "start it by 'muster run -n 2 -l udp://"
				  "127.0.0.1:7001 -- udp-echo'"
				: strerror(-result));
		return 1;
	}
	(void)muster_flush(server.muster);
	run(&server);
	muster_detach(&server.muster);
	return 0;
}

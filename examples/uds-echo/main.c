/*
 * main.c: an echo on a UNIX socket, served by several workers.
 *
 * Told to leave, a worker accepts no more, answers what has come, and closes.
 */
#include <errno.h>
#include <muster.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 64,
	BYTES_MAX = 16 * 1024,
	/* Marks of events that are about no client; those hold 16 + its fd. */
	MARK_ACCEPT = 1,
	MARK_MUSTER = 2,
	MARK_CLIENTS = 16,
};

struct server {
	struct muster *muster;
	int epoll;
	unsigned clients;
	int leaving;
};

static int
watch(const struct server *server, int fd, uint64_t mark)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = mark};

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void
leave(struct server *server, int fd)
{
	struct epoll_event none = {0};

	(void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, fd, &none);
	muster_connection_done(server->muster, fd);
	close(fd);
	server->clients--;
}

static void
on_connection(struct muster *muster, int fd, const char *listener, void *data)
{
	struct server *server = data;

	(void)muster;
	(void)listener;
	server->clients++;
	if (watch(server, fd, MARK_CLIENTS + (uint64_t)fd) < 0)
		leave(server, fd);
}

/* A client that doesn't read what it gets back is let go. */
static void
echo(struct server *server, int fd)
{
	char bytes[BYTES_MAX];
	ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 ||
		send(fd, bytes, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL) !=
			got ||
		muster_is_draining(server->muster))
		leave(server, fd);
}

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
	struct epoll_event events[EVENTS_MAX];

	while (!server->leaving) {
		int count;

		(void)muster_flush(server->muster);
		count = epoll_wait(server->epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			uint64_t mark = events[i].data.u64;

			if (mark == MARK_ACCEPT)
				(void)muster_accept(server->muster);
			else if (mark == MARK_MUSTER)
				server->leaving |=
					muster_dispatch(server->muster) < 0;
			else
				echo(server, (int)(mark - MARK_CLIENTS));
		}
	}
	/* What was on its way when the word to leave came. */
	for (int i, count = EVENTS_MAX; count == EVENTS_MAX;) {
		count = epoll_wait(server->epoll, events, EVENTS_MAX, 0);
		for (i = 0; i < count; i++)
			if (events[i].data.u64 >= MARK_CLIENTS)
				echo(server, (int)(events[i].data.u64 -
						     MARK_CLIENTS));
	}
}

static int
start(struct server *server)
{
	int result = muster_fd(server->muster);

	if (result >= 0 && watch(server, result, MARK_MUSTER) < 0)
		result = -errno;
	muster_set_wake(server->muster, false); /* each turn flushes */
	muster_on_shutdown(server->muster, on_shutdown, server);
	if (result >= 0)
		result = muster_accept_in(
			server->muster, server->epoll, MARK_ACCEPT);
	if (result == 0)
		result = muster_on_connection(
			server->muster, on_connection, server);
	return result == 0 ? muster_ready(server->muster) : result;
}

int
main(void)
{
	struct server server = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
	int result = muster_attach(&server.muster);

	if (result == 0)
		result = start(&server);
	if (result < 0) {
		fprintf(stderr, "uds-echo: %s\n",
			result == -ENOENT ? "start it by 'muster run -n 2 -l "
					    "unix:///tmp/echo.sock -- uds-echo'"
					  : strerror(-result));
		return 1;
	}
	run(&server);
	muster_detach(&server.muster);
	return 0;
}

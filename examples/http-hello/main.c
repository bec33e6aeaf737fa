/*
 * main.c: an HTTP server on a shared socket that can be replaced under load.
 *
 * One epoll watches the clients, the channel to the supervisor, and the
 * listeners, from which the SDK accepts. Told to leave, a worker accepts no
 * more, gives each connection its last answer, and exits when the last is gone,
 * or just before its time is up. It runs without muster too, wherever
 * LISTEN_FDS brings a socket; then SIGTERM tells it to leave.
 */
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <muster.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 64,       /* of one turn */
	LEAVE_MS = 10000,      /* without muster */
	LEAVE_MARGIN_MS = 300, /* before the deadline */
	IDLE_MS = 1000,	       /* a client may want one more answer */
};

/* What an event is about; a client's holds a pointer, which is larger. */
enum mark {
	MARK_ACCEPT = 1,
	MARK_MUSTER,
	MARK_SIGNAL,
};

struct server {
	struct connections connections;
	struct muster *muster; /* NULL: not under muster */
	int epoll;
	int signals;
	int listener;	  /* without muster */
	int64_t idle_at;  /* of leaving: then idle clients are closed */
	int64_t leave_at; /* of leaving: then all are; 0: it stays */
	char text[80];
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (int64_t)1000 + now.tv_nsec / 1000000;
}

static int
watch(struct server *server, int fd, enum mark mark)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = mark};

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Connections -------------------------------------------------------------- */

static void
serve(struct server *server, int fd)
{
	int yes = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	(void)connection_open(&server->connections, fd);
}

static void
on_connection(struct muster *muster, int fd, const char *listener, void *data)
{
	(void)muster;
	(void)listener;
	serve(data, fd);
}

static void
on_close(struct connections *all, int fd)
{
	const struct server *server = all->data;

	if (server->muster)
		muster_connection_done(server->muster, fd);
}

/* Under systemd, say: nobody else accepts from it. */
static void
accept_alone(struct server *server)
{
	int fd = accept4(
		server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		serve(server, fd);
}

/* Leaving ------------------------------------------------------------------ */

static void
leave(struct server *server, unsigned ms)
{
	unsigned margin = ms / 4 < LEAVE_MARGIN_MS ? ms / 4 : LEAVE_MARGIN_MS;
	unsigned left = ms - margin;
	int64_t now = now_ms();

	if (server->leave_at)
		return;
	connection_drain(&server->connections);
	server->idle_at = now + (left / 2 < IDLE_MS ? left / 2 : IDLE_MS);
	server->leave_at = now + left;
	if (!server->muster)
		(void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->listener,
			&(struct epoll_event){0});
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	(void)muster;
	(void)reason;
	leave(data, deadline_ms);
}

/* Whether it has left: nothing to serve any more, or no time. */
static bool
has_left(struct server *server)
{
	struct connections *all = &server->connections;

	if (!server->leave_at)
		return false;
	if (all->now >= server->idle_at)
		connection_close_idle(all);
	return all->count == 0 || all->now >= server->leave_at;
}

/* The loop ----------------------------------------------------------------- */

/* Returns false: the supervisor is gone for good. */
static bool
handle(struct server *server, const struct epoll_event *event)
{
	struct signalfd_siginfo signal;

	switch (event->data.u64) {
	case MARK_ACCEPT:
		if (server->muster)
			(void)muster_accept(server->muster);
		else
			accept_alone(server);
		return true;
	case MARK_MUSTER:
		return muster_dispatch(server->muster) == 0;
	case MARK_SIGNAL:
		if (read(server->signals, &signal, sizeof signal) > 0)
			leave(server, LEAVE_MS);
		return true;
	default:
		connection_event(event->data.ptr, event->events);
		return true;
	}
}

static int
sooner(int ms, int64_t left)
{
	if (left < 0)
		left = 0;
	return ms < 0 || left < ms ? (int)left : ms;
}

/* Both kinds of events may come in one turn, and a connection that one of them
 * ends may have another later in the list; but each has only one in a turn. */
static void
run(struct server *server)
{
	struct connections *all = &server->connections;
	struct epoll_event events[EVENTS_MAX];
	int wait_ms, count;

	all->now = now_ms();
	while (!has_left(server)) {
		wait_ms = connection_expire(all);
		if (server->leave_at)
			wait_ms = sooner(
				wait_ms, (all->now < server->idle_at
							 ? server->idle_at
							 : server->leave_at) -
						 all->now);
		if (server->muster)
			(void)muster_flush(server->muster);
		count = epoll_wait(server->epoll, events, EVENTS_MAX, wait_ms);
		all->now = now_ms();
		for (int i = 0; i < count; i++)
			if (!handle(server, &events[i]))
				leave(server, LEAVE_MS);
	}
}

/* Starting ----------------------------------------------------------------- */

static int
fail(const char *what, int error)
{
	fprintf(stderr, "http-hello: %s: %s\n", what, strerror(error));
	return -1;
}

static int
open_loop(struct server *server)
{
	sigset_t mask;

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	server->signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (server->epoll < 0 || server->signals < 0 ||
		watch(server, server->signals, MARK_SIGNAL) < 0)
		return fail("no loop", errno);
	return 0;
}

static int
listen_alone(struct server *server)
{
	server->listener = muster_listener(NULL, "http");
	if (server->listener < 0)
		server->listener = muster_listener(NULL, NULL);
	if (server->listener < 0) {
		fprintf(stderr,
			"http-hello: no listening socket was given: start it "
			"by 'muster run -l 127.0.0.1:8080 -- http-hello', or "
			"with a socket in LISTEN_FDS\n");
		return -1;
	}
	if (fcntl(server->listener, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ||
		watch(server, server->listener, MARK_ACCEPT) < 0)
		return fail("the listening socket", errno);
	return 0;
}

/* From the channel and from the listeners: whichever brings connections. */
static int
listen_together(struct server *server)
{
	struct muster *muster = server->muster;
	int result = muster_fd(muster);

	if (result < 0)
		return fail("the channel", -result);
	if (watch(server, result, MARK_MUSTER) < 0)
		return fail("the channel", errno);
	muster_set_wake(muster, false); /* each turn flushes */
	muster_on_shutdown(muster, on_shutdown, server);
	result = muster_accept_in(muster, server->epoll, MARK_ACCEPT);
	if (result == 0)
		result = muster_on_connection(muster, on_connection, server);
	if (result == 0)
		result = muster_ready(muster);
	return result < 0 ? fail("muster", -result) : 0;
}

int
main(void)
{
	struct server server = {0};
	int result = muster_attach(&server.muster);

	if (result < 0 && result != -ENOENT) {
		(void)fail("can't start", -result);
		return 1;
	}
	if (open_loop(&server) < 0)
		return 1;
	server.connections = (struct connections){
		.epoll = server.epoll,
		.now = now_ms(),
		.text = server.text,
		.text_size = (size_t)snprintf(server.text, sizeof server.text,
			"hello from worker %u (pid %d)\n",
			server.muster ? muster_id(server.muster) : 0,
			(int)getpid()),
		.on_close = on_close,
		.data = &server,
	};
	if ((server.muster ? listen_together(&server) : listen_alone(&server)) <
		0)
		return 1;
	run(&server);
	connection_close_all(&server.connections);
	muster_detach(&server.muster);
	return 0;
}

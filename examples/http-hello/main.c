/*
 * main.c: an HTTP server on a shared socket that can be replaced under load.
 *
 * Every worker accepts from the same socket. Told to leave, a worker stops
 * accepting, gives each connection its last answer, and exits when the last is
 * gone, or just before its time is up. It runs without muster too, wherever
 * LISTEN_FDS brings a socket; then SIGTERM tells it to leave.
 */
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <muster_ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPT_AT_ONCE = 8,    /* in one turn: the rest is for the others */
	LEAVE_MS = 10000,      /* without muster */
	LEAVE_MARGIN_MS = 300, /* before the deadline */
	IDLE_MS = 1000,	       /* a client may want one more answer */
	LISTENERS_MAX = 16,
};

struct server {
	struct connections connections;
	struct muster *muster; /* NULL: not under muster */
	struct muster_ev hook;
	ev_io listeners[LISTENERS_MAX];
	int listener_count;
	ev_timer pause;	   /* no descriptors were left */
	ev_timer idle;	   /* of leaving: idle clients are closed */
	ev_timer deadline; /* of leaving: all are closed */
	ev_signal term;
	char text[80];
};

/* Accepting ---------------------------------------------------------------- */

static void
start_accepting(struct server *server)
{
	for (int i = 0; i < server->listener_count; i++)
		ev_io_start(server->connections.loop, &server->listeners[i]);
}

static void
stop_accepting(struct server *server)
{
	for (int i = 0; i < server->listener_count; i++)
		ev_io_stop(server->connections.loop, &server->listeners[i]);
}

static void
on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct server *server = timer->data;

	(void)loop;
	(void)events;
	if (!server->connections.draining)
		start_accepting(server);
}

static void
on_connection(struct ev_loop *loop, ev_io *io, int events)
{
	struct server *server = io->data;
	int yes = 1;

	(void)events;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		int fd = accept4(
			io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno != EMFILE && errno != ENFILE &&
				errno != ENOMEM && errno != ENOBUFS)
				return; /* another worker was faster */
			/* The connection stays in the queue, so the loop
			 * would spin: look again in a moment. */
			stop_accepting(server);
			ev_timer_set(&server->pause, 0.1, 0);
			ev_timer_start(loop, &server->pause);
			return;
		}
		(void)setsockopt(
			fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
		(void)connection_open(&server->connections, fd);
	}
}

/* Leaving ------------------------------------------------------------------ */

static void
break_when_empty(struct connections *all)
{
	if (all->draining && all->count == 0)
		ev_break(all->loop, EVBREAK_ALL);
}

static void
on_idle_over(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct server *server = timer->data;

	(void)loop;
	(void)events;
	connection_close_idle(&server->connections);
}

static void
on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

static void
start_timer(struct server *server, ev_timer *timer, unsigned ms)
{
	ev_timer_set(timer, ms / 1000.0, 0);
	ev_timer_start(server->connections.loop, timer);
}

static void
leave(struct server *server, unsigned ms)
{
	unsigned margin = ms / 4 < LEAVE_MARGIN_MS ? ms / 4 : LEAVE_MARGIN_MS;
	unsigned left = ms - margin;

	if (server->connections.draining)
		return;
	ev_now_update(server->connections.loop);
	stop_accepting(server);
	connection_drain(&server->connections);
	start_timer(
		server, &server->idle, left / 2 < IDLE_MS ? left / 2 : IDLE_MS);
	start_timer(server, &server->deadline, left);
	break_when_empty(&server->connections);
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	(void)muster;
	(void)reason;
	leave(data, deadline_ms);
}

static void
on_term(struct ev_loop *loop, ev_signal *signal, int events)
{
	(void)loop;
	(void)events;
	leave(signal->data, LEAVE_MS);
}

/* Starting ----------------------------------------------------------------- */

static int
add_listener(struct server *server, int fd)
{
	ev_io *io = &server->listeners[server->listener_count];

	if (server->listener_count == LISTENERS_MAX)
		return 0;
	/* The flag is the socket's, so all workers share it; all want it. */
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
		fprintf(stderr, "http-hello: descriptor %d: %s\n", fd,
			strerror(errno));
		return -1;
	}
	ev_io_init(io, on_connection, fd, EV_READ);
	io->data = server;
	server->listener_count++;
	return 0;
}

/* Those called "http"; where none is, all (or the first, without muster). */
static int
find_listeners(struct server *server)
{
	struct muster_listener_info info;
	int fd = muster_listener(server->muster, "http");
	int result = 0;

	if (!server->muster) {
		fd = fd < 0 ? muster_listener(NULL, NULL) : fd;
		result = fd < 0 ? 0 : add_listener(server, fd);
	}
	for (size_t i = 0; server->muster && result == 0 &&
			   muster_listener_at(server->muster, i, &info) == 0;
		i++)
		if (fd < 0 || strcmp(info.name, "http") == 0)
			result = add_listener(server, info.fd);
	if (result == 0 && server->listener_count == 0) {
		fprintf(stderr,
			"http-hello: no listening socket was given: start it "
			"by 'muster run -l 127.0.0.1:8080 -- http-hello', or "
			"with a socket in LISTEN_FDS\n");
		return -1;
	}
	return result;
}

static void
start_watchers(struct server *server, struct ev_loop *loop)
{
	ev_timer_init(&server->pause, on_pause_over, 0, 0);
	ev_timer_init(&server->idle, on_idle_over, 0, 0);
	ev_timer_init(&server->deadline, on_deadline, 0, 0);
	ev_signal_init(&server->term, on_term, SIGTERM);
	server->pause.data = server->idle.data = server->deadline.data =
		server->term.data = server;
	start_accepting(server);
	ev_signal_start(loop, &server->term);
}

int
main(void)
{
	struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
	struct server server = {0};
	int result = muster_attach(&server.muster);

	if (!loop || (result < 0 && result != -ENOENT)) {
		fprintf(stderr, "http-hello: can't start: %s\n",
			strerror(loop ? -result : ENOMEM));
		return 1;
	}
	if (find_listeners(&server) < 0)
		return 1;
	server.connections = (struct connections){
		.loop = loop,
		.text = server.text,
		.text_size = (size_t)snprintf(server.text, sizeof server.text,
			"hello from worker %u (pid %d)\n",
			server.muster ? muster_id(server.muster) : 0,
			(int)getpid()),
		.on_close = break_when_empty,
	};
	start_watchers(&server, loop);
	if (server.muster) {
		muster_on_shutdown(server.muster, on_shutdown, &server);
		result = muster_ev_start(&server.hook, loop, server.muster);
		if (result == 0)
			result = muster_ready(server.muster);
		if (result < 0) {
			fprintf(stderr, "http-hello: %s\n", strerror(-result));
			return 1;
		}
	}
	ev_run(loop, 0);
	connection_close_all(&server.connections);
	muster_ev_stop(&server.hook);
	muster_detach(&server.muster);
	return 0;
}

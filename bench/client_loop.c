/*
 * client_loop.c: the process of the counting client: connections, their
 * requests, and which column each ends in.
 *
 * A connection *owes* the requests that it has taken from its lane and that
 * have no outcome yet. Each way in which a connection can end says what
 * becomes of them: failed, of a killed server, or kept to be sent again on the
 * next connection. Only what the kernel and the server say is looked at, never
 * how long ago something happened elsewhere, so no failure is explained away.
 */
#include "client_loop.h"

#include "client_answer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 8192,
	REQUEST_MAX = 128,
	EVENTS_MAX = 64,
	SLOW_BYTES = 64,   /* at a time, by a slow reader … */
	SLOW_MS = 4,	   /* … and then it pauses */
	AGAIN_MS = 5,	   /* until the next try to connect */
	LOOK_MS = 10,	   /* how exactly time-outs are kept */
	WAIT_MAX_MS = 100, /* nothing is due: so long */
};

#define MS 1000000ull

enum phase {
	CLOSED,
	CONNECTING,
	OPEN,
};

struct connection {
	struct client_shared *shared;
	const struct client_loop_lane *lane;
	struct client_counts *counts;
	enum phase phase;
	int fd;
	uint32_t events;   /* that epoll looks for */
	uint16_t port;	   /* ours; 0: of a UNIX socket */
	unsigned owed;	   /* requests without an outcome */
	size_t unsent;	   /* bytes of them that aren't written yet */
	uint64_t served;   /* answers on this connection */
	uint64_t next_ns;  /* when the next request is due */
	uint64_t again_ns; /* not connected before */
	uint64_t read_ns;  /* of a slow reader: its next read */
	uint64_t begun_ns; /* when the oldest owed one was due */
	size_t have;
	char answer[ANSWER_MAX + 1];
};

struct loop {
	int epoll;
	int control;
	bool stopping;
	uint64_t looked_ns; /* for time-outs, last */
	size_t count;
	struct connection *connections;
	char text[2][REQUEST_MAX * CLIENT_DEPTH]; /* kept, short */
	size_t text_size[2];			  /* of one */
};

static uint64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

/* The user reads meanwhile, in another process. */
static void
add(uint64_t *column, uint64_t count)
{
	__atomic_store_n(column, *column + count, __ATOMIC_RELAXED);
}

static unsigned
depth(const struct connection *connection)
{
	enum client_kind kind = connection->lane->lane.kind;

	return kind == CLIENT_PIPELINED || kind == CLIENT_SLOW ? CLIENT_DEPTH
							       : 1;
}

static bool
is_short(const struct connection *connection)
{
	return connection->lane->lane.kind == CLIENT_SHORT;
}

static void
watch(struct loop *loop, struct connection *connection, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};

	if (connection->events == events)
		return;
	epoll_ctl(loop->epoll,
		connection->events == 0 ? EPOLL_CTL_ADD
		: events == 0		? EPOLL_CTL_DEL
					: EPOLL_CTL_MOD,
		connection->fd, &event);
	connection->events = events;
}

static void
hang_up(struct connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
	connection->phase = CLOSED;
	connection->events = 0;
	connection->have = connection->unsent = 0;
	connection->read_ns = 0;
}

/* How a connection ends -----------------------------------------------------
 */

/* True: its server was killed, and the columns know. */
static bool
was_killed(struct connection *connection)
{
	uint8_t *killed = &connection->shared->killed[connection->port];

	if (connection->port == 0 ||
		__atomic_load_n(killed, __ATOMIC_ACQUIRE) == 0)
		return false;
	add(&connection->counts->of_killed, connection->owed);
	connection->owed = 0;
	hang_up(connection);
	return true;
}

static void
fail(struct connection *connection, enum client_failure why)
{
	if (was_killed(connection))
		return;
	add(&connection->counts->failed[why], connection->owed);
	connection->owed = 0;
	hang_up(connection);
	connection->again_ns = now() + AGAIN_MS * MS;
}

/* The server closed it, in order or not, and hasn't said so before. */
static void
was_closed(struct connection *connection, bool in_order)
{
	if (was_killed(connection))
		return;
	if (connection->have > 0) {
		fail(connection, CLIENT_HALF);
		return;
	}
	if (connection->served == 0) {
		if (connection->owed > 0)
			fail(connection,
				in_order ? CLIENT_HUNG_UP : CLIENT_RESET);
		hang_up(connection);
		return;
	}
	if (connection->owed > 0)
		add(&connection->counts->repeated_after_idle, connection->owed);
	else
		add(&connection->counts->closed_idle, 1);
	hang_up(connection);
}

/* Answers --------------------------------------------------------------------
 */

static void
count_good(struct connection *connection, const struct client_answer *answer)
{
	struct client_counts *counts = connection->counts;
	uint64_t took_us = (now() - connection->begun_ns) / 1000;

	connection->owed--;
	connection->served++;
	if (took_us > counts->longest_us)
		__atomic_store_n(
			&counts->longest_us, took_us, __ATOMIC_RELAXED);
	add(&counts->by_worker[client_answer_worker(answer) %
			       CLIENT_WORKERS_MAX],
		1);
	add(&counts->good, 1);
}

static bool
is_as_expected(
	const struct connection *connection, const struct client_answer *answer)
{
	size_t size = strlen(connection->lane->expect);

	return answer->status == 200 && answer->body_size >= size &&
	       memcmp(answer->body, connection->lane->expect, size) == 0;
}

/* Takes the answers that are whole. */
static void
take_answers(struct connection *connection)
{
	struct client_answer answer;
	int result = 0;

	while (connection->have > 0) {
		result = client_answer_parse(
			connection->answer, connection->have, &answer);
		if (result == 0 && connection->have < ANSWER_MAX)
			return;
		if (result <= 0 || connection->owed == 0 ||
			!is_as_expected(connection, &answer)) {
			/* One that nobody asked for is a wrong one, too. */
			if (connection->owed == 0) {
				connection->owed = 1;
				add(&connection->counts->asked, 1);
			}
			fail(connection, CLIENT_WRONG);
			return;
		}
		count_good(connection, &answer);
		connection->have -= answer.size;
		memmove(connection->answer, connection->answer + answer.size,
			connection->have + 1);
		if (answer.is_last || is_short(connection)) {
			add(&connection->counts->repeated_after_last,
				connection->owed);
			hang_up(connection);
			return;
		}
	}
}

static void
read_some(struct loop *loop, struct connection *connection)
{
	size_t room = ANSWER_MAX - connection->have;
	bool is_slow = connection->lane->lane.kind == CLIENT_SLOW;
	ssize_t got;

	if (is_slow && connection->owed > 0 && room > SLOW_BYTES)
		room = SLOW_BYTES;
	got = recv(connection->fd, connection->answer + connection->have, room,
		MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		was_closed(connection, got == 0);
		return;
	}
	connection->have += (size_t)got;
	connection->answer[connection->have] = '\0';
	take_answers(connection);
	if (is_slow && connection->phase == OPEN) {
		connection->read_ns = now() + SLOW_MS * MS;
		watch(loop, connection, 0);
	}
}

/* Asking ----------------------------------------------------------------------
 */

static void
write_some(struct loop *loop, struct connection *connection)
{
	bool one_only = is_short(connection);
	size_t one = loop->text_size[one_only];
	size_t all = one * connection->owed;
	ssize_t taken = 0;

	if (connection->unsent > 0)
		taken = send(connection->fd,
			loop->text[one_only] + (all - connection->unsent),
			connection->unsent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (taken < 0 && errno != EAGAIN && errno != EINTR) {
		/* An answer, or an end in order, may have come before. */
		read_some(loop, connection);
		if (connection->phase == OPEN)
			was_closed(connection, false);
		return;
	}
	if (taken > 0)
		connection->unsent -= (size_t)taken;
	if (connection->read_ns == 0)
		watch(loop, connection,
			EPOLLIN | (connection->unsent > 0 ? EPOLLOUT : 0));
}

static void
note_port(struct connection *connection)
{
	struct sockaddr_in own;
	socklen_t size = sizeof(own);

	connection->port = 0;
	if (connection->lane->address.any.sa_family != AF_INET ||
		getsockname(connection->fd, (struct sockaddr *)&own, &size) < 0)
		return;
	connection->port = ntohs(own.sin_port);
	/* An earlier connection from this port was killed, not this one. */
	__atomic_store_n(&connection->shared->killed[connection->port], 0,
		__ATOMIC_RELAXED);
}

static void
on_connected(struct loop *loop, struct connection *connection)
{
	int yes = 1;

	connection->phase = OPEN;
	connection->served = 0;
	add(&connection->counts->connections, 1);
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	connection->unsent =
		connection->owed * loop->text_size[is_short(connection)];
	write_some(loop, connection);
}

static void
dial(struct loop *loop, struct connection *connection)
{
	const struct client_loop_lane *lane = connection->lane;

	connection->fd = socket(lane->address.any.sa_family,
		SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->fd < 0)
		_exit(2);
	if (connect(connection->fd, &lane->address.any, lane->address_size) ==
		0) {
		note_port(connection);
		on_connected(loop, connection);
		return;
	}
	if (errno == EINPROGRESS) {
		note_port(connection);
		connection->phase = CONNECTING;
		watch(loop, connection, EPOLLOUT);
		return;
	}
	if (errno != EAGAIN && errno != EADDRNOTAVAIL) {
		fail(connection, CLIENT_REFUSED);
		return;
	}
	add(&connection->counts->waited, 1);
	hang_up(connection);
	connection->again_ns = now() + AGAIN_MS * MS;
}

static void
end_dial(struct loop *loop, struct connection *connection)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error == 0)
		on_connected(loop, connection);
	else
		fail(connection, CLIENT_REFUSED);
}

/* Whether its lane has asked all that it was to ask. */
static bool
has_ended(const struct connection *connection)
{
	uint64_t limit = connection->lane->lane.limit;

	return limit > 0 && connection->counts->asked >= limit;
}

/* Takes the lane's next requests, if any is due; false: none. */
static bool
take_requests(struct loop *loop, struct connection *connection, uint64_t time)
{
	const struct client_lane *lane = &connection->lane->lane;
	unsigned count = depth(connection);

	if (loop->stopping || time < connection->next_ns ||
		time < connection->again_ns || has_ended(connection))
		return false;
	if (lane->limit > 0 && count > lane->limit - connection->counts->asked)
		count = (unsigned)(lane->limit - connection->counts->asked);
	connection->begun_ns = lane->rate > 0 ? connection->next_ns : time;
	if (lane->rate > 0)
		connection->next_ns +=
			(uint64_t)(1e9 * count * lane->connections /
				   lane->rate);
	connection->owed = count;
	add(&connection->counts->asked, count);
	return true;
}

/* What can be done now without waiting. */
static void
go_on(struct loop *loop, struct connection *connection, uint64_t time)
{
	if (connection->phase == OPEN && connection->read_ns > 0 &&
		connection->read_ns <= time) {
		connection->read_ns = 0;
		read_some(loop, connection);
		if (connection->phase == OPEN && connection->read_ns == 0)
			watch(loop, connection, EPOLLIN);
	}
	if (connection->owed == 0 && connection->have == 0 &&
		take_requests(loop, connection, time) &&
		connection->phase == OPEN) {
		connection->unsent = connection->owed *
				     loop->text_size[is_short(connection)];
		write_some(loop, connection);
	}
	if (connection->owed > 0 && connection->phase == CLOSED &&
		connection->again_ns <= time)
		dial(loop, connection);
}

static void
look_for_late(struct connection *connection, uint64_t time)
{
	uint64_t most = (uint64_t)connection->lane->lane.timeout_ms * MS;

	if (connection->owed > 0 && time > connection->begun_ns &&
		time - connection->begun_ns > most)
		fail(connection, CLIENT_TIMED_OUT);
}

/* When it wants to go on by itself; 0: never. */
static uint64_t
wants_at(const struct loop *loop, const struct connection *connection)
{
	if (connection->read_ns > 0)
		return connection->read_ns;
	if (connection->owed > 0)
		return connection->phase == CLOSED ? connection->again_ns + 1
						   : 0;
	if (loop->stopping || has_ended(connection))
		return 0;
	return (connection->next_ns > connection->again_ns
			       ? connection->next_ns
			       : connection->again_ns) +
	       1;
}

/* Lets all that can go on. Returns the milliseconds until the next wants to,
 * or -1: all have ended. */
static int
go_round(struct loop *loop)
{
	uint64_t time = now(), first = UINT64_MAX;
	bool look = time - loop->looked_ns > LOOK_MS * MS, is_open = false;

	for (size_t i = 0; i < loop->count; i++) {
		struct connection *connection = &loop->connections[i];
		uint64_t wants;

		if (look)
			look_for_late(connection, time);
		go_on(loop, connection, time);
		wants = wants_at(loop, connection);
		if (wants > 0 && wants < first)
			first = wants;
		is_open = is_open || connection->owed > 0;
	}
	if (look)
		loop->looked_ns = time;
	if (loop->stopping && !is_open)
		return -1;
	if (first <= time)
		return 0;
	first = (first - time) / MS + 1;
	return first < WAIT_MAX_MS ? (int)first : WAIT_MAX_MS;
}

static void
on_event(struct loop *loop, struct connection *connection, uint32_t events)
{
	if (connection->phase == CONNECTING)
		end_dial(loop, connection);
	else if (connection->phase == OPEN && (events & EPOLLOUT) != 0)
		write_some(loop, connection);
	else if (connection->phase == OPEN && connection->read_ns == 0)
		read_some(loop, connection);
}

/* Starting
 * --------------------------------------------------------------------- */

static void
make_texts(struct loop *loop)
{
	for (int i = 0; i < 2; i++) {
		int size = snprintf(loop->text[i], REQUEST_MAX,
			"GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
			i == 1 ? "Connection: close\r\n" : "");

		loop->text_size[i] = (size_t)size;
		for (int j = 1; j < CLIENT_DEPTH; j++)
			memcpy(loop->text[i] + j * size, loop->text[i],
				(size_t)size);
	}
}

static void
make_connections(struct loop *loop, struct client_shared *shared)
{
	uint64_t time = now();

	for (size_t i = 0; i < shared->count; i++)
		loop->count += shared->lanes[i].lane.connections;
	loop->connections = calloc(loop->count, sizeof(*loop->connections));
	if (loop->connections == NULL)
		_exit(2);
	loop->count = 0;
	for (size_t i = 0; i < shared->count; i++) {
		const struct client_lane *lane = &shared->lanes[i].lane;

		for (unsigned j = 0; j < lane->connections; j++)
			loop->connections[loop->count++] = (struct connection){
				.shared = shared,
				.lane = &shared->lanes[i],
				.counts = &shared->counts[i],
				.fd = -1,
				/* Spread over the first interval. */
				.next_ns =
					lane->rate > 0
						? time + (uint64_t)(1e9 * j /
								    lane->rate)
						: 0,
			};
	}
}

void
client_loop(struct client_shared *shared, int control)
{
	static struct loop loop;
	struct epoll_event events[EVENTS_MAX];
	struct epoll_event ended = {.events = EPOLLIN, .data.ptr = NULL};

	make_texts(&loop);
	make_connections(&loop, shared);
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop.epoll < 0 ||
		epoll_ctl(loop.epoll, EPOLL_CTL_ADD, control, &ended) < 0)
		_exit(2);
	for (;;) {
		int wait_ms = go_round(&loop), count;

		if (wait_ms < 0)
			_exit(0);
		count = epoll_wait(loop.epoll, events, EVENTS_MAX, wait_ms);
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (connection != NULL) {
				on_event(&loop, connection, events[i].events);
				continue;
			}
			loop.stopping = true;
			epoll_ctl(loop.epoll, EPOLL_CTL_DEL, control, NULL);
		}
	}
}

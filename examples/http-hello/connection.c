/*
 * connection.c: reads requests, in any number and cut anywhere, and answers
 * them in order.
 *
 * Both buffers are fixed: a client that doesn't read its answers isn't read
 * from, and one that is slow, either way, is closed when its time is up. What
 * a request says is request.c's; accepting and leaving are main.c's.
 */
#include "connection.h"

#include "request.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ANSWER_HEAD_MAX = 256, /* bytes of an answer before its body */
};

struct connection {
	struct connections *all;
	struct connection *next; /* on connections.first */
	struct connection **link;
	ev_io io;
	ev_timer timer;
	ev_tstamp deadline;
	bool in_request; /* its first byte is here, or its body isn't */
	bool last;	 /* no more requests are read: answer and close */
	bool eof;	 /* the client sends no more */
	bool lingering;	 /* closed for writing; waits for the client's end */
	uint64_t skip;	 /* bytes of a body that are still to come */
	size_t have;
	size_t out_start;
	size_t out_end;
	struct request pending; /* answered when its body is skipped */
	char in[CONNECTION_HEAD_MAX];
	char out[CONNECTION_OUT_SIZE];
};

static void
close_connection(struct connection *connection)
{
	struct connections *all = connection->all;

	ev_io_stop(all->loop, &connection->io);
	ev_timer_stop(all->loop, &connection->timer);
	close(connection->io.fd);
	*connection->link = connection->next;
	if (connection->next)
		connection->next->link = connection->link;
	all->count--;
	free(connection);
	all->on_close(all);
}

/* All deadlines are equally long, so the timer, which fires at the oldest, is
 * never late and needn't be touched for each request. */
static void
start_time(struct connection *connection)
{
	connection->deadline =
		ev_now(connection->all->loop) + CONNECTION_TIMEOUT_S;
}

static void
on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct connection *connection = timer->data;
	ev_tstamp left = connection->deadline - ev_now(loop);

	(void)events;
	if (left <= 0) {
		close_connection(connection);
		return;
	}
	timer->repeat = left;
	ev_timer_again(loop, timer);
}

static void
watch(struct connection *connection, int events)
{
	if (connection->io.events == events && ev_is_active(&connection->io))
		return;
	ev_io_stop(connection->all->loop, &connection->io);
	ev_io_set(&connection->io, connection->io.fd, events);
	ev_io_start(connection->all->loop, &connection->io);
}

/* Answers ----------------------------------------------------------------- */

static bool
has_room(const struct connection *connection)
{
	return CONNECTION_OUT_SIZE - connection->out_end >=
	       ANSWER_HEAD_MAX + connection->all->text_size;
}

static const char *
status_text(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 405:
		return "Method Not Allowed";
	case 411:
		return "Length Required";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Bad Request";
	}
}

static void
answer(struct connection *connection, int status, bool with_body)
{
	struct connections *all = connection->all;
	char *at = connection->out + connection->out_end;
	int size;

	size = snprintf(at, ANSWER_HEAD_MAX,
		"HTTP/1.1 %d %s\r\n"
		"Content-Type: text/plain\r\n"
		"Content-Length: %zu\r\n"
		"%s%s\r\n",
		status, status_text(status),
		status == 200 ? all->text_size : (size_t)0,
		status == 405 ? "Allow: GET, HEAD\r\n" : "",
		connection->last ? "Connection: close\r\n"
				 : "Connection: keep-alive\r\n");
	connection->out_end += (size_t)size;
	if (status != 200 || !with_body)
		return;
	memcpy(at + size, all->text, all->text_size);
	connection->out_end += all->text_size;
}

static void
answer_pending(struct connection *connection)
{
	const struct request *request = &connection->pending;

	if (!request->keep_alive || connection->all->draining)
		connection->last = true;
	answer(connection, request->is_get || request->is_head ? 200 : 405,
		request->is_get);
	connection->in_request = false;
	start_time(connection);
}

static void
refuse(struct connection *connection, int status)
{
	connection->last = true;
	connection->in_request = false;
	answer(connection, status, false);
	start_time(connection);
}

/* Requests ---------------------------------------------------------------- */

static void
consume(struct connection *connection, size_t size)
{
	connection->have -= size;
	memmove(connection->in, connection->in + size, connection->have);
}

/* Takes one step. Returns false: nothing can be done for now. */
static bool
step(struct connection *connection)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct request *request = &connection->pending;
	int result;

	if (connection->last || !has_room(connection))
		return false;
	if (connection->skip > 0) {
		size_t part = connection->have < connection->skip
				      ? connection->have
				      : (size_t)connection->skip;

		consume(connection, part);
		connection->skip -= part;
		if (connection->skip > 0)
			return false;
		answer_pending(connection);
		return true;
	}
	/* Empty lines before a request are allowed. */
	while (!connection->in_request && connection->have > 0 &&
		(*connection->in == '\r' || *connection->in == '\n'))
		consume(connection, 1);
	if (connection->have == 0)
		return false;
	if (!connection->in_request) {
		connection->in_request = true;
		start_time(connection);
	}
	result = request_parse(connection->in, connection->have, request);
	if (result == 0 && connection->have == CONNECTION_HEAD_MAX)
		result = -431;
	if (result < 0)
		refuse(connection, -result);
	if (result <= 0)
		return result < 0;
	consume(connection, request->head_size);
	connection->skip = request->body_size;
	if (request->expects_continue && connection->have == 0) {
		memcpy(connection->out + connection->out_end, go_on,
			sizeof go_on - 1);
		connection->out_end += sizeof go_on - 1;
	}
	if (connection->skip == 0)
		answer_pending(connection);
	return true;
}

/* Returns false: the connection is gone. */
static bool
write_out(struct connection *connection)
{
	size_t size = connection->out_end - connection->out_start;
	ssize_t taken;

	if (size == 0)
		return true;
	taken = send(connection->io.fd, connection->out + connection->out_start,
		size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (taken < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		close_connection(connection);
		return false;
	}
	connection->out_start += (size_t)taken;
	if (connection->out_start == connection->out_end)
		connection->out_start = connection->out_end = 0;
	return true;
}

/* The last answer is out: the client closes first, since closing with bytes
 * unread would tear the answer out of its hands. */
static void
linger(struct connection *connection)
{
	connection->lingering = true;
	connection->deadline =
		ev_now(connection->all->loop) + CONNECTION_LINGER_S;
	connection->timer.repeat = CONNECTION_LINGER_S;
	ev_timer_again(connection->all->loop, &connection->timer);
	shutdown(connection->io.fd, SHUT_WR);
	watch(connection, EV_READ);
}

static void
advance(struct connection *connection)
{
	int events = 0;
	bool full;

	do {
		while (step(connection))
			;
		full = !has_room(connection);
		if (!write_out(connection))
			return;
		/* All went out, and more may be answered now. */
	} while (full && connection->out_end == 0 && !connection->last);
	if ((connection->last || connection->eof) && connection->out_end == 0) {
		linger(connection);
		return;
	}
	if (connection->out_end > 0)
		events |= EV_WRITE;
	if (!connection->last && !connection->eof &&
		connection->have < CONNECTION_HEAD_MAX && has_room(connection))
		events |= EV_READ;
	watch(connection, events);
}

static bool
would_wait(ssize_t got)
{
	return got < 0 && (errno == EAGAIN || errno == EINTR);
}

static void
on_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct connection *connection = io->data;
	ssize_t got;

	(void)loop;
	if (events & EV_READ) {
		if (connection->lingering)
			connection->have = 0;
		got = recv(io->fd, connection->in + connection->have,
			CONNECTION_HEAD_MAX - connection->have, MSG_DONTWAIT);
		if ((got < 0 && !would_wait(got)) ||
			(got == 0 && connection->lingering)) {
			close_connection(connection);
			return;
		}
		if (got == 0)
			connection->eof = true; /* it still gets its answers */
		if (got > 0)
			connection->have += (size_t)got;
	}
	if (!connection->lingering)
		advance(connection);
}

int
connection_open(struct connections *all, int fd)
{
	struct connection *connection = malloc(sizeof *connection);

	if (!connection) {
		close(fd);
		return -1;
	}
	memset(connection, 0, offsetof(struct connection, in));
	connection->all = all;
	connection->next = all->first;
	connection->link = &all->first;
	if (all->first)
		all->first->link = &connection->next;
	all->first = connection;
	all->count++;
	ev_io_init(&connection->io, on_io, fd, EV_READ);
	connection->io.data = connection;
	ev_io_start(all->loop, &connection->io);
	ev_timer_init(&connection->timer, on_timer, 0, CONNECTION_TIMEOUT_S);
	connection->timer.data = connection;
	ev_timer_again(all->loop, &connection->timer);
	start_time(connection);
	return 0;
}

static bool
is_idle(const struct connection *connection)
{
	return !connection->in_request && connection->have == 0 &&
	       connection->out_end == 0;
}

void
connection_drain(struct connections *all)
{
	all->draining = true;
}

void
connection_close_idle(struct connections *all)
{
	struct connection *next;

	for (struct connection *one = all->first; one; one = next) {
		next = one->next;
		if (is_idle(one))
			close_connection(one);
	}
}

void
connection_close_all(struct connections *all)
{
	while (all->first)
		close_connection(all->first); /* NOLINT: takes it out */
}

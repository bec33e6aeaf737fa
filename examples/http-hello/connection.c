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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ANSWER_HEAD_MAX = 256, /* bytes of an answer before its body */
};

struct connection {
	struct connections *all;
	struct connection *next, *previous; /* on `list` */
	struct connection_list *list;
	int fd;
	uint32_t watched; /* events of epoll */
	int64_t deadline; /* ms, as connections.now */
	bool in_request;  /* its first byte is here, or its body isn't */
	bool last;	  /* no more requests are read: answer and close */
	bool asked;	  /* … since the client asked for that */
	bool eof;	  /* the client sends no more */
	uint64_t skip;	  /* bytes of a body that are still to come */
	size_t have;
	size_t out_start;
	size_t out_end;
	struct request pending; /* answered when its body is skipped */
	char in[CONNECTION_HEAD_MAX];
	char out[CONNECTION_OUT_SIZE];
};

/* Lists and time ---------------------------------------------------------- */

static void
leave_list(struct connection *connection)
{
	struct connection_list *list = connection->list;

	if (connection->previous)
		connection->previous->next = connection->next;
	else
		list->first = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	else
		list->last = connection->previous;
}

static void
join_list(struct connection *connection, struct connection_list *list)
{
	connection->list = list;
	connection->next = NULL;
	connection->previous = list->last;
	if (list->last)
		list->last->next = connection;
	else
		list->first = connection;
	list->last = connection;
}

/* The time of a list's members is equally long, so the last to start is the
 * last to end. */
static void
start_time(struct connection *connection)
{
	connection->deadline = connection->all->now + CONNECTION_TIMEOUT_MS;
	if (!connection->next)
		return;
	leave_list(connection);
	join_list(connection, &connection->all->serving);
}

static void
close_connection(struct connection *connection)
{
	struct connections *all = connection->all;

	leave_list(connection);
	all->count--;
	/* Closing isn't enough while the supervisor has a copy of one that it
	 * handed over. */
	(void)epoll_ctl(all->epoll, EPOLL_CTL_DEL, connection->fd,
		&(struct epoll_event){0});
	all->on_close(all, connection->fd);
	close(connection->fd);
	free(connection);
}

int
connection_expire(struct connections *all)
{
	struct connection_list *lists[] = {&all->serving, &all->lingering};
	int64_t left, next = -1;

	for (size_t i = 0; i < 2; i++) {
		/* Each leaves the list with its end. */
		while (lists[i]->first &&
			lists[i]->first->deadline <= all->now) /* NOLINT */
			close_connection(lists[i]->first);     /* NOLINT */
		if (!lists[i]->first)
			continue;
		left = lists[i]->first->deadline - all->now;
		if (next < 0 || left < next)
			next = left;
	}
	return (int)next;
}

static void
watch(struct connection *connection, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};

	if (connection->watched == events)
		return;
	connection->watched = events;
	/* One that can't be watched ends with its time. */
	(void)epoll_ctl(
		connection->all->epoll, EPOLL_CTL_MOD, connection->fd, &event);
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

	connection->asked = !request->keep_alive;
	if (connection->asked || connection->all->draining)
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
	taken = send(connection->fd, connection->out + connection->out_start,
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

/* The last answer is out. A client that asked for it and sent no more may be
 * left; any other closes first, since closing with bytes unread would tear the
 * answer out of its hands. */
static void
finish(struct connection *connection)
{
	struct connections *all = connection->all;

	if (connection->eof || (connection->asked && connection->have == 0)) {
		close_connection(connection);
		return;
	}
	leave_list(connection);
	join_list(connection, &all->lingering);
	connection->deadline = all->now + CONNECTION_LINGER_MS;
	shutdown(connection->fd, SHUT_WR);
	watch(connection, EPOLLIN);
}

static void
advance(struct connection *connection)
{
	uint32_t events = 0;
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
		finish(connection);
		return;
	}
	if (connection->out_end > 0)
		events |= EPOLLOUT;
	if (!connection->last && !connection->eof &&
		connection->have < CONNECTION_HEAD_MAX && has_room(connection))
		events |= EPOLLIN;
	watch(connection, events);
}

static bool
would_wait(ssize_t got)
{
	return got < 0 && (errno == EAGAIN || errno == EINTR);
}

void
connection_event(struct connection *connection, uint32_t events)
{
	bool lingers = connection->list == &connection->all->lingering;
	ssize_t got;

	if (events & ~(uint32_t)EPOLLOUT) {
		if (lingers)
			connection->have = 0;
		got = recv(connection->fd, connection->in + connection->have,
			CONNECTION_HEAD_MAX - connection->have, MSG_DONTWAIT);
		if ((got < 0 && !would_wait(got)) || (got == 0 && lingers)) {
			close_connection(connection);
			return;
		}
		if (got == 0)
			connection->eof = true; /* it still gets its answers */
		if (got > 0)
			connection->have += (size_t)got;
	}
	if (!lingers)
		advance(connection);
}

int
connection_open(struct connections *all, int fd)
{
	struct connection *connection = malloc(sizeof *connection);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	if (!connection ||
		epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(connection);
		all->on_close(all, fd);
		close(fd);
		return -1;
	}
	memset(connection, 0, offsetof(struct connection, in));
	connection->all = all;
	connection->fd = fd;
	connection->watched = EPOLLIN;
	connection->deadline = all->now + CONNECTION_TIMEOUT_MS;
	join_list(connection, &all->serving);
	all->count++;
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

	for (struct connection *one = all->serving.first; one; one = next) {
		next = one->next;
		if (is_idle(one))
			close_connection(one);
	}
}

void
connection_close_all(struct connections *all)
{
	struct connection_list *lists[] = {&all->serving, &all->lingering};

	for (size_t i = 0; i < 2; i++)
		while (lists[i]->first)
			close_connection(lists[i]->first); /* NOLINT: leaves */
}

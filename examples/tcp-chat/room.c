/*
 * room.c: clients, their unfinished lines, and what they haven't read yet.
 * Where lines go is main.c's business.
 */
#include "room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
	struct room *room;
	struct client *next, **link;
	int fd;
	unsigned number;
	bool closing; /* as soon as all is written */
	size_t have;
	char in[ROOM_LINE_MAX];
	char *out; /* waits for the socket */
	size_t out_size;
};

static void
drop(struct client *client)
{
	struct room *room = client->room;
	struct epoll_event none = {0};

	*client->link = client->next;
	if (client->next)
		client->next->link = client->link;
	room->count--;
	(void)epoll_ctl(room->epoll, EPOLL_CTL_DEL, client->fd, &none);
	room->on_leave(room, client->fd);
	close(client->fd);
	client->fd = -1;
	client->next = room->gone;
	room->gone = client;
}

void
room_tidy(struct room *room)
{
	while (room->gone) {
		struct client *client = room->gone;

		room->gone = client->next;
		free(client->out);
		free(client);
	}
}

static void
watch(struct client *client)
{
	struct epoll_event event = {
		.events = EPOLLIN |
			  (client->out_size > 0 ? (uint32_t)EPOLLOUT : 0),
		.data.ptr = client,
	};

	(void)epoll_ctl(client->room->epoll, EPOLL_CTL_MOD, client->fd, &event);
}

void
room_enter(struct room *room, int fd)
{
	struct client *client = calloc(1, sizeof *client);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

	if (!client || epoll_ctl(room->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(client);
		room->on_leave(room, fd);
		close(fd);
		return;
	}
	client->room = room;
	client->fd = fd;
	client->number = ++room->last_number;
	client->next = room->first;
	client->link = &room->first;
	if (room->first)
		room->first->link = &client->next;
	room->first = client;
	room->count++;
}

/* Writing ------------------------------------------------------------------ */

/* Keeps what the socket didn't take. Returns false: it is too much. */
static bool
keep(struct client *client, const char *bytes, size_t size)
{
	char *out;

	if (client->out_size + size > ROOM_OUT_MAX)
		return false;
	out = realloc(client->out, client->out_size + size);
	if (!out)
		return false;
	memcpy(out + client->out_size, bytes, size);
	client->out = out;
	client->out_size += size;
	return true;
}

/* Returns false: the client is gone. */
static bool
put(struct client *client, const char *bytes, size_t size)
{
	ssize_t taken = 0;

	if (client->out_size == 0)
		taken = send(
			client->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (taken < 0 && errno == EAGAIN)
		taken = 0;
	if (taken < 0 ||
		((size_t)taken < size &&
			!keep(client, bytes + taken, size - (size_t)taken))) {
		drop(client);
		return false;
	}
	if (client->out_size > 0)
		watch(client);
	return true;
}

static void
say(struct client *client, const char *line)
{
	if (!client->closing && put(client, line, strlen(line)))
		(void)put(client, "\n", 1);
}

void
room_say_to(struct room *room, unsigned number, const char *line)
{
	for (struct client *one = room->first; one; one = one->next)
		if (one->number == number) {
			say(one, line);
			return;
		}
}

void
room_say_to_others(struct room *room, unsigned number, const char *line)
{
	struct client *next;

	for (struct client *one = room->first; one; one = next) {
		next = one->next;
		if (number == 0 || one->number != number)
			say(one, line);
	}
}

/* Returns false: the client is gone. */
static bool
write_rest(struct client *client)
{
	ssize_t taken = send(client->fd, client->out, client->out_size,
		MSG_NOSIGNAL | MSG_DONTWAIT);

	if (taken < 0 && errno != EAGAIN) {
		drop(client);
		return false;
	}
	if (taken > 0) {
		client->out_size -= (size_t)taken;
		memmove(client->out, client->out + taken, client->out_size);
	}
	if (client->out_size == 0 && client->closing) {
		drop(client);
		return false;
	}
	if (client->out_size == 0)
		watch(client);
	return true;
}

/* Reading ------------------------------------------------------------------ */

/* Hands out whole lines. on_line may say something, also to this client, which
 * may lose it; so nothing is touched afterwards but what was copied. */
static void
read_lines(struct client *client)
{
	struct room *room = client->room;
	unsigned number = client->number;
	char lines[ROOM_LINE_MAX];
	size_t size = client->have;
	char *at = lines, *feed;

	memcpy(lines, client->in, size);
	while ((feed = memchr(at, '\n', size - (size_t)(at - lines))) != NULL)
		at = feed + 1;
	client->have = size - (size_t)(at - lines);
	memmove(client->in, client->in + (at - lines), client->have);
	for (char *line = lines; line < at; line = feed + 1) {
		feed = memchr(line, '\n', (size_t)(at - line));
		*feed = '\0';
		line[strcspn(line, "\r")] = '\0';
		if (*line)
			room->on_line(room, number, line);
	}
}

void
room_event(struct client *client, uint32_t events)
{
	ssize_t got;

	if (client->fd < 0)
		return; /* it went in this turn */
	if ((events & EPOLLOUT) && client->out_size > 0 && !write_rest(client))
		return;
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	got = recv(client->fd, client->in + client->have,
		sizeof client->in - client->have, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop(client);
		return;
	}
	client->have += (size_t)got;
	if (client->closing)
		client->have = 0;
	if (client->have == sizeof client->in &&
		!memchr(client->in, '\n', client->have)) {
		drop(client); /* nobody types such a line */
		return;
	}
	read_lines(client);
}

/* Leaving ------------------------------------------------------------------ */

void
room_close(struct room *room)
{
	struct client *next;

	for (struct client *one = room->first; one; one = next) {
		next = one->next;
		one->closing = true;
		if (one->out_size == 0)
			drop(one);
	}
}

void
room_clear(struct room *room)
{
	while (room->first)
		drop(room->first);
	room_tidy(room);
}

/*
 * main.c: a chat over TCP, served by several workers on one socket.
 *
 * Who says a line gets it back ("you: …"); everybody else, whichever worker
 * they are connected to, gets it with a name. Lines travel between the workers
 * as messages to MUSTER_ALL. Told to leave, a worker says goodbye, and clients
 * that come again are served by another.
 */
#include "room.h"

#include <errno.h>
#include <muster.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 64,
	/* What an event is about; a client's holds a pointer, larger. */
	MARK_ACCEPT = 1,
	MARK_MUSTER = 2,
};

struct chat {
	struct room room;
	struct muster *muster;
	int epoll;
	bool leaving;
};

/* A line said here: back to its client, and out to everybody. */
static void
on_line(struct room *room, unsigned number, const char *line)
{
	struct chat *chat = room->data;
	char text[ROOM_LINE_MAX + 64];
	json_t *body;

	snprintf(text, sizeof text, "you: %s", line);
	room_say_to(room, number, text);
	snprintf(text, sizeof text, "guest %u.%u: %s", muster_id(chat->muster),
		number, line);
	room_say_to_others(room, number, text);
	body = json_pack("{s:s}", "say", text);
	/* Not UTF-8: it stays with the clients of this worker. */
	if (body && muster_send(chat->muster, MUSTER_ALL, NULL, body) < 0)
		room_say_to(room, number, "* the others are too slow for this");
	json_decref(body);
}

/* A line said to another worker. */
static void
on_message(struct muster *muster, const struct muster_message *message,
	json_t *body, void *data)
{
	struct chat *chat = data;
	const char *text = json_string_value(json_object_get(body, "say"));

	(void)muster;
	(void)message;
	if (text)
		room_say_to_others(&chat->room, 0, text);
}

static void
on_leave(struct room *room, int fd)
{
	struct chat *chat = room->data;

	muster_connection_done(chat->muster, fd);
}

static void
on_connection(struct muster *muster, int fd, const char *listener, void *data)
{
	struct chat *chat = data;
	char text[64];

	(void)listener;
	room_enter(&chat->room, fd);
	snprintf(text, sizeof text, "* worker %u: welcome", muster_id(muster));
	room_say_to(&chat->room, chat->room.last_number, text);
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	struct chat *chat = data;

	(void)muster;
	(void)deadline_ms;
	room_say_to_others(&chat->room, 0,
		strcmp(reason, "stop") == 0
			? "* the server is stopped"
			: "* this worker is replaced: please come again");
	room_close(&chat->room);
	chat->leaving = true;
}

static void
run(struct chat *chat)
{
	struct epoll_event events[EVENTS_MAX];
	int count;

	while (!chat->leaving || chat->room.count > 0) {
		(void)muster_flush(chat->muster);
		count = epoll_wait(chat->epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == MARK_ACCEPT)
				(void)muster_accept(chat->muster);
			else if (events[i].data.u64 == MARK_MUSTER)
				chat->leaving |=
					muster_dispatch(chat->muster) < 0;
			else
				room_event(
					events[i].data.ptr, events[i].events);
		}
		room_tidy(&chat->room);
	}
}

static int
start(struct chat *chat)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = MARK_MUSTER};
	int fd = muster_fd(chat->muster);
	int result = fd;

	if (result >= 0)
		result = epoll_ctl(chat->epoll, EPOLL_CTL_ADD, fd, &event) < 0
				 ? -errno
				 : 0;
	muster_set_wake(chat->muster, false); /* each turn flushes */
	muster_on_message_json(chat->muster, on_message, chat);
	muster_on_shutdown(chat->muster, on_shutdown, chat);
	if (result == 0)
		result = muster_accept_in(
			chat->muster, chat->epoll, MARK_ACCEPT);
	if (result == 0)
		result =
			muster_on_connection(chat->muster, on_connection, chat);
	return result == 0 ? muster_ready(chat->muster) : result;
}

int
main(void)
{
	struct chat chat = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
	int result = muster_attach(&chat.muster);

	if (result == 0) {
		chat.room = (struct room){
			.epoll = chat.epoll,
			.on_line = on_line,
			.on_leave = on_leave,
			.data = &chat,
		};
		result = start(&chat);
	}
	if (result < 0) {
		fprintf(stderr, "tcp-chat: %s\n",
			result == -ENOENT
				? "start it by 'muster run -n 2 -l 127.0.0.1:"
				  "7000 -- tcp-chat'"
				: strerror(-result));
		return 1;
	}
	run(&chat);
	room_clear(&chat.room);
	(void)muster_drain(chat.muster, 1000);
	muster_detach(&chat.muster);
	return 0;
}

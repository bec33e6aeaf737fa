/*
 * room.h: the clients of one worker, who send and get lines.
 */
#ifndef ROOM_H
#define ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ROOM_LINE_MAX =
		1024, /* bytes of a line; a longer one ends its client */
	ROOM_OUT_MAX = 64 * 1024, /* what waits for one that doesn't read */
};

struct client;

struct room {
	int epoll; /* data.ptr of their events is the client */
	struct client *first;
	struct client *gone; /* until room_tidy: events may still name them */
	unsigned count;
	unsigned last_number;
	/* A client said a whole line: without its end, with a NUL. */
	void (*on_line)(struct room *room, unsigned number, const char *line);
	/* A client goes; its descriptor is still open. */
	void (*on_leave)(struct room *room, int fd);
	void *data;
};

/* Lets a client in; `fd` is taken over, also without memory. */
void room_enter(struct room *room, int fd);

/* The client's socket has these events of epoll. */
void room_event(struct client *client, uint32_t events);

/* Frees who has gone: at the end of a turn. */
void room_tidy(struct room *room);

/* Writes a line to one client, or to all but that one (0: to all). One that
 * has too much waiting is left behind. */
void room_say_to(struct room *room, unsigned number, const char *line);
void room_say_to_others(struct room *room, unsigned number, const char *line);

/* Lets everybody go who has got everything, and the others when they have. */
void room_close(struct room *room);

/* Drops who is left. */
void room_clear(struct room *room);

#endif

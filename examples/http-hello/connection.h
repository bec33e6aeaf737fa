/*
 * connection.h: one client of the server, from accept to close.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONNECTION_HEAD_MAX = 8 * 1024,	 /* bytes of a request's head */
	CONNECTION_OUT_SIZE = 16 * 1024, /* bytes of answers that wait */
	CONNECTION_LINGER_MS =
		1000, /* for the client to close after the last */
	CONNECTION_TIMEOUT_MS =
		10000, /* for a request, an answer, an idle client */
};

struct connection;

/* In order of deadlines: all on one list have equally long ones. */
struct connection_list {
	struct connection *first, *last;
};

/* What all connections of a server share; main's, one of it. */
struct connections {
	int epoll;   /* data.ptr of their events is the connection */
	int64_t now; /* ms of the monotonic clock, of this turn */
	struct connection_list serving, lingering;
	unsigned count;
	bool draining;	  /* each next answer is a connection's last */
	const char *text; /* what is answered, with its size */
	size_t text_size;
	void (*on_close)(struct connections *all, int fd); /* one goes */
	void *data;
};

/*
 * Takes the accepted, non-blocking socket over. Returns 0; -1 without memory:
 * then the socket is closed, as if on_close had been called.
 */
int connection_open(struct connections *all, int fd);

/* Its socket has `events` of epoll. The connection may be gone after it. */
void connection_event(struct connection *connection, uint32_t events);

/* Closes those whose time is up. Returns in how many ms the next one's is; -1:
 * there is none. */
int connection_expire(struct connections *all);

/*
 * Answers what was received and closes after it; connections that have nothing
 * under way wait for a last request until connection_close_idle.
 */
void connection_drain(struct connections *all);
void connection_close_idle(struct connections *all);
void connection_close_all(struct connections *all);

#endif

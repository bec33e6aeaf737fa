/*
 * connection.h: one client of the server, from accept to close.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	CONNECTION_HEAD_MAX = 8 * 1024,	 /* bytes of a request's head */
	CONNECTION_OUT_SIZE = 16 * 1024, /* bytes of answers that wait */
	CONNECTION_LINGER_S = 1, /* for the client to close after the last */
	CONNECTION_TIMEOUT_S =
		10, /* for a request, an answer, an idle client */
};

struct connection;

/* What all connections of a server share; main's, one of it. */
struct connections {
	struct ev_loop *loop;
	struct connection *first;
	unsigned count;
	bool draining;	  /* each next answer is a connection's last */
	const char *text; /* what is answered, with its size */
	size_t text_size;
	void (*on_close)(struct connections *all); /* one is gone */
	void *data;
};

/*
 * Takes the accepted, non-blocking socket over. Returns 0; -1 without memory,
 * and then the socket is closed.
 */
int connection_open(struct connections *all, int fd);

/*
 * Answers what was received and closes after it; connections that have nothing
 * under way wait for a last request until connection_close_idle.
 */
void connection_drain(struct connections *all);
void connection_close_idle(struct connections *all);
void connection_close_all(struct connections *all);

#endif

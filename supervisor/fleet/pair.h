/*
 * pair.h: the records between brain and keeper on their way: receiving, and
 * sending without ever blocking. Loop's thread only.
 */
#ifndef MUSTER_PAIR_H
#define MUSTER_PAIR_H

#include "base/clock.h"
#include "keeper/keeper_protocol.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/* Records that wait; over it only those are taken on that must be. */
	PAIR_QUEUE_MAX = 16384,
};

/* A record that came in, with its descriptor or -1. */
struct pair_arrival {
	struct keeper_record record;
	int fd;
};

struct pair_departure {
	struct keeper_record record;
	int fd;
	bool owns_fd;
};

struct pair {
	struct ev_loop *loop;
	int fd;
	bool is_closed; /* nothing is sent any more */
	ev_io writable;
	ev_prepare turn_end;
	struct pair_departure *queue; /* from `first`, `waiting` of them */
	size_t first, waiting, room;
	/* What only tidies up leaves behind the rest of a turn, so that a
	 * successor is spawned before its predecessor is forgotten. */
	struct keeper_record *tidy;
	size_t tidy_count;
};

/* `fd` is taken over and closed by pair_fini. */
void pair_init(struct pair *pair, struct ev_loop *loop, int fd);
void pair_fini(struct pair *pair);

/* From now on what waits is sent at the end of each turn of the loop. */
void pair_start(struct pair *pair);

/* The other end is gone. */
void pair_close(struct pair *pair);

/*
 * Receives one record; its descriptor is the caller's. Returns 0; -EAGAIN;
 * -ECONNRESET: the other end is gone; -EBADMSG: a record that is none, which
 * was dropped.
 */
int pair_receive(struct pair *pair, struct pair_arrival *ret_arrival);

/*
 * Queues a record with `fd` or -1. A borrowed `fd` must stay open until the
 * next flush; with `owns_fd` it is closed once it is sent. `must`: also over
 * the bound. Returns 0; -ENOBUFS; -EPIPE; -ENOMEM; -EMFILE: a borrowed one that
 * has to wait finds no number for a copy. On an error `fd` is as it was.
 */
int pair_send(struct pair *pair, const struct keeper_record *record, int fd,
	bool owns_fd, bool must);

/* Queues one without a descriptor behind all others of this turn. */
void pair_tidy(struct pair *pair, const struct keeper_record *record);

/* Sends what the socket takes. Returns 0; -EAGAIN: some is left; -EPIPE. */
int pair_flush(struct pair *pair);

/* Blocks until one of poll's `events`, for who has no loop yet or no more.
 * Returns 0; -ETIMEDOUT; or what poll said. */
int pair_wait(struct pair *pair, short events, struct instant deadline);

/* Room for one more at the end of a list that was grown only by this: the list,
 * perhaps at another place, or NULL without memory. */
void *pair_grow(void *list, size_t count, size_t size);

#endif

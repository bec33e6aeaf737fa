/*
 * requests.h: the open requests. Each has a row in the exchange memory (so a
 * new brain knows who asked whom) and a struct here with what the loop needs:
 * its timer and its place among the requests of its asker and of the asked.
 *
 * The number that the asked worker sees is the row and a serial in one: finding
 * the request of an answer is an index, and an old answer never fits.
 */
#ifndef MUSTER_EXCHANGE_REQUESTS_H
#define MUSTER_EXCHANGE_REQUESTS_H

#include "list.h"
#include "memory.h"

#include <ev.h>

struct peer;

struct request {
	uint64_t number; /* 0: free */
	uint64_t asker_id;
	uint32_t asker_channel;
	uint32_t asked_id;   /* endpoint; 0: it was sent to ANY */
	uint32_t concerning; /* the address as the asker wrote it */
	struct peer *asker;
	struct peer *asked;   /* NULL: it waits for a process */
	struct link of_asker; /* peer::asking */
	struct link of_asked; /* peer::answering */
	struct request *next_hashed;
	struct requests *table;
	int64_t deadline_ns;
	bool marked; /* for who walks them */
	ev_timer timer;
};

enum { REQUESTS_CHUNK = 64 };

struct requests {
	struct ev_loop *loop;
	struct memory *memory;
	struct request *chunks[MEMORY_REQUESTS_MAX / REQUESTS_CHUNK];
	struct request **hash; /* by asker's channel and id */
	uint32_t hash_size;
	uint32_t *free_rows;
	uint32_t free_count, free_room;
	uint32_t used; /* rows ever used */
	uint32_t open;
	uint64_t serial;
	void (*expired)(struct request *request); /* its time is over */
};

/*
 * `expired` is called when a request's deadline has passed; it must close the
 * request. Returns 0 or -ENOMEM.
 */
int requests_init(struct requests *requests, struct ev_loop *loop,
	struct memory *memory, void (*expired)(struct request *request));
void requests_fini(struct requests *requests);

/*
 * Opens a request of `asker` (on `asker_channel`) with its `asker_id`.
 * `timeout_ms` 0: no deadline. `concerning`: the address as it was written.
 * Returns NULL: no row is free, or no memory.
 */
struct request *requests_open(struct requests *requests, struct peer *asker,
	struct link *asking, uint32_t asker_channel, uint64_t asker_id,
	uint32_t concerning, uint32_t timeout_ms);

/* The asker's open request with that id, or NULL. */
struct request *requests_find_of_asker(
	struct requests *requests, uint32_t asker_channel, uint64_t asker_id);

/* The open request with this number, or NULL. */
struct request *requests_find(struct requests *requests, uint64_t number);

/*
 * The request was handed to `asked` (NULL: it waits), an endpoint's address
 * `asked_id` (0: ANY). Draws a new number: request->number.
 */
void requests_assign(struct requests *requests, struct request *request,
	struct peer *asked, struct link *answering, uint32_t asked_channel,
	uint64_t asked_process, uint64_t asker_process, uint32_t asked_id);

/* Frees it. */
void requests_close(struct requests *requests, struct request *request);

/*
 * Makes the requests that an earlier brain left: calls `adopt` for each row,
 * which returns false to drop it, else has filled in asker and asked and their
 * links. Deadlines that have passed expire in the first turn.
 */
void requests_recover(struct requests *requests,
	bool (*adopt)(void *context, struct request *request,
		const struct memory_request *row),
	void *context);

#endif

/*
 * exchange.h: messages between everyone, as the layers above see it.
 *
 * The exchange owns channels, queues, addresses and open requests. It knows
 * groups (applications), endpoints (slots: what an address names) and peers
 * (one connection: a worker's channel, an operator's socket). It doesn't know
 * processes, policy or configuration: fleet tells it what exists and who is
 * ready, control admits clients, and both are called back through the hooks
 * that they hand in with each peer.
 *
 * Everything is for the loop's thread. Sending never blocks, never reads, and
 * never calls back in the caller's stack; what is sent in one turn of the loop
 * leaves at its end. A function that ends a peer may be called from inside one
 * of its hooks: memory is freed at the end of the turn.
 */
#ifndef MUSTER_EXCHANGE_H
#define MUSTER_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct exchange;
struct group;
struct endpoint;
struct peer;

/* Bounds of a group, from the application's configuration. */
struct group_limits {
	uint64_t queue_limit; /* bytes of one receiver's queue */
	uint32_t max_message; /* bytes behind a header */
	uint32_t stall_timeout_ms;
	uint32_t job_concurrency; /* open requests a worker; 0: no bound */
	bool is_bridge; /* what it publishes may come from another host */
};

enum peer_role {
	PEER_WORKER,
	PEER_STRANGER, /* a client that has not been admitted: hello only */
	PEER_GUEST,
	PEER_OPERATOR,
};

enum peer_end {
	PEER_END_CLOSED,      /* end of file or reset by the other side */
	PEER_END_PROTOCOL,    /* it broke a rule of the frame; it was told */
	PEER_END_DESCRIPTORS, /* it sent descriptors that no frame claimed */
	PEER_END_OVERFLOW,    /* a client that didn't read */
	PEER_END_DENIED,      /* a resume that doesn't fit */
};

/* What a peer's owner hears. All are called from the loop. */
struct peer_hooks {
	/* A worker's first frame was read: it takes messages from now on. */
	void (*joined)(struct peer *peer);

	/*
	 * A request to address 0. `body` is borrowed for the call and not
	 * parsed. The owner answers, now or later, with peer_reply or
	 * peer_error and this `id`.
	 */
	void (*request)(
		struct peer *peer, uint64_t id, const char *body, size_t size);

	/* A message to address 0 that is the program's own (no `ack`). */
	void (*message)(struct peer *peer, const char *body, size_t size);

	/*
	 * The channel has ended, with `reason` in words (borrowed). No other
	 * hook is called after. The owner still calls peer_retire.
	 */
	void (*ended)(struct peer *peer, enum peer_end how, const char *reason);

	/* A worker took too little of an over-full queue in its time: its
	 * queue was given back as `stalled`; the worker is to be replaced. */
	void (*stalled)(struct peer *peer);

	/* A worker that had no room for connections has room again. May be
	 * NULL. */
	void (*has_room)(struct peer *peer);
};

/*
 * Makes the exchange over `memory_fd`, the exchange memory (the keeper's
 * duplicate; taken over). An empty file is laid out; one that an earlier brain
 * used is read: channels, rings and open requests are as it left them.
 * `memory_limit`: bytes of all queues and half-read frames together.
 * Returns 0; -EPROTO: a layout of another version, nothing was changed;
 * -ENOMEM; or what mapping said.
 */
int exchange_new(struct ev_loop *loop, int memory_fd, uint64_t memory_limit,
	struct exchange **ret_exchange);
void exchange_free(struct exchange **exchange);

/* Whether exchange_new would take the memory, for who may not touch it. `fd` is
 * borrowed. Returns as exchange_new. */
int exchange_check(int memory_fd);

/*
 * Ends what an earlier brain's clients and vanished processes left in the
 * memory: call once, when all groups, endpoints and living workers of the
 * earlier life were made again.
 */
void exchange_settle(struct exchange *exchange);

/*
 * What becomes of a connection whose worker ended before it acknowledged it:
 * `returned` is called with the endpoint's address, the frame's body (borrowed)
 * and the connection, which is the callee's. It may hand it to another peer and
 * nothing else. NULL, as from the start: it is closed.
 */
typedef void exchange_returned(
	uint32_t id, const char *body, size_t size, int fd, void *data);
void exchange_on_returned(
	struct exchange *exchange, exchange_returned *returned, void *data);

/* Writes out now what this turn has queued; for who is about to exit. */
void exchange_flush(struct exchange *exchange);

/* Groups ---------------------------------------------------------------- */

/* `name` is copied. Returns NULL without memory. */
struct group *group_new(struct exchange *exchange, const char *name,
	const struct group_limits *limits);
void group_free(struct group **group); /* after its endpoints */

/* Other bounds from now on, for its workers' queues too. */
void group_set_limits(struct group *group, const struct group_limits *limits);

/*
 * A stopped or errored group answers what is sent to ANY with `not-running`
 * instead of keeping it.
 */
void group_set_running(struct group *group, bool running);

/* Endpoints ------------------------------------------------------------- */

/*
 * `id` is the address, never used twice in a keeper's life. The new endpoint
 * has no peer, is not ready, and waits (see endpoint_set_dormant).
 * Returns NULL without memory.
 */
struct endpoint *endpoint_new(
	struct group *group, uint32_t id, uint32_t instance);
void endpoint_free(struct endpoint **endpoint); /* gives its queue back */

/*
 * From now on frames for this slot go to `peer` (NULL: they wait for the next).
 * A retired peer's unwritten frames follow to whoever is set.
 */
void endpoint_set_peer(struct endpoint *endpoint, struct peer *peer);

/*
 * Whether the slot has a ready process. A change is told to the joined workers
 * of the group as the event `peer`. Only ready endpoints take part in ALL and
 * ANY.
 */
void endpoint_set_ready(struct endpoint *endpoint, bool ready);

/*
 * A dormant endpoint (stopped, errored, or waiting longer than stall_timeout)
 * gives its queue back as `not-running` and refuses what comes.
 */
void endpoint_set_dormant(struct endpoint *endpoint, bool dormant);

struct endpoint_counters {
	uint64_t messages_in;  /* frames the worker was sent */
	uint64_t messages_out; /* frames the worker sent */
	uint64_t queue_bytes;  /* waiting for it */
};
void endpoint_read_counters(
	const struct endpoint *endpoint, struct endpoint_counters *ret);

/* Peers ----------------------------------------------------------------- */

/*
 * A new process of a slot got a channel: `fd` is the supervisor's end, taken
 * over, also on failure. `process` is the keeper's number of the process.
 * `welcome` (borrowed) is the body of the welcome, written at once. The peer
 * is not the endpoint's receiver before endpoint_set_peer.
 * Returns 0; -ENOMEM; -ENOSPC: no row in the exchange memory.
 */
int peer_new_worker(struct endpoint *endpoint, uint64_t process,
	uint32_t generation, json_t *welcome, int fd,
	const struct peer_hooks *hooks, void *data, struct peer **ret_peer);

/*
 * Whether the process takes part in resuming or has not said yet: then it is
 * given a new channel and peer_resume gets its end; else peer_resume gets -1
 * and the worker counts as not joined.
 */
bool exchange_wants_channel(struct exchange *exchange, uint64_t process);

/*
 * The same as peer_new_worker for a process that an earlier brain spawned. On
 * the new channel nothing is written before its `resume`, whose answer is
 * `welcome` with "received".
 * Returns 0; -ENOENT: the memory has no channel of that process; -ENOMEM.
 */
int peer_resume(struct endpoint *endpoint, uint64_t process, json_t *welcome,
	int fd, const struct peer_hooks *hooks, void *data,
	struct peer **ret_peer);

/* A client's connection, a stranger until admitted. Takes `fd` over. */
int peer_new_client(struct exchange *exchange, int fd,
	const struct peer_hooks *hooks, void *data, struct peer **ret_peer);

/* Admits a stranger in its role and gives it an id. */
void peer_admit(struct peer *peer, enum peer_role role);

/* A worker's own messages, its queue included. */
void peer_read_counters(const struct peer *peer, struct endpoint_counters *ret);

void *peer_data(const struct peer *peer);
uint32_t peer_id(const struct peer *peer);
uint32_t peer_generation(const struct peer *peer);
enum peer_role peer_role(const struct peer *peer);
bool peer_has_joined(const struct peer *peer);

/* Whether a queue over its limit keeps this peer from being read: its
 * time-outs of readiness and watchdog stand still meanwhile. */
bool peer_is_paused(const struct peer *peer);

/*
 * A message from 0. `body` is borrowed. A worker that has not joined gets
 * nothing: then it returns -ENOTCONN. Returns 0; -ENOMEM; -EPIPE: ended;
 * -EOVERFLOW: a client over its limit, which is being closed.
 */
int peer_send(struct peer *peer, json_t *body);

/*
 * Whether a worker takes a connection now: it has joined, and fewer than
 * OUTBOX_FDS_UNACKED wait for its acknowledgement. If not, its hook `has_room`
 * is called when it does.
 */
bool peer_has_room(struct peer *peer);

/*
 * Hands the connection `fd` over to a worker, with `body` (borrowed, one JSON
 * value of `size` bytes). It is kept open until the worker has acknowledged the
 * frame.
 * Returns 0: `fd` is taken over; -EAGAIN: there is no room now; -ENOMEM: then
 * it is the caller's still.
 */
int peer_hand_over(struct peer *peer, const char *body, size_t size, int fd);

/* How many connections were handed over to it that it has not done; and the
 * word that `count` of them are. */
uint64_t peer_handed(const struct peer *peer);
uint32_t peer_connections(const struct peer *peer);
void peer_connections_done(struct peer *peer, uint32_t count);

/*
 * Answers the request `id` to 0. `result` is borrowed; NULL stands for {}.
 * Silently nothing when the peer has ended.
 */
void peer_reply(struct peer *peer, uint64_t id, json_t *result);
void peer_error(
	struct peer *peer, uint64_t id, const char *code, const char *message);

/*
 * The methods `subscribe` and `unsubscribe` of workers and clients: does it and
 * answers `id`. `params` (borrowed, or NULL) names the pattern as "topic".
 * Doing either twice is the same as once. A subscription goes with its peer; a
 * worker's that takes part in resuming outlives the brain.
 */
void peer_subscribe(struct peer *peer, uint64_t id, json_t *params);
void peer_unsubscribe(struct peer *peer, uint64_t id, json_t *params);

/*
 * Reads what the peer has sent until there is nothing more (EAGAIN or end of
 * file), at most `max_bytes`, and routes it: what a process sent before it
 * died is delivered. May call the hooks.
 */
void peer_drain(struct peer *peer, uint64_t max_bytes);

/*
 * Ends a peer: closes its channel, answers its open requests' askers with
 * `worker-died`, gives written and not acknowledged messages back as
 * `worker-died`, leaves the unwritten ones to the endpoint's next receiver.
 * Takes `*peer` and clears it; NULL is fine. A client: what is queued is still
 * written, as far as the socket takes it without blocking.
 */
void peer_retire(struct peer **peer);

#endif

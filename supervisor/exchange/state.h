/*
 * state.h: the structs of the exchange, for its own modules only, and what
 * these tell each other. exchange.h is what others see.
 */
#ifndef MUSTER_EXCHANGE_STATE_H
#define MUSTER_EXCHANGE_STATE_H

#include "exchange.h"
#include "list.h"
#include "outbox.h"
#include "protocol/topic_trie.h"
#include "requests.h"

#include <ev.h>

enum {
	/* Input of one turn of the loop; then everybody is written to. */
	EXCHANGE_TURN_BYTES = 1 << 20,
	/* Who fills its reads gets so much a turn while others have input. */
	EXCHANGE_GREEDY_BYTES = 64 * 1024,
	/* A read of so much counts as one of those others. */
	EXCHANGE_BUSY_BYTES = 16 * 1024,
	/* The shared receive block is replaced when less than this is free. */
	EXCHANGE_RECEIVE_MIN = 128 * 1024,
	/* An unfinished frame shorter than this is copied, not referred to. */
	EXCHANGE_STASH_MAX = 8 * 1024,
	/* What waits for a worker that has not joined. */
	EXCHANGE_NOT_JOINED_BYTES = 1 << 20,
	/* A stalled receiver takes less than this in its time. */
	EXCHANGE_STALL_BYTES = 64 * 1024,
	EXCHANGE_CLIENT_QUEUE = 8 << 20,
	/* A client that sends nothing more of a long frame is closed. */
	EXCHANGE_CLIENT_FRAME_MS = 10000,
	/* Subscriptions of a worker, of a client, and of all clients; and how
	 * many tokens their patterns may have on an average. */
	EXCHANGE_SUBSCRIPTIONS_WORKER = 16384,
	EXCHANGE_SUBSCRIPTIONS_CLIENT = 1024,
	EXCHANGE_SUBSCRIPTIONS_CLIENTS = MEMORY_SUBSCRIPTIONS_MAX / 2,
	EXCHANGE_SUBSCRIPTION_TOKENS = 4,
	EXCHANGE_TOPIC_NODES = 8 * MEMORY_SUBSCRIPTIONS_MAX,
	/* Large blocks that long frames leave to the rest. */
	EXCHANGE_LARGE_RESERVE = 8 * MEMORY_LARGE_SIZE,
	/* Who is not admitted has little to say. */
	EXCHANGE_STRANGER_MESSAGE = 64 * 1024,
	/* When the kernel had no room, without a word when it has again. */
	EXCHANGE_RETRY_MS = 10,
	/* Parts of a frame as it comes in; a broadcast adds a header. */
	INTAKE_PIECES_MAX = RING_PIECES_MAX - 1,
	INTAKE_PIECES_FEW = 4, /* most have no more */
};

/* What came to nobody; for the metrics. */
struct exchange_losses {
	uint64_t returned;    /* frames that went back to their sender */
	uint64_t uncounted;   /* messages without an id that found nobody */
	uint64_t answers;     /* answers to no open request */
	uint64_t descriptors; /* that no frame claimed */
	uint64_t damaged;     /* frames that an earlier brain left damaged */
};

struct exchange {
	struct ev_loop *loop;
	struct memory *memory;
	const struct memory_view *view;
	bool is_used;	 /* an earlier brain laid the memory out */
	bool is_settled; /* exchange_settle was called */

	struct link groups;	     /* group::link */
	struct link peers;	     /* peer::link */
	struct endpoint **endpoints; /* by address; NULL: no such */
	uint32_t endpoint_room;

	struct topic_trie topics;
	uint32_t client_subscriptions; /* of all clients */

	struct requests requests;
	struct link waits_request; /* peer::pause: no row was free */
	struct link waits_memory;  /* peer::pause: no block was free */
	struct link dirty;   /* peer::dirty: to be written at the turn's end */
	struct link ack_due; /* peer::ack: read and not acknowledged */
	struct link dead;    /* peer::link: to be freed at the turn's end */
	struct link woken;   /* peer::woken: read at the next turn's end */
	struct link held;    /* peer::hold: see hold.c */

	ev_prepare turn_end;
	ev_idle go_on; /* active: the loop doesn't sleep */
	ev_timer ack_timer, retry_timer, hold_timer;

	uint32_t receive_block; /* into which all channels are read */
	uint32_t receive_fill;
	uint64_t promised; /* bytes that long frames under way still need */
	uint64_t client_frames; /* bytes of long frames of clients under way */
	uint32_t turn_bytes;
	uint32_t busy, busy_before; /* channels with much input, by turn */
	uint64_t stamp;		    /* orders who has waited longest */
	exchange_returned *returned;
	void *returned_data;
	struct exchange_losses losses;
};

struct group {
	struct exchange *exchange;
	struct link link;      /* exchange::groups */
	struct link endpoints; /* endpoint::link */
	char *name;
	struct group_limits limits;
	bool is_running;
	struct outbox *waiting; /* what ANY keeps while nobody is ready */
	bool must_dispatch;	/* somebody became free in this turn */
};

struct endpoint {
	struct group *group;
	struct link link; /* group::endpoints */
	uint32_t id, instance;
	bool is_ready, is_dormant;
	struct peer *peer;     /* who receives; NULL: frames wait */
	struct outbox *outbox; /* the peer's, or its own while there is none */
	struct peer *subscriber; /* NULL but while receivers are chosen */
	uint64_t last_any;	 /* exchange::stamp of its last ANY */
	uint64_t messages_in, messages_out; /* of the processes before */
};

struct peer {
	struct exchange *exchange;
	struct link link;	   /* exchange::peers or exchange::dead */
	struct endpoint *endpoint; /* a worker's */
	const struct peer_hooks *hooks;
	void *data;
	enum peer_role role;
	uint32_t id, generation;
	uint64_t process;
	bool has_ended;
	bool is_retired;
	bool is_draining;   /* its process is gone: no limit holds it back */
	bool is_walking;    /* its bytes are being walked */
	enum peer_end doom; /* how it ends at the turn's end, … */
	const char *doom_reason; /* … when this is set */
	bool awaits_resume;	 /* its first frame must be `resume` */
	json_t *welcome;	 /* the answer to it */

	int fd;
	ev_io readable, writable;
	uint32_t stream_to;	 /* the worker that its last long run went to */
	struct link hold;	 /* exchange::held */
	ev_timer queue_timer;	 /* over its limit, or not joined */
	uint64_t taken_before;	 /* outbox::taken when that timer began */
	uint32_t missing_before; /* a client's timer: see clients.c */
	bool takes_fds;		 /* its socket carries descriptors */

	/* Connections and requests that were passed on to it, in this brain's
	 * life. */
	uint64_t handed;

	/* writing */
	bool wants_room; /* for connections: has_room is owed */
	struct outbox *outbox;
	struct link dirty; /* exchange::dirty */

	/* reading: an unfinished frame, … */
	/* Its parts so far, each with a reference: at `few`, or more that are
	 * allocated. */
	struct piece *pieces;
	struct piece few[INTAKE_PIECES_FEW];
	uint32_t piece_count;
	uint32_t frame_share;	      /* of exchange::client_frames */
	uint32_t missing;	      /* bytes that are still to come … */
	uint32_t own_block, own_fill; /* … into this block */
	uint32_t stash; /* … or its copied start: a small block */
	uint32_t stash_size;
	int claimed_fd; /* that frame's descriptor */
	/* … and what was read but can't be routed yet */
	struct piece rest;
	bool is_greedy;
	int *fds; /* arrived, not claimed */
	uint32_t fd_count, fd_room;
	uint32_t unclaimed; /* closed without a frame, ever */

	/* acknowledging */
	struct link ack; /* exchange::ack_due */
	uint32_t unacked_frames;
	uint64_t unacked_bytes;

	/* pausing: on outbox::paused, waits_request or waits_memory */
	struct link pause;
	struct link woken; /* exchange::woken */

	struct link asking;    /* request::of_asker */
	struct link answering; /* request::of_asked */
	uint32_t asking_count, answering_count;

	/* topics */
	struct link subscriptions; /* subscription::of_peer */
	uint32_t subscription_count, subscription_tokens;
	struct link receiving; /* on the list of who gets a broadcast */
};

/* What a peer subscribed to. */
struct subscription {
	struct topic_entry entry;
	struct link of_peer; /* peer::subscriptions */
	struct peer *peer;
	uint32_t row; /* in the exchange memory */
	uint32_t tokens;
};

/* exchange.c ------------------------------------------------------------ */

/* The endpoint or guest with an address, or NULL. */
struct endpoint *exchange_endpoint(struct exchange *exchange, uint32_t id);
struct peer *exchange_client(struct exchange *exchange, uint32_t id);

/* The very process or client that sent a frame, or NULL: it is gone. */
struct peer *exchange_sender(
	struct exchange *exchange, const struct outbox_source *source);

struct group *exchange_group(
	struct exchange *exchange, const char *name, size_t size);

/* Gives all that waits in an outbox without a process back. */
void exchange_empty_outbox(struct exchange *exchange, struct outbox *outbox,
	const char *code, const char *message);

/* Frees such an outbox; who waits for it goes on. */
void exchange_drop_outbox(struct outbox **outbox);

/* Tries again in a moment to write to the peer. */
void exchange_retry(struct peer *peer);

/* Tells apart who has the same channel one after another. */
static inline uint32_t
peer_mark(const struct peer *peer)
{
	return peer->role == PEER_WORKER ? (uint32_t)peer->process : peer->id;
}

/* The peer is to be written to at the turn's end. */
static inline void
exchange_mark_dirty(struct peer *peer)
{
	if (list_is_empty(&peer->dirty))
		list_append(&peer->exchange->dirty, &peer->dirty);
}

/* group.c, endpoint.c ---------------------------------------------------- */

/* The queue of what waits for any worker; made when there is none. NULL without
 * memory. */
struct outbox *group_waiting(struct group *group);

/* Goes on with the row of an earlier brain. Returns false: it isn't its own. */
bool group_adopt_waiting(struct group *group, uint32_t channel);

/* The outbox that takes what is addressed to the endpoint; made when there is
 * none. NULL without memory. */
struct outbox *endpoint_outbox(struct endpoint *endpoint);

/* Tells the workers what an earlier brain died before telling. */
void endpoint_tell_again(struct endpoint *endpoint);

/* Goes on with the row of an earlier brain. Returns false: it has one. */
bool endpoint_adopt_outbox(struct endpoint *endpoint, uint32_t channel);

/* peer.c ---------------------------------------------------------------- */

/* A peer without a channel, on no list. NULL without memory. */
struct peer *peer_make(
	struct exchange *exchange, const struct peer_hooks *hooks, void *data);

/* Takes `fd` (-1: none) into the loop. */
void peer_watch(struct peer *peer, int fd);

/* Something was appended to the peer's outbox. */
void peer_queued(struct peer *peer);

/* Writes to the peer what the kernel takes. May end it. */
void peer_flush(struct peer *peer);

/* Stops reading the peer until one of `waiters` is woken. */
void peer_pause(struct peer *peer, struct link *waiters);

/* Lets a paused peer go on: what waited with it is walked in the next turn. */
void peer_go_on(struct peer *peer);
void peer_wake_all(struct link *waiters);

/* peer_say.c ------------------------------------------------------------- */

/* A frame without a number: `body`, and `received` where that is not NULL. */
int peer_send_uncounted(struct peer *peer, enum muster_kind kind, uint64_t id,
	json_t *body, const uint32_t *received);

/* A frame from 0. Errors as peer_send. */
int peer_send_text(struct peer *peer, enum muster_kind kind, uint64_t id,
	const char *text, size_t size);

/* An error from 0 in the protocol's shape; `to` 0: without. */
void peer_refuse(struct peer *peer, uint64_t id, const char *code,
	const char *message, uint32_t to);

/* Acknowledges to all who wait for it. */
void peer_ack_all(struct exchange *exchange);

/* Counts frames as read, for acknowledging. */
void peer_count_read(struct peer *peer, uint32_t frames, uint64_t bytes);

/* peer_end.c ------------------------------------------------------------- */

/* Ends the channel and tells its owner. */
void peer_end(struct peer *peer, enum peer_end how, const char *reason);

/* The same at the end of the turn, for where hooks must not be called. */
void peer_doom(struct peer *peer, enum peer_end how, const char *reason);

/* Ends it for a rule that it broke: the peer is told too. */
void peer_break(struct peer *peer, const char *reason);

/* Frees what a retired peer still holds; at the end of a turn. */
void peer_free(struct peer *peer);

/* peer_hand.c ------------------------------------------------------------ */

/* The peer's queue became shorter: who waits with a connection may be told. */
void peer_tell_room(struct peer *peer);

/* peer_resume.c ---------------------------------------------------------- */

/*
 * Answers a `resume` that says up to where the worker has `received`.
 * Returns 0, or a negative errno: it doesn't fit, the channel is to be closed.
 */
int peer_accept_resume(struct peer *peer, uint64_t id, uint32_t received);

/* Takes out of its queue what an earlier brain left and can't be written as it
 * was. Returns 0 or -ENOMEM. */
int peer_mend(struct peer *peer);

/* Denies it and ends the channel. */
void peer_refuse_resume(struct peer *peer, uint64_t id);

/* clients.c -------------------------------------------------------------- */

/* Whether a long frame of so many bytes may begin, of which some are missing;
 * else the peer waits. */
bool clients_may_begin(struct peer *peer, uint32_t size, uint32_t missing);
void clients_end_frame(struct peer *peer);

/* The time of a client's long frame is over. */
void clients_on_timer(struct peer *peer);

/* For when memory is short: closes the client with the longest queue, if all
 * clients together take too much. */
void clients_check_queues(struct exchange *exchange);

/* Whether descriptors travel over the socket. */
bool clients_take_fds(int fd);

/* topics.c --------------------------------------------------------------- */

/* The peer is gone: its subscriptions, too. */
void topics_forget(struct peer *peer);

/* Goes on with the subscriptions that an earlier brain left; `by_row`: who of
 * this life has which row. */
void topics_recover(struct exchange *exchange, struct peer *const *by_row);

/* hold.c ---------------------------------------------------------------- */

/* Whether the peer is better not read now; then it is read again when its
 * receiver has caught up, or after a moment. */
bool hold_back(struct peer *peer);

/* The peer's queue became shorter: who was held back for it may go on. */
void hold_release(struct peer *receiver);

/* The moment is over: all go on. */
void hold_release_all(struct exchange *exchange);

/* intake.c, walk.c ------------------------------------------------------- */

/* One read and the walk over what it brought. Returns false when there was
 * nothing (EAGAIN), or the peer ended or is paused. */
bool intake_read(struct peer *peer);

/* Whether the peer may go on: it neither ended nor waits for room. */
bool intake_may_go_on(const struct peer *peer);

/* The oldest descriptor that arrived, or -1. */
int intake_claim_fd(struct peer *peer);

/* Keeps the start of a frame. Returns false: it waits for room, or ended. */
bool intake_keep_start(struct peer *peer, struct piece start);

/* Frees the long frame that was under way. */
void intake_drop_pieces(struct peer *peer);

/* Closes and frees what the reading side holds. */
void intake_fini(struct peer *peer);

/*
 * Walks the long frame that has come in, then the bytes `at` … `end` of a
 * block. Returns behind what was taken: less than `end` when the peer is paused
 * or has ended.
 */
uint32_t walk_bytes(
	struct peer *peer, uint32_t block, uint32_t at, uint32_t end);

/* router.c and its parts -------------------------------------------------- */

/* A frame that has come in whole. */
struct inbound {
	struct frame_header header;
	uint8_t *bytes; /* of the header, in its block */
	const struct piece *pieces;
	uint32_t count;
	int fd; /* or -1; taken over when the frame is taken */
};

/*
 * Takes the frame to whom it is addressed. Returns true: taken; false: the
 * peer was paused, the frame is to be offered again.
 */
bool router_route(struct peer *from, struct inbound *in);

/* Gives a frame that was taken out of a ring back to its sender. */
void router_give_back(struct exchange *exchange, struct outbox_taken *taken,
	const char *code, const char *message);

/* Offers a frame that was taken out of a ring to another outbox. */
void router_move(struct exchange *exchange, struct outbox_taken *taken,
	struct endpoint *to);

/* Hands out what waits for ANY worker of the group. */
void router_dispatch(struct group *group);

/* Frees the room of requests to ANY that expired while they waited. */
void router_expire_waiting(struct exchange *exchange);

/* A request's time is over. */
void router_expired(struct request *request);

/* Closes a request with an error from 0 to its asker. */
void router_fail_request(struct exchange *exchange, struct request *request,
	const char *code, const char *message);

/* Closes a request and frees its place; who waits for one goes on. */
void router_close_request(struct exchange *exchange, struct request *request);

#endif

/*
 * handle.h: the inside of struct muster, shared by the files of the SDK and
 * seen by nobody else.
 *
 *	attach.c     birth, death, identity
 *	join.c       birth as a guest
 *	listeners.c  the shared sockets
 *	loop.c       descriptor, waiting, one turn
 *	receive.c    what a frame means
 *	events.c     what the supervisor tells, and resuming
 *	send.c       messages
 *	requests.c   open requests and their answers
 *	topics.c     publishing and subscribing
 *	accept.c     connections, and how many there are
 */
#ifndef MUSTER_HANDLE_H
#define MUSTER_HANDLE_H

#include "muster.h"
#include "protocol/channel.h"
#include "protocol/topic_trie.h"

enum {
	HANDLE_QUEUE_LIMIT = 8 * 1024 * 1024, /* bytes not written */
	HANDLE_CHANNELS_WAITING = 16,	      /* passed, not yet used */
	HANDLE_LISTENERS_MAX = 1024,
	HANDLE_EVENT_MAX = 64 * 1024, /* bytes of an event from 0 */
	HANDLE_SUBSCRIPTIONS_MAX = 16384,
	HANDLE_JSON_FLAGS =
		JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY,
};

struct listener {
	int fd;
	bool is_own; /* of a group: no other worker accepts from it */
	char *name;
	char *address; /* NULL until `welcome` */
};

/* Connections: see accept.c. */
struct accepting {
	muster_connection_fn *fn; /* NULL: nothing is accepted */
	void *data;
	int epoll; /* where the listeners are watched; -1: nowhere */
	uint64_t mark;
	bool is_foreign;   /* that epoll is the program's */
	bool is_watching;  /* they are in it */
	int64_t paused_to; /* ms; 0: not for want of descriptors */
	uint8_t *handed;   /* a bit for each descriptor: the supervisor's */
	size_t handed_size;
	uint32_t done; /* handed over, done, and not told */
	int64_t done_due;
	uint32_t open; /* that the program has */
	int64_t in_flight;
	bool counts_itself; /* muster_in_flight was called */
	uint32_t load_told;
	int64_t load_due; /* not before this time */
};

enum answer_kind {
	ANSWER_NONE, /* a free row */
	ANSWER_TEXT,
	ANSWER_JSON,
	ANSWER_WORKERS,
	ANSWER_RESUME, /* the library's own */
};

struct open_request {
	uint64_t id; /* 0: a free row */
	enum answer_kind kind;
	uint32_t next_free; /* row + 1; 0: none */
	union {
		muster_answer_fn *answer;
		muster_workers_fn *workers;
	} fn;
	void *data;
};

/* Subscriptions: see topics.c. */
struct topics {
	struct topic_trie trie; /* without a root before the first */
	struct subscription *all;
	uint32_t count;
};

struct muster {
	struct channel channel;
	/* One byte on a page that the kernel wipes in a forked child: 1 as
	 * long as this process may use the channel and it has not ended. */
	unsigned char *alive;
	bool is_guest; /* muster_join made it: nothing resumes or acknowledges
			*/
	bool ended;    /* on_end was called */
	bool inside;   /* a callback may be running */
	bool detached; /* muster_detach was called inside */

	/* Who we are. */
	char *app;
	uint32_t id;
	uint32_t instance;
	uint32_t generation;
	uint32_t max_message;
	struct listener *listeners;
	size_t listeners_count;

	/* Resuming. */
	int resume_fd; /* -1: none, or the keeper is gone */
	bool had_resume_fd;
	int waiting[HANDLE_CHANNELS_WAITING]; /* oldest first */
	unsigned waiting_count;
	bool shutdown_told;
	bool refused;	     /* the supervisor said `protocol` … */
	char refusal[200];   /* … and why */
	int64_t shutdown_by; /* ms of the monotonic clock */

	/* Loop. */
	int epoll; /* -1: muster_fd was never asked for */
	int timer;
	bool timer_armed;
	bool wake; /* sends outside of a turn make muster_fd readable */
	bool watches_write;   /* EPOLLOUT is set */
	bool watches_channel; /* channel.fd is in the epoll */
	bool broke;	      /* muster_break */
	bool ack_due_set;
	bool ack_now;	 /* a descriptor came, whose sender keeps a copy */
	int message_fd;	 /* of the message that is called back for, or -1 */
	int64_t ack_due; /* ms of the monotonic clock */

	struct accepting accepting;

	/* Sending. */
	size_t queue_limit;
	bool was_full; /* a send was refused: on_drain is owed */
	uint64_t last_tracked;

	/* Open requests, in rows that double. */
	struct open_request *requests;
	uint32_t requests_size;
	uint32_t requests_free; /* row + 1; 0: none */
	uint32_t requests_open;
	uint64_t last_request;

	struct topics topics;

	/* The program's callbacks. */
	muster_message_fn *on_message;
	muster_message_json_fn *on_message_json;
	void *on_message_data;
	muster_request_fn *on_request;
	muster_request_json_fn *on_request_json;
	void *on_request_data;
	muster_shutdown_fn *on_shutdown;
	void *on_shutdown_data;
	muster_peer_fn *on_peer;
	void *on_peer_data;
	muster_end_fn *on_end;
	void *on_end_data;
	muster_undelivered_fn *on_undelivered;
	void *on_undelivered_data;
	muster_drain_fn *on_drain;
	void *on_drain_data;

	uint64_t resume_request; /* id of the `resume` under way; 0: none */

	struct muster_counters counters;
};

/* attach.c --------------------------------------------------------------- */

/* A handle without a channel; NULL without memory. attach_make_alive makes it
 * ready; returns 0 or what mmap said. */
struct muster *attach_new(void);
int attach_make_alive(struct muster *muster);

/* Frees everything; the handle is void. Writes nothing. */
void attach_destroy(struct muster *muster);

/* Why a call is refused while *alive isn't 1: -ECHILD or -EPIPE. */
int attach_refusal(const struct muster *muster);

/* listeners.c ------------------------------------------------------------ */

/* Takes what the environment lists. Returns 0 or -ENOMEM. */
int listeners_init(struct muster *muster);
void listeners_fini(struct muster *muster);

/* Joins the list of a `welcome` (borrowed, of any shape) with what is known. */
void listeners_update(struct muster *muster, const json_t *list);

/* Whether connections are accepted from it. */
bool listeners_is_stream(int fd);

/* accept.c --------------------------------------------------------------- */

/* Calls back for a connection that was handed over; takes `fd` over. */
void accept_handed(struct muster *muster, const char *listener, int fd);

/* Accepts from the listener whose descriptor is `fd`, if it is one. */
void accept_from(struct muster *muster, int fd);

/* Nothing is accepted from now on. */
void accept_stop(struct muster *muster);

/* Tells the supervisor what is due: done and load. */
void accept_report(struct muster *muster);

/* When something is due: ms of the monotonic clock; INT64_MAX: nothing. */
int64_t accept_due(const struct muster *muster);

/* The pause for want of descriptors may be over. */
void accept_go_on(struct muster *muster);

void accept_fini(struct muster *muster);

/* loop.c ----------------------------------------------------------------- */

int64_t loop_now(void); /* ms of the monotonic clock */

/* Something is to be done `ms` from now, also in a foreign loop. */
void loop_arm(struct muster *muster, int64_t ms);

/* Around what calls back, outside of a turn: loop_enter returns 0 or why it may
 * not be; loop_leave 0, or -ECANCELED: the handle is void. */
int loop_enter(struct muster *muster);
int loop_leave(struct muster *muster);

/* Something was queued outside of a turn: see muster_set_wake. */
void loop_wake(struct muster *muster);

/* The channel's descriptor was replaced or is about to be closed. */
void loop_channel_opened(struct muster *muster);
void loop_channel_closing(struct muster *muster);
void loop_resume_closing(struct muster *muster);

/* receive.c -------------------------------------------------------------- */

/*
 * Calls back for every whole frame that was read. Ends the handle when the
 * other side broke a rule.
 */
void receive_frames(struct muster *muster);

/*
 * The channel has ended for good: answers what is open with "lost", tells the
 * program. Nothing when it was told before.
 */
void receive_end(
	struct muster *muster, enum muster_end how, const char *reason);

/* events.c --------------------------------------------------------------- */

/*
 * Handles a message from 0 if it is an event of the protocol.
 * Returns true: it was; false: it is the operator's, for the program.
 */
bool events_take(struct muster *muster, const struct channel_frame *frame);

/* A frame from 0 with a descriptor: a connection. */
void events_take_connection(
	struct muster *muster, const struct channel_frame *frame);

/* Tells the program to leave, once. */
void events_shutdown(
	struct muster *muster, const char *reason, uint32_t deadline_ms);

/* Reads what the keeper passes on the resume socket. */
void events_read_resume(struct muster *muster);

/* The channel is at its end: takes the next, waits, or ends. */
void events_channel_ended(struct muster *muster);

/* `resume` was answered; `body` is NULL for an error with `code`. */
void events_resumed(struct muster *muster, const json_t *body, const char *code,
	const char *message);

/* topics.c --------------------------------------------------------------- */

/* Calls back for a publish. */
void topics_take(struct muster *muster, const struct channel_frame *frame);
void topics_fini(struct muster *muster);

/* send.c ----------------------------------------------------------------- */

/*
 * Queues a frame. `app` may be NULL, `size` is the body's.
 * Returns 0 and the common errors of muster.h.
 */
int send_text(struct muster *muster, struct frame_header *header,
	const char *app, const char *text, size_t size);
int send_json(struct muster *muster, struct frame_header *header,
	const char *app, json_t *body);

/* requests.c ------------------------------------------------------------- */

/* A reply or an error that carries the id of a request. */
void requests_answer(struct muster *muster, const struct channel_frame *frame);

/* Answers everything that is open with the code "lost". */
void requests_lose(struct muster *muster);
void requests_fini(struct muster *muster);

/*
 * A row for the library's own `resume`, which the channel writes itself.
 * Gives the id, 0 without memory.
 */
uint64_t requests_open_resume(struct muster *muster);

/* The channel on which `resume` was asked is gone; nobody will answer. */
void requests_forget_resume(struct muster *muster);

/* {"code","message"} of an error's body; a new reference or NULL. */
json_t *requests_parse_error(const struct channel_frame *frame,
	const char **ret_code, const char **ret_message);

#endif

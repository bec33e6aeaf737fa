/*
 * muster.h: how to be a worker of muster.
 *
 * A worker is any program that muster started. Through one handle it says that
 * it is ready, hears when it must leave, and exchanges JSON messages with its
 * master and with other workers. What is written survives the death and the
 * replacement of the supervisor's brain: the library sends again what was lost
 * with the old channel, and the program doesn't notice.
 *
 *	struct muster *m;
 *	if (muster_attach(&m) < 0)
 *		return run_without_muster();
 *	muster_on_message(m, on_message, NULL);
 *	muster_ready(m);
 *	muster_run(m);
 *	muster_detach(&m);
 *
 * The loop is the program's: muster_run is one for programs that have none;
 * muster_fd and muster_dispatch fit every other; muster_ev.h is for libev.
 *
 * Promises:
 * - Sending never blocks, never reads, and never calls back in the sender's
 *   stack. Callbacks are called by muster_dispatch, muster_wait, muster_run
 *   and muster_drain only.
 * - What is sent in one turn of the loop leaves together; muster_flush sends
 *   at once.
 * - While it can't write the library goes on reading, so that two workers
 *   that flood each other both go on.
 * - Frames from one sender to one receiver arrive in order.
 * - Every queue has a bound, and reaching it is an error of the call that
 *   would go over it.
 *
 * Rules for the program:
 * - One thread uses a handle. The library has no global state and makes no
 *   thread.
 * - A forked child can't use its parent's handle: each call returns -ECHILD.
 *   muster_detach is allowed there; it frees the child's copy and leaves the
 *   parent's channel alone.
 * - Every callback may call every function of this header for its handle but
 *   muster_dispatch, muster_wait, muster_run and muster_drain, which return
 *   -EBUSY there. muster_detach in a callback takes effect when the callback
 *   has returned: no other is called after it, and the function that called
 *   back returns -ECANCELED (muster_run: 0); the handle is void then.
 *
 * Returns are 0 or a negative errno unless said otherwise. Out-parameters
 * (`ret_…`) stay untouched on failure. Texts that are given to callbacks are
 * borrowed for the call and end with a NUL, but for a body in `text`, `size`,
 * which does not. Errors that many calls have in common:
 *
 *	-ECHILD     the handle belongs to the parent of this process
 *	-EPIPE      the channel has ended for good (see muster_on_end)
 *	-ENOBUFS    the queue is full: nothing was taken. It takes again when
 *	            muster_on_drain calls; keep reading until then
 *	-EMSGSIZE   the body is longer than muster_max_message; to the master
 *	            (address 0) the bound is 1 MiB
 *	-EINVAL     an argument is wrong: an empty body, an application's name
 *	            of more than 255 bytes or where none is allowed
 *	-ENOMEM     no memory; nothing was taken
 */
#ifndef MUSTER_H
#define MUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MUSTER_API __attribute__((visibility("default")))
#else
#define MUSTER_API
#endif

struct muster;

/* Addresses. A worker keeps its id through restarts and reloads. */
#define MUSTER_MASTER 0u       /* the supervisor, the operator behind it */
#define MUSTER_ANY 0xfffffffeu /* one ready worker, the least busy */
#define MUSTER_ALL 0xffffffffu /* every ready worker but the sender */

/* Attaching ------------------------------------------------------------- */

/*
 * Makes the handle from what the supervisor left in the environment. Sets
 * close-on-exec on the channel, the resume socket and the listeners, and
 * removes the MUSTER_ variables from the environment, so call it early, while
 * the program has one thread. Nothing is written: the worker takes part from
 * muster_ready (or whatever it sends first) on.
 * Gives the handle; it ends with muster_detach.
 * Returns 0; -ENOENT: this program wasn't started by muster; -EINVAL: a
 * variable makes no sense; -EBADF: a descriptor isn't open or no socket;
 * -ENOMEM; or what mmap said.
 */
MUSTER_API int muster_attach(struct muster **ret_muster);

/*
 * For a program outside, which muster did not start: joins a running supervisor
 * as a guest. `address` is "unix:///PATH/muster.sock", the path alone, or,
 * where the operator has opened a bus, "tcp://HOST:PORT"; there `token` is what
 * the bus's token file holds (NULL: none). Waits for the supervisor's answer,
 * for at most 5 s, so call it before a loop runs.
 *
 * The handle has the same API: a guest sends, requests, publishes and
 * subscribes. Others reach it by its muster_id, with messages but not with
 * requests. ANY and ALL need an application's name. It has no lifecycle
 * (muster_ready and the like: -EINVAL), no listeners, and its connection ends
 * with the supervisor's brain: muster_on_end calls with MUSTER_END_GONE, and
 * the program may join and subscribe again. muster_drain waits until the kernel
 * has everything.
 *
 * Gives the handle; it ends with muster_detach. Returns 0; -EINVAL: the address
 * makes no sense; -EACCES: the supervisor let it not in (another user, a wrong
 * token, too many guests); -ETIMEDOUT; -EPROTO: what answers is no muster;
 * -ENOENT: no such host; -ENOMEM; or what socket and connect say
 * (-ECONNREFUSED: nobody is there).
 */
MUSTER_API int muster_join(
	const char *address, const char *token, struct muster **ret_muster);

/*
 * Acknowledges what was received, writes what the kernel takes at once, closes
 * the channel, frees the handle and sets the pointer to NULL. Listeners stay
 * open. Requests that are under way are forgotten without a call. Accepts NULL
 * and a pointer to NULL. Call muster_drain before where nothing may be lost.
 */
MUSTER_API void muster_detach(struct muster **muster);

/*
 * Who this worker is: its id in the daemon, the application's name (borrowed,
 * for the handle's life), the 0-based place in the application, and how often
 * that place was filled, from 1. They can't fail, in a forked child neither.
 */
MUSTER_API uint32_t muster_id(const struct muster *muster);
MUSTER_API const char *muster_app(const struct muster *muster);
MUSTER_API uint32_t muster_instance(const struct muster *muster);
MUSTER_API uint32_t muster_generation(const struct muster *muster);

/* Bytes of the longest body (with the name) that may be sent. */
MUSTER_API uint32_t muster_max_message(const struct muster *muster);

/* Listeners ------------------------------------------------------------- */

/*
 * The shared listening socket called `name`, or the first where `name` is
 * NULL. The descriptor stays the process's: who closes it takes it from the
 * handle's user too. It is non-blocking only when the program makes it so.
 * `muster` may be NULL: then the environment is read (LISTEN_FDS,
 * LISTEN_FDNAMES, LISTEN_PID), so that a program that was started by systemd,
 * or by nothing that speaks this protocol, finds its sockets by the same call.
 * Returns the descriptor; -ENOENT: there is none of this name.
 */
MUSTER_API int muster_listener(const struct muster *muster, const char *name);

struct muster_listener_info {
	int fd;
	const char *name;    /* "" where it has none */
	const char *address; /* "tcp://127.0.0.1:8080"; NULL: not known yet */
};

/*
 * The listener number `index`, counted from 0. The texts are borrowed for the
 * handle's life; the address is known when the first frame was dispatched.
 * Returns 0; -ENOENT: there are no more.
 */
MUSTER_API int muster_listener_at(const struct muster *muster, size_t index,
	struct muster_listener_info *ret_info);

/* Connections ------------------------------------------------------------ */

/*
 * A connection came, from the stream listener called `listener` (borrowed for
 * the call): accepted by the library, or, with `balance` round-robin, handed
 * over by the supervisor. `fd` is non-blocking, close-on-exec, and the
 * program's from now on. Take it out of an epoll before closing it: for a
 * moment the supervisor has a copy, which would keep it there.
 */
typedef void muster_connection_fn(
	struct muster *muster, int fd, const char *listener, void *data);

/*
 * Accepts connections for the program, as one of several workers on one socket
 * should: a free worker is woken, not all of them, and they take turns. It ends
 * by itself when the worker is told to leave, before muster_on_shutdown calls;
 * and with `fn` NULL. While there are no descriptors it pauses for 100 ms.
 * Accepting happens in muster_wait and muster_run. In a foreign loop it happens
 * in muster_dispatch, and then each connection wakes all workers that are idle:
 * muster_accept_in is better there. Listeners become non-blocking, for all who
 * share them. UDP sockets are left to the program.
 * Returns 0; -ECHILD; -EPIPE; or as muster_fd and epoll_ctl: nothing is
 * accepted then.
 */
MUSTER_API int muster_on_connection(
	struct muster *muster, muster_connection_fn *fn, void *data);

/*
 * For a program with an epoll of its own: watches the listeners there from now
 * on (EPOLLEXCLUSIVE), with `mark` as the events' data.u64. Whenever an event
 * has this mark the program calls muster_accept, which calls
 * muster_on_connection's callback. The epoll descriptor is borrowed until the
 * handle is detached. Call it before muster_on_connection. Returns 0; -EBADF:
 * no descriptor of an epoll; -EBUSY: it is accepting.
 */
MUSTER_API int muster_accept_in(
	struct muster *muster, int epoll, uint64_t mark);

/* Accepts what waits, a few of each listener; the rest makes another event.
 * Returns 0; -EBUSY in a callback; -ECHILD; -ECANCELED as muster_dispatch. */
MUSTER_API int muster_accept(struct muster *muster);

/*
 * A connection that muster_on_connection gave is over: call it once for each,
 * right before or after closing it. The supervisor counts by it who has the
 * fewest (round-robin), and what is in flight.
 */
MUSTER_API void muster_connection_done(struct muster *muster, int fd);

/*
 * Work began (+1) or is done (-1), for a program that knows better than by its
 * connections what it has in flight: requests, say. From the first call on this
 * is what `muster ls` shows, and what counts as cut when the worker is killed.
 */
MUSTER_API void muster_in_flight(struct muster *muster, int change);

/* Whether the worker was told to leave: connections that are kept are to be
 * closed after the answer under way. */
MUSTER_API bool muster_is_draining(const struct muster *muster);

/* Loop ------------------------------------------------------------------ */

/*
 * A descriptor that is readable whenever muster_dispatch has work. It is the
 * same for the handle's life, also when channels come and go. Watch it for
 * reading only, never read it, never close it. It is made at the first call.
 * Returns it; -ECHILD; -EMFILE, -ENFILE, -ENOMEM: it can't be made.
 */
MUSTER_API int muster_fd(struct muster *muster);

/*
 * Reads once what has come (up to 256 KiB), calls back, writes what was sent,
 * and returns without waiting. Call it when muster_fd is readable; at other
 * times it does no harm.
 * Returns 0; -EPIPE: the channel has ended for good and muster_on_end's
 * callback was called (now or earlier): stop watching; -EBUSY in a callback;
 * -ECHILD.
 */
MUSTER_API int muster_dispatch(struct muster *muster);

/*
 * Writes now what was sent so far, as much as the kernel takes. The rest goes
 * when the channel has room again, by itself. A loop that calls this before it
 * goes to sleep saves the wake-up that otherwise sends what was sent outside
 * of callbacks (see muster_set_wake).
 * Returns 0: everything is written; -EAGAIN: something waits; -EPIPE; -ECHILD.
 */
MUSTER_API int muster_flush(struct muster *muster);

/*
 * Whether a send outside of a callback makes muster_fd readable, so that it is
 * written by the next turn's muster_dispatch: true from the start. A loop that
 * calls muster_flush in each turn before it sleeps switches it off and saves
 * two system calls a turn. muster_ev.h does so.
 */
MUSTER_API void muster_set_wake(struct muster *muster, bool wake);

/*
 * One turn of a loop of its own: writes what was sent, waits for at most
 * `timeout_ms` (-1: for ever, 0: not at all) and dispatches. It looks at the
 * channel itself, so it costs three system calls a turn and needs no muster_fd.
 * Returns 0: it dispatched, or a signal came; -ETIMEDOUT: nothing happened in
 * time; -EPIPE, -EBUSY and -ECHILD as muster_dispatch.
 */
MUSTER_API int muster_wait(struct muster *muster, int timeout_ms);

/*
 * Loops until muster_break was called, the channel has ended for good, or the
 * supervisor told the worker to leave and no muster_on_shutdown is set. Before
 * it returns it writes what was sent, for at most the shutdown's deadline.
 * Returns 0; -EPIPE: the channel ended without a shutdown before; -EBUSY;
 * -ECHILD.
 */
MUSTER_API int muster_run(struct muster *muster);

/* Makes the muster_run under way, or the next one, return. */
MUSTER_API void muster_break(struct muster *muster);

/*
 * Waits until the supervisor holds everything that was sent, and calls back
 * meanwhile for what comes in. For a program that is about to exit.
 * Returns 0; -ETIMEDOUT after `timeout_ms` (-1: no bound); -EPIPE, -EBUSY and
 * -ECHILD as muster_dispatch.
 */
MUSTER_API int muster_drain(struct muster *muster, int timeout_ms);

/* Lifecycle ------------------------------------------------------------- */

/*
 * ready: the worker serves from now on: it takes part in ANY and ALL, and with
 * `wait_ready` its predecessor may leave. A worker that only listens calls
 * this too. More than once does no harm.
 * stopping: the worker leaves by itself and wants the time for it. After the
 * event `shutdown` the library has said so already.
 * heartbeat: for the key `watchdog`: call more often than it says.
 * extend: gives the deadline of starting or stopping `ms` more milliseconds
 * from now.
 * Return 0 and the common errors.
 */
MUSTER_API int muster_ready(struct muster *muster);
MUSTER_API int muster_stopping(struct muster *muster);
MUSTER_API int muster_heartbeat(struct muster *muster);
MUSTER_API int muster_extend(struct muster *muster, uint32_t ms);

/*
 * The supervisor wants the worker to finish what it has and to exit within
 * `deadline_ms` from now. `reason`: "stop", "reload", "scale", "restart",
 * "memory", "watchdog"; "supervisor-gone" where musterd itself has died and
 * nobody will restart this worker. It is called once, whatever comes after.
 */
typedef void muster_shutdown_fn(struct muster *muster, const char *reason,
	uint32_t deadline_ms, void *data);
MUSTER_API void muster_on_shutdown(
	struct muster *muster, muster_shutdown_fn *fn, void *data);

/*
 * Another worker of this application came (`ready`) or went. A reload or a
 * restart of the brain tells nothing: `id` is a place, not a process.
 */
typedef void muster_peer_fn(struct muster *muster, uint32_t id, const char *app,
	bool ready, void *data);
MUSTER_API void muster_on_peer(
	struct muster *muster, muster_peer_fn *fn, void *data);

enum muster_end {
	MUSTER_END_GONE,     /* musterd has ended, or let go of this worker */
	MUSTER_END_DENIED,   /* a new channel was refused, with its reason */
	MUSTER_END_PROTOCOL, /* one side broke a rule of the protocol */
	MUSTER_END_SYSTEM,   /* no memory, or an error of a system call */
};

/*
 * The channel has ended for good. Each open request was answered with the code
 * "lost" before. Sending returns -EPIPE from now on. A brain that died and is
 * replaced is no end: nothing is called then.
 */
typedef void muster_end_fn(struct muster *muster, enum muster_end how,
	const char *reason, void *data);
MUSTER_API void muster_on_end(
	struct muster *muster, muster_end_fn *fn, void *data);

/* Messages -------------------------------------------------------------- */

/*
 * Sends one JSON value to `to`: a worker's id, MUSTER_MASTER, MUSTER_ANY or
 * MUSTER_ALL. `app` names the application whose workers ANY and ALL mean;
 * NULL: the sender's own, and NULL for any other address. ALL and ANY never
 * mean the sender; an id may be the sender's own.
 * _text: `text` is exactly one JSON value in UTF-8, `size` bytes; it is copied
 * and not looked at. The other: `body` is borrowed and written at once.
 * A message that can't be delivered is only counted: see muster_send_tracked.
 * Return 0 and the common errors.
 */
MUSTER_API int muster_send_text(struct muster *muster, uint32_t to,
	const char *app, const char *text, size_t size);
MUSTER_API int muster_send(
	struct muster *muster, uint32_t to, const char *app, json_t *body);

/*
 * The same for a message whose sender wants to know of its failure. Gives the
 * number by which muster_on_undelivered tells it; `ret_id` may not be NULL. No
 * call doesn't prove that it was handled: for that use a request.
 */
MUSTER_API int muster_send_tracked_text(struct muster *muster, uint32_t to,
	const char *app, const char *text, size_t size, uint64_t *ret_id);
MUSTER_API int muster_send_tracked(struct muster *muster, uint32_t to,
	const char *app, json_t *body, uint64_t *ret_id);

/*
 * Sends a message with a descriptor, which the receiver gets a copy of. `to` is
 * a worker's id or MUSTER_ANY. On success `fd` is the library's, which closes
 * it; a receiver that doesn't take it closes it too.
 * Returns 0 and the common errors; -EBADF: `fd` isn't open.
 */
MUSTER_API int muster_send_fd(struct muster *muster, uint32_t to,
	const char *app, const char *text, size_t size, int fd);

/*
 * The message `id`, sent by muster_send_tracked, didn't reach `to`. `code` is
 * the protocol's ("no-such-worker", "stalled", "worker-died", …), `message` is
 * for people. With `id` 0 a subscription was refused.
 */
typedef void muster_undelivered_fn(struct muster *muster, uint64_t id,
	uint32_t to, const char *code, const char *message, void *data);
MUSTER_API void muster_on_undelivered(
	struct muster *muster, muster_undelivered_fn *fn, void *data);

struct muster_message {
	uint32_t from;	  /* a worker's id; 0: the operator; 0x40000000 and
			   * up: another program on the control socket */
	uint32_t to;	  /* as it was sent: the own id, ANY or ALL */
	const char *text; /* one JSON value, not parsed, without a NUL */
	size_t size;	  /* bytes of text */
	int fd;		  /* that came with it, or -1; see muster_take_fd */
};

/*
 * Inside of the callback for a message: takes its descriptor over, which is
 * closed otherwise. Returns it, close-on-exec; -ENOENT: there is none (any
 * more).
 */
MUSTER_API int muster_take_fd(struct muster *muster);

/*
 * A message came. Everything in `message` is borrowed for the call; the text
 * lies in the receive buffer and may not be written.
 */
typedef void muster_message_fn(struct muster *muster,
	const struct muster_message *message, void *data);

/* The same with the body parsed; `body` is a borrowed reference. */
typedef void muster_message_json_fn(struct muster *muster,
	const struct muster_message *message, json_t *body, void *data);

/*
 * Sets what is called for messages; one of the two: setting one clears the
 * other, and NULL clears both. Messages that nobody wants, and bodies that are
 * no JSON where the second is set, are dropped and counted.
 */
MUSTER_API void muster_on_message(
	struct muster *muster, muster_message_fn *fn, void *data);
MUSTER_API void muster_on_message_json(
	struct muster *muster, muster_message_json_fn *fn, void *data);

/* Topics ---------------------------------------------------------------- */

/*
 * A topic is made of tokens of letters, digits, `_` and `-` with dots between
 * them: "orders.4711.paid". In a pattern `*` stands for one token, and `>` as
 * the last token for one or more: "orders.*.paid", "chat.>". Both have at most
 * 255 bytes.
 */
struct muster_publication {
	uint32_t from;	   /* as of a message */
	const char *topic; /* it was published to */
	const char *text;  /* one JSON value, not parsed, without a NUL */
	size_t size;	   /* bytes of text */
	int fd;		   /* as of a message; see muster_take_fd */
	bool bridged;	   /* it came in from another host */
};

/* Something was published. Everything is borrowed for the call. */
typedef void muster_topic_fn(struct muster *muster,
	const struct muster_publication *publication, void *data);

/* The same with the body parsed; `body` is a borrowed reference. */
typedef void muster_topic_json_fn(struct muster *muster,
	const struct muster_publication *publication, json_t *body, void *data);

/*
 * Calls `fn` for whatever is published from now on to a topic that `pattern`
 * (copied) matches, by anybody but this worker. A publication is received once;
 * where several patterns match it, the callback of each is called, in no
 * certain order. The same pattern again sets another callback.
 *
 * A subscription belongs to this process: it survives the death of the
 * supervisor's brain without a gap, and the process that takes this one's place
 * subscribes for itself. In a reload the old process goes on receiving until
 * the new one is ready and has subscribed: so subscribe before muster_ready.
 *
 * Return 0 and the common errors; -EINVAL: that is no pattern; -ENOSPC: this
 * handle has 16,384. Where the supervisor has too many of all together, it is
 * told to muster_on_undelivered with the id 0, and the subscription is gone.
 */
MUSTER_API int muster_subscribe(struct muster *muster, const char *pattern,
	muster_topic_fn *fn, void *data);
MUSTER_API int muster_subscribe_json(struct muster *muster, const char *pattern,
	muster_topic_json_fn *fn, void *data);

/*
 * Ends the subscription of exactly this pattern: its callback isn't called any
 * more. Returns 0 and the common errors; -ENOENT: there is none.
 */
MUSTER_API int muster_unsubscribe(struct muster *muster, const char *pattern);

/*
 * Publishes one JSON value to `topic`: everybody who has subscribed to it gets
 * it once. That nobody has is no error. _text: as muster_send_text. Order holds
 * among all that this worker sends.
 * Return 0 and the common errors; -EINVAL: that is no topic.
 */
MUSTER_API int muster_publish_text(struct muster *muster, const char *topic,
	const char *text, size_t size);
MUSTER_API int muster_publish(
	struct muster *muster, const char *topic, json_t *body);

/*
 * For bridges: publishes what came in from another host. Receivers see it by
 * `bridged`, and no bridge sends such a publication out again. Of workers that
 * are no bridges the supervisor doesn't believe it.
 */
MUSTER_API int muster_publish_bridged(struct muster *muster, const char *topic,
	const char *text, size_t size);

/* Requests to this worker ------------------------------------------------ */

/* What an answer needs; copy it to answer later. */
struct muster_ticket {
	uint64_t id;
	uint32_t from;
};

struct muster_request {
	struct muster_ticket ticket;
	uint32_t to;	     /* the own id, or ANY */
	uint32_t timeout_ms; /* how long the asker waits; 0: for ever */
	const char *text;    /* one JSON value, not parsed, without a NUL */
	size_t size;	     /* bytes of text */
};

/*
 * A request came; all of it is borrowed for the call. Answer it once, in the
 * callback or later, by its ticket: an answer past the asker's time is dropped
 * by the supervisor. Without a callback the library answers with the code
 * "app-no-handler", and a body that is no JSON, where the second kind is set,
 * with "app-bad-json".
 */
typedef void muster_request_fn(struct muster *muster,
	const struct muster_request *request, void *data);
typedef void muster_request_json_fn(struct muster *muster,
	const struct muster_request *request, json_t *body, void *data);
MUSTER_API void muster_on_request(
	struct muster *muster, muster_request_fn *fn, void *data);
MUSTER_API void muster_on_request_json(
	struct muster *muster, muster_request_json_fn *fn, void *data);

/*
 * Answers a request: with a JSON value (text as in muster_send_text, or
 * borrowed), or with an error. `code` begins with "app-", and `message` is for
 * people, in UTF-8; both are copied.
 * Return 0 and the common errors; -EINVAL also for a code that doesn't begin
 * so.
 */
MUSTER_API int muster_reply_text(struct muster *muster,
	struct muster_ticket ticket, const char *text, size_t size);
MUSTER_API int muster_reply(
	struct muster *muster, struct muster_ticket ticket, json_t *body);
MUSTER_API int muster_reply_error(struct muster *muster,
	struct muster_ticket ticket, const char *code, const char *message);

/* Requests of this worker ------------------------------------------------ */

struct muster_answer {
	const char *code;    /* NULL: a reply; else why there is none */
	const char *message; /* of an error: words for people, maybe "" */
	uint32_t from;	     /* who answered; 0: the supervisor */
	const char *text;    /* the body as it came, or NULL where an error was
			      * made by the library; without a NUL */
	size_t size;	     /* bytes of text */
	json_t *body;	     /* borrowed; of a reply, where the request was made
			      * with a json_t or by muster_call; else NULL */
};

/*
 * The answer to a request: called exactly once for each that was taken, unless
 * the handle is detached before. Codes are the protocol's ("timeout",
 * "worker-died", "not-running", "no-such-worker", …), the other program's own
 * ("app-…"), "bad-body": the reply is no JSON, and "lost": the channel ended.
 */
typedef void muster_answer_fn(
	struct muster *muster, const struct muster_answer *answer, void *data);

/*
 * Asks a worker (`to` an id), or one of an application (MUSTER_ANY, `app` as in
 * muster_send). `timeout_ms`: after this time the supervisor answers with
 * "timeout"; 0: never. A request to ALL is -EINVAL. A request under way
 * survives the death of the brain. `fn` may be NULL: the answer is ignored.
 * Return 0 and the common errors; -ENOBUFS also for more than 16,384 open
 * requests.
 */
MUSTER_API int muster_request_text(struct muster *muster, uint32_t to,
	const char *app, const char *text, size_t size, uint32_t timeout_ms,
	muster_answer_fn *fn, void *data);
MUSTER_API int muster_request(struct muster *muster, uint32_t to,
	const char *app, json_t *body, uint32_t timeout_ms,
	muster_answer_fn *fn, void *data);

/*
 * Asks the supervisor: `method` of the protocol with its parameters (an object,
 * borrowed; NULL: none).
 */
MUSTER_API int muster_call(struct muster *muster, const char *method,
	json_t *params, muster_answer_fn *fn, void *data);

struct muster_worker {
	uint32_t id;
	uint32_t instance;
	const char *app;
	const char *state; /* "starting", "ready", …, as in `muster ls` */
};

/*
 * The workers of an application, this one included. `code` is NULL, or the
 * code of the error, and then `count` is 0. Everything is borrowed.
 */
typedef void muster_workers_fn(struct muster *muster, const char *code,
	const struct muster_worker *workers, size_t count, void *data);

/* Asks for them; `app` NULL: the own. Returns 0 and the common errors. */
MUSTER_API int muster_workers(struct muster *muster, const char *app,
	muster_workers_fn *fn, void *data);

/* Bounds and counters ----------------------------------------------------- */

/* Bytes that were sent and are not written yet. */
MUSTER_API size_t muster_pending(const struct muster *muster);

/*
 * The bound of muster_pending in bytes, 8 MiB from the start. A queue takes a
 * frame while it is under its bound, however long the frame.
 */
MUSTER_API void muster_set_queue_limit(struct muster *muster, size_t bytes);

/*
 * Called when a send was refused with -ENOBUFS and half of the queue is free
 * again.
 */
typedef void muster_drain_fn(struct muster *muster, void *data);
MUSTER_API void muster_on_drain(
	struct muster *muster, muster_drain_fn *fn, void *data);

struct muster_counters {
	uint64_t frames_in;	     /* counted frames taken in */
	uint64_t frames_out;	     /* counted frames sent */
	uint64_t dropped;	     /* messages that nobody wanted */
	uint64_t bad_bodies;	     /* bodies that were no JSON */
	uint64_t stale_answers;	     /* answers to no open request */
	uint64_t descriptors_closed; /* that arrived unasked */
	uint64_t resumes;	     /* channels that replaced a broken one */
};
MUSTER_API void muster_read_counters(
	const struct muster *muster, struct muster_counters *ret_counters);

#ifdef __cplusplus
}
#endif

#endif

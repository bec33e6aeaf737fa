/*
 * client.h: the command's end of the control socket: connect, ask, listen.
 *
 * Blocking with deadlines, one thread. All functions that fail have said on
 * stderr what, where and how to mend it, and give the exit code for it.
 */
#ifndef MUSTER_CLIENT_H
#define MUSTER_CLIENT_H

#include "protocol/channel.h"

#include <jansson.h>

enum {
	CLIENT_ANSWER_MS = 10000,    /* for what is answered at once */
	CLIENT_TAKE_OVER_MS = 30000, /* for a brain that is being replaced */
	CLIENT_FOR_EVER = -1,
};

struct client;

/*
 * Connects to the supervisor of this home and introduces itself as an
 * operator. `verb` (a literal) is named in messages.
 * Returns CLI_DONE with the new client in `ret_client`; CLI_NO_DAEMON; or
 * CLI_FAILED.
 */
int client_open(const char *verb, struct client **ret_client);

/* The same, and waits up to `wait_ms` for the welcome. */
int client_open_within(
	const char *verb, int wait_ms, struct client **ret_client);

/* Hangs up and frees; accepts NULL, and clears the caller's pointer. */
void client_free(struct client **client);

/* The same, and says nothing where no supervisor runs. */
int client_probe(const char *verb, struct client **ret_client);

/*
 * The same for who has just lost its connection: waits for the next brain.
 * Returns false where no supervisor is left. That, and what fails on the new
 * connection until client_settle, is said to nobody: it may be the end.
 */
bool client_reopen(const char *verb, struct client **ret_client);
void client_settle(struct client *client);

/* Waits until nobody listens at the home's socket any more, up to `wait_ms`.
 * Returns whether that came. */
bool client_wait_gone(int wait_ms);

/*
 * Calls `method` with `params` (stolen; NULL: none) and waits up to `wait_ms`.
 * Frames that are no answer to it are dropped.
 * Returns CLI_DONE with the answer in `ret_result` (new reference); the exit
 * code that fits the error: CLI_NO_SUCH or CLI_FAILED.
 */
int client_call(struct client *client, const char *method, json_t *params,
	int wait_ms, json_t **ret_result);

/*
 * Queues the request without waiting for its answer. `params` is stolen.
 * Returns its id, or 0 after a message.
 */
uint64_t client_ask(struct client *client, const char *method, json_t *params);

/*
 * Queues a message of `size` bytes of JSON to `to`, with the application `app`
 * or NULL. Nothing is written before client_next().
 * Returns its id, by which an error about it is known, or 0 after a message.
 */
uint64_t client_send(struct client *client, uint32_t to, const char *app,
	const char *body, size_t size);

/* The same for a publish to `topic`, … */
uint64_t client_publish(struct client *client, const char *topic,
	const char *body, size_t size);

/* … and for a request; `timeout_ms` 0: none. */
uint64_t client_request(struct client *client, uint32_t to, const char *app,
	const char *body, size_t size, uint32_t timeout_ms);

/*
 * Writes what waits until it is under 1 MiB, for as long as that takes: to be
 * called after each frame that was queued. What has come meanwhile is given as
 * by client_next().
 * Returns 1: a frame, call again; 0: there is room and nothing more has come;
 * or a negative errno as client_next().
 */
int client_make_room(struct client *client, struct channel_frame *ret_frame);

/*
 * Writes what waits and gives the next frame, valid until the next call.
 * `wait_ms`: how long to wait for it, or CLIENT_FOR_EVER.
 * Returns 1; 0: none came in time; -EPIPE: the supervisor hung up; or another
 * negative errno. Says nothing.
 */
int client_next(
	struct client *client, int wait_ms, struct channel_frame *ret_frame);

/* Says that the connection ended (`result` of client_next); CLI_FAILED. */
int client_complain(const struct client *client, int result);

/*
 * Says what the body of an error frame says; returns CLI_NO_SUCH for what
 * isn't there, CLI_USAGE for a command line that is wrong, CLI_FAILED for all
 * else.
 */
int client_explain(
	const struct client *client, const struct channel_frame *frame);

#endif

/*
 * methods.h: a client of the control socket, and what it may ask of address 0.
 * For control/ only.
 */
#ifndef MUSTER_METHODS_H
#define MUSTER_METHODS_H

#include "exchange/exchange.h"
#include "fleet/fleet.h"

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct control;
struct events_follower;
struct fleet;

/* With whom a client is counted. */
enum client_crowd {
	CLIENT_OTHER,  /* an operator, or it hasn't said hello */
	CLIENT_GUEST,  /* over the UNIX socket */
	CLIENT_REMOTE, /* over TCP: a guest, or it hasn't said hello */
	CLIENT_CROWDS,
};

struct client {
	struct control *control;
	struct fleet *fleet;
	struct client *next; /* control::clients */
	struct peer *peer;
	ev_timer hello;	 /* its time to say it */
	bool is_foreign; /* another user's: it is told so, and no more */
	enum client_crowd crowd;
	struct events_follower *follower;
	unsigned int waiting; /* answers that come later */
};

/* Who asked for something whose answer comes later: owned by who answers. */
struct question {
	struct client *client; /* its peer is NULL when it went away */
	uint64_t id;
	const char *failure; /* the code of an error; static */
};

/* Begins to wait. NULL: it was answered that there is no memory, or that it
 * waits for too much already. */
struct question *methods_ask(
	struct client *client, uint64_t id, const char *failure);

/* The answer, as fleet_done: {} or the error; frees the question. */
void methods_answer(const char *error, void *data);

/* There will be none: what was refused is answered by the caller. */
void methods_withdraw(struct question *question);

/* Refuses for a reason that the fleet gave as a negative errno. */
void methods_refuse(struct client *client, uint64_t id, int r);

/* Reads "target"; false: it was answered that there is none. */
bool methods_find(struct client *client, uint64_t id, json_t *params,
	struct fleet_target *ret_target);

/* methods_apps.c: applications as a whole. */
typedef void methods_function(
	struct client *client, uint64_t id, json_t *params);
methods_function methods_start, methods_stop, methods_restart, methods_delete,
	methods_scale, methods_signal, methods_reset, methods_kill,
	methods_logs, methods_describe, methods_dump, methods_resurrect;

/*
 * Carries out the method `name` for an admitted client, or refuses it: unknown,
 * or not for guests. `params` is an object, borrowed, or NULL. The client is
 * answered with `id`, now or, for what takes time, later: client->waiting
 * counts those, and a client that went away meanwhile (its peer is NULL) is
 * freed with the last.
 */
void methods_call(
	struct client *client, const char *name, uint64_t id, json_t *params);

#endif

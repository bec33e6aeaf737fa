/*
 * methods.h: a client of the control socket, and what it may ask of address 0.
 * For control/ only.
 */
#ifndef MUSTER_METHODS_H
#define MUSTER_METHODS_H

#include "exchange/exchange.h"

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct control;
struct events_follower;
struct fleet;

struct client {
	struct control *control;
	struct fleet *fleet;
	struct client *next; /* control::clients */
	struct peer *peer;
	ev_timer hello;	 /* its time to say it */
	bool is_foreign; /* another user's: it is told so, and no more */
	struct events_follower *follower;
	unsigned int waiting; /* answers that come later */
};

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

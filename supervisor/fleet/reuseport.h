/*
 * reuseport.h: `reuseport`: one listening socket a slot, held by the keeper, so
 * that what is queued survives the worker.
 *
 * The sockets of an address are a group of the kernel, which is steered to the
 * slots that have a ready worker. A socket stays in its group when its slot
 * goes: it gets nothing new, and the next new slot takes it. So its number in
 * the group is known for good. Loop's thread only.
 */
#ifndef MUSTER_FLEET_REUSEPORT_H
#define MUSTER_FLEET_REUSEPORT_H

#include <stdbool.h>

struct app;
struct app_listener;
struct listen_config;
struct slot;

bool reuseport_is_for(const struct listen_config *config);

/* Whether no slot has the socket (any more). */
bool reuseport_is_parked(
	const struct app *app, const struct app_listener *listener);

/*
 * The slot's own socket for an address: the one that it has, one that was left,
 * or a new one. Gives it, or NULL with the reason in `*ret_error`.
 */
const struct app_listener *reuseport_claim(
	struct slot *slot, const struct listen_config *config, int *ret_error);

/* A slot got ready, isn't any more, or goes: new connections go elsewhere. */
void reuseport_steer(struct app *app);

/*
 * The slot is to go. It gets nothing new from now on; its workers are told when
 * they have accepted what is in the queues, or kill_timeout is over.
 */
void reuseport_retire(struct slot *slot);

/* The slot goes: it isn't waited for any more. */
void reuseport_forget(struct slot *slot);

#endif

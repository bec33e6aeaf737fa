/*
 * handover.h: `round-robin`: the brain accepts connections and hands each to
 * the worker that has the fewest open.
 *
 * It accepts only while some worker has room, so what nobody can serve yet
 * waits in the kernel's queue, as in every other mode. A connection whose
 * worker ended before it acknowledged it goes to another. Loop's thread only.
 */
#ifndef MUSTER_FLEET_HANDOVER_H
#define MUSTER_FLEET_HANDOVER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

struct app;
struct app_listener;
struct fleet;
struct listen_config;

struct handover {
	struct app *app;
	struct app_listener *listener;
	ev_io readable;
	ev_timer pause; /* runs while there are no descriptors */
	int *returned;	/* connections that lost their worker, oldest first */
	size_t returned_count;
};

/* Takes back what workers did not acknowledge; once for a fleet. */
void handover_attach(struct fleet *fleet);

/* Whether connections of an address are accepted here and not by workers. */
bool handover_is_for(const struct listen_config *config);

void handover_init(struct app *app, struct app_listener *listener);
void handover_fini(struct app_listener *listener);

/* A worker of the application came, went, or has room: accepts or waits. */
void handover_refresh(struct app *app);

#endif

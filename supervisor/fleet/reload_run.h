/*
 * reload_run.h: carries the plan of policy/reload out on an application's
 * slots, and tells who asked. Loop's thread only.
 */
#ifndef MUSTER_RELOAD_RUN_H
#define MUSTER_RELOAD_RUN_H

#include "fleet/fleet.h"
#include "policy/reload.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct app;
struct process;
struct slot;
struct version;

enum {
	RELOAD_WAITERS_MAX = 1024, /* who ask for the end of one reload */
};

struct reload_waiter;

struct reload_run {
	struct reload plan;
	ev_timer soak;
	ev_timer kick; /* the first commands are given in the next turn */
	bool is_pumping;
	struct version *next; /* NULL: none is under way */
	char *words; /* why the first that failed did; NULL: none has */
	struct reload_waiter *waiters;
	uint32_t waiter_count;
};

/*
 * Begins, or begins anew. `version` (a reference is taken) is what the new
 * processes run; `only` is the id of the one worker that is meant, or 0.
 * Returns 0; -ENOMEM; -EBUSY: too many ask.
 */
int reload_run_begin(struct app *app, struct version *version, uint32_t only,
	fleet_done *done, void *data);

/* The same after the death of a brain: what was replaced already is left. */
void reload_run_go_on(struct app *app, struct version *version);

/* The application is stopped. */
void reload_run_cancel(struct app *app);

bool reload_run_is_under_way(const struct app *app);

/* What happened to a slot's processes. */
void reload_run_event(struct slot *slot, enum reload_event event);

/* Why an incoming process failed, told before the event. */
void reload_run_reason(const struct process *process, const char *words);

void reload_run_init(struct app *app);
void reload_run_fini(struct app *app);

#endif

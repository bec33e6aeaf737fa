/*
 * plan.h: what fleet.c needs of the module that writes plans down; fleet_plan
 * itself is in fleet.h.
 */
#ifndef MUSTER_PLAN_H
#define MUSTER_PLAN_H

#include "fleet/fleet.h"

#include <stddef.h>

/* One more `done` will come. */
typedef void plan_wait(void *data);

/*
 * fleet_apply without its waiting: `wait` and later `done` are called for each
 * application that is changed or new, `done` also before this returns. Errors
 * as there.
 */
int plan_apply(struct fleet *fleet, const struct config_set *set,
	size_t *ret_changed, plan_wait *wait, fleet_done *done, void *data,
	char *ret_words);

/* Writes down what a file says of the supervisor itself, and uses it. */
void plan_take_settings(
	struct fleet *fleet, const struct daemon_config *muster);

/* Uses what was written down. */
void plan_use_settings(const struct fleet *fleet);

#endif

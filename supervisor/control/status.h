/*
 * status.h: the one reader of the fleet's internals for listings.
 */
#ifndef MUSTER_STATUS_H
#define MUSTER_STATUS_H

#include <jansson.h>

struct fleet;
struct fleet_target;
struct slot;

/*
 * One worker as `muster ls --json` shows it. New reference, or NULL without
 * memory. Reads /proc for CPU and memory.
 */
json_t *status_worker(const struct slot *slot);

/* All workers, an array. New reference, or NULL without memory. */
json_t *status_list(const struct fleet *fleet);

/*
 * The application of a slot, with those of its workers that `target` means:
 * {"app", "namespace", "configuration", "workers"}. Values of variables that
 * may be secrets are masked. New reference, or NULL without memory.
 */
json_t *status_app(const struct fleet *fleet, const struct slot *slot,
	const struct fleet_target *target);

/* How a worker's last processes ended, newest first, as `muster why --json`
 * shows it. New reference, or NULL without memory. */
json_t *status_why(const struct slot *slot);

#endif

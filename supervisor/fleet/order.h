/*
 * order.h: in which order applications start and stop (depends_on), and how
 * many workers of one start at once (start_parallel).
 *
 * A worker that must wait has no process; one that waits with its end has
 * `stop_waits` in its row, so the next brain goes on. Looked at again at the
 * end of each turn in which something has changed (core_check).
 */
#ifndef MUSTER_FLEET_ORDER_H
#define MUSTER_FLEET_ORDER_H

#include "fleet/process.h"

#include <stdbool.h>

struct app;
struct fleet;
struct slot;

/* Whether the slot, which has no process and shall have one, may start. */
bool order_may_start(struct slot *slot);

/* What an application that has not begun waits for: a name, borrowed; NULL:
 * nothing. `ret_is_stuck`: that one doesn't run and won't by itself. */
const char *order_waits_for(const struct app *app, bool *ret_is_stuck);

/*
 * The slot's processes shall end. True: now; false: others that depend on its
 * application end first, it is noted, and order_check does it.
 */
bool order_may_stop(struct slot *slot, enum stop_reason reason);

/* Starts and stops what has waited and need not any more; says once what an
 * application waits for. */
void order_check(struct fleet *fleet);

#endif

/*
 * rebuild.h: from the ledger's rows to objects; fleet_rebuild is in fleet.h.
 */
#ifndef MUSTER_REBUILD_H
#define MUSTER_REBUILD_H

#include "fleet/state.h"

struct app;
struct fleet;

/*
 * Makes the application of a row, with its listeners and slots; nothing is
 * started. Returns 0; -ENOENT or -EBADMSG: its configuration can't be had;
 * -ENOMEM.
 */
int rebuild_app(struct fleet *fleet, uint32_t row,
	const struct state_app *state, struct app **ret_app);

#endif

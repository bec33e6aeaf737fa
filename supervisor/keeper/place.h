/*
 * place.h: what the keeper owns in the file system: its runtime folder, the
 * lock and the control socket in it.
 */
#ifndef MUSTER_PLACE_H
#define MUSTER_PLACE_H

#include "base/home.h"
#include "base/lockfile.h"

#include <stdbool.h>

struct place {
	char folder[HOME_PATH_SIZE];
	bool aside;  /* the folder is run-PID, and goes with us */
	int lock;    /* the caller's; -1: there is no place */
	int control; /* listening, non-blocking, mode 0600; the caller's; -1 */
	struct file_id lock_id, control_id;
};

/*
 * Makes the runtime folder of the environment, locks it and binds the control
 * socket. Where another muster has the lock: with `may_go_aside` the folder
 * run-PID in it is taken, and a line on stderr says so; else this fails.
 * And where nothing may be written at all, as in a container with a read-only
 * root, it goes on without a place; a line says so.
 * Returns 0, or a negative errno when it has said on stderr what went wrong;
 * then nothing of ours is left.
 */
int place_take(struct place *ret_place, bool may_go_aside);

/* Removes the files, each only if it is still ours. Closes nothing. */
void place_leave(struct place *place);

#endif

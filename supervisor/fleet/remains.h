/*
 * remains.h: the output pipes of processes that are gone.
 */
#ifndef MUSTER_REMAINS_H
#define MUSTER_REMAINS_H

#include "fleet/state.h"

#include <stdbool.h>
#include <stdint.h>

struct fleet;
struct output_pipe;
struct process;

/* The end of a pipe, of a process that lives or is gone, for output_pipe_new.
 * `data` is the process, which may be freed by it. */
void remains_pipe_ended(struct output_pipe *pipe, void *data);

/* Takes over a process that belongs to no slot any more; where no pipe is open,
 * it is erased and freed at once. */
void remains_take(struct process *process);

/*
 * Makes the object of a row of which only pipes are left. The caller opens
 * these; then remains_settle erases what has none. NULL without memory.
 */
struct process *remains_load(
	struct fleet *fleet, uint32_t row, const struct state_process *state);
void remains_settle(struct process *process);

/* Closes the oldest that is left. False: there is none. */
bool remains_make_room(struct fleet *fleet);

/* It is freed. */
void remains_leave(struct process *process);

#endif

/*
 * launch.h: all that a process needs, made and handed to the keeper.
 *
 * Output pipes, channel and resume pair; the environment; the map of
 * descriptors. What the keeper must hold is in its vault before the SPAWN that
 * uses it.
 */
#ifndef MUSTER_LAUNCH_H
#define MUSTER_LAUNCH_H

#include <stdbool.h>

struct process;

/*
 * Makes everything for a planned process, and asks the keeper for it. On
 * failure nothing is left; words for people are logged by who asked.
 * Returns 0; -EMFILE and others of making descriptors; -ENOMEM; -E2BIG:
 * arguments and environment are too long; -ENOBUFS: the keeper is behind.
 */
int launch_process(struct process *process);

/*
 * A process that an earlier brain launched: opens its output pipes from the
 * vault, and, while it lives, its channel, by the resume socket where it takes
 * part in that. Returns 0, or -ENOMEM, -EMFILE, -ENFILE: the worker still waits
 * for its channel, and the next brain may give it.
 */
int launch_take_over(struct process *process, bool is_alive);

/* The worker's own ends, which the vault holds until its exec: drops them. */
void launch_drop_worker_ends(struct process *process);

/* What the vault holds for as long as the process lives, but the pipes. */
void launch_drop_resume(struct process *process);

#endif

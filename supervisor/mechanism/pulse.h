/*
 * pulse.h: finds out that the loop doesn't turn any more.
 *
 * Counted is CPU time, not time: a process that sleeps costs nothing and is
 * never suspected, however long it waits or is stopped.
 */
#ifndef MUSTER_PULSE_H
#define MUSTER_PULSE_H

struct ev_loop;

enum {
	PULSE_MS = 5000, /* of CPU time within one turn */
};

/*
 * From now on the process aborts when one turn of `loop` takes `ms`
 * milliseconds of CPU time and, at most, once more as much. Before the loop
 * runs, all is one turn. For one loop a process; takes SIGPROF.
 * Returns 0, or what sigaction(2) or setitimer(2) said.
 */
int pulse_start(struct ev_loop *loop, int ms);

/* No more. */
void pulse_stop(struct ev_loop *loop);

#endif

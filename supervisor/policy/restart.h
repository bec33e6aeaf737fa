/*
 * restart.h: what becomes of a slot after its process has ended: another one
 * now, another one later, or none.
 *
 * An unstable start is one that failed (exec, readiness) or lived for less than
 * min_uptime. Such starts are counted in a row, and each waits longer than the
 * one before. Pure: the random number is passed in.
 */
#ifndef MUSTER_RESTART_H
#define MUSTER_RESTART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RESTART_DELAY_MAX_MS = 15000, /* the longest back-off */
};

/* The keys of the same names; times in milliseconds. */
struct restart_rules {
	bool autorestart;
	int64_t restart_delay;		   /* before a restart that is stable */
	int64_t exp_backoff_restart_delay; /* the first back-off; 0: none */
	int64_t max_restarts; /* unstable starts in a row; < 0: no end */
	int64_t min_uptime;
	const int64_t *stop_exit_codes; /* borrowed */
	size_t stop_exit_code_count;
};

/* How the process ended. */
struct restart_exit {
	int64_t uptime_ms; /* since its exec; negative counts as 0 */
	bool was_ready;	   /* false for a failed exec or start, which is
			      unstable however long it took */
	bool by_signal;	   /* `status` is a signal, else an exit code */
	int status; /* -1: it never ran, or ended because it was told to */
};

/* What is remembered of a slot between its processes; zeros at first. Goes
 * back to zeros, too, when an operator starts the slot. */
struct restart_history {
	uint32_t unstable; /* unstable starts in a row, saturating */
};

enum restart_kind {
	RESTART_AGAIN,	 /* after delay_ms */
	RESTART_STOPPED, /* the slot is stopped: no autorestart, or a code of
			    stop_exit_codes */
	RESTART_ERRORED, /* max_restarts unstable starts in a row */
};

struct restart_verdict {
	enum restart_kind kind;
	int64_t delay_ms;		/* of RESTART_AGAIN; 0: at once */
	struct restart_history history; /* to keep in place of the old */
};

/*
 * Decides. Ask it only for a slot that is wanted up. `random` is any number,
 * fresh for each call; it spreads the back-off over the upper half of its
 * length, so that slots which fall together don't rise together.
 */
struct restart_verdict restart_decide(const struct restart_rules *rules,
	struct restart_history history, const struct restart_exit *ended,
	uint32_t random);

#endif

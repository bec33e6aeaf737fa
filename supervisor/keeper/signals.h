/*
 * signals.h: the signals that people send to musterd. The keeper takes them,
 * a brain acts on them; here is what lies between: which were not yet told to
 * a brain, and which were told and not taken on.
 */
#ifndef MUSTER_SIGNALS_H
#define MUSTER_SIGNALS_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	SIGNALS_MAX = 16,
	SIGNALS_PATIENCE_MS = 5000, /* for a brain to take on a TERM */
};

struct signals {
	struct {
		uint8_t untold, told;
	} each[SIGNALS_MAX];	 /* as the rows of the table in signals.c */
	struct instant force_at; /* then the keeper stops all by itself */
};

/*
 * Blocks every signal and sets every one to its default, since a parent may
 * have left some ignored, which would pass on to all children.
 * Returns a signalfd for SIGCHLD and the signals of the table, or an error.
 */
int signals_take_over(void);

/* A signal came. Of those outside the table nothing is kept. */
void signals_came(struct signals *signals, int number, bool brain_runs,
	struct instant now);

/* One that a brain must still be told, or 0; and: it was. */
int signals_untold(const struct signals *signals);
void signals_told(struct signals *signals, int number);

/* A brain has taken one on. */
void signals_took(struct signals *signals, int number);

/* The brain is gone: what it has not taken on is told to the next, once. */
void signals_repeat(struct signals *signals);

#endif

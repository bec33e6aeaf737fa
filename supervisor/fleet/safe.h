/*
 * safe.h: what to do when brains crash again and again.
 *
 * A brain in safe mode does the least that keeps workers serving: it watches
 * processes and starts again what ends, and it answers who asks. It reads no
 * channel and doesn't touch the exchange memory, reloads and scales nothing:
 * whatever the others crashed of is hardly in what is left. Workers on the SDK
 * wait for their channel meanwhile; what they send waits with them.
 *
 * It ends with an upgrade, or when it was quiet for SAFE_QUIET_MS: then a
 * normal brain of the same program is tried, the same way.
 */
#ifndef MUSTER_SAFE_H
#define MUSTER_SAFE_H

struct fleet;

enum {
	SAFE_CRASHES = 5, /* in a row, as the keeper counts them */
	SAFE_QUIET_MS = 60000,
};

/* Says why, and waits for the quiet time. Does nothing in a normal brain. */
void safe_begin(struct fleet *fleet);
void safe_end(struct fleet *fleet);

#endif

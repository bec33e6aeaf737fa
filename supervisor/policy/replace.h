/*
 * replace.h: whether a worker has served long enough, and when to try again
 * after its successor failed. Pure.
 */
#ifndef MUSTER_REPLACE_H
#define MUSTER_REPLACE_H

#include <stdint.h>

enum replace_reason {
	REPLACE_NONE,
	REPLACE_MEMORY,
	REPLACE_LIFETIME,
	REPLACE_REQUESTS,
};

/* Bounds; 0: there is none. */
struct replace_rules {
	uint64_t memory; /* bytes */
	int64_t lifetime_ms;
	uint64_t requests;
};

struct replace_facts {
	uint64_t memory; /* bytes of its processes; 0: not known */
	int64_t age_ms;
	uint64_t requests; /* and connections that were handed to it */
	uint64_t process;  /* its number: spreads the bounds */
};

/*
 * Whether the process has come to one of its bounds. Those of time and of
 * requests are moved by up to a tenth, by its number, so that workers which
 * began together don't leave together; that of memory is what it is.
 */
enum replace_reason replace_decide(
	const struct replace_rules *rules, const struct replace_facts *facts);

/* How long to wait after so many failures in a row, milliseconds. */
int64_t replace_pause_ms(uint32_t failures);

#endif

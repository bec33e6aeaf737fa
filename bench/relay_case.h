/*
 * relay_case.h: what bench/relay measures, and what one measurement gives.
 *
 * A case is run by up to three contestants: muster, the raw limit (plain reads
 * and writes over socketpairs) and Node's cluster. Each has a file of its own
 * and one function `*_measure` that runs a case once.
 */
#ifndef BENCH_RELAY_CASE_H
#define BENCH_RELAY_CASE_H

#include <stdbool.h>
#include <stdint.h>

enum relay_kind {
	RELAY_STREAM,	  /* one sender, one receiver */
	RELAY_SPREAD,	  /* one sender, four receivers in turn */
	RELAY_BROADCAST,  /* one sender, eight receivers, each gets all */
	RELAY_PUBLISH,	  /* the same by a topic to which eight subscribed */
	RELAY_PING,	  /* there and back, one at a time */
	RELAY_SUPERVISOR, /* requests to the supervisor, a window at a time */
};

enum {
	RELAY_HEADER = 32,	 /* bytes before each body */
	RELAY_CHUNK = 256 << 10, /* bytes of the limit's reads and writes */
	RELAY_SPREAD_TO = 4,
	RELAY_BROADCAST_TO = 8,
	RELAY_WINDOW = 256,	 /* requests under way in RELAY_SUPERVISOR */
	RELAY_SAMPLES = 1 << 20, /* round trips kept for p50 and p99 */
};

struct relay_case {
	const char *key;   /* for --only and the JSON output */
	const char *title; /* for the table */
	enum relay_kind kind;
	unsigned size;	  /* bytes of a body */
	bool flushed;	  /* one write a message, else as many as fit */
	bool pinned;	  /* all processes on one processor */
	bool node;	  /* Node's cluster runs it too */
	double limit;	  /* target: ratio to the raw limit; 0: none */
	double over_node; /* target: ratio to Node's cluster; 0: none */
};

/* Who spends the processor's time. */
enum relay_part {
	RELAY_SENDER,
	RELAY_MIDDLE,	 /* the supervisor's brain */
	RELAY_RECEIVERS, /* all together */
	RELAY_PARTS,
};

/* Rates are messages that arrived at receivers in a second. */
struct relay_result {
	double rate;   /* a second; of a ping the round trips */
	double p50_us; /* of a ping, microseconds */
	double p99_us;
	double cost_ns[RELAY_PARTS]; /* processor time a message */
};

/* How many receivers a case has. */
static inline unsigned
relay_receivers(const struct relay_case *kase)
{
	if (kase->kind == RELAY_SPREAD)
		return RELAY_SPREAD_TO;
	if (kase->kind == RELAY_BROADCAST || kase->kind == RELAY_PUBLISH)
		return RELAY_BROADCAST_TO;
	return 1;
}

#endif

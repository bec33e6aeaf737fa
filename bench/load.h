/*
 * load.h: HTTP load from a process of its own: keep-alive connections, each
 * with one request under way.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdint.h>
#include <sys/types.h>

enum { LOAD_CONNECTIONS = 16 };

struct load_result {
	uint64_t answered; /* requests answered in full with 200 */
	uint64_t broken; /* connections that ended, answers that weren't 200 */
	double longest_ms; /* of one request */
};

struct load {
	double rate; /* set before the start: requests a second; 0: all it can
		      */
	pid_t pid;
	int control, result;
};

/*
 * Starts the load on 127.0.0.1:`port`. Its connections are made before it
 * returns. Returns 0, or a negative errno when one can't be made.
 */
int load_start(struct load *load, uint16_t port);

/* Ends it and gives what it counted. */
void load_stop(struct load *load, struct load_result *ret_result);

#endif

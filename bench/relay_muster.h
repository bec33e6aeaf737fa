/*
 * relay_muster.h: muster itself: workers on its SDK (relay_worker.c) under one
 * `musterd run` that lives as long as the benchmark.
 */
#ifndef BENCH_RELAY_MUSTER_H
#define BENCH_RELAY_MUSTER_H

#include "relay_case.h"

struct relay_muster;

/*
 * Starts `musterd run` with the workers and waits until all are ready.
 * `musterd` is its executable; NULL: the one built beside this program.
 * Returns NULL, having said so on stderr, where there is none or where the
 * worker was not built. Ends the program when it is there and fails.
 */
struct relay_muster *relay_muster_new(const char *musterd);
void relay_muster_free(struct relay_muster **muster);

/* Runs the case once for about `seconds`. Ends the program when it fails. */
void relay_muster_measure(struct relay_muster *muster,
	const struct relay_case *kase, double seconds,
	struct relay_result *ret_result);

#endif

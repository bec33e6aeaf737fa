/*
 * relay_raw.h: the limit. What the kernel gives to three processes that do
 * nothing but read and write.
 */
#ifndef BENCH_RELAY_RAW_H
#define BENCH_RELAY_RAW_H

#include "relay_case.h"

/*
 * Runs the case once for about `seconds` with processes of its own, which are
 * gone when it returns. Ends the program when a system call fails.
 */
void relay_raw_measure(const struct relay_case *kase, double seconds,
	struct relay_result *ret_result);

#endif

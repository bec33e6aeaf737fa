/* stamp.h: what stamp_worker tells bench/restart. One build: a plain struct. */
#ifndef BENCH_STAMP_H
#define BENCH_STAMP_H

#include <stdint.h>

struct stamp {
	uint64_t ns; /* CLOCK_MONOTONIC at the start of main */
	int32_t pid;
};

#endif

/*
 * measure.h: time, statistics and processor affinity for the benchmarks.
 *
 * Nothing here knows what is measured. Programs under bench/ are people's
 * tools: where a system call that can't sensibly fail does fail, they say so
 * and end with status 1 (measure_die) instead of carrying the error around.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEASURE_ANY_CPU = -1 };

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t measure_now(void);

/* The median of `count` samples, which are sorted in place; 0 without any. */
double measure_median(double *samples, size_t count);

/*
 * The value below which `share` (0 … 1) of `count` samples lie. The samples
 * have been sorted by measure_sort. 0 without any.
 */
void measure_sort(uint32_t *samples, size_t count);
uint32_t measure_quantile(const uint32_t *sorted, size_t count, double share);

/*
 * Ties process `pid` (0: the caller) to `cpu`, or, with MEASURE_ANY_CPU, lets
 * it use every processor that the driver itself was given when it started.
 * measure_init reads that set; call it first.
 */
void measure_init(void);
void measure_pin(int pid, int cpu);

/* The processor to which a pinned run is tied: the last of the driver's. */
int measure_pinned_cpu(void);

/* Processor time that a process has used, nanoseconds; 0 when it is gone. */
uint64_t measure_cpu(int pid);

/* Prints "NAME: message: errno's text" and exits 1; so does measure_fail
 * without errno. */
_Noreturn void measure_die(const char *what);
_Noreturn void measure_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#endif

/*
 * measure.c: time, statistics and processor affinity for the benchmarks.
 *
 * Separate from report.c, which prints, and from the programs, which know what
 * they measure. Medians rather than means: one interruption by another process
 * of the machine must not move a figure.
 */
#include "measure.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static cpu_set_t every_cpu;

uint64_t
measure_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
measure_median(double *samples, size_t count)
{
	if (count == 0)
		return 0;
	qsort(samples, count, sizeof(*samples), compare_double);
	if (count % 2 == 1)
		return samples[count / 2];
	return (samples[count / 2 - 1] + samples[count / 2]) / 2;
}

static int
compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void
measure_sort(uint32_t *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), compare_u32);
}

uint32_t
measure_quantile(const uint32_t *sorted, size_t count, double share)
{
	size_t at;

	if (count == 0)
		return 0;
	at = (size_t)(share * (double)count);
	return sorted[at < count ? at : count - 1];
}

void
measure_init(void)
{
	if (sched_getaffinity(0, sizeof(every_cpu), &every_cpu) < 0)
		measure_die("sched_getaffinity");
}

int
measure_pinned_cpu(void)
{
	for (int cpu = CPU_SETSIZE - 1; cpu > 0; cpu--)
		if (CPU_ISSET(cpu, &every_cpu))
			return cpu;
	return 0;
}

void
measure_pin(int pid, int cpu)
{
	cpu_set_t set = every_cpu;

	if (cpu != MEASURE_ANY_CPU) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
	}
	if (sched_setaffinity(pid, sizeof(set), &set) < 0)
		measure_die("sched_setaffinity");
}

uint64_t
measure_cpu(int pid)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	stream = fopen(path, "re");
	if (stream == NULL)
		return 0;
	if (fscanf(stream, "%llu", &ns) != 1)
		ns = 0;
	fclose(stream);
	return ns;
}

void
measure_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
		strerror(errno));
	exit(1);
}

void
measure_fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

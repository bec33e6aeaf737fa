/*
 * clock.c: reads the two clocks. The monotonic one decides; the wall clock is
 * for people only, so it has no type of its own. The arithmetic saturates,
 * because a deadline may come from a number that a user wrote.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

struct instant
clock_now(void)
{
	struct timespec now;

	/* Can't fail: the clock exists on every Linux, `now` is ours. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (struct instant){(int64_t)now.tv_sec * NS_PER_S + now.tv_nsec};
}

struct instant
clock_after_ms(struct instant at, int64_t ms)
{
	int64_t ns, sum;

	if (__builtin_mul_overflow(ms, (int64_t)NS_PER_MS, &ns))
		ns = ms < 0 ? INT64_MIN : INT64_MAX;
	if (__builtin_add_overflow(at.ns, ns, &sum))
		sum = ns < 0 ? INT64_MIN : INT64_MAX;
	return (struct instant){sum};
}

int64_t
clock_ms_between(struct instant from, struct instant to)
{
	int64_t ns;

	if (__builtin_sub_overflow(to.ns, from.ns, &ns))
		ns = to.ns < from.ns ? INT64_MIN : INT64_MAX;
	return ns / NS_PER_MS;
}

bool
clock_is_past(struct instant deadline, struct instant now)
{
	return clock_is_set(deadline) && deadline.ns <= now.ns;
}

bool
clock_is_set(struct instant at)
{
	return at.ns != 0;
}

void
clock_wall_text(char *ret_text)
{
	struct timespec now;
	struct tm parts;
	char day[24];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(ret_text, 32, "%s.%03dZ", day, (int)(now.tv_nsec / NS_PER_MS));
}

int64_t
clock_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

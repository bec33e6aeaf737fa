/*
 * clock.h: monotonic time as a type of its own, so that adding seconds to
 * milliseconds doesn't compile. Everything that the supervisor decides uses
 * this clock; wall time is only for what people read.
 */
#ifndef MUSTER_CLOCK_H
#define MUSTER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* A point on CLOCK_MONOTONIC; 0 means "no point": a deadline that is unset. */
struct instant {
	int64_t ns;
};

#define INSTANT_NONE ((struct instant){0})

/* The present. Never fails. */
struct instant clock_now(void);

/* `at` plus `ms` milliseconds; saturates instead of overflowing. */
struct instant clock_after_ms(struct instant at, int64_t ms);

/* Whole milliseconds from `from` to `to`; negative when `to` is earlier. */
int64_t clock_ms_between(struct instant from, struct instant to);

/* True when `deadline` is set and not later than `now`. */
bool clock_is_past(struct instant deadline, struct instant now);

/* True when `at` is not INSTANT_NONE. */
bool clock_is_set(struct instant at);

/*
 * Wall time for people: writes RFC 3339 with milliseconds in UTC
 * ("2026-11-25T22:18:53.123Z") and NUL to `ret_text` of at least 32 bytes.
 */
void clock_wall_text(char *ret_text);

/* Wall time in milliseconds since 1970, for listings. */
int64_t clock_wall_ms(void);

#endif

/*
 * cron.h: the five fields of crontab(5): minute, hour, day of the month, month
 * and day of the week, in local time.
 *
 * Lists, ranges and steps ("1-5,10-30/5"), names of months and days, @hourly,
 * @daily, @midnight, @weekly, @monthly, @yearly and @annually. Where both days
 * are restricted one of them is enough, as with cron.
 */
#ifndef MUSTER_CRON_H
#define MUSTER_CRON_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct cron {
	uint64_t minutes; /* bit 0 … 59 */
	uint32_t hours, days;
	uint16_t months;  /* bit 1 … 12 */
	uint8_t weekdays; /* bit 0: Sunday */
	bool any_day, any_weekday, any_hour;
};

/*
 * Reads an expression. Returns NULL; or a static sentence that says what is
 * wrong with it.
 */
const char *cron_parse(const char *text, struct cron *ret_cron);

/*
 * The first moment after `after` that it means, seconds since 1970; -1: there
 * is none within eight years (30 February). A moment that the clock leaps over
 * in spring counts as the first one behind the leap; one that comes twice in
 * autumn counts once, but where every hour is meant.
 */
time_t cron_next(const struct cron *cron, time_t after);

#endif

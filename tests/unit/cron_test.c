/* Expressions of crontab(5), and the moments that they mean. */
#include "config/cron.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void
be_in_berlin(void)
{
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
}

TestSuite(cron, .init = be_in_berlin);

/* Local time; `is_summer` tells the two of autumn apart, -1: either. */
static time_t
at(int year, int month, int day, int hour, int minute, int is_summer)
{
	struct tm local = {.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_isdst = is_summer};

	return mktime(&local);
}

static time_t
next(const char *text, time_t after)
{
	struct cron cron;
	const char *fault = cron_parse(text, &cron);

	cr_assert_null(fault, "%s: %s", text, fault);
	return cron_next(&cron, after);
}

Test(cron, the_next_moment)
{
	time_t now = at(2026, 11, 27, 0, 1, -1) + 30;

	cr_expect_eq(next("* * * * *", now), at(2026, 11, 27, 0, 2, -1));
	cr_expect_eq(next("*/5 * * * *", now), at(2026, 11, 27, 0, 5, -1));
	cr_expect_eq(next("0 4 * * *", now), at(2026, 11, 27, 4, 0, -1));
	cr_expect_eq(next("0 0 * * *", now), at(2026, 11, 28, 0, 0, -1));
	cr_expect_eq(next("@daily", now), at(2026, 11, 28, 0, 0, -1));
	cr_expect_eq(next("@hourly", now), at(2026, 11, 27, 1, 0, -1));
	cr_expect_eq(next("30 8-10,20 * * mon-fri", now),
		at(2026, 11, 27, 8, 30, -1));
	cr_expect_eq(next("30 8 * Dec Mon", now), at(2026, 12, 7, 8, 30, -1));
	cr_expect_eq(next("0 12 * * 7", now), at(2026, 11, 29, 12, 0, -1));
	cr_expect_eq(next("7/20 0 * * *", now), at(2026, 11, 27, 0, 7, -1));
	cr_expect_eq(next("1 0 27 11 *", now), at(2027, 11, 27, 0, 1, -1));
	/* Of two restricted days one is enough. */
	cr_expect_eq(next("0 0 13 * fri", now), at(2026, 12, 4, 0, 0, -1));
	cr_expect_eq(next("0 0 1 * fri", now), at(2026, 12, 1, 0, 0, -1));
	cr_expect_eq(next("0 0 29 2 *", now), at(2028, 2, 29, 0, 0, -1));
	cr_expect_eq(next("0 0 30 2 *", now), -1);
}

Test(cron, the_clock_leaps)
{
	/* From 2:00 to 3:00 … */
	time_t now = at(2027, 3, 28, 1, 0, 0);

	cr_expect_eq(next("30 2 * * *", now), at(2027, 3, 28, 3, 0, 1));
	cr_expect_eq(next("30 2 * * *", at(2027, 3, 28, 3, 0, 1)),
		at(2027, 3, 29, 2, 30, 1));
	cr_expect_eq(next("0 3 * * *", now), at(2027, 3, 28, 3, 0, 1));
	/* … and from 3:00 to 2:00. */
	now = at(2026, 10, 25, 0, 0, 1);
	cr_expect_eq(next("30 2 * * *", now), at(2026, 10, 25, 2, 30, 1));
	cr_expect_eq(next("30 2 * * *", at(2026, 10, 25, 2, 30, 1)),
		at(2026, 10, 26, 2, 30, 0));
	cr_expect_eq(next("30 * * * *", at(2026, 10, 25, 2, 30, 1)),
		at(2026, 10, 25, 2, 30, 0));
}

Test(cron, what_is_wrong_is_told)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{"", "five fields"},
		{"* * * *", "five fields"},
		{"* * * * * *", "more behind"},
		{"60 * * * *", "minute"},
		{"-1 * * * *", "minute"},
		{"*/0 * * * *", "minute"},
		{"5-1 * * * *", "minute"},
		{"1,,2 * * * *", "minute"},
		{"x * * * *", "minute"},
		{"0 24 * * *", "hour"},
		{"0 0 0 * *", "day is"},
		{"0 0 * 13 *", "month"},
		{"0 0 * foo *", "month"},
		{"0 0 * * 8", "week"},
		{"99999999999999999999 * * * *", "minute"},
		{"@reboot", "@hourly"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct cron cron;
		const char *fault = cron_parse(wrong[i].text, &cron);

		cr_assert_not_null(fault, "%s", wrong[i].text);
		cr_expect_not_null(strstr(fault, wrong[i].says), "%s: %s",
			wrong[i].text, fault);
	}
}

/* clock_test.c: the arithmetic of instants, and the text for people. */
#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(clock, .timeout = 20);

Test(clock, goes_forward_only)
{
	struct instant first = clock_now();
	struct instant second = clock_now();

	cr_assert_gt(first.ns, 0);
	cr_assert_geq(second.ns, first.ns);
}

Test(clock, adds_and_subtracts_milliseconds)
{
	struct instant at = {5000000};

	cr_assert_eq(clock_after_ms(at, 7).ns, 12000000);
	cr_assert_eq(clock_after_ms(at, -2).ns, 3000000);
	cr_assert_eq(clock_ms_between(at, clock_after_ms(at, 250)), 250);
	cr_assert_eq(clock_ms_between(clock_after_ms(at, 250), at), -250);
}

Test(clock, saturates)
{
	struct instant late = {INT64_MAX - 1}, early = {INT64_MIN + 1};

	cr_assert_eq(clock_after_ms(late, 5).ns, INT64_MAX);
	cr_assert_eq(clock_after_ms(late, INT64_MAX).ns, INT64_MAX);
	cr_assert_eq(clock_after_ms(early, INT64_MIN).ns, INT64_MIN);
	cr_assert_eq(clock_ms_between(early, late), INT64_MAX / 1000000);
}

Test(clock, an_unset_deadline_is_never_past)
{
	struct instant now = clock_now();

	cr_assert_eq(clock_is_past(INSTANT_NONE, now), false);
	cr_assert_eq(clock_is_past(now, now), true);
	cr_assert_eq(clock_is_past(clock_after_ms(now, 1), now), false);
	cr_assert_eq(clock_is_set(INSTANT_NONE), false);
	cr_assert_eq(clock_is_set(now), true);
}

Test(clock, writes_wall_time)
{
	char text[32];
	int year, month, day, hour, minute, second, ms;

	clock_wall_text(text);
	cr_assert_eq(strlen(text), 24, "%s", text);
	cr_assert_eq(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &year, &month,
			     &day, &hour, &minute, &second, &ms),
		7, "%s", text);
	cr_assert_geq(year, 2026);
	cr_assert_gt(clock_wall_ms(), 1700000000000);
}

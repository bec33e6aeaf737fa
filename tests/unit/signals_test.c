/* signals_test.c: what is kept, counted and repeated, and when it is forced. */
#include "keeper/signals.h"

#include <criterion/criterion.h>
#include <signal.h>

TestSuite(signals, .timeout = 20);

static const struct instant now = {1000000000};

static int
tell_one(struct signals *signals)
{
	int number = signals_untold(signals);

	if (number)
		signals_told(signals, number);
	return number;
}

Test(signals, terms_count_while_a_brain_runs)
{
	struct signals signals = {0};

	signals_came(&signals, SIGTERM, true, now);
	signals_came(&signals, SIGTERM, true, now);
	signals_came(&signals, SIGHUP, true, now);
	signals_came(&signals, SIGHUP, true, now);
	signals_came(&signals, SIGWINCH, true, now);
	cr_assert_eq(tell_one(&signals), SIGTERM);
	cr_assert_eq(tell_one(&signals), SIGTERM);
	cr_assert_eq(tell_one(&signals), SIGHUP);
	cr_assert_eq(tell_one(&signals), 0);
}

Test(signals, many_are_one_while_none_runs)
{
	struct signals signals = {0};

	for (int i = 0; i < 1000; i++)
		signals_came(&signals, SIGINT, false, now);
	cr_assert_eq(tell_one(&signals), SIGINT);
	cr_assert_eq(tell_one(&signals), 0);
}

Test(signals, what_was_not_taken_on_is_repeated)
{
	struct signals signals = {0};

	signals_came(&signals, SIGUSR1, true, now);
	signals_came(&signals, SIGHUP, true, now);
	while (tell_one(&signals))
		;
	signals_took(&signals, SIGHUP);
	signals_repeat(&signals);
	cr_assert_eq(tell_one(&signals), SIGUSR1);
	cr_assert_eq(tell_one(&signals), 0);
}

Test(signals, only_an_untaken_stop_is_forced)
{
	struct signals signals = {0};

	signals_came(&signals, SIGHUP, true, now);
	cr_assert_eq(clock_is_set(signals.force_at), false);
	signals_came(&signals, SIGTERM, true, now);
	cr_assert_eq(clock_ms_between(now, signals.force_at), 5000);
	signals_came(&signals, SIGQUIT, true, clock_after_ms(now, 3000));
	cr_assert_eq(clock_ms_between(now, signals.force_at), 5000);
	while (tell_one(&signals))
		;
	signals_took(&signals, SIGTERM);
	cr_assert_eq(clock_is_set(signals.force_at), true);
	signals_took(&signals, SIGTERM);
	signals_took(&signals, 999);
	cr_assert_eq(clock_is_set(signals.force_at), true);
	signals_took(&signals, SIGQUIT);
	cr_assert_eq(clock_is_set(signals.force_at), false);
}

/* restart: the verdict on each kind of end, and the shape of the back-off. */
#include "policy/restart.h"

#include <criterion/criterion.h>

TestSuite(restart, .timeout = 20);

static struct restart_rules
defaults(void)
{
	return (struct restart_rules){
		.autorestart = true,
		.exp_backoff_restart_delay = 100,
		.max_restarts = -1,
		.min_uptime = 1000,
	};
}

static const struct restart_exit crash = {
	.uptime_ms = 10, .was_ready = true, .by_signal = true, .status = 11};
static const struct restart_exit late = {
	.uptime_ms = 1000, .was_ready = true, .status = 1};

static struct restart_history
after(uint32_t unstable)
{
	return (struct restart_history){unstable};
}

Test(restart, stable_restarts_at_once_and_forgets)
{
	struct restart_rules rules = defaults();
	struct restart_verdict v = restart_decide(&rules, after(9), &late, 5);

	cr_expect_eq(v.kind, RESTART_AGAIN);
	cr_expect_eq(v.delay_ms, 0);
	cr_expect_eq(v.history.unstable, 0);
	rules.restart_delay = 250;
	v = restart_decide(&rules, after(9), &late, 5);
	cr_expect_eq(v.delay_ms, 250);
}

Test(restart, back_off_grows_to_its_cap)
{
	struct restart_rules rules = defaults();
	int64_t before = 0;

	for (uint32_t n = 0; n < 200; n++) {
		int64_t least =
			restart_decide(&rules, after(n), &crash, 0).delay_ms;
		int64_t most = least;

		for (uint32_t random = 0; random < 20000; random += 7) {
			int64_t delay =
				restart_decide(&rules, after(n), &crash, random)
					.delay_ms;

			most = delay > most ? delay : most;
			cr_assert_geq(delay, least);
		}
		cr_assert_geq(least, before, "start %u waits less", n);
		cr_assert_leq(most, RESTART_DELAY_MAX_MS);
		cr_assert_leq(most, n < 8 ? INT64_C(100) << n : 15000);
		before = n < 7 ? most : least; /* the cap is reached there */
	}
	cr_expect_gt(before, 7000);
}

Test(restart, counting_saturates)
{
	struct restart_rules rules = defaults();
	struct restart_verdict v =
		restart_decide(&rules, after(UINT32_MAX), &crash, UINT32_MAX);

	cr_expect_eq(v.kind, RESTART_AGAIN);
	cr_expect_eq(v.history.unstable, UINT32_MAX);
	cr_expect_leq(v.delay_ms, 15000);
}

Test(restart, gives_up_after_max_restarts_in_a_row)
{
	struct restart_rules rules = defaults();
	struct restart_history history = {0};
	struct restart_verdict v = {0};

	rules.max_restarts = 3;
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(v.kind, RESTART_AGAIN);
		v = restart_decide(&rules, history, &crash, 1);
		history = v.history;
	}
	cr_expect_eq(v.kind, RESTART_ERRORED);
	cr_expect_eq(history.unstable, 3);
	v = restart_decide(&rules, after(2), &late, 1);
	cr_expect_eq(v.kind, RESTART_AGAIN);
	rules.max_restarts = 0;
	v = restart_decide(&rules, after(0), &crash, 1);
	cr_expect_eq(v.kind, RESTART_ERRORED);
}

Test(restart, failed_start_is_unstable_however_long_it_took)
{
	struct restart_rules rules = defaults();
	struct restart_exit failed = {.uptime_ms = 3000, .status = -1};
	struct restart_verdict v = restart_decide(&rules, after(1), &failed, 0);

	cr_expect_eq(v.kind, RESTART_AGAIN);
	cr_expect_eq(v.history.unstable, 2);
	cr_expect_eq(v.delay_ms, 100);
	rules.exp_backoff_restart_delay = 0;
	v = restart_decide(&rules, after(1), &failed, 0);
	cr_expect_eq(v.delay_ms, 0);
	rules.restart_delay = 400;
	v = restart_decide(&rules, after(1), &failed, 0);
	cr_expect_eq(v.delay_ms, 400);
}

Test(restart, stops_where_told)
{
	static const int64_t codes[] = {0, 42};
	struct restart_rules rules = defaults();
	struct restart_exit end = {.uptime_ms = 5000, .was_ready = true};

	rules.stop_exit_codes = codes;
	rules.stop_exit_code_count = 2;
	cr_expect_eq(restart_decide(&rules, after(0), &end, 0).kind,
		RESTART_STOPPED);
	end.status = 42;
	cr_expect_eq(restart_decide(&rules, after(0), &end, 0).kind,
		RESTART_STOPPED);
	end.by_signal = true; /* signal 42 is no code 42 */
	cr_expect_eq(
		restart_decide(&rules, after(0), &end, 0).kind, RESTART_AGAIN);
	end = (struct restart_exit){.status = -1};
	cr_expect_eq(
		restart_decide(&rules, after(0), &end, 0).kind, RESTART_AGAIN);
	rules.autorestart = false;
	cr_expect_eq(restart_decide(&rules, after(0), &crash, 0).kind,
		RESTART_STOPPED);
}

/*
 * Promise: what crashes comes back, at once where it had lived, later and later
 * where it hadn't, and the others don't notice.
 */
#include "support/run.h"

#include <signal.h>
#include <string.h>

TestSuite(restart, .fini = run_clean, .timeout = 120);

/* Waits until the worker at `index` has another pid and is ready. */
static json_t *
wait_successor(struct run *run, size_t count, size_t index, long pid)
{
	for (;;) {
		json_t *listing = run_wait_status(run, count, "ready");
		if (run_field(listing, index, "pid") != pid)
			return listing;
		json_decref(listing);
		run_pump(run, 10);
	}
}

Test(restart, a_killed_worker_comes_back)
{
	struct run *run = RUN("-n", "3", "--name", "api", "--min-uptime", "0",
		"--", ROGUE, "say=up");
	json_t *before = run_wait_status(run, 3, "ready");
	long pid = run_field(before, 1, "pid");

	run_mark(run);
	cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
	json_t *after = wait_successor(run, 3, 1, pid);
	cr_expect_eq(run_field(after, 0, "pid"), run_field(before, 0, "pid"));
	cr_expect_eq(run_field(after, 2, "pid"), run_field(before, 2, "pid"));
	cr_expect_eq(run_field(after, 1, "id"), run_field(before, 1, "id"));
	cr_expect_eq(run_field(after, 1, "generation"), 2);
	cr_expect_eq(run_field(after, 1, "restarts"), 1);
	cr_expect_eq(run_field(after, 1, "unstable_restarts"), 0);
	json_t *end = json_object_get(json_array_get(after, 1), "exit");
	cr_expect_eq(
		json_integer_value(json_object_get(end, "signal")), SIGKILL);
	run_wait_count(run, RUN_OUT, "api.1 | up", 2);
	run_check_mark(run);
	json_decref(before);
	json_decref(after);
	run_stop(run);
}

Test(restart, an_unstable_start_waits)
{
	struct run *run = RUN("--name", "api", "--exp-backoff-restart-delay",
		"15000", "--", ROGUE, "exit=3");
	json_t *listing = run_wait_status(run, 1, "backoff");

	cr_expect_eq(run_field(listing, 0, "pid"), 0);
	json_t *end = json_object_get(json_array_get(listing, 0), "exit");
	cr_expect_eq(json_integer_value(json_object_get(end, "code")), 3);
	json_decref(listing);
	run_stop(run);
}

Test(restart, a_hundred_crashes_in_a_row)
{
	struct run *run =
		RUN("-n", "2", "--name", "api", "--exp-backoff-restart-delay",
			"0", "--", ROGUE, "0/crash=100", "say=up");

	run_wait(run, RUN_OUT, "api.0 | up");
	json_t *listing = run_wait_status(run, 2, "ready");
	cr_expect_eq(run_count(run, RUN_OUT, "api.0 | crash"), 100u);
	cr_expect_eq(run_field(listing, 0, "generation"), 101);
	cr_expect_eq(run_field(listing, 0, "restarts"), 100);
	cr_expect_eq(run_field(listing, 1, "generation"), 1);
	json_decref(listing);

	/* As many descriptors as for two workers, whatever came between. */
	run_mark(run);
	listing = run_ls(run);
	long pid = run_field(listing, 0, "pid");
	json_decref(listing);
	cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
	json_decref(wait_successor(run, 2, 0, pid));
	run_check_mark(run);
	run_stop(run);
}

Test(restart, gives_up_after_max_restarts)
{
	struct run *run = RUN("-n", "2", "--name", "api",
		"--exp-backoff-restart-delay", "0", "--max-restarts", "3",
		"--exit-when", "errored", "--", ROGUE, "0/exit=5");

	run_finish(run, 5);

	run = RUN("-n", "2", "--name", "api", "--exp-backoff-restart-delay",
		"0", "--max-restarts", "3", "--", ROGUE, "0/exit=5");
	run_wait(run, RUN_ERR, "api.0");
	for (;;) {
		json_t *listing = run_ls(run);
		const char *status = json_string_value(
			json_object_get(json_array_get(listing, 0), "status"));
		bool errored = status != NULL && strcmp(status, "errored") == 0;
		json_decref(listing);
		if (errored)
			break;
		run_pump(run, 10);
	}
	run_stop(run);
}

Test(restart, not_after_a_stop_exit_code)
{
	run_finish(RUN("--stop-exit-codes", "9", "--", ROGUE, "exit=9"), 9);
}

/*
 * Promise: muster stops when it is told to: gracefully, at once where that is
 * asked, and in the end in any case, with nothing left.
 */
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(stop, .fini = run_clean, .timeout = 120);

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Test(stop, gracefully_at_term_and_int)
{
	struct run *run = RUN(
		"-n", "2", "--name", "api", "--", ROGUE, "term=0", "say=up");

	run_wait_count(run, RUN_OUT, "| up", 2);
	run_signal(run, SIGTERM);
	run_wait_count(run, RUN_OUT, "| TERM", 2);
	run_finish(run, 0);

	run = RUN("--name", "api", "--", ROGUE, "term=0", "say=up");
	run_wait(run, RUN_OUT, "| up");
	run_signal(run, SIGINT);
	run_wait(run, RUN_OUT, "| TERM");
	run_finish(run, 0);
}

Test(stop, one_that_joined_is_told_first)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "term=0", "join",
		"until=shutdown", "say=told", "stopping", "exit=0@50");

	run_wait(run, RUN_OUT, "kind=3");
	run_signal(run, SIGTERM);
	run_wait(run, RUN_OUT, "\"shutdown\"");
	run_wait(run, RUN_OUT, "api.0 | told");
	run_finish(run, 0);
}

Test(stop, at_once_at_a_second_term)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--kill-timeout",
		"600000", "--", ROGUE, "ignore=TERM", "say=up");

	run_wait_count(run, RUN_OUT, "| up", 2);
	run_signal(run, SIGTERM);
	json_decref(run_wait_status(run, 2, "stopping"));
	run_signal(run, SIGTERM);
	run_finish(run, 0);
}

/* Nor does the death of the brain in between make the second a first one. */
Test(stop, at_once_at_a_second_term_to_another_brain)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--kill-timeout",
		"600000", "--", ROGUE, "ignore=TERM", "say=up");
	pid_t brain;

	run_wait_count(run, RUN_OUT, "| up", 2);
	run_signal(run, SIGTERM);
	json_decref(run_wait_status(run, 2, "stopping"));
	brain = run_brain(run);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	json_decref(run_wait_status(run, 2, "stopping"));
	run_signal(run, SIGINT);
	run_finish(run, 0);
}

/* One that has said that it leaves has the time that is left, or none. */
Test(stop, at_once_though_it_said_that_it_leaves)
{
	struct run *run = RUN("--name", "api", "--kill-timeout", "600000", "--",
		ROGUE, "term=0", "join", "until=shutdown", "stopping",
		"say=leaving");

	run_wait(run, RUN_OUT, "kind=3");
	run_signal(run, SIGTERM);
	run_wait(run, RUN_OUT, "| leaving");
	run_signal(run, SIGTERM);
	run_finish(run, 0);
}

Test(stop, at_once_at_quit)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--kill-timeout",
		"600000", "--", ROGUE, "ignore=TERM", "say=up");

	run_wait_count(run, RUN_OUT, "| up", 2);
	run_signal(run, SIGQUIT);
	run_finish(run, 0);
}

Test(stop, kills_what_ignores_term)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--kill-timeout",
		"400", "--", ROGUE, "ignore=TERM", "say=up");

	run_wait_count(run, RUN_OUT, "| up", 2);
	long begin = now_ms();
	run_signal(run, SIGTERM);
	run_wait_exit(run);
	cr_expect_geq(now_ms() - begin, 400);
	run_finish(run, 0);
}

Test(stop, takes_the_whole_group)
{
	struct run *run = RUN(
		"--name", "api", "--", ROGUE, "grandchild", "say=up", "term=0");

	run_wait(run, RUN_OUT, "| up");
	run_stop(run);
}

/* The keeper's only decision: a brain that hangs doesn't keep us alive. */
Test(stop, though_the_brain_hangs)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "say=up");

	run_wait(run, RUN_OUT, "| up");
	json_decref(run_wait_status(run, 1, "ready"));
	cr_assert_eq(kill(run_brain(run), SIGSTOP), 0);
	run_signal(run, SIGTERM);
	int code = run_wait_exit(run);
	run_finish(run, code);
}

/*
 * Promise: when the keeper itself is killed, nothing runs on without an owner:
 * the brain stops everything in order, and what is on the SDK sees it, too.
 */
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

TestSuite(keeper_death, .fini = run_clean, .timeout = 120);

/* Kills the keeper; everything of it becomes this process's child. */
static void
kill_keeper(struct run *run)
{
	run_signal(run, SIGKILL);
	cr_expect_eq(run_wait_exit(run), 128 + SIGKILL);
}

/* In order: the signal first, SIGKILL when its time is over. */
Test(keeper_death, the_brain_stops_everything)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--kill-timeout",
		"300", "--", ROGUE, "0/ignore=TERM", "1/term=5", "say=up");

	run_wait_count(run, RUN_OUT, "| up", 2);
	json_t *listing = run_wait_status(run, 2, "ready");
	pid_t first = (pid_t)run_field(listing, 0, "pid");
	pid_t second = (pid_t)run_field(listing, 1, "pid");
	pid_t brain = run_brain(run);
	json_decref(listing);
	kill_keeper(run);
	cr_expect_eq(run_wait_orphan(run, first), 128 + SIGKILL);
	cr_expect_eq(run_wait_orphan(run, second), 5);
	cr_expect_eq(run_wait_orphan(run, brain), 1);
	cr_expect_eq(run_count(run, RUN_ERR, "the keeper is gone"), 1u);
	run_forget(run);
}

/* The home stays taken until the last worker is gone. */
Test(keeper_death, the_lock_is_held_to_the_end)
{
	struct run *run = RUN("--name", "api", "--kill-timeout", "60000", "--",
		ROGUE, "ignore=TERM", "say=up");

	run_wait(run, RUN_OUT, "| up");
	json_t *listing = run_wait_status(run, 1, "ready");
	pid_t pid = (pid_t)run_field(listing, 0, "pid");
	pid_t brain = run_brain(run);
	json_decref(listing);
	kill_keeper(run);
	run_wait(run, RUN_ERR, "the keeper is gone");
	cr_expect_eq(
		COMMAND(run, "run", "--no-autorestart", "--", "/bin/true"), 0);
	cr_expect_not_null(
		strstr(run_said(run), "in use"), "%s", run_said(run));
	/* It still answers, and says what it does. */
	listing = run_wait_status(run, 1, "stopping");
	json_decref(listing);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	run_wait_orphan(run, pid);
	cr_expect_eq(run_wait_orphan(run, brain), 1);
	cr_expect_eq(
		COMMAND(run, "run", "--no-autorestart", "--", "/bin/true"), 0);
	cr_expect_null(strstr(run_said(run), "in use"), "%s", run_said(run));
	run_forget(run);
}

/* One on the SDK is told `shutdown`, and ends by itself. */
Test(keeper_death, workers_on_the_sdk_finish)
{
	struct run *run =
		RUN("-n", "2", "--name", "any", "--wait-ready", "--", ANY_LOOP);
	json_t *listing = run_wait_status(run, 2, "ready");
	pid_t pids[] = {(pid_t)run_field(listing, 0, "pid"),
		(pid_t)run_field(listing, 1, "pid"), run_brain(run)};

	json_decref(listing);
	kill_keeper(run);
	cr_expect_eq(run_wait_orphan(run, pids[0]), 0);
	cr_expect_eq(run_wait_orphan(run, pids[1]), 0);
	cr_expect_eq(run_wait_orphan(run, pids[2]), 1);
	run_forget(run);
}

/* Nobody is left to stop them: they see the end of the resume socket. */
Test(keeper_death, with_the_brain_workers_on_the_sdk_finish)
{
	struct run *run =
		RUN("-n", "2", "--name", "any", "--wait-ready", "--", ANY_LOOP);
	json_t *listing = run_wait_status(run, 2, "ready");
	pid_t pids[] = {(pid_t)run_field(listing, 0, "pid"),
		(pid_t)run_field(listing, 1, "pid"), run_brain(run)};

	json_decref(listing);
	cr_assert_eq(kill(pids[2], SIGSTOP), 0);
	kill_keeper(run);
	cr_assert_eq(kill(pids[2], SIGKILL), 0);
	run_wait_orphan(run, pids[2]);
	run_wait_orphan(run, pids[0]);
	run_wait_orphan(run, pids[1]);
	run_forget(run);
}

/* While many are being started: also those that no brain has heard of yet. */
Test(keeper_death, in_the_middle_of_a_start)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	struct run *run = RUN(
		"-n", "40", "--name", "api", "--", ROGUE, "term=0", "say=up");

	run_wait(run, RUN_OUT, "| up");
	pid_t brain = run_brain(run);
	kill_keeper(run);
	run_wait_orphan(run, brain);
	for (;;) {
		size_t count = process_children(getpid(), children);
		if (count == 0)
			break;
		for (size_t i = 0; i < count; i++)
			run_wait_orphan(run, children[i]);
	}
	run_forget(run);
}

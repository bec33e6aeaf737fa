/*
 * Promise: muster works as PID 1 of a container does: what loses its parent is
 * reaped, what belongs to a dead worker's group is ended.
 */
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

TestSuite(orphans, .fini = run_clean, .timeout = 120);

/* Waits until there is no such process, dead or alive. */
static void
wait_gone(struct run *run, pid_t pid)
{
	for (int i = 0; i < 1000 && process_state(pid) != 'X'; i++)
		run_pump(run, 10);
	cr_expect_eq(process_state(pid), 'X', "%d is %c", (int)pid,
		process_state(pid));
}

static pid_t
wait_number(struct run *run, const char *word)
{
	const char *line = run_wait(run, RUN_OUT, word);

	return (pid_t)atoi(strstr(line, word) + strlen(word));
}

Test(orphans, are_reaped)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "orphan", "say=up");
	pid_t orphan = wait_number(run, "orphan ");

	run_wait_count(run, RUN_OUT, "| up", 1);
	cr_expect_eq(process_parent(orphan), run_keeper(run));
	cr_assert_eq(kill(orphan, SIGKILL), 0);
	wait_gone(run, orphan);
	cr_expect_eq(COMMAND(run, "ping"), 0);
	run_stop(run);
}

Test(orphans, of_a_dead_worker_are_ended)
{
	struct run *run = RUN("--name", "api", "--min-uptime", "0", "--", ROGUE,
		"grandchild", "say=up");
	pid_t grandchild = wait_number(run, "grandchild ");

	run_wait(run, RUN_OUT, "| up");
	json_t *listing = run_wait_status(run, 1, "ready");
	cr_assert_eq(kill((pid_t)run_field(listing, 0, "pid"), SIGKILL), 0);
	wait_gone(run, grandchild);
	run_wait(run, RUN_OUT, "| up");
	json_decref(listing);
	run_stop(run);
}

/* One that got away into a session of its own still holds the pipe. */
Test(orphans, that_hold_the_output_dont_hold_us)
{
	struct run *run = RUN("--name", "api", "--no-autorestart", "--", ROGUE,
		"orphan", "say=up", "exit=0");
	pid_t orphan = wait_number(run, "orphan ");
	int code = run_wait_exit(run);

	cr_expect_eq(code, 0);
	kill(orphan, SIGKILL);
	run_wait_orphan(run, orphan);
	run_finish(run, 0);
}

/*
 * Promise: a program without the SDK says that it is ready, stops and lives by
 * systemd's protocol, or that it is ready by s6's; a worker that hangs is
 * replaced.
 */
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <string.h>

TestSuite(notify, .fini = run_clean, .timeout = 60);

static void
expect_notice(struct run *run, const char *text)
{
	for (;;) {
		json_t *listing = run_ls(run);
		const char *notice = json_string_value(
			json_object_get(json_array_get(listing, 0), "notice"));
		bool same = notice && strcmp(notice, text) == 0;

		json_decref(listing);
		if (same)
			return;
		run_pump(run, 10);
	}
}

Test(notify, ready_status_and_the_death_of_the_brain)
{
	struct run *run = RUN("--wait-ready", "--listen-timeout", "20000", "--",
		ROGUE, "notify=STATUS=warming up", "usr1=awake", "until=never");
	json_t *listing;
	pid_t brain = run_brain(run);

	/* Not ready before it says so. */
	expect_notice(run, "warming up");
	listing = run_wait_status(run, 1, "starting");
	json_decref(listing);
	kill(brain, SIGKILL);
	run_wait_new_brain(run, brain);
	run_stop(run);

	run = RUN("--wait-ready", "--", ROGUE, "notify=READY=1|STATUS=serving",
		"until=never");
	json_decref(run_wait_status(run, 1, "ready"));
	expect_notice(run, "serving");
	run_stop(run);
}

/* Who started before the brain died speaks to the same socket after it. */
Test(notify, the_socket_outlives_the_brain)
{
	struct run *run = RUN("--wait-ready", "--listen-timeout", "20000", "--",
		ROGUE, "counted", "join", "say=here", "resume",
		"notify=READY=1", "until=never");
	pid_t brain = run_brain(run);

	run_wait(run, RUN_OUT, "here");
	kill(brain, SIGKILL);
	run_wait_new_brain(run, brain);
	json_decref(run_wait_status(run, 1, "ready"));
	run_stop(run);
}

Test(notify, a_child_speaks_for_its_worker)
{
	struct run *run = RUN("--wait-ready", "--", ROGUE,
		"notify-child=READY=1", "until=never");

	json_decref(run_wait_status(run, 1, "ready"));
	run_stop(run);
}

Test(notify, bytes_and_descriptors_harm_nobody)
{
	struct run *run = RUN("--wait-ready", "--", ROGUE,
		"notify=|||=|\x01\x02~|STATUS=~~",
		"notify-fd=FDSTORE=1|FDNAME=x", "notify=READY=1",
		"until=never");

	json_decref(run_wait_status(run, 1, "ready"));
	/* The descriptor is closed: the program sees the end of it. */
	run_wait(run, RUN_OUT, "closed");
	expect_notice(run, "(not UTF-8)");
	run_stop(run);
}

/* STOPPING: from now on only the deadline counts; EXTEND moves it. */
Test(notify, stopping_and_more_time)
{
	struct run *run = RUN("--kill-timeout", "300", "--", ROGUE,
		"ignore=TERM", "notify=STOPPING=1|EXTEND_TIMEOUT_USEC=1500000",
		"say=waits", "exit=0@900");

	run_wait(run, RUN_OUT, "waits");
	run_wait(run, RUN_ERR, "exited with code 0");
	run_stop(run);
}

Test(notify, a_newline_means_ready)
{
	struct run *run = RUN(
		"--notify-fd", "3", "--", ROGUE, "newline=3", "until=never");

	json_decref(run_wait_status(run, 1, "ready"));
	run_stop(run);
	run = RUN("--notify-fd", "3", "--listen-timeout", "300",
		"--max-restarts", "1", "--", ROGUE, "until=never");
	run_wait(run, RUN_ERR, "not ready");
	run_stop(run);
}

Test(notify, one_that_hangs_is_replaced)
{
	struct run *run = RUN("--watchdog", "200", "--kill-timeout", "100",
		"--", ROGUE, "g1/notify=WATCHDOG=1", "g1/ignore=TERM",
		"g1/pause", "say=second", "g2/until=never");

	run_wait(run, RUN_ERR, "gave no sign of life");
	run_wait(run, RUN_OUT, "second");
	run_stop(run);
}

Test(notify, one_that_lives_is_not)
{
	struct run *run = RUN("--watchdog", "300", "--", ROGUE, "heartbeats=8",
		"say=lives", "exit=0@10");

	run_wait(run, RUN_OUT, "lives");
	cr_expect_eq(run_count(run, RUN_ERR, "gave no sign"), 0ul);
	run_stop(run);
}

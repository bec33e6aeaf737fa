/*
 * Promise: an idle supervisor doesn't wake up, and is small.
 *
 * MUSTER_TEST_IDLE_S sets how long is watched (3 s; the figure that we name in
 * public is for 130).
 */
#include "support/process.h"
#include "support/run.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(idle, .fini = run_clean, .timeout = 300);

Test(idle, never_wakes_up)
{
	const char *seconds = getenv("MUSTER_TEST_IDLE_S");
	int watched_ms = seconds != NULL ? atoi(seconds) * 1000 : 3000;
	struct run *run = RUN("-n", "4", "--name", "api", "--", ROGUE, "ready");
	json_decref(run_wait_status(run, 4, "ready"));
	run_wait_count(run, RUN_OUT, "got kind=3 from=0", 4);
	pid_t brain = run_brain(run);

	/* What start-up still has to do (min_uptime, acks) ends first. */
	long keeper_before = -1;
	long brain_before = -1;
	for (int i = 0; i < 10; i++) {
		long keeper_now = process_waits(run_keeper(run));
		long brain_now = process_waits(brain);
		if (keeper_now == keeper_before && brain_now == brain_before)
			break;
		keeper_before = keeper_now;
		brain_before = brain_now;
		run_pump(run, 1500);
	}
	/* The test is about nothing happening, so it can only wait. */
	poll(NULL, 0, watched_ms);
	cr_expect_eq(process_waits(run_keeper(run)), keeper_before);
	cr_expect_eq(process_waits(brain), brain_before);
	fprintf(stderr,
		"keeper and brain: PSS %ld + %ld KiB, private %ld + %ld KiB\n",
		process_memory(run_keeper(run), "Pss"),
		process_memory(brain, "Pss"),
		process_memory(run_keeper(run), "Private_Dirty"),
		process_memory(brain, "Private_Dirty"));
	run_stop(run);
}

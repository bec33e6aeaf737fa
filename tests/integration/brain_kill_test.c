/*
 * Promise: kill -9 of the brain costs nobody anything: the workers keep their
 * pids, connections live on, and another brain supervises.
 */
#include "support/http.h"
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(brain_kill, .fini = run_clean, .timeout = 120);

enum {
	WORKERS = 3,
};

static struct run *
start_server(int *ret_port)
{
	char address[32];

	*ret_port = run_free_port();
	snprintf(address, sizeof(address), "127.0.0.1:%d", *ret_port);
	struct run *run = RUN("-n", "3", "-l", address, "--name", "web",
		"--min-uptime", "0", "--reload-soak", "50", "--", SERVE);
	json_decref(run_wait_status(run, WORKERS, "ready"));
	return run;
}

static pid_t
kill_brain(struct run *run)
{
	pid_t old = run_brain(run);

	cr_assert_eq(kill(old, SIGKILL), 0);
	return run_wait_new_brain(run, old);
}

static void
expect_same_pids(json_t *before, json_t *after)
{
	for (size_t i = 0; i < json_array_size(before); i++) {
		cr_expect_eq(run_field(after, i, "pid"),
			run_field(before, i, "pid"));
		cr_expect_eq(run_field(after, i, "generation"),
			run_field(before, i, "generation"));
	}
}

static void
expect_none_failed(struct load *load)
{
	struct load_counts counts;

	load_stop(load, &counts);
	cr_expect_gt(counts.good, 0ul);
	cr_expect_eq(counts.failed, 0ul, "%lu of %lu failed; %s", counts.failed,
		counts.good, counts.first_failure);
}

Test(brain_kill, workers_and_connections_live_on)
{
	int port;
	bool open;
	char before_body[32];
	char after_body[32];
	struct run *run = start_server(&port);
	json_t *before = run_wait_status(run, WORKERS, "ready");
	struct load *load = load_start(port, 2, "/", false);
	int fd = http_connect(port);

	run_mark(run);
	cr_assert_geq(fd, 0);
	cr_expect_eq(http_get(fd, "/", before_body, 32, &open), 200);
	for (int i = 0; i < 3; i++) {
		kill_brain(run);
		cr_assert(load_wait(load, 20));
		cr_expect_eq(http_get(fd, "/", after_body, 32, &open), 200);
		cr_expect_str_eq(after_body, before_body);
		json_t *after = run_wait_status(run, WORKERS, "ready");
		expect_same_pids(before, after);
		json_decref(after);
	}
	close(fd);
	expect_none_failed(load);
	json_decref(before);
	run_check_mark(run);
	run_stop(run);
}

Test(brain_kill, the_next_supervises)
{
	int port;
	struct run *run = start_server(&port);

	kill_brain(run);
	json_t *before = run_wait_status(run, WORKERS, "ready");
	long pid = run_field(before, 0, "pid");
	cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
	for (;;) {
		json_t *after = run_wait_status(run, WORKERS, "ready");
		long is = run_field(after, 0, "pid");
		json_decref(after);
		if (is != pid)
			break;
		run_pump(run, 10);
	}
	json_decref(before);
	cr_expect_eq(COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	run_stop(run);
}

/* A worker that dies while no brain runs is noticed by the next. */
Test(brain_kill, a_death_in_between)
{
	int port;
	struct run *run = start_server(&port);
	json_t *before = run_wait_status(run, WORKERS, "ready");
	pid_t brain = run_brain(run);
	pid_t pid = (pid_t)run_field(before, 1, "pid");

	cr_assert_eq(kill(brain, SIGSTOP), 0);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	for (;;) {
		json_t *after = run_wait_status(run, WORKERS, "ready");
		long is = run_field(after, 1, "pid");
		cr_expect_eq(run_field(after, 0, "pid"),
			run_field(before, 0, "pid"));
		json_decref(after);
		if (is != pid)
			break;
		run_pump(run, 10);
	}
	/* The first that was started for it is the one that runs. */
	json_t *listing = run_ls(run);
	cr_expect_eq(run_field(listing, 1, "generation"), 2);
	cr_expect_eq(run_field(listing, 1, "restarts"), 1);
	json_decref(listing);
	json_decref(before);
	run_stop(run);
}

Test(brain_kill, during_a_reload)
{
	int port;
	struct run *run = start_server(&port);
	struct load *load = load_start(port, 2, "/", false);

	run_mark(run);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(COMMAND(run, "reload", "web", "--no-wait"), 0);
		kill_brain(run);
		cr_assert(load_wait(load, 20));
	}
	/* The reload goes on and ends: one process a slot, all of them new. */
	for (;;) {
		json_t *listing = run_wait_status(run, WORKERS, "ready");
		bool all = true;
		for (size_t i = 0; i < WORKERS; i++)
			all = all && run_field(listing, i, "generation") > 1;
		json_decref(listing);
		if (all)
			break;
		run_pump(run, 10);
	}
	expect_none_failed(load);
	run_check_mark(run);
	/* The brain and the three workers, and nothing else. */
	pid_t children[PROCESS_CHILDREN_MAX];
	cr_expect_eq(process_children(run_keeper(run), children), 4u);
	run_stop(run);
}

Test(brain_kill, output_goes_on)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE,
		"usr1=still here", "say=up");

	run_wait_count(run, RUN_OUT, "| up", 2);
	json_t *listing = run_wait_status(run, 2, "ready");
	kill_brain(run);
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(
			kill((pid_t)run_field(listing, i, "pid"), SIGUSR1), 0);
	run_wait_count(run, RUN_OUT, "api.0 | still here", 1);
	run_wait_count(run, RUN_OUT, "api.1 | still here", 1);
	json_decref(listing);
	run_stop(run);
}

/* One that takes no part in resuming loses its channel, not its life. */
Test(brain_kill, a_plain_worker_stays_supervised)
{
	struct run *run = RUN("--name", "api", "--min-uptime", "0", "--", ROGUE,
		"join", "say=up");

	run_wait(run, RUN_OUT, "kind=3");
	json_t *before = run_wait_status(run, 1, "ready");
	kill_brain(run);
	run_wait(run, RUN_OUT, "channel ended");
	json_t *after = run_wait_status(run, 1, "ready");
	expect_same_pids(before, after);
	json_decref(before);
	json_decref(after);
	run_stop(run);
}

/* TERM after the death of a brain reaches the next. */
Test(brain_kill, then_term)
{
	int port;
	struct run *run = start_server(&port);

	cr_assert_eq(kill(run_brain(run), SIGKILL), 0);
	run_signal(run, SIGTERM);
	run_finish(run, 0);
}

/* Messages go on both ways, over a channel that the SDK has resumed. */
Test(brain_kill, messages_go_on)
{
	struct run *run =
		RUN("-n", "2", "--name", "any", "--wait-ready", "--", ANY_LOOP);
	json_t *before = run_wait_status(run, 2, "ready");

	run_wait(run, RUN_OUT, "is ready");
	for (int i = 0; i < 3; i++) {
		char body[32];
		char line[64];
		kill_brain(run);
		snprintf(body, sizeof(body), "{\"round\":%d}", i);
		snprintf(line, sizeof(line), "says %s", body);
		cr_expect_eq(COMMAND(run, "send", "1", body), 0);
		cr_expect_eq(COMMAND(run, "send", "2", body), 0);
		run_wait_count(run, RUN_OUT, line, 2);
		json_t *after = run_wait_status(run, 2, "ready");
		expect_same_pids(before, after);
		json_decref(after);
	}
	/* A resumed channel tells nobody that others are ready, as they were:
	 * each has heard of the other once at most, when that was new. */
	cr_expect_leq(run_count(run, RUN_OUT, "is ready"), 2u);
	/* A successor of worker 2 is greeted by worker 1, and greets it. */
	size_t greeted = run_count(run, RUN_OUT, "any.0 | worker 2 says");
	cr_expect_eq(COMMAND(run, "reload", "2"), 0, "%s", run_said(run));
	run_wait_count(run, RUN_OUT, "any.0 | worker 2 says", greeted + 1);
	json_decref(before);
	run_stop(run);
}

/* A worker that was told to stop isn't told a second time by the next brain,
 * and has the time that it was given. */
Test(brain_kill, shutdown_is_told_once)
{
	struct run *run = RUN("--name", "api", "--kill-timeout", "1500", "--",
		ROGUE, "counted", "ignore=TERM", "ready", "resume",
		"until=received", "stopping");

	run_wait(run, RUN_OUT, "got kind=3");
	run_signal(run, SIGTERM);
	run_wait(run, RUN_OUT, "\"shutdown\"");
	cr_assert_eq(kill(run_brain(run), SIGKILL), 0);
	run_wait(run, RUN_OUT, "\"received\"");
	run_wait(run, RUN_OUT, "got kind=3 from=0 to=1 id=2 ");
	/* Of what was printed before, the kill may have doubled a line. */
	cr_expect_null(strstr(strstr(run_text(run, RUN_OUT), "\"received\""),
		"\"shutdown\""));
	run_finish(run, 0);
}

static long
messages_in(struct run *run)
{
	json_t *listing = run_wait_status(run, 1, "ready");
	long count = run_field(listing, 0, "messages_in");

	json_decref(listing);
	return count;
}

/* Restarts and messages are counted on, also those of a process that ended. */
Test(brain_kill, counters_are_kept)
{
	struct run *run = RUN("--name", "any", "--wait-ready", "--min-uptime",
		"0", "--", ANY_LOOP);
	json_t *before = run_wait_status(run, 1, "ready");
	pid_t pid = (pid_t)run_field(before, 0, "pid");

	for (int i = 0; i < 3; i++)
		cr_expect_eq(COMMAND(run, "send", "1", "1"), 0);
	run_wait_count(run, RUN_OUT, "says 1", 3);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	for (;;) {
		json_t *listing = run_wait_status(run, 1, "ready");
		long restarts = run_field(listing, 0, "restarts");
		json_decref(listing);
		if (restarts == 1)
			break;
		run_pump(run, 10);
	}
	long count = messages_in(run);
	cr_expect_geq(count, 3l);
	for (int i = 0; i < 2; i++) {
		kill_brain(run);
		cr_expect_eq(messages_in(run), count);
	}
	json_t *after = run_wait_status(run, 1, "ready");
	cr_expect_eq(run_field(after, 0, "restarts"), 1);
	json_decref(before);
	json_decref(after);
	run_stop(run);
}

/* A back-off that runs when the brain dies runs to its end, and no longer. */
Test(brain_kill, a_back_off_is_kept)
{
	struct run *run = RUN("--name", "api", "--exp-backoff-restart-delay",
		"1500", "--", ROGUE, "g1/exit=1", "say=up");

	json_decref(run_wait_status(run, 1, "backoff"));
	kill_brain(run);
	json_decref(run_wait_status(run, 1, "backoff"));
	cr_expect_eq(run_count(run, RUN_OUT, "| up"), 0u);
	kill_brain(run);
	run_wait(run, RUN_OUT, "| up");
	json_t *listing = run_wait_status(run, 1, "ready");
	cr_expect_eq(run_field(listing, 0, "generation"), 2);
	cr_expect_eq(run_field(listing, 0, "restarts"), 1);
	cr_expect_eq(run_field(listing, 0, "unstable_restarts"), 1);
	json_decref(listing);
	run_stop(run);
}

/* Who has said that it leaves gets no signal: not from the next brain either.
 */
Test(brain_kill, who_is_leaving_is_left_alone)
{
	struct run *run = RUN("--name", "api", "--kill-timeout", "10000", "--",
		ROGUE, "counted", "term=9", "usr1=still here", "ready",
		"until=shutdown", "stopping", "resume", "until=received");

	run_wait(run, RUN_OUT, "got kind=3");
	json_t *listing = run_wait_status(run, 1, "ready");
	pid_t pid = (pid_t)run_field(listing, 0, "pid");
	pid_t brain = run_brain(run);
	json_decref(listing);
	run_signal(run, SIGTERM);
	run_wait(run, RUN_OUT, "got kind=3 from=0 to=1 id=2 ");
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait(run, RUN_OUT, "\"received\"");
	run_wait_new_brain(run, brain);
	cr_assert_eq(kill(pid, SIGUSR1), 0);
	run_wait(run, RUN_OUT, "still here");
	cr_assert_eq(kill(pid, SIGKILL), 0);
	run_finish(run, 0);
}

/* K01: what happened before is known afterwards, and that a brain died. */
Test(brain_kill, the_events_are_kept)
{
	struct run *run = RUN("--name", "api", "--min-uptime", "0", "--", ROGUE,
		"g1/exit=7@20", "say=up");

	run_wait(run, RUN_OUT, "| up");
	json_decref(run_wait_status(run, 1, "ready"));
	for (int i = 1; i <= 3; i++) {
		const char *at;
		int times = 0;

		kill_brain(run);
		cr_assert_eq(COMMAND(run, "events"), 0);
		for (at = strstr(run_said(run), "took_over"); at;
			at = strstr(at + 1, "took_over"))
			times++;
		cr_expect_eq(times, i, "%s", run_said(run));
		at = strstr(run_said(run), "api.0 exited");
		cr_assert_not_null(at, "%s", run_said(run));
		cr_expect_lt(at, strstr(run_said(run), "killed by SIGKILL"));
		cr_expect_null(strstr(at + 1, "api.0 exited"));
	}
	run_stop(run);
}

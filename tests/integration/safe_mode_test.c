/*
 * Promise: a brain that crashes again and again ends in one that does the
 * least: workers go on serving and are started again, `ls` and `why` answer,
 * and the reason is told; an upgrade leads out of it.
 */
#include "support/http.h"
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(safe_mode, .fini = run_clean, .timeout = 120);

enum { CRASHES = 5 };

/* E07: crashes brains until the supervisor has had enough. */
static void
crash_brains(struct run *run)
{
	for (int i = 0; i < CRASHES; i++) {
		pid_t brain = run_brain(run);
		cr_expect_eq(run_count(run, RUN_ERR, "safe mode, since"), 0u);
		cr_assert_eq(kill(brain, SIGSEGV), 0);
		run_wait_new_brain(run, brain);
	}
	run_wait(run, RUN_ERR, "safe mode, since");
}

Test(safe_mode, workers_go_on)
{
	int port = run_free_port();
	char address[32];
	struct load_counts counts;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	struct run *run = RUN("-n", "2", "-l", address, "--name", "web",
		"--min-uptime", "0", "--", SERVE);
	json_t *before = run_wait_status(run, 2, "ready");
	struct load *load = load_start(port, 2, "/", false);

	cr_assert(load_wait(load, 20));
	crash_brains(run);
	json_t *after = run_wait_status(run, 2, "ready");
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(run_field(after, i, "pid"),
			run_field(before, i, "pid"));
	cr_assert(load_wait(load, 20));
	load_stop(load, &counts);
	cr_expect_eq(counts.failed, 0ul, "%s", counts.first_failure);

	/* One that ends is started again, and `why` tells. */
	pid_t pid = (pid_t)run_field(after, 0, "pid");
	cr_assert_eq(kill(pid, SIGKILL), 0);
	for (;;) {
		json_t *listing = run_wait_status(run, 2, "ready");
		long is = run_field(listing, 0, "pid");
		json_decref(listing);
		if (is != pid)
			break;
		run_pump(run, 10);
	}
	cr_expect_eq(COMMAND(run, "why", "1"), 0);
	cr_expect_not_null(strstr(run_said(run), "SIGKILL"));
	json_decref(before);
	json_decref(after);

	/* The reason is told; what would change more is refused. */
	cr_expect_eq(COMMAND(run, "events"), 0);
	cr_expect_not_null(strstr(run_said(run), "safe_mode"));
	cr_expect_not_null(strstr(run_said(run), "SIGSEGV"));
	cr_expect_eq(COMMAND(run, "reload", "web"), 1);
	cr_expect_not_null(strstr(run_said(run), "safe mode"));
	cr_expect_eq(COMMAND(run, "send", "1", "1"), 1, "%s", run_said(run));
	run_stop(run);
}

/* Messages wait, for workers of before and of safe mode; none is lost. */
Test(safe_mode, an_upgrade_leads_out)
{
	struct run *run = RUN("-n", "2", "--name", "any", "--wait-ready",
		"--min-uptime", "0", "--", ANY_LOOP);
	json_t *before = run_wait_status(run, 2, "ready");
	pid_t pid = (pid_t)run_field(before, 1, "pid");
	json_t *after;

	crash_brains(run);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	for (;;) {
		after = run_wait_status(run, 2, "ready");
		if (run_field(after, 1, "pid") != pid)
			break;
		json_decref(after);
		run_pump(run, 10);
	}
	cr_assert_eq(COMMAND(run, "upgrade"), 0, "%s", run_said(run));
	json_t *end = run_wait_status(run, 2, "ready");
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(
			run_field(end, i, "pid"), run_field(after, i, "pid"));
	cr_expect_eq(COMMAND(run, "send", "1", "{\"to\":1}"), 0);
	run_wait(run, RUN_OUT, "any.0 | worker 0 says {\"to\":1}");
	/* This one said `ready` when nobody listened. */
	for (int i = 0; i < 100; i++)
		if (COMMAND(run, "send", "2", "{\"to\":2}") == 0)
			break;
	run_wait(run, RUN_OUT, "any.1 | worker 0 says {\"to\":2}");
	json_decref(before);
	json_decref(after);
	json_decref(end);
	cr_expect_eq(COMMAND(run, "reload", "any"), 0, "%s", run_said(run));
	run_stop(run);
}

/* What somebody kills has not crashed. */
Test(safe_mode, kills_dont_lead_into_it)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "say=up");

	run_wait(run, RUN_OUT, "| up");
	for (int i = 0; i < 2 * CRASHES; i++) {
		pid_t brain = run_brain(run);
		cr_assert_eq(kill(brain, SIGKILL), 0);
		run_wait_new_brain(run, brain);
	}
	cr_expect_eq(run_count(run, RUN_ERR, "safe mode"), 0u);
	run_stop(run);
}

/* Stopping works, with a reload that was cut short by the crashes. */
Test(safe_mode, everything_can_be_stopped)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--reload-soak",
		"60000", "--", ROGUE, "say=up");

	run_wait_count(run, RUN_OUT, "| up", 2);
	json_decref(run_wait_status(run, 2, "ready"));
	cr_expect_eq(COMMAND(run, "reload", "api", "--no-wait"), 0);
	run_wait_count(run, RUN_OUT, "| up", 3);
	crash_brains(run);
	run_signal(run, SIGHUP);
	run_wait(run, RUN_ERR, "SIGHUP is not carried out");
	run_stop(run);
}

/* K04: two brains at a time are impossible; a stopped one is dead first. */
Test(safe_mode, a_second_brain_gets_nothing)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "say=up");
	char path[4096];
	int status = 0;

	run_wait(run, RUN_OUT, "| up");
	pid_t brain = run_brain(run);
	snprintf(path, sizeof(path), "%sd", run_command_path());
	pid_t second = fork();
	if (second == 0) {
		close_range(3, ~0U, 0);
		execl(path, "musterd: brain", "run", "--", "/bin/true", NULL);
		_exit(127);
	}
	cr_assert_eq(waitpid(second, &status, 0), second);
	cr_assert(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 1);
	cr_expect_eq(run_brain(run), brain);

	cr_assert_eq(kill(brain, SIGSTOP), 0);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	cr_expect_eq(process_state(brain), 'X');
	run_stop(run);
}

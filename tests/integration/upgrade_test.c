/*
 * Promise: `muster upgrade` and SIGUSR2 put another program in the brain's
 * place and touch no worker; a program that can't take over changes nothing.
 */
#include "support/http.h"
#include "support/process.h"
#include "support/run.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(upgrade, .fini = run_clean, .timeout = 120);

/* A copy of `file` in the run's home, under `name`. */
static const char *
copy(struct run *run, const char *file, const char *name)
{
	static char path[PATH_MAX];
	char command[3 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", run_home(run), name);
	snprintf(command, sizeof(command), "cp '%s' '%s'", file, path);
	cr_assert_eq(system(command), 0);
	return path;
}

static const char *
musterd_path(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%sd", run_command_path());
	return path;
}

static void
expect_exe(pid_t pid, const char *expected)
{
	char link[64];
	char path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	cr_expect_gt(readlink(link, path, sizeof(path) - 1), 0);
	cr_expect_str_eq(path, expected);
}

static void
expect_same_workers(struct run *run, json_t *before)
{
	json_t *after = run_wait_status(run, json_array_size(before), "ready");

	for (size_t i = 0; i < json_array_size(before); i++) {
		cr_expect_eq(run_field(after, i, "pid"),
			run_field(before, i, "pid"));
		cr_expect_eq(run_field(after, i, "restarts"), 0);
	}
	json_decref(after);
}

/* D10: workers, connections and messages don't notice. */
Test(upgrade, another_file_takes_over)
{
	int port = run_free_port();
	char address[32];
	struct load_counts counts;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	struct run *run =
		RUN("-n", "2", "-l", address, "--name", "web", "--", SERVE);
	json_t *before = run_wait_status(run, 2, "ready");
	struct load *load = load_start(port, 2, "/", false);
	pid_t keeper = run_keeper(run);
	pid_t brain = run_brain(run);
	const char *path = copy(run, musterd_path(), "musterd-new");

	cr_assert(load_wait(load, 20));
	cr_assert_eq(COMMAND(run, "upgrade", "--program", path), 0, "%s",
		run_said(run));
	cr_expect_not_null(strstr(run_said(run), "has taken over"));
	cr_expect_neq(run_brain(run), brain);
	expect_exe(run_brain(run), path);
	cr_expect_neq(process_state(keeper), 'X');
	expect_same_workers(run, before);
	cr_assert(load_wait(load, 20));
	load_stop(load, &counts);
	cr_expect_eq(counts.failed, 0ul, "%s", counts.first_failure);
	cr_expect_eq(COMMAND(run, "events"), 0);
	cr_expect_not_null(strstr(run_said(run), "upgraded"));

	/* From then on it is the program, whatever happens to its brain. */
	brain = run_brain(run);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	expect_exe(run_brain(run), path);
	expect_same_workers(run, before);
	json_decref(before);
	unlink(path);
	run_stop(run);
}

/* Again and again, by the signal, nothing is left over. */
Test(upgrade, by_signal)
{
	struct run *run =
		RUN("-n", "2", "--name", "any", "--wait-ready", "--", ANY_LOOP);
	json_t *before = run_wait_status(run, 2, "ready");

	for (int i = 1; i <= 4; i++) {
		pid_t brain = run_brain(run);
		run_signal(run, SIGUSR2);
		run_wait_new_brain(run, brain);
		/* From the second on the keeper holds the program's file, and
		 * that of the one before. */
		if (i == 2)
			run_mark(run);
		run_wait_count(run, RUN_ERR, "upgraded to", (size_t)i);
		expect_same_workers(run, before);
	}
	cr_expect_eq(COMMAND(run, "send", "1", "{\"after\":1}"), 0);
	run_wait(run, RUN_OUT, "says {\"after\":1}");
	run_check_mark(run);
	json_decref(before);
	run_stop(run);
}

static void
expect_refusal(struct run *run, const char *program, const char *words)
{
	pid_t brain = run_brain(run);

	cr_expect_eq(COMMAND(run, "upgrade", "--program", program), 1);
	cr_expect_not_null(strstr(run_said(run), words), "%s", run_said(run));
	cr_expect_eq(run_brain(run), brain);
}

/* D10, K06: what can't take over is found out beside the old brain. */
Test(upgrade, what_cant_take_over_is_refused)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "say=up");
	json_t *before = run_wait_status(run, 1, "ready");
	const char *path;

	run_mark(run);
	expect_refusal(run, "/bin/true", "is no musterd");
	expect_refusal(run, "/bin/false", "exited with code 1");
	expect_refusal(run, "/nowhere/musterd", "No such file");
	expect_refusal(run, "/etc/passwd", "can't be started: exec");
	path = copy(run, IMPOSTOR, "impostor-refuses");
	expect_refusal(run, path, "the ledger is of another version");
	unlink(path);
	path = copy(run, IMPOSTOR, "impostor-mute");
	expect_refusal(run, path, "is no musterd");
	unlink(path);
	cr_expect_eq(COMMAND(run, "events"), 0);
	cr_expect_not_null(strstr(run_said(run), "upgrade_failed"));
	expect_same_workers(run, before);
	run_check_mark(run);
	json_decref(before);
	run_stop(run);
}

/* One that said yes and doesn't come up: the old one goes on. */
static void
expect_fall_back(const char *name, const char *words)
{
	struct run *run =
		RUN("-n", "2", "--name", "any", "--wait-ready", "--", ANY_LOOP);
	json_t *before = run_wait_status(run, 2, "ready");
	const char *path = copy(run, IMPOSTOR, name);

	run_mark(run);
	cr_expect_eq(COMMAND(run, "upgrade", "--program", path), 1);
	cr_expect_not_null(strstr(run_said(run), words), "%s", run_said(run));
	expect_exe(run_brain(run), musterd_path());
	expect_same_workers(run, before);
	cr_expect_eq(COMMAND(run, "send", "2", "{\"after\":2}"), 0);
	run_wait(run, RUN_OUT, "says {\"after\":2}");
	run_check_mark(run);
	/* And another may be tried. */
	cr_expect_eq(COMMAND(run, "upgrade"), 0, "%s", run_said(run));
	unlink(path);
	json_decref(before);
	run_stop(run);
}

Test(upgrade, one_that_dies_is_taken_back)
{
	expect_fall_back("impostor-dies", "exited with code 5");
}

Test(upgrade, one_that_hangs_is_taken_back)
{
	expect_fall_back("impostor-hangs", "was not up within 10 s");
}

static void
crash_brain(struct run *run, int signal)
{
	pid_t brain = run_brain(run);

	cr_assert_eq(kill(brain, signal), 0);
	run_wait_new_brain(run, brain);
}

/* D10: what was up and then crashes is taken back; what is killed isn't. */
Test(upgrade, one_that_crashes_soon_is_taken_back)
{
	struct run *run =
		RUN("-n", "2", "--name", "any", "--wait-ready", "--", ANY_LOOP);
	json_t *before = run_wait_status(run, 2, "ready");
	const char *path = copy(run, musterd_path(), "musterd-new");

	run_mark(run);
	cr_expect_eq(COMMAND(run, "upgrade", "--program", path), 0);
	crash_brain(run, SIGKILL);
	expect_exe(run_brain(run), path);
	crash_brain(run, SIGSEGV);
	expect_exe(run_brain(run), musterd_path());
	run_wait(run, RUN_ERR, "no upgrade: the new program was killed by SIG");
	expect_same_workers(run, before);
	cr_expect_eq(COMMAND(run, "events"), 0);
	const char *done = strstr(run_said(run), "upgraded");
	cr_assert_not_null(done, "%s", run_said(run));
	const char *failed = strstr(done, "upgrade_failed");
	cr_assert_not_null(failed, "%s", run_said(run));
	cr_expect_not_null(strstr(failed, "s after it was up"));
	run_check_mark(run);

	/* There is one way back, and it was taken. */
	crash_brain(run, SIGSEGV);
	expect_exe(run_brain(run), musterd_path());
	cr_expect_eq(run_count(run, RUN_ERR, "no upgrade"), 1u);
	cr_expect_eq(COMMAND(run, "send", "2", "{\"after\":2}"), 0);
	run_wait(run, RUN_OUT, "says {\"after\":2}");
	/* And another may be tried. */
	cr_expect_eq(COMMAND(run, "upgrade", "--program", path), 0);
	expect_exe(run_brain(run), path);
	expect_same_workers(run, before);
	unlink(path);
	json_decref(before);
	run_stop(run);
}

/* D11: the keeper is killed in the middle: nothing is left. */
Test(upgrade, the_keeper_dies_during_the_trial)
{
	struct run *run = RUN("--name", "any", "--", ANY_LOOP);
	json_t *before = run_wait_status(run, 1, "ready");
	pid_t worker = (pid_t)run_field(before, 0, "pid");
	pid_t old = run_brain(run);
	const char *path = copy(run, IMPOSTOR, "impostor-hangs");
	pid_t child = fork();

	if (child == 0) {
		setenv("MUSTER_HOME", run_home(run), 1);
		execl(run_command_path(), "muster", "upgrade", "--program",
			path, NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 && process_state(old) != 'X'; i++)
		run_pump(run, 10);
	pid_t brain = run_brain(run);
	cr_expect_neq(brain, old);
	run_signal(run, SIGKILL);
	run_wait_exit(run);
	run_wait_orphan(run, worker);
	/* It is no brain of ours, so it doesn't see the keeper's end. */
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_orphan(run, brain);
	run_wait_orphan(run, child);
	json_decref(before);
	run_forget(run);
}

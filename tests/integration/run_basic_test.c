/*
 * Promise: `muster run` forks the workers that were asked for, gives each
 * exactly what is described, shows their output, and ends with a code that
 * tells how it went.
 */
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(run_basic, .fini = run_clean, .timeout = 120);

Test(run_basic, four_workers_with_prefixed_output)
{
	struct run *run = RUN("-n", "4", "--name", "api", "--", ROGUE,
		"say=hello", "err=trouble");
	json_t *listing = run_wait_status(run, 4, "ready");

	for (size_t i = 0; i < 4; i++) {
		char line[32];
		pid_t pid = (pid_t)run_field(listing, i, "pid");
		cr_expect_eq(process_parent(pid), run_keeper(run));
		cr_expect_eq(run_field(listing, i, "instance"), (long)i);
		cr_expect_eq(run_field(listing, i, "generation"), 1);
		snprintf(line, sizeof(line), "api.%zu | hello\n", i);
		run_wait_count(run, RUN_OUT, line, 1);
		snprintf(line, sizeof(line), "api.%zu | trouble\n", i);
		run_wait_count(run, RUN_OUT, line, 1);
	}
	json_decref(listing);
	cr_expect_eq(run_count(run, RUN_OUT, "hello"), 4u);
	run_stop(run);
}

/* The report of a rogue as JSON (new reference). */
static json_t *
wait_report(struct run *run)
{
	const char *line = run_wait(run, RUN_OUT, "{\"pid\"");
	json_t *report = json_loads(strchr(line, '{'), 0, NULL);

	cr_assert_not_null(report, "no JSON: %s", line);
	return report;
}

static const char *
text_of(json_t *report, const char *object, const char *key)
{
	const char *text = json_string_value(
		json_object_get(json_object_get(report, object), key));

	return text != NULL ? text : "(none)";
}

static void
expect_fd(json_t *report, const char *number, const char *kind)
{
	const char *target = text_of(report, "fds", number);

	cr_expect_eq(strncmp(target, kind, strlen(kind)), 0, "%s is %s", number,
		target);
}

Test(run_basic, exactly_the_described_descriptors)
{
	char address[32];
	char pid[16];

	snprintf(address, sizeof(address), "127.0.0.1:%d", run_free_port());
	struct run *run =
		RUN("-l", address, "--name", "api", "--", ROGUE, "report");
	json_t *report = wait_report(run);
	const char *channel = text_of(report, "env", "MUSTER_CHANNEL_FD");
	const char *resume = text_of(report, "env", "MUSTER_RESUME_FD");

	cr_expect_eq(json_object_size(json_object_get(report, "fds")), 6u);
	expect_fd(report, "0", "/dev/null");
	expect_fd(report, "1", "pipe:");
	expect_fd(report, "2", "pipe:");
	expect_fd(report, "3", "socket:");
	expect_fd(report, channel, "socket:");
	expect_fd(report, resume, "socket:");
	cr_expect_gt(atoi(channel), 3);
	cr_expect_gt(atoi(resume), 3);
	cr_expect_str_neq(channel, resume);
	cr_expect_eq(json_array_size(json_object_get(report, "cloexec")), 0u);
	snprintf(pid, sizeof(pid), "%lld",
		(long long)json_integer_value(json_object_get(report, "pid")));
	cr_expect_str_eq(text_of(report, "env", "LISTEN_FDS"), "1");
	cr_expect_str_eq(text_of(report, "env", "LISTEN_PID"), pid);
	cr_expect_str_neq(text_of(report, "env", "LISTEN_FDNAMES"), "(none)");
	json_decref(report);
	run_stop(run);
}

Test(run_basic, no_listener_no_listen_variables)
{
	setenv("LISTEN_FDS", "7", 1);
	setenv("LISTEN_PID", "1", 1);
	setenv("NOTIFY_SOCKET", "/nowhere", 1);
	setenv("TEST_KEPT", "yes", 1);
	struct run *run = RUN(
		"--name", "api", "-e", "TEST_GIVEN=too", "--", ROGUE, "report");
	json_t *report = wait_report(run);

	cr_expect_eq(json_object_size(json_object_get(report, "fds")), 5u);
	cr_expect_str_eq(text_of(report, "env", "LISTEN_FDS"), "(none)");
	cr_expect_str_eq(text_of(report, "env", "LISTEN_PID"), "(none)");
	/* Its own, not what muster was started with. */
	cr_expect_eq(strncmp(text_of(report, "env", "NOTIFY_SOCKET"),
			     "@muster/notify/", 15),
		0);
	cr_expect_str_eq(text_of(report, "env", "MUSTER_HOME"), "(none)");
	cr_expect_str_eq(text_of(report, "env", "TEST_KEPT"), "yes");
	cr_expect_str_eq(text_of(report, "env", "TEST_GIVEN"), "too");
	cr_expect_str_eq(text_of(report, "env", "MUSTER_APP"), "api");
	cr_expect_str_eq(text_of(report, "env", "MUSTER_INSTANCE"), "0");
	cr_expect_str_eq(text_of(report, "env", "MUSTER_GENERATION"), "1");
	cr_expect_str_eq(text_of(report, "env", "MUSTER_WORKER_ID"), "1");
	json_decref(report);
	run_stop(run);
}

Test(run_basic, a_clean_process)
{
	struct run *run =
		RUN("--cwd", "/usr", "--name", "api", "--", ROGUE, "report");
	json_t *report = wait_report(run);
	long long pid = json_integer_value(json_object_get(report, "pid"));

	cr_expect_str_eq(
		json_string_value(json_object_get(report, "cwd")), "/usr");
	cr_expect_eq(json_integer_value(json_object_get(report, "pgid")), pid);
	cr_expect_str_eq(json_string_value(json_object_get(report, "blocked")),
		"0000000000000000");
	cr_expect_str_eq(json_string_value(json_object_get(report, "ignored")),
		"0000000000000000");
	json_decref(report);
	run_stop(run);
}

Test(run_basic, exit_code_of_the_last_worker)
{
	run_finish(RUN("--no-autorestart", "--", ROGUE, "exit=0"), 0);
	run_finish(RUN("--no-autorestart", "--", ROGUE, "exit=7"), 7);
	run_finish(RUN("--no-autorestart", "--", ROGUE, "kill=KILL"),
		128 + SIGKILL);
	run_finish(RUN("-n", "3", "--no-autorestart", "--", ROGUE, "0/exit=0",
			   "1/exit=5", "2/exit=6@200"),
		5);
}

Test(run_basic, last_words_are_printed)
{
	struct run *run = RUN("--name", "api", "--no-autorestart", "--", ROGUE,
		"print=3000", "say=bye", "exit=0");

	run_wait(run, RUN_OUT, "api.0 | line 0");
	run_wait(run, RUN_OUT, "api.0 | line 2999");
	run_wait(run, RUN_OUT, "api.0 | bye");
	cr_expect_eq(run_count(run, RUN_OUT, "api.0 | line "), 3000u);
	run_finish(run, 0);
}

Test(run_basic, raw_and_json_output)
{
	struct run *run = RUN("--raw", "--no-autorestart", "--", ROGUE,
		"say=plain", "exit=0");

	run_wait(run, RUN_OUT, "plain");
	cr_expect_str_eq(run_text(run, RUN_OUT), "plain\n");
	run_finish(run, 0);

	run = RUN("--json", "--name", "api", "--no-autorestart", "--", ROGUE,
		"err=plain", "exit=0");
	json_t *line = json_loads(run_wait(run, RUN_OUT, "plain"), 0, NULL);
	cr_assert_not_null(line);
	cr_expect_str_eq(
		json_string_value(json_object_get(line, "app")), "api");
	cr_expect_str_eq(
		json_string_value(json_object_get(line, "stream")), "stderr");
	cr_expect_str_eq(
		json_string_value(json_object_get(line, "line")), "plain");
	json_decref(line);
	run_finish(run, 0);
}

Test(run_basic, a_worker_cant_drive_the_terminal)
{
	struct run *run = RUN("--name", "api", "--no-autorestart", "--", ROGUE,
		"say=\x1b[2Jgone", "exit=0");

	run_wait(run, RUN_OUT, "api.0 | \\x1b[2Jgone");
	run_finish(run, 0);
}

Test(run_basic, wrong_usage)
{
	struct run *run = RUN("--instnaces", "4", "--", ROGUE);

	run_wait(run, RUN_ERR, "--instances");
	run_finish(run, 2);
	run = RUN("-n", "2");
	run_finish(run, 2);
	run = RUN("-n", "many", "--", ROGUE);
	run_wait(run, RUN_ERR, "many");
	run_finish(run, 2);
}

Test(run_basic, arguments_reach_the_program_as_they_are)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "say=--json",
		"say=a b  c", "say=");

	run_wait(run, RUN_OUT, "api.0 | --json");
	run_wait(run, RUN_OUT, "api.0 | a b  c");
	run_wait(run, RUN_OUT, "api.0 | ");
	run_stop(run);
}

Test(run_basic, two_supervisors_share_a_home)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "say=first");
	char command[512];

	run_wait(run, RUN_OUT, "api.0 | first");
	/* The home is taken: the second gets a folder of its own in it. */
	snprintf(command, sizeof(command),
		"MUSTER_HOME=%s %s run --name two --no-autorestart -- %s "
		"say=second exit=0 2>&1",
		run_home(run), run_command_path(), ROGUE);
	FILE *second = popen(command, "re");
	char said[4096] = "";
	size_t size = fread(said, 1, sizeof(said) - 1, second);
	said[size] = '\0';
	cr_expect_eq(pclose(second), 0);
	cr_expect_not_null(strstr(said, "run-"), "%s", said);
	cr_expect_not_null(strstr(said, "two.0 | second"), "%s", said);
	cr_expect_eq(COMMAND(run, "ping"), 0);
	run_stop(run);
}

static int
read_pid(const char *path)
{
	char text[32] = "";
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return -1;
	if (fgets(text, sizeof(text), file) == NULL)
		text[0] = '\0';
	fclose(file);
	return atoi(text);
}

Test(run_basic, a_pid_file_lives_as_long_as_the_supervisor)
{
	char path[] = "/tmp/pid-of-run-XXXXXX";
	int fd = mkstemp(path);
	struct run *run;

	cr_assert_geq(fd, 0);
	close(fd);
	run = RUN("--pid-file", path, "--", ROGUE, "say=up");
	run_wait(run, RUN_OUT, "up");
	cr_expect_eq(read_pid(path), (int)run_keeper(run));
	/* Another brain keeps it, and takes it away in the end. */
	pid_t brain = run_brain(run);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	cr_expect_eq(read_pid(path), (int)run_keeper(run));
	run_stop(run);
	cr_expect_neq(access(path, F_OK), 0);

	run = RUN("--pid-file", "/nowhere/pid", "--", ROGUE, "say=up");
	run_wait(run, RUN_ERR, "--pid-file /nowhere/pid");
	run_finish(run, 1);
}

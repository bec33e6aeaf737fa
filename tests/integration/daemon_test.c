/*
 * Promise: `start` begins a daemon and puts programs under it; stop, restart,
 * scale, delete and the like do what they say, have done it when they return,
 * and tell by their exit codes whether it worked.
 */
#include "support/home.h"
#include "support/http.h"
#include "support/process.h"
#include "support/run.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(daemon, .init = home_make, .fini = home_clean, .timeout = 60);

static int port;
static char address[32];

static void
start_web(const char *instances)
{
	port = run_free_port();
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	cr_assert_eq(MUSTER("start", "--name", "web", "-n", instances,
			     "--wait-ready", "--reload-soak", "0", "-l",
			     address, "--", HTTP_HELLO),
		0, "%s", home_said());
}

static bool
is_served(void)
{
	char body[64];
	bool is_open;
	int fd = http_connect(port);
	int status;

	if (fd < 0)
		return false;
	status = http_get(fd, "/", body, sizeof(body), &is_open);
	close(fd);
	return status == 200;
}

static void
write_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", home_folder(), name);
	file = fopen(path, "we");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

/* The count of workers, and the status of the first. */
static void
expect_workers(size_t count, const char *status)
{
	json_t *listing = home_ls();

	cr_expect_eq(json_array_size(listing), count, "%s", home_said());
	if (count > 0)
		cr_expect_str_eq(home_text(listing, 0, "status"), status);
	json_decref(listing);
}

Test(daemon, nobody_is_there)
{
	cr_expect_eq(MUSTER("ls"), 3);
	cr_expect_not_null(strstr(home_said(), "muster start"));
	cr_expect_eq(MUSTER("kill"), 3);
	cr_expect_eq(MUSTER("stop", "web"), 3);
	cr_expect_eq(home_count_keepers(), 0ul);
}

Test(daemon, fifty_at_once_start_one)
{
	enum { MANY = 50 };
	pid_t pids[MANY];
	char names[MANY][8];

	for (int i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "a%d", i);
		pids[i] = MUSTER_BEGIN(
			"start", "--name", names[i], "--", "sleep", "1000");
	}
	for (int i = 0; i < MANY; i++)
		cr_expect_eq(home_wait(pids[i]), 0);
	expect_workers(MANY, "ready");
	cr_expect_eq(home_count_keepers(), 1ul);
	cr_expect_eq(MUSTER("kill"), 0, "%s", home_said());
	cr_expect_eq(MUSTER("ping"), 3);
}

/* It is nobody's child, in no terminal, and has nothing of its starter. */
Test(daemon, it_is_detached)
{
	char path[64], where[64] = "", text[4096];
	struct stat status;
	pid_t brain;
	FILE *file;
	size_t size;

	setenv("TEST_SECRET", "x", 1);
	cr_assert_eq(MUSTER("start", "--name", "s", "--", "sleep", "9"), 0);
	brain = home_brain(0);
	snprintf(path, sizeof(path), "/proc/%d/cwd", process_parent(brain));
	cr_assert_geq(readlink(path, where, sizeof(where) - 1), 0);
	cr_expect_str_eq(where, "/");
	cr_expect_eq(getsid(process_parent(brain)), process_parent(brain));
	snprintf(path, sizeof(path), "/proc/%d/environ", brain);
	file = fopen(path, "re");
	cr_assert_not_null(file);
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	cr_expect_null(memmem(text, size, "TEST_SECRET", 11));
	snprintf(path, sizeof(path), "%s/muster.log", home_folder());
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0600u);
}

Test(daemon, a_day_of_an_application)
{
	json_t *before, *after;

	start_web("2");
	expect_workers(2, "ready");
	cr_expect(is_served());
	before = home_ls();
	cr_expect_eq(MUSTER("restart", "web"), 0, "%s", home_said());
	after = home_ls();
	for (size_t i = 0; i < 2; i++) {
		cr_expect_str_eq(home_text(after, i, "status"), "ready");
		cr_expect_neq(home_number(before, i, "pid"),
			home_number(after, i, "pid"));
		cr_expect_eq(home_number(after, i, "restarts"), 1);
		cr_expect_eq(home_number(after, i, "unstable_restarts"), 0);
	}
	json_decref(before);
	json_decref(after);
	cr_expect_eq(MUSTER("scale", "web", "+2"), 0, "%s", home_said());
	expect_workers(4, "ready");
	cr_expect_eq(MUSTER("scale", "web", "-3"), 0, "%s", home_said());
	expect_workers(1, "ready");
	cr_expect_eq(MUSTER("scale", "web", "-99"), 1);
	cr_expect_eq(MUSTER("scale", "web", "x"), 1);
	cr_expect_eq(MUSTER("scale", "nobody", "1"), 4);
	cr_expect_eq(MUSTER("scale", "web"), 2);
	cr_expect_eq(MUSTER("reset", "web"), 0);
	cr_expect_eq(MUSTER("reload", "web"), 0, "%s", home_said());
	cr_expect(is_served());
	cr_expect_eq(MUSTER("stop", "web"), 0, "%s", home_said());
	expect_workers(1, "stopped");
	cr_expect_eq(MUSTER("stop", "web"), 0);
	cr_expect_eq(MUSTER("start", "web"), 0, "%s", home_said());
	expect_workers(1, "ready");
	cr_expect(is_served());
	cr_expect_eq(MUSTER("delete", "1"), 1);
	cr_expect_eq(MUSTER("delete", "web"), 0, "%s", home_said());
	expect_workers(0, "");
	cr_expect_not(is_served());
	cr_expect_eq(MUSTER("delete", "web"), 4);
	/* The address is free again. */
	start_web("1");
	cr_expect(is_served());
}

Test(daemon, signals)
{
	cr_assert_eq(MUSTER("start", "--name", "r", "--", ROGUE, "usr1=heard",
			     "say=up", "until=never"),
		0);
	home_wait_file("logs/r.log", "up");
	cr_expect_eq(MUSTER("signal", "USR1", "r"), 0, "%s", home_said());
	home_wait_file("logs/r.log", "heard");
	cr_expect_eq(MUSTER("signal", "FOO", "r"), 1);
	cr_expect_eq(MUSTER("signal", "TERM", "x"), 4);
	cr_expect_eq(MUSTER("stop", "r"), 0);
	cr_expect_eq(MUSTER("signal", "TERM", "r"), 1);
}

Test(daemon, what_does_not_start_is_told)
{
	cr_expect_eq(
		MUSTER("start", "--name", "none", "--", "/nonexistent"), 1);
	cr_expect_not_null(
		strstr(home_said(), "No such file"), "%s", home_said());
	cr_expect_eq(MUSTER("start", "--wait-ready", "--listen-timeout", "200",
			     "--name", "late", "--", "sleep", "9"),
		1);
	cr_expect_not_null(strstr(home_said(), "late.0"), "%s", home_said());
	cr_expect_eq(MUSTER("start", "--bogus", "x"), 2);
	cr_expect_eq(MUSTER("start"), 2);
	cr_expect_eq(MUSTER("start", "--user", "nobody-is-called-so", "x"), 1);
	/* What never ran isn't kept; what ran is tried on. */
	cr_expect_eq(MUSTER("delete", "none"), 4, "%s", home_said());
	cr_expect_eq(MUSTER("delete", "late"), 0, "%s", home_said());
}

Test(daemon, a_file)
{
	char path[256];
	json_t *before, *after;

	snprintf(path, sizeof(path), "%s/apps.json", home_folder());
	write_file("apps.json", "[{\"name\":\"a\",\"script\":\"/bin/sleep\","
				"\"args\":\"1000\"},"
				"{\"name\":\"b\",\"script\":\"/bin/sleep\","
				"\"args\":\"1000\",\"instances\":2}]");
	cr_expect_eq(MUSTER("start", path, "b"), 2);
	cr_expect_eq(
		MUSTER("start", path, "--only", "b"), 0, "%s", home_said());
	cr_expect_eq(
		MUSTER("start", "--only", "b", path), 0, "%s", home_said());
	expect_workers(2, "ready");
	cr_expect_eq(MUSTER("start", "--only", "c", path), 1);
	cr_expect_eq(MUSTER("start", path), 0, "%s", home_said());
	before = home_ls();
	cr_expect_eq(json_array_size(before), 3ul);
	/* Once more changes nothing. */
	cr_expect_eq(MUSTER("start", path), 0, "%s", home_said());
	after = home_ls();
	for (size_t i = 0; i < 3; i++)
		cr_expect_eq(home_number(before, i, "pid"),
			home_number(after, i, "pid"));
	json_decref(after);
	/* What is wrong changes nothing either. */
	write_file("apps.json", "[{\"name\":\"a\",\"script\":\"/bin/true\"},"
				"{\"name\":\"b\",\"scirpt\":\"x\"}]");
	cr_expect_eq(MUSTER("start", path), 1);
	cr_expect_not_null(strstr(home_said(), "script"), "%s", home_said());
	/* A changed one is reloaded. */
	write_file("apps.json", "[{\"name\":\"b\",\"script\":\"/bin/sleep\","
				"\"args\":\"2000\",\"instances\":2,"
				"\"reload_soak\":0}]");
	cr_expect_eq(MUSTER("start", path), 0, "%s", home_said());
	after = home_wait_status(3, "ready");
	for (size_t i = 0; i < 3; i++) {
		bool same = home_number(before, i, "pid") ==
			    home_number(after, i, "pid");

		cr_expect_eq(
			same, strcmp(home_text(after, i, "app"), "a") == 0);
	}
	json_decref(before);
	json_decref(after);
}

/* As it is: comments, a function's result, keys that mean nothing here. */
Test(daemon, a_file_of_pm2)
{
	char path[256];

	if (system("command -v node >/dev/null") != 0)
		cr_skip("node is not installed");
	snprintf(path, sizeof(path), "%s/ecosystem.config.js", home_folder());
	write_file("ecosystem.config.js",
		"// a PM2 file\n"
		"module.exports = { apps: [{\n"
		"  name: 'api', script: '/bin/sh', args: ['-c',\n"
		"    'echo MODE=$MODE PORT=$PORT; exec sleep 1000'],\n"
		"  instances: 2, exec_mode: 'fork', pmx: false, watch: false,\n"
		"  maxRestarts: 3, env: { MODE: 'development', PORT: 3000 },\n"
		"  env_production: { MODE: 'production' },\n"
		"}], deploy: { production: { user: 'me' } } };\n");
	cr_expect_eq(MUSTER("check", path), 0, "%s", home_said());
	cr_expect_not_null(strstr(home_said(), "pmx means nothing here"));
	cr_expect_not_null(strstr(home_said(), "api: 2 of /bin/sh"));
	cr_expect_eq(home_count_keepers(), 0ul);
	cr_expect_eq(MUSTER("start", path, "--env", "production"), 0, "%s",
		home_said());
	home_wait_file("logs/api.log", "MODE=production PORT=3000");
	expect_workers(2, "ready");
	write_file("ecosystem.config.js", "module.exports = nonsense;\n");
	cr_expect_eq(MUSTER("start", path), 1);
	cr_expect_not_null(strstr(home_said(), "nonsense"), "%s", home_said());
	cr_expect_eq(MUSTER("check", path), 1);
	write_file("ecosystem.config.js", "for (;;);\n");
	expect_workers(2, "ready");
}

/* Runs `muster ARGUMENTS` with `input` as its standard input. */
static int
pipe_to(const char *input, const char *arguments)
{
	char command[600];

	write_file("input", input);
	snprintf(command, sizeof(command),
		MUSTER_EXE " %s <%s/input >%s/said 2>&1", arguments,
		home_folder(), home_folder());
	return WEXITSTATUS(system(command));
}

Test(daemon, a_file_on_standard_input)
{
	static const char file[] = "[{\"name\": \"a\", \"script\": \"sleep\", "
				   "\"args\": \"1000\"}]";

	setenv("TMPDIR", home_folder(), 1);
	cr_expect_eq(pipe_to(file, "check -"), 0);
	cr_expect_eq(pipe_to(file, "start -"), 0);
	expect_workers(1, "ready");
	cr_expect_eq(pipe_to("[{\"name\":\n 3", "start -"), 1);
	home_wait_file("said", "standard input:2:");
	cr_expect_eq(pipe_to("[{\"name\": \"b\"}]", "check -"), 1);
	home_wait_file("said", "standard input: apps[0].script");
	cr_expect_eq(pipe_to(file, "start -x -"), 2);
	cr_expect_eq(MUSTER("kill"), 0);
	/* Nothing is left of what stood for it. */
	cr_expect_neq(
		system("ls \"$TMPDIR\"/muster-config-* >/dev/null 2>&1"), 0);
}

/* As PM2 has them: numbers of their own, and what isn't inherited. */
Test(daemon, variables_of_a_worker)
{
	setenv("REACT_SECRET", "x", 1);
	setenv("KEPT", "y", 1);
	cr_assert_eq(MUSTER("start", "--name", "var", "-n", "2", "--env",
			     "PORT=3000", "--increment-var", "PORT",
			     "--instance-var", "PLACE", "--filter-env",
			     "REACT_", "--merge-logs", "--", "sh", "-c",
			     "echo place=$PLACE port=$PORT kept=$KEPT "
			     "react=$REACT_SECRET node=$NODE_APP_INSTANCE.; "
			     "exec sleep 1000"),
		0, "%s", home_said());
	home_wait_file(
		"logs/var.log", "place=0 port=3000 kept=y react= node=.\n");
	home_wait_file(
		"logs/var.log", "place=1 port=3001 kept=y react= node=.\n");
	cr_expect_eq(
		MUSTER("start", "--instance-var", "A-B", "--", "sleep", "1"),
		2);
}

Test(daemon, a_sample_to_begin_with)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/new.json", home_folder());
	cr_expect_eq(MUSTER("init", path), 0, "%s", home_said());
	cr_expect_eq(MUSTER("check", path), 0, "%s", home_said());
	cr_expect_not_null(strstr(home_said(), "app: 2 of "));
	write_file("new.json", "mine");
	cr_expect_eq(MUSTER("init", path), 1);
	home_wait_file("new.json", "mine");
}

/* In the foreground the same files will do. */
Test(daemon, a_script_that_run_evaluates)
{
	char path[256];

	if (system("command -v node >/dev/null") != 0)
		cr_skip("node is not installed");
	snprintf(path, sizeof(path), "%s/some.config.cjs", home_folder());
	write_file("some.config.cjs",
		"module.exports = [{ name: 'x', script: '/bin/sh',\n"
		"  args: ['-c', 'exit 7'], autorestart: false }];\n");
	cr_expect_eq(MUSTER("run", path), 7, "%s", home_said());
	write_file("some.config.cjs", "module.exports = [{ name: 'x' }];\n");
	cr_expect_eq(MUSTER("run", path), 1);
	cr_expect(strstr(home_said(), "some.config.cjs: apps[0].script"), "%s",
		home_said());
	write_file("some.config.cjs",
		"process.stdout.write('x'.repeat(5 << 20));"
		"module.exports = [];\n");
	cr_expect_eq(MUSTER("run", path), 1);
	/* What is only checked may have any name. */
	write_file("any.mjs", "export default { script: '/bin/sh' };\n");
	snprintf(path, sizeof(path), "%s/any.mjs", home_folder());
	cr_expect_eq(MUSTER("check", path), 0, "%s", home_said());
}

/* A worker's variable, as it printed it last. */
static void
expect_variable(const char *value)
{
	char line[64];

	snprintf(line, sizeof(line), "FRUIT=%s\n", value);
	home_wait_file("logs/env.log", line);
}

Test(daemon, the_environment_is_the_callers)
{
	static const char show[] = "echo FRUIT=$FRUIT; exec sleep 1000";

	setenv("FRUIT", "apple", 1);
	cr_assert_eq(MUSTER("start", "--name", "env", "--reload-soak", "0",
			     "--", "/bin/sh", "-c", show),
		0, "%s", home_said());
	expect_variable("apple");
	setenv("FRUIT", "pear", 1);
	cr_assert_eq(MUSTER("restart", "env"), 0, "%s", home_said());
	cr_assert_eq(
		MUSTER("start", "--name", "env", "--reload-soak", "0",
			"--kill-timeout", "5000", "--", "/bin/sh", "-c", show),
		0, "%s", home_said());
	cr_expect_null(strstr(home_said(), "pear"));
	cr_assert_eq(MUSTER("start", "--update-env", "--name", "env",
			     "--reload-soak", "0", "--restart-delay", "1",
			     "--min-uptime", "5", "--listen-timeout", "4000",
			     "--umask", "022", "--", "/bin/sh", "-c", show),
		0, "%s", home_said());
	expect_variable("pear");
}

/* What was decided is done, whoever dies meanwhile. */
Test(daemon, the_brain_dies_in_the_middle)
{
	pid_t brain;

	cr_assert_eq(
		MUSTER("start", "--name", "slow", "--kill-timeout", "700", "--",
			ROGUE, "ignore=TERM", "say=up", "until=never"),
		0);
	home_wait_file("logs/slow.log", "up");
	brain = home_brain(0);
	cr_expect_eq(MUSTER("stop", "--no-wait", "slow"), 0);
	kill(brain, SIGKILL);
	(void)home_brain(brain);
	json_decref(home_wait_status(1, "stopped"));
	cr_expect_eq(MUSTER("start", "slow"), 0, "%s", home_said());
	brain = home_brain(0);
	cr_expect_eq(MUSTER("delete", "--no-wait", "slow"), 0);
	kill(brain, SIGKILL);
	(void)home_brain(brain);
	json_decref(home_wait_status(0, ""));
	cr_expect_eq(home_count_keepers(), 1ul);
	/* It lives on with nothing to do. */
	cr_expect_eq(MUSTER("ping"), 0);
}

/* The output of both streams is kept, and again after the brain's death. */
Test(daemon, output_goes_to_a_file)
{
	pid_t brain;

	cr_assert_eq(MUSTER("start", "--name", "talk", "--", ROGUE, "say=one",
			     "err=two", "usr1=three", "until=never"),
		0);
	home_wait_file("logs/talk.log", "one");
	home_wait_file("logs/talk.log", "two");
	brain = home_brain(0);
	kill(brain, SIGKILL);
	(void)home_brain(brain);
	cr_expect_eq(MUSTER("signal", "USR1", "talk"), 0, "%s", home_said());
	home_wait_file("logs/talk.log", "three");
}

/* The end of the files, safe to print, and no more than was asked for. */
Test(daemon, logs_are_shown)
{
	cr_assert_eq(MUSTER("start", "--name", "talk", "--", ROGUE, "print=30",
			     "err=red \033[31m", "until=never"),
		0);
	cr_assert_eq(
		MUSTER("start", "--name", "other", "--error-file", "/dev/null",
			"--", ROGUE, "say=hello", "until=never"),
		0, "%s", home_said());
	home_wait_file("logs/talk.log", "line 29");
	home_wait_file("logs/talk.log", "red");
	home_wait_file("logs/other.log", "hello");
	cr_expect_eq(
		MUSTER("logs", "talk", "--lines", "40"), 0, "%s", home_said());
	cr_expect_not_null(strstr(home_said(), "line 0\n"));
	cr_expect_not_null(strstr(home_said(), "red \\x1b[31m"));
	cr_expect_eq(MUSTER("logs", "talk", "--lines", "2"), 0);
	cr_expect_null(strstr(home_said(), "line 0\n"));
	cr_expect_eq(MUSTER("logs", "--lines", "1"), 0, "%s", home_said());
	cr_expect_not_null(strstr(home_said(), "other | "));
	cr_expect_not_null(strstr(home_said(), "talk | "));
	cr_expect_eq(MUSTER("logs", "nobody"), 4);
	cr_expect_eq(MUSTER("logs", "--lines", "x"), 2);
}

Test(daemon, an_application_is_described)
{
	cr_assert_eq(MUSTER("start", "--name", "s", "-e", "API_TOKEN=hidden",
			     "-e", "COLOR=blue", "--", "sleep", "9"),
		0);
	cr_expect_eq(MUSTER("describe", "s"), 0, "%s", home_said());
	cr_expect_not_null(strstr(home_said(), "blue"));
	cr_expect_null(strstr(home_said(), "hidden"));
	cr_expect_eq(MUSTER("describe", "s", "--json"), 0);
	cr_expect_null(strstr(home_said(), "hidden"));
	cr_expect_eq(MUSTER("describe", "x"), 4);
}

static void
expect_mode(const char *name, unsigned mode)
{
	struct stat status;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", home_folder(), name);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 0777, mode);
}

/* Number, environment, and what was stopped. */
static void
expect_resurrected(void)
{
	json_t *listing = home_ls();

	cr_assert_eq(json_array_size(listing), 4ul, "%s", home_said());
	for (size_t i = 0; i < 4; i++) {
		bool is_a = strcmp(home_text(listing, i, "app"), "a") == 0;

		cr_expect_str_eq(home_text(listing, i, "status"),
			is_a ? "ready" : "stopped");
	}
	json_decref(listing);
}

Test(daemon, saved_and_resurrected)
{
	setenv("FRUIT", "fig", 1);
	cr_expect_eq(MUSTER("resurrect"), 1);
	cr_expect_eq(home_count_keepers(), 0ul);
	cr_assert_eq(MUSTER("start", "--name", "a", "--", "/bin/sh", "-c",
			     "echo FRUIT=$FRUIT; exec sleep 1000"),
		0);
	cr_assert_eq(MUSTER("start", "--name", "b", "--", "sleep", "9"), 0);
	cr_assert_eq(MUSTER("scale", "a", "3"), 0);
	cr_assert_eq(MUSTER("stop", "b"), 0);
	cr_assert_eq(MUSTER("save"), 0, "%s", home_said());
	expect_mode("dump.json", 0600);
	cr_assert_eq(MUSTER("save"), 0);
	cr_assert_eq(MUSTER("kill"), 0);
	unsetenv("FRUIT");
	write_file("logs/a.log", "");
	cr_expect_eq(MUSTER("resurrect"), 0, "%s", home_said());
	expect_resurrected();
	home_wait_file("logs/a.log", "FRUIT=fig");
	/* Once more changes nothing. */
	cr_expect_eq(MUSTER("resurrect"), 0, "%s", home_said());
	expect_resurrected();
	/* Cut in the middle: the one before it is taken. */
	cr_assert_eq(MUSTER("kill"), 0);
	write_file("dump.json", "{\"version\":1,\"apps\":[{\"confi");
	cr_expect_eq(MUSTER("resurrect"), 0, "%s", home_said());
	cr_expect_not_null(strstr(home_said(), "is taken instead"));
	expect_resurrected();
}

/* J: one that is damaged is set aside, and the rest starts. */
Test(daemon, a_damaged_entry)
{
	write_file("dump.json",
		"{\"version\":1,\"apps\":[5,{\"configuration\":{}},"
		"{\"configuration\":{\"name\":\"x\",\"bogus\":1}},"
		"{\"configuration\":{\"name\":\"good\",\"script\":"
		"\"/bin/sleep\",\"args\":[\"9\"]},\"instances\":-3}]}");
	cr_expect_eq(MUSTER("resurrect"), 1);
	expect_workers(1, "ready");
}

Test(daemon, a_unit_for_systemd)
{
	char path[256];

	cr_expect_eq(MUSTER("startup", "--print"), 0);
	cr_expect_not_null(strstr(home_said(), "KillMode=mixed\n"));
	cr_expect_not_null(strstr(home_said(), "Delegate=yes\n"));
	cr_expect_not_null(strstr(home_said(), "musterd daemon\n"));
	if (system("command -v systemd-analyze >/dev/null") != 0)
		return;
	write_file("muster.service", home_said());
	snprintf(path, sizeof(path), "systemd-analyze verify %s/muster.service",
		home_folder());
	cr_expect_eq(system(path), 0);
}

Test(daemon, logs_are_emptied)
{
	cr_assert_eq(MUSTER("start", "--name", "f", "--", ROGUE, "say=before",
			     "usr1=after", "until=never"),
		0);
	home_wait_file("logs/f.log", "before");
	cr_expect_eq(MUSTER("flush", "f"), 0, "%s", home_said());
	cr_expect_eq(MUSTER("signal", "USR1", "f"), 0);
	home_wait_file("logs/f.log", "after");
	cr_expect_null(strstr(home_said(), "before"));
}

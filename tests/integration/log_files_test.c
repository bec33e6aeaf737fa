/*
 * Promise: whatever happens to a log file, its workers and the supervisor go
 * on, and it is written again as soon as it can be. (Fault book: G01, G02.)
 */
#include "support/process.h"
#include "support/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void
make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/muster-logs-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static void
clean(void)
{
	char command[128];

	run_clean();
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(log_files, .init = make_folder, .fini = clean, .timeout = 120);

static const char *
path_of(const char *name)
{
	static char paths[4][128];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static const char *
text_of(const char *path)
{
	static char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[size > 0 ? size : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static void
wait_text(struct run *run, const char *path, const char *text)
{
	for (int i = 0; i < 1000 && strcmp(text_of(path), text) != 0; i++)
		run_pump(run, 10);
	cr_assert_str_eq(text_of(path), text);
}

/* A worker that prints a line whenever it is told to, and never anything else.
 */
static struct run *
start(const char *out, const char *err, pid_t *ret_worker)
{
	struct run *run =
		RUN("--name", "api", "--out-file", out, "--error-file", err,
			"--", ROGUE, "usr1=tick", "err=ready", "pause");
	json_t *listing = run_wait_status(run, 1, "ready");

	*ret_worker = (pid_t)run_field(listing, 0, "pid");
	json_decref(listing);
	return run;
}

static void
tick(pid_t worker)
{
	cr_assert_eq(kill(worker, SIGUSR1), 0);
}

/* Waits until the worker has taken its signal, slept again, and the brain has
 * read what it printed: control comes before pipes in a turn, so the second
 * answer comes after what was there at the first. */
static void
wait_pipes(struct run *run, pid_t worker)
{
	char path[64];
	const char *pending;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)worker);
	do {
		run_pump(run, 10);
		pending = strstr(text_of(path), "ShdPnd:");
		cr_assert_not_null(pending);
	} while (strncmp(pending + 8, "0000000000000000", 16) != 0 ||
		 process_state(worker) != 'S');
	for (int i = 0; i < 2; i++)
		cr_expect_eq(COMMAND(run, "ping"), 0);
}

Test(log_files, stdout_and_stderr_have_their_files)
{
	struct stat status;
	char err[128];
	pid_t worker;
	struct run *run;

	snprintf(err, sizeof(err), "%s", path_of("err.log"));
	run = start(path_of("out.log"), err, &worker);
	wait_text(run, err, "ready\n");
	tick(worker);
	wait_text(run, path_of("out.log"), "tick\n");
	cr_expect_eq(stat(path_of("out.log"), &status), 0);
	cr_expect_eq(status.st_mode & 0137, 0u);
	cr_expect_str_eq(run_text(run, RUN_OUT), "");
	run_stop(run);
}

Test(log_files, are_opened_anew_on_demand)
{
	struct run *run;
	pid_t worker;

	run = start(path_of("out.log"), path_of("out.log"), &worker);
	wait_text(run, path_of("out.log"), "ready\n");
	cr_assert_eq(rename(path_of("out.log"), path_of("out.1")), 0);
	cr_expect_eq(COMMAND(run, "reopen"), 0, "%s", run_said(run));
	cr_expect_eq(access(path_of("out.log"), F_OK), 0);
	tick(worker);
	wait_text(run, path_of("out.log"), "tick\n");
	cr_assert_eq(rename(path_of("out.log"), path_of("out.2")), 0);
	run_signal(run, SIGUSR1);
	for (int i = 0; i < 1000 && access(path_of("out.log"), F_OK) < 0; i++)
		run_pump(run, 10);
	tick(worker);
	wait_text(run, path_of("out.log"), "tick\n");
	cr_expect_str_eq(text_of(path_of("out.1")), "ready\n");
	cr_expect_str_eq(text_of(path_of("out.2")), "tick\n");
	run_stop(run);
}

Test(log_files, something_else_in_their_place_stops_nobody)
{
	struct run *run;
	pid_t worker;

	run = start(path_of("out.log"), path_of("err.log"), &worker);
	cr_assert_eq(mkfifo(path_of("fifo"), 0600), 0);
	wait_text(run, path_of("err.log"), "ready\n");
	cr_assert_eq(rename(path_of("fifo"), path_of("out.log")), 0);
	cr_expect_eq(COMMAND(run, "reopen"), 1);
	cr_expect_not_null(strstr(run_said(run), "can't be opened"));
	run_wait(run, RUN_ERR, "out.log: it is no file");
	tick(worker);
	wait_pipes(run, worker);
	cr_assert_eq(unlink(path_of("out.log")), 0);
	cr_expect_eq(COMMAND(run, "reopen"), 0, "%s", run_said(run));
	tick(worker);
	run_wait(run, RUN_ERR, "out.log takes output again");
	run_wait(run, RUN_ERR, "5 bytes of output were lost");
	wait_text(run, path_of("out.log"), "tick\n");
	run_stop(run);
}

Test(log_files, a_full_disk_stops_nobody)
{
	struct run *run;
	pid_t worker;

	run = start("/dev/full", "/dev/full", &worker);
	run_wait(run, RUN_ERR, "/dev/full: No space left on device");
	pid_t brain = run_brain(run);
	tick(worker);
	cr_expect_eq(COMMAND(run, "ping"), 0);
	cr_expect_eq(run_brain(run), brain);
	json_decref(run_wait_status(run, 1, "ready"));
	run_stop(run);
	/* Once, not for each line; the sum comes at the end. */
}

/* The reason of a failed reload is in the file, and is told all the same. */
Test(log_files, a_failed_reload_tells_the_last_lines)
{
	char err[128];

	snprintf(err, sizeof(err), "%s", path_of("err.log"));
	struct run *run =
		RUN("--name", "api", "--wait-ready", "--error-file", err, "--",
			ROGUE, "g1/ready", "g2/err=no such table", "g2/exit=3");

	json_decref(run_wait_status(run, 1, "ready"));
	cr_expect_eq(COMMAND(run, "reload", "api"), 1);
	cr_expect_not_null(
		strstr(run_said(run), "no such table"), "%s", run_said(run));
	cr_expect_str_eq(text_of(err), "no such table\n");
	run_stop(run);
}

/* The log folder of the home is made for the first file in it, not before. */
Test(log_files, the_log_folder_is_made)
{
	char logs[128], file[160];
	struct stat status;
	FILE *config = fopen(path_of("muster.json"), "we");

	fputs("{\"name\":\"api\",\"script\":\"/bin/sleep\",\"args\":\"1000\"}",
		config);
	fclose(config);
	struct run *run = RUN(path_of("muster.json"));
	json_decref(run_wait_status(run, 1, "ready"));
	snprintf(logs, sizeof(logs), "%s/logs", run_home(run));
	cr_expect_eq(stat(logs, &status), -1);
	snprintf(file, sizeof(file), "%s/api.log", logs);
	config = fopen(path_of("muster.json"), "we");
	fprintf(config,
		"{\"name\":\"api\",\"script\":\"%s\",\"args\":\"say=up pause\","
		"\"out_file\":\"%s\"}",
		ROGUE, file);
	fclose(config);
	run_signal(run, SIGHUP);
	wait_text(run, file, "up\n");
	cr_expect_eq(stat(logs, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0700u);
	cr_assert_eq(unlink(file), 0);
	cr_assert_eq(rmdir(logs), 0);
	run_stop(run);
}

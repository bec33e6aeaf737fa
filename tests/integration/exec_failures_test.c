/*
 * Promise: a program that can't be started is said so with the reason, at
 * once and as what it is, not as a loop of crashes.
 */
#include "support/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(exec_failures, .fini = run_clean, .timeout = 120);

/* Ends with 1 and says `what` about `which` in one line. */
static void
expect_refused(struct run *run, const char *which, const char *what)
{
	const char *line = run_wait(run, RUN_ERR, which);

	cr_expect_not_null(strstr(line, what), "%s", line);
	run_wait_exit(run);
	cr_expect_eq(run_count(run, RUN_ERR, which), 1u, "%s",
		run_text(run, RUN_ERR));
	run_finish(run, 1);
}

Test(exec_failures, a_missing_program)
{
	expect_refused(RUN("-n", "4", "--", "/nowhere/program"),
		"/nowhere/program", "No such file");
}

Test(exec_failures, a_name_that_path_doesnt_know)
{
	expect_refused(RUN("--", "muster-no-such-program"),
		"muster-no-such-program",
		"No such file or directory; no folder of PATH has it");
}

Test(exec_failures, a_file_that_isnt_executable)
{
	char path[] = "/tmp/muster-plain-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	expect_refused(RUN("--", path), path, "Permission denied");
	unlink(path);
}

Test(exec_failures, a_directory)
{
	expect_refused(RUN("--", "/usr/share"), "/usr/share",
		"Permission denied; it must be a file, not a folder");
}

Test(exec_failures, a_missing_working_directory)
{
	expect_refused(RUN("--cwd", "/nowhere/folder", "--", ROGUE),
		"/nowhere/folder", "No such file");
}

/* Later in life a failed exec is an unstable start like any other. */
Test(exec_failures, a_program_that_vanishes)
{
	char folder[] = "/tmp/muster-vanish-XXXXXX";
	char program[64];
	char away[64];

	cr_assert_not_null(mkdtemp(folder));
	snprintf(program, sizeof(program), "%s/program", folder);
	snprintf(away, sizeof(away), "%s/away", folder);
	char copy[512];
	snprintf(copy, sizeof(copy), "cp %s %s", ROGUE, program);
	cr_assert_eq(system(copy), 0);

	struct run *run = RUN("--name", "api", "--exp-backoff-restart-delay",
		"50", "--", program);
	json_t *listing = run_wait_status(run, 1, "ready");
	pid_t pid = (pid_t)run_field(listing, 0, "pid");
	json_decref(listing);
	cr_assert_eq(rename(program, away), 0);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	listing = run_wait_status(run, 1, "backoff");
	json_decref(listing);
	run_wait(run, RUN_ERR, "No such file");
	cr_assert_eq(rename(away, program), 0);
	listing = run_wait_status(run, 1, "ready");
	cr_expect_neq(run_field(listing, 0, "pid"), pid);
	json_decref(listing);
	run_stop(run);
	unlink(program);
	rmdir(folder);
}

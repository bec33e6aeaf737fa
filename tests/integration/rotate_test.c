/*
 * Promise: a log file that has come to its size is begun anew at a line's edge,
 * older ones are kept and compressed, and no line is lost or torn, whatever
 * becomes of the brain; and each stream goes to the file that was asked for.
 */
#include "support/home.h"
#include "support/process.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(rotate, .init = home_make, .fini = home_clean, .timeout = 120);

enum {
	LINES = 20000,
	STEP_MS = 20,
	PATIENCE_MS = 60000,
};

/* Runs a line of shell in the home. Returns its exit code. */
static int
shell(const char *format, ...)
{
	char command[1024], line[900];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	snprintf(command, sizeof(command), "cd %s && { %s; }", home_folder(),
		line);
	return WEXITSTATUS(system(command));
}

static void
wait_shell(const char *line)
{
	for (int left = PATIENCE_MS / STEP_MS; shell("%s", line) != 0; left--) {
		cr_assert_gt(left, 0, "it never comes: %s", line);
		poll(NULL, 0, STEP_MS);
	}
}

/* Two workers that print `LINES` numbered lines each. */
static void
start_printers(const char *rotate)
{
	char log[256], program[256];

	snprintf(log, sizeof(log), "%s/p.log", home_folder());
	snprintf(program, sizeof(program),
		"i=0; while [ $i -lt %d ]; do i=$((i + 1)); echo \"worker "
		"$MUSTER_INSTANCE line $i of many that are as long\"; done; "
		"exec sleep 1000",
		LINES);
	cr_assert_eq(
		MUSTER("start", "--name", "p", "-n", "2", "--log-file", log,
			"--log-rotate", rotate, "--", "sh", "-c", program),
		0, "%s", home_said());
}

/* All that was written, oldest first, in the file `all`. */
static void
gather(void)
{
	cr_assert_eq(shell("for n in $(seq 200 -1 1); do for f in p.log.$n "
			   "p.log.$n.gz; do [ -e $f ] && zcat -f $f; done; "
			   "done >all; cat p.log >>all"),
		0);
}

static void
expect_all_lines(void)
{
	for (int worker = 0; worker < 2; worker++) {
		cr_expect_eq(
			shell("grep '^worker %d line' all | sed 's/.*line "
			      "\\([0-9]*\\) of many that are as long$/\\1/' "
			      ">got; seq 1 %d | cmp - got",
				worker, LINES),
			0, "worker %d", worker);
	}
}

Test(rotate, no_line_is_lost)
{
	pid_t brain;

	cr_assert_eq(
		MUSTER("start", "--name", "other", "--", "sleep", "1000"), 0);
	start_printers("256K");
	brain = home_brain(0);
	for (int i = 0; i < 3; i++) {
		wait_shell("[ -e p.log.1 ] || [ -e p.log.1.gz ]");
		kill(brain, SIGKILL);
		brain = home_brain(brain);
	}
	wait_shell("zcat -f p.log* | grep -q 'worker 0 line 20000 of' && zcat "
		   "-f p.log* | grep -q 'worker 1 line 20000 of'");
	wait_shell("! ls p.log.*[0-9] >/dev/null 2>&1");
	cr_expect_eq(shell("gzip -t p.log.*.gz"), 0);
	/* Each begins and ends with a whole line. */
	cr_expect_eq(shell("for f in p.log.*.gz; do zcat $f | head -n 1 | grep "
			   "-q '^worker' && zcat $f | tail -c 1 | od -c | grep "
			   "-q '\\\\n' || exit 1; done"),
		0);
	gather();
	expect_all_lines();
}

static void
write_apps(const char *more)
{
	cr_assert_eq(
		shell("printf '%%s' '[{\"name\": \"p\", \"script\": "
		      "\"/bin/sh\", \"instances\": 2, \"args\": [\"-c\", "
		      "\"i=0; while [ $i -lt %d ]; do i=$((i + 1)); echo "
		      "worker $MUSTER_INSTANCE line $i of many that are as "
		      "long; done; exec sleep 1000\"], %s}]' >apps.json",
			LINES, more),
		0);
}

Test(rotate, all_is_kept_where_that_is_asked_for)
{
	char path[256], more[512];
	pid_t brain;

	snprintf(more, sizeof(more),
		"\"log\": \"%s/p.log\", \"log_rotate\": {\"size\": \"32K\", "
		"\"keep\": 200, \"compress\": false}",
		home_folder());
	write_apps(more);
	snprintf(path, sizeof(path), "%s/apps.json", home_folder());
	cr_assert_eq(MUSTER("start", path), 0, "%s", home_said());
	brain = home_brain(0);
	wait_shell("[ -e p.log.3 ]");
	kill(brain, SIGKILL);
	(void)home_brain(brain);
	wait_shell("grep -q 'worker 0 line 20000 of' p.log* && grep -q 'worker "
		   "1 line 20000 of' p.log*");
	cr_expect_neq(shell("ls p.log.*gz >/dev/null 2>&1"), 0);
	gather();
	expect_all_lines();
}

Test(rotate, each_worker_to_its_own)
{
	char path[256], more[512];

	snprintf(more, sizeof(more),
		"\"out_file\": \"%s/p.log\", \"merge_logs\": false",
		home_folder());
	write_apps(more);
	snprintf(path, sizeof(path), "%s/apps.json", home_folder());
	cr_assert_eq(MUSTER("start", path), 0, "%s", home_said());
	wait_shell(
		"grep -q 'worker 0 line 20000 of' p-0.log && grep -q 'worker "
		"1 line 20000 of' p-1.log");
	cr_expect_neq(shell("[ -e p.log ]"), 0);
	cr_expect_neq(shell("grep -q 'worker 1' p-0.log"), 0);
	cr_expect_eq(MUSTER("logs", "p", "--lines", "1", "--out"), 0);
	cr_expect(
		strstr(home_said(), "worker 0 line 20000"), "%s", home_said());
	cr_expect(
		strstr(home_said(), "worker 1 line 20000"), "%s", home_said());
}

Test(rotate, nothing_is_written_where_that_is_asked_for)
{
	cr_assert_eq(MUSTER("start", "--name", "quiet", "--disable-logs", "--",
			     "sh", "-c", "echo much; exec sleep 1000"),
		0, "%s", home_said());
	cr_expect_eq(MUSTER("stop", "quiet"), 0);
	cr_expect_neq(shell("[ -e logs/quiet.log ]"), 0);
	cr_expect_eq(
		MUSTER("start", "--log-rotate", "10", "--", "sleep", "1"), 2);
	cr_expect(strstr(home_said(), "write a size from 4096"), "%s",
		home_said());
}

/*
 * Promise: the lines of a log file have the time in front, or are JSON objects,
 * where that is asked for; none is lost, whatever becomes of the brain, and
 * none but those that a killed brain was just writing stands there twice.
 */
#include "support/home.h"
#include "support/process.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(formats, .init = home_make, .fini = home_clean, .timeout = 120);

enum {
	LINES = 20000,
	STEP_MS = 10,
	PATIENCE_MS = 60000,
	TWICE_MAX = 3000, /* lines of one write */
};

static unsigned char seen[2][LINES + 1];

/* Starts two workers that print numbered lines, and wild ones. */
static void
start_printers(const char *option, const char *value)
{
	char log[256], program[256];

	snprintf(log, sizeof(log), "%s/f.log", home_folder());
	snprintf(program, sizeof(program),
		"i=0; while [ $i -lt %d ]; do i=$((i + 1)); echo \"worker "
		"$MUSTER_INSTANCE line $i\"; done; printf '\\033[1m\\001 end "
		"\\377\\n'; exec sleep 1000",
		LINES);
	cr_assert_eq(MUSTER("start", "--name", "f", "-n", "2", "--log-file",
			     log, option, value, "--", "sh", "-c", program),
		0, "%s", home_said());
}

static FILE *
open_log(void)
{
	char log[256];

	snprintf(log, sizeof(log), "%s/f.log", home_folder());
	return fopen(log, "re");
}

/* Waits for the last line of both. */
static void
wait_for_ends(void)
{
	for (int left = PATIENCE_MS / STEP_MS, ends = 0; ends < 2; left--) {
		FILE *file = open_log();
		char line[512];

		ends = 0;
		while (file && fgets(line, sizeof(line), file))
			ends += strstr(line, " end ") != NULL;
		if (file)
			fclose(file);
		cr_assert_gt(left, 0, "they never end");
		poll(NULL, 0, STEP_MS);
	}
}

static void
kill_brains(int count)
{
	pid_t brain = home_brain(0);

	for (int i = 0; i < count; i++) {
		FILE *file;

		/* Once something stands there. */
		for (long size = 0; size == 0; poll(NULL, 0, 1)) {
			file = open_log();
			if (!file)
				continue;
			fseek(file, 0, SEEK_END);
			size = ftell(file);
			fclose(file);
		}
		kill(brain, SIGKILL);
		brain = home_brain(brain);
	}
}

static void
see(const char *text)
{
	unsigned worker, number;

	if (strstr(text, " end "))
		return;
	cr_assert_eq(sscanf(text, "worker %u line %u", &worker, &number), 2,
		"%s", text);
	cr_assert(worker < 2 && number <= LINES);
	seen[worker][number]++;
}

static void
expect_all(int twice_most)
{
	int lost = 0, twice = 0;

	for (int worker = 0; worker < 2; worker++)
		for (int i = 1; i <= LINES; i++) {
			lost += seen[worker][i] == 0;
			twice += seen[worker][i] > 1;
		}
	cr_expect_eq(lost, 0);
	cr_expect_leq(twice, twice_most);
}

/* "2026-11-27T18:35:09.042+05:30: text" */
Test(formats, the_time_in_front)
{
	char line[512];
	FILE *file;

	start_printers("--time", "--name=f");
	kill_brains(3);
	wait_for_ends();
	file = open_log();
	while (fgets(line, sizeof(line), file)) {
		int year, month, day, hour, minute, second, millis, used = 0;
		int fields = sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3d%*6c: %n",
			&year, &month, &day, &hour, &minute, &second, &millis,
			&used);

		cr_assert(fields == 7 && used > 0, "%s", line);
		see(line + used);
	}
	fclose(file);
	expect_all(3 * TWICE_MAX);
}

Test(formats, a_format_of_ones_own)
{
	char line[512];
	FILE *file;

	start_printers("--log-date-format", "[on] YYYY/MM");
	wait_for_ends();
	file = open_log();
	while (fgets(line, sizeof(line), file)) {
		int used = 0;

		(void)sscanf(line, "on %*4d/%*2d: %n", &used);
		cr_assert_gt(used, 0, "%s", line);
		see(line + used);
	}
	fclose(file);
	expect_all(0);
}

Test(formats, objects)
{
	char line[512];
	FILE *file;

	start_printers("--log-type", "json");
	kill_brains(2);
	wait_for_ends();
	file = open_log();
	while (fgets(line, sizeof(line), file)) {
		json_t *object = json_loads(line, 0, NULL);

		cr_assert_not_null(object, "%s", line);
		cr_expect_not_null(
			json_string_value(json_object_get(object, "time")));
		cr_expect_str_eq(
			json_string_value(json_object_get(object, "app")), "f");
		see(json_string_value(json_object_get(object, "line")));
		json_decref(object);
	}
	fclose(file);
	expect_all(2 * TWICE_MAX);
}

/*
 * Promise: no kill -9 of the brain loses a byte that a worker printed. In log
 * files every byte is there once and in order; on stdout at most what one write
 * printed appears twice for each kill. (Fault book: G07, G08, K05.)
 */
#include "fixtures/spew.h"
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

TestSuite(logs_survive, .init = make_folder, .fini = clean, .timeout = 240);

enum {
	KILLS = 20,
	BATCH = 64 * 1024, /* bytes that may appear twice for each kill */
};

static const char *
path_of(const char *name)
{
	static char paths[8][128];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

/* A whole file, and a NUL behind it; the caller's to free. */
static char *
read_file(const char *path, size_t *ret_size)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(fstat(fd, &status), 0);
	char *bytes = malloc((size_t)status.st_size + 1);
	size_t size = 0;
	ssize_t n = 1;
	while (n > 0 && size < (size_t)status.st_size) {
		n = read(fd, bytes + size, (size_t)status.st_size - size);
		size += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	bytes[size] = '\0';
	*ret_size = size;
	return bytes;
}

/* How many records a worker says that it wrote. */
static uint32_t
read_total(const char *name)
{
	size_t size;
	char *text = read_file(path_of(name), &size);
	uint32_t total = (uint32_t)strtoul(text, NULL, 10);

	free(text);
	cr_assert_gt(total, 0u);
	return total;
}

static void
kill_brains(struct run *run)
{
	for (int i = 0; i < KILLS; i++) {
		pid_t old = run_brain(run);

		/* At any point of a burst, and of a rest. */
		run_pump(run, i * 7 % 40);
		cr_assert_eq(kill(old, SIGKILL), 0);
		run_wait_new_brain(run, old);
	}
}

/* The file has exactly the records 0 to `total`. */
static void
expect_stream(const char *path, uint32_t total, bool any)
{
	static char record[SPEW_RECORD_MAX];
	size_t size, at = 0;
	char *bytes = read_file(path, &size);

	for (uint32_t number = 0; number < total; number++) {
		size_t length = spew_record(record, number, false, any);

		cr_assert_leq(at + length, size, "%s ends in record %u of %u",
			path, number, total);
		cr_assert_eq(memcmp(bytes + at, record, length), 0,
			"%s: record %u is wrong", path, number);
		at += length;
	}
	cr_expect_eq(at, size, "%s has %zu bytes too many", path, size - at);
	free(bytes);
}

Test(logs_survive, files_have_every_byte_once)
{
	char text[2048];
	char totals[2][128];
	const char *file = path_of("muster.json");
	FILE *config = fopen(file, "we");

	cr_assert_not_null(config);
	snprintf(totals[0], sizeof(totals[0]), "%s/total-a.", folder);
	snprintf(totals[1], sizeof(totals[1]), "%s/total-b.", folder);
	snprintf(text, sizeof(text),
		"[{\"name\":\"a\",\"script\":\"%s\",\"args\":[\"%s\",\"any\","
		"\"halves\"],\"out_file\":\"%s/a.log\"},"
		"{\"name\":\"b\",\"script\":\"%s\",\"args\":[\"%s\",\"err\"],"
		"\"out_file\":\"%s/b.log\",\"error_file\":\"%s/b.log\"}]",
		SPEW, totals[0], folder, SPEW, totals[1], folder, folder);
	fputs(text, config);
	fclose(config);
	struct run *run = RUN(file);
	json_decref(run_wait_status(run, 2, "ready"));
	kill_brains(run);
	run_stop(run);
	expect_stream(path_of("a.log"), read_total("total-a.0"), true);
	expect_stream(path_of("b.log"), read_total("total-b.0"), false);
}

/*
 * Takes one worker's bytes out of a file that two have written, and compares.
 * Returns how many newlines are its.
 */
static void
expect_part(const char *bytes, size_t size, uint32_t total, bool is_upper)
{
	static char record[SPEW_RECORD_MAX];
	size_t length = 0, at = 0;
	uint32_t number = 0;

	for (size_t i = 0; i < size; i++) {
		bool is_its = is_upper ? bytes[i] >= 'A' && bytes[i] <= 'Z'
				       : bytes[i] >= 'a' && bytes[i] <= 'z';

		if (!is_its)
			continue;
		if (at == length) {
			length = spew_record(record, number++, is_upper, false);
			length--; /* newlines are nobody's */
			at = 0;
		}
		cr_assert_eq(
			bytes[i], record[at], "record %u is wrong", number - 1);
		at++;
	}
	cr_expect_eq(number, total);
	cr_expect_eq(at, length);
}

static size_t
count_mixed_lines(const char *bytes, size_t *ret_lines)
{
	size_t mixed = 0, lines = 0;

	for (const char *at = bytes, *end; (end = strchr(at, '\n')) != NULL;
		at = end + 1, lines++) {
		bool has_upper = false, has_lower = false;
		for (const char *c = at; c < end; c++) {
			has_upper |= *c < 'a';
			has_lower |= *c >= 'a';
		}
		mixed += has_upper && has_lower;
	}
	*ret_lines = lines;
	return mixed;
}

Test(logs_survive, two_workers_share_a_file_line_by_line)
{
	char total[128];
	size_t size, lines;

	snprintf(total, sizeof(total), "%s/total.", folder);
	struct run *run = RUN("-n", "2", "--name", "two", "--out-file",
		path_of("two.log"), "--", SPEW, total);
	json_decref(run_wait_status(run, 2, "ready"));
	kill_brains(run);
	run_stop(run);
	char *bytes = read_file(path_of("two.log"), &size);
	uint32_t lower = read_total("total.0");
	uint32_t upper = read_total("total.1");
	expect_part(bytes, size, lower, false);
	expect_part(bytes, size, upper, true);
	/* Only a worker that the machine kept waiting in the middle of a line
	 * for 100 ms is interrupted. */
	size_t mixed = count_mixed_lines(bytes, &lines);
	cr_expect_eq(lines, (size_t)lower + upper);
	cr_expect_leq(mixed, lines / 100, "%zu of %zu", mixed, lines);
	free(bytes);
}

/* The number at `at`, or UINT32_MAX where there is none. */
static uint32_t
number_at(const char *at)
{
	uint32_t number = 0;

	for (int i = 0; i < SPEW_NUMBER_SIZE; i++) {
		if (at[i] < 'a' || at[i] > 'p')
			return UINT32_MAX;
		number = number << 4 | (uint32_t)(at[i] - 'a');
	}
	return number;
}

/*
 * Counts how often each record's start (behind a prefix) and end (in front of
 * a newline) were printed.
 */
static void
count_records(const char *text, uint32_t total, uint8_t *starts, uint8_t *ends)
{
	static const char prefix[] = "out.0 | ";

	for (const char *at = text; (at = strstr(at, prefix)) != NULL;) {
		at += strlen(prefix);
		uint32_t number = strcspn(at, "\n") >= SPEW_NUMBER_SIZE
					  ? number_at(at)
					  : UINT32_MAX;
		if (number < total)
			starts[number]++;
	}
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
		uint32_t number = at - text >= SPEW_NUMBER_SIZE
					  ? number_at(at - SPEW_NUMBER_SIZE)
					  : UINT32_MAX;
		if (number < total)
			ends[number]++;
	}
}

Test(logs_survive, stdout_lacks_no_line)
{
	char total_path[128];

	snprintf(total_path, sizeof(total_path), "%s/total.", folder);
	struct run *run =
		RUN("--name", "out", "--", SPEW, total_path, "halves");
	json_decref(run_wait_status(run, 1, "ready"));
	kill_brains(run);
	run_signal(run, SIGTERM);
	cr_expect_eq(run_wait_exit(run), 0);
	char *text = strdup(run_text(run, RUN_OUT));
	run_finish(run, 0);
	uint32_t total = read_total("total.0");
	uint8_t *starts = calloc(total, 1), *ends = calloc(total, 1);
	size_t doubled = 0;

	count_records(text, total, starts, ends);
	for (uint32_t i = 0; i < total; i++) {
		static char record[SPEW_RECORD_MAX];
		cr_assert_geq(starts[i], 1, "record %u of %u", i, total);
		cr_assert_geq(ends[i], 1, "record %u of %u", i, total);
		if (starts[i] > 1)
			doubled += spew_record(record, i, false, false);
	}
	cr_expect_leq(doubled, (size_t)KILLS * BATCH);
	fprintf(stderr, "%u records, %zu bytes doubled\n", total, doubled);
	free(starts);
	free(ends);
	free(text);
}

/* A worker that begins when there is the file `go`. */
static void
make_script(const char *name, const char *text)
{
	FILE *script = fopen(path_of(name), "we");

	cr_assert_not_null(script);
	fprintf(script,
		"await() { until [ -e %s/$1 ]; do sleep 0.02; done; }\n",
		folder);
	fprintf(script, "%s\n", text);
	fclose(script);
}

static void
say_go(const char *name)
{
	fclose(fopen(path_of(name), "we"));
}

/* A worker prints, aborts, and is gone; then the brain that was to see it is
 * killed before it has seen anything. */
static struct run *
lose_words(const char *const *arguments)
{
	struct run *run = run_start(arguments);
	json_t *listing = run_wait_status(run, 1, "ready");
	pid_t worker = (pid_t)run_field(listing, 0, "pid");
	pid_t brain = run_brain(run);

	json_decref(listing);
	cr_assert_eq(kill(brain, SIGSTOP), 0);
	say_go("go");
	for (int i = 0; i < 1000 && strchr("ZX", process_state(worker)) == NULL;
		i++)
		run_pump(run, 10);
	cr_assert_not_null(strchr("ZX", process_state(worker)));
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait(run, RUN_ERR, "was killed by SIGABRT");
	unlink(path_of("go"));
	return run;
}

Test(logs_survive, last_words_are_in_the_file_before_the_end_is_told)
{
	char text[512];
	const char *log = path_of("last.log");

	snprintf(text, sizeof(text), "await go; exec %s %s/total. any die=60",
		SPEW, folder);
	make_script("last.sh", text);
	struct run *run = lose_words((const char *const[]){"--no-autorestart",
		"--exit-when", "never", "--out-file", log, "--",
		path_of("last.sh"), NULL});
	expect_stream(path_of("last.log"), 61, true);
	run_stop(run);
}

Test(logs_survive, last_words_are_on_stdout_before_the_end_is_told)
{
	static char record[SPEW_RECORD_MAX];
	char text[512];

	snprintf(text, sizeof(text), "await go; exec %s %s/total. die=60", SPEW,
		folder);
	make_script("last.sh", text);
	struct run *run = lose_words((const char *const[]){"--no-autorestart",
		"--exit-when", "never", "--", path_of("last.sh"), NULL});
	record[spew_record(record, 60, false, false)] = '\0';
	cr_expect_not_null(strstr(run_text(run, RUN_OUT), record));
	run_stop(run);
}

/* What a grandchild prints after the worker's end belongs to the worker. */
Test(logs_survive, a_grandchild_is_logged_under_its_workers_name)
{
	make_script("parent.sh",
		"(await go; echo late; await go2; echo last) & echo first");
	make_script("start.sh", "");
	FILE *script = fopen(path_of("start.sh"), "we");
	fprintf(script, "setsid sh %s & wait; exit 0\n", path_of("parent.sh"));
	fclose(script);
	struct run *run = RUN("--name", "api", "--no-autorestart",
		"--exit-when", "never", "--", path_of("start.sh"));

	run_wait(run, RUN_OUT, "api.0 | first");
	json_decref(run_wait_status(run, 1, "stopped"));
	pid_t brain = run_brain(run);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	say_go("go");
	run_wait(run, RUN_OUT, "api.0 | late");
	brain = run_wait_new_brain(run, brain);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	say_go("go2");
	run_wait(run, RUN_OUT, "api.0 | last");
	run_stop(run);
}

/* An unfinished line is finished under another brain. */
Test(logs_survive, half_a_line_waits_for_its_other_half)
{
	make_script(
		"half.sh", "printf one; await go; echo \" two\"; await never");
	struct run *run = RUN("--name", "api", "--", path_of("half.sh"));

	json_decref(run_wait_status(run, 1, "ready"));
	for (int i = 0; i < 3; i++) {
		pid_t brain = run_brain(run);
		run_pump(run, 50);
		cr_assert_eq(kill(brain, SIGKILL), 0);
		run_wait_new_brain(run, brain);
	}
	cr_expect_eq(run_count(run, RUN_OUT, "one"), 0);
	say_go("go");
	run_wait(run, RUN_OUT, "api.0 | one two");
	run_stop(run);
}

/* Names that move up, and what is compressed of them. */
#include "mechanism/archive.h"

#include <criterion/criterion.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[128];
static struct ev_loop *loop;
static struct archive *archive;

static void
open_it(void)
{
	snprintf(folder, sizeof(folder), "/tmp/muster-archive-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	loop = ev_loop_new(EVFLAG_AUTO);
	archive = archive_new(loop);
}

static void
close_it(void)
{
	char command[128];

	archive_free(&archive);
	ev_loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	cr_expect_eq(system(command), 0);
}

TestSuite(archive, .init = open_it, .fini = close_it, .timeout = 60);

/* Runs a line of shell in the folder. */
static int
shell(const char *line)
{
	char command[512];

	snprintf(command, sizeof(command), "cd %s && { %s; }", folder, line);
	return system(command);
}

static void
rotate(const char *text, const struct archive_rules *rules)
{
	char line[128];

	snprintf(line, sizeof(line), "echo %s >log", text);
	cr_assert_eq(shell(line), 0);
	cr_assert_eq(archive_rotate(archive, path, rules), 0);
}

static void
finish(void)
{
	while (archive_is_busy(archive))
		ev_run(loop, EVRUN_ONCE);
}

Test(archive, the_oldest_goes)
{
	const struct archive_rules rules = {.size = 1, .keep = 2};

	rotate("one", &rules);
	rotate("two", &rules);
	rotate("three", &rules);
	cr_expect_eq(shell("[ \"$(cat log.1 log.2)\" = \"three\ntwo\" ] && "
			   "[ $(ls | wc -l) = 2 ]"),
		0);
}

/* What a brain that was killed in between has left: a number that is free. */
Test(archive, a_gap_is_filled_first)
{
	const struct archive_rules rules = {.size = 1, .keep = 3};

	rotate("one", &rules);
	rotate("two", &rules);
	rotate("three", &rules);
	cr_assert_eq(shell("rm log.1"), 0);
	rotate("four", &rules);
	cr_expect_eq(shell("[ \"$(cat log.1 log.2 log.3)\" = "
			   "\"four\ntwo\none\" ]"),
		0);
}

Test(archive, none_is_kept)
{
	const struct archive_rules rules = {.size = 1, .keep = 0};

	rotate("one", &rules);
	cr_expect_eq(shell("[ $(ls | wc -l) = 0 ]"), 0);
	cr_expect_lt(archive_rotate(archive, path, &rules), 0);
}

Test(archive, older_ones_are_compressed)
{
	const struct archive_rules rules = {
		.size = 1, .keep = 3, .compress = true};

	rotate("one", &rules);
	finish();
	cr_expect_eq(
		shell("[ \"$(zcat log.1.gz)\" = one ] && [ ! -e log.1 ]"), 0);
	/* The next one comes before this one is done. */
	rotate("two", &rules);
	rotate("three", &rules);
	finish();
	rotate("four", &rules);
	finish();
	cr_expect_eq(shell("[ \"$(zcat log.1.gz log.2.gz log.3.gz)\" = "
			   "\"four\nthree\ntwo\" ] && [ $(ls | wc -l) = 3 ]"),
		0);
}

/* Many pieces, the same bytes in the end. */
Test(archive, a_large_one)
{
	const struct archive_rules rules = {
		.size = 1, .keep = 1, .compress = true};

	cr_assert_eq(
		shell("head -c 3000000 /dev/urandom >log; cp log copy"), 0);
	cr_assert_eq(archive_rotate(archive, path, &rules), 0);
	finish();
	cr_expect_eq(shell("zcat log.1.gz | cmp - copy"), 0);
}

/* pid_file_test.c: a number in a file, and only one's own is taken away. */
#include "mechanism/pid_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(pid_file, .timeout = 20);

static char folder[64], path[96];

static void
open_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/pid-file-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/pid", folder);
}

static void
close_folder(void)
{
	unlink(path);
	/* Fails when something is left beside it. */
	cr_expect_eq(rmdir(folder), 0);
}

static void
expect_text(const char *wanted)
{
	char text[32] = "";
	FILE *file = fopen(path, "re");

	cr_assert_not_null(file);
	cr_expect_not_null(fgets(text, sizeof(text), file));
	fclose(file);
	cr_expect_str_eq(text, wanted);
}

Test(pid_file, holds_a_number_and_a_newline)
{
	open_folder();
	cr_expect_eq(pid_file_write(path, 4711), 0);
	expect_text("4711\n");
	cr_expect_eq(pid_file_write(path, 12), 0);
	expect_text("12\n");
	close_folder();
}

Test(pid_file, only_its_own_is_removed)
{
	open_folder();
	cr_expect_eq(pid_file_write(path, 12), 0);
	pid_file_remove(path, 123);
	expect_text("12\n");
	pid_file_remove(path, 12);
	cr_expect_neq(access(path, F_OK), 0);
	pid_file_remove(path, 12);
	close_folder();
}

Test(pid_file, says_what_is_wrong_with_the_place)
{
	char wrong[128];

	open_folder();
	snprintf(wrong, sizeof(wrong), "%s/none/pid", folder);
	cr_expect_eq(pid_file_write(wrong, 12), -ENOENT);
	cr_expect_eq(pid_file_write(folder, 12), -EISDIR);
	close_folder();
}

/* Its suite would run into its time limit. */
Test(pid_file, a_fifo_doesnt_hold_us)
{
	open_folder();
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_eq(pid_file_write(path, 12), -ENXIO);
	pid_file_remove(path, 12);
	cr_expect_eq(access(path, F_OK), 0);
	close_folder();
}

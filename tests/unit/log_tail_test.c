/* The end of a file, and what comes behind it. */
#include "log_tail.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], path[80], said[3 * LOG_TAIL_LINE];
static struct log_tail tail;

static void
on_line(const char *line, size_t size, void *data)
{
	size_t used = strlen(said);

	(void)data;
	snprintf(said + used, sizeof(said) - used, "[%.*s]", (int)size, line);
}

static void
setup(void)
{
	strcpy(folder, "/tmp/muster-tail-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.log", folder);
	cr_assert_eq(log_tail_init(&tail, path, on_line, NULL), 0);
	*said = '\0';
}

static void
teardown(void)
{
	char command[128];

	log_tail_fini(&tail);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	(void)!system(command);
}

TestSuite(log_tail, .init = setup, .fini = teardown);

static void
write_text(const char *mode, const char *text)
{
	FILE *file = fopen(path, mode);

	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static void
expect(const char *text)
{
	cr_expect_str_eq(said, text);
	*said = '\0';
}

Test(log_tail, the_last_lines)
{
	write_text("w", "one\ntwo\n\nfour\n");
	cr_assert_eq(log_tail_begin(&tail, 2), 0);
	expect("[][four]");
	log_tail_fini(&tail);
	cr_assert_eq(log_tail_init(&tail, path, on_line, NULL), 0);
	cr_assert_eq(log_tail_begin(&tail, 100), 0);
	expect("[one][two][][four]");
	log_tail_fini(&tail);
	cr_assert_eq(log_tail_init(&tail, path, on_line, NULL), 0);
	cr_assert_eq(log_tail_begin(&tail, 0), 0);
	expect("");
}

Test(log_tail, half_a_line_is_given_when_it_is_whole)
{
	write_text("w", "one\ntw");
	cr_assert_eq(log_tail_begin(&tail, 9), 0);
	expect("[one]");
	write_text("a", "o\nth");
	cr_assert_eq(log_tail_go_on(&tail), 0);
	expect("[two]");
	log_tail_finish(&tail);
	expect("[th]");
}

Test(log_tail, renamed_cut_off_and_made_later)
{
	char other[96];

	cr_assert_eq(log_tail_begin(&tail, 9), -ENOENT);
	cr_assert_eq(log_tail_go_on(&tail), -ENOENT);
	write_text("w", "one\n");
	cr_assert_eq(log_tail_go_on(&tail), 0);
	expect("[one]");
	write_text("a", "two\n");
	snprintf(other, sizeof(other), "%s.1", path);
	cr_assert_eq(rename(path, other), 0);
	write_text("w", "three\n");
	cr_assert_eq(log_tail_go_on(&tail), 0);
	expect("[two][three]");
	write_text("w", "4\n");
	cr_assert_eq(log_tail_go_on(&tail), 0);
	expect("[4]");
}

Test(log_tail, a_very_long_line_comes_in_pieces)
{
	FILE *file = fopen(path, "w");

	for (int i = 0; i < LOG_TAIL_LINE + 10; i++)
		fputc('x', file);
	fputs("\nend\n", file);
	fclose(file);
	cr_assert_eq(log_tail_begin(&tail, 5), 0);
	cr_expect_not_null(strstr(said, "[end]"));
}

Test(log_tail, a_folder_is_no_file)
{
	log_tail_fini(&tail);
	cr_assert_eq(log_tail_init(&tail, folder, on_line, NULL), 0);
	cr_expect_eq(log_tail_begin(&tail, 5), -EINVAL);
}

/* log_test.c: lines are whole, clean, and never wait. */
#include "base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

TestSuite(log, .timeout = 20);

/* Puts a pipe in the place of stderr; returns its read end, non-blocking. */
static int
catch_stderr(int *ret_old)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	*ret_old = dup(STDERR_FILENO);
	cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	return ends[0];
}

static void
restore_stderr(int old)
{
	dup2(old, STDERR_FILENO);
	close(old);
}

static const char *
take(int fd, char *text, size_t size)
{
	ssize_t got = read(fd, text, size - 1);

	text[got < 0 ? 0 : got] = '\0';
	return text;
}

Test(log, writes_name_and_text)
{
	int old, fd = catch_stderr(&old);
	char text[8192];

	log_open("tester", LOG_WARN);
	log_debug("no");
	log_info("no");
	log_warn("port %d", 8080);
	log_error("on %s", "x");
	restore_stderr(old);
	cr_assert_str_eq(take(fd, text, sizeof(text)),
		"tester: port 8080\ntester: on x\n");
	close(fd);
}

Test(log, escapes_what_a_terminal_could_obey)
{
	int old, fd = catch_stderr(&old);
	char text[8192];

	log_open("t", LOG_INFO);
	log_info("a\nb\x1b[2J\x7f\xc2\x9b\x9b\xff\xc3\xa4\xe2\x82");
	restore_stderr(old);
	cr_assert_str_eq(take(fd, text, sizeof(text)),
		"t: a\\x0ab\\x1b[2J\\x7f\\xc2\\x9b\\x9b\\xff\xc3\xa4"
		"\\xe2\\x82\n");
	close(fd);
}

Test(log, a_long_line_is_cut_and_stays_one_line)
{
	int old, fd = catch_stderr(&old);
	char text[16384], big[9000];

	memset(big, 1, sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_open("t", LOG_INFO);
	log_info("%s", big);
	restore_stderr(old);
	take(fd, text, sizeof(text));
	cr_assert_gt(strlen(text), 3900);
	cr_assert_lt(strlen(text), 4097);
	cr_assert_eq(strchr(text, '\n') - text, (long)strlen(text) - 1);
	close(fd);
}

Test(log, a_full_pipe_loses_lines_and_says_so)
{
	int old, fd = catch_stderr(&old), lines = 0;
	char text[65536 + 1], *line;

	log_open("t", LOG_INFO);
	for (int i = 0; i < 3000; i++)
		log_info("this is line number %d of a flood", i);
	while (read(fd, text, sizeof(text)) > 0)
		;
	log_info("after");
	restore_stderr(old);
	take(fd, text, sizeof(text));
	for (line = text; (line = strchr(line, '\n')); line++)
		lines++;
	cr_assert_eq(lines, 2, "%s", text);
	cr_assert_not_null(strstr(text, "lines before this were lost\n"));
	cr_assert_not_null(strstr(text, "t: after\n"));
	close(fd);
}

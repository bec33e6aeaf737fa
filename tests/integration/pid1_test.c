/*
 * Promise: `muster run` is all that a container needs as its PID 1: it reaps
 * what loses its parent, takes the signals, ends with the exit code that
 * `exit_when` says, and works on a read-only root.
 *
 * Each test runs it in a PID namespace; where the kernel or the rights don't
 * allow that, it is skipped.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(pid1, .timeout = 60);

enum { DEADLINE_MS = 20000, CANT = 77 };

struct container {
	pid_t outside; /* muster's pid, seen from here */
	pid_t parent;  /* of the namespace */
	int out;       /* both streams */
	char text[65536];
	size_t size;
};

/* In a child: a mount namespace with /proc of the PID namespace. */
static void
prepare(bool read_only)
{
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("proc", "/proc", "proc", 0, NULL) != 0)
		_exit(CANT);
	if (!read_only)
		return;
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
		_exit(CANT);
	/* Where /tmp is a file system of its own, that one, too. */
	if (mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) !=
			0 &&
		errno != EINVAL)
		_exit(CANT);
}

/* Starts `muster run ARGS…` as PID 1; `read_only`: it can write no home. */
static void
start(struct container *box, bool read_only, const char *const *arguments)
{
	int out[2], number[2];

	memset(box, 0, sizeof(*box));
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(number, O_CLOEXEC), 0);
	box->parent = fork();
	if (box->parent == 0) {
		int status = 0;
		if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0)
			_exit(CANT);
		pid_t pid = fork();
		if (pid == 0) {
			char *words[32] = {(char *)MUSTER_EXE, (char *)"run"};
			for (size_t i = 0; i < 28 && arguments[i]; i++)
				words[2 + i] = (char *)arguments[i];
			prepare(read_only);
			setenv("MUSTER_HOME", "/tmp/home", 1);
			if (dup2(out[1], 1) < 0 || dup2(out[1], 2) < 0)
				_exit(126);
			close_range(3, ~0U, 0);
			execv(words[0], words);
			_exit(127);
		}
		if (write(number[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(126);
		close(out[1]);
		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status)
					: 128 + WTERMSIG(status));
	}
	close(out[1]);
	close(number[1]);
	box->out = out[0];
	if (read(number[0], &box->outside, sizeof(pid_t)) != sizeof(pid_t))
		box->outside = 0;
	close(number[0]);
}

/* Reads more of the output; false: it has ended, or nothing came. */
static bool
read_more(struct container *box)
{
	struct pollfd wait = {.fd = box->out, .events = POLLIN};

	if (poll(&wait, 1, DEADLINE_MS) <= 0)
		return false;
	ssize_t size = read(box->out, box->text + box->size,
		sizeof(box->text) - 1 - box->size);
	if (size <= 0)
		return false;
	box->size += (size_t)size;
	box->text[box->size] = '\0';
	return true;
}

/* Waits for `text`; false: the box has ended without. */
static bool
wait_text(struct container *box, const char *text)
{
	while (strstr(box->text, text) == NULL)
		if (!read_more(box))
			return false;
	return true;
}

/* Waits for the end, and returns the exit code. */
static int
finish(struct container *box)
{
	int status = 0;

	while (read_more(box))
		;
	cr_assert_eq(waitpid(box->parent, &status, 0), box->parent);
	close(box->out);
	cr_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == CANT)
		cr_skip_test("no namespaces here");
	return WEXITSTATUS(status);
}

#define START(box, read_only, ...)                                             \
	start(box, read_only, (const char *const[]){__VA_ARGS__, NULL})

/* A12: what loses its parent becomes ours, is reaped, and is nobody's end. */
Test(pid1, reaps_what_loses_its_parent)
{
	struct container box;

	START(&box, false, "--name", "api", "--", "/bin/sh", "-c",
		"for i in 1 2 3 4 5 6 7 8 9; do (setsid sh -c 'exit 7' &); "
		"done; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; "
		"grep -s '^State:.Z' /proc/[0-9]*/status || break; done; "
		"echo zombies: "
		"$(grep -s '^State:.Z' /proc/[0-9]*/status | wc -l); exec "
		"sleep 1000");
	if (wait_text(&box, "zombies: ")) {
		cr_expect_not_null(
			strstr(box.text, "zombies: 0"), "%s", box.text);
		cr_expect_null(strstr(box.text, "exited"), "%s", box.text);
		kill(box.outside, SIGTERM);
	}
	cr_expect_eq(finish(&box), 0, "%s", box.text);
}

/* TERM reaches the workers, and the end is 0. */
Test(pid1, takes_the_signals)
{
	struct container box;

	START(&box, false, "--name", "api", "--", ROGUE, "term=3", "say=up");
	if (wait_text(&box, "| up"))
		kill(box.outside, SIGTERM);
	cr_expect_eq(finish(&box), 0, "%s", box.text);
	cr_expect_not_null(strstr(box.text, "api.0 | TERM"), "%s", box.text);
}

/* The container ends with the worker that gave up. */
Test(pid1, ends_as_exit_when_says)
{
	struct container box;

	START(&box, false, "-n", "2", "--name", "api", "--exit-when", "errored",
		"--max-restarts", "2", "--exp-backoff-restart-delay", "1", "--",
		ROGUE, "0/exit=9", "say=up");
	cr_expect_eq(finish(&box), 9, "%s", box.text);

	START(&box, false, "--name", "api", "--no-autorestart", "--", ROGUE,
		"kill=SEGV");
	cr_expect_eq(finish(&box), 128 + SIGSEGV, "%s", box.text);
}

/* No home can be made: one line says what is missing, all else works. */
Test(pid1, works_on_a_read_only_root)
{
	struct container box;

	START(&box, true, "-n", "2", "--name", "api", "--", ROGUE, "say=up");
	if (wait_text(&box, "api.1 | up") && wait_text(&box, "api.0 | up")) {
		cr_expect_not_null(
			strstr(box.text, "no control socket: /tmp/home "
					 "can't be written"),
			"%s", box.text);
		kill(box.outside, SIGTERM);
	}
	cr_expect_eq(finish(&box), 0, "%s", box.text);
}

/* And another brain takes over there, too. */
Test(pid1, its_brain_may_die)
{
	struct container box;

	START(&box, true, "--name", "api", "--", "/bin/sh", "-c",
		"echo up; for p in /proc/[0-9]*; do "
		"[ \"$(tr '\\0' ' ' <$p/cmdline | cut -c1-14)\" = "
		"'musterd: brain' ] && kill -9 ${p#/proc/}; done; exec sleep "
		"1000");
	if (wait_text(&box, "a new brain takes over")) {
		cr_expect_not_null(strstr(box.text, "api.0 | up"));
		kill(box.outside, SIGTERM);
	}
	cr_expect_eq(finish(&box), 0, "%s", box.text);
}

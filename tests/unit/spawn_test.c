/* spawn_test.c: no byte of a description can hurt, and good ones are obeyed. */
#include "child_builder.h"
#include "keeper/spawn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

TestSuite(spawn, .timeout = 60);

static struct vault vault;
static struct builder builder;
static const struct rlimit files = {256, 512};
static enum keeper_stage stage;

static const char *const no_env[] = {NULL};

/* One of everything. */
static void
build_example(void)
{
	static const char *const argv[] = {"/bin/true", "a", "b", NULL};
	static const char *const env[] = {"X=1", "LISTEN_PID=          ", NULL};
	struct child_description *head = build_head(&builder);
	struct child_limit limit = {
		.resource = RLIMIT_CORE, .soft = 0, .hard = RLIM_INFINITY};
	uint64_t offset;

	build_start(&builder);
	build_program(&builder, argv, env);
	build_fd(&builder, "null", 0);
	build_fd(&builder, "null", 5);
	head->limits = build_room(&builder, sizeof(limit));
	memcpy(builder.bytes + head->limits, &limit, sizeof(limit));
	head->limit_count = 1;
	head->groups = build_room(&builder, 8);
	head->group_count = 2;
	head->directory = build_string(&builder, "/");
	memcpy(&offset, builder.bytes + head->env + 8, sizeof(offset));
	head->listen_pid = (uint32_t)offset + 11;
	head->size = builder.used;
	if (vault_find(&vault, "null") < 0)
		vault_put(
			&vault, "null", open("/dev/null", O_RDWR | O_CLOEXEC));
}

static int
try_with_seals(struct spawn_child *ret_child, int seals)
{
	int fd = build_file(&builder, seals);
	int error = spawn_child(fd, &vault, &files, ret_child, &stage);

	if (error == 0)
		spawn_release(ret_child->exec_pipe);
	close(fd);
	return error;
}

/* What the child's pipe says, and how it ended. */
static enum spawn_news
finish(struct spawn_child *child, struct spawn_failure *ret_failure,
	int *ret_status)
{
	struct pollfd end = {.fd = child->exec_pipe, .events = POLLIN};
	enum spawn_news news;
	bool executes = false;

	do {
		poll(&end, 1, 10000);
		news = spawn_read(child->exec_pipe, &executes, ret_failure);
	} while (news == SPAWN_NOTHING);
	waitpid(child->pid, ret_status, 0);
	close(child->exec_pipe);
	close(child->pidfd);
	return news;
}

/* Starts what was built; the failure that it must come to. */
static void
expect_failure(uint32_t failed, int error)
{
	struct spawn_failure failure = {0};
	struct spawn_child child;
	int status;

	cr_assert_eq(try_with_seals(&child, BUILD_ALL_SEALS), 0);
	cr_assert_eq(finish(&child, &failure, &status), SPAWN_FAILED);
	cr_assert_eq(failure.stage, failed, "stage %u", failure.stage);
	cr_assert_eq(failure.error, error, "%s", strerror(failure.error));
	cr_assert_eq(WEXITSTATUS(status), 127);
}

/* Starts a shell and returns what it printed. */
static const char *
run_shell(void)
{
	static char text[4096];
	struct spawn_failure failure;
	struct spawn_child child;
	int ends[2], status;
	ssize_t got;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(vault_put(&vault, "out", ends[1]), 0);
	cr_assert_eq(try_with_seals(&child, BUILD_ALL_SEALS), 0);
	vault_drop(&vault, "out");
	cr_assert_eq(finish(&child, &failure, &status), SPAWN_EXECUTED);
	got = read(ends[0], text, sizeof(text) - 1);
	text[got < 0 ? 0 : got] = '\0';
	close(ends[0]);
	return text;
}

static void
build_shell(const char *script, const char *const *env)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};

	build_start(&builder);
	build_program(&builder, argv, env);
	build_fd(&builder, "out", 1);
}

Test(spawn, runs_the_example)
{
	struct spawn_failure failure;
	struct spawn_child child;
	int status = -1;

	build_example();
	cr_assert_eq(try_with_seals(&child, BUILD_ALL_SEALS), 0);
	cr_assert_eq(child.cgroup, -1);
	cr_assert_eq(finish(&child, &failure, &status), SPAWN_EXECUTED);
	cr_assert_eq(status, 0);
}

Test(spawn, refuses_what_could_still_change)
{
	const int seals[] = {0, F_SEAL_WRITE | F_SEAL_GROW,
		F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_WRITE | F_SEAL_SHRINK};
	struct spawn_child child;

	for (size_t i = 0; i < sizeof(seals) / sizeof(*seals); i++) {
		build_example();
		cr_assert_eq(try_with_seals(&child, seals[i]), -EPERM);
		cr_assert_eq(stage, KEEPER_STAGE_DESCRIPTION);
	}
	/* No memory file at all. */
	cr_assert_eq(spawn_child(vault_find(&vault, "null"), &vault, &files,
			     &child, &stage),
		-EPERM);
	cr_assert_eq(spawn_child(-1, &vault, &files, &child, &stage), -EPERM);
}

static void
expect_refusal(const char *what, uint32_t value)
{
	struct spawn_child child;

	cr_assert_eq(try_with_seals(&child, BUILD_ALL_SEALS), -EINVAL,
		"%s = %u", what, value);
	cr_assert_eq(stage, KEEPER_STAGE_DESCRIPTION);
}

#define SET(field)                                                             \
	{                                                                      \
#field, offsetof(struct child_description, field)              \
	}

Test(spawn, refuses_every_offset_out_of_range)
{
	static const struct {
		const char *name;
		size_t at;
	} offsets[] = {SET(program), SET(directory), SET(argv), SET(env),
		SET(fds), SET(limits), SET(groups), SET(listen_pid),
		SET(watchdog_pid)};
	uint32_t bad[6];

	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++)
		for (size_t j = 0; j < sizeof(bad) / sizeof(*bad); j++) {
			build_example();
			bad[0] = 8; /* in the head */
			bad[1] = sizeof(struct child_description) - 8;
			bad[2] = (builder.used + 7) & ~7u;
			bad[3] = builder.used + 4096;
			bad[4] = UINT32_MAX;
			bad[5] = UINT32_MAX - 7;
			memcpy(builder.bytes + offsets[i].at, &bad[j], 4);
			expect_refusal(offsets[i].name, bad[j]);
		}
}

Test(spawn, refuses_wrong_counts_and_heads)
{
	static const struct {
		const char *name;
		size_t at;
		uint32_t value;
	} wrong[] = {
		{"magic", offsetof(struct child_description, magic), 1},
		{"version", offsetof(struct child_description, version), 2},
		{"size", offsetof(struct child_description, size), 100},
		{"argc", offsetof(struct child_description, argc), 0},
		{"argc", offsetof(struct child_description, argc), 2},
		{"argc", offsetof(struct child_description, argc), 4},
		{"argc", offsetof(struct child_description, argc), UINT32_MAX},
		{"envc", offsetof(struct child_description, envc), UINT32_MAX},
		{"envc", offsetof(struct child_description, envc), 1},
		{"fds", offsetof(struct child_description, fd_count), 257},
		{"fds", offsetof(struct child_description, fd_count),
			UINT32_MAX},
		{"limits", offsetof(struct child_description, limit_count), 17},
		{"groups", offsetof(struct child_description, group_count),
			257},
		{"groups", offsetof(struct child_description, group_count),
			UINT32_MAX},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		build_example();
		memcpy(builder.bytes + wrong[i].at, &wrong[i].value, 4);
		expect_refusal(wrong[i].name, wrong[i].value);
	}
}

Test(spawn, refuses_misaligned_tables)
{
	static const size_t tables[] = {
		offsetof(struct child_description, argv),
		offsetof(struct child_description, env),
		offsetof(struct child_description, fds),
		offsetof(struct child_description, limits),
		offsetof(struct child_description, groups)};

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		uint32_t value;

		build_example();
		memcpy(&value, builder.bytes + tables[i], 4);
		value += 4;
		memcpy(builder.bytes + tables[i], &value, 4);
		expect_refusal("misaligned", value);
	}
}

Test(spawn, refuses_strings_without_end)
{
	uint32_t tail;

	/* The last string of the file loses its NUL. */
	build_example();
	tail = build_string(&builder, "/x");
	builder.used--;
	build_head(&builder)->size = builder.used;
	build_head(&builder)->directory = tail;
	expect_refusal("directory", tail);
	/* An argument leads there. */
	build_head(&builder)->directory = 0;
	memcpy(builder.bytes + build_head(&builder)->argv + 8,
		&(uint64_t){tail}, 8);
	expect_refusal("argument", tail);
}

Test(spawn, refuses_tables_that_lie_over_each_other)
{
	struct child_description *head = build_head(&builder);

	build_example();
	head->env = head->argv;
	head->envc = head->argc;
	expect_refusal("env", head->env);
	build_example();
	head->env = head->argv + 8;
	head->envc = head->argc - 1;
	expect_refusal("env", head->env);
}

Test(spawn, refuses_wrong_rows)
{
	struct child_description *head = build_head(&builder);
	struct spawn_child child;
	const int numbers[] = {-1, CHILD_FDS_MAX, 0 /* twice */};

	for (size_t i = 0; i < 3; i++) {
		build_example();
		memcpy(builder.bytes + head->fds + sizeof(struct child_fd) +
				KEEPER_NAME_SIZE,
			&numbers[i], 4);
		expect_refusal("number", (uint32_t)numbers[i]);
	}
	build_example();
	memset(builder.bytes + head->limits, 0xff, 4);
	expect_refusal("resource", 0xffffffff);
	build_example();
	memcpy(builder.bytes + head->fds, "nowhere", 8);
	cr_assert_eq(try_with_seals(&child, BUILD_ALL_SEALS), -ENOENT);
	cr_assert_eq(stage, KEEPER_STAGE_TABLE);
	build_example();
	memset(builder.bytes + head->fds, 'x', KEEPER_NAME_SIZE);
	cr_assert_eq(try_with_seals(&child, BUILD_ALL_SEALS), -EINVAL);
	build_example();
	memcpy(head->cgroup, "nowhere", 8);
	cr_assert_eq(try_with_seals(&child, BUILD_ALL_SEALS), -ENOENT);
}

/* Any one byte of the head and tables may be anything: it never crashes us. */
Test(spawn, survives_every_flipped_byte)
{
	static const unsigned char flips[] = {0x01, 0x80, 0xff};
	uint32_t used;

	build_example();
	used = builder.used;
	for (uint32_t i = 0; i < used; i++) {
		struct spawn_failure failure;
		struct spawn_child child;
		int error, status;

		build_example();
		builder.bytes[i] ^= (char)flips[i % 3];
		error = try_with_seals(&child, BUILD_ALL_SEALS);
		cr_assert_leq(error, 0);
		if (error == 0)
			finish(&child, &failure, &status);
	}
}

Test(spawn, tells_the_stage_and_errno)
{
	const char *missing[] = {"/nowhere/program", NULL};
	const char *folder[] = {"/usr", NULL};
	const char *plain[] = {"/etc/passwd", NULL};
	const char *fine[] = {"/bin/true", NULL};

	build_start(&builder);
	build_program(&builder, missing, no_env);
	expect_failure(KEEPER_STAGE_EXEC, ENOENT);
	build_start(&builder);
	build_program(&builder, folder, no_env);
	expect_failure(KEEPER_STAGE_EXEC, EACCES);
	build_start(&builder);
	build_program(&builder, plain, no_env);
	expect_failure(KEEPER_STAGE_EXEC, EACCES);
	build_start(&builder);
	build_program(&builder, fine, no_env);
	build_head(&builder)->directory = build_string(&builder, "/nowhere");
	expect_failure(KEEPER_STAGE_DIRECTORY, ENOENT);
}

Test(spawn, a_limit_that_can_not_be_had_is_told)
{
	const char *fine[] = {"/bin/true", NULL};
	struct child_limit limit = {.resource = RLIMIT_CORE, 0, 2, 1};
	struct child_description *head = build_head(&builder);

	build_start(&builder);
	build_program(&builder, fine, no_env);
	head->limits = build_room(&builder, sizeof(limit));
	head->limit_count = 1;
	memcpy(builder.bytes + head->limits, &limit, sizeof(limit));
	expect_failure(KEEPER_STAGE_LIMITS, EINVAL);
}

Test(spawn, descriptors_are_exactly_those_described)
{
	int open_one = dup(0); /* would survive an exec */

	build_shell("cd /proc/self/fd; echo *", no_env);
	build_fd(&builder, "null", 7);
	build_fd(&builder, "null", 200);
	vault_put(&vault, "null", open("/dev/null", O_RDWR | O_CLOEXEC));
	/* The shell's glob has the folder open as one more. */
	cr_assert_str_eq(run_shell(), "0 1 200 7\n");
	close(open_one);
}

Test(spawn, a_source_may_have_the_number_of_another_target)
{
	int low = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int other = open("/dev/null", O_RDONLY | O_CLOEXEC);

	char script[128];
	const char *env[] = {"PATH=/bin:/usr/bin", NULL};

	snprintf(script, sizeof(script),
		"readlink /proc/self/fd/%d /proc/self/fd/%d", low, other);
	build_shell(script, env);
	build_fd(&builder, "low", other);
	build_fd(&builder, "other", low);
	vault_put(&vault, "low", low);
	vault_put(&vault, "other", other);
	cr_assert_str_eq(run_shell(), "/dev/null\n/dev/zero\n");
}

Test(spawn, sets_up_the_process)
{
	struct child_limit limit = {RLIMIT_CORE, 0, 4096, 8192};
	struct child_description *head = build_head(&builder);

	build_shell("umask; pwd; ulimit -Sn; ulimit -Hn; ulimit -Sc; "
		    "grep -E 'SigBlk|SigIgn|NoNewPrivs' /proc/self/status",
		(const char *[]){"PATH=/bin:/usr/bin", NULL});
	head->limits = build_room(&builder, sizeof(limit));
	memcpy(builder.bytes + head->limits, &limit, sizeof(limit));
	head->limit_count = 1;
	head->directory = build_string(&builder, "/usr");
	head->umask = 027;
	head->flags = CHILD_HAS_UMASK | CHILD_NO_NEW_PRIVS;
	cr_assert_str_eq(run_shell(),
		"0027\n/usr\n256\n512\n8\n"
		"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
		"NoNewPrivs:\t1\n");
}

Test(spawn, leads_a_session_and_knows_its_pid)
{
	struct child_description *head = build_head(&builder);
	const char *env[] = {
		"LISTEN_PID=0000000000", "WATCHDOG_PID=0000000000", NULL};
	const char *line;
	uint64_t offset;
	long pid, session, listen, watchdog;

	build_shell("read a b c d e f g < /proc/$$/stat; "
		    "echo $$ $f $LISTEN_PID $WATCHDOG_PID",
		env);
	memcpy(&offset, builder.bytes + head->env, sizeof(offset));
	head->listen_pid = (uint32_t)offset + 11;
	memcpy(&offset, builder.bytes + head->env + 8, sizeof(offset));
	head->watchdog_pid = (uint32_t)offset + 13;
	line = run_shell();
	cr_assert_eq(sscanf(line, "%ld %ld %ld %ld", &pid, &session, &listen,
			     &watchdog),
		4, "%s", line);
	cr_assert_eq(session, pid);
	cr_assert_eq(listen, pid);
	cr_assert_eq(watchdog, pid);
}

Test(spawn, becomes_a_user)
{
	struct child_description *head = build_head(&builder);
	uint32_t groups[] = {54322, 54323};

	if (geteuid() != 0)
		cr_skip_test("needs root");
	build_shell("grep -E '^(Uid|Gid|Groups)' /proc/self/status",
		(const char *[]){"PATH=/bin:/usr/bin", NULL});
	head->groups = build_room(&builder, sizeof(groups));
	memcpy(builder.bytes + head->groups, groups, sizeof(groups));
	head->group_count = 2;
	head->uid = 54320;
	head->gid = 54321;
	head->flags = CHILD_HAS_USER;
	cr_assert_str_eq(run_shell(), "Uid:\t54320\t54320\t54320\t54320\n"
				      "Gid:\t54321\t54321\t54321\t54321\n"
				      "Groups:\t54322 54323 \n");
}

Test(spawn, a_script_without_a_first_line_is_the_shells)
{
	char path[] = "/tmp/spawn_test.XXXXXX";
	int fd = mkstemp(path);
	const char *argv[] = {path, "one", "two", NULL};

	cr_assert_eq(write(fd, "echo $1-$2 $#\n", 14), 14);
	fchmod(fd, 0755);
	close(fd);
	build_start(&builder);
	build_program(&builder, argv, no_env);
	build_fd(&builder, "out", 1);
	cr_assert_str_eq(run_shell(), "one-two 2\n");
	unlink(path);
}

/* A program that nobody knows of doesn't run: it would have no owner. */
Test(spawn, a_child_that_is_not_released_ends_with_its_keeper)
{
	struct spawn_child child;
	int fd, status = 0;

	build_example();
	fd = build_file(&builder, BUILD_ALL_SEALS);
	cr_assert_eq(spawn_child(fd, &vault, &files, &child, &stage), 0);
	close(fd);
	cr_expect_eq(waitpid(child.pid, &status, WNOHANG), 0);
	close(child.exec_pipe);
	cr_assert_eq(waitpid(child.pid, &status, 0), child.pid);
	cr_assert(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 127);
	close(child.pidfd);
}

/* Starts the example and exits with what was told, plus 10. */
_Noreturn static void
start_traced(void)
{
	struct spawn_failure failure;
	struct spawn_child child;
	int fd = build_file(&builder, BUILD_ALL_SEALS), status;
	sigset_t all;

	/* As in a keeper: one that is dead isn't released, and that's all. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	if (spawn_child(fd, &vault, &files, &child, &stage) != 0)
		_exit(1);
	spawn_release(child.exec_pipe);
	_exit(10 + (int)finish(&child, &failure, &status));
}

/*
 * A start whose child is killed behind `steps` entries and exits of system
 * calls: what is told. `ret_executed`: the exec was over by then, `ret_ended`:
 * there were not so many.
 */
static enum spawn_news
kill_after(int steps, bool *ret_executed, bool *ret_ended)
{
	const long follow = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			    PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	pid_t starter = fork();
	unsigned long child = 0;
	int status;

	if (starter == 0)
		start_traced();
	cr_assert_eq(waitpid(starter, &status, __WALL), starter);
	ptrace(PTRACE_SETOPTIONS, starter, NULL, follow);
	ptrace(PTRACE_CONT, starter, NULL, NULL);
	cr_assert_eq(waitpid(starter, &status, __WALL), starter);
	cr_assert_eq(ptrace(PTRACE_GETEVENTMSG, starter, NULL, &child), 0);
	ptrace(PTRACE_DETACH, starter, NULL, NULL);
	cr_assert_eq(waitpid((pid_t)child, &status, __WALL), (pid_t)child);
	ptrace(PTRACE_SETOPTIONS, child, NULL,
		PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
	*ret_executed = false;
	for (int i = 0; i < steps && WIFSTOPPED(status); i++) {
		ptrace(PTRACE_SYSCALL, child, NULL, NULL);
		cr_assert_eq(
			waitpid((pid_t)child, &status, __WALL), (pid_t)child);
		*ret_executed |=
			status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8);
	}
	*ret_ended = !WIFSTOPPED(status);
	if (!*ret_ended) {
		kill((pid_t)child, SIGKILL);
		waitpid((pid_t)child, &status, __WALL);
	}
	cr_assert_eq(waitpid(starter, &status, 0), starter);
	cr_assert(WIFEXITED(status), "%x after %d steps", status, steps);
	return (enum spawn_news)(WEXITSTATUS(status) - 10);
}

/* A04: whoever dies between fork and exec never counts as executed. */
Test(spawn, a_kill_at_each_step_is_told_from_an_exec)
{
	bool executed = false, ended = false;
	int early = 0, steps;

	build_example();
	for (steps = 0; !ended && !executed; steps++) {
		enum spawn_news news = kill_after(steps, &executed, &ended);

		cr_assert_not(ended && !executed);
		if (executed)
			cr_assert_eq(news, SPAWN_EXECUTED, "step %d", steps);
		else if (news == SPAWN_EXECUTED)
			early++;
		else
			cr_assert(news == SPAWN_KILLED && early == 0,
				"step %d: %d", steps, (int)news);
	}
	cr_expect_gt(steps, 30);
	/* Said right before: the exit of that call, the entry of the exec. */
	cr_expect_leq(early, 2);
	cr_assert_eq(kill_after(100000, &executed, &ended), SPAWN_EXECUTED);
	cr_expect(executed && ended);
}

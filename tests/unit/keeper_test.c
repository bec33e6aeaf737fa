/* keeper_test.c: promises of the keeper, each against a real process. */
#include "keeper_rig.h"

#include <linux/sched.h>
#include <sys/syscall.h>

#include <sys/resource.h>

TestSuite(keeper, .timeout = 100);

static struct rig rig;
static struct builder builder;

static void
signal_row(uint64_t process, int signal, bool whole_group)
{
	struct keeper_record record = {
		.kind = KEEPER_SIGNAL, .process = process};

	record.signal = signal;
	record.whole_group = whole_group;
	rig_write(&rig, &record, -1);
}

static void
took(int signal)
{
	struct keeper_record record = {.kind = KEEPER_TOOK};

	record.signal = signal;
	rig_write(&rig, &record, -1);
}

/* All records of an answer up to its end; returns how many. */
static int
count_answer(uint32_t kind)
{
	int count = 0, fd;

	for (;; count++) {
		struct keeper_record record = rig_expect(&rig, kind, &fd);
		bool end = kind == KEEPER_GIVEN ? !record.name[0]
						: !record.process;

		cr_assert_eq(fd < 0, end);
		if (end)
			return count;
		close(fd);
	}
}

/* The keeper has read everything that was sent before this returns. */
static void
settle(void)
{
	rig_say(&rig, 999);
	rig_expect(&rig, KEEPER_UNSUPPORTED, NULL);
}

static void
await_death(pid_t pid)
{
	for (int i = 0; kill(pid, 0) == 0; i++) {
		cr_assert_lt(i, RIG_PATIENCE_MS / 10, "%d lives", (int)pid);
		poll(NULL, 0, 10);
	}
}

Test(keeper, gives_a_brain_what_it_needs_and_ends_with_its_code)
{
	static const char *const names[] = {KEEPER_VAULT_LEDGER,
		KEEPER_VAULT_EXCHANGE, KEEPER_VAULT_CONTROL, KEEPER_VAULT_LOCK};
	int seen[4] = {0};
	struct stat info;

	rig_start(&rig);
	cr_assert_eq(rig.brain.descriptors, 4);
	cr_assert_str_eq(rig.brain.runtime, rig.home);
	cr_assert_eq(getpgid(rig.brain.pid), rig.brain.pid);
	rig_say(&rig, KEEPER_TAKE);
	for (;;) {
		struct keeper_record given;
		int fd;

		given = rig_expect(&rig, KEEPER_GIVEN, &fd);
		if (fd < 0)
			break;
		cr_assert_eq(fstat(fd, &info), 0);
		for (int i = 0; i < 4; i++)
			if (strcmp(given.name, names[i]) == 0)
				seen[i]++;
		if (strcmp(given.name, KEEPER_VAULT_LEDGER) == 0)
			cr_assert_eq(info.st_size, KEEPER_LEDGER_SIZE);
		if (strcmp(given.name, KEEPER_VAULT_EXCHANGE) == 0)
			cr_assert_eq(info.st_size, 0);
		close(fd);
	}
	for (int i = 0; i < 4; i++)
		cr_assert_eq(seen[i], 1, "%s", names[i]);
	rig_stop(&rig);
}

Test(keeper, unknown_records_are_answered)
{
	struct keeper_record answer;

	rig_start(&rig);
	rig_write(
		&rig, &(struct keeper_record){.kind = 4711, .process = 3}, -1);
	answer = rig_expect(&rig, KEEPER_UNSUPPORTED, NULL);
	cr_assert_eq(answer.result, 4711);
	cr_assert_eq(answer.process, 3);
	rig_send_fd(rig.pair, "half", 4, -1);
	cr_assert_eq(rig_expect(&rig, KEEPER_UNSUPPORTED, NULL).result, 0);
	rig_stop(&rig);
}

Test(keeper, a_child_runs_and_its_end_is_told)
{
	struct keeper_record exited;
	pid_t pid;

	rig_start(&rig);
	pid = rig_run(&rig, 11, "exit 5", NULL, NULL);
	exited = rig_expect(&rig, KEEPER_EXITED, NULL);
	cr_assert_eq(exited.process, 11);
	cr_assert_eq(exited.row.pid, pid);
	cr_assert_eq(exited.row.state, KEEPER_ENDED);
	cr_assert_eq(exited.row.code, CLD_EXITED);
	cr_assert_eq(exited.row.status, 5);
	cr_assert_gt(exited.row.memory_kib, 100);
	cr_assert_gt(exited.row.ended_ns, 0);
	rig_say(&rig, KEEPER_LIST);
	cr_assert_eq(count_answer(KEEPER_PROCESS), 1);
	rig_ack(&rig, 11);
	rig_say(&rig, KEEPER_LIST);
	cr_assert_eq(count_answer(KEEPER_PROCESS), 0);
	rig_stop(&rig);
}

static void
expect_failure(
	const char *program, const char *directory, uint32_t stage, int error)
{
	static uint64_t process = 100;
	const char *argv[] = {program, NULL};
	struct keeper_record failed;

	build_start(&builder);
	build_program(&builder, argv, argv + 1);
	if (directory)
		build_head(&builder)->directory =
			build_string(&builder, directory);
	if (stage == KEEPER_STAGE_USER) {
		/* "No change" to the kernel: the way back stays open. */
		build_head(&builder)->flags = CHILD_HAS_USER;
		build_head(&builder)->uid = UINT32_MAX;
		build_head(&builder)->gid = getegid();
	}
	rig_spawn(&rig, ++process, &builder);
	cr_assert_eq(rig_expect(&rig, KEEPER_SPAWNED, NULL).process, process);
	failed = rig_expect(&rig, KEEPER_FAILED, NULL);
	cr_assert_eq(failed.process, process);
	cr_assert_eq(failed.failure.stage, stage);
	cr_assert_eq(failed.failure.error, error);
}

Test(keeper, a_failed_start_is_told_with_stage_and_errno)
{
	struct keeper_record failed;

	rig_start(&rig);
	expect_failure("/nowhere", NULL, KEEPER_STAGE_EXEC, ENOENT);
	expect_failure("/usr", NULL, KEEPER_STAGE_EXEC, EACCES);
	expect_failure("/etc/passwd", NULL, KEEPER_STAGE_EXEC, EACCES);
	expect_failure("/bin/true", "/nowhere", KEEPER_STAGE_DIRECTORY, ENOENT);
	if (geteuid() == 0)
		expect_failure("/bin/true", NULL, KEEPER_STAGE_USER, EPERM);
	/* Those that fail before a process is made. */
	rig_write(&rig,
		&(struct keeper_record){.kind = KEEPER_SPAWN, .process = 1},
		-1);
	failed = rig_expect(&rig, KEEPER_FAILED, NULL);
	cr_assert_eq(failed.failure.stage, KEEPER_STAGE_DESCRIPTION);
	build_fd(&builder, "nowhere", 3);
	build_head(&builder)->size = builder.used;
	rig_spawn(&rig, 2, &builder);
	failed = rig_expect(&rig, KEEPER_FAILED, NULL);
	cr_assert_eq(failed.failure.stage, KEEPER_STAGE_TABLE);
	cr_assert_eq(failed.failure.error, ENOENT);
	rig_spawn(&rig, 0, &builder);
	failed = rig_expect(&rig, KEEPER_FAILED, NULL);
	cr_assert_eq(failed.failure.stage, KEEPER_STAGE_TABLE);
	rig_say(&rig, KEEPER_LIST);
	cr_assert_eq(count_answer(KEEPER_PROCESS), 0);
	rig_stop(&rig);
}

Test(keeper, what_is_left_of_a_group_goes_with_its_leader)
{
	pid_t grandchild;
	int out;

	rig_start(&rig);
	out = rig_pipe(&rig, "out", 1);
	rig_run(&rig, 1, "sleep 100 & echo $!", NULL, "out");
	grandchild = atoi(rig_text(out));
	cr_assert_gt(grandchild, 0);
	cr_assert_eq(rig_expect(&rig, KEEPER_EXITED, NULL).row.status, 0);
	cr_assert_eq(rig_expect(&rig, KEEPER_ORPHANS, NULL).result, 1);
	cr_assert_eq(kill(grandchild, 0), -1);
	rig_stop(&rig);
}

/* A fresh cgroup, where this system lets us make one. */
static int
make_cgroup(char *ret_path)
{
	static const char *const roots[] = {
		"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
	char file[160];

	for (int i = 0; i < 2; i++) {
		snprintf(ret_path, 128, "%s/keeper-test-%d", roots[i],
			(int)getpid());
		snprintf(file, sizeof(file), "%s/cgroup.kill", ret_path);
		if (mkdir(ret_path, 0755) == 0 && access(file, W_OK) == 0)
			return open(ret_path, O_DIRECTORY | O_CLOEXEC);
		rmdir(ret_path);
	}
	return -1;
}

Test(keeper, what_is_left_of_a_cgroup_goes_with_its_leader)
{
	const char *argv[] = {"/bin/sh", "-c",
		"setsid sleep 100 & echo $!; cat /proc/self/cgroup", NULL};
	const char *env[] = {"PATH=/usr/bin:/bin", NULL};
	char path[128], text[4096] = "";
	int out, cgroup = make_cgroup(path);
	pid_t away;
	ssize_t got;

	if (cgroup < 0)
		cr_skip_test("no cgroup of version 2 can be made here");
	rig_start(&rig);
	rig_put(&rig, "cgroup", cgroup);
	out = rig_pipe(&rig, "out", 1);
	build_start(&builder);
	build_program(&builder, argv, env);
	build_fd(&builder, "out", 1);
	strcpy(build_head(&builder)->cgroup, "cgroup");
	rig_spawn(&rig, 1, &builder);
	rig_expect(&rig, KEEPER_SPAWNED, NULL);
	rig_expect(&rig, KEEPER_EXECED, NULL);
	rig_expect(&rig, KEEPER_EXITED, NULL);
	got = read(out, text, sizeof(text) - 1);
	cr_assert_gt(got, 0);
	cr_assert_not_null(strstr(text, strrchr(path, '/')), "%s", text);
	away = atoi(text);
	cr_assert_gt(away, 0);
	await_death(away);
	rig_stop(&rig);
	cr_assert_eq(rmdir(path), 0, "empty again");
}

Test(keeper, signals_reach_the_leader_or_the_group)
{
	struct keeper_record exited;
	const char *script = "trap 'echo outer; exit 3' USR1; "
			     "(trap 'echo inner; exit' USR1; echo ready; "
			     "while :; do sleep 0.05; done) & wait; exit 9";
	int out;

	rig_start(&rig);
	out = rig_pipe(&rig, "out", 1);
	rig_run(&rig, 1, script, NULL, "out");
	cr_assert_str_eq(rig_text(out), "ready\n");
	signal_row(1, SIGUSR1, true);
	exited = rig_expect(&rig, KEEPER_EXITED, NULL);
	cr_assert_eq(exited.row.status, 3);
	rig_run(&rig, 2, "sleep 100", NULL, NULL);
	signal_row(2, SIGKILL, false);
	exited = rig_expect(&rig, KEEPER_EXITED, NULL);
	cr_assert_eq(exited.row.code, CLD_KILLED);
	cr_assert_eq(exited.row.status, SIGKILL);
	/* To one that has ended, and to nobody: no error. */
	signal_row(2, SIGKILL, true);
	signal_row(12345, SIGKILL, true);
	settle();
	rig_stop(&rig);
}

/* A stranger with this pid, leader of a group of its own; 0: not allowed. */
static pid_t
be_somebody_else(pid_t pid)
{
	struct clone_args args = {.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1};
	long got = syscall(SYS_clone3, &args, sizeof(args));

	if (got == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	if (got > 0)
		setpgid((pid_t)got, 0);
	else
		cr_assert_eq(errno, EPERM, "%s", strerror(errno));
	return got < 0 ? 0 : (pid_t)got;
}

/* A11: a number that is somebody else's by now is never signalled. */
Test(keeper, a_pid_that_is_used_again_is_left_alone)
{
	struct keeper_record exited;
	pid_t pid, stranger;

	rig_start(&rig);
	pid = rig_run(&rig, 1, "exit 0", NULL, NULL);
	exited = rig_expect(&rig, KEEPER_EXITED, NULL);
	cr_assert_eq(exited.row.pid, pid);
	stranger = be_somebody_else(pid);
	/* Late, as a deadline that fires meanwhile; and under another brain. */
	signal_row(1, SIGKILL, true);
	signal_row(1, SIGKILL, false);
	settle();
	rig_replace_brain(&rig);
	signal_row(1, SIGKILL, true);
	settle();
	rig_ack(&rig, 1);
	signal_row(1, SIGKILL, true);
	signal_row(1, SIGKILL, false);
	settle();
	if (stranger) {
		cr_expect_eq(stranger, pid);
		cr_expect_eq(waitpid(stranger, NULL, WNOHANG), 0, "it died");
		kill(stranger, SIGKILL);
		waitpid(stranger, NULL, 0);
	}
	rig_stop(&rig);
	if (!stranger)
		cr_skip_test("no right to choose a pid");
}

Test(keeper, an_exit_is_kept_until_a_brain_has_noted_it)
{
	struct keeper_record row;
	pid_t pid;
	int in;

	rig_start(&rig);
	rig_say(&rig, KEEPER_UP);
	in = rig_pipe(&rig, "in", 0);
	pid = rig_run(&rig, 21, "read x; exit 6", "in", NULL);
	settle();
	cr_assert_eq(rig_replace_brain(&rig), 1);
	rig_say(&rig, KEEPER_UP);
	rig_say(&rig, KEEPER_LIST);
	row = rig_expect(&rig, KEEPER_PROCESS, NULL);
	cr_assert_eq(row.process, 21);
	cr_assert_eq(row.row.pid, pid);
	cr_assert_eq(row.row.state, KEEPER_RUNNING);
	cr_assert_eq(rig_expect(&rig, KEEPER_PROCESS, NULL).process, 0);
	close(in);
	cr_assert_eq(rig_expect(&rig, KEEPER_EXITED, NULL).row.status, 6);
	cr_assert_eq(rig_replace_brain(&rig), 2);
	rig_say(&rig, KEEPER_LIST);
	row = rig_expect(&rig, KEEPER_PROCESS, NULL);
	cr_assert_eq(row.process, 21);
	cr_assert_eq(row.row.state, KEEPER_ENDED);
	cr_assert_eq(row.row.status, 6);
	rig_expect(&rig, KEEPER_PROCESS, NULL);
	rig_ack(&rig, 21);
	rig_say(&rig, KEEPER_LIST);
	cr_assert_eq(count_answer(KEEPER_PROCESS), 0);
	rig_stop(&rig);
}

Test(keeper, the_vault_survives_a_brain)
{
	struct keeper_record given, record = {.kind = KEEPER_DROP};
	struct stat before, after;
	int fd, mine = memfd_create("mine", MFD_CLOEXEC);

	rig_start(&rig);
	fstat(mine, &before);
	rig_put(&rig, "a", open("/dev/null", O_RDWR | O_CLOEXEC));
	rig_put(&rig, "b", open("/dev/null", O_RDWR | O_CLOEXEC));
	rig_put(&rig, "a", mine);
	strcpy(record.name, "b");
	rig_write(&rig, &record, -1);
	/* Said just before it died: counts. */
	rig_replace_brain(&rig);
	rig_say(&rig, KEEPER_TAKE);
	do {
		given = rig_expect(&rig, KEEPER_GIVEN, &fd);
		cr_assert_str_neq(given.name, "b");
		cr_assert_str_neq(given.name, "", "a is missing");
		fstat(fd, &after);
		close(fd);
	} while (strcmp(given.name, "a") != 0);
	cr_assert_eq(before.st_ino, after.st_ino);
	count_answer(KEEPER_GIVEN);
	rig_stop(&rig);
}

Test(keeper, a_bad_put_is_answered)
{
	struct keeper_record answer;

	rig_start(&rig);
	rig_put(&rig, "", open("/dev/null", O_RDWR | O_CLOEXEC));
	answer = rig_expect(&rig, KEEPER_PUT, NULL);
	cr_assert_eq(answer.result, -EINVAL);
	rig_write(&rig,
		&(struct keeper_record){.kind = KEEPER_PUT, .name = "x"}, -1);
	answer = rig_expect(&rig, KEEPER_PUT, NULL);
	cr_assert_eq(answer.result, -EBADF);
	cr_assert_str_eq(answer.name, "x");
	rig_stop(&rig);
}

Test(keeper, passes_a_descriptor_to_a_resume_socket)
{
	struct keeper_record record = {.kind = KEEPER_PASS, .name = "resume"};
	int ends[2], mine = memfd_create("mine", MFD_CLOEXEC), got_fd;
	struct stat before, after;
	ssize_t got;
	char byte;

	rig_start(&rig);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	rig_write(&rig, &record, mine);
	cr_assert_eq(rig_expect(&rig, KEEPER_PASS, NULL).result, -ENOENT);
	rig_put(&rig, "resume", ends[0]);
	rig_write(&rig, &record, -1);
	cr_assert_eq(rig_expect(&rig, KEEPER_PASS, NULL).result, -EBADF);
	rig_write(&rig, &record, mine);
	record = rig_expect(&rig, KEEPER_PASS, NULL);
	cr_assert_eq(record.result, 0);
	cr_assert_str_eq(record.name, "resume");
	got_fd = rig_receive_fd(ends[1], &byte, 1, &got);
	cr_assert_eq(got, 1);
	cr_assert_eq(byte, 'R');
	fstat(mine, &before);
	cr_assert_eq(fstat(got_fd, &after), 0);
	cr_assert_eq(before.st_ino, after.st_ino);
	rig_stop(&rig);
}

Test(keeper, long_answers_are_complete_however_slow_the_reader)
{
	char name[KEEPER_NAME_SIZE];

	rig_start(&rig);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "pipe/%d", i);
		rig_put(&rig, name, open("/dev/null", O_RDONLY | O_CLOEXEC));
	}
	/* More than the pair holds, and more said meanwhile: that waits. */
	rig_say(&rig, KEEPER_TAKE);
	rig_say(&rig, KEEPER_LIST);
	rig_say(&rig, KEEPER_TAKE);
	cr_assert_eq(count_answer(KEEPER_GIVEN), 1004);
	cr_assert_eq(count_answer(KEEPER_PROCESS), 0);
	cr_assert_eq(count_answer(KEEPER_GIVEN), 1004);
	rig_stop(&rig);
}

Test(keeper, news_that_find_no_room_are_not_lost)
{
	enum { MANY = 400 };
	const char *argv[] = {"/bin/true", NULL};
	int news[MANY + 1] = {0}, left = 3 * MANY;

	rig_start(&rig);
	for (int i = 1; i <= MANY; i++) {
		build_start(&builder);
		build_program(&builder, argv, argv + 1);
		rig_spawn(&rig, (uint64_t)i, &builder);
	}
	/* Only now read: three records each, in order for each. */
	while (left > 0) {
		struct keeper_record record = rig_hear(&rig, NULL);

		if (record.kind == KEEPER_ORPHANS)
			continue;
		cr_assert_eq(record.kind,
			news[record.process] == 0   ? KEEPER_SPAWNED
			: news[record.process] == 1 ? KEEPER_EXECED
						    : KEEPER_EXITED);
		news[record.process]++;
		left--;
	}
	rig_say(&rig, KEEPER_LIST);
	cr_assert_eq(count_answer(KEEPER_PROCESS), MANY);
	for (int i = 1; i <= MANY; i++)
		rig_ack(&rig, (uint64_t)i);
	rig_say(&rig, KEEPER_LIST);
	cr_assert_eq(count_answer(KEEPER_PROCESS), 0);
	rig_stop(&rig);
}

Test(keeper, spawns_leave_no_descriptor_and_no_zombie)
{
	char path[64], text[256];
	int before;
	FILE *file;

	rig_start(&rig);
	settle();
	before = rig_count_fds(rig.keeper);
	for (int i = 1; i <= 500; i++) {
		rig_run(&rig, (uint64_t)i, "exit 0", NULL, NULL);
		rig_expect(&rig, KEEPER_EXITED, NULL);
		rig_ack(&rig, (uint64_t)i);
	}
	settle();
	cr_assert_eq(rig_count_fds(rig.keeper), before);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
		(int)rig.keeper, (int)rig.keeper);
	file = fopen(path, "r");
	cr_assert_not_null(fgets(text, sizeof(text), file));
	cr_assert_eq(atoi(text), rig.brain.pid);
	cr_assert_eq(strchr(text, ' ')[1], '\0', "children: %s", text);
	fclose(file);
	rig_stop(&rig);
}

Test(keeper, signals_are_told_and_counted)
{
	rig_start(&rig);
	kill(rig.keeper, SIGHUP);
	cr_assert_eq(rig_expect(&rig, KEEPER_SIGNALLED, NULL).signal, SIGHUP);
	took(SIGHUP);
	for (int i = 0; i < 2; i++) {
		kill(rig.keeper, SIGTERM);
		cr_assert_eq(rig_expect(&rig, KEEPER_SIGNALLED, NULL).signal,
			SIGTERM);
		took(SIGTERM);
	}
	kill(rig.keeper, SIGTSTP);
	cr_assert_eq(rig_expect(&rig, KEEPER_SIGNALLED, NULL).signal, SIGTSTP);
	rig_stop(&rig);
}

/*
 * E01: a storm, while children come and go and the brain doesn't listen, is one
 * signal; none of the exits is lost; and a stop is still a stop.
 */
Test(keeper, a_storm_of_signals_is_one)
{
	enum { CHILDREN = 20, STORM = 10000 };
	int hups = 0, exits = 0;

	rig_start(&rig);
	for (uint64_t i = 1; i <= CHILDREN; i++) {
		static const char *const argv[] = {"/bin/true", NULL};

		build_start(&builder);
		build_program(&builder, argv, argv + 1);
		rig_spawn(&rig, i, &builder);
		for (int k = 0; k < STORM / CHILDREN; k++)
			kill(rig.keeper, SIGHUP);
	}
	while (exits < CHILDREN) {
		struct keeper_record record = rig_hear(&rig, NULL);

		hups += record.kind == KEEPER_SIGNALLED;
		exits += record.kind == KEEPER_EXITED;
	}
	cr_expect_geq(hups, 1);
	/* Those that come before one is told are one. */
	cr_expect_leq(hups, STORM / 50, "%d times", hups);
	kill(rig.keeper, SIGTERM);
	for (;;) {
		struct keeper_record record = rig_hear(&rig, NULL);

		cr_assert_eq(record.kind, KEEPER_SIGNALLED);
		if (record.signal == SIGTERM)
			break;
	}
	rig_stop(&rig);
}

Test(keeper, signals_wait_while_no_brain_runs)
{
	rig_start(&rig);
	kill(rig.keeper, SIGUSR1);
	rig_expect(&rig, KEEPER_SIGNALLED, NULL);
	/* Told, and not taken on; and one that comes between two brains. */
	kill(rig.brain.pid, SIGKILL);
	await_death(rig.brain.pid);
	kill(rig.keeper, SIGHUP);
	rig_lose(&rig);
	rig_meet(&rig);
	cr_assert_eq(rig_expect(&rig, KEEPER_SIGNALLED, NULL).signal, SIGHUP);
	cr_assert_eq(rig_expect(&rig, KEEPER_SIGNALLED, NULL).signal, SIGUSR1);
	rig_stop(&rig);
}

Test(keeper, gives_up_when_three_brains_die_at_the_start)
{
	rig_launch(&rig, "run", NULL, "die", NULL);
	cr_assert_eq(rig_wait(&rig), 1);
	cr_assert_str_eq(rig_text(rig.errors),
		"muster: gave up: the brain ended 3 times before it was up, "
		"the last time by exit status 3\n");
	cr_assert_eq(rig_count(rig.home), 0);
	rmdir(rig.home);
}

Test(keeper, a_brain_that_hangs_up_is_replaced)
{
	pid_t old;

	rig_start(&rig);
	rig_say(&rig, KEEPER_UP);
	settle();
	old = rig.brain.pid;
	close(rig.pair);
	cr_assert_eq(write(rig.link, "c", 1), 1);
	cr_assert_eq(rig_meet(&rig), 1);
	cr_assert_eq(kill(old, 0), -1);
	rig_stop(&rig);
}

Test(keeper, nothing_outlives_it)
{
	pid_t stubborn, daemon;
	int out;

	rig_start(&rig);
	out = rig_pipe(&rig, "out", 1);
	rig_run(&rig, 1,
		"trap '' TERM; setsid sh -c 'echo $$; exec sleep 100' & "
		"wait",
		NULL, "out");
	daemon = atoi(rig_text(out));
	stubborn = rig_run(&rig, 2, "trap '' TERM HUP; sleep 100", NULL, NULL);
	/* Its parent ends, so it is the keeper's now. */
	signal_row(1, SIGKILL, false);
	rig_expect(&rig, KEEPER_EXITED, NULL);
	cr_assert_eq(kill(daemon, 0), 0);
	rig_stop(&rig);
	cr_assert_eq(kill(daemon, 0), -1);
	cr_assert_eq(kill(stubborn, 0), -1);
}

Test(keeper, stops_by_itself_when_no_brain_takes_a_term_on)
{
	struct rlimit none = {0, 0};
	pid_t child;

	setrlimit(RLIMIT_CORE, &none);
	rig_start(&rig);
	child = rig_run(
		&rig, 1, "trap 'exit 0' TERM; sleep 100 & wait", NULL, NULL);
	kill(rig.keeper, SIGTERM);
	rig_expect(&rig, KEEPER_SIGNALLED, NULL);
	cr_assert_eq(rig_wait(&rig), 1);
	cr_assert_not_null(strstr(rig_text(rig.errors), "nothing answers"));
	cr_assert_eq(kill(child, 0), -1);
	cr_assert_eq(rig_count(rig.home), 0);
	rmdir(rig.home);
}

static void
leave_things_behind(void)
{
	sigset_t all;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	dup2(0, 77);
	close(0);
}

Test(keeper, a_parents_leavings_do_not_pass_on)
{
	int out;

	rig_launch(&rig, "run", NULL, "meet", leave_things_behind);
	rig_meet(&rig);
	cr_assert_eq(rig.brain.descriptors, 4);
	out = rig_pipe(&rig, "out", 1);
	rig_run(&rig, 1, "grep -E 'SigBlk|SigIgn' /proc/self/status; exit 4",
		NULL, "out");
	cr_assert_eq(rig_expect(&rig, KEEPER_EXITED, NULL).row.status, 4);
	cr_assert_str_eq(rig_text(out),
		"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	rig_stop(&rig);
}

Test(keeper, a_second_one_goes_aside_or_fails)
{
	static struct rig aside, refused;
	char expected[512];

	rig_start(&rig);
	rig_launch(&refused, "daemon", rig.home, "meet", NULL);
	cr_assert_eq(rig_wait(&refused), 1);
	cr_assert_not_null(strstr(rig_text(refused.errors), "is in use"));
	rig_launch(&aside, "run", rig.home, "meet", NULL);
	rig_meet(&aside);
	snprintf(expected, sizeof(expected),
		"muster: home %s is in use by another muster; using %s/run-%d "
		"(muster --home %s/run-%d ls)\n",
		rig.home, rig.home, (int)aside.keeper, rig.home,
		(int)aside.keeper);
	cr_assert_str_eq(rig_text(aside.errors), expected);
	cr_assert_eq(rig_count(aside.brain.runtime), 2);
	cr_assert_str_neq(aside.brain.runtime, rig.home);
	rig_say(&aside, KEEPER_END);
	cr_assert_eq(write(aside.link, "x", 1), 1);
	cr_assert_eq(rig_wait(&aside), 0);
	cr_assert_eq(rig_count(rig.home), 2, "only the first one's");
	rig_stop(&rig);
}

Test(keeper, a_stale_socket_is_replaced_and_only_own_files_are_removed)
{
	char path[128];
	struct stat info;

	rig_start(&rig);
	rig_say(&rig, KEEPER_UP);
	settle();
	snprintf(path, sizeof(path), "%s/muster.sock", rig.home);
	cr_assert_eq(stat(path, &info), 0);
	cr_assert_eq(info.st_mode & 0777, 0600);
	cr_assert_eq(kill(rig.keeper, SIGKILL), 0);
	waitpid(rig.keeper, NULL, 0);
	kill(rig.brain.pid, SIGKILL);
	waitpid(rig.brain.pid, NULL, 0);
	close(rig.listener);
	cr_assert_eq(stat(path, &info), 0, "the stale one");
	rig_launch(&rig, "daemon", rig.home, "meet", NULL);
	rig_meet(&rig);
	/* Somebody puts a file of his own there. */
	cr_assert_eq(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	rig_say(&rig, KEEPER_END);
	cr_assert_eq(write(rig.link, "x", 1), 1);
	cr_assert_eq(rig_wait(&rig), 0);
	cr_assert_eq(rig_count(rig.home), 1);
	cr_assert_eq(unlink(path), 0);
	rmdir(rig.home);
}

static long
count_switches(pid_t pid)
{
	char path[64], line[256];
	long total = 0, count;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1)
			total += count;
	fclose(file);
	return total;
}

Test(keeper, an_idle_one_never_wakes_up)
{
	struct pollfd quiet = {.events = POLLIN};
	long before;

	rig_start(&rig);
	rig_say(&rig, KEEPER_UP);
	rig_run(&rig, 1, "sleep 100", NULL, NULL);
	settle();
	/* A state that is told by nothing: asleep in epoll_wait(). */
	quiet.fd = rig.pair;
	poll(&quiet, 1, 100);
	before = count_switches(rig.keeper);
	cr_assert_eq(poll(&quiet, 1, 1000), 0);
	cr_assert_eq(count_switches(rig.keeper), before);
	rig_stop(&rig);
}

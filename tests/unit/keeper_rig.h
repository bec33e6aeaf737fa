/*
 * keeper_rig.h: a real keeper, and a test that is its brain. The test's own
 * executable runs as the keeper and as the brain, told apart by argv[0]; the
 * brain hands its end of the pair to the test and then only waits, so that the
 * test speaks to the keeper and may kill the brain.
 */
#ifndef MUSTER_TEST_KEEPER_RIG_H
#define MUSTER_TEST_KEEPER_RIG_H

#include "child_builder.h"
#include "keeper/keeper.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { RIG_PATIENCE_MS = 20000 };

struct rig_brain {
	pid_t pid;
	int descriptors; /* how many it had open */
	char runtime[64];
};

struct rig {
	char home[64];
	pid_t keeper;
	int listener; /* where brains report */
	int errors;   /* the keeper's stderr */
	struct rig_brain brain;
	int link; /* to the brain's own process */
	int pair; /* the brain's end */
};

static inline int
rig_count(const char *path)
{
	DIR *folder = opendir(path);
	int count = 0;

	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count - 2;
}

static inline int
rig_count_fds(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	return rig_count(path);
}

/* In processes that execute this file; see rig_constructor(). */

static inline void
rig_send_fd(int socket, const void *bytes, size_t size, int fd)
{
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		abort();
}

static inline void
rig_be_brain(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *mode = getenv("TEST_BRAIN");
	struct rig_brain me = {
		.pid = getpid(), .descriptors = rig_count("/proc/self/fd") - 1};
	char byte;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (strcmp(mode, "die") == 0)
		_exit(3);
	strncpy(me.runtime, getenv(KEEPER_RUNTIME), sizeof(me.runtime) - 1);
	strcpy(address.sun_path, getenv("TEST_SOCKET"));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(4);
	rig_send_fd(fd, &me, sizeof(me), KEEPER_PAIR_FD);
	while (read(fd, &byte, 1) == 1)
		if (byte == 'c')
			close(KEEPER_PAIR_FD);
		else
			_exit(0);
	for (;;)
		pause();
}

__attribute__((constructor)) static void
rig_constructor(int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], "musterd: brain") == 0)
		rig_be_brain();
	if (argc > 0 && strcmp(argv[0], "keeper-under-test") == 0)
		_exit(keeper_main(argc, argv, "/proc/self/exe"));
}

/* In the test. */

static inline void
rig_await(int fd, const char *what)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	cr_assert_eq(poll(&ready, 1, RIG_PATIENCE_MS), 1, "no %s came", what);
}

/* Receives into `bytes`; returns the descriptor or -1. */
static inline int
rig_receive_fd(int socket, void *bytes, size_t size, ssize_t *ret_got)
{
	struct iovec part = {bytes, size};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	int fd = -1;

	*ret_got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	header = *ret_got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static inline void
rig_write(struct rig *rig, const struct keeper_record *record, int fd)
{
	struct pollfd ready = {.fd = rig->pair, .events = POLLOUT};

	poll(&ready, 1, RIG_PATIENCE_MS);
	rig_send_fd(rig->pair, record, sizeof(*record), fd);
}

static inline void
rig_say(struct rig *rig, uint32_t kind)
{
	rig_write(rig, &(struct keeper_record){.kind = kind}, -1);
}

/* The next record, of whatever kind. */
static inline struct keeper_record
rig_hear(struct rig *rig, int *ret_fd)
{
	struct keeper_record record = {0};
	ssize_t got;
	int fd;

	rig_await(rig->pair, "record");
	fd = rig_receive_fd(rig->pair, &record, sizeof(record), &got);
	cr_assert_eq(got, sizeof(record));
	if (ret_fd)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	return record;
}

/* The next record that is not about strangers, which must be of this kind. */
static inline struct keeper_record
rig_expect(struct rig *rig, uint32_t kind, int *ret_fd)
{
	struct keeper_record record;

	do
		record = rig_hear(rig, ret_fd);
	while (record.kind == KEEPER_ORPHANS && kind != KEEPER_ORPHANS);
	cr_assert_eq(
		record.kind, kind, "got %u instead of %u", record.kind, kind);
	return record;
}

/* A brain has come: its number. */
static inline uint32_t
rig_meet(struct rig *rig)
{
	struct keeper_record hello;
	ssize_t got;

	rig_await(rig->listener, "brain");
	rig->link = accept4(rig->listener, NULL, NULL, SOCK_CLOEXEC);
	rig_await(rig->link, "pair");
	rig->pair = rig_receive_fd(
		rig->link, &rig->brain, sizeof(rig->brain), &got);
	cr_assert_geq(rig->pair, 0);
	hello = rig_expect(rig, KEEPER_HELLO, NULL);
	cr_assert_eq(hello.hello.version, KEEPER_VERSION);
	cr_assert_eq(hello.hello.pid, rig->keeper);
	rig_write(rig,
		&(struct keeper_record){.kind = KEEPER_HELLO,
			.hello = {.version = KEEPER_VERSION,
				.pid = rig->brain.pid}},
		-1);
	return hello.hello.brains;
}

static inline void
rig_lose(struct rig *rig)
{
	close(rig->pair);
	close(rig->link);
	rig->pair = rig->link = -1;
}

static inline uint32_t
rig_replace_brain(struct rig *rig)
{
	kill(rig->brain.pid, SIGKILL);
	rig_lose(rig);
	return rig_meet(rig);
}

/* Starts a keeper; `home` NULL: a fresh one. `prepare` runs in its process. */
static inline void
rig_launch(struct rig *rig, const char *verb, const char *home,
	const char *mode, void (*prepare)(void))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char home_word[128], socket_word[128], mode_word[32];
	char *argv[] = {(char[]){"keeper-under-test"}, (char *)(uintptr_t)verb,
		(char[]){"-n"}, (char[]){"4"}, NULL};
	char *env[] = {home_word, socket_word, mode_word,
		(char[]){"UBSAN_OPTIONS=halt_on_error=1"},
		(char[]){"PATH=/usr/bin:/bin"}, NULL};
	int errors[2];

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (home == rig->home) {
		; /* once more in the same place */
	} else if (home) {
		snprintf(rig->home, sizeof(rig->home), "%s", home);
	} else {
		strcpy(rig->home, "/tmp/keeper_test.XXXXXX");
		cr_assert_not_null(mkdtemp(rig->home));
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s.brain.%s",
		rig->home, verb);
	rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(address.sun_path);
	cr_assert_eq(bind(rig->listener, (const struct sockaddr *)&address,
			     sizeof(address)),
		0);
	listen(rig->listener, 8);
	snprintf(home_word, sizeof(home_word), "MUSTER_HOME=%s", rig->home);
	snprintf(socket_word, sizeof(socket_word), "TEST_SOCKET=%s",
		address.sun_path);
	snprintf(mode_word, sizeof(mode_word), "TEST_BRAIN=%s", mode);
	cr_assert_eq(pipe2(errors, O_CLOEXEC), 0);
	rig->errors = errors[0];
	rig->pair = rig->link = -1;
	rig->keeper = fork();
	if (rig->keeper == 0) {
		/* A test that fails must not leave a muster running. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(errors[1], STDERR_FILENO);
		if (prepare)
			prepare();
		execve("/proc/self/exe", argv, env);
		_exit(99);
	}
	close(errors[1]);
}

static inline void
rig_start(struct rig *rig)
{
	rig_launch(rig, "run", NULL, "meet", NULL);
	cr_assert_eq(rig_meet(rig), 0);
}

/* The keeper's exit status, and that it has left nothing. */
static inline int
rig_wait(struct rig *rig)
{
	char path[128];
	int status = -1;

	cr_assert_eq(waitpid(rig->keeper, &status, 0), rig->keeper);
	cr_assert(WIFEXITED(status), "ended with %x", status);
	for (const char *const *verb =
			(const char *const[]){"run", "daemon", NULL};
		*verb; verb++) {
		snprintf(path, sizeof(path), "%s.brain.%s", rig->home, *verb);
		unlink(path);
	}
	close(rig->listener);
	return WEXITSTATUS(status);
}

/* Ends the keeper by the book. */
static inline void
rig_stop(struct rig *rig)
{
	rig_write(rig, &(struct keeper_record){.kind = KEEPER_END, .result = 7},
		-1);
	if (write(rig->link, "x", 1) != 1)
		abort();
	cr_assert_eq(rig_wait(rig), 7);
	cr_assert_eq(rig_count(rig->home), 0, "files are left");
	cr_assert_eq(rmdir(rig->home), 0);
	/* As subreaper we'd have inherited what the keeper left behind. */
	cr_assert_eq(waitpid(-1, NULL, 0), -1);
	cr_assert_eq(errno, ECHILD);
	close(rig->errors);
	rig_lose(rig);
}

static inline void
rig_put(struct rig *rig, const char *name, int fd)
{
	struct keeper_record record = {.kind = KEEPER_PUT};

	snprintf(record.name, sizeof(record.name), "%s", name);
	rig_write(rig, &record, fd);
	close(fd);
}

/* Asks for a child from what is built. */
static inline void
rig_spawn(struct rig *rig, uint64_t process, struct builder *builder)
{
	int fd = build_file(builder, BUILD_ALL_SEALS);

	rig_write(rig,
		&(struct keeper_record){
			.kind = KEEPER_SPAWN, .process = process},
		fd);
	close(fd);
}

/* Starts `sh -c script` with the vault's "in" and "out" where they are. */
static inline pid_t
rig_run(struct rig *rig, uint64_t process, const char *script, const char *in,
	const char *out)
{
	static struct builder builder;
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	const char *env[] = {"PATH=/usr/bin:/bin", NULL};
	struct keeper_record spawned;
	int pidfd;

	build_start(&builder);
	build_program(&builder, argv, env);
	if (in)
		build_fd(&builder, in, 0);
	if (out)
		build_fd(&builder, out, 1);
	rig_spawn(rig, process, &builder);
	spawned = rig_expect(rig, KEEPER_SPAWNED, &pidfd);
	cr_assert_eq(spawned.process, process);
	cr_assert_gt(spawned.row.pid, 0);
	cr_assert_geq(pidfd, 0);
	close(pidfd);
	cr_assert_eq(rig_expect(rig, KEEPER_EXECED, NULL).process, process);
	return spawned.row.pid;
}

static inline void
rig_ack(struct rig *rig, uint64_t process)
{
	rig_write(rig,
		&(struct keeper_record){
			.kind = KEEPER_ACK_EXIT, .process = process},
		-1);
}

/* Puts a pipe's end into the vault and returns the other. */
static inline int
rig_pipe(struct rig *rig, const char *name, int end)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	rig_put(rig, name, ends[end]);
	return ends[!end];
}

/* One read of a pipe, as text. */
static inline const char *
rig_text(int fd)
{
	static char text[4096];
	ssize_t got;

	rig_await(fd, "text");
	got = read(fd, text, sizeof(text) - 1);
	text[got < 0 ? 0 : got] = '\0';
	return text;
}

#endif

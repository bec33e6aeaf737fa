/*
 * sys_crash.c: counts calls, and kills or fails at the one that was asked for.
 * Linked into musterd-crash alone. Beside the calls of sys.c it stands in for
 * libev's two on epoll and for the allocator, which libraries reach by these
 * names as well.
 *
 * Which errno is plausible is this file's table; a call that isn't in it never
 * fails here (close, kill and their like).
 */
#include "base/sys_crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

/* What glibc calls its allocator where another stands in for it. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
PUBLIC int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *e);
PUBLIC int epoll_wait(int epoll, struct epoll_event *events, int count, int ms);
PUBLIC void *malloc(size_t size);
PUBLIC void *calloc(size_t count, size_t size);
PUBLIC void *realloc(void *memory, size_t size);

/* `error`: there is not enough of something; `soon`: it goes on in a moment. */
static const struct fallible {
	const char *name;
	int error, soon;
} fallible[] = {
	{"sys_open", EMFILE, 0},
	{"sys_openat", EMFILE, 0},
	{"sys_read", EIO, EAGAIN},
	{"sys_write", EIO, EAGAIN},
	{"sys_writev", EIO, EAGAIN},
	{"sys_pwrite", ENOSPC, EAGAIN},
	{"sys_splice", ENOSPC, EAGAIN},
	{"sys_tee", ENOMEM, EAGAIN},
	{"sys_recvmsg", ENOMEM, EAGAIN},
	{"sys_sendmsg", ENOBUFS, EAGAIN},
	{"sys_sendmmsg", ENOBUFS, EAGAIN},
	{"sys_dup", EMFILE, 0},
	{"sys_stat", ENOMEM, 0},
	{"sys_fstat", ENOMEM, 0},
	{"sys_lstat", ENOMEM, 0},
	{"sys_readlink", ENOMEM, 0},
	{"sys_getdents", ENOMEM, 0},
	{"sys_pipe", EMFILE, 0},
	{"sys_socket", ENOBUFS, 0},
	{"sys_socketpair", EMFILE, 0},
	{"sys_bind", EADDRINUSE, 0},
	{"sys_listen", EADDRINUSE, 0},
	{"sys_accept", EMFILE, EAGAIN},
	{"sys_setsockopt", ENOBUFS, 0},
	{"sys_getsockname", ENOBUFS, 0},
	{"sys_memfd", EMFILE, 0},
	{"sys_ftruncate", ENOMEM, 0},
	{"sys_fallocate", ENOSPC, 0},
	{"sys_mmap", ENOMEM, 0},
	{"sys_poll", ENOMEM, 0},
	{"sys_getcwd", ENOMEM, 0},
};

static struct sys_crash_plan *plan;

/* Takes the next point of those ahead. Its mode is what others wait for. */
static void
begin(void)
{
	struct sys_crash_point next = {plan->ahead[0].mode, plan->ahead[0].nth};

	plan->brains++;
	if (next.mode == SYS_CRASH_OFF)
		return;
	for (int i = 0; i + 1 < SYS_CRASH_AHEAD; i++) {
		plan->ahead[i].mode = plan->ahead[i + 1].mode;
		plan->ahead[i].nth = plan->ahead[i + 1].nth;
	}
	plan->ahead[SYS_CRASH_AHEAD - 1].mode = SYS_CRASH_OFF;
	plan->count = 0;
	plan->now.nth = next.nth;
	plan->now.mode = next.mode;
}

static void __attribute__((constructor)) find_plan(int argc, char **argv)
{
	const char *path = getenv(SYS_CRASH_VARIABLE);
	void *map;
	int fd;

	if (argc < 1 || path == NULL || strcmp(argv[0], "musterd: brain") != 0)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	map = mmap(
		NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	plan = map;
	begin();
}

/* Whether this is the one. It is so only once. */
static bool
is_reached(const char *name)
{
	if (++plan->count != plan->now.nth)
		return false;
	plan->now.mode = SYS_CRASH_OFF;
	strncpy(plan->name, name, sizeof(plan->name) - 1);
	plan->fired++;
	return true;
}

static int
fail(const char *name, bool soon)
{
	for (size_t i = 0; i < sizeof(fallible) / sizeof(*fallible); i++) {
		int error = soon ? fallible[i].soon : fallible[i].error;

		if (error != 0 && strcmp(name, fallible[i].name) == 0)
			return is_reached(name) ? -error : 0;
	}
	return 0;
}

static void
die(void)
{
	syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

int
sys_crash_before(const char *name)
{
	uint32_t mode = plan == NULL ? SYS_CRASH_OFF : plan->now.mode;

	if (mode == SYS_CRASH_BEFORE && is_reached(name))
		die();
	if (mode == SYS_CRASH_FAIL || mode == SYS_CRASH_FAIL_SOON)
		return fail(name, mode == SYS_CRASH_FAIL_SOON);
	return 0;
}

void
sys_crash_after(const char *name)
{
	if (plan != NULL && plan->now.mode == SYS_CRASH_AFTER &&
		is_reached(name))
		die();
}

static bool
has_memory(const char *name)
{
	if (plan == NULL || plan->now.mode != SYS_CRASH_NO_MEMORY ||
		!is_reached(name))
		return true;
	errno = ENOMEM;
	return false;
}

/* The loop's own calls, which don't fail here: libev would abort. */

int
epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	sys_crash_before("epoll_ctl");
	int result = (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
	sys_crash_after("epoll_ctl");
	return result;
}

int
epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
	sys_crash_before("epoll_wait");
	int result = (int)syscall(
		SYS_epoll_pwait, epoll, events, count, timeout_ms, NULL, 0);
	sys_crash_after("epoll_wait");
	return result;
}

void *
malloc(size_t size)
{
	return has_memory("malloc") ? __libc_malloc(size) : NULL;
}

void *
calloc(size_t count, size_t size)
{
	return has_memory("calloc") ? __libc_calloc(count, size) : NULL;
}

void *
realloc(void *memory, size_t size)
{
	return has_memory("realloc") ? __libc_realloc(memory, size) : NULL;
}

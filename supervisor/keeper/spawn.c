/*
 * spawn.c: from bytes to a running program. First the keeper's part: the bytes
 * are checked, so that no offset leads out of them, and the child is cloned.
 * Then the child's part: one step after the other, each of which may fail and
 * is then told by number. Reaping and telling are in keeper.c.
 *
 * The order of the child's steps matters: limits are raised while it is still
 * root, groups go before the user that may no longer set them, and the
 * directory is entered as the user who will be in it.
 */
#include "keeper/spawn.h"
#include "base/sys.h"
#include "keeper/child_description.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { DIGITS_SIZE = 11 }; /* of the longest pid, with its NUL */

_Static_assert(sizeof(char *) == sizeof(uint64_t),
	"offsets become pointers in their place");

struct plan {
	const struct child_description *head;
	char *base; /* a private mapping of `size` bytes */
	size_t size;
	size_t end; /* a string starts before this: here is the last NUL */
	char **argv, **env;
	int sources[CHILD_FDS_MAX]; /* vault's descriptor of each row of fds */
	int cgroup;
	const struct rlimit *files;
	int exec_pipe;
};

/* The table at `offset` if it lies within the file, else NULL. */
static void *
table_at(const struct plan *plan, uint32_t offset, uint64_t count, size_t width)
{
	if (offset % 8 != 0 || offset < sizeof(*plan->head) ||
		offset > plan->size || count > (plan->size - offset) / width)
		return NULL;
	return plan->base + offset;
}

static bool
is_string(const struct plan *plan, uint64_t offset)
{
	return offset >= sizeof(*plan->head) && offset <= plan->end;
}

/*
 * Turns offsets into pointers, where they are. What is no offset stays, and is
 * refused by check_pointers() when all writing is done: a table may lie over
 * another or over the last NUL.
 */
static char **
make_pointers(const struct plan *plan, uint32_t offset, uint32_t count)
{
	char **pointers = table_at(plan, offset, (uint64_t)count + 1, 8);

	for (uint32_t i = 0; pointers && i < count; i++)
		pointers[i] = (char *)((uintptr_t)plan->base +
				       (uintptr_t)pointers[i]);
	return pointers;
}

static bool
check_pointers(const struct plan *plan, char **pointers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!is_string(plan,
			    (uintptr_t)pointers[i] - (uintptr_t)plan->base))
			return false;
	return !pointers[count];
}

static bool
check_digits(const struct plan *plan, uint32_t offset)
{
	return offset == 0 ||
	       (offset >= sizeof(*plan->head) &&
		       (uint64_t)offset + DIGITS_SIZE <= plan->size);
}

static int
check(struct plan *plan)
{
	const struct child_description *head = plan->head;
	const struct child_limit *limits;
	const char *last;

	if (head->magic != CHILD_MAGIC || head->version != CHILD_VERSION ||
		head->size != plan->size || head->argc == 0)
		return -EINVAL;
	plan->argv = make_pointers(plan, head->argv, head->argc);
	plan->env = make_pointers(plan, head->env, head->envc);
	last = memrchr(plan->base, '\0', plan->size);
	if (!plan->argv || !plan->env || !last)
		return -EINVAL;
	plan->end = (size_t)(last - plan->base);
	if (!check_pointers(plan, plan->argv, head->argc) ||
		!check_pointers(plan, plan->env, head->envc) ||
		!is_string(plan, head->program) ||
		(head->directory && !is_string(plan, head->directory)) ||
		!check_digits(plan, head->listen_pid) ||
		!check_digits(plan, head->watchdog_pid))
		return -EINVAL;
	limits = table_at(
		plan, head->limits, head->limit_count, sizeof(*limits));
	if (head->limit_count > CHILD_LIMITS_MAX ||
		(head->limit_count && !limits))
		return -EINVAL;
	for (uint32_t i = 0; i < head->limit_count; i++)
		if (limits[i].resource < 0 ||
			limits[i].resource >= (int32_t)RLIM_NLIMITS)
			return -EINVAL;
	if (head->group_count > CHILD_GROUPS_MAX ||
		(head->group_count &&
			!table_at(plan, head->groups, head->group_count, 4)))
		return -EINVAL;
	return 0;
}

/* Looks up what the child gets; a number may be given only once. */
static int
find_descriptors(struct plan *plan, const struct vault *vault,
	enum keeper_stage *ret_stage)
{
	const struct child_description *head = plan->head;
	const struct child_fd *fds =
		table_at(plan, head->fds, head->fd_count, sizeof(*fds));
	bool given[CHILD_FDS_MAX] = {false};

	if (head->fd_count > CHILD_FDS_MAX || (head->fd_count && !fds))
		return -EINVAL;
	for (uint32_t i = 0; i < head->fd_count; i++) {
		if (fds[i].number < 0 || fds[i].number >= CHILD_FDS_MAX ||
			given[fds[i].number])
			return -EINVAL;
		given[fds[i].number] = true;
	}
	*ret_stage = KEEPER_STAGE_TABLE;
	for (uint32_t i = 0; i < head->fd_count; i++) {
		plan->sources[i] = vault_find(vault, fds[i].name);
		if (plan->sources[i] < 0)
			return plan->sources[i];
	}
	plan->cgroup = -1;
	if (head->cgroup[0])
		plan->cgroup = vault_find(vault, head->cgroup);
	return head->cgroup[0] && plan->cgroup < 0 ? plan->cgroup : 0;
}

/* Everything from here to run_child() happens in the child. */

static int
move_descriptors(struct plan *plan)
{
	const struct child_fd *fds =
		(const void *)(plan->base + plan->head->fds);
	int error;

	/* First all out of the way of the numbers to come, … */
	error = sys_dup(plan->exec_pipe, CHILD_FDS_MAX);
	if (error < 0)
		return error;
	plan->exec_pipe = error;
	for (uint32_t i = 0; i < plan->head->fd_count; i++) {
		plan->sources[i] = sys_dup(plan->sources[i], CHILD_FDS_MAX);
		if (plan->sources[i] < 0)
			return plan->sources[i];
	}
	/* … then nothing survives the exec, … */
	error = sys_close_range(0, ~0u, CLOSE_RANGE_CLOEXEC);
	if (error)
		return error;
	/* … but what is put there now. */
	for (uint32_t i = 0; i < plan->head->fd_count; i++) {
		error = sys_dup2(plan->sources[i], fds[i].number);
		if (error < 0)
			return error;
	}
	return 0;
}

static int
set_limits(const struct plan *plan)
{
	const struct child_description *head = plan->head;
	const struct child_limit *limits =
		(const void *)(plan->base + head->limits);
	int error = sys_setrlimit(RLIMIT_NOFILE, plan->files);

	for (uint32_t i = 0; i < head->limit_count && !error; i++)
		error = sys_setrlimit(limits[i].resource,
			&(struct rlimit){limits[i].soft, limits[i].hard});
	if (head->flags & CHILD_HAS_UMASK)
		umask(head->umask);
	if (!error && head->flags & CHILD_HAS_NICE)
		error = sys_setpriority(head->nice);
	return error;
}

/* Becomes the user for good: that there is a way back counts as a failure. */
static int
set_user(const struct plan *plan)
{
	const struct child_description *head = plan->head;
	uid_t uid = head->uid;
	int error = sys_setresuid(uid, uid, uid);

	if (!error && uid != 0 && sys_setresuid(0, 0, 0) == 0)
		error = -EPERM;
	if (!error && uid != 0 && head->gid != 0 && sys_setresgid(0, 0, 0) == 0)
		error = -EPERM;
	return error;
}

static void
write_digits(char *target, pid_t pid)
{
	char digits[DIGITS_SIZE];
	int at = sizeof(digits);

	digits[--at] = '\0';
	for (; pid > 0 && at > 0; pid /= 10)
		digits[--at] = (char)('0' + pid % 10);
	memcpy(target, digits + at, sizeof(digits) - (size_t)at);
}

/* Waits until somebody knows of this process; ends with the keeper. */
static int
await_release(const struct plan *plan)
{
	char byte;
	ssize_t got = sys_read(plan->exec_pipe, &byte, 1);

	if (got == 0)
		_exit(127);
	return got < 0 ? (int)got : 0;
}

static int
execute(struct plan *plan)
{
	const struct child_description *head = plan->head;
	char *program = plan->base + head->program;
	size_t size = (head->argc + (size_t)2) * sizeof(char *);
	sigset_t none;
	void *words;
	int error;

	if (head->listen_pid)
		write_digits(plan->base + head->listen_pid, getpid());
	if (head->watchdog_pid)
		write_digits(plan->base + head->watchdog_pid, getpid());
	sigemptyset(&none);
	error = sys_sigprocmask(SIG_SETMASK, &none, NULL);
	if (error)
		return error;
	/* Who ends without this was killed before it ran anything. */
	sys_write(plan->exec_pipe, &(char){SPAWN_EXECUTES}, 1);
	error = sys_execve(program, plan->argv, plan->env);
	if (error != -ENOEXEC ||
		sys_mmap(size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, &words) != 0)
		return error;
	/* A script without "#!": the shell's, as shells and execvp() do. */
	((char **)words)[0] = (char *)(uintptr_t) "/bin/sh";
	((char **)words)[1] = program;
	memcpy((char **)words + 2, plan->argv + 1, head->argc * sizeof(char *));
	return sys_execve("/bin/sh", words, plan->env);
}

_Noreturn static void
run_child(struct plan *plan)
{
	const struct child_description *head = plan->head;
	struct spawn_failure failure = {0};
	int error;

#define STEP(name, call)                                                       \
	do {                                                                   \
		failure.stage = KEEPER_STAGE_##name;                           \
		error = call;                                                  \
		if (error < 0)                                                 \
			goto failed;                                           \
	} while (0)

	STEP(SESSION, sys_setsid());
	STEP(DESCRIPTORS, move_descriptors(plan));
	STEP(LIMITS, set_limits(plan));
	if (head->flags & CHILD_HAS_USER) {
		const void *groups = plan->base + head->groups;

		STEP(GROUPS, sys_setgroups(head->group_count, groups));
		STEP(GROUP, sys_setresgid(head->gid, head->gid, head->gid));
		STEP(USER, set_user(plan));
	}
	if (head->flags & CHILD_NO_NEW_PRIVS)
		STEP(USER, sys_prctl(PR_SET_NO_NEW_PRIVS, 1));
	if (head->directory)
		STEP(DIRECTORY, sys_chdir(plan->base + head->directory));
	STEP(EXEC, await_release(plan));
	STEP(EXEC, execute(plan));
failed:
	failure.error = -error;
	/* Where this fails the keeper sees an exit with 127 instead. */
	sys_write(plan->exec_pipe, &failure, sizeof(failure));
	_exit(127);
}

static int
clone_child(struct plan *plan, struct spawn_child *ret_child)
{
	int pidfd = -1, pipe[2], pid;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	int error = sys_socketpair(SOCK_STREAM, pipe);

	if (error)
		return error;
	/* Ours alone: the child waits on its end. */
	error = sys_fcntl(pipe[0], F_SETFL, O_NONBLOCK);
	if (error) {
		sys_close(pipe[0]);
		sys_close(pipe[1]);
		return error;
	}
	if (plan->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)plan->cgroup;
	}
	plan->exec_pipe = pipe[1];
	pid = sys_clone3(&args, sizeof(args));
	if (pid == 0) {
		sys_close(pipe[0]);
		run_child(plan);
	}
	/* Before the next child is made: only this one may hold the end. */
	sys_close(pipe[1]);
	if (pid < 0) {
		sys_close(pipe[0]);
		return pid;
	}
	*ret_child = (struct spawn_child){.pid = pid,
		.pidfd = pidfd,
		.exec_pipe = pipe[0],
		.cgroup = plan->cgroup < 0 ? -1 : sys_dup(plan->cgroup, 0)};
	return 0;
}

enum spawn_news
spawn_read(int exec_pipe, bool *executes, struct spawn_failure *ret_failure)
{
	char bytes[1 + sizeof(*ret_failure)];
	ssize_t got;

	for (;;) {
		const char *at = bytes;

		got = sys_read(exec_pipe, bytes, sizeof(bytes));
		if (got == -EAGAIN)
			return SPAWN_NOTHING;
		if (got <= 0)
			return *executes ? SPAWN_EXECUTED : SPAWN_KILLED;
		if (*at == SPAWN_EXECUTES) {
			*executes = true;
			at++;
			got--;
		}
		if (got == sizeof(*ret_failure)) {
			memcpy(ret_failure, at, sizeof(*ret_failure));
			return SPAWN_FAILED;
		}
	}
}

void
spawn_release(int exec_pipe)
{
	/* One that has ended meanwhile can't hear it; its end tells. */
	sys_write(exec_pipe, "g", 1);
}

int
spawn_child(int description, const struct vault *vault,
	const struct rlimit *files, struct spawn_child *ret_child,
	enum keeper_stage *ret_stage)
{
	const int needed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = sys_fcntl(description, F_GET_SEALS, 0);
	struct plan plan = {.files = files};
	struct stat info;
	void *base;
	int error;

	*ret_stage = KEEPER_STAGE_DESCRIPTION;
	if (seals < 0 || (seals & needed) != needed)
		return -EPERM;
	error = sys_fstat(description, &info);
	if (error)
		return error;
	if (info.st_size < (off_t)sizeof(struct child_description) ||
		info.st_size > CHILD_SIZE_MAX)
		return -EINVAL;
	plan.size = (size_t)info.st_size;
	error = sys_mmap(plan.size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		description, &base);
	if (error)
		return error;
	plan.base = base;
	plan.head = base;
	error = check(&plan);
	if (!error)
		error = find_descriptors(&plan, vault, ret_stage);
	if (!error) {
		*ret_stage = KEEPER_STAGE_FORK;
		error = clone_child(&plan, ret_child);
	}
	sys_munmap(base, plan.size);
	return error;
}

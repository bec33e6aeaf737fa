/*
 * sys.c: the thin layer between the supervisor and the kernel. Each function
 * is one call: repeated on EINTR where that is right, errno turned into a
 * value. What a failure means is the caller's business. Everything goes
 * through here so that a test can replace this one file.
 */
#include "base/sys.h"

#ifdef MUSTER_CRASH_POINTS
#include "base/sys_crash.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static inline long
value(long result)
{
	return result < 0 ? -errno : result;
}

/* Where a test may have the process killed or the call fail. */
#ifdef MUSTER_CRASH_POINTS
#define BEFORE()                                                               \
	do {                                                                   \
		int error_ = sys_crash_before(__func__);                       \
		if (error_ < 0)                                                \
			return error_;                                         \
	} while (0)
#define AFTER() sys_crash_after(__func__)
#else
#define BEFORE() (void)0
#define AFTER() (void)0
#endif

/* Makes the call and returns its value. */
#define ONCE(call)                                                             \
	do {                                                                   \
		BEFORE();                                                      \
		long result_ = value((long)(call));                            \
		AFTER();                                                       \
		return result_;                                                \
	} while (0)

/* Repeats the call while a signal interrupts it, then returns its value. */
#define RETRY(call)                                                            \
	do {                                                                   \
		BEFORE();                                                      \
		long result_;                                                  \
		do                                                             \
			result_ = (long)(call);                                \
		while (result_ < 0 && errno == EINTR);                         \
		result_ = value(result_);                                      \
		AFTER();                                                       \
		return result_;                                                \
	} while (0)

int
sys_open(const char *path, int flags, mode_t mode)
{
	RETRY(open(path, flags | O_CLOEXEC, mode));
}

int
sys_openat(int directory, const char *path, int flags)
{
	RETRY(openat(directory, path, flags | O_CLOEXEC));
}

int
sys_close(int fd)
{
	BEFORE();
	int error = close(fd) < 0 && errno != EINTR ? -errno : 0;
	AFTER();
	return error;
}

ssize_t
sys_read(int fd, void *buffer, size_t size)
{
	RETRY(read(fd, buffer, size));
}

ssize_t
sys_write(int fd, const void *bytes, size_t size)
{
	RETRY(write(fd, bytes, size));
}

ssize_t
sys_pread(int fd, void *buffer, size_t size, off_t offset)
{
	RETRY(pread(fd, buffer, size, offset));
}

ssize_t
sys_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	RETRY(pwrite(fd, bytes, size, offset));
}

off_t
sys_lseek(int fd, off_t offset, int whence)
{
	ONCE(lseek(fd, offset, whence));
}

ssize_t
sys_splice(int from, int to, off_t *to_offset, size_t size)
{
	RETRY(splice(from, NULL, to, to_offset, size,
		SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

ssize_t
sys_tee(int from, int to, size_t size)
{
	RETRY(tee(from, to, size, SPLICE_F_NONBLOCK));
}

ssize_t
sys_recvmsg(int fd, struct msghdr *message, int flags)
{
	RETRY(recvmsg(fd, message, flags | MSG_CMSG_CLOEXEC));
}

ssize_t
sys_sendmsg(int fd, const struct msghdr *message, int flags)
{
	RETRY(sendmsg(fd, message, flags | MSG_NOSIGNAL));
}

int
sys_fcntl(int fd, int command, long argument)
{
	RETRY(fcntl(fd, command, argument));
}

int
sys_dup(int fd, int at_least)
{
	ONCE(fcntl(fd, F_DUPFD_CLOEXEC, at_least));
}

int
sys_dup2(int from, int to)
{
	RETRY(dup2(from, to));
}

int
sys_stat(const char *path, struct stat *ret_stat)
{
	ONCE(stat(path, ret_stat));
}

int
sys_fstat(int fd, struct stat *ret_stat)
{
	ONCE(fstat(fd, ret_stat));
}

int
sys_lstat(const char *path, struct stat *ret_stat)
{
	ONCE(lstat(path, ret_stat));
}

int
sys_mkdir(const char *path, mode_t mode)
{
	ONCE(mkdir(path, mode));
}

int
sys_rmdir(const char *path)
{
	ONCE(rmdir(path));
}

int
sys_rename(const char *from, const char *to)
{
	ONCE(rename(from, to));
}

int
sys_fchmod(int fd, mode_t mode)
{
	ONCE(fchmod(fd, mode));
}

int
sys_lchown(const char *path, uid_t user, gid_t group)
{
	ONCE(lchown(path, user, group));
}

int
sys_unlink(const char *path)
{
	ONCE(unlink(path));
}

int
sys_inotify_init(void)
{
	ONCE(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

int
sys_inotify_add_watch(int fd, const char *path, uint32_t events)
{
	ONCE(inotify_add_watch(fd, path, events));
}

int
sys_flock(int fd, int operation)
{
	RETRY(flock(fd, operation));
}

int
sys_pipe(int ret_fds[2], int flags)
{
	ONCE(pipe2(ret_fds, flags | O_CLOEXEC));
}

int
sys_socket(int domain, int type, int protocol)
{
	ONCE(socket(domain, type | SOCK_CLOEXEC, protocol));
}

int
sys_socketpair(int type, int ret_fds[2])
{
	ONCE(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_fds));
}

int
sys_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	ONCE(bind(fd, address, size));
}

int
sys_listen(int fd, int backlog)
{
	ONCE(listen(fd, backlog));
}

int
sys_accept(int fd, int flags)
{
	RETRY(accept4(fd, NULL, NULL, flags | SOCK_CLOEXEC));
}

int
sys_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	ONCE(connect(fd, address, size));
}

int
sys_setsockopt(
	int fd, int level, int option, const void *option_value, socklen_t size)
{
	ONCE(setsockopt(fd, level, option, option_value, size));
}

int
sys_getsockopt(int fd, int level, int option, void *ret_value, socklen_t *size)
{
	ONCE(getsockopt(fd, level, option, ret_value, size));
}

int
sys_memfd(const char *name, unsigned int flags)
{
	ONCE(memfd_create(name, flags | MFD_CLOEXEC));
}

int
sys_ftruncate(int fd, off_t size)
{
	RETRY(ftruncate(fd, size));
}

int
sys_mmap(size_t size, int protection, int flags, int fd, void **ret_address)
{
	BEFORE();
	void *address = mmap(NULL, size, protection, flags, fd, 0);
	AFTER();
	if (address == MAP_FAILED)
		return -errno;
	*ret_address = address;
	return 0;
}

int
sys_munmap(void *address, size_t size)
{
	ONCE(munmap(address, size));
}

int
sys_epoll_create(void)
{
	ONCE(epoll_create1(EPOLL_CLOEXEC));
}

int
sys_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	return value(epoll_ctl(epoll, operation, fd, event)); /* the same */
}

int
sys_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
	int result = value(epoll_wait(epoll, events, count, timeout_ms));

	/* Its crash points are in epoll_wait(), which libev calls as well. */
	return result == -EINTR ? 0 : result;
}

int
sys_poll(struct pollfd *fds, int count, int timeout_ms)
{
	RETRY(poll(fds, (nfds_t)count, timeout_ms));
}

int
sys_signalfd(int fd, const sigset_t *mask, int flags)
{
	ONCE(signalfd(fd, mask, flags | SFD_CLOEXEC));
}

int
sys_sigprocmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	ONCE(sigprocmask(how, set, ret_old));
}

int
sys_pidfd_send_signal(int pidfd, int signal)
{
	ONCE(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int
sys_kill(pid_t pid, int signal)
{
	ONCE(kill(pid, signal));
}

int
sys_waitid(int type, int id, siginfo_t *ret_info, int options)
{
	RETRY(waitid((idtype_t)type, (id_t)id, ret_info, options));
}

int
sys_waitid_usage(int type, int id, siginfo_t *ret_info, int options,
	struct rusage *ret_usage)
{
	RETRY(syscall(SYS_waitid, type, id, ret_info, options, ret_usage));
}

int
sys_sigaction(
	int signal, const struct sigaction *action, struct sigaction *ret_old)
{
	ONCE(sigaction(signal, action, ret_old));
}

int
sys_clone3(void *clone_args, size_t size)
{
	ONCE(syscall(SYS_clone3, clone_args, size));
}

int
sys_prctl(int option, unsigned long argument)
{
	ONCE(prctl(option, argument, 0UL, 0UL, 0UL));
}

int
sys_setsid(void)
{
	ONCE(setsid());
}

int
sys_setpgid(pid_t pid, pid_t group)
{
	ONCE(setpgid(pid, group));
}

int
sys_chdir(const char *path)
{
	ONCE(chdir(path));
}

int
sys_getrlimit(int resource, struct rlimit *ret_limit)
{
	ONCE(getrlimit((__rlimit_resource_t)resource, ret_limit));
}

int
sys_setrlimit(int resource, const struct rlimit *limit)
{
	ONCE(setrlimit((__rlimit_resource_t)resource, limit));
}

int
sys_setpriority(int nice_value)
{
	ONCE(setpriority(PRIO_PROCESS, 0, nice_value));
}

int
sys_setitimer(int which, const struct itimerval *new_value)
{
	ONCE(setitimer(which, new_value, NULL));
}

int
sys_setgroups(size_t count, const uint32_t *groups)
{
	ONCE(syscall(SYS_setgroups, count, groups));
}

int
sys_setresgid(gid_t real, gid_t effective, gid_t saved)
{
	ONCE(syscall(SYS_setresgid, real, effective, saved));
}

int
sys_setresuid(uid_t real, uid_t effective, uid_t saved)
{
	ONCE(syscall(SYS_setresuid, real, effective, saved));
}

int
sys_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	ONCE(syscall(SYS_close_range, first, last, flags));
}

pid_t
sys_getpgid(pid_t pid)
{
	ONCE(getpgid(pid));
}

int
sys_getrandom(void *bytes, size_t size)
{
	ONCE((int)getrandom(bytes, size, GRND_NONBLOCK));
}

int
sys_execve(const char *path, char *const argv[], char *const env[])
{
	ONCE(execve(path, argv, env));
}

int
sys_getsockname(int fd, struct sockaddr *ret_address, socklen_t *size)
{
	ONCE(getsockname(fd, ret_address, size));
}

int
sys_fallocate(int fd, int mode, off_t offset, off_t size)
{
	RETRY(fallocate(fd, mode, offset, size));
}

ssize_t
sys_readlink(const char *path, char *ret_target, size_t size)
{
	ONCE(readlink(path, ret_target, size));
}

ssize_t
sys_getdents(int fd, void *ret_entries, size_t size)
{
	ONCE(syscall(SYS_getdents64, fd, ret_entries, size));
}

int
sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	RETRY(sendmmsg(fd, messages, count, flags));
}

int
sys_getcwd(char *ret_path, size_t size)
{
	ONCE(getcwd(ret_path, size) == NULL ? -1 : 0);
}

int
sys_processors(void)
{
	cpu_set_t set;

	/* Fails only on machines with more processors than the set holds. */
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return (int)sysconf(_SC_NPROCESSORS_ONLN);
	return CPU_COUNT(&set) < 1 ? 1 : CPU_COUNT(&set);
}

/*
 * sys.c: the thin layer between the supervisor and the kernel. Each function
 * is one call: repeated on EINTR where that is right, errno turned into a
 * value. What a failure means is the caller's business. Everything goes
 * through here so that a test can replace this one file.
 */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static inline long
value(long result)
{
	return result < 0 ? -errno : result;
}

/* Repeats the call while a signal interrupts it, then returns its value. */
#define RETRY(call)                                                            \
	do {                                                                   \
		long result_;                                                  \
		do                                                             \
			result_ = (long)(call);                                \
		while (result_ < 0 && errno == EINTR);                         \
		return value(result_);                                         \
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
	if (close(fd) < 0 && errno != EINTR)
		return -errno;
	return 0;
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
	return value(fcntl(fd, F_DUPFD_CLOEXEC, at_least));
}

int
sys_dup2(int from, int to)
{
	RETRY(dup2(from, to));
}

int
sys_stat(const char *path, struct stat *ret_stat)
{
	return value(stat(path, ret_stat));
}

int
sys_fstat(int fd, struct stat *ret_stat)
{
	return value(fstat(fd, ret_stat));
}

int
sys_lstat(const char *path, struct stat *ret_stat)
{
	return value(lstat(path, ret_stat));
}

int
sys_mkdir(const char *path, mode_t mode)
{
	return value(mkdir(path, mode));
}

int
sys_rmdir(const char *path)
{
	return value(rmdir(path));
}

int
sys_unlink(const char *path)
{
	return value(unlink(path));
}

int
sys_flock(int fd, int operation)
{
	RETRY(flock(fd, operation));
}

int
sys_pipe(int ret_fds[2], int flags)
{
	return value(pipe2(ret_fds, flags | O_CLOEXEC));
}

int
sys_socket(int domain, int type, int protocol)
{
	return value(socket(domain, type | SOCK_CLOEXEC, protocol));
}

int
sys_socketpair(int type, int ret_fds[2])
{
	return value(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_fds));
}

int
sys_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	return value(bind(fd, address, size));
}

int
sys_listen(int fd, int backlog)
{
	return value(listen(fd, backlog));
}

int
sys_accept(int fd, int flags)
{
	RETRY(accept4(fd, NULL, NULL, flags | SOCK_CLOEXEC));
}

int
sys_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	return value(connect(fd, address, size));
}

int
sys_setsockopt(
	int fd, int level, int option, const void *option_value, socklen_t size)
{
	return value(setsockopt(fd, level, option, option_value, size));
}

int
sys_getsockopt(int fd, int level, int option, void *ret_value, socklen_t *size)
{
	return value(getsockopt(fd, level, option, ret_value, size));
}

int
sys_memfd(const char *name, unsigned int flags)
{
	return value(memfd_create(name, flags | MFD_CLOEXEC));
}

int
sys_ftruncate(int fd, off_t size)
{
	RETRY(ftruncate(fd, size));
}

int
sys_mmap(size_t size, int protection, int flags, int fd, void **ret_address)
{
	void *address = mmap(NULL, size, protection, flags, fd, 0);

	if (address == MAP_FAILED)
		return -errno;
	*ret_address = address;
	return 0;
}

int
sys_munmap(void *address, size_t size)
{
	return value(munmap(address, size));
}

int
sys_epoll_create(void)
{
	return value(epoll_create1(EPOLL_CLOEXEC));
}

int
sys_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	return value(epoll_ctl(epoll, operation, fd, event));
}

int
sys_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
	int result = value(epoll_wait(epoll, events, count, timeout_ms));

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
	return value(signalfd(fd, mask, flags | SFD_CLOEXEC));
}

int
sys_sigprocmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	return value(sigprocmask(how, set, ret_old));
}

int
sys_pidfd_send_signal(int pidfd, int signal)
{
	return value(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int
sys_kill(pid_t pid, int signal)
{
	return value(kill(pid, signal));
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
	return value(sigaction(signal, action, ret_old));
}

int
sys_clone3(void *clone_args, size_t size)
{
	return value(syscall(SYS_clone3, clone_args, size));
}

int
sys_prctl(int option, unsigned long argument)
{
	return value(prctl(option, argument, 0UL, 0UL, 0UL));
}

int
sys_setsid(void)
{
	return value(setsid());
}

int
sys_setpgid(pid_t pid, pid_t group)
{
	return value(setpgid(pid, group));
}

int
sys_chdir(const char *path)
{
	return value(chdir(path));
}

int
sys_getrlimit(int resource, struct rlimit *ret_limit)
{
	return value(getrlimit((__rlimit_resource_t)resource, ret_limit));
}

int
sys_setrlimit(int resource, const struct rlimit *limit)
{
	return value(setrlimit((__rlimit_resource_t)resource, limit));
}

int
sys_setpriority(int nice_value)
{
	return value(setpriority(PRIO_PROCESS, 0, nice_value));
}

int
sys_setgroups(size_t count, const uint32_t *groups)
{
	return value(syscall(SYS_setgroups, count, groups));
}

int
sys_setresgid(gid_t real, gid_t effective, gid_t saved)
{
	return value(syscall(SYS_setresgid, real, effective, saved));
}

int
sys_setresuid(uid_t real, uid_t effective, uid_t saved)
{
	return value(syscall(SYS_setresuid, real, effective, saved));
}

int
sys_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	return value(syscall(SYS_close_range, first, last, flags));
}

int
sys_execve(const char *path, char *const argv[], char *const env[])
{
	return value(execve(path, argv, env));
}

int
sys_getsockname(int fd, struct sockaddr *ret_address, socklen_t *size)
{
	return value(getsockname(fd, ret_address, size));
}

int
sys_fallocate(int fd, int mode, off_t offset, off_t size)
{
	RETRY(fallocate(fd, mode, offset, size));
}

ssize_t
sys_readlink(const char *path, char *ret_target, size_t size)
{
	return value(readlink(path, ret_target, size));
}

ssize_t
sys_getdents(int fd, void *ret_entries, size_t size)
{
	return value(syscall(SYS_getdents64, fd, ret_entries, size));
}

int
sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	RETRY(sendmmsg(fd, messages, count, flags));
}

int
sys_getcwd(char *ret_path, size_t size)
{
	return getcwd(ret_path, size) == NULL ? -errno : 0;
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

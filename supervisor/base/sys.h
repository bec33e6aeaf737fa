/*
 * sys.h: every system call of the supervisor that can fail.
 *
 * One thin function a call: it retries on EINTR where that is safe, and turns
 * errno into a value. It is the seam where tests make the n-th call fail or
 * kill the process there; so the supervisor makes no fallible call elsewhere.
 *
 * Returns of all: 0 or a result of at least 0, or the negative errno.
 * Descriptors are made close-on-exec. All are safe in a child after fork.
 * sys_close() never repeats and never says EINTR (the number is free by then);
 * sys_connect() doesn't repeat, since the attempt goes on by itself; a signal
 * ends sys_epoll_wait() with 0 events, so that a loop looks at its deadlines.
 */
#ifndef MUSTER_SYS_H
#define MUSTER_SYS_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

struct epoll_event;
struct itimerval;
struct pollfd;
struct rlimit;
struct rusage;

int sys_open(const char *path, int flags, mode_t mode);
int sys_openat(int directory, const char *path, int flags);
int sys_close(int fd);
ssize_t sys_read(int fd, void *buffer, size_t size);
ssize_t sys_write(int fd, const void *bytes, size_t size);
ssize_t sys_pread(int fd, void *buffer, size_t size, off_t offset);
ssize_t sys_pwrite(int fd, const void *bytes, size_t size, off_t offset);
off_t sys_lseek(int fd, off_t offset, int whence);
/* From a pipe, without waiting for it; `to_offset` may be NULL. */
ssize_t sys_splice(int from, int to, off_t *to_offset, size_t size);
ssize_t sys_tee(int from, int to, size_t size); /* without waiting */
pid_t sys_getpgid(pid_t pid);
int sys_getrandom(void *bytes, size_t size);
ssize_t sys_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags);
int sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count,
	int flags); /* how many were sent */
int sys_fcntl(int fd, int command, long argument);
int sys_dup(int fd, int at_least); /* F_DUPFD_CLOEXEC */
int sys_dup2(int from, int to);	   /* `to` stays open across exec */
int sys_stat(const char *path, struct stat *ret_stat);
int sys_fstat(int fd, struct stat *ret_stat);
int sys_lstat(const char *path, struct stat *ret_stat);
int sys_mkdir(const char *path, mode_t mode);
int sys_rmdir(const char *path);
int sys_unlink(const char *path);
int sys_rename(const char *from, const char *to);
int sys_fchmod(int fd, mode_t mode);
int sys_lchown(const char *path, uid_t user, gid_t group);
ssize_t sys_readlink(const char *path, char *ret_target, size_t size);
ssize_t sys_getdents(int fd, void *ret_entries, size_t size); /* dirent64 */
int sys_inotify_init(void);				      /* non-blocking */
int sys_inotify_add_watch(int fd, const char *path, uint32_t events);
int sys_flock(int fd, int operation);
int sys_pipe(int ret_fds[2], int flags);

int sys_socket(int domain, int type, int protocol);
int sys_socketpair(int type, int ret_fds[2]); /* AF_UNIX */
int sys_bind(int fd, const struct sockaddr *address, socklen_t size);
int sys_listen(int fd, int backlog);
int sys_accept(int fd, int flags);
int sys_connect(int fd, const struct sockaddr *address, socklen_t size);
int sys_setsockopt(
	int fd, int level, int option, const void *value, socklen_t size);
int sys_getsockopt(
	int fd, int level, int option, void *ret_value, socklen_t *size);
int sys_getsockname(int fd, struct sockaddr *ret_address, socklen_t *size);

int sys_memfd(const char *name, unsigned int flags); /* memfd_create */
int sys_ftruncate(int fd, off_t size);
int sys_fallocate(int fd, int mode, off_t offset, off_t size);
int sys_mmap(
	size_t size, int protection, int flags, int fd, void **ret_address);
int sys_munmap(void *address, size_t size);

int sys_epoll_create(void);
int sys_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int sys_epoll_wait(
	int epoll, struct epoll_event *events, int count, int timeout_ms);
int sys_poll(struct pollfd *fds, int count, int timeout_ms);
int sys_signalfd(int fd, const sigset_t *mask, int flags);
int sys_sigprocmask(int how, const sigset_t *set, sigset_t *ret_old);
int sys_pidfd_send_signal(int pidfd, int signal);
int sys_kill(pid_t pid, int signal);
int sys_waitid(int type, int id, siginfo_t *ret_info, int options);
int sys_waitid_usage(int type, int id, siginfo_t *ret_info, int options,
	struct rusage *ret_usage); /* ret_usage: of the reaped one */
int sys_sigaction(
	int signal, const struct sigaction *action, struct sigaction *ret_old);

/*
 * For processes that are made from a description, and their maker. The calls
 * on users and groups are the kernel's own: those of libc also tell the other
 * threads, which a fresh child has not.
 */
int sys_clone3(void *clone_args, size_t size); /* 0 in the child */
int sys_prctl(int option, unsigned long value);
int sys_setsid(void);
int sys_setpgid(pid_t pid, pid_t group);
int sys_chdir(const char *path);
int sys_getrlimit(int resource, struct rlimit *ret_limit);
int sys_setrlimit(int resource, const struct rlimit *limit);
int sys_setitimer(int which, const struct itimerval *value);
int sys_setpriority(int nice); /* of the caller */
int sys_setgroups(size_t count, const uint32_t *groups);
int sys_setresgid(gid_t real, gid_t effective, gid_t saved);
int sys_setresuid(uid_t real, uid_t effective, uid_t saved);
int sys_close_range(unsigned int first, unsigned int last, unsigned int flags);
int sys_execve(const char *path, char *const argv[], char *const env[]);
int sys_getcwd(char *ret_path, size_t size); /* -ERANGE: too long */
int sys_processors(void); /* that the caller may run on; at least 1 */

#endif

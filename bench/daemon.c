/*
 * daemon.c: starts and stops a `musterd run` in a folder of its own, finds its
 * brain, and shows its log when a benchmark fails.
 */
#include "daemon.h"

#include "measure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 64, STOP_MS = 15000 };

bool
daemon_find(const char *relative, char *ret_path)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		measure_die("/proc/self/exe");
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL)
		slash[1] = '\0';
	if (snprintf(ret_path, PATH_MAX, "%s%s", self, relative) >= PATH_MAX)
		return false;
	return access(ret_path, X_OK) == 0;
}

void
daemon_need(const char *relative, char *ret_path)
{
	if (!daemon_find(relative, ret_path))
		measure_fail("there is no %s: build it first", ret_path);
}

static _Noreturn void
exec_musterd(const struct daemon *daemon, const char *musterd, char **argv)
{
	char path[PATH_MAX];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	snprintf(path, sizeof(path), "%s/log", daemon->home);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(null, 0);
	dup2(null, 1);
	dup2(log, 2);
	setenv("MUSTER_HOME", daemon->home, 1);
	signal(SIGPIPE, SIG_DFL);
	execv(musterd, argv);
	perror(musterd);
	_exit(127);
}

void
daemon_start(struct daemon *daemon, const char *musterd,
	const char *const arguments[])
{
	char *argv[ARGUMENTS_MAX] = {"musterd", "run"};

	for (int i = 0; arguments[i] != NULL && i < ARGUMENTS_MAX - 3; i++)
		argv[i + 2] = (char *)arguments[i];
	strcpy(daemon->home, "/tmp/muster-bench-XXXXXX");
	if (mkdtemp(daemon->home) == NULL)
		measure_die("mkdtemp");
	daemon->keeper = fork();
	if (daemon->keeper < 0)
		measure_die("fork");
	if (daemon->keeper == 0)
		exec_musterd(daemon, musterd, argv);
}

/* Reads a file of /proc; returns its length, 0 when it can't be read. */
static size_t
slurp(pid_t pid, const char *name, char *ret_text, size_t room)
{
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, ret_text, room - 1);
		close(fd);
	}
	ret_text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static bool
is_brain_of(pid_t pid, pid_t keeper)
{
	char text[1024], state;
	const char *behind;
	int parent;

	slurp(pid, "cmdline", text, sizeof(text));
	if (strncmp(text, "musterd: brain", 14) != 0)
		return false;
	slurp(pid, "stat", text, sizeof(text));
	behind = strrchr(text, ')'); /* a name may hold anything */
	return behind != NULL &&
	       sscanf(behind, ") %c %d", &state, &parent) == 2 &&
	       parent == keeper && state != 'Z' && state != 'X';
}

pid_t
daemon_brain(const struct daemon *daemon, pid_t except)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	if (proc == NULL)
		measure_die("/proc");
	while (found == 0 && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && pid != except &&
			is_brain_of(pid, daemon->keeper))
			found = pid;
	}
	closedir(proc);
	return found;
}

static int
remove_one(
	const char *path, const struct stat *stat, int flag, struct FTW *where)
{
	(void)stat;
	(void)flag;
	(void)where;
	remove(path);
	return 0;
}

static void
end_keeper(pid_t keeper)
{
	struct pollfd ended = {.events = POLLIN};

	ended.fd = (int)syscall(SYS_pidfd_open, keeper, 0);
	kill(keeper, SIGTERM);
	if (ended.fd >= 0 && poll(&ended, 1, STOP_MS) == 0)
		kill(keeper, SIGKILL);
	waitpid(keeper, NULL, 0);
	if (ended.fd >= 0)
		close(ended.fd);
}

void
daemon_stop(struct daemon *daemon)
{
	if (daemon->keeper > 0)
		end_keeper(daemon->keeper);
	daemon->keeper = 0;
	if (daemon->home[0] != '\0')
		nftw(daemon->home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	daemon->home[0] = '\0';
}

void
daemon_fail(struct daemon *daemon, const char *what)
{
	char path[PATH_MAX], line[1024];
	FILE *log;

	fprintf(stderr, "%s\nwhat musterd said:\n", what);
	snprintf(path, sizeof(path), "%s/log", daemon->home);
	log = fopen(path, "r");
	while (log != NULL && fgets(line, sizeof(line), log) != NULL)
		fputs(line, stderr);
	if (log != NULL)
		fclose(log);
	daemon_stop(daemon);
	exit(1);
}

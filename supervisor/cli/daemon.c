/*
 * daemon: starting one, detached from everything that its starter has: session,
 * folder, descriptors, environment.
 *
 * Whether one runs only the lock in the home decides, which the daemon takes:
 * of several that are started at once all but one end, and their starters are
 * served by that one.
 */
#include "daemon.h"

#include "base/home.h"
#include "client.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	START_MS = 10000, /* for a daemon to answer */
	STEP_MS = 5,
	ENVIRONMENT_MAX = 64,
	TAIL_MAX = 1024, /* bytes of muster.log that are shown */
};

int
daemon_find(const char *verb, char ret_path[PATH_MAX])
{
	static const char name[] = "musterd";
	char path[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (size < 0) {
		fprintf(stderr,
			"muster: %s: /proc/self/exe can't be read (%s); is "
			"/proc mounted?\n",
			verb, strerror(errno));
		return CLI_FAILED;
	}
	path[size] = '\0';
	/* A replaced file reads as "/bin/muster (deleted)"; the folder counts.
	 */
	slash = strrchr(path, '/');
	if (slash == NULL ||
		(size_t)(slash + 1 - path) + sizeof(name) > PATH_MAX) {
		fprintf(stderr,
			"muster: %s: the path of this program is too "
			"long\n",
			verb);
		return CLI_FAILED;
	}
	memcpy(slash + 1, name, sizeof(name));
	memcpy(ret_path, path, strlen(path) + 1);
	return CLI_DONE;
}

/* Whether the daemon needs the variable. What applications inherit is sent with
 * each start. */
static bool
is_kept(const char *variable)
{
	static const char *const kept[] = {"PATH=", "HOME=", "USER=", "LANG=",
		"LC_", "TZ=", "XDG_", "MUSTER_HOME="};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (strncmp(variable, kept[i], strlen(kept[i])) == 0)
			return true;
	return false;
}

/* The child: becomes the daemon, or ends. */
static _Noreturn void
become(const char *musterd, int log)
{
	extern char **environ;
	char *const argv[] = {(char *)"musterd", (char *)"daemon", NULL};
	char *environment[ENVIRONMENT_MAX + 1];
	size_t count = 0;
	int null = open("/dev/null", O_RDWR);

	for (char **at = environ; *at != NULL && count < ENVIRONMENT_MAX; at++)
		if (is_kept(*at))
			environment[count++] = *at;
	environment[count] = NULL;
	umask(0027);
	if (setsid() < 0 || chdir("/") < 0 || null < 0 || dup2(null, 0) < 0 ||
		dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(CLI_FAILED);
	execve(musterd, argv, environment);
	dprintf(2,
		"muster: start: %s: %s; muster and musterd must lie in the "
		"same folder\n",
		musterd, strerror(errno));
	_exit(CLI_FAILED);
}

static int
open_log(char *ret_path)
{
	struct home home;
	int result = home_resolve(&home);
	int fd = -1;

	if (result == 0)
		result = home_make_folder(home.state);
	if (result == 0)
		result = home_path(ret_path, home.state, "muster.log", 0);
	if (result == 0) {
		fd = open(ret_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
			0600);
		result = fd < 0 ? -errno : 0;
	}
	if (result < 0)
		fprintf(stderr,
			"muster: start: muster.log can't be opened: %s; set "
			"MUSTER_HOME to a folder that can be written\n",
			strerror(-result));
	return fd;
}

/* What the daemon said from `from` on. */
static void
show_log(const char *path, off_t from)
{
	char text[TAIL_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : pread(fd, text, sizeof(text), from);

	if (size > 0)
		fwrite(text, 1, (size_t)size, stderr);
	if (fd >= 0)
		close(fd);
	fprintf(stderr, "muster: start: the daemon did not start; see %s\n",
		path);
}

static bool
answers(void)
{
	struct client *client;

	if (client_probe("start", &client) != CLI_DONE)
		return false;
	client_free(&client);
	return true;
}

int
daemon_ensure(void)
{
	char musterd[PATH_MAX], path[HOME_PATH_SIZE];
	bool is_gone = false;
	int log, waited;
	off_t from;
	pid_t pid;

	if (answers())
		return CLI_DONE;
	if (daemon_find("start", musterd) != CLI_DONE)
		return CLI_FAILED;
	log = open_log(path);
	if (log < 0)
		return CLI_FAILED;
	from = lseek(log, 0, SEEK_END);
	pid = fork();
	if (pid == 0)
		become(musterd, log);
	close(log);
	if (pid < 0) {
		fprintf(stderr, "muster: start: fork: %s\n", strerror(errno));
		return CLI_FAILED;
	}
	/* One that ends at once may have found another's lock: that one is
	 * about to answer. */
	for (waited = 0; waited < START_MS; waited += STEP_MS) {
		if (answers())
			return CLI_DONE;
		is_gone = is_gone || waitpid(pid, NULL, WNOHANG) == pid;
		if (is_gone && waited > START_MS / 4)
			break;
		poll(NULL, 0, STEP_MS);
	}
	show_log(path, from);
	return CLI_FAILED;
}

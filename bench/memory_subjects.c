/*
 * memory_subjects.c: starts and stops what bench/memory compares, each with
 * four idle workers and in a folder of its own: muster, and, where they are
 * installed, nginx and PM2 as their users would run them.
 */
#include "memory.h"

#include "measure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 20000, STEP_MS = 20 };

/* How many children a process has, by asking the kernel. */
static int
count_children(pid_t parent)
{
	char path[64], text[4096];
	int children = 0;
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent,
		(int)parent);
	stream = fopen(path, "re");
	if (stream == NULL)
		return 0;
	while (fscanf(stream, "%4095s", text) == 1)
		children++;
	fclose(stream);
	return children;
}

static bool
await_children(pid_t parent, int wanted)
{
	for (int waited = 0; waited < START_MS; waited += STEP_MS) {
		if (count_children(parent) >= wanted)
			return true;
		poll(NULL, 0, STEP_MS);
	}
	return false;
}

bool
memory_start_muster(struct memory_subject *subject)
{
	char musterd[PATH_MAX], worker[PATH_MAX];
	const char *arguments[] = {
		"-n", "4", "--wait-ready", "--", worker, NULL};

	daemon_need("../supervisor/musterd", musterd);
	daemon_need("idle_worker", worker);
	subject->name = "muster";
	subject->processes = "keeper and brain";
	daemon_start(&subject->daemon, musterd, arguments);
	/* The brain is a child of the keeper too. */
	if (!await_children(subject->daemon.keeper, MEMORY_WORKERS + 1))
		daemon_fail(&subject->daemon, "the workers do not start");
	subject->pids[0] = subject->daemon.keeper;
	subject->pids[1] = daemon_brain(&subject->daemon, 0);
	if (subject->pids[1] == 0)
		daemon_fail(&subject->daemon, "there is no brain");
	subject->count = 2;
	return true;
}

/* Runs a program to its end, quietly; true when it ended with 0. */
static bool
run_quietly(const char *const argv[])
{
	int status, null;
	pid_t pid = fork();

	if (pid < 0)
		return false;
	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static void write_file(const struct memory_subject *subject, const char *name,
	const char *format, ...) __attribute__((format(printf, 3, 4)));

static void
write_file(const struct memory_subject *subject, const char *name,
	const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", subject->daemon.home, name);
	stream = fopen(path, "we");
	if (stream == NULL)
		measure_die(path);
	va_start(arguments, format);
	vfprintf(stream, format, arguments);
	va_end(arguments);
	fclose(stream);
}

/* Reads the pid that a daemon left in its folder; 0 while there is none. */
static pid_t
read_pid(const struct memory_subject *subject, const char *name)
{
	char path[PATH_MAX];
	int pid = 0;
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", subject->daemon.home, name);
	stream = fopen(path, "re");
	if (stream == NULL)
		return 0;
	if (fscanf(stream, "%d", &pid) != 1)
		pid = 0;
	fclose(stream);
	return pid;
}

static bool
await_daemon(struct memory_subject *subject, const char *pid_file)
{
	for (int waited = 0; waited < START_MS; waited += STEP_MS) {
		subject->pids[0] = read_pid(subject, pid_file);
		if (subject->pids[0] > 0) {
			subject->count = 1;
			return await_children(subject->pids[0], MEMORY_WORKERS);
		}
		poll(NULL, 0, STEP_MS);
	}
	return false;
}

static void
make_home(struct memory_subject *subject)
{
	strcpy(subject->daemon.home, "/tmp/muster-bench-XXXXXX");
	if (mkdtemp(subject->daemon.home) == NULL)
		measure_die("mkdtemp");
}

bool
memory_start_nginx(struct memory_subject *subject)
{
	char config[PATH_MAX];
	const char *home = subject->daemon.home;
	const char *argv[] = {"nginx", "-p", home, "-c", config, NULL};

	make_home(subject);
	subject->name = "nginx";
	subject->processes = "master";
	snprintf(config, sizeof(config), "%s/nginx.conf", home);
	write_file(subject, "nginx.conf",
		"worker_processes %d;\npid pid;\nerror_log error;\n"
		"events {}\nhttp { access_log off;\n"
		"client_body_temp_path t1; proxy_temp_path t2;\n"
		"fastcgi_temp_path t3; uwsgi_temp_path t4;\n"
		"scgi_temp_path t5;\n"
		"server { listen unix:%s/socket; } }\n",
		MEMORY_WORKERS, home);
	if (run_quietly(argv) && await_daemon(subject, "pid"))
		return true;
	fprintf(stderr, "without nginx: not installed, or it won't start\n");
	memory_stop(subject);
	return false;
}

bool
memory_start_pm2(struct memory_subject *subject, bool install)
{
	char file[PATH_MAX], program[PATH_MAX];
	const char *home = subject->daemon.home;
	const char *fetch[] = {"npm", "install", "--silent", "--no-audit",
		"--no-fund", "--prefix", home, "pm2", NULL};
	const char *start[] = {program, "start", file, NULL};

	make_home(subject);
	subject->name = "PM2";
	subject->processes = "God daemon";
	strcpy(program, "pm2");
	if (install && run_quietly(fetch))
		snprintf(program, sizeof(program), "%s/node_modules/.bin/pm2",
			home);
	snprintf(file, sizeof(file), "%s/pm2.json", home);
	write_file(subject, "pm2.json",
		"{\"apps\": [{\"name\": \"idle\", \"script\": \"/bin/sleep\", "
		"\"args\": \"infinity\", \"interpreter\": \"none\", "
		"\"exec_mode\": \"fork\", \"instances\": %d}]}\n",
		MEMORY_WORKERS);
	setenv("PM2_HOME", home, 1);
	if (run_quietly(start) && await_daemon(subject, "pm2.pid"))
		return true;
	fprintf(stderr,
		"without PM2: not installed (--install fetches it), or it "
		"won't start\n");
	memory_stop(subject);
	return false;
}

void
memory_stop(struct memory_subject *subject)
{
	/* One that made itself a daemon isn't our child: wait until it is
	 * gone before its folder goes. */
	if (subject->daemon.keeper == 0 && subject->count > 0) {
		kill(subject->pids[0], SIGTERM);
		for (int waited = 0; waited < START_MS; waited += STEP_MS) {
			if (kill(subject->pids[0], 0) < 0 && errno == ESRCH)
				break;
			poll(NULL, 0, STEP_MS);
		}
	}
	daemon_stop(&subject->daemon);
	subject->count = 0;
}

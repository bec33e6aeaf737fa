/*
 * reap: runs a test program and cleans up behind it.
 *
 * Criterion starts each test in a process of its own, and what that process
 * starts may outlive it: nothing in Criterion ends it. So reap is the
 * subreaper above: whatever loses its parent becomes its child, and when the
 * program has ended reap kills and reaps all that is left. With --strict it
 * then exits with 125, because a test that leaves a process behind has failed.
 * SIGTERM and SIGINT (meson's time limit, Ctrl-C) end program and rest.
 *
 *	reap [--strict] PROGRAM [ARG...]
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	STATUS_LEFT_BEHIND = 125,
	STATUS_NO_PROGRAM = 127,
};

static volatile sig_atomic_t asked_to_stop;

static void
note_signal(int signal)
{
	asked_to_stop = signal;
}

/* The state letter and the name of a process; 'X' when it is no more. */
static char
process_state(long pid, char name[32])
{
	char path[64];
	char state = 'X';

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	snprintf(name, 32, "?");
	FILE *stat = fopen(path, "re");
	if (stat == NULL)
		return state;
	if (fscanf(stat, "%*d (%31[^)]) %c", name, &state) != 2)
		state = 'X';
	fclose(stat);
	return state;
}

/* Sends SIGKILL to each living child; returns how many there were. */
static int
kill_children(bool say)
{
	int alive = 0;
	long pid;
	char path[64];
	char name[32];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		(int)getpid());
	FILE *children = fopen(path, "re");
	if (children == NULL)
		return 0;
	while (fscanf(children, "%ld", &pid) == 1) {
		char state = process_state(pid, name);
		if (state == 'Z' || state == 'X')
			continue;
		alive++;
		if (say)
			fprintf(stderr, "reap: left behind: %ld (%s)\n", pid,
				name);
		kill((pid_t)pid, SIGKILL);
	}
	fclose(children);
	return alive;
}

/* Waits for `program`, reaping every other that ends meanwhile. */
static int
wait_for(pid_t program)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);
		if (pid == program)
			return status;
		if (pid < 0 && errno == EINTR && asked_to_stop)
			kill(program, SIGKILL);
		else if (pid < 0 && errno != EINTR)
			return STATUS_NO_PROGRAM << 8;
	}
}

/*
 * Kills in rounds until no child is left: the children of one that is killed
 * become ours before its own end is reported, so each round sees them.
 */
static int
clear_away(void)
{
	int left = kill_children(true);

	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		left += kill_children(true);
	return left;
}

int
main(int argc, char **argv)
{
	bool strict = argc > 1 && strcmp(argv[1], "--strict") == 0;
	char **command = argv + (strict ? 2 : 1);
	/* No SA_RESTART: the wait has to return. */
	struct sigaction action = {.sa_handler = note_signal};

	if (argc < 2 || *command == NULL) {
		fprintf(stderr, "usage: reap [--strict] PROGRAM [ARG...]\n");
		return 2;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	pid_t program = fork();
	if (program < 0) {
		perror("reap: fork");
		return STATUS_NO_PROGRAM;
	}
	if (program == 0) {
		/* A test is about its program, not about what the runner's
		 * shell had ignored when it was put in the background. */
		for (int number = 1; number < NSIG; number++)
			(void)signal(number, SIG_DFL);
		execvp(*command, command);
		fprintf(stderr, "reap: %s: %s\n", *command, strerror(errno));
		_exit(STATUS_NO_PROGRAM);
	}
	int status = wait_for(program);
	int left = clear_away();
	if (asked_to_stop)
		return 128 + asked_to_stop;
	int code = WIFEXITED(status) ? WEXITSTATUS(status)
				     : 128 + WTERMSIG(status);
	return code == 0 && left > 0 && strict ? STATUS_LEFT_BEHIND : code;
}

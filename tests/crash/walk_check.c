/*
 * walk_check: what must be true after a crash point: of processes, sockets,
 * descriptors, messages and lines. Waits where something may still be under
 * way, and ends the test with the point's name where it stays wrong.
 */
#include "walk.h"

#include "support/http.h"
#include "support/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	SETTLE_MS = 5000,
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The number of the socket that listens on the port; 0: none, or several. */
unsigned long
walk_listening_inode(const struct walk *walk)
{
	char line[256];
	unsigned long found = 0;
	int count = 0;
	FILE *file = fopen("/proc/net/tcp", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		unsigned int port, state;
		unsigned long inode;
		if (sscanf(line,
			    " %*d: %*x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u "
			    "%*d %lu",
			    &port, &state, &inode) == 3 &&
			port == (unsigned int)walk->port && state == 10) {
			found = inode;
			count++;
		}
	}
	if (file != NULL)
		fclose(file);
	return count == 1 ? found : 0;
}

static bool
holds_socket(pid_t pid, unsigned long inode)
{
	char path[64], target[64], wanted[64];
	struct dirent *entry;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	DIR *folder = opendir(path);
	while (folder != NULL && !found && (entry = readdir(folder)) != NULL) {
		ssize_t size = readlinkat(dirfd(folder), entry->d_name, target,
			sizeof(target) - 1);
		target[size > 0 ? size : 0] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	if (folder != NULL)
		closedir(folder);
	return found;
}

void
walk_check_socket(struct walk *walk, json_t *now)
{
	unsigned long inode = walk_listening_inode(walk);

	if (inode == 0)
		walk_fail(walk, "not one socket listens");
	if (!holds_socket(run_keeper(walk->run), inode))
		walk_fail(walk, "the keeper doesn't hold the socket");
	for (size_t i = 0; i < WALK_WORKERS; i++) {
		pid_t pid = (pid_t)run_field(now, i, "pid");
		if (holds_socket(pid, inode) != (i >= WALK_TALKERS))
			walk_fail(walk, "worker %zu %s the socket", i + 1,
				i < WALK_TALKERS ? "holds" : "doesn't hold");
	}
}

/* The brain and one process a slot, and all of them are its children. */
static bool
is_whole(struct walk *walk, json_t *now)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	pid_t keeper = run_keeper(walk->run);
	size_t count = process_children(keeper, children);

	for (size_t i = 0; i < WALK_WORKERS; i++)
		if (process_parent((pid_t)run_field(now, i, "pid")) != keeper)
			return false;
	return count == WALK_WORKERS + 1;
}

static bool
all_ready(json_t *now)
{
	size_t ready = 0, index;
	json_t *worker;

	json_array_foreach(now, index, worker)
	{
		const char *status =
			json_string_value(json_object_get(worker, "status"));
		ready += status != NULL && strcmp(status, "ready") == 0;
	}
	return ready == WALK_WORKERS && index == WALK_WORKERS;
}

/*
 * Waits until every slot is ready and has one process. NULL: the supervisor
 * ended.
 */
json_t *
walk_await_whole(struct walk *walk)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;
	pid_t children[PROCESS_CHILDREN_MAX];

	for (;;) {
		char state = process_state(run_keeper(walk->run));
		if (state == 'Z' || state == 'X')
			return NULL;
		json_t *now = run_ls(walk->run);
		if (all_ready(now) && is_whole(walk, now))
			return now;
		json_decref(now);
		if (now_ms() > deadline)
			walk_fail(walk, "%zu processes, and: %s",
				process_children(
					run_keeper(walk->run), children),
				run_said(walk->run));
		run_pump(walk->run, 5);
	}
}

/* Nobody is replaced because a brain dies. */
void
walk_check_same(struct walk *walk, json_t *now)
{
	bool reloading = strncmp(walk->phase, "reload", 6) == 0;
	bool spawning = strncmp(walk->phase, "spawn", 5) == 0;

	/* Where acknowledgements fail as well, who was replaced may not have
	 * sent its last one, however long it had. */
	walk->talk->may_return_late = spawning && !walk_is_killing(walk->mode);
	for (size_t i = 0; i < WALK_WORKERS; i++) {
		long was = run_field(walk->before, i, "generation");
		long is = run_field(now, i, "generation");
		long expected = was + ((spawning && i == 0) ||
					      (reloading && i < WALK_TALKERS));
		if (reloading && is > expected)
			continue; /* it was asked for once more */
		if (is != expected && walk_is_killing(walk->mode))
			walk_fail(walk, "worker %zu is generation %ld, not %ld",
				i + 1, is, expected);
		if (is == expected || i >= WALK_TALKERS)
			continue;
		talk_excuse(walk->talk, (uint32_t)i);
		walk->talk->may_return_late = true;
	}
}

void
walk_check_messages(struct walk *walk)
{
	struct talk_counts counts;
	bool replaced = strncmp(walk->phase, "reload", 6) == 0 ||
			strncmp(walk->phase, "spawn", 5) == 0 ||
			!walk_is_killing(walk->mode);

	talk_settle(walk->talk, walk->run, SETTLE_MS, &counts);
	if (counts.lost + counts.doubled + counts.reordered + counts.late +
			counts.bad >
		0)
		walk_fail(walk,
			"%lu lost, %lu doubled, %lu out of order, %lu late, "
			"%lu bad, %lu returned, %lu good; %s",
			counts.lost, counts.doubled, counts.reordered,
			counts.late, counts.bad, counts.returned, counts.good,
			walk->talk->first_wrong);
	if (!replaced && counts.returned + counts.refused > 0)
		walk_fail(walk, "%lu came back, %lu were refused",
			counts.returned, counts.refused);
	if (walk_is_killing(walk->mode) && walk->talk->book->ends != walk->ends)
		walk_fail(walk, "a channel ended for good");
}

void
walk_check_lines(struct walk *walk)
{
	if (walk->log_path[0] != '\0')
		talk_read_file(walk->talk, walk->log_path);
	else
		talk_read_lines(walk->talk, walk->run);
	/* Where lines are changed on their way, the batch that was written
	 * when the brain died is written again. */
	if (walk_is_killing(walk->mode) && !walk_has_file(walk->mode))
		walk->talk->lines_doubled = 0;
	/* What a stream doesn't take is dropped, and that is said. */
	if (walk->mode == SYS_CRASH_FAIL)
		walk->talk->lines_lost = 0;
	if (walk->talk->lines_lost > 0 || walk->talk->lines_doubled > 0)
		walk_fail(walk, "output: %lu lines lost, %lu doubled: %s",
			walk->talk->lines_lost, walk->talk->lines_doubled,
			walk->talk->first_line);
}

/*
 * As many as at first. A brain may have fewer: after some hundred channels that
 * a server never took it gets no more, and files open when they are written to.
 */
void
walk_check_descriptors(struct walk *walk)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	for (;;) {
		int keeper = process_descriptors(run_keeper(walk->run));
		int brain = process_descriptors(run_brain(walk->run));
		if (walk->nth == 0 &&
			now_ms() > deadline - RUN_DEADLINE_MS + 100) {
			walk->keeper_fds = keeper;
			walk->brain_fds = brain;
			return;
		}
		if (walk->nth > 0 && keeper == walk->keeper_fds &&
			brain <= walk->brain_fds)
			return;
		if (now_ms() > deadline)
			walk_fail(walk,
				"descriptors: keeper %d, was %d; brain %d, "
				"was %d",
				keeper, walk->keeper_fds, brain,
				walk->brain_fds);
		run_pump(walk->run, 5);
	}
}

/* Everybody talks once more: the last brain serves, whatever its start was. */
void
walk_talk_again(struct walk *walk)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	talk_go(walk->talk);
	for (int i = 0; i < WALK_TALKERS; i++)
		while (walk->talk->book->asked[i] < 2) {
			if (now_ms() > deadline)
				walk_fail(walk, "talker %d is silent", i);
			run_pump(walk->run, 1);
		}
	walk_check_messages(walk);
}

/* The server answers on the connection that has been there all the time. */
void
walk_ask_server(struct walk *walk)
{
	char body[32];
	bool open = false;

	if (walk->connection < 0)
		walk->connection = http_connect(walk->port);
	if (walk->connection < 0 ||
		http_get(walk->connection, "/", body, sizeof(body), &open) !=
			200 ||
		!open)
		walk_fail(walk, "the server doesn't answer");
}

/*
 * proctree.c: children are listed by thread (proc(5), /proc/PID/task/TID/
 * children). What grows while it is read is counted as it was seen.
 */
#include "proctree.h"

#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tree {
	pid_t pids[PROCTREE_MAX];
	size_t count;
	int threads_left; /* that are looked at for children */
};

/* The start of a file of /proc. Returns its size or a negative errno. */
static ssize_t
read_file(const char *path, char *ret_text, size_t size)
{
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	ssize_t n;

	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	n = sys_read(fd, ret_text, size - 1);
	(void)sys_close(fd);
	ret_text[n > 0 ? n : 0] = '\0';
	return n;
}

static void
add_children(struct tree *tree, pid_t pid, const char *thread)
{
	char path[64], text[4096], *at = text, *end;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/children",
		(int)pid, thread);
	if (read_file(path, text, sizeof text) <= 0)
		return;
	while (tree->count < PROCTREE_MAX) {
		long child = strtol(at, &end, 10);

		/* A number that is cut off has no blank behind it. */
		if (end == at || *end != ' ')
			return;
		tree->pids[tree->count++] = (pid_t)child;
		at = end;
	}
}

/* The entries of a folder, as getdents64(2) writes them. */
static void
walk_threads(struct tree *tree, pid_t pid)
{
	_Alignas(struct dirent64) char entries[4096];
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	fd = sys_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	while (tree->threads_left > 0 &&
		(n = sys_getdents(fd, entries, sizeof entries)) > 0) {
		for (ssize_t at = 0; at < n && tree->threads_left > 0;) {
			const struct dirent64 *entry =
				(const void *)(entries + at);

			if (entry->d_name[0] != '.') {
				add_children(tree, pid, entry->d_name);
				tree->threads_left--;
			}
			at += entry->d_reclen;
		}
	}
	(void)sys_close(fd);
}

static int
memory_of(pid_t pid, bool is_first, uint64_t *ret_bytes)
{
	unsigned long long resident, shared;
	char path[64], text[256];
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	n = read_file(path, text, sizeof text);
	if (n < 0)
		return (int)n;
	if (sscanf(text, "%*u %llu %llu", &resident, &shared) != 2)
		return -ESRCH;
	if (!is_first)
		resident -= shared < resident ? shared : resident;
	*ret_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

int
proctree_memory(pid_t pid, uint64_t *ret_bytes)
{
	struct tree tree = {
		.pids = {pid}, .count = 1, .threads_left = PROCTREE_MAX};
	uint64_t bytes;
	int r = memory_of(pid, true, ret_bytes);

	for (size_t i = 0; r == 0 && i < tree.count; i++) {
		walk_threads(&tree, tree.pids[i]);
		if (i > 0 && memory_of(tree.pids[i], false, &bytes) == 0)
			*ret_bytes += bytes;
	}
	return r;
}

/*
 * process: a test's view of processes that are not its own.
 *
 * Reads /proc and judges nothing; the harness decides what a leftover is.
 */
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opens /proc/PID/NAME, or returns NULL. */
static FILE *
open_file(pid_t pid, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

static int
read_stat(pid_t pid, char *ret_state, int *ret_parent)
{
	char line[1024] = "";
	FILE *stat = open_file(pid, "stat");

	if (stat == NULL)
		return -1;
	size_t size = fread(line, 1, sizeof(line) - 1, stat);
	fclose(stat);
	line[size] = '\0';
	/* The name may hold blanks and brackets: its end is the last one. */
	const char *after = strrchr(line, ')');
	if (after == NULL ||
		sscanf(after + 1, " %c %d", ret_state, ret_parent) != 2)
		return -1;
	return 0;
}

char
process_state(pid_t pid)
{
	char state;
	int parent;

	return read_stat(pid, &state, &parent) == 0 ? state : 'X';
}

pid_t
process_parent(pid_t pid)
{
	char state;
	int parent;

	return read_stat(pid, &state, &parent) == 0 ? parent : 0;
}

size_t
process_children(pid_t pid, pid_t *ret_pids)
{
	char path[512];
	size_t count = 0;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
		int child;
		char name[300];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "task/%s/children", entry->d_name);
		FILE *children = open_file(pid, name);
		if (children == NULL)
			continue;
		while (count < PROCESS_CHILDREN_MAX &&
			fscanf(children, "%d", &child) == 1)
			ret_pids[count++] = child;
		fclose(children);
	}
	if (tasks != NULL)
		closedir(tasks);
	return count;
}

bool
process_is(pid_t pid, const char *start)
{
	char line[256];
	FILE *command = open_file(pid, "cmdline");

	if (command == NULL)
		return false;
	size_t size = fread(line, 1, sizeof(line), command);
	fclose(command);
	return size >= strlen(start) && memcmp(line, start, strlen(start)) == 0;
}

int
process_descriptors(pid_t pid)
{
	char path[64];
	int count = 0;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *folder = opendir(path);
	if (folder == NULL)
		return -1;
	while ((entry = readdir(folder)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

/* The number behind `field` in the file, or -1. */
static long
read_field(pid_t pid, const char *file, const char *field)
{
	char line[256];
	long value = -1;
	size_t length = strlen(field);
	FILE *in = open_file(pid, file);

	while (in != NULL && fgets(line, sizeof(line), in) != NULL)
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			value = strtol(line + length + 1, NULL, 10);
	if (in != NULL)
		fclose(in);
	return value;
}

long
process_waits(pid_t pid)
{
	return read_field(pid, "status", "voluntary_ctxt_switches");
}

long
process_memory(pid_t pid, const char *field)
{
	return read_field(pid, "smaps_rollup", field);
}

/* The numbers of the sockets that `pid` has open, for at most `room`. */
static size_t
list_sockets(pid_t pid, unsigned long *ret_inodes, size_t room)
{
	char path[64], target[64];
	struct dirent *entry;
	size_t count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *fds = opendir(path);
	while (fds != NULL && count < room && (entry = readdir(fds)) != NULL) {
		ssize_t size = readlinkat(
			dirfd(fds), entry->d_name, target, sizeof(target) - 1);
		target[size > 0 ? size : 0] = '\0';
		count +=
			sscanf(target, "socket:[%lu]", &ret_inodes[count]) == 1;
	}
	if (fds != NULL)
		closedir(fds);
	return count;
}

size_t
process_tcp_peers(pid_t pid, uint16_t *ret_ports)
{
	unsigned long inodes[PROCESS_PEERS_MAX], inode;
	size_t sockets = list_sockets(pid, inodes, PROCESS_PEERS_MAX);
	unsigned port, state;
	char line[256];
	size_t count = 0;
	FILE *table = fopen("/proc/net/tcp", "re");

	while (table != NULL && fgets(line, sizeof(line), table) != NULL) {
		/* The one that it listens on has no peer. */
		if (sscanf(line, "%*s %*s %*8x:%4x %2x %*s %*s %*s %*s %*s %lu",
			    &port, &state, &inode) != 3 ||
			inode == 0 || port == 0)
			continue;
		for (size_t i = 0; i < sockets; i++)
			if (inodes[i] == inode && count < PROCESS_PEERS_MAX)
				ret_ports[count++] = (uint16_t)port;
	}
	if (table != NULL)
		fclose(table);
	return count;
}

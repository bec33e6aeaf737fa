/*
 * victim.c: the connections of a process, from /proc: its descriptors are
 * sockets by inode, and the kernel's tables say what these are connected to.
 */
#include "victim.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SOCKETS_MAX = 1024,
	ESTABLISHED = 1,
	CLOSE_WAIT = 8,
	LISTENING_FLAG = 0x10000,
};

struct sockets {
	unsigned long inodes[SOCKETS_MAX];
	size_t count;
};

static bool
has(const struct sockets *sockets, unsigned long inode)
{
	for (size_t i = 0; i < sockets->count; i++)
		if (sockets->inodes[i] == inode)
			return true;
	return false;
}

static void
read_sockets(pid_t pid, struct sockets *ret_sockets)
{
	char path[64], target[64];
	struct dirent *entry;
	DIR *folder;

	ret_sockets->count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	while (folder != NULL && ret_sockets->count < SOCKETS_MAX &&
		(entry = readdir(folder)) != NULL) {
		ssize_t size = readlinkat(dirfd(folder), entry->d_name, target,
			sizeof(target) - 1);
		if (size <= 0)
			continue;
		target[size] = '\0';
		if (sscanf(target, "socket:[%lu]",
			    &ret_sockets->inodes[ret_sockets->count]) == 1)
			ret_sockets->count++;
	}
	if (folder != NULL)
		closedir(folder);
}

static void
tell_tcp(struct client *client, const struct sockets *sockets)
{
	FILE *table = fopen("/proc/net/tcp", "re");
	char line[512];

	while (table != NULL && fgets(line, sizeof(line), table) != NULL) {
		unsigned port, state;
		unsigned long inode;

		if (sscanf(line,
			    " %*d: %*8x:%*4x %*8x:%4x %2x %*s %*s %*s %*s "
			    "%*s %lu",
			    &port, &state, &inode) == 3 &&
			(state == ESTABLISHED || state == CLOSE_WAIT) &&
			has(sockets, inode))
			client_killed(client, (uint16_t)port);
	}
	if (table != NULL)
		fclose(table);
}

/* Those that were accepted: they have the name of the listening one. */
static int
count_unix(const struct sockets *sockets)
{
	FILE *table = fopen("/proc/net/unix", "re");
	char line[512];
	int count = 0;

	while (table != NULL && fgets(line, sizeof(line), table) != NULL) {
		unsigned flags;
		unsigned long inode;
		char name[256];

		if (sscanf(line, "%*s %*x %*x %x %*x %*x %lu %255s", &flags,
			    &inode, name) == 3 &&
			!(flags & LISTENING_FLAG) && has(sockets, inode))
			count++;
	}
	if (table != NULL)
		fclose(table);
	return count;
}

/* The state letter of a process; 0 when it is gone. */
static char
state_of(pid_t pid)
{
	char path[64], state = 0;
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	stream = fopen(path, "re");
	if (stream == NULL)
		return 0;
	if (fscanf(stream, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(stream);
	return state;
}

int
victim_kill(struct client *client, pid_t pid)
{
	struct sockets sockets;
	int count;

	if (kill(pid, SIGSTOP) < 0)
		return -1;
	/* What it was accepting when it was stopped is in its table then. */
	for (char state = state_of(pid); state != 'T'; state = state_of(pid)) {
		if (state == 0 || state == 'Z' || state == 'X')
			return -1;
		poll(NULL, 0, 1);
	}
	read_sockets(pid, &sockets);
	tell_tcp(client, &sockets);
	count = count_unix(&sockets);
	kill(pid, SIGKILL);
	return count;
}

/*
 * Looks up in /proc who holds an address: first the socket's inode in one of
 * the tables of /proc/net, then the process that has that inode open.
 *
 * A race is harmless: the answer is only shown to people.
 */
#include "mechanism/holder.h"

#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum {
	TABLE_MAX = 4 << 20, /* bytes of one table that are looked at */
	LISTENING = 0x0a,    /* of TCP */
	BOUND = 0x07,	     /* of UDP */
};

/* An entry of a directory as the kernel hands it over. */
struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

/* Whether a row of /proc/net/unix is that of a path. */
static bool
is_the_path(const char *row, const struct sockaddr_un *address,
	unsigned long long *ret_inode)
{
	int path = 0;

	/* Connections that wait to be accepted have the path, and no inode. */
	return sscanf(row, " %*x: %*x %*x %*x %*x %*x %llu %n", ret_inode,
		       &path) == 1 &&
	       path > 0 && *ret_inode != 0 &&
	       strcmp(row + path, address->sun_path) == 0;
}

/* Whether a row of a table of /proc/net stands in the way of `address`. */
static bool
is_in_the_way(const char *row, const struct sockaddr_storage *address,
	unsigned long long *ret_inode)
{
	const struct sockaddr_in *four = (const void *)address;
	char host[33];
	unsigned int port, state;
	uint32_t number;

	if (address->ss_family == AF_UNIX)
		return is_the_path(row, (const void *)address, ret_inode);
	if (sscanf(row,
		    " %*d: %32[0-9A-F]:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u "
		    "%*u %llu",
		    host, &port, &state, ret_inode) != 4)
		return false;
	if ((state != LISTENING && state != BOUND) ||
		port != ntohs(four->sin_port))
		return false;
	/* An IPv6 socket may hold an IPv4 port too; don't be more exact than
	 * a hint needs to be. */
	if (strlen(host) > 8 || address->ss_family != AF_INET)
		return true;
	number = (uint32_t)strtoul(host, NULL, 16);
	return number == 0 || four->sin_addr.s_addr == 0 ||
	       number == four->sin_addr.s_addr;
}

static bool
find_inode(const char *path, const struct sockaddr_storage *address,
	unsigned long long *ret_inode)
{
	char rows[8192];
	size_t kept = 0, total = 0;
	bool found = false;
	int fd = sys_open(path, O_RDONLY, 0);

	while (fd >= 0 && !found && total < TABLE_MAX) {
		char *row = rows, *end;
		ssize_t n = sys_read(fd, rows + kept, sizeof(rows) - 1 - kept);

		if (n <= 0)
			break;
		kept += (size_t)n;
		total += (size_t)n;
		rows[kept] = '\0';
		while (!found && (end = strchr(row, '\n'))) {
			*end = '\0';
			found = is_in_the_way(row, address, ret_inode);
			row = end + 1;
		}
		kept -= (size_t)(row - rows);
		if (kept >= sizeof(rows) - 1)
			break;
		memmove(rows, row, kept);
	}
	if (fd >= 0)
		sys_close(fd);
	return found;
}

/*
 * Calls `visit` for each entry of a directory until it returns true. Returns
 * whether it did.
 */
static bool
walk(const char *path, bool (*visit)(const char *path, void *data), void *data)
{
	_Alignas(struct entry) char entries[4096];
	char name[96];
	bool found = false;
	int fd = sys_open(path, O_RDONLY | O_DIRECTORY, 0);
	ssize_t n = 0;

	while (fd >= 0 && !found &&
		(n = sys_getdents(fd, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n && !found;) {
			struct entry *entry = (struct entry *)(entries + at);

			at += entry->size;
			if (entry->name[0] < '0' || entry->name[0] > '9')
				continue;
			if (snprintf(name, sizeof(name), "%s/%s", path,
				    entry->name) < (int)sizeof(name))
				found = visit(name, data);
		}
	}
	if (fd >= 0)
		sys_close(fd);
	return found;
}

static bool
is_the_socket(const char *path, void *data)
{
	char target[64];
	ssize_t n = sys_readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return !strcmp(target, data);
}

struct search {
	char link[64];
	char process[96];
};

static bool
has_the_socket(const char *path, void *data)
{
	struct search *search = data;
	char fds[112];

	snprintf(fds, sizeof(fds), "%s/fd", path);
	if (!walk(fds, is_the_socket, search->link))
		return false;
	snprintf(search->process, sizeof(search->process), "%s", path);
	return true;
}

void
holder_find(const struct sockaddr_storage *address, int type, char *ret_text)
{
	static const char *const tables[][2] = {
		{"/proc/net/udp", "/proc/net/udp6"},
		{"/proc/net/tcp", "/proc/net/tcp6"},
	};
	const char *const *table = tables[type == SOCK_STREAM];
	bool found = false;
	struct search search;
	unsigned long long inode;
	char path[112], name[64] = "";
	ssize_t n;
	int fd;

	*ret_text = '\0';
	if (address->ss_family == AF_UNIX)
		found = find_inode("/proc/net/unix", address, &inode);
	if (address->ss_family == AF_INET)
		found = find_inode(table[0], address, &inode);
	if (!found && address->ss_family != AF_UNIX)
		found = find_inode(table[1], address, &inode);
	if (!found)
		return;
	snprintf(search.link, sizeof(search.link), "socket:[%llu]", inode);
	if (!walk("/proc", has_the_socket, &search))
		return;
	snprintf(path, sizeof(path), "%s/comm", search.process);
	fd = sys_open(path, O_RDONLY, 0);
	if (fd >= 0) {
		n = sys_read(fd, name, sizeof(name) - 1);
		name[n > 0 ? n - 1 : 0] = '\0';
		sys_close(fd);
	}
	snprintf(ret_text, HOLDER_TEXT_SIZE, "%s (pid %s)",
		*name ? name : "a program", search.process + strlen("/proc/"));
}

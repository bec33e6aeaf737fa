/*
 * servers.h: HTTP servers of several processes that can be told to replace
 * them: muster in each of its modes, and what users would take instead.
 */
#ifndef BENCH_SERVERS_H
#define BENCH_SERVERS_H

#include "daemon.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SERVERS_WORKERS = 4,
};

struct server {
	const char *name;
	uint16_t port;
	pid_t master;
	struct daemon daemon; /* of muster; else only its folder is used */
	bool is_muster;
	bool is_pm2;
	char unix_address[64]; /* where muster listens too; "" for others */
};

/* The kinds, by index from 0 on; NULL behind the last. */
const char *servers_name(unsigned kind);

/*
 * Starts one with SERVERS_WORKERS workers on a port of its own, and waits until
 * it answers. Returns false: it isn't installed, or won't start.
 */
bool servers_start(unsigned kind, struct server *ret_server);

/* The same of bare_server.c, which can't be reloaded; `own`: each worker has a
 * socket of its own. */
bool servers_start_bare(bool own, struct server *ret_server);

/*
 * Has all workers replaced, and waits until that is done. Returns how many
 * milliseconds it took, or a negative number: it wasn't done within 10 s.
 */
double servers_reload(struct server *server);

/* Starts the command `muster ARGUMENTS` (at most 6, NULL at the end) on a
 * server of muster, with its output to /dev/null. The caller reaps it. */
pid_t servers_command(
	const struct server *server, const char *const arguments[]);

/* Fills in the server's processes below its master, at most `room`. */
size_t servers_workers(
	const struct server *server, pid_t *ret_pids, size_t room);

void servers_stop(struct server *server);

#endif

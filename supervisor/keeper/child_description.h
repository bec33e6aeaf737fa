/*
 * child_description.h: what a child is made from, as data.
 *
 * A description is a sealed memory file that travels with KEEPER_SPAWN: this
 * head, then tables and strings at the offsets it names. The keeper maps it
 * privately, checks every offset, turns the tables of offsets into pointers in
 * place, clones, and unmaps. All offsets count from the start of the file;
 * strings end with NUL inside the file; tables are aligned to 8 bytes.
 *
 * The brain builds it (fleet/description.c), the keeper reads it
 * (keeper/spawn.c); nobody else needs it.
 */
#ifndef MUSTER_CHILD_DESCRIPTION_H
#define MUSTER_CHILD_DESCRIPTION_H

#include "keeper_protocol.h"

#include <stdint.h>

#define CHILD_MAGIC 0x646c6863u /* "chld" */

enum {
	CHILD_VERSION = 1,
	CHILD_SIZE_MAX = 4 << 20,
	CHILD_FDS_MAX = 256,
	CHILD_GROUPS_MAX = 256,
	CHILD_LIMITS_MAX = 16,
};

enum child_flag {
	CHILD_HAS_USER = 1, /* uid, gid and groups count */
	CHILD_NO_NEW_PRIVS = 2,
	CHILD_HAS_UMASK = 4,
	CHILD_HAS_NICE = 8,
};

/* One descriptor of the child: the vault's entry becomes this number. */
struct child_fd {
	char name[KEEPER_NAME_SIZE];
	int32_t number;
	uint32_t reserved;
};

struct child_limit {
	int32_t resource; /* RLIMIT_… */
	uint32_t reserved;
	uint64_t soft, hard;
};

struct child_description {
	uint32_t magic, version;
	uint32_t size;	     /* of the whole file */
	uint32_t flags;	     /* enum child_flag */
	uint32_t program;    /* string: the path to execute, never searched */
	uint32_t directory;  /* string, or 0: stay */
	uint32_t argv, argc; /* table of uint64_t offsets, argc + 1 long; the
				last is 0 */
	uint32_t env, envc;  /* the same */
	uint32_t fds, fd_count; /* table of struct child_fd; numbers distinct,
				   0 … CHILD_FDS_MAX - 1 */
	uint32_t limits, limit_count;
	uint32_t groups, group_count; /* table of uint32_t */
	uint32_t uid, gid;
	uint32_t umask;
	int32_t nice;
	uint32_t
		listen_pid;    /* where the digits of the child's pid go in the
				  string LISTEN_PID=…, room for 10 and NUL; or 0 */
	uint32_t watchdog_pid; /* the same for WATCHDOG_PID; or 0 */
	char cgroup[KEEPER_NAME_SIZE]; /* vault name of a cgroup directory, or
					  "" */
};

#endif

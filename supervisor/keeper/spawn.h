/*
 * spawn.h: makes a child from a description (child_description.h).
 */
#ifndef MUSTER_SPAWN_H
#define MUSTER_SPAWN_H

#include "keeper/keeper_protocol.h"
#include "keeper/vault.h"

#include <stdbool.h>
#include <sys/resource.h>

/* What a child writes to its socket right before its exec … */
enum { SPAWN_EXECUTES = 'x' }; /* no stage has this number */

/* … and when a step fails. */
struct spawn_failure {
	uint32_t stage; /* enum keeper_stage */
	int32_t error;	/* positive errno */
};

struct spawn_child {
	pid_t pid;
	int pidfd;
	int exec_pipe; /* a socket; ends when the program runs; non-blocking */
	int cgroup;    /* the caller's, or -1 */
};

/*
 * Starts a child from the description in the memory file `description`, which
 * stays the caller's and must be sealed. Descriptors come from `vault`;
 * `files` is the limit on open files that the child gets where the description
 * names none. Every signal must be blocked and at its default.
 *
 * Returns 0, and the child, whose descriptors are the caller's; or the negative
 * errno of `ret_stage`: KEEPER_STAGE_DESCRIPTION (-EPERM: not sealed; -EINVAL:
 * contents), KEEPER_STAGE_TABLE (-ENOENT: an unknown vault name) or
 * KEEPER_STAGE_FORK. What fails later comes by the pipe.
 */
int spawn_child(int description, const struct vault *vault,
	const struct rlimit *files, struct spawn_child *ret_child,
	enum keeper_stage *ret_stage);

/* What a child's socket tells. */
enum spawn_news {
	SPAWN_NOTHING,	/* yet */
	SPAWN_EXECUTED, /* the program runs, or has run */
	SPAWN_FAILED,	/* a step failed; the child is about to end */
	SPAWN_KILLED,	/* it ended before its exec, and told no reason */
};

/*
 * Reads it. `executes` is the caller's to keep between two calls, false at
 * first. After anything but SPAWN_NOTHING the socket has told all.
 */
enum spawn_news spawn_read(
	int exec_pipe, bool *executes, struct spawn_failure *ret_failure);

/*
 * Lets a child execute its program. Until then it waits, and should the keeper
 * end first, so does the child: a program runs only when a brain knows of it.
 */
void spawn_release(int exec_pipe);

#endif

/*
 * description.h: what a child is made from, written down for the keeper.
 */
#ifndef MUSTER_DESCRIPTION_H
#define MUSTER_DESCRIPTION_H

#include "keeper/child_description.h"

#include <stddef.h>
#include <stdint.h>

/* The same as child_description.h, with pointers; all borrowed. */
struct child_plan {
	const char *program;
	const char *directory; /* NULL: stay */
	char *const *argv;     /* each list ends with NULL */
	char *const *env;
	const struct child_fd *fds;
	size_t fd_count;
	const struct child_limit *limits;
	size_t limit_count;
	const uint32_t *groups;
	size_t group_count;
	uint32_t flags; /* enum child_flag */
	uint32_t uid, gid, umask;
	int32_t nice;
};

/*
 * What stands in `env` where the keeper has to fill in the child's pid: the
 * name, `=` and ten digits to be overwritten.
 */
#define DESCRIPTION_LISTEN_PID "LISTEN_PID=0000000000"
#define DESCRIPTION_WATCHDOG_PID "WATCHDOG_PID=0000000000"

/*
 * Makes the sealed memory file that KEEPER_SPAWN carries.
 * Returns its descriptor, the caller's; -E2BIG: over CHILD_SIZE_MAX; -EINVAL: a
 * list is over its bound or a descriptor's number is out of range or given
 * twice; -ENOMEM; or what making the file said.
 */
int description_make(const struct child_plan *plan);

#endif

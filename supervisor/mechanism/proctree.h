/*
 * proctree.h: what a process and all that came from it use together.
 */
#ifndef MUSTER_PROCTREE_H
#define MUSTER_PROCTREE_H

#include <stdint.h>
#include <sys/types.h>

enum {
	PROCTREE_MAX = 256, /* processes that are counted, and threads */
};

/*
 * The memory of `pid` and its descendants, bytes: what is resident of the
 * first, and of the others what they don't share with it or with files, since a
 * page that parent and child share is there once. Two short files of /proc a
 * process: what is exact (smaps) has the kernel walk all their pages.
 * Returns 0; -ESRCH: no such process; or what open and read said.
 */
int proctree_memory(pid_t pid, uint64_t *ret_bytes);

#endif

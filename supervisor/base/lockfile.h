/*
 * lockfile.h: a file whose flock() says that somebody is at home. The keeper
 * holds it as long as it or its brain lives.
 */
#ifndef MUSTER_LOCKFILE_H
#define MUSTER_LOCKFILE_H

#include <sys/types.h>
#include <time.h>

/*
 * A file, whatever its name leads to later. The time of its last change of
 * state belongs to it, since the kernel gives the number of a removed file to
 * the next.
 */
struct file_id {
	dev_t device;
	ino_t inode;
	struct timespec changed;
};

/*
 * Makes the file at `path` where it is missing (0600) and locks it, without
 * waiting. The lock lives as long as any duplicate of the descriptor.
 * Returns a descriptor, the caller's, and `ret_id`; -EWOULDBLOCK: another
 * process holds it; or what open() said.
 */
int lockfile_take(const char *path, struct file_id *ret_id);

/* Notes which file is at `path` (no link is followed). 0 or -ENOENT etc. */
int file_id_of(const char *path, struct file_id *ret_id);

/* Removes `path` if it still is the file `id`; else leaves it. */
void file_id_remove(const char *path, const struct file_id *id);

#endif

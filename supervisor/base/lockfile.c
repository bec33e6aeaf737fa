/*
 * lockfile.c: flock() with an answer to its two races: the file may be removed
 * by its former holder between our open() and our flock(), and a name may lead
 * to another file by the time it is to be removed. What the lock stands for is
 * the caller's business.
 */
#include "base/lockfile.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>

/* Each round needs another process that ends in just this moment. */
enum { ROUNDS = 100 };

static bool
is_same(const struct file_id *a, const struct file_id *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct file_id
id_from(const struct stat *info)
{
	return (struct file_id){info->st_dev, info->st_ino, info->st_ctim};
}

int
file_id_of(const char *path, struct file_id *ret_id)
{
	struct stat info;
	int error = sys_lstat(path, &info);

	if (!error)
		*ret_id = id_from(&info);
	return error;
}

void
file_id_remove(const char *path, const struct file_id *id)
{
	struct file_id now;

	if (file_id_of(path, &now) == 0 && is_same(&now, id))
		sys_unlink(path);
}

int
lockfile_take(const char *path, struct file_id *ret_id)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct file_id named, locked;
		struct stat info;
		int fd = sys_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
		int error;

		if (fd < 0)
			return fd;
		error = sys_flock(fd, LOCK_EX | LOCK_NB);
		if (!error)
			error = sys_fstat(fd, &info);
		if (error) {
			sys_close(fd);
			return error;
		}
		/* A lock on a file that has lost its name locks nothing. */
		locked = id_from(&info);
		if (file_id_of(path, &named) == 0 && is_same(&named, &locked)) {
			*ret_id = named;
			return fd;
		}
		sys_close(fd);
	}
	return -EWOULDBLOCK;
}

/* lockfile_test.c: one holder at a time, and nobody else's file is removed. */
#include "base/lockfile.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(lockfile, .timeout = 20);

static char path[64];

static const char *
make_path(void)
{
	char folder[] = "/tmp/lockfile_test.XXXXXX";

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/lock", folder);
	return path;
}

static void
clean_up(void)
{
	unlink(path);
	*strrchr(path, '/') = '\0';
	cr_assert_eq(rmdir(path), 0);
}

Test(lockfile, has_one_holder)
{
	struct file_id id, other = {0};
	struct stat info;
	int fd = lockfile_take(make_path(), &id), copy;

	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &info), 0);
	cr_assert_eq(info.st_mode & 0777, 0600);
	cr_assert_eq(info.st_ino, id.inode);
	cr_assert_eq(lockfile_take(path, &other), -EWOULDBLOCK);
	cr_assert_eq(other.inode, 0, "untouched on failure");
	/* A duplicate holds it as well. */
	copy = dup(fd);
	close(fd);
	cr_assert_eq(lockfile_take(path, &other), -EWOULDBLOCK);
	close(copy);
	fd = lockfile_take(path, &other);
	cr_assert_geq(fd, 0);
	cr_assert_eq(other.inode, id.inode);
	close(fd);
	clean_up();
}

Test(lockfile, a_file_without_its_name_locks_nothing)
{
	struct file_id id, next;
	int fd = lockfile_take(make_path(), &id), second;

	/* The holder goes and takes the name along. */
	file_id_remove(path, &id);
	second = lockfile_take(path, &next);
	cr_assert_geq(second, 0);
	close(fd);
	close(second);
	clean_up();
}

Test(lockfile, removes_only_the_file_it_knows)
{
	struct file_id id, other;

	close(lockfile_take(make_path(), &id));
	cr_assert_eq(unlink(path), 0);
	file_id_remove(path, &id); /* nothing there */
	/* The kernel may well give it the same number, so its time must
	 * differ: that takes a tick of the coarse clock. */
	do {
		unlink(path);
		close(open(path, O_CREAT | O_WRONLY, 0600));
		cr_assert_eq(file_id_of(path, &other), 0);
	} while (other.changed.tv_sec == id.changed.tv_sec &&
		 other.changed.tv_nsec == id.changed.tv_nsec);
	file_id_remove(path, &id);
	cr_assert_eq(file_id_of(path, &other), 0);
	file_id_remove(path, &other);
	cr_assert_eq(file_id_of(path, &other), -ENOENT);
	clean_up();
}

Test(lockfile, follows_no_link)
{
	struct file_id id;

	make_path();
	cr_assert_eq(symlink("/tmp/elsewhere", path), 0);
	cr_assert_eq(lockfile_take(path, &id), -ELOOP);
	cr_assert_eq(access("/tmp/elsewhere", F_OK), -1);
	clean_up();
}

/*
 * pid_file.c: writes the pid of the supervisor where --pid-file says, and takes
 * it away again. When that is done is the fleet's business. Nothing here relies
 * on such a file: who runs is told by the lock.
 */
#include "mechanism/pid_file.h"

#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TEXT_SIZE = 16,
	MODE = 0644, /* anybody may know it */
};

int
pid_file_write(const char *path, pid_t pid)
{
	char text[TEXT_SIZE];
	int size = snprintf(text, sizeof(text), "%d\n", (int)pid);
	ssize_t r;
	/* Never waits for a FIFO's other end. */
	int fd = sys_open(path,
		O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY, MODE);

	if (fd < 0)
		return fd;
	r = sys_write(fd, text, (size_t)size);
	sys_close(fd);
	if (r == size)
		return 0;
	(void)sys_unlink(path);
	return r < 0 ? (int)r : -ENOSPC;
}

void
pid_file_remove(const char *path, pid_t pid)
{
	char text[TEXT_SIZE];
	ssize_t size;
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0)
		return;
	size = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	if (size <= 0)
		return;
	text[size] = '\0';
	if (strtol(text, NULL, 10) == pid)
		(void)sys_unlink(path);
}

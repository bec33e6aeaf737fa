/*
 * log_tail: reading a file that others write. When to look again is the
 * caller's; what becomes of a line, too.
 */
#include "log_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK = 64 * 1024,
};

int
log_tail_init(
	struct log_tail *tail, const char *path, log_tail_fn *fn, void *data)
{
	*tail = (struct log_tail){
		.path = path, .fd = -1, .fn = fn, .data = data};
	tail->line = malloc(LOG_TAIL_LINE);
	return tail->line != NULL ? 0 : -ENOMEM;
}

void
log_tail_fini(struct log_tail *tail)
{
	if (tail->fd >= 0)
		close(tail->fd);
	free(tail->line);
	*tail = (struct log_tail){.fd = -1};
}

static int
open_file(struct log_tail *tail)
{
	struct stat status;
	int fd = open(tail->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	tail->fd = fd;
	tail->device = status.st_dev;
	tail->inode = status.st_ino;
	tail->at = 0;
	return 0;
}

void
log_tail_finish(struct log_tail *tail)
{
	if (tail->size > 0)
		tail->fn(tail->line, tail->size, tail->data);
	tail->size = 0;
}

/* Cuts bytes into lines. */
static void
take(struct log_tail *tail, const char *bytes, size_t size)
{
	while (size > 0) {
		const char *feed = memchr(bytes, '\n', size);
		size_t part = feed != NULL ? (size_t)(feed - bytes) : size;
		size_t room = LOG_TAIL_LINE - tail->size;

		if (part > room)
			part = room;
		memcpy(tail->line + tail->size, bytes, part);
		tail->size += part;
		bytes += part;
		size -= part;
		if (tail->size == LOG_TAIL_LINE) {
			log_tail_finish(tail);
		} else if (feed != NULL && bytes == feed) {
			/* An empty line is one, too. */
			tail->fn(tail->line, tail->size, tail->data);
			tail->size = 0;
			bytes++;
			size--;
		}
	}
}

/* All from `at` to the end. */
static int
read_on(struct log_tail *tail)
{
	char block[BLOCK];
	ssize_t got;

	while ((got = pread(tail->fd, block, sizeof(block), tail->at)) > 0) {
		tail->at += got;
		take(tail, block, (size_t)got);
	}
	return got < 0 ? -errno : 0;
}

/* Where the last `lines` lines begin. */
static off_t
find_start(int fd, unsigned lines)
{
	char block[BLOCK];
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	unsigned seen = 0;

	while (at > 0) {
		size_t size = at < BLOCK ? (size_t)at : BLOCK;
		ssize_t got = pread(fd, block, size, at - (off_t)size);

		if (got != (ssize_t)size)
			return at;
		for (size_t i = size; i > 0; i--) {
			off_t here = at - (off_t)size + (off_t)i;

			/* The last line's own end isn't counted. */
			if (block[i - 1] != '\n' || here == end)
				continue;
			if (++seen == lines)
				return here;
		}
		at -= (off_t)size;
	}
	return 0;
}

int
log_tail_begin(struct log_tail *tail, unsigned lines)
{
	int error = open_file(tail);

	if (error < 0)
		return error;
	tail->at = lines > 0 ? find_start(tail->fd, lines)
			     : lseek(tail->fd, 0, SEEK_END);
	return read_on(tail);
}

/* Whether the name means another file by now. */
static bool
was_replaced(const struct log_tail *tail)
{
	struct stat status;

	return stat(tail->path, &status) == 0 &&
	       (status.st_ino != tail->inode || status.st_dev != tail->device);
}

int
log_tail_go_on(struct log_tail *tail)
{
	struct stat status;
	int error;

	if (tail->fd < 0) {
		error = open_file(tail);
		if (error < 0)
			return error;
	}
	if (fstat(tail->fd, &status) == 0 && status.st_size < tail->at) {
		tail->at = 0; /* it was cut off */
		tail->size = 0;
	}
	/* What was written before it was renamed comes first. */
	error = read_on(tail);
	if (error < 0 || !was_replaced(tail))
		return error;
	log_tail_finish(tail);
	close(tail->fd);
	tail->fd = -1;
	error = open_file(tail);
	return error < 0 ? error : read_on(tail);
}

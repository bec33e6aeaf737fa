/*
 * The way to stdout: what waits for it, and writing without ever blocking.
 *
 * How a line looks is mechanism/line's business, where lines come from is
 * output_pipe's. It stands alone because stdout may be anything: a terminal, a
 * file, a pipe or a socket that others write to as well.
 *
 * While a batch is under way, what waits is of this batch alone, so that the
 * count of written bytes tells how much of it was printed.
 */
#include "mechanism/output.h"

#include "base/log.h"
#include "base/sys.h"
#include "mechanism/output_state.h"
#include "mechanism/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* What is always there, so that lines go on without memory: pipes are
	 * flushed when so much waits, and one piece more has room. */
	KEEP_SIZE = OUTPUT_FLUSH_SIZE + LINE_FORMATTED_MAX,
	SHARED_WRITE_MAX = 512 /* a write that poll() says won't block */
};

static enum output_way
find_way(int fd, int *ret_fd)
{
	struct stat status;
	char path[32];
	int own;

	*ret_fd = fd;
	if (sys_fstat(fd, &status) < 0)
		return WAY_CLOSED;
	if (S_ISSOCK(status.st_mode))
		return WAY_SOCKET;
	if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
		return WAY_FILE;
	/* The description is shared with whoever started us, and with what it
	 * starts next: its flags aren't ours to change. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = sys_open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (own < 0)
		return WAY_SHARED;
	*ret_fd = own;
	return WAY_OWN;
}

static ssize_t
write_some(struct output *output, const char *bytes, size_t size)
{
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (output->way == WAY_LOG) {
		logfile_append(output->file, bytes, size);
		return (ssize_t)size;
	}
	if (output->way == WAY_SOCKET)
		return sys_sendmsg(
			output->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (output->way == WAY_SHARED) {
		struct pollfd room = {output->fd, POLLOUT, 0};

		if (sys_poll(&room, 1, 0) <= 0)
			return -EAGAIN;
		if (size > SHARED_WRITE_MAX)
			size = SHARED_WRITE_MAX;
	}
	return sys_write(output->fd, bytes, size);
}

/* Buffers ------------------------------------------------------------------ */

static void
empty(struct output_buffer *buffer)
{
	char *bytes;

	buffer->start = buffer->size = 0;
	if (buffer->room <= KEEP_SIZE)
		return;
	bytes = realloc(buffer->bytes, KEEP_SIZE);
	if (!bytes)
		return;
	buffer->bytes = bytes;
	buffer->room = KEEP_SIZE;
}

/* Room for one more formatted piece behind what waits. */
static char *
reserve(struct output_buffer *buffer)
{
	size_t need = buffer->size + LINE_FORMATTED_MAX;
	char *bytes;

	if (buffer->start && buffer->start + need > buffer->room) {
		memmove(buffer->bytes, buffer->bytes + buffer->start,
			buffer->size);
		buffer->start = 0;
	}
	if (need > buffer->room) {
		bytes = realloc(buffer->bytes, need + OUTPUT_FLUSH_SIZE);
		if (!bytes)
			return NULL;
		buffer->bytes = bytes;
		buffer->room = need + OUTPUT_FLUSH_SIZE;
	}
	return buffer->bytes + buffer->start + buffer->size;
}

/* Words that waited for the end of the batch are next. */
static void
take_words(struct output *output)
{
	struct output_buffer lines = output->lines;

	if (output->batch_pipe || output->lines.size || !output->words.size)
		return;
	output->lines = output->words;
	output->words = lines;
}

/* Writing ------------------------------------------------------------------ */

static void
close_way(struct output *output, int error)
{
	log_warn("standard output takes no more (%s): the workers' output is "
		 "dropped from now on",
		strerror(-error));
	output->way = WAY_CLOSED;
	output->dropped++;
	empty(&output->lines);
	empty(&output->words);
	ev_io_stop(output->loop, &output->writable);
}

static void
write_lines(struct output *output)
{
	struct output_buffer *lines = &output->lines;

	while (lines->size && output->way != WAY_CLOSED) {
		ssize_t n = write_some(
			output, lines->bytes + lines->start, lines->size);

		if (n == -EAGAIN)
			return;
		if (n == -ENOSPC || n == -EDQUOT || n == -EIO || n == -EFBIG) {
			/* A full disk passes; what was to go there is lost. */
			if (!output->dropped++)
				log_warn("standard output: %s: lines are lost",
					strerror((int)-n));
			break;
		}
		if (n < 0) {
			close_way(output, (int)n);
			return;
		}
		lines->start += (size_t)n;
		lines->size -= (size_t)n;
		if (output->batch_pipe) {
			output->printed += (uint64_t)n;
			output_memory_note(output->memory, output->printed);
		}
	}
	empty(lines);
}

void
output_flush(struct output *output)
{
	take_words(output);
	write_lines(output);
	if (!output->lines.size) {
		output->is_blocked = false;
		ev_io_stop(output->loop, &output->writable);
	} else if (!output->is_blocked) {
		output->is_blocked = true;
		ev_io_start(output->loop, &output->writable);
		output_pause_pipes(output);
	}
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct output *output = watcher->data;

	(void)loop;
	(void)events;
	output_flush(output);
	if (!output->is_blocked)
		output_resume_pipes(output);
}

static void
print_into(struct output *output, struct output_buffer *buffer,
	const struct line_origin *origin, const struct line_piece *piece)
{
	struct line_piece stamped = *piece;
	char stamp[STAMP_MAX];
	char *at = NULL;
	size_t size, skip;

	if (output->way != WAY_CLOSED)
		at = reserve(buffer);
	if (!at) {
		output->dropped++;
		return;
	}
	if (output->stamp) {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		(void)stamp_format(output->stamp, now, stamp);
		stamped.stamp = stamp;
	}
	size = line_format(output->style, origin, &stamped, at);
	skip = output->skip < size ? output->skip : size;
	if (skip && buffer == &output->lines) {
		/* An earlier brain wrote it before it died. */
		output->skip -= skip;
		output->printed += skip;
		size -= skip;
		memmove(at, at + skip, size);
	}
	buffer->size += size;
}

void
output_print(struct output *output, const struct line_origin *origin,
	const struct line_piece *piece)
{
	print_into(output, &output->lines, origin, piece);
}

/* Words to the master ------------------------------------------------------ */

void
output_message(struct output *output, const struct line_origin *origin,
	const char *body, size_t size)
{
	struct line_piece piece = {.continued = false, .ended = true};
	struct output_buffer *buffer =
		output->batch_pipe ? &output->words : &output->lines;

	if (buffer->size > OUTPUT_PENDING_MAX) {
		output->dropped++;
		return;
	}
	do {
		piece.text = body;
		piece.size = line_cut(body, size, LINE_PIECE_MAX);
		print_into(output, buffer, origin, &piece);
		piece.continued = true;
		body += piece.size;
		size -= piece.size;
		if (buffer->size > OUTPUT_FLUSH_SIZE)
			output_flush(output);
		if (size && buffer->size > OUTPUT_PENDING_MAX) {
			output->dropped++;
			break;
		}
	} while (size);
	if (!output->is_blocked)
		output_flush(output);
}

/* Life --------------------------------------------------------------------- */

/* All but the way. `memory` is taken over. */
static int
make(struct ev_loop *loop, enum line_style style, int memory,
	struct output **ret_output)
{
	struct output *output = calloc(1, sizeof(*output));
	int r;

	if (!output) {
		sys_close(memory);
		return -ENOMEM;
	}
	r = output_memory_open(memory, &output->memory);
	if (r < 0) {
		free(output);
		return r;
	}
	output->lines.bytes = malloc(KEEP_SIZE);
	if (!output->lines.bytes) {
		output_memory_close(&output->memory);
		free(output);
		return -ENOMEM;
	}
	output->lines.room = KEEP_SIZE;
	output->loop = loop;
	output->style = style;
	*ret_output = output;
	return 0;
}

int
output_new(struct ev_loop *loop, int fd, enum line_style style, int memory,
	struct output **ret_output)
{
	struct output *output;
	int r = make(loop, style, memory, &output);

	if (r < 0)
		return r;
	output->way = find_way(fd, &output->fd);
	output->owns_fd = output->way == WAY_OWN;
	ev_io_init(&output->writable, on_writable, output->fd, EV_WRITE);
	output->writable.data = output;
	*ret_output = output;
	return 0;
}

int
output_new_file(struct ev_loop *loop, struct logfile *file,
	enum line_style style, const char *stamp, int memory,
	struct output **ret_output)
{
	struct output *output;
	int r = make(loop, style, memory, &output);

	if (r < 0) {
		logfile_release(&file);
		return r;
	}
	output->way = WAY_LOG;
	output->file = file;
	output->stamp = stamp;
	output->fd = -1;
	/* Never started: a file takes all, or drops it. */
	ev_io_init(&output->writable, on_writable, 0, EV_WRITE);
	*ret_output = output;
	return 0;
}

void
output_free(struct output **output)
{
	if (!*output)
		return;
	ev_io_stop((*output)->loop, &(*output)->writable);
	if ((*output)->owns_fd)
		sys_close((*output)->fd);
	logfile_release(&(*output)->file);
	output_memory_close(&(*output)->memory);
	free((*output)->lines.bytes);
	free((*output)->words.bytes);
	free(*output);
	*output = NULL;
}

size_t
output_pending(const struct output *output)
{
	return output->lines.size + output->words.size;
}

uint64_t
output_dropped(const struct output *output)
{
	return output->dropped;
}

/*
 * The workers' output: reading pipes, cutting lines, writing to stdout.
 *
 * How a line looks is mechanism/line's business; which process a pipe belongs
 * to, and what its end means, is fleet's. It stands alone because everything
 * that may not block, or take without bound, from pipe to terminal is here: a
 * pipe's unread bytes (at most one line and one read), and what waits for
 * stdout (one bound for all).
 */
#include "mechanism/output.h"

#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	READ_SIZE = 65536,
	DRAIN_MAX = 4 << 20,   /* bytes of one drain: more than a pipe holds */
	FLUSH_SIZE = 65536,    /* write when so much is together */
	KEEP_SIZE = 16384,     /* a larger buffer is given back when empty */
	TAIL_LINE_MAX = 512,   /* bytes of a line that the tail keeps */
	SHARED_WRITE_MAX = 512 /* a write that poll() says won't block */
};

enum way {
	WAY_OWN,    /* a description of our own, non-blocking */
	WAY_FILE,   /* never blocks: a file, /dev/null */
	WAY_SOCKET, /* one call can be made not to block */
	WAY_SHARED, /* another's description: small writes after poll() */
	WAY_CLOSED,
};

struct output {
	struct ev_loop *loop;
	enum line_style style;
	enum way way;
	int fd;
	bool owns_fd;
	bool is_blocked;
	ev_io writable;
	char *bytes; /* what waits: from `start`, `size` bytes */
	size_t start, size, room;
	uint64_t dropped;
	struct output_pipe *pipes; /* all, newest first */
};

struct output_pipe {
	struct output *output;
	struct output_pipe *next, *previous; /* output.pipes */
	ev_io readable;
	int fd;
	char *app;
	struct line_origin origin;
	void (*on_end)(struct output_pipe *pipe, void *data);
	void *data;
	bool is_continued; /* the last piece had no newline behind it */
	bool is_released;  /* the process is gone */
	bool at_end;
	bool is_told; /* on_end was called */
	char *held;   /* read, not printed: part of a line, or stdout is full */
	size_t held_size;
	size_t scanned; /* bytes of it known to have no newline */
	char *tail;
	size_t tail_size;
};

static void resume_reading(struct output *output);

/* stdout ---------------------------------------------------------------- */

static enum way
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

static void
forget_pending(struct output *output)
{
	output->start = output->size = 0;
	if (output->room > KEEP_SIZE) {
		free(output->bytes);
		output->bytes = NULL;
		output->room = 0;
	}
}

static void
close_way(struct output *output, int error)
{
	log_warn("standard output takes no more (%s): the workers' output is "
		 "dropped from now on",
		strerror(-error));
	output->way = WAY_CLOSED;
	output->dropped++;
	forget_pending(output);
	ev_io_stop(output->loop, &output->writable);
}

/* Writes what waits; afterwards is_blocked tells whether something is left. */
static void
flush(struct output *output)
{
	while (output->size && output->way != WAY_CLOSED) {
		ssize_t n = write_some(
			output, output->bytes + output->start, output->size);

		if (n == -EAGAIN)
			break;
		if (n == -ENOSPC || n == -EDQUOT || n == -EIO || n == -EFBIG) {
			/* A full disk passes; what was to go there is lost. */
			if (!output->dropped++)
				log_warn("standard output: %s: lines are lost",
					strerror((int)-n));
			forget_pending(output);
			break;
		}
		if (n < 0) {
			close_way(output, (int)n);
			break;
		}
		output->start += (size_t)n;
		output->size -= (size_t)n;
	}
	if (!output->size) {
		forget_pending(output);
		output->is_blocked = false;
		ev_io_stop(output->loop, &output->writable);
	} else if (!output->is_blocked) {
		output->is_blocked = true;
		ev_io_start(output->loop, &output->writable);
		for (struct output_pipe *pipe = output->pipes; pipe;
			pipe = pipe->next)
			ev_io_stop(output->loop, &pipe->readable);
	}
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct output *output = watcher->data;

	(void)loop;
	(void)events;
	flush(output);
	if (!output->is_blocked)
		resume_reading(output);
}

/* Room for one more formatted piece behind what waits. */
static char *
reserve(struct output *output)
{
	size_t need = output->size + LINE_FORMATTED_MAX;
	char *bytes;

	if (output->start && output->start + need > output->room) {
		memmove(output->bytes, output->bytes + output->start,
			output->size);
		output->start = 0;
	}
	if (need > output->room) {
		bytes = realloc(output->bytes, need + FLUSH_SIZE);
		if (!bytes)
			return NULL;
		output->bytes = bytes;
		output->room = need + FLUSH_SIZE;
	}
	return output->bytes + output->start + output->size;
}

static void
print(struct output *output, const struct line_origin *origin,
	const struct line_piece *piece)
{
	char *at;

	if (output->way == WAY_CLOSED) {
		output->dropped++;
		return;
	}
	at = reserve(output);
	if (!at) {
		output->dropped++;
		return;
	}
	output->size += line_format(output->style, origin, piece, at);
}

int
output_new(struct ev_loop *loop, int fd, enum line_style style,
	struct output **ret_output)
{
	struct output *output = calloc(1, sizeof(*output));

	if (!output)
		return -ENOMEM;
	output->loop = loop;
	output->style = style;
	output->way = find_way(fd, &output->fd);
	output->owns_fd = output->way == WAY_OWN;
	ev_io_init(&output->writable, on_writable, output->fd, EV_WRITE);
	output->writable.data = output;
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
	free((*output)->bytes);
	free(*output);
	*output = NULL;
}

size_t
output_pending(const struct output *output)
{
	return output->size;
}

uint64_t
output_dropped(const struct output *output)
{
	return output->dropped;
}

void
output_message(struct output *output, const struct line_origin *origin,
	const char *body, size_t size)
{
	struct line_piece piece = {.continued = false, .ended = true};

	if (output->size > OUTPUT_PENDING_MAX) {
		output->dropped++;
		return;
	}
	do {
		piece.text = body;
		piece.size = line_cut(body, size, LINE_PIECE_MAX);
		print(output, origin, &piece);
		piece.continued = true;
		body += piece.size;
		size -= piece.size;
		if (output->size > FLUSH_SIZE)
			flush(output);
		if (size && output->size > OUTPUT_PENDING_MAX) {
			output->dropped++;
			break;
		}
	} while (size);
	flush(output);
}

/* Pipes ----------------------------------------------------------------- */

/* Keeps the end of what was printed: whole lines, the newest ones. */
static void
keep_tail(struct output_pipe *pipe, const struct line_piece *piece)
{
	size_t size = piece->size < TAIL_LINE_MAX ? piece->size : TAIL_LINE_MAX;
	const char *from;

	if (pipe->origin.stream != LINE_STDERR)
		return;
	if (!pipe->tail)
		pipe->tail = malloc(2 * OUTPUT_TAIL_BYTES);
	if (!pipe->tail)
		return;
	if (pipe->tail_size + size + 1 > 2 * OUTPUT_TAIL_BYTES) {
		from = output_pipe_tail(pipe, &pipe->tail_size);
		memmove(pipe->tail, from, pipe->tail_size);
	}
	memcpy(pipe->tail + pipe->tail_size, piece->text, size);
	pipe->tail_size += size;
	pipe->tail[pipe->tail_size++] = '\n';
}

const char *
output_pipe_tail(const struct output_pipe *pipe, size_t *ret_size)
{
	size_t at = pipe->tail_size, start = at;
	int lines = 0;

	/* Back from the end, line by line, while both bounds hold. */
	while (at > 0 && lines < OUTPUT_TAIL_LINES) {
		at--;
		while (at > 0 && pipe->tail[at - 1] != '\n')
			at--;
		if (pipe->tail_size - at > OUTPUT_TAIL_BYTES)
			break;
		start = at;
		lines++;
	}
	*ret_size = pipe->tail_size - start;
	return pipe->tail ? pipe->tail + start : "";
}

static void
print_piece(struct output_pipe *pipe, const char *text, size_t size, bool ended)
{
	struct line_piece piece = {text, size, pipe->is_continued, ended};

	if (ended && size && text[size - 1] == '\r' &&
		pipe->output->style != LINE_RAW)
		piece.size--;
	pipe->is_continued = !ended;
	keep_tail(pipe, &piece);
	print(pipe->output, &pipe->origin, &piece);
}

/*
 * Prints the pieces that are whole in `bytes`; the last part of a line only
 * when `all` says that nothing follows it. Returns how many bytes it took:
 * fewer than there are also when stdout is full.
 */
static size_t
take_lines(struct output_pipe *pipe, const char *bytes, size_t size, bool all)
{
	struct output *output = pipe->output;
	size_t taken = 0;

	while (taken < size) {
		const char *line = bytes + taken;
		size_t left = size - taken, piece;
		const char *newline = memchr(
			line + pipe->scanned, '\n', left - pipe->scanned);

		if (output->size > FLUSH_SIZE) {
			flush(output);
			if (output->size > FLUSH_SIZE)
				return taken;
		}
		if (newline && newline - line <= LINE_PIECE_MAX) {
			piece = (size_t)(newline - line);
			print_piece(pipe, line, piece, true);
			taken += piece + 1;
		} else if (left > LINE_PIECE_MAX) {
			piece = line_cut(line, left, LINE_PIECE_MAX);
			print_piece(pipe, line, piece, false);
			taken += piece;
		} else if (all) {
			print_piece(pipe, line, left, false);
			taken = size;
		} else {
			pipe->scanned = left;
			return taken;
		}
		pipe->scanned = 0;
	}
	return taken;
}

/* Keeps `bytes` behind what is held already. False without memory. */
static bool
hold(struct output_pipe *pipe, const char *bytes, size_t size)
{
	char *held;

	if (!size)
		return true;
	held = realloc(pipe->held, pipe->held_size + size);
	if (!held) {
		pipe->output->dropped++;
		pipe->scanned = 0;
		return false;
	}
	memcpy(held + pipe->held_size, bytes, size);
	pipe->held = held;
	pipe->held_size += size;
	return true;
}

static void
take_held(struct output_pipe *pipe, bool all)
{
	size_t taken = take_lines(pipe, pipe->held, pipe->held_size, all);

	pipe->held_size -= taken;
	if (!pipe->held_size) {
		free(pipe->held);
		pipe->held = NULL;
		return;
	}
	if (taken)
		memmove(pipe->held, pipe->held + taken, pipe->held_size);
}

static void
take_bytes(struct output_pipe *pipe, const char *bytes, size_t size)
{
	size_t taken = 0;

	if (!pipe->held_size) {
		taken = take_lines(pipe, bytes, size, false);
		(void)hold(pipe, bytes + taken, size - taken);
	} else if (hold(pipe, bytes, size)) {
		take_held(pipe, false);
	}
}

/*
 * Reads once. Returns the bytes read, 0 at the pipe's end (also when reading
 * failed: nothing more can come), -EAGAIN when nothing waits.
 */
static ssize_t
read_once(struct output_pipe *pipe)
{
	char bytes[READ_SIZE];
	ssize_t n = sys_read(pipe->fd, bytes, sizeof(bytes));

	if (n > 0)
		take_bytes(pipe, bytes, (size_t)n);
	else if (n != -EAGAIN)
		n = 0;
	return n;
}

/* After the last byte: prints what is left, and tells the owner. */
static void
finish(struct output_pipe *pipe)
{
	pipe->at_end = true;
	ev_io_stop(pipe->output->loop, &pipe->readable);
	take_held(pipe, true);
	flush(pipe->output);
	/* While stdout is full, resume_reading comes back to this pipe. */
	if (pipe->held_size || pipe->is_told)
		return;
	pipe->is_told = true;
	pipe->on_end(pipe, pipe->data);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct output_pipe *pipe = watcher->data;

	(void)loop;
	(void)events;
	if (read_once(pipe) == 0) {
		finish(pipe);
		return;
	}
	/* What comes after a process's end is a grandchild's: a line that it
	 * has begun may never be ended. */
	if (pipe->is_released)
		take_held(pipe, true);
	flush(pipe->output);
}

/* stdout takes again: first what the pipes hold, then what is in them. */
static void
resume_reading(struct output *output)
{
	struct output_pipe *pipe = output->pipes;

	while (pipe && !output->is_blocked) {
		if (pipe->at_end && !pipe->is_told) {
			finish(pipe);
			/* Its owner may have freed this one and others. */
			pipe = output->pipes;
			continue;
		}
		if (pipe->held_size)
			take_held(pipe, pipe->is_released);
		flush(output);
		if (!output->is_blocked && !pipe->at_end)
			ev_io_start(output->loop, &pipe->readable);
		pipe = pipe->next;
	}
}

int
output_pipe_new(struct output *output, int fd, const struct line_origin *origin,
	void (*on_end)(struct output_pipe *pipe, void *data), void *data,
	struct output_pipe **ret_pipe)
{
	struct output_pipe *pipe = calloc(1, sizeof(*pipe));
	int r = sys_fcntl(fd, F_SETFL, O_NONBLOCK);

	if (pipe)
		pipe->app = strdup(origin->app);
	if (r < 0 || !pipe || !pipe->app) {
		if (pipe)
			free(pipe->app);
		free(pipe);
		sys_close(fd);
		return r < 0 ? r : -ENOMEM;
	}
	pipe->output = output;
	pipe->fd = fd;
	pipe->origin = *origin;
	pipe->origin.app = pipe->app;
	pipe->on_end = on_end;
	pipe->data = data;
	ev_io_init(&pipe->readable, on_readable, fd, EV_READ);
	pipe->readable.data = pipe;
	pipe->next = output->pipes;
	if (pipe->next)
		pipe->next->previous = pipe;
	output->pipes = pipe;
	if (!output->is_blocked)
		ev_io_start(output->loop, &pipe->readable);
	*ret_pipe = pipe;
	return 0;
}

void
output_pipe_free(struct output_pipe **pipe)
{
	struct output_pipe *at = *pipe;

	if (!at)
		return;
	ev_io_stop(at->output->loop, &at->readable);
	if (at->previous)
		at->previous->next = at->next;
	else
		at->output->pipes = at->next;
	if (at->next)
		at->next->previous = at->previous;
	sys_close(at->fd);
	free(at->held);
	free(at->tail);
	free(at->app);
	free(at);
	*pipe = NULL;
}

void
output_pipe_set_pid(struct output_pipe *pipe, int32_t pid)
{
	pipe->origin.pid = pid;
}

void
output_pipe_drain(struct output_pipe *pipe)
{
	struct output *output = pipe->output;
	size_t total = 0;

	pipe->is_released = true;
	while (!pipe->at_end && !output->is_blocked && total < DRAIN_MAX) {
		ssize_t n = read_once(pipe);

		if (n == 0) {
			finish(pipe);
			return;
		}
		if (n < 0)
			break;
		total += (size_t)n;
		if (output->size > FLUSH_SIZE)
			flush(output);
	}
	if (!pipe->at_end) {
		take_held(pipe, true);
		flush(output);
	}
}

/*
 * The workers' pipes: reading, cutting lines, batches, ends.
 *
 * How a line looks is mechanism/line's business, writing to stdout output.c's,
 * files are mechanism/logfile's; which process a pipe belongs to, and what its
 * end means, is fleet's.
 *
 * One batch at a time: its bytes lie in the memory until the last of their
 * lines is written. While stdout is full one stays under way, and no other pipe
 * that goes to stdout is read; so the brain's own memory holds nothing that
 * only it has.
 */
#include "base/log.h"
#include "base/sys.h"
#include "mechanism/output_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum {
	DRAIN_MAX = 4 << 20, /* bytes of one drain: more than a pipe holds */
};

/* Lines -------------------------------------------------------------------- */

static void
print_piece(struct output_pipe *pipe, const char *text, size_t size, bool ended)
{
	struct line_piece piece = {.text = text,
		.size = size,
		.continued = pipe->is_continued,
		.ended = ended};

	if (ended && size && text[size - 1] == '\r' &&
		pipe->output->style != LINE_RAW)
		piece.size--;
	pipe->is_continued = !ended;
	output_tail_keep(pipe, &piece);
	output_print(pipe->output, &pipe->origin, &piece);
}

/* The size of the piece that is whole at the batch's start, its newline
 * included; 0: none is. */
static size_t
next_piece(const struct output *output, bool *ret_ended)
{
	const struct output_batch *batch = &output->batch;
	size_t most = batch->size < LINE_PIECE_MAX + 1 ? batch->size
						       : LINE_PIECE_MAX + 1;
	const char *newline = memchr(batch->bytes, '\n', most);

	*ret_ended = newline;
	if (newline)
		return (size_t)(newline - batch->bytes) + 1;
	if (batch->size > LINE_PIECE_MAX)
		return line_cut(batch->bytes, batch->size, LINE_PIECE_MAX);
	return output->takes_all ? batch->size : 0;
}

/* Prints the pieces that are whole. False: stdout is full. */
static bool
take_lines(struct output *output)
{
	struct output_batch *batch = &output->batch;
	size_t size;
	bool ended;

	while (batch->size && (size = next_piece(output, &ended))) {
		if (output->lines.size > OUTPUT_FLUSH_SIZE) {
			output_flush(output);
			if (output->lines.size > OUTPUT_FLUSH_SIZE)
				return false;
		}
		print_piece(
			output->batch_pipe, batch->bytes, size - ended, ended);
		batch->bytes += size;
		batch->size -= size;
	}
	return true;
}

/* Batches ------------------------------------------------------------------ */

/* False: stdout is full; output_resume_pipes goes on. */
static bool
go_on(struct output *output)
{
	struct output_pipe *pipe = output->batch_pipe;

	if (!pipe)
		return true;
	if (!take_lines(output))
		return false;
	output_flush(output);
	if (output->lines.size)
		return false;
	output->batch_pipe = NULL;
	output->skip = 0;
	output_memory_end(
		output->memory, output->batch.size, pipe->is_continued);
	/* Messages that came meanwhile. */
	output_flush(output);
	return true;
}

/* The memory has begun a batch of `pipe`. */
static void
begin(struct output_pipe *pipe, bool takes_all, uint64_t skip)
{
	struct output *output = pipe->output;

	output->batch_pipe = pipe;
	output->takes_all = takes_all;
	output->printed = 0;
	output->skip = skip;
	pipe->is_continued = output->batch.is_continued;
	(void)go_on(output);
}

/* There is no memory to put it into: better lost than a worker that waits. */
static ssize_t
read_away(struct output_pipe *pipe)
{
	char bytes[4096];
	ssize_t n = sys_read(pipe->fd, bytes, sizeof(bytes));

	if (n > 0 && !pipe->output->dropped++)
		log_warn("no memory for the workers' output: lines are lost");
	return n;
}

/*
 * Reads once. Returns the bytes read, 0 at the pipe's end (also when reading
 * failed: nothing more can come), -EAGAIN when nothing waits.
 */
static ssize_t
read_once(struct output_pipe *pipe, bool takes_all)
{
	struct output *output = pipe->output;
	ssize_t n = output_memory_take(output->memory, pipe->slot,
		pipe->origin.pid, pipe->fd, &output->batch);

	if (n > 0)
		begin(pipe, takes_all, 0);
	else if (n < 0 && n != -EAGAIN)
		n = read_away(pipe);
	return n < 0 && n != -EAGAIN ? 0 : n;
}

/* Prints the unfinished line. */
static void
take_kept(struct output_pipe *pipe)
{
	struct output *output = pipe->output;

	if (output->is_blocked ||
		output_memory_is_empty(output->memory, pipe->slot))
		return;
	output_memory_take_kept(
		output->memory, pipe->slot, pipe->origin.pid, &output->batch);
	begin(pipe, true, 0);
}

/* What an earlier brain took and did not, or not wholly, print. */
static void
take_over(struct output_pipe *pipe)
{
	struct output *output = pipe->output;
	int32_t pid, own = pipe->origin.pid;
	uint64_t printed;

	if (!output_memory_find(
		    output->memory, pipe->slot, &pid, &printed, &output->batch))
		return;
	/* What it printed can only be skipped in the very same words. */
	pipe->origin.pid = pid;
	begin(pipe, false, printed);
	pipe->origin.pid = own;
}

/* Ends --------------------------------------------------------------------- */

/* After the last byte: prints what is left, and tells the owner. */
static void
finish(struct output_pipe *pipe)
{
	struct output *output = pipe->output;

	pipe->at_end = true;
	ev_io_stop(output->loop, &pipe->readable);
	if (!pipe->feed) {
		take_kept(pipe);
		/* While stdout is full, output_resume_pipes comes back. */
		if (output->batch_pipe == pipe ||
			!output_memory_is_empty(output->memory, pipe->slot))
			return;
	}
	if (pipe->is_told)
		return;
	pipe->is_told = true;
	pipe->on_end(pipe, pipe->data);
}

static void
feed_file(struct output_pipe *pipe)
{
	ssize_t n = logfile_take(pipe->feed, false);

	if (n == 0)
		finish(pipe);
	else if (n == -EBUSY)
		ev_io_stop(pipe->output->loop, &pipe->readable);
}

/* Another worker's line in the file is finished. */
static void
on_turn(void *data)
{
	struct output_pipe *pipe = data;

	if (!pipe->at_end)
		ev_io_start(pipe->output->loop, &pipe->readable);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct output_pipe *pipe = watcher->data;

	(void)loop;
	(void)events;
	/* What comes after a process's end is a grandchild's: a line that it
	 * has begun may never be ended. */
	if (pipe->feed)
		feed_file(pipe);
	else if (read_once(pipe, pipe->is_released) == 0)
		finish(pipe);
}

static void
drain_to_stdout(struct output_pipe *pipe)
{
	struct output *output = pipe->output;
	ssize_t n = 1;

	for (size_t total = 0;
		n > 0 && !output->is_blocked && total < DRAIN_MAX;
		total += (size_t)n) {
		n = read_once(pipe, false);
		if (n < 0)
			break;
	}
	if (n == 0)
		finish(pipe);
	else
		take_kept(pipe);
}

static void
drain_to_file(struct output_pipe *pipe)
{
	ssize_t n = 1;

	for (size_t total = 0; n > 0 && total < DRAIN_MAX;
		total += (size_t)(n > 0 ? n : 0))
		n = logfile_take(pipe->feed, true);
	if (n == 0)
		finish(pipe);
}

void
output_pipe_drain(struct output_pipe *pipe)
{
	pipe->is_released = true;
	if (pipe->at_end)
		return;
	if (pipe->feed)
		drain_to_file(pipe);
	else
		drain_to_stdout(pipe);
}

/* All of them -------------------------------------------------------------- */

void
output_pause_pipes(struct output *output)
{
	for (struct output_pipe *pipe = output->pipes; pipe; pipe = pipe->next)
		if (!pipe->feed)
			ev_io_stop(output->loop, &pipe->readable);
}

/* First what is in the memory, then what is in the pipes. */
void
output_resume_pipes(struct output *output)
{
	struct output_pipe *pipe;

	if (!go_on(output))
		return;
	pipe = output->pipes;
	while (pipe && !output->is_blocked) {
		if (pipe->feed || pipe->is_told) {
			pipe = pipe->next;
			continue;
		}
		if (pipe->at_end) {
			finish(pipe);
			/* Its owner may have freed this one and others. */
			pipe = output->pipes;
			continue;
		}
		if (pipe->is_released)
			take_kept(pipe);
		if (!output->is_blocked)
			ev_io_start(output->loop, &pipe->readable);
		pipe = pipe->next;
	}
}

/* Life --------------------------------------------------------------------- */

static struct output_pipe *
make(struct output *output, int fd, const struct output_source *source)
{
	struct output_pipe *pipe = calloc(1, sizeof(*pipe));

	if (!pipe)
		return NULL;
	pipe->app = strdup(source->origin.app);
	if (pipe->app && source->file)
		pipe->feed = logfile_feed_new(
			source->file, fd, source->slot, on_turn, pipe);
	if (!pipe->app || (source->file && !pipe->feed)) {
		free(pipe->app);
		free(pipe);
		return NULL;
	}
	pipe->output = output;
	pipe->fd = fd;
	pipe->slot = source->slot;
	pipe->origin = source->origin;
	pipe->origin.app = pipe->app;
	return pipe;
}

int
output_pipe_new(struct output *output, int fd,
	const struct output_source *source,
	void (*on_end)(struct output_pipe *pipe, void *data), void *data,
	struct output_pipe **ret_pipe)
{
	struct logfile *file = source->file;
	struct output_pipe *pipe = NULL;
	int r = source->slot < OUTPUT_SLOTS ? 0 : -ERANGE;

	if (r >= 0)
		r = sys_fcntl(fd, F_SETFL, O_NONBLOCK);
	if (r >= 0) {
		pipe = make(output, fd, source);
		r = pipe ? 0 : -ENOMEM;
	}
	/* A feed holds a reference of its own. */
	logfile_release(&file);
	if (r < 0) {
		sys_close(fd);
		return r;
	}
	pipe->on_end = on_end;
	pipe->data = data;
	ev_io_init(&pipe->readable, on_readable, fd, EV_READ);
	pipe->readable.data = pipe;
	pipe->next = output->pipes;
	if (pipe->next)
		pipe->next->previous = pipe;
	output->pipes = pipe;
	if (source->is_new)
		output_memory_clear(output->memory, pipe->slot);
	else
		take_over(pipe);
	if (pipe->feed || !output->is_blocked)
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
	if (at->output->batch_pipe == at)
		at->output->batch_pipe = NULL;
	logfile_feed_free(&at->feed);
	sys_close(at->fd);
	free(at->tail);
	free(at->app);
	free(at);
	*pipe = NULL;
}

void
output_pipe_discard(struct output_pipe **pipe)
{
	struct output *output;
	uint32_t slot;

	if (!*pipe)
		return;
	output = (*pipe)->output;
	slot = (*pipe)->slot;
	output_pipe_free(pipe);
	output_memory_clear(output->memory, slot);
}

void
output_pipe_set_pid(struct output_pipe *pipe, int32_t pid)
{
	pipe->origin.pid = pid;
}

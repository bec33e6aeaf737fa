/*
 * The last lines of a process's stderr, for who wants to know why it ended.
 *
 * Of what is printed a copy is kept; of what goes to a file nothing is, since
 * the file has it.
 */
#include "mechanism/output.h"

#include "mechanism/output_state.h"

#include <stdlib.h>
#include <string.h>

enum {
	TAIL_ROOM = 2 * OUTPUT_TAIL_BYTES,
	TAIL_LINE_MAX = 512, /* bytes of a line that the tail keeps */
};

/* Where the last lines of the tail begin, within both bounds. */
static size_t
start_of_tail(const struct output_pipe *pipe)
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
	return start;
}

void
output_tail_keep(struct output_pipe *pipe, const struct line_piece *piece)
{
	size_t size = piece->size < TAIL_LINE_MAX ? piece->size : TAIL_LINE_MAX;
	size_t start;

	if (pipe->origin.stream != LINE_STDERR)
		return;
	if (!pipe->tail)
		pipe->tail = malloc(TAIL_ROOM);
	if (!pipe->tail)
		return;
	if (pipe->tail_size + size + 1 > TAIL_ROOM) {
		start = start_of_tail(pipe);
		pipe->tail_size -= start;
		memmove(pipe->tail, pipe->tail + start, pipe->tail_size);
	}
	memcpy(pipe->tail + pipe->tail_size, piece->text, size);
	pipe->tail_size += size;
	pipe->tail[pipe->tail_size++] = '\n';
}

static void
read_file(struct output_pipe *pipe)
{
	if (!pipe->tail)
		pipe->tail = malloc(TAIL_ROOM);
	if (!pipe->tail)
		return;
	pipe->tail_size = logfile_read_tail(
		pipe->feed, pipe->tail, OUTPUT_TAIL_BYTES - 1);
	if (pipe->tail_size && pipe->tail[pipe->tail_size - 1] != '\n')
		pipe->tail[pipe->tail_size++] = '\n';
}

const char *
output_pipe_tail(struct output_pipe *pipe, size_t *ret_size)
{
	size_t start;

	if (pipe->feed && pipe->origin.stream == LINE_STDERR)
		read_file(pipe);
	start = start_of_tail(pipe);
	*ret_size = pipe->tail_size - start;
	return pipe->tail ? pipe->tail + start : "";
}

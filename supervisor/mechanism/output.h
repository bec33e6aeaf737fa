/*
 * output.h: from the workers' stdout and stderr to the supervisor's own stdout,
 * or to a file.
 *
 * To a file bytes go as they are (mechanism/logfile). Else pipes are read up to
 * 64 KiB a turn, cut into lines, and written to one descriptor, without ever
 * blocking. While that one takes nothing, no pipe is read: the workers feel it
 * as they would feel a terminal that is stopped. A closed stdout drops lines
 * and counts them, and kills nobody.
 *
 * A line longer than LINE_PIECE_MAX is printed in pieces (line.h shows how they
 * are marked). A carriage return in front of a newline is dropped, but not in
 * raw style.
 *
 * A brain that dies loses nothing of what workers print: what was taken out of
 * a pipe lies in a memory that outlives it (output_memory.h) until it is
 * written. What one call wrote just before a kill may appear twice.
 *
 * Loop's thread only. on_end is called from the loop or from output_pipe_drain;
 * it may free the pipe.
 */
#ifndef MUSTER_OUTPUT_H
#define MUSTER_OUTPUT_H

#include "mechanism/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct logfile;
struct output;
struct output_pipe;

enum {
	OUTPUT_TAIL_LINES = 20,	     /* of stderr, kept for each process */
	OUTPUT_TAIL_BYTES = 4096,    /* … and no more than this */
	OUTPUT_PENDING_MAX = 262144, /* bytes that wait for stdout */
};

/*
 * Makes the way to `fd` (borrowed; a description of its own is opened where
 * that is possible, so that nobody else's flags change). `memory` is the file
 * of output_memory_make, of this brain or an earlier one; it is taken over,
 * also on failure.
 * Returns 0; -ENOMEM; or as output_memory_open.
 */
int output_new(struct ev_loop *loop, int fd, enum line_style style, int memory,
	struct output **ret_output);

/*
 * The same to a log file (a reference is taken over, also on failure), which
 * never blocks: what it doesn't take is lost, and counted there. `stamp` is a
 * format of stamp.h, borrowed for the output's life.
 */
int output_new_file(struct ev_loop *loop, struct logfile *file,
	enum line_style style, const char *stamp, int memory,
	struct output **ret_output);
void output_free(struct output **output); /* after its pipes */

/* Bytes that wait for stdout; 0 also when it is closed. */
size_t output_pending(const struct output *output);

/* Lines that were dropped since stdout was closed or messages overran it. */
uint64_t output_dropped(const struct output *output);

/*
 * Prints a worker's word to its master. Dropped and counted while more than
 * OUTPUT_PENDING_MAX bytes wait.
 */
void output_message(struct output *output, const struct line_origin *origin,
	const char *body, size_t size);

/* Whose pipe it is, and where to it goes. */
struct output_source {
	struct line_origin origin; /* copied, its `app` included */
	uint32_t slot;		   /* as in output_memory.h */
	bool is_new;		   /* nothing of it was ever read */
	struct logfile *file;	   /* NULL: to stdout; else taken over, also on
				      failure */
};

/*
 * Reads `fd` (the read end of a worker's pipe, taken over, also on failure)
 * from now on. What an earlier brain took out of it and didn't print is printed
 * first.
 * Returns 0; -ENOMEM; -ERANGE: no such slot; or what making it non-blocking
 * said.
 */
int output_pipe_new(struct output *output, int fd,
	const struct output_source *source,
	void (*on_end)(struct output_pipe *pipe, void *data), void *data,
	struct output_pipe **ret_pipe);

/* What is unfinished of it stays in the memory, for the next brain. */
void output_pipe_free(struct output_pipe **pipe);

/* The same, and nobody will want it any more. */
void output_pipe_discard(struct output_pipe **pipe);

/* Tells the number of the process, once it is known. */
void output_pipe_set_pid(struct output_pipe *pipe, int32_t pid);

/*
 * The process has ended: reads what there is now, until nothing is left, the
 * end, or stdout is full. What is behind that, or what a grandchild that still
 * holds the pipe prints later, is read by the loop until the pipe's end.
 */
void output_pipe_drain(struct output_pipe *pipe);

/*
 * The last lines of a stderr pipe, oldest first, each with its newline, control
 * characters included. Returns borrowed text of `*ret_size` bytes, valid until
 * the next turn of the loop. Where it goes to a file, it is what stands there,
 * as far as no other worker's lines stand between.
 */
const char *output_pipe_tail(struct output_pipe *pipe, size_t *ret_size);

#endif

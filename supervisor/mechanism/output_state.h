/*
 * output_state.h: what the files of output share: output.c (stdout),
 * output_pipe.c (pipes and batches), output_tail.c.
 */
#ifndef MUSTER_OUTPUT_STATE_H
#define MUSTER_OUTPUT_STATE_H

#include "mechanism/logfile.h"
#include "mechanism/output.h"
#include "mechanism/output_memory.h"

#include <ev.h>

enum {
	OUTPUT_FLUSH_SIZE = 65536, /* write when so much is together */
};

enum output_way {
	WAY_OWN,    /* a description of our own, non-blocking */
	WAY_FILE,   /* never blocks: a file, /dev/null */
	WAY_SOCKET, /* one call can be made not to block */
	WAY_SHARED, /* another's description: small writes after poll() */
	WAY_LOG,    /* a log file, by logfile_append */
	WAY_CLOSED,
};

struct output_buffer {
	char *bytes; /* what waits: from `start`, `size` bytes */
	size_t start, size, room;
};

struct output {
	struct ev_loop *loop;
	enum line_style style;
	enum output_way way;
	struct logfile *file; /* of WAY_LOG */
	const char *stamp;    /* how the time is told, or NULL */
	int fd;
	bool owns_fd;
	bool is_blocked;
	ev_io writable;
	struct output_buffer lines; /* of messages, or of the batch alone */
	struct output_buffer words; /* messages that wait for its end */
	uint64_t dropped;
	struct output_pipe *pipes; /* all, newest first */

	struct output_memory *memory;
	struct output_pipe *batch_pipe; /* whose batch it is, or NULL */
	struct output_batch batch;	/* what is left of it */
	bool takes_all;	  /* its unfinished line is printed, too */
	uint64_t printed; /* formatted bytes of it that were written */
	uint64_t skip;	  /* so many more were, by an earlier brain */
};

struct output_pipe {
	struct output *output;
	struct output_pipe *next, *previous; /* output.pipes */
	ev_io readable;
	int fd;
	char *app;
	struct line_origin origin;
	uint32_t slot;
	struct logfile_feed *feed; /* where it goes to a file, or NULL */
	void (*on_end)(struct output_pipe *pipe, void *data);
	void *data;
	bool is_continued; /* the last piece had no newline behind it */
	bool is_released;  /* the process is gone */
	bool at_end;
	bool is_told; /* on_end was called */
	char *tail;
	size_t tail_size;
};

/* Formats a piece behind what waits, in front of which nothing is lost. */
void output_print(struct output *output, const struct line_origin *origin,
	const struct line_piece *piece);

/* Writes what waits; afterwards is_blocked tells whether something is left. */
void output_flush(struct output *output);

/* stdout takes nothing, so no pipe that goes there is read; and the contrary.
 */
void output_pause_pipes(struct output *output);
void output_resume_pipes(struct output *output);

/* Keeps the end of what was printed: whole lines, the newest ones. */
void output_tail_keep(struct output_pipe *pipe, const struct line_piece *piece);

#endif

/*
 * output_memory.h: output that was taken out of a pipe and not printed yet, in
 * a memory file that outlives the brain.
 *
 * Bytes leave a pipe by one system call that moves them into the file and
 * moves the file's position on: so after a kill the position tells how many
 * were taken. They are one batch, of one pipe. What isn't printed of a batch
 * is an unfinished line, and is kept for its pipe in a place of its own; a new
 * batch of that pipe begins with it. One store ends a batch: before it the
 * whole batch is there, after it what is kept.
 *
 * A pipe is known by its slot, a number that it has for its whole life, also
 * under the next brain. A place that was never used takes no memory.
 */
#ifndef MUSTER_OUTPUT_MEMORY_H
#define MUSTER_OUTPUT_MEMORY_H

#include "mechanism/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	OUTPUT_SLOTS = 16384,
	OUTPUT_BATCH_SIZE = 65536,	   /* taken at once, at most */
	OUTPUT_KEPT_SIZE = LINE_PIECE_MAX, /* of an unfinished line */
};

struct output_memory;

/* A batch under way. */
struct output_batch {
	const char *bytes; /* the unfinished line first; borrowed */
	size_t size;
	bool is_continued; /* they go on with a line that was cut */
};

/* Makes the memory file, of zeros. Returns its descriptor, the caller's; or
 * what making it said. */
int output_memory_make(void);

/*
 * Opens the memory in `fd` (taken over, also on failure), which every brain
 * must have from the same open of the file.
 * Returns 0; -EPROTO: it is another file; -ENOMEM; or what mapping it said.
 */
int output_memory_open(int fd, struct output_memory **ret_memory);
void output_memory_close(struct output_memory **memory);

/* Forgets what is kept for `slot`, and gives its memory back. */
void output_memory_clear(struct output_memory *memory, uint32_t slot);

/* Whether nothing is kept for `slot`. */
bool output_memory_is_empty(const struct output_memory *memory, uint32_t slot);

/*
 * Begins a batch: takes what the pipe `fd` holds, behind what is kept for
 * `slot`. None may be under way. `pid` is kept with it.
 * Returns how many bytes were taken; 0: the pipe's end; -EAGAIN: nothing
 * waits; or what moving them said. Only above 0 a batch is under way.
 */
ssize_t output_memory_take(struct output_memory *memory, uint32_t slot,
	int32_t pid, int fd, struct output_batch *ret_batch);

/* The same with nothing but what is kept: it shall be printed as it is. */
void output_memory_take_kept(struct output_memory *memory, uint32_t slot,
	int32_t pid, struct output_batch *ret_batch);

/*
 * Whether an earlier brain died in a batch of `slot`; then it is under way
 * again, `ret_pid` and `ret_printed` tell what was noted with it.
 */
bool output_memory_find(struct output_memory *memory, uint32_t slot,
	int32_t *ret_pid, uint64_t *ret_printed,
	struct output_batch *ret_batch);

/* Notes how many formatted bytes of the batch were written so far. */
void output_memory_note(struct output_memory *memory, uint64_t printed);

/*
 * Ends the batch: its last `left` bytes, at most OUTPUT_KEPT_SIZE, are kept.
 * `is_continued` says that they go on with a line that was cut.
 */
void output_memory_end(
	struct output_memory *memory, size_t left, bool is_continued);

#endif

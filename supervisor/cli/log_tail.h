/*
 * log_tail.h: the end of a log file, and what is written to it from now on,
 * line by line. Follows a file that is renamed and made anew, cut off, or made
 * later.
 */
#ifndef MUSTER_LOG_TAIL_H
#define MUSTER_LOG_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	LOG_TAIL_LINE = 64 * 1024, /* a longer line comes in pieces */
};

/* A whole line without its end, or a piece of a longer one. */
typedef void log_tail_fn(const char *line, size_t size, void *data);

struct log_tail {
	const char *path; /* borrowed */
	int fd;		  /* -1: there is no file yet */
	dev_t device;
	ino_t inode;
	off_t at;
	char *line; /* not whole yet */
	size_t size;
	log_tail_fn *fn;
	void *data;
};

/* Nothing is opened yet. Returns 0 or -ENOMEM. */
int log_tail_init(
	struct log_tail *tail, const char *path, log_tail_fn *fn, void *data);
void log_tail_fini(struct log_tail *tail);

/* Opens the file and gives its last `lines` lines. Returns 0; -ENOENT: there is
 * none (yet); or what open and read say. */
int log_tail_begin(struct log_tail *tail, unsigned lines);

/* Gives what is new, of a file that took its place as well. Returns as
 * log_tail_begin. */
int log_tail_go_on(struct log_tail *tail);

/* Gives the last piece that has no end of line. */
void log_tail_finish(struct log_tail *tail);

#endif

/*
 * logfile.h: workers' output as it is, from pipes into files.
 *
 * A pipe is spliced: one system call takes bytes out of it and puts them at the
 * file's end, so whenever a brain is killed, every byte is in the one or in the
 * other. Where a file ends its size tells; it is looked at before each batch,
 * so that one which somebody else has emptied has no hole. The file isn't
 * opened for appending, since nothing can be spliced then.
 *
 * Several pipes may go to one file. Who is in the middle of a line goes on
 * first, for as long as LOGFILE_LINE_MS; then, and where a process has ended,
 * its line is interrupted. Nothing is ever added to or left out of a raw file.
 *
 * A file that takes nothing (a full disk, no such folder, something else in its
 * place) stops nobody: what would have gone there is dropped and counted, and
 * that is said, once a minute at most. It is tried again with what comes next,
 * at most once a second where it has to be opened.
 *
 * A file that has come to a size may be rotated, behind a newline; one that has
 * no newline in twice that size is cut where it is.
 *
 * In the ledger is a row for each open file: where it ended, who wrote last,
 * what was dropped. Loop's thread only.
 */
#ifndef MUSTER_LOGFILE_H
#define MUSTER_LOGFILE_H

#include "mechanism/archive.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ev_loop;
struct ledger;
struct logfile;
struct logfile_feed;
struct logfiles;

enum {
	LOGFILE_LINE_MS = 100,	     /* others wait for the end of a line */
	LOGFILE_RETRY_MS = 1000,     /* between looks at a file's name */
	LOGFILE_SAY_MS = 60000,	     /* between words about what is lost */
	LOGFILE_BATCH_MAX = 1 << 20, /* bytes of one call */
};

/* A row of the ledger's table. */
struct logfile_state {
	uint64_t key; /* of the path; never 0 */
	uint64_t offset;
	uint64_t dropped; /* bytes since it was opened */
	uint32_t writer;  /* slot of the last one, plus 1; 0: none */
	uint32_t reserved;
};

/*
 * `ledger` (borrowed) has the rows in its table `table`. `folder` (copied) is
 * made, with mode 0700, when a file shall be in it; NULL: no folder is made.
 * Returns 0 or -ENOMEM.
 */
int logfiles_new(struct ev_loop *loop, struct ledger *ledger, uint32_t table,
	const char *folder, struct logfiles **ret_files);
void logfiles_free(struct logfiles **files); /* after all files */

/* Closes all files and opens them anew by their names. Returns 0, or what the
 * first said that couldn't be opened. */
int logfiles_reopen(struct logfiles *files);

/*
 * The file of that absolute path, which is opened by and by: one object however
 * often it is asked for.
 * Returns 0 and one reference; -ENOMEM; -ENOSPC: the ledger is full.
 */
int logfile_get(
	struct logfiles *files, const char *path, struct logfile **ret_file);

/* From which size on it is rotated, at a line's edge, and what is kept of it
 * (archive.h); copied. A size of 0: never. */
void logfile_rotate_at(struct logfile *file, const struct archive_rules *rules);

/* Gives a reference back and clears the pointer; NULL is fine. With the last
 * one the file is closed and its row erased. */
void logfile_release(struct logfile **file);

/* Writes whole lines at the file's end, behind whatever stands there; what it
 * doesn't take is lost and counted. */
void logfile_append(struct logfile *file, const char *bytes, size_t size);

/* Bytes dropped so far. */
uint64_t logfile_dropped(const struct logfile *file);

/* Pipes -------------------------------------------------------------------- */

/*
 * A pipe that goes to `file`, of which it takes a reference of its own. `fd` is
 * borrowed; it must not block. `slot` is the pipe's number, the same under
 * every brain. `on_turn` is called, from inside any call of this module, when
 * the pipe may be read again after -EBUSY.
 * Returns NULL without memory.
 */
struct logfile_feed *logfile_feed_new(struct logfile *file, int fd,
	uint32_t slot, void (*on_turn)(void *data), void *data);
void logfile_feed_free(struct logfile_feed **feed);

/*
 * Moves what the pipe holds, or a part of it. `at_once`: also into the middle
 * of another's line.
 * Returns the bytes that were moved or dropped; 0: the pipe's end; -EAGAIN:
 * nothing waits; -EBUSY: another is in the middle of a line, on_turn comes.
 */
ssize_t logfile_take(struct logfile_feed *feed, bool at_once);

/*
 * The end of what this pipe has put into the file, as far as nobody else's
 * stands between. Returns how many bytes of `size` were filled.
 */
size_t logfile_read_tail(
	const struct logfile_feed *feed, char *ret_bytes, size_t size);

#endif

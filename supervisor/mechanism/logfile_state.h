/*
 * logfile_state.h: what the files of logfile share: logfile.c (a file: opening,
 * checking, failures) and logfile_feed.c (pipes and whose turn it is).
 */
#ifndef MUSTER_LOGFILE_STATE_H
#define MUSTER_LOGFILE_STATE_H

#include "base/clock.h"
#include "mechanism/logfile.h"

#include <ev.h>

struct logfiles {
	struct ev_loop *loop;
	struct ledger *ledger;
	uint32_t table;
	char *folder;
	struct logfile *first;
	struct archive *archive; /* NULL: nothing was ever rotated */
};

struct logfile {
	struct logfiles *files;
	struct logfile *next; /* files.first */
	char *path;
	uint32_t references;
	uint32_t row;
	struct logfile_state state;
	int fd;			/* negative: not open */
	bool is_regular;	/* it has a size and an end */
	uint64_t device, inode; /* of what is open */
	uint32_t opened;	/* how often */
	struct instant look_at; /* not before this at the name again */
	int error;		/* negative: what the last try said */
	const char *reason;	/* the same in words, static */
	struct instant said_at; /* that bytes are lost */
	uint64_t said;		/* how many were */
	bool is_failing;
	struct archive_rules rules;
	struct logfile_feed *writer; /* last, if it is still there */
	struct logfile_feed *waiting, **waiting_end;
	ev_timer patience; /* runs while somebody waits */
};

struct logfile_feed {
	struct logfile *file;
	struct logfile_feed *next; /* file.waiting */
	int fd;
	uint32_t slot;
	bool is_waiting;
	void (*on_turn)(void *data);
	void *data;
	uint64_t from, to; /* its last bytes in the file */
	uint32_t opened;   /* the same file? */
};

/*
 * Opens the file if need be, and finds its end. Returns 0; or a negative errno:
 * it takes nothing.
 */
int logfile_check(struct logfile *file);

/* `size` bytes are lost, since the file said `error`. */
void logfile_drop(struct logfile *file, int error, uint64_t size);

/* Bytes went in. */
void logfile_wrote(struct logfile *file, uint64_t size);

/* Whether it has come to its size. */
bool logfile_is_full(const struct logfile *file);

/* Rotates it, if it is full and not in the middle of a line. */
void logfile_rotate(struct logfile *file);

/* Whether its last byte is no newline. */
bool logfile_is_in_line(const struct logfile *file);

void logfile_save(struct logfile *file);

/* `patience` ran out. */
void logfile_on_patience(struct ev_loop *loop, ev_timer *timer, int events);

#endif

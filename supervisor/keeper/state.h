/*
 * state.h: all that a keeper knows, in one struct that keeper_main() owns, and
 * who changes it: keeper.c (start, loop, children, end), life.c (the brain as a
 * process), link.c (the records to and from it).
 */
#ifndef MUSTER_KEEPER_STATE_H
#define MUSTER_KEEPER_STATE_H

#include "base/clock.h"
#include "keeper/keeper_protocol.h"
#include "keeper/place.h"
#include "keeper/signals.h"
#include "keeper/table.h"
#include "keeper/vault.h"

#include <stdbool.h>
#include <sys/resource.h>

struct brain {
	pid_t pid;  /* 0: none runs */
	int pair;   /* our end, or -1 */
	bool up;    /* it has sent UP */
	bool heeds; /* it knows the table, so news of rows mean something */
	uint32_t started;  /* how many there were */
	uint32_t failures; /* in a row, without UP */
	bool ever_up;
	struct instant start_at; /* when the next is due */
	uint32_t interest;	 /* epoll's, of the pair */
	struct instant up_at;	 /* of the one that is up */
	uint32_t crashes;	 /* as HELLO tells */
	struct keeper_brain_end ends[KEEPER_ENDS_KEPT];
};

/* The executable of brains. */
struct program {
	int fd;		   /* -1: our own */
	int next;	   /* to be tried, or -1 */
	int before;	   /* while `may_return`: that of the brain before */
	bool may_return;   /* no brain of `fd` has run for long yet */
	uint32_t crashes;  /* … and how many there had been before */
	bool must_try;	   /* the next brain is executed from `next` */
	uint32_t trial;	   /* enum keeper_trial */
	struct instant by; /* the one on trial must be up */
};

/* What is under way to the brain and didn't fit the pair's buffer. */
struct unsent {
	bool full;		 /* wait for room */
	struct instant retry_at; /* the kernel was short of something */
	bool answer_waits;	 /* then no record is read from it */
	struct keeper_record answer;
	uint32_t cursor_kind; /* KEEPER_GIVEN or _PROCESS while such an answer
				 is under way, else 0 */
	uint32_t cursor;      /* the next entry or row */
	uint32_t orphans;
};

struct keeper {
	int epoll, signal_fd;
	char **argv;
	const char *own; /* path of our own executable */
	struct program program;
	struct rlimit files; /* as we were started with, for children */
	struct brain brain;
	struct unsent unsent;
	bool ending;
	int given; /* descriptors of LISTEN_FDS */
	int exit_code;
	struct instant end_at; /* at the latest */
	bool must_reap;
	struct signals signals;
	struct place place;
	struct table table;
	struct vault vault;
};

/* What epoll brings back: one of these, or EVENT_ROW plus a row's index. */
enum { EVENT_SIGNAL, EVENT_PAIR, EVENT_ROW };

/* keeper.c */

/* Adds or changes what the loop watches; `kind` as above. */
int keeper_watch(struct keeper *keeper, int operation, int fd, uint32_t kind,
	uint32_t events);

/* From now on the keeper ends, with this status, in `ms` at the latest. */
void keeper_end(struct keeper *keeper, int exit_code, int ms);

/* Closes what a row holds and frees it. */
void keeper_free_row(struct keeper *keeper, struct row *row);

/* Sends a signal to every process that is alive, with its group. */
void keeper_signal_all(struct keeper *keeper, int signal);

/* Sends a signal to the process of a row or to its group. */
void keeper_signal_row(const struct row *row, int signal, bool whole_group);

/* link.c */

/* Reads what the brain has sent and carries it out; true: there may be more. */
bool link_serve(struct keeper *keeper);

/* Tells what can be told, and watches the pair for what can't. */
void link_tell(struct keeper *keeper);

/* News of a row. A brain that doesn't know the table yet will LIST it. */
void link_news(struct keeper *keeper, struct row *row, enum table_news news);

/* The one answer that is under way: nothing is read before it was told. */
void link_answer(struct keeper *keeper, struct keeper_record record);

/* Closes the pair. */
void link_cut(struct keeper *keeper);

/* life.c */

/* Starts a brain; a failure counts as one that ended at once. */
void life_start(struct keeper *keeper);

/* The brain says that it is up. */
void life_up(struct keeper *keeper);

/* The brain was reaped: a code of waitid(2), 0 where it could not be started
 * (then `status` is an errno). Decides when the next is due. */
void life_ended(struct keeper *keeper, int code, int status);

/* The file that the next brain is to be executed from (taken over), or -1. */
void life_set_next(struct program *program, int fd);

/* The one on trial is not up in time. */
void life_end_trial(struct keeper *keeper);

#endif

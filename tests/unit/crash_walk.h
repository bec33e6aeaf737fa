/*
 * crash_walk.h: a brain in a child of the test, which dies at the n-th point of
 * its work, and workers in the test that resume with the next one. The test
 * plays keeper and fleet as well: it knows which processes live.
 *
 * A point is a store to the exchange memory (the library is built with
 * EXCHANGE_CRASH_POINTS) or either side of a system call. The brain does only
 * what it is told over a socket, turn by turn, so a script always has the same
 * points.
 */
#ifndef MUSTER_CRASH_WALK_H
#define MUSTER_CRASH_WALK_H

#include "exchange/exchange.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	WALK_WORKERS = 5, /* slots 1 … 5; the last in a group of its own */
	WALK_FRAMES = 256,
	WALK_LONG = 1500000, /* more than a socket takes */
	WALK_ROOM = 4 << 20,
	WALK_RESUME_ID = 999999,
};

/* What became of a frame, by the number in its body. */
struct walk_fate {
	uint8_t delivered[WALK_WORKERS + 1]; /* by slot */
	uint8_t delivered_to_dead; /* of these to a process that died */
	uint8_t answered, failed;
	char code[24]; /* of the failure */
};

struct walk_frame {
	uint32_t sequence;
	uint8_t *bytes;
	size_t size;
	int fd; /* or -1: travels with it; the test's own */
};

struct walk_worker {
	uint32_t slot;
	uint64_t process;	 /* 0: none */
	bool is_ready, is_known; /* whether a brain ever had it */
	bool reads;		 /* takes what it is sent; another is hung */
	bool answers, acknowledges;
	int fd, brain_fd;
	uint32_t sent, received;
	uint32_t ready_events, gone_events; /* that it was told */
	bool is_attached; /* it may write: welcomed or resumed */

	struct walk_frame unacked[WALK_FRAMES];
	uint32_t unacked_count;
	uint32_t out;	     /* of these: the first not wholly written … */
	size_t out_done;     /* … and how much of it is */
	uint8_t *numberless; /* goes between two of them */
	size_t numberless_size;

	uint8_t *in;
	size_t in_size;
	int fds[16];
	int fd_count;
};

struct walk {
	int memory_fd, control;
	pid_t brain;
	bool is_down; /* the brain died, another is to be started */
	struct walk_worker workers[WALK_WORKERS + 1];
	struct walk_fate fates[WALK_FRAMES];
	uint32_t frames;
	uint64_t processes;
	/* newest frame by sender's process and receiver's slot */
	uint32_t newest[32][WALK_WORKERS + 1];
	uint32_t kills[4]; /* points at which the brains die; 0: never */
	uint32_t kill;	   /* of the next brain */
	uint32_t deaths;
	char fault[256]; /* the first rule that was broken */
};

/* The brain's part, see crash_brain.c: never returns. */
void walk_brain(struct walk *walk, int control, uint32_t kill)
	__attribute__((noreturn));

/* Starts all but the last worker's slot ready, with every worker joined. */
void walk_start(struct walk *walk, const uint32_t kills[4]);
void walk_stop(struct walk *walk);

/* Turns until nothing happens any more. */
void walk_pump(struct walk *walk);

/* The same, waiting for time to pass, until `fate` has an answer or failure. */
void walk_await(struct walk *walk, uint32_t frame);

/* Tells the brain; a brain that dies of it is replaced. Returns its answer. */
uint32_t walk_tell(struct walk *walk, char what, uint32_t value);

/* A frame of the worker in `slot`. Returns its number. */
uint32_t walk_say(struct walk *walk, uint32_t slot, int kind, uint32_t to,
	const char *name, size_t size, uint32_t timeout_ms);

/* A request to 0 about a topic. Returns its number. */
uint32_t walk_call(struct walk *walk, uint32_t slot, const char *method,
	const char *pattern);

/* The same, without an id, … */
uint32_t walk_murmur(struct walk *walk, uint32_t slot, uint32_t to);
/* … and with a descriptor. */
uint32_t walk_hand(struct walk *walk, uint32_t slot, uint32_t to);

/* The process of the slot dies; another comes; the slot becomes ready. */
void walk_die(struct walk *walk, uint32_t slot);
void walk_spawn(struct walk *walk, uint32_t slot);
void walk_ready(struct walk *walk, uint32_t slot);
void walk_not_ready(struct walk *walk, uint32_t slot);

#endif

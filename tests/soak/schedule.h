/*
 * schedule.h: which faults come when, from a seed and nothing else, so that
 * the same seed gives the same schedule on any machine.
 */
#ifndef TEST_SCHEDULE_H
#define TEST_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

enum fault_kind {
	FAULT_KILL_TALKER,
	FAULT_KILL_SERVER,
	FAULT_KILL_ROGUE,
	FAULT_KILL_BRAIN,
	FAULT_KILL_BRAIN_TWICE, /* the second as soon as the next is there */
	FAULT_KILL_BRAIN_AND_TALKER,
	FAULT_STOP_TALKER, /* SIGSTOP, and SIGCONT after `ms` */
	FAULT_STOP_SERVER,
	FAULT_STOP_BRAIN,
	FAULT_RELOAD_TALKERS,
	FAULT_RELOAD_SERVERS,
	FAULT_RELOAD_BAD,      /* SIGHUP with a version that doesn't start */
	FAULT_RELOAD_BROKEN,   /* SIGHUP with a file that is no JSON */
	FAULT_FEW_DESCRIPTORS, /* the brain has room for none, for `ms` */
	FAULT_FLOOD,	       /* talkers send as much as they can, for `ms` */
	FAULT_KINDS
};

struct fault {
	int at_ms; /* since the round began */
	enum fault_kind kind;
	uint32_t target; /* taken modulo how many there are */
	int ms;
};

struct schedule {
	uint64_t state;
};

enum { SCHEDULE_FAULTS_MAX = 16 };

/* The name of a kind. */
const char *fault_name(enum fault_kind kind);

void schedule_init(struct schedule *schedule, uint64_t seed);

/*
 * The faults of the next round of `round_ms`, by time, in `ret_faults` of
 * SCHEDULE_FAULTS_MAX. Returns how many.
 */
size_t schedule_round(
	struct schedule *schedule, int round_ms, struct fault *ret_faults);

#endif

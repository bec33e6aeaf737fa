/*
 * walk.h: one walk over crash points: a run of musterd-crash with talkers and
 * a server, a plan in which the next point is set, and what must be true after
 * each.
 *
 * The environment says how far a walk goes: CRASH_FROM and CRASH_TO (numbers
 * of points, from 1), CRASH_POINTS (how many are tried, spread evenly; 0: all).
 */
#ifndef TEST_WALK_H
#define TEST_WALK_H

#include "base/sys_crash.h"
#include "support/run.h"
#include "support/talk.h"

enum {
	WALK_TALKERS = 3,
	WALK_SERVERS = 2,
	WALK_WORKERS = WALK_TALKERS + WALK_SERVERS,
};

struct walk {
	const char *phase;
	enum sys_crash_mode mode;
	uint32_t nth;
	struct sys_crash_plan *plan;
	char plan_path[64], config_path[64];
	char log_path[80]; /* the talkers' lines; "": muster's stdout */
	struct talk *talk;
	struct run *run;
	int port;
	int connection; /* kept alive all the time; -1: none */
	uint32_t fired; /* as the plan has it, before this point */
	uint32_t ends;
	int keeper_fds, brain_fds; /* as they were without a point */
	json_t *before;		   /* the listing before this point */
};

/* What is done to the run while a point is set. */
typedef void walk_action_fn(struct walk *walk);

/* Walks in one run that lives on: the action is done again for each point. */
void walk_through(
	const char *phase, enum sys_crash_mode mode, walk_action_fn *action);

/* Walks with a run for each point: the point is reached while it starts. */
void walk_starts(const char *phase, enum sys_crash_mode mode);

/* The same, while it stops. */
void walk_stops(const char *phase, enum sys_crash_mode mode);

/* Sets the point of this walk for the brain that runs. */
void walk_arm(struct walk *walk);

/* Sets it for the brain that comes next. */
void walk_arm_next(struct walk *walk);

/* Waits until the point was reached or `wait_ms` are over. */
bool walk_await(struct walk *walk, int wait_ms);

/* Ends the test, naming the point. */
void walk_fail(struct walk *walk, const char *format, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/* Whether a mode kills; whether the talkers' lines go to a file with it. */
bool walk_is_killing(enum sys_crash_mode mode);
bool walk_has_file(enum sys_crash_mode mode);

/*
 * Waits until every slot is ready and has one process; returns the listing
 * (new reference). NULL: the supervisor ended.
 */
json_t *walk_await_whole(struct walk *walk);

/* Checks, each of which ends the test where something is wrong. */
void walk_check_same(struct walk *walk, json_t *now);
void walk_check_messages(struct walk *walk);
void walk_check_socket(struct walk *walk, json_t *now);
void walk_check_lines(struct walk *walk);
void walk_check_descriptors(struct walk *walk);

/* Everybody talks once more: the last brain serves, whatever its start was. */
void walk_talk_again(struct walk *walk);

/* The server answers on the connection that has been there all the time. */
void walk_ask_server(struct walk *walk);

/* The number of the socket that listens on the port; 0: none, or several. */
unsigned long walk_listening_inode(const struct walk *walk);

/* For .fini: what a failed walk leaves. */
void walk_clean(void);

#endif

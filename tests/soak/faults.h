/*
 * faults.h: carries out a schedule on a run: kills, stops, reloads, starves.
 */
#ifndef TEST_FAULTS_H
#define TEST_FAULTS_H

#include "client.h"
#include "schedule.h"
#include "support/run.h"
#include "support/talk.h"

#include <sys/resource.h>

enum {
	FAULTS_TALKERS = 4,
	FAULTS_SERVERS = 3,
	FAULTS_ROGUES = 3,
	FAULTS_LATER = 64,
};

enum faults_config {
	FAULTS_GOOD,
	FAULTS_BAD,    /* talkers end at once */
	FAULTS_BROKEN, /* no JSON */
};

/* Something that is undone when its time has come. */
struct faults_later {
	int64_t at_ms; /* 0: none */
	pid_t stopped; /* is to go on */
	pid_t starved; /* gets its descriptors back */
	struct rlimit limit;
	bool flood; /* ends */
};

struct faults {
	struct run *run;
	struct talk *talk;
	struct client *client;
	char config_path[64], log_path[80];
	int port;
	unsigned long done[FAULT_KINDS];
	unsigned long brain_kills;
	bool config_changed; /* the file isn't the good one */
	bool hung_up;	     /* with another file than the one in force */
	struct faults_later later[FAULTS_LATER];
	pid_t commands[FAULTS_LATER]; /* under way; 0: none */
	uint32_t burst, pace_us;      /* of talkers when nobody floods */
};

/* Writes the configuration. */
void faults_write_config(struct faults *faults, enum faults_config kind);

/* Starts a verb and doesn't wait for it. */
void faults_command(struct faults *faults, const char *verb,
	const char *argument, const char *option);

/* The newest process of a place; 0: none. From /proc, not from the brain. */
pid_t faults_worker(struct faults *faults, const char *app, uint32_t instance);

/* Does one. */
void faults_do(struct faults *faults, const struct fault *fault);

/* Undoes what is due, or all. Call it all the time. */
void faults_tidy(struct faults *faults, bool all);

/* Whether a command is still under way. */
bool faults_busy(struct faults *faults);

#endif

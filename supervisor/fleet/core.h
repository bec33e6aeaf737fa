/*
 * core.h: the fleet itself, for the modules of this folder only.
 */
#ifndef MUSTER_FLEET_CORE_H
#define MUSTER_FLEET_CORE_H

#include "fleet/bus.h"
#include "fleet/fleet.h"
#include "fleet/state.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app;
struct ledger;
struct logfiles;
struct output;
struct process;
struct upgrade;

enum {
	CORE_BUCKETS = 256,	/* of processes by number */
	CORE_SPAWNING_MAX = 64, /* processes between SPAWN and exec */
};

struct fleet {
	struct fleet_setup setup;
	struct ledger *ledger;
	struct state_general general;
	struct events *events;
	struct output *output;
	struct logfiles *logfiles;
	struct format *formats;
	enum line_style style;
	int notify_fd; /* negative: none */
	ev_io notify;
	char notify_address[108]; /* "@…" */
	int bus;		  /* see bus.h; -1: none */
	char bus_address[256], bus_token[BUS_TOKEN_MAX + 1];
	int lock;	    /* a duplicate of the keeper's; negative: none */
	char *file;	    /* the configuration file, or NULL */
	char *pid_file;	    /* to be removed at the end, or NULL */
	pid_t keeper_pid;   /* what stands in it */
	struct app *apps;   /* in order of their start */
	struct slot *slots; /* in order of their ids */
	struct process *processes[CORE_BUCKETS];
	struct process *held, **held_end; /* wait to be spawned */
	struct process *lingering;	  /* only their pipes are left */
	uint32_t spawning;
	uint64_t handed; /* connections handed over, in this brain's life */
	uint32_t random;
	ev_prepare turn_end;
	ev_timer last_words;
	ev_timer quiet; /* of safe mode */
	ev_timer renew; /* renew.c's; no data: not begun */
	char *logs;	/* of a daemon: its log files' folder; NULL: `run` */
	struct operation *operations; /* somebody waits for */
	char *program;		 /* where musterd was started from, or NULL */
	struct upgrade *upgrade; /* under way, or NULL */
	const char *upgrade_outcome; /* that this brain came from: none, done
					or failed … */
	char upgrade_words[256];     /* … and why */
	bool must_check;	     /* at the turn's end */
	bool is_late;		     /* stdout had its moment */
	bool is_loaded;		     /* fleet_rebuild is over */
	bool has_ended;
	bool is_abandoned; /* the keeper is gone */
	bool adds_stopped; /* new applications don't start: see dump.c */
	bool is_closing;   /* or loading: only memory is freed */
};

/* Writes the general record. */
void core_save(struct fleet *fleet);

/* A number never given before, of applications, configurations, listeners. */
uint32_t core_next_number(struct fleet *fleet);

struct process *core_find_process(const struct fleet *fleet, uint64_t number);
void core_add_process(struct process *process);
void core_remove_process(struct process *process);

struct app *core_find_app(const struct fleet *fleet, const char *name);
struct app *core_find_app_number(const struct fleet *fleet, uint32_t number);
struct slot *core_find_slot(const struct fleet *fleet, uint32_t id);

/* A sealed memory file with `json` (borrowed); the caller's. Or an error. */
int core_seal(const char *name, const json_t *json);

/*
 * Reads such a file, which is closed. Gives a new reference. -EBADMSG: it holds
 * something else; -ENOMEM and what fstat and mmap say: it may be right.
 */
int core_unseal(int fd, json_t **ret_json);

/* The next in a row of numbers nobody can foretell the use of; spreads
 * back-offs. */
uint32_t core_random(struct fleet *fleet);

/* A process came past its exec or failed: who was held may be spawned. */
void core_spawn_held(struct fleet *fleet);

/* An application's first program could not be executed, `words` says why. */
void core_fail_start(struct fleet *fleet, const char *words);

/* `slot` gave up. */
void core_slot_errored(struct slot *slot);

/* Something may be over: at the end of this turn of the loop slots that were
 * to go are freed, and the fleet ends when nothing is left. */
void core_check(struct fleet *fleet);

/* Starts and stops the watchers that this takes. */
void core_watch(struct fleet *fleet);
void core_unwatch(struct fleet *fleet);

#endif

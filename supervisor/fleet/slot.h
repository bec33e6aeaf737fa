/*
 * slot.h: one place of an application: a stable id, and the processes that fill
 * it one after the other, for a while two.
 *
 * The slot decides what follows on a process's end (policy/restart), and who
 * receives its messages. Loop's thread only.
 */
#ifndef MUSTER_SLOT_H
#define MUSTER_SLOT_H

#include "fleet/process.h"
#include "fleet/state.h"

#include <stdbool.h>
#include <stdint.h>

struct app;
struct endpoint;
struct peer;
struct version;

struct slot {
	struct app *app;
	struct slot *next;	 /* fleet.slots, by id */
	struct version *version; /* what its next process runs */
	uint32_t row;
	struct state_slot state;
	struct endpoint *endpoint;
	struct process *main, *incoming, *outgoing;
	bool start_waits; /* a reload's START, for a process that still leaves
			   */
	bool start_waits_back;
	bool was_ready, was_dormant; /* what the exchange knows */
	struct peer *receiver;
	ev_timer retry; /* there was no memory for its next process */
	ev_timer look;	/* while it goes: at its queues, see reuseport.c */
	uint32_t looks_empty;
	struct instant retire_deadline;
	uint64_t last_handed; /* fleet.handed at its last connection */
	/* Of renew.c: failed in a row, not before, and why its old process
	 * leaves (STOP_NONE: a reload). */
	uint32_t renew_failures;
	struct instant renew_after;
	enum stop_reason renew_reason;
	/* Messages of processes that earlier brains saw the end of. */
	uint64_t earlier_in, earlier_out;
};

/* Writes a new slot down, and nothing else. Returns 0; -ENOSPC: no row. */
int slot_plan(struct fleet *fleet, uint32_t app, uint32_t config,
	uint32_t instance, struct state_slot *ret_state, uint32_t *ret_row);

/* Makes a slot, writes it down, and appends it to `app` and fleet. Returns 0;
 * -ENOMEM; -ENOSPC: no row. */
int slot_new(struct app *app, uint32_t instance, struct slot **ret_slot);

/* The same for a row that was written before. */
int slot_load(struct app *app, struct version *version, uint32_t row,
	const struct state_slot *state, struct slot **ret_slot);

/* Frees; its processes too. Nothing is erased. */
void slot_free(struct slot **slot);

void slot_save(struct slot *slot);

/* What its next process runs; a reference is taken. */
void slot_set_version(struct slot *slot, struct version *version);

/* Whether it shall have a process. */
bool slot_is_wanted(const struct slot *slot);

/* Gives it a process when it shall have one and has none, not before its
 * back-off is over. */
void slot_start(struct slot *slot);

/* It shall have none: `rest` says why. */
void slot_stop(struct slot *slot, enum state_rest rest, enum stop_reason reason,
	bool at_once);

/* Asks its processes to end, now. */
void slot_end_processes(struct slot *slot, enum stop_reason reason);

/* A reload's commands. */
void slot_start_incoming(struct slot *slot, bool back);
void slot_retire(struct slot *slot);
void slot_roll_back(struct slot *slot);

/* What processes tell. slot_process_gone takes the process over. */
void slot_process_ready(struct process *process);
void slot_process_gone(struct process *process);

/* Tells the exchange who receives, and whether somebody is ready. */
void slot_refresh(struct slot *slot);

/* starting, ready, reloading, stopping, stopped, backoff or errored. */
const char *slot_status(const struct slot *slot);

#endif

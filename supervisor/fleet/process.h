/*
 * process.h: one incarnation of a slot, from its plan to its last byte.
 *
 * The only module that acts on a process: it spawns, signals, writes `shutdown`
 * and decides by policy/worker_fsm alone. What its end means is the slot's
 * business. Loop's thread only.
 *
 * A step may end a process: then slot_process_gone was called and the pointer
 * is no longer good. So who calls a function that steps doesn't use the process
 * afterwards.
 */
#ifndef MUSTER_PROCESS_H
#define MUSTER_PROCESS_H

#include "base/clock.h"
#include "fleet/events.h"
#include "fleet/keeper_client.h"
#include "fleet/state.h"
#include "mechanism/notice.h"
#include "policy/worker_fsm.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct fleet;
struct output_pipe;
struct peer;
struct slot;
struct version;

/* Why a process was stopped, as `shutdown` says it. */
enum stop_reason {
	STOP_NONE,
	STOP_STOP,
	STOP_RELOAD,
	STOP_SCALE,
	STOP_RESTART,  /* it broke the protocol or stalled */
	STOP_WATCHDOG, /* it hangs */
	STOP_AGAIN,    /* an operator's `restart` */
	STOP_MEMORY,   /* it uses too much; its successor serves */
};

struct process {
	struct fleet *fleet;
	struct slot *slot;	   /* NULL: gone, only its pipes are open */
	struct process *next;	   /* fleet.processes, by number */
	struct process *next_held; /* fleet.held */
	struct process *next_lingering; /* fleet.lingering */
	struct version *version;
	uint32_t row; /* in the ledger */
	struct state_process state;
	int pidfd; /* -1: none */
	struct peer *peer;
	char status[NOTICE_STATUS_SIZE]; /* its own words, or "" */
	struct instant heard;		 /* its last sign of life */
	ev_timer watchdog;
	int notify_fd; /* our end of notify_fd's pipe; -1: none */
	ev_io notify;
	uint32_t in_flight; /* requests or connections, as it said last */
	struct output_pipe *out, *err;
	bool out_ended, err_ended;
	ev_timer timer;
	bool is_reload;	  /* made by the reload's last START of its slot */
	bool is_held;	  /* waits for its turn to be spawned */
	bool has_spawned; /* counts in fleet.spawning */
	enum fsm_event last_event; /* that changed its state */
	bool has_exit;
	struct keeper_row exit;
	enum keeper_stage failed_stage; /* 0: none */
	int failed_error;		/* positive errno */
	ev_io *orphan;	   /* watches pidfd when the keeper is gone, or NULL */
	const char *fault; /* why it has to be replaced; static, or NULL */
};

/*
 * Plans a process of `slot` in `role` with the slot's next generation, and
 * writes that down. process_start starts it, not before `start_ns` (0: now).
 * Returns 0; -ENOMEM; -ENOSPC: the ledger is full.
 */
int process_plan(struct slot *slot, enum state_role role,
	struct version *version, int64_t start_ns,
	struct process **ret_process);

/* Makes the object of a row that an earlier brain wrote, and nothing else.
 * Returns NULL without memory. */
struct process *process_load(struct slot *slot, struct version *version,
	uint32_t row, const struct state_process *state);

/* The bare object, in no slot and no list; for the above and fleet/remains. */
struct process *process_make(
	struct fleet *fleet, uint32_t row, const struct state_process *state);

/* Starts a planned process: at once, after its delay, or when its turn comes,
 * since only so many are spawned at a time. Steps. */
void process_start(struct process *process);

/* An event of the automaton. Steps. */
void process_step(struct process *process, enum fsm_event event);

/*
 * It shall leave, because of `reason`. `want` is FSM_WANT_DOWN, or
 * FSM_WANT_REPLACED where its successor serves. Steps.
 */
void process_stop(
	struct process *process, enum fsm_want want, enum stop_reason reason);

/* SIGKILL to its group, now. Steps. */
void process_kill(struct process *process);

/* It did what it must not: it is stopped because of `reason`, and the slot
 * makes another. `fault` is a static text. Steps. */
void process_replace(
	struct process *process, const char *fault, enum stop_reason reason);

/* What the keeper told. Each steps. */
void process_spawned(struct process *process, int32_t pid, int pidfd);
void process_execed(struct process *process);
void process_failed(
	struct process *process, enum keeper_stage stage, int error);
void process_exited(struct process *process, const struct keeper_row *row);

/* The worker leaves by itself: from now on only its deadline counts. */
void process_said_stopping(struct process *process);

/* The worker asks for `ms` more from now on, to start or to stop in. */
void process_extend(struct process *process, int64_t ms);

/* Goes on where an earlier brain stopped: deadline, and what bears repeating.
 */
void process_go_on(struct process *process);

/* Values that may change while it runs are those of `version` from now on. */
void process_set_version(struct process *process, struct version *version);

bool process_is_ready(const struct process *process);
bool process_has_pid(const struct process *process); /* there is one now */

/* Whom an event of it is about. It is in a slot. */
struct events_subject process_subject(const struct process *process);

/* Uptime since the exec, or since the spawn was planned; -1: never executed. */
int64_t process_uptime_ms(const struct process *process);

const char *process_reason_name(enum stop_reason reason);

/*
 * Ends the object: the channel is retired, the pipes are read on as long as
 * somebody holds them, the row is erased when they have ended. The caller's
 * pointer is cleared.
 */
void process_forget(struct process **process);

/* Frees without touching ledger, vault or keeper: for who closes the fleet. */
void process_free(struct process **process);

/* Between process.c and process_object.c: its one timer, and that it is past
 * its exec, or never will be. */
void process_on_timer(struct ev_loop *loop, ev_timer *timer, int events);
void process_leave_spawning(struct process *process);

#endif

/*
 * worker_fsm.h: the life of one process, as a table and nothing else.
 *
 * One automaton is one incarnation of a slot: planned, spawned, ready, stopped,
 * gone. It acts on nothing: a step says which state comes next and what the
 * caller (fleet/process) has to do. States, events and the table are in
 * worker_fsm.def. All functions are pure and may be called anywhere.
 */
#ifndef MUSTER_WORKER_FSM_H
#define MUSTER_WORKER_FSM_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

enum fsm_state {
#define FSM_STATE(state, name, again) FSM_##state,
#include "policy/worker_fsm.def"
	FSM_STATE_COUNT
};

enum fsm_event {
#define FSM_EVENT(event, name) FSM_ON_##event,
#include "policy/worker_fsm.def"
	FSM_EVENT_COUNT
};

/* What the owner wishes for this process. Whoever takes it from UP to another
 * value also sends STOP; the automaton itself only asks whether it is UP. */
enum fsm_want {
	FSM_WANT_UP,
	FSM_WANT_DOWN,
	FSM_WANT_REPLACED, /* leaves because its successor is ready */
};

enum fsm_flag {
	FSM_IS_JOINED = 1,	/* wrote a frame: understands `shutdown` */
	FSM_MUST_SAY_READY = 2, /* wait_ready: running is not yet being ready */
};

/*
 * What to do, in this order. At most one of the ARM bits and DISARM is set; a
 * process has one deadline, and arming replaces it (worker_fsm_deadline).
 */
enum fsm_action {
	FSM_SPAWN = 1 << 0,	      /* ask the keeper for the process */
	FSM_ANNOUNCE_READY = 1 << 1,  /* it serves: route to it, tell peers */
	FSM_WITHDRAW = 1 << 2,	      /* it no longer does */
	FSM_FAILED_START = 1 << 3,    /* it ends without having been ready; ask
					 policy/restart with was_ready false */
	FSM_BEGIN_STOP = 1 << 4,      /* note the time: kill_timeout counts from
					 here; disarms nothing */
	FSM_SEND_SHUTDOWN = 1 << 5,   /* the event `shutdown` on its channel */
	FSM_SEND_SIGNAL = 1 << 6,     /* kill_signal, to the leader */
	FSM_SEND_KILL = 1 << 7,	      /* SIGKILL, to the whole group */
	FSM_ARM_START = 1 << 8,	      /* ready within listen_timeout */
	FSM_ARM_ASK = 1 << 9,	      /* answer `shutdown` within 500 ms */
	FSM_ARM_KILL = 1 << 10,	      /* ended within kill_timeout */
	FSM_ARM_UNKILLABLE = 1 << 11, /* reaped soon after SIGKILL */
	FSM_DISARM = 1 << 12,
	FSM_REPORT_UNKILLABLE = 1 << 13, /* SIGKILL has not worked (yet) */
	FSM_IS_GONE = 1 << 14,		 /* forget it; ask policy/restart when
					    the slot is wanted up */
};

struct fsm_result {
	enum fsm_state state; /* the next; the same where nothing changes */
	uint32_t actions;     /* of enum fsm_action */
	bool known; /* false: a state or event out of range, or a pair that the
		       table lacks (a bug); state and actions stay as if
		       ignored */
};

/* One step. `flags` of enum fsm_flag. Never fails. */
struct fsm_result worker_fsm_step(enum fsm_state state, enum fsm_want want,
	enum fsm_event event, uint32_t flags);

/*
 * The actions that a brain carries out again which found a process in `state`
 * in the ledger, since its predecessor may have died between writing the state
 * and acting on it. All bear repeating but SPAWN, which is right only where the
 * keeper doesn't know the process. The deadline is in the ledger, too.
 */
uint32_t worker_fsm_again(enum fsm_state state);

/*
 * The deadline that `actions` arm at `now`; INSTANT_NONE when they disarm.
 * Call it only where an ARM bit or DISARM is set (FSM_SETS_DEADLINE). With
 * BEGIN_STOP in the same step `stop_began` is `now`.
 */
#define FSM_SETS_DEADLINE                                                      \
	(FSM_ARM_START | FSM_ARM_ASK | FSM_ARM_KILL | FSM_ARM_UNKILLABLE |     \
		FSM_DISARM)
struct instant worker_fsm_deadline(uint32_t actions, struct instant now,
	struct instant stop_began, int64_t listen_timeout_ms,
	int64_t kill_timeout_ms);

/* Names for logs and listings; "?" out of range. */
const char *worker_fsm_state_name(enum fsm_state state);
const char *worker_fsm_event_name(enum fsm_event event);

#endif

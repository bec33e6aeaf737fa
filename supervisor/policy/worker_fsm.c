/*
 * worker_fsm: looks the next state and the actions up in the table that
 * worker_fsm.def spells out. It leaves acting to fleet/process, the question
 * whether another process follows to policy/restart, and the log of changes to
 * whoever writes the state. It is apart from these so that a test can walk
 * through every pair and a day of crashes in milliseconds.
 */
#include "policy/worker_fsm.h"

#include <stddef.h>

enum {
	ASK_MS = 500,	      /* for an answer to `shutdown` */
	UNKILLABLE_MS = 5000, /* after SIGKILL; a reap takes milliseconds */
};

/* Tried in this order; ELSE always holds. */
enum condition { UNWANTED, AT_ONCE, JOINED, ELSE, CONDITION_COUNT };

struct cell {
	bool listed;
	enum fsm_state next;
	uint32_t actions;
};

/* Only in the table, never in a result. */
#define AS_STOP (UINT32_C(1) << 31)

static const struct cell table[FSM_STATE_COUNT][FSM_EVENT_COUNT]
			      [CONDITION_COUNT] = {
#define FSM_PAIR(state, event, condition, next, actions)                       \
	[FSM_##state][FSM_ON_##event][condition] = {true, FSM_##next, actions},
#define FSM_IGNORED(state, event)                                              \
	[FSM_##state][FSM_ON_##event][ELSE] = {true, FSM_##state, 0},
#include "policy/worker_fsm.def"
};

static const char *const state_names[FSM_STATE_COUNT] = {
#define FSM_STATE(state, name, again) [FSM_##state] = (name),
#include "policy/worker_fsm.def"
};

static const char *const event_names[FSM_EVENT_COUNT] = {
#define FSM_EVENT(event, name) [FSM_ON_##event] = (name),
#include "policy/worker_fsm.def"
};

static const uint32_t again_actions[FSM_STATE_COUNT] = {
#define FSM_STATE(state, name, again) [FSM_##state] = (again),
#include "policy/worker_fsm.def"
};

static bool
holds(enum condition condition, enum fsm_want want, uint32_t flags)
{
	switch (condition) {
	case UNWANTED:
		return want != FSM_WANT_UP;
	case AT_ONCE:
		return (flags & FSM_MUST_SAY_READY) == 0;
	case JOINED:
		return (flags & FSM_IS_JOINED) != 0;
	case ELSE:
	case CONDITION_COUNT:
		break;
	}
	return true;
}

static const struct cell *
find(enum fsm_state state, enum fsm_event event, enum fsm_want want,
	uint32_t flags)
{
	/* The state may come from a ledger that was damaged. */
	if ((unsigned)state >= FSM_STATE_COUNT ||
		(unsigned)event >= FSM_EVENT_COUNT)
		return NULL;
	for (int condition = 0; condition < CONDITION_COUNT; condition++) {
		const struct cell *cell = &table[state][event][condition];

		if (cell->listed &&
			holds((enum condition)condition, want, flags))
			return cell;
	}
	return NULL;
}

struct fsm_result
worker_fsm_step(enum fsm_state state, enum fsm_want want, enum fsm_event event,
	uint32_t flags)
{
	const struct cell *cell = find(state, event, want, flags);
	struct fsm_result result = {.state = state};

	if (cell == NULL)
		return result;
	result.known = true;
	result.state = cell->next;
	result.actions = cell->actions & ~AS_STOP;
	if ((cell->actions & AS_STOP) == 0)
		return result;
	cell = find(result.state, FSM_ON_STOP, want, flags);
	if (cell == NULL)
		return (struct fsm_result){.state = state};
	result.state = cell->next;
	result.actions |= cell->actions & ~AS_STOP;
	return result;
}

uint32_t
worker_fsm_again(enum fsm_state state)
{
	return (unsigned)state < FSM_STATE_COUNT ? again_actions[state] : 0;
}

struct instant
worker_fsm_deadline(uint32_t actions, struct instant now,
	struct instant stop_began, int64_t listen_timeout_ms,
	int64_t kill_timeout_ms)
{
	if (actions & FSM_ARM_START)
		return clock_after_ms(now, listen_timeout_ms);
	if (actions & FSM_ARM_ASK)
		/* With a short kill_timeout the signal needs its share. */
		return clock_after_ms(now, kill_timeout_ms / 2 < ASK_MS
						   ? kill_timeout_ms / 2
						   : ASK_MS);
	if (actions & FSM_ARM_KILL)
		return clock_after_ms(
			clock_is_set(stop_began) ? stop_began : now,
			kill_timeout_ms);
	if (actions & FSM_ARM_UNKILLABLE)
		return clock_after_ms(now, UNKILLABLE_MS);
	return INSTANT_NONE;
}

const char *
worker_fsm_state_name(enum fsm_state state)
{
	return (unsigned)state < FSM_STATE_COUNT ? state_names[state] : "?";
}

const char *
worker_fsm_event_name(enum fsm_event event)
{
	return (unsigned)event < FSM_EVENT_COUNT ? event_names[event] : "?";
}

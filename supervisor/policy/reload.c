/*
 * reload: walks through the slots batch by batch and says what to do next. It
 * leaves processes, time and configuration to fleet/reload_run, and knows
 * slots by their place only. It is apart so that its promise, never fewer ready
 * processes than before, can be tested against every order of events.
 *
 * Phases of a batch:
 *
 *	STARTING  incoming processes are started, until all are ready
 *	SOAKING   the canary has to stay ready
 *	RETIRING  the old ones are stopped, until all are gone
 *	ROLLING   something failed: the incoming ones are stopped, until all
 *		  are gone
 */
#include "policy/reload.h"

#include <string.h>

enum phase {
	IDLE,
	STARTING,
	SOAKING,
	RETIRING,
	ROLLING,
	ENDED, /* DONE is still to be given */
};

enum soak {
	SOAK_NOT_BEGUN,
	SOAK_RUNS,
	SOAK_IS_OVER,
};

/* All slots of the batch. */
static uint64_t
whole(const struct reload *reload)
{
	return reload->width >= 64 ? UINT64_MAX
				   : (UINT64_C(1) << reload->width) - 1;
}

/* The lowest slot of a mask that isn't empty, as a command. */
static struct reload_command
command(const struct reload *reload, enum reload_command_kind kind,
	uint64_t mask)
{
	return (struct reload_command){
		.kind = kind,
		.slot = reload->first + (uint32_t)__builtin_ctzll(mask),
		.back = kind == RELOAD_START && reload->back,
	};
}

static uint64_t
lowest(uint64_t mask)
{
	return mask & -mask;
}

/* Up to where this pass goes. */
static uint32_t
limit(const struct reload *reload)
{
	return reload->back ? reload->touched : reload->count;
}

static void
end(struct reload *reload, enum reload_outcome outcome)
{
	reload->phase = ENDED;
	reload->outcome = (uint8_t)outcome;
}

static void
begin_batch(struct reload *reload, uint32_t first)
{
	uint32_t left;

	if (first >= limit(reload)) {
		end(reload, reload->back ? RELOAD_FAILED : RELOAD_OK);
		return;
	}
	left = limit(reload) - first;
	reload->started = reload->ready = reload->failed = 0;
	reload->in_gone = reload->rolled = reload->retired = 0;
	reload->old_gone = reload->skipped = 0;
	reload->soaked = SOAK_NOT_BEGUN;
	reload->first = first;
	reload->width = reload->canary_done ? reload->batch : 1;
	if (reload->width > left)
		reload->width = left;
	reload->phase = STARTING;
}

static void
begin_pass(struct reload *reload, bool back)
{
	reload->back = back;
	reload->again = 0;
	/* What ran before the reload needs no canary. */
	reload->canary_done = back;
	begin_batch(reload, 0);
}

/* A batch is over, with an incoming process that failed or without. */
static void
end_batch(struct reload *reload, bool has_failed)
{
	if (reload->cancelled)
		end(reload, RELOAD_CANCELLED);
	else if (reload->again)
		begin_pass(reload, false);
	else if (!has_failed || reload->back)
		begin_batch(reload, reload->first + reload->width);
	else if (reload->changed && reload->touched > 0)
		begin_pass(reload, true);
	else
		end(reload, RELOAD_FAILED);
}

static void
step_starting(struct reload *reload, struct reload_command *ret_command)
{
	uint64_t missing = whole(reload) & ~reload->started;

	if (reload->failed || reload->cancelled) {
		reload->phase = ROLLING;
	} else if (missing) {
		*ret_command = command(reload, RELOAD_START, missing);
		reload->started |= lowest(missing);
	} else if (whole(reload) & ~(reload->ready | reload->skipped)) {
		*ret_command = (struct reload_command){.kind = RELOAD_WAIT};
	} else if (reload->ready == 0 || reload->canary_done) {
		/* A canary that was skipped has shown nothing. */
		reload->phase = RETIRING;
	} else {
		reload->phase = SOAKING;
	}
}

static void
step_soaking(struct reload *reload, struct reload_command *ret_command)
{
	if (reload->failed || reload->cancelled) {
		reload->phase = ROLLING;
	} else if (reload->soaked == SOAK_IS_OVER || reload->soak_ms <= 0) {
		reload->canary_done = 1;
		reload->phase = RETIRING;
	} else if (reload->soaked == SOAK_NOT_BEGUN) {
		reload->soaked = SOAK_RUNS;
		*ret_command = (struct reload_command){
			.kind = RELOAD_SOAK,
			.slot = reload->first,
			.soak_ms = reload->soak_ms,
		};
	} else {
		*ret_command = (struct reload_command){.kind = RELOAD_WAIT};
	}
}

static void
step_retiring(struct reload *reload, struct reload_command *ret_command)
{
	uint64_t taken = reload->ready & ~reload->failed;
	uint64_t due = taken & ~(reload->retired | reload->old_gone);
	uint64_t settled = reload->skipped | reload->old_gone |
			   (reload->failed & ~reload->retired);

	if (!reload->back && taken &&
		reload->touched < reload->first + reload->width)
		reload->touched = reload->first + reload->width;
	if (reload->cancelled) {
		end(reload, RELOAD_CANCELLED);
	} else if (due) {
		*ret_command = command(reload, RELOAD_RETIRE, due);
		reload->retired |= lowest(due);
	} else if (whole(reload) & ~settled) {
		*ret_command = (struct reload_command){.kind = RELOAD_WAIT};
	} else {
		end_batch(reload, reload->failed != 0);
	}
}

static void
step_rolling(struct reload *reload, struct reload_command *ret_command)
{
	uint64_t incoming = reload->started & ~reload->skipped;
	uint64_t due =
		incoming & ~(reload->failed | reload->in_gone | reload->rolled);

	if (due) {
		*ret_command = command(reload, RELOAD_ROLL_BACK, due);
		reload->rolled |= lowest(due);
	} else if ((incoming & ~reload->in_gone) && !reload->cancelled) {
		/* A slot must not have three processes: wait. */
		*ret_command = (struct reload_command){.kind = RELOAD_WAIT};
	} else {
		end_batch(reload, true);
	}
}

struct reload_command
reload_next(struct reload *reload)
{
	/* No step leaves the command as it is without changing the phase. */
	struct reload_command next = {.kind = RELOAD_DONE};

	while (next.kind == RELOAD_DONE) {
		switch ((enum phase)reload->phase) {
		case STARTING:
			step_starting(reload, &next);
			break;
		case SOAKING:
			step_soaking(reload, &next);
			break;
		case RETIRING:
			step_retiring(reload, &next);
			break;
		case ROLLING:
			step_rolling(reload, &next);
			break;
		case ENDED:
			reload->phase = IDLE;
			next.outcome = (enum reload_outcome)reload->outcome;
			return next;
		case IDLE:
		default: /* a damaged ledger */
			return (struct reload_command){.kind = RELOAD_WAIT};
		}
	}
	return next;
}

void
reload_begin(struct reload *ret_reload, uint32_t count, uint32_t batch,
	int64_t soak_ms, bool changed)
{
	memset(ret_reload, 0, sizeof(*ret_reload));
	ret_reload->count = count;
	ret_reload->batch = batch < 1		       ? 1
			    : batch > RELOAD_BATCH_MAX ? RELOAD_BATCH_MAX
						       : batch;
	ret_reload->soak_ms = soak_ms;
	ret_reload->changed = changed;
	begin_pass(ret_reload, false);
}

void
reload_again(struct reload *reload, uint32_t count, uint32_t batch,
	int64_t soak_ms, bool changed)
{
	struct reload anew;

	reload_begin(&anew, count, batch, soak_ms, changed);
	if (!reload_is_running(reload) || reload->phase == ENDED) {
		*reload = anew;
		return;
	}
	reload->again = 1;
	reload->count = anew.count;
	reload->batch = anew.batch;
	reload->soak_ms = anew.soak_ms;
	reload->changed |= anew.changed;
}

bool
reload_is_running(const struct reload *reload)
{
	return reload->phase != IDLE;
}

/* What happened to a slot of the batch whose START was given. */
static void
slot_event(struct reload *reload, enum reload_event event, uint64_t bit)
{
	uint64_t leaving = reload->failed | reload->in_gone | reload->rolled;

	switch (event) {
	case RELOAD_INCOMING_READY:
		if ((leaving & bit) == 0)
			reload->ready |= bit;
		break;
	case RELOAD_INCOMING_GONE:
		reload->in_gone |= bit;
		if ((leaving & bit) == 0)
			reload->failed |= bit;
		break;
	case RELOAD_INCOMING_FAILED:
		if ((leaving & bit) == 0)
			reload->failed |= bit;
		break;
	case RELOAD_OLD_GONE:
		reload->old_gone |= bit;
		break;
	case RELOAD_SLOT_SKIPPED:
		if (((leaving | reload->ready) & bit) == 0)
			reload->skipped |= bit;
		break;
	case RELOAD_SOAK_OVER:
	case RELOAD_CANCEL:
		break;
	}
}

void
reload_event(struct reload *reload, enum reload_event event, uint32_t slot)
{
	if (reload->phase == IDLE || reload->phase == ENDED)
		return;
	if (event == RELOAD_CANCEL) {
		reload->cancelled = 1;
	} else if (event == RELOAD_SOAK_OVER) {
		if (reload->soaked == SOAK_RUNS)
			reload->soaked = SOAK_IS_OVER;
	} else if (slot >= reload->first &&
		   slot - reload->first < reload->width &&
		   slot - reload->first < RELOAD_BATCH_MAX) {
		uint64_t bit = UINT64_C(1) << (slot - reload->first);

		if (reload->started & bit)
			slot_event(reload, event, bit);
	}
}

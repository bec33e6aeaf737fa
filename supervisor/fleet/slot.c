/*
 * A slot: who fills it, and who receives its messages.
 *
 * When processes are started and stopped for a reload, fleet/reload_run says;
 * how a process goes through its life, fleet/process; what an end means,
 * fleet/ending.
 *
 * Order on an end: the outcome is written into the slot's row together with
 * the number of the process and the time of the next start, then the process's
 * row is erased, then the keeper is told. A brain that finds the process again
 * knows that it was counted, and one that finds none when to start another.
 */
#include "fleet/slot.h"

#include "base/log.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/ending.h"
#include "fleet/events.h"
#include "fleet/handover.h"
#include "fleet/keeper_client.h"
#include "fleet/order.h"
#include "fleet/reuseport.h"
#include "fleet/version.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 100 };

/* The object --------------------------------------------------------------- */

static void
on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	slot_start(timer->data);
}

int
slot_load(struct app *app, struct version *version, uint32_t row,
	const struct state_slot *state, struct slot **ret_slot)
{
	struct slot *slot = calloc(1, sizeof(*slot)), **at;
	int r;

	if (!slot)
		return -ENOMEM;
	slot->app = app;
	slot->row = row;
	slot->state = *state;
	ev_timer_init(&slot->retry, on_retry, RETRY_MS / 1e3, 0.);
	slot->retry.data = slot;
	slot->earlier_in = state->messages_in;
	slot->earlier_out = state->messages_out;
	slot->endpoint = endpoint_new(app->group, state->id, state->instance);
	if (!slot->endpoint) {
		free(slot);
		return -ENOMEM;
	}
	slot->version = version_hold(version);
	r = app_add_slot(app, slot);
	if (r < 0) {
		endpoint_free(&slot->endpoint);
		version_release(&slot->version);
		free(slot);
		return r;
	}
	at = &app->fleet->slots;
	while (*at && (*at)->state.id < state->id)
		at = &(*at)->next;
	slot->next = *at;
	*at = slot;
	*ret_slot = slot;
	return 0;
}

int
slot_plan(struct fleet *fleet, uint32_t app, uint32_t config, uint32_t instance,
	struct state_slot *ret_state, uint32_t *ret_row)
{
	struct state_slot state = {
		.id = fleet->general.next_id,
		.app = app,
		.config = config,
		.instance = instance,
	};
	int r;

	fleet->general.next_id++;
	core_save(fleet);
	r = ledger_add(fleet->ledger, STATE_SLOTS, &state, ret_row);
	if (r >= 0)
		*ret_state = state;
	return r;
}

int
slot_new(struct app *app, uint32_t instance, struct slot **ret_slot)
{
	struct state_slot state;
	uint32_t row;
	int r = slot_plan(app->fleet, app->state.number, app->version->number,
		instance, &state, &row);

	if (r < 0)
		return r;
	r = slot_load(app, app->version, row, &state, ret_slot);
	if (r < 0)
		ledger_erase(app->fleet->ledger, STATE_SLOTS, row);
	return r;
}

void
slot_free(struct slot **slot)
{
	struct slot *at = *slot, **link;

	if (!at)
		return;
	*slot = NULL;
	for (link = &at->app->fleet->slots; *link; link = &(*link)->next) {
		if (*link == at) {
			*link = at->next;
			break;
		}
	}
	ev_timer_stop(at->app->fleet->setup.loop, &at->retry);
	reuseport_forget(at);
	process_free(&at->main);
	process_free(&at->incoming);
	process_free(&at->outgoing);
	endpoint_free(&at->endpoint);
	version_release(&at->version);
	free(at);
}

void
slot_save(struct slot *slot)
{
	ledger_write(
		slot->app->fleet->ledger, STATE_SLOTS, slot->row, &slot->state);
}

void
slot_set_version(struct slot *slot, struct version *version)
{
	if (slot->version == version)
		return;
	version_release(&slot->version);
	slot->version = version_hold(version);
	slot->state.config = version->number;
	slot_save(slot);
}

static void
set_role(struct process *process, enum state_role role)
{
	process->state.role = (uint8_t)role;
	ledger_write(process->fleet->ledger, STATE_PROCESSES, process->row,
		&process->state);
}

bool
slot_is_wanted(const struct slot *slot)
{
	return slot->state.rest == STATE_RUNS &&
	       !slot->app->fleet->general.is_stopping;
}

/* Who is served ------------------------------------------------------------ */

/* Who gets the slot's messages: the newest that is ready, else who is there. */
static struct peer *
find_receiver(const struct slot *slot)
{
	if (slot->incoming && process_is_ready(slot->incoming))
		return slot->incoming->peer;
	if (slot->main && slot->main->peer)
		return slot->main->peer;
	return slot->outgoing ? slot->outgoing->peer : NULL;
}

/* Whether nobody is there and nobody comes soon. */
static bool
is_dormant(const struct slot *slot)
{
	const struct process *next = slot->main;

	if (slot->app->fleet->setup.is_safe)
		return true; /* nobody reads or writes its channel */
	if (slot->incoming || slot->outgoing)
		return false;
	if (!next)
		return !slot_is_wanted(slot);
	if (next->state.state != FSM_WAITING || !next->state.deadline_ns)
		return false;
	return clock_ms_between(
		       clock_now(), (struct instant){next->state.deadline_ns}) >
	       slot->version->config->stall_timeout;
}

void
slot_refresh(struct slot *slot)
{
	struct peer *receiver = find_receiver(slot);
	bool is_ready = process_is_ready(slot->main) ||
			process_is_ready(slot->incoming) ||
			process_is_ready(slot->outgoing);
	bool dormant = is_dormant(slot);

	if (slot->receiver != receiver) {
		slot->receiver = receiver;
		endpoint_set_peer(slot->endpoint, receiver);
	}
	if (slot->was_ready != is_ready) {
		slot->was_ready = is_ready;
		core_check(slot->app->fleet); /* others may wait for it */
		endpoint_set_ready(slot->endpoint, is_ready);
		reuseport_steer(slot->app);
	}
	if (slot->was_dormant != dormant) {
		slot->was_dormant = dormant;
		endpoint_set_dormant(slot->endpoint, dormant);
	}
	if (slot->app->fleet->operations)
		core_check(slot->app->fleet);
	app_refresh(slot->app);
	handover_refresh(slot->app);
}

const char *
slot_status(const struct slot *slot)
{
	const struct process *process = slot->main;

	if (slot->incoming || (slot->outgoing && process))
		return "reloading";
	if (!process)
		process = slot->outgoing;
	if (!process && ev_is_active(&slot->retry) && slot_is_wanted(slot))
		return "backoff";
	if (!process && slot_is_wanted(slot))
		return "starting"; /* others are started first */
	if (!process)
		return slot->state.rest == STATE_ERRORED ? "errored"
							 : "stopped";
	if (slot->state.rest == STATE_REMOVED || slot->state.stop_waits)
		return "stopping"; /* its queue, or others, are served first */
	switch ((enum fsm_state)process->state.state) {
	case FSM_WAITING:
		return process->state.deadline_ns ? "backoff" : "starting";
	case FSM_READY:
		return "ready";
	case FSM_ASKED:
	case FSM_STOPPING:
	case FSM_KILLING:
		return "stopping";
	default:
		return "starting";
	}
}

/* Starting and stopping ---------------------------------------------------- */

static void
plan_main(struct slot *slot)
{
	int r = process_plan(slot, STATE_MAIN, slot->version,
		slot->state.start_ns, &slot->main);

	if (r == -ENOMEM) {
		/* No reason to give it up: there may be some in a moment. */
		log_warn("%s.%u can't be started yet: %s", app_name(slot->app),
			slot->state.instance, strerror(-r));
		ev_timer_set(&slot->retry, RETRY_MS / 1e3, 0.);
		ev_timer_start(slot->app->fleet->setup.loop, &slot->retry);
		slot_refresh(slot);
		return;
	}
	if (r < 0) {
		log_error("%s.%u can't be started: %s", app_name(slot->app),
			slot->state.instance, strerror(-r));
		slot->state.rest = STATE_ERRORED;
		slot_save(slot);
		slot_refresh(slot);
		return;
	}
	slot_refresh(slot);
	process_start(slot->main);
}

void
slot_start(struct slot *slot)
{
	if (slot_is_wanted(slot) && !slot->main && !slot->incoming &&
		!ev_is_active(&slot->retry) && order_may_start(slot))
		plan_main(slot);
}

static void
stop_process(struct process *process, enum stop_reason reason, bool at_once)
{
	if (process && at_once)
		process_kill(process);
	else if (process)
		process_stop(process, FSM_WANT_DOWN, reason);
}

void
slot_end_processes(struct slot *slot, enum stop_reason reason)
{
	struct process *processes[] = {
		slot->main, slot->incoming, slot->outgoing};

	for (size_t i = 0; i < 3; i++)
		stop_process(processes[i], reason, false);
}

void
slot_stop(struct slot *slot, enum state_rest rest, enum stop_reason reason,
	bool at_once)
{
	struct process *processes[] = {
		slot->main, slot->incoming, slot->outgoing};

	if (slot->state.rest != rest) {
		slot->state.rest = rest;
		slot_save(slot);
	}
	slot->start_waits = false;
	slot->state.start_ns = 0;
	reuseport_forget(slot);
	for (size_t i = 0; at_once && i < 3; i++)
		stop_process(processes[i], reason, true);
	if (!at_once && order_may_stop(slot, reason))
		slot_end_processes(slot, reason);
	slot_refresh(slot);
	core_check(slot->app->fleet);
}

/* Reloading ---------------------------------------------------------------- */

/* The incoming process is all that the slot has: it is the main one now. */
static void
promote(struct slot *slot)
{
	slot->main = slot->incoming;
	slot->incoming = NULL;
	set_role(slot->main, STATE_MAIN);
	slot_set_version(slot, slot->main->version);
}

/* The brain before this one had got that far, or a crash did the same. */
static bool
is_done(const struct slot *slot, const struct version *version)
{
	return !slot->incoming && slot->main && process_is_ready(slot->main) &&
	       slot->main->version == version &&
	       slot->main->state.number >= slot->app->state.reload_start;
}

/* The brain before this one had started the incoming process already. */
static bool
adopt(struct slot *slot, const struct version *version)
{
	struct process *process = slot->incoming;

	if (!process || process->is_reload || process->version != version ||
		process->state.want != FSM_WANT_UP)
		return false;
	process->is_reload = true;
	if (!slot->main)
		reload_run_event(slot, RELOAD_OLD_GONE);
	if (process_is_ready(process))
		reload_run_event(slot, RELOAD_INCOMING_READY);
	return true;
}

void
slot_start_incoming(struct slot *slot, bool back)
{
	struct app *app = slot->app;
	struct version *version = back ? app->version : app->run.next;
	bool is_stuck;
	int r;

	if (slot->state.rest == STATE_STOPPED ||
		slot->state.rest == STATE_REMOVED || !version) {
		reload_run_event(slot, RELOAD_SLOT_SKIPPED);
		return;
	}
	if (!slot->main && order_waits_for(app, &is_stuck)) {
		slot_set_version(slot, version);
		reload_run_event(slot, RELOAD_SLOT_SKIPPED);
		return;
	}
	if (!back && is_done(slot, version)) {
		reload_run_event(slot, RELOAD_SLOT_SKIPPED);
		return;
	}
	if (adopt(slot, version))
		return;
	if (slot->main)
		slot->main->is_reload = false;
	if (slot->incoming || slot->outgoing) {
		/* Never three in one slot: as soon as that one is gone. */
		slot->start_waits = true;
		slot->start_waits_back = back;
		return;
	}
	if (slot->state.rest == STATE_ERRORED) {
		slot->state.rest = STATE_RUNS;
		slot->state.unstable = 0;
		slot_save(slot);
	}
	r = process_plan(slot, STATE_INCOMING, version, 0, &slot->incoming);
	if (r < 0) {
		log_error("%s.%u: no new process: %s", app_name(app),
			slot->state.instance, strerror(-r));
		reload_run_event(slot, RELOAD_INCOMING_FAILED);
		reload_run_event(slot, RELOAD_INCOMING_GONE);
		return;
	}
	slot->incoming->is_reload = true;
	slot_refresh(slot);
	/* A back-off ends with the start of the new one. */
	if (slot->main && slot->main->state.state == FSM_WAITING)
		process_stop(slot->main, FSM_WANT_DOWN, STOP_RELOAD);
	else if (!slot->main)
		reload_run_event(slot, RELOAD_OLD_GONE);
	if (slot->incoming)
		process_start(slot->incoming);
}

void
slot_retire(struct slot *slot)
{
	struct process *old = slot->main;

	if (!slot->incoming)
		return;
	if (old) {
		set_role(old, STATE_OUTGOING);
		slot->outgoing = old;
	}
	promote(slot);
	slot_refresh(slot);
	if (old)
		process_stop(old, FSM_WANT_REPLACED,
			slot->renew_reason != STOP_NONE ? slot->renew_reason
							: STOP_RELOAD);
	else
		reload_run_event(slot, RELOAD_OLD_GONE);
}

void
slot_roll_back(struct slot *slot)
{
	struct process *process = slot->incoming;

	/* One that had no predecessor became the main one when it was ready. */
	if (!process && slot->main && slot->main->is_reload) {
		process = slot->main;
		slot_set_version(slot, slot->app->version);
	}
	slot->start_waits = false;
	if (process)
		process_stop(process, FSM_WANT_DOWN, STOP_RELOAD);
	else
		reload_run_event(slot, RELOAD_INCOMING_GONE);
}

/* What processes tell ------------------------------------------------------ */

void
slot_process_ready(struct process *process)
{
	struct slot *slot = process->slot;
	struct events_subject subject = process_subject(process);
	bool is_incoming = process == slot->incoming;

	events_raise(slot->app->fleet->events, "ready", &subject,
		json_pack("{s:I}", "generation",
			(json_int_t)process->state.generation));
	if (is_incoming && !slot->main)
		promote(slot);
	slot_refresh(slot);
	if (is_incoming)
		reload_run_event(slot, RELOAD_INCOMING_READY);
}

static void
leave_role(struct slot *slot, const struct process *process)
{
	if (slot->main == process)
		slot->main = NULL;
	else if (slot->incoming == process)
		slot->incoming = NULL;
	else if (slot->outgoing == process)
		slot->outgoing = NULL;
}

void
slot_process_gone(struct process *process)
{
	struct slot *slot = process->slot;
	struct fleet *fleet = slot->app->fleet;
	uint64_t number = process->state.number;
	bool was_main = process == slot->main;
	bool was_reload = process->is_reload;
	bool had_exit = process->has_exit;

	leave_role(slot, process);
	if (!slot->main && !slot->incoming && !slot->outgoing)
		slot->state.stop_waits = 0;
	ending_take(slot, process, was_main);
	slot_save(slot);
	process_forget(&process);
	if (had_exit)
		keeper_client_ack_exit(fleet->setup.keeper, number);
	if (was_main && process_is_ready(slot->incoming))
		promote(slot);
	slot_refresh(slot);
	reload_run_event(
		slot, was_reload ? RELOAD_INCOMING_GONE : RELOAD_OLD_GONE);
	if (slot->start_waits && !slot->incoming && !slot->outgoing) {
		slot->start_waits = false;
		slot_start_incoming(slot, slot->start_waits_back);
	}
	slot_start(slot);
	slot_refresh(slot);
	if (slot->state.rest == STATE_ERRORED)
		core_slot_errored(slot);
	core_check(fleet);
}

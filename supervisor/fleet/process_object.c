/*
 * How the object of a process comes and goes. What happens to the process in
 * between is process.c's.
 */
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/heartbeat.h"
#include "fleet/keeper_events.h"
#include "fleet/launch.h"
#include "fleet/notify.h"
#include "fleet/process.h"
#include "fleet/remains.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "mechanism/output.h"

#include <errno.h>
#include <stdlib.h>

struct process *
process_make(
	struct fleet *fleet, uint32_t row, const struct state_process *state)
{
	struct process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->fleet = fleet;
	process->row = row;
	process->state = *state;
	process->pidfd = process->notify_fd = -1;
	ev_timer_init(&process->timer, process_on_timer, 0., 0.);
	process->timer.data = process;
	return process;
}

struct process *
process_load(struct slot *slot, struct version *version, uint32_t row,
	const struct state_process *state)
{
	struct process *process = process_make(slot->app->fleet, row, state);

	if (!process)
		return NULL;
	process->slot = slot;
	process->version = version_hold(version);
	core_add_process(process);
	return process;
}

static void
leave_held(struct process *process)
{
	struct fleet *fleet = process->fleet;
	struct process **at = &fleet->held;

	if (!process->is_held)
		return;
	while (*at != process)
		at = &(*at)->next_held;
	*at = process->next_held;
	if (!*at)
		fleet->held_end = at;
	process->is_held = false;
}

static void
close_pidfd(struct process *process)
{
	keeper_events_forget(process);
	if (process->pidfd >= 0)
		sys_close(process->pidfd);
	process->pidfd = -1;
}

void
process_forget(struct process **process)
{
	struct process *at = *process;
	struct fleet *fleet = at->fleet;

	*process = NULL;
	process_leave_spawning(at);
	leave_held(at);
	core_remove_process(at);
	ev_timer_stop(fleet->setup.loop, &at->timer);
	heartbeat_end(at);
	notify_pipe_close(at);
	peer_retire(&at->peer);
	launch_drop_resume(at);
	close_pidfd(at);
	at->slot = NULL;
	remains_take(at);
}

void
process_free(struct process **process)
{
	struct process *at = *process;

	if (!at)
		return;
	*process = NULL;
	ev_timer_stop(at->fleet->setup.loop, &at->timer);
	heartbeat_end(at);
	notify_pipe_close(at);
	leave_held(at);
	if (at->slot)
		core_remove_process(at);
	else
		remains_leave(at);
	peer_retire(&at->peer);
	output_pipe_free(&at->out);
	output_pipe_free(&at->err);
	close_pidfd(at);
	version_release(&at->version);
	free(at);
}

int
process_plan(struct slot *slot, enum state_role role, struct version *version,
	int64_t start_ns, struct process **ret_process)
{
	struct fleet *fleet = slot->app->fleet;
	struct state_process state = {
		.number = fleet->general.next_process,
		.slot = slot->state.id,
		.config = version->number,
		.generation = slot->state.generation + 1,
		.instance = slot->state.instance,
		.state = FSM_WAITING,
		.want = FSM_WANT_UP,
		.role = (uint8_t)role,
	};
	struct process *process;
	uint32_t row;
	int r;

	if (start_ns > clock_now().ns)
		state.deadline_ns = start_ns;
	fleet->general.next_process++;
	core_save(fleet);
	r = ledger_add(fleet->ledger, STATE_PROCESSES, &state, &row);
	if (r == -ENOSPC && remains_make_room(fleet))
		r = ledger_add(fleet->ledger, STATE_PROCESSES, &state, &row);
	if (r < 0)
		return r;
	process = process_load(slot, version, row, &state);
	if (!process) {
		ledger_erase(fleet->ledger, STATE_PROCESSES, row);
		return -ENOMEM;
	}
	slot->state.generation++;
	slot->state.start_ns = 0;
	slot_save(slot);
	*ret_process = process;
	return 0;
}

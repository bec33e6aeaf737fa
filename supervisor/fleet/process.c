/*
 * Acts on a process as policy/worker_fsm says: writes the state, then spawns,
 * signals, speaks and sets the one deadline.
 *
 * How a process is made is fleet/launch's business; what its end means for the
 * slot is fleet/slot's; what the worker says is fleet/worker_methods'.
 *
 * One function, set_state, writes the state, logs the change and puts it into
 * the ledger, always before it is acted on: a brain that dies in between leaves
 * a decision, and the next one carries it out (process_go_on).
 */
#include "fleet/process.h"

#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/ending.h"
#include "fleet/events.h"
#include "fleet/heartbeat.h"
#include "fleet/keeper_client.h"
#include "fleet/keeper_events.h"
#include "fleet/launch.h"
#include "fleet/notify.h"
#include "fleet/remains.h"
#include "fleet/safe.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "mechanism/output.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
	DRAIN_MAX = 4 << 20,   /* bytes of a dead process's channel */
	LAUNCH_RETRY_MS = 100, /* a start that failed here fails so late */
	PAUSED_MS = 250,       /* a paused worker's start is looked at again */
};

static void
save(struct process *process)
{
	ledger_write(process->fleet->ledger, STATE_PROCESSES, process->row,
		&process->state);
}

static const char *
name_of(const struct process *process)
{
	return app_name(process->slot->app);
}

static int64_t
now_ns(void)
{
	return clock_now().ns;
}

/* The deadline ----------------------------------------------------------- */

static void
arm(struct process *process)
{
	struct ev_loop *loop = process->fleet->setup.loop;
	int64_t left;

	ev_timer_stop(loop, &process->timer);
	if (!process->state.deadline_ns)
		return;
	left = process->state.deadline_ns - now_ns();
	/* The loop's idea of now may be old; it counts from there. */
	ev_now_update(loop);
	ev_timer_set(&process->timer, left > 0 ? (double)left / 1e9 : 0., 0.);
	ev_timer_start(loop, &process->timer);
}

static void
set_deadline(struct process *process, struct instant deadline)
{
	process->state.deadline_ns = deadline.ns;
	save(process);
	arm(process);
}

void
process_on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct process *process = timer->data;

	(void)loop;
	(void)events;
	if (process->state.deadline_ns > now_ns()) {
		arm(process);
	} else if (process->state.state == FSM_SPAWNING &&
		   process->failed_stage) {
		process_step(process, FSM_ON_EXEC_FAILED);
	} else if (process->state.state == FSM_WAITING) {
		process->state.deadline_ns = 0;
		process_start(process);
	} else if (process->state.state == FSM_STARTING &&
		   process->fleet->setup.is_safe &&
		   process->state.want == FSM_WANT_UP) {
		set_deadline(
			process, clock_after_ms(clock_now(), SAFE_QUIET_MS));
	} else if (process->state.state == FSM_STARTING && process->peer &&
		   peer_is_paused(process->peer)) {
		/* It can't be heard; that is not its fault. */
		set_deadline(process, clock_after_ms(clock_now(), PAUSED_MS));
	} else {
		process_step(process, FSM_ON_TIMEOUT);
	}
}

/* Steps ------------------------------------------------------------------ */

static void
set_state(struct process *process, enum fsm_event event,
	const struct fsm_result *result)
{
	const struct app_config *config = process->version->config;
	struct instant now = clock_now();

	if (result->actions & FSM_BEGIN_STOP)
		process->state.stop_began_ns = now.ns;
	if (result->actions & FSM_FAILED_START)
		process->state.failed_start = true;
	if (result->actions & FSM_SEND_KILL)
		process->state.was_killed = true;
	if (result->actions & FSM_SETS_DEADLINE)
		process->state.deadline_ns =
			worker_fsm_deadline(result->actions, now,
				(struct instant){process->state.stop_began_ns},
				config->listen_timeout, config->kill_timeout)
				.ns;
	if (process->state.state != result->state)
		log_debug("%s.%u generation %u pid %d: %s -> %s (%s)",
			name_of(process), process->slot->state.instance,
			process->state.generation, process->state.pid,
			worker_fsm_state_name(process->state.state),
			worker_fsm_state_name(result->state),
			worker_fsm_event_name(event));
	process->state.state = (uint8_t)result->state;
	process->last_event = event;
	save(process);
}

static void
send_signal(struct process *process, int signal, bool whole_group)
{
	if (!process->fleet->is_abandoned)
		keeper_client_signal(process->fleet->setup.keeper,
			process->state.number, signal, whole_group);
	else if (process->pidfd >= 0)
		(void)sys_pidfd_send_signal(process->pidfd, signal);
}

static void
send_shutdown(struct process *process)
{
	int64_t left = process->version->config->kill_timeout;
	json_t *body;

	if (process->state.stop_began_ns)
		left -= (now_ns() - process->state.stop_began_ns) / 1000000;
	body = json_pack("{s:s,s:s,s:I}", "event", "shutdown", "reason",
		process_reason_name(process->state.reason), "deadline_ms",
		(json_int_t)(left > 0 ? left : 0));
	/* One that can't be told is signalled 500 ms later. */
	if (body && process->peer && peer_send(process->peer, body) == 0) {
		process->state.was_told = true;
		save(process);
	}
	json_decref(body);
}

static void
spawn(struct process *process)
{
	int r = launch_process(process);

	if (r == 0) {
		process->has_spawned = true;
		process->fleet->spawning++;
		slot_refresh(process->slot);
		return;
	}
	/* Want of descriptors or memory: fail a little later, so that nobody
	 * tries again and again in the same turn. */
	process->failed_stage = KEEPER_STAGE_DESCRIPTORS;
	process->failed_error = -r;
	set_deadline(process, clock_after_ms(clock_now(), LAUNCH_RETRY_MS));
}

static void
report_unkillable(struct process *process)
{
	process->state.is_unkillable = true;
	save(process);
	log_warn("%s.%u (pid %d) is still there after SIGKILL: the kernel "
		 "holds it, perhaps in a read or write that hangs",
		name_of(process), process->slot->state.instance,
		process->state.pid);
}

/* Does what a step decided, in the order of enum fsm_action. */
static void
carry_out(struct process *process, uint32_t actions)
{
	if (actions & FSM_ANNOUNCE_READY) {
		heartbeat_begin(process);
		slot_process_ready(process);
	}
	if (actions & FSM_WITHDRAW) {
		heartbeat_end(process);
		slot_refresh(process->slot);
	}
	if (actions & FSM_FAILED_START)
		ending_failed_start(process);
	if (actions & FSM_SEND_SHUTDOWN)
		send_shutdown(process);
	if (actions & FSM_SEND_SIGNAL)
		send_signal(process, (int)process->version->config->kill_signal,
			false);
	if (actions & FSM_SEND_KILL)
		send_signal(process, SIGKILL, true);
	if (actions & FSM_SETS_DEADLINE)
		arm(process);
	if (actions & FSM_SPAWN)
		spawn(process);
	if (actions & FSM_REPORT_UNKILLABLE)
		report_unkillable(process);
	if (actions & FSM_IS_GONE)
		slot_process_gone(process);
}

void
process_step(struct process *process, enum fsm_event event)
{
	struct fsm_result result;
	uint32_t flags = 0;

	if (event == FSM_ON_READY && process->state.state == FSM_SPAWNING) {
		/* It came by another way than the news of its exec, and was
		 * faster: first things first. */
		process->state.said_ready = true;
		save(process);
		return;
	}
	if (process->peer && peer_has_joined(process->peer))
		flags |= FSM_IS_JOINED;
	/* In safe mode nobody would hear it. */
	if ((process->version->config->wait_ready ||
		    process->version->config->notify_fd != CONFIG_UNSET) &&
		!process->fleet->setup.is_safe)
		flags |= FSM_MUST_SAY_READY;
	result = worker_fsm_step(
		process->state.state, process->state.want, event, flags);
	if (!result.known) {
		log_bug("%s.%u: no step from %s by %s", name_of(process),
			process->slot->state.instance,
			worker_fsm_state_name(process->state.state),
			worker_fsm_event_name(event));
		return;
	}
	if (result.state == process->state.state && !result.actions)
		return;
	set_state(process, event, &result);
	carry_out(process, result.actions);
}

void
process_start(struct process *process)
{
	struct fleet *fleet = process->fleet;

	if (process->state.state != FSM_WAITING || process->is_held)
		return;
	if (process->state.deadline_ns > now_ns()) {
		arm(process);
		return;
	}
	if (fleet->spawning >= CORE_SPAWNING_MAX) {
		process->is_held = true;
		process->next_held = NULL;
		*fleet->held_end = process;
		fleet->held_end = &process->next_held;
		return;
	}
	process_step(process, FSM_ON_START);
}

void
process_stop(
	struct process *process, enum fsm_want want, enum stop_reason reason)
{
	if (process->state.want != FSM_WANT_UP)
		return;
	process->state.want = (uint8_t)want;
	process->state.reason = (uint8_t)reason;
	save(process);
	process_step(process, FSM_ON_STOP);
}

void
process_kill(struct process *process)
{
	if (process->state.want == FSM_WANT_UP) {
		process->state.want = FSM_WANT_DOWN;
		process->state.reason = STOP_STOP;
		save(process);
	}
	process_step(process, FSM_ON_KILL);
}

void
process_replace(
	struct process *process, const char *fault, enum stop_reason reason)
{
	log_warn("%s.%u (pid %d) %s: it is replaced", name_of(process),
		process->slot->state.instance, process->state.pid, fault);
	process->fault = fault;
	process_stop(process, FSM_WANT_REPLACED, reason);
}

void
process_said_stopping(struct process *process)
{
	process->state.said_stopping = true;
	save(process);
	process_step(process, FSM_ON_SAID_STOPPING);
}

void
process_extend(struct process *process, int64_t ms)
{
	struct instant later = clock_after_ms(clock_now(), ms);

	if (process->state.state == FSM_STARTING ||
		process->state.state == FSM_STOPPING) {
		if (later.ns > process->state.deadline_ns)
			set_deadline(process, later);
	} else if (process->state.state == FSM_ASKED) {
		/* kill_timeout counts from when the stop began: move that. */
		process->state.stop_began_ns =
			later.ns -
			process->version->config->kill_timeout * 1000000;
		save(process);
	}
}

/* What the keeper tells ---------------------------------------------------- */

/* It is past its exec, or never will be: another may be spawned. */
void
process_leave_spawning(struct process *process)
{
	if (!process->has_spawned)
		return;
	process->has_spawned = false;
	process->fleet->spawning--;
	launch_drop_worker_ends(process);
}

void
process_spawned(struct process *process, int32_t pid, int pidfd)
{
	if (process->pidfd >= 0)
		sys_close(process->pidfd);
	process->pidfd = pidfd;
	process->state.pid = pid;
	save(process);
	if (process->out)
		output_pipe_set_pid(process->out, pid);
	if (process->err)
		output_pipe_set_pid(process->err, pid);
}

void
process_execed(struct process *process)
{
	struct fleet *fleet = process->fleet;
	struct app *app = process->slot->app;
	struct events_subject subject = process_subject(process);
	uint64_t number = process->state.number;

	process->state.execed_ns = now_ns();
	save(process);
	process_leave_spawning(process);
	if (!app->state.was_started) {
		app->state.was_started = true;
		app_save(app);
	}
	events_raise(fleet->events, "started", &subject,
		json_pack(
			"{s:i}", "generation", (int)process->state.generation));
	process_step(process, FSM_ON_EXECED);
	/* That may have ended it. */
	process = core_find_process(fleet, number);
	if (process && process->state.said_ready) {
		process->state.said_ready = false;
		process_step(process, FSM_ON_READY);
	}
	core_spawn_held(fleet);
}

void
process_failed(struct process *process, enum keeper_stage stage, int error)
{
	struct fleet *fleet = process->fleet;

	process->failed_stage = stage;
	process->failed_error = error;
	process_leave_spawning(process);
	process_step(process, FSM_ON_EXEC_FAILED);
	core_spawn_held(fleet);
}

void
process_exited(struct process *process, const struct keeper_row *row)
{
	struct fleet *fleet = process->fleet;

	process->has_exit = true;
	process->exit = *row;
	process_leave_spawning(process);
	/* Its last words first: what it sent is delivered, what it printed is
	 * kept. Not to the end of file: a grandchild may hold these. */
	if (process->peer)
		peer_drain(process->peer, DRAIN_MAX);
	if (process->err)
		output_pipe_drain(process->err);
	if (process->out)
		output_pipe_drain(process->out);
	process_step(process, FSM_ON_EXITED);
	core_spawn_held(fleet);
}

void
process_go_on(struct process *process)
{
	uint32_t done = FSM_SPAWN;

	if (process->state.state == FSM_WAITING) {
		process_start(process);
		return;
	}
	arm(process);
	if (process_is_ready(process))
		heartbeat_begin(process);
	if (process->state.was_told)
		done |= FSM_SEND_SHUTDOWN;
	if (process->state.said_stopping)
		done |= FSM_SEND_SIGNAL;
	carry_out(process, worker_fsm_again(process->state.state) & ~done);
}

void
process_set_version(struct process *process, struct version *version)
{
	struct version *before = process->version;

	process->version = version_hold(version);
	process->state.config = version->number;
	save(process);
	version_release(&before);
}

/* Views ------------------------------------------------------------------ */

bool
process_is_ready(const struct process *process)
{
	return process && process->state.state == FSM_READY;
}

bool
process_has_pid(const struct process *process)
{
	return process && process->state.pid && !process->has_exit;
}

struct events_subject
process_subject(const struct process *process)
{
	return (struct events_subject){app_name(process->slot->app),
		process->slot->state.id, process->state.pid,
		process->slot->state.instance};
}

int64_t
process_uptime_ms(const struct process *process)
{
	int64_t end = process->has_exit ? process->exit.ended_ns : now_ns();

	if (!process->state.execed_ns)
		return -1;
	return end > process->state.execed_ns
		       ? (end - process->state.execed_ns) / 1000000
		       : 0;
}

const char *
process_reason_name(enum stop_reason reason)
{
	switch (reason) {
	case STOP_RELOAD:
		return "reload";
	case STOP_SCALE:
		return "scale";
	case STOP_RESTART:
	case STOP_AGAIN:
		return "restart";
	case STOP_WATCHDOG:
		return "watchdog";
	case STOP_MEMORY:
		return "memory";
	case STOP_NONE:
	case STOP_STOP:
		break;
	}
	return "stop";
}

/*
 * The keeper's records: finds the process that one is about; and what to do
 * when the keeper itself is gone.
 *
 * Then nobody reaps for us, and groups are out of safe reach, since a group's
 * number can be another's as soon as its leader was reaped. What is left are
 * the pidfds: through them leaders are stopped in the usual way, and told to
 * have ended.
 */
#include "fleet/keeper_events.h"

#include "base/log.h"
#include "base/sys.h"
#include "fleet/core.h"
#include "fleet/keeper_client.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "fleet/upgrade.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

static void
on_spawned(uint64_t number, int32_t pid, int pidfd, void *data)
{
	struct process *process = core_find_process(data, number);

	if (process)
		process_spawned(process, pid, pidfd);
	else if (pidfd >= 0)
		sys_close(pidfd);
}

static void
on_execed(uint64_t number, void *data)
{
	struct process *process = core_find_process(data, number);

	if (process)
		process_execed(process);
}

static void
on_failed(uint64_t number, enum keeper_stage stage, int error, void *data)
{
	struct process *process = core_find_process(data, number);

	if (process)
		process_failed(process, stage, error);
	else
		(void)upgrade_took_failure(data, number, stage, error);
}

static void
on_exited(uint64_t number, const struct keeper_row *row, void *data)
{
	struct fleet *fleet = data;
	struct process *process = core_find_process(fleet, number);

	if (process)
		process_exited(process, row);
	else if (!upgrade_took_exit(fleet, number, row))
		keeper_client_ack_exit(fleet->setup.keeper, number);
}

static void
on_signalled(int signal, void *data)
{
	fleet_signal(data, signal);
}

static void
on_passed(const char *name, int result, void *data)
{
	(void)data;
	/* Its channel has ended with that, and so tells the same. */
	if (result < 0)
		log_debug("%s: no new channel: %s", name, strerror(-result));
}

static void
on_put_failed(const char *name, int error, void *data)
{
	(void)data;
	log_error("the keeper could not take %s: %s", name, strerror(-error));
}

static void
on_renewed(int result, void *data)
{
	upgrade_renewed(data, result);
}

/* The keeper is gone --------------------------------------------------------
 */

static void
on_pidfd(struct ev_loop *loop, ev_io *watcher, int events)
{
	static const struct keeper_row unknown;
	struct process *process = watcher->data;

	(void)events;
	ev_io_stop(loop, watcher);
	process_exited(process, &unknown);
}

/* What has no pidfd was never told to run: nobody will tell any more. */
static void
watch(struct process *process)
{
	static const struct keeper_row unknown;
	struct ev_loop *loop = process->fleet->setup.loop;

	if (process->pidfd < 0 && process->state.state != FSM_WAITING) {
		process_exited(process, &unknown);
		return;
	}
	if (process->pidfd < 0)
		return;
	/* It executes, or ends: its exec will not be told any more. */
	if (process->state.state == FSM_SPAWNING)
		process_execed(process);
	process->orphan = calloc(1, sizeof(*process->orphan));
	if (!process->orphan)
		return;
	ev_io_init(process->orphan, on_pidfd, process->pidfd, EV_READ);
	process->orphan->data = process;
	ev_io_start(loop, process->orphan);
}

void
keeper_events_forget(struct process *process)
{
	if (!process->orphan)
		return;
	ev_io_stop(process->fleet->setup.loop, process->orphan);
	free(process->orphan);
	process->orphan = NULL;
}

static void
on_lost(void *data)
{
	struct fleet *fleet = data;

	log_error("the keeper is gone: everything is stopped");
	fleet->is_abandoned = true;
	/* First of all, so that no end is a reason to start another. */
	fleet->general.is_stopping = true;
	for (struct slot *slot = fleet->slots; slot; slot = slot->next) {
		struct process *all[] = {
			slot->main, slot->incoming, slot->outgoing};

		for (size_t i = 0; i < 3; i++)
			if (all[i])
				watch(all[i]);
	}
	fleet_stop(fleet, false);
}

static const struct keeper_hooks hooks = {
	.spawned = on_spawned,
	.execed = on_execed,
	.failed = on_failed,
	.exited = on_exited,
	.signalled = on_signalled,
	.passed = on_passed,
	.put_failed = on_put_failed,
	.renewed = on_renewed,
	.lost = on_lost,
};

void
keeper_events_listen(struct fleet *fleet)
{
	keeper_client_listen(fleet->setup.keeper, &hooks, fleet);
}

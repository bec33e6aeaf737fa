/*
 * A worker's channel: brings what the exchange tells to the process that it
 * belongs to.
 *
 * What the worker asks is answered by fleet/worker_methods; what becomes of a
 * process that broke a rule, fleet/process decides.
 */
#include "fleet/channel.h"

#include "base/log.h"
#include "fleet/app.h"
#include "fleet/ending.h"
#include "fleet/handover.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "fleet/worker_methods.h"

#include <stdio.h>

static void
on_joined(struct peer *peer)
{
	const struct process *process = peer_data(peer);

	log_debug("%s.%u (pid %d) joined", app_name(process->slot->app),
		process->slot->state.instance, process->state.pid);
	handover_refresh(process->slot->app);
}

static void
on_has_room(struct peer *peer)
{
	const struct process *process = peer_data(peer);

	handover_refresh(process->slot->app);
}

static void
on_request(struct peer *peer, uint64_t id, const char *body, size_t size)
{
	worker_methods_request(peer_data(peer), id, body, size);
}

static void
on_message(struct peer *peer, const char *body, size_t size)
{
	worker_methods_message(peer_data(peer), body, size);
}

static void
on_ended(struct peer *peer, enum peer_end how, const char *reason)
{
	struct process *process = peer_data(peer);
	struct slot *slot = process->slot;

	ending_note_messages(process, false);
	slot_save(slot);
	/* The slot must not hold on to what is retired. */
	peer_retire(&process->peer);
	slot_refresh(slot);
	if (how == PEER_END_CLOSED || process->has_exit) {
		log_debug("the channel of %s.%u (pid %d) has ended: %s",
			app_name(process->slot->app), slot->state.instance,
			process->state.pid, reason);
		return;
	}
	log_warn("%s.%u (pid %d) broke the rules of its channel: %s: it is "
		 "replaced",
		app_name(process->slot->app), slot->state.instance,
		process->state.pid, reason);
	process->fault = "broke the rules of its channel";
	process_stop(process, FSM_WANT_REPLACED, STOP_RESTART);
}

static void
on_stalled(struct peer *peer)
{
	process_replace(peer_data(peer), "doesn't read what is sent to it",
		STOP_RESTART);
}

const struct peer_hooks channel_hooks = {
	.joined = on_joined,
	.request = on_request,
	.message = on_message,
	.ended = on_ended,
	.stalled = on_stalled,
	.has_room = on_has_room,
};

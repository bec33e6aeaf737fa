/*
 * Accepting and handing over, by the address of a listener.
 *
 * Which connections a worker has is counted by the exchange (peer_connections),
 * where the count outlives the brain. How a worker says that it is done is
 * fleet/worker_methods' business.
 */
#include "fleet/handover.h"

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/reuseport.h"
#include "fleet/slot.h"
#include "fleet/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TURN_MAX = 32,	/* connections of one listener in one turn */
	PAUSE_MS = 100, /* without descriptors; nothing tells when there are */
	NAME_MAX_JSON = 1024,
};

bool
handover_is_for(const struct listen_config *config)
{
	return config->balance == BALANCE_ROUND_ROBIN;
}

/* Who gets it -------------------------------------------------------------- */

static const struct listen_config *
find_entry(const struct version *version, const char *address)
{
	const struct listen_list *listen = &version->config->listen;

	for (size_t i = 0; i < listen->count; i++)
		if (!strcmp(listen->entries[i].address, address))
			return &listen->entries[i];
	return NULL;
}

/* The process that serves the slot, if it can be handed connections of this
 * address: with `reuseport` what a slot that went has left. */
static struct process *
find_server(const struct slot *slot, const char *address)
{
	struct process *process =
		process_is_ready(slot->incoming) ? slot->incoming : slot->main;
	const struct listen_config *entry;

	if (!process_is_ready(process) || !process->peer)
		return NULL;
	entry = find_entry(process->version, address);
	return entry && (handover_is_for(entry) || reuseport_is_for(entry))
		       ? process
		       : NULL;
}

/* Of those with the fewest open connections the one that has waited longest. */
static struct process *
choose(const struct app_listener *listener)
{
	const struct app *app = listener->handover.app;
	struct process *best = NULL;
	uint32_t fewest = 0;

	for (size_t i = 0; i < app->slot_count; i++) {
		struct process *process =
			find_server(app->slots[i], listener->state.address);
		uint32_t open;

		if (!process || !peer_has_room(process->peer))
			continue;
		open = peer_connections(process->peer);
		if (best && (open > fewest ||
				    (open == fewest &&
					    process->slot->last_handed >
						    best->slot->last_handed)))
			continue;
		best = process;
		fewest = open;
	}
	return best;
}

/* Handing over ------------------------------------------------------------- */

/* {"event":"connection","listener":NAME}: config allows no name that would
 * have to be escaped. */
static int
hand_over(const struct app_listener *listener, struct process *process, int fd)
{
	const struct listen_config *entry =
		find_entry(process->version, listener->state.address);
	char body[NAME_MAX_JSON];
	int size = snprintf(body, sizeof(body),
		"{\"event\":\"connection\",\"listener\":\"%s\"}",
		entry ? entry->name : "");

	if (size < 0 || (size_t)size >= sizeof(body))
		return -EMSGSIZE;
	process->slot->last_handed = ++process->fleet->handed;
	return peer_hand_over(process->peer, body, (size_t)size, fd);
}

/* A worker that just went has none to hand over any more; else the connection
 * is refused by its end. */
static void
drop(const struct app_listener *listener, int fd, int error)
{
	log_error("%s: a connection to %s is closed: it can't be handed over: "
		  "%s",
		app_name(listener->handover.app), listener->text,
		strerror(-error));
	sys_close(fd);
}

static void
pause_accepting(struct handover *handover, int error)
{
	struct ev_loop *loop = handover->app->fleet->setup.loop;

	log_error("%s: accepting on %s failed: %s; it is tried again",
		app_name(handover->app), handover->listener->text,
		strerror(-error));
	ev_io_stop(loop, &handover->readable);
	ev_now_update(loop);
	ev_timer_set(&handover->pause, PAUSE_MS / 1e3, 0.);
	ev_timer_start(loop, &handover->pause);
}

/* What came back goes first. Returns whether somebody has room for more. */
static bool
hand_returned(struct handover *handover)
{
	struct process *process;

	while ((process = choose(handover->listener)) != NULL) {
		int fd, r;

		if (!handover->returned_count)
			return true;
		fd = handover->returned[0];
		handover->returned_count--;
		memmove(handover->returned, handover->returned + 1,
			handover->returned_count * sizeof(int));
		r = hand_over(handover->listener, process, fd);
		if (r < 0)
			drop(handover->listener, fd, r);
	}
	return false;
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct handover *handover = watcher->data;

	(void)events;
	for (int i = 0; i < TURN_MAX; i++) {
		struct process *process = choose(handover->listener);
		int fd, r;

		if (!process) {
			ev_io_stop(loop, watcher);
			return;
		}
		fd = sys_accept(
			handover->listener->fd, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -EAGAIN || fd == -ECONNABORTED || fd == -EPROTO)
			return;
		if (fd < 0) {
			pause_accepting(handover, fd);
			return;
		}
		r = hand_over(handover->listener, process, fd);
		if (r < 0)
			drop(handover->listener, fd, r);
	}
}

static void
on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct handover *handover = timer->data;

	(void)loop;
	(void)events;
	handover_refresh(handover->app);
}

/* Of a group's sockets only what no worker has; datagrams can't be passed on.
 */
static bool
may_accept(const struct handover *handover)
{
	const struct app_listener *listener = handover->listener;

	if (!listener->state.is_member)
		return true;
	return reuseport_is_parked(handover->app, listener) &&
	       !strncmp(listener->state.address, "tcp://", 6);
}

static void
refresh(struct handover *handover)
{
	struct ev_loop *loop = handover->app->fleet->setup.loop;

	if (ev_is_active(&handover->pause))
		return;
	if (!may_accept(handover) || !hand_returned(handover)) {
		ev_io_stop(loop, &handover->readable);
		return;
	}
	if (ev_is_active(&handover->readable))
		return;
	/* Another may accept on it: a worker of a version that did. */
	(void)sys_fcntl(handover->listener->fd, F_SETFL, O_RDWR | O_NONBLOCK);
	ev_io_start(loop, &handover->readable);
}

void
handover_refresh(struct app *app)
{
	if (!app->fleet->is_loaded || app->fleet->is_closing)
		return;
	for (struct app_listener *at = app->listeners; at; at = at->next)
		refresh(&at->handover);
}

/* Coming back -------------------------------------------------------------- */

static struct app_listener *
find_listener(const struct app *app, const char *name)
{
	const struct version *versions[] = {app->version, app->run.next};

	for (struct app_listener *at = app->listeners; at; at = at->next)
		for (size_t i = 0; i < 2; i++) {
			const struct listen_config *entry =
				versions[i] ? find_entry(versions[i],
						      at->state.address)
					    : NULL;

			if (entry && !strcmp(entry->name, name))
				return at;
		}
	return NULL;
}

/* Called from inside a change of the exchange memory, for a worker that is just
 * going: the connection is put in line, and handed over by the loop. */
static void
on_returned(uint32_t id, const char *body, size_t size, int fd, void *data)
{
	struct fleet *fleet = data;
	struct slot *slot =
		fleet->is_closing ? NULL : core_find_slot(fleet, id);
	json_t *value = json_read(body, size);
	const char *name = json_text(value, "listener");
	struct app_listener *listener =
		slot && name ? find_listener(slot->app, name) : NULL;
	struct handover *handover = listener ? &listener->handover : NULL;
	int *grown = NULL;

	json_decref(value);
	if (handover)
		grown = realloc(handover->returned,
			(handover->returned_count + 1) * sizeof(*grown));
	if (!grown) {
		sys_close(fd);
		return;
	}
	handover->returned = grown;
	grown[handover->returned_count++] = fd;
	ev_feed_event(fleet->setup.loop, &handover->pause, EV_TIMER);
}

void
handover_attach(struct fleet *fleet)
{
	exchange_on_returned(fleet->setup.exchange, on_returned, fleet);
	for (struct app *app = fleet->apps; app; app = app->next)
		handover_refresh(app);
}

/* The object --------------------------------------------------------------- */

void
handover_init(struct app *app, struct app_listener *listener)
{
	struct handover *handover = &listener->handover;

	*handover = (struct handover){.app = app, .listener = listener};
	ev_io_init(&handover->readable, on_readable, listener->fd, EV_READ);
	ev_timer_init(&handover->pause, on_pause, 0., 0.);
	handover->readable.data = handover;
	handover->pause.data = handover;
}

void
handover_fini(struct app_listener *listener)
{
	struct handover *handover = &listener->handover;
	struct ev_loop *loop = handover->app->fleet->setup.loop;

	ev_io_stop(loop, &handover->readable);
	ev_timer_stop(loop, &handover->pause);
	ev_clear_pending(loop, &handover->pause);
	for (size_t i = 0; i < handover->returned_count; i++)
		sys_close(handover->returned[i]);
	free(handover->returned);
}

/*
 * The sockets of a group: who has which, and who gets what comes.
 *
 * The ledger remembers for each the slot that took it last. A slot's id is
 * never used again, so a socket whose slot is gone is free without a word. What
 * is left in the queue of such a one is handed to workers by fleet/handover.
 */
#include "fleet/reuseport.h"

#include "base/log.h"
#include "base/sys.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "mechanism/steering.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* A handshake that has begun ends in the old queue, and nothing tells
	 * when a queue is empty: it is looked at so often, while a slot goes.
	 */
	LOOK_MS = 10,
	LOOKS_EMPTY = 2,
};

bool
reuseport_is_for(const struct listen_config *config)
{
	return config->balance == BALANCE_REUSEPORT;
}

bool
reuseport_is_parked(const struct app *app, const struct app_listener *listener)
{
	return listener->state.is_member &&
	       !core_find_slot(app->fleet, listener->state.slot);
}

/* Taking one --------------------------------------------------------------- */

static struct app_listener *
find_member(struct slot *slot, const char *address, struct app_listener **free,
	struct app_listener **any, uint32_t *count)
{
	for (struct app_listener *at = slot->app->listeners; at;
		at = at->next) {
		if (!at->state.is_member ||
			strcmp(at->state.address, address) != 0)
			continue;
		if (at->state.slot == slot->state.id)
			return at;
		if (!*free && reuseport_is_parked(slot->app, at))
			*free = at;
		*any = at;
		(*count)++;
	}
	return NULL;
}

/* One more socket beside `any`, the slot's from the start. */
static int
add_member(struct slot *slot, const struct listen_config *config,
	const struct app_listener *any, uint32_t place)
{
	int fd = listener_open_twin(any->fd, config->backlog);

	return fd < 0 ? fd
		      : app_add_member(slot->app, fd, config->address,
				slot->state.id, place);
}

const struct app_listener *
reuseport_claim(
	struct slot *slot, const struct listen_config *config, int *ret_error)
{
	struct app *app = slot->app;
	struct app_listener *free = NULL, *any = NULL, *own;
	uint32_t count = 0;

	own = find_member(slot, config->address, &free, &any, &count);
	*ret_error = -ENOTCONN;
	if (!own && free) {
		free->state.slot = slot->state.id;
		ledger_write(app->fleet->ledger, STATE_LISTENERS, free->row,
			&free->state);
		handover_refresh(app);
		own = free;
	} else if (!own && any) {
		*ret_error = add_member(slot, config, any, count);
		own = *ret_error < 0 ? NULL
				     : find_member(slot, config->address, &free,
					       &any, &count);
	}
	return own;
}

/* Steering ----------------------------------------------------------------- */

/* Those that get something: of ready slots, else of all that will be. */
static size_t
list_places(const struct app *app, const char *address, bool only_ready,
	uint32_t *places)
{
	size_t count = 0;

	for (const struct app_listener *at = app->listeners; at;
		at = at->next) {
		const struct slot *slot;

		if (!at->state.is_member ||
			strcmp(at->state.address, address) != 0)
			continue;
		slot = core_find_slot(app->fleet, at->state.slot);
		if (slot && slot->state.rest != STATE_REMOVED &&
			(slot->was_ready || !only_ready) &&
			count < STEERING_PLACES_MAX)
			places[count++] = at->state.place;
	}
	return count;
}

/* FNV-1a, to know the list again. */
static uint64_t
hash_of(const uint32_t *places, size_t count)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < count; i++)
		hash = (hash ^ places[i]) * 1099511628211u;
	return hash;
}

static void
steer(const struct app *app, struct app_listener *first)
{
	uint32_t places[STEERING_PLACES_MAX];
	size_t count = list_places(app, first->state.address, true, places);
	uint64_t hash;
	int r;

	if (!count)
		count = list_places(app, first->state.address, false, places);
	hash = hash_of(places, count);
	if (!count || hash == first->steered)
		return;
	r = steering_set(first->fd, places, count);
	if (r < 0)
		log_error("%s: %s can't be steered to its %zu ready workers: "
			  "%s",
			app_name(app), first->text, count, strerror(-r));
	else
		first->steered = hash;
}

void
reuseport_steer(struct app *app)
{
	if (!app->fleet->is_loaded || app->fleet->is_closing)
		return;
	for (struct app_listener *at = app->listeners; at; at = at->next)
		if (at->state.is_member && at->state.place == 0)
			steer(app, at);
}

/* Going -------------------------------------------------------------------- */

static bool
has_queue(const struct slot *slot)
{
	for (const struct app_listener *at = slot->app->listeners; at;
		at = at->next)
		if (at->state.is_member && at->state.slot == slot->state.id &&
			steering_queue(at->fd) > 0)
			return true;
	return false;
}

static bool
has_member(const struct slot *slot)
{
	for (const struct app_listener *at = slot->app->listeners; at;
		at = at->next)
		if (at->state.is_member && at->state.slot == slot->state.id)
			return true;
	return false;
}

static void
on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct slot *slot = timer->data;

	(void)events;
	slot->looks_empty = has_queue(slot) ? 0 : slot->looks_empty + 1;
	if (slot->looks_empty < LOOKS_EMPTY && slot->was_ready &&
		!clock_is_past(slot->retire_deadline, clock_now()))
		return;
	ev_timer_stop(loop, timer);
	slot_stop(slot, STATE_REMOVED, STOP_SCALE, false);
}

void
reuseport_retire(struct slot *slot)
{
	struct ev_loop *loop = slot->app->fleet->setup.loop;

	if (!slot->was_ready || !has_member(slot)) {
		slot_stop(slot, STATE_REMOVED, STOP_SCALE, false);
		return;
	}
	if (slot->state.rest != STATE_REMOVED) {
		slot->state.rest = STATE_REMOVED;
		slot_save(slot);
	}
	reuseport_steer(slot->app);
	if (ev_is_active(&slot->look))
		return;
	slot->looks_empty = 0;
	slot->retire_deadline = clock_after_ms(
		clock_now(), slot->version->config->kill_timeout);
	ev_timer_init(&slot->look, on_look, LOOK_MS / 1e3, LOOK_MS / 1e3);
	slot->look.data = slot;
	ev_now_update(loop);
	ev_timer_start(loop, &slot->look);
}

void
reuseport_forget(struct slot *slot)
{
	ev_timer_stop(slot->app->fleet->setup.loop, &slot->look);
}

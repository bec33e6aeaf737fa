/*
 * An application: its slots, its listeners, its group in the exchange.
 *
 * What fills a slot is fleet/slot's business; how many slots there should be is
 * asked of policy/pool.
 */
#include "fleet/app.h"

#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/core.h"
#include "fleet/exits.h"
#include "fleet/keeper_client.h"
#include "fleet/order.h"
#include "fleet/renew.h"
#include "fleet/reuseport.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "policy/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct group_limits
limits_of(const struct version *version)
{
	return (struct group_limits){
		.queue_limit = (uint64_t)version->config->queue_limit,
		.max_message = (uint32_t)version->config->max_message,
		.stall_timeout_ms = (uint32_t)version->config->stall_timeout,
	};
}

void
app_set_version(struct app *app, struct version *version)
{
	struct version *before = app->version;
	struct group_limits limits = limits_of(version);

	app->version = version_hold(version);
	app->state.config = version->number;
	group_set_limits(app->group, &limits);
	/* Its files and times are those of the version. */
	renew_forget(app);
	app->state.cron_due = 0;
	version_release(&before);
	core_check(app->fleet);
}

int
app_load(struct fleet *fleet, struct version *version, uint32_t row,
	const struct state_app *state, struct app **ret_app)
{
	const struct app_config *config = version->config;
	struct group_limits limits = limits_of(version);
	struct app *app = calloc(1, sizeof(*app)), **at;

	if (!app)
		return -ENOMEM;
	app->fleet = fleet;
	app->row = row;
	app->state = *state;
	app->group = group_new(fleet->setup.exchange, config->name, &limits);
	if (!app->group) {
		free(app);
		return -ENOMEM;
	}
	if (fleet->setup.is_safe)
		group_set_running(app->group, false);
	app->version = version_hold(version);
	reload_run_init(app);
	at = &fleet->apps;
	while (*at && (*at)->state.number < state->number)
		at = &(*at)->next;
	app->next = *at;
	*at = app;
	*ret_app = app;
	return 0;
}

int
app_plan(struct fleet *fleet, const struct app_config *config, uint32_t number,
	struct state_app *ret_state, uint32_t *ret_row)
{
	struct state_app state = {
		.number = core_next_number(fleet),
		.config = number,
		.instances = (uint32_t)config->instances,
		.is_first = ledger_is_new(fleet->ledger),
	};
	int r = ledger_add(fleet->ledger, STATE_APPS, &state, ret_row);

	if (r >= 0)
		*ret_state = state;
	return r;
}

void
app_free(struct app **app)
{
	struct app *at = *app, **link;

	if (!at)
		return;
	*app = NULL;
	for (link = &at->fleet->apps; *link; link = &(*link)->next) {
		if (*link == at) {
			*link = at->next;
			break;
		}
	}
	renew_forget(at);
	reload_run_fini(at);
	while (at->slot_count)
		slot_free(&at->slots[--at->slot_count]);
	free(at->slots);
	while (at->listeners) {
		struct app_listener *next = at->listeners->next;

		handover_fini(at->listeners);
		sys_close(at->listeners->fd);
		free(at->listeners);
		at->listeners = next;
	}
	group_free(&at->group);
	version_release(&at->version);
	free(at);
}

void
app_save(struct app *app)
{
	ledger_write(app->fleet->ledger, STATE_APPS, app->row, &app->state);
}

const char *
app_name(const struct app *app)
{
	return app->version->config->name;
}

/* Listeners ---------------------------------------------------------------- */

const struct app_listener *
app_find_listener(const struct app *app, const char *address)
{
	for (const struct app_listener *at = app->listeners; at; at = at->next)
		if (!strcmp(at->state.address, address))
			return at;
	return NULL;
}

int
app_load_listener(
	struct app *app, uint32_t row, const struct state_listener *state)
{
	struct app_listener *listener, **at = &app->listeners;
	char name[KEEPER_NAME_SIZE];
	int fd;

	state_name(name, STATE_LISTENER, state->number);
	fd = keeper_client_claim(app->fleet->setup.keeper, name);
	if (fd < 0)
		return fd;
	listener = calloc(1, sizeof(*listener));
	if (!listener) {
		sys_close(fd);
		return -ENOMEM;
	}
	listener->row = row;
	listener->state = *state;
	listener->fd = fd;
	(void)listener_text(fd, listener->text);
	handover_init(app, listener);
	while (*at)
		at = &(*at)->next;
	*at = listener;
	return 0;
}

int
app_add_member(struct app *app, int fd, const char *address, uint32_t slot,
	uint32_t place)
{
	struct state_listener state = {
		.number = core_next_number(app->fleet),
		.app = app->state.number,
		.slot = slot,
		.place = place,
		.is_member = true,
	};
	char name[KEEPER_NAME_SIZE];
	uint32_t row;
	int r;

	snprintf(state.address, sizeof(state.address), "%s", address);
	state_name(name, STATE_LISTENER, state.number);
	r = keeper_client_keep(app->fleet->setup.keeper, name, fd);
	if (r >= 0)
		r = ledger_add(
			app->fleet->ledger, STATE_LISTENERS, &state, &row);
	return r < 0 ? r : app_load_listener(app, row, &state);
}

/* The file of a UNIX socket goes with it, unless it is another's by now. */
static void
remove_file(const struct app_listener *listener)
{
	const char *path = strstr(listener->state.address, "://");

	if (path)
		listener_remove_file(path + 3, &listener->state.file);
}

static bool
lists(const struct version *version, const char *address)
{
	if (!version)
		return false;
	for (size_t i = 0; i < version->config->listen.count; i++)
		if (!strcmp(version->config->listen.entries[i].address,
			    address))
			return true;
	return false;
}

void
app_remove_files(const struct app *app)
{
	for (const struct app_listener *at = app->listeners; at; at = at->next)
		remove_file(at);
}

/* Takes the one at `at` out of the list, the vault and the ledger. */
static void
drop_listener(struct app *app, struct app_listener **at)
{
	struct app_listener *listener = *at;
	char name[KEEPER_NAME_SIZE];

	state_name(name, STATE_LISTENER, listener->state.number);
	keeper_client_drop(app->fleet->setup.keeper, name);
	ledger_erase(app->fleet->ledger, STATE_LISTENERS, listener->row);
	remove_file(listener);
	handover_fini(listener);
	sys_close(listener->fd);
	*at = listener->next;
	free(listener);
}

void
app_close_listeners(struct app *app)
{
	struct app_listener **at = &app->listeners;

	while (*at) {
		if (lists(app->version, (*at)->state.address) ||
			lists(app->run.next, (*at)->state.address))
			at = &(*at)->next;
		else
			drop_listener(app, at);
	}
}

void
app_drop_listeners(struct app *app)
{
	while (app->listeners)
		drop_listener(app, &app->listeners);
}

/* Slots -------------------------------------------------------------------- */

int
app_add_slot(struct app *app, struct slot *slot)
{
	size_t at = app->slot_count;

	if (app->slot_count == app->slot_room) {
		size_t room = app->slot_room ? 2 * app->slot_room : 4;
		struct slot **slots =
			realloc(app->slots, room * sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		app->slots = slots;
		app->slot_room = room;
	}
	while (at && app->slots[at - 1]->state.instance > slot->state.instance)
		at--;
	memmove(app->slots + at + 1, app->slots + at,
		(app->slot_count - at) * sizeof(*app->slots));
	app->slots[at] = slot;
	app->slot_count++;
	return 0;
}

void
app_sweep(struct app *app)
{
	size_t kept = 0;

	for (size_t i = 0; i < app->slot_count; i++) {
		struct slot *slot = app->slots[i];

		if (slot->state.rest != STATE_REMOVED || slot->main ||
			slot->incoming || slot->outgoing) {
			app->slots[kept++] = slot;
			continue;
		}
		exits_erase(slot);
		ledger_erase(app->fleet->ledger, STATE_SLOTS, slot->row);
		slot_free(&slot);
	}
	if (kept < app->slot_count) {
		app->slot_count = kept;
		/* What its worker left in a queue of its own is for others. */
		handover_refresh(app);
	}
}

/* The slots that aren't on their way out, as policy/pool wants them. */
static struct pool_step
next_step(const struct app *app)
{
	uint32_t instances[STATE_SLOTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < app->slot_count && count < STATE_SLOTS_MAX; i++)
		if (app->slots[i]->state.rest != STATE_REMOVED)
			instances[count++] = app->slots[i]->state.instance;
	return pool_next(app->state.instances, instances, count);
}

static struct slot *
find_instance(const struct app *app, uint32_t instance)
{
	for (size_t i = 0; i < app->slot_count; i++)
		if (app->slots[i]->state.instance == instance &&
			app->slots[i]->state.rest != STATE_REMOVED)
			return app->slots[i];
	return NULL;
}

int
app_fit(struct app *app)
{
	for (;;) {
		struct pool_step step = next_step(app);
		struct slot *slot;
		int r;

		if (step.kind == POOL_DONE)
			return 0;
		if (step.kind == POOL_ADD) {
			r = slot_new(app, step.instance, &slot);
			if (r < 0)
				return r;
			if (app->fleet->is_loaded)
				slot_start(slot);
			continue;
		}
		slot = find_instance(app, step.instance);
		if (!slot)
			return -ENOENT;
		reuseport_retire(slot);
	}
}

void
app_stop(struct app *app, bool at_once)
{
	reload_run_cancel(app);
	for (size_t i = 0; i < app->slot_count; i++)
		slot_stop(app->slots[i], app->slots[i]->state.rest, STOP_STOP,
			at_once);
	app_refresh(app);
}

/* Views -------------------------------------------------------------------- */

void
app_refresh(struct app *app)
{
	bool is_running = false;

	for (size_t i = 0; i < app->slot_count && !is_running &&
			   !app->fleet->setup.is_safe;
		i++)
		is_running = slot_is_wanted(app->slots[i]);
	if (is_running == app->was_running)
		return;
	app->was_running = is_running;
	group_set_running(app->group, is_running);
}

bool
app_is_idle(const struct app *app)
{
	bool is_stuck;

	(void)order_waits_for(app, &is_stuck);
	for (size_t i = 0; i < app->slot_count; i++) {
		const struct slot *slot = app->slots[i];

		if (slot->main || slot->incoming || slot->outgoing ||
			(slot_is_wanted(slot) && !is_stuck))
			return false;
	}
	return true;
}

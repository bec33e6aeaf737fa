/*
 * A reload on living slots: gives policy/reload the events, and carries out
 * what it says.
 *
 * How a slot gets its second process, and gives up its first, is fleet/slot's
 * business. In the ledger stands only that a reload is under way, to which
 * configuration, and from which process on all are new: a brain that finds
 * that begins anew, and the slots that have a new process are left as they are.
 */
#include "fleet/reload_run.h"

#include "base/log.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "mechanism/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reload_waiter {
	struct reload_waiter *next; /* reload_run.waiters */
	fleet_done *done;
	void *data;
};

static struct slot *
slot_at(const struct app *app, uint32_t place)
{
	for (size_t i = 0; i < app->slot_count; i++) {
		struct slot *slot = app->slots[i];

		if (slot->state.rest == STATE_REMOVED)
			continue;
		if (app->state.only ? slot->state.id == app->state.only
				    : place-- == 0)
			return slot;
	}
	return NULL;
}

static uint32_t
place_of(const struct slot *slot)
{
	const struct app *app = slot->app;
	uint32_t place = 0;

	if (app->state.only)
		return app->state.only == slot->state.id ? 0 : UINT32_MAX;
	for (size_t i = 0; i < app->slot_count; i++) {
		if (app->slots[i] == slot)
			return place;
		if (app->slots[i]->state.rest != STATE_REMOVED)
			place++;
	}
	return UINT32_MAX;
}

static uint32_t
count_places(const struct app *app)
{
	uint32_t count = 0;

	if (app->state.only)
		return 1;
	for (size_t i = 0; i < app->slot_count; i++)
		if (app->slots[i]->state.rest != STATE_REMOVED)
			count++;
	return count;
}

/* Who asked ---------------------------------------------------------------- */

static int
add_waiter(struct app *app, fleet_done *done, void *data)
{
	struct reload_waiter *waiter, **at = &app->run.waiters;

	if (!done)
		return 0;
	if (app->run.waiter_count >= RELOAD_WAITERS_MAX)
		return -EBUSY;
	waiter = calloc(1, sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	waiter->done = done;
	waiter->data = data;
	while (*at)
		at = &(*at)->next;
	*at = waiter;
	app->run.waiter_count++;
	return 0;
}

static void
answer_waiters(struct app *app, const char *error)
{
	struct reload_waiter *waiter = app->run.waiters;

	/* One of them may ask for the next reload: that is a new list. */
	app->run.waiters = NULL;
	app->run.waiter_count = 0;
	while (waiter) {
		struct reload_waiter *next = waiter->next;

		waiter->done(error, waiter->data);
		free(waiter);
		waiter = next;
	}
}

/* The end ------------------------------------------------------------------ */

static const char *
reason_of(const struct app *app, enum reload_outcome outcome)
{
	if (outcome == RELOAD_CANCELLED)
		return "everything is being stopped";
	return app->run.words ? app->run.words : "a new worker failed";
}

/* The new version is in force. A number of instances that somebody scaled to
 * stays, unless the new configuration says another than the old. */
static void
take_version(struct app *app, struct version *next)
{
	if (next == app->version)
		return;
	if (next->config->instances != app->version->config->instances &&
		!app->state.is_scaled)
		app->state.instances = (uint32_t)next->config->instances;
	app_set_version(app, next);
}

static void
finish(struct app *app, enum reload_outcome outcome)
{
	struct events_subject subject = {0};
	struct version *next = app->run.next;
	char *words = NULL;

	ev_timer_stop(app->fleet->setup.loop, &app->run.soak);
	if (outcome != RELOAD_OK)
		words = strdup(reason_of(app, outcome));
	app->run.next = NULL;
	if (outcome == RELOAD_OK)
		take_version(app, next);
	subject.app = app_name(app);
	app->state.next_config = 0;
	app->state.is_reloading = false;
	app->state.is_scaled = false;
	app->state.only = 0;
	app_save(app);
	for (size_t i = 0; i < app->slot_count; i++) {
		slot_set_version(app->slots[i], app->version);
		slot_refresh(app->slots[i]);
	}
	version_release(&next);
	app_close_listeners(app);
	if (!app->fleet->general.is_stopping)
		(void)app_fit(app);
	free(app->run.words);
	app->run.words = NULL;
	if (outcome == RELOAD_OK) {
		log_info("%s: reloaded", app_name(app));
		events_raise(app->fleet->events, "reloaded", &subject, NULL);
		answer_waiters(app, NULL);
		return;
	}
	if (outcome == RELOAD_CANCELLED)
		log_info("%s: the reload was cut short", app_name(app));
	else
		log_error("%s: the reload was taken back: %.*s", app_name(app),
			words ? (int)strcspn(words, ";\n") : 0,
			words ? words : "");
	events_raise(app->fleet->events, "reload_failed", &subject,
		json_pack("{s:s}", "reason", words ? words : "?"));
	answer_waiters(app, words ? words : "out of memory");
	free(words);
}

/* The way ------------------------------------------------------------------ */

static void
carry_out(struct app *app, const struct reload_command *command)
{
	struct slot *slot = slot_at(app, command->slot);

	switch (command->kind) {
	case RELOAD_WAIT:
		return;
	case RELOAD_DONE:
		finish(app, command->outcome);
		return;
	case RELOAD_SOAK:
		ev_timer_set(
			&app->run.soak, (double)command->soak_ms / 1e3, 0.);
		ev_now_update(app->fleet->setup.loop);
		ev_timer_start(app->fleet->setup.loop, &app->run.soak);
		return;
	case RELOAD_START:
		if (slot)
			slot_start_incoming(slot, command->back);
		else
			reload_event(&app->run.plan, RELOAD_SLOT_SKIPPED,
				command->slot);
		return;
	case RELOAD_RETIRE:
		if (slot)
			slot_retire(slot);
		return;
	case RELOAD_ROLL_BACK:
		if (slot)
			slot_roll_back(slot);
		return;
	}
}

static void
pump(struct app *app)
{
	struct reload_command command;

	/* What a command causes at once is taken up by the same loop. */
	if (app->run.is_pumping)
		return;
	app->run.is_pumping = true;
	do {
		command = reload_next(&app->run.plan);
		carry_out(app, &command);
	} while (command.kind != RELOAD_WAIT);
	app->run.is_pumping = false;
}

static void
on_soak(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct app *app = timer->data;

	(void)loop;
	(void)events;
	reload_event(&app->run.plan, RELOAD_SOAK_OVER, 0);
	pump(app);
}

static void
on_kick(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	pump(timer->data);
}

static void
begin(struct app *app, struct version *version)
{
	const struct app_config *config = version->config;
	uint32_t count = count_places(app);
	uint32_t batch = config_portion_of(config->reload_batch, count);
	bool changed = version != app->version;

	if (app->run.next != version) {
		version_release(&app->run.next);
		app->run.next = version_hold(version);
	}
	if (reload_is_running(&app->run.plan))
		reload_again(&app->run.plan, count, batch, config->reload_soak,
			changed);
	else
		reload_begin(&app->run.plan, count, batch, config->reload_soak,
			changed);
	ev_timer_set(&app->run.kick, 0., 0.);
	ev_timer_start(app->fleet->setup.loop, &app->run.kick);
}

int
reload_run_begin(struct app *app, struct version *version, uint32_t only,
	fleet_done *done, void *data)
{
	int r;

	if (app->run.next && app->run.next != version)
		answer_waiters(app, "a newer configuration took its place");
	r = add_waiter(app, done, data);
	if (r < 0)
		return r;
	/* A reload of all that is under way isn't narrowed to one worker. */
	if (!app->run.next)
		app->state.only = only;
	else if (app->state.only != only)
		app->state.only = 0;
	app->state.is_reloading = true;
	app->state.next_config = version->number;
	app->state.reload_start = app->fleet->general.next_process;
	app_save(app);
	begin(app, version);
	return 0;
}

void
reload_run_go_on(struct app *app, struct version *version)
{
	log_info("%s: the reload goes on", app_name(app));
	begin(app, version);
}

void
reload_run_cancel(struct app *app)
{
	if (!app->run.next)
		return;
	if (app->fleet->setup.is_safe) {
		version_release(&app->run.next); /* it was never begun */
		return;
	}
	reload_event(&app->run.plan, RELOAD_CANCEL, 0);
	pump(app);
}

bool
reload_run_is_under_way(const struct app *app)
{
	return app->run.next != NULL;
}

void
reload_run_event(struct slot *slot, enum reload_event event)
{
	struct app *app = slot->app;

	if (!app->run.next || app->fleet->setup.is_safe)
		return;
	reload_event(&app->run.plan, event, place_of(slot));
	pump(app);
}

void
reload_run_reason(const struct process *process, const char *words)
{
	struct app *app = process->slot->app;
	const char *tail = "";
	size_t size = 0;

	if (!app->run.next || app->run.words)
		return;
	if (process->err)
		tail = output_pipe_tail(process->err, &size);
	if (asprintf(&app->run.words, "the new %s.%u (pid %d) %s%s%.*s",
		    app_name(app), process->slot->state.instance,
		    process->state.pid, words,
		    size ? "; its last lines:\n" : "", size ? (int)size - 1 : 0,
		    tail) < 0)
		app->run.words = NULL;
}

void
reload_run_init(struct app *app)
{
	ev_timer_init(&app->run.soak, on_soak, 0., 0.);
	ev_timer_init(&app->run.kick, on_kick, 0., 0.);
	app->run.soak.data = app;
	app->run.kick.data = app;
}

void
reload_run_fini(struct app *app)
{
	ev_timer_stop(app->fleet->setup.loop, &app->run.soak);
	ev_timer_stop(app->fleet->setup.loop, &app->run.kick);
	answer_waiters(app, "the supervisor ends");
	version_release(&app->run.next);
	free(app->run.words);
	app->run.words = NULL;
}

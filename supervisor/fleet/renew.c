/*
 * A renewal is a reload: of one worker where one has come to a bound, of all at
 * a time of cron_restart or after a change of files. So it is in the ledger as
 * any reload is, new workers are ready before old ones leave, and what fails
 * leaves all as it was.
 *
 * The next time of cron_restart stands in the application's row. It moves on in
 * the same write that says that a reload is under way: no brain misses one, and
 * none does it twice.
 */
#include "fleet/renew.h"

#include "base/log.h"
#include "base/sys.h"
#include "config/cron.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/reload_run.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "mechanism/proctree.h"
#include "mechanism/watch.h"
#include "policy/replace.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	LOOK_S = 1,
	LOOKS_MAX = 256, /* workers whose memory is read in one look */
	DELAYS_MAX = 20, /* of watch_delay, while changes go on and on */
};

static bool
may_reload(const struct app *app)
{
	return !app->fleet->general.is_stopping && !app->run.next &&
	       !app->fleet->setup.is_safe && !app->state.is_deleted;
}

/* One worker --------------------------------------------------------------- */

/* Who is to be told how a renewal ended. */
struct renewal {
	struct fleet *fleet;
	uint32_t id;
};

static void
on_renewed(const char *error, void *data)
{
	struct renewal *renewal = data;
	struct slot *slot = core_find_slot(renewal->fleet, renewal->id);

	if (slot) {
		slot->renew_failures = error ? slot->renew_failures + 1 : 0;
		slot->renew_after =
			error ? clock_after_ms(clock_now(),
					replace_pause_ms(slot->renew_failures))
			      : INSTANT_NONE;
		slot->renew_reason = STOP_NONE;
	}
	free(renewal);
}

static bool
has_bounds(const struct app_config *config)
{
	return config->max_memory_restart != CONFIG_UNSET ||
	       config->max_lifetime != CONFIG_UNSET ||
	       config->max_requests != CONFIG_UNSET;
}

static void
tell(const struct slot *slot, enum replace_reason reason,
	const struct replace_facts *facts)
{
	static const char *const names[] = {
		[REPLACE_MEMORY] = "max_memory_restart",
		[REPLACE_LIFETIME] = "max_lifetime",
		[REPLACE_REQUESTS] = "max_requests",
	};
	struct events_subject subject = process_subject(slot->main);

	log_info("%s.%u (pid %d) has come to its %s: it is replaced",
		app_name(slot->app), slot->state.instance,
		slot->main->state.pid, names[reason]);
	events_raise(slot->app->fleet->events, "renewed", &subject,
		json_pack("{s:s, s:I, s:I, s:I}", "because", names[reason],
			"memory_bytes", (json_int_t)facts->memory, "age_ms",
			(json_int_t)facts->age_ms, "requests",
			(json_int_t)facts->requests));
}

static void
renew(struct slot *slot, enum replace_reason reason,
	const struct replace_facts *facts)
{
	struct app *app = slot->app;
	struct renewal *renewal = malloc(sizeof(*renewal));

	if (!renewal)
		return; /* it is tried again in a second */
	*renewal = (struct renewal){app->fleet, slot->state.id};
	if (reload_run_begin(app, app->version, slot->state.id, on_renewed,
		    renewal) < 0) {
		on_renewed("no memory", renewal); /* later again */
		return;
	}
	tell(slot, reason, facts);
	slot->renew_reason =
		reason == REPLACE_MEMORY ? STOP_MEMORY : STOP_RELOAD;
}

/* Returns whether the application has something to do now. */
static bool
look_at_slot(struct slot *slot, int *reads)
{
	const struct app_config *config = slot->app->version->config;
	const struct process *process = slot->main;
	struct replace_rules rules = {
		.memory = config->max_memory_restart == CONFIG_UNSET
				  ? 0
				  : (uint64_t)config->max_memory_restart,
		.lifetime_ms = config->max_lifetime == CONFIG_UNSET
				       ? 0
				       : config->max_lifetime,
		.requests = config->max_requests == CONFIG_UNSET
				    ? 0
				    : (uint64_t)config->max_requests,
	};
	struct replace_facts facts = {0};
	enum replace_reason reason;

	if (!process_is_ready(process) || slot->incoming || slot->outgoing ||
		slot->state.rest != STATE_RUNS ||
		(clock_is_set(slot->renew_after) &&
			!clock_is_past(slot->renew_after, clock_now())))
		return false;
	facts.process = process->state.number;
	facts.age_ms = process_uptime_ms(process);
	if (process->peer)
		facts.requests = peer_handed(process->peer);
	if (rules.memory && (*reads)-- > 0)
		(void)proctree_memory(process->state.pid, &facts.memory);
	reason = replace_decide(&rules, &facts);
	if (reason == REPLACE_NONE)
		return false;
	renew(slot, reason, &facts);
	return true;
}

/* One after the other, and in turn: none waits for ever behind another. */
static void
look_at_slots(struct app *app, int *reads)
{
	for (size_t i = 0; i < app->slot_count; i++) {
		struct slot *slot =
			app->slots[(app->renew_next + i) % app->slot_count];

		if (*reads <= 0 || look_at_slot(slot, reads)) {
			app->renew_next =
				(app->renew_next + i + 1) % app->slot_count;
			return;
		}
	}
}

/* Times -------------------------------------------------------------------- */

static time_t
next_time(const struct app *app, time_t now)
{
	struct cron cron;

	if (cron_parse(app->version->config->cron_restart, &cron))
		return -1;
	return cron_next(&cron, now);
}

static void
look_at_clock(struct app *app)
{
	struct events_subject subject = {.app = app_name(app)};
	time_t now = time(NULL), due;

	/* A clock that was set back would put off what is due. */
	if (!app->state.cron_due || now < app->renew_wall) {
		app->state.cron_due = next_time(app, now);
		app_save(app);
	}
	app->renew_wall = now;
	if (app->state.cron_due < 0 || now < app->state.cron_due ||
		!may_reload(app))
		return;
	due = app->state.cron_due;
	app->state.cron_due = next_time(app, now);
	if (reload_run_begin(app, app->version, 0, NULL, NULL) < 0) {
		app->state.cron_due = due; /* in a second again */
		return;
	}
	log_info("%s: it is time by cron_restart", app_name(app));
	events_raise(app->fleet->events, "renewed", &subject,
		json_pack("{s:s}", "because", "cron_restart"));
}

/* Files -------------------------------------------------------------------- */

static void
on_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct app *app = timer->data;
	struct events_subject subject = {.app = app_name(app)};

	(void)loop;
	(void)events;
	app->watch_delays = 0;
	if (app->fleet->general.is_stopping || app->fleet->setup.is_safe)
		return;
	log_info("%s: %s changed", app_name(app), app->watch_path);
	events_raise(app->fleet->events, "renewed", &subject,
		json_pack("{s:s, s:s}", "because", "watch", "path",
			app->watch_path));
	(void)reload_run_begin(app,
		app->run.next ? app->run.next : app->version, 0, NULL, NULL);
}

static void
on_changed(const char *path, void *data)
{
	struct app *app = data;
	struct ev_loop *loop = app->fleet->setup.loop;
	int64_t delay = app->version->config->watch_delay;

	if (!app->watch_delays)
		snprintf(app->watch_path, sizeof(app->watch_path), "%s",
			path ? path : "much");
	/* What never gets quiet is reloaded all the same. */
	if (app->watch_delays++ >= DELAYS_MAX)
		return;
	ev_now_update(loop);
	ev_timer_stop(loop, &app->watch_quiet);
	ev_timer_set(&app->watch_quiet, (double)delay / 1e3, 0.);
	ev_timer_start(loop, &app->watch_quiet);
}

static void
watch_files(struct app *app)
{
	const struct app_config *config = app->version->config;
	int r;

	if (!config->watch)
		return;
	ev_timer_init(&app->watch_quiet, on_quiet, 0., 0.);
	app->watch_quiet.data = app;
	r = watch_new(app->fleet->setup.loop, config->cwd, config->watch,
		config->ignore_watch, on_changed, app, &app->watch);
	if (r < 0)
		log_error("%s: its files can't be watched: %s", app_name(app),
			strerror(-r));
}

/* Looking ------------------------------------------------------------------ */

static bool
needs_looks(const struct app *app)
{
	const struct app_config *config = app->version->config;

	return has_bounds(config) || config->cron_restart;
}

static void
on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct fleet *fleet = timer->data;
	int reads = LOOKS_MAX;

	(void)events;
	ev_timer_stop(loop, timer);
	for (struct app *app = fleet->apps; app; app = app->next) {
		if (app->version->config->cron_restart)
			look_at_clock(app);
		if (has_bounds(app->version->config) && may_reload(app))
			look_at_slots(app, &reads);
	}
	renew_arm(fleet);
}

void
renew_arm(struct fleet *fleet)
{
	bool looks = false;

	if (!fleet->is_loaded || fleet->is_closing)
		return;
	for (struct app *app = fleet->apps; app; app = app->next) {
		looks |= needs_looks(app);
		if (app->watch_version == app->version)
			continue;
		renew_forget(app);
		app->watch_version = app->version;
		if (!fleet->setup.is_safe && !fleet->general.is_stopping)
			watch_files(app);
	}
	if (!looks || fleet->general.is_stopping || fleet->setup.is_safe)
		return;
	if (!fleet->renew.data) {
		ev_timer_init(&fleet->renew, on_look, 0., 0.);
		fleet->renew.data = fleet;
	}
	if (ev_is_active(&fleet->renew))
		return;
	ev_now_update(fleet->setup.loop);
	ev_timer_set(&fleet->renew, LOOK_S, 0.);
	ev_timer_start(fleet->setup.loop, &fleet->renew);
}

void
renew_forget(struct app *app)
{
	watch_free(&app->watch);
	if (app->watch_quiet.data)
		ev_timer_stop(app->fleet->setup.loop, &app->watch_quiet);
	app->watch_delays = 0;
	app->watch_version = NULL;
}

void
renew_end(struct fleet *fleet)
{
	if (fleet->renew.data)
		ev_timer_stop(fleet->setup.loop, &fleet->renew);
}

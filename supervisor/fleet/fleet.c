/*
 * The fleet's surface: opening, closing, targets, signals, views.
 *
 * What it passes on to: fleet/plan (what shall run), fleet/rebuild (what runs),
 * fleet/reload_run, fleet/slot.
 */
#include "fleet/fleet.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/formats.h"
#include "fleet/keeper_client.h"
#include "fleet/notify.h"
#include "fleet/operate.h"
#include "fleet/order.h"
#include "fleet/plan.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "fleet/upgrade.h"
#include "fleet/version.h"
#include "mechanism/logfile.h"
#include "mechanism/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Opening and closing ------------------------------------------------------ */

int
fleet_open(const struct fleet_setup *setup, struct fleet **ret_fleet)
{
	struct fleet *fleet = calloc(1, sizeof(*fleet));
	int fd, r = -ENOMEM;

	if (!fleet)
		return r;
	fleet->setup = *setup;
	fleet->held_end = &fleet->held;
	fleet->random = (uint32_t)clock_now().ns;
	fleet->general = (struct state_general){
		.next_process = 1, .next_id = 1, .next_number = 1};
	fleet->events = events_new();
	if (!fleet->events)
		goto fail;
	r = fd = keeper_client_claim(setup->keeper, KEEPER_VAULT_LEDGER);
	if (r < 0)
		goto fail;
	r = ledger_open(
		fd, STATE_VERSION, state_tables, STATE_TABLES, &fleet->ledger);
	if (r < 0)
		goto fail;
	/* Held as long as we are: without a keeper, the home stays taken until
	 * the last worker is gone. */
	fleet->bus = -1;
	fleet->lock = keeper_client_claim(setup->keeper, KEEPER_VAULT_LOCK);
	*ret_fleet = fleet;
	return 0;
fail:
	events_free(&fleet->events);
	free(fleet);
	return r;
}

void
fleet_close(struct fleet **fleet)
{
	struct fleet *at = *fleet;

	if (!at)
		return;
	*fleet = NULL;
	at->is_closing = true;
	exchange_on_returned(at->setup.exchange, NULL, NULL);
	notify_close(at);
	bus_close(at);
	if (at->is_loaded)
		core_unwatch(at);
	while (at->apps) {
		struct app *app = at->apps;

		app_free(&app);
	}
	while (at->lingering) {
		struct process *process = at->lingering;

		process_free(&process);
	}
	upgrade_free(&at->upgrade);
	formats_free(at);
	output_free(&at->output);
	logfiles_free(&at->logfiles);
	events_free(&at->events);
	ledger_close(&at->ledger);
	if (at->lock >= 0)
		sys_close(at->lock);
	free(at->file);
	free(at->pid_file);
	free(at->program);
	free(at->logs);
	operate_free(at);
	free(at);
}

int
fleet_check(int ledger, int exchange)
{
	int r = ledger_check(ledger, STATE_VERSION, state_tables, STATE_TABLES);

	return r < 0 ? r : exchange_check(exchange);
}

void
fleet_use_exchange(struct fleet *fleet, struct exchange *exchange)
{
	fleet->setup.exchange = exchange;
}

bool
fleet_is_new(const struct fleet *fleet)
{
	return ledger_is_new(fleet->ledger);
}

struct events *
fleet_events(struct fleet *fleet)
{
	return fleet->events;
}

/* Targets ------------------------------------------------------------------ */

int
fleet_find(const struct fleet *fleet, const char *text,
	struct fleet_target *ret_target)
{
	struct fleet_target target = {.kind = FLEET_ALL};

	if (!strncmp(text, "ns:", 3)) {
		target.kind = FLEET_NAMESPACE;
		target.name = text + 3;
	} else if (*text && strspn(text, "0123456789") == strlen(text) &&
		   strlen(text) <= 10) {
		target.kind = FLEET_SLOT;
		target.id = (uint32_t)strtoul(text, NULL, 10);
	} else if (strcmp(text, "all")) {
		target.kind = FLEET_APP;
		target.name = text;
	}
	if (target.kind != FLEET_ALL) {
		const struct slot *slot = fleet->slots;

		while (slot && !fleet_target_has(&target, slot))
			slot = slot->next;
		if (!slot)
			return -ENOENT;
	}
	*ret_target = target;
	return 0;
}

bool
fleet_target_has(const struct fleet_target *target, const struct slot *slot)
{
	const struct app_config *config = slot->app->version->config;

	switch (target->kind) {
	case FLEET_ALL:
		return true;
	case FLEET_NAMESPACE:
		return !strcmp(config->namespace, target->name);
	case FLEET_APP:
		return !strcmp(config->name, target->name);
	case FLEET_SLOT:
		return slot->state.id == target->id;
	}
	return false;
}

/* Whether some slot of the application is meant. */
static bool
has_target(const struct fleet_target *target, const struct app *app)
{
	for (size_t i = 0; i < app->slot_count; i++)
		if (fleet_target_has(target, app->slots[i]))
			return true;
	return false;
}

/* Waiting for several applications ------------------------------------------
 */

struct gathering {
	uint32_t waits_for;
	char *error; /* the first */
	fleet_done *done;
	void *data;
};

static void
wait_for_one(void *data)
{
	struct gathering *gathering = data;

	gathering->waits_for++;
}

static void
on_one_done(const char *error, void *data)
{
	struct gathering *gathering = data;

	if (error && !gathering->error)
		gathering->error = strdup(error);
	if (--gathering->waits_for)
		return;
	if (gathering->done)
		gathering->done(gathering->error, gathering->data);
	free(gathering->error);
	free(gathering);
}

static struct gathering *
gather(fleet_done *done, void *data)
{
	struct gathering *gathering = calloc(1, sizeof(*gathering));

	if (gathering) {
		gathering->done = done;
		gathering->data = data;
		gathering->waits_for = 1; /* who begins */
	}
	return gathering;
}

/* Nothing was begun: nobody is told. */
static void
scatter(struct gathering *gathering)
{
	free(gathering->error);
	free(gathering);
}

int
fleet_reload(struct fleet *fleet, const struct fleet_target *target,
	fleet_done *done, void *data)
{
	uint32_t only = target->kind == FLEET_SLOT ? target->id : 0;
	struct gathering *gathering;
	int failed = -ENOENT, r;

	if (fleet->setup.is_safe)
		return -EBUSY;
	if (fleet->general.is_stopping)
		return -ESHUTDOWN;
	gathering = gather(done, data);
	if (!gathering)
		return -ENOMEM;
	for (struct app *app = fleet->apps; app; app = app->next) {
		if (!has_target(target, app))
			continue;
		wait_for_one(gathering);
		r = reload_run_begin(app,
			app->run.next ? app->run.next : app->version, only,
			on_one_done, gathering);
		if (r < 0) {
			gathering->waits_for--;
			failed = r;
		}
	}
	if (gathering->waits_for == 1) {
		scatter(gathering);
		return failed;
	}
	on_one_done(NULL, gathering);
	return 0;
}

int
fleet_apply(struct fleet *fleet, const struct config_set *set,
	size_t *ret_changed, fleet_done *done, void *data, char *ret_words)
{
	struct gathering *gathering;
	size_t changed = 0;
	int r;

	if (fleet->general.is_stopping) {
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"everything is being stopped");
		return -ESHUTDOWN;
	}
	gathering = gather(done, data);
	if (!gathering)
		return -ENOMEM;
	r = plan_apply(fleet, set, &changed, wait_for_one, on_one_done,
		gathering, ret_words);
	if (r < 0 || !changed) {
		scatter(gathering);
	} else {
		on_one_done(NULL, gathering);
	}
	if (r >= 0)
		*ret_changed = changed;
	return r;
}

/* The workers that all other applications shall have. */
static int64_t
count_others(const struct app *app)
{
	int64_t count = 0;

	for (const struct app *at = app->fleet->apps; at; at = at->next)
		count += at == app ? 0 : at->state.instances;
	return count;
}

int
fleet_scale(struct fleet *fleet, const char *name, int64_t instances)
{
	struct app *app = core_find_app(fleet, name);

	if (!app)
		return -ENOENT;
	if (fleet->general.is_stopping)
		return -ESHUTDOWN;
	if (instances < 0 || instances > STATE_SLOTS_MAX)
		return -ERANGE;
	if (fleet->general.max_processes &&
		count_others(app) + instances > fleet->general.max_processes)
		return -EDQUOT;
	app->state.instances = (uint32_t)instances;
	app->state.is_scaled = app->run.next != NULL;
	app_save(app);
	/* A reload counts with the slots that it began with; when it has ended
	 * there are as many as are wanted. */
	return app->run.next ? 0 : app_fit(app);
}

void
fleet_stop(struct fleet *fleet, bool at_once)
{
	fleet->general.is_stopping = true;
	fleet->general.is_at_once |= at_once;
	core_save(fleet);
	for (struct app *app = fleet->apps; app; app = app->next)
		app_stop(app, at_once);
	core_check(fleet);
}

int
fleet_reopen(struct fleet *fleet)
{
	return logfiles_reopen(fleet->logfiles);
}

/* Signals ------------------------------------------------------------------ */

static void
reload_all(struct fleet *fleet)
{
	struct fleet_target all = {.kind = FLEET_ALL};
	int r = fleet_reload(fleet, &all, NULL, NULL);

	if (r < 0)
		log_error("SIGHUP: no reload: %s", strerror(-r));
}

static void
read_file_again(struct fleet *fleet)
{
	char words[FLEET_WORDS_SIZE] = "";
	struct config_place place;
	struct config_error error;
	struct config_set set = {0};
	size_t changed = 0;
	int r = config_place_init(&place);

	if (r < 0) {
		log_error("SIGHUP: the current folder: %s", strerror(-r));
		return;
	}
	place.find = fleet_configuration;
	place.find_data = fleet;
	r = config_file_read(fleet->file, &place, &set, &error);
	if (r < 0) {
		log_error("SIGHUP: nothing is changed: %s", error.text);
		return;
	}
	r = fleet_apply(fleet, &set, &changed, NULL, NULL, words);
	config_set_fini(&set);
	if (r < 0)
		log_error("SIGHUP: nothing is changed: %s", words);
	else if (!changed)
		reload_all(fleet);
}

static void
scale_by(struct fleet *fleet, int64_t step)
{
	for (struct app *app = fleet->apps; app; app = app->next) {
		int64_t instances = app->state.instances + step;
		int r = instances < 1
				? -ERANGE
				: fleet_scale(fleet, app_name(app), instances);

		if (r < 0)
			log_warn("%s stays at %u workers: %s", app_name(app),
				app->state.instances,
				r == -ERANGE ? "one is the least"
					     : strerror(-r));
	}
}

static void
upgrade_by_signal(struct fleet *fleet)
{
	char words[FLEET_WORDS_SIZE] = "no memory";

	if (fleet_upgrade(fleet, NULL, NULL, NULL, words) < 0)
		log_error("SIGUSR2: no upgrade: %s", words);
}

/* Whether a signal changes nothing in safe mode. */
static bool
waits_for_normal(const struct fleet *fleet, int signal)
{
	if (!fleet->setup.is_safe ||
		(signal != SIGHUP && signal != SIGTTIN && signal != SIGTTOU))
		return false;
	log_warn("safe mode: SIG%s is not carried out", sigabbrev_np(signal));
	return true;
}

void
fleet_signal(struct fleet *fleet, int signal)
{
	switch (waits_for_normal(fleet, signal) ? 0 : signal) {
	case 0:
		break;
	case SIGHUP:
		if (fleet->general.is_stopping)
			break;
		if (fleet->file)
			read_file_again(fleet);
		else
			reload_all(fleet);
		break;
	case SIGTERM:
	case SIGINT:
		fleet_stop(fleet, fleet->general.is_stopping);
		break;
	case SIGQUIT:
		fleet_stop(fleet, true);
		break;
	case SIGUSR1:
		(void)fleet_reopen(fleet);
		break;
	case SIGUSR2:
		upgrade_by_signal(fleet);
		break;
	case SIGTTIN:
		scale_by(fleet, 1);
		break;
	case SIGTTOU:
		scale_by(fleet, -1);
		break;
	default:
		log_debug("signal %d has no meaning yet", signal);
	}
	keeper_client_took(fleet->setup.keeper, signal);
	/* At once: what is done must not be asked of the next brain, too. */
	(void)keeper_client_flush(fleet->setup.keeper);
}

/* Seeing ------------------------------------------------------------------- */

const struct slot *
fleet_next_slot(const struct fleet *fleet, const struct slot *after)
{
	return after ? after->next : fleet->slots;
}

void
slot_read(const struct slot *slot, struct slot_view *ret_view)
{
	const struct app_config *config = slot->app->version->config;
	const struct process *process = slot->main	 ? slot->main
					: slot->outgoing ? slot->outgoing
							 : slot->incoming;
	struct endpoint_counters counters = {0};
	bool is_stuck;

	endpoint_read_counters(slot->endpoint, &counters);
	*ret_view = (struct slot_view){
		.id = slot->state.id,
		.instance = slot->state.instance,
		.generation = process ? process->state.generation
				      : slot->state.generation,
		.app = config->name,
		.namespace = config->namespace,
		.status = slot_status(slot),
		.pid = process && process_has_pid(process) ? process->state.pid
							   : 0,
		.restarts = slot->state.restarts,
		.unstable_restarts = slot->state.unstable,
		.uptime_ms = process ? process_uptime_ms(process) : -1,
		.has_exit = slot->state.has_exit,
		.exit_by_signal = slot->state.exit_by_signal,
		.exit_status = slot->state.exit_status,
		.exit_wall_ms = slot->state.exit_wall_ms,
		.unkillable = process && process->state.is_unkillable,
		.messages_in = slot->earlier_in + counters.messages_in,
		.messages_out = slot->earlier_out + counters.messages_out,
		.queue_bytes = counters.queue_bytes,
		.listen = &slot->version->config->listen,
		.notice = process ? process->status : "",
		.waits_for = process || !slot_is_wanted(slot)
				     ? NULL
				     : order_waits_for(slot->app, &is_stuck),
		.in_flight = process ? process->in_flight : 0,
		.connections = process && process->peer
				       ? peer_connections(process->peer)
				       : 0,
	};
}

bool
slot_log_path(
	const struct slot *slot, bool is_error, char *ret_path, size_t size)
{
	return config_log_path(slot->version->config, is_error,
		slot->state.instance, ret_path, size);
}

json_t *
slot_configuration(const struct slot *slot)
{
	return config_to_json(slot->app->version->config);
}

const char *
slot_listener_text(const struct slot *slot, const struct listen_config *entry)
{
	const struct app_listener *listener =
		app_find_listener(slot->app, entry->address);

	return listener ? listener->text : entry->address;
}

json_t *
fleet_list_workers(const struct fleet *fleet, const char *app)
{
	json_t *list = json_array();
	int r = list ? 0 : -1;

	for (const struct slot *slot = fleet->slots; slot; slot = slot->next) {
		const char *name = app_name(slot->app);

		if (app && strcmp(app, name))
			continue;
		r |= json_array_append_new(list,
			json_pack("{s:I,s:s,s:I,s:s}", "id",
				(json_int_t)slot->state.id, "app", name,
				"instance", (json_int_t)slot->state.instance,
				"state", slot_status(slot)));
	}
	if (r) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:o}", "workers", list);
}

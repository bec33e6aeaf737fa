/*
 * Starting, stopping, restarting and deleting on an operator's word.
 *
 * How a slot gets and loses a process is fleet/slot's business. Here is what
 * the word means for each slot, and when it is carried out: looked at whenever
 * something has changed, at the end of a turn.
 */
#include "fleet/operate.h"

#include "base/home.h"
#include "base/log.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/ending.h"
#include "fleet/keeper_client.h"
#include "fleet/order.h"
#include "fleet/reload_run.h"
#include "fleet/slot.h"
#include "fleet/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Somebody waits until its slots are as they shall be. */
struct operation {
	struct operation *next; /* fleet.operations */
	bool shall_run;
	uint32_t app; /* number; all its slots count, with `count` of them … */
	int64_t count;
	uint32_t *ids; /* … or, where app is 0, these */
	size_t id_count;
	uint64_t since; /* processes from this number on are its doing */
	fleet_done *done;
	void *data;
};

/* Waiting ------------------------------------------------------------------ */

static void
free_operation(struct operation *operation)
{
	free(operation->ids);
	free(operation);
}

static struct operation *
make_operation(
	struct fleet *fleet, bool shall_run, fleet_done *done, void *data)
{
	struct operation *operation = calloc(1, sizeof(*operation));

	if (!operation)
		return NULL;
	operation->shall_run = shall_run;
	operation->since = fleet->general.next_process;
	operation->done = done;
	operation->data = data;
	return operation;
}

static void
wait_for(struct fleet *fleet, struct operation *operation)
{
	struct operation **at = &fleet->operations;

	while (*at)
		at = &(*at)->next;
	*at = operation;
	core_check(fleet);
}

static bool
has_process(const struct slot *slot)
{
	return slot->main || slot->incoming || slot->outgoing;
}

/* Whether a process that this operation brought about has failed. */
static bool
has_failed(const struct operation *operation, const struct slot *slot)
{
	if (slot->state.rest == STATE_ERRORED)
		return true;
	return slot->state.exit_process >= operation->since &&
	       slot->state.unstable > 0 && !slot->was_ready;
}

static void
say_why(const struct slot *slot, char *ret_words)
{
	struct exit_view view;
	const char *how = "ended";

	if (slot_read_exit(slot, 0, &view) == 0)
		how = view.how;
	snprintf(ret_words, FLEET_WORDS_SIZE, "%s.%u %s%s (muster why %u)",
		app_name(slot->app), slot->state.instance, how,
		slot->state.rest == STATE_ERRORED ? "; it was given up"
						  : "; it is tried again",
		slot->state.id);
}

/* Whether it waits for what won't come by itself. */
static bool
is_stuck(const struct slot *slot, char *ret_words)
{
	bool stuck;
	const char *name = order_waits_for(slot->app, &stuck);

	if (has_process(slot) || !slot_is_wanted(slot) || !name || !stuck)
		return false;
	snprintf(ret_words, FLEET_WORDS_SIZE,
		"%s.%u waits for %s, which doesn't run: start that first",
		app_name(slot->app), slot->state.instance, name);
	return true;
}

/* Returns 1: as it shall be; 0: not yet; -1: it failed, and why. */
static int
look_at_slot(const struct operation *operation, const struct slot *slot,
	char *ret_words)
{
	if (!operation->shall_run)
		return has_process(slot) ? 0 : 1;
	if (has_failed(operation, slot)) {
		say_why(slot, ret_words);
		return -1;
	}
	if (is_stuck(slot, ret_words))
		return -1;
	/* It was stopped meanwhile, or had nothing more to do. */
	if (slot->state.rest != STATE_RUNS)
		return has_process(slot) ? 0 : 1;
	return slot->main && slot->main->state.number >= operation->since &&
			       !process_is_ready(slot->main)
		       ? 0
	       : slot->was_ready && !slot->outgoing ? 1
						    : 0;
}

static int
look_at_app(const struct fleet *fleet, const struct operation *operation,
	char *ret_words)
{
	const struct app *app = core_find_app_number(fleet, operation->app);
	int64_t running = 0;

	if (!app)
		return 1;
	for (size_t i = 0; i < app->slot_count; i++) {
		const struct slot *slot = app->slots[i];
		int looks;

		if (slot->state.rest == STATE_REMOVED)
			return 0;
		looks = look_at_slot(operation, slot, ret_words);
		if (looks <= 0)
			return looks;
		running++;
	}
	return operation->count < 0 || running == operation->count ? 1 : 0;
}

static int
look_at(const struct fleet *fleet, const struct operation *operation,
	char *ret_words)
{
	if (operation->app)
		return look_at_app(fleet, operation, ret_words);
	for (size_t i = 0; i < operation->id_count; i++) {
		const struct slot *slot =
			core_find_slot(fleet, operation->ids[i]);
		int looks = slot ? look_at_slot(operation, slot, ret_words) : 1;

		if (looks <= 0)
			return looks;
	}
	return 1;
}

/* An application without slots that is to go. */
static void
forget_app(struct app *app)
{
	struct fleet *fleet = app->fleet;
	uint32_t row = app->row;

	log_info("%s: deleted", app_name(app));
	app_drop_listeners(app);
	app_free(&app);
	ledger_erase(fleet->ledger, STATE_APPS, row);
}

void
operate_check(struct fleet *fleet)
{
	struct operation **at = &fleet->operations;
	struct app *next;

	for (struct app *app = fleet->apps; app; app = next) {
		next = app->next;
		if (app->state.is_deleted && !app->slot_count)
			forget_app(app);
	}
	while (*at) {
		struct operation *operation = *at;
		char words[FLEET_WORDS_SIZE];
		int looks = look_at(fleet, operation, words);

		if (looks == 0) {
			at = &operation->next;
			continue;
		}
		*at = operation->next;
		operation->done(looks < 0 ? words : NULL, operation->data);
		free_operation(operation);
		/* Whoever was told may have begun the next. */
		at = &fleet->operations;
	}
}

void
operate_free(struct fleet *fleet)
{
	while (fleet->operations) {
		struct operation *operation = fleet->operations;

		fleet->operations = operation->next;
		free_operation(operation);
	}
}

/* Doing -------------------------------------------------------------------- */

static void
start_slot(struct slot *slot)
{
	if (slot->state.rest == STATE_REMOVED || has_process(slot))
		return;
	slot->state.rest = STATE_RUNS;
	slot->state.unstable = 0;
	slot->state.start_ns = 0;
	slot_save(slot);
	slot_start(slot);
	slot_refresh(slot);
}

static void
restart_slot(struct slot *slot)
{
	if (!has_process(slot)) {
		start_slot(slot);
		return;
	}
	if (slot->state.rest == STATE_REMOVED)
		return;
	/* It shall run: what is stopped is followed by another. */
	slot->state.rest = STATE_RUNS;
	slot->state.unstable = 0;
	slot_save(slot);
	if (order_may_stop(slot, STOP_AGAIN))
		slot_end_processes(slot, STOP_AGAIN);
}

static void
act(struct slot *slot, enum fleet_operation operation)
{
	switch (operation) {
	case FLEET_START:
		start_slot(slot);
		return;
	case FLEET_STOP:
		slot_stop(slot,
			slot->state.rest == STATE_REMOVED ? STATE_REMOVED
							  : STATE_STOPPED,
			STOP_STOP, false);
		return;
	case FLEET_RESTART:
		restart_slot(slot);
		return;
	case FLEET_DELETE:
		slot_stop(slot, STATE_REMOVED, STOP_STOP, false);
		return;
	}
}

static bool
is_meant(const struct operation *operation, const struct app *app)
{
	for (size_t i = 0; i < app->slot_count; i++)
		for (size_t k = 0; k < operation->id_count; k++)
			if (app->slots[i]->state.id == operation->ids[k])
				return true;
	return false;
}

/*
 * A reload under way ends before its slots are stopped. What is stopped or
 * started anew has to begin again where others do, too.
 */
static void
prepare(struct app *app, enum fleet_operation operation,
	const struct operation *all)
{
	char *const *name = app->version->config->depends_on;

	for (; operation == FLEET_RESTART && *name; name++) {
		const struct app *other = core_find_app(app->fleet, *name);

		if (other && is_meant(all, other))
			app->state.has_begun = false;
	}
	if (operation != FLEET_START)
		reload_run_cancel(app);
	if (operation == FLEET_DELETE) {
		app->state.is_deleted = true;
		app->state.instances = 0;
	}
	app_save(app);
}

static int
collect(const struct fleet *fleet, const struct fleet_target *target,
	struct operation *operation)
{
	size_t count = 0;

	for (const struct slot *slot = fleet->slots; slot; slot = slot->next)
		count += fleet_target_has(target, slot);
	if (!count)
		return -ENOENT;
	operation->ids = calloc(count, sizeof(*operation->ids));
	if (!operation->ids)
		return -ENOMEM;
	for (const struct slot *slot = fleet->slots; slot; slot = slot->next)
		if (fleet_target_has(target, slot))
			operation->ids[operation->id_count++] = slot->state.id;
	return 0;
}

static void
nobody(const char *error, void *data)
{
	(void)error;
	(void)data;
}

static int
may_operate(const struct fleet *fleet)
{
	if (fleet->setup.is_safe)
		return -EBUSY;
	return fleet->general.is_stopping ? -ESHUTDOWN : 0;
}

int
fleet_operate(struct fleet *fleet, enum fleet_operation operation,
	const struct fleet_target *target, fleet_done *done, void *data)
{
	struct operation *waits;
	int r = may_operate(fleet);

	if (r < 0)
		return r;
	if (operation == FLEET_DELETE && target->kind == FLEET_SLOT)
		return -EINVAL;
	waits = make_operation(fleet,
		operation == FLEET_START || operation == FLEET_RESTART,
		done ? done : nobody, data);
	if (!waits)
		return -ENOMEM;
	r = collect(fleet, target, waits);
	if (r < 0) {
		free_operation(waits);
		return r;
	}
	for (struct app *app = fleet->apps; app; app = app->next)
		if (is_meant(waits, app))
			prepare(app, operation, waits);
	for (size_t i = 0; i < waits->id_count; i++) {
		struct slot *slot = core_find_slot(fleet, waits->ids[i]);

		if (slot)
			act(slot, operation);
	}
	wait_for(fleet, waits);
	return 0;
}

int64_t
fleet_instances(const struct fleet *fleet, const char *name)
{
	const struct app *app = core_find_app(fleet, name);

	return app ? (int64_t)app->state.instances : -ENOENT;
}

const struct app_config *
fleet_configuration(const char *name, void *data)
{
	const struct app *app = core_find_app(data, name);

	return app ? app->version->config : NULL;
}

bool
fleet_was_started(const struct fleet *fleet, const char *name)
{
	const struct app *app = core_find_app(fleet, name);

	return app && app->state.was_started;
}

int
fleet_scale_and_wait(struct fleet *fleet, const char *name, int64_t instances,
	fleet_done *done, void *data)
{
	struct operation *waits = make_operation(fleet, true, done, data);
	int r;

	if (!waits)
		return -ENOMEM;
	r = fleet->setup.is_safe ? -EBUSY : fleet_scale(fleet, name, instances);
	if (r < 0) {
		free_operation(waits);
		return r;
	}
	waits->app = core_find_app(fleet, name)->state.number;
	waits->count = instances;
	wait_for(fleet, waits);
	return 0;
}

unsigned
fleet_send_signal(
	struct fleet *fleet, const struct fleet_target *target, int signal)
{
	unsigned count = 0;

	for (struct slot *slot = fleet->slots; slot; slot = slot->next) {
		struct process *all[] = {
			slot->main, slot->incoming, slot->outgoing};

		for (size_t i = 0; fleet_target_has(target, slot) && i < 3;
			i++) {
			if (!process_has_pid(all[i]))
				continue;
			keeper_client_signal(fleet->setup.keeper,
				all[i]->state.number, signal, false);
			count++;
		}
	}
	return count;
}

void
fleet_reset(struct fleet *fleet, const struct fleet_target *target)
{
	for (struct slot *slot = fleet->slots; slot; slot = slot->next) {
		if (!fleet_target_has(target, slot))
			continue;
		slot->state.restarts = 0;
		slot->state.unstable = 0;
		slot_save(slot);
	}
}

/* Becoming a daemon's -------------------------------------------------------
 */

bool
fleet_is_daemon(const struct fleet *fleet)
{
	return fleet->logs != NULL;
}

/* Both streams of an application go to one file, unless it says otherwise. */
static int
set_log_files(const struct fleet *fleet, struct app_config *config)
{
	char *path = NULL;

	if (config->log_file || (config->out_file && config->error_file))
		return 0;
	if (asprintf(&path, "%s/%s.log", fleet->logs, config->name) < 0)
		return -ENOMEM;
	if (!config->out_file)
		config->out_file = strdup(path);
	if (!config->error_file)
		config->error_file = strdup(path);
	free(path);
	return config->out_file && config->error_file ? 0 : -ENOMEM;
}

int
fleet_adopt(struct fleet *fleet, struct config_set *set,
	char *const *environment, bool update)
{
	int r = fleet->logs ? home_make_folder(fleet->logs) : 0;

	for (size_t i = 0; r >= 0 && i < set->count; i++) {
		struct app_config *config = set->apps[i];
		const struct app *app = core_find_app(fleet, config->name);

		if (fleet->logs)
			r = set_log_files(fleet, config);
		if (r < 0)
			break;
		config_free_strings(&config->environment);
		if (!app || update)
			config->environment = config_copy_strings(environment);
		else if (app->version->config->environment)
			config->environment = config_copy_strings(
				app->version->config->environment);
		else
			continue;
		r = config->environment ? 0 : -ENOMEM;
	}
	return r;
}

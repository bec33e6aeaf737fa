/*
 * Writing down what shall run: the first start's plan, and what a changed
 * configuration file brings.
 *
 * All that can be refused is refused before anything is written. What is
 * written is made by fleet/rebuild, the same way after a first start and after
 * the death of a brain.
 */
#include "fleet/plan.h"

#include "base/log.h"
#include "base/sys.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/given.h"
#include "fleet/keeper_client.h"
#include "fleet/notify.h"
#include "fleet/rebuild.h"
#include "fleet/reuseport.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "mechanism/listener.h"
#include "mechanism/output_memory.h"
#include "mechanism/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is to become of one application of a set. */
struct change {
	const struct app_config *config;
	struct app *app; /* NULL: it is new */
	enum key_change kind;
	uint32_t number; /* of the sealed configuration */
};

/* The listeners that have to be opened for a set of changes. */
struct opening {
	struct listener_plan *plans;
	struct change **owners; /* of each plan */
	int *fds;
	size_t count;
	bool is_open;
};

static int
add_opening(struct opening *opening, struct change *change,
	const struct listen_config *listen)
{
	size_t room = opening->count + 1;
	void *plans, *owners, *fds;

	plans = realloc(opening->plans, room * sizeof(*opening->plans));
	if (plans)
		opening->plans = plans;
	owners = realloc(opening->owners, room * sizeof(*opening->owners));
	if (owners)
		opening->owners = owners;
	fds = realloc(opening->fds, room * sizeof(*opening->fds));
	if (fds)
		opening->fds = fds;
	if (!plans || !owners || !fds)
		return -ENOMEM;
	opening->plans[opening->count] = (struct listener_plan){
		.config = listen, .shares_port = reuseport_is_for(listen)};
	opening->owners[opening->count++] = change;
	return 0;
}

static void
close_opening(struct opening *opening)
{
	for (size_t i = 0; i < opening->count && opening->is_open; i++) {
		const char *path = opening->plans[i].config->path;
		struct listener_file file = listener_find_file(path);

		if (opening->fds[i] < 0)
			continue; /* somebody keeps it */
		if (!opening->plans[i].given)
			listener_remove_file(path, &file);
		sys_close(opening->fds[i]);
	}
	free(opening->plans);
	free(opening->owners);
	free(opening->fds);
}

/* Adopts what was given for the addresses that are needed. */
static int
take_given(struct opening *opening, struct given *given, char *ret_words)
{
	for (size_t i = 0; given && i < opening->count; i++) {
		struct listener_plan *plan = &opening->plans[i];
		int fd = given_take(given, plan->config);

		if (fd < 0)
			continue;
		plan->given = fd;
		if (!plan->shares_port)
			continue;
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"%s is given by LISTEN_FDS, one socket: balance can't "
			"be reuseport; choose shared or round-robin",
			plan->config->address);
		return -EINVAL;
	}
	return 0;
}

/* Opens what the changes need and nobody has yet: all or none. */
static int
open_listeners(struct change *changes, size_t count, struct opening *opening,
	struct given *given, char *ret_words)
{
	char words[LISTENER_ERROR_SIZE];
	int r = 0;

	for (size_t i = 0; i < count && r >= 0; i++) {
		const struct listen_list *listen = &changes[i].config->listen;

		for (size_t k = 0; k < listen->count && r >= 0; k++)
			if (!changes[i].app ||
				!app_find_listener(changes[i].app,
					listen->entries[k].address))
				r = add_opening(opening, &changes[i],
					&listen->entries[k]);
	}
	if (r >= 0)
		r = take_given(opening, given, ret_words);
	if (r >= 0) {
		r = listener_open(
			opening->plans, opening->count, opening->fds, words);
		opening->is_open = r >= 0;
		if (r < 0)
			snprintf(ret_words, FLEET_WORDS_SIZE, "%s", words);
	}
	return r;
}

/* Writes the opened listeners of `change` down for application `app`. */
static int
keep_listeners(struct fleet *fleet, struct opening *opening,
	const struct change *change, uint32_t app)
{
	for (size_t i = 0; i < opening->count; i++) {
		struct state_listener state = {.app = app};
		char name[KEEPER_NAME_SIZE];
		uint32_t row;
		int r, fd = opening->fds[i];

		if (opening->owners[i] != change)
			continue;
		state.number = core_next_number(fleet);
		state.is_member = opening->plans[i].shares_port;
		snprintf(state.address, sizeof(state.address), "%s",
			opening->plans[i].config->address);
		/* The file of one that was given is the giver's. */
		if (!opening->plans[i].given)
			state.file = listener_find_file(
				opening->plans[i].config->path);
		opening->fds[i] = -1;
		state_name(name, STATE_LISTENER, state.number);
		r = keeper_client_keep(fleet->setup.keeper, name, fd);
		if (r >= 0)
			r = ledger_add(
				fleet->ledger, STATE_LISTENERS, &state, &row);
		if (r >= 0 && change->app)
			r = app_load_listener(change->app, row, &state);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Writes a new application with its listeners and slots. */
static int
plan_app(struct fleet *fleet, struct opening *opening,
	const struct change *change, struct state_app *ret_state,
	uint32_t *ret_row)
{
	struct state_slot slot;
	uint32_t row;
	int r = app_plan(
		fleet, change->config, change->number, ret_state, ret_row);

	if (r >= 0)
		r = keep_listeners(fleet, opening, change, ret_state->number);
	for (uint32_t i = 0; r >= 0 && i < ret_state->instances; i++)
		r = slot_plan(fleet, ret_state->number, change->number, i,
			&slot, &row);
	return r;
}

static int
say(char *ret_words, const char *what, int error)
{
	snprintf(ret_words, FLEET_WORDS_SIZE, "%s: %s", what,
		error == -ENOSPC ? "there is no room for so many"
				 : strerror(-error));
	return error;
}

/* What a file says of the supervisor itself -----------------------------------
 */

/* Whether the workers of all applications are no more than may be. */
static int
check_count(struct fleet *fleet, const struct config_set *set,
	const struct change *changes, size_t count, char *ret_words)
{
	int64_t most = set->muster.max_processes ? set->muster.max_processes
						 : fleet->general.max_processes;
	int64_t wanted = 0;

	for (size_t i = 0; i < count; i++)
		wanted += changes[i].config->instances;
	for (const struct app *app = fleet->apps; app; app = app->next) {
		bool is_changed = false;

		for (size_t i = 0; i < count; i++)
			is_changed |= changes[i].app == app;
		wanted += is_changed ? 0 : app->state.instances;
	}
	if (!most || wanted <= most)
		return 0;
	snprintf(ret_words, FLEET_WORDS_SIZE,
		"%lld workers are wanted, and max_processes is %lld",
		(long long)wanted, (long long)most);
	return -EINVAL;
}

void
plan_take_settings(struct fleet *fleet, const struct daemon_config *muster)
{
	if (muster->log_level)
		fleet->general.log_level = (uint8_t)muster->log_level;
	if (muster->max_processes)
		fleet->general.max_processes = (uint32_t)muster->max_processes;
	core_save(fleet);
	plan_use_settings(fleet);
}

void
plan_use_settings(const struct fleet *fleet)
{
	if (fleet->general.log_level)
		log_open("muster",
			(enum log_level)(fleet->general.log_level - 1));
}

/* The first start ---------------------------------------------------------- */

static int
keep_settings(struct fleet *fleet, const struct fleet_settings *settings)
{
	json_t *json = json_pack("{s:i,s:s?,s:s?,s:s?,s:s?}", "style",
		(int)settings->style, "file", settings->file, "pid_file",
		settings->pid_file, "program", settings->program, "logs",
		settings->logs);
	int fd, r = -ENOMEM;

	if (!json)
		return r;
	r = fd = core_seal(STATE_SETTINGS, json);
	json_decref(json);
	if (r >= 0)
		r = keeper_client_keep(fleet->setup.keeper, STATE_SETTINGS, fd);
	if (r < 0)
		return r;
	r = fd = output_memory_make();
	if (r >= 0)
		r = keeper_client_keep(fleet->setup.keeper, STATE_OUTPUT, fd);
	if (r < 0)
		return r;
	r = notify_plan(fleet);
	if (r < 0)
		return r;
	r = fd = sys_open("/dev/null", O_RDWR, 0);
	if (r < 0)
		return r;
	return keeper_client_put(fleet->setup.keeper, STATE_NULL, fd, true);
}

int
fleet_plan(struct fleet *fleet, const struct fleet_settings *settings,
	struct config_set *set, char *ret_words)
{
	struct change *changes = calloc(set->count + 1, sizeof(*changes));
	struct opening opening = {0};
	struct given given = {.count = 0};
	struct state_app state;
	uint32_t row;
	int r = -ENOMEM;

	if (!changes)
		return say(ret_words, "the start", r);
	/* A brain that died before the head of the ledger was written may
	 * have bound the same addresses. */
	r = keeper_client_clear(fleet->setup.keeper);
	if (r < 0) {
		say(ret_words, "clearing what an earlier start left", r);
		goto out;
	}
	given_load(&given, fleet->setup.keeper, fleet->setup.environment);
	r = given_configure(&given, set);
	if (r < 0) {
		say(ret_words,
			"LISTEN_FDS brings sockets, and `listen` must say "
			"which application has which",
			r);
		goto out;
	}
	for (size_t i = 0; i < set->count; i++)
		changes[i].config = set->apps[i];
	r = check_count(fleet, set, changes, set->count, ret_words);
	if (r < 0)
		goto out;
	r = open_listeners(changes, set->count, &opening, &given, ret_words);
	if (r < 0)
		goto out;
	r = bus_take(fleet, &set->muster, ret_words);
	if (r < 0)
		goto out;
	plan_take_settings(fleet, &set->muster);
	r = keep_settings(fleet, settings);
	for (size_t i = 0; r >= 0 && i < set->count; i++) {
		r = version_seal(fleet, changes[i].config, &changes[i].number);
		if (r >= 0)
			r = plan_app(
				fleet, &opening, &changes[i], &state, &row);
	}
	if (r < 0) {
		say(ret_words, "the start could not be written down", r);
		goto out;
	}
	if (settings->pid_file) {
		/* The keeper is this process's parent, and what people see. */
		r = pid_file_write(settings->pid_file, getppid());
		if (r < 0) {
			snprintf(ret_words, FLEET_WORDS_SIZE,
				"--pid-file %s: %s", settings->pid_file,
				strerror(-r));
			goto out;
		}
	}
	ledger_seal(fleet->ledger);
out:
	given_fini(&given);
	close_opening(&opening);
	free(changes);
	return r;
}

/* A changed file ----------------------------------------------------------- */

static int
find_changes(struct fleet *fleet, const struct config_set *set,
	struct change *ret_changes, size_t *ret_count, char *ret_words)
{
	for (size_t i = 0; i < set->count; i++) {
		struct change change = {
			.config = set->apps[i], .kind = KEY_CHANGE_RELOAD};

		change.app = core_find_app(fleet, change.config->name);
		if (change.app)
			change.kind = config_compare(
				change.app->run.next
					? change.app->run.next->config
					: change.app->version->config,
				change.config);
		if (change.kind == KEY_CHANGE_FIXED) {
			snprintf(ret_words, FLEET_WORDS_SIZE,
				"%s: a key is changed that only takes effect "
				"when the application is deleted and started "
				"anew",
				change.config->name);
			return -EINVAL;
		}
		if (change.kind != KEY_CHANGE_NONE)
			ret_changes[(*ret_count)++] = change;
	}
	return 0;
}

/* Puts a version into force for what runs, without a new process. */
static void
take_live(struct app *app, struct version *version)
{
	app_set_version(app, version);
	app->state.instances = (uint32_t)version->config->instances;
	app_save(app);
	for (size_t i = 0; i < app->slot_count; i++) {
		struct slot *slot = app->slots[i];
		struct process *all[] = {
			slot->main, slot->incoming, slot->outgoing};

		slot_set_version(slot, version);
		for (size_t k = 0; k < 3; k++)
			if (all[k])
				process_set_version(all[k], version);
	}
	(void)app_fit(app);
}

static int
carry_out(struct fleet *fleet, struct opening *opening, struct change *change,
	fleet_done *done, void *data)
{
	struct version *version;
	struct state_app state;
	struct app *app;
	uint32_t row;
	int r = version_seal(fleet, change->config, &change->number);

	if (r < 0)
		return r;
	if (!change->app) {
		r = plan_app(fleet, opening, change, &state, &row);
		if (r >= 0)
			r = rebuild_app(fleet, row, &state, &app);
		for (size_t i = 0; r >= 0 && i < app->slot_count; i++) {
			if (fleet->adds_stopped)
				slot_stop(app->slots[i], STATE_STOPPED,
					STOP_STOP, false);
			else
				slot_start(app->slots[i]);
		}
		if (r >= 0)
			done(NULL, data);
		return r;
	}
	r = keep_listeners(fleet, opening, change, change->app->state.number);
	if (r >= 0)
		r = version_load(fleet, change->number, &version);
	if (r < 0)
		return r;
	if (change->kind == KEY_CHANGE_LIVE && !change->app->run.next) {
		take_live(change->app, version);
		done(NULL, data);
	} else {
		r = reload_run_begin(change->app, version, 0, done, data);
	}
	version_release(&version);
	return r;
}

int
plan_apply(struct fleet *fleet, const struct config_set *set,
	size_t *ret_changed, plan_wait *wait, fleet_done *done, void *data,
	char *ret_words)
{
	struct change *changes = calloc(set->count + 1, sizeof(*changes));
	struct opening opening = {0};
	size_t count = 0;
	int r = changes ? 0 : -ENOMEM;

	if (r >= 0)
		r = find_changes(fleet, set, changes, &count, ret_words);
	if (r >= 0)
		r = check_count(fleet, set, changes, count, ret_words);
	if (r >= 0)
		r = open_listeners(changes, count, &opening, NULL, ret_words);
	if (r >= 0)
		r = bus_take(fleet, &set->muster, ret_words);
	if (r < 0)
		goto out;
	plan_take_settings(fleet, &set->muster);
	for (size_t i = 0; i < count; i++) {
		/* Each is waited for on its own; one that can't be carried
		 * out for want of memory doesn't keep the others back. */
		int failed;

		wait(data);
		failed = carry_out(fleet, &opening, &changes[i], done, data);
		if (failed < 0)
			done(strerror(-failed), data);
	}
	*ret_changed = count;
out:
	if (r == -ENOMEM)
		say(ret_words, "the configuration", r);
	close_opening(&opening);
	free(changes);
	return r;
}

/*
 * From what is written to what lives: reads the ledger, takes descriptors from
 * the vault, compares with the keeper's table, and goes on.
 *
 * A first start comes here, too, with rows that fleet/plan has just written. So
 * there is no other way to start, and none that is used only after a crash.
 *
 * What can't be read is set aside and said; what is known only to the keeper
 * and to no row is ended, since nobody would ever stop it.
 */
#include "fleet/rebuild.h"

#include "base/home.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/handover.h"
#include "fleet/keeper_client.h"
#include "fleet/keeper_events.h"
#include "fleet/launch.h"
#include "fleet/leftovers.h"
#include "fleet/notify.h"
#include "fleet/past.h"
#include "fleet/plan.h"
#include "fleet/process.h"
#include "fleet/remains.h"
#include "fleet/reuseport.h"
#include "fleet/safe.h"
#include "fleet/slot.h"
#include "fleet/upgrade.h"
#include "fleet/version.h"
#include "mechanism/logfile.h"
#include "mechanism/output.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* There was not enough of something: nothing is wrong with what was read. */
static bool
is_shortage(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -ENOBUFS;
}

/*
 * Calls `load` for each row of a table that can be read. A row that can't is
 * set aside, but for want of memory or descriptors, which is returned: the
 * next brain may have it, and a worker isn't killed for that.
 */
static int
each_row(struct fleet *fleet, enum state_table table, const char *what,
	int (*load)(struct fleet *fleet, uint32_t row, const void *record))
{
	_Alignas(8) uint8_t record[LEDGER_RECORD_MAX];
	uint32_t used = ledger_used(fleet->ledger, table);

	for (uint32_t row = 0; row < used; row++) {
		int r = ledger_read(fleet->ledger, table, row, record);

		if (r == -ENOENT)
			continue;
		if (r == 0)
			r = load(fleet, row, record);
		if (is_shortage(r))
			return r;
		if (r < 0)
			log_error("%s %u of the ledger is set aside: %s", what,
				row, strerror(-r));
	}
	return 0;
}

/* A version, or where that can't be read, the other one (borrowed). */
static int
load_version(struct fleet *fleet, uint32_t number, struct version *other,
	struct version **ret_version)
{
	int r = version_load(fleet, number, ret_version);

	if (r >= 0 || is_shortage(r))
		return r;
	*ret_version = version_hold(other);
	return 0;
}

/* Numbers given out are above all that were ever seen. */
static void
raise_number(uint32_t *next, uint32_t seen)
{
	if (*next <= seen)
		*next = seen + 1;
}

static void
raise_process(struct fleet *fleet, uint64_t seen)
{
	if (fleet->general.next_process <= seen)
		fleet->general.next_process = seen + 1;
}

static int
load_general(struct fleet *fleet, uint32_t row, const void *record)
{
	(void)row;
	memcpy(&fleet->general, record, sizeof(fleet->general));
	plan_use_settings(fleet);
	return 0;
}

static int
load_settings(struct fleet *fleet)
{
	int fd = keeper_client_claim(fleet->setup.keeper, STATE_SETTINGS);
	json_t *json = NULL;
	int r = fd < 0 ? fd : core_unseal(fd, &json);
	const char *file = json_text(json, "file");
	const char *pid_file = json_text(json, "pid_file");
	const char *program = json_text(json, "program");
	const char *logs = json_text(json, "logs");

	if (is_shortage(r))
		return r;
	fleet->style = (enum line_style)json_integer_value(
		json_object_get(json, "style"));
	if (file)
		fleet->file = strdup(file);
	if (pid_file)
		fleet->pid_file = strdup(pid_file);
	fleet->keeper_pid = getppid();
	if (program)
		fleet->program = strdup(program);
	if (logs)
		fleet->logs = strdup(logs);
	if ((logs && !fleet->logs) || (file && !fleet->file) ||
		(pid_file && !fleet->pid_file) || (program && !fleet->program))
		r = -ENOMEM;
	json_decref(json);
	return is_shortage(r) ? r : 0;
}

/* Applications ------------------------------------------------------------- */

static int
load_listener(struct fleet *fleet, uint32_t row, const void *record)
{
	const struct state_listener *state = record;
	struct app *app = core_find_app_number(fleet, state->app);

	raise_number(&fleet->general.next_number, state->number);
	if (!app)
		return -ESRCH;
	if (!state->is_member && app_find_listener(app, state->address))
		return 0;
	return app_load_listener(app, row, state);
}

static struct version *
find_version(struct app *app, uint32_t number)
{
	if (app->version->number == number)
		return app->version;
	if (app->run.next && app->run.next->number == number)
		return app->run.next;
	for (size_t i = 0; i < app->slot_count; i++)
		if (app->slots[i]->version->number == number)
			return app->slots[i]->version;
	return NULL;
}

static int
load_slot(struct fleet *fleet, uint32_t row, const void *record)
{
	const struct state_slot *state = record;
	struct app *app = core_find_app_number(fleet, state->app);
	struct version *version;
	struct slot *slot;
	int r;

	raise_number(&fleet->general.next_id, state->id);
	if (!app)
		return -ESRCH;
	if (core_find_slot(fleet, state->id))
		return 0;
	version = version_hold(find_version(app, state->config));
	r = version ? 0
		    : load_version(
			      fleet, state->config, app->version, &version);
	if (r < 0)
		return r;
	r = slot_load(app, version, row, state, &slot);
	version_release(&version);
	return r;
}

int
rebuild_app(struct fleet *fleet, uint32_t row, const struct state_app *state,
	struct app **ret_app)
{
	struct version *version;
	int r = version_load(fleet, state->config, &version);

	if (r < 0)
		return r;
	r = app_load(fleet, version, row, state, ret_app);
	version_release(&version);
	if (r >= 0 && state->is_reloading && state->next_config) {
		if (state->next_config == state->config)
			(*ret_app)->run.next =
				version_hold((*ret_app)->version);
		else
			(void)version_load(fleet, state->next_config,
				&(*ret_app)->run.next);
	}
	if (r >= 0 && fleet->is_loaded)
		r = each_row(fleet, STATE_LISTENERS, "listener", load_listener);
	if (r >= 0 && fleet->is_loaded)
		r = each_row(fleet, STATE_SLOTS, "slot", load_slot);
	return r;
}

static int
load_app(struct fleet *fleet, uint32_t row, const void *record)
{
	const struct state_app *state = record;
	struct app *app;

	raise_number(&fleet->general.next_number, state->number);
	raise_number(&fleet->general.next_number, state->config);
	raise_number(&fleet->general.next_number, state->next_config);
	return rebuild_app(fleet, row, state, &app);
}

/* Processes ---------------------------------------------------------------- */

static int
compare_processes(const void *a, const void *b)
{
	const struct keeper_process *one = a, *other = b;

	return one->process < other->process   ? -1
	       : one->process > other->process ? 1
					       : 0;
}

static struct keeper_process *
find_entry(struct fleet *fleet, uint64_t number)
{
	struct keeper_process wanted = {.process = number};
	size_t count;
	struct keeper_process *all =
		keeper_client_processes(fleet->setup.keeper, &count);

	if (!count)
		return NULL;
	return bsearch(&wanted, all, count, sizeof(wanted), compare_processes);
}

/* Puts a process where its role says. False: the place is taken. */
static bool
take_place(struct slot *slot, struct process *process)
{
	struct process **place = process->state.role == STATE_MAIN ? &slot->main
				 : process->state.role == STATE_INCOMING
					 ? &slot->incoming
					 : &slot->outgoing;

	if (*place)
		return false;
	*place = process;
	return true;
}

/* A version that somebody in the fleet has already, or that of the vault. */
static struct version *
find_or_load_version(struct fleet *fleet, uint32_t number)
{
	struct version *version = NULL;

	for (struct app *app = fleet->apps; app && !version; app = app->next)
		version = find_version(app, number);
	for (struct process *process = fleet->lingering; process && !version;
		process = process->next_lingering)
		if (process->version && process->version->number == number)
			version = process->version;
	if (version)
		return version_hold(version);
	(void)version_load(fleet, number, &version);
	return version;
}

static int
load_lingering(
	struct fleet *fleet, uint32_t row, const struct state_process *state)
{
	struct process *process = remains_load(fleet, row, state);

	if (!process)
		return -ENOMEM;
	/* It says how the application is called, and which file is its. */
	process->version = find_or_load_version(fleet, state->config);
	(void)launch_take_over(process, false);
	remains_settle(process);
	return 0;
}

/* It was planned, and may have failed before anybody could hear of it: it is
 * planned anew, with a number that the keeper has never seen. */
static void
plan_anew(struct process *process)
{
	struct fleet *fleet = process->fleet;

	core_remove_process(process);
	process->state.number = fleet->general.next_process++;
	core_save(fleet);
	process->state.state = FSM_WAITING;
	process->state.deadline_ns = 0;
	process->state.pid = 0;
	ledger_write(
		fleet->ledger, STATE_PROCESSES, process->row, &process->state);
	core_add_process(process);
}

static int
take_entry(struct process *process, struct keeper_process *entry)
{
	process->pidfd = entry->pidfd;
	entry->pidfd = -1;
	process->state.pid = entry->row.pid;
	if (entry->row.state == KEEPER_STARTING) {
		process->has_spawned = true;
		process->fleet->spawning++;
	}
	return launch_take_over(process, entry->row.state != KEEPER_ENDED);
}

static int
load_process(struct fleet *fleet, uint32_t row, const void *record)
{
	const struct state_process *state = record;
	struct keeper_process *entry = find_entry(fleet, state->number);
	struct slot *slot = core_find_slot(fleet, state->slot);
	struct version *version;
	struct process *process;
	int r;

	if (state->state == FSM_GONE)
		return load_lingering(fleet, row, state);
	if (!slot)
		return -ESRCH;
	version = version_hold(find_version(slot->app, state->config));
	r = version ? 0
		    : load_version(
			      fleet, state->config, slot->version, &version);
	if (r < 0)
		return r;
	process = process_load(slot, version, row, state);
	version_release(&version);
	if (!process)
		return -ENOMEM;
	if (!take_place(slot, process)) {
		process_free(&process);
		return -EEXIST;
	}
	/* Planned, and the slot's own record had not been written yet. */
	if (slot->state.generation < state->generation) {
		slot->state.generation = state->generation;
		slot->state.start_ns = 0;
		slot_save(slot);
	}
	if (entry)
		return take_entry(process, entry);
	if (state->state == FSM_SPAWNING)
		plan_anew(process);
	return 0;
}

/* Numbers first: what is planned anew on the way must not meet a later row. */
static int
see_process(struct fleet *fleet, uint32_t row, const void *record)
{
	const struct state_process *state = record;

	(void)row;
	raise_process(fleet, state->number);
	return 0;
}

static void
see_entries(struct fleet *fleet)
{
	size_t count;
	struct keeper_process *all =
		keeper_client_processes(fleet->setup.keeper, &count);

	if (count)
		qsort(all, count, sizeof(*all), compare_processes);
	for (size_t i = 0; i < count; i++)
		raise_process(fleet, all[i].process);
}

/* Going on ----------------------------------------------------------------- */

/* What the keeper saw while no brain listened. */
static void
catch_up(struct fleet *fleet)
{
	size_t count;
	struct keeper_process *all =
		keeper_client_processes(fleet->setup.keeper, &count);

	for (size_t i = 0; i < count; i++) {
		struct process *process =
			core_find_process(fleet, all[i].process);
		bool has_ended = all[i].row.state == KEEPER_ENDED;

		if (process && all[i].row.state != KEEPER_STARTING &&
			!all[i].row.never_ran &&
			process->state.state == FSM_SPAWNING)
			process_execed(process);
		/* That step may have ended it, if only in a plan. */
		process = core_find_process(fleet, all[i].process);
		if (process && has_ended)
			process_exited(process, &all[i].row);
		else if (!process && has_ended)
			keeper_client_ack_exit(
				fleet->setup.keeper, all[i].process);
		else if (!process) {
			log_warn("pid %d belongs to nothing that is known: it "
				 "is killed",
				all[i].row.pid);
			keeper_client_signal(fleet->setup.keeper,
				all[i].process, SIGKILL, true);
		}
	}
}

/*
 * A process that runs on, and one whose end nobody will tell any more. One that
 * is being spawned and that the keeper did not know is neither: catch_up() has
 * just asked for it.
 */
static void
go_on_with(struct process *process)
{
	if (!process)
		return;
	if (process->state.role == STATE_OUTGOING &&
		process->state.want == FSM_WANT_UP)
		process_stop(process, FSM_WANT_REPLACED, STOP_RELOAD);
	else if (process->state.state != FSM_WAITING &&
		 process->state.state != FSM_SPAWNING && process->pidfd < 0 &&
		 !find_entry(process->fleet, process->state.number))
		process_step(process, FSM_ON_EXITED);
	else
		process_go_on(process);
}

static void
go_on(struct fleet *fleet)
{
	/* No step frees a slot: that is done at the end of a turn. */
	for (struct slot *slot = fleet->slots; slot; slot = slot->next) {
		slot_refresh(slot);
		go_on_with(slot->outgoing);
		go_on_with(slot->incoming);
		go_on_with(slot->main);
	}
	for (struct app *app = fleet->apps; app; app = app->next) {
		if (fleet->setup.is_safe)
			continue; /* the next normal brain goes on */
		if (app->run.next && !fleet->general.is_stopping)
			reload_run_go_on(app, app->run.next);
		else if (app->run.next)
			version_release(&app->run.next);
		if (!fleet->general.is_stopping)
			(void)app_fit(app);
	}
	for (struct slot *slot = fleet->slots; slot; slot = slot->next) {
		/* Its reload ended, or died with its application's row. */
		if (slot->incoming && !slot->app->run.next)
			process_stop(
				slot->incoming, FSM_WANT_DOWN, STOP_RELOAD);
		/* What was decided of it and not begun. */
		if (slot->state.rest == STATE_REMOVED)
			reuseport_retire(slot);
		else if (slot->state.rest == STATE_STOPPED)
			slot_stop(slot, STATE_STOPPED, STOP_STOP, false);
		slot_start(slot);
		slot_refresh(slot);
	}
	if (fleet->general.is_stopping)
		fleet_stop(fleet, fleet->general.is_at_once);
}

/* Where workers' output goes: stdout, and files. */
static int
open_output(struct fleet *fleet)
{
	struct home home;
	int memory, r = home_resolve(&home);

	r = logfiles_new(fleet->setup.loop, fleet->ledger, STATE_LOGFILES,
		r < 0 ? NULL : home.logs, &fleet->logfiles);
	if (r < 0)
		return r;
	memory = keeper_client_claim(fleet->setup.keeper, STATE_OUTPUT);
	if (memory < 0)
		return memory;
	return output_new(fleet->setup.loop, STDOUT_FILENO, fleet->style,
		memory, &fleet->output);
}

/* What is written comes to life; nothing of it is dropped on the way. */
static int
load_rows(struct fleet *fleet)
{
	static const struct {
		enum state_table table;
		const char *what;
		int (*load)(
			struct fleet *fleet, uint32_t row, const void *record);
	} steps[] = {
		{STATE_PROCESSES, "process", see_process},
		{STATE_APPS, "application", load_app},
		{STATE_LISTENERS, "listener", load_listener},
		{STATE_SLOTS, "slot", load_slot},
		{STATE_PROCESSES, "process", load_process},
	};
	int r = each_row(
		fleet, STATE_GENERAL, "the first record", load_general);

	if (r == 0)
		see_entries(fleet);
	for (size_t i = 0; r == 0 && i < sizeof(steps) / sizeof(*steps); i++)
		r = each_row(
			fleet, steps[i].table, steps[i].what, steps[i].load);
	return r;
}

int
fleet_rebuild(struct fleet *fleet)
{
	int r = load_settings(fleet);

	r = r == 0 ? past_open(fleet) : r;
	r = r == 0 ? open_output(fleet) : r;
	notify_open(fleet);
	bus_rebuild(fleet);
	if (r < 0)
		return r;
	fleet->is_closing = true;
	r = load_rows(fleet);
	if (r < 0)
		return r;
	fleet->is_closing = false;
	core_save(fleet);
	/* Who receives and who is ready is what it was: that is no news to the
	 * workers, as everything is that comes after exchange_settle. */
	for (struct slot *slot = fleet->slots; slot; slot = slot->next)
		slot_refresh(slot);
	exchange_settle(fleet->setup.exchange);
	fleet->is_loaded = true;
	handover_attach(fleet);
	for (struct app *app = fleet->apps; app; app = app->next)
		reuseport_steer(app);
	core_watch(fleet);
	past_tell(fleet);
	upgrade_report(fleet);
	safe_begin(fleet);
	keeper_events_listen(fleet);
	catch_up(fleet);
	go_on(fleet);
	leftovers_drop(fleet);
	core_check(fleet);
	return 0;
}

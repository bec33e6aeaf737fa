/*
 * What the modules of fleet share: numbers, look-ups, sealed files, the queue
 * of processes that wait to be spawned, and the end of everything.
 */
#include "fleet/core.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "fleet/app.h"
#include "fleet/operate.h"
#include "fleet/order.h"
#include "fleet/process.h"
#include "fleet/renew.h"
#include "fleet/safe.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "mechanism/output.h"
#include "mechanism/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	LAST_WORDS_MS = 1000, /* for what stdout hasn't taken at the end */
};

void
core_save(struct fleet *fleet)
{
	ledger_write(fleet->ledger, STATE_GENERAL, 0, &fleet->general);
}

uint32_t
core_next_number(struct fleet *fleet)
{
	uint32_t number = fleet->general.next_number++;

	core_save(fleet);
	return number;
}

uint32_t
core_random(struct fleet *fleet)
{
	/* xorshift: it only has to differ from slot to slot. */
	uint32_t x = fleet->random ? fleet->random : 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return fleet->random = x;
}

/* Looking up --------------------------------------------------------------- */

static struct process **
bucket(const struct fleet *fleet, uint64_t number)
{
	return (struct process **)&fleet->processes[number % CORE_BUCKETS];
}

struct process *
core_find_process(const struct fleet *fleet, uint64_t number)
{
	struct process *at = *bucket(fleet, number);

	while (at && at->state.number != number)
		at = at->next;
	return at;
}

void
core_add_process(struct process *process)
{
	struct process **at = bucket(process->fleet, process->state.number);

	process->next = *at;
	*at = process;
}

void
core_remove_process(struct process *process)
{
	struct process **at = bucket(process->fleet, process->state.number);

	while (*at && *at != process)
		at = &(*at)->next;
	if (*at)
		*at = process->next;
}

struct app *
core_find_app(const struct fleet *fleet, const char *name)
{
	for (struct app *app = fleet->apps; app; app = app->next)
		if (!strcmp(app_name(app), name))
			return app;
	return NULL;
}

struct app *
core_find_app_number(const struct fleet *fleet, uint32_t number)
{
	for (struct app *app = fleet->apps; app; app = app->next)
		if (app->state.number == number)
			return app;
	return NULL;
}

struct slot *
core_find_slot(const struct fleet *fleet, uint32_t id)
{
	for (struct slot *slot = fleet->slots; slot; slot = slot->next)
		if (slot->state.id == id)
			return slot;
	return NULL;
}

/* Sealed files ------------------------------------------------------------- */

int
core_seal(const char *name, const json_t *json)
{
	size_t size = 0;
	char *text = json_write(json, &size);
	ssize_t n;
	int fd, r;

	if (!text)
		return -ENOMEM;
	r = fd = sys_memfd(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r >= 0) {
		n = sys_write(fd, text, size);
		r = n < 0 ? (int)n : (size_t)n < size ? -ENOSPC : 0;
	}
	if (r >= 0)
		r = sys_fcntl(fd, F_ADD_SEALS,
			F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK |
				F_SEAL_SEAL);
	free(text);
	if (r < 0 && fd >= 0)
		sys_close(fd);
	return r < 0 ? r : fd;
}

int
core_unseal(int fd, json_t **ret_json)
{
	struct stat status;
	json_t *json = NULL;
	void *text;
	int r = sys_fstat(fd, &status);

	if (r == 0 && status.st_size <= 0)
		r = -EBADMSG;
	if (r == 0)
		r = sys_mmap((size_t)status.st_size, PROT_READ, MAP_SHARED, fd,
			&text);
	if (r == 0) {
		/* That there was no memory, only errno tells of the parser. */
		errno = 0;
		json = json_read(text, (size_t)status.st_size);
		if (!json)
			r = errno == ENOMEM ? -ENOMEM : -EBADMSG;
		sys_munmap(text, (size_t)status.st_size);
	}
	sys_close(fd);
	if (r == 0)
		*ret_json = json;
	return r;
}

/* Spawning ----------------------------------------------------------------- */

void
core_spawn_held(struct fleet *fleet)
{
	while (fleet->held && fleet->spawning < CORE_SPAWNING_MAX &&
		!fleet->general.is_stopping) {
		struct process *process = fleet->held;

		fleet->held = process->next_held;
		if (!fleet->held)
			fleet->held_end = &fleet->held;
		process->is_held = false;
		process_start(process);
	}
}

/* The end ------------------------------------------------------------------ */

static void
stop_with(struct fleet *fleet, int code)
{
	if (fleet->general.is_stopping)
		return;
	fleet->general.exit_code = code;
	fleet->general.has_exit_code = true;
	fleet_stop(fleet, false);
}

void
core_fail_start(struct fleet *fleet, const char *words)
{
	if (fleet->general.is_stopping)
		return;
	log_error("%s", words);
	stop_with(fleet, 1);
}

/* The code that says how a slot's last process ended. */
static int
code_of(const struct slot *slot)
{
	if (!slot->state.has_exit)
		return slot->state.rest == STATE_ERRORED ? 1 : 0;
	return slot->state.exit_by_signal ? 128 + slot->state.exit_status
					  : slot->state.exit_status;
}

void
core_slot_errored(struct slot *slot)
{
	int code = code_of(slot);

	if (slot->app->fleet->logs)
		return; /* a daemon lives on */
	if (slot->app->version->config->exit_when == CONFIG_EXIT_ERRORED)
		stop_with(slot->app->fleet, code ? code : 1);
}

/* Whether nothing is left to run; then with which code to end. */
static bool
is_over(const struct fleet *fleet, int *ret_code)
{
	int code = 0;

	if (fleet->logs && !fleet->general.is_stopping)
		return false; /* a daemon waits for the next `start` */
	for (struct app *app = fleet->apps; app; app = app->next) {
		if (!app_is_idle(app))
			return false;
		if (!fleet->general.is_stopping &&
			app->version->config->exit_when == CONFIG_EXIT_NEVER)
			return false;
	}
	for (struct slot *slot = fleet->slots; slot && !code; slot = slot->next)
		code = code_of(slot);
	if (fleet->general.has_exit_code)
		code = fleet->general.exit_code;
	else if (fleet->general.is_stopping)
		code = 0;
	*ret_code = code;
	return true;
}

static void
on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct fleet *fleet = watcher->data;
	int code;

	(void)loop;
	(void)events;
	if (!fleet->must_check || fleet->has_ended || !fleet->is_loaded)
		return;
	order_check(fleet);
	renew_arm(fleet);
	for (struct app *app = fleet->apps; app; app = app->next)
		app_sweep(app);
	operate_check(fleet);
	if (!is_over(fleet, &code)) {
		fleet->must_check = false;
		return;
	}
	/* What the workers said last is worth a moment, not more: this looks
	 * again whenever stdout took something, or the moment is over. */
	if (output_pending(fleet->output) && !fleet->is_late) {
		if (!ev_is_active(&fleet->last_words)) {
			ev_now_update(loop);
			ev_timer_set(
				&fleet->last_words, LAST_WORDS_MS / 1e3, 0.);
			ev_timer_start(loop, &fleet->last_words);
		}
		return;
	}
	ev_timer_stop(loop, &fleet->last_words);
	fleet->has_ended = true;
	for (struct app *app = fleet->apps; app; app = app->next)
		app_remove_files(app);
	if (fleet->pid_file)
		pid_file_remove(fleet->pid_file, fleet->keeper_pid);
	fleet->setup.ended(fleet->is_abandoned ? 1 : code, fleet->setup.data);
}

static void
on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct fleet *fleet = timer->data;

	(void)loop;
	(void)events;
	fleet->is_late = true;
}

void
core_check(struct fleet *fleet)
{
	fleet->must_check = true;
}

void
core_watch(struct fleet *fleet)
{
	ev_prepare_init(&fleet->turn_end, on_turn_end);
	/* Before those who send what this queues. */
	ev_set_priority(&fleet->turn_end, EV_MAXPRI);
	fleet->turn_end.data = fleet;
	ev_timer_init(&fleet->last_words, on_late, 0., 0.);
	fleet->last_words.data = fleet;
	ev_prepare_start(fleet->setup.loop, &fleet->turn_end);
}

void
core_unwatch(struct fleet *fleet)
{
	ev_prepare_stop(fleet->setup.loop, &fleet->turn_end);
	ev_timer_stop(fleet->setup.loop, &fleet->last_words);
	safe_end(fleet);
	renew_end(fleet);
}

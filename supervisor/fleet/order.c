/*
 * Order between applications, by depends_on.
 *
 * An application has begun when what it depends on was ready once: from then on
 * its workers are started as ever, whatever becomes of the others. It has to
 * begin anew after it was at rest as a whole.
 */
#include "fleet/order.h"

#include "base/log.h"
#include "base/sys.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/slot.h"
#include "fleet/version.h"

#include <string.h>

static bool
has_process(const struct slot *slot)
{
	return slot->main || slot->incoming || slot->outgoing;
}

static bool
depends(const struct app *app, const char *name)
{
	char *const *at = app->version->config->depends_on;

	while (*at && strcmp(*at, name))
		at++;
	return *at;
}

/* Starting ----------------------------------------------------------------- */

/* Whether all that shall run of it is ready. `ret_is_stuck`: nothing of it
 * shall run, or a worker of it gave up. */
static bool
is_up(const struct app *app, bool *ret_is_stuck)
{
	size_t wanted = 0, ready = 0;

	*ret_is_stuck = false;
	for (size_t i = 0; i < app->slot_count; i++) {
		const struct slot *slot = app->slots[i];

		*ret_is_stuck |= slot->state.rest == STATE_ERRORED;
		wanted += slot_is_wanted(slot);
		ready += slot_is_wanted(slot) && slot->was_ready &&
			 !slot->state.stop_waits && !slot->outgoing;
	}
	*ret_is_stuck |= wanted == 0;
	return wanted > 0 && ready == wanted && !*ret_is_stuck;
}

const char *
order_waits_for(const struct app *app, bool *ret_is_stuck)
{
	char *const *name = app->version->config->depends_on;

	*ret_is_stuck = false;
	for (; !app->state.has_begun && *name; name++) {
		const struct app *other = core_find_app(app->fleet, *name);
		bool is_others;

		*ret_is_stuck = !other;
		if (!other || !is_up(other, ret_is_stuck)) {
			/* It may wait for one that won't run, itself. */
			if (other && order_waits_for(other, &is_others))
				*ret_is_stuck |= is_others;
			return *name;
		}
	}
	return NULL;
}

/* Once; of one that shall run. */
static void
tell(struct app *app)
{
	struct events_subject subject = {.app = app_name(app)};
	bool is_stuck, is_wanted = false;
	const char *name = order_waits_for(app, &is_stuck);

	for (size_t i = 0; name && i < app->slot_count; i++)
		is_wanted |= slot_is_wanted(app->slots[i]);
	if (!is_wanted)
		app->waits_told = 0;
	if (!is_wanted || app->waits_told == (is_stuck ? 2 : 1))
		return;
	app->waits_told = is_stuck ? 2 : 1;
	if (is_stuck)
		log_warn("%s waits for %s, which doesn't run: start that, or "
			 "stop this",
			app_name(app), name);
	else
		log_info("%s waits for %s", app_name(app), name);
	events_raise(app->fleet->events, "waits", &subject,
		json_pack("{s:s, s:b}", "for", name, "stuck", is_stuck));
}

static bool
is_on_its_way(const struct slot *slot)
{
	return slot->main && !process_is_ready(slot->main) &&
	       slot->main->state.want == FSM_WANT_UP &&
	       slot->main->state.state != FSM_WAITING;
}

/* Whether as many workers of it start as may at once. */
static bool
is_busy(const struct app *app)
{
	const struct app_config *config = app->version->config;
	int64_t most = config->start_parallel;
	int64_t count = 0;

	if (most == CONFIG_UNSET && config->wait_ready)
		most = sys_processors();
	if (most == CONFIG_UNSET || most < 1)
		return false;
	for (size_t i = 0; i < app->slot_count; i++)
		count += is_on_its_way(app->slots[i]);
	return count >= most;
}

bool
order_may_start(struct slot *slot)
{
	struct app *app = slot->app;
	bool is_stuck;

	if (order_waits_for(app, &is_stuck)) {
		core_check(app->fleet);
		return false;
	}
	if (!app->state.has_begun && *app->version->config->depends_on) {
		app->state.has_begun = true;
		app_save(app);
	}
	return !is_busy(app);
}

/* Stopping ----------------------------------------------------------------- */

static bool
is_leaving(const struct process *process)
{
	return process && process->state.want != FSM_WANT_UP;
}

/* Whether something of it still runs that is to end. */
static bool
is_ending(const struct app *app)
{
	for (size_t i = 0; i < app->slot_count; i++) {
		const struct slot *slot = app->slots[i];

		if (has_process(slot) &&
			(slot->state.stop_waits || !slot_is_wanted(slot) ||
				is_leaving(slot->main)))
			return true;
	}
	return false;
}

static bool
is_awaited(const struct app *app)
{
	for (const struct app *other = app->fleet->apps; other;
		other = other->next)
		if (*other->version->config->depends_on && other != app &&
			depends(other, app_name(app)) && is_ending(other))
			return true;
	return false;
}

static bool
has_dependents(const struct app *app)
{
	for (const struct app *other = app->fleet->apps; other;
		other = other->next)
		if (*other->version->config->depends_on &&
			depends(other, app_name(app)))
			return true;
	return false;
}

/*
 * Whoever stops several tells one after the other, so those that others depend
 * on are looked at when all were told.
 */
bool
order_may_stop(struct slot *slot, enum stop_reason reason)
{
	if (!has_process(slot) || !has_dependents(slot->app))
		return true;
	if (!slot->state.stop_waits) {
		slot->state.stop_waits = reason + 1;
		slot_save(slot);
	}
	core_check(slot->app->fleet);
	return false;
}

/* Looking again ------------------------------------------------------------ */

static void
check_stop(struct slot *slot)
{
	enum stop_reason reason;

	if (!slot->state.stop_waits || is_awaited(slot->app))
		return;
	reason = (enum stop_reason)(slot->state.stop_waits - 1);
	slot->state.stop_waits = 0;
	slot_save(slot);
	slot_end_processes(slot, reason);
}

void
order_check(struct fleet *fleet)
{
	for (struct app *app = fleet->apps; app; app = app->next)
		for (size_t i = 0; i < app->slot_count; i++)
			check_stop(app->slots[i]);
	for (struct app *app = fleet->apps; app; app = app->next) {
		if (app->state.has_begun && app_is_idle(app)) {
			app->state.has_begun = false;
			app_save(app);
		}
		for (size_t i = 0; i < app->slot_count; i++)
			if (!has_process(app->slots[i]))
				slot_start(app->slots[i]);
		tell(app);
	}
}

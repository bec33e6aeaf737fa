/*
 * Safe mode: its reason in words, and its end. What is left out in it, each
 * module leaves out itself (fleet_setup.is_safe); counting is the keeper's.
 */
#include "fleet/safe.h"

#include "base/log.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/exits.h"
#include "fleet/keeper_client.h"

#include <stdio.h>
#include <string.h>

/* "was killed by SIGSEGV, exited with code 3", newest first. */
static void
describe(const struct keeper_record *hello, char *ret_words, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < KEEPER_ENDS_KEPT && used < size; i++) {
		const struct keeper_brain_end *end = &hello->hello.ends[i];
		struct state_exit exit = {
			.code = end->code, .status = end->status};
		char how[128];

		if (!end->code)
			break;
		exits_describe(&exit, how, sizeof(how));
		used += (size_t)snprintf(ret_words + used, size - used, "%s%s",
			i ? ", " : "", how);
	}
}

static void
on_quiet(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct fleet *fleet = timer->data;
	char words[FLEET_WORDS_SIZE] = "no memory";

	(void)loop;
	(void)events;
	log_info("safe mode: it was quiet, a normal brain is tried");
	if (fleet_upgrade(fleet, "/proc/self/exe", NULL, NULL, words) < 0)
		log_warn("safe mode goes on: %s", words);
}

void
safe_begin(struct fleet *fleet)
{
	struct events_subject nobody = {0};
	char words[512] = "";

	if (!fleet->setup.is_safe)
		return;
	describe(
		keeper_client_hello(fleet->setup.keeper), words, sizeof(words));
	log_error("safe mode, since the last brains crashed (newest first: "
		  "%s): workers go on, messages and reloads wait; 'muster "
		  "upgrade' ends it, or %d s of quiet",
		words, SAFE_QUIET_MS / 1000);
	events_raise(fleet->events, "safe_mode", &nobody,
		json_pack("{s:s}", "reason", words));
	ev_timer_init(&fleet->quiet, on_quiet, SAFE_QUIET_MS / 1e3,
		SAFE_QUIET_MS / 1e3);
	fleet->quiet.data = fleet;
	ev_timer_start(fleet->setup.loop, &fleet->quiet);
}

void
safe_end(struct fleet *fleet)
{
	if (fleet->setup.is_safe)
		ev_timer_stop(fleet->setup.loop, &fleet->quiet);
}

/*
 * The end of a process: in words for people, as an event, in the slot's record,
 * and as the verdict on what comes next (policy/restart).
 *
 * It starts and stops nothing itself; that is fleet/slot's business.
 */
#include "fleet/ending.h"

#include "base/log.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/exits.h"
#include "fleet/mend.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "policy/restart.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
	ENDING_SIZE = 256, /* of words about an end */
};

static void
describe_end(const struct process *process, char *ret_words)
{
	struct state_exit exit;

	exits_make(process, &exit);
	exits_describe(&exit, ret_words, ENDING_SIZE);
}

void
ending_failed_start(struct process *process)
{
	struct slot *slot = process->slot;
	char words[ENDING_SIZE];

	if (process->has_exit || process->failed_stage) {
		describe_end(process, words);
	} else {
		if (process->fault)
			snprintf(words, sizeof(words), "%s", process->fault);
		else if (process->last_event == FSM_ON_TIMEOUT)
			snprintf(words, sizeof(words),
				"was not ready within %jd ms",
				(intmax_t)process->version->config
					->listen_timeout);
		else
			snprintf(words, sizeof(words),
				"stopped before it was ready");
		/* How it ends after that is only the consequence. */
		log_warn("%s.%u (pid %d) %s", app_name(slot->app),
			slot->state.instance, process->state.pid, words);
	}
	if (process != slot->incoming)
		return;
	reload_run_reason(process, words);
	reload_run_event(slot, RELOAD_INCOMING_FAILED);
}

static void
note_exit(struct slot *slot, const struct process *process)
{
	slot->state.exit_process = process->state.number;
	if (!process->has_exit)
		return;
	slot->state.has_exit = true;
	slot->state.exit_by_signal = process->exit.code != CLD_EXITED;
	slot->state.exit_status = process->exit.status;
	slot->state.exit_wall_ms = clock_wall_ms();
}

/* An end that was asked for is news for few, any other for all. */
static void
tell_end(const struct process *process)
{
	struct events_subject subject = process_subject(process);
	struct fleet *fleet = process->fleet;
	int64_t uptime = process_uptime_ms(process);
	char words[ENDING_SIZE];
	uint32_t cut; /* in flight, of one that could not finish it */
	json_t *more;

	describe_end(process, words);
	if (process->state.want == FSM_WANT_UP)
		log_warn("%s.%u (pid %d) %s after %jd ms",
			app_name(process->slot->app),
			process->slot->state.instance, process->state.pid,
			words, (intmax_t)(uptime < 0 ? 0 : uptime));
	else
		log_debug("%s.%u (pid %d) %s", app_name(process->slot->app),
			process->slot->state.instance, process->state.pid,
			words);
	if (!process->has_exit) {
		events_raise(fleet->events, "failed", &subject,
			json_pack("{s:s}", "reason", words));
		return;
	}
	cut = process->exit.code == CLD_EXITED ? 0 : process->in_flight;
	if (cut > 0)
		log_warn("%s.%u (pid %d) was cut off with %u in flight",
			app_name(process->slot->app),
			process->slot->state.instance, process->state.pid, cut);
	more = json_pack("{s:s,s:i,s:I,s:I,s:I}", "how", words,
		process->exit.code == CLD_EXITED ? "code" : "signal",
		process->exit.status, "uptime_ms",
		(json_int_t)(uptime < 0 ? 0 : uptime), "memory_kib",
		(json_int_t)process->exit.memory_kib, "cut", (json_int_t)cut);
	if (more && process->state.want != FSM_WANT_UP)
		json_object_set_new(more, "reason",
			json_string(
				process_reason_name(process->state.reason)));
	events_raise(fleet->events, "exited", &subject, more);
}

static struct restart_verdict
decide(struct slot *slot, const struct process *process)
{
	const struct app_config *config = slot->version->config;
	bool replaced = process->state.reason >= STOP_RESTART;
	struct restart_rules rules = {
		.autorestart = config->autorestart || replaced,
		.restart_delay = config->restart_delay,
		.exp_backoff_restart_delay = config->exp_backoff_restart_delay,
		.max_restarts = config->max_restarts == CONFIG_UNSET
					? -1
					: config->max_restarts,
		.min_uptime = config->min_uptime,
		.stop_exit_codes = config->stop_exit_codes.numbers,
		.stop_exit_code_count =
			replaced ? 0 : config->stop_exit_codes.count,
	};
	struct restart_exit end = {
		.uptime_ms = process_uptime_ms(process),
		.was_ready = !process->state.failed_start,
		.by_signal = process->exit.code != CLD_EXITED,
		.status = process->exit.status,
	};
	struct restart_history history = {slot->state.unstable};

	return restart_decide(
		&rules, history, &end, core_random(slot->app->fleet));
}

/* The main process is gone, and nobody is there to take its place. */
static void
follow_up(struct slot *slot, const struct process *process)
{
	struct restart_verdict verdict;
	struct events_subject subject = process_subject(process);

	/* A reload took it back, or cut its back-off short. */
	if (!slot_is_wanted(slot) || process->state.reason == STOP_RELOAD ||
		process->state.reason == STOP_MEMORY)
		return;
	if (process->state.reason == STOP_AGAIN) {
		/* Asked for: it neither counts as a crash nor waits. */
		slot->state.restarts++;
		events_raise(slot->app->fleet->events, "restarted", &subject,
			json_pack("{s:i,s:I}", "delay_ms", 0, "restarts",
				(json_int_t)slot->state.restarts));
		return;
	}
	verdict = decide(slot, process);
	slot->state.unstable = verdict.history.unstable;
	if (verdict.kind == RESTART_AGAIN) {
		slot->state.restarts++;
		if (verdict.delay_ms > 0)
			slot->state.start_ns =
				clock_after_ms(clock_now(), verdict.delay_ms)
					.ns;
		events_raise(slot->app->fleet->events, "restarted", &subject,
			json_pack("{s:I,s:I}", "delay_ms",
				(json_int_t)verdict.delay_ms, "restarts",
				(json_int_t)slot->state.restarts));
		return;
	}
	slot->state.rest =
		verdict.kind == RESTART_ERRORED ? STATE_ERRORED : STATE_STOPPED;
	if (verdict.kind == RESTART_ERRORED) {
		log_error("%s.%u gave up after %u unstable starts in a row; "
			  "mend the program, then reload it",
			app_name(slot->app), slot->state.instance,
			slot->state.unstable);
		events_raise(slot->app->fleet->events, "gave_up", &subject,
			json_pack("{s:I}", "unstable_restarts",
				(json_int_t)slot->state.unstable));
	}
}

/*
 * The application's very first program can't be executed: that is an error of
 * who started it, not a crash. Its slots are all alike, so one line is enough.
 */
static bool
fails_start(struct slot *slot, const struct process *process)
{
	char words[FLEET_WORDS_SIZE];

	if (!process->failed_stage || slot->app->state.was_started ||
		!slot->app->state.is_first)
		return false;
	const struct app_config *config = process->version->config;
	bool in_folder = process->failed_stage == KEEPER_STAGE_DIRECTORY;

	const char *advice = mend_start(
		process->failed_stage, process->failed_error, config->program);

	snprintf(words, sizeof(words),
		"%s: %s can't be started: %s%s%s: %s%s%s", app_name(slot->app),
		config->program, exits_stage_name(process->failed_stage),
		in_folder ? " " : "", in_folder ? config->cwd : "",
		strerror(process->failed_error), advice ? "; " : "",
		advice ? advice : "");
	core_fail_start(slot->app->fleet, words);
	return true;
}

void
ending_note_messages(const struct process *process, bool is_known)
{
	struct slot *slot = process->slot;
	struct endpoint_counters counters = {0};

	if (!process->peer)
		return;
	peer_read_counters(process->peer, &counters);
	if (is_known) {
		/* In the slot's record since the last brain, and once more
		 * with the channel that is about to be retired. */
		slot->earlier_in -= counters.messages_in;
		slot->earlier_out -= counters.messages_out;
		return;
	}
	slot->state.messages_in += counters.messages_in;
	slot->state.messages_out += counters.messages_out;
}

void
ending_take(struct slot *slot, const struct process *process, bool was_main)
{
	/* Counted by a brain that died before it could forget it. */
	bool is_known = slot->state.exit_process == process->state.number;
	char words[ENDING_SIZE];

	/* One that was planned only has no end to tell. */
	if (!process->has_exit && !process->failed_stage && !process->state.pid)
		return;
	ending_note_messages(process, is_known);
	if (fails_start(slot, process))
		return;
	if (is_known)
		return;
	tell_end(process);
	if (process->is_reload && process->state.want == FSM_WANT_UP) {
		describe_end(process, words);
		reload_run_reason(process, words);
	}
	exits_note(slot, process);
	note_exit(slot, process);
	if (was_main && !slot->incoming)
		follow_up(slot, process);
}

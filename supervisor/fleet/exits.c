/*
 * How processes ended: as a record in the ledger, and in words.
 *
 * What follows on an end is fleet/ending's business; here it is only kept, a
 * few for each slot, with the end of what the process printed on stderr. All
 * of it is in the ledger, so that `why` can answer after the death of a brain.
 */
#include "fleet/exits.h"

#include "base/clock.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/fleet.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "mechanism/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const char *
exits_stage_name(uint32_t stage)
{
	static const char *const names[] = {
		[KEEPER_STAGE_DESCRIPTION] = "reading its description",
		[KEEPER_STAGE_TABLE] = "finding a place for it",
		[KEEPER_STAGE_FORK] = "fork",
		[KEEPER_STAGE_DESCRIPTORS] = "making its descriptors",
		[KEEPER_STAGE_SESSION] = "making its process group",
		[KEEPER_STAGE_LIMITS] = "setting its limits",
		[KEEPER_STAGE_GROUPS] = "setting its supplementary groups",
		[KEEPER_STAGE_GROUP] = "setting its group",
		[KEEPER_STAGE_USER] = "setting its user",
		[KEEPER_STAGE_DIRECTORY] = "changing to its directory",
		[KEEPER_STAGE_EXEC] = "exec",
	};

	if (stage == 0 || stage >= sizeof(names) / sizeof(names[0]))
		return "starting it";
	return names[stage];
}

void
exits_describe(const struct state_exit *exit, char *ret_words, size_t size)
{
	if (exit->stage)
		snprintf(ret_words, size, "could not be started: %s: %s",
			exits_stage_name(exit->stage), strerror(exit->error));
	else if (!exit->code)
		snprintf(ret_words, size, "has ended, nobody saw how");
	else if (exit->code == CLD_EXITED)
		snprintf(ret_words, size, "exited with code %d", exit->status);
	else
		snprintf(ret_words, size, "was killed by SIG%s%s%s",
			sigabbrev_np(exit->status) ? sigabbrev_np(exit->status)
						   : "?",
			exit->dumped ? " (core dumped)" : "",
			exit->uptime_ms < 0 ? " before its program ran" : "");
}

void
exits_make(const struct process *process, struct state_exit *ret_exit)
{
	const struct keeper_row *row = &process->exit;

	*ret_exit = (struct state_exit){
		.process = process->state.number,
		.slot = process->slot->state.id,
		.generation = process->state.generation,
		.pid = process->state.pid,
		.stage = process->failed_stage,
		.error = process->failed_error,
		.uptime_ms = process_uptime_ms(process),
		.wall_ms = clock_wall_ms(),
		.reason = process->state.reason,
		.killed = process->state.was_killed,
	};
	if (process->fault)
		snprintf(ret_exit->fault, sizeof(ret_exit->fault), "%s",
			process->fault);
	if (!process->has_exit)
		return;
	ret_exit->code = row->code;
	ret_exit->status = row->status;
	ret_exit->dumped = row->dumped != 0;
	ret_exit->user_ms = row->user_ms;
	ret_exit->system_ms = row->system_ms;
	ret_exit->memory_kib = row->memory_kib;
}

/* The end of its stderr, from the start of a line where there is one. */
static void
take_tail(struct state_exit *exit, const struct process *process)
{
	const char *text, *line;
	size_t size = 0;

	if (!process->err)
		return;
	text = output_pipe_tail(process->err, &size);
	if (size > sizeof(exit->tail)) {
		text += size - sizeof(exit->tail);
		size = sizeof(exit->tail);
		line = memchr(text, '\n', size - 1);
		if (line) {
			size -= (size_t)(line + 1 - text);
			text = line + 1;
		}
	}
	if (size)
		memcpy(exit->tail, text, size);
	exit->tail_size = (uint32_t)size;
}

/* The row of a slot's end, counted from its first. */
static uint32_t
row_of(const struct slot *slot, uint32_t count)
{
	return slot->row * STATE_EXITS_KEPT + count % STATE_EXITS_KEPT;
}

void
exits_note(struct slot *slot, const struct process *process)
{
	struct state_exit exit;

	exits_make(process, &exit);
	take_tail(&exit, process);
	ledger_write(slot->app->fleet->ledger, STATE_EXITS,
		row_of(slot, slot->state.exits), &exit);
	slot->state.exits++;
}

void
exits_erase(struct slot *slot)
{
	for (uint32_t i = 0; i < STATE_EXITS_KEPT; i++)
		ledger_erase(
			slot->app->fleet->ledger, STATE_EXITS, row_of(slot, i));
}

/* Whether somebody, a grandchild, still holds what it printed to. */
static bool
is_held(const struct fleet *fleet, uint64_t number)
{
	const struct process *at = fleet->lingering;

	while (at && at->state.number != number)
		at = at->next_lingering;
	return at;
}

/* The text of `back` ends ago; -ENOENT: there is none. */
int
slot_read_exit(
	const struct slot *slot, uint32_t back, struct exit_view *ret_view)
{
	const struct fleet *fleet = slot->app->fleet;
	struct state_exit exit;
	int r;

	if (back >= STATE_EXITS_KEPT || back >= slot->state.exits)
		return -ENOENT;
	r = ledger_read(fleet->ledger, STATE_EXITS,
		row_of(slot, slot->state.exits - 1 - back), &exit);
	if (r < 0 || exit.slot != slot->state.id)
		return -ENOENT;
	*ret_view = (struct exit_view){
		.generation = exit.generation,
		.pid = exit.pid,
		.by_signal = exit.code != CLD_EXITED,
		.has_status = exit.code != 0,
		.status = exit.status,
		.dumped = exit.dumped,
		.killed = exit.killed,
		.output_held = is_held(fleet, exit.process),
		.uptime_ms = exit.uptime_ms,
		.wall_ms = exit.wall_ms,
		.user_ms = exit.user_ms,
		.system_ms = exit.system_ms,
		.memory_kib = exit.memory_kib,
	};
	if (exit.reason != STOP_NONE)
		ret_view->asked = process_reason_name(exit.reason);
	exits_describe(&exit, ret_view->how, sizeof(ret_view->how));
	memcpy(ret_view->fault, exit.fault, sizeof(exit.fault));
	ret_view->fault[sizeof(ret_view->fault) - 1] = '\0';
	ret_view->tail_size = exit.tail_size < sizeof(exit.tail)
				      ? exit.tail_size
				      : sizeof(exit.tail);
	memcpy(ret_view->tail, exit.tail, ret_view->tail_size);
	return 0;
}

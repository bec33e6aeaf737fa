/*
 * What is left of a process that is gone: output pipes that somebody else, a
 * grandchild, still holds.
 *
 * They are read, under the old process's name, until they end. Its row in the
 * ledger stays until then, so that another brain reads them, too.
 */
#include "fleet/remains.h"

#include "base/log.h"
#include "fleet/core.h"
#include "fleet/keeper_client.h"
#include "fleet/process.h"
#include "mechanism/output.h"

static void
free_pipe(struct process *process, const char *start, struct output_pipe **pipe)
{
	char name[KEEPER_NAME_SIZE];

	if (!*pipe)
		return;
	state_name(name, start, process->state.number);
	keeper_client_drop(process->fleet->setup.keeper, name);
	output_pipe_discard(pipe);
}

/* Frees what has ended; true when both have. */
static bool
free_ended_pipes(struct process *process)
{
	if (process->out_ended)
		free_pipe(process, STATE_OUT, &process->out);
	if (process->err_ended)
		free_pipe(process, STATE_ERR, &process->err);
	return !process->out && !process->err;
}

/* Nothing of it is left to be remembered. */
static void
erase(struct process *process)
{
	struct fleet *fleet = process->fleet;

	free_pipe(process, STATE_OUT, &process->out);
	free_pipe(process, STATE_ERR, &process->err);
	ledger_erase(fleet->ledger, STATE_PROCESSES, process->row);
	process_free(&process);
}

void
remains_pipe_ended(struct output_pipe *pipe, void *data)
{
	struct process *process = data;
	bool is_out = pipe == process->out;

	if (is_out)
		process->out_ended = true;
	else
		process->err_ended = true;
	/* As long as the process is there, so is the tail of its stderr. */
	if (!process->slot && free_ended_pipes(process))
		erase(process);
}

void
remains_settle(struct process *process)
{
	if (free_ended_pipes(process))
		erase(process);
}

void
remains_leave(struct process *process)
{
	struct process **at = &process->fleet->lingering;

	while (*at && *at != process)
		at = &(*at)->next_lingering;
	if (*at)
		*at = process->next_lingering;
}

/* The oldest of those whose pipes somebody still holds makes room. */
bool
remains_make_room(struct fleet *fleet)
{
	struct process *oldest = fleet->lingering;

	if (!oldest)
		return false;
	while (oldest->next_lingering)
		oldest = oldest->next_lingering;
	log_warn("too many pipes of ended processes are still held by others: "
		 "the oldest is closed");
	erase(oldest);
	return true;
}

struct process *
remains_load(
	struct fleet *fleet, uint32_t row, const struct state_process *state)
{
	struct process *process = process_make(fleet, row, state);

	if (!process)
		return NULL;
	process->next_lingering = fleet->lingering;
	fleet->lingering = process;
	return process;
}

void
remains_take(struct process *process)
{
	struct fleet *fleet = process->fleet;

	process->next_lingering = fleet->lingering;
	fleet->lingering = process;
	if (free_ended_pipes(process)) {
		erase(process);
		return;
	}
	process->state.state = FSM_GONE;
	process->state.deadline_ns = 0;
	ledger_write(
		fleet->ledger, STATE_PROCESSES, process->row, &process->state);
}

/*
 * The plan of the ledger's tables, and names in the vault.
 */
#include "fleet/state.h"

#include "mechanism/logfile.h"
#include "mechanism/output_memory.h"

#include <inttypes.h>
#include <stdio.h>

/* Room behind a record is for fields that are added. */
const struct ledger_table state_tables[] = {
	[STATE_GENERAL] = {sizeof(struct state_general), 1, 128},
	[STATE_APPS] = {sizeof(struct state_app), STATE_APPS_MAX, 96},
	[STATE_LISTENERS] = {sizeof(struct state_listener), STATE_LISTENERS_MAX,
		224},
	[STATE_SLOTS] = {sizeof(struct state_slot), STATE_SLOTS_MAX, 160},
	[STATE_PROCESSES] = {sizeof(struct state_process), STATE_PROCESSES_MAX,
		120},
	[STATE_LOGFILES] = {sizeof(struct logfile_state), STATE_LOGFILES_MAX,
		64},
	[STATE_EXITS] = {sizeof(struct state_exit), STATE_EXITS_MAX, 1016},
};

_Static_assert(sizeof(struct state_general) <= 96, "there is room");
_Static_assert(sizeof(struct state_app) <= 72, "there is room");
_Static_assert(sizeof(struct state_listener) <= 192, "there is room");
_Static_assert(sizeof(struct state_slot) <= 128, "there is room");
_Static_assert(sizeof(struct state_process) <= 96, "there is room");
_Static_assert(sizeof(struct state_exit) <= 984, "there is room");

_Static_assert(sizeof(struct logfile_state) % 8 == 0, "records are words");
_Static_assert((int)OUTPUT_SLOTS >= 2 * (int)STATE_PROCESSES_MAX,
	"each row has a slot for stdout and one for stderr");

void
state_name(char *ret_name, const char *start, uint64_t number)
{
	snprintf(ret_name, KEEPER_NAME_SIZE, "%s%" PRIu64, start, number);
}

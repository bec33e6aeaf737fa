/*
 * exits.h: the last ends of a slot's processes, for `muster why`.
 */
#ifndef MUSTER_EXITS_H
#define MUSTER_EXITS_H

#include "fleet/state.h"

#include <stddef.h>

struct process;
struct slot;

/* How `process` has ended, without its stderr. */
void exits_make(const struct process *process, struct state_exit *ret_exit);

/* The same in words: "exited with code 3", "was killed by SIGKILL". */
void exits_describe(
	const struct state_exit *exit, char *ret_words, size_t size);

/* What the keeper was doing when a start failed; a literal. */
const char *exits_stage_name(uint32_t stage);

/*
 * Writes the end of `process` down in place of the slot's oldest. It counts
 * when the slot's record is written next, by the caller.
 */
void exits_note(struct slot *slot, const struct process *process);

/* The slot goes: nothing of it is remembered. */
void exits_erase(struct slot *slot);

#endif

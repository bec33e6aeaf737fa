/*
 * ending.h: what the end of a process means, for its slot and for people.
 */
#ifndef MUSTER_ENDING_H
#define MUSTER_ENDING_H

#include <stdbool.h>

struct process;
struct slot;

/* `process` will end without having been ready: says why, to people and to the
 * reload that it belongs to. */
void ending_failed_start(struct process *process);

/*
 * Tells and notes the end of `process`, which the slot no longer holds;
 * `was_main` is whether it was the main one. Whether and from when on the slot
 * has another is in its record afterwards, which the caller writes. May stop
 * everything: when it was the start itself that failed.
 */
void ending_take(
	struct slot *slot, const struct process *process, bool was_main);

/* Its channel is about to be retired: what went over it counts for the slot,
 * whose record the caller writes. `is_known`: it is counted there already. */
void ending_note_messages(const struct process *process, bool is_known);

#endif

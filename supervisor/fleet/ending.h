/*
 * ending.h: what the end of a process means, for its slot and for people.
 */
#ifndef MUSTER_ENDING_H
#define MUSTER_ENDING_H

#include <stdbool.h>
#include <stdint.h>

struct process;
struct slot;

/* `process` will end without having been ready: says why, to people and to the
 * reload that it belongs to. */
void ending_failed_start(struct process *process);

/*
 * Tells and notes the end of `process`, which the slot no longer holds;
 * `was_main` is whether it was the main one. The caller writes the slot's
 * record. May stop everything: when it was the start itself that failed.
 * Returns after how many ms the slot's next process starts; -1: it has none.
 */
int64_t ending_take(
	struct slot *slot, const struct process *process, bool was_main);

#endif

/*
 * keeper_events.h: what the keeper tells, brought to whom it concerns.
 */
#ifndef MUSTER_KEEPER_EVENTS_H
#define MUSTER_KEEPER_EVENTS_H

struct fleet;
struct process;

/* From now on the keeper's records reach processes and fleet. */
void keeper_events_listen(struct fleet *fleet);

/* The process is freed: nobody watches it any more. */
void keeper_events_forget(struct process *process);

#endif

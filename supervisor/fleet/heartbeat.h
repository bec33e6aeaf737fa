/*
 * heartbeat.h: the key `watchdog`: a worker that gives no sign of life for so
 * long counts as hung and is replaced. Loop's thread only.
 */
#ifndef MUSTER_FLEET_HEARTBEAT_H
#define MUSTER_FLEET_HEARTBEAT_H

struct process;

/* The worker is ready, or found ready by a new brain: its time begins. */
void heartbeat_begin(struct process *process);

/* It gave a sign: on its channel, or by WATCHDOG=1. */
void heartbeat_take(struct process *process);

/* It leaves, or is gone. */
void heartbeat_end(struct process *process);

#endif

/*
 * worker_methods.h: what a worker may ask the supervisor: the requests to
 * address 0, and its words to the master.
 */
#ifndef MUSTER_WORKER_METHODS_H
#define MUSTER_WORKER_METHODS_H

#include <stddef.h>
#include <stdint.h>

struct process;

/* Answers one request of `process`. May step it. */
void worker_methods_request(
	struct process *process, uint64_t id, const char *body, size_t size);

/* A message to 0: raises the event `message` and prints it. */
void worker_methods_message(
	struct process *process, const char *body, size_t size);

#endif

/*
 * memory.h: what bench/memory compares: supervisors that look after four idle
 * workers. Each subject is started by memory_subjects.c; memory.c measures.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include "daemon.h"

#include <stdbool.h>
#include <sys/types.h>

enum { MEMORY_WORKERS = 4, MEMORY_PROCESSES_MAX = 2 };

struct memory_subject {
	const char *name;
	const char *processes; /* in words: which are counted */
	pid_t pids[MEMORY_PROCESSES_MAX];
	int count;
	struct daemon daemon; /* its folder, and muster's keeper */
};

/*
 * Starts one and fills in its supervising processes; its workers are not
 * counted. False, having said why on stderr, where it isn't installed or
 * doesn't start. muster's failure ends the program.
 */
bool memory_start_muster(struct memory_subject *subject);
bool memory_start_nginx(struct memory_subject *subject);
bool memory_start_pm2(struct memory_subject *subject, bool install);

/* Stops it and removes its folder. */
void memory_stop(struct memory_subject *subject);

#endif

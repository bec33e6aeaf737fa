/*
 * procstat.h: what the kernel's process table says of a process, read when
 * somebody asks. Nothing is sampled.
 */
#ifndef MUSTER_PROCSTAT_H
#define MUSTER_PROCSTAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct procstat {
	uint64_t memory_bytes; /* resident */
	uint64_t cpu_ms;       /* user and system, since it began */
	uint64_t age_ms;       /* since it began */
	bool is_stopped;       /* by a signal (SIGSTOP) or a tracer */
};

/*
 * Reads /proc/PID/stat. Returns 0; -ESRCH: no such process; or what open and
 * read said.
 */
int procstat_read(pid_t pid, struct procstat *ret_stat);

#endif

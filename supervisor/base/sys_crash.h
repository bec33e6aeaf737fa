/*
 * sys_crash.h: crash points: in the program musterd-crash, which is built with
 * the tests and never installed, the system calls of the brain are counted,
 * and at the n-th one the brain is killed or the call fails.
 *
 * What to do where is told in a file that test and brains map, so that a point
 * can also be set while the brain runs. MUSTER_TEST_CRASH names the file; no
 * other build reads that variable, and no worker sees it. A keeper is never
 * counted: it may not die.
 */
#ifndef MUSTER_SYS_CRASH_H
#define MUSTER_SYS_CRASH_H

#include <stdatomic.h>
#include <stdint.h>

#define SYS_CRASH_VARIABLE "MUSTER_TEST_CRASH"

enum sys_crash_mode {
	SYS_CRASH_OFF,
	SYS_CRASH_BEFORE,    /* SIGKILL before the n-th call */
	SYS_CRASH_AFTER,     /* SIGKILL when the n-th call has returned */
	SYS_CRASH_FAIL,	     /* the n-th call that can fail says why it can */
	SYS_CRASH_FAIL_SOON, /* the same where it may be tried again */
	SYS_CRASH_NO_MEMORY, /* the n-th allocation fails, libraries' too */
	SYS_CRASH_MODES
};

enum { SYS_CRASH_AHEAD = 8 };

/* What is to happen: at which call, counted from 1. 0: only count. */
struct sys_crash_point {
	_Atomic uint32_t mode;
	_Atomic uint32_t nth;
};

/* The file. Whoever sets `now` sets its mode last. */
struct sys_crash_plan {
	struct sys_crash_point now;
	_Atomic uint32_t count;	 /* calls since `now` was set */
	_Atomic uint32_t fired;	 /* how many points were reached so far */
	_Atomic uint32_t brains; /* how many were started so far */
	char name[32];		 /* the call that was last fired at */
	/* What becomes `now` when a brain starts, the next one first. */
	struct sys_crash_point ahead[SYS_CRASH_AHEAD];
};

/*
 * Around each call of sys.c. Before it returns 0, or the negative errno that
 * the call named `name` is to fail with. Both may not return.
 */
int sys_crash_before(const char *name);
void sys_crash_after(const char *name);

#endif

/*
 * daemon.h: a `musterd run` under measurement, in a home folder of its own.
 */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct daemon {
	pid_t keeper;
	char home[64]; /* MUSTER_HOME; removed by daemon_stop */
};

/*
 * Writes the path of the executable that lies at `relative` to the folder of
 * the running program ("../supervisor/musterd"), and says whether it can be
 * executed. `ret_path` has room for PATH_MAX bytes.
 */
bool daemon_find(const char *relative, char *ret_path);

/* The same for one without which nothing can be measured: ends the program. */
void daemon_need(const char *relative, char *ret_path);

/*
 * Starts `musterd run ARGUMENTS` (NULL at the end). Its standard output goes to
 * /dev/null, its messages to `log` in its home. It is told to stop when the
 * caller dies.
 */
void daemon_start(struct daemon *daemon, const char *musterd,
	const char *const arguments[]);

/* The pid of the living brain that isn't `except`; 0 while there is none. */
pid_t daemon_brain(const struct daemon *daemon, pid_t except);

/* Ends the program with `what` and the end of the daemon's log. */
_Noreturn void daemon_fail(struct daemon *daemon, const char *what);

/* Stops it (TERM, after 15 s KILL), reaps it, removes its home. A keeper of 0
 * is none; a home without a name neither. */
void daemon_stop(struct daemon *daemon);

#endif

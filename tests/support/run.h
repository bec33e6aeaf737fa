/*
 * run.h: one `muster run` under test.
 *
 * Starts the built command in a folder of its own, collects what it prints,
 * waits for lines and states with a deadline, and looks at the end whether
 * anything was left: a process, a zombie, a socket, an open pipe. Every wait
 * that fails ends the test with the output printed.
 *
 * One run at a time in a test. Put run_clean() into the suite's .fini.
 */
#ifndef TEST_RUN_H
#define TEST_RUN_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

enum {
	RUN_DEADLINE_MS = 20000,
};

enum run_stream {
	RUN_OUT,
	RUN_ERR,
};

struct run;

/* Starts `muster run ARGS…`. */
#define RUN(...) run_start((const char *const[]){__VA_ARGS__, NULL})
struct run *run_start(const char *const *arguments);

/*
 * Makes run_start() execute this program instead of the built command from now
 * on (NULL: the command again). The verb and the arguments stay the same.
 */
void run_use(const char *program);

/* What a failed test leaves is printed and ended. */
void run_clean(void);

/* The folder that is MUSTER_HOME. */
const char *run_home(const struct run *run);

/* The path of the built command. */
const char *run_command_path(void);

pid_t run_keeper(const struct run *run);

/* The brain that runs now; waits for one. */
pid_t run_brain(struct run *run);

/* Waits for a brain other than `old` that answers; returns it. */
pid_t run_wait_new_brain(struct run *run, pid_t old);

void run_signal(struct run *run, int signal);

/*
 * Waits for a line with `text`, beginning behind the line that the last wait
 * on this stream found. Returns the line (valid until the next call).
 */
const char *run_wait(struct run *run, enum run_stream stream, const char *text);

/* Everything that came on a stream so far. */
const char *run_text(struct run *run, enum run_stream stream);

/*
 * Forgets what lies before `end`, which points into what run_text() returned.
 * For runs that print without end; don't mix it with run_wait().
 */
void run_forget_text(struct run *run, enum run_stream stream, const char *end);

/* How many lines with `text` came on a stream so far. */
size_t run_count(struct run *run, enum run_stream stream, const char *text);

/* Waits until so many lines with `text` came. */
void run_wait_count(struct run *run, enum run_stream stream, const char *text,
	size_t count);

/* Reads what is there, waiting up to `wait_ms` for something. */
void run_pump(struct run *run, int wait_ms);

/*
 * Runs `muster ARGS…` on this run's home and returns its exit code; its output
 * (both streams) stays readable by run_said() until the next call.
 */
#define COMMAND(run, ...)                                                      \
	run_command(run, (const char *const[]){__VA_ARGS__, NULL})
int run_command(struct run *run, const char *const *arguments);
const char *run_said(const struct run *run);

/* `muster ls --json` as an array (new reference); NULL: it failed. */
json_t *run_ls(struct run *run);

/*
 * Waits until there are `count` workers and all have `status`. Returns the
 * listing (new reference).
 */
json_t *run_wait_status(struct run *run, size_t count, const char *status);

/* An integer field of the worker at `index` of a listing. */
long run_field(json_t *listing, size_t index, const char *key);

/* Notes how many descriptors keeper and brain have open now. */
void run_mark(struct run *run);

/* Waits until they are as many again and the keeper has no zombie. */
void run_check_mark(struct run *run);

/* Waits for the end; returns the exit code, or 128 + the signal. */
int run_wait_exit(struct run *run);

/*
 * Waits for the end with exit code `code`, and checks that nothing was left.
 * The run is gone afterwards.
 */
void run_finish(struct run *run, int code);

/* SIGTERM, then run_finish() with 0. */
void run_stop(struct run *run);

/* Waits for the end of a process that became the test's child; reaps it.
 * Returns its exit code, or 128 + the signal. */
int run_wait_orphan(struct run *run, pid_t pid);

/*
 * The end of a run whose keeper was killed: nothing may run any more, but its
 * folder could not be tidied up.
 */
void run_forget(struct run *run);

/* Listens on a port of 127.0.0.1. Returns the descriptor. */
int run_hold_port(int port);

/* A port of 127.0.0.1 that was free a moment ago. */
int run_free_port(void);

#endif

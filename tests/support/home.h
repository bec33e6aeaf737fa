/*
 * home.h: a home of the test's own with a daemon in it, and the command on it.
 *
 * One home at a time in a test. Put home_clean() into the suite's .fini.
 */
#ifndef TEST_HOME_H
#define TEST_HOME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	HOME_DEADLINE_MS = 20000,
};

/* Makes an empty home: MUSTER_HOME is set, nothing runs. */
void home_make(void);

/* The folder. */
const char *home_folder(void);

/* Ends what runs, and removes the folder. */
void home_clean(void);

/* Runs `muster ARGS…` to its end. Returns the exit code; what it wrote (both
 * streams) is home_said() until the next call. */
#define MUSTER(...) home_run((const char *const[]){__VA_ARGS__, NULL})
int home_run(const char *const *arguments);
const char *home_said(void);

/* Begins `muster ARGS…` and doesn't wait; its output goes nowhere. */
#define MUSTER_BEGIN(...) home_begin((const char *const[]){__VA_ARGS__, NULL})
pid_t home_begin(const char *const *arguments);

/* Waits for the end of such a one. Returns its exit code. */
int home_wait(pid_t pid);

/* `muster ls --json` (new reference); the test fails where it does. */
json_t *home_ls(void);

/* Waits until there are `count` workers and all have `status` (new reference).
 */
json_t *home_wait_status(size_t count, const char *status);

/* An integer, or a text, of the worker at `index`. */
long home_number(json_t *listing, size_t index, const char *key);
const char *home_text(json_t *listing, size_t index, const char *key);

/* The brain's pid now; waits for one that isn't `except`. */
pid_t home_brain(pid_t except);

/* How many daemons run in this home. */
size_t home_count_keepers(void);

/* Waits until the file in the home has `text`. */
void home_wait_file(const char *name, const char *text);

#endif

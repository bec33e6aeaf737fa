/*
 * ask_target.h: verbs that ask the supervisor for one thing and wait until it
 * is done.
 */
#ifndef MUSTER_ASK_TARGET_H
#define MUSTER_ASK_TARGET_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Calls `method` (a literal, the verb's name) with `params` (stolen; NULL: they
 * couldn't be made, since a word is no UTF-8). Waits as long as it takes, or,
 * with `no_wait`, until the supervisor has taken it on: what is wrong with it
 * at once is told then, too. Returns the exit code; `ret_result` (NULL: nobody
 * wants it) is a new reference with CLI_DONE, and NULL with `no_wait`.
 */
int ask_method(
	const char *method, json_t *params, bool no_wait, json_t **ret_result);

/* The same with {"target": TARGET}. */
int ask_target(const char *method, const char *target, bool no_wait);

#endif

/*
 * speak.h: what the verbs have in common that say something to workers: send,
 * request, publish. Bodies come from the command line or, one a line, from
 * standard input. Blocking, one thread.
 */
#ifndef MUSTER_SPEAK_H
#define MUSTER_SPEAK_H

#include "client.h"

struct speech {
	struct client *client;
	const char *verb;
	uint64_t first; /* id of the first frame; 0: none was said */
	int code; /* the exit code so far: the first that isn't CLI_DONE */
};

/* Says one body. Returns false: no more is to be said. */
typedef bool speak_fn(
	struct speech *speech, const char *body, size_t size, void *data);

/* Whether the word of the command line is - or one JSON value; complains. */
bool speak_check(const char *verb, const char *body);

/*
 * Calls `say` for `body`, or for each line of standard input where it is "-":
 * checked, without the blanks at its end. Blank lines are passed over.
 */
void speak_each(
	struct speech *speech, const char *body, speak_fn *say, void *data);

/* A frame was said with this id; 0 stops. */
bool speak_said(struct speech *speech, uint64_t id);

/*
 * Writes what waits and takes in what has come, as long as the supervisor takes
 * nothing: so that both can go on. Returns false: the connection has ended.
 */
bool speak_make_room(struct speech *speech);

/* Waits until the supervisor has dealt with all that was said. */
void speak_settle(struct speech *speech);

#endif

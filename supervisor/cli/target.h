/*
 * target.h: whom the TARGET of send and request means, as addresses.
 *
 * all is everybody, a number one worker, ns:NAME each application of that
 * namespace, another word the workers of that application.
 */
#ifndef MUSTER_TARGET_H
#define MUSTER_TARGET_H

#include "client.h"

struct target {
	uint32_t to;	   /* MUSTER_TO_ALL, or one worker */
	const char **apps; /* NULL, or one frame for each */
	size_t count;
	json_t *listing; /* owns the names */
};

/*
 * Works out the addresses of `word`, which `ret_target` borrows. Returns
 * CLI_DONE; or the exit code, after a line on stderr. target_fini in each case.
 */
int target_find(struct client *client, const char *verb, const char *word,
	struct target *ret_target);
void target_fini(struct target *target);

#endif

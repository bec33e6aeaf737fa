/*
 * formats.h: log files whose lines are formatted: with the time in front, or as
 * JSON. Each has a way of its own (mechanism/output), and a memory of the
 * keeper's for what is between pipe and file.
 */
#ifndef MUSTER_FLEET_FORMATS_H
#define MUSTER_FLEET_FORMATS_H

#include <stdbool.h>

struct app_config;
struct fleet;
struct logfile;
struct output;

/* Whether what goes to the application's files is formatted. */
bool formats_is_for(const struct app_config *config);

/*
 * The way to `file`, which is at `path` (a reference is taken over, also on
 * failure): one, however often it is asked for, until the end.
 * Returns 0; -ENOMEM; or what the keeper or making the memory said.
 */
int formats_get(struct fleet *fleet, const struct app_config *config,
	const char *path, struct logfile *file, struct output **ret_output);

/* Frees all; after all pipes. */
void formats_free(struct fleet *fleet);

#endif

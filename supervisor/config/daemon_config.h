/*
 * daemon_config.h: what a file says of the supervisor itself, in "muster": {…}
 * beside "apps".
 */
#ifndef MUSTER_DAEMON_CONFIG_H
#define MUSTER_DAEMON_CONFIG_H

#include "config/config.h"

/* What isn't given is 0, or NULL. */
struct daemon_config {
	int64_t log_level;     /* 1 + enum log_level */
	int64_t memory_limit;  /* bytes of all that waits in messages */
	int64_t max_processes; /* of all applications */
	char *bus;	       /* tcp://HOST:PORT for programs outside */
	char *bus_token_file;  /* absolute */
};

/*
 * Reads `object` (borrowed; NULL: nothing is given). Returns 0; -EINVAL:
 * `ret_error` says what is wrong; -ENOMEM. On failure nothing is given.
 */
int daemon_config_read(const json_t *object, const struct config_place *place,
	struct daemon_config *ret_config, struct config_error *ret_error);

/* Frees what it owns and zeroes it. */
void daemon_config_fini(struct daemon_config *config);

#endif

/*
 * config_file.h: a configuration file as a list of JSON objects, one an
 * application. Accepts {"apps": […]}, an array, or one object.
 */
#ifndef MUSTER_CONFIG_FILE_H
#define MUSTER_CONFIG_FILE_H

#include "config/config.h"
#include "config/daemon_config.h"

enum {
	CONFIG_FILE_SIZE_MAX = 4 << 20, /* bytes */
};

/* The applications of a file or a command line, complete; all or none. */
struct config_set {
	struct app_config **apps; /* owned */
	size_t count;
	struct daemon_config muster; /* of a file */
};

/*
 * Reads and checks the file `path`. Syntax errors are told with file, line and
 * column, wrong keys with their place (apps[2].max_restart); names must differ.
 * Returns 0; else nothing is given: -EINVAL: something is wrong; -ENOENT: no
 * file, or a user in it that isn't there; or what open or read said; in each
 * `ret_error` says what; -ENOMEM.
 */
int config_file_read(const char *path, const struct config_place *place,
	struct config_set *ret_set, struct config_error *ret_error);

/*
 * The same for a value that is already parsed (borrowed); `source` names it in
 * messages.
 */
int config_file_build(const json_t *value, const char *source,
	const struct config_place *place, struct config_set *ret_set,
	struct config_error *ret_error);

/* Frees what a set owns and zeroes it. */
void config_set_fini(struct config_set *set);

#endif

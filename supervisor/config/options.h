/*
 * options.h: the command line of `run` and `start`, through the same keys and
 * checks as a configuration file.
 *
 *	run [OPTIONS] [--] PROGRAM [ARG…]	run [OPTIONS] FILE.json
 *[OPTIONS]
 *
 * The first word that isn't an option ends the options. A key is an option by
 * its name in kebab-case, as `--key VALUE` or `--key=VALUE`; a boolean as
 * `--key` or `--no-key`. With a file, `--env NAME` lets its env_NAME count.
 */
#ifndef MUSTER_OPTIONS_H
#define MUSTER_OPTIONS_H

#include "config/config_file.h"

struct options {
	struct config_set set;
	char *file;	/* absolute path of FILE.json, or NULL */
	bool raw, json; /* worker output: without a prefix; as JSON lines */
	char *home;	/* --home DIR, absolute, or NULL */
	char *pid_file; /* --pid-file FILE, absolute, or NULL */
	/* --bus, --bus-token-file: while they are read; then in the set. */
	char *bus, *bus_token_file;
	/* of `start` */
	char *only;	 /* --only NAME: of a file's applications; or NULL */
	bool update_env; /* running applications get the caller's environment */
	bool no_wait;	 /* until they are ready */
};

/*
 * Parses the words behind the verb: `argv` of `argc`, borrowed.
 * Returns 0; -EINVAL: wrong usage (unknown option, a value that lacks or isn't
 * allowed, no program): exit code 2; -EBADMSG: the usage is right, but the file
 * is wrong or unreadable, or a user isn't there: exit code 1. `ret_error` says
 * what. -ENOMEM.
 */
int options_parse(int argc, char *const *argv, const struct config_place *place,
	struct options *ret_options, struct config_error *ret_error);

/* Frees what options own and zeroes them. */
void options_fini(struct options *options);

#endif

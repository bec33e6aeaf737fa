/*
 * keys.h: the table of configuration keys (keys.def) as data, with the ways to
 * find a key by what somebody wrote.
 */
#ifndef MUSTER_KEYS_H
#define MUSTER_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* How a value is written, checked and kept; in brackets the field's type. */
enum key_type {
	KEY_TYPE_NAME,	      /* [char *] by the allow-list of names */
	KEY_TYPE_STRING,      /* [char *] */
	KEY_TYPE_PATH,	      /* [char *] made absolute */
	KEY_TYPE_ARGUMENTS,   /* [char **] list, or string split as a shell */
	KEY_TYPE_ENVIRONMENT, /* [char **] object; kept as KEY=VALUE */
	KEY_TYPE_BOOL,	      /* [int64_t] */
	KEY_TYPE_INT,	      /* [int64_t] */
	KEY_TYPE_MS,	      /* [int64_t] milliseconds, or "10s", "2m", "1h" */
	KEY_TYPE_BYTES,	      /* [int64_t] bytes, or "200M" (powers of 1024) */
	KEY_TYPE_MODE,	      /* [int64_t] octal string */
	KEY_TYPE_SIGNAL,      /* [int64_t] "SIGTERM", "TERM" or a number */
	KEY_TYPE_INSTANCES,   /* [int64_t] resolved to at least 1 */
	KEY_TYPE_PORTION,     /* [struct portion] number or "25%" */
	KEY_TYPE_CODES,	      /* [struct number_list] */
	KEY_TYPE_EXIT_WHEN,   /* [int64_t] enum config_exit_when */
	KEY_TYPE_BALANCE,     /* [int64_t] enum balance */
	KEY_TYPE_LISTEN,      /* [struct listen_list] */
	KEY_TYPE_USER,	      /* [int64_t] uid; a name is looked up */
	KEY_TYPE_GROUP,	      /* [int64_t] gid; a name is looked up */
	KEY_TYPE_GROUPS,      /* [struct number_list] gids; names, too */
	KEY_TYPE_LIMITS,      /* [struct limit_list] */
	KEY_TYPE_NAMES,	      /* [char **] names of applications */
	KEY_TYPE_LOG_TYPE,    /* [int64_t] enum log_type */
	KEY_TYPE_ROTATE,      /* [struct rotate_config] size, or an object */
	KEY_TYPE_VARIABLE,    /* [char *] a name of a variable */
	KEY_TYPE_FILTER,      /* [char **] beginnings; true: "", of all */
	KEY_TYPE_CRON,	      /* [char *] an expression of cron.h */
	KEY_TYPE_WATCH,	      /* [char **] paths; true: cwd; NULL: none */
};

/* What it takes to put a changed value into force; grows downwards. */
enum key_change {
	KEY_CHANGE_NONE,   /* nothing changed */
	KEY_CHANGE_LIVE,   /* at once, for the processes that run */
	KEY_CHANGE_RELOAD, /* by new processes */
	KEY_CHANGE_FIXED,  /* only by delete and start */
};

struct key {
	const char *name; /* snake_case */
	enum key_type type;
	size_t offset; /* of the field in struct app_config */
	const char *fallback;
	int64_t least, most;
	enum key_change change;
	char letter; /* 0: none */
	const char *value, *help;
};

enum {
	KEY_COUNT_MAX = 128, /* of the table */
	KEY_NAME_MAX = 63,   /* longer names aren't keys */
};

/* All keys in the order of keys.def; the count goes to `ret_count`. */
const struct key *keys_all(size_t *ret_count);

/*
 * Finds a key by its name of `size` bytes in snake_case, camelCase or
 * kebab-case, or by an alias. NULL: there is none.
 */
const struct key *keys_find(const char *name, size_t size);

/*
 * Why a name that is no key may stand in a file all the same: it is one of
 * PM2's that means nothing here, or one that isn't there yet. Static, the
 * middle of a sentence; NULL: it is neither.
 */
const char *keys_passed_over(const char *name);

/* The same of a name that may not stand there, though it is known. */
const char *keys_refused(const char *name);

/* The key with this short option, or NULL. */
const struct key *keys_find_letter(char letter);

/*
 * The known name that is nearest to a wrong one (edit distance, at most a third
 * of its length but at least 1), in snake_case, static; or NULL: none is near.
 */
const char *keys_nearest(const char *name);

/*
 * The number of single-character edits between two texts (neighbours that
 * changed places count 1), cut to their first KEY_NAME_MAX bytes.
 */
unsigned keys_distance(const char *a, const char *b);

#endif

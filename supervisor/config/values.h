/*
 * values.h: the value of one key: from JSON into its field of struct
 * app_config, and back. What keys mean together is config.c's.
 */
#ifndef MUSTER_VALUES_H
#define MUSTER_VALUES_H

#include "config/config.h"

enum {
	VALUES_LIST_MAX = 4096, /* entries of a list of strings */
	VALUES_LISTEN_MAX = 64,
	VALUES_NUMBERS_MAX = 256,
};

/* Where a value stands; borrowed. */
struct values_context {
	const struct config_place *place; /* NULL: a sealed configuration */
	const char *where; /* in front of keys; "--": they are options */
	struct config_error *error;
};

/*
 * Checks `value` (borrowed) and puts it into the field of `key`, which must be
 * as values_init left it.
 * Returns 0; -EINVAL, or -ENOENT for an unknown user or group: the context's
 * error names key, value and what is allowed; -ENOMEM.
 */
int values_read(const struct values_context *context, const struct key *key,
	const json_t *value, struct app_config *config);

/*
 * The field of `key` as JSON: a new reference, or NULL where it is unset.
 * Returns 0 or -ENOMEM.
 */
int values_write(const struct key *key, const struct app_config *config,
	json_t **ret_value);

/* Sets the field of `key` to "unset"; `config` is zeroed memory. */
void values_init(const struct key *key, struct app_config *config);

/* Frees what the field of `key` owns. */
void values_fini(const struct key *key, struct app_config *config);

/*
 * Fills the context's error: "KEY: VALUE …" and the formatted rest, which says
 * what is allowed. `value` may be NULL. Returns -EINVAL.
 */
int values_bad(const struct values_context *context, const struct key *key,
	const json_t *value, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Checks the name of an application or namespace. Returns NULL, or a static
 * sentence that says what is allowed. */
const char *values_check_name(const char *name);

#endif

/*
 * version.h: one configuration of an application, as it is in force.
 *
 * It lies, sealed, in the keeper's vault, and never changes. During a reload an
 * application has two. Who uses one holds a reference; the last to give it back
 * drops it from the vault.
 */
#ifndef MUSTER_VERSION_H
#define MUSTER_VERSION_H

#include "config/config.h"

#include <jansson.h>

#include <stdint.h>

struct fleet;

struct version {
	struct fleet *fleet;
	uint32_t number; /* STATE_CONFIG */
	uint32_t references;
	struct app_config *config;
};

/*
 * Seals a copy of `config` (borrowed) and puts it into the vault, for
 * version_load to find.
 * Returns 0 and its number; -ENOMEM; or what making the file said.
 */
int version_seal(struct fleet *fleet, const struct app_config *config,
	uint32_t *ret_number);

/*
 * Reads what was sealed, also by an earlier brain.
 * Returns 0 and one reference; -ENOENT: the vault has none; -EBADMSG: it can't
 * be read; -ENOMEM.
 */
int version_load(
	struct fleet *fleet, uint32_t number, struct version **ret_version);

/* The configuration, with the environment beside its keys, as it is sealed: new
 * reference, or NULL without memory; and back: as config_from_json. */
json_t *version_to_json(const struct app_config *config);
int version_from_json(json_t *json, struct app_config **ret_config,
	struct config_error *ret_error);

/* One more reference; NULL is fine. */
struct version *version_hold(struct version *version);

/* Gives a reference back and clears the pointer; NULL is fine. */
void version_release(struct version **version);

#endif

/*
 * Versions of configurations: sealed into the vault, read from it, counted.
 *
 * Which version is in force is the application's business.
 */
#include "fleet/version.h"

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "fleet/core.h"
#include "fleet/keeper_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What stands beside the keys in a sealed configuration. */
#define ENVIRONMENT " environment"

static char **
read_environment(const json_t *list)
{
	size_t count = json_array_size(list), used = 0;
	const char **texts = calloc(count + 1, sizeof(*texts));
	char **copy;

	if (!texts)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		texts[used] = json_string_value(json_array_get(list, i));
		used += texts[used] != NULL;
	}
	copy = config_copy_strings((char *const *)texts);
	free(texts);
	return copy;
}

int
version_from_json(json_t *json, struct app_config **ret_config,
	struct config_error *ret_error)
{
	json_t *list = json_incref(json_object_get(json, ENVIRONMENT));
	struct app_config *config = NULL;
	int r;

	(void)json_object_del(json, ENVIRONMENT);
	r = config_from_json(json, NULL, "", &config, ret_error);
	if (r >= 0 && list) {
		config->environment = read_environment(list);
		if (!config->environment) {
			config_free(&config);
			r = -ENOMEM;
		}
	}
	json_decref(list);
	if (r >= 0)
		*ret_config = config;
	return r;
}

static int
make(struct fleet *fleet, uint32_t number, json_t *json,
	struct version **ret_version)
{
	struct version *version = calloc(1, sizeof(*version));
	struct config_error error;
	int r;

	if (!version)
		return -ENOMEM;
	r = version_from_json(json, &version->config, &error);
	if (r < 0) {
		free(version);
		if (r != -ENOMEM)
			log_bug("a sealed configuration is wrong: %s",
				error.text);
		return r == -ENOMEM ? r : -EBADMSG;
	}
	version->fleet = fleet;
	version->number = number;
	version->references = 1;
	*ret_version = version;
	return 0;
}

json_t *
version_to_json(const struct app_config *config)
{
	json_t *json = config_to_json(config);
	json_t *list;

	if (!json || !config->environment)
		return json;
	list = json_array();
	for (char *const *at = config->environment; list && *at; at++)
		/* What is no UTF-8 can't be kept, and few would miss it. */
		(void)json_array_append_new(list, json_string(*at));
	if (!list || json_object_set_new(json, ENVIRONMENT, list) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

int
version_seal(struct fleet *fleet, const struct app_config *config,
	uint32_t *ret_number)
{
	json_t *json = version_to_json(config);
	char name[KEEPER_NAME_SIZE];
	uint32_t number = core_next_number(fleet);
	int fd, r;

	if (!json)
		return -ENOMEM;
	state_name(name, STATE_CONFIG, number);
	r = fd = core_seal(name, json);
	json_decref(json);
	if (r < 0)
		return r;
	r = keeper_client_keep(fleet->setup.keeper, name, fd);
	if (r >= 0)
		*ret_number = number;
	return r;
}

int
version_load(struct fleet *fleet, uint32_t number, struct version **ret_version)
{
	char name[KEEPER_NAME_SIZE];
	json_t *json;
	int fd, r;

	state_name(name, STATE_CONFIG, number);
	fd = keeper_client_claim(fleet->setup.keeper, name);
	if (fd < 0)
		return fd;
	r = core_unseal(fd, &json);
	if (r < 0)
		return r;
	r = make(fleet, number, json, ret_version);
	json_decref(json);
	return r;
}

struct version *
version_hold(struct version *version)
{
	if (version)
		version->references++;
	return version;
}

void
version_release(struct version **version)
{
	struct version *at = *version;
	char name[KEEPER_NAME_SIZE];

	*version = NULL;
	if (!at || --at->references)
		return;
	/* Nobody runs it any more: but a fleet that is closed only forgets. */
	if (!at->fleet->is_closing) {
		state_name(name, STATE_CONFIG, at->number);
		keeper_client_drop(at->fleet->setup.keeper, name);
	}
	config_free(&at->config);
	free(at);
}

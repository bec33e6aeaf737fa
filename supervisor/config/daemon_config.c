/*
 * daemon_config: the keys of "muster": {…}, read by the same readers as those
 * of applications.
 */
#include "config/daemon_config.h"

#include "base/log.h"
#include "config/value_kinds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static value_reader read_level;

static const struct daemon_key {
	struct key key; /* the offset is one in struct daemon_config */
	value_reader *read;
	bool is_text;
} keys[] = {
#define FIELD(name_)                                                           \
	.name = #name_, .offset = offsetof(struct daemon_config, name_)
	{{FIELD(log_level)}, read_level, false},
	{{FIELD(memory_limit), .least = 16 << 20, .most = INT64_C(64) << 30},
		value_read_bytes, false},
	{{FIELD(max_processes), .least = 1, .most = 4096}, value_read_int,
		false},
	{{FIELD(bus), .most = 255}, value_read_string, true},
	{{FIELD(bus_token_file), .most = CONFIG_PATH_SIZE - 1}, value_read_path,
		true},
#undef FIELD
};

enum {
	KEY_COUNT = sizeof(keys) / sizeof(keys[0]),
};

static int
read_level(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	static const char *const levels[] = {[LOG_DEBUG] = "debug",
		[LOG_INFO] = "info",
		[LOG_WARN] = "warn",
		[LOG_ERROR] = "error"};

	for (int i = 0; value_is_text(value) && i <= LOG_ERROR; i++)
		if (strcmp(levels[i], json_string_value(value)) == 0) {
			*(int64_t *)field = 1 + i;
			return 0;
		}
	return values_bad(context, key, value,
		"write \"debug\", \"info\", \"warn\" or \"error\"");
}

static void *
field_of(const struct daemon_key *key, struct daemon_config *config)
{
	return (char *)config + key->key.offset;
}

static int
read_member(const struct values_context *context, const char *name,
	const json_t *value, struct daemon_config *config)
{
	const char *nearest = NULL;
	unsigned best = 4;

	for (int i = 0; i < KEY_COUNT; i++) {
		unsigned distance = keys_distance(keys[i].key.name, name);

		if (distance == 0)
			return keys[i].read(context, &keys[i].key, value,
				field_of(&keys[i], config));
		if (distance < best) {
			best = distance;
			nearest = keys[i].key.name;
		}
	}
	snprintf(context->error->text, sizeof(context->error->text),
		"muster.%.100s is an unknown key%s%s%s", name,
		nearest != NULL ? "; did you mean " : "",
		nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
	return -EINVAL;
}

int
daemon_config_read(const json_t *object, const struct config_place *place,
	struct daemon_config *ret_config, struct config_error *ret_error)
{
	struct values_context context = {place, "muster", ret_error};
	const char *name;
	json_t *value;

	*ret_config = (struct daemon_config){.log_level = 0};
	if (object != NULL && !json_is_object(object)) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"muster: write an object, {\"log_level\": \"warn\"}");
		return -EINVAL;
	}
	json_object_foreach((json_t *)object, name, value)
	{
		int r = read_member(&context, name, value, ret_config);

		if (r < 0) {
			daemon_config_fini(ret_config);
			return r;
		}
	}
	return 0;
}

void
daemon_config_fini(struct daemon_config *config)
{
	for (int i = 0; i < KEY_COUNT; i++)
		if (keys[i].is_text)
			free(*(char **)field_of(&keys[i], config));
	*config = (struct daemon_config){.log_level = 0};
}

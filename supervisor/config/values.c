/*
 * values: joins the types of keys with what reads and writes them, and words
 * their errors in one way. The kinds themselves are in value_number.c,
 * value_text.c and value_list.c.
 */
#include "config/values.h"

#include "config/value_kinds.h"
#include "config/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What memory a field holds. */
enum holding {
	HOLDS_NOTHING,
	HOLDS_TEXT,
	HOLDS_STRINGS,
	HOLDS_NUMBERS,
	HOLDS_LISTEN,
	HOLDS_LIMITS,
	HOLDS_PORTION, /* nothing, and no int64_t either */
	HOLDS_ROTATE,  /* the same */
};

static const struct {
	value_reader *read;
	value_writer *write;
	enum holding holding;
} kinds[] = {
	[KEY_TYPE_NAME] = {value_read_name, value_write_string, HOLDS_TEXT},
	[KEY_TYPE_STRING] = {value_read_string, value_write_string, HOLDS_TEXT},
	[KEY_TYPE_PATH] = {value_read_path, value_write_string, HOLDS_TEXT},
	[KEY_TYPE_ARGUMENTS] = {value_read_arguments, value_write_strings,
		HOLDS_STRINGS},
	[KEY_TYPE_ENVIRONMENT] = {value_read_environment,
		value_write_environment, HOLDS_STRINGS},
	[KEY_TYPE_BOOL] = {value_read_bool, value_write_bool, HOLDS_NOTHING},
	[KEY_TYPE_INT] = {value_read_int, value_write_int, HOLDS_NOTHING},
	[KEY_TYPE_MS] = {value_read_ms, value_write_int, HOLDS_NOTHING},
	[KEY_TYPE_BYTES] = {value_read_bytes, value_write_int, HOLDS_NOTHING},
	[KEY_TYPE_MODE] = {value_read_mode, value_write_mode, HOLDS_NOTHING},
	[KEY_TYPE_SIGNAL] = {value_read_signal, value_write_signal,
		HOLDS_NOTHING},
	[KEY_TYPE_INSTANCES] = {value_read_instances, value_write_int,
		HOLDS_NOTHING},
	[KEY_TYPE_PORTION] = {value_read_portion, value_write_portion,
		HOLDS_PORTION},
	[KEY_TYPE_CODES] = {value_read_codes, value_write_numbers,
		HOLDS_NUMBERS},
	[KEY_TYPE_EXIT_WHEN] = {value_read_exit_when, value_write_exit_when,
		HOLDS_NOTHING},
	[KEY_TYPE_BALANCE] = {value_read_balance, value_write_balance,
		HOLDS_NOTHING},
	[KEY_TYPE_LISTEN] = {value_read_listen, value_write_listen,
		HOLDS_LISTEN},
	[KEY_TYPE_USER] = {value_read_user, value_write_int, HOLDS_NOTHING},
	[KEY_TYPE_GROUP] = {value_read_group, value_write_int, HOLDS_NOTHING},
	[KEY_TYPE_GROUPS] = {value_read_groups, value_write_numbers,
		HOLDS_NUMBERS},
	[KEY_TYPE_LIMITS] = {value_read_limits, value_write_limits,
		HOLDS_LIMITS},
	[KEY_TYPE_LOG_TYPE] = {value_read_log_type, value_write_log_type,
		HOLDS_NOTHING},
	[KEY_TYPE_ROTATE] = {value_read_rotate, value_write_rotate,
		HOLDS_ROTATE},
	[KEY_TYPE_VARIABLE] = {value_read_variable, value_write_string,
		HOLDS_TEXT},
	[KEY_TYPE_FILTER] = {value_read_filter, value_write_strings,
		HOLDS_STRINGS},
	[KEY_TYPE_CRON] = {value_read_cron, value_write_string, HOLDS_TEXT},
	[KEY_TYPE_WATCH] = {value_read_watch, value_write_strings,
		HOLDS_STRINGS},
	[KEY_TYPE_NAMES] = {value_read_names, value_write_strings,
		HOLDS_STRINGS},
};

static void *
field_of(const struct key *key, struct app_config *config)
{
	return (char *)config + key->offset;
}

int
values_read(const struct values_context *context, const struct key *key,
	const json_t *value, struct app_config *config)
{
	return kinds[key->type].read(
		context, key, value, field_of(key, config));
}

int
values_write(const struct key *key, const struct app_config *config,
	json_t **ret_value)
{
	const void *field = (const char *)config + key->offset;
	int64_t number;

	*ret_value = NULL;
	switch (kinds[key->type].holding) {
	case HOLDS_NOTHING:
		memcpy(&number, field, sizeof(number));
		if (number == CONFIG_UNSET)
			return 0;
		break;
	case HOLDS_NUMBERS:
		if (((const struct number_list *)field)->numbers == NULL)
			return 0;
		break;
	case HOLDS_TEXT:
	case HOLDS_STRINGS:
		if (*(void *const *)field == NULL)
			return 0;
		break;
	case HOLDS_LISTEN:
	case HOLDS_LIMITS:
	case HOLDS_PORTION:
		break;
	case HOLDS_ROTATE:
		if (((const struct rotate_config *)field)->size == 0)
			return 0;
		break;
	}
	return kinds[key->type].write(field, ret_value);
}

void
values_init(const struct key *key, struct app_config *config)
{
	static const int64_t unset = CONFIG_UNSET;

	if (kinds[key->type].holding == HOLDS_NOTHING)
		memcpy(field_of(key, config), &unset, sizeof(unset));
}

void
values_fini(const struct key *key, struct app_config *config)
{
	void *field = field_of(key, config);

	switch (kinds[key->type].holding) {
	case HOLDS_TEXT:
		free(*(char **)field);
		break;
	case HOLDS_STRINGS:
		words_free(field);
		break;
	case HOLDS_NUMBERS:
		free(((struct number_list *)field)->numbers);
		break;
	case HOLDS_LISTEN:
		value_free_listen(field);
		break;
	case HOLDS_LIMITS:
		free(((struct limit_list *)field)->entries);
		break;
	case HOLDS_NOTHING:
	case HOLDS_PORTION:
	case HOLDS_ROTATE:
		break;
	}
}

/* "apps[2].kill_timeout", or "--kill-timeout" for an option. */
static int
write_place(char *text, size_t size, const char *where, const char *name)
{
	int used;

	if (strcmp(where, "--") != 0)
		return snprintf(text, size, "%s%s%s", where,
			where[0] != '\0' ? "." : "", name);
	used = snprintf(text, size, "--%s", name);
	for (char *c = text; *c != '\0'; c++)
		if (*c == '_')
			*c = '-';
	return used;
}

int
values_bad(const struct values_context *context, const struct key *key,
	const json_t *value, const char *format, ...)
{
	char *text = context->error->text;
	size_t size = sizeof(context->error->text);
	char *json = value == NULL ? NULL
				   : json_dumps(value,
					     JSON_ENCODE_ANY | JSON_COMPACT |
						     JSON_ENSURE_ASCII);
	va_list arguments;
	int used;

	used = write_place(text, size, context->where, key->name);
	if (json != NULL && used >= 0 && (size_t)used < size)
		used += snprintf(text + used, size - (size_t)used,
			": %.80s%s is not allowed", json,
			strlen(json) > 80 ? "…" : "");
	if (used >= 0 && (size_t)used < size)
		used += snprintf(text + used, size - (size_t)used, ": ");
	if (used >= 0 && (size_t)used < size) {
		va_start(arguments, format);
		vsnprintf(text + used, size - (size_t)used, format, arguments);
		va_end(arguments);
	}
	free(json);
	return -EINVAL;
}

const char *
values_check_name(const char *name)
{
	size_t size = strlen(name);

	if (size == 0 || size > 64)
		return "a name has 1 to 64 characters";
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz"
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != size)
		return "a name is made of letters, digits and _ . -";
	if (name[0] == '-' || name[0] == '.')
		return "a name doesn't begin with - or .";
	if (strspn(name, "0123456789") == size)
		return "a number means a worker's id; add a letter";
	if (strcmp(name, "all") == 0)
		return "all means every application; take another name";
	return NULL;
}

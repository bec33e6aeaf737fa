/*
 * value_word: values that are one of a few words.
 */
#include "config/value_kinds.h"

#include <errno.h>
#include <string.h>

/* `allowed` names them all, for people. */
static int
read_word(const struct values_context *context, const struct key *key,
	const json_t *value, const char *const *words, size_t count,
	const char *allowed, void *field)
{
	const char *text = value_is_text(value) ? json_string_value(value) : "";

	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], text) == 0) {
			*(int64_t *)field = (int64_t)i;
			return 0;
		}
	return values_bad(context, key, value, "write %s", allowed);
}

static int
write_word(const char *word, json_t **ret_value)
{
	*ret_value = json_string(word);
	return *ret_value == NULL ? -ENOMEM : 0;
}

#define COUNT(words) (sizeof(words) / sizeof((words)[0]))

static const char *const exit_when_words[] = {
	[CONFIG_EXIT_STOPPED] = "stopped",
	[CONFIG_EXIT_ERRORED] = "errored",
	[CONFIG_EXIT_NEVER] = "never",
};

int
value_read_exit_when(const struct values_context *context,
	const struct key *key, const json_t *value, void *field)
{
	return read_word(context, key, value, exit_when_words,
		COUNT(exit_when_words), "\"stopped\", \"errored\" or \"never\"",
		field);
}

int
value_write_exit_when(const void *field, json_t **ret_value)
{
	return write_word(exit_when_words[*(const int64_t *)field], ret_value);
}

static const char *const balance_words[] = {
	[BALANCE_SHARED] = "shared",
	[BALANCE_REUSEPORT] = "reuseport",
	[BALANCE_ROUND_ROBIN] = "round-robin",
};

int
value_read_balance(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	return read_word(context, key, value, balance_words,
		COUNT(balance_words),
		"\"shared\", \"reuseport\" or \"round-robin\"", field);
}

int
value_write_balance(const void *field, json_t **ret_value)
{
	return write_word(balance_words[*(const int64_t *)field], ret_value);
}

static const char *const log_type_words[] = {
	[LOG_TYPE_RAW] = "raw",
	[LOG_TYPE_JSON] = "json",
};

int
value_read_log_type(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	return read_word(context, key, value, log_type_words,
		COUNT(log_type_words), "\"raw\" or \"json\"", field);
}

int
value_write_log_type(const void *field, json_t **ret_value)
{
	return write_word(log_type_words[*(const int64_t *)field], ret_value);
}

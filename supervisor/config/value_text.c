/*
 * value_text: values that are kept as text or lists of text: names, paths,
 * arguments, the environment. A NUL inside a string is refused, since no
 * program could ever see what stands behind it.
 */
#include "config/cron.h"
#include "config/program.h"
#include "config/value_kinds.h"
#include "config/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
keep(char *text, void *field)
{
	if (text == NULL)
		return -ENOMEM;
	*(char **)field = text;
	return 0;
}

int
value_read_string(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	size_t size = json_string_length(value);

	if (!value_is_text(value) || size == 0 || size > (size_t)key->most)
		return values_bad(context, key, value,
			"write a string of 1 to %lld bytes",
			(long long)key->most);
	return keep(strdup(json_string_value(value)), field);
}

int
value_read_name(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	const char *wrong =
		value_is_text(value)
			? values_check_name(json_string_value(value))
			: "write a string";

	if (wrong != NULL)
		return values_bad(context, key, value, "%s", wrong);
	return keep(strdup(json_string_value(value)), field);
}

int
value_read_path(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	const char *directory =
		context->place != NULL ? context->place->directory : "/";
	size_t size = json_string_length(value);

	if (!value_is_text(value) || size == 0 || size > (size_t)key->most)
		return values_bad(context, key, value,
			"write a path of 1 to %lld bytes",
			(long long)key->most);
	return keep(
		program_absolute(json_string_value(value), directory), field);
}

/* A list of strings, one of its numbers or booleans included, as in PM2. */
static int
add_scalar(struct words *words, const char *prefix, const json_t *value)
{
	if (json_is_string(value))
		return words_add_format(
			words, "%s%s", prefix, json_string_value(value));
	if (json_is_integer(value))
		return words_add_format(words, "%s%lld", prefix,
			(long long)json_integer_value(value));
	if (json_is_real(value))
		return words_add_format(
			words, "%s%.17g", prefix, json_real_value(value));
	return words_add_format(
		words, "%s%s", prefix, json_is_true(value) ? "true" : "false");
}

static bool
is_scalar(const json_t *value)
{
	return value_is_text(value) || json_is_number(value) ||
	       json_is_boolean(value);
}

int
value_read_arguments(const struct values_context *context,
	const struct key *key, const json_t *value, void *field)
{
	struct words words = {0};
	const json_t *entry;
	size_t i;
	int error = 0;

	if (value_is_text(value))
		error = words_split(&words, json_string_value(value));
	else if (!json_is_array(value))
		error = -EINVAL;
	json_array_foreach((json_t *)value, i, entry)
	{
		if (error == 0)
			error = is_scalar(entry) ? add_scalar(&words, "", entry)
						 : -EINVAL;
	}
	if (error == 0 && words.count > VALUES_LIST_MAX)
		error = -EINVAL;
	if (error == 0) {
		*(char ***)field = words_take(&words);
		return *(char ***)field == NULL ? -ENOMEM : 0;
	}
	words_fini(&words);
	if (error != -EINVAL)
		return error;
	return values_bad(context, key, value,
		"write a list of at most %d strings, or one string as in a "
		"shell with its quotes closed",
		VALUES_LIST_MAX);
}

int
value_read_cron(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	struct cron cron;
	const char *fault = "write five fields, \"0 4 * * *\"";

	if (value_is_text(value))
		fault = cron_parse(json_string_value(value), &cron);
	if (fault != NULL)
		return values_bad(context, key, value, "%s", fault);
	return value_read_string(context, key, value, field);
}

int
value_read_variable(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	const char *text = value_is_text(value) ? json_string_value(value) : "";
	size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	if (size == 0 || text[size] != '\0')
		return values_bad(context, key, value,
			"write a variable's name: letters, digits and _");
	return value_read_string(context, key, value, field);
}

/* true is the beginning of every name. */
int
value_read_filter(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	json_t *list = json_is_true(value)    ? json_pack("[s]", "")
		       : json_is_false(value) ? json_array()
					      : json_incref((json_t *)value);
	int r = list == NULL ? -ENOMEM
			     : value_read_arguments(context, key, list, field);

	json_decref(list);
	return r;
}

/* true stands for the folder that the program runs in, false for nothing. */
int
value_read_watch(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	const char *text = value_is_text(value) ? json_string_value(value) : "";
	json_t *here;
	int r;

	if (json_is_false(value) || strcmp(text, "false") == 0)
		return 0;
	if (!json_is_true(value) && strcmp(text, "true") != 0)
		return value_read_arguments(context, key, value, field);
	here = json_pack("[s]", ".");
	r = here == NULL ? -ENOMEM
			 : value_read_arguments(context, key, here, field);
	json_decref(here);
	return r;
}

int
value_read_environment(const struct values_context *context,
	const struct key *key, const json_t *value, void *field)
{
	struct words words = {0};
	const char *name;
	json_t *entry;
	int error = 0;

	if (!json_is_object(value) || json_object_size(value) > VALUES_LIST_MAX)
		return values_bad(context, key, value,
			"write an object of at most %d variables",
			VALUES_LIST_MAX);
	json_object_foreach((json_t *)value, name, entry)
	{
		char *prefix;

		if (name[0] == '\0' || strchr(name, '=') != NULL ||
			!is_scalar(entry)) {
			words_fini(&words);
			return values_bad(context, key, entry,
				"variable \"%.100s\": a name has no =, a value "
				"is a string, a number or a boolean",
				name);
		}
		if (asprintf(&prefix, "%s=", name) < 0) {
			error = -ENOMEM;
			break;
		}
		error = add_scalar(&words, prefix, entry);
		free(prefix);
		if (error < 0)
			break;
	}
	if (error == 0) {
		*(char ***)field = words_take(&words);
		return *(char ***)field == NULL ? -ENOMEM : 0;
	}
	words_fini(&words);
	return error;
}

int
value_write_string(const void *field, json_t **ret_value)
{
	*ret_value = json_string_nocheck(*(char *const *)field);
	return *ret_value == NULL ? -ENOMEM : 0;
}

int
value_write_strings(const void *field, json_t **ret_value)
{
	json_t *list = json_array();

	for (char *const *text = *(char **const *)field;
		list != NULL && *text != NULL; text++)
		if (json_array_append_new(list, json_string_nocheck(*text)) !=
			0) {
			json_decref(list);
			return -ENOMEM;
		}
	*ret_value = list;
	return list == NULL ? -ENOMEM : 0;
}

int
value_write_environment(const void *field, json_t **ret_value)
{
	json_t *object = json_object();

	for (char *const *text = *(char **const *)field;
		object != NULL && *text != NULL; text++) {
		const char *equals = strchr(*text, '=');
		char *name = strndup(*text, (size_t)(equals - *text));
		int failed = name == NULL ||
			     json_object_set_new_nocheck(object, name,
				     json_string_nocheck(equals + 1)) != 0;

		free(name);
		if (failed) {
			json_decref(object);
			return -ENOMEM;
		}
	}
	*ret_value = object;
	return object == NULL ? -ENOMEM : 0;
}

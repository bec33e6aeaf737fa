/*
 * value_list: values that are lists of something of their own: exit codes,
 * groups, resource limits. Bounds keep what a file says from growing
 * the supervisor.
 */
#include "config/value_kinds.h"
#include "config/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* A list of codes or groups: an array, one value, or words of a string. */
static json_t *
as_array(const json_t *value)
{
	json_t *array = json_array();
	const char *text;

	if (json_is_array(value)) {
		json_array_extend(array, (json_t *)value);
		return array;
	}
	if (!value_is_text(value)) {
		json_array_append(array, (json_t *)value);
		return array;
	}
	text = json_string_value(value);
	while (*(text += strspn(text, ", ")) != '\0') {
		size_t size = strcspn(text, ", ");

		json_array_append_new(array, json_stringn(text, size));
		text += size;
	}
	return array;
}

static int
read_numbers(const struct values_context *context, const struct key *key,
	const json_t *value, struct number_list *list,
	int (*read)(const struct values_context *, const struct key *,
		const json_t *, int64_t *))
{
	json_t *array = as_array(value);
	struct number_list numbers = {.count = json_array_size(array)};
	int error = array == NULL ? -ENOMEM : 0;

	if (numbers.count > VALUES_NUMBERS_MAX)
		error = values_bad(context, key, NULL,
			"at most %d entries are allowed", VALUES_NUMBERS_MAX);
	if (error == 0) {
		/* One more, since an empty list isn't an unset one. */
		numbers.numbers = calloc(numbers.count + 1, sizeof(int64_t));
		error = numbers.numbers == NULL ? -ENOMEM : 0;
	}
	for (size_t i = 0; i < numbers.count && error == 0; i++)
		error = read(context, key, json_array_get(array, i),
			&numbers.numbers[i]);
	json_decref(array);
	if (error < 0)
		free(numbers.numbers);
	else
		*list = numbers;
	return error;
}

static int
read_code(const struct values_context *context, const struct key *key,
	const json_t *value, int64_t *ret_number)
{
	if (value_whole(value, ret_number) && *ret_number >= key->least &&
		*ret_number <= key->most)
		return 0;
	return values_bad(context, key, value,
		"write exit codes from %lld to %lld", (long long)key->least,
		(long long)key->most);
}

int
value_read_codes(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	return read_numbers(context, key, value, field, read_code);
}

int
value_read_groups(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	return read_numbers(context, key, value, field, value_group_number);
}

int
value_read_names(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	json_t *array = as_array(value);
	struct words words = {0};
	int error = array == NULL ? -ENOMEM : 0;

	if (json_array_size(array) > (size_t)key->most)
		error = values_bad(context, key, NULL,
			"at most %lld names are allowed", (long long)key->most);
	for (size_t i = 0; error == 0 && i < json_array_size(array); i++) {
		const json_t *name = json_array_get(array, i);
		const char *text =
			value_is_text(name) ? json_string_value(name) : "";
		const char *fault = values_check_name(text);

		error = fault != NULL
				? values_bad(context, key, name, "%s", fault)
				: words_add(&words, text, strlen(text));
	}
	json_decref(array);
	if (error < 0) {
		words_fini(&words);
		return error;
	}
	*(char ***)field = words_take(&words);
	return *(char ***)field == NULL ? -ENOMEM : 0;
}

int
value_write_numbers(const void *field, json_t **ret_value)
{
	const struct number_list *list = field;
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < list->count; i++)
		if (json_array_append_new(
			    array, json_integer(list->numbers[i])) != 0) {
			json_decref(array);
			return -ENOMEM;
		}
	*ret_value = array;
	return array == NULL ? -ENOMEM : 0;
}

static const struct {
	const char *name;
	int resource;
} limits[] = {
	{"as", RLIMIT_AS},
	{"core", RLIMIT_CORE},
	{"cpu", RLIMIT_CPU},
	{"data", RLIMIT_DATA},
	{"fsize", RLIMIT_FSIZE},
	{"memlock", RLIMIT_MEMLOCK},
	{"nofile", RLIMIT_NOFILE},
	{"nproc", RLIMIT_NPROC},
	{"stack", RLIMIT_STACK},
};

enum {
	LIMIT_COUNT = sizeof(limits) / sizeof(limits[0]),
};

static bool
read_limit(const json_t *value, uint64_t *ret_limit)
{
	int64_t number;

	if (value_is_text(value) &&
		strcmp(json_string_value(value), "unlimited") == 0) {
		*ret_limit = RLIM_INFINITY;
		return true;
	}
	if (!value_whole(value, &number) || number < 0)
		return false;
	*ret_limit = (uint64_t)number;
	return true;
}

/* N, "unlimited", "SOFT:HARD" or [SOFT, HARD]. */
static bool
read_limit_pair(const json_t *value, struct limit_config *limit)
{
	const char *colon = value_is_text(value)
				    ? strchr(json_string_value(value), ':')
				    : NULL;
	json_t *soft, *hard;
	bool is_right;

	if (json_is_array(value))
		return json_array_size(value) == 2 &&
		       read_limit(json_array_get(value, 0), &limit->soft) &&
		       read_limit(json_array_get(value, 1), &limit->hard) &&
		       limit->soft <= limit->hard;
	if (colon == NULL) {
		is_right = read_limit(value, &limit->soft);
		limit->hard = limit->soft;
		return is_right;
	}
	soft = json_stringn(json_string_value(value),
		(size_t)(colon - json_string_value(value)));
	hard = json_string(colon + 1);
	is_right = read_limit(soft, &limit->soft) &&
		   read_limit(hard, &limit->hard) && limit->soft <= limit->hard;
	json_decref(soft);
	json_decref(hard);
	return is_right;
}

int
value_read_limits(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	struct limit_list *list = field;
	const char *name;
	json_t *given;

	if (!json_is_object(value) || json_object_size(value) > LIMIT_COUNT)
		return values_bad(context, key, value,
			"write an object, {\"nofile\": 4096}");
	list->entries = calloc(LIMIT_COUNT, sizeof(*list->entries));
	if (list->entries == NULL)
		return -ENOMEM;
	json_object_foreach((json_t *)value, name, given)
	{
		struct limit_config *limit = &list->entries[list->count];
		size_t i = 0;

		while (i < LIMIT_COUNT && strcmp(limits[i].name, name) != 0)
			i++;
		if (i == LIMIT_COUNT)
			return values_bad(context, key, NULL,
				"\"%.60s\" is no limit: as, core, cpu, data, "
				"fsize, memlock, nofile, nproc and stack are",
				name);
		if (!read_limit_pair(given, limit))
			return values_bad(context, key, given,
				"%s is a number, \"unlimited\", or [soft, "
				"hard] with soft not above hard",
				name);
		limit->resource = limits[i].resource;
		list->count++;
	}
	return 0;
}

static json_t *
write_limit(uint64_t limit)
{
	return limit == RLIM_INFINITY ? json_string("unlimited")
				      : json_integer((json_int_t)limit);
}

int
value_write_limits(const void *field, json_t **ret_value)
{
	const struct limit_list *list = field;
	json_t *object = json_object();

	for (size_t i = 0; object != NULL && i < list->count; i++) {
		const struct limit_config *limit = &list->entries[i];
		size_t name = 0;

		while (limits[name].resource != limit->resource)
			name++;
		if (json_object_set_new(object, limits[name].name,
			    json_pack("[o,o]", write_limit(limit->soft),
				    write_limit(limit->hard))) != 0) {
			json_decref(object);
			return -ENOMEM;
		}
	}
	*ret_value = object;
	return object == NULL ? -ENOMEM : 0;
}

/*
 * value_number: values that are kept as one number, however people write them:
 * durations, sizes, signals, modes, users. Everything may also come as text,
 * since the command line knows nothing else.
 */
#include "config/users.h"
#include "config/value_kinds.h"

#include "base/sys.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool
value_is_text(const json_t *value)
{
	return json_is_string(value) &&
	       strlen(json_string_value(value)) == json_string_length(value);
}

/* Decimal digits, with a sign, up to `*ret_end`. */
static bool
read_digits(const char *text, int64_t *ret_number, const char **ret_end)
{
	const char *digits = text + (*text == '-' || *text == '+');
	char *end;

	if (!isdigit((unsigned char)*digits))
		return false;
	errno = 0;
	*ret_number = strtoll(text, &end, 10);
	*ret_end = end;
	return errno == 0;
}

bool
value_whole(const json_t *value, int64_t *ret_number)
{
	const char *end;

	if (json_is_integer(value)) {
		*ret_number = json_integer_value(value);
		return true;
	}
	return value_is_text(value) &&
	       read_digits(json_string_value(value), ret_number, &end) &&
	       *end == '\0';
}

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit time_units[] = {{"ms", 1}, {"s", 1000},
	{"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 86400 * 1000}, {NULL, 0}};

static const struct unit size_units[] = {{"b", 1}, {"k", 1 << 10},
	{"kb", 1 << 10}, {"kib", 1 << 10}, {"m", 1 << 20}, {"mb", 1 << 20},
	{"mib", 1 << 20}, {"g", 1 << 30}, {"gb", 1 << 30}, {"gib", 1 << 30},
	{NULL, 0}};

/* A number with a unit behind it. */
static bool
read_with_unit(
	const json_t *value, const struct unit *units, int64_t *ret_number)
{
	const char *end;

	if (value_whole(value, ret_number))
		return true;
	if (!value_is_text(value) ||
		!read_digits(json_string_value(value), ret_number, &end))
		return false;
	end += *end == ' ';
	for (; units->name != NULL; units++)
		if (strcasecmp(units->name, end) == 0)
			return !__builtin_mul_overflow(
				*ret_number, units->factor, ret_number);
	return false;
}

static bool
is_within(const struct key *key, int64_t number)
{
	return number >= key->least && number <= key->most;
}

int
value_read_int(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	int64_t number;

	if (!value_whole(value, &number) || !is_within(key, number))
		return values_bad(context, key, value,
			"write a whole number from %lld to %lld",
			(long long)key->least, (long long)key->most);
	*(int64_t *)field = number;
	return 0;
}

int
value_read_ms(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	int64_t number;

	if (!read_with_unit(value, time_units, &number) ||
		!is_within(key, number))
		return values_bad(context, key, value,
			"write milliseconds, or a number with s, m or h "
			"(\"10s\"), from %lld to %lld ms",
			(long long)key->least, (long long)key->most);
	*(int64_t *)field = number;
	return 0;
}

int
value_read_bytes(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	int64_t number;

	if (!read_with_unit(value, size_units, &number) ||
		!is_within(key, number))
		return values_bad(context, key, value,
			"write bytes, or a number with K, M or G (\"8M\"), "
			"from %lld to %lld bytes",
			(long long)key->least, (long long)key->most);
	*(int64_t *)field = number;
	return 0;
}

int
value_read_bool(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	const char *text = value_is_text(value) ? json_string_value(value) : "";

	if (json_is_true(value) || strcmp(text, "true") == 0)
		*(int64_t *)field = 1;
	else if (json_is_false(value) || strcmp(text, "false") == 0)
		*(int64_t *)field = 0;
	else
		return values_bad(context, key, value, "write true or false");
	return 0;
}

int
value_read_mode(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	const char *text = value_is_text(value) ? json_string_value(value) : "";
	size_t digits;
	int64_t mode;

	text += strncmp(text, "0o", 2) == 0 ? 2 : 0;
	digits = strspn(text, "01234567");
	mode = strtol(text, NULL, 8);
	if (digits == 0 || digits > 4 || text[digits] != '\0' ||
		!is_within(key, mode))
		return values_bad(context, key, value,
			"write octal digits as a string, \"0027\"");
	*(int64_t *)field = mode;
	return 0;
}

static int
signal_number(const char *name)
{
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int signal = 1; signal < 32; signal++) {
		const char *known = sigabbrev_np(signal);

		if (known != NULL && strcasecmp(known, name) == 0)
			return signal;
	}
	return 0;
}

int
value_read_signal(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	int64_t number = 0;

	if (!value_whole(value, &number) && value_is_text(value))
		number = signal_number(json_string_value(value));
	if (!is_within(key, number))
		return values_bad(context, key, value,
			"write a signal's name, \"SIGTERM\", or its number");
	*(int64_t *)field = number;
	return 0;
}

int
value_read_instances(const struct values_context *context,
	const struct key *key, const json_t *value, void *field)
{
	int64_t number = 0;
	bool is_max = value_is_text(value) &&
		      strcmp(json_string_value(value), "max") == 0;

	if (!is_max &&
		(!value_whole(value, &number) || !is_within(key, number)))
		return values_bad(context, key, value,
			"write a number up to %lld, \"max\" or 0 for one a "
			"processor, or -1 for one fewer",
			(long long)key->most);
	if (number <= 0)
		number += sys_processors();
	*(int64_t *)field = number < 1 ? 1 : number;
	return 0;
}

int
value_read_portion(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	struct portion portion = {0};
	const char *end = "";

	if (value_is_text(value) &&
		read_digits(json_string_value(value), &portion.number, &end) &&
		strcmp(end, "%") == 0 && portion.number >= 1 &&
		portion.number <= 100) {
		portion.is_percent = true;
	} else if (!value_whole(value, &portion.number) ||
		   !is_within(key, portion.number)) {
		return values_bad(context, key, value,
			"write a number from %lld to %lld, or \"1%%\" to "
			"\"100%%\"",
			(long long)key->least, (long long)key->most);
	}
	*(struct portion *)field = portion;
	return 0;
}

enum {
	ROTATE_KEEP_USUAL = 10,
	ROTATE_KEEP_MAX = 1000,
};

/* One member of the object. Returns false: it is wrong. */
static bool
read_rotate_member(const struct key *key, const char *name, const json_t *value,
	struct rotate_config *rotate)
{
	if (strcmp(name, "size") == 0)
		return read_with_unit(value, size_units, &rotate->size) &&
		       is_within(key, rotate->size);
	if (strcmp(name, "keep") == 0)
		return value_whole(value, &rotate->keep) && rotate->keep >= 0 &&
		       rotate->keep <= ROTATE_KEEP_MAX;
	if (strcmp(name, "compress") != 0 || !json_is_boolean(value))
		return false;
	rotate->compress = json_is_true(value);
	return true;
}

int
value_read_rotate(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	struct rotate_config rotate = {
		.keep = ROTATE_KEEP_USUAL, .compress = true};
	bool is_right = true;
	const char *name;
	json_t *member;

	if (!json_is_object(value))
		is_right = read_with_unit(value, size_units, &rotate.size) &&
			   is_within(key, rotate.size);
	json_object_foreach((json_t *)value, name, member) is_right =
		is_right && read_rotate_member(key, name, member, &rotate);
	if (!is_right || rotate.size == 0)
		return values_bad(context, key, value,
			"write a size from %lld bytes on (\"10M\"), or "
			"{\"size\": \"10M\", \"keep\": 10, \"compress\": "
			"true}, with keep from 0 to %d",
			(long long)key->least, ROTATE_KEEP_MAX);
	*(struct rotate_config *)field = rotate;
	return 0;
}

int
value_write_rotate(const void *field, json_t **ret_value)
{
	const struct rotate_config *rotate = field;

	*ret_value = json_pack("{s:I, s:I, s:b}", "size",
		(json_int_t)rotate->size, "keep", (json_int_t)rotate->keep,
		"compress", (int)rotate->compress);
	return *ret_value == NULL ? -ENOMEM : 0;
}

int
value_read_user(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	struct user_entry entry;
	int64_t number;
	int error;

	if (value_whole(value, &number) && is_within(key, number)) {
		*(int64_t *)field = number;
		return 0;
	}
	if (!value_is_text(value))
		return values_bad(
			context, key, value, "write a user's name or number");
	error = users_find(json_string_value(value), &entry);
	if (error == -ENOMEM)
		return error;
	if (error == -ENOENT) {
		values_bad(context, key, value,
			"there is no such user on this machine");
		return error;
	}
	if (error < 0)
		return values_bad(context, key, value,
			"the user can't be looked up: %s", strerror(-error));
	*(int64_t *)field = entry.uid;
	return 0;
}

int
value_group_number(const struct values_context *context, const struct key *key,
	const json_t *value, int64_t *ret_number)
{
	gid_t gid;
	int error;

	if (value_whole(value, ret_number) && is_within(key, *ret_number))
		return 0;
	if (!value_is_text(value))
		return values_bad(
			context, key, value, "write a group's name or number");
	error = users_find_group(json_string_value(value), &gid);
	if (error == -ENOMEM)
		return error;
	if (error == -ENOENT) {
		values_bad(context, key, value,
			"there is no such group on this machine");
		return error;
	}
	if (error < 0)
		return values_bad(context, key, value,
			"the group can't be looked up: %s", strerror(-error));
	*ret_number = gid;
	return 0;
}

int
value_read_group(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	return value_group_number(context, key, value, field);
}

int
value_write_int(const void *field, json_t **ret_value)
{
	*ret_value = json_integer(*(const int64_t *)field);
	return *ret_value == NULL ? -ENOMEM : 0;
}

int
value_write_bool(const void *field, json_t **ret_value)
{
	*ret_value = json_boolean(*(const int64_t *)field);
	return 0;
}

int
value_write_mode(const void *field, json_t **ret_value)
{
	*ret_value =
		json_sprintf("%04o", (unsigned)*(const int64_t *)field & 0777);
	return *ret_value == NULL ? -ENOMEM : 0;
}

int
value_write_signal(const void *field, json_t **ret_value)
{
	int number = (int)*(const int64_t *)field;
	const char *name = number < 32 ? sigabbrev_np(number) : NULL;

	*ret_value = name != NULL ? json_sprintf("SIG%s", name)
				  : json_integer(number);
	return *ret_value == NULL ? -ENOMEM : 0;
}

int
value_write_portion(const void *field, json_t **ret_value)
{
	const struct portion *portion = field;

	*ret_value = portion->is_percent ? json_sprintf("%lld%%",
						   (long long)portion->number)
					 : json_integer(portion->number);
	return *ret_value == NULL ? -ENOMEM : 0;
}

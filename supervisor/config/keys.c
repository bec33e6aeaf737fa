/*
 * keys: the table that keys.def spells out, and the ways to find an entry. It
 * leaves values to values.c and what the keys mean together to config.c; it is
 * apart since the command line, files and help all ask the same questions.
 */
#include "config/keys.h"

#include "config/config.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static const struct key keys[] = {
#define KEY(name_, type_, fallback_, least_, most_, change_, letter_, value_,  \
	help_)                                                                 \
	{                                                                      \
		.name = #name_,                                                \
		.type = KEY_TYPE_##type_,                                      \
		.offset = offsetof(struct app_config, name_),                  \
		.fallback = (fallback_),                                       \
		.least = (least_),                                             \
		.most = (most_),                                               \
		.change = KEY_CHANGE_##change_,                                \
		.letter = (letter_),                                           \
		.value = (value_),                                             \
		.help = (help_),                                               \
	},
#include "config/keys.def"
};

static const struct {
	const char *alias, *name;
} aliases[] = {
#define KEY_ALIAS(alias_, name_) {#alias_, #name_},
#include "config/keys.def"
};

enum {
	KEY_COUNT = sizeof(keys) / sizeof(keys[0]),
	ALIAS_COUNT = sizeof(aliases) / sizeof(aliases[0]),
};
_Static_assert((int)KEY_COUNT <= (int)KEY_COUNT_MAX, "readers count on it");

const struct key *
keys_all(size_t *ret_count)
{
	*ret_count = KEY_COUNT;
	return keys;
}

/* killTimeout and kill-timeout to kill_timeout. False: too long for a key. */
static bool
to_snake(const char *name, size_t size, char ret_snake[KEY_NAME_MAX + 1])
{
	size_t used = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)name[i];

		if (used + 2 > KEY_NAME_MAX || c == '\0')
			return false;
		if (isupper(c) && i > 0)
			ret_snake[used++] = '_';
		ret_snake[used++] = c == '-' ? '_' : (char)tolower(c);
	}
	ret_snake[used] = '\0';
	return true;
}

static const struct key *
find_snake(const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

const struct key *
keys_find(const char *name, size_t size)
{
	char snake[KEY_NAME_MAX + 1];

	if (!to_snake(name, size, snake))
		return NULL;
	for (size_t i = 0; i < ALIAS_COUNT; i++)
		if (strcmp(aliases[i].alias, snake) == 0)
			return find_snake(aliases[i].name);
	return find_snake(snake);
}

struct other {
	const char *name;
	const char *why;
};

static const char *
find_other(const struct other *others, size_t count, const char *name)
{
	char snake[KEY_NAME_MAX + 1];

	if (!to_snake(name, strlen(name), snake))
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (strcmp(others[i].name, snake) == 0)
			return others[i].why;
	return NULL;
}

const char *
keys_passed_over(const char *name)
{
	static const struct other others[] = {
#define KEY_OTHER(name, why) {#name, why},
#include "config/keys.def"
	};

	return find_other(others, sizeof(others) / sizeof(others[0]), name);
}

const char *
keys_refused(const char *name)
{
	static const struct other others[] = {
#define KEY_REFUSED(name, why) {#name, why},
#include "config/keys.def"
	};

	return find_other(others, sizeof(others) / sizeof(others[0]), name);
}

const struct key *
keys_find_letter(char letter)
{
	if (letter == '\0')
		return NULL;
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (keys[i].letter == letter)
			return &keys[i];
	return NULL;
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
keys_distance(const char *a, const char *b)
{
	/* Three rows of the usual table: the row of a[i], and the two above. */
	unsigned rows[3][KEY_NAME_MAX + 1];
	unsigned *above = rows[0], *row = rows[1], *spare = rows[2];
	size_t a_size = strnlen(a, KEY_NAME_MAX);
	size_t b_size = strnlen(b, KEY_NAME_MAX);

	for (size_t j = 0; j <= b_size; j++)
		row[j] = (unsigned)j;
	memset(above, 0, sizeof(rows[0]));
	for (size_t i = 1; i <= a_size; i++) {
		unsigned *oldest = above;

		above = row;
		row = spare;
		spare = oldest;
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_size; j++) {
			unsigned cost = a[i - 1] != b[j - 1];

			row[j] = least(above[j - 1] + cost,
				least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
				a[i - 2] == b[j - 1])
				row[j] = least(row[j], spare[j - 2] + 1);
		}
	}
	return row[b_size];
}

const char *
keys_nearest(const char *name)
{
	char snake[KEY_NAME_MAX + 1] = "";
	const char *nearest = NULL;
	unsigned best;

	if (!to_snake(name, strlen(name), snake))
		return NULL;
	best = (unsigned)strlen(snake) / 3;
	best = (best < 1 ? 1 : best) + 1; /* one over what is still near */
	for (size_t i = 0; i < KEY_COUNT + ALIAS_COUNT; i++) {
		const char *known = i < KEY_COUNT
					    ? keys[i].name
					    : aliases[i - KEY_COUNT].alias;
		unsigned distance = keys_distance(snake, known);

		if (distance < best) {
			best = distance;
			nearest = known;
		}
	}
	return nearest;
}

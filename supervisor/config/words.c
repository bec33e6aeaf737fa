/*
 * words: argument lists and environments while they are put together. It
 * leaves their meaning to config.c and bounds on their number to values.c.
 */
#include "config/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes `text` over, NULL included. */
static int
add_owned(struct words *words, char *text)
{
	if (text == NULL)
		return -ENOMEM;
	if (words->count + 1 >= words->room) {
		size_t room = words->room * 2 + 8;
		char **list = realloc(words->list, room * sizeof(*words->list));

		if (list == NULL) {
			free(text);
			return -ENOMEM;
		}
		words->list = list;
		words->room = room;
	}
	words->list[words->count++] = text;
	words->list[words->count] = NULL;
	return 0;
}

int
words_add(struct words *words, const char *text, size_t size)
{
	return add_owned(words, strndup(text, size));
}

int
words_add_all(struct words *words, char *const *list)
{
	int error = 0;

	for (; *list != NULL && error == 0; list++)
		error = add_owned(words, strdup(*list));
	return error;
}

int
words_add_format(struct words *words, const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	return add_owned(words, text);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/*
 * Takes the next word from `*text` into `word`, which has room for all of it.
 * Returns its length, or -EINVAL.
 */
static long
next_word(const char **text, char *word)
{
	const char *at = *text;
	long size = 0;
	char quote = '\0';

	for (; *at != '\0' && (quote != '\0' || !is_blank(*at)); at++) {
		if (quote == '\0' && (*at == '\'' || *at == '"')) {
			quote = *at;
			continue;
		}
		if (quote != '\0' && *at == quote) {
			quote = '\0';
			continue;
		}
		/* In double quotes a backslash counts before few signs only. */
		if (*at == '\\' && quote != '\'' &&
			(quote == '\0' ||
				(at[1] != '\0' &&
					strchr("\"\\$`", at[1]) != NULL)))
			at++;
		if (*at == '\0')
			return -EINVAL;
		word[size++] = *at;
	}
	*text = at;
	return quote == '\0' ? size : -EINVAL;
}

int
words_split(struct words *words, const char *text)
{
	char *word = malloc(strlen(text) + 1);
	int error = word == NULL ? -ENOMEM : 0;

	while (error == 0) {
		long size;

		while (is_blank(*text))
			text++;
		if (*text == '\0')
			break;
		size = next_word(&text, word);
		error = size < 0 ? (int)size
				 : words_add(words, word, (size_t)size);
	}
	free(word);
	return error;
}

char **
words_take(struct words *words)
{
	char **list = words->list;

	if (list == NULL)
		list = calloc(1, sizeof(*list));
	*words = (struct words){0};
	return list;
}

void
words_fini(struct words *words)
{
	words_free(&words->list);
	*words = (struct words){0};
}

void
words_free(char ***list)
{
	if (*list == NULL)
		return;
	for (char **text = *list; *text != NULL; text++)
		free(*text);
	free(*list);
	*list = NULL;
}

/*
 * words.h: lists of strings as argv and environ are: owned pointers, NULL at
 * the end. A list that grows is a struct; finished, it is a char **.
 */
#ifndef MUSTER_WORDS_H
#define MUSTER_WORDS_H

#include <stddef.h>

struct words {
	char **list; /* NULL while empty */
	size_t count, room;
};

/* Adds a copy of `size` bytes of `text`. Returns 0 or -ENOMEM. */
int words_add(struct words *words, const char *text, size_t size);

/* Adds a copy of each of `list`. Returns 0 or -ENOMEM. */
int words_add_all(struct words *words, char *const *list);

/*
 * Adds what a formatted text says.
 * Returns 0 or -ENOMEM.
 */
int words_add_format(struct words *words, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Splits `text` as a shell does (blanks, quotes, backslashes; nothing is
 * expanded) and adds the words.
 * Returns 0; -EINVAL: a quote or a backslash isn't closed; -ENOMEM.
 */
int words_split(struct words *words, const char *text);

/* Gives the list away, never NULL, and empties the struct; NULL: no memory,
 * and the struct is emptied as well. */
char **words_take(struct words *words);

/* Frees everything; the struct is empty then. */
void words_fini(struct words *words);

/* Frees a finished list and clears the pointer; accepts NULL. */
void words_free(char ***list);

#endif

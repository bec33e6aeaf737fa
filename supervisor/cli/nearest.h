/*
 * nearest.h: which known word somebody meant who mistyped one.
 */
#ifndef MUSTER_NEAREST_H
#define MUSTER_NEAREST_H

#include <stddef.h>

/*
 * Of `known` words (borrowed, `count` of them, NULL entries are skipped) the
 * one that takes the fewest edits (insert, delete, replace, swap neighbours)
 * from `word`. Returns it, or NULL where none is near: more edits than a third
 * of the word, and more than one. Words over 63 bytes are near to nothing.
 */
const char *nearest_word(
	const char *word, const char *const *known, size_t count);

#endif

/*
 * nearest: the hint behind an unknown verb or option.
 *
 * Counts edits by the usual table with three rows (the third is needed to see
 * two neighbours swapped). Who calls decides what to say; this only measures.
 */
#include "nearest.h"

#include <string.h>

enum {
	WORD_MAX = 63,
};

static size_t
min_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits from `a` to `b`, both of at most WORD_MAX bytes. */
static size_t
edits(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0];
	size_t *above = rows[1];
	size_t *row = rows[2];
	size_t length = strlen(b);

	for (size_t j = 0; j <= length; j++)
		above[j] = before[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		row[0] = i + 1;
		for (size_t j = 0; j < length; j++) {
			size_t best = above[j] + (a[i] != b[j]);
			best = min_of(best, above[j + 1] + 1);
			best = min_of(best, row[j] + 1);
			if (i > 0 && j > 0 && a[i] == b[j - 1] &&
				a[i - 1] == b[j])
				best = min_of(best, before[j - 1] + 1);
			row[j + 1] = best;
		}
		size_t *spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[length];
}

const char *
nearest_word(const char *word, const char *const *known, size_t count)
{
	const char *best = NULL;
	size_t length = strlen(word);
	size_t least = length / 3 > 1 ? length / 3 : 1;

	if (length > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (known[i] == NULL || strlen(known[i]) > WORD_MAX)
			continue;
		size_t distance = edits(word, known[i]);
		if (distance > least || (best != NULL && distance == least))
			continue;
		best = known[i];
		least = distance;
	}
	return best;
}

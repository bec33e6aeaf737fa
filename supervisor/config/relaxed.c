/*
 * One walk over the text. It knows strings, comments and commas, and no more:
 * whether the rest is JSON the parser says.
 */
#include "config/relaxed.h"

#include <stdbool.h>
#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Behind the string that begins at `at`. */
static size_t
skip_string(const char *text, size_t size, size_t at)
{
	for (at++; at < size && text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at < size ? at + 1 : size;
}

/* Blanks [from, to) out, but for ends of lines. Returns `to`. */
static size_t
blank(char *text, size_t from, size_t to)
{
	for (; from < to; from++)
		if (text[from] != '\n' && text[from] != '\r')
			text[from] = ' ';
	return to;
}

static size_t
skip_comment(char *text, size_t size, size_t at)
{
	size_t end = at + 2;

	if (text[at + 1] == '/') {
		while (end < size && text[end] != '\n')
			end++;
		return blank(text, at, end);
	}
	while (end + 1 < size && (text[end] != '*' || text[end + 1] != '/'))
		end++;
	return blank(text, at, end + 1 < size ? end + 2 : size);
}

void
relaxed_strip(char *text, size_t size)
{
	size_t comma = size; /* with only blanks behind it so far */

	for (size_t at = 0; at < size;) {
		char c = text[at];

		if (c == '/' && at + 1 < size &&
			(text[at + 1] == '/' || text[at + 1] == '*')) {
			at = skip_comment(text, size, at);
			continue;
		}
		if ((c == '}' || c == ']') && comma < size)
			text[comma] = ' ';
		if (!is_blank(c))
			comma = c == ',' ? at : size;
		at = c == '"' ? skip_string(text, size, at) : at + 1;
	}
}

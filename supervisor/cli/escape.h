/*
 * escape.h: makes text that came from a worker safe to print.
 *
 * Left as they are: printable characters in well-formed UTF-8. Everything that
 * could drive a terminal or turn the reading direction becomes visible: \n, \t
 * and the like, \xNN for other bytes, \u{NNNN} for characters.
 */
#ifndef MUSTER_ESCAPE_H
#define MUSTER_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes `size` bytes of `text`, escaped, to `out`; errors stay in `out`. */
void escape_print(FILE *out, const char *text, size_t size);

/* The same as new text, which the caller frees; NULL without memory. */
char *escape_text(const char *text, size_t size);

/* Whether the text is one JSON value. */
bool escape_is_json(const char *text, size_t size);

/*
 * Writes JSON, which was checked, in one line: numbers and texts as they came,
 * but what could drive a terminal as \uNNNN, and line ends as blanks.
 */
void escape_json(FILE *out, const char *text, size_t size);

/* Both, and the end of the line. Returns false: it is no JSON, and nothing was
 * written. */
bool escape_json_line(FILE *out, const char *text, size_t size);

#endif

/*
 * escape.h: makes text that came from a worker safe to print.
 *
 * Left as they are: printable characters in well-formed UTF-8. Everything that
 * could drive a terminal or turn the reading direction becomes visible: \n, \t
 * and the like, \xNN for other bytes, \u{NNNN} for characters.
 */
#ifndef MUSTER_ESCAPE_H
#define MUSTER_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/* Writes `size` bytes of `text`, escaped, to `out`; errors stay in `out`. */
void escape_print(FILE *out, const char *text, size_t size);

/* The same as new text, which the caller frees; NULL without memory. */
char *escape_text(const char *text, size_t size);

#endif

/*
 * relaxed.h: JSON with what people write into it: comments (// and slash-star)
 * and commas behind the last member.
 */
#ifndef MUSTER_CONFIG_RELAXED_H
#define MUSTER_CONFIG_RELAXED_H

#include <stddef.h>

/*
 * Puts blanks in place of both, in `text` of `size` bytes, so that what is left
 * is JSON and each of its bytes stands where it stood: errors are told at their
 * line and column. What is in a string stays. An open comment goes to the end.
 */
void relaxed_strip(char *text, size_t size);

#endif

/*
 * topic.c: the grammar of topics and patterns.
 */
#include "topic.h"

#include "protocol.h"

#include <string.h>

size_t
topic_token(const char *text, size_t size)
{
	const char *dot = memchr(text, '.', size);

	return dot == NULL ? size : (size_t)(dot - text);
}

/* Not by ctype: a locale must not change the protocol. */
static bool
topic_is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool
topic_is_word(const char *token, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!topic_is_letter(token[i]))
			return false;
	return size > 0;
}

static bool
topic_is_wild(const char *token, size_t size, bool is_last)
{
	return size == 1 && (*token == '*' || (*token == '>' && is_last));
}

static bool
topic_check(const char *text, size_t size, bool may_be_wild)
{
	if (size == 0 || size > MUSTER_NAME_MAX)
		return false;
	for (size_t at = 0;;) {
		size_t token = topic_token(text + at, size - at);
		bool is_last = at + token == size;

		if (!topic_is_word(text + at, token) &&
			!(may_be_wild &&
				topic_is_wild(text + at, token, is_last)))
			return false;
		if (is_last)
			return true;
		at += token + 1;
	}
}

bool
topic_is_name(const char *text, size_t size)
{
	return topic_check(text, size, false);
}

bool
topic_is_pattern(const char *text, size_t size)
{
	return topic_check(text, size, true);
}

/*
 * Formatting of one line: prefix, escapes, JSON.
 *
 * Written by hand and not with a JSON library, since a worker's line is any
 * bytes: what isn't UTF-8 must be replaced and not refused, and a line must
 * cost no allocation. Which lines there are and where they go is
 * mechanism/output's business.
 */
#include "mechanism/line.h"

#include <stdio.h>
#include <string.h>

/* Bytes of the whole UTF-8 character at `text`, or 0 when there is none. */
static size_t
character_size(const unsigned char *text, size_t size)
{
	static const unsigned char seconds[][4] = {
		/* first, last, lowest and highest second byte */
		{0xc2, 0xdf, 0x80, 0xbf},
		{0xe0, 0xe0, 0xa0, 0xbf},
		{0xe1, 0xec, 0x80, 0xbf},
		{0xed, 0xed, 0x80, 0x9f},
		{0xee, 0xef, 0x80, 0xbf},
		{0xf0, 0xf0, 0x90, 0xbf},
		{0xf1, 0xf3, 0x80, 0xbf},
		{0xf4, 0xf4, 0x80, 0x8f},
	};
	unsigned char first = text[0];
	size_t bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first < 0x80)
		return 1;
	if (size < bytes)
		return 0;
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		if (first < seconds[i][0] || first > seconds[i][1])
			continue;
		if (text[1] < seconds[i][2] || text[1] > seconds[i][3])
			return 0;
		for (size_t k = 2; k < bytes; k++)
			if ((text[k] & 0xc0) != 0x80)
				return 0;
		return bytes;
	}
	return 0;
}

static char *
put_hex(char *at, const char *before, unsigned int value, int digits)
{
	static const char hex[] = "0123456789abcdef";

	while (*before)
		*at++ = *before++;
	for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
		*at++ = hex[value >> shift & 15];
	return at;
}

static char *
put_bytes(char *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

/* What a terminal may be sent: everything but what it would obey. */
static char *
put_escaped(char *at, const char *text, size_t size)
{
	const unsigned char *from = (const unsigned char *)text;

	while (size) {
		size_t bytes = character_size(from, size);
		bool is_c1 = bytes == 2 && from[0] == 0xc2 && from[1] < 0xa0;

		if (!bytes)
			bytes = 1;
		if ((bytes == 1 && *from < 0x20 && *from != '\t') ||
			*from == 0x7f ||
			(bytes == 1 && *from >= 0x80 && *from < 0xa0))
			at = put_hex(at, "\\x", *from, 2);
		else if (is_c1)
			at = put_hex(at, "\\x", from[1], 2);
		else
			at = put_bytes(at, from, bytes);
		from += bytes;
		size -= bytes;
	}
	return at;
}

static char *
put_json(char *at, const char *text, size_t size)
{
	const unsigned char *from = (const unsigned char *)text;

	*at++ = '"';
	while (size) {
		size_t bytes = character_size(from, size);

		if (!bytes) {
			at = put_bytes(at, "\xef\xbf\xbd", 3);
			bytes = 1;
		} else if (*from == '"' || *from == '\\') {
			*at++ = '\\';
			*at++ = (char)*from;
		} else if (*from == '\t') {
			at = put_bytes(at, "\\t", 2);
		} else if (*from < 0x20 || *from == 0x7f) {
			at = put_hex(at, "\\u", *from, 4);
		} else {
			at = put_bytes(at, from, bytes);
		}
		from += bytes;
		size -= bytes;
	}
	*at++ = '"';
	return at;
}

static char *
put_prefix(char *at, const struct line_origin *origin, char mark)
{
	at = put_escaped(at, origin->app, strnlen(origin->app, LINE_APP_MAX));
	return at + sprintf(at, ".%u %c ", origin->instance, mark);
}

static char *
put_object(char *at, const struct line_origin *origin,
	const struct line_piece *piece)
{
	static const char *const streams[] = {
		[LINE_STDOUT] = "stdout",
		[LINE_STDERR] = "stderr",
		[LINE_MESSAGE] = "message",
	};

	at = put_bytes(at, "{", 1);
	if (piece->stamp != NULL) {
		at = put_bytes(at, "\"time\":", 7);
		at = put_json(at, piece->stamp, strlen(piece->stamp));
		at = put_bytes(at, ",", 1);
	}
	at = put_bytes(at, "\"app\":", 6);
	at = put_json(at, origin->app, strnlen(origin->app, LINE_APP_MAX));
	at += sprintf(at, ",\"instance\":%u,\"pid\":%d,\"stream\":\"%s\",%s",
		origin->instance, origin->pid, streams[origin->stream],
		piece->continued ? "\"continued\":true," : "");
	at = put_bytes(at, "\"line\":", 7);
	at = put_json(at, piece->text, piece->size);
	*at++ = '}';
	return at;
}

size_t
line_format(enum line_style style, const struct line_origin *origin,
	const struct line_piece *piece, char *ret_bytes)
{
	char *at = ret_bytes;
	char mark = piece->continued		     ? '+'
		    : origin->stream == LINE_MESSAGE ? '>'
						     : '|';

	if (style == LINE_JSON) {
		at = put_object(at, origin, piece);
		*at++ = '\n';
	} else if (style == LINE_TIMED) {
		at = put_bytes(at, piece->stamp, strlen(piece->stamp));
		at = put_bytes(at, piece->continued ? "+ " : ": ", 2);
		at = put_bytes(at, piece->text, piece->size);
		*at++ = '\n';
	} else if (style == LINE_PREFIXED || origin->stream == LINE_MESSAGE) {
		at = put_prefix(at, origin, mark);
		at = put_escaped(at, piece->text, piece->size);
		*at++ = '\n';
	} else {
		at = put_bytes(at, piece->text, piece->size);
		if (piece->ended)
			*at++ = '\n';
	}
	return (size_t)(at - ret_bytes);
}

size_t
line_cut(const char *text, size_t size, size_t most)
{
	size_t cut = most;

	if (size <= most)
		return size;
	/* Back to the start of the character that would be torn. */
	while (most - cut < 3 && cut > 1 &&
		((unsigned char)text[cut] & 0xc0) == 0x80)
		cut--;
	if (((unsigned char)text[cut] & 0xc0) == 0x80)
		return most;
	return cut;
}

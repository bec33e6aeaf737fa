/*
 * escape: text from a worker becomes text that a terminal only shows.
 *
 * A worker chooses its name's bytes, its messages and its errors; printed raw
 * they could move the cursor, rename the window or hide what follows. Layout
 * and colours are render's; this knows bytes only.
 */
#include "escape.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * The character that starts at `text`: its bytes in `*ret_length`. Returns
 * UINT32_MAX for a byte that is no well-formed UTF-8 (length 1).
 */
static uint32_t
take_character(const unsigned char *text, size_t size, size_t *ret_length)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t value = text[0];
	size_t length = 1;

	*ret_length = 1;
	if (value < 0x80)
		return value;
	if ((value & 0xe0) == 0xc0) {
		length = 2;
		value &= 0x1f;
	} else if ((value & 0xf0) == 0xe0) {
		length = 3;
		value &= 0x0f;
	} else if ((value & 0xf8) == 0xf0) {
		length = 4;
		value &= 0x07;
	} else {
		return UINT32_MAX;
	}
	if (length > size)
		return UINT32_MAX;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return UINT32_MAX;
		value = value << 6 | (text[i] & 0x3f);
	}
	if (value < least[length] || value > 0x10ffff ||
		(value >= 0xd800 && value <= 0xdfff))
		return UINT32_MAX;
	*ret_length = length;
	return value;
}

/* Characters that are not shown but do something. */
static int
is_hidden(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character <= 0x9f) ||
	       character == 0xad || character == 0x61c ||
	       (character >= 0x200b && character <= 0x200f) ||
	       (character >= 0x2028 && character <= 0x202e) ||
	       (character >= 0x2060 && character <= 0x206f) ||
	       character == 0xfeff ||
	       (character >= 0xfff0 && character <= 0xfffb) ||
	       (character >= 0xe0000 && character <= 0xe0fff);
}

static void
print_hidden(FILE *out, uint32_t character)
{
	switch (character) {
	case '\n':
		fputs("\\n", out);
		break;
	case '\r':
		fputs("\\r", out);
		break;
	case '\t':
		fputs("\\t", out);
		break;
	default:
		fprintf(out, character < 0x80 ? "\\x%02x" : "\\u{%04x}",
			(unsigned int)character);
	}
}

void
escape_print(FILE *out, const char *text, size_t size)
{
	const unsigned char *at = (const unsigned char *)text;

	while (size > 0) {
		size_t length;
		uint32_t character = take_character(at, size, &length);
		if (character == UINT32_MAX)
			fprintf(out, "\\x%02x", at[0]);
		else if (is_hidden(character))
			print_hidden(out, character);
		else
			fwrite(at, 1, length, out);
		at += length;
		size -= length;
	}
}

bool
escape_is_json(const char *text, size_t size)
{
	json_t *value = json_loadb(text, size,
		JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
		NULL);

	json_decref(value);
	return value != NULL;
}

/* Below a blank there are only blanks between tokens; all else that is hidden
 * stands in a text. */
static void
print_json_hidden(FILE *out, uint32_t character)
{
	if (character < 0x20)
		fputc(' ', out);
	else if (character < 0x10000)
		fprintf(out, "\\u%04x", (unsigned int)character);
	else
		fprintf(out, "\\u%04x\\u%04x",
			0xd800 + (unsigned int)((character - 0x10000) >> 10),
			0xdc00 + (unsigned int)(character & 0x3ff));
}

void
escape_json(FILE *out, const char *text, size_t size)
{
	const unsigned char *at = (const unsigned char *)text;

	while (size > 0) {
		size_t length;
		uint32_t character = take_character(at, size, &length);
		if (is_hidden(character))
			print_json_hidden(out, character);
		else
			fwrite(at, 1, length, out);
		at += length;
		size -= length;
	}
}

bool
escape_json_line(FILE *out, const char *text, size_t size)
{
	if (!escape_is_json(text, size))
		return false;
	escape_json(out, text, size);
	fputc('\n', out);
	return true;
}

char *
escape_text(const char *text, size_t size)
{
	char *escaped = NULL;
	size_t escaped_size;
	FILE *out = open_memstream(&escaped, &escaped_size);

	if (out == NULL)
		return NULL;
	escape_print(out, text, size);
	if (fclose(out) == 0)
		return escaped;
	free(escaped);
	return NULL;
}

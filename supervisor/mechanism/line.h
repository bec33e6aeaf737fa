/*
 * line.h: how one line of a worker's output looks when it is printed.
 *
 * Bytes in, bytes out: no descriptor, no memory of its own. Styles:
 *
 * prefixed  "api.0 | text": what could drive a terminal is written as \x1b:
 *           control characters but tab, DEL, C1 controls, and bytes 0x80 to
 *           0x9f that belong to no UTF-8 character. A piece that continues a
 *           line that was too long starts with "api.0 + " instead.
 * raw       the bytes as they came
 * timed     "TIME: text", the bytes as they came; a piece that continues a line
 *           stands on one of its own, "TIME+ text"
 * JSON      {"app":"api","instance":0,"pid":71,"stream":"stdout","line":"…"},
 *           with "time" before all where it is told,
 *           with "continued":true in a piece that continues a line; bytes that
 *           are no UTF-8 become U+FFFD
 */
#ifndef MUSTER_LINE_H
#define MUSTER_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LINE_PIECE_MAX = 16384, /* bytes of a line that stay together */
	LINE_APP_MAX = 255,	/* bytes of a name that are shown */
	LINE_STAMP_MAX = 128,	/* bytes of a time, with its NUL */
	/* What one formatted piece takes at most. */
	LINE_FORMATTED_MAX =
		6 * (LINE_PIECE_MAX + LINE_APP_MAX + LINE_STAMP_MAX) + 256,
};

enum line_style {
	LINE_PREFIXED,
	LINE_RAW,
	LINE_JSON,
	LINE_TIMED,
};

enum line_stream {
	LINE_STDOUT,
	LINE_STDERR,
	LINE_MESSAGE, /* a word to the master: "api.0 > BODY" in both of the
			 styles that aren't JSON */
};

struct line_origin {
	const char *app; /* borrowed */
	uint32_t instance;
	int32_t pid;
	enum line_stream stream;
};

/* One piece of a line. */
struct line_piece {
	const char *text;  /* without its newline */
	size_t size;	   /* at most LINE_PIECE_MAX */
	bool continued;	   /* it continues the piece before it */
	bool ended;	   /* a newline followed */
	const char *stamp; /* when, in words; NULL: it isn't told */
};

/*
 * Writes the piece to `ret_bytes`, which has room for LINE_FORMATTED_MAX.
 * Returns how many bytes that took.
 */
size_t line_format(enum line_style style, const struct line_origin *origin,
	const struct line_piece *piece, char *ret_bytes);

/*
 * Where to cut `text`, so that at most `most` bytes stand before the cut and no
 * UTF-8 character is torn where that can be helped.
 */
size_t line_cut(const char *text, size_t size, size_t most);

#endif

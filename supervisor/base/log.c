/*
 * log.c: one line, one write(), never waiting. The text is cut at a bound
 * instead of growing, so that keeper and brain can log without heap and in the
 * worst moment. Where lines go besides stderr (the daemon's file) is decided
 * by who starts the process.
 */
#include "base/log.h"
#include "base/sys.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	/* A pipe that polls as writable takes this much without blocking. */
	LINE_MAX_BYTES = 4096,
	TEXT_MAX_BYTES = 1000, /* each byte may become "\xNN" */
};

static struct {
	const char *name;
	enum log_level level;
	unsigned long dropped;
} state = {.name = "muster", .level = LOG_INFO};

void
log_open(const char *name, enum log_level level)
{
	state.name = name;
	state.level = level;
}

/*
 * How many bytes of the character at `text` may pass as they are; 0: escape
 * one byte. Controls of both sets (0–1f, 7f, 80–9f) and bytes that are not
 * UTF-8 never pass: terminals obey some of them.
 */
static int
printable(const unsigned char *text)
{
	int more;

	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] != 0x7f;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	if (text[0] == 0xc2 && text[1] < 0xa0)
		return 0;
	more = text[0] < 0xe0 ? 1 : text[0] < 0xf0 ? 2 : 3;
	for (int i = 1; i <= more; i++)
		if ((text[i] & 0xc0) != 0x80) /* stops at the NUL, too */
			return 0;
	return more + 1;
}

static size_t
escape(char *ret_line, size_t used, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *at = (const unsigned char *)text;

	while (*at && used < LINE_MAX_BYTES - 8) {
		int plain = printable(at);

		for (int i = 0; i < plain; i++)
			ret_line[used++] = (char)*at++;
		if (plain)
			continue;
		ret_line[used++] = '\\';
		ret_line[used++] = 'x';
		ret_line[used++] = digits[*at >> 4];
		ret_line[used++] = digits[*at++ & 15];
	}
	return used;
}

/* Writes a whole line to stderr where that is possible at once. */
static int
put_line(const char *text)
{
	char line[LINE_MAX_BYTES];
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
	int head = snprintf(line, 64, "%s: ", state.name);
	size_t size = escape(line, head > 63 ? 63 : (size_t)head, text);

	line[size++] = '\n';
	/* O_NONBLOCK would change the descriptor for those who share it. */
	if (sys_poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
		return -1;
	return sys_write(STDERR_FILENO, line, size) < 0 ? -1 : 0;
}

static void
put(enum log_level level, const char *format, va_list arguments)
{
	char text[TEXT_MAX_BYTES];

	if (level < state.level)
		return;
	if (state.dropped) {
		snprintf(text, sizeof(text), "%lu lines before this were lost",
			state.dropped);
		if (put_line(text) == 0)
			state.dropped = 0;
	}
	vsnprintf(text, sizeof(text), format, arguments);
	if (put_line(text) != 0)
		state.dropped++;
}

#define PUT(level)                                                             \
	do {                                                                   \
		va_list arguments;                                             \
		va_start(arguments, format);                                   \
		put((level), format, arguments);                               \
		va_end(arguments);                                             \
	} while (0)

void
log_debug(const char *format, ...)
{
	PUT(LOG_DEBUG);
}

void
log_info(const char *format, ...)
{
	PUT(LOG_INFO);
}

void
log_warn(const char *format, ...)
{
	PUT(LOG_WARN);
}

void
log_error(const char *format, ...)
{
	PUT(LOG_ERROR);
}

void
log_bug(const char *format, ...)
{
	PUT(LOG_ERROR);
#ifndef NDEBUG
	abort();
#endif
}

/*
 * stamp: one token after the other, the longest that fits.
 */
#include "stamp.h"

#include <stdio.h>
#include <string.h>

struct moment {
	struct tm local;
	long long seconds;
	int millis;
};

static int
put_zone(const struct moment *at, const char *between, char *text, size_t room)
{
	long offset = at->local.tm_gmtoff / 60;
	long minutes = offset < 0 ? -offset : offset;

	return snprintf(text, room, "%c%02ld%s%02ld", offset < 0 ? '-' : '+',
		minutes / 60, between, minutes % 60);
}

enum token {
	TOKEN_YEAR,
	TOKEN_YEAR_SHORT,
	TOKEN_MILLIS,
	TOKEN_MONTH,
	TOKEN_DAY,
	TOKEN_HOUR,
	TOKEN_HOUR_12,
	TOKEN_MINUTE,
	TOKEN_SECOND,
	TOKEN_ZONE_PLAIN,
	TOKEN_ZONE,
	TOKEN_HALF_UPPER,
	TOKEN_HALF,
	TOKEN_UNIX,
	TOKEN_UNIX_MILLIS,
};

/* Longer ones stand before those that they begin with. */
static const struct {
	const char *text;
	enum token token;
} tokens[] = {
	{"YYYY", TOKEN_YEAR},
	{"YY", TOKEN_YEAR_SHORT},
	{"SSS", TOKEN_MILLIS},
	{"MM", TOKEN_MONTH},
	{"DD", TOKEN_DAY},
	{"HH", TOKEN_HOUR},
	{"hh", TOKEN_HOUR_12},
	{"mm", TOKEN_MINUTE},
	{"ss", TOKEN_SECOND},
	{"ZZ", TOKEN_ZONE_PLAIN},
	{"Z", TOKEN_ZONE},
	{"A", TOKEN_HALF_UPPER},
	{"a", TOKEN_HALF},
	{"X", TOKEN_UNIX},
	{"x", TOKEN_UNIX_MILLIS},
};

static int
put_token(const struct moment *at, enum token token, char *text, size_t room)
{
	const struct tm *local = &at->local;
	int hour = local->tm_hour % 12 == 0 ? 12 : local->tm_hour % 12;

	switch (token) {
	case TOKEN_YEAR:
		return snprintf(text, room, "%04d", local->tm_year + 1900);
	case TOKEN_YEAR_SHORT:
		return snprintf(text, room, "%02d", local->tm_year % 100);
	case TOKEN_MILLIS:
		return snprintf(text, room, "%03d", at->millis);
	case TOKEN_MONTH:
		return snprintf(text, room, "%02d", local->tm_mon + 1);
	case TOKEN_DAY:
		return snprintf(text, room, "%02d", local->tm_mday);
	case TOKEN_HOUR:
		return snprintf(text, room, "%02d", local->tm_hour);
	case TOKEN_HOUR_12:
		return snprintf(text, room, "%02d", hour);
	case TOKEN_MINUTE:
		return snprintf(text, room, "%02d", local->tm_min);
	case TOKEN_SECOND:
		return snprintf(text, room, "%02d", local->tm_sec);
	case TOKEN_ZONE_PLAIN:
		return put_zone(at, "", text, room);
	case TOKEN_ZONE:
		return put_zone(at, ":", text, room);
	case TOKEN_HALF_UPPER:
		return snprintf(
			text, room, "%s", local->tm_hour < 12 ? "AM" : "PM");
	case TOKEN_HALF:
		return snprintf(
			text, room, "%s", local->tm_hour < 12 ? "am" : "pm");
	case TOKEN_UNIX:
		return snprintf(text, room, "%lld", at->seconds);
	case TOKEN_UNIX_MILLIS:
		return snprintf(
			text, room, "%lld%03d", at->seconds, at->millis);
	}
	return 0;
}

size_t
stamp_format(const char *format, struct timespec when, char *ret_text)
{
	enum { TOKENS = sizeof(tokens) / sizeof(tokens[0]) };
	struct moment at = {.seconds = when.tv_sec,
		.millis = (int)(when.tv_nsec / 1000000)};
	size_t used = 0;

	localtime_r(&when.tv_sec, &at.local);
	while (*format != '\0' && used < STAMP_MAX - 1) {
		size_t room = STAMP_MAX - used, i = 0;
		const char *end = *format == '[' ? strchr(format, ']') : NULL;
		int put;

		while (i < TOKENS && strncmp(format, tokens[i].text,
					     strlen(tokens[i].text)) != 0)
			i++;
		if (end != NULL) {
			put = snprintf(ret_text + used, room, "%.*s",
				(int)(end - format - 1), format + 1);
			format = end + 1;
		} else if (i < TOKENS) {
			put = put_token(
				&at, tokens[i].token, ret_text + used, room);
			format += strlen(tokens[i].text);
		} else {
			put = snprintf(ret_text + used, room, "%c", *format++);
		}
		used += put < 0		     ? 0
			: (size_t)put < room ? (size_t)put
					     : room - 1;
	}
	ret_text[used] = '\0';
	return used;
}

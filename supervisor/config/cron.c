/*
 * cron: fields become sets of bits. The next moment is looked for day by day,
 * and within a day minute by minute, in real time: so the clock's leaps are
 * seen as they happen.
 */
#include "config/cron.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	DAYS_MAX = 8 * 366, /* a leap year at the most */
	MINUTE = 60,
	HOUR = 3600,
	LEAP_MAX = 3 * 60, /* minutes that a clock may leap over */
};

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may",
	"jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const day_names[] = {
	"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

struct field {
	int least, most;
	const char *const *names; /* of `least` and on, or NULL */
	const char *fault;
};

static const struct field fields[] = {
	{0, 59, NULL, "the minute is 0 to 59"},
	{0, 23, NULL, "the hour is 0 to 23"},
	{1, 31, NULL, "the day is 1 to 31"},
	{1, 12, month_names, "the month is 1 to 12, or jan to dec"},
	{0, 7, day_names, "the day of the week is 0 to 7, or sun to sat"},
};

/* A number or a name at `*at`, which moves behind it; -1: neither. */
static int
read_value(const struct field *field, const char **at)
{
	char *end;
	long value;

	for (int i = 0; field->names && field->names[i]; i++)
		if (strncasecmp(*at, field->names[i], 3) == 0) {
			*at += 3;
			return field->least + i;
		}
	if (!isdigit((unsigned char)**at))
		return -1;
	value = strtol(*at, &end, 10);
	*at = end;
	return value < field->least || value > field->most ? -1 : (int)value;
}

/* One part of a list: "*", "5", "1-5" or one of these with "/2". */
static bool
read_part(const struct field *field, const char **at, uint64_t *bits)
{
	int from = field->least, to = field->most, step = 1;

	if (**at == '*') {
		(*at)++;
	} else {
		from = to = read_value(field, at);
		if (from < 0)
			return false;
		if (**at == '-') {
			(*at)++;
			to = read_value(field, at);
		} else if (**at == '/') {
			to = field->most;
		}
		if (to < from)
			return false;
	}
	if (**at == '/') {
		char *end;

		step = isdigit((unsigned char)(*at)[1])
			       ? (int)strtol(*at + 1, &end, 10)
			       : 0;
		if (step < 1 || step > field->most)
			return false;
		*at = end;
	}
	for (int i = from; i <= to; i += step)
		*bits |= UINT64_C(1) << i;
	return true;
}

static bool
read_field(const struct field *field, const char **at, uint64_t *bits)
{
	*bits = 0;
	for (;;) {
		if (!read_part(field, at, bits))
			return false;
		if (**at != ',')
			return **at == '\0' || isspace((unsigned char)**at);
		(*at)++;
	}
}

static const char *
find_nickname(const char *text)
{
	static const struct {
		const char *name, *means;
	} names[] = {
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
		{"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * 0"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(text, names[i].name) == 0)
			return names[i].means;
	return NULL;
}

const char *
cron_parse(const char *text, struct cron *ret_cron)
{
	const char *at = find_nickname(text);
	uint64_t bits[5];
	bool any[5];

	if (at == NULL && *text == '@')
		return "@hourly, @daily, @weekly, @monthly and @yearly are "
		       "known";
	if (at == NULL)
		at = text;
	for (int i = 0; i < 5; i++) {
		while (isspace((unsigned char)*at))
			at++;
		if (*at == '\0')
			return "it has five fields: minute, hour, day, month "
			       "and day of the week";
		any[i] = *at == '*';
		if (!read_field(&fields[i], &at, &bits[i]))
			return fields[i].fault;
	}
	while (isspace((unsigned char)*at))
		at++;
	if (*at != '\0')
		return "there is more behind its five fields";
	if (bits[4] & 1 << 7)
		bits[4] |= 1;
	*ret_cron = (struct cron){
		.minutes = bits[0],
		.hours = (uint32_t)bits[1],
		.days = (uint32_t)bits[2],
		.months = (uint16_t)bits[3],
		.weekdays = (uint8_t)(bits[4] & 0x7f),
		.any_day = any[2],
		.any_weekday = any[4],
		.any_hour = any[1],
	};
	return NULL;
}

/* The next moment ---------------------------------------------------------- */

static bool
has_day(const struct cron *cron, const struct tm *local)
{
	bool day = cron->days >> local->tm_mday & 1;
	bool weekday = cron->weekdays >> local->tm_wday & 1;

	if (!(cron->months >> (local->tm_mon + 1) & 1))
		return false;
	return cron->any_day || cron->any_weekday ? day && weekday
						  : day || weekday;
}

static bool
has_time(const struct cron *cron, int hour, int minute)
{
	return (cron->hours >> hour & 1) && (cron->minutes >> minute & 1);
}

/* Whether the same minute of the clock has been an hour before already. */
static bool
is_repeated(const struct tm *local, time_t now)
{
	time_t before = now - HOUR;
	struct tm then;

	localtime_r(&before, &then);
	return then.tm_hour == local->tm_hour && then.tm_min == local->tm_min &&
	       then.tm_isdst != local->tm_isdst;
}

/* Whether one of the minutes between the last one and this one is meant, which
 * the clock has leapt over. */
static bool
leaps_over(const struct cron *cron, const struct tm *local, time_t now)
{
	time_t before = now - MINUTE;
	struct tm then;
	int from, to;

	localtime_r(&before, &then);
	from = then.tm_hour * 60 + then.tm_min + 1;
	to = local->tm_hour * 60 + local->tm_min;
	if (then.tm_mday != local->tm_mday || to - from > LEAP_MAX)
		return false;
	for (; from < to; from++)
		if (has_time(cron, from / 60, from % 60))
			return true;
	return false;
}

static bool
is_meant(const struct cron *cron, const struct tm *local, time_t now)
{
	if (!has_day(cron, local))
		return false;
	if (has_time(cron, local->tm_hour, local->tm_min))
		return cron->any_hour || !is_repeated(local, now);
	return leaps_over(cron, local, now);
}

/* The first minute of the next day. */
static time_t
next_day(const struct tm *local)
{
	struct tm day = *local;

	day.tm_mday++;
	day.tm_hour = day.tm_min = day.tm_sec = 0;
	day.tm_isdst = -1;
	return mktime(&day);
}

time_t
cron_next(const struct cron *cron, time_t after)
{
	time_t now = after - after % MINUTE + MINUTE;

	for (int days = 0; days < DAYS_MAX; days++) {
		struct tm local;
		int today;

		localtime_r(&now, &local);
		today = local.tm_mday;
		while (has_day(cron, &local) && local.tm_mday == today) {
			if (is_meant(cron, &local, now))
				return now;
			now += MINUTE;
			localtime_r(&now, &local);
		}
		if (local.tm_mday == today)
			now = next_day(&local);
	}
	return -1;
}

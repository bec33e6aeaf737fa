/*
 * The lines of a notification. What is done about them is fleet/notify's
 * business. MAINPID, FDSTORE, RELOADING, ERRNO and the like are no one's here:
 * a worker is the process that was started, and descriptors are kept by name.
 */
#include "mechanism/notice.h"

#include <limits.h>
#include <string.h>

struct line {
	const char *value;
	size_t size;
};

/* A number of microseconds; false: it is none, or none that can be meant. */
static bool
read_usec(struct line line, int64_t *ret_usec)
{
	int64_t number = 0;

	if (line.size == 0 || line.size > 15)
		return false;
	for (size_t i = 0; i < line.size; i++) {
		if (line.value[i] < '0' || line.value[i] > '9')
			return false;
		number = number * 10 + (line.value[i] - '0');
	}
	*ret_usec = number;
	return true;
}

static bool
says_one(struct line line)
{
	return line.size == 1 && *line.value == '1';
}

static void
keep_status(struct line line, struct notice *notice)
{
	size_t size = line.size;

	if (size >= NOTICE_STATUS_SIZE) {
		size = NOTICE_STATUS_SIZE - 1;
		while (size > 0 &&
			((unsigned char)line.value[size] & 0xc0) == 0x80)
			size--;
	}
	memcpy(notice->status, line.value, size);
	notice->status[size] = '\0';
	notice->has_status = true;
}

/* The value of `key`, when the line has it. */
static bool
has_key(struct line line, const char *key, struct line *ret_value)
{
	size_t size = strlen(key);

	if (line.size <= size || memcmp(line.value, key, size) != 0 ||
		line.value[size] != '=')
		return false;
	ret_value->value = line.value + size + 1;
	ret_value->size = line.size - size - 1;
	return true;
}

static void
read_line(struct line line, struct notice *notice)
{
	struct line value;
	int64_t usec;

	if (has_key(line, "READY", &value) && says_one(value))
		notice->ready = true;
	else if (has_key(line, "STOPPING", &value) && says_one(value))
		notice->stopping = true;
	else if (has_key(line, "WATCHDOG", &value) && says_one(value))
		notice->is_alive = true;
	else if (has_key(line, "WATCHDOG", &value) && value.size == 7 &&
		 memcmp(value.value, "trigger", 7) == 0)
		notice->is_hung = true;
	else if (has_key(line, "EXTEND_TIMEOUT_USEC", &value) &&
		 read_usec(value, &usec))
		notice->extend_ms = (usec + 999) / 1000;
	else if (has_key(line, "STATUS", &value))
		keep_status(value, notice);
	else if (line.size > 0)
		notice->ignored++;
}

void
notice_read(const char *text, size_t size, struct notice *ret_notice)
{
	const char *end = text + size;

	*ret_notice = (struct notice){.ignored = 0};
	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		const char *stop = feed ? feed : end;
		struct line line = {text, (size_t)(stop - text)};

		/* A NUL ends what some write with one too many. */
		line.size = strnlen(line.value, line.size);
		read_line(line, ret_notice);
		text = stop + 1;
	}
}

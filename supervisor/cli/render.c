/*
 * render: tables by libsmartcols, events as lines, JSON as ASCII.
 *
 * Knows the fields of listings and events, and trusts none of them: a missing
 * or odd one shows as "-". Escaping itself is in escape.
 */
#include "render.h"

#include "escape.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum column_kind {
	COLUMN_TEXT,
	COLUMN_NUMBER,
	COLUMN_STATUS,
	COLUMN_SINCE, /* milliseconds */
	COLUMN_BYTES,
	COLUMN_PERCENT,
};

struct column {
	const char *title;
	const char *key;
	enum column_kind kind;
};

static const struct column columns[] = {
	{"ID", "id", COLUMN_NUMBER},
	{"NAME", "app", COLUMN_TEXT},
	{"INST", "instance", COLUMN_NUMBER},
	{"PID", "pid", COLUMN_NUMBER},
	{"STATUS", "status", COLUMN_STATUS},
	{"RESTARTS", "restarts", COLUMN_NUMBER},
	{"UPTIME", "uptime_ms", COLUMN_SINCE},
	{"CPU", "cpu_percent", COLUMN_PERCENT},
	{"MEMORY", "memory_bytes", COLUMN_BYTES},
	{"IN", "messages_in", COLUMN_NUMBER},
	{"OUT", "messages_out", COLUMN_NUMBER},
};

enum {
	COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]),
};

static bool
has_colours(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0');
}

static const char *
status_colour(const char *status)
{
	if (strcmp(status, "ready") == 0)
		return "green";
	if (strcmp(status, "errored") == 0 || strcmp(status, "backoff") == 0)
		return "red";
	if (strcmp(status, "stopped") == 0)
		return "darkgray";
	return "yellow";
}

/* "12 s", "3 m 5 s", "4 h 10 m", "12 d 3 h". */
void
render_since(char *text, int64_t ms)
{
	int64_t seconds = ms / 1000;

	if (seconds < 60)
		snprintf(text, RENDER_TEXT_SIZE, "%" PRId64 "s", seconds);
	else if (seconds < 3600)
		snprintf(text, RENDER_TEXT_SIZE, "%" PRId64 "m%02" PRId64 "s",
			seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(text, RENDER_TEXT_SIZE, "%" PRId64 "h%02" PRId64 "m",
			seconds / 3600, seconds / 60 % 60);
	else
		snprintf(text, RENDER_TEXT_SIZE, "%" PRId64 "d%02" PRId64 "h",
			seconds / 86400, seconds / 3600 % 24);
}

void
render_bytes(char *text, double bytes)
{
	static const char units[] = "BKMGTP";
	size_t unit = 0;

	while (bytes >= 1024 && unit + 2 < sizeof(units)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, RENDER_TEXT_SIZE, unit == 0 ? "%.0f%c" : "%.1f%c", bytes,
		units[unit]);
}

/* A cell's text, malloc'd; NULL without memory. */
static char *
cell_text(const struct column *column, json_t *value)
{
	char text[RENDER_TEXT_SIZE];

	if (json_is_string(value))
		return escape_text(
			json_string_value(value), json_string_length(value));
	if (!json_is_number(value))
		return strdup("-");
	double number = json_number_value(value);
	switch (column->kind) {
	case COLUMN_SINCE:
		render_since(text, json_integer_value(value));
		break;
	case COLUMN_BYTES:
		render_bytes(text, number);
		break;
	case COLUMN_PERCENT:
		snprintf(text, sizeof(text), "%.1f%%", number);
		break;
	default:
		snprintf(text, sizeof(text), "%.0f", number);
	}
	return strdup(text);
}

static int
add_row(struct libscols_table *table, json_t *worker, bool colours)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	if (line == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		const struct column *column = &columns[i];
		char *text =
			cell_text(column, json_object_get(worker, column->key));
		if (text == NULL)
			return -ENOMEM;
		if (column->kind == COLUMN_STATUS && colours)
			scols_cell_set_color(scols_line_get_cell(line, i),
				status_colour(text));
		int result = scols_line_set_data(line, i, text);
		free(text);
		if (result < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
add_columns(struct libscols_table *table)
{
	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		bool right = columns[i].kind != COLUMN_TEXT &&
			     columns[i].kind != COLUMN_STATUS;
		int flags = right ? SCOLS_FL_RIGHT : 0;
		if (columns[i].kind == COLUMN_TEXT)
			flags |= SCOLS_FL_TRUNC;
		struct libscols_column *column = scols_table_new_column(
			table, columns[i].title, 0, flags);
		if (column == NULL)
			return -ENOMEM;
	}
	return 0;
}

int
render_workers(json_t *workers)
{
	size_t index;
	json_t *worker;
	bool colours = has_colours();
	struct libscols_table *table = scols_new_table();

	if (table == NULL)
		return -ENOMEM;
	/* Cells are escaped already; escaping twice would hide what they say.
	 */
	scols_table_enable_noencoding(table, 1);
	scols_table_enable_colors(table, colours);
	int result = add_columns(table);
	json_array_foreach(workers, index, worker)
	{
		if (result == 0)
			result = add_row(table, worker, colours);
	}
	if (result == 0 && scols_print_table(table) != 0)
		result = -ENOMEM;
	scols_unref_table(table);
	return result;
}

static void
print_text(json_t *value)
{
	escape_print(
		stdout, json_string_value(value), json_string_length(value));
}

/* A field of an event that has no place of its own: " key=value". */
static void
print_field(const char *key, json_t *value)
{
	putchar(' ');
	escape_print(stdout, key, strlen(key));
	putchar('=');
	if (json_is_string(value)) {
		print_text(value);
		return;
	}
	char *text = json_dumps(
		value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
	fputs(text != NULL ? text : "-", stdout);
	free(text);
}

static bool
has_place(const char *key)
{
	return strcmp(key, "time") == 0 || strcmp(key, "event") == 0 ||
	       strcmp(key, "app") == 0 || strcmp(key, "instance") == 0;
}

void
render_event(json_t *event)
{
	const char *key;
	json_t *value;
	json_t *app = json_object_get(event, "app");
	json_t *instance = json_object_get(event, "instance");

	if (!json_is_object(event))
		return;
	print_text(json_object_get(event, "time"));
	putchar(' ');
	if (json_is_string(app)) {
		print_text(app);
		if (json_is_integer(instance))
			printf(".%" JSON_INTEGER_FORMAT,
				json_integer_value(instance));
		putchar(' ');
	}
	print_text(json_object_get(event, "event"));
	json_object_foreach(event, key, value)
	{
		if (!has_place(key) && !json_is_null(value))
			print_field(key, value);
	}
	putchar('\n');
}

int
render_json(json_t *value)
{
	char *text = json_dumps(
		value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);

	if (text == NULL)
		return -ENOMEM;
	puts(text);
	free(text);
	return 0;
}

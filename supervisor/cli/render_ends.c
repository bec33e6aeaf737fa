/*
 * render_ends: how processes ended, as text. Apart from render, since it is no
 * table and no single line. What a worker printed is escaped like all else.
 */
#include "escape.h"
#include "render.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static json_int_t
number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void
print_string(json_t *value)
{
	escape_print(
		stdout, json_string_value(value), json_string_length(value));
}

static void
print_time(json_int_t ms)
{
	char text[32] = "-";
	time_t seconds = (time_t)(ms / 1000);
	struct tm parts;

	if (localtime_r(&seconds, &parts) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
	fputs(text, stdout);
}

/* Who wanted it, as far as the supervisor knows. */
static void
print_cause(json_t *end)
{
	json_t *asked = json_object_get(end, "asked");
	json_t *fault = json_object_get(end, "fault");
	bool killed = json_is_true(json_object_get(end, "killed"));

	if (json_is_string(asked)) {
		fputs("    asked by the supervisor: ", stdout);
		print_string(asked);
		if (json_is_string(fault)) {
			fputs(", since it ", stdout);
			print_string(fault);
		}
		if (killed)
			fputs("; SIGKILL, since it hadn't ended in time or "
			      "had to at once",
				stdout);
		putchar('\n');
	} else if (number(end, "signal") == SIGKILL && !killed) {
		puts("    the supervisor didn't send SIGKILL: somebody else "
		     "did, or the kernel, out of memory");
	}
}

static void
print_end(json_t *end)
{
	size_t index;
	json_t *line;
	json_t *uptime = json_object_get(end, "uptime_ms");
	char text[RENDER_TEXT_SIZE];

	fputs("  ", stdout);
	print_time(number(end, "at"));
	printf("  generation %" JSON_INTEGER_FORMAT, number(end, "generation"));
	if (json_is_integer(json_object_get(end, "pid")))
		printf(" (pid %" JSON_INTEGER_FORMAT ")", number(end, "pid"));
	putchar(' ');
	print_string(json_object_get(end, "how"));
	if (json_is_integer(uptime)) {
		json_int_t ms = json_integer_value(uptime);
		if (ms < 10000)
			printf(" after %" JSON_INTEGER_FORMAT " ms", ms);
		else {
			render_since(text, ms);
			printf(" after %s", text);
		}
		render_bytes(text, (double)number(end, "memory_bytes"));
		printf("\n    %" JSON_INTEGER_FORMAT
		       " ms of CPU in the program, %" JSON_INTEGER_FORMAT
		       " ms in the kernel; at most %s of memory",
			number(end, "user_ms"), number(end, "system_ms"), text);
	}
	putchar('\n');
	print_cause(end);
	if (json_is_true(json_object_get(end, "output_held")))
		puts("    a process that it started still holds its output");
	json_array_foreach(json_object_get(end, "stderr"), index, line)
	{
		fputs("    | ", stdout);
		print_string(line);
		putchar('\n');
	}
}

void
render_ends(json_t *worker)
{
	size_t index;
	json_t *end;
	json_t *ends = json_object_get(worker, "exits");

	print_string(json_object_get(worker, "app"));
	printf(".%" JSON_INTEGER_FORMAT " (worker %" JSON_INTEGER_FORMAT
	       ") is ",
		number(worker, "instance"), number(worker, "id"));
	print_string(json_object_get(worker, "status"));
	puts(json_array_size(ends) > 0 ? "" : "; no process of it has ended");
	json_array_foreach(ends, index, end) print_end(end);
}

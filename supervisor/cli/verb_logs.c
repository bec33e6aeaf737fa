/*
 * verb_logs: what workers have printed, from their log files. The supervisor
 * says which files these are; they are read here, so that a reader who is slow,
 * or goes away in the middle, is no business of the supervisor's.
 */
#include "ask_target.h"
#include "escape.h"
#include "log_tail.h"
#include "verbs.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	LINES = 15, /* as many as PM2 shows */
	LINES_MAX = 1000000,
	FILES_MAX = 1024,
	LOOK_MS = 1000, /* for a file that isn't there yet, or is replaced */
};

struct reader {
	struct log_tail tail;
	const char *app; /* of the answer */
	bool with_name, json;
};

/* A line as JSON; what is no UTF-8 is told by its size. */
static void
print_json(const struct reader *reader, const char *line, size_t size)
{
	json_t *text = json_stringn(line, size);
	json_t *object = json_pack("{s:s, s:o}", "app", reader->app, "line",
		text != NULL ? text : json_string("(not UTF-8)"));
	char *written =
		object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

	if (written != NULL)
		puts(written);
	free(written);
	json_decref(object);
}

static void
print_line(const char *line, size_t size, void *data)
{
	const struct reader *reader = data;

	if (reader->json) {
		print_json(reader, line, size);
		return;
	}
	if (reader->with_name)
		printf("%s | ", reader->app);
	escape_print(stdout, line, size);
	putchar('\n');
}

/* Each file once, though an application's two streams go to the same. */
static size_t
open_files(const json_t *files, const struct call *call, struct reader *readers)
{
	bool only_out = call->values[OPTION_logs_out] != NULL;
	bool only_err = call->values[OPTION_logs_err] != NULL;
	size_t count = 0, i;
	json_t *file;

	json_array_foreach(files, i, file)
	{
		const char *path =
			json_string_value(json_object_get(file, "path"));
		const char *stream =
			json_string_value(json_object_get(file, "stream"));
		bool seen = false;

		if (path == NULL || stream == NULL || count == FILES_MAX ||
			(only_out && !only_err && strcmp(stream, "err") == 0) ||
			(only_err && !only_out && strcmp(stream, "out") == 0))
			continue;
		for (size_t k = 0; k < count; k++)
			seen |= strcmp(readers[k].tail.path, path) == 0;
		if (seen || log_tail_init(&readers[count].tail, path,
				    print_line, &readers[count]) < 0)
			continue;
		readers[count].app =
			json_string_value(json_object_get(file, "app"));
		readers[count].json = call->values[OPTION_logs_json] != NULL;
		count++;
	}
	for (size_t k = 0; k < count; k++)
		readers[k].with_name =
			strcmp(readers[k].app, readers[0].app) != 0 ||
			strcmp(readers[count - 1].app, readers[0].app) != 0;
	return count;
}

/* What isn't there yet may come, and of what is no file (/dev/null) there is
 * nothing to read. */
static bool
is_trouble(int error)
{
	return error < 0 && error != -ENOENT && error != -EINVAL;
}

static int
complain(const struct reader *reader, int error)
{
	fprintf(stderr, "muster: logs: %s: %s\n", reader->tail.path,
		strerror(-error));
	return CLI_FAILED;
}

static int
follow(struct reader *readers, size_t count)
{
	char events[4096];
	int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd one = {notify, POLLIN, 0};

	for (;;) {
		/* A file that was made anew is watched anew. */
		for (size_t i = 0; notify >= 0 && i < count; i++)
			(void)inotify_add_watch(notify, readers[i].tail.path,
				IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF);
		for (size_t i = 0; i < count; i++) {
			int error = log_tail_go_on(&readers[i].tail);

			if (is_trouble(error))
				return complain(&readers[i], error);
		}
		if (fflush(stdout) != 0)
			return CLI_DONE; /* nobody reads it any more */
		(void)poll(&one, 1, LOOK_MS);
		while (notify >= 0 && read(notify, events, sizeof(events)) > 0)
			;
	}
}

static int
show(const struct call *call, const json_t *files, unsigned lines)
{
	struct reader *readers = calloc(FILES_MAX, sizeof(*readers));
	size_t count = 0;
	int code = CLI_DONE;

	if (readers != NULL)
		count = open_files(files, call, readers);
	if (count == 0) {
		fputs("muster: logs: these workers have no log file: 'run' "
		      "prints what they write; --out-file gives them one\n",
			stderr);
		code = CLI_FAILED;
	}
	for (size_t i = 0; i < count && code == CLI_DONE; i++) {
		int error = log_tail_begin(&readers[i].tail, lines);

		if (is_trouble(error))
			code = complain(&readers[i], error);
	}
	if (code == CLI_DONE && call->values[OPTION_logs_follow] != NULL)
		code = follow(readers, count);
	for (size_t i = 0; i < count; i++) {
		log_tail_finish(&readers[i].tail);
		log_tail_fini(&readers[i].tail);
	}
	free(readers);
	return code;
}

int
verb_logs(const struct call *call)
{
	const char *text = call->values[OPTION_logs_lines];
	const char *target = call->count > 0 ? call->words[0] : "all";
	unsigned long lines = LINES;
	json_t *answer;
	char *end;
	int code;

	if (text != NULL) {
		lines = strtoul(text, &end, 10);
		if (*text < '0' || *text > '9' || *end != '\0' ||
			lines > LINES_MAX) {
			fputs("muster: logs: --lines takes a number from 0 to "
			      "1000000\n",
				stderr);
			return CLI_USAGE;
		}
	}
	code = ask_method(
		"logs", json_pack("{s:s}", "target", target), false, &answer);
	if (code != CLI_DONE)
		return code;
	code = show(call, json_object_get(answer, "files"), (unsigned)lines);
	json_decref(answer);
	return code;
}

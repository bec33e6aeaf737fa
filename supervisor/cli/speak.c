/*
 * speak: bodies on their way to workers, and what comes back about them.
 *
 * Messages and publications aren't answered; so a ping follows them, and what
 * the supervisor says about one of them before its answer is the result.
 */
#include "speak.h"

#include "verbs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Whether `text` is one JSON value; says what is wrong with it. Large integers
 * are none of our business. */
static bool
check_json(const char *verb, const char *text, size_t size, unsigned long line)
{
	json_error_t error;
	json_t *value = json_loadb(text, size,
		JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL |
			JSON_DECODE_INT_AS_REAL,
		&error);

	if (value != NULL) {
		json_decref(value);
		return true;
	}
	fprintf(stderr, "muster: %s: ", verb);
	if (line > 0)
		fprintf(stderr, "line %lu of standard input: ", line);
	fprintf(stderr,
		"no JSON: %s at column %d (a text needs its quotes: "
		"'\"hello\"')\n",
		error.text, error.column);
	return false;
}

static bool
is_lines(const char *body)
{
	return strcmp(body, "-") == 0;
}

bool
speak_check(const char *verb, const char *body)
{
	return is_lines(body) || check_json(verb, body, strlen(body), 0);
}

static void
fail(struct speech *speech, int code)
{
	if (speech->code == CLI_DONE)
		speech->code = code;
}

static void
say_lines(struct speech *speech, speak_fn *say, void *data)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	unsigned long number = 0;

	while ((size = getline(&line, &room, stdin)) >= 0) {
		number++;
		while (size > 0 && isspace((unsigned char)line[size - 1]))
			size--;
		if (size == 0)
			continue;
		if (!check_json(speech->verb, line, (size_t)size, number)) {
			fail(speech, CLI_FAILED);
			break;
		}
		if (!say(speech, line, (size_t)size, data))
			break;
	}
	if (ferror(stdin)) {
		fprintf(stderr, "muster: %s: standard input: %s\n",
			speech->verb, strerror(errno));
		fail(speech, CLI_FAILED);
	}
	free(line);
}

void
speak_each(struct speech *speech, const char *body, speak_fn *say, void *data)
{
	if (is_lines(body))
		say_lines(speech, say, data);
	else
		say(speech, body, strlen(body), data);
}

bool
speak_said(struct speech *speech, uint64_t id)
{
	if (id == 0)
		fail(speech, CLI_FAILED);
	else if (speech->first == 0)
		speech->first = id;
	return id != 0;
}

/* Takes one frame in; true when it is the answer with the id `ping`. */
static bool
take_frame(
	struct speech *speech, const struct channel_frame *frame, uint64_t ping)
{
	if (frame->header.kind == MUSTER_REPLY)
		return frame->header.id == ping;
	if (frame->header.kind != MUSTER_ERROR ||
		frame->header.id < speech->first)
		return false;
	fail(speech, client_explain(speech->client, frame));
	return frame->header.id == ping;
}

bool
speak_make_room(struct speech *speech)
{
	struct channel_frame frame;
	int result;

	while ((result = client_make_room(speech->client, &frame)) == 1)
		take_frame(speech, &frame, 0);
	if (result < 0)
		fail(speech, client_complain(speech->client, result));
	return result == 0;
}

void
speak_settle(struct speech *speech)
{
	struct channel_frame frame;
	uint64_t ping = client_ask(speech->client, "ping", NULL);

	if (ping == 0) {
		fail(speech, CLI_FAILED);
		return;
	}
	do {
		int result =
			client_next(speech->client, CLIENT_ANSWER_MS, &frame);
		if (result != 1) {
			fail(speech, client_complain(speech->client, result));
			return;
		}
	} while (!take_frame(speech, &frame, ping));
}

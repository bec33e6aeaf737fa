/*
 * verb_send: a message to workers.
 *
 * TARGET becomes addresses: all is everybody, a number one worker, ns:NAME each
 * application of that namespace, another word the workers of that application.
 * Messages aren't answered; so a ping follows them, and what the supervisor
 * says about one of them before its answer is the result.
 */
#include "base/json.h"
#include "client.h"
#include "verbs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	APPS_MAX = 4096, /* applications of one namespace */
};

struct target {
	uint32_t to;
	const char **apps; /* NULL, or one frame for each */
	size_t count;
	json_t *listing; /* owns the names */
};

struct sending {
	struct client *client;
	uint64_t first; /* id of the first message */
	int code;	/* the worst so far */
};

static void
add_app(struct target *target, const char *app)
{
	for (size_t i = 0; i < target->count; i++)
		if (strcmp(target->apps[i], app) == 0)
			return;
	if (target->count < APPS_MAX)
		target->apps[target->count++] = app;
}

static int
find_namespace(struct client *client, const char *name, struct target *target)
{
	size_t index;
	json_t *worker;
	int code = client_call(
		client, "ls", NULL, CLIENT_ANSWER_MS, &target->listing);

	if (code != CLI_DONE)
		return code;
	json_array_foreach(
		json_object_get(target->listing, "workers"), index, worker)
	{
		const char *is = json_text(worker, "namespace");
		const char *app = json_text(worker, "app");
		if (is != NULL && app != NULL && strcmp(is, name) == 0)
			add_app(target, app);
	}
	if (target->count > 0)
		return CLI_DONE;
	fprintf(stderr,
		"muster: send: no application is in the namespace '%s'; "
		"see 'muster ls'\n",
		name);
	return CLI_NO_SUCH;
}

/* Works out the addresses of `word`. */
static int
find_target(struct client *client, const char *word, struct target *target)
{
	target->apps = calloc(APPS_MAX, sizeof(*target->apps));
	if (target->apps == NULL) {
		fputs("muster: send: no memory\n", stderr);
		return CLI_FAILED;
	}
	target->to = MUSTER_TO_ALL;
	if (strncmp(word, "ns:", 3) == 0)
		return find_namespace(client, word + 3, target);
	target->apps[0] = NULL;
	target->count = 1;
	if (strcmp(word, "all") == 0)
		return CLI_DONE;
	if (word[0] != '\0' && word[strspn(word, "0123456789")] == '\0') {
		unsigned long id = strtoul(word, NULL, 10);
		if (id == 0 || id > MUSTER_LAST_ENDPOINT) {
			fprintf(stderr,
				"muster: send: no worker has the id %s; "
				"see 'muster ls'\n",
				word);
			return CLI_NO_SUCH;
		}
		target->to = (uint32_t)id;
		return CLI_DONE;
	}
	target->apps[0] = word;
	return CLI_DONE;
}

/* Takes one frame in; true when it is the reply with the id `ping`. */
static bool
take_frame(struct sending *sending, const struct channel_frame *frame,
	uint64_t ping)
{
	if (frame->header.kind == MUSTER_REPLY)
		return frame->header.id == ping;
	if (frame->header.kind != MUSTER_ERROR ||
		frame->header.id < sending->first)
		return false;
	int code = client_explain(sending->client, frame);
	if (sending->code == CLI_DONE)
		sending->code = code;
	return frame->header.id == ping;
}

/* Reads while the supervisor takes nothing, so that both can go on. */
static bool
make_room(struct sending *sending)
{
	struct channel_frame frame;

	client_flush(sending->client);
	while (client_is_full(sending->client)) {
		int result =
			client_next(sending->client, CLIENT_ANSWER_MS, &frame);
		if (result != 1) {
			sending->code =
				client_complain(sending->client, result);
			return false;
		}
		take_frame(sending, &frame, 0);
	}
	return true;
}

static bool
send_body(struct sending *sending, const struct target *target,
	const char *body, size_t size)
{
	for (size_t i = 0; i < target->count; i++) {
		uint64_t id = client_send(sending->client, target->to,
			target->apps[i], body, size);
		if (id == 0) {
			sending->code = CLI_FAILED;
			return false;
		}
		if (sending->first == 0)
			sending->first = id;
	}
	return make_room(sending);
}

/* Whether `text` is one JSON value; says what is wrong with it. */
static bool
check_json(const char *text, size_t size, unsigned long line)
{
	json_error_t error;
	json_t *value = json_loadb(text, size,
		JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
		&error);

	if (value != NULL) {
		json_decref(value);
		return true;
	}
	fputs("muster: send: ", stderr);
	if (line > 0)
		fprintf(stderr, "line %lu of standard input: ", line);
	fprintf(stderr,
		"no JSON: %s at column %d (a text needs its quotes: "
		"'\"hello\"')\n",
		error.text, error.column);
	return false;
}

/* One value a line from standard input; blank lines are skipped. */
static void
send_lines(struct sending *sending, const struct target *target)
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
		if (!check_json(line, (size_t)size, number)) {
			sending->code = CLI_FAILED;
			break;
		}
		if (!send_body(sending, target, line, (size_t)size))
			break;
	}
	if (ferror(stdin)) {
		fprintf(stderr, "muster: send: standard input: %s\n",
			strerror(errno));
		sending->code = CLI_FAILED;
	}
	free(line);
}

/* Waits for the ping behind the messages. */
static void
settle(struct sending *sending)
{
	struct channel_frame frame;
	uint64_t ping = client_ask(sending->client, "ping", NULL);

	if (ping == 0) {
		sending->code = CLI_FAILED;
		return;
	}
	do {
		int result =
			client_next(sending->client, CLIENT_ANSWER_MS, &frame);
		if (result != 1) {
			sending->code =
				client_complain(sending->client, result);
			return;
		}
	} while (!take_frame(sending, &frame, ping));
}

int
verb_send(const struct call *call)
{
	struct target target = {0};
	struct sending sending = {0};
	const char *body = call->words[1];
	bool lines = strcmp(body, "-") == 0;

	if (!lines && !check_json(body, strlen(body), 0))
		return CLI_USAGE;
	int code = client_open("send", &sending.client);
	if (code != CLI_DONE)
		return code;
	code = find_target(sending.client, call->words[0], &target);
	if (code == CLI_DONE) {
		if (lines)
			send_lines(&sending, &target);
		else
			send_body(&sending, &target, body, strlen(body));
		if (sending.first != 0)
			settle(&sending);
		code = sending.code;
	}
	free(target.apps);
	json_decref(target.listing);
	client_free(&sending.client);
	return code;
}

/*
 * verb_subscribe: prints what is published, one value a line, until it is
 * ended. What has come is printed before it waits for more. When the
 * supervisor's brain is replaced, or lets go of us since we were too slow, it
 * comes back and says that something may be missing.
 */
#include "client.h"
#include "escape.h"
#include "protocol/topic.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>

enum {
	TRIES = 8, /* brains that may end before we have subscribed again */
};

/* Prints a publication; false where standard output is at its end. */
static bool
print_publication(const struct channel_frame *frame, bool as_json)
{
	int topic_size = (int)frame->header.name_size;

	if (!escape_is_json(frame->body, frame->size)) {
		fputs("muster: subscribe: what was published to ", stderr);
		escape_print(stderr, frame->name, frame->header.name_size);
		fputs(" is no JSON\n", stderr);
		return true;
	}
	if (as_json)
		printf("{\"topic\":\"%.*s\",\"from\":%u,\"body\":", topic_size,
			frame->name, frame->header.from);
	escape_json(stdout, frame->body, frame->size);
	return fputs(as_json ? "}\n" : "\n", stdout) >= 0;
}

/* Prints what comes until the connection ends: CLI_DONE, or nobody reads. */
static int
print_all(struct client *client, bool as_json)
{
	struct channel_frame frame;

	for (;;) {
		int result = client_next(client, 0, &frame);

		if (result == 0) {
			if (fflush(stdout) != 0)
				return CLI_FAILED;
			result = client_next(client, CLIENT_FOR_EVER, &frame);
		}
		if (result == -EPIPE || result == 0)
			return CLI_DONE;
		if (result < 0)
			return client_complain(client, result);
		if (frame.header.kind == MUSTER_PUBLISH &&
			!print_publication(&frame, as_json))
			return CLI_FAILED;
	}
}

static int
subscribe(struct client *client, const char *pattern)
{
	json_t *answer;
	int code = client_call(client, "subscribe",
		json_pack("{s:s}", "topic", pattern), CLIENT_ANSWER_MS,
		&answer);

	if (code == CLI_DONE)
		json_decref(answer);
	return code;
}

/* After the connection was lost. Returns false: the supervisor has ended. */
static bool
come_back(const char *pattern, struct client **ret_client)
{
	for (int i = 0; i < TRIES; i++) {
		if (!client_reopen("subscribe", ret_client))
			return false;
		if (subscribe(*ret_client, pattern) == CLI_DONE) {
			client_settle(*ret_client);
			fputs("muster: subscribe: the connection was lost and "
			      "is there again; what was published meanwhile "
			      "is missing\n",
				stderr);
			return true;
		}
		client_free(ret_client);
	}
	return false;
}

int
verb_subscribe(const struct call *call)
{
	bool as_json = call->values[OPTION_subscribe_json] != NULL;
	const char *pattern = call->words[0];
	struct client *client;

	if (!topic_is_pattern(pattern, strlen(pattern))) {
		fprintf(stderr,
			"muster: subscribe: '%s' is no pattern: tokens of "
			"letters, digits, _ and - with dots between them, * "
			"for any one, > at the end for one or more\n",
			pattern);
		return CLI_USAGE;
	}
	int code = client_open("subscribe", &client);
	if (code != CLI_DONE)
		return code;
	code = subscribe(client, pattern);
	if (code == CLI_DONE)
		do {
			code = print_all(client, as_json);
			client_free(&client);
		} while (code == CLI_DONE && come_back(pattern, &client));
	client_free(&client);
	return code;
}

/*
 * verb_events: what the supervisor did. It answers how many events it kept,
 * sends these, then each new one as it happens; without -f we hang up after the
 * kept ones.
 */
#include "base/json.h"
#include "client.h"
#include "render.h"
#include "verbs.h"

#include <errno.h>

/* Prints the event in `frame`; false where standard output is at its end. */
static bool
print_event(const struct channel_frame *frame, bool as_json)
{
	json_t *event = json_read(frame->body, frame->size);

	if (event != NULL && as_json)
		render_json(event);
	else if (event != NULL)
		render_event(event);
	json_decref(event);
	return fflush(stdout) == 0;
}

/* Prints `left` events, or without an end when it is negative. */
static int
print_events(struct client *client, json_int_t left, bool as_json)
{
	struct channel_frame frame;

	while (left != 0) {
		int wait_ms = left < 0 ? CLIENT_FOR_EVER : CLIENT_ANSWER_MS;
		int result = client_next(client, wait_ms, &frame);
		/* Who follows until the end has seen what there was. */
		if (result == -EPIPE && left < 0)
			return CLI_DONE;
		if (result != 1)
			return client_complain(client, result);
		if (frame.header.kind != MUSTER_MESSAGE)
			continue;
		if (!print_event(&frame, as_json))
			return CLI_FAILED;
		if (left > 0)
			left--;
	}
	return CLI_DONE;
}

int
verb_events(const struct call *call)
{
	json_t *answer;
	struct client *client;
	bool as_json = call->values[OPTION_events_json] != NULL;
	int code = client_open("events", &client);

	if (code != CLI_DONE)
		return code;
	code = client_call(client, "events", NULL, CLIENT_ANSWER_MS, &answer);
	if (code == CLI_DONE) {
		json_int_t kept =
			json_integer_value(json_object_get(answer, "kept"));
		json_decref(answer);
		if (call->values[OPTION_events_follow] != NULL)
			kept = -1;
		code = print_events(client, kept, as_json);
	}
	client_free(&client);
	return code;
}

/*
 * ask_target: the supervisor has the deadlines, so who waits here waits for
 * ever.
 */
#include "ask_target.h"

#include "client.h"
#include "verbs.h"

/* What is wrong at once is answered before the ping. */
static int
begin(struct client *client, const char *method, json_t *params)
{
	struct channel_frame frame;
	uint64_t asked = client_ask(client, method, params);
	uint64_t ping = client_ask(client, "ping", NULL);

	if (asked == 0 || ping == 0)
		return CLI_FAILED;
	for (;;) {
		int result = client_next(client, CLIENT_ANSWER_MS, &frame);

		if (result != 1)
			return client_complain(client, result);
		if (frame.header.kind == MUSTER_ERROR)
			return client_explain(client, &frame);
		if (frame.header.kind == MUSTER_REPLY &&
			frame.header.id == ping)
			return CLI_DONE;
	}
}

int
ask_method(
	const char *method, json_t *params, bool no_wait, json_t **ret_result)
{
	json_t *result = NULL;
	struct client *client;
	int code;

	if (params == NULL) {
		fprintf(stderr, "muster: %s: a word is no UTF-8\n", method);
		return CLI_USAGE;
	}
	code = client_open(method, &client);
	if (code != CLI_DONE) {
		json_decref(params);
		return code;
	}
	if (no_wait)
		code = begin(client, method, params);
	else
		code = client_call(
			client, method, params, CLIENT_FOR_EVER, &result);
	client_free(&client);
	if (code == CLI_DONE && ret_result != NULL)
		*ret_result = result;
	else
		json_decref(result);
	return code;
}

int
ask_target(const char *method, const char *target, bool no_wait)
{
	return ask_method(
		method, json_pack("{s:s}", "target", target), no_wait, NULL);
}

/*
 * verb_reload: new workers for old ones, without a gap. Waits as long as it
 * takes, unless told not to: the supervisor has the deadlines.
 */
#include "client.h"
#include "verbs.h"

/*
 * Only sees to it that the request was taken: what is wrong with it at once
 * (no such target, a reload is under way) is answered before the ping.
 */
static int
begin(struct client *client, json_t *params)
{
	struct channel_frame frame;
	uint64_t reload = client_ask(client, "reload", params);
	uint64_t ping = client_ask(client, "ping", NULL);

	if (reload == 0 || ping == 0)
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
verb_reload(const struct call *call)
{
	json_t *answer;
	struct client *client;
	int code = client_open("reload", &client);

	if (code != CLI_DONE)
		return code;
	json_t *params = json_pack("{s:s}", "target", call->words[0]);
	if (params == NULL) {
		fputs("muster: reload: the target is no UTF-8\n", stderr);
		code = CLI_USAGE;
	} else if (call->values[OPTION_reload_no_wait] != NULL) {
		code = begin(client, params);
	} else {
		code = client_call(
			client, "reload", params, CLIENT_FOR_EVER, &answer);
		if (code == CLI_DONE)
			json_decref(answer);
	}
	client_free(&client);
	return code;
}

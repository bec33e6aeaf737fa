/* verb_why: how the last processes of workers ended, newest first. */
#include "client.h"
#include "render.h"
#include "verbs.h"

static int
print_workers(const struct call *call, json_t *workers)
{
	size_t index;
	json_t *worker;

	if (!json_is_array(workers)) {
		fputs("muster: why: the answer has no workers\n", stderr);
		return CLI_FAILED;
	}
	if (call->values[OPTION_why_json] == NULL) {
		json_array_foreach(workers, index, worker) render_ends(worker);
		return CLI_DONE;
	}
	if (render_json(workers) == 0)
		return CLI_DONE;
	fputs("muster: why: no memory\n", stderr);
	return CLI_FAILED;
}

int
verb_why(const struct call *call)
{
	json_t *answer;
	struct client *client;
	int code = client_open("why", &client);

	if (code != CLI_DONE)
		return code;
	json_t *params = json_pack("{s:s}", "target", call->words[0]);
	if (params == NULL) {
		fputs("muster: why: the target is no UTF-8\n", stderr);
		code = CLI_USAGE;
	} else {
		code = client_call(
			client, "why", params, CLIENT_ANSWER_MS, &answer);
	}
	if (code == CLI_DONE) {
		code = print_workers(call, json_object_get(answer, "workers"));
		json_decref(answer);
	}
	client_free(&client);
	return code;
}

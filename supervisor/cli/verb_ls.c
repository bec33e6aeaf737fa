/* verb_ls: the workers, as a table or as JSON. */
#include "client.h"
#include "render.h"
#include "verbs.h"

static int
print_workers(const struct call *call, json_t *workers)
{
	int result = 0;

	if (!json_is_array(workers)) {
		fputs("muster: ls: the answer has no workers\n", stderr);
		return CLI_FAILED;
	}
	if (call->values[OPTION_ls_json] != NULL)
		result = render_json(workers);
	else if (json_array_size(workers) > 0)
		result = render_workers(workers);
	else
		puts("no workers");
	if (result == 0)
		return CLI_DONE;
	fputs("muster: ls: no memory\n", stderr);
	return CLI_FAILED;
}

int
verb_ls(const struct call *call)
{
	json_t *answer;
	struct client *client;
	int code = client_open("ls", &client);

	if (code != CLI_DONE)
		return code;
	code = client_call(client, "ls", NULL, CLIENT_ANSWER_MS, &answer);
	if (code == CLI_DONE) {
		code = print_workers(call, json_object_get(answer, "workers"));
		json_decref(answer);
	}
	client_free(&client);
	return code;
}

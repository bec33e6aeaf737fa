/* verb_reopen: log files are opened anew, as by SIGUSR1. */
#include "client.h"
#include "verbs.h"

int
verb_reopen(const struct call *call)
{
	json_t *answer;
	struct client *client;

	(void)call;
	int code = client_open("reopen", &client);
	if (code != CLI_DONE)
		return code;
	code = client_call(client, "reopen", NULL, CLIENT_ANSWER_MS, &answer);
	if (code == CLI_DONE)
		json_decref(answer);
	client_free(&client);
	return code;
}

/*
 * verb_kill: ends the supervisor with all workers. It is over when the
 * supervisor hangs up, and nobody answers at its socket any more.
 */
#include "client.h"
#include "verbs.h"

#include <errno.h>

int
verb_kill(const struct call *call)
{
	struct channel_frame frame;
	struct client *client;
	int code = client_open("kill", &client);
	int result = 1;

	(void)call;
	if (code != CLI_DONE)
		return code;
	if (client_ask(client, "kill", NULL) == 0)
		code = CLI_FAILED;
	while (code == CLI_DONE && result == 1) {
		result = client_next(client, CLIENT_FOR_EVER, &frame);
		if (result == 1 && frame.header.kind == MUSTER_ERROR)
			code = client_explain(client, &frame);
	}
	if (code == CLI_DONE && result != -EPIPE)
		code = client_complain(client, result);
	client_free(&client);
	if (code == CLI_DONE && !client_wait_gone(CLIENT_ANSWER_MS)) {
		fputs("muster: kill: it is still there\n", stderr);
		code = CLI_FAILED;
	}
	return code;
}

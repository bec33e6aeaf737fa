/* verb_ping: does the supervisor answer, and how fast. */
#include "base/clock.h"
#include "client.h"
#include "verbs.h"

#include <inttypes.h>

int
verb_ping(const struct call *call)
{
	json_t *answer;
	struct client *client;

	(void)call;
	int code = client_open("ping", &client);
	if (code != CLI_DONE)
		return code;
	struct instant asked = clock_now();
	code = client_call(client, "ping", NULL, CLIENT_ANSWER_MS, &answer);
	if (code == CLI_DONE) {
		printf("pong after %" PRId64 " us\n",
			(clock_now().ns - asked.ns) / 1000);
		json_decref(answer);
	}
	client_free(&client);
	return code;
}

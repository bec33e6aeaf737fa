/*
 * verb_publish: a value to whoever has subscribed to its topic.
 */
#include "protocol/topic.h"
#include "speak.h"
#include "verbs.h"

#include <string.h>

static bool
publish_body(struct speech *speech, const char *body, size_t size, void *data)
{
	const char *topic = data;

	return speak_said(speech,
		       client_publish(speech->client, topic, body, size)) &&
	       speak_make_room(speech);
}

int
verb_publish(const struct call *call)
{
	struct speech speech = {.verb = "publish"};

	if (!topic_is_name(call->words[0], strlen(call->words[0]))) {
		fprintf(stderr,
			"muster: publish: '%s' is no topic: tokens of letters, "
			"digits, _ and - with dots between them, as in "
			"orders.paid\n",
			call->words[0]);
		return CLI_USAGE;
	}
	if (!speak_check(speech.verb, call->words[1]))
		return CLI_USAGE;
	int code = client_open(speech.verb, &speech.client);
	if (code != CLI_DONE)
		return code;
	speak_each(&speech, call->words[1], publish_body, call->words[0]);
	if (speech.first != 0)
		speak_settle(&speech);
	client_free(&speech.client);
	return speech.code;
}

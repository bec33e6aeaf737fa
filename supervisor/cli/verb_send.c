/*
 * verb_send: a message to workers.
 */
#include "speak.h"
#include "target.h"
#include "verbs.h"

static bool
send_body(struct speech *speech, const char *body, size_t size, void *data)
{
	const struct target *target = data;

	for (size_t i = 0; i < target->count; i++)
		if (!speak_said(speech, client_send(speech->client, target->to,
						target->apps[i], body, size)))
			return false;
	return speak_make_room(speech);
}

int
verb_send(const struct call *call)
{
	struct speech speech = {.verb = "send"};
	struct target target;

	if (!speak_check(speech.verb, call->words[1]))
		return CLI_USAGE;
	int code = client_open(speech.verb, &speech.client);
	if (code != CLI_DONE)
		return code;
	code = target_find(speech.client, speech.verb, call->words[0], &target);
	if (code == CLI_DONE) {
		speak_each(&speech, call->words[1], send_body, &target);
		if (speech.first != 0)
			speak_settle(&speech);
		code = speech.code;
	}
	target_fini(&target);
	client_free(&speech.client);
	return code;
}

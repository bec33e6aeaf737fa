/*
 * verb_request: asks a worker and prints its answer, one line of JSON. Of an
 * application, or of all, it is one worker that answers. Of lines on standard
 * input each is answered before the next is read, so that answers stand in the
 * order of the questions.
 */
#include "escape.h"
#include "speak.h"
#include "target.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

struct asking {
	struct target target;
	uint32_t timeout_ms; /* 0: none */
};

static bool
print_answer(struct speech *speech, const struct channel_frame *frame)
{
	if (frame->header.kind == MUSTER_ERROR) {
		speech->code = client_explain(speech->client, frame);
		return true;
	}
	if (!escape_json_line(stdout, frame->body, frame->size)) {
		fprintf(stderr, "muster: request: the answer is no JSON\n");
		speech->code = CLI_FAILED;
	}
	return fflush(stdout) == 0;
}

static bool
await_answer(struct speech *speech, uint64_t id)
{
	struct channel_frame frame;

	do {
		int result =
			client_next(speech->client, CLIENT_FOR_EVER, &frame);
		if (result != 1) {
			speech->code = client_complain(speech->client, result);
			return false;
		}
	} while (frame.header.id != id ||
		 (frame.header.kind != MUSTER_REPLY &&
			 frame.header.kind != MUSTER_ERROR));
	return print_answer(speech, &frame);
}

static bool
ask(struct speech *speech, const char *body, size_t size, void *data)
{
	const struct asking *asking = data;
	const struct target *target = &asking->target;
	uint32_t to = target->to == MUSTER_TO_ALL ? MUSTER_TO_ANY : target->to;

	for (size_t i = 0; i < target->count; i++) {
		uint64_t id = client_request(speech->client, to,
			target->apps[i], body, size, asking->timeout_ms);

		if (!speak_said(speech, id) || !await_answer(speech, id))
			return false;
	}
	return true;
}

static bool
read_timeout(const char *text, uint32_t *ret_ms)
{
	char *end;
	unsigned long ms;

	*ret_ms = 0;
	if (text == NULL)
		return true;
	ms = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || ms == 0 ||
		ms > UINT32_MAX) {
		fprintf(stderr,
			"muster: request: --timeout '%s': milliseconds, from 1 "
			"on\n",
			text);
		return false;
	}
	*ret_ms = (uint32_t)ms;
	return true;
}

int
verb_request(const struct call *call)
{
	struct speech speech = {.verb = "request"};
	struct asking asking;

	if (!read_timeout(
		    call->values[OPTION_request_timeout], &asking.timeout_ms) ||
		!speak_check(speech.verb, call->words[1]))
		return CLI_USAGE;
	int code = client_open(speech.verb, &speech.client);
	if (code != CLI_DONE)
		return code;
	code = target_find(
		speech.client, speech.verb, call->words[0], &asking.target);
	if (code == CLI_DONE) {
		speak_each(&speech, call->words[1], ask, &asking);
		code = speech.code;
	}
	target_fini(&asking.target);
	client_free(&speech.client);
	return code;
}

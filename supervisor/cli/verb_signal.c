/* verb_signal: a signal to workers, not to the supervisor. */
#include "ask_target.h"
#include "verbs.h"

int
verb_signal(const struct call *call)
{
	json_t *result;
	int code = ask_method("signal",
		json_pack("{s:s, s:s}", "signal", call->words[0], "target",
			call->words[1]),
		false, &result);

	if (code != CLI_DONE)
		return code;
	if (json_integer_value(json_object_get(result, "signalled")) == 0) {
		fprintf(stderr, "muster: signal: nothing of %s runs\n",
			call->words[1]);
		code = CLI_FAILED;
	}
	json_decref(result);
	return code;
}

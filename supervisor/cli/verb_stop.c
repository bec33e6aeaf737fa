/* verb_stop: stops workers. */
#include "ask_target.h"
#include "verbs.h"

int
verb_stop(const struct call *call)
{
	return ask_target("stop", call->words[0],
		call->values[OPTION_stop_no_wait] != NULL);
}

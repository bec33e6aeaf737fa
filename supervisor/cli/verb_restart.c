/* verb_restart: new processes for old ones, with a gap. */
#include "ask_target.h"
#include "verbs.h"

int
verb_restart(const struct call *call)
{
	return ask_target("restart", call->words[0],
		call->values[OPTION_restart_no_wait] != NULL);
}

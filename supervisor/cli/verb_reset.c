/* verb_reset: counts of restarts begin anew. */
#include "ask_target.h"
#include "verbs.h"

int
verb_reset(const struct call *call)
{
	return ask_target("reset", call->words[0], false);
}

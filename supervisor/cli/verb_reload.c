/* verb_reload: new workers for old ones, without a gap. */
#include "ask_target.h"
#include "verbs.h"

int
verb_reload(const struct call *call)
{
	return ask_target("reload", call->words[0],
		call->values[OPTION_reload_no_wait] != NULL);
}

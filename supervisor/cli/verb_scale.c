/* verb_scale: more or fewer workers. */
#include "ask_target.h"
#include "verbs.h"

int
verb_scale(const struct call *call)
{
	return ask_method("scale",
		json_pack("{s:s, s:s}", "app", call->words[0], "instances",
			call->words[1]),
		call->values[OPTION_scale_no_wait] != NULL, NULL);
}

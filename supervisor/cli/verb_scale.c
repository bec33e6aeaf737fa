/*
 * verb_scale: more or fewer workers. Its words are taken as they are, since -1
 * is a number here and no option.
 */
#include "ask_target.h"
#include "verbs.h"

int
verb_scale(const struct call *call)
{
	if (call->count != 2) {
		fputs("muster: scale: which application, and how many workers: "
		      "'muster scale api 4', or a step: +1, -1\n",
			stderr);
		return CLI_USAGE;
	}
	return ask_method("scale",
		json_pack("{s:s, s:s}", "app", call->words[0], "instances",
			call->words[1]),
		false, NULL);
}

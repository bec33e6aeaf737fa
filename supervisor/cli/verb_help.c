/* verb_help: the table of verbs for people, or one of its rows. */
#include "verbs.h"

int
verb_help(const struct call *call)
{
	if (call->count == 0) {
		verbs_print_all(stdout);
		return CLI_DONE;
	}
	const struct verb *verb = verbs_find(call->words[0]);
	if (verb == NULL) {
		verbs_complain(call->words[0]);
		return CLI_USAGE;
	}
	verbs_print(stdout, verb);
	return CLI_DONE;
}

/* verb_delete: stops applications, and forgets them. */
#include "ask_target.h"
#include "verbs.h"

int
verb_delete(const struct call *call)
{
	return ask_target("delete", call->words[0],
		call->values[OPTION_delete_no_wait] != NULL);
}

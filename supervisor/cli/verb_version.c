/* verb_version: which muster this is; asks nobody. */
#include "verbs.h"

int
verb_version(const struct call *call)
{
	(void)call;
	puts("muster " MUSTER_VERSION);
	return CLI_DONE;
}

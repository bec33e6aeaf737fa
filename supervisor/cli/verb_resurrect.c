/*
 * verb_resurrect: starts what `save` wrote down, under the daemon. One that
 * can't be started doesn't keep the others back.
 */
#include "ask_target.h"
#include "daemon.h"
#include "dump.h"
#include "verbs.h"

int
verb_resurrect(const struct call *call)
{
	json_t *dump, *app;
	size_t i;
	int failed = CLI_DONE;
	int code = dump_read("resurrect", &dump);

	(void)call;
	if (code == CLI_DONE)
		code = daemon_ensure();
	if (code != CLI_DONE) {
		json_decref(dump);
		return code;
	}
	json_array_foreach(json_object_get(dump, "apps"), i, app)
	{
		code = ask_method("resurrect", json_incref(app), false, NULL);
		if (code != CLI_DONE)
			failed = code;
	}
	json_decref(dump);
	return failed;
}

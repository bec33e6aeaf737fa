/* verb_save: writes down what runs, for `resurrect`. */
#include "ask_target.h"
#include "dump.h"
#include "verbs.h"

int
verb_save(const struct call *call)
{
	json_t *dump;
	int code = ask_method("dump", json_object(), false, &dump);

	(void)call;
	if (code != CLI_DONE)
		return code;
	code = dump_write("save", dump);
	json_decref(dump);
	return code;
}

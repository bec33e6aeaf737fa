/*
 * verb_start: `run` under the daemon, which is started where none runs. The
 * words go as they are: the daemon reads them by the table of keys, as if it
 * stood where the caller stands.
 */
#include "ask_target.h"
#include "daemon.h"
#include "home_option.h"
#include "run_options.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What isn't UTF-8 can't be said in JSON: variables are left out then, and a
 * word makes the whole NULL. */
static json_t *
list_of(char *const *texts, bool must)
{
	json_t *list = json_array();

	for (; list != NULL && *texts != NULL; texts++) {
		json_t *text = json_string(*texts);

		if (text == NULL && must) {
			json_decref(list);
			return NULL;
		}
		if (text != NULL)
			(void)json_array_append_new(list, text);
	}
	return list;
}

static json_t *
describe(const struct call *call)
{
	extern char **environ;
	char directory[PATH_MAX];
	const char *search = getenv("PATH");

	if (getcwd(directory, sizeof(directory)) == NULL)
		return NULL;
	return json_pack("{s:o*, s:o, s:s, s:s*}", "words",
		list_of(call->words, true), "environment",
		list_of(environ, false), "directory", directory, "search",
		search);
}

int
verb_start(const struct call *call)
{
	const char *home = run_options_home(call->words);
	int code;

	if (home != NULL && !home_option_set(home))
		return CLI_USAGE;
	if (call->count == 0) {
		fputs("muster: start: say which program, file or worker to "
		      "start; muster help start tells how\n",
			stderr);
		return CLI_USAGE;
	}
	code = daemon_ensure();
	if (code != CLI_DONE)
		return code;
	return ask_method("start", describe(call), false, NULL);
}

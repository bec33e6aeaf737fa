/*
 * verb_start: `run` under the daemon, which is started where none runs. The
 * words go as they are: the daemon reads them by the table of keys, as if it
 * stood where the caller stands.
 */
#include "ask_target.h"
#include "config_js.h"
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

/* A file in JavaScript is evaluated here, and stands as JSON in its place. Only
 * the first word that could be one: what follows a program is the program's. */
static int
evaluate(const struct call *call, char *ret_path)
{
	for (char **word = call->words; *word != NULL; word++) {
		if (strcmp(*word, "--") == 0)
			return CLI_DONE;
		if (!config_js_is(*word))
			continue;
		int code = config_js_evaluate("start", *word, ret_path);

		if (code == CLI_DONE)
			*word = ret_path;
		else
			*ret_path = '\0';
		return code;
	}
	return CLI_DONE;
}

int
verb_start(const struct call *call)
{
	const char *home = run_options_home(call->words);
	char path[CONFIG_JS_PATH] = "";
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
	if (code == CLI_DONE)
		code = evaluate(call, path);
	if (code == CLI_DONE)
		code = ask_method("start", describe(call), false, NULL);
	if (*path != '\0')
		unlink(path);
	return code;
}

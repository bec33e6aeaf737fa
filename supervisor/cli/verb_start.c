/*
 * verb_start: `run` under the daemon, which is started where none runs. The
 * words go as they are: the daemon reads them by the table of keys, as if it
 * stood where the caller stands.
 */
#include "ask_target.h"
#include "config_word.h"
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

/* `shown`: how messages call a file that stands for another, or NULL. */
static json_t *
describe(const struct call *call, const char *shown)
{
	extern char **environ;
	char directory[PATH_MAX];
	const char *search = getenv("PATH");
	json_t *words;

	if (getcwd(directory, sizeof(directory)) == NULL)
		return NULL;
	words = list_of(call->words, true);
	if (words != NULL && shown != NULL) {
		(void)json_array_insert_new(
			words, 0, json_string("--temporary-file"));
		(void)json_array_insert_new(words, 1, json_string(shown));
	}
	return json_pack("{s:o*, s:o, s:s, s:s*}", "words", words,
		"environment", list_of(environ, false), "directory", directory,
		"search", search);
}

/* What musterd can't read stands as JSON in its place. Only the first word that
 * isn't an option: what follows a program is the program's. */
static int
write_config(const struct call *call, char *ret_path, const char **ret_shown)
{
	char **word = run_options_first(call->words);
	int code;

	*ret_path = '\0';
	if (word == NULL)
		return CLI_DONE;
	code = config_word_write("start", *word, false, ret_path);
	if (*ret_path != '\0') {
		*ret_shown = config_word_name(*word);
		*word = ret_path;
	}
	return code;
}

int
verb_start(const struct call *call)
{
	const char *home = run_options_home(call->words);
	char path[CONFIG_WORD_PATH] = "";
	const char *shown = NULL;
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
		code = write_config(call, path, &shown);
	if (code == CLI_DONE)
		code = ask_method("start", describe(call, shown), false, NULL);
	if (*path != '\0')
		unlink(path);
	return code;
}

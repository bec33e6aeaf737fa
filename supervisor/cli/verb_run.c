/*
 * verb_run: becomes musterd, in the same process and with the same arguments,
 * so that who started `muster run` has the supervisor's pid. The options are
 * musterd's to judge: it reads them by the table of configuration keys.
 *
 * musterd is taken from beside this executable (daemon.h).
 */
#include "config_word.h"
#include "daemon.h"
#include "home_option.h"
#include "run_options.h"
#include "verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
verb_run(const struct call *call)
{
	char path[PATH_MAX], config[CONFIG_WORD_PATH] = "";
	const char *home = run_options_home(call->words);

	if (home != NULL && !home_option_set(home))
		return CLI_USAGE;
	if (daemon_find("run", path) != CLI_DONE)
		return CLI_FAILED;
	char **word = run_options_first(call->words);
	if (word != NULL &&
		config_word_write("run", *word, false, config) != CLI_DONE)
		return CLI_FAILED;
	char **arguments = calloc((size_t)call->count + 5, sizeof(*arguments));
	if (arguments == NULL) {
		fputs("muster: run: no memory\n", stderr);
		return CLI_FAILED;
	}
	char **rest = arguments + 2;
	arguments[0] = "musterd";
	arguments[1] = "run";
	if (*config != '\0') {
		/* musterd unlinks it: nobody is left here who could. */
		char *given = *word;
		*word = config;
		*rest++ = "--temporary-file";
		*rest++ = config_word_name(given);
	}
	memcpy(rest, call->words, (size_t)call->count * sizeof(*arguments));
	execv(path, arguments);
	fprintf(stderr,
		"muster: run: %s: %s; muster and musterd must lie in "
		"the same folder\n",
		path, strerror(errno));
	free(arguments);
	return CLI_FAILED;
}

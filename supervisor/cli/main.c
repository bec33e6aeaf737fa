/*
 * muster: the command. Takes what stands before the verb off the command line,
 * finds the verb, calls it, and makes its result the exit code. What verbs do
 * is in verb_*.c; whom they talk to is behind client.h.
 */
#include "home_option.h"
#include "verbs.h"

#include <errno.h>
#include <locale.h>
#include <string.h>

/* Takes the options before the verb; returns the verb's place or NULL. */
static char **
take_globals(char **at)
{
	for (; *at != NULL && at[0][0] == '-'; at++) {
		if (strncmp(*at, "--home=", 7) == 0) {
			if (!home_option_set(*at + 7))
				return NULL;
		} else if (strcmp(*at, "--home") == 0) {
			if (!home_option_set(at[1]))
				return NULL;
			at++;
		} else if (strcmp(*at, "--help") == 0 ||
			   strcmp(*at, "-h") == 0) {
			*at = "help";
			break;
		} else if (strcmp(*at, "--version") == 0 ||
			   strcmp(*at, "-V") == 0) {
			*at = "version";
			break;
		} else {
			fprintf(stderr,
				"muster: there is no option '%s' before the "
				"verb; only --home DIR stands there\n",
				*at);
			return NULL;
		}
	}
	return at;
}

/* `muster VERB --help` is `muster help VERB`. */
static bool
asks_for_help(const struct verb *verb, char **words)
{
	if (words[0] == NULL)
		return false;
	if (strcmp(words[0], "--help") != 0 && strcmp(words[0], "-h") != 0)
		return false;
	verbs_print(stdout, verb);
	return true;
}

int
main(int argc, char **argv)
{
	struct call call;

	(void)argc;
	setlocale(LC_CTYPE, "");
	if (argv[0] == NULL)
		return CLI_USAGE;
	char **at = take_globals(argv + 1);
	if (at == NULL)
		return CLI_USAGE;
	if (*at == NULL) {
		verbs_print_all(stderr);
		return CLI_USAGE;
	}
	const struct verb *verb = verbs_find(*at);
	if (verb == NULL) {
		verbs_complain(*at);
		return CLI_USAGE;
	}
	int code = CLI_DONE;
	if (!asks_for_help(verb, at + 1)) {
		if (!verbs_parse(verb, at + 1, &call))
			return CLI_USAGE;
		code = verb->function(&call);
	}
	/* A listing that the disk had no room for isn't done. */
	if (fflush(stdout) != 0 && code == CLI_DONE) {
		/* Who read it has had enough, and knows. */
		if (errno == EPIPE)
			return CLI_FAILED;
		fprintf(stderr, "muster: standard output: %s\n",
			strerror(errno));
		return CLI_FAILED;
	}
	return code;
}

/*
 * run_options: the options of `run` as the command sees them.
 *
 * They are the keys of config/keys.def, and musterd judges them. But the home
 * has to be known before there is a brain that could read them, so --home is
 * looked for here; and the help is printed where nothing else runs.
 */
#include "run_options.h"

#include "verbs.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct run_option {
	const char *name; /* snake_case */
	char letter;
	const char *value; /* "": none follows */
	const char *type;
	const char *help;
};

static const struct run_option options[] = {
#define KEY(name, type, fallback, least, most, change, letter, value, help)    \
	{#name, letter, value, #type, help},
#include "config/keys.def"
	{"raw", 0, "", "BOOL", "Print the workers' output without a prefix."},
	{"json", 0, "", "BOOL", "Print the workers' output as JSON, by line."},
	{"pid_file", 0, "FILE", "PATH", "Write the supervisor's pid there."},
	{"bus", 0, "ADDRESS", "STRING",
		"Let programs outside join at tcp://HOST:PORT."},
	{"bus_token_file", 0, "FILE", "PATH",
		"Its first line is the token that they must know."},
	{"only", 0, "NAME", "STRING", "Of a file's applications this alone."},
	{"update_env", 0, "", "BOOL",
		"start: running applications get the caller's environment."},
	{"no_wait", 0, "", "BOOL",
		"start: return before the workers are ready."},
	{"home", 0, "DIR", "PATH", "The folder of control socket and lock."},
};

enum {
	OPTION_TOTAL = sizeof(options) / sizeof(options[0]),
};

void
run_options_print(FILE *out)
{
	for (size_t i = 0; i < OPTION_TOTAL; i++) {
		const struct run_option *option = &options[i];
		fputs("\n  ", out);
		if (option->letter != '\0')
			fprintf(out, "-%c, ", option->letter);
		fputs("--", out);
		for (const char *at = option->name; *at != '\0'; at++)
			fputc(*at == '_' ? '-' : *at, out);
		if (option->value[0] != '\0')
			fprintf(out, " %s", option->value);
		fprintf(out, "\n      %s", option->help);
	}
	fputc('\n', out);
}

bool
run_options_at(size_t at, struct listed_option *ret_option)
{
	const struct run_option *option = &options[at];

	if (at >= OPTION_TOTAL)
		return false;
	*ret_option = (struct listed_option){
		option->name, option->letter, option->value, option->help};
	return true;
}

/* Names are the same in snake_case, kebab-case and camelCase. */
static bool
is_same_name(const char *a, const char *b)
{
	for (;;) {
		a += *a == '_' || *a == '-';
		b += *b == '_' || *b == '-';
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (*a == '\0')
			return true;
		a++;
		b++;
	}
}

/* Whether a value follows in the next word. */
static bool
takes_word(const char *word)
{
	if (word[1] != '-')
		return word[2] == '\0';
	if (strchr(word, '=') != NULL || strncmp(word, "--no-", 5) == 0)
		return false;
	for (size_t i = 0; i < OPTION_TOTAL; i++)
		if ((strcmp(options[i].type, "BOOL") == 0 ||
			    strcmp(options[i].type, "WATCH") == 0) &&
			is_same_name(word + 2, options[i].name))
			return false;
	return true;
}

const char *
run_options_home(char *const *words)
{
	const char *home = NULL;

	for (; *words != NULL; words++) {
		const char *word = *words;
		if (word[0] != '-' || word[1] == '\0' ||
			strcmp(word, "--") == 0)
			break;
		if (strncmp(word, "--home=", 7) == 0) {
			home = word + 7;
			continue;
		}
		if (!takes_word(word))
			continue;
		if (words[1] == NULL)
			break;
		if (strcmp(word, "--home") == 0)
			home = words[1];
		words++;
	}
	return home;
}

char **
run_options_first(char **words)
{
	for (; *words != NULL && strcmp(*words, "--") != 0; words++) {
		if (words[0][0] != '-' || words[0][1] == '\0')
			return words;
		if (takes_word(*words) && words[1] != NULL)
			words++;
	}
	return NULL;
}

/*
 * verbs: the command line against the table in control/verbs.def.
 *
 * Finds the verb, sorts options from words, prints the help: all from the one
 * table, so that none of them can forget an entry. What a verb does is in its
 * own file; the options of `run` are musterd's to judge.
 */
#include "verbs.h"

#include "home_option.h"
#include "nearest.h"
#include "run_options.h"

#include <string.h>

static const struct verb table[] = {
#define VERB_RAW(name, aliases, arguments, help)                               \
	{#name, aliases, arguments, 0, 0, true, help, verb_##name},
#define VERB(name, aliases, arguments, least, most, help)                      \
	{#name, aliases, arguments, least, most, false, help, verb_##name},
#include "control/verbs.def"
};

struct option {
	const char *verb;
	const char *name; /* with _ for - */
	char letter;
	const char *argument;
	const char *help;
};

static const struct option options[OPTION_COUNT] = {
#define OPTION(verb, name, letter, argument, help)                             \
	[OPTION_##verb##_##name] = {#verb, #name, letter, argument, help},
#include "control/verbs.def"
};

enum {
	VERB_COUNT = sizeof(table) / sizeof(table[0]),
	NAME_SIZE = 64, /* of a mistyped option, cut there */
};

/* Compares `word` with a name of C, where _ stands for -. */
static bool
is_name(const char *word, size_t length, const char *name)
{
	for (size_t i = 0; i < length; i++)
		if (name[i] != (word[i] == '-' ? '_' : word[i]))
			return false;
	return name[length] == '\0';
}

static void
print_name(FILE *out, const char *name)
{
	for (; *name != '\0'; name++)
		fputc(*name == '_' ? '-' : *name, out);
}

/* The verb, its options and its words: "events [-f] [--json]". */
static void
print_usage(FILE *out, const struct verb *verb)
{
	fputs(verb->name, out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strcmp(options[i].verb, verb->name) != 0)
			continue;
		fputs(" [", out);
		if (options[i].letter != '\0') {
			fprintf(out, "-%c", options[i].letter);
		} else {
			fputs("--", out);
			print_name(out, options[i].name);
		}
		if (options[i].argument[0] != '\0')
			fprintf(out, " %s", options[i].argument);
		fputc(']', out);
	}
	if (verb->arguments[0] != '\0')
		fprintf(out, " %s", verb->arguments);
}

static bool
is_alias(const char *name, const char *aliases)
{
	size_t length = strlen(name);

	while (length > 0 && *aliases != '\0') {
		size_t next = strcspn(aliases, " ");
		if (next == length && strncmp(name, aliases, length) == 0)
			return true;
		aliases += next + (aliases[next] == ' ');
	}
	return false;
}

const struct verb *
verbs_at(size_t at)
{
	return at < VERB_COUNT ? &table[at] : NULL;
}

bool
verbs_option_at(
	const struct verb *verb, size_t at, struct listed_option *ret_option)
{
	if (verb->raw)
		return run_options_at(at, ret_option);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strcmp(options[i].verb, verb->name) != 0 || at-- > 0)
			continue;
		*ret_option = (struct listed_option){options[i].name,
			options[i].letter, options[i].argument,
			options[i].help};
		return true;
	}
	return false;
}

const struct verb *
verbs_find(const char *name)
{
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (strcmp(table[i].name, name) == 0 ||
			is_alias(name, table[i].aliases))
			return &table[i];
	return NULL;
}

void
verbs_complain(const char *name)
{
	const char *known[VERB_COUNT];

	for (size_t i = 0; i < VERB_COUNT; i++)
		known[i] = table[i].name;
	const char *near = nearest_word(name, known, VERB_COUNT);
	if (near != NULL)
		fprintf(stderr,
			"muster: there is no verb '%s'; did you mean '%s'?\n",
			name, near);
	else
		fprintf(stderr,
			"muster: there is no verb '%s'; see 'muster help'\n",
			name);
}

static void
complain_option(const struct verb *verb, const char *word)
{
	const char *known[OPTION_COUNT];
	char typed[NAME_SIZE];

	/* The table writes _ for -; so must the word for a fair measure. */
	snprintf(typed, sizeof(typed), "%s", word + strspn(word, "-"));
	typed[strcspn(typed, "=")] = '\0';
	for (char *at = typed; *at != '\0'; at++)
		if (*at == '-')
			*at = '_';
	for (size_t i = 0; i < OPTION_COUNT; i++)
		known[i] = strcmp(options[i].verb, verb->name) == 0
				   ? options[i].name
				   : NULL;
	const char *near = nearest_word(typed, known, OPTION_COUNT);
	fprintf(stderr, "muster: %s has no option '%s'", verb->name, word);
	if (near != NULL) {
		fputs("; did you mean '--", stderr);
		print_name(stderr, near);
		fputs("'?\n", stderr);
	} else {
		fprintf(stderr, "; see 'muster help %s'\n", verb->name);
	}
}

/* The option that `word` (-x, --name or --name=value) is, or OPTION_COUNT. */
static size_t
find_option(const struct verb *verb, const char *word)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strcmp(options[i].verb, verb->name) != 0)
			continue;
		if (word[1] == '-') {
			size_t length = strcspn(word + 2, "=");
			if (is_name(word + 2, length, options[i].name))
				return i;
		} else if (options[i].letter != '\0' &&
			   word[1] == options[i].letter && word[2] == '\0') {
			return i;
		}
	}
	return OPTION_COUNT;
}

/*
 * Takes the option at `words[0]`. Returns how many words it took, or 0 after a
 * line on stderr.
 */
static int
take_option(const struct verb *verb, char **words, struct call *call)
{
	size_t option = find_option(verb, words[0]);

	if (option == OPTION_COUNT) {
		complain_option(verb, words[0]);
		return 0;
	}
	const char *value = strchr(words[0], '=');
	bool wants = options[option].argument[0] != '\0';
	if (!wants && value != NULL) {
		fprintf(stderr, "muster: %s: '%s' takes no value\n", verb->name,
			words[0]);
		return 0;
	}
	if (wants && value == NULL && words[1] == NULL) {
		fprintf(stderr, "muster: %s: '%s' needs a value: %s\n",
			verb->name, words[0], options[option].argument);
		return 0;
	}
	if (!wants) {
		call->values[option] = "";
		return 1;
	}
	call->values[option] = value != NULL ? value + 1 : words[1];
	return value != NULL ? 1 : 2;
}

/* `--home DIR` may stand behind the verb, too. Returns how many words it took:
 * 0 is another option; -1 after a line on stderr. */
static int
take_home(char **words)
{
	const char *folder = NULL;
	int taken = 0;

	if (strcmp(words[0], "--home") == 0) {
		folder = words[1];
		taken = 2;
	} else if (strncmp(words[0], "--home=", 7) == 0) {
		folder = words[0] + 7;
		taken = 1;
	}
	return taken == 0 || home_option_set(folder) ? taken : -1;
}

static bool
check_count(const struct verb *verb, const struct call *call)
{
	if (call->count >= verb->least && call->count <= verb->most)
		return true;
	if (call->count < verb->least)
		fprintf(stderr, "muster: %s needs more: muster ", verb->name);
	else
		fprintf(stderr,
			"muster: %s: '%s' is one word too many: muster ",
			verb->name, call->words[verb->most]);
	print_usage(stderr, verb);
	fputc('\n', stderr);
	return false;
}

/* - alone is stdin, and -1 a number. */
static bool
is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0' &&
	       !(word[1] >= '0' && word[1] <= '9');
}

bool
verbs_parse(const struct verb *verb, char **words, struct call *ret_call)
{
	struct call call = {.words = words};
	bool only_words = verb->raw;

	for (char **at = words; *at != NULL;) {
		if (!only_words && strcmp(*at, "--") == 0) {
			only_words = true;
			at++;
		} else if (!only_words && is_option(*at)) {
			int taken = take_home(at);
			if (taken == 0)
				taken = take_option(verb, at, &call);
			if (taken <= 0)
				return false;
			at += taken;
		} else {
			words[call.count++] = *at++;
		}
	}
	words[call.count] = NULL;
	if (!verb->raw && !check_count(verb, &call))
		return false;
	*ret_call = call;
	return true;
}

void
verbs_print_all(FILE *out)
{
	fputs("usage: muster [--home DIR] VERB [ARGUMENTS]\n\n", out);
	for (size_t i = 0; i < VERB_COUNT; i++)
		fprintf(out, "  %-9s %s\n", table[i].name, table[i].help);
	fputs("\nTARGET is an application's name, a worker's id, ns:NAME for a "
	      "namespace, or all.\n"
	      "'muster help VERB' tells the rest; the manual is muster(1).\n",
		out);
}

void
verbs_print(FILE *out, const struct verb *verb)
{
	fputs("usage: muster [--home DIR] ", out);
	print_usage(out, verb);
	fprintf(out, "\n\n%s.\n", verb->help);
	if (verb->aliases[0] != '\0')
		fprintf(out, "Also called: %s.\n", verb->aliases);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strcmp(options[i].verb, verb->name) != 0)
			continue;
		fputs("\n  ", out);
		if (options[i].letter != '\0')
			fprintf(out, "-%c, ", options[i].letter);
		fputs("--", out);
		print_name(out, options[i].name);
		if (options[i].argument[0] != '\0')
			fprintf(out, " %s", options[i].argument);
		fprintf(out, "\n      %s", options[i].help);
	}
	if (verb->raw)
		run_options_print(out);
	else
		fputc('\n', out);
}

/*
 * verbs.h: the table of verbs (control/verbs.def) and how a command line is
 * taken apart by it.
 */
#ifndef MUSTER_VERBS_H
#define MUSTER_VERBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit codes of the command. */
enum {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NO_DAEMON = 3,
	CLI_NO_SUCH = 4, /* no such application or worker */
};

enum verbs_option {
#define OPTION(verb, name, letter, argument, help) OPTION_##verb##_##name,
#include "control/verbs.def"
	OPTION_COUNT
};

/* One call of a verb; everything in it is borrowed from argv. */
struct call {
	char **words; /* behind the verb, without options; NULL at the end */
	int count;    /* of words */
	const char *values[OPTION_COUNT]; /* "" for an option without argument,
					     NULL where it wasn't given */
};

struct verb {
	const char *name;
	const char *aliases;   /* separated by a blank */
	const char *arguments; /* for people */
	int least, most;       /* words behind the verb */
	bool raw;	       /* words are handed on, options too */
	const char *help;
	/* Does it; returns the exit code, has said what went wrong. */
	int (*function)(const struct call *call);
};

/* Each verb's function, verb_NAME(), stands in cli/verb_NAME.c. */
#define VERB_RAW(name, aliases, arguments, help)                               \
	int verb_##name(const struct call *call);
#define VERB(name, aliases, arguments, least, most, help)                      \
	int verb_##name(const struct call *call);
#include "control/verbs.def"

/* The verb at index `at`, from 0 on, or NULL. */
const struct verb *verbs_at(size_t at);

/* An option of a verb; the name is in snake_case. */
struct listed_option {
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* "": none follows */
	const char *help;
};

/* The option of `verb` at index `at`, from 0 on; false: there are no more. */
bool verbs_option_at(
	const struct verb *verb, size_t at, struct listed_option *ret_option);

/* The verb of this name or alias, or NULL. */
const struct verb *verbs_find(const char *name);

/*
 * Takes the words behind the verb apart. `words` (NULL-terminated) is put into
 * another order: `ret_call` borrows from it.
 * Returns true; or false, after a line on stderr that says what is wrong.
 */
bool verbs_parse(const struct verb *verb, char **words, struct call *ret_call);

/* Says on stderr that there is no such verb, and which is near. */
void verbs_complain(const char *name);

/* Prints the list of verbs. */
void verbs_print_all(FILE *out);

/* Prints all about one verb. */
void verbs_print(FILE *out, const struct verb *verb);

#endif

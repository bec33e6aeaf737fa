/*
 * verb_completion: scripts for three shells, all from the table of verbs. Names
 * of applications are asked of the supervisor when they are wanted.
 */
#include "verbs.h"

#include <string.h>

/* What a shell runs to list the applications, a name a line. */
#define NAMES                                                                  \
	"muster ls --json 2>/dev/null | grep -o '\"app\":\"[^\"]*\"' | "       \
	"cut -d'\"' -f4 | sort -u"

static bool
takes_target(const struct verb *verb)
{
	return strstr(verb->arguments, "TARGET") != NULL ||
	       strncmp(verb->arguments, "APP", 3) == 0;
}

static bool
takes_file(const struct verb *verb)
{
	return strstr(verb->arguments, "FILE") != NULL;
}

static void
print_kebab(const char *name)
{
	for (; *name != '\0'; name++)
		putchar(*name == '_' ? '-' : *name);
}

/* "--json -f", all of a verb. */
static void
print_options(const struct verb *verb)
{
	struct listed_option option;

	for (size_t i = 0; verbs_option_at(verb, i, &option); i++) {
		printf("%s--", i > 0 ? " " : "");
		print_kebab(option.name);
		if (option.letter != '\0')
			printf(" -%c", option.letter);
	}
}

/* "ls|list|status". */
static void
print_names(const struct verb *verb, char separator)
{
	fputs(verb->name, stdout);
	if (verb->aliases[0] != '\0')
		putchar(separator);
	for (const char *at = verb->aliases; *at != '\0'; at++)
		putchar(*at == ' ' ? separator : *at);
}

/* Between single quotes: 'it'\''s'. */
static void
print_quoted(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
}

/* The verbs' names with `wanted`, as a pattern of the shell's case. */
static void
print_case(bool (*wanted)(const struct verb *verb))
{
	const struct verb *verb;
	bool is_first = true;

	for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++) {
		if (!wanted(verb))
			continue;
		if (!is_first)
			putchar('|');
		is_first = false;
		print_names(verb, '|');
	}
}

static void
print_bash(void)
{
	const struct verb *verb;

	fputs("# bash completion of muster\n"
	      "_muster()\n{\n"
	      "\tlocal current=${COMP_WORDS[COMP_CWORD]} verb= options= i\n"
	      "\tCOMPREPLY=()\n"
	      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\tcase ${COMP_WORDS[i]} in\n"
	      "\t\t--home) ((i++)) ;;\n"
	      "\t\t-*) ;;\n"
	      "\t\t*) verb=${COMP_WORDS[i]}; break ;;\n"
	      "\t\tesac\n"
	      "\tdone\n"
	      "\tif [[ -z $verb ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"--home",
		stdout);
	for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++)
		printf(" %s", verb->name);
	fputs("\" -- \"$current\"))\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase $verb in\n",
		stdout);
	for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++) {
		fputs("\t", stdout);
		print_names(verb, '|');
		fputs(") options=\"", stdout);
		print_options(verb);
		fputs("\" ;;\n", stdout);
	}
	fputs("\tesac\n"
	      "\tif [[ $current == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase $verb in\n"
	      "\t",
		stdout);
	print_case(takes_file);
	fputs(") compopt -o default 2>/dev/null ;;&\n\t", stdout);
	print_case(takes_target);
	fputs(") COMPREPLY=($(compgen -W \"all $(" NAMES
	      ")\" -- \"$current\")) ;;\n"
	      "\tesac\n"
	      "}\n"
	      "complete -F _muster muster\n",
		stdout);
}

static void
print_zsh(void)
{
	const struct verb *verb;

	fputs("#compdef muster\n"
	      "_muster() {\n"
	      "\tlocal -a verbs\n"
	      "\tverbs=(\n",
		stdout);
	for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++) {
		printf("\t\t'%s:", verb->name);
		print_quoted(verb->help);
		fputs("'\n", stdout);
	}
	fputs("\t)\n"
	      "\tif ((CURRENT == 2)); then\n"
	      "\t\t_describe verb verbs\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase $words[2] in\n",
		stdout);
	for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++) {
		fputs("\t", stdout);
		print_names(verb, '|');
		fputs(") [[ $PREFIX == -* ]] && compadd -- ", stdout);
		print_options(verb);
		fputs(" ;;\n", stdout);
	}
	fputs("\tesac\n"
	      "\tcase $words[2] in\n"
	      "\t",
		stdout);
	print_case(takes_file);
	fputs(") _files ;;\n"
	      "\tesac\n"
	      "\tcase $words[2] in\n"
	      "\t",
		stdout);
	print_case(takes_target);
	fputs(") compadd -- all ${(f)\"$(" NAMES ")\"} ;;\n"
	      "\tesac\n"
	      "}\n"
	      "_muster \"$@\"\n",
		stdout);
}

static void
print_fish_verb(const struct verb *verb)
{
	struct listed_option option;

	printf("complete -c muster -f -n __fish_use_subcommand -a %s -d '",
		verb->name);
	print_quoted(verb->help);
	fputs("'\n", stdout);
	for (size_t i = 0; verbs_option_at(verb, i, &option); i++) {
		fputs("complete -c muster -n '__fish_seen_subcommand_from ",
			stdout);
		print_names(verb, ' ');
		fputs("' -l ", stdout);
		print_kebab(option.name);
		if (option.letter != '\0')
			printf(" -s %c", option.letter);
		if (option.argument[0] != '\0')
			fputs(" -r", stdout);
		fputs(" -d '", stdout);
		print_quoted(option.help);
		fputs("'\n", stdout);
	}
	if (!takes_target(verb))
		return;
	fputs("complete -c muster -f -n '__fish_seen_subcommand_from ", stdout);
	print_names(verb, ' ');
	fputs("' -a 'all (__muster_apps)'\n", stdout);
}

static void
print_fish(void)
{
	const struct verb *verb;

	fputs("function __muster_apps\n\t" NAMES "\nend\n", stdout);
	for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++)
		print_fish_verb(verb);
}

int
verb_completion(const struct call *call)
{
	const char *shell = call->words[0];

	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else {
		fprintf(stderr,
			"muster: completion: '%s' is none of bash, zsh and "
			"fish\n",
			shell);
		return CLI_USAGE;
	}
	return CLI_DONE;
}

#include "verbs.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>

static struct call call;

/* Parses words behind the verb; at most 8 of them. */
static bool
parse(const char *verb, char **words)
{
	/* What `call` borrows has to outlive the caller's block. */
	static char *kept[9];
	size_t count = 0;
	const struct verb *found = verbs_find(verb);

	cr_assert_not_null(found);
	for (; words[count] != NULL && count < 8; count++)
		kept[count] = words[count];
	kept[count] = NULL;
	return verbs_parse(found, kept, &call);
}

#define PARSE(verb, ...) parse(verb, (char *[]){__VA_ARGS__})

Test(verbs, are_found_by_name_and_alias)
{
	cr_expect_str_eq(verbs_find("ls")->name, "ls");
	cr_expect_str_eq(verbs_find("list")->name, "ls");
	cr_expect_str_eq(verbs_find("status")->name, "ls");
	cr_expect_null(verbs_find("lis"));
	cr_expect_null(verbs_find("list status"));
	cr_expect_null(verbs_find(""));
}

Test(verbs, sort_options_from_words)
{
	cr_assert(PARSE("events", "-f", "--json", NULL));
	cr_expect_not_null(call.values[OPTION_events_follow]);
	cr_expect_not_null(call.values[OPTION_events_json]);
	cr_expect_eq(call.count, 0);

	cr_assert(PARSE("reload", "api", "--no-wait", NULL));
	cr_expect_not_null(call.values[OPTION_reload_no_wait]);
	cr_expect_eq(call.count, 1);
	cr_expect_str_eq(call.words[0], "api");
	cr_expect_null(call.words[1]);
}

Test(verbs, take_numbers_and_a_dash_as_words)
{
	cr_assert(PARSE("send", "3", "-5", NULL));
	cr_expect_str_eq(call.words[1], "-5");
	cr_assert(PARSE("send", "all", "-", NULL));
	cr_expect_str_eq(call.words[1], "-");
	cr_assert(PARSE("send", "--", "--json", "1", NULL));
	cr_expect_str_eq(call.words[0], "--json");
}

Test(verbs, hand_the_words_of_run_on)
{
	cr_assert(PARSE("run", "-n", "4", "--", "prog", "--json", NULL));
	cr_expect_eq(call.count, 5);
	cr_expect_str_eq(call.words[2], "--");
	cr_expect_str_eq(call.words[4], "--json");
}

Test(verbs, name_the_nearest, .init = cr_redirect_stderr)
{
	cr_expect_not(PARSE("ls", "--jsno", NULL));
	cr_expect_not(PARSE("reload", "api", "--nowait", NULL));
	cr_expect_not(PARSE("ls", "--frobnicate", NULL));
	verbs_complain("relaod");
	verbs_complain("xyzzy");
	fflush(stderr);
	cr_expect_stderr_eq_str(
		"muster: ls has no option '--jsno'; "
		"did you mean '--json'?\n"
		"muster: reload has no option '--nowait'; "
		"did you mean '--no-wait'?\n"
		"muster: ls has no option '--frobnicate'; "
		"see 'muster help ls'\n"
		"muster: there is no verb 'relaod'; did you mean 'reload'?\n"
		"muster: there is no verb 'xyzzy'; see 'muster help'\n");
}

Test(verbs, count_their_words, .init = cr_redirect_stderr)
{
	cr_expect_not(PARSE("reload", NULL));
	cr_expect_not(PARSE("send", "all", NULL));
	cr_expect_not(PARSE("ls", "api", NULL));
	cr_expect_not(PARSE("ls", "--json=1", NULL));
	fflush(stderr);
	cr_expect_stderr_eq_str(
		"muster: reload needs more: muster reload [--no-wait] TARGET\n"
		"muster: send needs more: muster send TARGET JSON\n"
		"muster: ls: 'api' is one word too many: muster ls [--json]\n"
		"muster: ls: '--json=1' takes no value\n");
}

Test(verbs, help_names_the_options_of_a_verb)
{
	static const char *const words[] = {"events", "reload", "ping"};
	static const char *const heads[] = {
		"usage: muster [--home DIR] events [-f] [--json]\n",
		"usage: muster [--home DIR] reload [--no-wait] TARGET\n",
		"usage: muster [--home DIR] ping\n"};

	for (size_t i = 0; i < 3; i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);

		cr_assert_not_null(out);
		verbs_print(out, verbs_find(words[i]));
		fclose(out);
		cr_expect_eq(strncmp(text, heads[i], strlen(heads[i])), 0, "%s",
			text);
		free(text);
	}
}

/* options: the command line of run, right and wrong. */
#include "config/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(options, .timeout = 20);

static struct config_error said;

static int
parse_in(const struct config_place *place, struct options *options,
	char *const *argv)
{
	int argc = 0;

	while (argv[argc] != NULL)
		argc++;
	said.text[0] = '\0';
	return options_parse(argc, argv, place, options, &said);
}

static int
parse(struct options *options, char *const *argv)
{
	struct config_place place = {
		.directory = "/nowhere", .search = "/usr/bin:/bin"};

	return parse_in(&place, options, argv);
}

#define PARSE(options, ...) parse(options, (char *[]){__VA_ARGS__, NULL})

/* It is refused with this result and these words. */
#define REFUSED(result, words, ...)                                            \
	do {                                                                   \
		struct options none = {0};                                     \
		cr_expect_eq(PARSE(&none, __VA_ARGS__), result);               \
		cr_expect_neq(strstr(said.text, words), NULL,                  \
			"\"%s\" doesn't say \"%s\"", said.text, words);        \
		cr_expect_eq(none.set.count, 0);                               \
	} while (0)

Test(options, program_and_arguments)
{
	struct options o;
	struct app_config *app;

	cr_assert_eq(PARSE(&o, "-n", "4", "-l", "127.0.0.1:8080", "--", "sh",
			     "-c", "--help", "--", "x"),
		0, "%s", said.text);
	cr_assert_eq(o.set.count, 1);
	app = o.set.apps[0];
	cr_expect_eq(app->instances, 4);
	cr_expect_eq(app->listen.count, 1);
	cr_expect_str_eq(app->name, "sh");
	cr_expect_str_eq(app->program, "/usr/bin/sh");
	cr_expect_str_eq(app->argv[1], "-c");
	cr_expect_str_eq(app->argv[2], "--help");
	cr_expect_str_eq(app->argv[3], "--");
	cr_expect_str_eq(app->argv[4], "x");
	cr_expect_eq(app->argv[5], NULL);
	cr_expect_eq(o.file, NULL);
	options_fini(&o);
	cr_expect_eq(o.set.count, 0);
}

Test(options, every_way_to_write_an_option)
{
	struct options o;
	struct app_config *app;

	cr_assert_eq(PARSE(&o, "-n3", "--kill-timeout=5s", "--wait-ready",
			     "--no-autorestart", "-eA=1", "--env", "B=x=y",
			     "--listen=8080", "-l", "[::1]:9", "--name", "api",
			     "--no-new-privs", "--limits", "nofile=10:20",
			     "--stop-exit-codes", "1,2", "--cwd", "sub",
			     "--raw", "--json", "--home", "h",
			     "--pid-file=/run/p", "./prog", "--raw"),
		0, "%s", said.text);
	app = o.set.apps[0];
	cr_expect_eq(app->instances, 3);
	cr_expect_eq(app->kill_timeout, 5000);
	cr_expect_eq(app->wait_ready, 1);
	cr_expect_eq(app->autorestart, 0);
	cr_expect_eq(app->no_new_privs, 1);
	cr_expect_str_eq(app->env[0], "A=1");
	cr_expect_str_eq(app->env[1], "B=x=y");
	cr_expect_eq(app->listen.count, 2);
	cr_expect_str_eq(app->name, "api");
	cr_expect_eq(app->limits.entries[0].hard, 20);
	cr_expect_eq(app->stop_exit_codes.count, 2);
	cr_expect_str_eq(app->cwd, "/nowhere/sub");
	/* By the caller's folder, not by --cwd. */
	cr_expect_str_eq(app->program, "/nowhere/prog");
	cr_expect_str_eq(app->argv[1], "--raw");
	cr_expect_eq(o.raw, true);
	cr_expect_eq(o.json, true);
	cr_expect_str_eq(o.home, "/nowhere/h");
	cr_expect_str_eq(o.pid_file, "/run/p");
	options_fini(&o);
}

Test(options, last_one_wins)
{
	struct options o;

	cr_assert_eq(PARSE(&o, "-n", "4", "-n", "2", "--wait-ready",
			     "--no-wait-ready", "--home=a", "--home=/b", "x"),
		0);
	cr_expect_eq(o.set.apps[0]->instances, 2);
	cr_expect_eq(o.set.apps[0]->wait_ready, 0);
	cr_expect_str_eq(o.home, "/b");
	options_fini(&o);
	cr_assert_eq(PARSE(&o, "--script", "sh", "--args", "-c 'a b'"), 0);
	cr_expect_str_eq(o.set.apps[0]->argv[2], "a b");
	options_fini(&o);
}

Test(options, wrong_usage)
{
	REFUSED(-EINVAL, "say which program", NULL);
	REFUSED(-EINVAL, "say which program", "-n", "2", "--");
	REFUSED(-EINVAL, "did you mean --instances?", "--instance", "2", "x");
	REFUSED(-EINVAL, "did you mean --kill-timeout?", "--kill-timeuot=3",
		"x");
	REFUSED(-EINVAL, "did you mean --no-autorestart?", "--no-autorestrat",
		"x");
	REFUSED(-EINVAL, "did you mean --raw?", "--rwa", "x");
	REFUSED(-EINVAL, "--qqqqqqqqq is an unknown option", "--qqqqqqqqq");
	REFUSED(-EINVAL, "-z is an unknown option", "-z", "x");
	REFUSED(-EINVAL, "unknown option", "--no-instances", "x");
	REFUSED(-EINVAL, "unknown option", "--=x", "x");
	REFUSED(-EINVAL, "--name needs a value", "--name");
	REFUSED(-EINVAL, "-n needs a value", "-n");
	REFUSED(-EINVAL, "--raw takes no value", "--raw=1", "x");
	REFUSED(-EINVAL, "\"A\" is no KEY=VALUE", "-e", "A", "x");
	REFUSED(-EINVAL, "--instances: \"many\" is not allowed", "-n", "many",
		"x");
	REFUSED(-EINVAL, "--kill-timeout: \"soon\"", "--kill-timeout", "soon",
		"x");
	REFUSED(-EINVAL, "already given", "--script", "a", "b");
	REFUSED(-EINVAL, "by --args", "--args", "a", "b", "c");
	REFUSED(-EINVAL, "name is empty", "");
	REFUSED(-EINVAL, "UTF-8", "x", "\xff");
}

Test(options, wrong_machine)
{
	REFUSED(-EBADMSG, "no such user", "--user", "no-such-user", "x");
	REFUSED(-EBADMSG, "/nowhere/x.json can't be read", "x.json");
}

Test(options, file)
{
	struct config_place place = {.directory = "/tmp/muster-options-XXXXXX"};
	char path[CONFIG_PATH_SIZE + 16];
	char *right[] = {"--raw", "x.json", NULL};
	char *more[] = {"x.json", "y", NULL};
	char *both[] = {"--kill-timeout", "3", "x.json", NULL};
	char *program[] = {"--", "./x.json", NULL};
	struct options o = {0};
	FILE *file;

	cr_assert_neq(mkdtemp(place.directory), NULL);
	snprintf(path, sizeof(path), "%s/x.json", place.directory);
	file = fopen(path, "w");
	cr_assert_neq(file, NULL);
	fputs("[{\"script\":\"a\"},{\"script\":\"b\"}]", file);
	fclose(file);
	cr_assert_eq(parse_in(&place, &o, right), 0, "%s", said.text);
	cr_expect_eq(o.set.count, 2);
	cr_expect_eq(o.raw, true);
	cr_expect_str_eq(o.file, path);
	options_fini(&o);
	cr_expect_eq(parse_in(&place, &o, more), -EINVAL);
	cr_expect_eq(parse_in(&place, &o, both), -EINVAL);
	cr_expect_neq(strstr(said.text, "--kill-timeout:"), NULL);
	cr_assert_eq(parse_in(&place, &o, program), 0);
	cr_expect_eq(o.file, NULL);
	options_fini(&o);
	unlink(path);
	rmdir(place.directory);
}

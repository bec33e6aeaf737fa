/*
 * config: defaults, every kind of value, wrong ones with their words, the
 * sealed form, files in their three shapes, the environment.
 */
#include "config/config.h"
#include "config/config_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(config, .timeout = 20);

static struct config_place
place(void)
{
	return (struct config_place){
		.directory = "/nowhere", .search = "/usr/bin:/bin"};
}

static struct app_config *
build(const char *text)
{
	struct config_place here = place();
	struct config_error error = {""};
	struct app_config *config = NULL;
	json_t *object = json_loads(text, 0, NULL);

	cr_assert_neq(object, NULL, "the test's JSON is wrong: %s", text);
	cr_assert_eq(config_from_json(object, &here, "", &config, &error), 0,
		"%s: %s", text, error.text);
	json_decref(object);
	return config;
}

/* What is said of a wrong configuration; static. */
static const char *
refused(const char *text)
{
	static struct config_error error;
	struct config_place here = place();
	struct app_config *config = NULL;
	json_t *object =
		json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	int result;

	error.text[0] = '\0';
	cr_assert_neq(object, NULL, "the test's JSON is wrong: %s", text);
	result = config_from_json(object, &here, "apps[2]", &config, &error);
	cr_assert_lt(result, 0, "%s is taken", text);
	cr_assert_eq(config, NULL);
	json_decref(object);
	return error.text;
}

static void
says(const char *text, const char *what)
{
	const char *error = refused(text);

	cr_expect_neq(strstr(error, what), NULL, "\"%s\" doesn't say \"%s\"",
		error, what);
}

Test(config, defaults)
{
	struct app_config *c = build("{\"script\":\"/opt/my prog.x\"}");

	cr_expect_str_eq(c->name, "my_prog.x");
	cr_expect_str_eq(c->namespace, "default");
	cr_expect_str_eq(c->program, "/opt/my prog.x");
	cr_expect_str_eq(c->argv[0], "/opt/my prog.x");
	cr_expect_eq(c->argv[1], NULL);
	cr_expect_str_eq(c->cwd, "/nowhere");
	cr_expect_str_eq(c->interpreter, "none");
	cr_expect_eq(c->instances, 1);
	cr_expect_eq(c->listen.count, 0);
	cr_expect_eq(c->wait_ready, 0);
	cr_expect_eq(c->listen_timeout, 3000);
	cr_expect_eq(c->kill_signal, SIGTERM);
	cr_expect_eq(c->kill_timeout, 10000);
	cr_expect_eq(c->reload_batch.number, 1);
	cr_expect_eq(c->reload_soak, 1000);
	cr_expect_eq(c->autorestart, 1);
	cr_expect_eq(c->restart_delay, 0);
	cr_expect_eq(c->exp_backoff_restart_delay, 100);
	cr_expect_eq(c->max_restarts, CONFIG_UNSET);
	cr_expect_eq(c->min_uptime, 1000);
	cr_expect_eq(c->stop_exit_codes.count, 0);
	cr_expect_eq(c->exit_when, CONFIG_EXIT_STOPPED);
	cr_expect_eq(c->queue_limit, 8 << 20);
	cr_expect_eq(c->max_message, 16 << 20);
	cr_expect_eq(c->stall_timeout, 10000);
	cr_expect_eq(c->user, CONFIG_UNSET);
	cr_expect_eq(c->umask, CONFIG_UNSET);
	cr_expect_eq(c->nice, CONFIG_UNSET);
	cr_expect_eq(c->no_new_privs, 0);
	config_free(&c);
	cr_expect_eq(c, NULL);
	config_free(&c);
}

Test(config, kinds_of_values)
{
	struct app_config *c = build(
		"{\"command\":\"/bin/sh\",\"args\":\"-c 'a b' c\\\\ d "
		"\\\"\\\"\","
		"\"killTimeout\":\"5s\",\"queue_limit\":\"2M\",\"instances\":"
		"\"3\","
		"\"kill_signal\":\"usr2\",\"umask\":\"027\",\"nice\":-5,"
		"\"stop_exit_codes\":[0,3],\"reload_batch\":\"25%\","
		"\"wait_ready\":true,\"exit_when\":\"never\",\"max_restarts\":"
		"null,"
		"\"env\":{\"A\":\"x=y\",\"B\":7,\"C\":true},"
		"\"limits\":{\"nofile\":[100,\"unlimited\"],\"core\":0}}");

	cr_expect_str_eq(c->argv[1], "-c");
	cr_expect_str_eq(c->argv[2], "a b");
	cr_expect_str_eq(c->argv[3], "c d");
	cr_expect_str_eq(c->argv[4], "");
	cr_expect_eq(c->argv[5], NULL);
	cr_expect_eq(c->kill_timeout, 5000);
	cr_expect_eq(c->queue_limit, 2 << 20);
	cr_expect_eq(c->instances, 3);
	cr_expect_eq(c->kill_signal, SIGUSR2);
	cr_expect_eq(c->umask, 027);
	cr_expect_eq(c->nice, -5);
	cr_expect_eq(c->stop_exit_codes.count, 2);
	cr_expect_eq(c->stop_exit_codes.numbers[1], 3);
	cr_expect_eq(config_portion_of(c->reload_batch, 10), 2);
	cr_expect_eq(config_portion_of(c->reload_batch, 2), 1);
	cr_expect_eq(c->wait_ready, 1);
	cr_expect_eq(c->exit_when, CONFIG_EXIT_NEVER);
	cr_expect_str_eq(c->env[0], "A=x=y");
	cr_expect_str_eq(c->env[1], "B=7");
	cr_expect_str_eq(c->env[2], "C=true");
	cr_expect_eq(c->limits.count, 2);
	cr_expect_eq(c->limits.entries[0].resource, RLIMIT_NOFILE);
	cr_expect_eq(c->limits.entries[0].soft, 100);
	cr_expect_eq(c->limits.entries[0].hard, RLIM_INFINITY);
	config_free(&c);
}

Test(config, instances)
{
	struct app_config *most =
		build("{\"script\":\"x\",\"instances\":\"max\"}");
	struct app_config *zero = build("{\"script\":\"x\",\"instances\":0}");
	struct app_config *fewer = build("{\"script\":\"x\",\"instances\":-1}");

	cr_expect_geq(most->instances, 1);
	cr_expect_eq(zero->instances, most->instances);
	cr_expect_eq(fewer->instances,
		most->instances > 1 ? most->instances - 1 : 1);
	config_free(&most);
	config_free(&zero);
	config_free(&fewer);
}

static void
check_address(const char *written, const char *address, const char *host,
	unsigned port, bool is_ipv6)
{
	char text[200];
	struct app_config *c;

	snprintf(text, sizeof(text), "{\"script\":\"x\",\"listen\":%s}",
		written);
	c = build(text);
	cr_assert_eq(c->listen.count, 1);
	cr_expect_str_eq(c->listen.entries[0].address, address);
	cr_expect_str_eq(c->listen.entries[0].host, host);
	cr_expect_eq(c->listen.entries[0].port, port);
	cr_expect_eq(c->listen.entries[0].is_ipv6, is_ipv6);
	config_free(&c);
}

Test(config, addresses)
{
	struct app_config *c;

	check_address("8080", "tcp://[::]:8080", "", 8080, false);
	check_address("\"8080\"", "tcp://[::]:8080", "", 8080, false);
	check_address("[\"*:1\"]", "tcp://[::]:1", "", 1, false);
	check_address("\"[::]:80\"", "tcp://[::]:80", "", 80, false);
	check_address(
		"\"127.0.0.1:0\"", "tcp://127.0.0.1:0", "127.0.0.1", 0, false);
	check_address(
		"\"localhost:9\"", "tcp://127.0.0.1:9", "127.0.0.1", 9, false);
	check_address("\"tcp://[0:0::1]:65535\"", "tcp://[::1]:65535", "::1",
		65535, true);
	c = build("{\"script\":\"x\",\"listen\":[{\"address\":\"1.2.3.4:5\","
		  "\"name\":\"http\",\"backlog\":7},\"1.2.3.4:6\"]}");
	cr_expect_str_eq(c->listen.entries[0].name, "http");
	cr_expect_eq(c->listen.entries[0].backlog, 7);
	cr_expect_str_eq(c->listen.entries[1].name, "6");
	cr_expect_eq(c->listen.entries[1].backlog, 511);
	config_free(&c);
}

Test(config, wrong_addresses)
{
	static const char *const wrong[] = {"\"\"", "\"x\"", "\"70000\"",
		"\"1.2.3:80\"", "\"::1:80\"", "\"[::1]\"", "\"[::1:80\"",
		"\"[::1]80\"", "\"example.org:80\"", "\"1.2.3.4\"",
		"\"1.2.3.4:\"", "\"1.2.3.4:80x\"", "-1", "true", "[null]",
		"{\"name\":\"a\"}", "{\"address\":80,\"x\":1}",
		"{\"address\":80,\"name\":\"a:b\"}",
		"{\"address\":80,\"backlog\":0}", "[\"80\",\"80\"]"};
	char text[300];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "{\"script\":\"x\",\"listen\":%s}",
			wrong[i]);
		says(text, "apps[2].listen");
	}
	says("{\"script\":\"x\",\"listen\":\"unix://run/x\"}", "absolute");
	says("{\"script\":\"x\",\"listen\":\"unix:///run/x/\"}", "absolute");
	says("{\"script\":\"x\",\"listen\":\"unix:///a\\u0007\"}", "control");
	snprintf(text, sizeof(text),
		"{\"script\":\"x\",\"listen\":\"unix:///%0107d\"}", 0);
	says(text, "at most 107 bytes");
}

static void
check_kind(const char *written, enum listen_kind kind, const char *address,
	const char *name)
{
	char text[200];
	struct app_config *c;

	snprintf(text, sizeof(text), "{\"script\":\"x\",\"listen\":\"%s\"}",
		written);
	c = build(text);
	cr_expect_eq(c->listen.entries[0].kind, kind);
	cr_expect_str_eq(c->listen.entries[0].address, address);
	cr_expect_str_eq(c->listen.entries[0].name, name);
	config_free(&c);
}

Test(config, addresses_of_every_kind)
{
	struct app_config *c;

	check_kind("tcp://1.2.3.4:5", LISTEN_TCP, "tcp://1.2.3.4:5", "5");
	check_kind("udp://5", LISTEN_UDP, "udp://[::]:5", "5");
	check_kind("udp://[::1]:5", LISTEN_UDP, "udp://[::1]:5", "5");
	check_kind("unix:///run/x.sock", LISTEN_UNIX, "unix:///run/x.sock",
		"x.sock");
	check_kind("unix-dgram:///a:b", LISTEN_UNIX_DGRAM, "unix-dgram:///a:b",
		"a_b");
	c = build("{\"script\":\"x\",\"listen\":[{\"address\":\"unix:///s\","
		  "\"mode\":\"0660\",\"user\":7,\"group\":8},"
		  "{\"address\":\"[::1]:5\",\"ipv6_only\":false}]}");
	cr_expect_eq(c->listen.entries[0].mode, 0660);
	cr_expect_eq(c->listen.entries[0].user, 7);
	cr_expect_eq(c->listen.entries[0].group, 8);
	cr_expect_str_eq(c->listen.entries[0].path, "/s");
	cr_expect_eq(c->listen.entries[1].ipv6_only, 0);
	cr_expect_eq(c->listen.entries[1].mode, CONFIG_UNSET);
	config_free(&c);
}

Test(config, balance)
{
	struct app_config *c = build(
		"{\"script\":\"x\",\"balance\":\"round-robin\",\"listen\":["
		"1,\"udp://2\",\"unix:///s\","
		"{\"address\":3,\"balance\":\"reuseport\"}]}");

	cr_expect_eq(c->balance, BALANCE_ROUND_ROBIN);
	cr_expect_eq(c->listen.entries[0].balance, BALANCE_ROUND_ROBIN);
	/* Datagrams can't be handed over: the application's word isn't meant
	 * for them. */
	cr_expect_eq(c->listen.entries[1].balance, BALANCE_SHARED);
	cr_expect_eq(c->listen.entries[2].balance, BALANCE_ROUND_ROBIN);
	cr_expect_eq(c->listen.entries[3].balance, BALANCE_REUSEPORT);
	config_free(&c);
	says("{\"script\":\"x\",\"balance\":\"best\"}", "round-robin");
	says("{\"script\":\"x\",\"listen\":{\"address\":\"udp://1\","
	     "\"balance\":\"round-robin\"}}",
		"datagrams");
	says("{\"script\":\"x\",\"listen\":{\"address\":\"unix:///s\","
	     "\"balance\":\"reuseport\"}}",
		"TCP and UDP");
	says("{\"script\":\"x\",\"listen\":{\"address\":1,"
	     "\"mode\":\"0600\"}}",
		"UNIX socket");
	says("{\"script\":\"x\",\"listen\":{\"address\":\"1.2.3.4:1\","
	     "\"ipv6_only\":true}}",
		"IPv6");
}

Test(config, wrong_values_name_key_value_and_what_is_allowed)
{
	says("{\"script\":\"x\",\"max_restart\":3}",
		"apps[2].max_restart is an unknown key; did you mean "
		"max_restarts?");
	says("{\"script\":\"x\",\"qqqqqqqqqq\":3}", "unknown key");
	says("{\"script\":\"x\",\"kill_timeout\":\"soon\"}",
		"apps[2].kill_timeout: \"soon\" is not allowed: write milli");
	says("{\"script\":\"x\",\"kill_timeout\":-1}", "from 0 to 86400000");
	says("{\"script\":\"x\",\"kill_timeout\":\"9999999999999d\"}", "from");
	says("{\"script\":\"x\",\"instances\":5000}", "4096");
	says("{\"script\":\"x\",\"instances\":2.5}", "2.5");
	says("{\"script\":\"x\",\"wait_ready\":\"maybe\"}", "true or false");
	says("{\"script\":\"x\",\"kill_signal\":\"SIGFOO\"}", "SIGFOO");
	says("{\"script\":\"x\",\"umask\":\"999\"}", "octal");
	says("{\"script\":\"x\",\"umask\":22}", "octal");
	says("{\"script\":\"x\",\"args\":\"'open\"}", "quotes closed");
	says("{\"script\":\"x\",\"args\":[{}]}", "list");
	says("{\"script\":\"x\",\"args\":[\"a\\u0000b\"]}", "list");
	says("{\"script\":\"x\",\"env\":{\"A\":null}}", "\"A\"");
	says("{\"script\":\"x\",\"env\":{\"A=B\":\"\"}}", "no =");
	says("{\"script\":\"x\",\"env\":[]}", "object");
	says("{\"script\":\"x\",\"stop_exit_codes\":[256]}", "255");
	says("{\"script\":\"x\",\"reload_batch\":\"0%\"}", "100%");
	says("{\"script\":\"x\",\"exit_when\":\"later\"}", "errored");
	says("{\"script\":\"x\",\"limits\":{\"files\":1}}", "nofile");
	says("{\"script\":\"x\",\"limits\":{\"core\":\"2:1\"}}", "above");
	says("{\"script\":\"x\",\"user\":\"no-such-user-here\"}",
		"apps[2].user: \"no-such-user-here\" is not allowed: there is "
		"no such user");
	says("{\"script\":\"x\",\"user\":\"0\",\"group\":\"no-such-group\"}",
		"no such group");
	says("{\"script\":\"x\",\"group\":0}", "needs a user");
	says("{\"script\":\"x\",\"user\":3999999999}",
		geteuid() == 0 ? "give a group" : "only root");
	says("{\"script\":\"x\",\"killTimeout\":1,\"kill_timeout\":2}",
		"twice");
	says("{}", "apps[2].script: say which program");
	says("[]", "an application is an object");
	says("{\"script\":\"\"}", "apps[2].script");
}

Test(config, names)
{
	says("{\"script\":\"x\",\"name\":\"all\"}", "all means");
	says("{\"script\":\"x\",\"name\":\"12\"}", "worker's id");
	says("{\"script\":\"x\",\"name\":\"-a\"}", "begin with");
	says("{\"script\":\"x\",\"name\":\".a\"}", "begin with");
	says("{\"script\":\"x\",\"name\":\"a:b\"}", "letters");
	says("{\"script\":\"x\",\"name\":\"\"}", "1 to 64");
	says("{\"script\":\"x\",\"name\":\"0123456789012345678901234567890123"
	     "4567890123456789012345678901234\"}",
		"1 to 64");
	says("{\"script\":\"x\",\"name\":5}", "string");
	struct app_config *c = build("{\"script\":\"/x/42\"}");

	cr_expect_str_eq(c->name, "app-42");
	config_free(&c);
	c = build("{\"script\":\"/x/all\"}");
	cr_expect_str_eq(c->name, "app-all");
	config_free(&c);
	c = build("{\"script\":\"/x/.hidden\"}");
	cr_expect_str_eq(c->name, "_hidden");
	config_free(&c);
}

/* from(to(x)) is x, without looking anything up again. */
static void
check_sealed(const char *text)
{
	struct app_config *config = build(text), *again = NULL;
	json_t *sealed = config_to_json(config), *twice;
	struct config_error error = {""};

	cr_assert_neq(sealed, NULL);
	cr_assert_eq(config_from_json(sealed, NULL, "", &again, &error), 0,
		"%s", error.text);
	twice = config_to_json(again);
	cr_expect(json_equal(sealed, twice), "%s", text);
	cr_expect_str_eq(config->program, again->program);
	for (size_t i = 0; config->argv[i] != NULL; i++)
		cr_expect_str_eq(config->argv[i], again->argv[i]);
	cr_expect_eq(config_compare(config, again), KEY_CHANGE_NONE);
	json_decref(sealed);
	json_decref(twice);
	config_free(&config);
	config_free(&again);
}

Test(config, sealed_form_gives_the_same_again)
{
	check_sealed("{\"script\":\"not-in-path\"}");
	check_sealed("{\"script\":\"sh\",\"args\":[\"-c\",\"a  b\",\"\"],"
		     "\"listen\":[8080,\"[::1]:9\",{\"address\":"
		     "\"unix:///s\",\"mode\":\"0600\"}],"
		     "\"balance\":\"reuseport\",\"instances\":\"max\","
		     "\"kill_signal\":40,\"umask\":\"0\",\"env\":{\"A\":\"\"},"
		     "\"limits\":{\"nofile\":9},\"reload_batch\":\"30%\","
		     "\"stop_exit_codes\":[1],\"nice\":3,\"max_restarts\":0,"
		     "\"exit_when\":\"errored\",\"cwd\":\"rel/./x/\"}");
	check_sealed("{\"script\":\"/x.sh\",\"interpreter\":\"sh\","
		     "\"interpreter_args\":\"-e -u\"}");
	if (geteuid() == 0)
		check_sealed("{\"script\":\"/x\",\"user\":0}");
}

Test(config, user_is_complete)
{
	if (geteuid() != 0)
		cr_skip_test("only root can name another user");
	struct app_config *c = build("{\"script\":\"x\",\"user\":\"root\"}");

	cr_expect_eq(c->user, 0);
	cr_expect_eq(c->group, 0);
	cr_expect_geq(c->groups.count, 1);
	cr_expect_eq(c->no_new_privs, 1);
	config_free(&c);
	c = build("{\"script\":\"x\",\"user\":3999999999,\"group\":7}");
	cr_expect_eq(c->group, 7);
	cr_expect_eq(c->groups.count, 1);
	cr_expect_eq(c->groups.numbers[0], 7);
	config_free(&c);
}

Test(config, only_root_becomes_another)
{
	struct app_config *c;
	uid_t before = geteuid();
	uid_t other = before == 0 ? 65534 : before;
	char text[100];

	cr_assert_eq(seteuid(other), 0);
	says("{\"script\":\"x\",\"user\":0}", "only root can");
	snprintf(text, sizeof(text), "{\"script\":\"x\",\"user\":%u}",
		(unsigned)other);
	c = build(text);
	cr_assert_eq(seteuid(before), 0);
	cr_expect_eq(c->user, CONFIG_UNSET);
	cr_expect_eq(c->no_new_privs, 1);
	config_free(&c);
}

Test(config, compare)
{
	struct app_config *base = build("{\"script\":\"x\"}");
	struct app_config *live = build("{\"script\":\"x\",\"instances\":4}");
	struct app_config *reload =
		build("{\"script\":\"x\",\"instances\":4,\"env\":{\"A\":1}}");
	struct app_config *fixed =
		build("{\"script\":\"x\",\"namespace\":\"y\"}");

	cr_expect_eq(config_compare(base, base), KEY_CHANGE_NONE);
	cr_expect_eq(config_compare(base, live), KEY_CHANGE_LIVE);
	cr_expect_eq(config_compare(base, reload), KEY_CHANGE_RELOAD);
	cr_expect_eq(config_compare(fixed, base), KEY_CHANGE_FIXED);
	config_free(&base);
	config_free(&live);
	config_free(&reload);
	config_free(&fixed);
}

Test(config, environment)
{
	char *base[] = {"PATH=/bin", "A=old", "MUSTER_X=1", "LISTEN_FDS=1",
		"NOTIFY_SOCKET=x", "NOTIFY_SOCKET2=x", "WATCHDOG_USEC=1",
		"NODE_CHANNEL_FD=3", "NODE_UNIQUE_ID=1", "junk", NULL};
	struct app_config *c =
		build("{\"script\":\"x\",\"env\":{\"A\":\"new\",\"B\":\"\"}}");
	char **list = config_environment(c, base);

	cr_assert_neq(list, NULL);
	cr_expect_str_eq(list[0], "PATH=/bin");
	cr_expect_str_eq(list[1], "NOTIFY_SOCKET2=x");
	cr_expect_str_eq(list[2], "A=new");
	cr_expect_str_eq(list[3], "B=");
	cr_expect_eq(list[4], NULL);
	config_free_strings(&list);
	cr_expect_eq(list, NULL);
	config_free(&c);
}

/* A folder with files of given text and mode; removed by clean. */
struct folder {
	struct config_place place;
};

static void
put(const struct folder *folder, const char *name, const char *text, int mode)
{
	char path[CONFIG_PATH_SIZE + 64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder->place.directory, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(fchmod(fd, (mode_t)mode), 0);
	close(fd);
}

static struct folder
make_folder(void)
{
	struct folder folder = {{.directory = "/tmp/muster-config-XXXXXX",
		.search = "/usr/bin:/bin"}};

	cr_assert_neq(mkdtemp(folder.place.directory), NULL);
	return folder;
}

static void
clean(const struct folder *folder)
{
	char command[CONFIG_PATH_SIZE + 32];

	snprintf(command, sizeof(command), "rm -rf '%s'",
		folder->place.directory);
	cr_assert_eq(system(command), 0);
}

static void
check_program(const struct folder *folder, const char *script,
	const char *interpreter, int kill_signal)
{
	json_t *object = json_pack("{s:s}", "script", script);
	struct config_error error = {""};
	struct app_config *c = NULL;
	const char *base;

	cr_assert_eq(config_from_json(object, &folder->place, "", &c, &error),
		0, "%s", error.text);
	base = strrchr(c->interpreter, '/');
	cr_expect_str_eq(base != NULL ? base + 1 : c->interpreter, interpreter,
		"%s", script);
	cr_expect_eq(c->kill_signal, kill_signal, "%s", script);
	cr_expect_eq(c->argv[1] != NULL, strcmp(interpreter, "none") != 0);
	json_decref(object);
	config_free(&c);
}

Test(config, interpreters)
{
	struct folder folder = make_folder();

	put(&folder, "plain.py", "print()", 0644);
	put(&folder, "own.py", "#!/usr/bin/python3\n", 0755);
	put(&folder, "app.js", "1", 0644);
	put(&folder, "nobang.js", "1", 0755);
	put(&folder, "bang.js", "#!/usr/bin/env node\n", 0755);
	put(&folder, "x.sh", ":", 0644);
	put(&folder, "data.txt", "", 0644);
	check_program(&folder, "./plain.py", "python3", SIGTERM);
	check_program(&folder, "plain.py", "python3", SIGTERM);
	check_program(&folder, "./own.py", "none", SIGTERM);
	check_program(&folder, "app.js", "node", SIGINT);
	check_program(&folder, "nobang.js", "node", SIGINT);
	check_program(&folder, "bang.js", "none", SIGINT);
	check_program(&folder, "x.sh", "sh", SIGTERM);
	check_program(&folder, "data.txt", "none", SIGTERM);
	check_program(&folder, "missing.py", "none", SIGTERM);
	check_program(&folder, "/usr/bin/node", "none", SIGINT);
	clean(&folder);
}

Test(config, programs_are_found)
{
	struct folder folder = make_folder();
	char path[CONFIG_PATH_SIZE + 16];
	struct config_error error;
	struct app_config *c = NULL;
	json_t *object = json_pack("{s:s}", "script", "sh");

	cr_assert_eq(
		config_from_json(object, &folder.place, "", &c, &error), 0);
	cr_expect_str_eq(c->program, "/usr/bin/sh");
	config_free(&c);
	json_object_set_new(object, "script", json_string("./a/.//b"));
	cr_assert_eq(
		config_from_json(object, &folder.place, "", &c, &error), 0);
	snprintf(path, sizeof(path), "%s/a/b", folder.place.directory);
	cr_expect_str_eq(c->program, path);
	config_free(&c);
	json_object_set_new(object, "script", json_string("not-in-path"));
	cr_assert_eq(
		config_from_json(object, &folder.place, "", &c, &error), 0);
	cr_expect_str_eq(c->program, "not-in-path");
	config_free(&c);
	json_decref(object);
	clean(&folder);
}

static int
read_file(const struct folder *folder, const char *text, struct config_set *set,
	struct config_error *error)
{
	char path[CONFIG_PATH_SIZE + 16];

	put(folder, "f.json", text, 0600);
	snprintf(path, sizeof(path), "%s/f.json", folder->place.directory);
	return config_file_read(path, &folder->place, set, error);
}

Test(config, files_of_three_shapes)
{
	static const struct {
		const char *text;
		size_t count;
	} shapes[] = {
		{"{\"apps\":[{\"script\":\"a\"},{\"script\":\"b\"}]}", 2},
		{"{\"apps\":{\"script\":\"a\"}}", 1},
		{"[{\"script\":\"a\"},{\"script\":\"b\"}]", 2},
		{"{\"script\":\"a\"}", 1},
		{"\xef\xbb\xbf{\"script\":\"a\"}\n", 1},
	};
	struct folder folder = make_folder();

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct config_set set = {0};
		struct config_error error = {""};

		cr_assert_eq(read_file(&folder, shapes[i].text, &set, &error),
			0, "%s", error.text);
		cr_expect_eq(set.count, shapes[i].count);
		config_set_fini(&set);
		cr_expect_eq(set.count, 0);
	}
	clean(&folder);
}

Test(config, wrong_files_apply_nothing)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{"{\"script\":\n  \"a\" \"b\"}", "f.json:2:"},
		{"", "f.json:1:"},
		{"{\"script\":\"a\",\"script\":\"b\"}", "duplicate"},
		{"7", "write {\"apps\""},
		{"[]", "no application"},
		{"{\"apps\":3}", "list"},
		{"{\"apps\":[],\"x\":1}", "x is unknown"},
		{"{\"apps\":[],\"muster\":3}", "muster: write an object"},
		{"{\"apps\":[],\"muster\":{\"log_levl\":\"warn\"}}",
			"muster.log_levl is an unknown key; did you mean "
			"log_level?"},
		{"{\"apps\":[],\"muster\":{\"log_level\":\"loud\"}}",
			"muster.log_level: \"loud\" is not allowed"},
		{"{\"apps\":[],\"muster\":{\"memory_limit\":\"1K\"}}",
			"muster.memory_limit"},
		{"[{\"script\":\"a\"},{\"script\":\"b\",\"instance\":2}]",
			"f.json: apps[1].instance is an unknown key; did you "
			"mean instances?"},
		{"[{\"script\":\"a\"},{\"script\":\"/x/a\"}]",
			"apps[1].name: \"a\""},
		{"[{\"script\":\"a\"},5]", "apps[1]: an application"},
		{"[{\"script\":\"a\",\"memoryMax\":\"1G\"}]",
			"apps[0].memoryMax can't be kept"},
		{"{\"script\":\"a\",\"depends_on\":\"a\"}",
			"in a circle: a → a"},
		{"[{\"script\":\"a\",\"depends_on\":[\"b\"]},"
		 "{\"script\":\"b\",\"depends_on\":[\"c\"]},"
		 "{\"script\":\"c\",\"depends_on\":[\"d\",\"b\"]},"
		 "{\"script\":\"d\"}]",
			"in a circle: b → c → b"},
		{"{\"script\":\"a\",\"depends_on\":\"b c\"}",
			"a.depends_on: no application is called \"b\""},
		{"{\"script\":\"a\",\"depends_on\":[\"../b\"]}",
			"depends_on: \"../b\" is not allowed"},
	};
	struct folder folder = make_folder();

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct config_set set = {0};
		struct config_error error = {""};

		cr_expect_eq(read_file(&folder, wrong[i].text, &set, &error),
			-EINVAL, "%s", wrong[i].text);
		cr_expect_neq(strstr(error.text, wrong[i].says), NULL,
			"\"%s\" doesn't say \"%s\"", error.text, wrong[i].says);
		cr_expect_eq(set.apps, NULL);
	}
	clean(&folder);
}

Test(config, the_supervisors_own_keys)
{
	struct folder folder = make_folder();
	struct config_set set = {0};
	struct config_error error = {""};

	cr_assert_eq(read_file(&folder,
			     "{\"muster\":{\"log_level\":\"warn\","
			     "\"memory_limit\":\"64M\",\"max_processes\":9,"
			     "\"bus\":\"tcp://127.0.0.1:4420\","
			     "\"bus_token_file\":\"token\"},"
			     "\"apps\":[{\"script\":\"a\"}]}",
			     &set, &error),
		0, "%s", error.text);
	cr_expect_eq(set.muster.log_level, 1 + 2);
	cr_expect_eq(set.muster.memory_limit, 64 << 20);
	cr_expect_eq(set.muster.max_processes, 9);
	cr_expect_str_eq(set.muster.bus, "tcp://127.0.0.1:4420");
	cr_expect_eq(set.muster.bus_token_file[0], '/');
	config_set_fini(&set);
	cr_expect_null(set.muster.bus);
	clean(&folder);
}

Test(config, unreadable_files)
{
	struct folder folder = make_folder();
	struct config_set set = {0};
	struct config_error error = {""};

	cr_expect_eq(config_file_read(
			     "/nowhere/x.json", &folder.place, &set, &error),
		-ENOENT);
	cr_expect_neq(strstr(error.text, "/nowhere/x.json"), NULL);
	cr_expect_eq(config_file_read(folder.place.directory, &folder.place,
			     &set, &error),
		-EISDIR);
	clean(&folder);
}

/*
 * Promise: what is published reaches each subscriber once, whoever published
 * it, and goes on doing so when processes and brains come and go.
 *
 * The workers are rogues, which speak the protocol without muster's code.
 */
#include "support/run.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(publish, .fini = run_clean, .timeout = 120);

static void
wait_replies(struct run *run, size_t count)
{
	run_wait_count(run, RUN_OUT, "got kind=3 from=0", count);
}

static void
go(struct run *run, const char *id, const char *word)
{
	cr_assert_eq(COMMAND(run, "send", id, word), 0, "%s", run_said(run));
}

Test(publish, once_to_each_subscriber)
{
	struct run *run = RUN("-n", "4", "--name", "api", "--", ROGUE,
		"counted", "join", "0/until=go", "0/publish=orders.7.paid:1",
		"0/send=1:\"done\"", "1/subscribe=orders.>",
		"1/subscribe=orders.*.paid", "2/subscribe=orders.*",
		"3/subscribe=*.7.paid", "0/subscribe=>");

	wait_replies(run, 8);
	go(run, "1", "\"go\"");
	run_wait(run, RUN_OUT, "api.0 | got kind=1 from=1 to=1");
	run_wait_count(run, RUN_OUT,
		"got kind=5 from=1 to=0 id=0 size=1 flags=0 orders.7.paid 1",
		2);
	cr_expect_eq(run_count(run, RUN_OUT, "api.1 | got kind=5"), 1u);
	cr_expect_eq(run_count(run, RUN_OUT, "api.3 | got kind=5"), 1u);
	run_stop(run);
}

Test(publish, to_a_topic_that_is_none)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "join",
		"publish=a..b:1", "until=bad-request", "publish=a.*:1",
		"until=bad-request", "publish=:1", "until=bad-request",
		"subscribe=a.>.b", "until=bad-request", "bridged=a:1",
		"subscribe=a", "send=1:\"alive\"");

	run_wait(run, RUN_OUT, "\"alive\"");
	cr_expect_eq(run_count(run, RUN_OUT, "got kind=4 from=0"), 4u);
	run_stop(run);
}

Test(publish, only_bridges_pass_for_bridges)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join",
		"1/subscribe=t", "0/until=go", "0/bridged=t:1");

	wait_replies(run, 3);
	go(run, "1", "\"go\"");
	run_wait(run, RUN_OUT, "flags=0 t 1");
	run_stop(run);
}

Test(publish, subscriptions_outlive_the_brain)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE,
		"counted", "join", "1/subscribe=t.>", "0/until=go",
		"0/publish=t.1:\"first\"", "resume", "publish=t.2:\"second\"");

	wait_replies(run, 3);
	go(run, "1", "\"go\"");
	run_wait(run, RUN_OUT, "t.1 \"first\"");
	/* What it was just printing a killed brain's successor may print again:
	 * it answers, so it is past that. */
	json_decref(run_ls(run));
	pid_t brain = run_brain(run);
	kill(brain, SIGKILL);
	run_wait(run, RUN_OUT, "t.2 \"second\"");
	cr_expect_eq(run_count(run, RUN_OUT, "\"first\""), 1u);
	run_stop(run);
}

/* A new process subscribes for itself; the slot goes on receiving meanwhile. */
Test(publish, a_reload_hands_over)
{
	struct run *run = RUN("-n", "1", "--name", "api", "--wait-ready",
		"--listen-timeout", "60000", "--", ROGUE, "counted",
		"g1/subscribe=t", "g1/ready", "g2/subscribe=t",
		"g2/call={\"method\":\"workers\"}", "g2/until=reloading");

	wait_replies(run, 2);
	cr_assert_eq(COMMAND(run, "publish", "t", "\"one\""), 0);
	run_wait(run, RUN_OUT, "flags=0 t \"one\"");
	cr_assert_eq(COMMAND(run, "reload", "--no-wait", "api"), 0);
	run_wait(run, RUN_OUT, "\"reloading\"");
	/* The new one has subscribed and isn't ready: the old one receives. */
	cr_assert_eq(COMMAND(run, "publish", "t", "\"two\""), 0);
	run_wait(run, RUN_OUT, "flags=0 t \"two\"");
	run_stop(run);
}

Test(publish, from_and_to_the_shell)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join",
		"subscribe=shell.>", "0/until=go", "0/publish=back.1:[1, 2.50]",
		"0/bridged=other:1");

	wait_replies(run, 4);
	cr_expect_eq(COMMAND(run, "publish", "shell.a",
			     "{\"n\": 12345678901234567890}"),
		0, "%s", run_said(run));
	run_wait_count(run, RUN_OUT,
		"flags=0 shell.a {\"n\": 12345678901234567890}", 2);
	cr_expect_eq(COMMAND(run, "publish", "nobody", "1"), 0);
	cr_expect_eq(COMMAND(run, "publish", "a.*", "1"), 2);
	cr_expect_eq(COMMAND(run, "publish", "a", "no json"), 2);
	cr_expect_eq(COMMAND(run, "subscribe", "a.>.b"), 2);
	cr_expect_eq(COMMAND(run, "request", "9", "1"), 4);
	cr_expect_eq(COMMAND(run, "request", "web", "1"), 4);
	cr_expect_eq(COMMAND(run, "request", "1", "1", "--timeout", "50"), 1);
	cr_expect_not_null(strstr(run_said(run), "timeout"));
	cr_expect_eq(COMMAND(run, "request", "1", "1", "--timeout", "x"), 2);
	run_stop(run);
}

Test(publish, requests_from_the_shell)
{
	struct run *run =
		RUN("-n", "2", "--name", "api", "--", ROGUE, "join", "echo");

	wait_replies(run, 2);
	cr_expect_eq(COMMAND(run, "request", "2", "{\"a\": 1.10}"), 0);
	cr_expect_str_eq(run_said(run), "{\"a\": 1.10}\n");
	cr_expect_eq(COMMAND(run, "request", "api", "\"any\""), 0);
	cr_expect_str_eq(run_said(run), "\"any\"\n");
	cr_expect_eq(COMMAND(run, "request", "all", "2"), 0);
	cr_expect_eq(COMMAND(run, "request", "ns:default", "3"), 0);
	cr_expect_str_eq(run_said(run), "3\n");
	run_stop(run);
}

/* Begins a line of sh in which `m` is the command. */
static FILE *
begin_shell(struct run *run, const char *line)
{
	char whole[2048];
	FILE *out;

	snprintf(whole, sizeof whole,
		"m() { %s --home %s \"$@\"; }; { %s\n} 2>&1",
		run_command_path(), run_home(run), line);
	out = popen(whole, "re");
	cr_assert_not_null(out);
	return out;
}

/* Gives what it printed. */
static const char *
shell(struct run *run, const char *line)
{
	static char text[1 << 16];
	FILE *out = begin_shell(run, line);

	text[fread(text, 1, sizeof text - 1, out)] = '\0';
	cr_assert_eq(pclose(out), 0, "%s: %s", line, text);
	return text;
}

Test(publish, in_pipes)
{
	struct run *run =
		RUN("-n", "1", "--name", "api", "--", ROGUE, "join", "echo");
	const char *text;

	wait_replies(run, 1);
	text = shell(run, "seq 3 | m request api - | tr '\\n' ' '");
	cr_expect_str_eq(text, "1 2 3 ");
	/* Numbers and texts stay as they were, and drive no terminal. */
	text = shell(run, "printf '%s\\n' '[1.10,  1e40]' | m request api -");
	cr_expect_str_eq(text, "[1.10,  1e40]\n");
	text = shell(run, "printf '\"\\\\u001b\\177\"\\n' | m request api -");
	cr_expect_str_eq(text, "\"\\u001b\\u007f\"\n");
	run_stop(run);
}

/* Publishes until the subscriber prints: it has subscribed then. */
static void
wait_subscribed(struct run *run, FILE *subscriber)
{
	struct pollfd fd = {.fd = fileno(subscriber), .events = POLLIN};
	char line[256];

	for (int i = 0; poll(&fd, 1, 20) == 0; i++) {
		cr_assert_lt(i, 500);
		cr_assert_eq(
			COMMAND(run, "publish", "a.ready", "\"ready\""), 0);
	}
	/* Each line is there at once, though nothing has ended. */
	cr_assert_not_null(fgets(line, sizeof line, subscriber));
	cr_assert_not_null(strstr(line, "\"ready\""), "%s", line);
}

static FILE *
subscriber(struct run *run, const char *rest)
{
	char line[1024];
	FILE *out;

	snprintf(line, sizeof line, "exec %s --home %s subscribe %s",
		run_command_path(), run_home(run), rest);
	out = popen(line, "r");
	cr_assert_not_null(out);
	setvbuf(out, NULL, _IONBF, 0);
	wait_subscribed(run, out);
	return out;
}

Test(publish, a_subscriber_on_the_shell)
{
	struct run *run =
		RUN("-n", "1", "--name", "api", "--", ROGUE, "join", "echo");
	FILE *plain, *json;
	char line[256];

	wait_replies(run, 1);
	plain = subscriber(run, "'a.>'");
	json = subscriber(run, "--json '*.*' 2>&1");
	cr_assert_eq(COMMAND(run, "publish", "a.b", "{\"x\":\n 1}"), 0);
	do
		cr_assert_not_null(fgets(line, sizeof line, plain));
	while (strstr(line, "ready"));
	cr_expect_str_eq(line, "{\"x\":  1}\n");
	do
		cr_assert_not_null(fgets(line, sizeof line, json));
	while (strstr(line, "ready"));
	cr_expect_str_eq(
		line, "{\"topic\":\"a.b\",\"from\":0,\"body\":{\"x\":  1}}\n");

	/* A brain's death is told; it goes on. */
	kill(run_brain(run), SIGKILL);
	cr_assert_not_null(fgets(line, sizeof line, json));
	cr_expect_not_null(strstr(line, "is missing"), "%s", line);
	wait_subscribed(run, json);

	/* The end of the supervisor is the end of what was subscribed to. */
	run_signal(run, SIGTERM);
	cr_expect_eq(pclose(plain), 0);
	cr_expect_eq(pclose(json), 0);
	run_finish(run, 0);
}

/* More than all queues on the way hold: it waits, and nothing is dropped. */
Test(publish, a_flood_from_the_shell)
{
	struct run *run = RUN("-n", "1", "--name", "api", "--", ROGUE, "join",
		"subscribe=flood");
	FILE *flood;

	wait_replies(run, 2);
	flood = begin_shell(run,
		"yes \"\\\"$(head -c 60000 /dev/zero | tr '\\0' x)\\\"\" |"
		" head -n 800 | m publish flood -");
	run_wait_count(run, RUN_OUT, "flags=0 flood \"xxx", 800);
	cr_expect_eq(pclose(flood), 0);
	run_stop(run);
}

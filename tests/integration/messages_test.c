/*
 * Promise: workers talk to each other through muster, the sender can't be
 * forged, every request ends in an answer or in an error that says why.
 *
 * The workers are rogues, which speak the protocol without muster's code.
 */
#include "support/run.h"

#include <stdlib.h>
#include <string.h>

TestSuite(messages, .fini = run_clean, .timeout = 120);

/* Waits until so many workers have joined: their heartbeat is answered. */
static void
wait_joined(struct run *run, size_t count)
{
	run_wait_count(run, RUN_OUT, "got kind=3 from=0", count);
}

static void
go(struct run *run, const char *id)
{
	cr_assert_eq(
		COMMAND(run, "send", id, "\"go\""), 0, "%s", run_said(run));
}

Test(messages, from_worker_to_worker)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join",
		"0/until=go", "0/send=2:\"hello\"");

	wait_joined(run, 2);
	go(run, "1");
	run_wait(run, RUN_OUT,
		"api.1 | got kind=1 from=1 to=2 id=2 size=7 \"hello\"");
	run_stop(run);
}

Test(messages, one_joins_with_its_first_frame)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--stall-timeout",
		"300", "--", ROGUE, "0/join", "0/until=go",
		"0/send=2:\"hello\"", "1/until=never");

	wait_joined(run, 1);
	go(run, "1");
	run_wait(run, RUN_OUT, "\"not-joined\"");
	run_stop(run);
}

Test(messages, the_first_frame_is_the_welcome)
{
	struct run *run =
		RUN("-n", "2", "--name", "api", "--", ROGUE, "until=welcome");

	run_wait_count(run, RUN_OUT, "\"welcome\"", 2);
	const char *text = strstr(run_text(run, RUN_OUT), "api.1 | got");
	cr_assert_not_null(text);
	cr_expect_eq(strncmp(text, "api.1 | got kind=1 from=0", 25), 0);
	json_t *body = json_loadb(
		strchr(text, '{'), strcspn(strchr(text, '{'), "\n"), 0, NULL);
	cr_assert_not_null(body);
	cr_expect_eq(json_integer_value(json_object_get(body, "protocol")), 1);
	cr_expect_eq(json_integer_value(json_object_get(body, "id")), 2);
	cr_expect_eq(json_integer_value(json_object_get(body, "instance")), 1);
	cr_expect_eq(
		json_integer_value(json_object_get(body, "generation")), 1);
	cr_expect_eq(json_integer_value(json_object_get(body, "max_message")),
		16777216);
	json_decref(body);
	run_stop(run);
}

Test(messages, to_all_but_the_sender)
{
	struct run *run = RUN("-n", "4", "--name", "api", "--", ROGUE, "join",
		"0/until=go", "0/send=all:\"hear\"", "0/send=1:\"me\"");

	wait_joined(run, 4);
	go(run, "1");
	for (int i = 1; i < 4; i++) {
		char line[80];
		snprintf(line, sizeof(line),
			"api.%d | got kind=1 from=1 to=4294967295", i);
		run_wait_count(run, RUN_OUT, line, 1);
	}
	/* What it sent to itself came later, and was the first that came. */
	run_wait(run, RUN_OUT, "api.0 | got kind=1 from=1 to=1");
	cr_expect_eq(run_count(run, RUN_OUT, "\"hear\""), 3u);
	run_stop(run);
}

Test(messages, from_the_shell_to_all)
{
	struct run *run = RUN("-n", "3", "--name", "api", "--", ROGUE, "join");

	wait_joined(run, 3);
	cr_expect_eq(COMMAND(run, "send", "all", "{\"a\": [1, 2]}"), 0);
	run_wait_count(run, RUN_OUT, "from=0 to=4294967295", 3);
	cr_expect_eq(run_count(run, RUN_OUT, "{\"a\": [1, 2]}"), 3u);
	cr_expect_eq(COMMAND(run, "send", "api", "5"), 0);
	cr_expect_eq(COMMAND(run, "send", "ns:default", "6"), 0);
	cr_expect_eq(COMMAND(run, "send", "2", "7"), 0);
	run_wait_count(run, RUN_OUT, "size=1 5", 3);
	run_wait_count(run, RUN_OUT, "size=1 6", 3);
	run_wait_count(run, RUN_OUT, "api.1 | got kind=1 from=0 to=2", 1);
	run_stop(run);
}

Test(messages, the_sender_is_stamped)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join",
		"0/until=go", "0/spoof=7:2:\"who\"");

	wait_joined(run, 2);
	go(run, "1");
	run_wait(run, RUN_OUT, "api.1 | got kind=1 from=1 to=2");
	cr_expect_eq(run_count(run, RUN_OUT, "from=7"), 0u);
	run_stop(run);
}

Test(messages, requests_are_answered)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join",
		"1/echo", "0/until=go", "0/request=2:{\"q\":1}",
		"0/request=any:{\"q\":2}");

	wait_joined(run, 2);
	go(run, "1");
	run_wait(run, RUN_OUT, "api.0 | got kind=3 from=2 to=1 id=2");
	run_wait(run, RUN_OUT, "api.0 | got kind=3 from=2 to=1 id=3");
	cr_expect_eq(run_count(run, RUN_OUT, "api.1 | got kind=2 from=1"), 2u);
	run_stop(run);
}

Test(messages, every_failure_has_its_error)
{
	struct run *run = RUN("-n", "3", "--name", "api", "--", ROGUE, "join",
		"2/until=die", "2/exit=0", "0/until=go",
		"0/request=99:1",		      /* id 2 */
		"0/timed=100:2:1",		      /* id 3 */
		"0/request=all:1",		      /* id 4 */
		"0/request=3:\"die\"",		      /* id 5 */
		"0/call={\"method\":\"frobnicate\"}", /* id 6 */
		"0/call=7",			      /* id 7 */
		"0/send=all@nobody:1",		      /* id 8 */
		"0/request=any@nobody:1");	      /* id 9 */

	wait_joined(run, 3);
	go(run, "1");
	const struct {
		const char *id, *code;
	} expected[] = {
		{"to=1 id=2 ", "no-such-worker"},
		{"to=1 id=3 ", "timeout"},
		{"to=1 id=4 ", "bad-request"},
		{"to=1 id=5 ", "worker-died"},
		{"to=1 id=6 ", "unknown-method"},
		{"to=1 id=7 ", "bad-request"},
		{"to=1 id=8 ", "no-such-app"},
		{"to=1 id=9 ", "no-such-app"},
	};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		char start[64];
		snprintf(start, sizeof(start), "got kind=4 from=0 %s",
			expected[i].id);
		run_wait_count(run, RUN_OUT, start, 1);
		const char *line = strstr(run_text(run, RUN_OUT), start);
		char copy[256];
		snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(line, "\n"),
			line);
		cr_expect_not_null(strstr(copy, expected[i].code), "%s", copy);
	}
	run_stop(run);
}

Test(messages, workers_know_each_other)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join",
		"0/until=go", "0/call={\"method\":\"workers\"}");

	wait_joined(run, 2);
	go(run, "1");
	run_wait(run, RUN_OUT, "{\"workers\":");
	run_stop(run);
}

Test(messages, a_word_to_the_master)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "join",
		"send=0:{\"state\":\"warm\"}");

	run_wait(run, RUN_OUT, "api.0 > {\"state\":\"warm\"}");
	cr_expect_eq(COMMAND(run, "events", "--json"), 0);
	cr_expect_not_null(strstr(run_said(run), "\"message\""));
	cr_expect_not_null(strstr(run_said(run), "warm"));
	run_stop(run);
}

/* Much more than a queue holds: the sender is paused, nothing is lost. */
Test(messages, a_flood_is_paced)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--queue-limit",
		"64K", "--", ROGUE, "join", "0/until=go",
		"0/flood=2:2000:10000", "1/until=never");

	wait_joined(run, 2);
	go(run, "1");
	run_wait(run, RUN_OUT, "api.0 | flooded 2000");
	run_wait_count(run, RUN_OUT, "size=10000", 2000);
	run_stop(run);
}

Test(messages, who_counts_is_counted)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE,
		"counted", "join", "0/until=go", "0/flood=2:1000:100",
		"0/send=2:\"last\"");

	wait_joined(run, 2);
	go(run, "1");
	run_wait(run, RUN_OUT, "\"last\"");
	cr_expect_eq(run_count(run, RUN_OUT, "size=100 "), 1000u);
	run_stop(run);
}

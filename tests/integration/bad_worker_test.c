/*
 * Promise: whatever a worker does to its channel, muster lives, the others'
 * traffic goes on, and one clear line says what happened.
 *
 * Worker 1 is bad in its first generation; 2 and 3 talk to each other.
 */
#include "support/run.h"

#include <stdlib.h>
#include <string.h>

TestSuite(bad_worker, .fini = run_clean, .timeout = 120);

static struct run *
start_bad(const char *first, const char *second)
{
	char one[128];
	char two[128];

	snprintf(one, sizeof(one), "0/g1/%s", first);
	snprintf(two, sizeof(two), "0/g1/%s", second);
	struct run *run = RUN("-n", "3", "--name", "api", "--stall-timeout",
		"500", "--queue-limit", "64K", "--exp-backoff-restart-delay",
		"0", "--", ROGUE, "0/counted", "join", "0/until=go", one, two,
		"2/echo", "1/until=go", "1/request=3:\"ping\"", "1/until=ping",
		"1/say=answered", "1/until=never");
	run_wait_count(run, RUN_OUT, "got kind=3 from=0", 3);
	json_decref(run_wait_status(run, 3, "ready"));
	return run;
}

static void
expect_others_talk(struct run *run)
{
	cr_assert_eq(
		COMMAND(run, "send", "2", "\"go\""), 0, "%s", run_said(run));
	run_wait(run, RUN_OUT, "api.1 | answered");
}

/* The bad one is replaced, and a line says why. */
static void
expect_replaced(struct run *run, const char *words)
{
	run_wait(run, RUN_ERR, words);
	for (;;) {
		json_t *listing = run_wait_status(run, 3, "ready");
		bool replaced = run_field(listing, 0, "generation") == 2;
		cr_assert_eq(run_field(listing, 1, "generation"), 1);
		cr_assert_eq(run_field(listing, 2, "generation"), 1);
		json_decref(listing);
		if (replaced)
			break;
		run_pump(run, 10);
	}
	cr_expect_eq(run_count(run, RUN_ERR, words), 1u, "%s",
		run_text(run, RUN_ERR));
}

/* A step that breaks the protocol: said with the rule, and replaced. */
static void
breaks_protocol(const char *step, const char *words)
{
	struct run *run = start_bad(step, "say=done");

	run_mark(run);
	cr_assert_eq(COMMAND(run, "send", "1", "\"go\""), 0);
	expect_replaced(run, words);
	expect_others_talk(run);
	run_check_mark(run);
	run_stop(run);
}

Test(bad_worker, garbage)
{
	breaks_protocol("garbage", "api.0");
}

Test(bad_worker, an_oversized_length)
{
	breaks_protocol("oversize", "max_message");
}

Test(bad_worker, an_empty_body)
{
	breaks_protocol("empty", "body");
}

Test(bad_worker, an_unknown_kind)
{
	breaks_protocol("badkind", "kind");
}

Test(bad_worker, a_gap_in_the_sequence)
{
	breaks_protocol("gap", "sequence");
}

Test(bad_worker, descriptors_that_nobody_asked_for)
{
	breaks_protocol("fds=253", "descriptor");
}

/* Half a frame hurts nobody, and goes with the worker. */
Test(bad_worker, half_a_frame)
{
	struct run *run = start_bad("halfframe", "until=never");

	run_mark(run);
	cr_assert_eq(COMMAND(run, "send", "1", "\"go\""), 0);
	expect_others_talk(run);
	cr_expect_eq(COMMAND(run, "reload", "1"), 0, "%s", run_said(run));
	run_check_mark(run);
	run_stop(run);
}

Test(bad_worker, a_closed_channel)
{
	struct run *run = start_bad("close", "pause");

	cr_assert_eq(COMMAND(run, "send", "1", "\"go\""), 0);
	expect_others_talk(run);
	run_stop(run);
}

/* One that stops reading pauses who sends to it, and is replaced. */
Test(bad_worker, one_that_stops_reading)
{
	struct run *run = RUN("-n", "4", "--name", "api", "--stall-timeout",
		"500", "--queue-limit", "64K", "--exp-backoff-restart-delay",
		"0", "--", ROGUE, "join", "0/g1/until=go", "0/g1/pause",
		"3/until=go", "3/flood=1:400:10000", "2/echo", "1/until=go",
		"1/request=3:\"ping\"", "1/until=ping", "1/say=answered",
		"1/until=never");

	run_wait_count(run, RUN_OUT, "got kind=3 from=0", 4);
	cr_assert_eq(COMMAND(run, "send", "1", "\"go\""), 0);
	cr_assert_eq(COMMAND(run, "send", "4", "\"go\""), 0);
	cr_assert_eq(COMMAND(run, "send", "2", "\"go\""), 0);
	run_wait(run, RUN_OUT, "api.1 | answered");
	run_wait(run, RUN_ERR, "api.0");
	run_wait(run, RUN_OUT, "api.3 | flooded 400");
	for (;;) {
		json_t *listing = run_wait_status(run, 4, "ready");
		bool replaced = run_field(listing, 0, "generation") >= 2;
		json_decref(listing);
		if (replaced)
			break;
		run_pump(run, 10);
	}
	run_stop(run);
}

/* A program that knows nothing of its channel is no trouble to anybody. */
Test(bad_worker, one_that_never_reads)
{
	struct run *run = RUN("-n", "3", "--name", "api", "--stall-timeout",
		"300", "--", ROGUE, "0/pause", "join", "1/until=go",
		"1/flood=1:300:10000", "2/echo", "1/request=3:\"ping\"",
		"1/until=ping", "1/say=answered", "1/until=never");

	run_wait_count(run, RUN_OUT, "got kind=3 from=0", 2);
	cr_assert_eq(COMMAND(run, "send", "2", "\"go\""), 0);
	run_wait(run, RUN_OUT, "api.1 | flooded 300");
	run_wait(run, RUN_OUT, "api.1 | answered");
	json_t *listing = run_wait_status(run, 3, "ready");
	cr_expect_eq(run_field(listing, 0, "generation"), 1);
	json_decref(listing);
	run_stop(run);
}

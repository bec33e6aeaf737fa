/*
 * Promise: `muster why` tells how processes ended, also those that an earlier
 * brain saw.
 */
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

TestSuite(why, .fini = run_clean, .timeout = 120);

/* `muster why TARGET --json`, of the first worker (new reference). */
static json_t *
why(struct run *run, const char *target)
{
	cr_assert_eq(
		COMMAND(run, "why", target, "--json"), 0, "%s", run_said(run));
	json_t *list = json_loads(run_said(run), 0, NULL);
	json_t *worker = json_incref(json_array_get(list, 0));
	json_decref(list);
	cr_assert_not_null(worker);
	return worker;
}

static json_t *
exit_at(json_t *worker, size_t index)
{
	return json_array_get(json_object_get(worker, "exits"), index);
}

static const char *
text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "(none)";
}

/* Waits until so many ends are told. */
static json_t *
wait_exits(struct run *run, size_t count)
{
	for (int i = 0; i < 500; i++) {
		json_t *worker = why(run, "api");
		json_t *exits = json_object_get(worker, "exits");
		if (json_array_size(exits) >= count)
			return worker;
		json_decref(worker);
		run_pump(run, 20);
	}
	cr_assert_fail("not %zu ends", count);
	return NULL;
}

/* A02: an exit with a code, and the last words on stderr. */
Test(why, tells_code_and_last_words)
{
	struct run *run = RUN("--name", "api", "--", ROGUE, "err=first \x1b[2J",
		"err=the disk is full", "g1/exit=7");

	json_decref(run_wait_status(run, 1, "ready"));
	json_t *worker = wait_exits(run, 1);
	json_t *end = exit_at(worker, 0);
	json_t *lines = json_object_get(end, "stderr");

	cr_expect_eq(json_integer_value(json_object_get(end, "code")), 7);
	cr_expect_str_eq(text_of(end, "how"), "exited with code 7");
	cr_expect(json_is_null(json_object_get(end, "asked")));
	cr_expect_eq(json_array_size(lines), 2u);
	cr_expect_str_eq(json_string_value(json_array_get(lines, 1)),
		"the disk is full");
	cr_expect_gt(
		json_integer_value(json_object_get(end, "memory_bytes")), 0);
	json_decref(worker);
	cr_expect_eq(COMMAND(run, "why", "api"), 0);
	cr_expect_not_null(strstr(run_said(run), "| the disk is full"));
	/* L06: what a worker prints doesn't drive the terminal. */
	cr_expect_null(strchr(run_said(run), 0x1b));
	cr_expect_eq(COMMAND(run, "why", "nobody"), 4);
	run_stop(run);
}

/* A15, and who did it. */
Test(why, tells_signal_and_who_sent_it)
{
	struct run *run = RUN("--name", "api", "--min-uptime", "0",
		"--kill-timeout", "100", "--", ROGUE, "g1/kill=SEGV",
		"ignore=TERM", "say=up");

	run_wait(run, RUN_OUT, "| up");
	json_t *worker = why(run, "1");
	json_t *end = exit_at(worker, 0);
	cr_expect_eq(
		json_integer_value(json_object_get(end, "signal")), SIGSEGV);
	cr_expect_not_null(strstr(text_of(end, "how"), "SIGSEGV"));
	cr_expect(json_is_null(json_object_get(end, "asked")));
	cr_expect(json_is_false(json_object_get(end, "killed")));
	json_decref(worker);

	cr_assert_eq(COMMAND(run, "reload", "api"), 0, "%s", run_said(run));
	worker = wait_exits(run, 2);
	end = exit_at(worker, 0);
	cr_expect_eq(
		json_integer_value(json_object_get(end, "signal")), SIGKILL);
	cr_expect_str_eq(text_of(end, "asked"), "reload");
	cr_expect(json_is_true(json_object_get(end, "killed")));
	json_decref(worker);

	json_t *listing = run_wait_status(run, 1, "ready");
	cr_assert_eq(kill((pid_t)run_field(listing, 0, "pid"), SIGKILL), 0);
	json_decref(listing);
	worker = wait_exits(run, 3);
	cr_expect(json_is_null(json_object_get(exit_at(worker, 0), "asked")));
	json_decref(worker);
	cr_expect_eq(COMMAND(run, "why", "api"), 0);
	cr_expect_not_null(strstr(run_said(run), "didn't send SIGKILL"));
	run_stop(run);
}

/* The last five, and they outlive the brain. */
Test(why, outlives_the_brain)
{
	struct run *run = RUN("--name", "api", "--exp-backoff-restart-delay",
		"1", "--", ROGUE, "err=going", "crash=7", "say=up");

	run_wait(run, RUN_OUT, "| up");
	pid_t brain = run_brain(run);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	json_t *worker = why(run, "api");
	cr_expect_eq(json_array_size(json_object_get(worker, "exits")), 5u);
	for (size_t i = 0; i < 5; i++) {
		json_t *end = exit_at(worker, i);
		json_t *lines = json_object_get(end, "stderr");
		cr_expect_eq(
			json_integer_value(json_object_get(end, "generation")),
			7 - (json_int_t)i);
		cr_expect_str_eq(
			json_string_value(json_array_get(lines, 0)), "going");
	}
	json_decref(worker);
	run_stop(run);
}

/* K03: what ended while no brain ran is told as it was. */
Test(why, tells_of_an_end_that_no_brain_saw)
{
	struct run *run = RUN(
		"--name", "api", "--min-uptime", "0", "--", ROGUE, "say=up");

	run_wait(run, RUN_OUT, "| up");
	json_t *listing = run_wait_status(run, 1, "ready");
	pid_t brain = run_brain(run);
	cr_assert_eq(kill(brain, SIGSTOP), 0);
	cr_assert_eq(kill((pid_t)run_field(listing, 0, "pid"), SIGABRT), 0);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	json_t *worker = wait_exits(run, 1);
	cr_expect_eq(json_integer_value(
			     json_object_get(exit_at(worker, 0), "signal")),
		SIGABRT);
	cr_expect_eq(json_array_size(json_object_get(worker, "exits")), 1u);
	json_decref(worker);
	json_decref(listing);
	run_wait(run, RUN_OUT, "| up");
	run_stop(run);
}

/* A06: a grandchild that holds the output is named. */
Test(why, names_a_grandchild_that_holds_the_output)
{
	struct run *run = RUN("--name", "api", "--min-uptime", "0", "--", ROGUE,
		"g1/orphan", "say=up", "g1/exit=0", "say=again");
	const char *line = run_wait(run, RUN_OUT, "orphan ");
	pid_t orphan = (pid_t)atoi(strstr(line, "orphan ") + 7);

	run_wait(run, RUN_OUT, "| again");
	json_t *worker = wait_exits(run, 1);
	cr_expect(json_is_true(
		json_object_get(exit_at(worker, 0), "output_held")));
	json_decref(worker);
	cr_assert_eq(kill(orphan, SIGKILL), 0);
	for (int i = 0; i < 500; i++) {
		worker = wait_exits(run, 1);
		bool held = json_is_true(
			json_object_get(exit_at(worker, 0), "output_held"));
		json_decref(worker);
		if (!held)
			break;
		run_pump(run, 20);
	}
	worker = wait_exits(run, 1);
	cr_expect(json_is_false(
		json_object_get(exit_at(worker, 0), "output_held")));
	json_decref(worker);
	run_stop(run);
}

/*
 * Promise: a reload replaces every worker, and no request fails meanwhile;
 * a reload that goes wrong leaves the old workers serving.
 */
#include "support/http.h"
#include "support/run.h"

#include <signal.h>
#include <string.h>

TestSuite(reload_hup, .fini = run_clean, .timeout = 120);

enum {
	WORKERS = 3,
};

static struct run *
start_server(int *ret_port)
{
	char address[32];

	*ret_port = run_free_port();
	snprintf(address, sizeof(address), "127.0.0.1:%d", *ret_port);
	struct run *run = RUN("-n", "3", "-l", address, "--name", "web",
		"--reload-soak", "50", "--", SERVE);
	json_decref(run_wait_status(run, WORKERS, "ready"));
	return run;
}

/* Waits until all workers are ready in generation `least` or later. */
static void
wait_generation(struct run *run, long least)
{
	for (;;) {
		json_t *listing = run_wait_status(run, WORKERS, "ready");
		long lowest = least;
		for (size_t i = 0; i < WORKERS; i++) {
			long is = run_field(listing, i, "generation");
			lowest = is < lowest ? is : lowest;
		}
		json_decref(listing);
		if (lowest >= least)
			return;
		run_pump(run, 10);
	}
}

static void
expect_none_failed(struct load *load, const char *which)
{
	struct load_counts counts;

	load_stop(load, &counts);
	cr_expect_gt(counts.good, 0ul);
	cr_expect_eq(counts.failed, 0ul, "%s: %lu of %lu failed; %s", which,
		counts.failed, counts.good, counts.first_failure);
}

Test(reload_hup, no_request_fails)
{
	int port;
	struct run *run = start_server(&port);

	run_mark(run);
	struct load *fresh = load_start(port, 2, "/", false);
	struct load *kept = load_start(port, 2, "/", true);
	cr_assert(load_wait(fresh, 50));
	run_signal(run, SIGHUP);
	wait_generation(run, 2);
	cr_assert(load_wait(fresh, 50));
	cr_assert(load_wait(kept, 50));
	expect_none_failed(fresh, "new connections");
	expect_none_failed(kept, "kept connections");
	run_check_mark(run);
	run_stop(run);
}

Test(reload_hup, what_has_begun_is_finished)
{
	int port;
	struct run *run = start_server(&port);
	struct load *slow = load_start(port, 8, "/slow/150", true);

	cr_assert(load_wait(slow, 8));
	run_signal(run, SIGHUP);
	wait_generation(run, 2);
	cr_assert(load_wait(slow, 8));
	expect_none_failed(slow, "slow requests");
	run_stop(run);
}

Test(reload_hup, again_while_a_reload_runs)
{
	int port;
	struct run *run = start_server(&port);
	struct load *load = load_start(port, 2, "/", false);

	cr_assert(load_wait(load, 20));
	for (int i = 0; i < 5; i++) {
		run_signal(run, SIGHUP);
		cr_assert(load_wait(load, 5));
	}
	wait_generation(run, 2);
	cr_assert(load_wait(load, 20));
	expect_none_failed(load, "new connections");
	run_stop(run);
}

/* The longest of the generations. */
static long
last_generation(struct run *run)
{
	json_t *listing = run_wait_status(run, WORKERS, "ready");
	long highest = 0;

	for (size_t i = 0; i < WORKERS; i++) {
		long is = run_field(listing, i, "generation");
		highest = is > highest ? is : highest;
	}
	json_decref(listing);
	return highest;
}

/* Bytes that a process has to itself. */
static long
private_bytes(pid_t pid)
{
	char path[64];
	long size = 0, resident = 0, shared = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	cr_assert_eq(fscanf(file, "%ld %ld %ld", &size, &resident, &shared), 3);
	fclose(file);
	return (resident - shared) * 4096;
}

/* D05, E01: a thousand reloads that are asked for at once become a few, and
 * leave nothing. */
Test(reload_hup, a_storm_becomes_few_reloads)
{
	enum { STORM = 1000 };
	int port;
	struct run *run = start_server(&port);
	struct load *load = load_start(port, 2, "/", false);

	run_mark(run);
	cr_assert(load_wait(load, 20));
	long before = private_bytes(run_brain(run));
	for (int i = 0; i < STORM; i++) {
		run_signal(run, SIGHUP);
		/* Some of them while others are being carried out. */
		if (i % 50 == 0)
			cr_assert(load_wait(load, 5));
	}
	/* What follows the last of them is the end of the last reload. */
	cr_expect_eq(COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	long after = last_generation(run);
	cr_expect_geq(after, 3);
	cr_expect_leq(after, STORM / 10, "%ld generations", after);
	cr_assert(load_wait(load, 20));
	expect_none_failed(load, "new connections");
	run_check_mark(run);
	cr_expect_lt(private_bytes(run_brain(run)), before + (4 << 20));
	run_stop(run);
}

/* A second one while the first is carried out is one more, not two. */
Test(reload_hup, a_second_hup_is_taken_together_with_the_first)
{
	int port;
	struct run *run = start_server(&port);

	run_signal(run, SIGHUP);
	run_signal(run, SIGHUP);
	wait_generation(run, 2);
	cr_expect_eq(COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	cr_expect_leq(last_generation(run), 4);
	run_stop(run);
}

Test(reload_hup, term_in_the_middle)
{
	int port;
	struct run *run = start_server(&port);

	run_signal(run, SIGHUP);
	for (;;) {
		json_t *listing = run_ls(run);
		bool begun = run_field(listing, 0, "generation") > 1 ||
			     strcmp(run_said(run), "") == 0 ||
			     strstr(run_said(run), "\"reloading\"") != NULL;
		json_decref(listing);
		if (begun)
			break;
		run_pump(run, 5);
	}
	run_signal(run, SIGTERM);
	run_finish(run, 0);
}

Test(reload_hup, by_the_command)
{
	int port;
	struct run *run = start_server(&port);

	cr_expect_eq(COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	/* The command has waited, so this isn't a wait. */
	json_t *listing = run_ls(run);
	for (size_t i = 0; i < WORKERS; i++)
		cr_expect_eq(run_field(listing, i, "generation"), 2);
	json_decref(listing);
	cr_expect_eq(COMMAND(run, "reload", "2"), 0, "%s", run_said(run));
	listing = run_ls(run);
	cr_expect_eq(run_field(listing, 0, "generation"), 2);
	cr_expect_eq(run_field(listing, 1, "generation"), 3);
	json_decref(listing);
	cr_expect_eq(COMMAND(run, "reload", "nobody"), 4);
	run_stop(run);
}

Test(reload_hup, a_bad_new_worker_changes_nothing)
{
	struct run *run =
		RUN("-n", "3", "--name", "api", "--reload-soak", "500", "--",
			ROGUE, "g1/say=up", "g2/err=no database", "g2/exit=3");
	json_t *before = run_wait_status(run, WORKERS, "ready");

	run_mark(run);
	cr_expect_eq(COMMAND(run, "reload", "api"), 1);
	cr_expect_not_null(
		strstr(run_said(run), "no database"), "%s", run_said(run));
	json_t *after = run_wait_status(run, WORKERS, "ready");
	for (size_t i = 0; i < WORKERS; i++)
		cr_expect_eq(run_field(after, i, "pid"),
			run_field(before, i, "pid"));
	json_decref(before);
	json_decref(after);
	run_check_mark(run);
	run_stop(run);
}

Test(reload_hup, one_that_never_gets_ready_changes_nothing)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--wait-ready",
		"--listen-timeout", "300", "--", ROGUE, "g1/ready", "join");
	json_t *before = run_wait_status(run, 2, "ready");

	cr_expect_eq(COMMAND(run, "reload", "all"), 1);
	json_t *after = run_wait_status(run, 2, "ready");
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(run_field(after, i, "pid"),
			run_field(before, i, "pid"));
	json_decref(before);
	json_decref(after);
	run_stop(run);
}

static bool
is_reloading(struct run *run)
{
	json_t *listing = run_ls(run), *worker;
	bool found = false;
	size_t i;

	json_array_foreach(listing, i, worker) found |=
		strcmp(json_string_value(json_object_get(worker, "status")),
			"reloading") == 0;
	json_decref(listing);
	return found;
}

Test(reload_hup, scaling_meanwhile_is_done_after_it)
{
	int port;
	struct run *run = start_server(&port);

	run_signal(run, SIGHUP);
	while (!is_reloading(run))
		run_pump(run, 2);
	run_signal(run, SIGTTIN);
	run_wait(run, RUN_ERR, "web: reloaded");
	json_decref(run_wait_status(run, WORKERS + 1, "ready"));
	run_signal(run, SIGHUP);
	while (!is_reloading(run))
		run_pump(run, 2);
	run_signal(run, SIGTTOU);
	run_wait(run, RUN_ERR, "web: reloaded");
	json_decref(run_wait_status(run, WORKERS, "ready"));
	run_stop(run);
}

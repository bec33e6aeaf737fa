/*
 * Promise: servers that nobody here wrote run unchanged on a socket that the
 * supervisor holds, and no request fails while they are replaced.
 *
 * A program that isn't installed is passed over with a word.
 */
#include "client.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(real_programs, .fini = run_clean, .timeout = 120);

enum {
	RELOADS = 3,
	WORKERS = 2,
	SOME = 50,
};

static char address[32];

/* Ends the test where `program` isn't there. */
static void
need(const char *program)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	if (system(command) != 0)
		cr_skip("%s is not installed", program);
	snprintf(address, sizeof(address), "127.0.0.1:%d", run_free_port());
	cr_assert_eq(chdir(REAL), 0);
}

/*
 * `keeps`: its kept connections end in order; else each request has its own.
 * `cuts`: of a connection that it just accepted when it was asked to leave the
 * program itself may let go, one a process.
 */
static void
check(struct run *run, bool keeps, bool cuts)
{
	const struct client_lane lanes[] = {
		{.address = address,
			.kind = CLIENT_SHORT,
			.connections = 2,
			.expect = "hello from"},
		{.address = address,
			.kind = CLIENT_KEPT,
			.connections = 2,
			.expect = "hello from"},
	};
	struct client_counts counts[2];
	struct client *client;
	char text[128];
	size_t count = keeps ? 2 : 1;
	unsigned long long may_cut = cuts ? RELOADS * WORKERS : 0;

	json_decref(run_wait_status(run, WORKERS, "ready"));
	client = client_start(lanes, count);
	cr_assert_not_null(client);
	for (int i = 0; i < RELOADS; i++) {
		cr_assert(client_wait(client, 0, SOME, RUN_DEADLINE_MS));
		cr_assert_eq(
			COMMAND(run, "reload", "all"), 0, "%s", run_said(run));
	}
	cr_assert(client_wait(client, 0, SOME, RUN_DEADLINE_MS));
	cr_assert(client_stop(&client, counts));
	for (size_t i = 0; i < count; i++) {
		client_text(&counts[i], text, sizeof(text));
		cr_expect_gt(counts[i].good, 0ull);
		cr_expect_eq(client_failed(&counts[i]) -
				     counts[i].failed[CLIENT_RESET],
			0ull, "%s: %s", client_kind_name(lanes[i].kind), text);
		cr_expect_leq(counts[i].failed[CLIENT_RESET], may_cut, "%s: %s",
			client_kind_name(lanes[i].kind), text);
	}
	run_stop(run);
}

/* It says READY=1 itself. */
Test(real_programs, gunicorn)
{
	need("gunicorn");
	check(RUN("-n", "2", "-l", address, "--wait-ready", "--listen-timeout",
		      "20000", "--reload-soak", "0", "--", "gunicorn",
		      "--log-level", "warning", "-w", "1", "app:application"),
		true, false);
}

/*
 * So does this. By itself it takes SIGTERM for another signal. Its workers
 * leave at once when no request is under way, and one counts from its first
 * byte on, not from accept(): what was accepted a moment before is cut off
 * (gracefully_kill and wsgi_req_recv in its core).
 */
Test(real_programs, uwsgi)
{
	need("uwsgi");
	check(RUN("-n", "2", "-l", address, "--wait-ready", "--listen-timeout",
		      "20000", "--reload-soak", "0", "--", "uwsgi", "--plugin",
		      "python3", "--http-socket", "fd://3", "--wsgi-file",
		      "app.py", "--master", "--processes", "1",
		      "--disable-logging", "--hook-master-start",
		      "unix_signal:15 gracefully_kill_them_all"),
		true, true);
}

/* It never says that it is ready: the soak has to do. */
Test(real_programs, python)
{
	need("python3");
	check(RUN("-n", "2", "-l", address, "--reload-soak", "500", "--",
		      "server.py"),
		false, false);
}

Test(real_programs, node)
{
	need("node");
	check(RUN("-n", "2", "-l", address, "--reload-soak", "500",
		      "--kill-signal", "TERM", "--", "server.js"),
		true, false);
}

/*
 * Promise: a reload that can't go right leaves what there was: the old workers,
 * their sockets and their clients; and who asked is told why. Nothing that
 * anybody does to it makes it lose a request.
 */
#include "client.h"
#include "support/http.h"
#include "support/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char folder[64], file[80], address[32];
static int port;

static void
setup(void)
{
	strcpy(folder, "/tmp/muster-bad-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/apps.json", folder);
	port = run_free_port();
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
}

static void
teardown(void)
{
	run_clean();
	unlink(file);
	rmdir(folder);
}

TestSuite(reload_bad, .init = setup, .fini = teardown, .timeout = 120);

/* An application of two http-hello, but for what `more` says. */
static void
write_file(const char *script, const char *more)
{
	FILE *out = fopen(file, "we");

	cr_assert_not_null(out);
	fprintf(out,
		"{\"name\":\"web\",\"script\":\"%s\",\"instances\":2,"
		"\"wait_ready\":true,\"reload_soak\":200,\"listen_timeout\":"
		"5000%s}",
		script, more);
	fclose(out);
}

static void
expect_served(void)
{
	char body[64];
	bool is_open;
	int fd = http_connect(port);

	cr_assert_geq(fd, 0);
	cr_expect_eq(http_get(fd, "/", body, sizeof(body), &is_open), 200);
	close(fd);
}

static struct run *
start(void)
{
	char more[64];

	snprintf(more, sizeof(more), ",\"listen\":\"%s\"", address);
	write_file(HTTP_HELLO, more);
	struct run *run = RUN(file);
	json_decref(run_wait_status(run, 2, "ready"));
	expect_served();
	return run;
}

/* HUP with a file that is wrong: these workers go on, and it is said why. */
static void
expect_unchanged(struct run *run, const char *words)
{
	json_t *before = run_wait_status(run, 2, "ready");
	json_t *after;

	run_mark(run);
	run_signal(run, SIGHUP);
	run_wait(run, RUN_ERR, words);
	after = run_wait_status(run, 2, "ready");
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(run_field(before, i, "pid"),
			run_field(after, i, "pid"));
	json_decref(before);
	json_decref(after);
	expect_served();
	run_check_mark(run);
}

Test(reload_bad, a_program_that_is_not_there)
{
	struct run *run = start();

	write_file("/nonexistent/program", "");
	expect_unchanged(run, "the reload was taken back");
	run_stop(run);
}

/* Ready, and dead within the soak. */
Test(reload_bad, one_that_dies_after_it_was_ready)
{
	struct run *run = start();

	write_file(ROGUE, ",\"args\":[\"ready\",\"exit=3@50\"]");
	expect_unchanged(run, "the reload was taken back");
	run_stop(run);
}

Test(reload_bad, a_file_with_a_syntax_error)
{
	struct run *run = start();
	FILE *out = fopen(file, "we");

	cr_assert_not_null(out);
	fputs("{\"name\": \"web\",\n  \"script\": }", out);
	fclose(out);
	expect_unchanged(run, ":2:");
	run_stop(run);
}

Test(reload_bad, a_port_that_is_in_use)
{
	struct run *run = start();
	char more[96];
	int other = run_free_port(), fd;

	while (other == port)
		other = run_free_port();
	fd = run_hold_port(other);
	snprintf(more, sizeof(more), ",\"listen\":[\"%s\",\"127.0.0.1:%d\"]",
		address, other);
	write_file(HTTP_HELLO, more);
	expect_unchanged(run, "in use by");
	close(fd);
	/* Now it is free: the first address keeps its socket. */
	run_signal(run, SIGHUP);
	run_wait(run, RUN_ERR, "web: reloaded");
	expect_served();
	port = other;
	expect_served();
	run_stop(run);
}

/* D09: never fewer than there shall be. */
Test(reload_bad, never_fewer_that_serve)
{
	struct run *run = start();
	json_t *listing, *worker;
	bool goes_on = true;
	size_t i;

	run_signal(run, SIGHUP);
	while (goes_on) {
		listing = run_ls(run);
		goes_on = false;
		json_array_foreach(listing, i, worker)
		{
			const char *status = json_string_value(
				json_object_get(worker, "status"));

			cr_expect(strcmp(status, "ready") == 0 ||
					  strcmp(status, "reloading") == 0,
				"%s", status);
			goes_on |= run_field(listing, i, "generation") < 2;
		}
		cr_expect_eq(json_array_size(listing), 2ul);
		json_decref(listing);
		run_pump(run, 5);
	}
	run_wait(run, RUN_ERR, "web: reloaded");
	run_stop(run);
}

static struct client *
load(void)
{
	const struct client_lane lanes[] = {
		{.address = address,
			.kind = CLIENT_SHORT,
			.connections = 2,
			.expect = "hello"},
		{.address = address,
			.kind = CLIENT_KEPT,
			.connections = 2,
			.expect = "hello"},
	};
	struct client *client = client_start(lanes, 2);

	cr_assert_not_null(client);
	return client;
}

static void
expect_none_failed(struct client *client)
{
	struct client_counts counts[2];
	char text[128];

	cr_assert(client_wait(client, 0, 100, RUN_DEADLINE_MS));
	cr_assert(client_wait(client, 1, 100, RUN_DEADLINE_MS));
	cr_assert(client_stop(&client, counts));
	for (int i = 0; i < 2; i++) {
		client_text(&counts[i], text, sizeof(text));
		cr_expect_eq(client_failed(&counts[i]), 0ull, "%s", text);
	}
}

/* D05: a thousand, one after the other, as fast as they go. */
Test(reload_bad, a_storm_of_reloads)
{
	struct run *run = start();
	struct client *client = load();

	for (int i = 0; i < 1000; i++) {
		run_signal(run, SIGHUP);
		if (i % 20 == 0)
			run_pump(run, 1);
	}
	run_wait(run, RUN_ERR, "web: reloaded");
	json_decref(run_wait_status(run, 2, "ready"));
	expect_none_failed(client);
	run_stop(run);
}

/* A worker whose last request never ends is cut off at its deadline. */
Test(reload_bad, one_that_never_finishes)
{
	struct run *run;
	int fd;

	run = RUN("-n", "2", "-l", address, "--wait-ready", "--reload-soak",
		"0", "--kill-timeout", "400", "--name", "web", "--",
		HTTP_HELLO);
	json_decref(run_wait_status(run, 2, "ready"));
	fd = http_connect(port);
	cr_assert_geq(fd, 0);
	/* Half a request: it is awaited, not for ever. */
	cr_assert_eq(write(fd, "GET / HTTP/1.1\r\n", 16), 16);
	cr_expect_eq(COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	expect_served();
	close(fd);
	run_stop(run);
}

/* The workers stand still, so that the brain keeps what it hands over, until it
 * has no descriptors left: what it can't accept waits in the queue. */
Test(reload_bad, few_descriptors_in_the_brain)
{
	enum { WORKERS = 8, CLIENTS = 600 };
	const struct rlimit few = {320, 320};
	pid_t pids[WORKERS];
	json_t *listing;
	struct run *run;
	int fds[CLIENTS];
	char body[64];
	bool is_open;
	int good = 0;

	run = RUN("-n", "8", "-l", address, "--wait-ready", "--balance",
		"round-robin", "--name", "web", "--", HTTP_HELLO);
	listing = run_wait_status(run, WORKERS, "ready");
	cr_assert_eq(prlimit(run_brain(run), RLIMIT_NOFILE, &few, NULL), 0);
	for (size_t i = 0; i < WORKERS; i++) {
		pids[i] = (pid_t)run_field(listing, i, "pid");
		kill(pids[i], SIGSTOP);
	}
	json_decref(listing);
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = http_connect(port);
		cr_assert_geq(fds[i], 0);
	}
	run_wait(run, RUN_ERR, "Too many open files");
	for (size_t i = 0; i < WORKERS; i++)
		kill(pids[i], SIGCONT);
	for (int i = 0; i < CLIENTS; i++) {
		good += http_get(fds[i], "/", body, sizeof(body), &is_open) ==
			200;
		close(fds[i]);
	}
	cr_expect_eq(good, CLIENTS);
	run_stop(run);
}

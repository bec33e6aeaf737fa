/*
 * Promise: in each way of balancing no request fails while workers are
 * replaced, added, taken away, and while the brain is killed; the workers get
 * equally much; and what is queued for a worker that goes is served.
 */
#include "client.h"
#include "support/http.h"
#include "support/process.h"
#include "support/run.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(balance, .fini = run_clean, .timeout = 120);

enum {
	WORKERS = 4,
	SOME = 200,
};

static char address[32];

static struct run *
start(const char *how, const char *instances)
{
	snprintf(address, sizeof(address), "127.0.0.1:%d", run_free_port());
	struct run *run = RUN("-n", instances, "-l", address, "--balance", how,
		"--name", "web", "--wait-ready", "--reload-soak", "0", "--",
		HTTP_HELLO);
	json_decref(run_wait_status(run, (size_t)atoi(instances), "ready"));
	return run;
}

static struct client *
load(void)
{
	const struct client_lane lanes[] = {
		{.address = address,
			.kind = CLIENT_SHORT,
			.connections = 4,
			.expect = "hello"},
		{.address = address,
			.kind = CLIENT_KEPT,
			.connections = 4,
			.expect = "hello"},
	};
	struct client *client = client_start(lanes, 2);

	cr_assert_not_null(client);
	return client;
}

static void
wait_some(struct client *client)
{
	cr_assert(client_wait(client, 0, SOME, RUN_DEADLINE_MS));
	cr_assert(client_wait(client, 1, SOME, RUN_DEADLINE_MS));
}

/* Ends the load; `resets` failures of short requests are forgiven. */
static void
expect_none_failed(struct client *client, uint64_t resets, uint64_t *ret_good)
{
	struct client_counts counts[2];
	char text[2][128];

	cr_assert(client_stop(&client, counts));
	for (int i = 0; i < 2; i++)
		client_text(&counts[i], text[i], sizeof(text[i]));
	cr_expect_leq(client_failed(&counts[0]), resets, "short: %s", text[0]);
	cr_expect_eq(client_failed(&counts[1]), 0ull, "kept: %s", text[1]);
	cr_expect_eq(counts[1].closed_idle, 0ull);
	for (int i = 0; ret_good && i < CLIENT_WORKERS_MAX; i++)
		ret_good[i] = counts[0].by_worker[i];
}

static void
wait_workers(struct run *run, size_t count)
{
	json_decref(run_wait_status(run, count, "ready"));
}

static void
check_mode(const char *how, uint64_t resets)
{
	struct run *run = start(how, "4");
	struct client *client = load();
	pid_t brain = run_brain(run);

	wait_some(client);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(
			COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	wait_some(client);
	for (int i = 0; i < 2; i++) {
		run_signal(run, SIGTTOU);
		wait_workers(run, WORKERS - 1);
		wait_some(client);
		run_signal(run, SIGTTIN);
		wait_workers(run, WORKERS);
		wait_some(client);
	}
	expect_none_failed(client, 0, NULL);
	client = load();
	wait_some(client);
	kill(brain, SIGKILL);
	run_wait_new_brain(run, brain);
	wait_some(client);
	cr_assert_eq(COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	wait_some(client);
	expect_none_failed(client, resets, NULL);
	run_stop(run);
}

Test(balance, shared)
{
	check_mode("shared", 0);
}

Test(balance, reuseport)
{
	check_mode("reuseport", 0);
}

/* Those that a killed brain had accepted in its last turn are lost with it. */
Test(balance, round_robin)
{
	check_mode("round-robin", 4);
}

/* Waits until no worker has a connection that isn't done. */
static void
wait_done(struct run *run)
{
	json_int_t open;

	do {
		json_t *listing = run_wait_status(run, 2, "ready");
		size_t i;
		json_t *worker;

		open = 0;
		json_array_foreach(listing, i, worker) open +=
			json_integer_value(json_object_get(
				json_object_get(worker, "gauges"),
				"connections"));
		json_decref(listing);
		run_pump(run, 5);
	} while (open > 0);
}

/* Nothing is needed for it but the channel. */
Test(balance, round_robin_without_the_sdk)
{
	snprintf(address, sizeof(address), "127.0.0.1:%d", run_free_port());
	const struct client_lane lane = {.address = address,
		.kind = CLIENT_SHORT,
		.connections = 4,
		.expect = "hello from worker"};
	struct run *run =
		RUN("-n", "2", "-l", address, "--balance", "round-robin",
			"--name", "web", "--reload-soak", "0", "--", HANDED);
	struct client *client;
	struct client_counts counts;
	char text[128];

	json_decref(run_wait_status(run, 2, "ready"));
	client = client_start(&lane, 1);
	cr_assert_not_null(client);
	for (int i = 0; i < 3; i++) {
		cr_assert(client_wait(client, 0, SOME, RUN_DEADLINE_MS));
		cr_assert_eq(
			COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	}
	cr_assert(client_wait(client, 0, SOME, RUN_DEADLINE_MS));
	cr_assert(client_stop(&client, &counts));
	client_text(&counts, text, sizeof(text));
	cr_expect_eq(client_failed(&counts), 0ull, "%s", text);
	cr_expect_gt(counts.by_worker[1], 0ull);
	cr_expect_gt(counts.by_worker[2], 0ull);
	wait_done(run);
	run_stop(run);
}

static void
check_spread(const char *how, double most)
{
	struct run *run = start(how, "4");
	struct client *client = load();
	uint64_t good[CLIENT_WORKERS_MAX];
	double sum = 0;

	cr_assert(client_wait(client, 0, 4000, RUN_DEADLINE_MS));
	expect_none_failed(client, 0, good);
	for (int i = 1; i <= WORKERS; i++)
		sum += (double)good[i];
	for (int i = 1; i <= WORKERS; i++)
		cr_expect_leq((double)good[i], most * sum / WORKERS,
			"%s: worker %d has %llu of %.0f", how, i,
			(unsigned long long)good[i], sum);
	run_stop(run);
}

Test(balance, the_workers_get_equally_much)
{
	/* Which idle worker the kernel wakes hangs on what else the machine
	 * does; without turns one of four has three times the mean. bench/
	 * accept measures it. */
	check_spread("round-robin", 1.3);
	check_spread("reuseport", 1.3);
	check_spread("shared", 2);
}

static void
expect_answers(int *fds, int count)
{
	char body[128];
	bool is_open;
	int good = 0;

	for (int i = 0; i < count; i++) {
		good += http_get(fds[i], "/", body, sizeof(body), &is_open) ==
			200;
		close(fds[i]);
	}
	cr_expect_eq(good, count, "%d of %d were served", good, count);
}

/* Until one of the workers is on its way out. */
static void
wait_leaving(struct run *run)
{
	bool is_leaving = false;

	while (!is_leaving) {
		json_t *listing = run_ls(run);
		size_t i;
		json_t *worker;

		json_array_foreach(listing, i, worker) is_leaving |=
			strcmp(json_string_value(
				       json_object_get(worker, "status")),
				"stopping") == 0;
		json_decref(listing);
		run_pump(run, 5);
	}
}

/*
 * Workers that are stopped accept nothing: what comes stands in their queues,
 * one of which is scaled away. With `is_killed` its worker doesn't go in order.
 */
static void
check_queued(bool is_killed)
{
	struct run *run = start("reuseport", "2");
	json_t *listing = run_wait_status(run, 2, "ready");
	pid_t pids[2];
	int fds[SOME], port = atoi(strchr(address, ':') + 1);

	for (size_t i = 0; i < 2; i++) {
		pids[i] = (pid_t)run_field(listing, i, "pid");
		kill(pids[i], SIGSTOP);
		while (process_state(pids[i]) != 'T')
			run_pump(run, 5);
	}
	json_decref(listing);
	for (int i = 0; i < SOME; i++) {
		fds[i] = http_connect(port);
		cr_assert_geq(fds[i], 0);
	}
	run_signal(run, SIGTTOU);
	wait_leaving(run);
	kill(pids[1], is_killed ? SIGKILL : SIGCONT);
	if (is_killed)
		wait_workers(run, 1);
	kill(pids[0], SIGCONT);
	expect_answers(fds, SOME);
	wait_workers(run, 1);
	run_stop(run);
}

Test(balance, what_is_queued_outlives_its_slot)
{
	check_queued(false);
}

Test(balance, what_is_queued_outlives_its_worker)
{
	check_queued(true);
}

/* What a worker could not finish is counted: SIGKILL, with a connection open.
 */
Test(balance, what_is_cut_is_told)
{
	struct run *run = start("shared", "1");
	int fd = http_connect(atoi(strchr(address, ':') + 1));
	json_t *listing = NULL;
	json_int_t in_flight = 0;
	pid_t pid = 0;

	cr_assert_geq(fd, 0);
	while (in_flight == 0) {
		json_decref(listing);
		listing = run_wait_status(run, 1, "ready");
		in_flight = json_integer_value(json_object_get(
			json_object_get(json_array_get(listing, 0), "gauges"),
			"in_flight"));
		run_pump(run, 10);
	}
	pid = (pid_t)run_field(listing, 0, "pid");
	json_decref(listing);
	kill(pid, SIGKILL);
	run_wait(run, RUN_ERR, "was cut off with 1 in flight");
	close(fd);
	run_stop(run);
}

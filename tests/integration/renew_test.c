/*
 * Promise: workers that use too much memory, have served long enough, or whose
 * files have changed are replaced as in a reload, and so are all at the times
 * of cron_restart: once each, whatever becomes of the brain.
 */
#include "client.h"
#include "support/home.h"
#include "support/process.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(renew, .init = home_make, .fini = home_clean, .timeout = 200);

enum {
	STEP_MS = 10,
	PATIENCE_MS = 90000, /* cron_restart comes once a minute */
};

static void
put(const char *name)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", home_folder(), name);
	file = fopen(path, "we");
	cr_assert_not_null(file);
	fputs("x", file);
	fclose(file);
}

/* How many events were told that have this text. */
static int
count_events(const char *text)
{
	int count = 0;

	cr_assert_eq(MUSTER("events"), 0);
	for (const char *at = home_said(); (at = strstr(at, text)) != NULL;
		at += strlen(text))
		count++;
	return count;
}

static void
wait_events(const char *text, int count)
{
	for (int left = PATIENCE_MS / STEP_MS; count_events(text) < count;
		left--) {
		cr_assert_gt(left, 0, "no %s in: %s", text, home_said());
		poll(NULL, 0, STEP_MS);
	}
}

static void
wait_generation(size_t index, long generation)
{
	for (int left = PATIENCE_MS / STEP_MS;; left--) {
		json_t *listing = home_ls();
		bool is_there =
			home_number(listing, index, "generation") >=
				generation &&
			!strcmp(home_text(listing, index, "status"), "ready");

		json_decref(listing);
		if (is_there)
			return;
		cr_assert_gt(left, 0, "it isn't replaced");
		poll(NULL, 0, STEP_MS);
	}
}

/* The memory is a child's; the next one is moderate. */
Test(renew, what_uses_too_much_is_replaced)
{
	cr_assert_eq(chdir(home_folder()), 0);
	put("grow");
	cr_assert_eq(
		MUSTER("start", "--name", "fat", "--max-memory-restart", "40M",
			"--reload-soak", "0", "--", "sh", "-c",
			"if [ -e grow ]; then rm grow; (x=$(head -c "
			"60000000 /dev/zero | tr '\\0' x); sleep 1000; :) & "
			"fi; trap 'kill %1; exit 0' TERM; wait; sleep "
			"1000 & wait"),
		0, "%s", home_said());
	wait_events("because=max_memory_restart", 1);
	wait_generation(0, 2);
	cr_assert_eq(MUSTER("why", "fat"), 0);
	cr_expect(strstr(home_said(), "memory"), "%s", home_said());
	json_t *listing = home_ls();
	cr_expect_eq(home_number(listing, 0, "unstable_restarts"), 0);
	json_decref(listing);
}

Test(renew, after_so_many_connections)
{
	char address[32];
	struct client_lane lane = {.address = address,
		.kind = CLIENT_SHORT,
		.connections = 2,
		.expect = "hello"};
	struct client_counts counts;
	struct client *client;

	snprintf(address, sizeof(address), "127.0.0.1:%d",
		20000 + getpid() % 9999);
	cr_assert_eq(
		MUSTER("start", "--name", "web", "-n", "2", "-l", address,
			"--balance", "round-robin", "--max-requests", "200",
			"--wait-ready", "--reload-soak", "0", "--", HTTP_HELLO),
		0, "%s", home_said());
	client = client_start(&lane, 1);
	cr_assert_not_null(client);
	wait_generation(0, 3);
	wait_generation(1, 3);
	cr_assert(client_stop(&client, &counts));
	cr_expect_eq(client_failed(&counts), 0ull);
	cr_expect_gt(counts.good, 600ull);
}

Test(renew, after_so_long)
{
	cr_assert_eq(
		MUSTER("start", "--name", "old", "-n", "2", "--max-lifetime",
			"1s", "--reload-soak", "0", "--", "sleep", "1000"),
		0, "%s", home_said());
	wait_generation(0, 2);
	pid_t brain = home_brain(0);
	kill(brain, SIGKILL);
	(void)home_brain(brain);
	wait_generation(0, 3);
	wait_generation(1, 3);
	cr_expect_geq(count_events("because=max_lifetime"), 4);
}

/* One that fails to come leaves the one that is there. */
Test(renew, what_fails_leaves_the_old_one)
{
	char path[256];

	cr_assert_eq(chdir(home_folder()), 0);
	snprintf(path, sizeof(path), "%s/once", home_folder());
	cr_assert_eq(MUSTER("start", "--name", "one", "--max-lifetime", "1s",
			     "--reload-soak", "200", "--", "sh", "-c",
			     "[ -e once ] && exit 3; touch once; exec sleep "
			     "1000"),
		0, "%s", home_said());
	wait_events("reload_failed", 1);
	json_t *listing = home_wait_status(1, "ready");
	cr_expect_eq(home_number(listing, 0, "restarts"), 0);
	json_decref(listing);
	cr_expect_eq(count_events("because=max_lifetime"), 1);
}

Test(renew, at_its_time_and_once)
{
	cr_assert_eq(MUSTER("start", "--name", "nightly", "--cron-restart",
			     "* * * * *", "--reload-soak", "0", "--", "sleep",
			     "1000"),
		0, "%s", home_said());
	pid_t brain = home_brain(0);
	kill(brain, SIGKILL);
	brain = home_brain(brain);
	wait_events("because=cron_restart", 1);
	kill(brain, SIGKILL);
	(void)home_brain(brain);
	wait_generation(0, 2);
	wait_events("reloaded", 1);
	cr_expect_eq(count_events("because=cron_restart"), 1);
	cr_expect_eq(MUSTER("start", "--name", "never", "--cron-restart",
			     "0 25 * * *", "--", "sleep", "1000"),
		2);
	cr_expect(
		strstr(home_said(), "the hour is 0 to 23"), "%s", home_said());
}

Test(renew, when_its_files_change)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/src", home_folder());
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/src/node_modules", home_folder());
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/src", home_folder());
	cr_assert_eq(MUSTER("start", "--name", "dev", "--cwd", path, "--watch",
			     "--watch-delay", "50", "--reload-soak", "0", "--",
			     "sleep", "1000"),
		0, "%s", home_said());
	put("src/node_modules/left");
	put("src/main.js");
	wait_events("because=watch", 1);
	wait_generation(0, 2);
	cr_expect_eq(count_events("main.js"), 1, "%s", home_said());
	cr_expect_eq(count_events("node_modules"), 0, "%s", home_said());
	pid_t brain = home_brain(0);
	kill(brain, SIGKILL);
	(void)home_brain(brain);
	wait_generation(0, 2); /* it answers, so it looks at files again */
	put("src/other.js");
	wait_events("other.js", 1);
	wait_generation(0, 3);
}

/*
 * Promise: what depends on others starts when these are ready and ends before
 * them, also when the brain dies in between; what can't start for want of
 * another says so; and no more workers start at once than may.
 */
#include "support/home.h"
#include "support/process.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(order, .init = home_make, .fini = home_clean, .timeout = 120);

/* Says in the file `log` what it does. It is ready, by a newline on descriptor
 * 4, when the file `go` is there; its end takes it a moment. */
static const char worker[] =
	"#!/bin/sh\n"
	"cd \"$MUSTER_TEST_HOME\"\n"
	"trap 'sleep 0.2; echo -$MUSTER_APP >>log; exit 0' TERM\n"
	"echo +$MUSTER_APP >>log\n"
	"while [ ! -e go ]; do sleep 0.02; done\n"
	"echo =$MUSTER_APP >>log\n"
	"echo >&4\n"
	"while :; do sleep 0.05; done\n";

static void
path_of(const char *name, char *ret_path)
{
	snprintf(ret_path, 256, "%s/%s", home_folder(), name);
}

static void
write_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	path_of(name, path);
	file = fopen(path, "we");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static void
write_apps(const char *apps)
{
	setenv("MUSTER_TEST_HOME", home_folder(), 1);
	cr_assert_eq(chdir(home_folder()), 0);
	write_file("worker.sh", worker);
	write_file("apps.json", apps);
	write_file("log", "");
}

static int
start_file(void)
{
	char path[256];

	path_of("apps.json", path);
	return MUSTER("start", path);
}

static void
expect_log(const char *text)
{
	char path[256], is[1024];
	FILE *file;
	size_t size;

	path_of("log", path);
	file = fopen(path, "re");
	cr_assert_not_null(file);
	size = fread(is, 1, sizeof(is) - 1, file);
	fclose(file);
	is[size] = '\0';
	cr_expect_str_eq(is, text);
}

static const char two[] =
	"[{\"name\": \"api\", \"script\": \"worker.sh\", \"wait_ready\": true,"
	" \"listen_timeout\": 30000, \"notify_fd\": 4, \"depends_on\": "
	"[\"db\"],"
	" \"reload_soak\": 0},"
	"{\"name\": \"db\", \"script\": \"worker.sh\", \"wait_ready\": true,"
	" \"listen_timeout\": 30000, \"notify_fd\": 4, \"reload_soak\": 0}]";

/* Begins the start, and waits until db runs and api waits. */
static pid_t
begin_two(void)
{
	char path[256];
	pid_t starting;
	json_t *listing;

	write_apps(two);
	cr_assert_eq(MUSTER("start", "--name", "other", "--", "sleep", "1000"),
		0, "%s", home_said());
	path_of("apps.json", path);
	starting = MUSTER_BEGIN("start", path);
	home_wait_file("log", "+db\n");
	listing = home_ls();
	while (json_array_size(listing) < 3) {
		json_decref(listing);
		poll(NULL, 0, 5);
		listing = home_ls();
	}
	cr_expect_str_eq(home_text(listing, 1, "app"), "api");
	cr_expect_str_eq(home_text(listing, 1, "status"), "starting");
	cr_expect_str_eq(home_text(listing, 1, "notice"), "waits for db");
	json_decref(listing);
	return starting;
}

Test(order, starts_after_and_stops_before)
{
	pid_t starting = begin_two();

	write_file("go", "");
	cr_expect_eq(home_wait(starting), 0);
	json_decref(home_wait_status(3, "ready"));
	expect_log("+db\n=db\n+api\n=api\n");
	write_file("log", "");
	cr_expect_eq(MUSTER("restart", "all"), 0, "%s", home_said());
	expect_log("-api\n-db\n+db\n=db\n+api\n=api\n");
	write_file("log", "");
	cr_expect_eq(MUSTER("stop", "all"), 0, "%s", home_said());
	expect_log("-api\n-db\n");
	write_file("log", "");
	cr_expect_eq(MUSTER("start", "all"), 0, "%s", home_said());
	expect_log("+db\n=db\n+api\n=api\n");
	/* Alone it may go and come. */
	write_file("log", "");
	cr_expect_eq(MUSTER("restart", "db"), 0, "%s", home_said());
	expect_log("-db\n+db\n=db\n");
	write_file("log", "");
	cr_expect_eq(MUSTER("kill"), 0, "%s", home_said());
	expect_log("-api\n-db\n");
}

/* Until the end of this one was asked for. */
static void
wait_stopping(const char *app)
{
	bool is_stopping = false;

	while (!is_stopping) {
		json_t *listing = home_ls();

		for (size_t i = 0; i < json_array_size(listing); i++)
			is_stopping |=
				!strcmp(home_text(listing, i, "app"), app) &&
				!strcmp(home_text(listing, i, "status"),
					"stopping");
		json_decref(listing);
		poll(NULL, 0, 5);
	}
}

Test(order, goes_on_with_another_brain)
{
	pid_t starting = begin_two();
	pid_t brain = home_brain(0);
	pid_t stopping;

	kill(brain, SIGKILL);
	brain = home_brain(brain);
	(void)home_wait(starting);
	write_file("go", "");
	json_decref(home_wait_status(3, "ready"));
	expect_log("+db\n=db\n+api\n=api\n");
	write_file("log", "");
	stopping = MUSTER_BEGIN("stop", "all");
	wait_stopping("api");
	kill(brain, SIGKILL);
	brain = home_brain(brain);
	(void)home_wait(stopping);
	json_decref(home_wait_status(3, "stopped"));
	expect_log("-api\n-db\n");
}

Test(order, what_is_missing_is_told)
{
	write_apps("[{\"name\": \"api\", \"script\": \"worker.sh\","
		   " \"depends_on\": \"db\"},"
		   "{\"name\": \"db\", \"script\": \"false.sh\","
		   " \"wait_ready\": true, \"max_restarts\": 0}]");
	write_file("false.sh", "exit 3\n");
	cr_assert_eq(MUSTER("start", "--name", "other", "--", "sleep", "1000"),
		0, "%s", home_said());
	cr_expect_eq(start_file(), 1);
	cr_expect(strstr(home_said(), "db"), "%s", home_said());
	write_apps("[{\"name\": \"api\", \"script\": \"worker.sh\","
		   " \"depends_on\": \"db\"},"
		   "{\"name\": \"db\", \"script\": \"worker.sh\","
		   " \"depends_on\": [\"api\"]}]");
	cr_expect_eq(start_file(), 1);
	cr_expect(strstr(home_said(), "api → db → api"), "%s", home_said());
	write_apps("[{\"name\": \"api\", \"script\": \"worker.sh\","
		   " \"depends_on\": \"dp\"}]");
	cr_expect_eq(start_file(), 1);
	cr_expect(strstr(home_said(),
			  "api.depends_on: no application is called \"dp\""),
		"%s", home_said());
	/* One that is stopped is no way to get on, either. */
	cr_assert_eq(MUSTER("stop", "other"), 0);
	cr_expect_eq(MUSTER("start", "--name", "late", "--depends-on", "other",
			     "--", "sleep", "1000"),
		1);
	cr_expect(strstr(home_said(), "waits for other, which doesn't run"),
		"%s", home_said());
}

/* In the foreground nothing is left to run then. */
Test(order, a_run_without_hope_ends)
{
	char path[256];

	write_apps("[{\"name\": \"api\", \"script\": \"worker.sh\","
		   " \"depends_on\": \"db\"},"
		   "{\"name\": \"db\", \"script\": \"false.sh\","
		   " \"wait_ready\": true, \"max_restarts\": 0}]");
	write_file("false.sh", "exit 3\n");
	path_of("apps.json", path);
	cr_expect_eq(MUSTER("run", path), 3);
	cr_expect(strstr(home_said(), "api waits for db, which doesn't run"),
		"%s", home_said());
	expect_log("");
}

Test(order, one_at_a_time)
{
	write_apps("[{\"name\": \"w\", \"script\": \"worker.sh\","
		   " \"wait_ready\": true, \"listen_timeout\": 30000,"
		   " \"notify_fd\": 4, \"instances\": 4,"
		   " \"start_parallel\": 1}]");
	write_file("go", "");
	cr_expect_eq(start_file(), 0, "%s", home_said());
	expect_log("+w\n=w\n+w\n=w\n+w\n=w\n+w\n=w\n");
}

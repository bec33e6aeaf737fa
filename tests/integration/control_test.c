/*
 * Promise: the command's verbs work on a foreground run, with the exit codes
 * and the JSON that scripts rely on; and nobody else can ask.
 */
#include "fixtures/wire.h"
#include "support/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(control, .fini = run_clean, .timeout = 120);

static struct run *
start_two(void)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join");

	json_decref(run_wait_status(run, 2, "ready"));
	run_wait_count(run, RUN_OUT, "got kind=3 from=0", 2);
	return run;
}

static bool
is_text(json_t *worker, const char *key, const char *text)
{
	const char *is = json_string_value(json_object_get(worker, key));

	return is != NULL && strcmp(is, text) == 0;
}

Test(control, ls_json)
{
	static const char *const numbers[] = {"id", "instance", "pid",
		"generation", "restarts", "unstable_restarts", "uptime_ms",
		"cpu_percent", "memory_bytes", "messages_in", "messages_out",
		"queue_bytes"};
	struct run *run = start_two();
	json_t *listing = run_ls(run);

	cr_assert(json_is_array(listing));
	for (size_t i = 0; i < 2; i++) {
		json_t *worker = json_array_get(listing, i);
		for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]);
			n++)
			cr_expect(json_is_number(
					  json_object_get(worker, numbers[n])),
				"%s", numbers[n]);
		cr_expect(is_text(worker, "app", "api"));
		cr_expect(is_text(worker, "namespace", "default"));
		cr_expect(is_text(worker, "status", "ready"));
		cr_expect(json_is_null(json_object_get(worker, "exit")));
		cr_expect(json_is_array(json_object_get(worker, "listen")));
		cr_expect(json_is_object(json_object_get(worker, "gauges")));
		cr_expect(json_is_boolean(
			json_object_get(worker, "stopped_by_signal")));
		cr_expect(
			json_is_boolean(json_object_get(worker, "unkillable")));
		cr_expect_gt(run_field(listing, i, "memory_bytes"), 0);
		cr_expect_eq(run_field(listing, i, "id"), (long)i + 1);
	}
	json_decref(listing);
	run_stop(run);
}

Test(control, ls_for_people)
{
	struct run *run = start_two();

	cr_expect_eq(COMMAND(run, "ls"), 0);
	cr_expect_not_null(strstr(run_said(run), "STATUS"));
	cr_expect_not_null(strstr(run_said(run), "ready"));
	cr_expect_null(strchr(run_said(run), '\x1b'), "no colours in a pipe");
	cr_expect_eq(COMMAND(run, "list"), 0);
	cr_expect_eq(COMMAND(run, "status"), 0);
	run_stop(run);
}

Test(control, exit_codes)
{
	struct run *run = start_two();

	cr_expect_eq(COMMAND(run, "ping"), 0);
	cr_expect_eq(COMMAND(run, "send", "99", "1"), 4);
	cr_expect_eq(COMMAND(run, "send", "nobody", "1"), 4);
	cr_expect_eq(COMMAND(run, "send", "ns:nowhere", "1"), 4);
	cr_expect_eq(COMMAND(run, "reload", "99"), 4);
	cr_expect_eq(COMMAND(run, "reload", "nobody"), 4);
	cr_expect_eq(COMMAND(run, "send", "all", "{nonsense"), 2);
	cr_expect_eq(COMMAND(run, "relaod", "all"), 2);
	cr_expect_not_null(strstr(run_said(run), "reload"));
	cr_expect_eq(COMMAND(run, "ls", "--jsno"), 2);
	cr_expect_not_null(strstr(run_said(run), "--json"));
	cr_expect_eq(
		COMMAND(run, "--home", "/nowhere/muster", "ls", "--json"), 3);
	cr_expect_eq(COMMAND(run, "ls", "--home", "/nowhere/muster"), 3);
	cr_expect_eq(COMMAND(run, "ls", "--home=/nowhere/muster"), 3);
	cr_expect_eq(COMMAND(run, "ls", "--home", run_home(run)), 0);
	cr_expect_eq(COMMAND(run, "ls", "--home"), 2);
	run_stop(run);
}

Test(control, events_that_were_kept)
{
	struct run *run = start_two();

	cr_expect_eq(COMMAND(run, "reload", "1"), 0, "%s", run_said(run));
	cr_expect_eq(COMMAND(run, "events", "--json"), 0);
	size_t lines = 0;
	char *text = strdup(run_said(run));
	for (char *line = strtok(text, "\n"); line != NULL;
		line = strtok(NULL, "\n")) {
		json_t *event = json_loads(line, 0, NULL);
		cr_expect(json_is_string(json_object_get(event, "time")));
		cr_expect(json_is_string(json_object_get(event, "event")));
		json_decref(event);
		lines++;
	}
	free(text);
	cr_expect_gt(lines, 4u);
	cr_expect_not_null(strstr(run_said(run), "\"ready\""));
	cr_expect_not_null(strstr(run_said(run), "\"exited\""));
	cr_expect_eq(COMMAND(run, "events"), 0);
	/* Which worker of its application is said of each. */
	cr_expect_not_null(strstr(run_said(run), " api.0 ready "));
	cr_expect_not_null(strstr(run_said(run), " api.0 exited "));
	run_stop(run);
}

Test(control, events_as_they_happen)
{
	struct run *run = start_two();
	char command[512];
	char line[1024];
	bool seen = false;

	snprintf(command, sizeof(command), "exec %s --home %s events -f",
		run_command_path(), run_home(run));
	FILE *events = popen(command, "re");
	cr_assert_not_null(events);
	/* It follows once it has printed what was kept. */
	cr_assert_not_null(fgets(line, sizeof(line), events));
	run_signal(run, SIGTERM);
	while (fgets(line, sizeof(line), events) != NULL)
		seen = seen || strstr(line, "exited") != NULL;
	cr_expect(seen);
	cr_expect_eq(pclose(events), 0);
	run_finish(run, 0);
}

Test(control, lines_from_standard_input)
{
	struct run *run = start_two();
	char command[512];

	snprintf(command, sizeof(command), "exec %s --home %s send api -",
		run_command_path(), run_home(run));
	FILE *lines = popen(command, "we");
	for (int i = 0; i < 500; i++)
		fprintf(lines, "{\"line\":%d}\n", i);
	cr_expect_eq(pclose(lines), 0);
	run_wait_count(run, RUN_OUT, "{\"line\":499}", 2);
	cr_expect_eq(run_count(run, RUN_OUT, "{\"line\":"), 1000u);
	lines = popen(command, "we");
	fputs("1\nnonsense\n", lines);
	cr_expect_eq(WEXITSTATUS(pclose(lines)), 1);
	run_stop(run);
}

/* Bytes of a stranger on the control socket. */
static int
connect_raw(struct run *run)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/muster.sock",
		run_home(run));
	cr_assert_eq(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

Test(control, the_socket_is_ours_alone)
{
	struct stat status;
	char path[128];
	struct run *run = start_two();

	snprintf(path, sizeof(path), "%s/muster.sock", run_home(run));
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0600u);
	run_stop(run);
}

Test(control, nonsense_is_hung_up_on)
{
	char bytes[4096];
	struct run *run = start_two();

	run_mark(run);
	int fd = connect_raw(run);
	memset(bytes, 0xa5, sizeof(bytes));
	cr_expect_eq(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL),
		(ssize_t)sizeof(bytes));
	/* An error may come first, then the end. */
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		;
	close(fd);
	/* One that says nothing is let go after 5 s. */
	fd = connect_raw(run);
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		;
	close(fd);
	cr_expect_eq(COMMAND(run, "ping"), 0);
	run_check_mark(run);
	run_stop(run);
}

/* What a client hears: the body of the next frame, "" at the end. */
static const char *
hear(struct wire *wire)
{
	static char body[65536];
	struct wire_frame frame;

	while (!wire_peek(wire, &frame))
		if (wire_read(wire, 3000) <= 0)
			return "";
	snprintf(body, sizeof(body), "%.*s", (int)frame.body_size, frame.body);
	wire_drop(wire);
	return body;
}

/* Sends a request to the supervisor; returns what it says. */
static const char *
ask(struct wire *wire, const char *body)
{
	struct wire_frame frame = {.kind = WIRE_REQUEST,
		.id = 7,
		.body = body,
		.body_size = strlen(body)};

	cr_assert(wire_send(wire, &frame));
	return hear(wire);
}

static void
hang_up(struct wire *wire)
{
	close(wire->fd);
	free(wire->in);
}

Test(control, who_is_denied_is_hung_up_on)
{
	static const char *const wrong[] = {
		"{\"method\":\"hello\",\"params\":{\"protocol\":2}}",
		"{\"method\":\"hello\",\"params\":{}}",
		("{\"method\":\"hello\",\"params\":{\"protocol\":1,"
		 "\"role\":\"primary\"}}"),
		"{\"method\":\"workers\"}", "{nonsense", "1"};
	struct run *run = start_two();

	run_mark(run);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct wire wire = {.fd = connect_raw(run)};
		cr_expect_not_null(strstr(ask(&wire, wrong[i]), "\"denied\""),
			"%s", wrong[i]);
		/* Long before the 5 s of one that says nothing. */
		cr_expect_lt(wire_read(&wire, 2500), 0, "%s", wrong[i]);
		hang_up(&wire);
	}
	run_check_mark(run);
	run_stop(run);
}

Test(control, what_a_guest_may_ask)
{
	static const char *const bad[] = {
		"{\"method\":\"workers\",\"params\":1}",
		"{\"method\":\"workers\",\"params\":[]}",
		"{\"method\":\"workers\",\"params\":{\"app\":7}}"};
	static const char note[] = "{\"note\":17}";
	struct wire_frame message = {.kind = WIRE_MESSAGE,
		.body = note,
		.body_size = sizeof(note) - 1};
	struct run *run = start_two();
	struct wire wire = {.fd = connect_raw(run)};

	cr_expect_not_null(strstr(ask(&wire, "{\"protocol\":1}"), "\"id\""));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_expect_not_null(
			strstr(ask(&wire, bad[i]), "\"bad-request\""), "%s",
			bad[i]);
	cr_expect_not_null(strstr(ask(&wire, "{\"method\":\"workers\","
					     "\"params\":{\"app\":\"x\"}}"),
		"\"no-such-app\""));
	cr_expect_not_null(
		strstr(ask(&wire, "{\"method\":\"reload\"}"), "\"denied\""));
	/* Its word to the master is an event like a worker's. */
	cr_assert(wire_send(&wire, &message));
	cr_expect_not_null(strstr(ask(&wire, "{\"method\":\"workers\","
					     "\"params\":{\"app\":\"api\"}}"),
		"\"workers\""));
	cr_expect_eq(COMMAND(run, "events", "--json"), 0);
	cr_expect_not_null(strstr(run_said(run), "\"message\""));
	cr_expect_not_null(strstr(run_said(run), "{\"note\":17}"));
	cr_expect_eq(COMMAND(run, "events"), 0);
	hang_up(&wire);
	run_stop(run);
}

/* What waits for its answer is kept, so there is a bound. */
Test(control, a_client_has_so_many_reloads_under_way)
{
	static const char reload[] =
		"{\"method\":\"reload\",\"params\":{\"target\":\"api\"}}";
	struct run *run = RUN(
		"--name", "api", "--reload-soak", "60000", "--", ROGUE, "join");
	struct wire_frame frame = {.kind = WIRE_REQUEST,
		.body = reload,
		.body_size = sizeof(reload) - 1};

	json_decref(run_wait_status(run, 1, "ready"));
	struct wire wire = {.fd = connect_raw(run)};
	cr_expect_not_null(
		strstr(ask(&wire, "{\"protocol\":1,\"role\":\"operator\"}"),
			"\"id\""));
	for (frame.id = 100; frame.id < 165; frame.id++)
		cr_assert(wire_send(&wire, &frame));
	/* None of the 64 before it has been answered. */
	cr_expect_not_null(strstr(hear(&wire), "\"bad-request\""));
	hang_up(&wire);
	run_stop(run);
}

Test(control, ls_shows_where_it_listens)
{
	struct run *run =
		RUN("--name", "api", "-l", "127.0.0.1:0", "--", ROGUE, "join");
	json_t *listing = run_wait_status(run, 1, "ready");
	const char *address = json_string_value(json_array_get(
		json_object_get(json_array_get(listing, 0), "listen"), 0));

	cr_assert_not_null(address);
	cr_expect_eq(strncmp(address, "tcp://127.0.0.1:", 16), 0);
	cr_expect_neq(atoi(address + 16), 0, "%s", address);
	json_decref(listing);
	run_stop(run);
}

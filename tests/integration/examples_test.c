/*
 * Promise: the examples work as their READMEs say.
 */
#include "support/http.h"
#include "support/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(examples, .fini = run_clean, .timeout = 120);

Test(examples, cluster_tour)
{
	static const char *const lines[] = {
		"tour.0 > {\"text\":\"I am ready\"}",
		"tour.3 > {\"text\":\"I am ready\"}",
		"tour.0 | the master says: Hello workers!",
		"tour.3 | the master says: Hello workers!",
		"tour.0 | the master says: Hello worker 1!",
		"tour.1 | worker 1 says: Hello from worker 1!",
	};
	char command[1024];
	char said[16384];

	snprintf(command, sizeof(command), "%s %s %s 2>&1", TOUR_SH,
		run_command_path(), CLUSTER_TOUR);
	FILE *tour = popen(command, "re");
	cr_assert_not_null(tour);
	size_t size = fread(said, 1, sizeof(said) - 1, tour);
	said[size] = '\0';
	cr_expect_eq(pclose(tour), 0);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_expect_not_null(strstr(said, lines[i]), "no '%s' in:\n%s",
			lines[i], said);
	/* To worker 1 alone, and from worker 1 to worker 2 alone. */
	const char *first = strstr(said, "Hello worker 1!");
	cr_expect_null(
		first != NULL ? strstr(first + 1, "Hello worker 1!") : NULL);
}

Test(examples, any_loop)
{
	struct run *run =
		RUN("-n", "2", "--name", "any", "--wait-ready", "--", ANY_LOOP);

	json_decref(run_wait_status(run, 2, "ready"));
	run_wait_count(run, RUN_OUT, "hello, neighbour", 1);
	cr_expect_eq(COMMAND(run, "send", "1", "{\"text\":\"hello\"}"), 0);
	run_wait(run, RUN_OUT, "any.0 | worker 0 says {\"text\":\"hello\"}");
	run_signal(run, SIGTERM);
	run_wait_count(run, RUN_OUT, "leaving: stop", 2);
	run_finish(run, 0);
}

/* The file beside a program describes it, with a port of the test's own. */
static struct run *
run_file(const char *program, const char *port)
{
	char folder[256];
	char *slash, *at, text[1024];
	FILE *file;
	size_t size;

	snprintf(folder, sizeof(folder), "%s", program);
	slash = strrchr(folder, '/');
	cr_assert_not_null(slash);
	*slash = '\0';
	cr_assert_eq(chdir(folder), 0);
	if (!port)
		return RUN("muster.json");
	file = fopen("muster.json", "re");
	cr_assert_not_null(file);
	size = fread(text, 1, sizeof(text) - 1, file);
	text[size] = '\0';
	fclose(file);
	at = strstr(text, "127.0.0.1:");
	cr_assert_not_null(at);
	at += strlen("127.0.0.1:");
	snprintf(folder, sizeof(folder), "/tmp/muster-file-%s.json", port);
	file = fopen(folder, "we");
	cr_assert_not_null(file);
	fprintf(file, "%.*s%s%s", (int)(at - text), text, port, at + 4);
	fclose(file);
	return RUN(folder);
}

Test(examples, their_files_run)
{
	static const struct {
		const char *program;
		size_t workers;
	} files[] = {{ANY_LOOP, 2}, {CLUSTER_TOUR, 4}, {UDS_ECHO, 2},
		{HTTP_HELLO, 4}, {TCP_CHAT, 2}, {UDP_ECHO, 2}};
	char port[16], path[64];

	snprintf(port, sizeof(port), "%d", run_free_port());
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct run *run =
			run_file(files[i].program, i >= 3 ? port : NULL);

		json_decref(run_wait_status(run, files[i].workers, "ready"));
		run_stop(run);
	}
	snprintf(path, sizeof(path), "/tmp/muster-file-%s.json", port);
	unlink(path);
}

/* Each address is answered, not only the first. */
Test(examples, http_hello_on_two_addresses)
{
	int ports[2] = {run_free_port(), 0};
	char addresses[2][32];
	char body[128];
	bool open;

	do
		ports[1] = run_free_port();
	while (ports[1] == ports[0]);
	for (int i = 0; i < 2; i++)
		snprintf(addresses[i], sizeof(addresses[i]), "127.0.0.1:%d",
			ports[i]);
	struct run *run = RUN("--wait-ready", "-l", addresses[0], "-l",
		addresses[1], "--", HTTP_HELLO);
	json_decref(run_wait_status(run, 1, "ready"));
	for (int i = 0; i < 2; i++) {
		int fd = http_connect(ports[i]);

		cr_assert_geq(fd, 0);
		cr_expect_eq(http_get(fd, "/", body, sizeof(body), &open), 200);
		close(fd);
	}
	run_stop(run);
}

Test(examples, http_hello)
{
	int port = run_free_port();
	char address[32];
	char body[128];
	bool open;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	struct run *run = RUN("-n", "4", "--wait-ready", "--reload-soak", "50",
		"-l", address, "--", HTTP_HELLO);
	json_decref(run_wait_status(run, 4, "ready"));
	run_mark(run);
	int fd = http_connect(port);
	cr_assert_geq(fd, 0);
	cr_expect_eq(http_get(fd, "/", body, sizeof(body), &open), 200);
	cr_expect(open);
	cr_expect_eq(strncmp(body, "hello from worker ", 18), 0, "%s", body);
	close(fd);

	struct load *fresh = load_start(port, 2, "/", false);
	struct load *kept = load_start(port, 2, "/", true);
	struct load_counts counts;
	cr_assert(load_wait(kept, 50));
	cr_expect_eq(COMMAND(run, "reload", "all"), 0, "%s", run_said(run));
	pid_t brain = run_brain(run);
	cr_assert_eq(kill(brain, SIGKILL), 0);
	run_wait_new_brain(run, brain);
	cr_expect_eq(COMMAND(run, "reload", "all"), 0, "%s", run_said(run));
	cr_assert(load_wait(fresh, 50));
	load_stop(fresh, &counts);
	cr_expect_eq(counts.failed, 0ul, "%s", counts.first_failure);
	load_stop(kept, &counts);
	cr_expect_eq(counts.failed, 0ul, "%s", counts.first_failure);
	run_check_mark(run);
	run_stop(run);
}

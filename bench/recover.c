/*
 * recover.c: how long nobody answers when the brain is killed: kill -9 under
 * HTTP load, until the first control request is answered by its successor.
 *
 * The request is `ls` by an operator on the control socket, which the keeper
 * holds: a connection made while there is no brain waits for the next. The
 * load (load.c) tells what users of the workers noticed: it should be nothing.
 */
#include "ask.h"
#include "daemon.h"
#include "load.h"
#include "measure.h"
#include "report.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* PAUSE_MS: between two kills, for the new brain to be an old one. */
enum { PATIENCE_MS = 10000, STEP_MS = 5, PAUSE_MS = 300 };

static const double target_ms = 100;

static void
start_load(struct daemon *daemon, struct load *load, uint16_t port)
{
	int error = -ECONNREFUSED;

	for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
		error = load_start(load, port);
		if (error == 0)
			return;
		poll(NULL, 0, STEP_MS); /* not yet listening */
	}
	errno = -error;
	daemon_fail(daemon, "the workers don't take connections");
}

/* Kills the brain; milliseconds until the next one has answered. */
static double
sample(struct daemon *daemon)
{
	pid_t brain = daemon_brain(daemon, 0);
	uint64_t killed, deadline;

	if (brain == 0)
		daemon_fail(daemon, "there is no brain");
	killed = measure_now();
	deadline = killed + PATIENCE_MS * 1000000ull;
	if (kill(brain, SIGKILL) < 0)
		measure_die("kill");
	/* One that the dying brain had still accepted ends at once. */
	while (!ask_supervisor(daemon, "ls", PATIENCE_MS))
		if (measure_now() > deadline)
			daemon_fail(daemon, "no new brain answers");
	return (double)(measure_now() - killed) / 1e6;
}

static void
print(struct figure *ms, const struct load_result *load, bool json)
{
	double median = figure_median(ms), worst = ms->samples[ms->count - 1];
	bool reached = worst < target_ms;

	if (json)
		report_print_json(json_pack(
			"{s:s, s:i, s:f, s:f, s:f, s:b, s:I, s:I, s:f}",
			"benchmark", "recover", "kills", (int)ms->count,
			"median_ms", median, "worst_ms", worst, "target_ms",
			target_ms, "reached", reached, "requests",
			(json_int_t)load->answered, "broken",
			(json_int_t)load->broken, "longest_request_ms",
			load->longest_ms));
	else
		printf("kill -9 of the brain until the next has answered `ls`, "
		       "%zu kills under HTTP load\n"
		       "  median %.1f ms, worst %.1f ms (< %.0f ms %s)\n"
		       "  %llu HTTP requests answered on %d connections, "
		       "%llu broken, the longest took %.1f ms\n",
			ms->count, median, worst, target_ms,
			reached ? "reached" : "MISSED",
			(unsigned long long)load->answered, LOAD_CONNECTIONS,
			(unsigned long long)load->broken, load->longest_ms);
}

static void
run(int kills, bool json)
{
	char musterd[PATH_MAX], worker[PATH_MAX], listen[32];
	const char *arguments[] = {"-n", "4", "-l", listen, "--", worker, NULL};
	struct load_result result;
	struct figure ms = {0};
	struct daemon daemon;
	struct load load = {0};
	uint16_t port = ask_free_port();

	daemon_need("../supervisor/musterd", musterd);
	daemon_need("../examples/http-hello/http-hello", worker);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	daemon_start(&daemon, musterd, arguments);
	start_load(&daemon, &load, port);
	if (!ask_supervisor(&daemon, "ls", PATIENCE_MS))
		daemon_fail(&daemon, "the control socket does not answer");
	for (int i = 0; i < kills; i++) {
		poll(NULL, 0, PAUSE_MS);
		figure_add(&ms, sample(&daemon));
	}
	poll(NULL, 0, PAUSE_MS);
	load_stop(&load, &result);
	daemon_stop(&daemon);
	print(&ms, &result, json);
	figure_fini(&ms);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"kills", required_argument, NULL, 'k'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option, kills = 20;
	bool help = false, json = false;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			kills = 3;
		else if (option == 'k')
			kills = atoi(optarg);
		else if (option == 'j')
			json = true;
		else if (option == 'h')
			help = true;
		else
			kills = 0;
	}
	if (help || kills < 1 || kills > REPORT_ROUNDS_MAX) {
		fprintf(help ? stdout : stderr,
			"usage: recover [--quick] [--kills N] [--json]\n");
		return help ? 0 : 2;
	}
	run(kills, json);
	return 0;
}

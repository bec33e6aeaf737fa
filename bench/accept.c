/*
 * accept.c: connections and requests a second of C workers in each mode of
 * balancing, beside the least that a prefork server can be (bare_server.c); and
 * how equally the workers share them.
 */
#include "client.h"
#include "measure.h"
#include "report.h"
#include "servers.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	MODES = 3,		 /* the first kinds of servers.h */
	CONTESTANTS = MODES + 2, /* and the bare server with one socket, and its
				  * own ones */
	CONNECTIONS = 16,
	CASES = 2,
};

static const struct {
	enum client_kind kind;
	const char *title;
	double targets[MODES]; /* of the bare server */
} cases[CASES] = {
	{CLIENT_SHORT, "connection per request", {0.97, 0.97, 0.7}},
	{CLIENT_KEPT, "kept connections", {0, 0, 0}},
};

/* The most that a worker may have of the mean, short connections. */
static const double spreads[MODES] = {1.3, 1.3, 1.1};

struct result {
	struct figure rates[CASES];
	double spread; /* the most of a worker, short: the worst round */
	uint64_t failed;
};

static double
spread_of(const struct client_counts *counts)
{
	double most = 0, sum = 0;

	for (int i = 0; i < CLIENT_WORKERS_MAX; i++) {
		sum += (double)counts->by_worker[i];
		if ((double)counts->by_worker[i] > most)
			most = (double)counts->by_worker[i];
	}
	return sum > 0 ? most * SERVERS_WORKERS / sum : 0;
}

static void
measure(const struct server *server, double seconds, struct result *result)
{
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", server->port);
	for (int i = 0; i < CASES; i++) {
		struct client_lane lane = {.address = address,
			.kind = cases[i].kind,
			.connections = CONNECTIONS,
			.expect = "hello"};
		struct client *client = client_start(&lane, 1);
		struct client_counts counts;

		if (client == NULL)
			measure_die("the client");
		poll(NULL, 0, (int)(seconds * 1000));
		if (!client_stop(&client, &counts))
			measure_fail("the client's process died");
		figure_add(&result->rates[i], (double)counts.good / seconds);
		result->failed += client_failed(&counts);
		if (i == 0 && spread_of(&counts) > result->spread)
			result->spread = spread_of(&counts);
	}
}

static struct goal
goal_of(struct result *results, unsigned mode, int which)
{
	/* reuseport beside what has as many sockets. */
	double bare = figure_median(
		&results[mode == 1 ? MODES + 1 : MODES].rates[which]);

	return (struct goal){
		.ratio = bare > 0 ? figure_median(&results[mode].rates[which]) /
					    bare
				  : 0,
		.target = cases[which].targets[mode],
	};
}

static void
print(struct result *results)
{
	char number[32], goal[64];

	for (int which = 0; which < CASES; which++) {
		printf("%s, requests a second\n", cases[which].title);
		for (unsigned i = MODES; i < CONTESTANTS; i++) {
			report_number(figure_median(&results[i].rates[which]),
				number, sizeof(number));
			printf("  %-20s %8s\n",
				i == MODES ? "bare C prefork"
					   : "bare, own sockets",
				number);
		}
		for (unsigned mode = 0; mode < MODES; mode++) {
			struct goal of_bare = goal_of(results, mode, which);

			report_number(
				figure_median(&results[mode].rates[which]),
				number, sizeof(number));
			goal_text(&of_bare, goal, sizeof(goal));
			printf("  %-20s %8s  %s\n", servers_name(mode), number,
				goal);
		}
	}
	printf("the busiest of %d workers, of the mean, a connection per "
	       "request\n",
		SERVERS_WORKERS);
	for (unsigned mode = 0; mode < MODES; mode++)
		printf("  %-20s %8.2f  (<= %.1f %s), %llu requests failed\n",
			servers_name(mode), results[mode].spread, spreads[mode],
			results[mode].spread <= spreads[mode] ? "reached"
							      : "MISSED",
			(unsigned long long)results[mode].failed);
}

static json_t *
result_json(struct result *results)
{
	json_t *all = json_array();

	for (unsigned mode = 0; mode < MODES; mode++)
		for (int which = 0; which < CASES; which++) {
			struct goal goal = goal_of(results, mode, which);

			json_array_append_new(all,
				json_pack("{s:s, s:s, s:f, s:f, s:o, s:f, s:I}",
					"server", servers_name(mode), "case",
					client_kind_name(cases[which].kind),
					"rate",
					figure_median(
						&results[mode].rates[which]),
					"bare_one_socket",
					figure_median(
						&results[MODES].rates[which]),
					"of_bare", goal_json(&goal), "spread",
					results[mode].spread, "failed",
					(json_int_t)results[mode].failed));
		}
	return all;
}

static void
run(int rounds, double seconds, bool json)
{
	struct result results[CONTESTANTS] = {{.failed = 0}};

	for (int round = 0; round < rounds; round++)
		for (unsigned i = 0; i < CONTESTANTS; i++) {
			struct server server;
			bool runs = i < MODES ? servers_start(i, &server)
					      : servers_start_bare(
							i > MODES, &server);

			if (!runs)
				measure_fail("a server doesn't start");
			measure(&server, seconds, &results[i]);
			servers_stop(&server);
		}
	if (json)
		report_print_json(result_json(results));
	else
		print(results);
	for (unsigned i = 0; i < CONTESTANTS; i++)
		for (int k = 0; k < CASES; k++)
			figure_fini(&results[i].rates[k]);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"rounds", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option, rounds = 5;
	double seconds = 1;
	bool help = false, json = false;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			rounds = 1, seconds = 0.3;
		else if (option == 'r')
			rounds = atoi(optarg);
		else if (option == 's')
			seconds = atof(optarg);
		else if (option == 'j')
			json = true;
		else if (option == 'h')
			help = true;
		else
			rounds = 0;
	}
	if (help || rounds < 1 || rounds > REPORT_ROUNDS_MAX || seconds <= 0) {
		fprintf(help ? stdout : stderr,
			"usage: accept [--quick] [--rounds N] [--seconds S] "
			"[--json]\n");
		return help ? 0 : 2;
	}
	run(rounds, seconds, json);
	return 0;
}

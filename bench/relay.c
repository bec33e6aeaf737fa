/*
 * relay.c: the relay benchmark: messages from worker to worker through the
 * supervisor, beside what the kernel alone gives and beside Node's cluster.
 *
 * This file holds the cases, the rounds and the table. In one run every round
 * measures every case with every contestant, one right after the other, so
 * that what else the machine does falls on all alike; a figure is the median
 * of its rounds, a ratio that of two medians. The contestants are in
 * relay_muster.c, relay_raw.c and relay_node.c.
 */
#include "measure.h"
#include "relay_case.h"
#include "relay_muster.h"
#include "relay_node.h"
#include "relay_raw.h"
#include "report.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bodies of 22 bytes: {"method":"heartbeat"}. */
static const struct relay_case cases[] = {
	{.key = "stream-64b",
		.title = "64 B, batched",
		.kind = RELAY_STREAM,
		.size = 64,
		.node = true,
		.limit = 0.6,
		.over_node = 100},
	{.key = "stream-1k",
		.title = "1 KiB, batched",
		.kind = RELAY_STREAM,
		.size = 1024,
		.node = true},
	{.key = "stream-64k",
		.title = "64 KiB, batched",
		.kind = RELAY_STREAM,
		.size = 65536,
		.limit = 0.85},
	{.key = "flushed-64b",
		.title = "64 B, flushed one by one",
		.kind = RELAY_STREAM,
		.size = 64,
		.flushed = true,
		.limit = 0.8},
	{.key = "flushed-1k",
		.title = "1 KiB, flushed one by one",
		.kind = RELAY_STREAM,
		.size = 1024,
		.flushed = true},
	{.key = "flushed-64k",
		.title = "64 KiB, flushed one by one",
		.kind = RELAY_STREAM,
		.size = 65536,
		.flushed = true},
	{.key = "spread-64b",
		.title = "64 B, to 4 receivers in turn",
		.kind = RELAY_SPREAD,
		.size = 64},
	{.key = "broadcast-64b",
		.title = "64 B, broadcast to 8",
		.kind = RELAY_BROADCAST,
		.size = 64},
	{.key = "broadcast-1k",
		.title = "1 KiB, broadcast to 8",
		.kind = RELAY_BROADCAST,
		.size = 1024},
	{.key = "broadcast-64k",
		.title = "64 KiB, broadcast to 8",
		.kind = RELAY_BROADCAST,
		.size = 65536},
	{.key = "publish-64b",
		.title = "64 B, published to 8",
		.kind = RELAY_PUBLISH,
		.size = 64,
		.limit = 0.5},
	{.key = "publish-64k",
		.title = "64 KiB, published to 8",
		.kind = RELAY_PUBLISH,
		.size = 65536,
		.limit = 0.5},
	{.key = "supervisor",
		.title = "heartbeat requests to 0",
		.kind = RELAY_SUPERVISOR,
		.size = 22,
		.node = true},
	{.key = "ping-pinned",
		.title = "round trip 64 B, one core",
		.kind = RELAY_PING,
		.size = 64,
		.pinned = true,
		.limit = 1.3},
	{.key = "ping",
		.title = "round trip 64 B",
		.kind = RELAY_PING,
		.size = 64,
		.node = true},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };
enum { MUSTER, RAW, NODE, CONTESTANTS };
enum { RATE, P50, P99, COST, FIGURES = COST + RELAY_PARTS };

static const char *const contestant_names[] = {"muster", "raw", "node"};

struct options {
	unsigned rounds;
	double seconds;
	bool json;
	bool node;
	bool alone;
	bool cost;
	const char *only;
	const char *musterd; /* NULL: beside this program */
};

struct contest {
	struct options options;
	struct relay_muster *muster; /* NULL: not there */
	struct relay_node *node;     /* NULL: not there */
	struct figure figures[CASES][CONTESTANTS][FIGURES];
};

static bool
is_ping(const struct relay_case *kase)
{
	return kase->kind == RELAY_PING;
}

static bool
is_wanted(const struct contest *contest, const struct relay_case *kase)
{
	const char *only = contest->options.only;

	return only == NULL || strncmp(kase->key, only, strlen(only)) == 0;
}

/* One measurement. False when this contestant doesn't run this case. */
static bool
measure(struct contest *contest, const struct relay_case *kase, int contestant,
	struct relay_result *ret_result)
{
	double seconds = contest->options.seconds;

	switch (contestant) {
	case MUSTER:
		if (contest->muster == NULL)
			return false;
		relay_muster_measure(
			contest->muster, kase, seconds, ret_result);
		return true;
	case RAW:
		if (contest->options.alone)
			return false;
		relay_raw_measure(kase, seconds, ret_result);
		return true;
	default:
		if (contest->node == NULL || !kase->node)
			return false;
		if (relay_node_measure(
			    contest->node, kase, seconds, ret_result))
			return true;
		fprintf(stderr, "node gave no result, going on without it\n");
		relay_node_free(&contest->node);
		return false;
	}
}

static void
run_round(struct contest *contest, unsigned round)
{
	for (unsigned i = 0; i < CASES; i++) {
		if (!is_wanted(contest, &cases[i]))
			continue;
		for (int j = 0; j < CONTESTANTS; j++) {
			/* Who comes first changes from round to round. */
			int who = (j + (int)round) % CONTESTANTS;
			struct figure *figures = contest->figures[i][who];
			struct relay_result result = {0};

			if (!measure(contest, &cases[i], who, &result))
				continue;
			figure_add(&figures[RATE], result.rate);
			figure_add(&figures[P50], result.p50_us);
			figure_add(&figures[P99], result.p99_us);
			for (int part = 0; part < RELAY_PARTS; part++)
				figure_add(&figures[COST + part],
					result.cost_ns[part]);
		}
	}
}

/* The ratio of muster to another contestant; 0 where one is missing. */
static struct goal
compare(struct contest *contest, unsigned index, int other, int figure)
{
	const struct relay_case *kase = &cases[index];
	double ours, theirs;
	struct goal goal = {.at_most = figure != RATE};

	ours = figure_median(&contest->figures[index][MUSTER][figure]);
	theirs = figure_median(&contest->figures[index][other][figure]);
	if (ours > 0 && theirs > 0)
		goal.ratio = ours / theirs;
	if (figure != P99)
		goal.target = other == RAW ? kase->limit : kase->over_node;
	return goal;
}

static void
print_line(struct contest *contest, unsigned index, int figure)
{
	const struct relay_case *kase = &cases[index];
	const char *const units[] = {"msg/s", "us p50", "us p99"};
	char values[CONTESTANTS][32], limit[64], node[64];
	struct goal goal;

	for (int who = 0; who < CONTESTANTS; who++)
		report_number(
			figure_median(&contest->figures[index][who][figure]),
			values[who], sizeof(values[who]));
	goal = compare(contest, index, RAW, figure);
	goal_text(&goal, limit, sizeof(limit));
	goal = compare(contest, index, NODE, figure);
	goal_text(&goal, node, sizeof(node));
	printf("%-30s %-7s %9s %9s %-22s %9s  %s\n", kase->title, units[figure],
		values[MUSTER], values[RAW], limit, values[NODE], node);
}

static void
print_table(struct contest *contest)
{
	printf("%-30s %-7s %9s %9s %-22s %9s  %s\n", "", "", "muster", "raw",
		"muster/raw", "Node", "muster/Node");
	for (unsigned i = 0; i < CASES; i++) {
		if (!is_wanted(contest, &cases[i]))
			continue;
		if (is_ping(&cases[i])) {
			print_line(contest, i, P50);
			print_line(contest, i, P99);
		} else {
			print_line(contest, i, RATE);
		}
	}
	printf("medians of %u rounds of %.2g s; a rate counts messages that "
	       "arrived\n",
		contest->options.rounds, contest->options.seconds);
}

/* Where the time goes: what one message costs each part. */
static void
print_costs(struct contest *contest)
{
	printf("\nprocessor time a message that arrived, in ns\n%-30s %-7s "
	       "%9s %9s %9s\n",
		"", "", "sender", "middle", "receivers");
	for (unsigned i = 0; i < CASES; i++)
		for (int who = MUSTER; who <= RAW; who++) {
			struct figure *figures = contest->figures[i][who];

			if (figures[COST].count == 0)
				continue;
			printf("%-30s %-7s %9.1f %9.1f %9.1f\n", cases[i].title,
				contestant_names[who],
				figure_median(&figures[COST + RELAY_SENDER]),
				figure_median(&figures[COST + RELAY_MIDDLE]),
				figure_median(
					&figures[COST + RELAY_RECEIVERS]));
		}
}

static json_t *
figures_json(struct figure figures[FIGURES], bool ping)
{
	if (figures[RATE].count == 0)
		return json_null();
	if (!ping)
		return json_pack("{s:f}", "messages_per_second",
			figure_median(&figures[RATE]));
	return json_pack("{s:f, s:f}", "p50_us", figure_median(&figures[P50]),
		"p99_us", figure_median(&figures[P99]));
}

static void
print_json(struct contest *contest)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < CASES; i++) {
		int figure = is_ping(&cases[i]) ? P50 : RATE;
		struct goal limit, node;
		json_t *line;

		if (!is_wanted(contest, &cases[i]))
			continue;
		limit = compare(contest, i, RAW, figure);
		node = compare(contest, i, NODE, figure);
		line = json_pack("{s:s, s:s, s:o, s:o}", "case", cases[i].key,
			"title", cases[i].title, "muster_to_raw",
			goal_json(&limit), "muster_to_node", goal_json(&node));
		for (int who = 0; who < CONTESTANTS; who++)
			json_object_set_new(line, contestant_names[who],
				figures_json(contest->figures[i][who],
					is_ping(&cases[i])));
		json_array_append_new(list, line);
	}
	report_print_json(json_pack("{s:s, s:i, s:f, s:o}", "benchmark",
		"relay", "rounds", (int)contest->options.rounds, "seconds",
		contest->options.seconds, "cases", list));
}

static const char usage[] =
	"usage: relay [--quick] [--rounds N] [--seconds S] [--json]\n"
	"             [--only CASE] [--musterd FILE] [--no-node]\n"
	"             [--alone] [--cost]\n"
	"Relays messages through muster, bare socketpairs and Node's cluster.\n"
	"  --quick         one short round: does it run at all?\n"
	"  --rounds N      rounds, of which medians are taken (5)\n"
	"  --seconds S     length of one measurement (1)\n"
	"  --json          the figures as JSON instead of a table\n"
	"  --only CASE     the cases whose key begins so\n"
	"  --musterd FILE  the executable to measure (the one built beside)\n"
	"  --no-node       without Node's cluster\n"
	"  --cost          and the processor time that each part spends\n"
	"  --alone         muster only: to look at it with a profiler\n";

static void
parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"rounds", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"only", required_argument, NULL, 'o'},
		{"musterd", required_argument, NULL, 'm'},
		{"no-node", no_argument, NULL, 'n'},
		{"alone", no_argument, NULL, 'a'},
		{"cost", no_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option;

	*options = (struct options){.rounds = 5, .seconds = 1, .node = true};
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q') {
			options->rounds = 1;
			options->seconds = 0.1;
		} else if (option == 'r') {
			options->rounds = (unsigned)atoi(optarg);
		} else if (option == 's') {
			options->seconds = atof(optarg);
		} else if (option == 'j') {
			options->json = true;
		} else if (option == 'o') {
			options->only = optarg;
		} else if (option == 'm') {
			options->musterd = optarg;
		} else if (option == 'n') {
			options->node = false;
		} else if (option == 'c') {
			options->cost = true;
		} else if (option == 'a') {
			options->alone = true;
			options->node = false;
		} else {
			fputs(usage, option == 'h' ? stdout : stderr);
			exit(option == 'h' ? 0 : 2);
		}
	}
	if (options->rounds < 1 || options->rounds > REPORT_ROUNDS_MAX ||
		!(options->seconds > 0 && options->seconds <= 60))
		measure_fail("rounds are 1 to %d, seconds up to 60",
			REPORT_ROUNDS_MAX);
}

int
main(int argc, char **argv)
{
	static struct contest contest;

	parse(argc, argv, &contest.options);
	measure_init();
	signal(SIGPIPE, SIG_IGN);
	contest.muster = relay_muster_new(contest.options.musterd);
	if (contest.options.node)
		contest.node = relay_node_new(BENCH_SOURCE "/relay_cluster.js");
	for (unsigned i = 0; i < contest.options.rounds; i++) {
		if (isatty(2))
			fprintf(stderr, "\rround %u of %u ", i + 1,
				contest.options.rounds);
		run_round(&contest, i);
	}
	if (isatty(2))
		fputc('\n', stderr);
	if (contest.options.json)
		print_json(&contest);
	else
		print_table(&contest);
	if (contest.options.cost && !contest.options.json)
		print_costs(&contest);
	relay_node_free(&contest.node);
	relay_muster_free(&contest.muster);
	for (unsigned i = 0; i < CASES; i++)
		for (int who = 0; who < CONTESTANTS; who++)
			for (int figure = 0; figure < FIGURES; figure++)
				figure_fini(&contest.figures[i][who][figure]);
	return 0;
}

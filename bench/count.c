/*
 * count.c: the counting client for the hand: asks a server over HTTP for a
 * while and prints what became of each request.
 */
#include "client.h"
#include "measure.h"

#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: count [OPTION…] ADDRESS   (127.0.0.1:8080 or unix:///path)\n"
	"  --kept N, --short N, --pipelined N, --slow N\n"
	"                  so many connections that ask in this way\n"
	"                  (default: --kept 8 --short 4)\n"
	"  --rate R        of each way: requests a second, due whether or not\n"
	"                  the last was answered late (default: all it can)\n"
	"  --expect TEXT   how each body must begin\n"
	"  --seconds S     for so long (default: 10)\n"
	"  --json          an array, one object a way of asking\n"
	"The status is 1 where a request failed.\n";

static void
print_lane(const struct client_lane *lane, const struct client_counts *counts,
	double seconds)
{
	char failures[128];

	client_text(counts, failures, sizeof(failures));
	printf("%-9s %9llu asked, %9llu good (%.0f/s), longest %.1f ms; "
	       "failed: %s\n",
		client_kind_name(lane->kind), (unsigned long long)counts->asked,
		(unsigned long long)counts->good,
		(double)counts->good / seconds,
		(double)counts->longest_us / 1e3, failures);
	printf("          %llu connections; closed between two requests: "
	       "%llu idle, %llu with one on its way; %llu repeated after a "
	       "last answer\n          by worker:",
		(unsigned long long)counts->connections,
		(unsigned long long)counts->closed_idle,
		(unsigned long long)counts->repeated_after_idle,
		(unsigned long long)counts->repeated_after_last);
	for (int i = 0; i < CLIENT_WORKERS_MAX; i++)
		if (counts->by_worker[i] > 0)
			printf(" %d:%llu", i,
				(unsigned long long)counts->by_worker[i]);
	printf("\n");
}

static json_t *
lane_json(const struct client_lane *lane, const struct client_counts *counts)
{
	const uint64_t *failed = counts->failed;

	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:I, s:I, s:f}",
		"kind", client_kind_name(lane->kind), "asked",
		(json_int_t)counts->asked, "good", (json_int_t)counts->good,
		"refused", (json_int_t)failed[CLIENT_REFUSED], "reset",
		(json_int_t)failed[CLIENT_RESET], "hung_up",
		(json_int_t)failed[CLIENT_HUNG_UP], "half",
		(json_int_t)failed[CLIENT_HALF], "timed_out",
		(json_int_t)failed[CLIENT_TIMED_OUT], "wrong",
		(json_int_t)failed[CLIENT_WRONG], "closed_idle",
		(json_int_t)counts->closed_idle, "repeated_after_idle",
		(json_int_t)counts->repeated_after_idle, "repeated_after_last",
		(json_int_t)counts->repeated_after_last, "connections",
		(json_int_t)counts->connections, "longest_ms",
		(double)counts->longest_us / 1e3);
}

/* Returns the exit status. */
static int
run(const struct client_lane *lanes, size_t count, double seconds, bool json)
{
	struct client_counts counts[CLIENT_LANES_MAX];
	struct client *client = client_start(lanes, count);
	json_t *array = json_array();
	uint64_t failed = 0;

	if (client == NULL)
		measure_die(lanes->address);
	poll(NULL, 0, (int)(seconds * 1000));
	if (!client_stop(&client, counts))
		measure_fail("the client's process died");
	for (size_t i = 0; i < count; i++) {
		failed += client_failed(&counts[i]);
		if (json)
			json_array_append_new(
				array, lane_json(&lanes[i], &counts[i]));
		else
			print_lane(&lanes[i], &counts[i], seconds);
	}
	if (json)
		json_dumpf(array, stdout, JSON_INDENT(2));
	json_decref(array);
	return failed > 0;
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {
		{"kept", required_argument, NULL, CLIENT_KEPT},
		{"short", required_argument, NULL, CLIENT_SHORT},
		{"pipelined", required_argument, NULL, CLIENT_PIPELINED},
		{"slow", required_argument, NULL, CLIENT_SLOW},
		{"rate", required_argument, NULL, 'r'},
		{"expect", required_argument, NULL, 'e'},
		{"seconds", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	struct client_lane lanes[CLIENT_LANES_MAX];
	const char *expect = NULL;
	double rate = 0, seconds = 10;
	bool json = false;
	size_t count = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option < CLIENT_KINDS && count < CLIENT_LANES_MAX)
			lanes[count++] = (struct client_lane){.kind = option,
				.connections = (unsigned)atoi(optarg)};
		else if (option == 'r')
			rate = atof(optarg);
		else if (option == 'e')
			expect = optarg;
		else if (option == 's')
			seconds = atof(optarg);
		else if (option == 'j')
			json = true;
		else {
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != 1 || seconds <= 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (count == 0) {
		lanes[count++] = (struct client_lane){
			.kind = CLIENT_KEPT, .connections = 8};
		lanes[count++] = (struct client_lane){
			.kind = CLIENT_SHORT, .connections = 4};
	}
	for (size_t i = 0; i < count; i++) {
		lanes[i].address = argv[optind];
		lanes[i].expect = expect;
		lanes[i].rate = rate;
	}
	return run(lanes, count, seconds, json);
}

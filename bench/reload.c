/*
 * reload.c: what a reload costs those who ask meanwhile: reload after reload
 * under HTTP load, with every request and every reason for a failure counted
 * (client.h), beside nginx, gunicorn and PM2 where these are installed.
 */
#include "client.h"
#include "measure.h"
#include "report.h"
#include "servers.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LANES = 2,
	PAUSE_MS = 100, /* between two reloads */
};

static const double target_ms = 50;

struct outcome {
	struct client_counts counts[LANES];
	struct figure ms;
	unsigned undone; /* reloads that did not end */
};

static const enum client_kind kinds[LANES] = {CLIENT_SHORT, CLIENT_KEPT};

static void
measure(struct server *server, int reloads, struct outcome *ret_outcome)
{
	struct client_lane lanes[LANES];
	char address[32];
	struct client *client;

	snprintf(address, sizeof(address), "127.0.0.1:%u", server->port);
	for (int i = 0; i < LANES; i++)
		lanes[i] = (struct client_lane){.address = address,
			.kind = kinds[i],
			.connections = 8,
			.expect = "hello"};
	client = client_start(lanes, LANES);
	if (client == NULL)
		measure_die("the client");
	for (int i = 0; i < reloads; i++) {
		double ms;

		poll(NULL, 0, PAUSE_MS);
		ms = servers_reload(server);
		if (ms < 0)
			ret_outcome->undone++;
		else
			figure_add(&ret_outcome->ms, ms);
	}
	poll(NULL, 0, PAUSE_MS);
	if (!client_stop(&client, ret_outcome->counts))
		measure_fail("the client's process died");
}

static void
print(const char *name, struct outcome *outcome, bool is_muster)
{
	double median = figure_median(&outcome->ms);

	printf("%-20s reload %6.1f ms%s%s\n", name, median,
		!is_muster	      ? ""
		: median <= target_ms ? " (<= 50 reached)"
				      : " (<= 50 MISSED)",
		outcome->undone ? ", some were never done" : "");
	for (int i = 0; i < LANES; i++) {
		const struct client_counts *counts = &outcome->counts[i];
		char text[128];

		client_text(counts, text, sizeof(text));
		printf("    %-6s %9llu requests, failed: %s%s; closed between "
		       "two requests: %llu\n",
			client_kind_name(kinds[i]),
			(unsigned long long)counts->good, text,
			is_muster && client_failed(counts) > 0 ? " MISSED" : "",
			(unsigned long long)(counts->closed_idle +
					     counts->repeated_after_idle));
	}
}

static json_t *
outcome_json(const char *name, struct outcome *outcome)
{
	json_t *object = json_pack("{s:s, s:f, s:i}", "server", name,
		"reload_ms", figure_median(&outcome->ms), "undone",
		(int)outcome->undone);

	for (int i = 0; i < LANES; i++) {
		const struct client_counts *counts = &outcome->counts[i];

		json_object_set_new(object, client_kind_name(kinds[i]),
			json_pack("{s:I, s:I, s:I}", "good",
				(json_int_t)counts->good, "failed",
				(json_int_t)client_failed(counts),
				"closed_between",
				(json_int_t)(counts->closed_idle +
					     counts->repeated_after_idle)));
	}
	return object;
}

static void
run(int reloads, bool json)
{
	json_t *all = json_array();

	for (unsigned kind = 0; servers_name(kind) != NULL; kind++) {
		struct outcome outcome = {.undone = 0};
		struct server server;

		if (!servers_start(kind, &server)) {
			fprintf(stderr,
				"without %s: not installed, or it won't "
				"start\n",
				servers_name(kind));
			continue;
		}
		measure(&server, reloads, &outcome);
		servers_stop(&server);
		if (json)
			json_array_append_new(
				all, outcome_json(server.name, &outcome));
		else
			print(server.name, &outcome, server.is_muster);
		figure_fini(&outcome.ms);
	}
	if (json)
		report_print_json(all);
	else
		json_decref(all);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"reloads", required_argument, NULL, 'r'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option, reloads = 20;
	bool help = false, json = false;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			reloads = 3;
		else if (option == 'r')
			reloads = atoi(optarg);
		else if (option == 'j')
			json = true;
		else if (option == 'h')
			help = true;
		else
			reloads = 0;
	}
	if (help || reloads < 1 || reloads > REPORT_ROUNDS_MAX) {
		fprintf(help ? stdout : stderr,
			"usage: reload [--quick] [--reloads N] [--json]\n");
		return help ? 0 : 2;
	}
	run(reloads, json);
	return 0;
}

/*
 * storm.c: reloads, scalings and kills of workers at random moments, under
 * every kind of HTTP load at once, until so many requests were answered and so
 * many reloads done, in each balance mode. Counted is every request and every
 * reason for a failure; what a killed worker had under way is counted apart,
 * connection by connection (victim.h), and nothing else is excused.
 */
#include "client.h"
#include "measure.h"
#include "servers.h"
#include "victim.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum {
	MODES = 3,
	LEAST = 2, /* workers */
	MOST = 8,
	PAUSE_MS = 60, /* between two events, at most */
	STUCK_MS = 60000,
};

static const struct {
	const char *name;
	enum client_kind kind;
	unsigned connections;
	bool is_unix;
} lanes[] = {
	{"short", CLIENT_SHORT, 8, false},
	{"kept", CLIENT_KEPT, 8, false},
	{"pipelined", CLIENT_PIPELINED, 4, false},
	{"slow", CLIENT_SLOW, 4, false},
	{"short, UNIX", CLIENT_SHORT, 4, true},
	{"kept, UNIX", CLIENT_KEPT, 4, true},
};

enum { LANES = sizeof(lanes) / sizeof(lanes[0]) };

struct storm {
	struct server server;
	struct client *client;
	uint64_t random;
	uint64_t requests_least;
	unsigned reloads_least;
	unsigned workers;
	unsigned reloads, refused, scalings, kills;
	uint64_t unix_of_killed; /* connections */
};

static uint32_t
draw(struct storm *storm, uint32_t below)
{
	uint64_t x = storm->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	storm->random = x;
	return (uint32_t)((x * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % below;
}

static bool
command(struct storm *storm, const char *const arguments[])
{
	pid_t pid = servers_command(&storm->server, arguments);
	int status;

	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void
scale(struct storm *storm)
{
	const char *const arguments[] = {"scale", "http-hello", NULL, NULL};
	const char *words[4];
	char count[8];

	storm->workers = LEAST + draw(storm, MOST - LEAST + 1);
	snprintf(count, sizeof(count), "%u", storm->workers);
	memcpy(words, arguments, sizeof(arguments));
	words[2] = count;
	if (!command(storm, words))
		measure_fail("scale http-hello %s didn't work", count);
	storm->scalings++;
}

static bool
is_worker(pid_t pid)
{
	char path[64], name[32] = "";
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	stream = fopen(path, "re");
	if (stream == NULL)
		return false;
	if (fgets(name, sizeof(name), stream) == NULL)
		name[0] = '\0';
	fclose(stream);
	return strcmp(name, "http-hello\n") == 0;
}

static void
kill_one(struct storm *storm)
{
	pid_t pids[64];
	size_t count = servers_workers(&storm->server, pids, 64);
	pid_t pid = count == 0 ? 0 : pids[draw(storm, (uint32_t)count)];
	int had;

	if (pid == 0 || !is_worker(pid))
		return;
	had = victim_kill(storm->client, pid);
	if (had < 0)
		return;
	storm->unix_of_killed += (uint64_t)had;
	storm->kills++;
}

/* A reload that a kill hits is taken back, and says so: that is no fault. */
static void
reload(struct storm *storm)
{
	const char *const arguments[] = {"reload", "all", NULL};
	pid_t pid = servers_command(&storm->server, arguments);
	bool disturbed = draw(storm, 4) == 0;
	int status;

	if (disturbed) {
		poll(NULL, 0, (int)draw(storm, 20));
		if (draw(storm, 2) == 0)
			kill_one(storm);
		else
			scale(storm);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		storm->refused++;
	else
		storm->reloads++;
}

static uint64_t
answered(const struct storm *storm)
{
	uint64_t sum = 0;

	for (int i = 0; i < LANES; i++) {
		struct client_counts counts;

		client_read(storm->client, (size_t)i, &counts);
		sum += counts.good;
	}
	return sum;
}

static void
rage(struct storm *storm)
{
	uint64_t last = 0;
	uint64_t since = measure_now();

	for (;;) {
		uint64_t good = answered(storm);

		if (good >= storm->requests_least &&
			storm->reloads >= storm->reloads_least)
			return;
		if (good != last)
			since = measure_now();
		last = good;
		if (measure_now() - since > STUCK_MS * UINT64_C(1000000))
			measure_fail("nothing is answered any more");
		poll(NULL, 0, (int)draw(storm, PAUSE_MS));
		switch (draw(storm, 8)) {
		case 0:
			scale(storm);
			break;
		case 1:
			kill_one(storm);
			break;
		default:
			reload(storm);
			break;
		}
	}
}

static void
start_client(struct storm *storm)
{
	struct client_lane wanted[LANES];
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", storm->server.port);
	for (int i = 0; i < LANES; i++)
		wanted[i] = (struct client_lane){
			.address = lanes[i].is_unix ? storm->server.unix_address
						    : address,
			.kind = lanes[i].kind,
			.connections = lanes[i].connections,
			.expect = "hello"};
	storm->client = client_start(wanted, LANES);
	if (storm->client == NULL)
		measure_die("the client");
}

/*
 * Prints the columns. Returns how many requests failed that no killed worker
 * had: on UNIX sockets those over the number of its connections.
 */
static uint64_t
print(const struct storm *storm, const struct client_counts *counts,
	double seconds)
{
	uint64_t failed = 0, unix_failed = 0;

	printf("%s: %u reloads (%u more were taken back), %u scalings, %u "
	       "kills in %.0f s\n",
		storm->server.name, storm->reloads, storm->refused,
		storm->scalings, storm->kills, seconds);
	for (int i = 0; i < LANES; i++) {
		char text[128];

		client_text(&counts[i], text, sizeof(text));
		printf("    %-12s %9llu answered, %4llu of killed workers, "
		       "%6llu closed between two; failed: %s\n",
			lanes[i].name, (unsigned long long)counts[i].good,
			(unsigned long long)counts[i].of_killed,
			(unsigned long long)(counts[i].closed_idle +
					     counts[i].repeated_after_idle),
			text);
		if (lanes[i].is_unix)
			unix_failed += client_failed(&counts[i]);
		else
			failed += client_failed(&counts[i]);
	}
	if (unix_failed > 0)
		printf("    killed workers had %llu connections on UNIX "
		       "sockets\n",
			(unsigned long long)storm->unix_of_killed);
	if (unix_failed > storm->unix_of_killed)
		failed += unix_failed - storm->unix_of_killed;
	printf("    %s\n", failed == 0 ? "nothing failed (reached)" : "MISSED");
	fflush(stdout);
	return failed;
}

static uint64_t
run(unsigned mode, uint64_t requests, unsigned reloads, uint64_t seed)
{
	struct storm storm = {.requests_least = requests,
		.reloads_least = reloads,
		.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1,
		.workers = SERVERS_WORKERS};
	struct client_counts counts[LANES];
	uint64_t began = measure_now();
	double seconds;

	if (!servers_start(mode, &storm.server))
		measure_fail("%s doesn't start", servers_name(mode));
	start_client(&storm);
	rage(&storm);
	if (!client_stop(&storm.client, counts))
		measure_fail("the client's process died");
	seconds = (double)(measure_now() - began) / 1e9;
	servers_stop(&storm.server);
	return print(&storm, counts, seconds);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"requests", required_argument, NULL, 'n'},
		{"reloads", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 's'},
		{"only", required_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	uint64_t requests = 1000000, seed = (uint64_t)time(NULL), failed = 0;
	unsigned reloads = 100;
	const char *only = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q') {
			requests = 50000;
			reloads = 20;
		} else if (option == 'n') {
			requests = strtoull(optarg, NULL, 10);
		} else if (option == 'r') {
			reloads = (unsigned)atoi(optarg);
		} else if (option == 's') {
			seed = strtoull(optarg, NULL, 10);
		} else if (option == 'o') {
			only = optarg;
		} else if (option != 'j') {
			fprintf(option == 'h' ? stdout : stderr,
				"usage: storm [--quick] [--requests N] "
				"[--reloads N] [--seed N] [--only BALANCE]\n");
			return option == 'h' ? 0 : 2;
		}
	}
	printf("seed %llu\n", (unsigned long long)seed);
	for (unsigned mode = 0; mode < MODES; mode++)
		if (only == NULL || strstr(servers_name(mode), only) != NULL)
			failed += run(mode, requests, reloads, seed + mode);
	return failed == 0 ? 0 : 1;
}

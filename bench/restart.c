/*
 * restart.c: how long a killed worker is missed: from kill -9 of one that is
 * older than min_uptime to the first instruction of its successor's main.
 *
 * Beside it, in turn in the same run, a bare loop of fork, exec and waitpid
 * with the same program: what any supervisor must pay. stamp_worker.c is the
 * program.
 */
#include "daemon.h"
#include "measure.h"
#include "report.h"
#include "stamp.h"

#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIN_UPTIME_MS = 100, AGE_MS = 150, PATIENCE_MS = 10000 };
#define MIN_UPTIME_TEXT "100"

static const double target = 1.5;

/* One who keeps a worker alive, and where its workers say that they run. */
struct contestant {
	int socket;
	char name[64];	  /* of the socket */
	int32_t worker;	  /* the living one's pid */
	struct figure ms; /* from kill to successor */
};

static void
open_socket(struct contestant *contestant)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(address);

	contestant->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (contestant->socket < 0 ||
		bind(contestant->socket, (struct sockaddr *)&address,
			sizeof(sa_family_t)) < 0 ||
		getsockname(contestant->socket, (struct sockaddr *)&address,
			&length) < 0)
		measure_die("socket for the workers");
	snprintf(contestant->name, sizeof(contestant->name), "%.*s",
		(int)(length - offsetof(struct sockaddr_un, sun_path) - 1),
		address.sun_path + 1);
}

/* Waits for the next worker; false when none starts. */
static bool
await(struct contestant *contestant, struct stamp *ret_stamp)
{
	struct pollfd input = {.fd = contestant->socket, .events = POLLIN};

	if (poll(&input, 1, PATIENCE_MS) <= 0 ||
		recv(contestant->socket, ret_stamp, sizeof(*ret_stamp), 0) !=
			sizeof(*ret_stamp))
		return false;
	contestant->worker = ret_stamp->pid;
	return true;
}

/* The other one: nothing but the three calls. */
static pid_t
start_bare_loop(const char *worker, const char *name)
{
	pid_t loop = fork(), child;

	if (loop != 0)
		return loop;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		child = fork();
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			execl(worker, worker, name, (char *)NULL);
			_exit(127);
		}
		if (child < 0 || waitpid(child, NULL, 0) < 0)
			_exit(1);
	}
}

/* Kills the worker when it is old enough, and waits for the next. */
static bool
sample(struct contestant *contestant)
{
	struct stamp stamp;
	uint64_t killed;

	poll(NULL, 0, AGE_MS); /* until it is older than min_uptime */
	killed = measure_now();
	if (kill(contestant->worker, SIGKILL) < 0 || !await(contestant, &stamp))
		return false;
	figure_add(&contestant->ms, (double)(stamp.ns - killed) / 1e6);
	return true;
}

static void
print(struct contestant *muster, struct contestant *bare, bool json)
{
	double ours = figure_median(&muster->ms);
	double theirs = figure_median(&bare->ms);
	struct goal goal = {ours / theirs, target, true};
	char text[64];

	if (json) {
		report_print_json(json_pack("{s:s, s:i, s:f, s:f, s:o}",
			"benchmark", "restart", "samples",
			(int)muster->ms.count, "muster_ms", ours, "bare_ms",
			theirs, "muster_to_bare", goal_json(&goal)));
		return;
	}
	goal_text(&goal, text, sizeof(text));
	printf("kill -9 of a worker until its successor runs, medians of %zu\n"
	       "  muster     %.2f ms\n"
	       "  bare loop  %.2f ms\n"
	       "  ratio      %s\n",
		muster->ms.count, ours, theirs, text);
}

static void
run(unsigned samples, bool json)
{
	struct contestant muster = {0}, bare = {0};
	char musterd[PATH_MAX], worker[PATH_MAX];
	const char *arguments[] = {"-n", "1", "--min-uptime", MIN_UPTIME_TEXT,
		"--", worker, muster.name, NULL};
	struct daemon daemon;
	struct stamp stamp;
	pid_t loop;

	daemon_need("../supervisor/musterd", musterd);
	daemon_need("stamp_worker", worker);
	open_socket(&muster);
	open_socket(&bare);
	daemon_start(&daemon, musterd, arguments);
	if (!await(&muster, &stamp))
		daemon_fail(&daemon, "the worker does not start");
	loop = start_bare_loop(worker, bare.name);
	if (loop < 0 || !await(&bare, &stamp))
		daemon_fail(&daemon, "the bare loop does not start");
	for (unsigned i = 0; i < samples; i++)
		if (!sample(&muster) || !sample(&bare))
			daemon_fail(&daemon, "no successor came");
	kill(loop, SIGKILL); /* its worker goes with it */
	waitpid(loop, NULL, 0);
	daemon_stop(&daemon);
	print(&muster, &bare, json);
	figure_fini(&muster.ms);
	figure_fini(&bare.ms);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"samples", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option, samples = 40;
	bool help = false, json = false;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			samples = 5;
		else if (option == 's')
			samples = atoi(optarg);
		else if (option == 'j')
			json = true;
		else if (option == 'h')
			help = true;
		else
			samples = 0;
	}
	if (help || samples < 1 || samples > REPORT_ROUNDS_MAX) {
		fprintf(help ? stdout : stderr,
			"usage: restart [--quick] [--samples N] [--json]\n");
		return help ? 0 : 2;
	}
	run((unsigned)samples, json);
	return 0;
}

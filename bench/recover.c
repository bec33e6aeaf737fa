/*
 * recover.c: how long nobody answers when the brain is killed: kill -9 under
 * HTTP load, until the first control request is answered by its successor.
 *
 * The request is `ls` by an operator on the control socket, which the keeper
 * holds: a connection made while there is no brain waits for the next. The
 * load (load.c) tells what users of the workers noticed: it should be nothing.
 */
#include "daemon.h"
#include "load.h"
#include "measure.h"
#include "report.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <protocol/frame.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* PAUSE_MS: between two kills, for the new brain to be an old one. */
enum { PATIENCE_MS = 10000, STEP_MS = 5, PAUSE_MS = 300, BODY_MAX = 1 << 20 };

static const double target_ms = 100;

static size_t
put_request(uint8_t *bytes, uint64_t id, const char *body)
{
	struct frame_header header = {.kind = MUSTER_REQUEST,
		.size = (uint32_t)strlen(body),
		.to = MUSTER_TO_SUPERVISOR,
		.id = id};

	frame_store(bytes, &header);
	memcpy(bytes + MUSTER_HEADER_SIZE, body, header.size);
	return MUSTER_HEADER_SIZE + header.size;
}

static bool
read_all(int fd, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = recv(fd, bytes, size, 0);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

/* Whether the reply to request `id` comes; other frames are passed over. */
static bool
await_reply(int fd, uint64_t id)
{
	static uint8_t body[BODY_MAX];
	uint8_t bytes[MUSTER_HEADER_SIZE];
	struct frame_header header;

	for (;;) {
		if (!read_all(fd, bytes, sizeof(bytes)))
			return false;
		frame_load(bytes, &header);
		if (header.size > sizeof(body) ||
			!read_all(fd, body, header.size))
			return false;
		if (header.kind == MUSTER_ERROR)
			measure_fail("musterd: %.*s", (int)header.size,
				(const char *)body);
		if (header.kind == MUSTER_REPLY && header.id == id)
			return true;
	}
}

/* One conversation with the control socket: hello and ls, sent together. */
static bool
ask_for_listing(const struct daemon *daemon)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	uint8_t bytes[512];
	bool answered;
	size_t size;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		measure_die("socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/muster.sock",
		daemon->home);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	size = put_request(bytes, 1, "{\"protocol\":1,\"role\":\"operator\"}");
	size += put_request(bytes + size, 2, "{\"method\":\"ls\"}");
	answered = connect(fd, (struct sockaddr *)&address, sizeof(address)) ==
			   0 &&
		   send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size &&
		   await_reply(fd, 2);
	close(fd);
	return answered;
}

/* A port that is free now. */
static uint16_t
find_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		measure_die("free port");
	close(fd);
	return ntohs(address.sin_port);
}

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
	while (!ask_for_listing(daemon))
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
	struct load load;
	uint16_t port = find_port();

	daemon_need("../supervisor/musterd", musterd);
	daemon_need("../examples/http-hello/http-hello", worker);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	daemon_start(&daemon, musterd, arguments);
	start_load(&daemon, &load, port);
	if (!ask_for_listing(&daemon))
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

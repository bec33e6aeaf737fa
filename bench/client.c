/*
 * client.c: starts the counting client's process, reads its columns and ends
 * it. What it does is client_loop.c's.
 */
#include "client.h"

#include "client_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 2, TIMEOUT_MS = 10000 };

struct client {
	struct client_shared *shared;
	pid_t pid;
	int control;
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "unix:///path", or an IPv4 address and a port. */
static bool
resolve(const char *text, struct client_loop_lane *lane)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&lane->address.storage;
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];

	if (strncmp(text, "unix://", 7) == 0) {
		lane->address.path.sun_family = AF_UNIX;
		lane->address_size = sizeof(lane->address.path);
		return (size_t)snprintf(lane->address.path.sun_path,
			       sizeof(lane->address.path.sun_path), "%s",
			       text + 7) < sizeof(lane->address.path.sun_path);
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)atoi(colon + 1));
	lane->address_size = sizeof(*in);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

static bool
take_lanes(struct client_shared *shared, const struct client_lane *lanes,
	size_t count)
{
	unsigned connections = 0;

	if (count == 0 || count > CLIENT_LANES_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct client_loop_lane *lane = &shared->lanes[i];

		lane->lane = lanes[i];
		connections += lanes[i].connections;
		if (lanes[i].kind >= CLIENT_KINDS ||
			lanes[i].connections == 0 ||
			connections > CLIENT_CONNECTIONS_MAX ||
			!resolve(lanes[i].address, lane))
			return false;
		if (lane->lane.timeout_ms == 0)
			lane->lane.timeout_ms = TIMEOUT_MS;
		snprintf(lane->expect, sizeof(lane->expect), "%s",
			lanes[i].expect != NULL ? lanes[i].expect : "");
	}
	shared->count = count;
	return true;
}

/* Returns 0 or the errno. */
static int
start_process(struct client *client)
{
	int control[2], error;

	if (pipe(control) < 0)
		return errno;
	client->pid = fork();
	error = errno;
	if (client->pid == 0) {
		/* Nothing of its user's is held open by it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, (unsigned)control[0] - 1, 0);
		close_range((unsigned)control[0] + 1, ~0u, 0);
		client_loop(client->shared, control[0]);
	}
	close(control[0]);
	if (client->pid < 0) {
		close(control[1]);
		return error;
	}
	client->control = control[1];
	return 0;
}

struct client *
client_start(const struct client_lane *lanes, size_t count)
{
	struct client *client = calloc(1, sizeof(*client));
	int error = 0;

	if (client == NULL)
		return NULL;
	client->shared = mmap(NULL, sizeof(*client->shared),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (client->shared == MAP_FAILED) {
		error = errno;
		free(client);
		errno = error;
		return NULL;
	}
	error = take_lanes(client->shared, lanes, count) ? start_process(client)
							 : EINVAL;
	if (error == 0)
		return client;
	munmap(client->shared, sizeof(*client->shared));
	free(client);
	errno = error;
	return NULL;
}

void
client_read(const struct client *client, size_t lane,
	struct client_counts *ret_counts)
{
	const uint64_t *from = (uint64_t *)&client->shared->counts[lane];
	uint64_t *to = (uint64_t *)ret_counts;

	for (size_t i = 0; i < sizeof(*ret_counts) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

bool
client_wait(struct client *client, size_t lane, uint64_t more, int patience_ms)
{
	const uint64_t *good = &client->shared->counts[lane].good;
	uint64_t wanted = __atomic_load_n(good, __ATOMIC_RELAXED) + more;
	int64_t until = now_ms() + patience_ms;

	while (__atomic_load_n(good, __ATOMIC_RELAXED) < wanted) {
		/* Hung up: the process, which has the other end, is gone. */
		struct pollfd end = {.fd = client->control};

		if (poll(&end, 1, STEP_MS) > 0 || now_ms() >= until)
			return false;
	}
	return true;
}

void
client_killed(struct client *client, uint16_t port)
{
	__atomic_store_n(&client->shared->killed[port], 1, __ATOMIC_RELEASE);
}

bool
client_stop(struct client **client, struct client_counts *ret_counts)
{
	struct client *one = *client;
	int status = -1;

	close(one->control);
	while (waitpid(one->pid, &status, 0) < 0 && errno == EINTR)
		;
	memcpy(ret_counts, one->shared->counts,
		one->shared->count * sizeof(*ret_counts));
	munmap(one->shared, sizeof(*one->shared));
	free(one);
	*client = NULL;
	return status == 0;
}

uint64_t
client_failed(const struct client_counts *counts)
{
	uint64_t sum = 0;

	for (int i = 0; i < CLIENT_FAILURES; i++)
		sum += counts->failed[i];
	return sum;
}

void
client_text(const struct client_counts *counts, char *ret_text, size_t size)
{
	static const char *const names[CLIENT_FAILURES] = {
		[CLIENT_REFUSED] = "refused",
		[CLIENT_RESET] = "reset",
		[CLIENT_HUNG_UP] = "hung up",
		[CLIENT_HALF] = "half",
		[CLIENT_TIMED_OUT] = "timed out",
		[CLIENT_WRONG] = "wrong",
	};
	size_t at = 0;

	snprintf(ret_text, size, "nothing");
	for (int i = 0; i < CLIENT_FAILURES && at < size; i++)
		if (counts->failed[i] > 0)
			at += (size_t)snprintf(ret_text + at, size - at,
				"%s%llu %s", at > 0 ? ", " : "",
				(unsigned long long)counts->failed[i],
				names[i]);
}

const char *
client_kind_name(enum client_kind kind)
{
	static const char *const names[CLIENT_KINDS] = {
		[CLIENT_KEPT] = "kept",
		[CLIENT_SHORT] = "short",
		[CLIENT_PIPELINED] = "pipelined",
		[CLIENT_SLOW] = "slow",
	};

	return names[kind];
}

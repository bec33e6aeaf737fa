/*
 * relay_muster.c: runs the cases of the relay benchmark through muster: starts
 * the supervisor with nine workers, gives each its part of a case over a
 * socket of its own (relay_control.h), and adds up what they report. What the
 * workers do is in relay_worker.c.
 */
#include "relay_muster.h"

#include "daemon.h"
#include "measure.h"
#include "relay_control.h"

#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A broadcast never reaches its sender, so one more than its receivers. */
enum { WORKERS = RELAY_BROADCAST_TO + 1, PATIENCE_MS = 30000 };
#define TEXT_OF(number) TEXT_OF_VALUE(number)
#define TEXT_OF_VALUE(number) #number

struct relay_muster {
	struct daemon daemon;
	int listener;
	uint32_t ids[WORKERS]; /* rising; fds in the same order */
	int fds[WORKERS];
	pid_t pids[WORKERS];
};

/* An abstract socket that the kernel names; its name goes to the workers. */
static int
listen_anywhere(char *ret_name, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) <
			0 ||
		listen(fd, WORKERS) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		measure_die("socket for the workers");
	snprintf(ret_name, size, "%.*s",
		(int)(length - offsetof(struct sockaddr_un, sun_path) - 1),
		address.sun_path + 1);
	return fd;
}

static void
wait_for(struct relay_muster *muster, int fd, double seconds, const char *what)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};
	char text[128];

	if (poll(&input, 1, (int)(seconds * 1e3) + PATIENCE_MS) > 0)
		return;
	snprintf(text, sizeof(text), "nothing came from a worker: %s", what);
	daemon_fail(&muster->daemon, text);
}

static void
hear(struct relay_muster *muster, unsigned worker, double seconds,
	enum relay_order order, struct relay_report *ret_report)
{
	wait_for(muster, muster->fds[worker], seconds, "no report");
	if (recv(muster->fds[worker], ret_report, sizeof(*ret_report), 0) !=
		sizeof(*ret_report))
		daemon_fail(&muster->daemon, "a worker has ended");
	if (ret_report->order != order)
		daemon_fail(&muster->daemon, "a worker lost its way");
}

static void
accept_worker(struct relay_muster *muster, unsigned count)
{
	struct relay_report hello;
	socklen_t length = sizeof(struct ucred);
	struct ucred peer;
	unsigned at = count;
	int fd;

	wait_for(muster, muster->listener, 0, "not all have started");
	fd = accept4(muster->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		measure_die("accept");
	muster->fds[count] = fd;
	hear(muster, count, 0, RELAY_HELLO, &hello);
	while (at > 0 && muster->ids[at - 1] > hello.id) {
		muster->ids[at] = muster->ids[at - 1];
		muster->fds[at] = muster->fds[at - 1];
		muster->pids[at] = muster->pids[at - 1];
		at--;
	}
	muster->ids[at] = hello.id;
	muster->fds[at] = fd;
	muster->pids[at] = peer.pid;
}

struct relay_muster *
relay_muster_new(const char *musterd)
{
	char beside[PATH_MAX], worker[PATH_MAX], name[128];
	const char *arguments[] = {
		"-n", TEXT_OF(9), "--wait-ready", "--", worker, name, NULL};
	struct relay_muster *muster;

	_Static_assert(WORKERS == 9, "as the arguments say");
	if (!daemon_find("relay_worker", worker)) {
		fprintf(stderr, "without muster: no %s\n", worker);
		return NULL;
	}
	if (musterd == NULL && !daemon_find("../supervisor/musterd", beside)) {
		fprintf(stderr, "without muster: no %s\n", beside);
		return NULL;
	}
	muster = calloc(1, sizeof(*muster));
	if (muster == NULL)
		measure_die("memory");
	muster->listener = listen_anywhere(name, sizeof(name));
	daemon_start(
		&muster->daemon, musterd != NULL ? musterd : beside, arguments);
	for (unsigned i = 0; i < WORKERS; i++)
		accept_worker(muster, i);
	return muster;
}

void
relay_muster_free(struct relay_muster **muster)
{
	if (*muster == NULL)
		return;
	daemon_stop(&(*muster)->daemon);
	for (unsigned i = 0; i < WORKERS; i++)
		close((*muster)->fds[i]);
	close((*muster)->listener);
	free(*muster);
	*muster = NULL;
}

static void
tell(struct relay_muster *muster, unsigned worker,
	const struct relay_command *command)
{
	if (send(muster->fds[worker], command, sizeof(*command), 0) !=
		sizeof(*command))
		daemon_fail(&muster->daemon, "a worker has ended");
}

static enum relay_order
sender_order(const struct relay_case *kase)
{
	if (kase->kind == RELAY_PING)
		return RELAY_PINGS;
	return kase->kind == RELAY_SUPERVISOR ? RELAY_BEATS : RELAY_SEND;
}

/* Worker 0 sends, those behind it receive. */
static void
give_orders(struct relay_muster *muster, const struct relay_case *kase,
	double seconds, unsigned receivers)
{
	struct relay_command command = {
		.to = muster->ids[1],
		.receivers = receivers,
		.size = kase->size,
		.flushed = kase->flushed,
		.cpu = kase->pinned ? measure_pinned_cpu() : MEASURE_ANY_CPU,
		.duration_ns = (uint64_t)(seconds * 1e9),
	};
	struct relay_report report;

	if (kase->kind == RELAY_BROADCAST)
		command.to = RELAY_TO_ALL;
	if (kase->kind == RELAY_PUBLISH)
		command.to = RELAY_TO_TOPIC;
	command.order = kase->kind == RELAY_PING ? RELAY_ECHO : RELAY_COUNT;
	for (unsigned i = 1; i <= receivers; i++)
		tell(muster, i, &command);
	for (unsigned i = 1; i <= receivers; i++)
		hear(muster, i, 0, RELAY_LISTENING, &report);
	command.order = sender_order(kase);
	tell(muster, 0, &command);
}

static pid_t
pin_supervisor(struct relay_muster *muster, const struct relay_case *kase)
{
	int cpu = kase->pinned ? measure_pinned_cpu() : MEASURE_ANY_CPU;
	pid_t brain = daemon_brain(&muster->daemon, 0);

	if (brain == 0)
		daemon_fail(&muster->daemon, "there is no brain");
	measure_pin(muster->daemon.keeper, cpu);
	measure_pin(brain, cpu);
	return brain;
}

/* Adds the processor time of all parts so far, times `sign`. */
static void
add_cost(struct relay_muster *muster, pid_t brain, unsigned receivers,
	double sign, double *costs)
{
	costs[RELAY_SENDER] += sign * (double)measure_cpu(muster->pids[0]);
	costs[RELAY_MIDDLE] += sign * (double)measure_cpu(brain);
	for (unsigned i = 1; i <= receivers; i++)
		costs[RELAY_RECEIVERS] +=
			sign * (double)measure_cpu(muster->pids[i]);
}

/* What all counters count, and from when to when. */
static void
hear_counters(struct relay_muster *muster, const struct relay_case *kase,
	double seconds, unsigned receivers, struct relay_report *ret_total)
{
	bool sender_counts =
		kase->kind == RELAY_PING || kase->kind == RELAY_SUPERVISOR;
	struct relay_report report;

	hear(muster, 0, seconds, sender_order(kase), ret_total);
	if (!sender_counts)
		*ret_total = (struct relay_report){.first_ns = UINT64_MAX};
	for (unsigned i = 1; i <= receivers; i++) {
		hear(muster, i, seconds,
			kase->kind == RELAY_PING ? RELAY_ECHO : RELAY_COUNT,
			&report);
		if (sender_counts)
			continue;
		ret_total->count += report.count;
		if (report.first_ns < ret_total->first_ns)
			ret_total->first_ns = report.first_ns;
		if (report.last_ns > ret_total->last_ns)
			ret_total->last_ns = report.last_ns;
	}
}

void
relay_muster_measure(struct relay_muster *muster, const struct relay_case *kase,
	double seconds, struct relay_result *ret_result)
{
	unsigned receivers =
		kase->kind == RELAY_SUPERVISOR ? 0 : relay_receivers(kase);
	pid_t brain = pin_supervisor(muster, kase);
	struct relay_result result = {0};
	struct relay_report total;

	add_cost(muster, brain, receivers, -1, result.cost_ns);
	give_orders(muster, kase, seconds, receivers);
	hear_counters(muster, kase, seconds, receivers, &total);
	add_cost(muster, brain, receivers, 1, result.cost_ns);
	if (total.count == 0)
		daemon_fail(&muster->daemon, "no message arrived");
	for (int i = 0; i < RELAY_PARTS; i++)
		result.cost_ns[i] /= (double)total.count;
	result.rate = (double)total.count * 1e9 /
		      (double)(total.last_ns - total.first_ns);
	result.p50_us = total.p50_us;
	result.p99_us = total.p99_us;
	*ret_result = result;
}

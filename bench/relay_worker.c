/*
 * relay_worker.c: the worker of the relay benchmark, on the SDK as any program
 * uses it: text bodies, callbacks, muster_wait as its loop.
 *
 * It does what the driver tells it over a socket of its own (relay_control.h,
 * whose abstract name is the only argument): stream, count, send pings, send
 * them back, or ask the supervisor. Between orders it waits for either; while
 * it carries one out it waits for its channel alone, so that what is measured
 * is the channel. A body is a JSON string of the size asked for; the last
 * message of an order is a shorter one.
 */
#include "measure.h"
#include "relay_case.h"
#include "relay_control.h"

#include <errno.h>
#include <muster.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char last_text[] = "\"end\"";
enum { LAST_SIZE = sizeof(last_text) - 1, BODY_MAX = 1 << 20 };

/* What a sender lets stand before it writes: a read of the supervisor. */
enum { BATCH = 256 << 10 };

struct worker {
	struct muster *muster;
	int control;
	struct relay_command command; /* under way; order 0: none */
	struct relay_report report;
	uint64_t until_ns;
	uint64_t sent_ns; /* of the ping under way */
	uint32_t *samples;
	size_t kept;
	unsigned waiting; /* heartbeats without an answer */
	bool leaving;
	char *body;
};

static void
wait_for_channel(struct worker *worker)
{
	int error = muster_wait(worker->muster, -1);

	if (error < 0 && error != -ETIMEDOUT)
		exit(1);
}

static int
send_one(struct worker *worker, uint32_t to, const char *text, size_t size)
{
	if (to == RELAY_TO_TOPIC)
		return muster_publish_text(
			worker->muster, "bench.relay.topic", text, size);
	return muster_send_text(worker->muster, to, NULL, text, size);
}

/* Sends one message, waiting for room where there is none. */
static void
send_text(struct worker *worker, uint32_t to, const char *text, size_t size)
{
	int error;

	while ((error = send_one(worker, to, text, size)) == -ENOBUFS)
		wait_for_channel(worker);
	if (error < 0)
		exit(1);
}

static void
report(struct worker *worker, enum relay_order order)
{
	worker->report.order = order;
	worker->report.id = muster_id(worker->muster);
	if (send(worker->control, &worker->report, sizeof(worker->report), 0) <
		0)
		exit(1);
}

static void
finish(struct worker *worker)
{
	report(worker, (enum relay_order)worker->command.order);
	worker->command.order = 0;
}

/* Sender ---------------------------------------------------------------- */

/* Writes what was sent until everything is with the kernel. */
static void
write_out(struct worker *worker)
{
	int error;

	while ((error = muster_flush(worker->muster)) == -EAGAIN)
		wait_for_channel(worker);
	if (error < 0)
		exit(1);
}

static void
stream(struct worker *worker)
{
	const struct relay_command *command = &worker->command;
	unsigned turn = 0, receivers = command->receivers;
	size_t standing = 0; /* bytes since the last write */
	/* The clock is not to be part of what a small message costs. */
	unsigned between = command->size > 16384 ? 1 : 64;
	bool to_all = command->to >= RELAY_TO_TOPIC;

	if (to_all)
		receivers = 1;
	while (measure_now() < worker->until_ns)
		for (unsigned i = 0; i < between; i++) {
			uint32_t to = to_all ? command->to : command->to + turn;

			send_text(worker, to, worker->body, command->size);
			turn = turn + 1 == receivers ? 0 : turn + 1;
			standing += RELAY_HEADER + command->size;
			if (command->flushed || standing >= BATCH) {
				write_out(worker);
				standing = 0;
			}
		}
	for (unsigned i = 0; i < receivers; i++)
		send_text(worker, to_all ? command->to : command->to + i,
			last_text, LAST_SIZE);
	write_out(worker);
	finish(worker);
}

static void
send_ping(struct worker *worker)
{
	worker->sent_ns = measure_now();
	send_text(
		worker, worker->command.to, worker->body, worker->command.size);
}

static void
ping_came_back(struct worker *worker)
{
	uint64_t now = measure_now();
	struct relay_report *report = &worker->report;

	if (worker->kept < RELAY_SAMPLES)
		worker->samples[worker->kept++] =
			(uint32_t)(now - worker->sent_ns);
	report->count++;
	if (now < worker->until_ns) {
		send_ping(worker);
		return;
	}
	send_text(worker, worker->command.to, last_text, LAST_SIZE);
	report->last_ns = now;
	measure_sort(worker->samples, worker->kept);
	report->p50_us =
		measure_quantile(worker->samples, worker->kept, 0.5) / 1e3;
	report->p99_us =
		measure_quantile(worker->samples, worker->kept, 0.99) / 1e3;
	finish(worker);
}

static void
on_beat(struct muster *muster, const struct muster_answer *answer, void *data)
{
	struct worker *worker = data;
	uint64_t now = 0;

	if (answer->code != NULL)
		exit(1);
	worker->waiting--;
	if (++worker->report.count % 64 == 0)
		now = measure_now();
	if (now >= worker->until_ns)
		worker->until_ns = 0; /* time is up: no more */
	if (worker->until_ns > 0) {
		worker->waiting++;
		if (muster_call(muster, "heartbeat", NULL, on_beat, data) < 0)
			exit(1);
	} else if (worker->waiting == 0) {
		worker->report.last_ns = measure_now();
		finish(worker);
	}
}

static void
send_beats(struct worker *worker)
{
	while (worker->waiting < RELAY_WINDOW) {
		worker->waiting++;
		if (muster_call(worker->muster, "heartbeat", NULL, on_beat,
			    worker) < 0)
			exit(1);
	}
}

/* Receiver -------------------------------------------------------------- */

static void
count(struct worker *worker, size_t size)
{
	struct relay_report *report = &worker->report;

	if (size != worker->command.size) {
		report->last_ns = measure_now();
		finish(worker);
	} else if (report->first_ns == 0) {
		report->first_ns = measure_now();
	} else {
		report->count++;
	}
}

static void
on_message(
	struct muster *muster, const struct muster_message *message, void *data)
{
	struct worker *worker = data;

	(void)muster;
	switch (worker->command.order) {
	case RELAY_COUNT:
		count(worker, message->size);
		break;
	case RELAY_ECHO:
		if (message->size != worker->command.size)
			finish(worker);
		else
			send_text(worker, message->from, message->text,
				message->size);
		break;
	case RELAY_PINGS:
		ping_came_back(worker);
		break;
	default: /* not for this one: nothing was ordered */
		break;
	}
}

static void
on_topic(struct muster *muster, const struct muster_publication *publication,
	void *data)
{
	struct worker *worker = data;

	(void)muster;
	if (worker->command.order == RELAY_COUNT)
		count(worker, publication->size);
}

/* Orders ---------------------------------------------------------------- */

static void
carry_out(struct worker *worker)
{
	struct relay_command *command = &worker->command;

	if (command->size > BODY_MAX || command->size < 2)
		exit(1);
	memset(worker->body, 'x', command->size);
	worker->body[0] = worker->body[command->size - 1] = '"';
	worker->report = (struct relay_report){0};
	worker->kept = 0;
	measure_pin(0, command->cpu);
	worker->until_ns = measure_now() + command->duration_ns;
	switch (command->order) {
	case RELAY_COUNT:
	case RELAY_ECHO:
		report(worker, RELAY_LISTENING);
		break;
	case RELAY_SEND:
		stream(worker);
		break;
	case RELAY_PINGS:
		worker->report.first_ns = measure_now();
		send_ping(worker);
		break;
	case RELAY_BEATS:
		worker->report.first_ns = measure_now();
		send_beats(worker);
		break;
	default:
		exit(1);
	}
	while (command->order != 0 && !worker->leaving)
		wait_for_channel(worker);
}

static void
wait_for_order(struct worker *worker)
{
	struct pollfd inputs[] = {
		{.fd = worker->control, .events = POLLIN},
		{.fd = muster_fd(worker->muster), .events = POLLIN},
	};

	muster_flush(worker->muster);
	if (poll(inputs, 2, -1) < 0 && errno != EINTR)
		exit(1);
	if (inputs[1].revents != 0 && muster_dispatch(worker->muster) < 0)
		exit(1);
	if (inputs[0].revents == 0)
		return;
	if (recv(worker->control, &worker->command, sizeof(worker->command),
		    0) != sizeof(worker->command))
		worker->leaving = true; /* the driver has ended */
	else
		carry_out(worker);
}

static int
connect_to_driver(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (length + 1 > sizeof(address.sun_path))
		measure_fail("name of the driver's socket too long");
	memcpy(address.sun_path + 1, name, length);
	if (fd < 0 ||
		connect(fd, (struct sockaddr *)&address,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				    length)) < 0)
		measure_die("socket of the driver");
	return fd;
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	struct worker *worker = data;

	(void)muster;
	(void)reason;
	(void)deadline_ms;
	worker->leaving = true;
}

int
main(int argc, char **argv)
{
	static struct worker worker;
	int error;

	if (argc != 2)
		measure_fail("started by relay, not by hand");
	measure_init();
	error = muster_attach(&worker.muster);
	if (error < 0)
		measure_fail("not under muster: %s", strerror(-error));
	worker.control = connect_to_driver(argv[1]);
	worker.samples = malloc(RELAY_SAMPLES * sizeof(*worker.samples));
	worker.body = malloc(BODY_MAX);
	if (worker.samples == NULL || worker.body == NULL)
		measure_fail("no memory");
	muster_on_message(worker.muster, on_message, &worker);
	muster_on_shutdown(worker.muster, on_shutdown, &worker);
	muster_set_wake(worker.muster, false); /* each wait is a flush before */
	if (muster_subscribe(
		    worker.muster, "bench.*.topic", on_topic, &worker) < 0)
		measure_fail("not subscribed");
	if (muster_ready(worker.muster) < 0)
		measure_fail("not ready");
	write_out(&worker);
	report(&worker, RELAY_HELLO);
	while (!worker.leaving)
		wait_for_order(&worker);
	muster_detach(&worker.muster);
	free(worker.samples);
	free(worker.body);
	return 0;
}

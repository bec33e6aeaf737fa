/*
 * relay_raw.c: the limit: sender, middle and receivers over socketpairs, with
 * blocking reads and writes and nothing else.
 *
 * The bytes of a message are those of a frame (header and body), the socket
 * buffers are those that muster asks for. The middle reads up to 256 KiB and
 * writes what it has read: it sees no messages, the receivers only count
 * bytes. With `flushed` the sender makes one write a message; middle and
 * receivers stay as they are, so this too is the fastest that can be had. Four
 * receivers get a quarter of each read, eight get all of it each.
 */
#include "relay_raw.h"

#include "measure.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOCKET_BUFFER = 512 << 10, PROCESSES_MAX = 2 + RELAY_BROADCAST_TO };

struct count {
	uint64_t bytes; /* behind the first read */
	uint64_t first_ns, last_ns;
	double p50_us, p99_us;
};

/* One run: its sockets, the way back for results, and its processes. */
struct run {
	const struct relay_case *kase;
	uint64_t until_ns;
	int in[2];			/* sender, middle */
	int out[RELAY_BROADCAST_TO][2]; /* middle, receiver */
	unsigned receivers;
	int result[2];
	pid_t processes[PROCESSES_MAX];
	unsigned started;
};

static char chunk[RELAY_CHUNK];

static void
make_pair(int ret_pair[2])
{
	int bytes = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_pair) < 0)
		measure_die("socketpair");
	for (int i = 0; i < 2; i++)
		setsockopt(ret_pair[i], SOL_SOCKET, SO_SNDBUF, &bytes,
			sizeof(bytes));
}

/* Writes all of it; false when the other side is gone. */
static bool
write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

static bool
read_all(int fd, char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = read(fd, bytes, size);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

static void
tell(const struct run *run, const struct count *count)
{
	if (write(run->result[1], count, sizeof(*count)) != sizeof(*count))
		_exit(1);
}

static void
stream_sender(struct run *run)
{
	size_t size = run->kase->flushed ? RELAY_HEADER + run->kase->size
					 : sizeof(chunk);
	/* The clock is not to be part of what a small write costs. */
	unsigned between = size > 16384 ? 1 : 64;

	while (measure_now() < run->until_ns)
		for (unsigned i = 0; i < between; i++)
			if (!write_all(run->in[0], chunk, size))
				_exit(1);
}

static void
stream_middle(struct run *run)
{
	unsigned receivers = run->receivers;
	bool spread = run->kase->kind == RELAY_SPREAD;
	ssize_t n;

	while ((n = read(run->in[1], chunk, sizeof(chunk))) > 0) {
		size_t part = spread ? (size_t)n / receivers : (size_t)n;
		size_t rest = spread ? (size_t)n % receivers : 0;
		const char *from = chunk;

		for (unsigned i = 0; i < receivers; i++) {
			size_t size = part + (i == 0 ? rest : 0);

			if (!write_all(run->out[i][0], from, size))
				_exit(1);
			if (spread)
				from += size;
		}
	}
}

static void
stream_receiver(struct run *run, unsigned index)
{
	struct count count = {0};
	ssize_t n;

	if (read(run->out[index][1], chunk, sizeof(chunk)) <= 0)
		_exit(1);
	count.first_ns = measure_now();
	while ((n = read(run->out[index][1], chunk, sizeof(chunk))) > 0)
		count.bytes += (uint64_t)n;
	count.last_ns = measure_now();
	tell(run, &count);
}

/* Sends one piece, waits for it to come back, and so on. */
static void
ping_sender(struct run *run, size_t size)
{
	uint32_t *samples = malloc(RELAY_SAMPLES * sizeof(*samples));
	struct count count = {.first_ns = measure_now()};
	uint64_t start, end = count.first_ns;
	size_t kept = 0;

	if (samples == NULL)
		_exit(1);
	while (end < run->until_ns) {
		start = measure_now();
		if (!write_all(run->in[0], chunk, size) ||
			!read_all(run->in[0], chunk, size))
			_exit(1);
		end = measure_now();
		count.bytes += size;
		if (kept < RELAY_SAMPLES)
			samples[kept++] = (uint32_t)(end - start);
	}
	count.last_ns = end;
	measure_sort(samples, kept);
	count.p50_us = measure_quantile(samples, kept, 0.5) / 1e3;
	count.p99_us = measure_quantile(samples, kept, 0.99) / 1e3;
	tell(run, &count);
	free(samples);
}

static void
ping_middle(struct run *run, size_t size)
{
	while (read_all(run->in[1], chunk, size) &&
		write_all(run->out[0][0], chunk, size) &&
		read_all(run->out[0][0], chunk, size) &&
		write_all(run->in[1], chunk, size))
		;
}

static void
echo(int fd, size_t size)
{
	while (read_all(fd, chunk, size) && write_all(fd, chunk, size))
		;
}

static void
run_sender(struct run *run, unsigned index)
{
	size_t frame = RELAY_HEADER + run->kase->size;

	(void)index;
	if (run->kase->kind == RELAY_PING)
		ping_sender(run, frame);
	else if (run->kase->kind == RELAY_SUPERVISOR)
		ping_sender(run, frame * RELAY_WINDOW);
	else
		stream_sender(run);
}

static void
run_middle(struct run *run, unsigned index)
{
	size_t frame = RELAY_HEADER + run->kase->size;

	(void)index;
	if (run->kase->kind == RELAY_PING)
		ping_middle(run, frame);
	else if (run->kase->kind == RELAY_SUPERVISOR)
		echo(run->in[1], frame * RELAY_WINDOW);
	else
		stream_middle(run);
}

static void
run_receiver(struct run *run, unsigned index)
{
	if (run->kase->kind == RELAY_PING)
		echo(run->out[0][1], RELAY_HEADER + run->kase->size);
	else
		stream_receiver(run, index);
}

/* A process of the run; it keeps `mine` and `other` of the run's sockets. */
static void
start(struct run *run, void (*role)(struct run *, unsigned), unsigned index,
	bool keeps_in, int in_end, int out_end)
{
	pid_t pid = fork();

	if (pid < 0)
		measure_die("fork");
	if (pid > 0) {
		run->processes[run->started++] = pid;
		return;
	}
	measure_pin(
		0, run->kase->pinned ? measure_pinned_cpu() : MEASURE_ANY_CPU);
	/* An end that a wrong process keeps open would hide end of file. */
	for (int end = 0; end < 2; end++)
		if (!keeps_in || end != in_end)
			close(run->in[end]);
	for (unsigned i = 0; i < run->receivers; i++)
		for (int end = 0; end < 2; end++)
			if (end != out_end || (end == 1 && i != index))
				close(run->out[i][end]);
	role(run, index);
	_exit(0);
}

static void
add(struct count *total, const struct count *count)
{
	total->bytes += count->bytes;
	if (total->first_ns == 0 || count->first_ns < total->first_ns)
		total->first_ns = count->first_ns;
	if (count->last_ns > total->last_ns)
		total->last_ns = count->last_ns;
	total->p50_us = count->p50_us;
	total->p99_us = count->p99_us;
}

static double
used_ns(const struct rusage *usage)
{
	const struct timeval *user = &usage->ru_utime;
	const struct timeval *system = &usage->ru_stime;

	return (double)(user->tv_sec + system->tv_sec) * 1e9 +
	       (double)(user->tv_usec + system->tv_usec) * 1e3;
}

/* The receivers were started first, then the middle, then the sender. */
static void
reap(struct run *run, double messages, struct relay_result *ret_result)
{
	for (unsigned i = 0; i < run->started; i++) {
		enum relay_part part = RELAY_RECEIVERS;
		struct rusage usage;

		if (wait4(run->processes[i], NULL, 0, &usage) < 0)
			continue;
		if (i == run->receivers)
			part = RELAY_MIDDLE;
		else if (i > run->receivers)
			part = RELAY_SENDER;
		ret_result->cost_ns[part] += used_ns(&usage) / messages;
	}
}

static void
collect(struct run *run, struct relay_result *ret_result)
{
	bool alone = run->kase->kind == RELAY_PING ||
		     run->kase->kind == RELAY_SUPERVISOR;
	unsigned expected = alone ? 1 : run->receivers;
	double frame = RELAY_HEADER + run->kase->size;
	struct count total = {0}, count;

	for (unsigned i = 0; i < expected; i++) {
		if (read(run->result[0], &count, sizeof(count)) !=
			sizeof(count))
			measure_fail("a process of the raw limit failed");
		add(&total, &count);
	}
	reap(run, (double)total.bytes / frame, ret_result);
	ret_result->rate = (double)total.bytes / frame * 1e9 /
			   (double)(total.last_ns - total.first_ns);
	ret_result->p50_us = total.p50_us;
	ret_result->p99_us = total.p99_us;
}

void
relay_raw_measure(const struct relay_case *kase, double seconds,
	struct relay_result *ret_result)
{
	struct run run = {.kase = kase, .receivers = relay_receivers(kase)};

	make_pair(run.in);
	for (unsigned i = 0; i < run.receivers; i++)
		make_pair(run.out[i]);
	if (pipe(run.result) < 0)
		measure_die("pipe");
	run.until_ns = measure_now() + (uint64_t)(seconds * 1e9);
	for (unsigned i = 0; i < run.receivers; i++)
		start(&run, run_receiver, i, false, 0, 1);
	start(&run, run_middle, 0, true, 1, 0);
	start(&run, run_sender, 0, true, 0, -1);
	for (int end = 0; end < 2; end++)
		close(run.in[end]);
	for (unsigned i = 0; i < run.receivers; i++)
		for (int end = 0; end < 2; end++)
			close(run.out[i][end]);
	close(run.result[1]);
	collect(&run, ret_result);
	close(run.result[0]);
}

/*
 * load.c: HTTP load for bench/recover. One process, one poll loop, a fixed
 * number of keep-alive connections. It counts what a user would notice: a
 * connection that breaks, an answer that isn't 200, and the longest wait.
 *
 * An answer's end is found by its Content-Length; other codings count as
 * broken.
 */
#include "load.h"

#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 8192 };

static const char request[] =
	"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n";

struct connection {
	int fd;
	uint64_t asked_ns;
	uint64_t due_ns; /* of its next request; 0: one is under way */
	size_t have;
	char answer[ANSWER_MAX + 1];
};

static int
dial(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static bool
ask(struct connection *connection)
{
	connection->have = 0;
	connection->asked_ns = measure_now();
	return send(connection->fd, request, sizeof(request) - 1,
		       MSG_NOSIGNAL) == sizeof(request) - 1;
}

/* 1: the answer is whole and good; 0: more must come; -1: it's broken. */
static int
judge(const struct connection *connection)
{
	const char *text = connection->answer, *end, *length;

	end = strstr(text, "\r\n\r\n");
	if (end == NULL)
		return connection->have == ANSWER_MAX ? -1 : 0;
	length = strcasestr(text, "\r\nContent-Length:");
	if (strncmp(text, "HTTP/1.1 200", 12) != 0 || length == NULL ||
		length > end)
		return -1;
	return connection->have >= (size_t)(end + 4 - text) +
					   strtoul(length + 17, NULL, 10)
		       ? 1
		       : 0;
}

/* Asks again at once, or when the rate allows. */
static bool
go_on(struct connection *connection, uint64_t pause_ns)
{
	if (pause_ns == 0)
		return ask(connection);
	connection->due_ns = connection->asked_ns + pause_ns;
	return true;
}

/* Reads what came; false when the connection is of no more use. */
static bool
take(struct connection *connection, uint64_t pause_ns,
	struct load_result *result)
{
	ssize_t n = recv(connection->fd, connection->answer + connection->have,
		ANSWER_MAX - connection->have, 0);
	double waited;
	int verdict;

	if (n <= 0)
		return false;
	connection->have += (size_t)n;
	connection->answer[connection->have] = '\0';
	verdict = judge(connection);
	if (verdict == 0)
		return true;
	if (verdict < 0)
		return false;
	waited = (double)(measure_now() - connection->asked_ns) / 1e6;
	if (waited > result->longest_ms)
		result->longest_ms = waited;
	result->answered++;
	return go_on(connection, pause_ns);
}

/* Asks where it is time. Returns the milliseconds until the next, or -1. */
static int
ask_due(struct connection *connections)
{
	uint64_t now = measure_now(), next = 0;

	for (int i = 0; i < LOAD_CONNECTIONS; i++) {
		struct connection *connection = &connections[i];

		if (connection->due_ns == 0)
			continue;
		if (connection->due_ns <= now) {
			connection->due_ns = 0;
			ask(connection);
		} else if (next == 0 || connection->due_ns < next) {
			next = connection->due_ns;
		}
	}
	return next == 0 ? -1 : (int)((next - now) / 1000000) + 1;
}

static _Noreturn void
generate(struct connection *connections, uint16_t port, double rate,
	int control, int out)
{
	uint64_t pause_ns =
		rate > 0 ? (uint64_t)(1e9 * LOAD_CONNECTIONS / rate) : 0;
	struct pollfd inputs[LOAD_CONNECTIONS + 1];
	struct load_result result = {0};

	for (int i = 0; i < LOAD_CONNECTIONS; i++)
		ask(&connections[i]);
	for (;;) {
		for (int i = 0; i < LOAD_CONNECTIONS; i++)
			inputs[i] = (struct pollfd){
				.fd = connections[i].fd, .events = POLLIN};
		inputs[LOAD_CONNECTIONS] =
			(struct pollfd){.fd = control, .events = POLLIN};
		if (poll(inputs, LOAD_CONNECTIONS + 1, ask_due(connections)) <
			0)
			_exit(1);
		if (inputs[LOAD_CONNECTIONS].revents != 0)
			break;
		for (int i = 0; i < LOAD_CONNECTIONS; i++) {
			if (inputs[i].revents == 0 ||
				take(&connections[i], pause_ns, &result))
				continue;
			result.broken++;
			connections[i].due_ns = 0;
			close(connections[i].fd);
			connections[i].fd = dial(port);
			ask(&connections[i]);
		}
	}
	if (write(out, &result, sizeof(result)) != sizeof(result))
		_exit(1);
	_exit(0);
}

int
load_start(struct load *load, uint16_t port)
{
	static struct connection connections[LOAD_CONNECTIONS];
	int control[2], out[2];

	for (int i = 0; i < LOAD_CONNECTIONS; i++) {
		connections[i].fd = dial(port);
		if (connections[i].fd >= 0)
			continue;
		for (int j = 0; j < i; j++)
			close(connections[j].fd);
		return connections[i].fd;
	}
	if (pipe(control) < 0 || pipe(out) < 0)
		measure_die("pipe");
	load->pid = fork();
	if (load->pid < 0)
		measure_die("fork");
	if (load->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(control[1]);
		generate(connections, port, load->rate, control[0], out[1]);
	}
	for (int i = 0; i < LOAD_CONNECTIONS; i++)
		close(connections[i].fd);
	close(control[0]);
	close(out[1]);
	load->control = control[1];
	load->result = out[0];
	return 0;
}

void
load_stop(struct load *load, struct load_result *ret_result)
{
	close(load->control); /* its end is the word to end */
	if (read(load->result, ret_result, sizeof(*ret_result)) !=
		sizeof(*ret_result))
		measure_fail("the load generator failed");
	close(load->result);
	waitpid(load->pid, NULL, 0);
}

/*
 * The counting client of the load tests counts: each reason for a failure is
 * made here once and must be found in its column and in no other.
 *
 * The test is the server; the client is a process of its own.
 */
#include "client.h"
#include "client_answer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(client, .timeout = 30);

static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n"
			   "hello from worker 7";
#define GOOD good, sizeof(good) - 1

static const char last[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
			   "Connection: close\r\n\r\nhello";

struct server {
	int fd;
	char address[32];
	struct client *client;
	struct client_counts counts;
};

static struct server
start(enum client_kind kind, uint64_t limit, int timeout_ms)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	struct server server = {.fd = socket(AF_INET, SOCK_STREAM, 0)};

	cr_assert_eq(bind(server.fd, (struct sockaddr *)&in, sizeof(in)), 0);
	cr_assert_eq(listen(server.fd, 8), 0);
	getsockname(server.fd, (struct sockaddr *)&in, &size);
	snprintf(server.address, sizeof(server.address), "127.0.0.1:%d",
		ntohs(in.sin_port));
	struct client_lane lane = {.address = server.address,
		.kind = kind,
		.connections = 1,
		.timeout_ms = timeout_ms,
		.expect = "hello",
		.limit = limit};
	server.client = client_start(&lane, 1);
	cr_assert_not_null(server.client);
	return server;
}

/* Takes a connection and reads `requests` requests from it. */
static int
take(struct server *server, int requests)
{
	char text[4096] = "";
	size_t have = 0;
	int fd = accept(server->fd, NULL, NULL);

	cr_assert_geq(fd, 0);
	while (requests > 0) {
		ssize_t got = read(fd, text + have, sizeof(text) - 1 - have);
		char *end;

		cr_assert_gt(got, 0);
		have += (size_t)got;
		text[have] = '\0';
		while ((end = strstr(text, "\r\n\r\n")) != NULL) {
			requests--;
			memmove(text, end + 4, strlen(end + 4) + 1);
			have = strlen(text);
		}
	}
	return fd;
}

static void
say(int fd, const char *text, size_t size)
{
	cr_assert_eq(write(fd, text, size), (ssize_t)size);
}

static void
reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Ends it, and looks whether each request has its column. */
static void
stop(struct server *server)
{
	const struct client_counts *counts = &server->counts;

	cr_assert(client_stop(&server->client, &server->counts));
	close(server->fd);
	cr_expect_eq(counts->asked,
		counts->good + client_failed(counts) + counts->of_killed);
}

static void
expect_failure(struct server *server, enum client_failure why, uint64_t count)
{
	char text[128];

	stop(server);
	client_text(&server->counts, text, sizeof(text));
	cr_expect_eq(server->counts.failed[why], count, "%s", text);
	cr_expect_eq(client_failed(&server->counts), count, "%s", text);
}

Test(client, good_by_worker)
{
	struct server server = start(CLIENT_SHORT, 2, 0);

	for (int i = 0; i < 2; i++) {
		int fd = take(&server, 1);

		say(fd, GOOD);
		close(fd);
	}
	stop(&server);
	cr_expect_eq(server.counts.good, 2u);
	cr_expect_eq(server.counts.by_worker[7], 2u);
	cr_expect_eq(server.counts.connections, 2u);
	cr_expect_eq(client_failed(&server.counts), 0u);
}

Test(client, refused)
{
	struct server server = start(CLIENT_KEPT, 2, 0);

	/* The first is let in, so that the second comes when nobody listens. */
	int fd = take(&server, 1);
	close(server.fd);
	server.fd = -1;
	say(fd, last, sizeof(last) - 1);
	close(fd);
	struct client_counts now;
	do
		client_read(server.client, 0, &now);
	while (now.good + client_failed(&now) < 2);
	expect_failure(&server, CLIENT_REFUSED, 1);
	cr_expect_eq(server.counts.good, 1u);
}

Test(client, reset)
{
	struct server server = start(CLIENT_KEPT, 1, 0);

	reset(take(&server, 1));
	expect_failure(&server, CLIENT_RESET, 1);
}

Test(client, hung_up)
{
	struct server server = start(CLIENT_KEPT, 1, 0);

	close(take(&server, 1));
	expect_failure(&server, CLIENT_HUNG_UP, 1);
}

Test(client, half)
{
	struct server server = start(CLIENT_SHORT, 1, 0);
	int fd = take(&server, 1);

	say(fd, good, 40);
	close(fd);
	expect_failure(&server, CLIENT_HALF, 1);
}

Test(client, timed_out)
{
	struct server server = start(CLIENT_KEPT, 1, 100);
	int fd = take(&server, 1);

	say(fd, good, 40);
	expect_failure(&server, CLIENT_TIMED_OUT, 1);
	close(fd);
}

Test(client, wrong)
{
	static const char *const answers[] = {
		"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
		"SSH-2.0-nonsense\r\n", "HTTP/1.1 200 OK\r\n\r\n"};
	struct server server = start(CLIENT_KEPT, 4, 0);

	for (int i = 0; i < 4; i++) {
		int fd = take(&server, 1);

		say(fd, answers[i], strlen(answers[i]));
		close(fd);
	}
	expect_failure(&server, CLIENT_WRONG, 4);
}

/* Closed between two requests: in order, or by a reset. */
Test(client, closed_with_one_on_its_way)
{
	struct server server = start(CLIENT_KEPT, 3, 0);
	int fd = take(&server, 1);

	say(fd, GOOD);
	cr_assert_gt(recv(fd, (char[1]){0}, 1, MSG_PEEK), 0);
	reset(fd); /* the second is there, unread */
	fd = take(&server, 1);
	say(fd, GOOD);
	cr_assert_gt(recv(fd, (char[1]){0}, 1, MSG_PEEK), 0);
	close(fd);
	fd = take(&server, 1);
	say(fd, GOOD);
	stop(&server);
	close(fd);
	cr_expect_eq(server.counts.good, 3u);
	cr_expect_eq(server.counts.repeated_after_idle, 2u);
}

Test(client, closed_idle)
{
	struct server server = start(CLIENT_KEPT, 1, 0);
	int fd = take(&server, 1);
	struct client_counts now;

	say(fd, GOOD);
	close(fd);
	do
		client_read(server.client, 0, &now);
	while (now.closed_idle == 0);
	stop(&server);
	cr_expect_eq(server.counts.good, 1u);
	cr_expect_eq(server.counts.closed_idle, 1u);
}

Test(client, repeated_after_the_last)
{
	struct server server = start(CLIENT_PIPELINED, CLIENT_DEPTH, 0);
	int fd = take(&server, CLIENT_DEPTH);

	say(fd, GOOD);
	say(fd, last, sizeof(last) - 1);
	close(fd);
	fd = take(&server, CLIENT_DEPTH - 2);
	for (int i = 0; i < CLIENT_DEPTH - 2; i++)
		say(fd, GOOD);
	stop(&server);
	close(fd);
	cr_expect_eq(server.counts.good, (unsigned)CLIENT_DEPTH);
	cr_expect_eq(
		server.counts.repeated_after_last, (unsigned)CLIENT_DEPTH - 2);
}

Test(client, a_killed_servers_connection)
{
	struct server server = start(CLIENT_KEPT, 1, 0);
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	int fd = take(&server, 1);

	getpeername(fd, (struct sockaddr *)&peer, &size);
	client_killed(server.client, ntohs(peer.sin_port));
	reset(fd);
	stop(&server);
	cr_expect_eq(server.counts.of_killed, 1u);
	cr_expect_eq(client_failed(&server.counts), 0u);
}

Test(client, what_cant_be_meant)
{
	struct client_lane lane = {.address = "nowhere", .connections = 1};

	cr_expect_null(client_start(&lane, 1));
	cr_expect_eq(errno, EINVAL);
	lane.address = "127.0.0.1:1";
	lane.connections = CLIENT_CONNECTIONS_MAX + 1;
	cr_expect_null(client_start(&lane, 1));
	cr_expect_null(client_start(&lane, 0));
}

Test(client, answers_are_cut_where_they_end)
{
	struct client_answer answer;

	for (size_t size = 0; size < sizeof(good) - 1; size++) {
		char part[sizeof(good)] = "";

		memcpy(part, good, size);
		cr_expect_eq(client_answer_parse(part, size, &answer), 0,
			"%zu bytes", size);
	}
	cr_assert_eq(client_answer_parse(GOOD, &answer), 1);
	cr_expect_eq(answer.status, 200);
	cr_expect_not(answer.is_last);
	cr_assert_eq(client_answer_parse(last, sizeof(last) - 1, &answer), 1);
	cr_expect(answer.is_last);
	cr_expect_eq(client_answer_worker(&answer), 0u);
}

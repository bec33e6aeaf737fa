/*
 * Promise: the examples over TCP, UDP and UNIX sockets work as their READMEs
 * say, also while their workers are replaced.
 */
#include "support/http.h"
#include "support/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(examples_net, .fini = run_clean, .timeout = 120);

enum {
	GUESTS = 8,
	WAIT_MS = 5000,
};

/* Reads a line without its end. Returns false: the other side is gone. */
static bool
read_line(int fd, char *line, size_t room)
{
	size_t size = 0;

	for (;;) {
		struct pollfd one = {fd, POLLIN, 0};

		cr_assert_eq(poll(&one, 1, WAIT_MS), 1, "no line came");
		if (read(fd, line + size, 1) != 1)
			return false;
		if (line[size] == '\n') {
			line[size] = '\0';
			return true;
		}
		cr_assert_lt(++size, room);
	}
}

static void
expect_line(int fd, const char *wanted)
{
	char line[256];

	cr_assert(read_line(fd, line, sizeof(line)));
	cr_expect_not_null(
		strstr(line, wanted), "'%s' and no '%s'", line, wanted);
}

static void
say(int fd, const char *line)
{
	cr_assert_eq(write(fd, line, strlen(line)), (ssize_t)strlen(line));
}

/* Which worker welcomes the guest. */
static unsigned
enter(int port, int *ret_fd)
{
	char line[256];
	unsigned worker = 0;

	*ret_fd = http_connect(port);
	cr_assert_geq(*ret_fd, 0);
	cr_assert(read_line(*ret_fd, line, sizeof(line)));
	cr_assert_eq(
		sscanf(line, "* worker %u: welcome", &worker), 1, "%s", line);
	return worker;
}

Test(examples_net, tcp_chat)
{
	int port = run_free_port(), fds[GUESTS];
	unsigned seen[GUESTS];
	char address[32], line[256];
	bool both = false;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	struct run *run = RUN("-n", "2", "--wait-ready", "--reload-soak", "0",
		"--balance", "round-robin", "-l", address, "--", TCP_CHAT);
	json_decref(run_wait_status(run, 2, "ready"));
	for (int i = 0; i < GUESTS; i++) {
		seen[i] = enter(port, &fds[i]);
		both |= seen[i] != seen[0];
	}
	cr_assert(both, "all are guests of worker %u", seen[0]);
	/* In two pieces, and a second line behind the first. */
	say(fds[0], "hel");
	say(fds[0], "lo\r\nagain\n");
	expect_line(fds[0], "you: hello");
	expect_line(fds[0], "you: again");
	for (int i = 1; i < GUESTS; i++) {
		expect_line(fds[i], ": hello");
		expect_line(fds[i], ": again");
	}
	cr_expect_eq(COMMAND(run, "reload", "all"), 0, "%s", run_said(run));
	for (int i = 0; i < GUESTS; i++) {
		expect_line(fds[i], "please come again");
		cr_expect_not(read_line(fds[i], line, sizeof(line)));
		close(fds[i]);
		(void)enter(port, &fds[i]);
	}
	say(fds[1], "back\n");
	for (int i = 0; i < GUESTS; i++) {
		expect_line(fds[i], "back");
		close(fds[i]);
	}
	run_stop(run);
}

/* Its terminal: what is typed goes out, what comes is printed. */
Test(examples_net, tcp_chat_client)
{
	int port = run_free_port();
	char address[32], command[512], said[512];

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	struct run *run = RUN("--wait-ready", "-l", address, "--", TCP_CHAT);
	json_decref(run_wait_status(run, 1, "ready"));
	snprintf(command, sizeof(command),
		"(echo good morning; sleep 0.2) | timeout 1 %s 127.0.0.1 %d",
		TCP_CHAT_CLIENT, port);
	FILE *client = popen(command, "re");
	cr_assert_not_null(client);
	said[fread(said, 1, sizeof(said) - 1, client)] = '\0';
	pclose(client);
	cr_expect_not_null(
		strstr(said, "welcome\nyou: good morning\n"), "%s", said);
	run_stop(run);
}

static void
ask_udp(int port, const char *count, char *said, size_t size)
{
	char command[512];

	snprintf(command, sizeof(command), "%s 127.0.0.1 %d %s",
		UDP_ECHO_CLIENT, port, count);
	FILE *client = popen(command, "re");
	cr_assert_not_null(client);
	said[fread(said, 1, size - 1, client)] = '\0';
	cr_expect_eq(pclose(client), 0, "%s", said);
	cr_expect_not_null(strstr(said, "lost: 0"), "%s", said);
}

static void
check_udp(const char *balance)
{
	char address[64], said[512];
	int port = run_free_port();

	snprintf(address, sizeof(address), "udp://127.0.0.1:%d", port);
	struct run *run = RUN("-n", "2", "--wait-ready", "--reload-soak", "0",
		"--balance", balance, "-l", address, "--", UDP_ECHO);
	json_decref(run_wait_status(run, 2, "ready"));
	ask_udp(port, "200", said, sizeof(said));
	if (strcmp(balance, "reuseport") == 0) {
		cr_expect_not_null(strstr(said, "worker 1: "), "%s", said);
		cr_expect_not_null(strstr(said, "worker 2: "), "%s", said);
	}
	cr_expect_eq(COMMAND(run, "reload", "all"), 0, "%s", run_said(run));
	ask_udp(port, "200", said, sizeof(said));
	run_stop(run);
}

Test(examples_net, udp_echo)
{
	check_udp("shared");
	check_udp("reuseport");
}

static int
dial_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)),
		0, "%s: %s", path, strerror(errno));
	return fd;
}

Test(examples_net, uds_echo)
{
	char folder[] = "/tmp/muster-uds-XXXXXX", path[64], address[80];

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/echo.sock", folder);
	snprintf(address, sizeof(address), "unix://%s", path);
	struct run *run = RUN("-n", "2", "--wait-ready", "--reload-soak", "0",
		"-l", address, "--", UDS_ECHO);
	json_decref(run_wait_status(run, 2, "ready"));
	for (int i = 0; i < 10; i++) {
		int fd = dial_unix(path);

		say(fd, "hello\n");
		expect_line(fd, "hello");
		close(fd);
		if (i == 5)
			cr_expect_eq(COMMAND(run, "reload", "all"), 0);
	}
	run_stop(run);
	cr_expect_neq(access(path, F_OK), 0, "the file is left");
	cr_expect_eq(rmdir(folder), 0);
}

/* Reads what comes until `wanted` is part of it. */
static void
expect_in_stream(int fd, const char *wanted)
{
	char text[4096] = "";
	size_t size = 0;

	while (strstr(text, wanted) == NULL) {
		struct pollfd one = {fd, POLLIN, 0};
		ssize_t n;

		cr_assert_eq(poll(&one, 1, WAIT_MS), 1, "no %s, but: %s",
			wanted, text);
		/* Not a byte of what follows. */
		cr_assert_lt(size, sizeof(text) - 1);
		n = read(fd, text + size, 1);
		cr_assert_gt(n, 0, "the end, but: %s", text);
		size += (size_t)n;
		text[size] = '\0';
	}
}

static int
follow_feed(int port)
{
	int fd = http_connect(port);

	say(fd, "GET /feed HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_in_stream(fd, ": welcome");
	return fd;
}

/* In two pieces, as a browser may. */
static void
post_to_feed(int port, const char *body, const char *answer)
{
	char head[128];
	int fd = http_connect(port);

	snprintf(head, sizeof(head),
		"POST /post HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
		strlen(body));
	say(fd, head);
	say(fd, body);
	expect_in_stream(fd, answer);
	close(fd);
}

Test(examples_net, live_feed)
{
	int port = run_free_port(), fds[GUESTS];
	char address[32], line[512];
	struct run *run;
	FILE *guest;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	run = RUN("-n", "2", "--wait-ready", "--reload-soak", "0", "--balance",
		"round-robin", "-l", address, "--", LIVE_FEED);
	json_decref(run_wait_status(run, 2, "ready"));
	for (int i = 0; i < GUESTS; i++)
		fds[i] = follow_feed(port);
	post_to_feed(port, "\"posted\"", "202 Accepted");
	post_to_feed(port, "no json", "400 Bad Request");
	cr_expect_eq(
		COMMAND(run, "publish", "feed.x", "\"from the shell\""), 0);
	for (int i = 0; i < GUESTS; i++) {
		expect_in_stream(fds[i], "data: \"posted\"\n\n");
		expect_in_stream(fds[i], "data: \"from the shell\"\n\n");
	}

	/* A program outside, and one that comes again after a reload. */
	snprintf(line, sizeof(line), "exec %s %s/muster.sock 'feed.>' feed.g 7",
		GUEST, run_home(run));
	guest = popen(line, "re");
	cr_assert_not_null(guest);
	for (int i = 0; i < GUESTS; i++)
		expect_in_stream(fds[i], "data: 7\n\n");
	cr_assert_not_null(fgets(line, sizeof(line), guest));
	cr_expect_eq(strncmp(line, "guest 1073", 10), 0, "%s", line);
	post_to_feed(port, "\"seen outside\"", "202 Accepted");
	cr_assert_not_null(fgets(line, sizeof(line), guest));
	cr_expect_str_eq(line, "feed.news \"seen outside\"\n");
	cr_expect_eq(COMMAND(run, "reload", "all"), 0, "%s", run_said(run));
	for (int i = 0; i < GUESTS; i++) {
		close(fds[i]);
		fds[i] = follow_feed(port);
	}
	post_to_feed(port, "\"after\"", "202 Accepted");
	for (int i = 0; i < GUESTS; i++) {
		expect_in_stream(fds[i], "data: \"after\"\n\n");
		close(fds[i]);
	}
	cr_assert_not_null(fgets(line, sizeof(line), guest));

	/* It joins the next brain. */
	kill(run_brain(run), SIGKILL);
	cr_assert_not_null(fgets(line, sizeof(line), guest));
	cr_expect_eq(strncmp(line, "guest 1073", 10), 0, "%s", line);
	run_signal(run, SIGTERM);
	cr_expect_neq(pclose(guest), 0); /* after a while in vain */
	run_finish(run, 0);
}

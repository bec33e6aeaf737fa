/*
 * Promise: a port that can't be opened is named, with the reason, and nothing
 * is left running.
 */
#include "support/http.h"
#include "support/run.h"

#include <arpa/inet.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(listen_errors, .fini = run_clean, .timeout = 120);

static void
expect_refused(struct run *run, const char *which, const char *what, int code)
{
	const char *line = run_wait(run, RUN_ERR, which);

	cr_expect_not_null(strstr(line, what), "%s", line);
	run_finish(run, code);
}

/* A socket that listens on a port of 127.0.0.1. */
static int
occupy(int *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(fd, 1), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

Test(listen_errors, a_port_in_use)
{
	int port;
	char address[32];
	char free_address[32];
	int fd = occupy(&port);

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	expect_refused(
		RUN("-l", address, "--", SERVE), address, "already in use", 1);
	/* All addresses or none: the free one isn't left open either. */
	int other = run_free_port();
	snprintf(free_address, sizeof(free_address), "127.0.0.1:%d", other);
	expect_refused(RUN("-l", free_address, "-l", address, "--", SERVE),
		address, "already in use", 1);
	cr_expect_eq(http_connect(other), -1);
	close(fd);
}

Test(listen_errors, a_privileged_port)
{
	int first = 1024;
	FILE *limit =
		fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");

	if (limit != NULL && fscanf(limit, "%d", &first) != 1)
		first = 0;
	if (limit != NULL)
		fclose(limit);
	if (first <= 81)
		cr_skip_test("ports from %d on are anybody's here", first);
	/* Root loses the right at the next exec; others never had it. */
	prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE);
	expect_refused(RUN("-l", "127.0.0.1:81", "--", SERVE), "127.0.0.1:81",
		"privileged", 1);
}

Test(listen_errors, no_address)
{
	expect_refused(
		RUN("-l", "127.0.0.1:99999", "--", SERVE), "99999", "port", 2);
	expect_refused(RUN("-l", "somewhere", "--", SERVE), "somewhere", "", 2);
	expect_refused(RUN("-l", "192.0.2.1:8080", "--", SERVE),
		"192.0.2.1:8080", "", 1);
}

Test(listen_errors, both_families_work)
{
	int port = run_free_port();
	char address[32];
	char body[32];
	bool open;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	struct run *run = RUN("-n", "2", "-l", address, "--", SERVE);
	json_decref(run_wait_status(run, 2, "ready"));
	int fd = http_connect(port);
	cr_assert_geq(fd, 0);
	cr_expect_eq(http_get(fd, "/", body, sizeof(body), &open), 200);
	close(fd);
	run_stop(run);

	int six = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 loopback = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	if (six < 0 ||
		bind(six, (struct sockaddr *)&loopback, sizeof(loopback)) < 0)
		return; /* a machine without IPv6 */
	close(six);
	port = run_free_port();
	snprintf(address, sizeof(address), "[::1]:%d", port);
	run = RUN("-l", address, "--", SERVE);
	json_decref(run_wait_status(run, 1, "ready"));
	six = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	loopback.sin6_port = htons((uint16_t)port);
	cr_assert_eq(
		connect(six, (struct sockaddr *)&loopback, sizeof(loopback)),
		0);
	cr_expect_eq(http_get(six, "/", body, sizeof(body), &open), 200);
	close(six);
	run_stop(run);
}

/* Addresses, sockets that listen, and what is said when they can't. */
#include "mechanism/listener.h"

#include "base/sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char words[LISTENER_ERROR_SIZE];

static unsigned int
port_of(int fd)
{
	char text[LISTENER_TEXT_SIZE];

	cr_assert_eq(listener_text(fd, text), 0);
	return (unsigned int)atoi(strrchr(text, ':') + 1);
}

static int
open_one(const char *host, uint16_t port, int *ret_fd)
{
	struct listener_plan plan = {
		.address = host, .host = host, .port = port};

	return listener_open(&plan, 1, ret_fd, words);
}

Test(listener, a_name_is_no_address)
{
	int fd = -1;

	cr_expect_eq(open_one("example.org", 80, &fd), -EINVAL);
	cr_expect_not_null(strstr(words, "example.org"));
	cr_expect_eq(open_one("::g", 80, &fd), -EINVAL);
	cr_expect_eq(fd, -1);
}

Test(listener, opens_and_tells_the_real_port)
{
	char text[LISTENER_TEXT_SIZE];
	int fd = -1, value = 0;
	socklen_t size = sizeof(value);

	cr_assert_eq(open_one("127.0.0.1", 0, &fd), 0, "%s", words);
	cr_assert_eq(listener_text(fd, text), 0);
	cr_expect_eq(strncmp(text, "tcp://127.0.0.1:", 16), 0);
	cr_expect_gt(port_of(fd), 0);
	/* A program that knows of no loop waits in accept(). */
	cr_expect_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(
		sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size),
		0);
	cr_expect_eq(value, 1);
	close(fd);
}

Test(listener, both_families_share_a_port)
{
	struct listener_plan plans[2] = {
		{.address = "four", .host = "0.0.0.0"},
		{.address = "both", .host = ""},
	};
	int four = -1, fds[2];
	unsigned int port;

	if (open_one("::1", 0, &fds[0]) < 0)
		cr_skip_test("no IPv6");
	close(fds[0]);
	cr_assert_eq(open_one("0.0.0.0", 0, &four), 0, "%s", words);
	port = port_of(four);
	/* Alone it would take IPv4, too, and so stand in the other's way. */
	cr_expect_eq(open_one("", (uint16_t)port, fds), -EADDRINUSE);
	close(four);
	plans[0].port = plans[1].port = (uint16_t)port;
	cr_assert_eq(listener_open(plans, 2, fds, words), 0, "%s", words);
	cr_expect_eq(port_of(fds[0]), port);
	cr_expect_eq(port_of(fds[1]), port);
	close(fds[0]);
	close(fds[1]);
}

Test(listener, every_address_takes_ipv4_too)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = -1, client = sys_socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(open_one("", 0, &fd), 0, "%s", words);
	address.sin_port = htons((uint16_t)port_of(fd));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_expect_eq(sys_connect(client, (struct sockaddr *)&address,
			     sizeof(address)),
		0);
	close(client);
	close(fd);
}

Test(listener, an_address_in_use_names_its_holder_and_opens_nothing)
{
	char text[32], holder[32];
	struct listener_plan plans[2] = {
		{.address = "127.0.0.1:0", .host = "127.0.0.1"},
		{.address = text, .host = "127.0.0.1"},
	};
	int fd = -1, fds[2] = {-7, -7}, next;

	cr_assert_eq(open_one("127.0.0.1", 0, &fd), 0, "%s", words);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port_of(fd));
	plans[1].port = (uint16_t)port_of(fd);
	next = dup(fd);
	close(next);
	cr_expect_eq(listener_open(plans, 2, fds, words), -EADDRINUSE);
	cr_expect_eq(fds[0], -7);
	cr_expect_not_null(strstr(words, text));
	snprintf(holder, sizeof(holder), "(pid %d)", (int)getpid());
	cr_expect_not_null(strstr(words, holder), "%s", words);
	/* Nothing of the failed list stayed open. */
	cr_expect_eq(dup(fd), next);
	close(fd);
}

Test(listener, an_address_of_nobody_is_explained)
{
	int fd = -1;

	/* TEST-NET-1: no machine has it. */
	cr_expect_eq(open_one("192.0.2.1", 0, &fd), -EADDRNOTAVAIL);
	cr_expect_not_null(strstr(words, "no interface"));
	cr_expect_eq(fd, -1);
}

/* Addresses, sockets that listen, and what is said when they can't. */
#include "mechanism/listener.h"

#include "base/sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
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
open_one(const char *address, int *ret_fd)
{
	struct listener_plan plan = {.address = address};

	return listener_open(&plan, 1, ret_fd, words);
}

Test(listener, addresses_are_read)
{
	static const struct {
		const char *text;
		int family;
		uint32_t host;
		int port;
	} good[] = {
		{"8080", AF_INET, 0, 8080},
		{"tcp://127.0.0.1:80", AF_INET, 0x7f000001, 80},
		{"127.0.0.1:65535", AF_INET, 0x7f000001, 65535},
		{"localhost:1", AF_INET, 0x7f000001, 1},
		{"*:8080", AF_INET, 0, 8080},
		{"0.0.0.0:0", AF_INET, 0, 0},
		{"[::1]:8080", AF_INET6, 0, 8080},
		{"tcp://[::]:8080", AF_INET6, 0, 8080},
	};
	struct listener_address address;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct sockaddr_in *four = (void *)&address.socket;

		cr_assert_eq(listener_parse(good[i].text, &address, words), 0,
			"%s: %s", good[i].text, words);
		cr_expect_eq(address.socket.ss_family, good[i].family);
		cr_expect_eq(ntohs(four->sin_port), good[i].port);
		if (good[i].family == AF_INET)
			cr_expect_eq(
				ntohl(four->sin_addr.s_addr), good[i].host);
	}
}

Test(listener, bad_addresses_are_named)
{
	static const char *const bad[] = {"", ":", "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
		"::1:80", "[::1]", "[::1", "[::1:80", "[]:80", "example.org:80",
		"1.2.3:80", "99999", "8080 ", "tcp://", "tcp://8080",
		"[::1]x:80"};
	struct listener_address address;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect_eq(listener_parse(bad[i], &address, words), -EINVAL,
			"'%s' was taken", bad[i]);
		cr_expect_not_null(strstr(words, bad[i]));
	}
	cr_expect_eq(
		listener_parse("udp://1.2.3.4:5", &address, words), -ENOTSUP);
}

Test(listener, opens_and_tells_the_real_port)
{
	char text[LISTENER_TEXT_SIZE];
	int fd = -1, value = 0;
	socklen_t size = sizeof(value);

	cr_assert_eq(open_one("127.0.0.1:0", &fd), 0, "%s", words);
	cr_assert_eq(listener_text(fd, text), 0);
	cr_expect_eq(strncmp(text, "tcp://127.0.0.1:", 16), 0);
	cr_expect_gt(port_of(fd), 0);
	cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(
		sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size),
		0);
	cr_expect_eq(value, 1);
	close(fd);
}

Test(listener, both_families_share_a_port)
{
	char text[32];
	int four = -1, six = -1;

	cr_assert_eq(open_one("0.0.0.0:0", &four), 0, "%s", words);
	snprintf(text, sizeof(text), "[::]:%u", port_of(four));
	if (open_one(text, &six) == -EAFNOSUPPORT)
		cr_skip_test("no IPv6");
	cr_expect_geq(six, 0, "%s", words);
	close(six);
	close(four);
}

Test(listener, an_address_in_use_names_its_holder_and_opens_nothing)
{
	char text[32], holder[32];
	struct listener_plan plans[2] = {{.address = "127.0.0.1:0"}};
	int fd = -1, fds[2] = {-7, -7}, next;

	cr_assert_eq(open_one("127.0.0.1:0", &fd), 0, "%s", words);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port_of(fd));
	plans[1].address = text;
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
	cr_expect_eq(open_one("192.0.2.1:0", &fd), -EADDRNOTAVAIL);
	cr_expect_not_null(strstr(words, "no interface"));
	cr_expect_eq(fd, -1);
}

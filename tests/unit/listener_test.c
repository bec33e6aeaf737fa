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
#include <sys/stat.h>
#include <unistd.h>

static char words[LISTENER_ERROR_SIZE];

static unsigned int
port_of(int fd)
{
	char text[LISTENER_TEXT_SIZE];

	cr_assert_eq(listener_text(fd, text), 0);
	return (unsigned int)atoi(strrchr(text, ':') + 1);
}

/* As config makes it. */
static struct listen_config
make_config(enum listen_kind kind, const char *host, uint16_t port)
{
	return (struct listen_config){
		.kind = kind,
		.address = (char *)host,
		.host = (char *)host,
		.port = port,
		.path = (char *)"",
		.backlog = 16,
		.ipv6_only = CONFIG_UNSET,
		.mode = CONFIG_UNSET,
		.user = CONFIG_UNSET,
		.group = CONFIG_UNSET,
	};
}

static int
open_one(const char *host, uint16_t port, int *ret_fd)
{
	struct listen_config config = make_config(LISTEN_TCP, host, port);
	struct listener_plan plan = {.config = &config};

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
	struct listen_config configs[2] = {
		make_config(LISTEN_TCP, "0.0.0.0", 0),
		make_config(LISTEN_TCP, "", 0),
	};
	struct listener_plan plans[2] = {
		{.config = &configs[0]}, {.config = &configs[1]}};
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
	configs[0].port = configs[1].port = (uint16_t)port;
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
	struct listen_config configs[2] = {
		make_config(LISTEN_TCP, "127.0.0.1", 0),
		make_config(LISTEN_TCP, "127.0.0.1", 0),
	};
	struct listener_plan plans[2] = {
		{.config = &configs[0]}, {.config = &configs[1]}};
	int fd = -1, fds[2] = {-7, -7}, next;

	cr_assert_eq(open_one("127.0.0.1", 0, &fd), 0, "%s", words);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port_of(fd));
	configs[1].address = text;
	configs[1].port = (uint16_t)port_of(fd);
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

Test(listener, udp_is_bound_and_shares_with_nobody)
{
	struct listen_config config = make_config(LISTEN_UDP, "127.0.0.1", 0);
	struct listener_plan plan = {.config = &config};
	char text[LISTENER_TEXT_SIZE], holder[32];
	int fd = -1, other = -1;

	cr_assert_eq(listener_open(&plan, 1, &fd, words), 0, "%s", words);
	cr_assert_eq(listener_text(fd, text), 0);
	cr_expect_eq(strncmp(text, "udp://127.0.0.1:", 16), 0, "%s", text);
	config.port = (uint16_t)port_of(fd);
	cr_expect_eq(listener_open(&plan, 1, &other, words), -EADDRINUSE);
	snprintf(holder, sizeof(holder), "(pid %d)", (int)getpid());
	cr_expect_not_null(strstr(words, holder), "%s", words);
	close(fd);
}

Test(listener, explicit_ipv6_only)
{
	struct listen_config config = make_config(LISTEN_TCP, "", 0);
	struct listener_plan plan = {.config = &config};
	int fd = -1, value = -1;
	socklen_t size = sizeof(value);

	config.ipv6_only = 1;
	if (listener_open(&plan, 1, &fd, words) < 0)
		cr_skip_test("no IPv6");
	cr_assert_eq(
		sys_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &size),
		0);
	cr_expect_eq(value, 1);
	close(fd);
	config.ipv6_only = 0;
	cr_assert_eq(listener_open(&plan, 1, &fd, words), 0);
	sys_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &size);
	cr_expect_eq(value, 0);
	close(fd);
}

/* UNIX sockets ------------------------------------------------------------- */

static char folder[64], path[96];

static void
make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/listener-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
}

static void
remove_folder(void)
{
	unlink(path);
	rmdir(folder);
}

TestSuite(unix_listener, .init = make_folder, .fini = remove_folder);

static int
open_path(enum listen_kind kind, int64_t mode, int *ret_fd)
{
	struct listen_config config = make_config(kind, "", 0);
	struct listener_plan plan = {.config = &config};

	config.path = config.address = path;
	config.mode = mode;
	return listener_open(&plan, 1, ret_fd, words);
}

Test(unix_listener, has_the_mode_that_is_asked_for)
{
	struct stat stat_of;
	char text[LISTENER_TEXT_SIZE], wanted[LISTENER_TEXT_SIZE];
	int fd = -1;

	umask(077);
	cr_assert_eq(open_path(LISTEN_UNIX, 0666, &fd), 0, "%s", words);
	cr_assert_eq(lstat(path, &stat_of), 0);
	cr_expect_eq(stat_of.st_mode & 0777, 0666);
	cr_expect_eq(umask(022), 077, "the umask is as before");
	cr_assert_eq(listener_text(fd, text), 0);
	snprintf(wanted, sizeof(wanted), "unix://%s", path);
	cr_expect_str_eq(text, wanted);
	close(fd);
}

Test(unix_listener, c04_a_stale_file_is_replaced)
{
	int fd = -1, again = -1;

	cr_assert_eq(open_path(LISTEN_UNIX, CONFIG_UNSET, &fd), 0);
	close(fd);
	cr_expect_eq(open_path(LISTEN_UNIX_DGRAM, CONFIG_UNSET, &again), 0,
		"%s", words);
	close(again);
}

Test(unix_listener, c04_a_living_socket_is_left_alone)
{
	struct listener_file before, after;
	char holder[32];
	int fd = -1, again = -1;

	cr_assert_eq(open_path(LISTEN_UNIX, CONFIG_UNSET, &fd), 0);
	before = listener_find_file(path);
	cr_expect_eq(open_path(LISTEN_UNIX, CONFIG_UNSET, &again), -EADDRINUSE);
	snprintf(holder, sizeof(holder), "(pid %d)", (int)getpid());
	cr_expect_not_null(strstr(words, holder), "%s", words);
	cr_expect_eq(open_path(LISTEN_UNIX_DGRAM, CONFIG_UNSET, &again),
		-EADDRINUSE);
	after = listener_find_file(path);
	cr_expect_neq(before.inode, 0);
	cr_expect_eq(before.inode, after.inode);
	close(fd);
}

Test(unix_listener, c04_another_file_is_left_alone)
{
	int fd = -1, file = open(path, O_CREAT | O_WRONLY, 0600);

	close(file);
	cr_expect_eq(open_path(LISTEN_UNIX, CONFIG_UNSET, &fd), -EEXIST);
	cr_expect_not_null(strstr(words, "no socket"), "%s", words);
	cr_expect_eq(access(path, F_OK), 0);
	unlink(path);
	cr_assert_eq(symlink("/nowhere", path), 0);
	cr_expect_eq(open_path(LISTEN_UNIX, CONFIG_UNSET, &fd), -EEXIST);
}

Test(unix_listener, a_failed_list_leaves_no_file)
{
	struct listen_config configs[2] = {
		make_config(LISTEN_UNIX, "", 0),
		make_config(LISTEN_TCP, "192.0.2.1", 0),
	};
	struct listener_plan plans[2] = {
		{.config = &configs[0]}, {.config = &configs[1]}};
	int fds[2];

	configs[0].path = configs[0].address = path;
	cr_expect_eq(listener_open(plans, 2, fds, words), -EADDRNOTAVAIL);
	cr_expect_eq(access(path, F_OK), -1);
}

Test(unix_listener, c04_only_its_own_file_is_removed)
{
	struct listener_file mine;
	int fd = -1, other = -1;

	cr_assert_eq(open_path(LISTEN_UNIX, CONFIG_UNSET, &fd), 0);
	mine = listener_find_file(path);
	close(fd);
	/* While the first inode is still held, the second can't have it. */
	cr_assert_eq(rename(path, "/tmp/listener-held"), 0);
	cr_assert_eq(open_path(LISTEN_UNIX, CONFIG_UNSET, &other), 0);
	listener_remove_file(path, &mine);
	cr_expect_eq(access(path, F_OK), 0);
	mine = listener_find_file(path);
	listener_remove_file(path, &mine);
	cr_expect_eq(access(path, F_OK), -1);
	unlink("/tmp/listener-held");
	close(other);
}

/*
 * accept.c of the SDK: connections that are accepted, those that are handed
 * over, and what the supervisor is told of them.
 */
#include "fake_supervisor.h"
#include "muster.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	KEPT = 64,
	WAIT_MS = 5000,
	MARK = 77,
};

static struct fake fake;
static struct muster *m;
static struct sockaddr_in address;
static int listener;

static struct {
	int fds[KEPT];
	int count;
	char name[32];
	unsigned shutdowns;
} seen;

static void
on_connection(struct muster *muster, int fd, const char *name, void *data)
{
	(void)muster;
	(void)data;
	cr_assert_lt(seen.count, KEPT);
	seen.fds[seen.count++] = fd;
	snprintf(seen.name, sizeof seen.name, "%s", name);
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	(void)muster;
	(void)reason;
	(void)deadline_ms;
	(void)data;
	seen.shutdowns++;
}

/* A listening socket that the welcome tells of. */
static void
setup(void)
{
	char welcome[256];
	socklen_t size = sizeof address;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(listener, KEPT), 0);
	cr_assert_eq(
		getsockname(listener, (struct sockaddr *)&address, &size), 0);
	cr_assert_eq(fake_start(&fake), 0);
	cr_assert_eq(muster_attach(&m), 0);
	snprintf(welcome, sizeof welcome,
		"{\"event\":\"welcome\",\"protocol\":1,\"id\":3,\"app\":"
		"\"api\","
		"\"listeners\":[{\"fd\":%d,\"name\":\"http\","
		"\"address\":\"tcp://127.0.0.1\"}]}",
		listener);
	cr_assert_eq(fake_event(&fake, welcome), 0);
	cr_assert_eq(muster_wait(m, WAIT_MS), 0);
	seen.count = 0;
	seen.shutdowns = 0;
}

static void
teardown(void)
{
	for (int i = 0; i < seen.count; i++)
		close(seen.fds[i]);
	muster_detach(&m);
	fake_stop(&fake);
	close(listener);
}

TestSuite(accept, .init = setup, .fini = teardown, .timeout = 30);

static int
dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(
		connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static bool
is_readable(int fd, int wait_ms)
{
	struct pollfd one = {fd, POLLIN, 0};

	return poll(&one, 1, wait_ms) == 1;
}

#define wait_until(condition)                                                  \
	do {                                                                   \
		for (int turns_ = 0; !(condition); turns_++) {                 \
			cr_assert_lt(turns_, 1000, "in vain: %s", #condition); \
			(void)muster_wait(m, 50);                              \
		}                                                              \
	} while (0)

Test(accept, muster_wait_accepts)
{
	int client, flags;

	cr_assert_eq(muster_on_connection(m, on_connection, NULL), 0);
	client = dial();
	wait_until(seen.count == 1);
	flags = fcntl(seen.fds[0], F_GETFL);
	cr_expect(flags & O_NONBLOCK);
	cr_expect(fcntl(seen.fds[0], F_GETFD) & FD_CLOEXEC);
	cr_expect_str_eq(seen.name, "http");
	close(client);
}

Test(accept, a_foreign_loop_accepts)
{
	int client, fd;

	cr_assert_eq(muster_on_connection(m, on_connection, NULL), 0);
	fd = muster_fd(m);
	client = dial();
	cr_assert(is_readable(fd, WAIT_MS));
	cr_assert_eq(muster_dispatch(m), 0);
	cr_expect_eq(seen.count, 1);
	close(client);
}

Test(accept, an_epoll_of_the_program_accepts)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), client;
	struct epoll_event event;

	cr_assert_eq(muster_accept_in(m, fake.channel, MARK), 0);
	cr_assert_eq(muster_on_connection(m, on_connection, NULL), -EINVAL);
	cr_assert_eq(muster_accept_in(m, epoll, MARK), 0);
	cr_assert_eq(muster_on_connection(m, on_connection, NULL), 0);
	cr_expect_eq(muster_accept_in(m, epoll, MARK), -EBUSY);
	client = dial();
	cr_assert_eq(epoll_wait(epoll, &event, 1, WAIT_MS), 1);
	cr_expect_eq(event.data.u64, (uint64_t)MARK);
	cr_assert_eq(muster_accept(m), 0);
	cr_expect_eq(seen.count, 1);
	/* What comes next is an event again. */
	close(client);
	client = dial();
	cr_assert_eq(epoll_wait(epoll, &event, 1, WAIT_MS), 1);
	close(client);
	close(epoll);
}

/* B20: the flag is shared with whoever has the socket. */
Test(accept, a_listener_that_blocks_again_blocks_nobody)
{
	int client;

	cr_assert_eq(muster_on_connection(m, on_connection, NULL), 0);
	client = dial();
	wait_until(seen.count == 1);
	cr_assert_eq(fcntl(listener, F_SETFL, O_RDWR), 0);
	close(client);
	client = dial();
	wait_until(seen.count == 2);
	cr_expect(fcntl(listener, F_GETFL) & O_NONBLOCK);
	close(client);
}

Test(accept, without_descriptors_it_pauses)
{
	struct rlimit limit, none;
	int client = dial();

	cr_assert_eq(muster_on_connection(m, on_connection, NULL), 0);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = (rlim_t)client; /* the lowest are all in use */
	for (int fd; (fd = dup(STDIN_FILENO)) < client;)
		cr_assert_geq(fd, 0);
	setrlimit(RLIMIT_NOFILE, &none);
	cr_expect_eq(muster_wait(m, WAIT_MS), 0);
	/* It doesn't spin: the next wait lasts. */
	cr_expect_eq(muster_wait(m, 20), -ETIMEDOUT);
	cr_expect_eq(seen.count, 0);
	setrlimit(RLIMIT_NOFILE, &limit);
	wait_until(seen.count == 1);
	close(client);
}

Test(accept, told_to_leave_it_stops)
{
	int client;

	muster_on_shutdown(m, on_shutdown, NULL);
	cr_assert_eq(muster_on_connection(m, on_connection, NULL), 0);
	cr_expect_not(muster_is_draining(m));
	fake_event(&fake, "{\"event\":\"shutdown\",\"reason\":\"stop\","
			  "\"deadline_ms\":1000}");
	wait_until(seen.shutdowns == 1);
	cr_expect(muster_is_draining(m));
	client = dial();
	cr_expect_eq(muster_wait(m, 20), -ETIMEDOUT);
	cr_expect_eq(seen.count, 0);
	close(client);
}

/* Reads frames until a request to 0 with this text comes; answers all. */
static void
expect_told(const char *text)
{
	struct fake_frame frame;

	for (;;) {
		(void)muster_wait(m, 10);
		if (fake_is_quiet(&fake))
			continue;
		cr_assert_eq(fake_read(&fake, &frame), 1);
		if (frame.header.kind != MUSTER_REQUEST)
			continue;
		if (strcmp(frame.body, text) == 0)
			return;
	}
}

static void
hand(int fd)
{
	static const char body[] =
		"{\"event\":\"connection\",\"listener\":\"web\"}";
	struct frame_header header = {
		.size = sizeof body - 1,
		.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.to = 3,
		.sequence = fake.next++,
	};

	cr_assert_eq(fake_write(&fake, &header, NULL, body, fd), 0);
	close(fd);
}

Test(accept, handed_over_acknowledged_and_done)
{
	struct fake_frame frame;
	int fds[2];

	cr_assert_eq(muster_on_connection(m, on_connection, NULL), 0);
	cr_assert_eq(muster_ready(m), 0);
	(void)muster_flush(m);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	hand(fds[0]);
	wait_until(seen.count == 1);
	cr_expect_str_eq(seen.name, "web");
	/* Without the usual delay: the supervisor holds a copy. */
	do
		cr_assert_eq(fake_read(&fake, &frame), 1);
	while (strstr(frame.body, "\"ack\"") == NULL);
	muster_connection_done(m, seen.fds[0]);
	expect_told("{\"method\":\"done\",\"params\":{\"count\":1}}");
	close(fds[1]);
}

Test(accept, one_that_nobody_wants_is_closed_and_done)
{
	char byte;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cr_assert_eq(muster_ready(m), 0);
	hand(fds[0]);
	expect_told("{\"method\":\"done\",\"params\":{\"count\":1}}");
	cr_expect_eq(read(fds[1], &byte, 1), 0);
	close(fds[1]);
}

Test(accept, load_is_told)
{
	cr_assert_eq(muster_ready(m), 0);
	(void)muster_fd(m);
	muster_in_flight(m, 1);
	muster_in_flight(m, 1);
	muster_in_flight(m, 1);
	expect_told("{\"method\":\"load\",\"params\":{\"in_flight\":3}}");
	muster_in_flight(m, -3);
	expect_told("{\"method\":\"load\",\"params\":{\"in_flight\":0}}");
}

static struct {
	int fd;
	unsigned messages;
} taken;

static void
on_message(
	struct muster *muster, const struct muster_message *message, void *data)
{
	(void)data;
	taken.messages++;
	if (message->fd < 0 || *message->text != '7')
		return;
	taken.fd = muster_take_fd(muster);
	cr_expect_eq(muster_take_fd(muster), -ENOENT);
}

static void
send_with_fd(const char *body, int fd)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.from = 9,
		.to = 3,
		.sequence = fake.next++,
	};

	cr_assert_eq(fake_write(&fake, &header, NULL, body, fd), 0);
}

Test(accept, a_descriptor_of_a_message_is_taken_or_closed)
{
	int fds[2];
	char byte;
	struct muster_counters counters;

	taken.fd = -1;
	taken.messages = 0;
	muster_on_message(m, on_message, NULL);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	send_with_fd("7", fds[0]);
	send_with_fd("8", fds[0]);
	close(fds[0]);
	wait_until(taken.messages == 2);
	cr_assert_geq(taken.fd, 0);
	muster_read_counters(m, &counters);
	cr_expect_eq(counters.descriptors_closed, 1ull);
	cr_expect_eq(write(taken.fd, "x", 1), 1);
	cr_expect_eq(read(fds[1], &byte, 1), 1);
	close(taken.fd);
	cr_expect_eq(read(fds[1], &byte, 1), 0);
	close(fds[1]);
}

Test(accept, a_descriptor_is_sent)
{
	cr_expect_eq(muster_send_fd(m, MUSTER_ALL, NULL, "1", 1, 0), -EINVAL);
	cr_expect_eq(muster_send_fd(m, 0, NULL, "1", 1, 0), -EINVAL);
	cr_expect_eq(muster_send_fd(m, 9, NULL, "1", 1, 9999), -EBADF);
	cr_expect_eq(muster_send_fd(m, 9, NULL, "1", 1, dup(0)), 0);
	cr_expect_eq(muster_flush(m), 0);
}

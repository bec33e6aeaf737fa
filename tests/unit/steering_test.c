/* Which socket of a group gets what comes in. */
#include "mechanism/steering.h"

#include "mechanism/listener.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	GROUP = 4,
	MANY = 64,
};

TestSuite(steering, .timeout = 30);

struct set {
	int fds[GROUP];
	struct sockaddr_storage address;
	socklen_t size;
	int type;
};

static struct set
make_set(enum listen_kind kind, const char *host)
{
	char words[LISTENER_ERROR_SIZE];
	struct set set = {.size = sizeof(set.address)};
	struct listen_config config = {
		.kind = kind,
		.address = (char *)host,
		.host = (char *)host,
		.path = (char *)"",
		.backlog = MANY * GROUP,
		.ipv6_only = CONFIG_UNSET,
	};
	struct listener_plan plan = {.config = &config, .shares_port = true};

	cr_assert_eq(listener_open(&plan, 1, set.fds, words), 0, "%s", words);
	for (int i = 1; i < GROUP; i++) {
		set.fds[i] = listener_open_twin(set.fds[0], MANY);
		cr_assert_geq(set.fds[i], 0);
	}
	cr_assert_eq(getsockname(set.fds[0], (struct sockaddr *)&set.address,
			     &set.size),
		0);
	set.type = kind == LISTEN_TCP ? SOCK_STREAM : SOCK_DGRAM;
	return set;
}

static void
close_set(struct set *set)
{
	for (int i = 0; i < GROUP; i++)
		close(set->fds[i]);
}

/* Something for the group from a port of its own; stays open. */
static int
speak(const struct set *set)
{
	int fd = socket(set->address.ss_family, set->type, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(
		connect(fd, (const struct sockaddr *)&set->address, set->size),
		0, "connecting: %s", strerror(errno));
	if (set->type == SOCK_DGRAM)
		cr_assert_eq(send(fd, "x", 1, 0), 1);
	return fd;
}

/* How much each has, taking it. */
static void
count(const struct set *set, int *ret_counts)
{
	for (int i = 0; i < GROUP; i++) {
		struct pollfd poll_fd = {set->fds[i], POLLIN, 0};
		char byte;

		ret_counts[i] = 0;
		while (poll(&poll_fd, 1, 20) == 1) {
			if (set->type == SOCK_STREAM)
				close(accept(set->fds[i], NULL, NULL));
			else
				cr_assert_eq(recv(set->fds[i], &byte, 1, 0), 1);
			ret_counts[i]++;
		}
	}
}

static void
check_steering(const struct set *set, const uint32_t *places, size_t wanted)
{
	int fds[MANY], counts[GROUP], total = 0;

	cr_assert_eq(steering_set(set->fds[GROUP - 1], places, wanted), 0);
	for (int i = 0; i < MANY; i++)
		fds[i] = speak(set);
	count(set, counts);
	for (uint32_t i = 0; i < GROUP; i++) {
		bool is_wanted = false;

		for (size_t k = 0; k < wanted; k++)
			is_wanted |= places[k] == i;
		total += counts[i];
		if (is_wanted)
			cr_expect_gt(counts[i], 0, "%u got nothing", i);
		else
			cr_expect_eq(counts[i], 0, "%u got %d", i, counts[i]);
	}
	cr_expect_eq(total, MANY);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
}

static void
check_all(enum listen_kind kind, const char *host)
{
	const uint32_t all[] = {0, 1, 2, 3}, some[] = {1, 3}, one[] = {2};
	struct set set = make_set(kind, host);

	check_steering(&set, all, 4);
	check_steering(&set, some, 2);
	check_steering(&set, one, 1);
	close_set(&set);
}

Test(steering, connections)
{
	check_all(LISTEN_TCP, "127.0.0.1");
	check_all(LISTEN_TCP, "::1");
}

Test(steering, datagrams)
{
	check_all(LISTEN_UDP, "127.0.0.1");
	check_all(LISTEN_UDP, "::1");
}

Test(steering, datagrams_of_one_sender_stay_together)
{
	struct set set = make_set(LISTEN_UDP, "127.0.0.1");
	const uint32_t all[] = {0, 1, 2, 3};
	int counts[GROUP], most = 0, fd;

	cr_assert_eq(steering_set(set.fds[0], all, GROUP), 0);
	fd = speak(&set);
	for (int i = 1; i < MANY; i++)
		cr_assert_eq(send(fd, "x", 1, 0), 1);
	count(&set, counts);
	for (int i = 0; i < GROUP; i++)
		most = counts[i] > most ? counts[i] : most;
	cr_expect_eq(most, MANY);
	close(fd);
	close_set(&set);
}

Test(steering, what_is_queued_is_counted_and_stays)
{
	struct set set = make_set(LISTEN_TCP, "127.0.0.1");
	const uint32_t first[] = {0}, second[] = {1};
	int fds[3], counts[GROUP];

	cr_assert_eq(steering_set(set.fds[0], first, 1), 0);
	for (int i = 0; i < 3; i++)
		fds[i] = speak(&set);
	cr_expect_eq(steering_queue(set.fds[0]), 3);
	cr_assert_eq(steering_set(set.fds[0], second, 1), 0);
	cr_expect_eq(steering_queue(set.fds[0]), 3);
	count(&set, counts);
	cr_expect_eq(counts[0], 3);
	cr_expect_eq(steering_queue(set.fds[0]), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close_set(&set);
}

Test(steering, what_makes_no_sense_is_refused)
{
	struct set set = make_set(LISTEN_TCP, "127.0.0.1");
	static uint32_t many[STEERING_PLACES_MAX + 1];

	cr_expect_eq(steering_set(set.fds[0], many, 0), -EINVAL);
	cr_expect_eq(steering_set(set.fds[0], many, STEERING_PLACES_MAX + 1),
		-EINVAL);
	for (uint32_t i = 0; i < STEERING_PLACES_MAX; i++)
		many[i] = i % 2 == 0 ? 3 : 1;
	cr_expect_eq(steering_set(set.fds[0], many, STEERING_PLACES_MAX), 0);
	cr_expect_lt(steering_queue(STDIN_FILENO), 0);
	close_set(&set);
}

/* Another program of this user that shares its port, too, must
 * not be joined. */
Test(steering, a_port_that_others_share_is_in_use)
{
	struct set set = make_set(LISTEN_TCP, "127.0.0.1");
	char words[LISTENER_ERROR_SIZE];
	struct listen_config config = {
		.kind = LISTEN_TCP,
		.address = (char *)"tcp://127.0.0.1",
		.host = (char *)"127.0.0.1",
		.path = (char *)"",
		.port = ntohs(((struct sockaddr_in *)&set.address)->sin_port),
		.backlog = 1,
		.ipv6_only = CONFIG_UNSET,
	};
	struct listener_plan plan = {.config = &config, .shares_port = true};
	int fd;

	cr_expect_eq(listener_open(&plan, 1, &fd, words), -EADDRINUSE);
	close_set(&set);
}

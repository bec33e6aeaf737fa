/* The brain's end of the pair, against a keeper that is played by the test. */
#include "fleet/keeper_client.h"
#include "fleet/pair.h"

#include "base/sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
	struct ev_loop *loop;
	int keeper; /* the other end */
	int pair;
	struct keeper_client *client;
	char said[1024]; /* what the hooks were told, in order */
};

static void
say(void *data, const char *what, long number)
{
	struct world *world = data;
	size_t used = strlen(world->said);

	snprintf(world->said + used, sizeof(world->said) - used, "%s %ld;",
		what, number);
}

static void
on_spawned(uint64_t process, int32_t pid, int pidfd, void *data)
{
	say(data, "spawned", (long)process + pid);
	cr_assert_geq(pidfd, 0);
	close(pidfd);
}

static void
on_execed(uint64_t process, void *data)
{
	say(data, "execed", (long)process);
}

static void
on_failed(uint64_t process, enum keeper_stage stage, int error, void *data)
{
	(void)process;
	say(data, "failed", (long)stage * 100 + error);
}

static void
on_exited(uint64_t process, const struct keeper_row *row, void *data)
{
	(void)process;
	say(data, "exited", row->status);
}

static void
on_signalled(int signal, void *data)
{
	say(data, "signalled", signal);
}

static void
on_passed(const char *name, int result, void *data)
{
	say(data, name, result);
}

static void
on_lost(void *data)
{
	say(data, "lost", 0);
}

static void
on_renewed(int result, void *data)
{
	(void)result;
	(void)data;
}

static const struct keeper_hooks hooks = {on_spawned, on_execed, on_failed,
	on_exited, on_signalled, on_passed, on_passed, on_renewed, on_lost};

/* The keeper sends a record, with a descriptor of its own where asked. */
static void
keeper_sends(struct world *world, const struct keeper_record *record, bool fd)
{
	struct keeper_record copy = *record;
	struct iovec part = {&copy, sizeof(copy)};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	int given = fd ? sys_memfd("given", 0) : -1;

	if (fd) {
		struct cmsghdr *head = (void *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		head->cmsg_len = CMSG_LEN(sizeof(int));
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(head), &given, sizeof(int));
	}
	cr_assert_eq(sys_sendmsg(world->keeper, &message, 0), 64);
	if (fd)
		close(given);
}

/* Receives what the brain sent. Returns its kind, or 0: nothing is there. */
static uint32_t
keeper_gets(struct world *world, struct keeper_record *ret_record, int *ret_fd)
{
	struct iovec part = {ret_record, sizeof(*ret_record)};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = sys_recvmsg(world->keeper, &message, MSG_DONTWAIT);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_fd = -1;
	if (head)
		memcpy(ret_fd, CMSG_DATA(head), sizeof(int));
	return n > 0 ? ret_record->kind : 0;
}

static void
keeper_gives(struct world *world, const char *name)
{
	struct keeper_record record = {.kind = KEEPER_GIVEN};

	snprintf(record.name, sizeof(record.name), "%s", name);
	keeper_sends(world, &record, *name != '\0');
}

static void
keeper_hello(struct world *world, uint32_t version)
{
	struct keeper_record record = {.kind = KEEPER_HELLO,
		.hello = {.version = version, .pid = 1, .brains = 5}};

	keeper_sends(world, &record, false);
}

static void
set_up(struct world *world)
{
	int pair[2];

	memset(world, 0, sizeof(*world));
	world->loop = ev_loop_new(EVFLAG_NOENV);
	cr_assert_eq(sys_socketpair(SOCK_SEQPACKET, pair), 0);
	world->keeper = pair[0];
	world->pair = pair[1];
}

static int
meet(struct world *world)
{
	return keeper_client_new(world->loop, world->pair, &world->client);
}

static void
begin(struct world *world)
{
	struct keeper_record record;
	int fd;

	set_up(world);
	keeper_hello(world, KEEPER_VERSION);
	keeper_gives(world, "");
	keeper_sends(
		world, &(struct keeper_record){.kind = KEEPER_PROCESS}, false);
	cr_assert_eq(meet(world), 0);
	keeper_client_listen(world->client, &hooks, world);
	while (keeper_gets(world, &record, &fd))
		;
}

static void
end(struct world *world)
{
	keeper_client_free(&world->client);
	close(world->keeper);
	ev_loop_destroy(world->loop);
}

Test(keeper_client, the_start_takes_vault_and_table)
{
	struct world world;
	struct keeper_process *processes;
	size_t count = 0, at = 0;
	int fd;

	set_up(&world);
	keeper_hello(&world, KEEPER_VERSION);
	keeper_gives(&world, "ledger");
	/* A signal that came in between is told later, not lost. */
	keeper_sends(&world,
		&(struct keeper_record){.kind = KEEPER_SIGNALLED, .signal = 15},
		false);
	keeper_gives(&world, "control");
	keeper_gives(&world, "");
	keeper_sends(&world,
		&(struct keeper_record){.kind = KEEPER_PROCESS,
			.process = 7,
			.row = {.pid = 70, .state = KEEPER_RUNNING}},
		true);
	keeper_sends(
		&world, &(struct keeper_record){.kind = KEEPER_PROCESS}, false);
	cr_assert_eq(meet(&world), 0);
	cr_expect_eq(keeper_client_hello(world.client)->hello.brains, 5u);
	fd = keeper_client_claim(world.client, "ledger");
	cr_assert_geq(fd, 0);
	close(fd);
	cr_expect_eq(keeper_client_claim(world.client, "ledger"), -ENOENT);
	cr_expect_eq(keeper_client_claim(world.client, "nothing"), -ENOENT);
	cr_expect_str_eq(keeper_client_unclaimed(world.client, &at), "control");
	cr_expect_null(keeper_client_unclaimed(world.client, &at));
	processes = keeper_client_processes(world.client, &count);
	cr_assert_eq(count, 1);
	cr_expect_eq(processes[0].process, 7);
	cr_expect_eq(processes[0].row.pid, 70);
	cr_expect_geq(processes[0].pidfd, 0);
	keeper_client_listen(world.client, &hooks, &world);
	ev_run(world.loop, EVRUN_NOWAIT);
	cr_expect_str_eq(world.said, "signalled 15;");
	end(&world);
}

Test(keeper_client, another_version_is_refused)
{
	struct world world;

	set_up(&world);
	keeper_hello(&world, KEEPER_VERSION + 1);
	cr_expect_eq(meet(&world), -EPROTO);
	cr_expect_null(world.client);
	end(&world);
	set_up(&world);
	keeper_gives(&world, "early");
	cr_expect_eq(meet(&world), -EPROTO);
	end(&world);
}

Test(keeper_client, a_keeper_that_is_gone_is_told)
{
	struct world world;

	set_up(&world);
	close(world.keeper);
	cr_expect_lt(meet(&world), 0);
	world.keeper = dup(0);
	end(&world);
	begin(&world);
	keeper_sends(&world,
		&(struct keeper_record){
			.kind = KEEPER_EXITED, .process = 1, .row.status = 3},
		false);
	/* It leaves something unread: what it said before still counts. */
	keeper_client_signal(world.client, 1, 9, false);
	keeper_client_flush(world.client);
	close(world.keeper);
	ev_run(world.loop, EVRUN_NOWAIT);
	cr_expect_str_eq(world.said, "exited 3;lost 0;");
	cr_expect_eq(keeper_client_put(world.client, "x", 0, false), -EPIPE);
	world.keeper = dup(0);
	end(&world);
}

Test(keeper_client, records_are_told)
{
	struct world world;
	struct keeper_record pass = {.kind = KEEPER_PASS, .result = -11};

	begin(&world);
	keeper_sends(&world,
		&(struct keeper_record){
			.kind = KEEPER_SPAWNED, .process = 1, .row.pid = 40},
		true);
	keeper_sends(&world,
		&(struct keeper_record){.kind = KEEPER_EXECED, .process = 1},
		false);
	keeper_sends(&world,
		&(struct keeper_record){.kind = KEEPER_FAILED,
			.process = 2,
			.failure = {KEEPER_STAGE_EXEC, ENOENT}},
		false);
	keeper_sends(&world, &(struct keeper_record){.kind = 999}, true);
	memset(pass.name, 'n', sizeof(pass.name)); /* no NUL */
	keeper_sends(&world, &pass, false);
	ev_run(world.loop, EVRUN_NOWAIT);
	cr_expect_str_eq(world.said, "spawned 41;execed 1;failed 1102;"
				     "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn -11;");
	end(&world);
}

Test(keeper_client, a_full_pair_keeps_order_and_descriptors)
{
	/* More than the socket takes, fewer than a user's 1,024 descriptors. */
	enum { COUNT = 900 };
	struct world world;
	struct keeper_record record;
	char name[32];
	int fd, got = 0;

	begin(&world);
	for (int i = 0; i < COUNT; i++) {
		int given = sys_memfd("given", 0);

		snprintf(name, sizeof(name), "n.%d", i);
		cr_assert_eq(
			keeper_client_put(world.client, name, given, false), 0);
		keeper_client_flush(world.client);
		close(given); /* borrowed: it may go after a flush */
	}
	for (int turn = 0; turn < COUNT && got < COUNT; turn++) {
		while (keeper_gets(&world, &record, &fd) == KEEPER_PUT) {
			snprintf(name, sizeof(name), "n.%d", got++);
			cr_assert_str_eq(record.name, name);
			cr_assert_geq(fd, 0, "%s came alone", name);
			close(fd);
		}
		ev_run(world.loop, EVRUN_NOWAIT);
	}
	cr_expect_eq(got, COUNT);
	end(&world);
}

Test(keeper_client, without_a_free_number_a_put_fails)
{
	struct world world;
	struct keeper_record record;
	struct rlimit limit;
	int given, fd, r = 0, sent = 0;

	begin(&world);
	given = sys_memfd("given", 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 200;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (sent < 5000) {
		r = keeper_client_put(world.client, "n", given, false);
		if (r < 0)
			break;
		keeper_client_flush(world.client);
		sent++;
	}
	cr_expect_eq(r, -EMFILE);
	/* What was taken on has its descriptor, once numbers are free. */
	limit.rlim_cur = 1024;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int turn = 0; turn < 5000 && sent > 0; turn++) {
		while (keeper_gets(&world, &record, &fd) == KEEPER_PUT) {
			cr_assert_geq(fd, 0, "%d from the end", sent);
			close(fd);
			sent--;
		}
		ev_run(world.loop, EVRUN_NOWAIT);
	}
	cr_expect_eq(sent, 0);
	close(given);
	end(&world);
}

Test(keeper_client, the_queue_is_bounded_but_for_what_ends_processes)
{
	struct world world;
	int r = 0, sent = 0;

	begin(&world);
	while (r == 0 && sent < 10 * PAIR_QUEUE_MAX) {
		r = keeper_client_pass(
			world.client, "resume.1", sys_memfd("given", 0));
		sent++;
		if (sent % 100 == 0)
			keeper_client_flush(world.client);
		if (sent == 300)
			break; /* descriptors are bounded, too */
	}
	cr_assert_eq(r, 0);
	for (sent = 0; r == 0 && sent < 2 * PAIR_QUEUE_MAX; sent++)
		r = keeper_client_put(world.client, "n", -1, false);
	cr_expect_eq(r, -ENOBUFS);
	keeper_client_signal(world.client, 1, 9, true);
	cr_expect_eq(keeper_client_put(world.client, "n", -1, false), -ENOBUFS);
	end(&world);
}

Test(keeper_client, tidying_up_comes_last)
{
	static const uint32_t kinds[] = {
		KEEPER_PUT, KEEPER_SIGNAL, KEEPER_DROP, KEEPER_ACK_EXIT};
	struct world world;
	struct keeper_record record;
	int fd;

	begin(&world);
	keeper_client_drop(world.client, "old");
	keeper_client_ack_exit(world.client, 3);
	cr_assert_eq(keeper_client_put(world.client, "new", 0, false), 0);
	keeper_client_signal(world.client, 4, 15, false);
	ev_run(world.loop, EVRUN_NOWAIT);
	for (size_t i = 0; i < 4; i++) {
		cr_expect_eq(keeper_gets(&world, &record, &fd), kinds[i]);
		if (fd >= 0)
			close(fd);
	}
	cr_expect_eq(keeper_gets(&world, &record, &fd), 0);
	end(&world);
}

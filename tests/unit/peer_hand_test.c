/*
 * Connections that 0 hands over: kept until they are acknowledged, bounded,
 * given to another when their worker ends, and counted beyond the brain.
 */
#include "exchange_world.h"

static struct world w;
static struct actor a;

static const char body[] = "{\"event\":\"connection\",\"listener\":\"http\"}";

static void
setup(void)
{
	world_new(&w);
	actor_new(&w, &a, 1);
	actor_ready(&a);
}

static void
teardown(void)
{
	actor_free(&a);
	world_free(&w);
}

TestSuite(peer_hand, .init = setup, .fini = teardown, .timeout = 30);

/* A pipe whose write end is handed over: it tells when the last copy goes. */
static int
hand(struct actor *actor, int *ret_read)
{
	int fds[2], r;

	cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	r = peer_hand_over(actor->peer, body, sizeof body - 1, fds[1]);
	if (r < 0)
		(void)close(fds[1]);
	if (r < 0 || ret_read == NULL)
		(void)close(fds[0]);
	else
		*ret_read = fds[0];
	return r;
}

static bool
is_open(int fd)
{
	char byte;

	return read(fd, &byte, 1) < 0 && errno == EAGAIN;
}

static void
expect_connection(struct actor *actor)
{
	char text[128];
	struct frame_header header = expect_frame(actor, text, sizeof text);

	cr_expect_str_eq(text, body);
	cr_expect(header.flags & MUSTER_FLAG_FD);
	cr_assert_gt(actor->fd_count, 0);
	(void)close(actor->fds[--actor->fd_count]);
}

Test(peer_hand, it_is_kept_until_it_is_acknowledged)
{
	int fd;

	cr_assert_eq(hand(&a, &fd), 0);
	expect_connection(&a);
	world_turn(&w);
	cr_expect(is_open(fd), "a worker that dies now has none");
	actor_ack(&a);
	world_wait(&w, !is_open(fd));
	(void)close(fd);
}

static unsigned rooms;

static void
on_room(struct peer *peer)
{
	(void)peer;
	rooms++;
}

Test(peer_hand, a_worker_takes_so_many_at_once)
{
	struct peer_hooks hooks = *a.peer->hooks;
	int count = 0;

	hooks.has_room = on_room;
	a.peer->hooks = &hooks;
	rooms = 0;
	while (hand(&a, NULL) == 0) {
		count++;
		cr_assert_leq(count, OUTBOX_FDS_UNACKED);
	}
	cr_expect_eq(count, OUTBOX_FDS_UNACKED);
	cr_expect_not(peer_has_room(a.peer));
	for (int i = 0; i < count; i++)
		expect_connection(&a);
	world_turn(&w);
	cr_expect_eq(rooms, 0u);
	actor_ack(&a);
	world_wait(&w, rooms == 1);
	cr_expect(peer_has_room(a.peer));
	a.peer->hooks = &world_hooks;
}

Test(peer_hand, who_has_not_joined_takes_none)
{
	struct actor b;

	actor_new_in(&w, &b, w.group, 2);
	cr_expect_not(peer_has_room(b.peer));
	cr_expect_eq(hand(&b, NULL), -EAGAIN);
	actor_free(&b);
}

static struct {
	unsigned count;
	uint32_t id;
	char text[128];
	int fd;
} returned;

static void
on_returned(uint32_t id, const char *text, size_t size, int fd, void *data)
{
	(void)data;
	returned.count++;
	returned.id = id;
	memcpy(returned.text, text, size);
	returned.text[size] = '\0';
	returned.fd = fd;
}

Test(peer_hand, what_a_dead_worker_did_not_acknowledge_comes_back)
{
	int seen, unseen;

	memset(&returned, 0, sizeof returned);
	exchange_on_returned(w.exchange, on_returned, NULL);
	cr_assert_eq(hand(&a, &seen), 0);
	expect_connection(&a);
	actor_ack(&a);
	world_wait(&w, !is_open(seen));
	cr_assert_eq(hand(&a, &unseen), 0);
	expect_connection(&a);
	peer_retire(&a.peer);
	cr_expect_eq(returned.count, 1u);
	cr_expect_eq(returned.id, 1u);
	cr_expect_str_eq(returned.text, body);
	cr_expect(is_open(unseen));
	(void)close(returned.fd);
	cr_expect_not(is_open(unseen));
	(void)close(seen);
	(void)close(unseen);
}

Test(peer_hand, nobody_to_return_to_closes_it)
{
	int fd;

	cr_assert_eq(hand(&a, &fd), 0);
	peer_retire(&a.peer);
	world_turn(&w);
	cr_expect_not(is_open(fd));
	(void)close(fd);
}

Test(peer_hand, they_are_counted)
{
	for (int i = 0; i < 3; i++)
		cr_assert_eq(hand(&a, NULL), 0);
	cr_expect_eq(peer_connections(a.peer), 3u);
	peer_connections_done(a.peer, 2);
	cr_expect_eq(peer_connections(a.peer), 1u);
	/* A worker that says more than is true harms nobody. */
	peer_connections_done(a.peer, UINT32_MAX);
	cr_expect_eq(peer_connections(a.peer), 0u);
}

Test(peer_hand, one_that_resumes_gets_it_again)
{
	int fd;

	cr_assert_eq(hand(&a, &fd), 0);
	expect_connection(&a);
	cr_expect_eq(outbox_rewind(
			     a.peer->outbox, outbox_row(a.peer->outbox)->acked),
		0);
	a.received--;
	exchange_mark_dirty(a.peer);
	expect_connection(&a);
	actor_ack(&a);
	world_wait(&w, !is_open(fd));
	(void)close(fd);
}

/*
 * A stream is read no faster than it is written, and nobody else is held up.
 */
#include "exchange_world.h"

enum {
	FRAME = 60000, /* long enough to count as a stream */
	LIMIT = 1 << 20,
};

static struct world w;
static struct group *wide;
static struct actor a, b, c;

static void
setup(void)
{
	struct group_limits limits = {.queue_limit = LIMIT,
		.max_message = 1 << 20,
		.stall_timeout_ms = 10000};
	struct actor *all[] = {&a, &b, &c};

	world_new(&w);
	wide = group_new(w.exchange, "wide", &limits);
	cr_assert_not_null(wide);
	for (uint32_t i = 0; i < 3; i++) {
		actor_new_in(&w, all[i], wide, 11 + i);
		actor_join(all[i]);
		actor_ready(all[i]);
	}
	for (uint32_t i = 0; i < 3; i++)
		(void)actor_skip(all[i]);
}

static void
teardown(void)
{
	actor_free(&a);
	actor_free(&b);
	actor_free(&c);
	group_free(&wide);
	world_free(&w);
}

TestSuite(hold, .init = setup, .fini = teardown, .timeout = 30);

static bool
is_held(void)
{
	return !list_is_empty(&a.peer->hold);
}

/* Sends until the sender is held back. */
static void
fill(void)
{
	for (int i = 0; !is_held(); i++) {
		cr_assert_lt(i, 200, "nothing holds the stream back");
		actor_send(&a, b.id, 0, FRAME);
		world_turn(&w);
	}
}

Test(hold, a_stream_waits_for_its_receiver)
{
	fill();
	cr_expect_lt(b.peer->outbox->queued, (uint64_t)LIMIT);
	cr_expect(!peer_is_paused(a.peer), "that is no pause");
	cr_expect(!ev_is_active(&a.peer->readable));
	/* It goes on as soon as the receiver has caught up. */
	while (b.peer->outbox->queued > 0) {
		(void)actor_skip(&b);
		actor_ack(&b);
		world_turn(&w);
	}
	cr_expect(!is_held());
	cr_expect(ev_is_active(&a.peer->readable));
}

/* With one that doesn't read at all the queue is filled to its limit. */
Test(hold, the_limit_is_what_pauses)
{
	struct instant deadline =
		clock_after_ms(clock_now(), WORLD_DEADLINE_MS);

	fill();
	while (!peer_is_paused(a.peer)) {
		cr_assert(!clock_is_past(deadline, clock_now()));
		actor_send(&a, b.id, 0, FRAME);
		world_turn(&w);
	}
	cr_expect_gt(b.peer->outbox->queued, (uint64_t)LIMIT);
	cr_expect_eq(b.stalled, 0);
}

/* What the same sender says to another comes after a moment, not never. */
Test(hold, others_are_not_forgotten)
{
	char text[16];

	fill();
	actor_say(&a, MUSTER_MESSAGE, c.id, 0, "\"hello\"");
	(void)expect_frame(&c, text, sizeof text);
	cr_expect_str_eq(text, "\"hello\"");
	cr_expect(!peer_is_paused(a.peer));
}

/* A sender that ends while it is held back leaves nothing behind. */
Test(hold, a_held_sender_may_end)
{
	fill();
	peer_retire(&a.peer);
	world_turn(&w);
	cr_expect(list_is_empty(&w.exchange->held));
}

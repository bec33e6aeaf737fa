/* The exchange as a whole: full queues, deaths, and a brain's own. */
#include "exchange_world.h"

static struct world w;
static struct actor a, b;

static void
open_two(void)
{
	world_new(&w);
	actor_new(&w, &a, 1);
	actor_new(&w, &b, 2);
}

static void
close_two(void)
{
	actor_free(&a);
	actor_free(&b);
	world_free(&w);
}

TestSuite(exchange, .init = open_two, .fini = close_two);

static void
make_small(struct actor *actor)
{
	int size = 4096;

	(void)setsockopt(
		actor->peer->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Full queues ------------------------------------------------------------ */

Test(exchange, the_frame_over_the_limit_pauses_and_half_wakes)
{
	struct outbox *queue = b.peer->outbox;
	uint32_t expected = 0;
	char text[16];

	make_small(&b);
	while (!peer_is_paused(a.peer)) {
		cr_assert_leq(queue->queued, world_limits.queue_limit);
		actor_send(&a, 2, 0, 1000);
		world_turn(&w);
		expected++;
	}
	cr_expect_gt(queue->queued, world_limits.queue_limit);
	cr_expect_leq(queue->queued, world_limits.queue_limit + 1032);
	/* What is sent now is not even read. */
	for (int i = 0; i < 5; i++, expected++)
		actor_send(&a, 2, 0, 1000);
	world_turn(&w);
	cr_expect_leq(queue->queued, world_limits.queue_limit + 1032);
	while (peer_is_paused(a.peer)) {
		cr_assert_gt(queue->queued, world_limits.queue_limit / 2);
		(void)expect_frame(&b, text, sizeof text);
		expected--;
		if (b.received % 8 == 0)
			actor_ack(&b);
	}
	cr_expect_leq(queue->queued, world_limits.queue_limit / 2);
	for (; expected > 0; expected--)
		(void)expect_frame(&b, text, sizeof text);
	expect_nothing(&b);
	cr_expect_eq(b.stalled, 0);
}

Test(exchange, what_was_read_already_is_not_forgotten)
{
	uint8_t *frames = malloc(200 * 1100);
	size_t size = 0;
	char text[16];

	/* One write, one read: all behind the full queue lies in memory. */
	make_small(&b);
	for (int i = 0; i < 180; i++) {
		char body[1000];

		memset(body, '1', sizeof body);
		size += actor_build(&a, frames + size,
			(struct frame_header){.kind = i == 179 ? MUSTER_REQUEST
							       : MUSTER_MESSAGE,
				.id = i == 179,
				.to = 2},
			"", body, sizeof body);
	}
	actor_write(&a, frames, size);
	world_turn(&w);
	cr_expect(peer_is_paused(a.peer));
	cr_expect_gt(a.peer->rest.length, 0);
	for (int i = 0; i < 180; i++)
		(void)expect_frame(&b, text, sizeof text);
	cr_expect_not(peer_is_paused(a.peer));
	free(frames);
}

Test(exchange, a_long_frame_that_was_refused_goes_when_there_is_room)
{
	uint8_t *frame = malloc(100032);
	char *body = malloc(100000), text[16];
	struct actor c;
	uint32_t before = 0;
	size_t size;

	actor_new(&w, &c, 3);
	make_small(&b);
	memset(body, '1', 100000);
	size = actor_build(&a, frame,
		(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2}, "",
		body, 100000);
	actor_write(&a, frame, 50000);
	world_turn(&w);
	cr_expect_gt(a.peer->missing, 0);
	for (; !peer_is_paused(c.peer); before++) {
		actor_send(&c, 2, 0, 1000);
		world_turn(&w);
	}
	actor_write(&a, frame + 50000, size - 50000);
	actor_send(&a, 2, 0, 7);
	world_turn(&w);
	cr_expect(peer_is_paused(a.peer));
	cr_expect_eq(a.peer->missing, 0);
	for (; before > 0; before--)
		cr_expect_eq(expect_frame(&b, text, sizeof text).size, 1000);
	cr_expect_eq(expect_frame(&b, text, sizeof text).size, 100000);
	cr_expect_eq(expect_frame(&b, text, sizeof text).size, 7);
	cr_expect_eq(w.exchange->promised, 0);
	actor_free(&c);
	free(frame);
	free(body);
}

Test(exchange, who_does_not_read_is_stalled)
{
	char text[64];
	uint32_t sent = 0;

	make_small(&b);
	while (!peer_is_paused(a.peer)) {
		actor_send(&a, 2, ++sent, 3000);
		world_turn(&w);
	}
	actor_ask(&a, 2, 1000, 0, "1");
	world_wait(&w, b.stalled == 1);
	cr_expect_eq(b.ended, 0);
	cr_expect_not(peer_is_paused(a.peer));
	/* What was begun is still its own, without a gap; the rest is back. */
	for (;;) {
		struct frame_header header =
			expect_frame(&a, text, sizeof text);

		cr_assert_eq(header.kind, MUSTER_ERROR);
		cr_assert_not_null(strstr(text, "\"stalled\""), "%s", text);
		if (header.id == sent)
			break;
	}
	world_turn(&w);
	for (;;) {
		struct frame_header header =
			expect_frame(&b, text, sizeof text);

		if (header.kind == MUSTER_REQUEST)
			break;
	}
}

Test(exchange, two_that_flood_each_other_go_on)
{
	enum { FRAMES = 3000 };
	uint32_t a_sent = 0, b_sent = 0;
	uint8_t frame[8300];
	struct instant until = clock_after_ms(clock_now(), 20000);
	struct actor *both[2] = {&a, &b};
	size_t left[2] = {0, 0}, size[2] = {0, 0};
	static uint8_t frames[2][8300];
	uint32_t *sent[2] = {&a_sent, &b_sent};
	int done;

	memset(frame, '1', sizeof frame);
	do {
		cr_assert_not(clock_is_past(until, clock_now()),
			"they wait for each other: %u %u", a_sent, b_sent);
		done = 0;
		for (int i = 0; i < 2; i++) {
			struct actor *me = both[i];
			ssize_t n;

			if (left[i] == 0 && *sent[i] < FRAMES) {
				size[i] = left[i] = actor_build(me, frames[i],
					(struct frame_header){
						.kind = MUSTER_MESSAGE,
						.to = (uint32_t)(2 - i)},
					"", frame, 8192);
				++*sent[i];
			}
			if (left[i] > 0) {
				n = send(me->fd, frames[i] + size[i] - left[i],
					left[i], MSG_NOSIGNAL);
				if (n > 0)
					left[i] -= (size_t)n;
			}
			(void)actor_fill(me);
			while (actor_has_frame(me))
				(void)actor_take(me, NULL, 0);
			if (left[i] == 0 &&
				(int)me->received / 64 > me->requests) {
				/* an ack now and then, between two frames */
				me->requests = (int)me->received / 64;
				actor_ack(me);
			}
			done += me->received >= FRAMES;
		}
		ev_run(w.loop, EVRUN_NOWAIT);
	} while (done < 2);
	cr_expect_eq(a.stalled + b.stalled, 0);
}

Test(exchange, at_most_4_MiB_wait_for_their_ack)
{
	struct group_limits limits = world_limits;
	struct group *wide;
	struct actor d;
	size_t taken = 0;

	limits.queue_limit = 64 << 20;
	wide = group_new(w.exchange, "wide", &limits);
	actor_new_in(&w, &d, wide, 9);
	actor_join(&d);
	for (int i = 0; i < 100; i++) {
		actor_send(&a, 9, 0, 65536);
		world_turn(&w);
		while (actor_fill(&d))
			world_turn(&w);
	}
	cr_expect_leq(d.in_size, MUSTER_UNACKED_MAX);
	cr_expect_gt(d.in_size, MUSTER_UNACKED_MAX - (512 << 10));
	while (actor_has_frame(&d)) {
		(void)actor_take(&d, NULL, 0);
		taken++;
		if (taken % 16 == 0)
			actor_ack(&d);
		(void)actor_fill(&d);
	}
	while (taken < 100) {
		(void)expect_frame(&d, NULL, 0);
		if (++taken % 16 == 0)
			actor_ack(&d);
	}
	actor_free(&d);
}

/* The usual words are read without a parser; all others mean the same. */
Test(exchange, an_ack_is_any_json_that_says_so)
{
	static const char *const right[] = {
		"{\"event\":\"ack\",\"sequence\":%u}",
		"{ \"sequence\" : %u, \"event\" : \"ack\" }",
		"{\"event\":\"ack\",\"sequence\":%u }",
		"{\"event\":\"ack\",\"sequence\":%u,\"more\":1}"};
	static const char *const wrong[] = {
		"{\"event\":\"ack\",\"sequence\":01}",
		"{\"event\":\"ack\",\"sequence\":-1}",
		"{\"event\":\"ack\",\"sequence\":1.5}",
		"{\"event\":\"ack\",\"sequence\":}",
		"{\"event\":\"ack\",\"sequence\":4294967297}",
		"{\"event\":\"ack\",\"sequence\":9999999999}",
		"{\"event\":\"ack\",\"sequence\":77}",
		"{\"event\":\"ack\",\"sequence\":1", "{}", "1"};
	char text[128];

	for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
		actor_say(&a, MUSTER_MESSAGE, 2, 0, "1");
		(void)expect_frame(&b, NULL, 0);
		cr_expect_gt(b.peer->outbox->unacked, 0);
		(void)snprintf(text, sizeof text, right[i], b.received);
		actor_say_numberless(&b, text);
		cr_expect_eq(b.peer->outbox->unacked, 0, "%s", text);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct actor d;

		actor_new(&w, &d, 20 + (uint32_t)i);
		actor_say(&a, MUSTER_MESSAGE, 20 + (uint32_t)i, 0, "1");
		(void)expect_frame(&d, NULL, 0);
		cr_expect_eq(d.ended, 0);
		actor_say_numberless(&d, wrong[i]);
		cr_expect_eq(d.ended, 1, "%s", wrong[i]);
		actor_free(&d);
	}
}

Test(exchange, a_worker_that_never_joins_gives_its_frames_back)
{
	struct actor d;
	uint64_t i;

	actor_new_in(&w, &d, w.group, 9);
	for (i = 1; i <= 16; i++)
		actor_send(&a, 9, i, 60000);
	world_turn(&w);
	cr_expect_not(peer_is_paused(a.peer));
	actor_send(&a, 9, 17, 100000); /* over 1 MiB */
	expect_error(&a, 17, "not-joined");
	for (i = 1; i <= 16; i++)
		expect_error(&a, i, "not-joined");
	cr_expect_eq(d.peer->outbox->queued, 0);
	cr_expect_eq(d.stalled, 0);
	/* It may still join, and counts from 1. */
	actor_join(&d);
	actor_say(&a, MUSTER_MESSAGE, 9, 0, "1");
	cr_expect_eq(expect_frame(&d, NULL, 0).sequence, 1);
	actor_free(&d);
}

Test(exchange, a_slot_that_goes_to_sleep_gives_its_frames_back)
{
	peer_retire(&b.peer);
	actor_say(&a, MUSTER_MESSAGE, 2, 1, "1");
	actor_ask(&a, 2, 2, 0, "1");
	expect_nothing(&a);
	endpoint_set_dormant(b.endpoint, true);
	expect_error(&a, 1, "not-running");
	expect_error(&a, 2, "not-running");
	cr_expect_eq(w.exchange->requests.open, 0);
}

Test(exchange, nothing_runs_while_it_idles)
{
	actor_say(&a, MUSTER_MESSAGE, 2, 0, "1");
	make_small(&b);
	for (int i = 0; i < 40; i++)
		actor_send(&a, 2, 0, 3000);
	world_turn(&w);
	cr_expect(ev_is_active(&b.peer->queue_timer));
	(void)actor_skip(&b);
	actor_ack(&b);
	world_wait(&w, !ev_is_active(&w.exchange->ack_timer));
	world_turn(&w);
	cr_expect_not(ev_is_active(&b.peer->queue_timer));
	cr_expect_not(ev_is_active(&a.peer->queue_timer));
	cr_expect_not(ev_is_active(&w.exchange->go_on));
	cr_expect_not(ev_is_active(&w.exchange->retry_timer));
	cr_expect_not(ev_is_active(&b.peer->writable));
}

/* Memory ----------------------------------------------------------------- */

Test(exchange_memory, without_memory_channels_wait_and_go_on)
{
	struct group_limits limits = world_limits;
	struct actor s[6], r[6];
	struct group *wide;
	size_t taken = 0;

	world_new_limited(&w, 4 << 20);
	limits.queue_limit = 8 << 20;
	limits.stall_timeout_ms = 5000;
	wide = group_new(w.exchange, "wide", &limits);
	for (uint32_t i = 0; i < 6; i++) {
		actor_new_in(&w, &s[i], wide, 1 + i);
		actor_join(&s[i]);
		actor_new_in(&w, &r[i], wide, 11 + i);
		actor_join(&r[i]);
	}
	/* Half frames and whole ones, more than there is memory for. */
	for (int round = 0; round < 40; round++) {
		size_t sizes[6] = {900000, 70000, 300, 9000, 250000, 40000};

		for (int i = 0; i < 6; i++) {
			uint8_t *frame = malloc(sizes[i] + 32);
			uint8_t *body = malloc(sizes[i]);
			size_t total, at = 0;
			memset(body, '1', sizes[i]);
			total = actor_build(&s[i], frame,
				(struct frame_header){.kind = MUSTER_MESSAGE,
					.to = 11 + (uint32_t)i},
				"", body, sizes[i]);
			while (at < total) {
				ssize_t n = send(s[i].fd, frame + at,
					total - at, MSG_NOSIGNAL);

				if (n > 0) {
					at += (size_t)n;
					continue;
				}
				ev_run(w.loop, EVRUN_NOWAIT);
				/* Receivers read only when all is stuck. */
				for (int j = 0; j < 6; j++) {
					(void)actor_fill(&r[j]);
					while (actor_has_frame(&r[j])) {
						taken += actor_take(
								 &r[j], NULL, 0)
								 .sequence != 0;
					}
					if (r[j].received > 0)
						actor_ack(&r[j]);
				}
			}
			free(frame);
			free(body);
		}
	}
	while (taken < 240) {
		size_t before = taken;

		for (int j = 0; j < 6; j++) {
			while (actor_sees_frame(&r[j])) {
				taken += actor_take(&r[j], NULL, 0).sequence !=
					 0;
			}
			actor_ack(&r[j]);
		}
		cr_assert(taken > before, "stuck at %zu", taken);
	}
	for (int i = 0; i < 6; i++) {
		cr_expect_eq(s[i].ended + r[i].ended, 0);
		actor_free(&s[i]);
		actor_free(&r[i]);
	}
	world_turn(&w);
	cr_expect_eq(w.exchange->promised, 0, "%lu",
		(unsigned long)w.exchange->promised);
	cr_expect_eq(memory_large_free(w.exchange->memory) + 1,
		memory_large_count(w.exchange->memory));
	world_free(&w);
}

Test(exchange_memory, a_frame_that_memory_could_never_hold_ends_its_channel)
{
	world_new_limited(&w, 4 << 20);
	actor_new(&w, &a, 1);
	actor_new(&w, &b, 2);
	for (int i = 0; i < 1; i++) {
		struct frame_header header = {.size = 8 << 20,
			.kind = MUSTER_MESSAGE,
			.to = 2,
			.sequence = 2};
		uint8_t frame[10000] = {0};

		frame_store(frame, &header);
		actor_write(&a, frame, sizeof frame);
	}
	expect_end(&a);
	cr_expect_eq(a.how, PEER_END_PROTOCOL);
	actor_free(&a);
	actor_free(&b);
	world_free(&w);
}

/* Clients ---------------------------------------------------------------- */

Test(exchange, a_stranger_says_hello_or_is_denied)
{
	struct actor c;
	char text[128];

	actor_client(&w, &c);
	actor_say(&c, MUSTER_MESSAGE, 1, 0, "1");
	expect_end(&c);
	cr_expect_eq(c.how, PEER_END_DENIED);
	(void)expect_frame(&c, text, sizeof text);
	cr_expect_not_null(strstr(text, "\"denied\""), "%s", text);
	actor_free(&c);

	actor_client(&w, &c);
	actor_ask(&c, 0, 4, 0, "{\"method\":\"hello\"}");
	world_wait(&w, c.requests == 1);
	peer_admit(c.peer, PEER_OPERATOR);
	peer_reply(c.peer, c.request_id, NULL);
	cr_expect_eq(expect_frame(&c, text, sizeof text).id, 4);
	cr_expect_str_eq(text, "{}");
	peer_error(c.peer, 5, "unknown-method", "no");
	expect_error(&c, 5, "unknown-method");
	actor_free(&c);
}

Test(exchange, a_client_that_does_not_read_is_closed)
{
	json_t *long_text = json_stringn("", 0);
	char *text = malloc(1 << 20);
	struct actor c;
	int r = 0;

	memset(text, 'x', 1 << 20);
	json_decref(long_text);
	long_text = json_stringn(text, 1 << 20);
	free(text);
	actor_client(&w, &c);
	peer_admit(c.peer, PEER_GUEST);
	for (int i = 0; i < 12 && r == 0; i++)
		r = peer_send(c.peer, long_text);
	cr_expect_eq(r, -EOVERFLOW);
	cr_expect_eq(c.ended, 0); /* never in the stack of who sends */
	expect_end(&c);
	cr_expect_eq(c.how, PEER_END_OVERFLOW);
	cr_expect_eq(peer_send(c.peer, long_text), -EPIPE);
	json_decref(long_text);
	actor_free(&c);
}

/* Endings in hooks --------------------------------------------------------- */

static void
retire_it(struct actor *actor)
{
	peer_retire(&actor->peer);
	exchange_flush(actor->world->exchange);
}

static void
retire_other(struct actor *actor)
{
	(void)actor;
	peer_retire(&b.peer);
}

Test(exchange, a_peer_may_be_retired_in_each_of_its_hooks)
{
	struct actor d;

	a.on_request = retire_it;
	actor_ask(&a, 2, 1, 0, "1");
	actor_ask(&a, 0, 2, 0, "1");
	actor_say(&a, MUSTER_MESSAGE, 2, 3, "1"); /* too late */
	world_wait(&w, a.requests == 1);
	world_turn(&w);
	cr_expect_null(a.peer);
	cr_expect_eq(w.exchange->requests.open, 0);

	actor_new_in(&w, &d, w.group, 5);
	d.on_join = retire_it;
	actor_join(&d);
	world_turn(&w);
	cr_expect_null(d.peer);
	actor_free(&d);
	endpoint_free(&d.endpoint);

	actor_new_in(&w, &d, w.group, 6);
	d.on_end = retire_it;
	actor_join(&d);
	actor_write(&d,
		"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
		"\1\1\1\1\1\1\1\1\1\1\1\1",
		38);
	expect_end(&d);
	world_turn(&w);
	cr_expect_null(d.peer);
	actor_free(&d);

	actor_new_in(&w, &d, w.group, 7);
	actor_join(&d);
	d.on_request = retire_other;
	actor_say(&d, MUSTER_MESSAGE, 2, 0, "1");
	actor_ask(&d, 0, 2, 0, "1");
	actor_say(&d, MUSTER_MESSAGE, 2, 0, "1");
	world_wait(&w, d.requests == 1);
	world_turn(&w);
	cr_expect_null(b.peer);
	cr_expect_gt(b.endpoint->outbox->queued, 0);
	actor_free(&d);
}

Test(exchange, what_a_process_sent_before_it_died_is_delivered)
{
	char text[64];

	for (int i = 0; i < 300; i++) /* over the limit of b's queue */
		actor_send(&a, 2, 0, 500);
	actor_say(&a, MUSTER_MESSAGE, 2, 0, "\"last\"");
	(void)close(a.fd);
	a.fd = -1;
	peer_drain(a.peer, UINT64_MAX);
	peer_retire(&a.peer);
	for (int i = 0; i < 301; i++)
		(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"last\"");
}

/* A random schedule ---------------------------------------------------------
 */

enum { RATS = 4, STEPS = 100000 };

/* What became of a frame. */
struct fate {
	uint32_t sender; /* process */
	uint8_t kind;
	uint8_t delivered, reported, answered;
	uint8_t to;
};

struct rat {
	struct actor actor;
	uint32_t process;
	uint8_t *out;
	size_t out_size, out_done;
};

struct schedule {
	struct rat rats[RATS];
	struct fate fates[STEPS];
	uint32_t count, processes;
	/* the newest that a slot got of a process, to see the order */
	uint32_t *newest[RATS + 1];
	uint64_t seed;
};

static struct schedule plan;

static uint32_t
draw(uint32_t below)
{
	plan.seed ^= plan.seed << 13;
	plan.seed ^= plan.seed >> 7;
	plan.seed ^= plan.seed << 17;
	return (uint32_t)(plan.seed >> 20) % below;
}

static void
rat_push(struct rat *rat)
{
	ssize_t n;

	if (rat->out_done == rat->out_size)
		return;
	n = send(rat->actor.fd, rat->out + rat->out_done,
		rat->out_size - rat->out_done, MSG_NOSIGNAL);
	if (n > 0)
		rat->out_done += (size_t)n;
}

static bool
rat_is_idle(const struct rat *rat)
{
	return rat->out_done == rat->out_size;
}

static void
rat_write(struct rat *rat, struct frame_header header, const char *body,
	size_t size)
{
	free(rat->out);
	rat->out = malloc(MUSTER_HEADER_SIZE + size);
	rat->out_size =
		actor_build(&rat->actor, rat->out, header, "", body, size);
	rat->out_done = 0;
	rat_push(rat);
}

static void
rat_send(struct rat *rat)
{
	static const uint32_t sizes[] = {14, 60, 200, 700, 3000, 20000, 300000};
	uint32_t size = sizes[draw(draw(8) == 0 ? 7 : 4)] + draw(50);
	uint32_t id = plan.count, to = 1 + draw(RATS);
	bool asks = draw(10) == 0;
	char *body;

	if (!rat_is_idle(rat) || id + 1 >= STEPS)
		return;
	plan.count++;
	plan.fates[id] = (struct fate){.sender = rat->process,
		.kind = asks ? MUSTER_REQUEST : MUSTER_MESSAGE,
		.to = (uint8_t)to};
	body = malloc(size + 1);
	memset(body, 'x', size);
	(void)snprintf(body, size, "\"%010u", id);
	body[11] = ' ';
	body[size - 1] = '"';
	rat_write(rat,
		(struct frame_header){
			.kind = plan.fates[id].kind, .to = to, .id = id},
		body, size);
	free(body);
}

static void
rat_got(struct rat *rat, const struct frame_header *header, const char *body)
{
	uint32_t id = (uint32_t)header->id, *newest;
	struct fate *fate;

	if (header->kind == MUSTER_REPLY || header->kind == MUSTER_ERROR) {
		fate = &plan.fates[id];
		cr_assert_lt(id, plan.count);
		cr_assert_eq(fate->sender, rat->process, "another's answer");
		if (header->kind == MUSTER_REPLY)
			fate->answered++;
		else
			fate->reported++;
		return;
	}
	if (header->from == 0)
		return; /* welcome, ack */
	id = (uint32_t)strtoul(body + 1, NULL, 10);
	cr_assert_lt(id, plan.count);
	fate = &plan.fates[id];
	cr_assert_eq(fate->to, rat->actor.id);
	cr_assert_eq(fate->delivered, 0, "%u came twice", id);
	fate->delivered = 1;
	newest = &plan.newest[rat->actor.id][fate->sender];
	cr_assert_lt(*newest, id, "%u came after %u", id, *newest);
	*newest = id;
	if (header->kind == MUSTER_REQUEST) {
		/* Answered at once, however much waits to be written. */
		uint8_t frame[64];
		size_t size;
		int idle = 0;

		while (!rat_is_idle(rat) && idle++ < 10000) {
			rat_push(rat);
			ev_run(w.loop, EVRUN_NOWAIT);
			(void)actor_fill(&rat->actor);
		}
		if (!rat_is_idle(rat))
			return; /* all are stuck on others: no answer then */
		size = actor_build(&rat->actor, frame,
			(struct frame_header){.kind = MUSTER_REPLY,
				.to = header->from,
				.id = header->id},
			"", "1", 1);
		free(rat->out);
		rat->out = malloc(size);
		memcpy(rat->out, frame, size);
		rat->out_size = size;
		rat->out_done = 0;
		rat_push(rat);
	}
}

static void
rat_read(struct rat *rat, int frames)
{
	(void)actor_fill(&rat->actor);
	while (frames-- > 0 && actor_has_frame(&rat->actor)) {
		char body[64];
		struct frame_header header =
			actor_take(&rat->actor, body, sizeof body);

		rat_got(rat, &header, body);
	}
}

static void
rat_ack(struct rat *rat)
{
	char text[64];
	int size = snprintf(text, sizeof text,
		"{\"event\":\"ack\",\"sequence\":%u}", rat->actor.received);

	if (!rat_is_idle(rat))
		return;
	rat->actor.takes_part = false; /* an ack has no number */
	rat_write(rat, (struct frame_header){.kind = MUSTER_MESSAGE}, text,
		(size_t)size);
	rat->actor.takes_part = true;
}

static void
rat_start(struct rat *rat)
{
	rat->process = ++plan.processes;
	rat->actor.joined = 0;
	actor_spawn(&rat->actor, rat->process);
	rat->out_size = rat->out_done = 0;
	rat_write(rat, (struct frame_header){.kind = MUSTER_MESSAGE},
		"\"here\"", 6);
}

static void
rat_die(struct rat *rat)
{
	peer_drain(rat->actor.peer, UINT64_MAX);
	peer_retire(&rat->actor.peer);
	(void)close(rat->actor.fd);
	if (draw(2) == 0)
		ev_run(w.loop,
			EVRUN_NOWAIT); /* the slot is empty for a while */
	rat_start(rat);
}

static void
rat_step(struct rat *rat)
{
	uint32_t what = draw(1000);

	if (what < 450)
		rat_send(rat);
	else if (what < 750)
		rat_read(rat, (int)draw(20));
	else if (what < 800)
		rat_ack(rat);
	else if (what < 998)
		ev_run(w.loop, EVRUN_NOWAIT);
	else if (draw(4) == 0)
		rat_die(rat);
	rat_push(rat);
}

/* Everybody reads and writes until nothing is left. */
static void
rats_rest(void)
{
	for (int quiet = 0; quiet < 40; quiet++) {
		for (int i = 0; i < RATS; i++) {
			struct rat *rat = &plan.rats[i];
			uint32_t before = rat->actor.received;

			rat_push(rat);
			rat_read(rat, 1 << 20);
			if (rat->actor.received != before || !rat_is_idle(rat))
				quiet = 0;
			rat_ack(rat);
		}
		ev_run(w.loop, EVRUN_NOWAIT);
	}
}

static void
check_fates(void)
{
	for (uint32_t id = 1; id < plan.count; id++) {
		const struct fate *fate = &plan.fates[id];
		bool lives = false;

		for (int i = 0; i < RATS; i++)
			lives |= plan.rats[i].process == fate->sender;
		if (!lives)
			continue;
		if (fate->kind == MUSTER_MESSAGE)
			cr_assert(fate->delivered || fate->reported,
				"%u is lost", id);
		else
			cr_assert_leq(fate->answered + fate->reported, 1,
				"%u has two answers", id);
		if (fate->kind == MUSTER_REQUEST && !fate->delivered)
			cr_assert_eq(fate->reported, 1, "%u is lost", id);
	}
}

Test(exchange_memory, a_random_schedule)
{
	struct group_limits limits = world_limits;
	struct group *group;
	const char *seed = getenv("MUSTER_TEST_SEED");

	plan.seed = seed != NULL ? strtoull(seed, NULL, 10) : 20261125;
	plan.count = 1;
	world_new_limited(&w, 24 << 20);
	limits.stall_timeout_ms = 60000;
	group = group_new(w.exchange, "rats", &limits);
	for (int i = 0; i < RATS; i++) {
		struct rat *rat = &plan.rats[i];

		plan.newest[i + 1] = calloc(STEPS, sizeof(uint32_t));
		rat->actor = (struct actor){
			.world = &w, .id = (uint32_t)i + 1, .takes_part = true};
		rat->actor.endpoint =
			endpoint_new(group, rat->actor.id, (uint32_t)i);
		rat_start(rat);
	}
	for (int step = 0; step < STEPS; step++)
		rat_step(&plan.rats[draw(RATS)]);
	rats_rest();
	check_fates();
	cr_expect_gt(plan.processes, 20);
	cr_expect_gt(plan.count, 5000);
	for (int i = 0; i < RATS; i++) {
		cr_expect_eq(plan.rats[i].actor.ended, 0);
		actor_free(&plan.rats[i].actor);
		free(plan.rats[i].out);
		free(plan.newest[i + 1]);
	}
	world_turn(&w);
	cr_expect_eq(w.exchange->requests.open, 0);
	cr_expect_eq(w.exchange->promised, 0);
	world_free(&w);
}

/*
 * What a second brain makes of the exchange memory of a first that died between
 * two turns of its loop. That it dies in the middle is crash_walk_test.c's.
 */
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

TestSuite(exchange_death, .init = open_two, .fini = close_two);

/* A brain's death ---------------------------------------------------------- */

/* The brain is gone in the middle of its work; another takes its memory. */
static void
die_and_come_back(struct world *world, struct actor **actors, int count)
{
	/* It is left as it is: nothing of it runs or is freed again. */
	static struct world old;

	old = *world;
	for (int i = 0; i < count; i++) /* the kernel closes its ends */
		(void)close(actors[i]->peer->fd);
	world_open(world, old.memory_fd, 1);
	for (int i = 0; i < count; i++)
		actors[i]->endpoint =
			endpoint_new(world->group, actors[i]->id, 0);
}

static void
resume(struct actor *actor, uint64_t process)
{
	json_t *welcome = json_pack("{s:s}", "event", "welcome");

	while (actor_fill(actor)) /* to its end */
		continue;
	cr_assert(actor->at_end);
	while (actor_has_frame(actor)) {
		char text[256];

		(void)actor_take(actor, text, sizeof text);
	}
	actor->in_size = 0;
	(void)close(actor->fd);
	cr_assert(exchange_wants_channel(actor->world->exchange, process));
	cr_assert_eq(
		peer_resume(actor->endpoint, process, welcome,
			actor_socket(actor), &world_hooks, actor, &actor->peer),
		0);
	endpoint_set_peer(actor->endpoint, actor->peer);
	json_decref(welcome);
}

static void
say_resume(struct actor *actor, uint32_t *ret_received)
{
	struct frame_header header = {
		.kind = MUSTER_REQUEST, .id = 900, .sequence = 0};
	uint8_t frame[256];
	char body[128], text[256];
	unsigned int received;
	int size = snprintf(body, sizeof body,
		"{\"method\":\"resume\",\"params\":{\"received\":%u}}",
		actor->received);

	header.size = (uint32_t)size;
	frame_store(frame, &header);
	memcpy(frame + MUSTER_HEADER_SIZE, body, (size_t)size);
	actor_write(actor, frame, MUSTER_HEADER_SIZE + (size_t)size);
	header = expect_frame(actor, text, sizeof text);
	cr_assert_eq(header.kind, MUSTER_REPLY, "%s", text);
	cr_assert_eq(header.id, 900);
	cr_assert_eq(header.sequence, 0);
	cr_assert_not_null(strstr(text, "\"received\":"), "%s", text);
	cr_assert_eq(sscanf(strstr(text, "\"received\":"), "\"received\":%u",
			     &received),
		1);
	*ret_received = received;
}

Test(exchange_death, a_brain_dies_and_nothing_is_lost)
{
	struct frame_header header, asked;
	struct actor c, *all[3] = {&a, &b, &c};
	uint32_t received;
	char text[64];
	uint32_t b_before;

	actor_new(&w, &c, 3);
	for (uint64_t i = 1; i <= 20; i++)
		actor_say(&a, MUSTER_MESSAGE, 2, i, "\"kept\"");
	for (int i = 0; i < 7; i++)
		(void)expect_frame(&b, text, sizeof text);
	actor_ack(&b);
	actor_ask(&a, 2, 50, 0, "\"q\"");
	actor_ask(&a, 3, 51, 0, "\"dies with the brain\"");
	actor_ask(&a, MUSTER_TO_ANY, 52, 0, "\"job\"");
	actor_send(&a, 2, 60, 30000);
	world_turn(&w);
	for (int i = 0; i < 5; i++)
		(void)expect_frame(&b, text, sizeof text);
	b_before = b.received;
	b.in_size = 0; /* what it has not taken in goes with its channel */
	cr_expect_eq(outbox_row(a.peer->outbox)->received, a.sequence);

	die_and_come_back(&w, all, 3);
	(void)close(c.fd); /* and c is gone meanwhile */
	c.fd = -1;
	while (actor_fill(&b))
		continue;
	b.in_size = 0;
	resume(&a, 1);
	resume(&b, 2);
	exchange_settle(w.exchange);
	world_turn(&w);
	cr_expect_eq(a.in_size, 0); /* nothing before the answer */
	say_resume(&a, &received);
	cr_expect_eq(received, a.sequence);
	say_resume(&b, &received);
	cr_expect_eq(received, b.sequence);

	cr_expect_eq(b.received, b_before);
	for (uint64_t i = 13; i <= 20; i++) {
		header = expect_frame(&b, text, sizeof text);
		cr_expect_eq(header.id, i);
		cr_expect_eq(header.sequence, i);
	}
	asked = expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"q\"");
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.size, 30000);
	/* The counters go on. */
	actor_say(&a, MUSTER_MESSAGE, 2, 61, "\"new\"");
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.id, 61);
	/* The request under way is answered to who asked. */
	actor_say(&b, MUSTER_REPLY, 1, asked.id, "\"r\"");
	/* What c had been written is lost with it, which is said. */
	expect_error(&a, 51, "worker-died");
	header = expect_frame(&a, text, sizeof text);
	cr_expect_eq(header.id, 50);
	/* What comes for c waits for its successor; the job for a worker. */
	c.peer = NULL;
	actor_ask(&a, 3, 53, 0, "\"for who comes\"");
	expect_nothing(&a);
	c.joined = 0;
	actor_spawn(&c, 33);
	actor_join(&c);
	header = expect_frame(&c, text, sizeof text);
	cr_expect_str_eq(text, "\"for who comes\"");
	actor_ready(&b);
	do
		header = expect_frame(&b, text, sizeof text);
	while (header.kind != MUSTER_REQUEST);
	cr_expect_str_eq(text, "\"job\"");
	actor_free(&c);
}

Test(exchange_death, what_a_vanished_process_had_taken_comes_back)
{
	struct actor *both[2] = {&a, &b};
	uint32_t received;
	char text[64];

	actor_say(&a, MUSTER_MESSAGE, 2, 1, "\"taken\"");
	(void)expect_frame(&b, text, sizeof text);
	actor_ask(&a, 2, 2, 0, "\"q\"");
	(void)expect_frame(&b, text, sizeof text);
	actor_ack(&b); /* of both: the question is with the process alone */
	actor_say(&a, MUSTER_MESSAGE, 2, 3, "\"not acked\"");
	(void)expect_frame(&b, text, sizeof text);
	die_and_come_back(&w, both, 2);
	resume(&a, 1);
	exchange_settle(w.exchange);
	b.peer = NULL;
	say_resume(&a, &received);
	expect_error(&a, 3, "worker-died");
	expect_error(&a, 2, "worker-died");
	cr_expect_eq(w.exchange->requests.open, 0);
	expect_nothing(&a);
}

Test(exchange_death, a_resume_that_does_not_fit_is_denied)
{
	struct actor *both[2] = {&a, &b};
	char text[128];

	die_and_come_back(&w, both, 2);
	resume(&a, 1);
	resume(&b, 2);
	exchange_settle(w.exchange);
	actor_say(&a, MUSTER_MESSAGE, 2, 0, "1");
	expect_end(&a);
	cr_expect_eq(a.how, PEER_END_DENIED);
	b.received = 77; /* it never got so much */
	{
		struct frame_header header = {
			.size = 46, .kind = MUSTER_REQUEST, .id = 1};
		uint8_t frame[128];

		frame_store(frame, &header);
		memcpy(frame + MUSTER_HEADER_SIZE,
			"{\"method\":\"resume\",\"params\":{\"received\":77 }}",
			46);
		actor_write(&b, frame, MUSTER_HEADER_SIZE + 46);
	}
	expect_end(&b);
	cr_expect_eq(b.how, PEER_END_DENIED);
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_not_null(strstr(text, "\"denied\""));
}

Test(exchange_death, who_takes_no_part_counts_as_not_joined_after)
{
	struct actor n, *all[3] = {&a, &b, &n};
	uint32_t received;
	char text[64];

	actor_new_in(&w, &n, w.group, 4);
	n.takes_part = false;
	actor_join(&n);
	(void)text;
	die_and_come_back(&w, all, 3);
	resume(&a, 1);
	resume(&b, 2);
	cr_expect_not(exchange_wants_channel(w.exchange, 4));
	cr_expect_not(exchange_wants_channel(w.exchange, 99));
	cr_assert_eq(peer_resume(n.endpoint, 4, json_null(), -1, &world_hooks,
			     &n, &n.peer),
		0);
	endpoint_set_peer(n.endpoint, n.peer);
	exchange_settle(w.exchange);
	say_resume(&a, &received);
	cr_expect_not(peer_has_joined(n.peer));
	actor_say(&a, MUSTER_MESSAGE, 4, 8, "1");
	expect_error(&a, 8, "not-joined");
	actor_free(&n);
}

Test(exchange_death, who_has_no_channel_gives_back_what_it_was_sent)
{
	struct actor n, *all[3] = {&a, &b, &n};
	uint32_t received;

	actor_new_in(&w, &n, w.group, 4);
	n.takes_part = false;
	actor_join(&n);
	actor_ask(&a, 4, 11, 0, "\"never answered\"");
	actor_ask(&n, 2, 12, 0, "\"whose answer reaches nobody\"");
	world_turn(&w);
	/* The brain dies while the kernel is called. */
	outbox_append_run(n.peer->outbox,
		(struct piece){.block = w.exchange->receive_block,
			.length = MUSTER_HEADER_SIZE + 2},
		0,
		(struct outbox_source){.channel = a.peer->outbox->channel,
			.mark = 1,
			.has_id = true});
	frame_store(memory_at(w.exchange->view,
			    outbox_entry(n.peer->outbox,
				    outbox_row(n.peer->outbox)->head)
				    ->block,
			    outbox_entry(n.peer->outbox,
				    outbox_row(n.peer->outbox)->head)
				    ->offset),
		&(struct frame_header){.kind = MUSTER_MESSAGE,
			.size = 2,
			.from = 1,
			.to = 4,
			.id = 13});
	outbox_row(n.peer->outbox)->written =
		memory_progress(outbox_row(n.peer->outbox)->tail, 0);
	die_and_come_back(&w, all, 3);
	resume(&a, 1);
	resume(&b, 2);
	cr_assert_eq(peer_resume(n.endpoint, 4, json_null(), -1, &world_hooks,
			     &n, &n.peer),
		0);
	endpoint_set_peer(n.endpoint, n.peer);
	exchange_settle(w.exchange);
	say_resume(&a, &received);
	expect_error(&a, 13, "lost");
	expect_error(&a, 11, "lost");
	cr_expect_eq(w.exchange->requests.open, 0);
	actor_free(&n);
}

Test(exchange_death, a_frame_whose_descriptor_died_comes_back)
{
	struct actor *both[2] = {&a, &b};
	struct frame_header header = {.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.to = 2,
		.id = 2};
	uint32_t received;
	char text[64];
	uint8_t frame[64];
	size_t size;

	actor_say(&a, MUSTER_MESSAGE, 2, 1, "\"before\"");
	size = actor_build(&a, frame, header, "", "1", 1);
	{
		struct iovec iov = {frame, size};
		_Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))];
		struct msghdr message = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = room,
			.msg_controllen = sizeof room};
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);

		*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(c), &w.memory_fd, sizeof(int));
		cr_assert_eq(sendmsg(a.fd, &message, 0), (ssize_t)size);
	}
	actor_say(&a, MUSTER_MESSAGE, 2, 3, "\"behind\"");
	world_turn(&w);
	while (actor_fill(&b))
		continue;
	b.in_size = 0; /* it takes nothing of that in */
	die_and_come_back(&w, both, 2);
	resume(&a, 1);
	resume(&b, 2);
	exchange_settle(w.exchange);
	say_resume(&a, &received);
	cr_expect_eq(received, 4);
	say_resume(&b, &received);
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.id, 1);
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.id, 3);
	cr_expect_eq(header.flags, 0);
	expect_error(&a, 2, "fd-missing");
	actor_ack(&b);
	cr_expect_eq(b.ended, 0);
}

Test(exchange_death, what_is_damaged_leaves_no_gap)
{
	struct actor *both[2] = {&a, &b};
	struct memory_entry *entry;
	struct frame_header header;
	uint32_t received;
	char text[64];

	actor_say(&a, MUSTER_MESSAGE, 2, 1, "\"taken\"");
	(void)expect_frame(&b, text, sizeof text);
	actor_ack(&b);
	for (uint64_t i = 2; i <= 5; i++) {
		actor_say(&a, MUSTER_MESSAGE, 2, i, "\"kept\"");
		world_turn(&w); /* each has an entry of its own */
	}
	while (actor_fill(&b))
		continue;
	b.in_size = 0;
	entry = outbox_entry(
		b.peer->outbox, outbox_row(b.peer->outbox)->head + 1);
	entry->block = 1u << 30;
	die_and_come_back(&w, both, 2);
	cr_expect_eq(memory_faults(w.exchange->memory), 1);
	resume(&a, 1);
	resume(&b, 2);
	exchange_settle(w.exchange);
	say_resume(&a, &received);
	say_resume(&b, &received);
	for (uint64_t i = 2; i <= 5; i++) {
		if (i == 3)
			continue;
		/* actor_take checks the numbers */
		header = expect_frame(&b, text, sizeof text);
		cr_expect_eq(header.id, i);
	}
	actor_say(&a, MUSTER_MESSAGE, 2, 6, "\"new\"");
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.id, 6);
	actor_ack(&b);
	cr_expect_eq(b.ended, 0);
}

Test(exchange_death, what_was_on_its_way_to_a_process_stays_in_order)
{
	struct actor *both[2] = {&a, &b};
	struct memory_channel *row;
	uint32_t received;
	char text[64];

	/* b's slot is empty: two wait; then a new process, which dies with the
	 * brain when the first of the two had been handed to it. */
	peer_retire(&b.peer);
	(void)close(b.fd);
	actor_say(&a, MUSTER_MESSAGE, 2, 1, "\"first\"");
	world_turn(&w);
	actor_say(&a, MUSTER_MESSAGE, 2, 2, "\"second\"");
	world_turn(&w);
	row = outbox_row(b.endpoint->outbox);
	{
		uint32_t waiting = b.endpoint->outbox->channel;
		uint32_t own =
			memory_take_channel(w.exchange->memory, MEMORY_WORKER);
		struct memory_channel *to = &w.exchange->view->channels[own];
		struct ring_cursor cursor = {.position = row->head};
		struct ring_frame frame;

		cr_assert(ring_next(
			w.exchange->view, waiting, row->tail, &cursor, &frame));
		to->process = 77;
		to->id = 2;
		*memory_entry_at(w.exchange->view, own, 0) =
			*memory_entry_at(w.exchange->view, waiting, row->head);
		memory_entry_at(w.exchange->view, own, 0)->length =
			frame.end_offset;
		to->tail = 1;
		memory_entry_at(w.exchange->view, waiting, row->head)->offset +=
			frame.end_offset;
		memory_entry_at(w.exchange->view, waiting, row->head)->length -=
			frame.end_offset;
		row->flags = MEMORY_LEAVING;
	}
	b.fd = -1;
	{
		struct peer none = {.fd = -1};

		b.peer = &none;
		die_and_come_back(&w, both, 2);
		b.peer = NULL;
	}
	resume(&a, 1);
	exchange_settle(w.exchange);
	say_resume(&a, &received);
	actor_spawn(&b, 88);
	b.joined = 0;
	actor_join(&b);
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"first\"");
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"second\"");
}

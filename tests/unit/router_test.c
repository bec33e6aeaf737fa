/* The router: who receives what, and what becomes of what nobody can have. */
#include "exchange_world.h"

static struct world w;
static struct actor a, b, c;

static void
open_three(void)
{
	world_new(&w);
	actor_new(&w, &a, 1);
	actor_new(&w, &b, 2);
	actor_new(&w, &c, 3);
}

static void
close_three(void)
{
	actor_free(&a);
	actor_free(&b);
	actor_free(&c);
	world_free(&w);
}

static void
all_ready(void)
{
	actor_ready(&a);
	actor_ready(&b);
	actor_ready(&c);
	(void)actor_skip(&a);
	(void)actor_skip(&b);
	(void)actor_skip(&c);
}

TestSuite(router, .init = open_three, .fini = close_three);

Test(router, unicast_stamps_from_and_numbers)
{
	char text[64];
	struct frame_header header;

	for (uint32_t i = 1; i <= 3; i++) {
		actor_say_named(&a,
			(struct frame_header){.kind = MUSTER_MESSAGE,
				.to = 2,
				.from = 77, /* a lie */
				.id = i},
			"", "\"hi\"", 4);
		header = expect_frame(&b, text, sizeof text);
		cr_expect_eq(header.from, 1);
		cr_expect_eq(header.to, 2);
		cr_expect_eq(header.id, i);
		cr_expect_eq(header.sequence, i);
		cr_expect_str_eq(text, "\"hi\"");
	}
	actor_say(&a, MUSTER_MESSAGE, 1, 0, "\"to myself\"");
	header = expect_frame(&a, text, sizeof text);
	cr_expect_eq(header.from, 1);
	cr_expect_str_eq(text, "\"to myself\"");
}

Test(router, what_nobody_can_have_comes_back)
{
	actor_say(&a, MUSTER_MESSAGE, 99, 5, "1");
	expect_error(&a, 5, "no-such-worker");
	actor_say(&a, MUSTER_MESSAGE, 0xfffffff0u, 6, "1");
	expect_error(&a, 6, "no-such-worker");
	actor_say(&a, MUSTER_MESSAGE, MUSTER_FIRST_CLIENT, 7, "1");
	expect_error(&a, 7, "no-such-worker");
	actor_say_named(&a,
		(struct frame_header){
			.kind = MUSTER_MESSAGE, .to = MUSTER_TO_ALL, .id = 8},
		"web", "1", 1);
	expect_error(&a, 8, "no-such-app");
	actor_say_named(&a,
		(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2, .id = 9},
		"api", "1", 1);
	expect_error(&a, 9, "bad-request");
	actor_ask(&a, MUSTER_TO_ALL, 10, 0, "1");
	expect_error(&a, 10, "bad-request");
	endpoint_set_dormant(b.endpoint, true);
	actor_say(&a, MUSTER_MESSAGE, 2, 11, "1");
	expect_error(&a, 11, "not-running");
	actor_say(&a, MUSTER_MESSAGE, 99, 0, "1"); /* nobody hears of it */
	expect_nothing(&a);
	cr_expect_eq(w.exchange->losses.uncounted, 1);
}

Test(router, all_reaches_the_ready_but_the_sender)
{
	char text[64], *large = malloc(100000);
	struct frame_header header;

	actor_ready(&a);
	actor_ready(&b);
	(void)actor_skip(&a);
	(void)actor_skip(&b);
	(void)actor_skip(&c); /* joined, not ready */
	actor_say(&a, MUSTER_MESSAGE, MUSTER_TO_ALL, 0, "\"all\"");
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.from, 1);
	cr_expect_eq(header.to, MUSTER_TO_ALL);
	cr_expect_str_eq(text, "\"all\"");
	expect_nothing(&a);
	expect_nothing(&c);

	actor_ready(&c);
	(void)actor_skip(&a);
	(void)actor_skip(&b);
	for (size_t size = 600; size < 100000; size *= 5) {
		uint32_t before = c.received;

		actor_send(&a, MUSTER_TO_ALL, 0, size);
		header = expect_frame(&b, large, 100000);
		cr_expect_eq(header.size, size);
		cr_expect_eq(large[0], '"');
		cr_expect_eq(large[size - 1], '"');
		cr_expect_eq(large[size / 2], 'x');
		header = expect_frame(&c, large, 100000);
		cr_expect_eq(header.sequence, before + 1);
		cr_expect_eq(large[size - 1], '"');
	}
	free(large);
	expect_nothing(&a);
}

Test(router, all_by_name_reaches_the_other_application)
{
	struct group *web = group_new(w.exchange, "web", &world_limits);
	struct actor d;
	char text[64];

	actor_new_in(&w, &d, web, 7);
	actor_join(&d);
	actor_ready(&d);
	all_ready();
	actor_say_named(&a,
		(struct frame_header){
			.kind = MUSTER_MESSAGE, .to = MUSTER_TO_ALL},
		"web", "\"x\"", 3);
	cr_expect_eq(expect_frame(&d, text, sizeof text).from, 1);
	cr_expect_str_eq(text, "web\"x\"");
	expect_nothing(&b);
	actor_free(&d);
}

Test(router, any_is_fair)
{
	int to_b = 0, to_c = 0;
	char text[64];

	all_ready();
	for (int i = 0; i < 10; i++)
		actor_say(&a, MUSTER_MESSAGE, MUSTER_TO_ANY, 0, "\"job\"");
	while (actor_sees_frame(&b))
		to_b += actor_take(&b, text, sizeof text).to == MUSTER_TO_ANY;
	while (actor_sees_frame(&c))
		to_c += actor_take(&c, text, sizeof text).to == MUSTER_TO_ANY;
	cr_expect_eq(to_b, 5);
	cr_expect_eq(to_c, 5);

	/* One has an open request: the other gets the next two. */
	actor_ask(&a, MUSTER_TO_ANY, 1, 0, "1");
	world_turn(&w);
	if (actor_sees_frame(&b)) {
		actor_ask(&a, MUSTER_TO_ANY, 2, 0, "2");
		cr_expect_eq(expect_frame(&c, text, sizeof text).kind,
			MUSTER_REQUEST);
	} else {
		actor_ask(&a, MUSTER_TO_ANY, 2, 0, "2");
		cr_expect_eq(expect_frame(&b, text, sizeof text).kind,
			MUSTER_REQUEST);
	}
}

Test(router, a_request_is_answered_to_who_asked)
{
	struct frame_header asked, answer;
	char text[64];

	actor_ask(&a, 2, 40, 0, "\"what\"");
	asked = expect_frame(&b, text, sizeof text);
	cr_expect_eq(asked.kind, MUSTER_REQUEST);
	cr_expect_eq(asked.from, 1);
	cr_expect_neq(asked.id, 40);

	actor_ask(&a, 3, 40, 0, "1"); /* still open */
	expect_error(&a, 40, "bad-request");
	actor_ask(&a, 3, 0, 0, "1");
	expect_error(&a, 0, "bad-request");

	/* Who wasn't asked answers nothing. */
	actor_say(&c, MUSTER_REPLY, 1, asked.id, "\"lie\"");
	expect_nothing(&a);
	cr_expect_eq(w.exchange->losses.answers, 1);

	actor_say(&b, MUSTER_REPLY, 1, asked.id, "\"that\"");
	answer = expect_frame(&a, text, sizeof text);
	cr_expect_eq(answer.kind, MUSTER_REPLY);
	cr_expect_eq(answer.id, 40);
	cr_expect_eq(answer.from, 2);
	cr_expect_str_eq(text, "\"that\"");

	actor_say(&b, MUSTER_REPLY, 1, asked.id, "\"again\"");
	expect_nothing(&a);
	cr_expect_eq(w.exchange->losses.answers, 2);

	actor_ask(&a, 2, 40, 0, "2"); /* the id is free again */
	asked = expect_frame(&b, text, sizeof text);
	actor_say(&b, MUSTER_ERROR, 1, asked.id, "{\"code\":\"app-x\"}");
	answer = expect_frame(&a, text, sizeof text);
	cr_expect_eq(answer.kind, MUSTER_ERROR);
	cr_expect_eq(answer.id, 40);
	cr_expect_eq(w.exchange->requests.open, 0);
	cr_expect_eq(a.peer->asking_count, 0);
	cr_expect_eq(b.peer->answering_count, 0);
}

Test(router, a_request_times_out_and_its_answer_is_late)
{
	struct frame_header asked;
	char text[64];

	actor_ask(&a, 2, 8, 30, "1");
	asked = expect_frame(&b, text, sizeof text);
	expect_error(&a, 8, "timeout");
	actor_say(&b, MUSTER_REPLY, 1, asked.id, "1");
	expect_nothing(&a);
	cr_expect_eq(w.exchange->losses.answers, 1);
	cr_expect_eq(w.exchange->requests.open, 0);
}

Test(router, a_dead_workers_requests_come_back)
{
	char text[64];

	actor_ask(&a, 2, 8, 0, "1");
	(void)expect_frame(&b, text, sizeof text);
	actor_ask(&b, 3, 9, 0, "1");
	(void)expect_frame(&c, text, sizeof text);
	peer_retire(&b.peer);
	expect_error(&a, 8, "worker-died");
	cr_expect_eq(w.exchange->requests.open, 0);
	cr_expect_eq(c.peer->answering_count, 0);
	cr_expect_eq(a.peer->asking_count, 0);
}

Test(router, what_a_dead_worker_never_got_is_for_its_successor)
{
	struct frame_header header;
	char text[64];

	peer_retire(&b.peer);
	(void)close(b.fd);
	for (uint64_t i = 1; i <= 5; i++)
		actor_say(&a, i == 3 ? MUSTER_REQUEST : MUSTER_MESSAGE, 2, i,
			"\"wait\"");
	actor_send(&a, 2, 6, 20000);
	actor_send(&a, 2, 7, 30000);
	world_turn(&w);
	cr_expect_eq(b.endpoint->outbox->queued, 5 * 38 + 50064);
	actor_spawn(&b, 22);
	b.joined = 0;
	expect_frame(&b, text, sizeof text); /* the welcome */
	expect_nothing(&b);		     /* and nothing before it joins */
	actor_say(&b, MUSTER_MESSAGE, 0, 0, "\"here\"");
	for (uint64_t i = 1; i <= 7; i++) {
		header = expect_frame(&b, text, sizeof text);
		cr_expect_eq(header.sequence, i);
		cr_expect_eq(header.from, 1);
		if (i == 3)
			actor_say(&b, MUSTER_REPLY, 1, header.id, "3");
		else
			cr_expect_eq(header.id, i);
	}
	header = expect_frame(&a, text, sizeof text);
	cr_expect_eq(header.id, 3);
	cr_expect_eq(header.kind, MUSTER_REPLY);
}

Test(router, written_and_not_acknowledged_comes_back)
{
	char text[64];

	actor_say(&a, MUSTER_MESSAGE, 2, 1, "\"acked\"");
	(void)expect_frame(&b, text, sizeof text);
	actor_ack(&b);
	actor_say(&a, MUSTER_MESSAGE, 2, 2, "\"taken\"");
	(void)expect_frame(&b, text, sizeof text);
	actor_say(&a, MUSTER_MESSAGE, 2, 0, "\"not asked\"");
	world_turn(&w);
	peer_retire(&b.peer);
	expect_error(&a, 2, "worker-died");
	expect_nothing(&a);
}

Test(router, events_are_for_the_process_alone)
{
	json_t *event = json_pack("{s:s}", "event", "shutdown");
	int small = 4096;
	char text[64];

	/* b's socket is full, so that all waits. */
	(void)setsockopt(
		b.peer->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (int i = 0; i < 3; i++)
		actor_send(&a, 2, 0, 20000);
	world_turn(&w);
	actor_say(&a, MUSTER_MESSAGE, 2, 71, "\"one\"");
	world_turn(&w);
	cr_expect_eq(peer_send(b.peer, event), 0);
	actor_say(&a, MUSTER_MESSAGE, 2, 72, "\"two\"");
	world_turn(&w);
	cr_assert_gt(b.peer->outbox->queued, 0);
	peer_retire(&b.peer);
	(void)close(b.fd);
	free(b.in);
	b.in = NULL;
	b.in_room = 0;
	b.joined = 0;
	actor_spawn(&b, 22);
	actor_join(&b);
	for (;;) {
		struct frame_header header =
			expect_frame(&b, text, sizeof text);

		cr_assert_eq(header.from, 1, "%s", text);
		if (header.id == 72)
			break;
	}
	json_decref(event);
}

Test(router, jobs_wait_for_a_worker)
{
	struct frame_header header;
	char text[64];

	actor_ask(&a, MUSTER_TO_ANY, 1, 0, "1");
	actor_ask(&a, MUSTER_TO_ANY, 2, 0, "2");
	actor_ask(&a, MUSTER_TO_ANY, 3, 30, "3");
	expect_nothing(&b);
	expect_error(&a, 3, "timeout");
	actor_ready(&b);
	header = expect_frame(&b, text, sizeof text);
	while (header.kind != MUSTER_REQUEST)
		header = expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "1");
	actor_say(&b, MUSTER_REPLY, 1, header.id, "11");
	header = expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "2");
	expect_nothing(&b);
	for (;;) {
		header = expect_frame(&a, text, sizeof text);
		if (header.kind == MUSTER_REPLY)
			break;
	}
	cr_expect_eq(header.id, 1);
}

Test(router, a_job_that_only_its_sender_could_do_holds_nobody_up)
{
	struct frame_header header;
	char text[64];

	actor_ready(&a); /* alone */
	(void)actor_skip(&a);
	(void)actor_skip(&b);
	(void)actor_skip(&c);
	actor_ask(&a, MUSTER_TO_ANY, 1, 0, "\"not mine\"");
	world_turn(&w);
	actor_ask(&b, MUSTER_TO_ANY, 2, 0, "\"for a\"");
	header = expect_frame(&a, text, sizeof text);
	cr_expect_str_eq(text, "\"for a\"");
	cr_expect_eq(header.from, 2);
	actor_ready(&b);
	header = expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"not mine\"");
}

Test(router, a_stopped_application_gives_its_jobs_back)
{
	actor_ask(&a, MUSTER_TO_ANY, 1, 0, "1");
	world_turn(&w);
	group_set_running(w.group, false);
	expect_error(&a, 1, "not-running");
	actor_ask(&a, MUSTER_TO_ANY, 2, 0, "1");
	expect_error(&a, 2, "not-running");
	group_set_running(w.group, true);
	endpoint_set_dormant(b.endpoint, true);
	endpoint_set_dormant(c.endpoint, true);
	actor_ask(&a, MUSTER_TO_ANY, 3, 0, "1"); /* only itself is left */
	expect_error(&a, 3, "not-running");
}

Test(router, job_concurrency_is_a_bound)
{
	struct group_limits limits = world_limits;
	struct frame_header header;
	struct actor d, e;
	struct group *jobs;
	char text[64];

	limits.job_concurrency = 1;
	jobs = group_new(w.exchange, "jobs", &limits);
	actor_new_in(&w, &d, jobs, 11);
	actor_join(&d);
	actor_new_in(&w, &e, jobs, 12);
	actor_join(&e);
	actor_ready(&d);
	for (uint64_t i = 1; i <= 3; i++)
		actor_say_named(&a,
			(struct frame_header){.kind = MUSTER_REQUEST,
				.to = MUSTER_TO_ANY,
				.id = i},
			"jobs", "1", 1);
	header = expect_frame(&d, text, sizeof text);
	expect_nothing(&d);
	actor_say(&d, MUSTER_REPLY, 1, header.id, "1");
	header = expect_frame(&d, text, sizeof text);
	expect_nothing(&d);
	actor_ready(&e);
	do
		header = expect_frame(&e, text, sizeof text);
	while (header.kind != MUSTER_REQUEST);
	actor_free(&d);
	actor_free(&e);
}

Test(router, clients_are_asked_nothing_and_hear_of_their_frames)
{
	struct actor guest, operator_;
	struct frame_header header;
	char text[64];

	all_ready();
	actor_client(&w, &guest);
	actor_client(&w, &operator_);
	peer_admit(guest.peer, PEER_GUEST);
	peer_admit(operator_.peer, PEER_OPERATOR);
	cr_expect_eq(peer_id(guest.peer), MUSTER_FIRST_CLIENT);

	actor_say(&guest, MUSTER_MESSAGE, 1, 0, "\"g\"");
	cr_expect_eq(
		expect_frame(&a, text, sizeof text).from, MUSTER_FIRST_CLIENT);
	actor_say(&a, MUSTER_MESSAGE, MUSTER_FIRST_CLIENT, 0, "\"back\"");
	header = expect_frame(&guest, text, sizeof text);
	cr_expect_eq(header.from, 1);
	cr_expect_eq(header.sequence, 0);
	actor_ask(&a, MUSTER_FIRST_CLIENT, 5, 0, "1");
	expect_error(&a, 5, "bad-request");
	actor_say(&guest, MUSTER_MESSAGE, MUSTER_TO_ALL, 6, "1");
	expect_error(&guest, 6, "bad-request");

	/* An operator speaks as 0, and to every application. */
	actor_say(&operator_, MUSTER_MESSAGE, MUSTER_TO_ALL, 0, "\"o\"");
	cr_expect_eq(expect_frame(&a, text, sizeof text).from, 0);
	cr_expect_eq(expect_frame(&b, text, sizeof text).from, 0);
	cr_expect_eq(expect_frame(&c, text, sizeof text).from, 0);
	actor_ask(&operator_, 2, 9, 0, "\"q\"");
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.from, 0);
	actor_say(&b, MUSTER_REPLY, 0, header.id, "\"r\"");
	header = expect_frame(&operator_, text, sizeof text);
	cr_expect_eq(header.id, 9);
	cr_expect_eq(header.from, 2);

	actor_say(&operator_, MUSTER_MESSAGE, 3, 33, "1");
	(void)expect_frame(&c, text, sizeof text);
	actor_say(&guest, MUSTER_MESSAGE, 3, 34, "1");
	(void)expect_frame(&c, text, sizeof text);
	peer_retire(&c.peer);
	expect_error(&operator_, 33, "worker-died");
	expect_error(&guest, 34, "worker-died");
	actor_free(&guest);
	actor_free(&operator_);
}

/* A frame to all with the other end of the pipe that `fd` reads. */
static void
expect_descriptor(struct actor *actor, int fd)
{
	char text[64];
	int before = (int)actor->fd_count;

	cr_expect_eq(
		expect_frame(actor, text, sizeof text).flags, MUSTER_FLAG_FD);
	cr_expect_str_eq(text, "\"all\"");
	cr_assert_eq((int)actor->fd_count, before + 1);
	cr_expect_eq(write(actor->fds[before], "!", 1), 1);
	cr_expect_eq(read(fd, text, sizeof text), 1);
}

Test(router, descriptors_travel_alone_and_first)
{
	struct frame_header header = {.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.to = 2,
		.id = 1};
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	uint8_t frame[64];
	size_t size;
	struct iovec iov;
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control.room};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	char text[64];
	int pipes[2];

	cr_assert_eq(pipe(pipes), 0);
	*cmsg = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(cmsg), &pipes[1], sizeof(int));
	actor_say(&a, MUSTER_MESSAGE, 2, 0, "\"before\"");
	size = actor_build(&a, frame, header, "", "\"fd\"", 4);
	iov = (struct iovec){frame, size};
	cr_assert_eq(sendmsg(a.fd, &message, 0), (ssize_t)size);
	actor_say(&a, MUSTER_MESSAGE, 2, 0, "\"after\"");
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"before\"");
	cr_expect_eq(expect_frame(&b, text, sizeof text).flags, MUSTER_FLAG_FD);
	cr_assert_eq(b.fd_count, 1);
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"after\"");
	cr_expect_eq(write(b.fds[0], "!", 1), 1);
	cr_expect_eq(read(pipes[0], text, sizeof text), 1);

	/* Without one. */
	size = actor_build(&a, frame, header, "", "\"fd\"", 4);
	actor_write(&a, frame, size);
	expect_error(&a, 1, "fd-missing");
	/* To all: each gets one of its own. */
	all_ready();
	header.to = MUSTER_TO_ALL;
	size = actor_build(&a, frame, header, "", "\"all\"", 5);
	iov = (struct iovec){frame, size};
	cr_assert_eq(sendmsg(a.fd, &message, 0), (ssize_t)size);
	expect_descriptor(&b, pipes[0]);
	expect_descriptor(&c, pipes[0]);
	expect_nothing(&a);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

Test(router, a_broadcast_with_hardly_any_block_left)
{
	struct memory *memory = w.exchange->memory;
	uint32_t last = MEMORY_NONE;
	char text[64];

	all_ready();
	actor_ack(&b); /* so that neither has a block with room */
	actor_ack(&c);
	while (memory_has_small(memory, 2))
		last = memory_take_small(memory, false);
	actor_say(&a, MUSTER_MESSAGE, MUSTER_TO_ALL, 0, "\"one block\"");
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"one block\"");
	(void)expect_frame(&c, text, sizeof text);
	cr_expect_str_eq(text, "\"one block\"");
	actor_ack(&b);
	actor_ack(&c);
	cr_expect_neq(memory_take_small(memory, false), MEMORY_NONE);
	actor_say(&a, MUSTER_MESSAGE, MUSTER_TO_ALL, 0, "\"none\"");
	expect_nothing(&b);
	cr_expect(peer_is_paused(a.peer));
	memory_release(memory, last);
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"none\"");
	(void)expect_frame(&c, text, sizeof text);
	cr_expect_not(peer_is_paused(a.peer));
}

/* The reading side: frames however they are cut, faults, descriptors, acks. */
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

TestSuite(intake, .init = open_two, .fini = close_two);

/* Joining --------------------------------------------------------------- */

Test(intake, the_first_number_settles_who_takes_part)
{
	struct actor none, wrong;
	char text[128];

	cr_expect(peer_has_joined(a.peer));
	cr_expect(outbox_row(a.peer->outbox)->flags & MEMORY_TAKES_PART);

	actor_new_in(&w, &none, w.group, 3);
	none.takes_part = false;
	cr_expect_not(peer_has_joined(none.peer));
	actor_join(&none);
	cr_expect_not(outbox_row(none.peer->outbox)->flags & MEMORY_TAKES_PART);
	actor_say(&a, MUSTER_MESSAGE, 3, 0, "\"0\"");
	cr_expect_eq(expect_frame(&none, text, sizeof text).sequence, 0);
	/* Written is done with: nothing is kept for it. */
	cr_expect_eq(outbox_row(none.peer->outbox)->head,
		outbox_row(none.peer->outbox)->tail);
	/* Its ack is nobody's word, and it gets none. */
	cr_expect_eq(none.messages, 1);
	actor_say(&none, MUSTER_MESSAGE, 0, 0,
		"{\"event\":\"ack\",\"sequence\":7}");
	expect_nothing(&none);
	cr_expect_eq(none.messages, 1);
	cr_expect_eq(none.in_size, 0);
	actor_say_named(&none,
		(struct frame_header){
			.kind = MUSTER_MESSAGE, .to = 2, .sequence = 1},
		"", "1", 1);
	expect_end(&none);
	cr_expect_eq(none.how, PEER_END_PROTOCOL);

	actor_new_in(&w, &wrong, w.group, 4);
	wrong.sequence = 1;
	actor_say(&wrong, MUSTER_MESSAGE, 0, 0, "1");
	expect_end(&wrong);
	cr_expect_eq(wrong.how, PEER_END_PROTOCOL);
	cr_expect_eq(wrong.joined, 0);
	actor_free(&none);
	actor_free(&wrong);
}

Test(intake, frames_wait_for_the_join_and_get_their_numbers_then)
{
	struct frame_header header;
	struct actor d;
	char text[128];

	actor_new_in(&w, &d, w.group, 5);
	(void)expect_frame(&d, text, sizeof text);
	for (uint64_t i = 1; i <= 3; i++)
		actor_say(&a, MUSTER_MESSAGE, 5, i, "\"early\"");
	expect_nothing(&d);
	cr_expect_eq(peer_send(d.peer, json_null()), -ENOTCONN);
	actor_say(&d, MUSTER_MESSAGE, 2, 0, "\"here\"");
	for (uint64_t i = 1; i <= 3; i++) {
		header = expect_frame(&d, text, sizeof text);
		cr_expect_eq(header.id, i);
		cr_expect_eq(header.sequence, i);
	}
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"here\"");
	actor_free(&d);
}

/* Cut streams ----------------------------------------------------------- */

/* Frames of each kind of way: fast, slow, to 0. */
static size_t
build_mixture(uint8_t *room)
{
	size_t size = 0;

	for (int i = 0; i < 3; i++)
		size += actor_build(&a, room + size,
			(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2},
			"", "\"fast\"", 6);
	size += actor_build(&a, room + size,
		(struct frame_header){
			.kind = MUSTER_REQUEST, .to = 2, .id = a.sequence},
		"", "\"slow\"", 6);
	size += actor_build(&a, room + size,
		(struct frame_header){
			.kind = MUSTER_REQUEST, .to = 0, .id = a.sequence},
		"", "\"zero\"", 6);
	return size;
}

Test(intake, a_stream_may_be_cut_at_every_byte)
{
	uint8_t room[512];
	char text[64];
	size_t size = build_mixture(room);

	actor_write(&a, room, size);
	for (size_t cut = 1; cut < size; cut++) {
		for (int i = 0; i < 4; i++)
			(void)expect_frame(&b, text, sizeof text);
		expect_nothing(&b);
		cr_assert_eq(build_mixture(room), size);
		actor_write(&a, room, cut);
		world_turn(&w);
		actor_write(&a, room + cut, size - cut);
		if (cut % 16 == 0)
			actor_ack(&b);
	}
	for (int i = 0; i < 4; i++)
		(void)expect_frame(&b, text, sizeof text);
	world_wait(&w, a.requests == (int)size);
	cr_expect_eq(a.ended, 0);
}

Test(intake, byte_by_byte)
{
	uint8_t room[512];
	char text[64];
	size_t size = build_mixture(room);

	for (size_t i = 0; i < size; i++) {
		actor_write(&a, room + i, 1);
		world_turn(&w);
	}
	for (int i = 0; i < 4; i++)
		(void)expect_frame(&b, text, sizeof text);
	world_wait(&w, a.requests == 1);
}

/* A body that can be told from any other. */
static void
fill_body(uint8_t *body, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++)
		body[i] = (uint8_t)('a' + (seed + i + i / 251) % 26);
}

/* Sends a frame of `size` in writes of `step`, and expects it whole. */
static void
pass_long(size_t size, size_t step)
{
	uint8_t *room = malloc(MUSTER_HEADER_SIZE + size);
	uint8_t *body = malloc(size), *got = malloc(size + 1);
	struct frame_header header;
	size_t total;

	cr_assert(room != NULL && body != NULL && got != NULL);
	fill_body(body, size, (uint32_t)size);
	total = actor_build(&a, room,
		(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2}, "",
		body, size);
	for (size_t at = 0; at < total; at += step) {
		actor_write(
			&a, room + at, total - at < step ? total - at : step);
		world_turn(&w);
		while (actor_fill(&b))
			world_turn(&w);
	}
	header = expect_frame(&b, (char *)got, size + 1);
	cr_assert_eq(header.size, size);
	cr_assert_eq(memcmp(got, body, size), 0, "%zu by %zu", size, step);
	actor_ack(&b);
	free(room);
	free(body);
	free(got);
}

Test(intake, long_frames_in_any_steps)
{
	pass_long(65536, 1000);
	pass_long(65536, 65536 + 32);
	pass_long(300000, 7777);
	pass_long(1 << 20, 4096); /* more reads than a frame has pieces */
	pass_long(MUSTER_MAX_MESSAGE, 1 << 20);
	pass_long(MUSTER_MAX_MESSAGE, 16384);
	cr_expect_eq(w.exchange->promised, 0);
	cr_expect_eq(a.ended, 0);
}

Test(intake, a_long_frame_beside_others_traffic)
{
	size_t size = 2 << 20, total;
	uint8_t *room = malloc(MUSTER_HEADER_SIZE + size);
	uint8_t *body = malloc(size);
	struct frame_header header;
	char text[64];
	int small = 0;

	fill_body(body, size, 3);
	total = actor_build(&a, room,
		(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2}, "",
		body, size);
	for (size_t at = 0; at < total; at += 3000) {
		actor_write(
			&a, room + at, total - at < 3000 ? total - at : 3000);
		actor_say(&b, MUSTER_MESSAGE, 1, 0, "\"x\"");
		world_turn(&w);
		if (actor_sees_frame(&a))
			small += actor_skip(&a) > 0;
		actor_ack(&a);
	}
	header = expect_frame(&b, text, sizeof text);
	cr_expect_eq(header.size, size);
	cr_expect_gt(small, 500);
	free(room);
	free(body);
}

/* Faults ---------------------------------------------------------------- */

struct fault {
	struct frame_header header;
	const char *says;
};

static const struct fault faults[] = {
	{{.size = 1, .kind = 6, .sequence = 2}, "kind"},
	{{.size = 1, .kind = 0, .sequence = 2}, "kind"},
	{{.size = 1, .kind = 1, .flags = 4, .sequence = 2}, "flag"},
	{{.size = 1, .kind = 1, .name_size = 2, .sequence = 2}, "name"},
	{{.size = 300, .kind = 1, .name_size = 256, .sequence = 2}, "name"},
	{{.size = 0, .kind = 1, .sequence = 2}, "empty"},
	{{.size = 3, .kind = 1, .name_size = 3, .sequence = 2}, "empty"},
	{{.size = MUSTER_MAX_MESSAGE + 1, .kind = 1, .sequence = 2},
		"max_message"},
	{{.size = UINT32_MAX, .kind = 1, .sequence = 2}, "max_message"},
	{{.size = 1, .kind = 1, .to = 2, .sequence = 3}, "sequence"},
	{{.size = 1, .kind = 1, .to = 2, .sequence = 1}, "sequence"},
	{{.size = 1, .kind = 1, .to = 2, .sequence = 0}, "sequence"},
	{{.size = 1, .kind = 1, .to = 0, .sequence = 0}, "sequence"},
};

Test(intake, faults_are_told_and_end_the_channel)
{
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		struct frame_header header;
		uint8_t frame[512] = {0};
		struct actor d;
		char text[256];

		actor_new_in(&w, &d, w.group, 10 + (uint32_t)i);
		actor_join(&d);
		frame_store(frame, &faults[i].header);
		memset(frame + MUSTER_HEADER_SIZE, '1', 300);
		actor_write(&d, frame, MUSTER_HEADER_SIZE + 300);
		expect_end(&d);
		cr_expect_eq(d.how, PEER_END_PROTOCOL, "fault %zu", i);
		header = expect_frame(&d, text, sizeof text);
		cr_expect_eq(header.kind, MUSTER_ERROR);
		cr_expect_eq(header.sequence, 0);
		cr_expect_not_null(strstr(text, "\"protocol\""));
		cr_expect_not_null(
			strstr(text, faults[i].says), "%zu: %s", i, text);
		cr_expect_eq(d.ended, 1);
		actor_free(&d);
	}
	/* The others' traffic goes on. */
	pass_long(100, 200);
}

Test(intake, an_ack_of_what_was_never_written_is_a_fault)
{
	struct frame_header ack = {.size = 32, .kind = MUSTER_MESSAGE};
	uint8_t frame[64];

	frame_store(frame, &ack);
	memcpy(frame + MUSTER_HEADER_SIZE,
		"{\"event\":\"ack\",\"sequence\":1   }", 32);
	actor_write(&a, frame, sizeof frame);
	expect_end(&a);
	cr_expect_eq(a.how, PEER_END_PROTOCOL);
}

Test(intake, too_much_for_0_is_refused_and_no_more)
{
	char *body = malloc(MUSTER_MAX_TO_SUPERVISOR + 1);

	memset(body, '1', MUSTER_MAX_TO_SUPERVISOR + 1);
	actor_say_named(&a,
		(struct frame_header){.kind = MUSTER_REQUEST, .id = 5}, "",
		body, MUSTER_MAX_TO_SUPERVISOR + 1);
	expect_error(&a, 5, "too-large");
	actor_say_named(&a,
		(struct frame_header){.kind = MUSTER_REQUEST, .id = 6}, "",
		body, MUSTER_MAX_TO_SUPERVISOR);
	world_wait(&w, a.requests == 1);
	cr_expect_eq(a.ended, 0);
	free(body);
}

Test(intake, the_end_comes_after_what_was_sent)
{
	char text[64];

	actor_say(&a, MUSTER_MESSAGE, 2, 0, "\"last words\"");
	actor_write(&a, "half", 4);
	(void)close(a.fd);
	a.fd = -1;
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_str_eq(text, "\"last words\"");
	expect_end(&a);
	cr_expect_eq(a.how, PEER_END_CLOSED);
}

/* Descriptors ----------------------------------------------------------- */

static int
count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
send_fds(struct actor *actor, const void *bytes, size_t size, int count)
{
	static char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec iov = {(void *)(uintptr_t)bytes, size};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	for (int i = 0; i < count; i++)
		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &actor->fd,
			sizeof(int));
	cr_assert_eq(sendmsg(actor->fd, &message, 0), (ssize_t)size);
}

Test(intake, unclaimed_descriptors_are_closed_and_the_16th_ends_it)
{
	int before = count_fds();
	uint8_t frame[64];
	size_t size;

	for (int i = 0; i < 15; i++) {
		size = actor_build(&a, frame,
			(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2},
			"", "1", 1);
		send_fds(&a, frame, size, 1);
		world_turn(&w);
	}
	cr_expect_eq(a.ended, 0);
	cr_expect_eq(a.peer->unclaimed, 15);
	cr_expect_eq(count_fds(), before);
	size = actor_build(&a, frame,
		(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2}, "", "1",
		1);
	send_fds(&a, frame, size, 1);
	expect_end(&a);
	cr_expect_eq(a.how, PEER_END_DESCRIPTORS);
	cr_expect_eq(w.exchange->losses.descriptors, 16);
}

Test(intake, a_call_with_253_descriptors)
{
	int before = count_fds();
	uint8_t frame[64];
	size_t size = actor_build(&a, frame,
		(struct frame_header){.kind = MUSTER_MESSAGE, .to = 2}, "", "1",
		1);

	send_fds(&a, frame, size, 253);
	expect_end(&a);
	cr_expect_eq(a.how, PEER_END_DESCRIPTORS);
	cr_expect_eq(count_fds(), before);
}

Test(intake, a_descriptor_waits_for_the_rest_of_its_header)
{
	uint8_t frame[64];
	char text[64];
	size_t size = actor_build(&a, frame,
		(struct frame_header){.kind = MUSTER_MESSAGE,
			.flags = MUSTER_FLAG_FD,
			.to = 2},
		"", "\"fd\"", 4);

	send_fds(&a, frame, 10, 1);
	world_turn(&w);
	actor_write(&a, frame + 10, 25);
	world_turn(&w);
	actor_write(&a, frame + 35, size - 35);
	(void)expect_frame(&b, text, sizeof text);
	cr_expect_eq(b.fd_count, 1);
	cr_expect_eq(a.peer->unclaimed, 0);
}

/* Acknowledging ---------------------------------------------------------- */

/* Takes frames until an ack comes; returns its number. */
static uint32_t
next_ack(struct actor *actor)
{
	char text[256];
	unsigned int number = 0;

	for (;;) {
		world_wait(&w,
			actor_has_frame(actor) ||
				(actor_fill(actor) && actor_has_frame(actor)));
		(void)actor_take(actor, text, sizeof text);
		if (sscanf(text, "{\"event\":\"ack\",\"sequence\":%u}",
			    &number) == 1)
			return number;
	}
}

Test(intake, acks_after_time_frames_and_bytes)
{
	struct instant start = clock_now();

	cr_expect_eq(next_ack(&a), 1); /* of the frame that joined */
	cr_expect_leq(clock_ms_between(start, clock_now()), 1000);
	cr_expect_eq(next_ack(&b), 1);
	for (int i = 0; i < 256; i++)
		actor_say(&a, MUSTER_MESSAGE, 2, 0, "1");
	world_turn(&w);
	cr_expect(actor_sees_frame(&a)); /* at once */
	cr_expect_eq(next_ack(&a), 257);
	cr_expect_not(ev_is_active(&w.exchange->ack_timer));
	actor_send(&a, 2, 0, 1 << 20);
	world_turn(&w);
	cr_expect_eq(next_ack(&a), 258);
	expect_nothing(&a);
	actor_ack(&a); /* an ack is not acknowledged */
	world_turn(&w);
	cr_expect_not(ev_is_active(&w.exchange->ack_timer));
	expect_nothing(&a);
}

Test(intake, acks_to_who_never_reads_do_not_pile_up)
{
	uint8_t *frames = malloc(256 * 40);
	size_t size;

	a.in_size = 0;
	for (int round = 0; round < 400; round++) {
		size = 0;
		for (int i = 0; i < 256; i++)
			size += actor_build(&a, frames + size,
				(struct frame_header){
					.kind = MUSTER_MESSAGE, .to = 2},
				"", "1", 1);
		actor_write(&a, frames, size);
		world_turn(&w);
		if (round % 20 == 0) {
			(void)actor_skip(&b);
			actor_ack(&b);
		}
	}
	cr_expect_leq(a.peer->outbox->uncounted_room, 4096);
	free(frames);
}

/* Garbage ---------------------------------------------------------------- */

static uint64_t dice = 88172645463325252u;

static uint32_t
throw_dice(uint32_t below)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)(dice >> 20) % below;
}

/* A stream that is nearly right: most of its frames are, until one isn't. */
static size_t
build_nonsense(struct actor *actor, uint8_t *room, size_t size)
{
	static const uint32_t addresses[] = {0, 1, 2, 3, 77, MUSTER_TO_ANY,
		MUSTER_TO_ALL, MUSTER_FIRST_CLIENT, 0x90000000u};
	static const char *const names[] = {"", "api", "web", "x"};
	static const char *const bodies[] = {"1", "{\"event\":\"ack\"}",
		"{\"event\":\"ack\",\"sequence\":1}",
		"{\"event\":\"ack\",\"sequence\":-1}",
		"{\"method\":\"resume\",\"params\":{\"received\":0}}", "[[[",
		"\xff\xfe"};
	size_t at = 0;

	while (at + 400 < size) {
		const char *body = bodies[throw_dice(7)];
		struct frame_header header = {
			.kind = (uint8_t)(1 + throw_dice(5)),
			.flags = (uint8_t)(throw_dice(8) == 0 ? throw_dice(4)
							      : 0),
			.to = addresses[throw_dice(9)],
			.id = throw_dice(6),
			.timeout_ms = throw_dice(3),
		};

		at += actor_build(actor, room + at, header,
			names[throw_dice(3) == 0 ? throw_dice(4) : 0], body,
			strlen(body));
	}
	for (uint32_t i = throw_dice(4); i > 0; i--)
		room[throw_dice((uint32_t)at)] ^=
			(uint8_t)(1u << throw_dice(8));
	return at;
}

Test(intake, no_garbage_harms_the_others)
{
	int before = count_fds();
	uint8_t room[8192];

	for (int round = 0; round < 400; round++) {
		struct actor d;
		size_t size, at = 0;

		if (round % 4 == 3) {
			actor_client(&w, &d);
			if (round % 8 == 7)
				peer_admit(d.peer, round % 16 == 7
							   ? PEER_GUEST
							   : PEER_OPERATOR);
		} else {
			actor_new_in(&w, &d, w.group, 10 + (uint32_t)round);
			d.takes_part = round % 4 != 2;
			endpoint_set_ready(d.endpoint, round % 2 == 0);
		}
		size = build_nonsense(
			&d, room, 500 + throw_dice(sizeof room - 500));
		while (at < size && d.ended == 0) {
			size_t part = 1 + throw_dice(600);
			ssize_t n;

			part = part < size - at ? part : size - at;
			if (throw_dice(12) == 0) {
				send_fds(&d, room + at, part,
					1 + (int)throw_dice(3));
				n = (ssize_t)part;
			} else {
				n = send(d.fd, room + at, part, MSG_NOSIGNAL);
			}
			if (n > 0)
				at += (size_t)n;
			world_turn(&w);
			(void)actor_fill(&d);
		}
		d.at_end = true;
		if (throw_dice(2) == 0)
			peer_drain(d.peer, UINT64_MAX);
		actor_free(&d);
		world_turn(&w);
		(void)actor_fill(&a);
		(void)actor_fill(&b);
		while (actor_has_frame(&a))
			(void)actor_take(&a, NULL, 0);
		while (actor_has_frame(&b))
			(void)actor_take(&b, NULL, 0);
		for (int i = 0; i < a.fd_count; i++)
			(void)close(a.fds[i]);
		for (int i = 0; i < b.fd_count; i++)
			(void)close(b.fds[i]);
		a.fd_count = b.fd_count = 0;
		actor_ack(&a);
		actor_ack(&b);
	}
	pass_long(100, 200);
	cr_expect_eq(a.ended + b.ended, 0);
	cr_expect_eq(w.exchange->promised, 0);
	cr_expect_eq(count_fds(), before);
}

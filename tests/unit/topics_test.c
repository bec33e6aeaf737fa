/* Topics: who is sent a publish, and what outlives the brain. */
#include "base/json.h"
#include "exchange_world.h"

static struct world w;
static struct actor a, b, c, guest;

/* Subscribes as the layers above do it. */
static void
on_request(struct actor *actor)
{
	json_t *body = json_read(actor->text, strlen(actor->text));
	json_t *params = NULL;
	const char *name = json_method(body, &params);

	cr_assert_not_null(name, "%s", actor->text);
	if (strcmp(name, "subscribe") == 0)
		peer_subscribe(actor->peer, actor->request_id, params);
	else
		peer_unsubscribe(actor->peer, actor->request_id, params);
	json_decref(body);
}

static void
add_worker(struct actor *actor, uint32_t id)
{
	actor_new(&w, actor, id);
	actor->on_request = on_request;
}

static void
open_some(void)
{
	world_new(&w);
	add_worker(&a, 1);
	add_worker(&b, 2);
	add_worker(&c, 3);
	actor_client(&w, &guest);
	peer_admit(guest.peer, PEER_GUEST);
	guest.on_request = on_request;
	guest.takes_part = false;
}

static void
close_some(void)
{
	actor_free(&a);
	actor_free(&b);
	actor_free(&c);
	actor_free(&guest);
	world_free(&w);
}

TestSuite(topics, .init = open_some, .fini = close_some);

static uint64_t next_id = 100;

static void
say(struct actor *actor, const char *method, const char *pattern)
{
	char body[600];

	snprintf(body, sizeof body,
		"{\"method\":\"%s\",\"params\":{\"topic\":\"%s\"}}", method,
		pattern);
	actor_ask(actor, 0, ++next_id, 0, body);
}

static struct frame_header
ask(struct actor *actor, const char *method, const char *pattern, char *text,
	size_t room)
{
	say(actor, method, pattern);
	return expect_frame(actor, text, room);
}

static void
subscribe(struct actor *actor, const char *pattern)
{
	char text[256] = "";
	struct frame_header header =
		ask(actor, "subscribe", pattern, text, sizeof text);

	cr_assert_eq(header.kind, MUSTER_REPLY, "%s: %s", pattern, text);
	cr_assert_eq(header.id, next_id);
}

static void
unsubscribe(struct actor *actor, const char *pattern)
{
	char text[256] = "";

	cr_assert_eq(ask(actor, "unsubscribe", pattern, text, sizeof text).kind,
		MUSTER_REPLY);
}

static void
publish(struct actor *actor, const char *topic, const char *body)
{
	actor_say_named(actor, (struct frame_header){.kind = MUSTER_PUBLISH},
		topic, body, strlen(body));
}

static void
expect_publish(
	struct actor *actor, uint32_t from, const char *topic, const char *body)
{
	char text[256], wanted[256];
	struct frame_header header = expect_frame(actor, text, sizeof text);

	snprintf(wanted, sizeof wanted, "%s%s", topic, body);
	cr_expect_str_eq(text, wanted);
	cr_expect_eq(header.kind, MUSTER_PUBLISH);
	cr_expect_eq(header.from, from);
	cr_expect_eq(header.to, 0);
	cr_expect_eq(header.name_size, strlen(topic));
}

Test(topics, each_subscriber_gets_it_once_and_the_publisher_never)
{
	subscribe(&a, "orders.>");
	subscribe(&b, "orders.*.paid");
	subscribe(&b, "orders.>");
	subscribe(&b, "orders.7.paid");
	subscribe(&guest, "*.7.*");
	subscribe(&c, "other");
	publish(&a, "orders.7.paid", "{\"sum\":1}");
	expect_publish(&b, 1, "orders.7.paid", "{\"sum\":1}");
	expect_publish(&guest, 1, "orders.7.paid", "{\"sum\":1}");
	expect_nothing(&a);
	expect_nothing(&b);
	expect_nothing(&c);
	expect_nothing(&guest);
	publish(&guest, "orders.8", "2");
	expect_publish(&a, guest.peer->id, "orders.8", "2");
	expect_publish(&b, guest.peer->id, "orders.8", "2");
	expect_nothing(&guest);
}

Test(topics, order_holds_between_publishes_and_messages)
{
	char text[16];

	subscribe(&b, "t");
	for (int i = 0; i < 50; i++) {
		publish(&a, "t", "1");
		actor_say(&a, MUSTER_MESSAGE, 2, 0, "2");
	}
	for (int i = 0; i < 50; i++) {
		expect_publish(&b, 1, "t", "1");
		cr_assert_eq(expect_frame(&b, text, sizeof text).kind,
			MUSTER_MESSAGE);
	}
}

Test(topics, twice_is_once_and_over_is_over)
{
	subscribe(&b, "t.*");
	subscribe(&b, "t.*");
	cr_expect_eq(b.peer->subscription_count, 1);
	publish(&a, "t.1", "1");
	expect_publish(&b, 1, "t.1", "1");
	unsubscribe(&b, "t.*");
	unsubscribe(&b, "t.*");
	unsubscribe(&b, "never");
	publish(&a, "t.1", "1");
	expect_nothing(&b);
	cr_expect_eq(w.exchange->topics.nodes, 0);
}

Test(topics, what_is_no_topic_or_pattern_is_refused)
{
	char text[256];

	for (const char *const *bad = (const char *const[]){"", "a..b", "a.>.b",
		     "a b", "a\\u0000b", "*x", NULL};
		*bad != NULL; bad++) {
		struct frame_header header =
			ask(&b, "subscribe", *bad, text, sizeof text);

		cr_expect_eq(header.kind, MUSTER_ERROR, "%s", *bad);
		cr_expect_not_null(strstr(text, "\"bad-request\""));
		cr_expect_not_null(strstr(text, "topic"));
	}
	actor_ask(&b, 0, 7, 0, "{\"method\":\"subscribe\"}");
	expect_error(&b, 7, "bad-request");
	publish(&a, "a.*", "1");
	expect_error(&a, 0, "bad-request");
	publish(&a, "", "1");
	expect_error(&a, 0, "bad-request");
	actor_say_named(&a,
		(struct frame_header){.kind = MUSTER_PUBLISH, .to = 2, .id = 9},
		"t", "1", 1);
	expect_error(&a, 9, "bad-request");
	expect_nothing(&a);
	expect_nothing(&b);
}

Test(topics, long_bodies_are_shared)
{
	char *body = malloc(100001), *got = malloc(100200);

	memset(body, 'x', 100000);
	body[0] = body[99999] = '"';
	body[100000] = '\0';
	subscribe(&b, "t");
	subscribe(&c, "t");
	subscribe(&guest, "t");
	publish(&a, "t", body);
	for (struct actor *const *to =
			(struct actor *const[]){&b, &c, &guest, NULL};
		*to != NULL; to++) {
		struct frame_header header = expect_frame(*to, got, 100200);

		cr_expect_eq(header.size, 100001);
		cr_expect_eq(memcmp(got + 1, body, 100000), 0);
	}
	free(body);
	free(got);
}

Test(topics, only_a_bridge_says_that_it_came_from_elsewhere)
{
	struct frame_header bridged = {
		.kind = MUSTER_PUBLISH, .flags = MUSTER_FLAG_BRIDGED};
	struct group_limits limits = world_limits;
	char text[64];

	subscribe(&b, "t");
	actor_say_named(&a, bridged, "t", "1", 1);
	cr_expect_eq(expect_frame(&b, text, sizeof text).flags, 0);
	limits.is_bridge = true;
	group_set_limits(w.group, &limits);
	actor_say_named(&a, bridged, "t", "1", 1);
	cr_expect_eq(
		expect_frame(&b, text, sizeof text).flags, MUSTER_FLAG_BRIDGED);
	actor_say_named(&guest, bridged, "t", "1", 1);
	cr_expect_eq(expect_frame(&b, text, sizeof text).flags, 0);
}

Test(topics, a_descriptor_goes_to_each)
{
	int pair[2];
	struct frame_header header = {
		.kind = MUSTER_PUBLISH, .flags = MUSTER_FLAG_FD};
	uint8_t room[64];
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {room, 0};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

	subscribe(&b, "t");
	subscribe(&c, "t");
	cr_assert_eq(pipe(pair), 0);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &pair[1], sizeof(int));
	iov.iov_len = actor_build(&a, room, header, "t", "1", 1);
	cr_assert_gt(sendmsg(a.fd, &message, 0), 0);
	expect_publish(&b, 1, "t", "1");
	expect_publish(&c, 1, "t", "1");
	cr_expect_eq(b.fd_count, 1);
	cr_expect_eq(c.fd_count, 1);
	close(pair[0]);
	close(pair[1]);
}

Test(topics, a_slow_worker_pauses_the_publisher_and_loses_nothing)
{
	char *body = malloc(8001), *got = malloc(8200);

	memset(body, '1', 8000);
	body[8000] = '\0';
	subscribe(&b, "t");
	for (int i = 0; i < 200; i++) {
		uint8_t frame[8100];
		size_t size = actor_build(&a, frame,
			(struct frame_header){.kind = MUSTER_PUBLISH}, "t",
			body, 8000);

		/* Reads where the socket takes no more. */
		for (size_t done = 0; done < size;) {
			ssize_t n = send(
				a.fd, frame + done, size - done, MSG_NOSIGNAL);

			if (n > 0)
				done += (size_t)n;
			else if (!actor_fill(&b))
				world_turn(&w);
		}
	}
	for (int i = 0; i < 200; i++) {
		cr_assert_eq(expect_frame(&b, got, 8200).kind, MUSTER_PUBLISH);
		actor_ack(&b);
	}
	cr_expect_eq(b.stalled, 0);
	free(body);
	free(got);
}

Test(topics, a_guest_that_never_reads_is_closed_and_pauses_nobody)
{
	char *body = malloc(60001);
	struct frame_header header;

	memset(body, '1', 60000);
	body[60000] = '\0';
	subscribe(&guest, "t");
	subscribe(&b, "t");
	for (int i = 0; i < 400 && guest.ended == 0; i++) {
		publish(&a, "t", body);
		header = expect_frame(&b, NULL, 0);
		cr_assert_eq(header.kind, MUSTER_PUBLISH);
		actor_ack(&b);
	}
	cr_expect_eq(guest.ended, 1);
	cr_expect_eq(guest.how, PEER_END_OVERFLOW);
	cr_expect_not(peer_is_paused(a.peer));
	peer_retire(&guest.peer);
	cr_expect_eq(w.exchange->client_subscriptions, 0);
	free(body);
}

Test(topics, subscriptions_have_bounds)
{
	char pattern[64], text[256];

	for (int i = 0; i < EXCHANGE_SUBSCRIPTIONS_CLIENT; i++) {
		snprintf(pattern, sizeof pattern, "t.%d", i);
		say(&guest, "subscribe", pattern);
	}
	for (int i = 0; i < EXCHANGE_SUBSCRIPTIONS_CLIENT; i++)
		cr_assert_eq(expect_frame(&guest, text, sizeof text).kind,
			MUSTER_REPLY);
	cr_expect_eq(
		ask(&guest, "subscribe", "one.more", text, sizeof text).kind,
		MUSTER_ERROR);
	cr_expect_not_null(strstr(text, "too many"));
	subscribe(&guest, "t.1"); /* it has that */
	unsubscribe(&guest, "t.1");
	subscribe(&guest, "one.more");
	subscribe(&b, "t.1"); /* others may */
	peer_retire(&guest.peer);
	cr_expect_eq(w.exchange->topics.nodes, 2);
}

Test(topics, a_pattern_counts_as_many_as_its_tokens)
{
	char pattern[256], text[256];
	int i;

	/* 61 tokens. */
	memset(pattern, '.', sizeof pattern);
	for (i = 8; i < 128; i += 2)
		pattern[i] = 'x';
	pattern[127] = '\0';
	for (i = 0; i < 1024; i++) {
		(void)sprintf(text, "a%06d", i);
		memcpy(pattern, text, 7);
		if (ask(&guest, "subscribe", pattern, text, sizeof text).kind ==
			MUSTER_ERROR)
			break;
	}
	cr_expect_eq(i, EXCHANGE_SUBSCRIPTIONS_CLIENT *
				EXCHANGE_SUBSCRIPTION_TOKENS / 61);
}

/* Processes ---------------------------------------------------------------- */

/* A second process of b's slot. */
static void
spawn_second(struct actor *second, uint32_t generation)
{
	json_t *welcome = json_pack("{s:s}", "event", "welcome");

	*second = (struct actor){.world = &w,
		.id = 2,
		.takes_part = true,
		.endpoint = b.endpoint,
		.on_request = on_request};
	cr_assert_eq(peer_new_worker(b.endpoint, 77, generation, welcome,
			     actor_socket(second), &world_hooks, second,
			     &second->peer),
		0);
	json_decref(welcome);
	actor_join(second);
}

Test(topics, of_two_processes_of_a_slot_one_receives)
{
	struct actor second;

	subscribe(&b, "t");
	spawn_second(&second, 2);
	publish(&a, "t", "1");
	expect_publish(&b, 1, "t", "1");
	subscribe(&second, "t");
	publish(&a, "t", "2"); /* the old one has the address still */
	expect_publish(&b, 1, "t", "2");
	expect_nothing(&second);
	endpoint_set_peer(b.endpoint, second.peer);
	publish(&a, "t", "3");
	expect_publish(&second, 1, "t", "3");
	expect_nothing(&b);
	unsubscribe(&second, "t"); /* the old one drains */
	publish(&a, "t", "4");
	expect_publish(&b, 1, "t", "4");
	publish(&b, "t", "5"); /* the slot is the publisher */
	expect_nothing(&second);
	actor_free(&second);
}

Test(topics, a_process_takes_its_subscriptions_along)
{
	subscribe(&b, "t");
	peer_retire(&b.peer);
	publish(&a, "t", "1");
	world_turn(&w);
	cr_expect_eq(w.exchange->topics.nodes, 0);
	close(b.fd);
	b.joined = 0;
	actor_spawn(&b, 9);
	actor_join(&b);
	expect_nothing(&b);
	subscribe(&b, "t");
	publish(&a, "t", "2");
	expect_publish(&b, 1, "t", "2");
}

/* The brain's death -------------------------------------------------------- */

static void
revive(struct actor *actor, uint64_t process)
{
	json_t *welcome = json_pack("{s:s}", "event", "welcome");
	struct frame_header header = {.kind = MUSTER_REQUEST, .id = 900};
	uint8_t frame[256];
	char body[128], text[256];

	while (actor_fill(actor))
		continue;
	while (actor_has_frame(actor))
		(void)actor_take(actor, NULL, 0);
	actor->in_size = 0;
	(void)close(actor->fd);
	actor->endpoint = endpoint_new(w.group, actor->id, 0);
	cr_assert(exchange_wants_channel(w.exchange, process));
	cr_assert_eq(
		peer_resume(actor->endpoint, process, welcome,
			actor_socket(actor), &world_hooks, actor, &actor->peer),
		0);
	endpoint_set_peer(actor->endpoint, actor->peer);
	json_decref(welcome);
	header.size = (uint32_t)snprintf(body, sizeof body,
		"{\"method\":\"resume\",\"params\":{\"received\":%u}}",
		actor->received);
	frame_store(frame, &header);
	memcpy(frame + MUSTER_HEADER_SIZE, body, header.size);
	/* Answered once the exchange is settled and turns. */
	actor_write(actor, frame, MUSTER_HEADER_SIZE + header.size);
	(void)text;
}

Test(topics, subscriptions_outlive_the_brain)
{
	static struct world old;
	char text[256];

	subscribe(&a, "a.*");
	subscribe(&b, "t.>");
	subscribe(&b, "gone");
	unsubscribe(&b, "gone");
	subscribe(&guest, "t.>");
	old = w; /* it is left as it is: nothing of it runs again */
	(void)close(a.peer->fd);
	(void)close(b.peer->fd);
	world_open(&w, old.memory_fd, 1);
	revive(&a, 1);
	revive(&b, 2);
	exchange_settle(w.exchange);
	cr_expect_eq(b.peer->subscription_count, 1);
	cr_expect_eq(w.exchange->client_subscriptions, 0);
	cr_expect_eq(expect_frame(&a, text, sizeof text).kind, MUSTER_REPLY);
	publish(&a, "t.1.2", "7"); /* before b has resumed */
	cr_expect_eq(expect_frame(&b, text, sizeof text).kind, MUSTER_REPLY);
	expect_publish(&b, 1, "t.1.2", "7");
	publish(&b, "a.x", "8");
	expect_publish(&a, 2, "a.x", "8");
	c.peer = guest.peer = NULL; /* the old brain's */
	c.endpoint = NULL;
}

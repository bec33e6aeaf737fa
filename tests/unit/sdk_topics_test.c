/*
 * sdk_topics_test.c: subscribing and publishing, against a supervisor that the
 * test plays by hand. What goes over the wire is the vectors' (conversation).
 */
#include "fake_supervisor.h"
#include "muster.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct fake fake;
static struct muster *m;

static void
open_worker(void)
{
	cr_assert_eq(fake_start(&fake), 0);
	cr_assert_eq(muster_attach(&m), 0);
	cr_assert_eq(fake_welcome(&fake), 0);
}

static void
close_worker(void)
{
	muster_detach(&m);
	fake_stop(&fake);
}

TestSuite(sdk_topics, .init = open_worker, .fini = close_worker, .timeout = 30);

/* What a callback saw. */
struct heard {
	int count;
	char topic[256], text[64];
	uint32_t from;
	bool bridged;
	int fd;
	void (*then)(void);
};

static void
on_topic(struct muster *muster, const struct muster_publication *publication,
	void *data)
{
	struct heard *heard = data;

	(void)muster;
	heard->count++;
	heard->from = publication->from;
	heard->bridged = publication->bridged;
	heard->fd = publication->fd;
	snprintf(heard->topic, sizeof heard->topic, "%s", publication->topic);
	snprintf(heard->text, sizeof heard->text, "%.*s",
		(int)publication->size, publication->text);
	if (heard->then)
		heard->then();
}

static void
on_topic_json(struct muster *muster,
	const struct muster_publication *publication, json_t *body, void *data)
{
	struct heard *heard = data;

	(void)muster;
	(void)publication;
	heard->count++;
	heard->from = (uint32_t)json_integer_value(body);
}

static int
turn(void)
{
	int result;

	do
		result = muster_wait(m, 0);
	while (result == 0);
	return result;
}

static void
publish(const char *topic, const char *body)
{
	struct frame_header header = {
		.kind = MUSTER_PUBLISH,
		.from = 4,
		.name_size = (uint16_t)strlen(topic),
		.size = (uint32_t)(strlen(topic) + strlen(body)),
		.sequence = fake.next++,
	};

	cr_assert_eq(fake_write(&fake, &header, topic, body, -1), 0);
	turn();
}

static uint64_t
expect_call(const char *method)
{
	struct fake_frame frame;

	turn();
	do
		cr_assert_eq(fake_read(&fake, &frame), 1);
	while (strstr(frame.body, "\"ack\""));
	cr_assert_not_null(strstr(frame.body, method), "%s", frame.body);
	return frame.header.id;
}

Test(sdk_topics, each_pattern_that_matches_is_called)
{
	struct heard a = {0}, b = {0}, c = {0}, json = {0};

	cr_assert_eq(muster_subscribe(m, "orders.*", on_topic, &a), 0);
	cr_assert_eq(muster_subscribe(m, ">", on_topic, &b), 0);
	cr_assert_eq(muster_subscribe(m, "other", on_topic, &c), 0);
	cr_assert_eq(
		muster_subscribe_json(m, "orders.>", on_topic_json, &json), 0);
	publish("orders.7", "42");
	cr_expect_eq(a.count, 1);
	cr_expect_eq(b.count, 1);
	cr_expect_eq(c.count, 0);
	cr_expect_eq(json.count, 1);
	cr_expect_eq(json.from, 42);
	cr_expect_str_eq(a.topic, "orders.7");
	cr_expect_str_eq(a.text, "42");
	cr_expect_eq(a.from, 4);
	cr_expect_eq(a.fd, -1);
	cr_expect_not(a.bridged);
	publish("orders.7", "no json");
	cr_expect_eq(a.count, 2);
	cr_expect_eq(json.count, 1);
}

Test(sdk_topics, again_is_another_callback_and_asks_nobody)
{
	struct heard first = {0}, second = {0};
	struct fake_frame frame;

	cr_assert_eq(muster_subscribe(m, "t", on_topic, &first), 0);
	cr_assert_eq(muster_subscribe(m, "t", on_topic, &second), 0);
	cr_assert_eq(muster_ready(m), 0);
	(void)expect_call("subscribe");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_not_null(strstr(frame.body, "\"ready\""));
	publish("t", "1");
	cr_expect_eq(first.count, 0);
	cr_expect_eq(second.count, 1);
}

static struct heard others[3];

static void
end_all(void)
{
	(void)muster_unsubscribe(m, "t.*");
	(void)muster_unsubscribe(m, "t.>");
	(void)muster_unsubscribe(m, "*.1");
}

Test(sdk_topics, a_callback_may_end_any_subscription)
{
	struct muster_counters counters;

	for (int i = 0; i < 3; i++)
		others[i].then = end_all;
	cr_assert_eq(muster_subscribe(m, "t.*", on_topic, &others[0]), 0);
	cr_assert_eq(muster_subscribe(m, "t.>", on_topic, &others[1]), 0);
	cr_assert_eq(muster_subscribe(m, "*.1", on_topic, &others[2]), 0);
	publish("t.1", "1");
	cr_expect_eq(others[0].count + others[1].count + others[2].count, 1);
	publish("t.1", "1");
	cr_expect_eq(others[0].count + others[1].count + others[2].count, 1);
	muster_read_counters(m, &counters);
	cr_expect_eq(counters.dropped, 1);
	cr_expect_eq(muster_unsubscribe(m, "t.*"), -ENOENT);
}

static void
detach(void)
{
	muster_detach(&m);
}

Test(sdk_topics, a_callback_may_detach)
{
	struct heard a = {.then = detach}, b = {.then = detach};
	struct frame_header header = {.kind = MUSTER_PUBLISH,
		.name_size = 1,
		.size = 2,
		.sequence = 1};

	cr_assert_eq(muster_subscribe(m, "t", on_topic, &a), 0);
	cr_assert_eq(muster_subscribe(m, "*", on_topic, &b), 0);
	cr_assert_eq(fake_write(&fake, &header, "t", "1", -1), 0);
	while (m != NULL)
		(void)muster_wait(m, -1);
	cr_expect_eq(a.count + b.count, 1);
}

static int undelivered;
static char undelivered_code[32];

static void
on_undelivered(struct muster *muster, uint64_t id, uint32_t to,
	const char *code, const char *message, void *data)
{
	(void)muster;
	(void)to;
	(void)message;
	(void)data;
	cr_expect_eq(id, 0);
	undelivered++;
	snprintf(undelivered_code, sizeof undelivered_code, "%s", code);
}

Test(sdk_topics, a_refused_subscription_is_told_and_gone)
{
	struct heard a = {0};
	struct frame_header header = {.kind = MUSTER_ERROR, .to = 3};
	const char *body = "{\"code\":\"bad-request\",\"message\":\"topic: too "
			   "many\"}";

	muster_on_undelivered(m, on_undelivered, NULL);
	cr_assert_eq(muster_subscribe(m, "t", on_topic, &a), 0);
	header.id = expect_call("subscribe");
	header.size = (uint32_t)strlen(body);
	header.sequence = fake.next++;
	cr_assert_eq(fake_write(&fake, &header, NULL, body, -1), 0);
	turn();
	cr_expect_eq(undelivered, 1);
	cr_expect_str_eq(undelivered_code, "bad-request");
	cr_expect_eq(muster_unsubscribe(m, "t"), -ENOENT);
	/* It may be tried again. */
	cr_assert_eq(muster_subscribe(m, "t", on_topic, &a), 0);
	(void)expect_call("subscribe");
	publish("t", "1");
	cr_expect_eq(a.count, 1);
}

Test(sdk_topics, ended_before_its_answer)
{
	struct heard a = {0};
	uint64_t first;

	cr_assert_eq(muster_subscribe(m, "t", on_topic, &a), 0);
	first = expect_call("subscribe");
	cr_assert_eq(muster_unsubscribe(m, "t"), 0);
	cr_assert_eq(muster_subscribe(m, "t", on_topic, &a), 0);
	cr_assert_eq(fake_answer(&fake, first, "{}"), 0);
	turn();
	publish("t", "1");
	cr_expect_eq(a.count, 1);
}

Test(sdk_topics, what_is_wrong_is_refused_here)
{
	static char name[2 << 20];
	struct heard a = {0};
	json_t *body = json_integer(1);

	memset(name, 'x', sizeof name);
	name[256] = '\0';
	cr_expect_eq(muster_subscribe(m, "", on_topic, &a), -EINVAL);
	cr_expect_eq(muster_subscribe(m, "a.>.b", on_topic, &a), -EINVAL);
	cr_expect_eq(muster_subscribe(m, name, on_topic, &a), -EINVAL);
	cr_expect_eq(muster_publish_text(m, "a.*", "1", 1), -EINVAL);
	cr_expect_eq(muster_publish_text(m, name, "1", 1), -EINVAL);
	cr_expect_eq(muster_publish_text(m, "a", "", 0), -EINVAL);
	cr_expect_eq(muster_publish(m, "a..b", body), -EINVAL);
	cr_expect_eq(muster_unsubscribe(m, "a"), -ENOENT);
	json_decref(body);
	/* No more than 1 MiB is the bound of what is for the master alone. */
	cr_expect_eq(muster_publish_text(m, "a", name, sizeof name), 0);
}

Test(sdk_topics, a_handle_has_a_bound)
{
	char pattern[32];
	struct heard a = {0};
	int i, result = 0;

	muster_set_queue_limit(m, 64 << 20);
	for (i = 0; result == 0; i++) {
		snprintf(pattern, sizeof pattern, "t.%d", i);
		result = muster_subscribe(m, pattern, on_topic, &a);
	}
	cr_expect(result == -ENOSPC || result == -ENOBUFS, "%d", result);
	cr_expect_eq(i, 16385);
}

Test(sdk_topics, an_end_forgets_them_without_a_word)
{
	struct heard a = {0};

	muster_on_undelivered(m, on_undelivered, NULL);
	cr_assert_eq(muster_subscribe(m, "t", on_topic, &a), 0);
	close(fake.resume);
	close(fake.channel);
	fake.resume = fake.channel = -1;
	cr_expect_eq(turn(), -EPIPE);
	cr_expect_eq(undelivered, 0);
	cr_expect_eq(muster_subscribe(m, "u", on_topic, &a), -EPIPE);
	cr_expect_eq(muster_unsubscribe(m, "u"), -EPIPE);
}

/*
 * conversation_test.c: the SDK plays the conversations of tests/vectors, whose
 * README says what the steps mean.
 */
#include "fake_supervisor.h"
#include "muster.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

TestSuite(conversation, .timeout = 60);

/* What the worker was told, as a step would say it, oldest first. */
struct play {
	struct fake fake;
	struct muster *muster;
	json_t *heard;
	json_t *ids;	   /* name → number */
	const char *title; /* of the conversation, for assertions */
};

static void
hear(struct play *play, json_t *what)
{
	json_array_append_new(play->heard, what);
}

static void
on_message(struct muster *m, const struct muster_message *message, json_t *body,
	void *data)
{
	(void)m;
	hear(data, json_pack("{s:s, s:I, s:O}", "worker_hears", "message",
			   "from", (json_int_t)message->from, "body", body));
}

static void
on_request(struct muster *m, const struct muster_request *request, json_t *body,
	void *data)
{
	hear(data,
		json_pack("{s:s, s:I, s:O}", "worker_hears", "request", "from",
			(json_int_t)request->ticket.from, "body", body));
	muster_reply(m, request->ticket, body);
}

static void
on_publication(struct muster *m, const struct muster_publication *publication,
	json_t *body, void *data)
{
	(void)m;
	hear(data, json_pack("{s:s, s:s, s:I, s:O, s:b}", "worker_hears",
			   "publication", "topic", publication->topic, "from",
			   (json_int_t)publication->from, "body", body,
			   "bridged", publication->bridged));
}

static void
on_answer(struct muster *m, const struct muster_answer *answer, void *data)
{
	(void)m;
	if (answer->code)
		hear(data, json_pack("{s:s, s:s}", "worker_hears", "answer",
				   "code", answer->code));
	else
		hear(data, json_pack("{s:s, s:I, s:O}", "worker_hears",
				   "answer", "from", (json_int_t)answer->from,
				   "body", answer->body));
}

static void
on_shutdown(
	struct muster *m, const char *reason, uint32_t deadline_ms, void *data)
{
	(void)m;
	(void)deadline_ms;
	hear(data, json_pack("{s:s, s:s}", "worker_hears", "shutdown", "reason",
			   reason));
}

static void
on_end(struct muster *m, enum muster_end how, const char *reason, void *data)
{
	(void)m;
	(void)how;
	(void)reason;
	hear(data, json_pack("{s:s}", "worker_hears", "end"));
}

static void
turn(struct play *play)
{
	int result;

	do
		result = muster_wait(play->muster, 0);
	while (result == 0);
}

static json_int_t
number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *
text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static struct frame_header
make_header(struct play *play, const json_t *frame)
{
	static const char *const kinds[] = {
		"", "message", "request", "reply", "error", "publish"};
	struct frame_header header = {
		.flags = (uint8_t)number(frame, "flags"),
		.from = (uint32_t)number(frame, "from"),
		.to = (uint32_t)number(frame, "to"),
		.id = (uint64_t)number(frame, "id"),
		.timeout_ms = (uint32_t)number(frame, "timeout_ms"),
		.sequence = (uint32_t)number(frame, "sequence"),
	};
	const char *name = text(frame, "id");

	for (uint8_t i = 1; i < 6; i++)
		if (strcmp(text(frame, "kind"), kinds[i]) == 0)
			header.kind = i;
	if (name)
		header.id = (uint64_t)number(play->ids, name);
	return header;
}

static void
compare_hex(const json_t *frame, const struct frame_header *header,
	const char *body)
{
	const char *hex = text(frame, "hex");
	const char *name = text(frame, "name");
	uint8_t head[MUSTER_HEADER_SIZE];
	char bytes[4096];
	char *at = bytes;

	if (!hex)
		return;
	cr_assert_lt(strlen(hex), sizeof bytes);
	frame_store(head, header);
	for (size_t i = 0; i < sizeof head; i++)
		at += sprintf(at, "%02x", head[i]);
	for (; name && *name; name++)
		at += sprintf(at, "%02x", (unsigned char)*name);
	for (; *body; body++)
		at += sprintf(at, "%02x", (unsigned char)*body);
	cr_expect_str_eq(bytes, hex);
}

static void
supervisor_writes(struct play *play, const json_t *step, const json_t *frame)
{
	struct frame_header header = make_header(play, frame);
	char *body = json_dumps(
		json_object_get(frame, "body"), JSON_COMPACT | JSON_ENCODE_ANY);
	const char *name = text(frame, "name");
	json_int_t times = number(step, "times");

	header.name_size = (uint16_t)(name ? strlen(name) : 0);
	header.size = (uint32_t)strlen(body) + header.name_size;
	compare_hex(frame, &header, body);
	do {
		cr_assert_eq(
			fake_write(&play->fake, &header, name, body, -1), 0);
		header.sequence++;
	} while (--times > 0);
	free(body);
	turn(play);
}

/* Reads a frame, turning until the time for an acknowledgement is over. */
static void
next_frame(struct play *play, struct fake_frame *frame)
{
	time_t until = time(NULL) + 5;

	while (fake_is_quiet(&play->fake) && time(NULL) < until)
		muster_wait(play->muster, 20);
	cr_assert_eq(
		fake_read(&play->fake, frame), 1, "%s: nothing", play->title);
}

static void
worker_writes(struct play *play, const json_t *expected)
{
	const json_t *body = json_object_get(expected, "body");
	const char *event = text(body, "event");
	const char *name = text(expected, "id");
	bool wants_ack = event && strcmp(event, "ack") == 0;
	struct fake_frame frame;
	struct frame_header header;
	json_t *got;

	do
		next_frame(play, &frame);
	while (!wants_ack && strstr(frame.body, "\"event\":\"ack\""));
	if (name && !json_object_get(play->ids, name))
		json_object_set_new(play->ids, name,
			json_integer((json_int_t)frame.header.id));
	header = make_header(play, expected);
	if (name)
		cr_expect_neq(frame.header.id, 0);
	header.id = name ? frame.header.id : header.id;
	if (name)
		json_object_set_new(play->ids, name,
			json_integer((json_int_t)frame.header.id));
	header.size = frame.header.size;
	header.name_size = frame.header.name_size;
	cr_expect_eq(memcmp(&header, &frame.header, sizeof header), 0,
		"%s: another header around %s", play->title, frame.body);
	cr_expect_str_eq(frame.name,
		text(expected, "name") ? text(expected, "name") : "");
	got = json_loads(frame.body, JSON_DECODE_ANY, NULL);
	cr_expect(json_equal(got, body), "%s: %s", play->title, frame.body);
	json_decref(got);
	compare_hex(expected, &frame.header, frame.body);
}

static void
worker_does(struct play *play, const json_t *step)
{
	const char *what = text(step, "worker_does");
	json_t *body = json_object_get(step, "body");
	uint32_t to = (uint32_t)number(step, "to");
	int result = -ENOSYS;

	if (strcmp(what, "ready") == 0)
		result = muster_ready(play->muster);
	else if (strcmp(what, "send") == 0)
		result = muster_send(play->muster, to, text(step, "app"), body);
	else if (strcmp(what, "request") == 0)
		result = muster_request(play->muster, to, text(step, "app"),
			body, (uint32_t)number(step, "timeout_ms"), on_answer,
			play);
	else if (strcmp(what, "subscribe") == 0)
		result = muster_subscribe_json(play->muster,
			text(step, "topic"), on_publication, play);
	else if (strcmp(what, "unsubscribe") == 0)
		result = muster_unsubscribe(play->muster, text(step, "topic"));
	else if (strcmp(what, "publish") == 0)
		result =
			muster_publish(play->muster, text(step, "topic"), body);
	cr_assert_eq(result, 0, "%s: %s", play->title, what);
	turn(play);
}

static void
worker_hears(struct play *play, const json_t *step)
{
	time_t until = time(NULL) + 5;
	json_t *what = json_copy((json_t *)(uintptr_t)step);
	json_int_t times = number(step, "times");

	json_object_del(what, "times");
	do {
		while (json_array_size(play->heard) == 0 && time(NULL) < until)
			muster_wait(play->muster, 20);
		cr_expect(json_equal(json_array_get(play->heard, 0), what),
			"%s: heard something else than %s", play->title,
			text(step, "worker_hears"));
		json_array_remove(play->heard, 0);
	} while (--times > 0);
	json_decref(what);
}

static void
take_step(struct play *play, json_t *step)
{
	const char *channel = text(step, "channel");
	json_t *frame;

	if ((frame = json_object_get(step, "supervisor_writes"))) {
		supervisor_writes(play, step, frame);
	} else if ((frame = json_object_get(step, "worker_writes"))) {
		worker_writes(play, frame);
	} else if (text(step, "worker_does")) {
		worker_does(play, step);
	} else if (text(step, "worker_hears")) {
		worker_hears(play, step);
	} else if (channel && strcmp(channel, "replaced") == 0) {
		cr_assert_eq(fake_replace(&play->fake), 0);
		turn(play);
	} else if (channel) {
		close(play->fake.channel);
		play->fake.channel = -1;
		turn(play);
	} else if (text(step, "keeper")) {
		close(play->fake.resume);
		play->fake.resume = -1;
		turn(play);
	} else {
		cr_assert(json_is_true(json_object_get(step, "quiet")));
		turn(play);
		cr_expect(fake_is_quiet(&play->fake), "%s", play->title);
	}
}

Test(conversation, plays_the_vectors)
{
	json_t *list = json_load_file(VECTORS "/conversations.json", 0, NULL);
	json_t *one;
	size_t index;

	cr_assert_gt(json_array_size(list), 10);
	json_array_foreach(list, index, one)
	{
		struct play play = {
			.title = text(one, "title"),
			.heard = json_array(),
			.ids = json_object(),
		};
		json_t *step;
		size_t at;

		cr_assert_eq(fake_start(&play.fake), 0);
		cr_assert_eq(muster_attach(&play.muster), 0);
		muster_on_message_json(play.muster, on_message, &play);
		muster_on_request_json(play.muster, on_request, &play);
		muster_on_shutdown(play.muster, on_shutdown, &play);
		muster_on_end(play.muster, on_end, &play);
		json_array_foreach(json_object_get(one, "steps"), at, step)
			take_step(&play, step);
		cr_expect_eq(json_array_size(play.heard), 0, "%s: heard more",
			play.title);
		muster_detach(&play.muster);
		fake_stop(&play.fake);
		json_decref(play.heard);
		json_decref(play.ids);
	}
	json_decref(list);
}

/*
 * sdk_test.c: the SDK against a supervisor that the test plays by hand.
 */
#include "fake_supervisor.h"
#include "muster.h"
#include "muster_ev.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(sdk, .timeout = 30);

/* What the callbacks saw. */
struct seen {
	unsigned messages;
	uint32_t from;
	char text[256];
	unsigned requests;
	struct muster_ticket ticket;
	unsigned answers;
	char code[64];
	char answer[256];
	unsigned shutdowns;
	char reason[64];
	uint32_t deadline_ms;
	unsigned ends;
	enum muster_end how;
	unsigned peers;
	bool peer_ready;
	unsigned undelivered;
	uint64_t undelivered_id;
	unsigned drains;
	size_t workers;
	bool in_send;
	bool nested;
	json_int_t number;
};

static void
keep_text(char *target, const char *text, size_t size)
{
	if (size > 255)
		size = 255;
	memcpy(target, text, size);
	target[size] = '\0';
}

static void
on_message(struct muster *m, const struct muster_message *message, void *data)
{
	struct seen *seen = data;

	(void)m;
	seen->messages++;
	seen->nested |= seen->in_send;
	seen->from = message->from;
	keep_text(seen->text, message->text, message->size);
}

static void
on_message_json(struct muster *m, const struct muster_message *message,
	json_t *body, void *data)
{
	struct seen *seen = data;

	(void)m;
	seen->messages++;
	seen->from = message->from;
	seen->number = json_integer_value(json_object_get(body, "n"));
}

static void
on_request(struct muster *m, const struct muster_request *request, void *data)
{
	struct seen *seen = data;

	(void)m;
	seen->requests++;
	seen->ticket = request->ticket;
	keep_text(seen->text, request->text, request->size);
}

static void
on_request_json(struct muster *m, const struct muster_request *request,
	json_t *body, void *data)
{
	struct seen *seen = data;

	seen->requests++;
	muster_reply(m, request->ticket, body);
}

static void
on_answer(struct muster *m, const struct muster_answer *answer, void *data)
{
	struct seen *seen = data;

	(void)m;
	seen->answers++;
	keep_text(seen->code, answer->code ? answer->code : "",
		answer->code ? strlen(answer->code) : 0);
	keep_text(seen->answer, answer->text ? answer->text : "", answer->size);
	seen->number = json_integer_value(json_object_get(answer->body, "n"));
}

static void
on_workers(struct muster *m, const char *code,
	const struct muster_worker *workers, size_t count, void *data)
{
	struct seen *seen = data;

	(void)m;
	seen->answers++;
	seen->workers = count;
	if (!code && count > 1)
		seen->from = workers[1].id;
}

static void
on_shutdown(
	struct muster *m, const char *reason, uint32_t deadline_ms, void *data)
{
	struct seen *seen = data;

	(void)m;
	seen->shutdowns++;
	seen->deadline_ms = deadline_ms;
	keep_text(seen->reason, reason, strlen(reason));
}

static void
on_end(struct muster *m, enum muster_end how, const char *reason, void *data)
{
	struct seen *seen = data;

	(void)m;
	(void)reason;
	seen->ends++;
	seen->how = how;
}

static void
on_peer(struct muster *m, uint32_t id, const char *app, bool ready, void *data)
{
	struct seen *seen = data;

	(void)m;
	(void)app;
	seen->peers++;
	seen->from = id;
	seen->peer_ready = ready;
}

static void
on_undelivered(struct muster *m, uint64_t id, uint32_t to, const char *code,
	const char *message, void *data)
{
	struct seen *seen = data;

	(void)m;
	(void)message;
	seen->undelivered++;
	seen->undelivered_id = id;
	seen->from = to;
	keep_text(seen->code, code, strlen(code));
}

static void
on_drain(struct muster *m, void *data)
{
	struct seen *seen = data;

	(void)m;
	seen->drains++;
}

static struct muster *
start(struct fake *fake, struct seen *seen)
{
	struct muster *m = NULL;

	*seen = (struct seen){0};
	cr_assert_eq(fake_start(fake), 0);
	cr_assert_eq(muster_attach(&m), 0);
	muster_on_message(m, on_message, seen);
	muster_on_request(m, on_request, seen);
	muster_on_shutdown(m, on_shutdown, seen);
	muster_on_end(m, on_end, seen);
	muster_on_peer(m, on_peer, seen);
	muster_on_undelivered(m, on_undelivered, seen);
	muster_on_drain(m, on_drain, seen);
	return m;
}

/* Turns until *count reaches `want`. */
static void
turn_until(struct muster *m, const unsigned *count, unsigned want)
{
	time_t until = time(NULL) + 10;

	while (*count < want && time(NULL) < until)
		if (muster_wait(m, 100) == -EPIPE)
			break;
	cr_assert_eq(*count, want);
}

/* Turns until nothing has happened for a moment. */
static void
turn_until_idle(struct muster *m)
{
	while (muster_wait(m, 0) == 0)
		;
}

static struct muster *
start_ready(struct fake *fake, struct seen *seen)
{
	struct muster *m = start(fake, seen);
	struct fake_frame frame;

	cr_assert_eq(fake_welcome(fake), 0);
	turn_until_idle(m);
	cr_assert_eq(muster_ready(m), 0);
	cr_assert_eq(muster_flush(m), 0);
	cr_assert_eq(fake_read(fake, &frame), 1);
	cr_assert_eq(frame.header.kind, MUSTER_REQUEST);
	cr_assert_eq(frame.header.sequence, 1);
	cr_assert_eq(fake_answer(fake, frame.header.id, "{}"), 0);
	turn_until_idle(m);
	return m;
}

static void
stop(struct fake *fake, struct muster *m)
{
	muster_detach(&m);
	cr_expect_null(m);
	fake_stop(fake);
}

Test(sdk, says_when_it_is_not_under_muster)
{
	struct muster *m = NULL;

	unsetenv(MUSTER_ENV_CHANNEL);
	cr_expect_eq(muster_attach(&m), -ENOENT);
	setenv(MUSTER_ENV_CHANNEL, "three", 1);
	cr_expect_eq(muster_attach(&m), -EINVAL);
	setenv(MUSTER_ENV_CHANNEL, "789", 1);
	cr_expect_eq(muster_attach(&m), -EBADF);
	cr_expect_null(m);
}

Test(sdk, attaches_from_the_environment)
{
	struct fake fake;
	struct seen seen;
	int fd;
	struct muster *m;

	cr_assert_eq(fake_start(&fake), 0);
	fd = atoi(getenv(MUSTER_ENV_CHANNEL));
	fcntl(fd, F_SETFD, 0);
	cr_assert_eq(muster_attach(&m), 0);
	cr_expect_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_expect_null(getenv(MUSTER_ENV_CHANNEL));
	cr_expect_null(getenv(MUSTER_ENV_RESUME));
	cr_expect_null(getenv(MUSTER_ENV_APP));
	cr_expect_eq(muster_id(m), 3);
	cr_expect_eq(muster_instance(m), 2);
	cr_expect_eq(muster_generation(m), 5);
	cr_expect_str_eq(muster_app(m), "api");
	cr_expect_eq(muster_max_message(m), 16777216);
	muster_on_message(m, on_message, &seen);
	cr_assert_eq(fake_welcome(&fake), 0);
	turn_until_idle(m);
	cr_expect_eq(muster_max_message(m), 1048576);
	/* Nothing is written by whoever doesn't speak. */
	cr_expect(fake_is_quiet(&fake));
	stop(&fake, m);
}

Test(sdk, joins_by_ready)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start(&fake, &seen);
	struct fake_frame frame;

	cr_assert_eq(muster_ready(m), 0);
	cr_expect(fake_is_quiet(&fake), "written before the turn's end");
	cr_assert_eq(muster_wait(m, 0), -ETIMEDOUT);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.kind, MUSTER_REQUEST);
	cr_expect_eq(frame.header.to, 0);
	cr_expect_neq(frame.header.id, 0);
	cr_expect_eq(frame.header.sequence, 1);
	cr_expect_str_eq(frame.body, "{\"method\":\"ready\",\"params\":{}}");
	stop(&fake, m);
}

Test(sdk, sends_to_all_kinds_of_addresses)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	json_t *body = json_pack("{s:i}", "n", 7);

	cr_expect_eq(muster_send_text(m, 4, NULL, "1", 1), 0);
	cr_expect_eq(muster_send(m, MUSTER_ANY, "jobs", body), 0);
	cr_expect_eq(muster_send(m, MUSTER_ALL, NULL, body), 0);
	cr_expect_eq(muster_send_text(m, 0, NULL, "\"x\"", 3), 0);
	cr_expect_eq(muster_flush(m), 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.to, 4);
	cr_expect_eq(frame.header.sequence, 2);
	cr_expect_str_eq(frame.body, "1");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.to, MUSTER_TO_ANY);
	cr_expect_str_eq(frame.name, "jobs");
	cr_expect_str_eq(frame.body, "{\"n\":7}");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.to, MUSTER_TO_ALL);
	cr_expect_eq(frame.header.name_size, 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.to, 0);
	cr_expect_eq(frame.header.sequence, 5);
	json_decref(body);
	stop(&fake, m);
}

Test(sdk, refuses_what_makes_no_frame)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	static char large[1048577];
	char name[300];

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	cr_expect_eq(muster_send_text(m, 4, NULL, "", 0), -EINVAL);
	cr_expect_eq(muster_send_text(m, 4, "api", "1", 1), -EINVAL);
	cr_expect_eq(muster_send_text(m, MUSTER_ALL, name, "1", 1), -EINVAL);
	cr_expect_eq(muster_send_text(m, 0x80000000, NULL, "1", 1), -EINVAL);
	cr_expect_eq(muster_send(m, 4, NULL, NULL), -EINVAL);
	cr_expect_eq(
		muster_send_text(m, 4, NULL, large, sizeof large), -EMSGSIZE);
	cr_expect_eq(
		muster_request_text(m, MUSTER_ALL, NULL, "1", 1, 0, NULL, NULL),
		-EINVAL);
	cr_expect_eq(muster_reply_error(
			     m, (struct muster_ticket){1, 4}, "timeout", "no"),
		-EINVAL);
	cr_expect_eq(muster_wait(m, 0), -ETIMEDOUT);
	cr_expect(fake_is_quiet(&fake));
	stop(&fake, m);
}

Test(sdk, receives_text_and_json)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct muster_counters counters;

	cr_assert_eq(fake_message(&fake, 4, "not even json"), 0);
	turn_until(m, &seen.messages, 1);
	cr_expect_str_eq(seen.text, "not even json");
	cr_expect_eq(seen.from, 4);
	muster_on_message_json(m, on_message_json, &seen);
	cr_assert_eq(fake_message(&fake, 5, "{\"n\":1}"), 0);
	cr_assert_eq(fake_message(&fake, 5, "{\"n\":2"), 0);
	cr_assert_eq(fake_message(&fake, 6, "{\"n\":3}"), 0);
	turn_until(m, &seen.messages, 3);
	cr_expect_eq(seen.number, 3);
	muster_read_counters(m, &counters);
	cr_expect_eq(counters.bad_bodies, 1);
	/* The operator's words have from 0 and may look like an event. */
	cr_assert_eq(fake_event(&fake, "{\"event\":\"deploy\",\"n\":4}"), 0);
	turn_until(m, &seen.messages, 4);
	cr_expect_eq(seen.from, 0);
	cr_expect_eq(seen.number, 4);
	stop(&fake, m);
}

static int
write_request(struct fake *fake, uint64_t id, const char *body)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_REQUEST,
		.from = 4,
		.to = 3,
		.id = id,
		.timeout_ms = 100,
		.sequence = fake->next++,
	};

	return fake_write(fake, &header, NULL, body, -1);
}

Test(sdk, answers_requests_now_and_later)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;

	cr_assert_eq(write_request(&fake, 77, "{\"q\":1}"), 0);
	turn_until(m, &seen.requests, 1);
	cr_expect_str_eq(seen.text, "{\"q\":1}");
	cr_expect_eq(muster_reply_text(m, seen.ticket, "[1]", 3), 0);
	cr_expect_eq(
		muster_reply_error(m, seen.ticket, "app-late", "too late"), 0);
	muster_on_request_json(m, on_request_json, &seen);
	cr_assert_eq(write_request(&fake, 78, "{\"n\": 2}"), 0);
	cr_assert_eq(write_request(&fake, 79, "{\"n\": "), 0);
	turn_until(m, &seen.requests, 2);
	turn_until_idle(m);

	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.kind, MUSTER_REPLY);
	cr_expect_eq(frame.header.id, 77);
	cr_expect_eq(frame.header.to, 4);
	cr_expect_str_eq(frame.body, "[1]");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.kind, MUSTER_ERROR);
	cr_expect_str_eq(
		frame.body, "{\"code\":\"app-late\",\"message\":\"too late\"}");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.id, 78);
	cr_expect_str_eq(frame.body, "{\"n\":2}");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.id, 79);
	cr_expect_eq(frame.header.kind, MUSTER_ERROR);
	cr_expect_not_null(strstr(frame.body, "app-bad-json"));
	stop(&fake, m);
}

static int
write_error(struct fake *fake, uint64_t id, const char *body)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = MUSTER_ERROR,
		.to = 3,
		.id = id,
		.sequence = fake->next++,
	};

	return fake_write(fake, &header, NULL, body, -1);
}

Test(sdk, hears_answers_errors_and_fates)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	struct muster_counters counters;
	json_t *body = json_pack("{s:i}", "n", 1);
	uint64_t tracked = 0;
	uint64_t id;

	cr_assert_eq(
		muster_request(m, 4, NULL, body, 250, on_answer, &seen), 0);
	muster_flush(m);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.timeout_ms, 250);
	id = frame.header.id;
	cr_assert_eq(fake_answer(&fake, id, "{\"n\":42}"), 0);
	cr_assert_eq(fake_answer(&fake, id, "{\"n\":43}"), 0);
	turn_until(m, &seen.answers, 1);
	turn_until_idle(m);
	cr_expect_eq(seen.answers, 1);
	cr_expect_eq(seen.number, 42);
	muster_read_counters(m, &counters);
	cr_expect_eq(counters.stale_answers, 1);

	cr_assert_eq(muster_request_text(m, MUSTER_ANY, "jobs", "1", 1, 0,
			     on_answer, &seen),
		0);
	cr_assert_eq(muster_send_tracked(m, 9, NULL, body, &tracked), 0);
	muster_flush(m);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_neq(frame.header.id, id);
	cr_assert_eq(write_error(&fake, frame.header.id,
			     "{\"code\":\"timeout\",\"message\":\"\"}"),
		0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.id, tracked);
	cr_assert_eq(write_error(&fake, tracked,
			     "{\"code\":\"no-such-worker\",\"message\":\"\","
			     "\"to\":9}"),
		0);
	turn_until(m, &seen.answers, 2);
	turn_until(m, &seen.undelivered, 1);
	cr_expect_eq(seen.undelivered_id, tracked);
	cr_expect_eq(seen.from, 9);
	cr_expect_str_eq(seen.code, "no-such-worker");
	json_decref(body);
	stop(&fake, m);
}

Test(sdk, lists_workers)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;

	cr_assert_eq(muster_workers(m, "api", on_workers, &seen), 0);
	muster_flush(m);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body,
		"{\"method\":\"workers\",\"params\":{\"app\":\"api\"}}");
	fake_answer(&fake, frame.header.id,
		"{\"workers\":[{\"id\":3,\"app\":\"api\",\"instance\":0,"
		"\"state\":\"ready\"},{\"id\":8,\"app\":\"api\","
		"\"instance\":1,\"state\":\"starting\"}]}");
	turn_until(m, &seen.answers, 1);
	cr_expect_eq(seen.workers, 2);
	cr_expect_eq(seen.from, 8);
	stop(&fake, m);
}

Test(sdk, takes_as_many_requests_as_rows_and_reuses_them)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	unsigned taken = 0;
	int result;

	while ((result = muster_request_text(
			m, 4, NULL, "1", 1, 0, on_answer, &seen)) == 0)
		taken++;
	cr_expect_eq(result, -ENOBUFS);
	cr_expect_eq(taken, 16384);
	for (unsigned i = 0; i < taken; i++) {
		turn_until_idle(m);
		cr_assert_eq(fake_read(&fake, &frame), 1);
		cr_assert_eq(fake_answer(&fake, frame.header.id, "1"), 0);
		if (i % 512 == 0)
			cr_assert_eq(fake_ack(&fake, frame.header.sequence), 0);
	}
	turn_until(m, &seen.answers, taken);
	cr_expect_eq(muster_request_text(m, 4, NULL, "1", 1, 0, NULL, NULL), 0);
	stop(&fake, m);
}

Test(sdk, says_stopping_by_itself_on_shutdown)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;

	cr_assert_eq(fake_event(&fake,
			     "{\"event\":\"shutdown\",\"reason\":\"reload\","
			     "\"deadline_ms\":1234}"),
		0);
	turn_until(m, &seen.shutdowns, 1);
	cr_expect_str_eq(seen.reason, "reload");
	cr_expect_eq(seen.deadline_ms, 1234);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "{\"method\":\"stopping\",\"params\":{}}");
	cr_expect_eq(seen.ends, 0);
	stop(&fake, m);
}

Test(sdk, run_returns_on_shutdown_where_nobody_listens)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);

	muster_on_shutdown(m, NULL, NULL);
	cr_assert_eq(
		fake_event(&fake, "{\"event\":\"shutdown\",\"reason\":\"stop\","
				  "\"deadline_ms\":1000}"),
		0);
	cr_expect_eq(muster_run(m), 0);
	stop(&fake, m);
}

Test(sdk, tells_of_peers)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);

	fake_event(&fake, "{\"event\":\"peer\",\"id\":4,\"app\":\"api\","
			  "\"state\":\"ready\"}");
	turn_until(m, &seen.peers, 1);
	cr_expect_eq(seen.from, 4);
	cr_expect_eq(seen.peer_ready, true);
	fake_event(&fake, "{\"event\":\"peer\",\"id\":4,\"app\":\"api\","
			  "\"state\":\"gone\"}");
	turn_until(m, &seen.peers, 2);
	cr_expect_eq(seen.peer_ready, false);
	stop(&fake, m);
}

Test(sdk, acknowledges_after_256_frames_and_after_50_ms)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;

	for (int i = 0; i < 255; i++) /* one is the answer to `ready` */
		cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	turn_until(m, &seen.messages, 255);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "{\"event\":\"ack\",\"sequence\":256}");
	cr_expect_eq(frame.header.sequence, 0);
	cr_expect_eq(frame.header.kind, MUSTER_MESSAGE);
	cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	turn_until(m, &seen.messages, 256);
	cr_expect(fake_is_quiet(&fake), "acknowledged at once");
	while (fake_is_quiet(&fake))
		cr_assert_neq(muster_wait(m, 1000), -EPIPE);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "{\"event\":\"ack\",\"sequence\":257}");
	/* Nothing new: nothing to acknowledge. */
	cr_expect_eq(muster_wait(m, 120), -ETIMEDOUT);
	cr_expect(fake_is_quiet(&fake));
	stop(&fake, m);
}

Test(sdk, acknowledges_in_a_foreign_loop_too)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	struct pollfd readable = {.fd = muster_fd(m), .events = POLLIN};

	cr_assert_geq(readable.fd, 0);
	cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	while (fake_is_quiet(&fake)) {
		cr_assert_eq(poll(&readable, 1, FAKE_WAIT_MS), 1);
		cr_assert_eq(muster_dispatch(m), 0);
	}
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "{\"event\":\"ack\",\"sequence\":2}");
	cr_expect_eq(poll(&readable, 1, 0), 0, "readable without work");
	stop(&fake, m);
}

Test(sdk, a_send_outside_of_callbacks_wakes_a_foreign_loop)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	struct pollfd readable = {.fd = muster_fd(m), .events = POLLIN};

	cr_assert_eq(muster_dispatch(m), 0);
	cr_assert_eq(muster_send_text(m, 4, NULL, "1", 1), 0);
	cr_assert_eq(muster_send_text(m, 4, NULL, "2", 1), 0);
	cr_expect(fake_is_quiet(&fake));
	cr_assert_eq(poll(&readable, 1, FAKE_WAIT_MS), 1);
	cr_assert_eq(muster_dispatch(m), 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "1");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "2");
	/* Off: the loop flushes by itself. */
	muster_set_wake(m, false);
	cr_assert_eq(muster_send_text(m, 4, NULL, "3", 1), 0);
	cr_expect_eq(poll(&readable, 1, 0), 0);
	cr_expect_eq(muster_flush(m), 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	stop(&fake, m);
}

static void
on_ev_message(
	struct muster *m, const struct muster_message *message, void *data)
{
	(void)message;
	muster_send_text(m, 4, NULL, "\"back\"", 6);
	ev_break((struct ev_loop *)data, EVBREAK_ALL);
}

Test(sdk, hooks_into_a_libev_loop)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV);
	struct fake_frame frame;
	struct muster_ev hook;

	muster_on_message(m, on_ev_message, loop);
	cr_assert_eq(muster_ev_start(&hook, loop, m), 0);
	cr_assert_eq(muster_send_text(m, 4, NULL, "\"out\"", 5), 0);
	cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	ev_run(loop, 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "\"out\"");
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "\"back\"");
	/* The end stops the hook, and with it the loop. */
	close(fake.channel);
	close(fake.resume);
	fake.channel = fake.resume = -1;
	ev_run(loop, 0);
	cr_expect_eq(seen.ends, 1);
	muster_ev_stop(&hook);
	ev_loop_destroy(loop);
	stop(&fake, m);
}

Test(sdk, a_forked_child_cant_use_the_channel)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	int status = 0;
	pid_t pid;

	cr_assert_eq(muster_send_text(m, 4, NULL, "1", 1), 0);
	pid = fork();
	if (pid == 0) {
		int bad = 0;

		bad |= muster_send_text(m, 4, NULL, "2", 1) != -ECHILD;
		bad |= muster_flush(m) != -ECHILD;
		bad |= muster_dispatch(m) != -ECHILD;
		bad |= muster_wait(m, 0) != -ECHILD;
		bad |= muster_fd(m) != -ECHILD;
		muster_detach(&m);
		_exit(bad);
	}
	cr_assert_gt(pid, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	cr_expect_eq(muster_flush(m), 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "1");
	cr_expect(fake_is_quiet(&fake));
	stop(&fake, m);
}

Test(sdk, a_full_queue_refuses_and_tells_when_it_is_empty)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	static char text[32768];
	unsigned sent = 0;
	unsigned read = 0;
	int result;

	memset(text, ' ', sizeof text);
	text[0] = '1';
	muster_set_queue_limit(m, 1 << 20);
	seen.in_send = true;
	while ((result = muster_send_text(m, 4, NULL, text, sizeof text)) == 0)
		sent++;
	seen.in_send = false;
	cr_expect_eq(result, -ENOBUFS);
	cr_expect_gt(muster_pending(m), 1 << 20);
	/* It still reads. */
	cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	turn_until(m, &seen.messages, 1);
	cr_expect_eq(seen.drains, 0);
	while (read < sent) {
		muster_wait(m, 0);
		cr_assert_eq(fake_read(&fake, &frame), 1);
		if (frame.header.sequence == 0)
			continue;
		cr_assert_eq(frame.header.sequence, 2 + read);
		read++;
		if (read % 16 == 0)
			cr_assert_eq(fake_ack(&fake, frame.header.sequence), 0);
	}
	cr_expect_eq(seen.drains, 1);
	cr_expect_eq(seen.nested, false);
	stop(&fake, m);
}

Test(sdk, keeps_at_most_4_mib_unacknowledged)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;
	static char text[65536];
	size_t bytes = 0;
	unsigned before;

	memset(text, ' ', sizeof text);
	text[0] = '1';
	muster_set_queue_limit(m, 8 << 20);
	while (muster_send_text(m, 4, NULL, text, sizeof text) == 0)
		;
	for (;;) {
		muster_wait(m, 0);
		if (fake_is_quiet(&fake))
			break;
		cr_assert_eq(fake_read(&fake, &frame), 1);
		bytes += 32 + frame.header.size;
	}
	cr_expect_leq(bytes, 4 << 20);
	cr_expect_gt(bytes, 3 << 20);
	cr_expect_gt(muster_pending(m), 3 << 20);
	before = frame.header.sequence;
	cr_assert_eq(fake_ack(&fake, before), 0);
	/* A turn may bring something else first: the 50 ms of an own ack. */
	for (int turn = 0; turn < 50 && fake_is_quiet(&fake); turn++)
		muster_wait(m, 100);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.sequence, before + 1);
	stop(&fake, m);
}

/* The new brain's part of a resume: the request, and its answer. */
static void
answer_resume(struct fake *fake, struct muster *m, uint32_t expected,
	uint32_t received)
{
	struct frame_header header = {.kind = MUSTER_REPLY, .to = 3};
	struct fake_frame frame;
	char body[200];

	muster_wait(m, 1000);
	muster_wait(m, 0);
	cr_assert_eq(fake_read(fake, &frame), 1);
	snprintf(body, sizeof body,
		"{\"method\":\"resume\",\"params\":{\"received\":%u}}",
		expected);
	cr_assert_str_eq(frame.body, body);
	cr_assert_eq(frame.header.kind, MUSTER_REQUEST);
	cr_assert_eq(frame.header.sequence, 0);
	cr_assert(fake_is_quiet(fake), "wrote before the answer");
	snprintf(body, sizeof body,
		"{\"event\":\"welcome\",\"protocol\":1,\"id\":3,"
		"\"max_message\":1048576,\"listeners\":[],\"received\":%u}",
		received);
	header.id = frame.header.id;
	header.size = (uint32_t)strlen(body);
	cr_assert_eq(fake_write(fake, &header, NULL, body, -1), 0);
	muster_wait(m, 1000);
}

Test(sdk, resumes_and_sends_again_with_the_same_numbers)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct muster_counters counters;
	struct fake_frame frame;

	for (int i = 0; i < 6; i++)
		cr_assert_eq(muster_send_text(
				     m, 4, NULL, (char[]){'0' + (char)i}, 1),
			0);
	cr_assert_eq(muster_flush(m), 0);
	cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	turn_until(m, &seen.messages, 1);
	cr_assert_eq(fake_ack(&fake, 3), 0);
	turn_until_idle(m);
	cr_assert_eq(fake_replace(&fake), 0);
	muster_wait(m, 100);
	/* Sent while there is no channel, or before it is open. */
	cr_assert_eq(muster_send_text(m, 4, NULL, "9", 1), 0);
	answer_resume(&fake, m, 2, 5);
	for (uint32_t i = 6; i <= 8; i++) {
		cr_assert_eq(fake_read(&fake, &frame), 1);
		cr_expect_eq(frame.header.sequence, i);
		cr_expect_eq(frame.body[0], i == 8 ? '9' : (char)('0' + i - 2));
	}
	cr_assert_eq(fake_message(&fake, 4, "2"), 0);
	turn_until(m, &seen.messages, 2);
	cr_expect_eq(seen.ends, 0);
	cr_expect_eq(seen.shutdowns, 0);
	muster_read_counters(m, &counters);
	cr_expect_eq(counters.resumes, 1);
	stop(&fake, m);
}

Test(sdk, reads_the_old_channel_to_its_end_first)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake old;
	uint8_t half[40] = {100, 0, 0, 0, 1};

	old = fake;
	cr_assert_eq(fake_pass(&fake, &old.channel), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(fake_message(&old, 4, "1"), 0);
	half[28] = (uint8_t)old.next; /* the brain died in this frame */
	cr_assert_eq(write(old.channel, half, sizeof half), sizeof half);
	muster_wait(m, 1000);
	cr_expect(fake_is_quiet(&fake), "left a channel that is open");
	close(old.channel);
	turn_until(m, &seen.messages, 3);
	answer_resume(&fake, m, 4, 1);
	fake.next = old.next;
	cr_assert_eq(fake_message(&fake, 4, "2"), 0);
	turn_until(m, &seen.messages, 4);
	stop(&fake, m);
}

Test(sdk, passes_over_channels_whose_brain_died_too)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);

	cr_assert_eq(fake_replace(&fake), 0);
	cr_assert_eq(fake_replace(&fake), 0);
	cr_assert_eq(fake_replace(&fake), 0);
	muster_wait(m, 1000);
	muster_wait(m, 1000);
	muster_wait(m, 1000);
	answer_resume(&fake, m, 1, 1);
	cr_assert_eq(fake_message(&fake, 4, "2"), 0);
	turn_until(m, &seen.messages, 1);
	stop(&fake, m);
}

Test(sdk, resumes_before_it_has_joined_and_in_a_foreign_loop)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start(&fake, &seen);
	struct fake_frame frame;
	struct frame_header header = {.kind = MUSTER_REPLY, .to = 3};
	struct pollfd readable = {.fd = muster_fd(m), .events = POLLIN};
	const char *body = "{\"event\":\"welcome\",\"received\":0}";

	cr_assert_eq(fake_replace(&fake), 0);
	while (fake_is_quiet(&fake)) {
		cr_assert_eq(poll(&readable, 1, FAKE_WAIT_MS), 1);
		cr_assert_eq(muster_dispatch(m), 0);
	}
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body,
		"{\"method\":\"resume\",\"params\":{\"received\":0}}");
	header.id = frame.header.id;
	header.size = (uint32_t)strlen(body);
	cr_assert_eq(fake_write(&fake, &header, NULL, body, -1), 0);
	cr_assert_eq(poll(&readable, 1, FAKE_WAIT_MS), 1);
	cr_assert_eq(muster_dispatch(m), 0);
	cr_assert_eq(muster_ready(m), 0);
	cr_assert_eq(poll(&readable, 1, FAKE_WAIT_MS), 1);
	cr_assert_eq(muster_dispatch(m), 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_eq(frame.header.sequence, 1);
	cr_expect_eq(poll(&readable, 1, 0), 0, "readable without work");
	stop(&fake, m);
}

Test(sdk, requests_under_way_survive_a_resume)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;

	cr_assert_eq(
		muster_request_text(m, 4, NULL, "1", 1, 0, on_answer, &seen),
		0);
	muster_flush(m);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_assert_eq(fake_replace(&fake), 0);
	muster_wait(m, 100);
	answer_resume(&fake, m, 1, 2);
	cr_assert_eq(fake_answer(&fake, frame.header.id, "[5]"), 0);
	turn_until(m, &seen.answers, 1);
	cr_expect_str_eq(seen.answer, "[5]");
	stop(&fake, m);
}

Test(sdk, a_denied_resume_is_the_end)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct frame_header header = {.kind = MUSTER_ERROR, .to = 3};
	struct fake_frame frame;
	const char *body = "{\"code\":\"denied\",\"message\":\"no\"}";

	cr_assert_eq(
		muster_request_text(m, 4, NULL, "1", 1, 0, on_answer, &seen),
		0);
	cr_assert_eq(fake_replace(&fake), 0);
	muster_wait(m, 1000);
	muster_wait(m, 0);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	header.id = frame.header.id;
	header.size = (uint32_t)strlen(body);
	cr_assert_eq(fake_write(&fake, &header, NULL, body, -1), 0);
	turn_until(m, &seen.ends, 1);
	cr_expect_eq(seen.how, MUSTER_END_DENIED);
	cr_expect_eq(seen.answers, 1);
	cr_expect_str_eq(seen.code, "lost");
	cr_expect_eq(muster_send_text(m, 4, NULL, "1", 1), -EPIPE);
	cr_expect_eq(muster_dispatch(m), -EPIPE);
	stop(&fake, m);
}

Test(sdk, the_end_of_the_keeper_is_a_shutdown_and_the_end)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);

	/* The channel alone: a pause. */
	close(fake.channel);
	fake.channel = -1;
	muster_wait(m, 100);
	cr_expect_eq(muster_wait(m, 0), -ETIMEDOUT);
	cr_expect_eq(seen.ends, 0);
	cr_expect_eq(muster_send_text(m, 4, NULL, "1", 1), 0);
	close(fake.resume);
	fake.resume = -1;
	turn_until(m, &seen.ends, 1);
	cr_expect_eq(seen.how, MUSTER_END_GONE);
	cr_expect_eq(seen.shutdowns, 1);
	cr_expect_str_eq(seen.reason, "supervisor-gone");
	stop(&fake, m);
}

static void
break_a_rule(struct frame_header header, const char *body)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);

	cr_assert_eq(fake_write(&fake, &header, body, body, -1), 0);
	turn_until(m, &seen.ends, 1);
	cr_expect_eq(seen.how, MUSTER_END_PROTOCOL);
	cr_expect_eq(seen.messages, 0);
	stop(&fake, m);
}

Test(sdk, a_broken_frame_ends_the_channel)
{
	struct frame_header right = {
		.size = 1, .kind = MUSTER_MESSAGE, .from = 4, .sequence = 2};
	struct frame_header bad;

	bad = right;
	bad.sequence = 3;
	break_a_rule(bad, "1");
	bad = right;
	bad.sequence = 0; /* only the supervisor's own frames may */
	break_a_rule(bad, "1");
	bad = right;
	bad.kind = 9;
	break_a_rule(bad, "1");
	bad = right;
	bad.flags = 4;
	break_a_rule(bad, "1");
	bad = right;
	bad.name_size = 1;
	break_a_rule(bad, "1");
}

Test(sdk, closes_descriptors_that_arrive_unasked)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct frame_header header = {
		.size = 1, .kind = MUSTER_MESSAGE, .from = 4, .to = 3};
	struct muster_counters counters;
	int ends[2];
	char byte;

	cr_assert_eq(pipe(ends), 0);
	header.flags = MUSTER_FLAG_FD;
	header.sequence = fake.next++;
	cr_assert_eq(fake_write(&fake, &header, NULL, "1", ends[1]), 0);
	header.flags = 0;
	header.sequence = fake.next++;
	cr_assert_eq(fake_write(&fake, &header, NULL, "2", ends[1]), 0);
	turn_until(m, &seen.messages, 2);
	close(ends[1]);
	cr_expect_eq(read(ends[0], &byte, 1), 0, "a copy is still open");
	muster_read_counters(m, &counters);
	cr_expect_eq(counters.descriptors_closed, 2);
	for (int i = 0; i < 15; i++) {
		header.sequence = fake.next++;
		cr_assert_eq(fake_write(&fake, &header, NULL, "2", ends[0]), 0);
	}
	turn_until(m, &seen.ends, 1);
	cr_expect_eq(seen.how, MUSTER_END_PROTOCOL);
	close(ends[0]);
	stop(&fake, m);
}

static void
on_detach(struct muster *m, const struct muster_message *message, void *data)
{
	struct seen *seen = data;

	(void)message;
	seen->messages++;
	cr_expect_eq(muster_dispatch(m), -EBUSY);
	muster_detach(&m);
}

Test(sdk, may_be_detached_in_a_callback)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);

	muster_on_message(m, on_detach, &seen);
	cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	cr_assert_eq(fake_message(&fake, 4, "2"), 0);
	cr_expect_eq(muster_wait(m, 1000), -ECANCELED);
	cr_expect_eq(seen.messages, 1);
	fake_stop(&fake);
}

/* What was handled doesn't come back to its sender as undelivered. */
Test(sdk, acknowledges_what_it_received_before_it_leaves)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);
	struct fake_frame frame;

	cr_assert_eq(fake_message(&fake, 4, "1"), 0);
	turn_until(m, &seen.messages, 1);
	cr_expect(fake_is_quiet(&fake), "acknowledged at once");
	muster_detach(&m);
	cr_assert_eq(fake_read(&fake, &frame), 1);
	cr_expect_str_eq(frame.body, "{\"event\":\"ack\",\"sequence\":2}");
	fake_stop(&fake);
}

Test(sdk, drain_waits_for_the_acknowledgement)
{
	struct fake fake;
	struct seen seen;
	struct muster *m = start_ready(&fake, &seen);

	cr_assert_eq(muster_send_text(m, 4, NULL, "1", 1), 0);
	cr_expect_eq(muster_drain(m, 20), -ETIMEDOUT);
	cr_assert_eq(fake_ack(&fake, 2), 0);
	cr_expect_eq(muster_drain(m, 5000), 0);
	cr_assert_eq(fake_ack(&fake, 3), 0);
	turn_until(m, &seen.ends, 1);
	cr_expect_eq(seen.how, MUSTER_END_PROTOCOL);
	stop(&fake, m);
}

static void
set_number(const char *name, long number)
{
	char text[24];

	snprintf(text, sizeof text, "%ld", number);
	setenv(name, text, 1);
}

Test(sdk, finds_listeners_with_and_without_a_channel)
{
	struct muster_listener_info info;
	struct fake fake;
	struct seen seen;
	struct muster *m;

	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "http:admin", 1);
	set_number("LISTEN_PID", (long)getpid() + 1);
	cr_expect_eq(muster_listener(NULL, NULL), -ENOENT);
	set_number("LISTEN_PID", getpid());
	cr_expect_eq(muster_listener(NULL, NULL), 3);
	cr_expect_eq(muster_listener(NULL, "admin"), 4);
	cr_expect_eq(muster_listener(NULL, "adm"), -ENOENT);
	/* Standing in for sockets: 3 and 4 must be open. */
	if (fcntl(3, F_GETFD) < 0)
		cr_assert_eq(dup2(0, 3), 3);
	if (fcntl(4, F_GETFD) < 0)
		cr_assert_eq(dup2(0, 4), 4);
	m = start(&fake, &seen);
	cr_expect_eq(muster_listener(m, NULL), 3);
	cr_expect_eq(muster_listener(m, "admin"), 4);
	cr_assert_eq(muster_listener_at(m, 0, &info), 0);
	cr_expect_null(info.address);
	cr_assert_eq(fake_welcome(&fake), 0);
	turn_until_idle(m);
	cr_assert_eq(muster_listener_at(m, 0, &info), 0);
	cr_expect_str_eq(info.name, "http");
	cr_expect_str_eq(info.address, "tcp://127.0.0.1:8080");
	cr_expect_eq(muster_listener_at(m, 2, &info), -ENOENT);
	stop(&fake, m);
}

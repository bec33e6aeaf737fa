/* Events: what is kept, what is dropped, who is told. */
#include "fleet/events.h"

#include "base/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	size_t count, bytes;
	char first[512], last[512];
};

static void
note(const char *text, size_t size, void *data)
{
	struct seen *seen = data;

	if (!seen->count++)
		snprintf(seen->first, sizeof(seen->first), "%s", text);
	snprintf(seen->last, sizeof(seen->last), "%s", text);
	seen->bytes += size;
}

Test(events, an_event_says_who_and_what)
{
	struct events *events = events_new();
	struct events_subject subject = {"api", 3, 71, 2};
	struct seen seen = {0};
	json_t *event;

	events_raise(events, "exited", &subject, json_pack("{s:i}", "code", 7));
	events_walk(events, note, &seen);
	cr_assert_eq(seen.count, 1);
	event = json_read(seen.first, strlen(seen.first));
	cr_assert_not_null(event);
	cr_expect_str_eq(json_text(event, "event"), "exited");
	cr_expect_str_eq(json_text(event, "app"), "api");
	cr_expect_not_null(json_text(event, "time"));
	cr_expect_eq(json_integer_value(json_object_get(event, "id")), 3);
	cr_expect_eq(json_integer_value(json_object_get(event, "pid")), 71);
	cr_expect_eq(json_integer_value(json_object_get(event, "instance")), 2);
	cr_expect_eq(json_integer_value(json_object_get(event, "code")), 7);
	json_decref(event);
	events_free(&events);
}

Test(events, the_last_ones_are_kept)
{
	struct events *events = events_new();
	struct events_subject subject = {"api", 0, 0, 0};
	struct seen seen = {0};

	for (uint32_t i = 1; i <= EVENTS_MAX + 5; i++) {
		subject.id = i;
		events_raise(events, "started", &subject, NULL);
	}
	events_walk(events, note, &seen);
	cr_expect_eq(seen.count, EVENTS_MAX);
	cr_expect_not_null(strstr(seen.first, "\"id\":6,"));
	cr_expect_not_null(strstr(seen.last, "\"id\":10005,"));
	events_free(&events);
}

Test(events, their_bytes_are_bounded)
{
	struct events *events = events_new();
	struct events_subject subject = {"api", 1, 0, 0};
	struct seen seen = {0};
	char *body = malloc(60001);

	memset(body, 'x', 60000);
	body[60000] = '\0';
	for (int i = 0; i < 200; i++)
		events_raise(events, "message", &subject,
			json_pack("{s:s}", "body", body));
	events_walk(events, note, &seen);
	cr_expect_leq(seen.bytes, (size_t)EVENTS_BYTES_MAX);
	cr_expect_gt(seen.count, (size_t)60);
	free(body);
	events_free(&events);
}

struct follow {
	struct events_follower *follower;
	int told;
	int leave_after;
};

static void
count(json_t *event, void *data)
{
	struct follow *follow = data;

	cr_assert(json_is_object(event));
	if (++follow->told == follow->leave_after)
		events_unfollow(&follow->follower);
}

Test(events, followers_are_told_until_they_leave)
{
	struct events *events = events_new();
	struct events_subject subject = {"api", 1, 0, 0};
	struct follow brief = {.leave_after = 2}, loyal = {0};

	brief.follower = events_follow(events, count, &brief);
	loyal.follower = events_follow(events, count, &loyal);
	for (int i = 0; i < 5; i++)
		events_raise(events, "ready", &subject, NULL);
	cr_expect_eq(brief.told, 2);
	cr_expect_null(brief.follower);
	cr_expect_eq(loyal.told, 5);
	events_unfollow(&loyal.follower);
	events_raise(events, "ready", &subject, NULL);
	cr_expect_eq(loyal.told, 5);
	events_free(&events);
}

/* Events: what is kept, what is dropped, who is told. */
#include "fleet/events.h"

#include "base/json.h"
#include "mechanism/event_memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static struct events *
make_events(void)
{
	struct events *events = events_new();

	cr_assert_eq(events_keep(events, event_memory_make()), 0);
	return events;
}

Test(events, an_event_says_who_and_what)
{
	struct events *events = make_events();
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

/* The memory belongs to more than one brain's life. */
Test(events, those_of_an_earlier_brain_come_first)
{
	struct events_subject subject = {"api", 1, 0, 0};
	int fd = event_memory_make();
	struct events *events = events_new();
	struct seen seen = {0};

	events_raise(events, "too_early", &subject, NULL);
	cr_assert_eq(events_keep(events, dup(fd)), 0);
	events_raise(events, "started", &subject, NULL);
	events_free(&events);
	events = events_new();
	events_walk(events, note, &seen);
	cr_expect_eq(seen.count, 0);
	cr_assert_eq(events_keep(events, fd), 0);
	events_raise(events, "took_over", &subject, NULL);
	events_walk(events, note, &seen);
	cr_expect_eq(seen.count, 2);
	cr_expect_not_null(strstr(seen.first, "started"));
	cr_expect_not_null(strstr(seen.last, "took_over"));
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
	struct events *events = make_events();
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

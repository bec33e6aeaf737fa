/*
 * Events: how they look, and those who follow.
 *
 * What is worth an event is the business of who raises it, and where the last
 * of them lie as text is mechanism/event_memory's.
 */
#include "fleet/events.h"

#include "base/clock.h"
#include "base/json.h"
#include "mechanism/event_memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct events {
	struct event_memory *memory; /* NULL: none is kept yet */
	struct events_follower *followers;
	bool is_telling;
};

struct events_follower {
	struct events *events;
	struct events_follower *next; /* events.followers */
	void (*told)(json_t *event, void *data);
	void *data;
	bool is_gone; /* freed when nobody walks the list */
};

struct events *
events_new(void)
{
	return calloc(1, sizeof(struct events));
}

void
events_free(struct events **events)
{
	struct events *at = *events;

	if (!at)
		return;
	event_memory_close(&at->memory);
	while (at->followers) {
		struct events_follower *next = at->followers->next;

		free(at->followers);
		at->followers = next;
	}
	free(at);
	*events = NULL;
}

int
events_keep(struct events *events, int fd)
{
	event_memory_close(&events->memory);
	return event_memory_open(fd, &events->memory);
}

static void
keep(struct events *events, const json_t *event)
{
	size_t size = 0;
	char *text = events->memory ? json_write(event, &size) : NULL;

	if (text)
		event_memory_add(events->memory, text, size);
	free(text);
}

static void
bury(struct events *events)
{
	struct events_follower **at = &events->followers;

	while (*at) {
		struct events_follower *follower = *at;

		if (!follower->is_gone) {
			at = &follower->next;
			continue;
		}
		*at = follower->next;
		free(follower);
	}
}

static void
tell(struct events *events, json_t *event)
{
	/* One that is raised while another is told is told, too; only burying
	 * waits for the outermost walk. */
	bool is_outermost = !events->is_telling;

	events->is_telling = true;
	for (struct events_follower *at = events->followers; at; at = at->next)
		if (!at->is_gone)
			at->told(event, at->data);
	if (is_outermost) {
		events->is_telling = false;
		bury(events);
	}
}

void
events_raise(struct events *events, const char *name,
	const struct events_subject *subject, json_t *more)
{
	json_t *event = json_object();
	char time[32];
	int r;

	clock_wall_text(time);
	r = json_object_set_new(event, "time", json_string(time));
	r |= json_object_set_new(event, "event", json_string(name));
	if (subject->app)
		r |= json_object_set_new(
			event, "app", json_string(subject->app));
	if (subject->id)
		r |= json_object_set_new(
			event, "id", json_integer(subject->id));
	if (subject->app && subject->id)
		r |= json_object_set_new(
			event, "instance", json_integer(subject->instance));
	if (subject->pid)
		r |= json_object_set_new(
			event, "pid", json_integer(subject->pid));
	if (more)
		r |= json_object_update(event, more);
	json_decref(more);
	if (r == 0) {
		keep(events, event);
		tell(events, event);
	}
	json_decref(event);
}

void
events_raise_message(struct events *events,
	const struct events_subject *subject, const char *body, size_t size)
{
	json_t *value;
	json_t *more;

	if (size > EVENTS_MESSAGE_MAX) {
		more = json_pack("{s:I}", "bytes", (json_int_t)size);
	} else {
		value = json_read(body, size);
		if (value)
			more = json_pack("{s:o}", "body", value);
		else
			more = json_pack("{s:s}", "error",
				"the body is not one JSON value");
	}
	events_raise(events, "message", subject, more);
}

void
events_walk(const struct events *events,
	void (*visit)(const char *text, size_t size, void *data), void *data)
{
	if (events->memory)
		event_memory_walk(events->memory, visit, data);
}

struct events_follower *
events_follow(struct events *events, void (*told)(json_t *event, void *data),
	void *data)
{
	struct events_follower *follower = calloc(1, sizeof(*follower));

	if (!follower)
		return NULL;
	follower->events = events;
	follower->told = told;
	follower->data = data;
	follower->next = events->followers;
	events->followers = follower;
	return follower;
}

void
events_unfollow(struct events_follower **follower)
{
	struct events *events;

	if (!*follower)
		return;
	events = (*follower)->events;
	(*follower)->is_gone = true;
	if (!events->is_telling)
		bury(events);
	*follower = NULL;
}

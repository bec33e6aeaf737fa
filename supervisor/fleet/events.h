/*
 * events.h: what happened, for people and for programs that follow.
 *
 * An event is a JSON object {"time","event","app","id","pid",…}. The last are
 * kept in memory that outlives the brain (mechanism/event_memory says how
 * many). Followers are called for each as it happens. Loop's thread only.
 *
 * What a brain did twice because its predecessor was killed before it could
 * note it down, may be told twice as well.
 */
#ifndef MUSTER_EVENTS_H
#define MUSTER_EVENTS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct events;
struct events_follower;

enum {
	EVENTS_MESSAGE_MAX = 65536, /* a larger body is told by its size */
};

struct events *events_new(void); /* NULL without memory */
void events_free(struct events **events);

/*
 * Keeps events from now on in the memory file `fd` (taken over, also on
 * failure), which event_memory_make() made; those that an earlier brain kept
 * there are kept. Before, and after a failure, none is.
 * Returns 0 or an error of event_memory_open().
 */
int events_keep(struct events *events, int fd);

/* Whom an event is about; all fields may be NULL or 0. `instance` counts where
 * there are an application and an id. */
struct events_subject {
	const char *app;
	uint32_t id;
	int32_t pid;
	uint32_t instance;
};

/*
 * Something happened: `name`, about `subject`, with the members of `more`
 * (stolen; NULL: none). Without memory it is dropped.
 */
void events_raise(struct events *events, const char *name,
	const struct events_subject *subject, json_t *more);

/*
 * The event `message`: what `subject` sent to its master. A body over
 * EVENTS_MESSAGE_MAX is told by its size, one that is no JSON by an error.
 */
void events_raise_message(struct events *events,
	const struct events_subject *subject, const char *body, size_t size);

/*
 * Walks the kept events, oldest first: calls `visit` with each one's text (a
 * JSON object, borrowed, no newline) and its size.
 */
void events_walk(const struct events *events,
	void (*visit)(const char *text, size_t size, void *data), void *data);

/*
 * Calls `told` for each event from now on; `event` is borrowed. It is called
 * while the fleet acts, so it must only note or send, and may unfollow. Returns
 * NULL without memory.
 */
struct events_follower *events_follow(struct events *events,
	void (*told)(json_t *event, void *data), void *data);
void events_unfollow(struct events_follower **follower);

#endif

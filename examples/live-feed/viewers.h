/*
 * viewers.h: the browsers of one worker: each asks once, over HTTP, and is
 * answered, or gets events from then on (server-sent events).
 */
#ifndef VIEWERS_H
#define VIEWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VIEWER_IN_MAX = 8 * 1024,   /* bytes of a request */
	VIEWER_OUT_MAX = 64 * 1024, /* what waits for one that doesn't read */
};

struct viewer;

struct viewers {
	int epoll; /* data.ptr of their events is the viewer */
	struct viewer *first;
	struct viewer *gone; /* until viewers_tidy: events may name them */
	unsigned count;
	/* A whole request came: answer it by viewer_answer or viewer_follow.
	 * The texts end with a NUL. */
	void (*on_request)(struct viewer *viewer, const char *method,
		const char *path, const char *body);
	/* A viewer goes; its descriptor is still open. */
	void (*on_leave)(struct viewers *viewers, int fd);
	void *data;
};

struct viewers *viewer_home(const struct viewer *viewer);

/* Lets one in; `fd` is taken over, also without memory. */
void viewers_enter(struct viewers *viewers, int fd);

/* The viewer's socket has these events of epoll. */
void viewers_event(struct viewer *viewer, uint32_t events);

/* Answers, and hangs up when that is written. */
void viewer_answer(struct viewer *viewer, const char *status, const char *type,
	const char *body);

/* Answers with events from now on. */
void viewer_follow(struct viewer *viewer);

/* Sends an event to all who follow; who is too slow is dropped, and comes again
 * by itself. Line ends in the text become blanks. */
void viewers_tell(struct viewers *viewers, const char *text, size_t size);

/* Frees who has gone: at the end of a turn. */
void viewers_tidy(struct viewers *viewers);

/* Lets go who has everything, and the others when they have. */
void viewers_close(struct viewers *viewers);

#endif

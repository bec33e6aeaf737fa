/*
 * main.c: a live feed: what one browser posts, all others see at once,
 * whichever worker they are connected to. A post is published to the topic
 * feed.news, to which each worker subscribes; so the shell and programs outside
 * can publish there, too.
 */
#include "viewers.h"

#include <errno.h>
#include <muster.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	EVENTS_MAX = 64,
	/* What an event is about; a viewer's holds a pointer, larger. */
	MARK_ACCEPT = 1,
	MARK_MUSTER = 2,
};

struct feed {
	struct viewers viewers;
	struct muster *muster;
	int epoll;
	bool leaving;
};

static const char page[] =
	"<!doctype html><title>live feed</title>\n"
	"<form onsubmit=\"fetch('/post', {method: 'POST', body: "
	"JSON.stringify(t.value)}); t.value = ''; return false\">\n"
	"<input id=t autofocus></form><ul id=l></ul>\n"
	"<script>new EventSource('/feed').onmessage = e => {\n"
	"	let i = document.createElement('li');\n"
	"	i.textContent = JSON.parse(e.data); l.prepend(i) }</script>\n";

/* A worker isn't sent what it has published: its own viewers get it here. */
static void
post(struct feed *feed, struct viewer *viewer, const char *body)
{
	json_t *value = json_loads(
		body, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

	if (!value) {
		viewer_answer(viewer, "400 Bad Request", "text/plain",
			"The body is JSON.\n");
		return;
	}
	if (muster_publish(feed->muster, "feed.news", value) < 0) {
		viewer_answer(viewer, "503 Service Unavailable", "text/plain",
			"The others are too slow for this.\n");
	} else {
		viewers_tell(&feed->viewers, body, strlen(body));
		viewer_answer(viewer, "202 Accepted", "text/plain", "");
	}
	json_decref(value);
}

static void
on_request(struct viewer *viewer, const char *method, const char *path,
	const char *body)
{
	struct feed *feed = viewer_home(viewer)->data;

	if (strcmp(method, "POST") == 0)
		post(feed, viewer, body);
	else if (strcmp(path, "/feed") == 0)
		viewer_follow(viewer);
	else
		viewer_answer(viewer, "200 OK", "text/html", page);
}

static void
on_leave(struct viewers *viewers, int fd)
{
	struct feed *feed = viewers->data;

	muster_connection_done(feed->muster, fd);
}

static void
on_topic(struct muster *muster, const struct muster_publication *publication,
	void *data)
{
	struct feed *feed = data;

	(void)muster;
	viewers_tell(&feed->viewers, publication->text, publication->size);
}

static void
on_connection(struct muster *muster, int fd, const char *listener, void *data)
{
	struct feed *feed = data;

	(void)muster;
	(void)listener;
	viewers_enter(&feed->viewers, fd);
}

/* Browsers connect again by themselves, to who comes after us. */
static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	struct feed *feed = data;

	(void)muster;
	(void)reason;
	(void)deadline_ms;
	viewers_close(&feed->viewers);
	feed->leaving = true;
}

static int
start(struct feed *feed)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = MARK_MUSTER};
	int fd = muster_fd(feed->muster);
	int result = fd;

	if (result >= 0)
		result = epoll_ctl(feed->epoll, EPOLL_CTL_ADD, fd, &event) < 0
				 ? -errno
				 : 0;
	muster_set_wake(feed->muster, false); /* each turn flushes */
	muster_on_shutdown(feed->muster, on_shutdown, feed);
	/* Before muster_ready: then a reload has no gap. */
	if (result == 0)
		result = muster_subscribe(
			feed->muster, "feed.>", on_topic, feed);
	if (result == 0)
		result = muster_accept_in(
			feed->muster, feed->epoll, MARK_ACCEPT);
	if (result == 0)
		result =
			muster_on_connection(feed->muster, on_connection, feed);
	return result == 0 ? muster_ready(feed->muster) : result;
}

static void
run(struct feed *feed)
{
	struct epoll_event events[EVENTS_MAX];
	int count;

	while (!feed->leaving || feed->viewers.count > 0) {
		(void)muster_flush(feed->muster);
		count = epoll_wait(feed->epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == MARK_ACCEPT)
				(void)muster_accept(feed->muster);
			else if (events[i].data.u64 == MARK_MUSTER)
				feed->leaving |=
					muster_dispatch(feed->muster) < 0;
			else
				viewers_event(
					events[i].data.ptr, events[i].events);
		}
		viewers_tidy(&feed->viewers);
	}
}

int
main(void)
{
	struct feed feed = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
	int result = muster_attach(&feed.muster);

	if (result == 0) {
		feed.viewers = (struct viewers){
			.epoll = feed.epoll,
			.on_request = on_request,
			.on_leave = on_leave,
			.data = &feed,
		};
		result = start(&feed);
	}
	if (result < 0) {
		fprintf(stderr, "live-feed: %s\n",
			result == -ENOENT
				? "start it by 'muster run -n 2 -l 127.0.0.1:"
				  "8080 -- live-feed'"
				: strerror(-result));
		return 1;
	}
	run(&feed);
	(void)muster_drain(feed.muster, 1000);
	muster_detach(&feed.muster);
	return 0;
}

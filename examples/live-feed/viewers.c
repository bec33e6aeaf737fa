/*
 * viewers.c: enough of HTTP for one request a connection, and a bounded buffer
 * for each viewer, so that one that sends half a request or doesn't read holds
 * up nobody.
 */
#include "viewers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct viewer {
	struct viewers *home;
	struct viewer *next, **at;
	int fd;
	bool follows;  /* gets events */
	bool is_asked; /* its request was taken */
	bool leaves;   /* when everything is written */
	size_t in_size, out_size;
	char in[VIEWER_IN_MAX + 1];
	char out[VIEWER_OUT_MAX];
};

struct viewers *
viewer_home(const struct viewer *viewer)
{
	return viewer->home;
}

static void
leave(struct viewer *viewer)
{
	struct viewers *home = viewer->home;

	if (viewer->fd < 0)
		return;
	/* Out of the epoll first: the supervisor may have a copy. */
	(void)epoll_ctl(home->epoll, EPOLL_CTL_DEL, viewer->fd, NULL);
	home->on_leave(home, viewer->fd);
	close(viewer->fd);
	viewer->fd = -1;
	*viewer->at = viewer->next;
	if (viewer->next)
		viewer->next->at = viewer->at;
	viewer->next = home->gone;
	home->gone = viewer;
	home->count--;
}

static void
watch(struct viewer *viewer, int operation)
{
	struct epoll_event event = {.data.ptr = viewer,
		.events = EPOLLIN | (viewer->out_size > 0 ? EPOLLOUT : 0u)};

	if (epoll_ctl(viewer->home->epoll, operation, viewer->fd, &event) < 0)
		leave(viewer);
}

/* Writes what the kernel takes. */
static void
flush(struct viewer *viewer)
{
	ssize_t n = 0;

	if (viewer->fd >= 0 && viewer->out_size > 0)
		n = send(viewer->fd, viewer->out, viewer->out_size,
			MSG_NOSIGNAL | MSG_DONTWAIT);
	if (viewer->fd < 0 || (n < 0 && errno != EAGAIN)) {
		leave(viewer);
		return;
	}
	if (n > 0) {
		viewer->out_size -= (size_t)n;
		memmove(viewer->out, viewer->out + n, viewer->out_size);
	}
	if (viewer->out_size == 0 && viewer->leaves)
		leave(viewer);
	else
		watch(viewer, EPOLL_CTL_MOD);
}

static void
put(struct viewer *viewer, const char *text, size_t size)
{
	if (viewer->fd < 0)
		return;
	if (size > sizeof(viewer->out) - viewer->out_size) {
		leave(viewer);
		return;
	}
	memcpy(viewer->out + viewer->out_size, text, size);
	viewer->out_size += size;
}

void
viewers_enter(struct viewers *viewers, int fd)
{
	struct viewer *viewer = calloc(1, sizeof *viewer);

	if (!viewer) {
		viewers->on_leave(viewers, fd);
		close(fd);
		return;
	}
	viewer->home = viewers;
	viewer->fd = fd;
	viewer->next = viewers->first;
	viewer->at = &viewers->first;
	if (viewer->next)
		viewer->next->at = &viewer->next;
	viewers->first = viewer;
	viewers->count++;
	watch(viewer, EPOLL_CTL_ADD);
}

void
viewer_answer(struct viewer *viewer, const char *status, const char *type,
	const char *body)
{
	char head[256];
	int size = snprintf(head, sizeof head,
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n",
		status, type, strlen(body));

	put(viewer, head, (size_t)size);
	put(viewer, body, strlen(body));
	viewer->leaves = true;
}

void
viewer_follow(struct viewer *viewer)
{
	static const char head[] = "HTTP/1.1 200 OK\r\n"
				   "Content-Type: text/event-stream\r\n"
				   "Cache-Control: no-store\r\n"
				   "Connection: close\r\n\r\n"
				   "retry: 500\n: welcome\n\n";

	put(viewer, head, sizeof head - 1);
	viewer->follows = true;
}

/* Takes the request when it is whole. */
static void
take_request(struct viewer *viewer)
{
	char *body = strstr(viewer->in, "\r\n\r\n");
	const char *length;
	char method[8] = "", path[128] = "";
	size_t wanted = 0;

	if (!body)
		return;
	*body = '\0';
	body += 4;
	length = strcasestr(viewer->in, "\r\nContent-Length:");
	if (length)
		wanted = strtoul(length + 17, NULL, 10);
	if (strlen(body) < wanted && wanted < VIEWER_IN_MAX) {
		body[-4] = '\r'; /* more is to come */
		return;
	}
	viewer->is_asked = true;
	if (sscanf(viewer->in, "%7s %127s", method, path) == 2 &&
		strlen(body) >= wanted)
		viewer->home->on_request(viewer, method, path, body);
	else
		viewer_answer(viewer, "400 Bad Request", "text/plain",
			"That is no request.\n");
	flush(viewer);
}

void
viewers_event(struct viewer *viewer, uint32_t events)
{
	char rest[512];
	char *to = viewer->is_asked ? rest : viewer->in + viewer->in_size;
	size_t room = viewer->is_asked ? sizeof rest
				       : VIEWER_IN_MAX - viewer->in_size;
	ssize_t n;

	if (viewer->fd < 0)
		return;
	if (events & EPOLLOUT)
		flush(viewer);
	if (viewer->fd < 0 || !(events & ~(uint32_t)EPOLLOUT))
		return;
	n = recv(viewer->fd, to, room, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	/* At its end, or with a request that is too long. */
	if (n <= 0) {
		leave(viewer);
		return;
	}
	if (viewer->is_asked)
		return;
	viewer->in_size += (size_t)n;
	viewer->in[viewer->in_size] = '\0';
	take_request(viewer);
}

void
viewers_tell(struct viewers *viewers, const char *text, size_t size)
{
	struct viewer *viewer, *next;
	char event[4096];
	int head = snprintf(event, sizeof event, "data: ");
	size_t whole = (size_t)head + size + 2;

	if (whole > sizeof event)
		return;
	memcpy(event + head, text, size);
	for (char *at = event; at < event + head + size; at++)
		if (*at == '\n' || *at == '\r')
			*at = ' ';
	event[whole - 2] = event[whole - 1] = '\n';
	for (viewer = viewers->first; viewer; viewer = next) {
		next = viewer->next;
		if (!viewer->follows || viewer->leaves)
			continue;
		put(viewer, event, whole);
		if (viewer->fd >= 0)
			flush(viewer);
	}
}

void
viewers_close(struct viewers *viewers)
{
	struct viewer *viewer, *next;

	for (viewer = viewers->first; viewer; viewer = next) {
		next = viewer->next;
		viewer->leaves = true;
		flush(viewer);
	}
}

void
viewers_tidy(struct viewers *viewers)
{
	while (viewers->gone) {
		struct viewer *viewer = viewers->gone;

		viewers->gone = viewer->next;
		free(viewer);
	}
}

/*
 * accept.c: connections: accepted here, or handed over by the supervisor; and
 * how many there are.
 *
 * Workers that share a socket are woken one at a time (EPOLLEXCLUSIVE). The
 * kernel wakes the first that is idle in its queue, so that alone one worker
 * would get nearly everything; who has accepted therefore leaves the queue and
 * joins it again at its end. That works where the process sleeps in the very
 * epoll that watches the sockets: nested in another one all are woken.
 *
 * What is told to the supervisor is told late and together: one word for many
 * connections.
 */
#include "handle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPT_MAX = 4,	       /* of one listener in one turn */
	ACCEPT_PAUSE_MS = 100, /* without descriptors */
	DONE_MAX = 16,	       /* told at once; fewer wait a little */
	DONE_DELAY_MS = 5,
	LOAD_INTERVAL_MS = 200,
};

/* Watching ----------------------------------------------------------------- */

static int
watch(struct muster *muster, int fd)
{
	const struct accepting *accepting = &muster->accepting;
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

	if (accepting->is_foreign)
		event.data.u64 = accepting->mark;
	else
		event.data.fd = fd;
	if (epoll_ctl(accepting->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

static void
unwatch(struct muster *muster, int fd)
{
	struct epoll_event event = {0};

	(void)epoll_ctl(muster->accepting.epoll, EPOLL_CTL_DEL, fd, &event);
}

static void
unwatch_all(struct muster *muster)
{
	if (!muster->accepting.is_watching)
		return;
	muster->accepting.is_watching = false;
	for (size_t i = 0; i < muster->listeners_count; i++)
		unwatch(muster, muster->listeners[i].fd);
}

/* Whether it is one of several sockets of its address: the supervisor makes
 * one for each worker. During a reload two have it, for a moment. */
static bool
is_own(int fd)
{
	int yes = 0;
	socklen_t size = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, &size) == 0 &&
	       yes;
}

static int
watch_all(struct muster *muster)
{
	int result = 0;

	muster->accepting.is_watching = true;
	for (size_t i = 0; i < muster->listeners_count && result == 0; i++) {
		struct listener *listener = &muster->listeners[i];

		if (!listeners_is_stream(listener->fd))
			continue;
		listener->is_own = is_own(listener->fd);
		result = watch(muster, listener->fd);
	}
	if (result == -EEXIST)
		result = 0;
	if (result < 0)
		unwatch_all(muster);
	return result;
}

int
muster_accept_in(struct muster *muster, int epoll, uint64_t mark)
{
	if (*muster->alive != 1)
		return attach_refusal(muster);
	if (muster->accepting.fn)
		return -EBUSY;
	muster->accepting.epoll = epoll;
	muster->accepting.mark = mark;
	muster->accepting.is_foreign = true;
	return 0;
}

int
muster_on_connection(
	struct muster *muster, muster_connection_fn *fn, void *data)
{
	struct accepting *accepting = &muster->accepting;
	int result;

	if (*muster->alive != 1)
		return attach_refusal(muster);
	accepting->data = data;
	accepting->fn = fn;
	if (!fn) {
		unwatch_all(muster);
		return 0;
	}
	if (accepting->is_watching || muster->shutdown_told)
		return 0;
	result = muster_fd(muster);
	if (result >= 0 && !accepting->is_foreign)
		accepting->epoll = result;
	if (result >= 0)
		result = watch_all(muster);
	if (result < 0)
		accepting->fn = NULL;
	return result;
}

void
accept_stop(struct muster *muster)
{
	unwatch_all(muster);
	muster->accepting.paused_to = 0;
}

/* For want of descriptors the sockets would stay readable for ever. */
static void
take_pause(struct muster *muster)
{
	unwatch_all(muster);
	muster->accepting.paused_to = loop_now() + ACCEPT_PAUSE_MS;
	loop_arm(muster, ACCEPT_PAUSE_MS);
}

void
accept_go_on(struct muster *muster)
{
	struct accepting *accepting = &muster->accepting;
	int64_t now;

	if (accepting->paused_to == 0)
		return;
	now = loop_now();
	if (now < accepting->paused_to) {
		loop_arm(muster, accepting->paused_to - now);
		return;
	}
	accepting->paused_to = 0;
	if (accepting->fn && !muster->shutdown_told && watch_all(muster) < 0)
		take_pause(muster);
}

/* Accepting ---------------------------------------------------------------- */

static void
call_back(struct muster *muster, int fd, const char *listener)
{
	struct accepting *accepting = &muster->accepting;

	accepting->open++;
	accepting->fn(muster, fd, listener, accepting->data);
}

/* Returns whether one came. The flag is the socket's, and any of the processes
 * that share it may have taken it away. */
static bool
accept_one(struct muster *muster, const struct listener *listener)
{
	int fd =
		accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		call_back(muster, fd, listener->name);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		errno == ENOBUFS)
		take_pause(muster);
	return false;
}

static void
accept_some(struct muster *muster, const struct listener *listener)
{
	int fd = listener->fd;
	int flags = fcntl(fd, F_GETFL);
	bool any = false;

	if (flags < 0 || (!(flags & O_NONBLOCK) &&
				 fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		return;
	for (int i = 0; i < ACCEPT_MAX && muster->accepting.is_watching &&
			!muster->detached;
		i++) {
		if (!accept_one(muster, listener))
			break;
		any = true;
	}
	if (!any || muster->detached || !muster->accepting.is_watching ||
		listener->is_own)
		return;
	unwatch(muster, fd);
	if (watch(muster, fd) < 0)
		take_pause(muster);
}

void
accept_from(struct muster *muster, int fd)
{
	for (size_t i = 0; i < muster->listeners_count; i++)
		if (muster->listeners[i].fd == fd) {
			accept_some(muster, &muster->listeners[i]);
			return;
		}
}

int
muster_accept(struct muster *muster)
{
	int result = loop_enter(muster);

	if (result < 0)
		return result;
	for (size_t i = 0; i < muster->listeners_count && !muster->detached &&
			   muster->accepting.is_watching;
		i++)
		if (listeners_is_stream(muster->listeners[i].fd))
			accept_some(muster, &muster->listeners[i]);
	return loop_leave(muster);
}

/* Handed over -------------------------------------------------------------- */

static bool
mark_handed(struct accepting *accepting, int fd)
{
	size_t byte = (size_t)fd / 8;

	if (byte >= accepting->handed_size) {
		size_t size = byte * 2 + 16;
		uint8_t *grown = realloc(accepting->handed, size);

		if (!grown)
			return false;
		memset(grown + accepting->handed_size, 0,
			size - accepting->handed_size);
		accepting->handed = grown;
		accepting->handed_size = size;
	}
	accepting->handed[byte] |= (uint8_t)(1 << fd % 8);
	return true;
}

static bool
was_handed(struct accepting *accepting, int fd)
{
	size_t byte = (size_t)fd / 8;
	uint8_t bit = (uint8_t)(1 << fd % 8);

	if (fd < 0 || byte >= accepting->handed_size ||
		!(accepting->handed[byte] & bit))
		return false;
	accepting->handed[byte] &= (uint8_t)~bit;
	return true;
}

static void
count_done(struct muster *muster)
{
	struct accepting *accepting = &muster->accepting;

	if (accepting->done++ > 0)
		return;
	accepting->done_due = loop_now() + DONE_DELAY_MS;
	loop_arm(muster, DONE_DELAY_MS);
}

void
accept_handed(struct muster *muster, const char *listener, int fd)
{
	/* The supervisor's copy keeps the connection open. */
	muster->ack_now = true;
	if (!muster->accepting.fn || !mark_handed(&muster->accepting, fd)) {
		close(fd);
		muster->counters.descriptors_closed++;
		count_done(muster);
		return;
	}
	call_back(muster, fd, listener);
}

/* Counting ----------------------------------------------------------------- */

static uint32_t
load_of(const struct accepting *accepting)
{
	int64_t load = accepting->counts_itself ? accepting->in_flight
						: accepting->open;

	return load < 0 ? 0 : load > UINT32_MAX ? UINT32_MAX : (uint32_t)load;
}

static void
load_changed(struct muster *muster)
{
	struct accepting *accepting = &muster->accepting;

	if (load_of(accepting) != accepting->load_told && muster->timer >= 0 &&
		!muster->timer_armed)
		loop_arm(muster, LOAD_INTERVAL_MS);
}

void
muster_connection_done(struct muster *muster, int fd)
{
	struct accepting *accepting = &muster->accepting;

	if (*muster->alive != 1)
		return;
	if (accepting->open > 0)
		accepting->open--;
	if (was_handed(accepting, fd))
		count_done(muster);
	load_changed(muster);
}

void
muster_in_flight(struct muster *muster, int change)
{
	if (*muster->alive != 1)
		return;
	muster->accepting.counts_itself = true;
	muster->accepting.in_flight += change;
	load_changed(muster);
}

bool
muster_is_draining(const struct muster *muster)
{
	return muster->shutdown_told;
}

/* Telling ------------------------------------------------------------------ */

/* Returns 0, or why it wasn't taken: it is told later. */
static int
tell(struct muster *muster, const char *method, const char *key, uint32_t value)
{
	char text[96];
	int size = snprintf(text, sizeof text,
		"{\"method\":\"%s\",\"params\":{\"%s\":%u}}", method, key,
		value);

	return muster_request_text(
		muster, MUSTER_MASTER, NULL, text, (size_t)size, 0, NULL, NULL);
}

void
accept_report(struct muster *muster)
{
	struct accepting *accepting = &muster->accepting;
	uint32_t load = load_of(accepting);
	int64_t now;

	if (accepting->done == 0 && load == accepting->load_told)
		return;
	now = loop_now();
	if (accepting->done >= DONE_MAX ||
		(accepting->done > 0 && now >= accepting->done_due)) {
		if (tell(muster, "done", "count", accepting->done) == 0)
			accepting->done = 0;
		else
			accepting->done_due = now + DONE_DELAY_MS;
	}
	if (load != accepting->load_told && now >= accepting->load_due) {
		accepting->load_due = now + LOAD_INTERVAL_MS;
		if (tell(muster, "load", "in_flight", load) == 0)
			accepting->load_told = load;
	}
	if (accept_due(muster) != INT64_MAX)
		loop_arm(muster, accept_due(muster) - now);
}

int64_t
accept_due(const struct muster *muster)
{
	const struct accepting *accepting = &muster->accepting;
	int64_t due = INT64_MAX;

	if (accepting->done > 0)
		due = accepting->done_due;
	if (load_of(accepting) != accepting->load_told &&
		accepting->load_due < due)
		due = accepting->load_due;
	if (accepting->paused_to != 0 && accepting->paused_to < due)
		due = accepting->paused_to;
	return due;
}

void
accept_fini(struct muster *muster)
{
	unwatch_all(muster);
	free(muster->accepting.handed);
}

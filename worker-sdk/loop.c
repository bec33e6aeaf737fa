/*
 * loop.c: one turn, and the ways to wait for the next.
 *
 * A turn reads the channel once, calls back, acknowledges, and writes what the
 * callbacks sent. A foreign loop watches an epoll descriptor in which channel,
 * resume socket and the timer of acknowledgements come and go; muster_wait
 * polls the channel itself. What a frame means is receive.c's.
 */
#include "handle.h"

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int64_t
loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (int64_t)1000 + now.tv_nsec / 1000000;
}

/* The descriptor for foreign loops ---------------------------------------- */

static int
epoll_change(struct muster *muster, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(muster->epoll, operation, fd, &event) < 0 ? -errno : 0;
}

static void
watch_write(struct muster *muster, bool write)
{
	if (muster->epoll < 0 || !muster->watches_channel ||
		muster->watches_write == write)
		return;
	if (epoll_change(muster, EPOLL_CTL_MOD, muster->channel.fd,
		    EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0)) == 0)
		muster->watches_write = write;
}

void
loop_wake(struct muster *muster)
{
	/* A socket with room is writable at once, and one without will be. */
	watch_write(muster, true);
}

void
loop_channel_opened(struct muster *muster)
{
	if (muster->epoll < 0 || muster->channel.fd < 0)
		return;
	muster->watches_write = true; /* `resume` or what waited goes first */
	muster->watches_channel =
		epoll_change(muster, EPOLL_CTL_ADD, muster->channel.fd,
			EPOLLIN | EPOLLOUT) == 0;
}

/* Closing alone wouldn't do: a forked child may hold the socket too, and then
 * the epoll goes on reporting it. */
void
loop_channel_closing(struct muster *muster)
{
	if (muster->watches_channel)
		(void)epoll_change(
			muster, EPOLL_CTL_DEL, muster->channel.fd, 0);
	muster->watches_channel = false;
}

void
loop_resume_closing(struct muster *muster)
{
	if (muster->epoll >= 0 && muster->resume_fd >= 0)
		(void)epoll_change(muster, EPOLL_CTL_DEL, muster->resume_fd, 0);
}

static int
make_epoll(struct muster *muster)
{
	int result = 0;

	muster->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (muster->epoll < 0)
		return -errno;
	muster->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (muster->timer < 0)
		result = -errno;
	if (result == 0)
		result = epoll_change(
			muster, EPOLL_CTL_ADD, muster->timer, EPOLLIN);
	if (result == 0 && muster->resume_fd >= 0)
		result = epoll_change(
			muster, EPOLL_CTL_ADD, muster->resume_fd, EPOLLIN);
	if (result == 0) {
		loop_channel_opened(muster);
		return 0;
	}
	if (muster->timer >= 0)
		close(muster->timer);
	close(muster->epoll);
	muster->epoll = muster->timer = -1;
	return result;
}

int
muster_fd(struct muster *muster)
{
	int result = 0;

	if (*muster->alive == 0)
		return -ECHILD;
	if (muster->epoll < 0)
		result = make_epoll(muster);
	return result < 0 ? result : muster->epoll;
}

void
muster_set_wake(struct muster *muster, bool wake)
{
	if (*muster->alive == 0)
		return;
	muster->wake = wake;
	if (wake && muster->channel.pending > 0)
		loop_wake(muster);
}

/* Acknowledging ------------------------------------------------------------ */

/* The timer runs from the first unacknowledged frame and is left alone when the
 * acknowledgement came early: a call in 50 ms is cheaper than two a frame. */
void
loop_arm(struct muster *muster, int64_t ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000,
			.tv_nsec = ms > 0 ? ms % 1000 * 1000000 : 1},
	};

	if (muster->timer < 0 || muster->timer_armed)
		return;
	muster->timer_armed =
		timerfd_settime(muster->timer, 0, &when, NULL) == 0;
}

static void
read_timer(struct muster *muster)
{
	uint64_t times;

	if (muster->timer_armed &&
		read(muster->timer, &times, sizeof times) > 0)
		muster->timer_armed = false;
}

static void
acknowledge(struct muster *muster)
{
	struct channel *channel = &muster->channel;
	uint32_t frames = channel_unacked(channel);
	int64_t now;

	if (frames == 0 || channel->fd < 0) {
		muster->ack_due_set = false;
		return;
	}
	if (muster->ack_now || frames >= MUSTER_ACK_FRAMES ||
		channel->unacked_bytes >= MUSTER_ACK_BYTES) {
		channel_ack(channel);
		muster->ack_due_set = false;
		muster->ack_now = false;
		return;
	}
	now = loop_now();
	if (!muster->ack_due_set) {
		muster->ack_due_set = true;
		muster->ack_due = now + MUSTER_ACK_DELAY_MS;
	} else if (now >= muster->ack_due) {
		channel_ack(channel);
		muster->ack_due_set = false;
		return;
	}
	loop_arm(muster, muster->ack_due > now ? muster->ack_due - now : 1);
}

/* One turn ------------------------------------------------------------------
 */

/* What a caller knows of this turn; a foreign loop knows nothing. */
enum ready_flag {
	READY_CHANNEL = 1,
	READY_RESUME = 2,
	READY_TIMER = 4,
	READY_UNKNOWN = 8,
};

enum {
	READY_MAX = 16, /* descriptors of one turn */
};

struct ready {
	unsigned what; /* enum ready_flag */
	unsigned count;
	int listeners[READY_MAX];
};

static int
may_turn(const struct muster *muster)
{
	if (*muster->alive != 1)
		return attach_refusal(muster);
	return muster->inside ? -EBUSY : 0;
}

static void
read_channel(struct muster *muster, unsigned ready)
{
	ssize_t got = -EAGAIN;

	if (muster->channel.fd >= 0 &&
		(ready & (READY_CHANNEL | READY_UNKNOWN)))
		got = channel_read(&muster->channel);
	if (got > 0) {
		receive_frames(muster);
		return;
	}
	if (got == -EAGAIN) {
		/* Nothing on the channel, so it was something else. */
		if (ready & (READY_TIMER | READY_UNKNOWN))
			read_timer(muster);
		if (ready & (READY_RESUME | READY_UNKNOWN))
			events_read_resume(muster);
		return;
	}
	if (got == -ENOMEM)
		receive_end(muster, MUSTER_END_SYSTEM,
			"no memory for a long frame");
	else
		events_channel_ended(muster);
}

static void
tell_drain(struct muster *muster)
{
	if (!muster->was_full ||
		muster->channel.pending > muster->queue_limit / 2)
		return;
	muster->was_full = false;
	if (muster->on_drain)
		muster->on_drain(muster, muster->on_drain_data);
}

int
loop_enter(struct muster *muster)
{
	int result = may_turn(muster);

	muster->inside = muster->inside || result == 0;
	return result;
}

int
loop_leave(struct muster *muster)
{
	muster->inside = false;
	if (muster->detached) {
		attach_destroy(muster);
		return -ECANCELED;
	}
	if (muster->channel.pending > 0 && muster->wake)
		loop_wake(muster);
	return 0;
}

static void
accept_ready(struct muster *muster, const struct ready *ready)
{
	accept_go_on(muster);
	for (unsigned i = 0; i < ready->count && !muster->detached; i++)
		accept_from(muster, ready->listeners[i]);
}

/* Returns 0, -EPIPE, or -ECANCELED: the handle is void. */
static int
turn(struct muster *muster, const struct ready *ready)
{
	muster->inside = true;
	read_channel(muster, ready->what);
	if (!muster->detached && !muster->ended)
		accept_ready(muster, ready);
	if (!muster->detached && !muster->ended) {
		accept_report(muster);
		acknowledge(muster);
		(void)channel_flush(&muster->channel);
		tell_drain(muster);
		if (!muster->detached && !muster->ended &&
			muster->channel.pending > 0)
			(void)channel_flush(&muster->channel);
	}
	muster->inside = false;
	if (muster->detached) {
		attach_destroy(muster);
		return -ECANCELED;
	}
	watch_write(muster, muster->channel.blocked);
	return muster->ended ? -EPIPE : 0;
}

/* Waits in the epoll that watches the listeners too. Returns how many
 * descriptors are ready, or a negative errno. */
static int
wait_all(struct muster *muster, int wait_ms, struct ready *ret_ready)
{
	struct epoll_event events[READY_MAX];
	int count = epoll_wait(muster->epoll, events, READY_MAX, wait_ms);

	for (int i = 0; i < count; i++) {
		int fd = events[i].data.fd;

		if (fd == muster->channel.fd)
			ret_ready->what |= events[i].events & ~EPOLLOUT
						   ? READY_CHANNEL
						   : 0;
		else if (fd == muster->resume_fd)
			ret_ready->what |= READY_RESUME;
		else if (fd == muster->timer)
			ret_ready->what |= READY_TIMER;
		else
			ret_ready->listeners[ret_ready->count++] = fd;
	}
	return count < 0 ? -errno : count;
}

/* Whether only the epoll tells what there is to do. */
static bool
accepts_here(const struct muster *muster)
{
	return muster->accepting.is_watching && !muster->accepting.is_foreign;
}

int
muster_dispatch(struct muster *muster)
{
	struct ready ready = {0};
	int result = may_turn(muster);

	if (result < 0)
		return result;
	if (!accepts_here(muster) || wait_all(muster, 0, &ready) < 0)
		ready.what = READY_UNKNOWN;
	return turn(muster, &ready);
}

int
muster_flush(struct muster *muster)
{
	int result;

	if (*muster->alive != 1)
		return attach_refusal(muster);
	if (!muster->inside)
		accept_report(muster);
	if (muster->channel.pending == 0 && muster->channel.control_size == 0)
		return 0;
	result = channel_flush(&muster->channel);
	if (!muster->inside)
		watch_write(muster, muster->channel.blocked);
	/* A broken channel is a pause: the next one takes what waits. */
	return result == -EPIPE ? -EAGAIN : result;
}

/* A loop of our own ----------------------------------------------------------
 */

static int
shorter(int timeout_ms, int64_t left)
{
	if (left < 0)
		left = 0;
	return timeout_ms < 0 || left < timeout_ms ? (int)left : timeout_ms;
}

/* Waits for the channel and the resume socket alone. */
static int
wait_channel(struct muster *muster, int wait_ms, struct ready *ret_ready)
{
	struct pollfd polls[2] = {
		{.fd = muster->channel.fd, .events = POLLIN},
		{.fd = muster->resume_fd, .events = POLLIN},
	};
	int count;

	if (muster->channel.blocked)
		polls[0].events |= POLLOUT;
	count = poll(polls, 2, wait_ms);
	if (polls[0].revents & ~POLLOUT)
		ret_ready->what |= READY_CHANNEL;
	if (polls[1].revents)
		ret_ready->what |= READY_RESUME;
	return count < 0 ? -errno : count;
}

/* How long may be waited until something of our own is due. */
static int
wait_time(const struct muster *muster, int timeout_ms)
{
	int64_t due = accept_due(muster);

	if (muster->ack_due_set && muster->ack_due < due)
		due = muster->ack_due;
	return due == INT64_MAX ? timeout_ms
				: shorter(timeout_ms, due - loop_now());
}

int
muster_wait(struct muster *muster, int timeout_ms)
{
	struct ready ready = {0};
	int wait_ms, count;
	int result = may_turn(muster);

	if (result < 0)
		return result;
	(void)muster_flush(muster);
	wait_ms = wait_time(muster, timeout_ms);
	count = accepts_here(muster) ? wait_all(muster, wait_ms, &ready)
				     : wait_channel(muster, wait_ms, &ready);
	if (count < 0)
		return count == -EINTR ? 0 : count;
	result = turn(muster, &ready);
	if (result == 0 && count == 0 && wait_ms == timeout_ms)
		return -ETIMEDOUT;
	return result;
}

/* Before muster_run returns: what was sent leaves, within the deadline. */
static int
write_rest(struct muster *muster)
{
	int result = 0;

	while (result == 0 && muster->channel.pending > 0) {
		int64_t left = INT_MAX;

		if (muster->shutdown_told)
			left = muster->shutdown_by - loop_now();
		if (left <= 0)
			break;
		result = muster_wait(muster, shorter(-1, left));
	}
	return result;
}

int
muster_run(struct muster *muster)
{
	int result = may_turn(muster);
	bool told;

	while (result == 0 && !muster->broke) {
		result = muster_wait(muster, -1);
		told = result != -ECANCELED && muster->shutdown_told;
		if (result == -EPIPE && told)
			return 0;
	}
	if (result == 0) {
		result = write_rest(muster);
		if (result == -ECANCELED)
			return 0;
		muster->broke = false;
		if (result == -ETIMEDOUT || result == -EPIPE)
			result = 0;
	}
	return result == -ECANCELED ? 0 : result;
}

void
muster_break(struct muster *muster)
{
	muster->broke = true;
}

int
muster_drain(struct muster *muster, int timeout_ms)
{
	int64_t until = loop_now() + timeout_ms;
	int result = may_turn(muster);

	/* Of a guest nothing comes back that would end the wait. */
	if (result == 0)
		(void)muster_flush(muster);
	while (result == 0 && !channel_is_settled(&muster->channel)) {
		int64_t left = timeout_ms < 0 ? INT_MAX : until - loop_now();

		if (left <= 0)
			return -ETIMEDOUT;
		result = muster_wait(muster, shorter(-1, left));
		if (result == -ETIMEDOUT)
			result = 0;
	}
	return result;
}

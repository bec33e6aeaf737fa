/*
 * muster_ev.h: a muster handle in a libev loop.
 *
 *	struct muster_ev hook;
 *	muster_ev_start(&hook, loop, m);
 *	ev_run(loop, 0);
 *	muster_ev_stop(&hook);
 *
 * Two watchers: one on the handle's descriptor, and one that writes, before
 * the loop goes to sleep, what was sent in this turn by whichever callback. So
 * sends of one turn leave together and cost no wake-up.
 *
 * The hook keeps the loop alive while the channel lives. It stops by itself
 * when the channel has ended for good; muster_on_end tells. The program owns
 * the memory of the hook, which must stay where it is until muster_ev_stop.
 * Stop it before the handle is detached; a callback of the handle may do both,
 * and may free the hook when it does.
 */
#ifndef MUSTER_EV_H
#define MUSTER_EV_H

#include "muster.h"

#include <errno.h>
#include <ev.h>

struct muster_ev {
	ev_io readable;
	ev_prepare before_sleep;
	struct ev_loop *loop;
	struct muster *muster;
};

/*
 * Stops watching; sends outside of callbacks wake muster_fd again. Does
 * nothing when it was stopped before or never started with success (the hook
 * was zeroed).
 */
static inline void
muster_ev_stop(struct muster_ev *hook)
{
	if (!hook->muster)
		return;
	ev_io_stop(hook->loop, &hook->readable);
	ev_prepare_stop(hook->loop, &hook->before_sleep);
	muster_set_wake(hook->muster, true);
	hook->muster = NULL;
}

static inline void
muster_ev_on_readable_(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct muster_ev *hook = (struct muster_ev *)watcher->data;
	int result = muster_dispatch(hook->muster);

	(void)loop;
	(void)events;
	/* Detached in a callback (-ECANCELED): the hook may be gone too. */
	if (result == -EPIPE || result == -ECHILD)
		muster_ev_stop(hook);
}

static inline void
muster_ev_on_sleep_(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct muster_ev *hook = (struct muster_ev *)watcher->data;

	(void)loop;
	(void)events;
	/* What the kernel doesn't take goes when the channel has room; an
	 * end is told by the other watcher. */
	(void)muster_flush(hook->muster);
}

/*
 * Starts watching `muster` in `loop`. Both are borrowed until muster_ev_stop.
 * Returns 0 or what muster_fd says; nothing was started then.
 */
static inline int
muster_ev_start(
	struct muster_ev *hook, struct ev_loop *loop, struct muster *muster)
{
	int fd = muster_fd(muster);

	hook->muster = NULL;
	if (fd < 0)
		return fd;
	hook->loop = loop;
	hook->muster = muster;
	ev_io_init(&hook->readable, muster_ev_on_readable_, fd, EV_READ);
	ev_prepare_init(&hook->before_sleep, muster_ev_on_sleep_);
	hook->readable.data = hook;
	hook->before_sleep.data = hook;
	/* Behind everyone else's prepare watchers: they may send. */
	ev_set_priority(&hook->before_sleep, EV_MINPRI);
	ev_io_start(loop, &hook->readable);
	ev_prepare_start(loop, &hook->before_sleep);
	muster_set_wake(muster, false);
	return 0;
}

#endif

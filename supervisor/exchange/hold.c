/*
 * hold.c: a stream is not read faster than it is written.
 *
 * A receiver that is slower than its sender would have its whole queue filled,
 * 8 MiB of it, and every byte of the stream would go out of the cache and come
 * back. So a sender whose stream goes to a worker that has a good deal waiting
 * and a full socket isn't read for a moment: until that worker has caught up,
 * or HOLD_MS have passed. That is no pause in the sense of the protocol: with a
 * receiver that doesn't read at all its queue is filled to the limit within a
 * fraction of a second, and frames for others go on meanwhile.
 */
#include "state.h"

enum {
	HOLD_BYTES = 128 * 1024, /* in the receiver's queue */
	HOLD_MS = 2,
};

bool
hold_back(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;
	struct endpoint *to = exchange_endpoint(exchange, peer->stream_to);

	if (to == NULL || to->peer == NULL || peer->is_draining ||
		!ev_is_active(&to->peer->writable) ||
		to->peer->outbox->queued < HOLD_BYTES)
		return false;
	ev_io_stop(exchange->loop, &peer->readable);
	if (list_is_empty(&peer->hold))
		list_append(&exchange->held, &peer->hold);
	if (!ev_is_active(&exchange->hold_timer)) {
		ev_timer_set(&exchange->hold_timer, HOLD_MS / 1000.0, 0);
		ev_timer_start(exchange->loop, &exchange->hold_timer);
	}
	return true;
}

static void
hold_let_go(struct peer *peer)
{
	list_remove(&peer->hold);
	if (list_is_empty(&peer->pause) && !peer->has_ended && peer->fd >= 0 &&
		peer->doom_reason == NULL)
		ev_io_start(peer->exchange->loop, &peer->readable);
}

void
hold_release(struct peer *receiver)
{
	struct exchange *exchange = receiver->exchange;
	struct link *at = exchange->held.next;

	if (receiver->outbox->queued >= HOLD_BYTES)
		return;
	while (at != &exchange->held) {
		struct peer *peer = list_member(at, struct peer, hold);

		at = at->next;
		if (peer->stream_to == receiver->id)
			hold_let_go(peer);
	}
}

void
hold_release_all(struct exchange *exchange)
{
	while (!list_is_empty(&exchange->held)) {
		struct peer *peer =
			list_member(exchange->held.next, struct peer, hold);

		peer->stream_to = 0; /* one read is let through */
		hold_let_go(peer);
	}
}

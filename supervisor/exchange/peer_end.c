/*
 * peer_end.c: how a connection ends, and what becomes of what was under way.
 */
#include "base/json.h"
#include "base/sys.h"
#include "state.h"

#include <stdlib.h>

void
peer_drain(struct peer *peer, uint64_t max_bytes)
{
	struct exchange *exchange = peer->exchange;

	if (peer->fd < 0 || peer->has_ended || peer->is_walking)
		return;
	peer->is_draining = true;
	peer_go_on(peer);
	for (uint64_t bytes = 0; bytes < max_bytes;) {
		uint32_t before = exchange->turn_bytes;

		if (!intake_read(peer))
			break;
		bytes += exchange->turn_bytes - before;
	}
	peer->is_draining = false;
}

void
peer_end(struct peer *peer, enum peer_end how, const char *reason)
{
	struct ev_loop *loop = peer->exchange->loop;

	if (peer->has_ended)
		return;
	/* A client hears why, as far as its socket takes it. */
	if (peer->role != PEER_WORKER && peer->fd >= 0)
		(void)outbox_write(peer->outbox, peer->fd);
	peer->has_ended = true;
	ev_io_stop(loop, &peer->readable);
	ev_io_stop(loop, &peer->writable);
	ev_timer_stop(loop, &peer->queue_timer);
	list_remove(&peer->ack);
	list_remove(&peer->pause);
	list_remove(&peer->woken);
	list_remove(&peer->hold);
	if (peer->hooks != NULL)
		peer->hooks->ended(peer, how, reason);
}

void
peer_doom(struct peer *peer, enum peer_end how, const char *reason)
{
	if (peer->has_ended || peer->doom_reason != NULL)
		return;
	peer->doom = how;
	peer->doom_reason = reason;
	ev_io_stop(peer->exchange->loop, &peer->readable);
	exchange_mark_dirty(peer);
}

void
peer_break(struct peer *peer, const char *reason)
{
	json_t *body =
		json_pack("{s:s, s:s}", "code", "protocol", "message", reason);

	/* Without a number and at once: nothing follows it but the rest of a
	 * frame that was begun. */
	peer->outbox->is_open = false;
	if (body != NULL && !peer->has_ended && peer->fd >= 0 &&
		peer_send_uncounted(peer, MUSTER_ERROR, 0, body, NULL) == 0)
		(void)outbox_write(peer->outbox, peer->fd);
	json_decref(body);
	peer_end(peer, PEER_END_PROTOCOL, reason);
}

/* What was asked of the process: handed on when it was never written. */
static void
peer_mark_unwritten(void *context, const struct ring_frame *frame)
{
	struct peer *peer = context;
	struct request *request;

	if (frame->header.kind != MUSTER_REQUEST)
		return;
	request = requests_find(&peer->exchange->requests, frame->header.id);
	if (request != NULL)
		request->marked = true;
}

static void
peer_fail_requests(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;

	outbox_visit_unwritten(peer->outbox, peer_mark_unwritten, peer);
	while (!list_is_empty(&peer->answering)) {
		struct request *request = list_member(
			peer->answering.next, struct request, of_asked);

		if (!request->marked) {
			router_fail_request(exchange, request, "worker-died",
				"the worker ended before it answered");
			continue;
		}
		request->marked = false;
		request->asked = NULL;
		peer->answering_count--;
		list_remove(&request->of_asked);
	}
	while (!list_is_empty(&peer->asking))
		router_close_request(
			exchange, list_member(peer->asking.next, struct request,
					  of_asker));
}

static void
peer_pass_on(void *context, struct outbox_taken *taken)
{
	struct peer *peer = context;

	if (taken->was_written)
		router_give_back(peer->exchange, taken, "worker-died",
			"the worker ended before it took the message");
	else
		router_move(peer->exchange, taken, peer->endpoint);
}

/* A worker's frames go back to who sent them or on to who comes next. */
static void
peer_retire_worker(struct peer *peer)
{
	struct endpoint *endpoint = peer->endpoint;
	struct memory_channel *row = outbox_row(peer->outbox);

	endpoint->messages_in += row->messages_in;
	endpoint->messages_out += row->messages_out;
	row->messages_in = row->messages_out = 0;
	if (endpoint->peer == peer) {
		endpoint->peer = NULL;
		endpoint->outbox = NULL;
	}
	outbox_take_all(peer->outbox, peer_pass_on, peer);
}

void
peer_retire(struct peer **peer_at)
{
	struct peer *peer = *peer_at;
	struct exchange *exchange;

	*peer_at = NULL;
	if (peer == NULL || peer->is_retired)
		return;
	exchange = peer->exchange;
	peer->is_retired = true;
	peer->hooks = NULL;
	peer_end(peer, PEER_END_CLOSED, "it was closed");
	topics_forget(peer);
	peer_fail_requests(peer);
	if (peer->role == PEER_WORKER)
		peer_retire_worker(peer);
	peer_wake_all(&peer->outbox->paused);
	if (peer->fd >= 0)
		(void)sys_close(peer->fd);
	peer->fd = -1;
	list_remove(&peer->dirty);
	/* It may be in the middle of its own walk: freed when that is over. */
	list_remove(&peer->link);
	list_append(&exchange->dead, &peer->link);
}

void
peer_free(struct peer *peer)
{
	intake_fini(peer);
	list_remove(&peer->link);
	list_remove(&peer->dirty);
	outbox_fini(peer->outbox);
	json_decref(peer->welcome);
	free(peer->outbox);
	free(peer);
}

/*
 * peer.c: a connection in the loop: its watchers, its pauses and how it begins.
 * What 0 says to it is peer_say.c's, how it ends peer_end.c's, how it outlives
 * a brain peer_resume.c's. What comes in is intake.c's, where that goes is
 * router.c's, how it waits is outbox.c's.
 */
#include "base/sys.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>

/* Reading and pausing --------------------------------------------------- */

static void
peer_on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct peer *peer = list_member(watcher, struct peer, readable);

	(void)loop;
	(void)events;
	if (hold_back(peer))
		return;
	/* Past the turn's bound the descriptor is simply readable next time. */
	if (peer->exchange->turn_bytes < EXCHANGE_TURN_BYTES)
		(void)intake_read(peer);
}

void
peer_pause(struct peer *peer, struct link *waiters)
{
	if (!list_is_empty(&peer->pause) || peer->has_ended)
		return;
	list_append(waiters, &peer->pause);
	ev_io_stop(peer->exchange->loop, &peer->readable);
	/* Its acknowledgements aren't read now: the window of what it is
	 * written opens, see outbox_write.c. */
	peer->outbox->is_unread = true;
	exchange_mark_dirty(peer);
}

void
peer_go_on(struct peer *peer)
{
	if (list_is_empty(&peer->pause))
		return;
	list_remove(&peer->pause);
	peer->outbox->is_unread = false;
	if (peer->fd < 0 || peer->has_ended || peer->doom_reason != NULL)
		return;
	ev_io_start(peer->exchange->loop, &peer->readable);
	/* What it had sent already is walked in the next turn, even when
	 * nothing new comes. */
	if (list_is_empty(&peer->woken))
		list_append(&peer->exchange->woken, &peer->woken);
}

void
peer_wake_all(struct link *waiters)
{
	while (!list_is_empty(waiters))
		peer_go_on(list_member(waiters->next, struct peer, pause));
}

bool
peer_is_paused(const struct peer *peer)
{
	return !list_is_empty(&peer->pause);
}

/* Writing --------------------------------------------------------------- */

static void
peer_on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct peer *peer = list_member(watcher, struct peer, writable);

	(void)loop;
	(void)events;
	exchange_mark_dirty(peer);
}

/*
 * A queue is watched that is over its limit, that somebody waits for, or whose
 * receiver has not joined.
 */
static bool
peer_queue_is_watched(const struct peer *peer)
{
	const struct outbox *outbox = peer->outbox;

	if (!list_is_empty(&outbox->paused))
		return true;
	return outbox->queued > 0 &&
	       (!outbox_is_under_limit(outbox) || !peer_has_joined(peer));
}

static void
peer_watch_queue(struct peer *peer)
{
	struct ev_loop *loop = peer->exchange->loop;

	if (peer->role != PEER_WORKER)
		return;
	if (!peer_queue_is_watched(peer)) {
		ev_timer_stop(loop, &peer->queue_timer);
		return;
	}
	if (ev_is_active(&peer->queue_timer))
		return;
	peer->taken_before = peer->outbox->taken;
	ev_now_update(loop);
	ev_timer_set(&peer->queue_timer,
		peer->endpoint->group->limits.stall_timeout_ms / 1000.0, 0);
	ev_timer_start(loop, &peer->queue_timer);
}

void
peer_queued(struct peer *peer)
{
	exchange_mark_dirty(peer);
	if (peer->has_ended)
		return;
	if (peer->role == PEER_WORKER) {
		/* Once written to, it is looked at again: see peer_flush. */
		if (!peer_has_joined(peer))
			peer_watch_queue(peer);
	} else if (!outbox_is_under_limit(peer->outbox)) {
		peer_doom(peer, PEER_END_OVERFLOW,
			"it doesn't read what it is sent");
	}
}

struct peer_return {
	struct exchange *exchange;
	const char *code, *message;
};

static void
peer_give_back(void *context, struct outbox_taken *taken)
{
	struct peer_return *why = context;

	router_give_back(why->exchange, taken, why->code, why->message);
}

/* What was not begun goes back; a frame in the middle of the pipe can't. */
static void
peer_return_queue(struct peer *peer, const char *code, const char *message)
{
	struct peer_return why = {peer->exchange, code, message};
	struct outbox rest;

	if (outbox_split(peer->outbox, &rest) < 0)
		return; /* no row is free: it is tried again in a while */
	outbox_take_all(&rest, peer_give_back, &why);
	outbox_fini(&rest);
	peer_wake_all(&peer->outbox->paused);
}

/* The time of an over-full queue, or of one that waits for a join, is over. */
static void
peer_on_queue_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct peer *peer = list_member(timer, struct peer, queue_timer);
	uint64_t taken = peer->outbox->taken - peer->taken_before;

	(void)loop;
	(void)events;
	if (peer->role != PEER_WORKER) {
		clients_on_timer(peer);
		return;
	}
	if (!peer_queue_is_watched(peer))
		return;
	if (!peer_has_joined(peer)) {
		peer_return_queue(peer, "not-joined",
			"the worker doesn't use its channel");
	} else if (taken < EXCHANGE_STALL_BYTES && !peer_is_paused(peer)) {
		peer_return_queue(peer, "stalled",
			"the worker doesn't read its messages");
		peer->hooks->stalled(peer);
	} else {
		/* Slow, but it reads; or its acknowledgements wait unread
		 * because others are slow: watch on. */
		peer_watch_queue(peer);
	}
}

void
peer_flush(struct peer *peer)
{
	struct ev_loop *loop = peer->exchange->loop;
	struct outbox *outbox = peer->outbox;
	int r;

	if (peer->has_ended)
		return;
	if (peer->doom_reason != NULL) {
		peer_end(peer, peer->doom, peer->doom_reason);
		return;
	}
	r = peer->fd < 0 ? 1 : outbox_write(outbox, peer->fd);
	/* The queue is half free again: those who filled it go on. */
	if (!list_is_empty(&outbox->paused) && outbox_is_low(outbox))
		peer_wake_all(&outbox->paused);
	if (!list_is_empty(&peer->exchange->held))
		hold_release(peer);
	peer_tell_room(peer);
	if (r == 0)
		ev_io_start(loop, &peer->writable);
	else
		ev_io_stop(loop, &peer->writable);
	if (r == -EBUSY) {
		exchange_retry(peer);
	} else if (r < 0) {
		/* The other side reads no more: what it still sent counts, then
		 * it is the end of the channel. */
		peer_drain(peer, UINT64_MAX);
		peer_end(peer, PEER_END_CLOSED, "its end was closed");
		return;
	}
	peer_watch_queue(peer);
}

/* Making ---------------------------------------------------------------- */

void
peer_watch(struct peer *peer, int fd)
{
	int size = MUSTER_SOCKET_BUFFER;

	peer->fd = fd;
	ev_io_init(&peer->readable, peer_on_readable, fd < 0 ? 0 : fd, EV_READ);
	ev_io_init(
		&peer->writable, peer_on_writable, fd < 0 ? 0 : fd, EV_WRITE);
	ev_init(&peer->queue_timer, peer_on_queue_timer);
	if (fd < 0)
		return;
	/* Above pipes and timers, below control (see exchange_turn_end). */
	ev_set_priority(
		&peer->readable, peer->role == PEER_WORKER ? 1 : EV_MAXPRI);
	(void)sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	ev_io_start(peer->exchange->loop, &peer->readable);
}

struct peer *
peer_make(struct exchange *exchange, const struct peer_hooks *hooks, void *data)
{
	struct peer *peer = calloc(1, sizeof *peer);

	if (peer == NULL)
		return NULL;
	peer->outbox = calloc(1, sizeof *peer->outbox);
	if (peer->outbox == NULL) {
		free(peer);
		return NULL;
	}
	peer->exchange = exchange;
	peer->hooks = hooks;
	peer->data = data;
	peer->fd = -1;
	peer->claimed_fd = -1;
	peer->own_block = MEMORY_NONE;
	list_init(&peer->link);
	list_init(&peer->dirty);
	list_init(&peer->ack);
	list_init(&peer->pause);
	list_init(&peer->hold);
	list_init(&peer->woken);
	list_init(&peer->asking);
	list_init(&peer->answering);
	list_init(&peer->subscriptions);
	list_init(&peer->receiving);
	return peer;
}

int
peer_new_worker(struct endpoint *endpoint, uint64_t process,
	uint32_t generation, json_t *welcome, int fd,
	const struct peer_hooks *hooks, void *data, struct peer **ret_peer)
{
	struct exchange *exchange = endpoint->group->exchange;
	struct peer *peer = peer_make(exchange, hooks, data);
	struct memory_channel *row;
	int r = -ENOMEM;

	if (peer == NULL)
		goto close;
	memory_begin(exchange->memory);
	r = outbox_init(peer->outbox, exchange->memory, MEMORY_WORKER,
		endpoint->group->limits.queue_limit);
	if (r < 0) {
		memory_commit(exchange->memory);
		goto free;
	}
	peer->role = PEER_WORKER;
	peer->takes_fds = true;
	peer->outbox->peer = peer;
	peer->endpoint = endpoint;
	peer->id = endpoint->id;
	peer->generation = generation;
	peer->process = process;
	row = outbox_row(peer->outbox);
	row->process = process;
	row->id = endpoint->id;
	row->generation = generation;
	memory_commit(exchange->memory);
	r = peer_send_uncounted(peer, MUSTER_MESSAGE, 0, welcome, NULL);
	if (r < 0)
		goto row;
	peer_watch(peer, fd);
	list_append(&exchange->peers, &peer->link);
	*ret_peer = peer;
	return 0;
row:
	list_remove(&peer->dirty);
	outbox_fini(peer->outbox);
free:
	free(peer->outbox);
	free(peer);
close:
	(void)sys_close(fd);
	return r;
}

int
peer_new_client(struct exchange *exchange, int fd,
	const struct peer_hooks *hooks, void *data, struct peer **ret_peer)
{
	struct peer *peer = peer_make(exchange, hooks, data);
	int r = -ENOMEM;

	if (peer != NULL)
		r = outbox_init(peer->outbox, exchange->memory, MEMORY_CLIENT,
			EXCHANGE_CLIENT_QUEUE);
	if (r < 0) {
		if (peer != NULL)
			free(peer->outbox);
		free(peer);
		(void)sys_close(fd);
		return r;
	}
	peer->role = PEER_STRANGER;
	peer->takes_fds = clients_take_fds(fd);
	peer->outbox->peer = peer;
	peer->outbox->is_open = true;
	peer_watch(peer, fd);
	list_append(&exchange->peers, &peer->link);
	*ret_peer = peer;
	return 0;
}

void
peer_admit(struct peer *peer, enum peer_role role)
{
	peer->role = role;
	peer->id = MUSTER_FIRST_CLIENT +
		   memory_next_client(peer->exchange->memory);
	outbox_row(peer->outbox)->id = peer->id;
}

void *
peer_data(const struct peer *peer)
{
	return peer->data;
}

uint32_t
peer_id(const struct peer *peer)
{
	return peer->id;
}

uint32_t
peer_generation(const struct peer *peer)
{
	return peer->generation;
}

enum peer_role
peer_role(const struct peer *peer)
{
	return peer->role;
}

bool
peer_has_joined(const struct peer *peer)
{
	return outbox_row(peer->outbox)->flags & MEMORY_JOINED;
}

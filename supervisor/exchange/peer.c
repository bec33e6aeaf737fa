/*
 * peer.c: a connection in the loop: its watchers, its pauses, its
 * acknowledgements, its end. What comes in is intake.c's, where it goes is
 * router.c's, how it waits is outbox.c's.
 */
#include "base/json.h"
#include "base/sys.h"
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reading and pausing --------------------------------------------------- */

static void
peer_on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct peer *peer = list_member(watcher, struct peer, readable);

	(void)loop;
	(void)events;
	/* Past the turn's bound the descriptor is simply readable next time. */
	if (peer->exchange->turn_bytes < EXCHANGE_TURN_BYTES)
		(void)intake_read(peer);
}

void
peer_pause(struct peer *peer, struct link *waiters)
{
	if (!list_is_empty(&peer->pause))
		return;
	list_append(waiters, &peer->pause);
	ev_io_stop(peer->exchange->loop, &peer->readable);
	/* Its acknowledgements lie behind what isn't read now. Two that flood
	 * each other would wait for ever if what waits for it waited for them:
	 * so all of its queue may go. */
	peer->outbox->window = MUSTER_UNACKED_MAX + 2 * peer->outbox->limit;
	exchange_mark_dirty(peer);
}

void
peer_wake_all(struct link *waiters)
{
	struct link woken;

	list_init(&woken);
	list_move_all(&woken, waiters);
	while (!list_is_empty(&woken)) {
		struct peer *peer = list_member(woken.next, struct peer, pause);

		list_remove(&peer->pause);
		peer->outbox->window = MUSTER_UNACKED_MAX;
		if (peer->fd < 0 || peer->has_ended)
			continue;
		/* What it had sent already is walked in the next turn, even
		 * when nothing new comes. */
		ev_io_start(peer->exchange->loop, &peer->readable);
		if (list_is_empty(&peer->woken))
			list_append(&peer->exchange->woken, &peer->woken);
	}
}

bool
peer_is_paused(const struct peer *peer)
{
	return !list_is_empty(&peer->pause);
}

/* Acknowledging --------------------------------------------------------- */

static void
peer_send_ack(struct peer *peer)
{
	struct frame_header header = {.kind = MUSTER_MESSAGE, .to = peer->id};
	char frame[MUSTER_HEADER_SIZE + 64];
	int size = snprintf(frame + MUSTER_HEADER_SIZE,
		sizeof frame - MUSTER_HEADER_SIZE,
		"{\"event\":\"ack\",\"sequence\":%u}",
		outbox_row(peer->outbox)->received);

	header.size = (uint32_t)size;
	frame_store((uint8_t *)frame, &header);
	if (outbox_append_uncounted(
		    peer->outbox, frame, MUSTER_HEADER_SIZE + (size_t)size) < 0)
		return; /* the next one says more */
	peer->unacked_frames = 0;
	peer->unacked_bytes = 0;
	list_remove(&peer->ack);
	exchange_mark_dirty(peer);
}

void
peer_count_read(struct peer *peer, uint32_t frames, uint64_t bytes)
{
	struct exchange *exchange = peer->exchange;

	if (frames == 0 || peer->has_ended)
		return;
	peer->unacked_frames += frames;
	peer->unacked_bytes += bytes;
	if (peer->unacked_frames >= MUSTER_ACK_FRAMES ||
		peer->unacked_bytes >= MUSTER_ACK_BYTES) {
		peer_send_ack(peer);
		return;
	}
	if (list_is_empty(&peer->ack))
		list_append(&exchange->ack_due, &peer->ack);
	if (!ev_is_active(&exchange->ack_timer)) {
		ev_timer_set(&exchange->ack_timer,
			MUSTER_ACK_DELAY_MS / 2 / 1000.0, 0);
		ev_timer_start(exchange->loop, &exchange->ack_timer);
	}
}

void
peer_ack_all(struct exchange *exchange)
{
	while (!list_is_empty(&exchange->ack_due)) {
		struct peer *peer =
			list_member(exchange->ack_due.next, struct peer, ack);

		list_remove(&peer->ack);
		peer_send_ack(peer);
	}
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

/* Over its limit, or not joined with something waiting. */
static bool
peer_queue_is_watched(const struct peer *peer)
{
	const struct outbox *outbox = peer->outbox;

	if (peer->role != PEER_WORKER || outbox->queued == 0)
		return false;
	return !outbox_is_under_limit(outbox) ||
	       !(outbox_row(outbox)->flags & MEMORY_JOINED);
}

void
peer_queued(struct peer *peer)
{
	struct outbox *outbox = peer->outbox;

	exchange_mark_dirty(peer);
	if (peer->role != PEER_WORKER) {
		if (!outbox_is_under_limit(outbox))
			peer_end(peer, PEER_END_OVERFLOW,
				"it doesn't read what it is sent");
		return;
	}
	if (peer->endpoint == NULL || !peer_queue_is_watched(peer) ||
		ev_is_active(&peer->queue_timer))
		return;
	peer->taken_before = outbox->taken;
	ev_timer_set(&peer->queue_timer,
		peer->endpoint->group->limits.stall_timeout_ms / 1000.0, 0);
	ev_timer_start(peer->exchange->loop, &peer->queue_timer);
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

/* The time of an over-full queue, or of one that waits for a join, is over. */
static void
peer_on_queue_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct peer *peer = list_member(timer, struct peer, queue_timer);
	struct outbox *outbox = peer->outbox;
	struct peer_return why = {.exchange = peer->exchange};
	bool has_joined;

	(void)loop;
	(void)events;
	if (!peer_queue_is_watched(peer))
		return;
	has_joined = peer_has_joined(peer);
	if (has_joined &&
		outbox->taken - peer->taken_before >= EXCHANGE_STALL_BYTES) {
		peer_queued(peer); /* slow, but it reads: watch on */
		return;
	}
	why.code = has_joined ? "stalled" : "not-joined";
	why.message = has_joined ? "the worker doesn't read its messages"
				 : "the worker doesn't use its channel";
	if (has_joined && outbox->written_bytes > 0) {
		/* The rest of the frame in the pipe can't be taken back, and
		 * the worker is replaced: nothing more is written to it. */
		outbox->is_open = false;
	}
	outbox_take_all(outbox, peer_give_back, &why);
	peer_wake_all(&outbox->paused);
	if (has_joined)
		peer->hooks->stalled(peer);
}

/* The queue is half free again: those who filled it go on. */
static void
peer_check_low(struct peer *peer)
{
	struct outbox *outbox = peer->outbox;

	if (list_is_empty(&outbox->paused) ||
		outbox->queued > outbox->limit / 2 || !outbox_has_room(outbox))
		return;
	peer_wake_all(&outbox->paused);
}

void
peer_flush(struct peer *peer)
{
	struct ev_loop *loop = peer->exchange->loop;
	int r;

	if (peer->has_ended || peer->fd < 0)
		return;
	r = outbox_write(peer->outbox, peer->fd);
	peer_check_low(peer);
	if (r == 0) {
		ev_io_start(loop, &peer->writable);
		return;
	}
	ev_io_stop(loop, &peer->writable);
	if (r > 0)
		return;
	/* The other side reads no more: what it still sent counts, then it is
	 * the end of the channel. */
	peer_drain(peer, UINT64_MAX);
	peer_end(peer, PEER_END_CLOSED, "its end was closed");
}

/* Making ---------------------------------------------------------------- */

static void
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

static struct peer *
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
	list_init(&peer->link);
	list_init(&peer->dirty);
	list_init(&peer->ack);
	list_init(&peer->pause);
	list_init(&peer->woken);
	list_init(&peer->asking);
	list_init(&peer->answering);
	return peer;
}

/* A frame without a number: `body`, and `received` where that is set. */
static int
peer_send_uncounted(struct peer *peer, enum muster_kind kind, uint64_t id,
	json_t *body, const uint32_t *received)
{
	struct frame_header header = {
		.kind = (uint8_t)kind, .to = peer->id, .id = id};
	uint8_t bytes[MUSTER_HEADER_SIZE];
	char *text;
	size_t size;
	int r;

	if (received != NULL && json_object_set_new(body, "received",
					json_integer(*received)) < 0)
		return -ENOMEM;
	text = json_write(body, &size);
	if (text == NULL)
		return -ENOMEM;
	header.size = (uint32_t)size;
	frame_store(bytes, &header);
	r = outbox_append_uncounted(peer->outbox, bytes, sizeof bytes);
	if (r == 0)
		r = outbox_append_uncounted(peer->outbox, text, size);
	free(text);
	exchange_mark_dirty(peer);
	return r;
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
	r = outbox_init(peer->outbox, exchange->memory, MEMORY_WORKER,
		endpoint->group->limits.queue_limit);
	if (r < 0)
		goto free;
	peer->role = PEER_WORKER;
	peer->endpoint = endpoint;
	peer->id = endpoint->id;
	peer->generation = generation;
	peer->process = process;
	row = outbox_row(peer->outbox);
	row->process = process;
	row->id = endpoint->id;
	row->generation = generation;
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

/* The row of a worker's process, or MEMORY_NONE. */
static uint32_t
peer_find_row(struct exchange *exchange, uint64_t process)
{
	uint32_t used = memory_channels_used(exchange->memory);

	for (uint32_t c = 0; c < used; c++)
		if (exchange->view->channels[c].use == MEMORY_WORKER &&
			exchange->view->channels[c].process == process)
			return c;
	return MEMORY_NONE;
}

bool
exchange_wants_channel(struct exchange *exchange, uint64_t process)
{
	uint32_t channel = peer_find_row(exchange, process);
	uint32_t flags;

	if (channel == MEMORY_NONE)
		return false;
	flags = exchange->view->channels[channel].flags;
	return !(flags & MEMORY_SETTLED) || (flags & MEMORY_TAKES_PART);
}

int
peer_resume(struct endpoint *endpoint, uint64_t process, json_t *welcome,
	int fd, const struct peer_hooks *hooks, void *data,
	struct peer **ret_peer)
{
	struct exchange *exchange = endpoint->group->exchange;
	uint32_t channel = peer_find_row(exchange, process);
	struct peer *peer = NULL;
	struct memory_channel *row;

	if (channel != MEMORY_NONE)
		peer = peer_make(exchange, hooks, data);
	if (peer == NULL) {
		if (fd >= 0)
			(void)sys_close(fd);
		return channel == MEMORY_NONE ? -ENOENT : -ENOMEM;
	}
	outbox_adopt(peer->outbox, exchange->memory, channel,
		endpoint->group->limits.queue_limit);
	row = outbox_row(peer->outbox);
	peer->role = PEER_WORKER;
	peer->endpoint = endpoint;
	peer->id = endpoint->id;
	peer->generation = row->generation;
	peer->process = process;
	peer->awaits_resume = true;
	peer->welcome = json_incref(welcome);
	if (fd < 0)
		row->flags &= ~(uint32_t)MEMORY_JOINED;
	peer_watch(peer, fd);
	list_append(&exchange->peers, &peer->link);
	*ret_peer = peer;
	return 0;
}

int
peer_accept_resume(struct peer *peer, uint64_t id, uint32_t received)
{
	struct memory_channel *row = outbox_row(peer->outbox);
	uint32_t mine = row->received;
	int r;

	if (!(row->flags & MEMORY_SETTLED)) {
		if (received != 0)
			return -EPROTO;
		row->flags |= MEMORY_SETTLED | MEMORY_TAKES_PART;
	} else {
		r = outbox_rewind(peer->outbox, received);
		if (r < 0)
			return r;
	}
	r = peer_send_uncounted(peer, MUSTER_REPLY, id, peer->welcome, &mine);
	if (r < 0)
		return r;
	json_decref(peer->welcome);
	peer->welcome = NULL;
	peer->awaits_resume = false;
	peer->outbox->is_open = row->flags & MEMORY_JOINED;
	peer_queued(peer);
	return 0;
}

void
peer_refuse_resume(struct peer *peer, uint64_t id)
{
	json_t *body = json_pack("{s:s, s:s}", "code", "denied", "message",
		"the channel begins with a resume that fits");

	if (body != NULL &&
		peer_send_uncounted(peer, MUSTER_ERROR, id, body, NULL) == 0)
		(void)outbox_write(peer->outbox, peer->fd);
	json_decref(body);
	peer_end(peer, PEER_END_DENIED, "its resume doesn't fit");
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
	peer->id = peer->exchange->next_client++;
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

/* What 0 says ----------------------------------------------------------- */

static int
peer_send_text(struct peer *peer, enum muster_kind kind, uint64_t id,
	const char *text, size_t size)
{
	struct frame_header header = {
		.size = (uint32_t)size,
		.kind = (uint8_t)kind,
		.to = peer->id,
		.id = id,
	};

	if (peer->has_ended)
		return -EPIPE;
	if (!outbox_has_room(peer->outbox))
		return -ENOBUFS;
	header.sequence = outbox_next_sequence(peer->outbox);
	if (outbox_append_copy(peer->outbox, &header, text,
		    (struct outbox_source){.channel = MEMORY_NONE}, true) < 0) {
		/* A number that nobody gets would be a gap: the channel ends
		 * rather than lose a frame in silence. */
		peer_end(peer, PEER_END_CLOSED,
			"the exchange memory has no room for it");
		return -ENOBUFS;
	}
	outbox_row(peer->outbox)->messages_in++;
	peer_queued(peer);
	return peer->has_ended ? -EOVERFLOW : 0;
}

int
peer_send(struct peer *peer, json_t *body)
{
	size_t size;
	char *text;
	int r;

	if (peer->role == PEER_WORKER && !peer_has_joined(peer))
		return -ENOTCONN;
	text = json_write(body, &size);
	if (text == NULL)
		return -ENOMEM;
	r = peer_send_text(peer, MUSTER_MESSAGE, 0, text, size);
	free(text);
	return r;
}

void
peer_answer(struct peer *peer, enum muster_kind kind, uint64_t id,
	const char *text, size_t size)
{
	(void)peer_send_text(peer, kind, id, text, size);
}

void
peer_reply(struct peer *peer, uint64_t id, json_t *result)
{
	size_t size;
	char *text;

	if (result == NULL) {
		peer_answer(peer, MUSTER_REPLY, id, "{}", 2);
		return;
	}
	text = json_write(result, &size);
	if (text == NULL)
		return;
	peer_answer(peer, MUSTER_REPLY, id, text, size);
	free(text);
}

void
peer_refuse(struct peer *peer, uint64_t id, const char *code,
	const char *message, uint32_t to)
{
	json_t *body =
		json_pack("{s:s, s:s}", "code", code, "message", message);
	size_t size;
	char *text;

	if (body != NULL && to != 0)
		(void)json_object_set_new(body, "to", json_integer(to));
	text = body == NULL ? NULL : json_write(body, &size);
	if (text != NULL)
		peer_answer(peer, MUSTER_ERROR, id, text, size);
	free(text);
	json_decref(body);
}

void
peer_error(
	struct peer *peer, uint64_t id, const char *code, const char *message)
{
	peer_refuse(peer, id, code, message, 0);
}

/* Ending ---------------------------------------------------------------- */

void
peer_drain(struct peer *peer, uint64_t max_bytes)
{
	uint64_t before;

	if (peer->fd < 0 || peer->has_ended)
		return;
	peer->is_draining = true;
	list_remove(&peer->pause);
	for (uint64_t bytes = 0; bytes < max_bytes;) {
		before = peer->exchange->turn_bytes;
		if (!intake_read(peer))
			break;
		bytes += peer->exchange->turn_bytes - before;
	}
	peer->is_draining = false;
}

void
peer_end(struct peer *peer, enum peer_end how, const char *reason)
{
	struct ev_loop *loop = peer->exchange->loop;

	if (peer->has_ended)
		return;
	peer->has_ended = true;
	ev_io_stop(loop, &peer->readable);
	ev_io_stop(loop, &peer->writable);
	ev_timer_stop(loop, &peer->queue_timer);
	list_remove(&peer->ack);
	list_remove(&peer->pause);
	list_remove(&peer->woken);
	if (peer->hooks != NULL)
		peer->hooks->ended(peer, how, reason);
}

void
peer_break(struct peer *peer, const char *reason)
{
	json_t *body =
		json_pack("{s:s, s:s}", "code", "protocol", "message", reason);

	/* Without a number and at once: nothing follows it. */
	if (body != NULL && !peer->has_ended && peer->fd >= 0 &&
		peer_send_uncounted(peer, MUSTER_ERROR, 0, body, NULL) == 0) {
		peer->outbox->is_open = false;
		(void)outbox_write(peer->outbox, peer->fd);
	}
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
	struct link *at = peer->answering.next;

	outbox_visit_unwritten(peer->outbox, peer_mark_unwritten, peer);
	while (at != &peer->answering) {
		struct request *request =
			list_member(at, struct request, of_asked);

		at = at->next;
		if (!request->marked) {
			router_fail_request(exchange, request, "worker-died",
				"the worker ended before it answered");
			continue;
		}
		request->marked = false;
		request->asked = NULL;
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
	if (peer->role != PEER_WORKER && peer->fd >= 0)
		(void)outbox_write(peer->outbox, peer->fd);
	peer_end(peer, PEER_END_CLOSED, "it was closed");
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

/*
 * exchange.c: the life of the exchange, its groups and endpoints, and the turn
 * of the loop: all input first, then one write for each receiver, then who was
 * paused and may go on.
 */
#include "base/log.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The turn -------------------------------------------------------------- */

static void
exchange_write_dirty(struct exchange *exchange)
{
	struct link now;

	list_init(&now);
	list_move_all(&now, &exchange->dirty);
	while (!list_is_empty(&now)) {
		struct peer *peer = list_member(now.next, struct peer, dirty);

		list_remove(&peer->dirty);
		peer_flush(peer);
	}
}

static void
exchange_free_dead(struct exchange *exchange)
{
	while (!list_is_empty(&exchange->dead))
		peer_free(list_member(exchange->dead.next, struct peer, link));
}

static void
exchange_dispatch(struct exchange *exchange)
{
	for (struct link *l = exchange->groups.next; l != &exchange->groups;
		l = l->next) {
		struct group *group = list_member(l, struct group, link);

		if (group->must_dispatch)
			router_dispatch(group);
	}
}

void
exchange_flush(struct exchange *exchange)
{
	exchange_dispatch(exchange);
	/* Writing may end a peer, and that may queue errors for others. */
	for (int round = 0; round < 4 && !list_is_empty(&exchange->dirty);
		round++)
		exchange_write_dirty(exchange);
	if (!list_is_empty(&exchange->waits_memory) &&
		memory_had_release(exchange->memory))
		peer_wake_all(&exchange->waits_memory);
	exchange_free_dead(exchange);
}

/* Runs before the loop sleeps: the turn is over. */
static void
exchange_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct exchange *exchange =
		list_member(watcher, struct exchange, turn_end);

	(void)loop;
	(void)events;
	exchange_flush(exchange);
	exchange->turn_bytes = 0;
	exchange->busy_before = exchange->busy;
	exchange->busy = 0;
	/* What the last write queued and whom it woke must not wait for the
	 * next event. */
	if (!list_is_empty(&exchange->dirty) ||
		!list_is_empty(&exchange->woken))
		ev_idle_start(loop, &exchange->go_on);
}

static void
exchange_on_go_on(struct ev_loop *loop, ev_idle *watcher, int events)
{
	struct exchange *exchange =
		list_member(watcher, struct exchange, go_on);
	struct link now;

	(void)events;
	ev_idle_stop(loop, watcher);
	list_init(&now);
	list_move_all(&now, &exchange->woken);
	while (!list_is_empty(&now)) {
		struct peer *peer = list_member(now.next, struct peer, woken);

		list_remove(&peer->woken);
		(void)intake_read(peer);
	}
}

static void
exchange_on_ack_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	peer_ack_all(list_member(timer, struct exchange, ack_timer));
}

/* Life ------------------------------------------------------------------ */

int
exchange_new(struct ev_loop *loop, int memory_fd, uint64_t memory_limit,
	struct exchange **ret_exchange)
{
	struct exchange *exchange = calloc(1, sizeof *exchange);
	int r = -ENOMEM;

	if (exchange == NULL)
		return r;
	exchange->loop = loop;
	exchange->next_client = MUSTER_FIRST_CLIENT;
	exchange->receive_block = MEMORY_NONE;
	list_init(&exchange->groups);
	list_init(&exchange->peers);
	list_init(&exchange->waits_request);
	list_init(&exchange->waits_memory);
	list_init(&exchange->dirty);
	list_init(&exchange->ack_due);
	list_init(&exchange->dead);
	list_init(&exchange->woken);
	r = memory_open(
		memory_fd, memory_limit, &exchange->memory, &exchange->is_used);
	if (r < 0)
		goto free;
	exchange->view = memory_view(exchange->memory);
	r = requests_init(
		&exchange->requests, loop, exchange->memory, router_expired);
	if (r < 0)
		goto memory;
	ev_prepare_init(&exchange->turn_end, exchange_turn_end);
	ev_prepare_start(loop, &exchange->turn_end);
	ev_idle_init(&exchange->go_on, exchange_on_go_on);
	ev_set_priority(&exchange->go_on, EV_MAXPRI);
	ev_init(&exchange->ack_timer, exchange_on_ack_timer);
	*ret_exchange = exchange;
	return 0;
memory:
	memory_close(&exchange->memory);
free:
	free(exchange);
	return r;
}

void
exchange_free(struct exchange **exchange_at)
{
	struct exchange *exchange = *exchange_at;

	*exchange_at = NULL;
	if (exchange == NULL)
		return;
	while (!list_is_empty(&exchange->peers)) {
		struct peer *peer =
			list_member(exchange->peers.next, struct peer, link);

		peer->hooks = NULL;
		peer_retire(&peer);
	}
	exchange_free_dead(exchange);
	while (!list_is_empty(&exchange->groups)) {
		struct group *group =
			list_member(exchange->groups.next, struct group, link);

		while (!list_is_empty(&group->endpoints)) {
			struct endpoint *endpoint = list_member(
				group->endpoints.next, struct endpoint, link);

			endpoint_free(&endpoint);
		}
		group_free(&group);
	}
	ev_prepare_stop(exchange->loop, &exchange->turn_end);
	ev_idle_stop(exchange->loop, &exchange->go_on);
	ev_timer_stop(exchange->loop, &exchange->ack_timer);
	requests_fini(&exchange->requests);
	memory_release(exchange->memory, exchange->receive_block);
	memory_close(&exchange->memory);
	free(exchange->endpoints);
	free(exchange);
}

/* Addresses ------------------------------------------------------------- */

struct endpoint *
exchange_endpoint(struct exchange *exchange, uint32_t id)
{
	return id < exchange->endpoint_room ? exchange->endpoints[id] : NULL;
}

struct peer *
exchange_client(struct exchange *exchange, uint32_t id)
{
	if (id < MUSTER_FIRST_CLIENT || id > MUSTER_LAST_ENDPOINT)
		return NULL;
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);

		if (peer->role == PEER_GUEST && peer->id == id &&
			!peer->has_ended)
			return peer;
	}
	return NULL;
}

struct group *
exchange_group(struct exchange *exchange, const char *name, size_t size)
{
	for (struct link *l = exchange->groups.next; l != &exchange->groups;
		l = l->next) {
		struct group *group = list_member(l, struct group, link);

		if (strlen(group->name) == size &&
			memcmp(group->name, name, size) == 0)
			return group;
	}
	return NULL;
}

/* Groups ---------------------------------------------------------------- */

struct group *
group_new(struct exchange *exchange, const char *name,
	const struct group_limits *limits)
{
	struct group *group = calloc(1, sizeof *group);

	if (group == NULL)
		return NULL;
	group->name = strdup(name);
	if (group->name == NULL) {
		free(group);
		return NULL;
	}
	group->exchange = exchange;
	group->limits = *limits;
	group->is_running = true;
	list_init(&group->endpoints);
	list_append(&exchange->groups, &group->link);
	return group;
}

struct give_back {
	struct exchange *exchange;
	const char *code, *message;
};

static void
exchange_give_back(void *context, struct outbox_taken *taken)
{
	struct give_back *why = context;

	router_give_back(why->exchange, taken, why->code, why->message);
}

static void
exchange_empty(struct exchange *exchange, struct outbox *outbox,
	const char *code, const char *message)
{
	struct give_back why = {exchange, code, message};

	outbox_take_all(outbox, exchange_give_back, &why);
	peer_wake_all(&outbox->paused);
}

static void
exchange_drop_outbox(struct outbox **outbox)
{
	if (*outbox == NULL)
		return;
	peer_wake_all(&(*outbox)->paused);
	outbox_fini(*outbox);
	free(*outbox);
	*outbox = NULL;
}

void
group_free(struct group **group_at)
{
	struct group *group = *group_at;

	*group_at = NULL;
	if (group == NULL)
		return;
	if (group->waiting != NULL)
		exchange_empty(group->exchange, group->waiting, "no-such-app",
			"the application is gone");
	exchange_drop_outbox(&group->waiting);
	list_remove(&group->link);
	free(group->name);
	free(group);
}

void
group_set_running(struct group *group, bool running)
{
	group->is_running = running;
	if (!running && group->waiting != NULL)
		exchange_empty(group->exchange, group->waiting, "not-running",
			"the application was stopped");
}

/* Endpoints ------------------------------------------------------------- */

static int
exchange_register(struct exchange *exchange, struct endpoint *endpoint)
{
	uint32_t room = exchange->endpoint_room;

	if (endpoint->id >= room) {
		struct endpoint **grown;

		while (room <= endpoint->id)
			room = room == 0 ? 16 : room * 2;
		grown = realloc(exchange->endpoints, room * sizeof *grown);
		if (grown == NULL)
			return -ENOMEM;
		memset(grown + exchange->endpoint_room, 0,
			(room - exchange->endpoint_room) * sizeof *grown);
		exchange->endpoints = grown;
		exchange->endpoint_room = room;
	}
	exchange->endpoints[endpoint->id] = endpoint;
	return 0;
}

struct endpoint *
endpoint_new(struct group *group, uint32_t id, uint32_t instance)
{
	struct endpoint *endpoint = calloc(1, sizeof *endpoint);

	if (endpoint == NULL)
		return NULL;
	endpoint->group = group;
	endpoint->id = id;
	endpoint->instance = instance;
	if (exchange_register(group->exchange, endpoint) < 0) {
		free(endpoint);
		return NULL;
	}
	list_append(&group->endpoints, &endpoint->link);
	return endpoint;
}

struct outbox *
endpoint_outbox(struct endpoint *endpoint)
{
	struct outbox *outbox;

	if (endpoint->outbox != NULL)
		return endpoint->outbox;
	outbox = calloc(1, sizeof *outbox);
	if (outbox == NULL)
		return NULL;
	if (outbox_init(outbox, endpoint->group->exchange->memory,
		    MEMORY_WAITING, endpoint->group->limits.queue_limit) < 0) {
		free(outbox);
		return NULL;
	}
	outbox_row(outbox)->id = endpoint->id;
	endpoint->outbox = outbox;
	return outbox;
}

static bool
endpoint_owns_outbox(const struct endpoint *endpoint)
{
	return endpoint->outbox != NULL && endpoint->peer == NULL;
}

void
endpoint_free(struct endpoint **endpoint_at)
{
	struct endpoint *endpoint = *endpoint_at;
	struct exchange *exchange;

	*endpoint_at = NULL;
	if (endpoint == NULL)
		return;
	exchange = endpoint->group->exchange;
	endpoint_set_ready(endpoint, false);
	if (endpoint_owns_outbox(endpoint)) {
		exchange_empty(exchange, endpoint->outbox, "no-such-worker",
			"the worker is gone");
		exchange_drop_outbox(&endpoint->outbox);
	}
	exchange->endpoints[endpoint->id] = NULL;
	list_remove(&endpoint->link);
	free(endpoint);
}

static void
endpoint_move(void *context, struct outbox_taken *taken)
{
	struct endpoint *endpoint = context;

	router_move(endpoint->group->exchange, taken, endpoint);
}

void
endpoint_set_peer(struct endpoint *endpoint, struct peer *peer)
{
	struct outbox *waiting = NULL;

	if (endpoint->peer == peer)
		return;
	if (endpoint_owns_outbox(endpoint))
		waiting = endpoint->outbox;
	endpoint->peer = peer;
	endpoint->outbox = peer != NULL ? peer->outbox : NULL;
	if (waiting == NULL)
		return;
	outbox_take_all(waiting, endpoint_move, endpoint);
	exchange_drop_outbox(&waiting);
}

static void
endpoint_tell(struct endpoint *endpoint, const char *state)
{
	struct group *group = endpoint->group;
	json_t *body = json_pack("{s:s, s:I, s:s, s:s}", "event", "peer", "id",
		(json_int_t)endpoint->id, "app", group->name, "state", state);

	for (struct link *l = group->endpoints.next; l != &group->endpoints;
		l = l->next) {
		struct endpoint *other = list_member(l, struct endpoint, link);

		if (other != endpoint && other->peer != NULL && body != NULL)
			(void)peer_send(other->peer, body);
	}
	json_decref(body);
}

void
endpoint_set_ready(struct endpoint *endpoint, bool ready)
{
	if (endpoint->is_ready == ready)
		return;
	endpoint->is_ready = ready;
	endpoint_tell(endpoint, ready ? "ready" : "gone");
	if (ready)
		endpoint->group->must_dispatch = true;
}

void
endpoint_set_dormant(struct endpoint *endpoint, bool dormant)
{
	endpoint->is_dormant = dormant;
	if (dormant && endpoint_owns_outbox(endpoint))
		exchange_empty(endpoint->group->exchange, endpoint->outbox,
			"not-running", "the worker is not running");
}

void
endpoint_read_counters(
	const struct endpoint *endpoint, struct endpoint_counters *ret)
{
	*ret = (struct endpoint_counters){
		.messages_in = endpoint->messages_in,
		.messages_out = endpoint->messages_out,
	};
	if (endpoint->outbox != NULL)
		ret->queue_bytes = endpoint->outbox->queued;
	if (endpoint->peer != NULL) {
		const struct memory_channel *row =
			outbox_row(endpoint->peer->outbox);

		ret->messages_in += row->messages_in;
		ret->messages_out += row->messages_out;
	}
}

/* After an earlier brain ------------------------------------------------ */

static struct peer *
exchange_peer_of(struct exchange *exchange, uint32_t channel, uint64_t process)
{
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);

		if (peer->outbox->channel == channel &&
			peer->process == process)
			return peer;
	}
	return NULL;
}

static bool
exchange_adopt_request(void *context, struct request *request,
	const struct memory_request *row)
{
	struct exchange *exchange = context;
	struct peer *asker = exchange_peer_of(
		exchange, row->asker_channel, row->asker_process);
	struct peer *asked = NULL;

	if (asker == NULL)
		return false; /* nobody waits for the answer */
	if (row->asked_channel != MEMORY_NONE)
		asked = exchange_peer_of(
			exchange, row->asked_channel, row->asked_process);
	request->asker = asker;
	request->asked = asked;
	list_append(&asker->asking, &request->of_asker);
	asker->asking_count++;
	if (asked != NULL) {
		list_append(&asked->answering, &request->of_asked);
		asked->answering_count++;
	}
	return true;
}

static void
exchange_settle_frame(void *context, struct outbox_taken *taken)
{
	struct exchange *exchange = context;
	struct endpoint *to =
		exchange_endpoint(exchange, taken->frame->header.to);

	if (to != NULL && !taken->was_written)
		router_move(exchange, taken, to);
	else
		router_give_back(exchange, taken, "worker-died",
			"the worker ended before it took the message");
}

/* Whether a peer or an endpoint of this life has the row. */
static bool
exchange_has_row(struct exchange *exchange, uint32_t channel)
{
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next)
		if (list_member(l, struct peer, link)->outbox->channel ==
			channel)
			return true;
	for (struct link *g = exchange->groups.next; g != &exchange->groups;
		g = g->next) {
		struct group *group = list_member(g, struct group, link);

		if (group->waiting != NULL &&
			group->waiting->channel == channel)
			return true;
	}
	for (uint32_t i = 0; i < exchange->endpoint_room; i++)
		if (exchange->endpoints[i] != NULL &&
			exchange->endpoints[i]->outbox != NULL &&
			exchange->endpoints[i]->outbox->channel == channel)
			return true;
	return false;
}

/* Requests to processes that ended in the meantime come back. */
static void
exchange_settle_requests(struct exchange *exchange)
{
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);
		struct link *at = peer->asking.next;

		while (at != &peer->asking) {
			struct request *request =
				list_member(at, struct request, of_asker);

			at = at->next;
			if (request->asked == NULL && request->asked_id != 0 &&
				(exchange_endpoint(
					 exchange, request->asked_id) == NULL ||
					exchange_endpoint(
						exchange, request->asked_id)
							->peer != NULL))
				router_fail_request(exchange, request,
					"worker-died",
					"the worker ended before it answered");
		}
	}
}

void
exchange_settle(struct exchange *exchange)
{
	uint32_t used = memory_channels_used(exchange->memory);

	if (!exchange->is_used)
		return;
	requests_recover(&exchange->requests, exchange_adopt_request, exchange);
	for (uint32_t c = 0; c < used; c++) {
		struct outbox outbox;

		if (exchange->view->channels[c].use == MEMORY_FREE ||
			exchange_has_row(exchange, c))
			continue;
		outbox_adopt(&outbox, exchange->memory, c, 0);
		outbox_take_all(&outbox, exchange_settle_frame, exchange);
		outbox_fini(&outbox);
	}
	exchange_settle_requests(exchange);
}

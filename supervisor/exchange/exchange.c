/*
 * exchange.c: the life of the exchange, its addresses, and the turn of the
 * loop: all input first, then one write for each receiver, then who was paused
 * and may go on. Groups, endpoints and what an earlier brain left have files of
 * their own.
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
	/* What is written can't be taken back. */
	if (memory_is_changing(exchange->memory))
		memory_commit_early(exchange->memory);
	exchange_dispatch(exchange);
	/* Writing may end a peer, and that may queue errors for others. */
	for (int round = 0; round < 4 && !list_is_empty(&exchange->dirty);
		round++)
		exchange_write_dirty(exchange);
	if (memory_had_release(exchange->memory))
		peer_wake_all(&exchange->waits_memory);
}

/* Who was woken in the last turn goes on with what it had sent before. */
static void
exchange_read_woken(struct exchange *exchange)
{
	struct link now;

	list_init(&now);
	list_move_all(&now, &exchange->woken);
	while (!list_is_empty(&now)) {
		struct peer *peer = list_member(now.next, struct peer, woken);

		list_remove(&peer->woken);
		if (list_is_empty(&peer->pause))
			(void)intake_read(peer);
	}
}

/* Runs before the loop sleeps: the turn is over. */
static void
exchange_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct exchange *exchange =
		list_member(watcher, struct exchange, turn_end);

	(void)events;
	exchange_read_woken(exchange);
	if (memory_is_tight(exchange->memory))
		clients_check_queues(exchange);
	exchange_flush(exchange);
	exchange_free_dead(exchange);
	exchange->turn_bytes = 0;
	exchange->busy_before = exchange->busy;
	exchange->busy = 0;
	/* What the last write queued and whom it woke must not wait for the
	 * next event. */
	if (!list_is_empty(&exchange->dirty) ||
		!list_is_empty(&exchange->woken))
		ev_idle_start(loop, &exchange->go_on);
	else
		ev_idle_stop(loop, &exchange->go_on);
}

/* Active, it keeps the loop from sleeping: that is all. */
static void
exchange_on_go_on(struct ev_loop *loop, ev_idle *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
}

/* The kernel had no room for a descriptor or a buffer, and tells nobody when it
 * has again. */
static void
exchange_on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct exchange *exchange =
		list_member(timer, struct exchange, retry_timer);

	(void)loop;
	(void)events;
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next)
		exchange_mark_dirty(list_member(l, struct peer, link));
}

void
exchange_retry(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;

	if (ev_is_active(&exchange->retry_timer))
		return;
	ev_timer_set(&exchange->retry_timer, EXCHANGE_RETRY_MS / 1000.0, 0);
	ev_timer_start(exchange->loop, &exchange->retry_timer);
}

static void
exchange_on_hold_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	hold_release_all(list_member(timer, struct exchange, hold_timer));
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
	exchange->receive_block = MEMORY_NONE;
	list_init(&exchange->groups);
	list_init(&exchange->peers);
	list_init(&exchange->waits_request);
	list_init(&exchange->waits_memory);
	list_init(&exchange->dirty);
	list_init(&exchange->ack_due);
	list_init(&exchange->dead);
	list_init(&exchange->woken);
	list_init(&exchange->held);
	r = memory_open(
		memory_fd, memory_limit, &exchange->memory, &exchange->is_used);
	if (r < 0)
		goto free;
	exchange->view = memory_view(exchange->memory);
	if (memory_faults(exchange->memory) > 0)
		log_error("the exchange memory is damaged: %llu of its records "
			  "don't add up and were set aside; messages may be "
			  "lost",
			(unsigned long long)memory_faults(exchange->memory));
	r = requests_init(
		&exchange->requests, loop, exchange->memory, router_expired);
	if (r < 0)
		goto memory;
	r = topic_trie_init(&exchange->topics, EXCHANGE_TOPIC_NODES);
	if (r < 0)
		goto requests;
	ev_prepare_init(&exchange->turn_end, exchange_turn_end);
	ev_prepare_start(loop, &exchange->turn_end);
	ev_idle_init(&exchange->go_on, exchange_on_go_on);
	ev_init(&exchange->ack_timer, exchange_on_ack_timer);
	ev_init(&exchange->hold_timer, exchange_on_hold_timer);
	ev_init(&exchange->retry_timer, exchange_on_retry);
	*ret_exchange = exchange;
	return 0;
requests:
	requests_fini(&exchange->requests);
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
	ev_timer_stop(exchange->loop, &exchange->hold_timer);
	ev_timer_stop(exchange->loop, &exchange->retry_timer);
	requests_fini(&exchange->requests);
	topic_trie_fini(&exchange->topics);
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

struct peer *
exchange_sender(struct exchange *exchange, const struct outbox_source *source)
{
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);

		if (peer->outbox->channel == source->channel &&
			peer_mark(peer) == source->mark && !peer->has_ended)
			return peer;
	}
	return NULL;
}

/* Queues without a process ---------------------------------------------- */

void
exchange_on_returned(
	struct exchange *exchange, exchange_returned *returned, void *data)
{
	exchange->returned = returned;
	exchange->returned_data = data;
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

void
exchange_empty_outbox(struct exchange *exchange, struct outbox *outbox,
	const char *code, const char *message)
{
	struct give_back why = {exchange, code, message};

	outbox_take_all(outbox, exchange_give_back, &why);
	peer_wake_all(&outbox->paused);
}

void
exchange_drop_outbox(struct outbox **outbox)
{
	if (*outbox == NULL)
		return;
	peer_wake_all(&(*outbox)->paused);
	outbox_fini(*outbox);
	free(*outbox);
	*outbox = NULL;
}

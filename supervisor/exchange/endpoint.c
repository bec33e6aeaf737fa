/*
 * endpoint.c: slots as the exchange knows them: what an address names, whoever
 * fills it. While nobody does, an endpoint has a queue of its own.
 */
#include "base/json.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
endpoint_register(struct exchange *exchange, struct endpoint *endpoint)
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
	if (endpoint_register(group->exchange, endpoint) < 0) {
		free(endpoint);
		return NULL;
	}
	list_append(&group->endpoints, &endpoint->link);
	return endpoint;
}

static bool
endpoint_owns_outbox(const struct endpoint *endpoint)
{
	return endpoint->outbox != NULL && endpoint->peer == NULL;
}

struct outbox *
endpoint_outbox(struct endpoint *endpoint)
{
	struct memory *memory = endpoint->group->exchange->memory;
	struct outbox *outbox;

	if (endpoint->outbox != NULL)
		return endpoint->outbox;
	outbox = calloc(1, sizeof *outbox);
	if (outbox == NULL)
		return NULL;
	memory_begin(memory);
	if (outbox_init(outbox, memory, MEMORY_WAITING,
		    endpoint->group->limits.queue_limit) < 0) {
		free(outbox);
		outbox = NULL;
	} else {
		outbox_row(outbox)->id = endpoint->id;
	}
	memory_commit(memory);
	endpoint->outbox = outbox;
	return outbox;
}

bool
endpoint_adopt_outbox(struct endpoint *endpoint, uint32_t channel)
{
	struct group *group = endpoint->group;

	if (endpoint->peer != NULL || endpoint->outbox != NULL)
		return false;
	endpoint->outbox = calloc(1, sizeof *endpoint->outbox);
	if (endpoint->outbox == NULL)
		return false;
	outbox_adopt(endpoint->outbox, group->exchange->memory, channel,
		group->limits.queue_limit);
	return true;
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
		exchange_empty_outbox(exchange, endpoint->outbox,
			"no-such-worker", "the worker is gone");
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
	/* Who comes after a brain that dies meanwhile must know that what is
	 * left is younger than what the peer has. */
	journal_set(waiting->view->journal, outbox_row(waiting)->flags,
		MEMORY_LEAVING);
	outbox_take_all(waiting, endpoint_move, endpoint);
	exchange_drop_outbox(&waiting);
}

/* The joined workers of the group hear of it, all or none; the text is written
 * once. */
static void
endpoint_tell(struct endpoint *endpoint)
{
	const char *state = endpoint->is_ready ? "ready" : "gone";
	struct group *group = endpoint->group;
	struct memory *memory = group->exchange->memory;
	json_t *body = json_pack("{s:s, s:I, s:s, s:s}", "event", "peer", "id",
		(json_int_t)endpoint->id, "app", group->name, "state", state);
	size_t size = 0;
	char *text = body == NULL ? NULL : json_write(body, &size);

	memory_begin(memory);
	for (struct link *l = group->endpoints.next;
		l != &group->endpoints && text != NULL; l = l->next) {
		struct endpoint *other = list_member(l, struct endpoint, link);

		if (other != endpoint && other->peer != NULL &&
			peer_has_joined(other->peer))
			(void)peer_send_text(
				other->peer, MUSTER_MESSAGE, 0, text, size);
	}
	memory_set_told(memory, endpoint->id, endpoint->is_ready);
	memory_commit(memory);
	free(text);
	json_decref(body);
}

void
endpoint_tell_again(struct endpoint *endpoint)
{
	if (endpoint->id < MEMORY_TOLD_MAX &&
		memory_is_told(endpoint->group->exchange->memory,
			endpoint->id) != endpoint->is_ready)
		endpoint_tell(endpoint);
}

void
endpoint_set_ready(struct endpoint *endpoint, bool ready)
{
	if (endpoint->is_ready == ready)
		return;
	endpoint->is_ready = ready;
	/* What is only made again after an earlier brain is no news. */
	if (!endpoint->group->exchange->is_used ||
		endpoint->group->exchange->is_settled)
		endpoint_tell(endpoint);
	if (ready)
		endpoint->group->must_dispatch = true;
}

void
endpoint_set_dormant(struct endpoint *endpoint, bool dormant)
{
	endpoint->is_dormant = dormant;
	if (dormant && endpoint_owns_outbox(endpoint))
		exchange_empty_outbox(endpoint->group->exchange,
			endpoint->outbox, "not-running",
			"the worker is not running");
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

void
peer_read_counters(const struct peer *peer, struct endpoint_counters *ret)
{
	const struct memory_channel *row = outbox_row(peer->outbox);

	*ret = (struct endpoint_counters){
		.messages_in = row->messages_in,
		.messages_out = row->messages_out,
		.queue_bytes = peer->outbox->queued,
	};
}

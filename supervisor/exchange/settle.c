/*
 * settle.c: what an earlier brain left in the exchange memory, once all that
 * lives on was made again: requests under way go on, what waits goes on
 * waiting, and what belongs to nobody any more goes back.
 */
#include "base/log.h"
#include "state.h"

#include <stdlib.h>

/* Who of this life has which row. */
struct owners {
	struct peer *by_row[MEMORY_CHANNELS_MAX];
};

static struct peer *
exchange_peer_of(
	const struct owners *owners, uint32_t channel, uint64_t process)
{
	struct peer *peer =
		channel < MEMORY_CHANNELS_MAX ? owners->by_row[channel] : NULL;

	return peer != NULL && peer->process == process ? peer : NULL;
}

static bool
exchange_adopt_request(void *context, struct request *request,
	const struct memory_request *row)
{
	struct owners *owners = context;
	struct peer *asker = exchange_peer_of(
		owners, row->asker_channel, row->asker_process);
	struct peer *asked = NULL;

	if (asker == NULL)
		return false; /* nobody waits for the answer */
	if (row->asked_channel != MEMORY_NONE)
		asked = exchange_peer_of(
			owners, row->asked_channel, row->asked_process);
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

struct settle {
	struct exchange *exchange;
	struct endpoint *endpoint; /* whose the row was, or NULL */
};

static void
exchange_settle_frame(void *context, struct outbox_taken *taken)
{
	struct settle *settle = context;

	if (settle->endpoint != NULL && !taken->was_written)
		router_move(settle->exchange, taken, settle->endpoint);
	else
		router_give_back(settle->exchange, taken, "worker-died",
			"the worker ended before it took the message");
}

/* Whether a group or an endpoint of this life goes on with the row. */
static bool
exchange_adopt_row(struct exchange *exchange, uint32_t channel)
{
	const struct memory_channel *row = &exchange->view->channels[channel];
	struct endpoint *endpoint = exchange_endpoint(exchange, row->id);

	if (row->use != MEMORY_WAITING)
		return false;
	if (row->id != 0)
		return endpoint != NULL &&
		       endpoint_adopt_outbox(endpoint, channel);
	for (struct link *l = exchange->groups.next; l != &exchange->groups;
		l = l->next)
		if (group_adopt_waiting(
			    list_member(l, struct group, link), channel))
			return true;
	return false;
}

static void
exchange_settle_row(struct exchange *exchange, uint32_t channel)
{
	const struct memory_channel *row = &exchange->view->channels[channel];
	struct settle settle = {
		.exchange = exchange,
		.endpoint = exchange_endpoint(exchange, row->id),
	};
	struct outbox outbox;

	outbox_adopt(&outbox, exchange->memory, channel, 0);
	outbox_take_all(&outbox, exchange_settle_frame, &settle);
	outbox_fini(&outbox);
}

static void
exchange_mark_request(void *context, const struct ring_frame *frame)
{
	struct exchange *exchange = context;
	struct request *request;

	if (frame->header.kind != MUSTER_REQUEST)
		return;
	request = requests_find(&exchange->requests, frame->header.id);
	if (request != NULL)
		request->marked = true;
}

/* Marks the requests that stand in queues without a process. */
static void
exchange_mark_waiting(struct exchange *exchange)
{
	for (struct link *g = exchange->groups.next; g != &exchange->groups;
		g = g->next) {
		struct group *group = list_member(g, struct group, link);

		if (group->waiting != NULL)
			outbox_visit_unwritten(group->waiting,
				exchange_mark_request, exchange);
		for (struct link *l = group->endpoints.next;
			l != &group->endpoints; l = l->next) {
			struct endpoint *endpoint =
				list_member(l, struct endpoint, link);

			if (endpoint->outbox != NULL && endpoint->peer == NULL)
				outbox_visit_unwritten(endpoint->outbox,
					exchange_mark_request, exchange);
		}
	}
}

/* Requests that no process has and that wait in no queue come back. */
static void
exchange_settle_requests(struct exchange *exchange)
{
	exchange_mark_waiting(exchange);
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);
		struct link *at = peer->asking.next;

		while (at != &peer->asking) {
			struct request *request =
				list_member(at, struct request, of_asker);

			at = at->next;
			if (request->asked == NULL && !request->marked)
				router_fail_request(exchange, request,
					"worker-died",
					"the worker ended before it answered");
			else
				request->marked = false;
		}
	}
}

/* Settles the rows that nobody has and whose flag MEMORY_LEAVING is so. */
static void
exchange_settle_left(struct exchange *exchange, uint32_t leaving)
{
	const struct memory_channel *rows = exchange->view->channels;

	for (uint32_t c = 0; c < memory_channels_used(exchange->memory); c++)
		if (rows[c].use != MEMORY_FREE &&
			(rows[c].flags & MEMORY_LEAVING) == leaving &&
			!exchange_has_row(exchange, c))
			exchange_settle_row(exchange, c);
}

/*
 * Order: what waits goes on waiting before others are emptied into it, since
 * what a process that is gone had not handed on yet is younger; what was on its
 * way from a queue to a process comes last.
 */
static void
exchange_settle_rows(struct exchange *exchange)
{
	const struct memory_channel *rows = exchange->view->channels;
	uint32_t used = memory_channels_used(exchange->memory);

	for (uint32_t c = 0; c < used; c++)
		if (rows[c].use == MEMORY_WAITING &&
			!(rows[c].flags & MEMORY_LEAVING) &&
			!exchange_has_row(exchange, c))
			(void)exchange_adopt_row(exchange, c);
	exchange_settle_left(exchange, 0);
	exchange_settle_left(exchange, MEMORY_LEAVING);
}

/* Requests go on with who asked and who was asked, subscriptions with who has
 * them. Without memory to find these they end: then nothing works. */
static void
exchange_recover_tables(struct exchange *exchange)
{
	struct owners *owners = calloc(1, sizeof *owners);

	if (owners == NULL) {
		log_error("there is no memory for the open requests and the "
			  "subscriptions of the master before: they are lost");
		return;
	}
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);

		owners->by_row[peer->outbox->channel] = peer;
	}
	requests_recover(&exchange->requests, exchange_adopt_request, owners);
	topics_recover(exchange, owners->by_row);
	free(owners);
}

/* Who takes no part ---------------------------------------------------------
 */

static void
exchange_return_unreachable(void *context, struct outbox_taken *taken)
{
	if (taken->was_written)
		router_give_back(context, taken, "lost",
			"the worker's channel ended with the master before");
	else
		router_give_back(context, taken, "not-joined",
			"the worker takes no part in resuming");
}

/*
 * A worker that lives and has no channel any more gets nothing, answers nothing
 * and waits for no answer.
 */
static void
exchange_settle_unreachable(struct exchange *exchange, struct peer *peer)
{
	outbox_take_all(peer->outbox, exchange_return_unreachable, exchange);
	while (!list_is_empty(&peer->answering))
		router_fail_request(exchange,
			list_member(
				peer->answering.next, struct request, of_asked),
			"lost",
			"the worker's channel ended with the master before");
	while (!list_is_empty(&peer->asking))
		router_close_request(
			exchange, list_member(peer->asking.next, struct request,
					  of_asker));
}

static void
exchange_settle_peers(struct exchange *exchange)
{
	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);

		if (peer->role != PEER_WORKER || !peer->awaits_resume)
			continue;
		if (peer->fd < 0)
			exchange_settle_unreachable(exchange, peer);
		else if (!(outbox_row(peer->outbox)->flags & MEMORY_SETTLED) &&
			 peer_mend(peer) < 0)
			peer_doom(peer, PEER_END_OVERFLOW,
				"there is no memory to mend its queue");
	}
}

void
exchange_settle(struct exchange *exchange)
{
	exchange->is_settled = true;
	if (!exchange->is_used)
		return;
	exchange_recover_tables(exchange);
	exchange_settle_rows(exchange);
	exchange_settle_peers(exchange);
	exchange_settle_requests(exchange);
	for (uint32_t i = 0; i < exchange->endpoint_room; i++)
		if (exchange->endpoints[i] != NULL)
			endpoint_tell_again(exchange->endpoints[i]);
}

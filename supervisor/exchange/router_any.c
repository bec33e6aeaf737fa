/*
 * router_any.c: one worker of an application, whichever has least to do; and
 * the queue of what waits while none is free.
 */
#include "base/sys.h"
#include "router.h"

#include <stdlib.h>

static bool
router_is_free(const struct endpoint *endpoint)
{
	uint32_t bound = endpoint->group->limits.job_concurrency;

	return endpoint->is_ready && endpoint->peer != NULL &&
	       !endpoint->is_dormant && peer_has_joined(endpoint->peer) &&
	       (bound == 0 || endpoint->peer->answering_count < bound);
}

static bool
router_takes_frames(const struct endpoint *endpoint)
{
	return outbox_has_room(endpoint->outbox) &&
	       outbox_is_under_limit(endpoint->outbox);
}

/*
 * One whose queue takes frames before one whose queue is full; then the fewest
 * open requests; among equals the one that has waited longest.
 */
static struct endpoint *
router_better(struct endpoint *a, struct endpoint *b)
{
	if (a == NULL)
		return b;
	if (router_takes_frames(a) != router_takes_frames(b))
		return router_takes_frames(b) ? b : a;
	if (b->peer->answering_count != a->peer->answering_count)
		return b->peer->answering_count < a->peer->answering_count ? b
									   : a;
	return b->last_any < a->last_any ? b : a;
}

/* Who of the group, or `best`, takes the next job of `sender`; or NULL. */
static struct endpoint *
router_choose(struct group *group, uint32_t sender, struct endpoint *best)
{
	for (struct link *l = group->endpoints.next; l != &group->endpoints;
		l = l->next) {
		struct endpoint *endpoint =
			list_member(l, struct endpoint, link);

		if (endpoint->id != sender && router_is_free(endpoint))
			best = router_better(best, endpoint);
	}
	return best;
}

/* Whether anybody but the sender could ever take it. */
static bool
router_can_wait(const struct group *group, uint32_t sender)
{
	if (!group->is_running)
		return false;
	for (struct link *l = group->endpoints.next; l != &group->endpoints;
		l = l->next) {
		struct endpoint *endpoint =
			list_member(l, struct endpoint, link);

		if (endpoint->id != sender && !endpoint->is_dormant)
			return true;
	}
	return false;
}

/* Nobody is free: the frame waits in the application's own queue. */
static bool
router_wait(struct peer *from, struct group *group, struct inbound *in)
{
	struct outbox *outbox;
	struct request *request;

	if (!router_can_wait(group, from->id))
		return router_refuse(from, in, "not-running",
			"the application has no worker that could take it");
	if (router_is_bad_request(from, in))
		return true;
	outbox = group_waiting(group);
	if (outbox == NULL) {
		peer_pause(from, &from->exchange->waits_memory);
		return false;
	}
	if (!router_has_room(from, outbox))
		return false;
	if (in->header.kind == MUSTER_REQUEST) {
		request = router_open_request(from, in);
		if (request == NULL)
			return false;
		requests_assign(request->table, request, NULL, NULL,
			MEMORY_NONE, 0, from->process, 0);
		frame_stamp_id(in->bytes, request->number);
	}
	frame_stamp_from(in->bytes, router_stamp(from));
	router_append(outbox, in, router_source(from, in));
	router_check_limit(from, outbox);
	return true;
}

/* Whether the waiting frame is a request that nobody waits for any more. */
static bool
router_is_too_late(struct exchange *exchange, struct outbox_taken *taken,
	struct request **r)
{
	const struct frame_header *header = &taken->frame->header;

	*r = NULL;
	if (header->kind != MUSTER_REQUEST)
		return false;
	*r = requests_find(&exchange->requests, header->id);
	if (*r != NULL)
		return false;
	if (taken->fd >= 0)
		(void)sys_close(taken->fd);
	return true;
}

static enum outbox_verdict
router_dispatch_one(void *context, struct outbox_taken *taken)
{
	struct group *group = context;
	struct exchange *exchange = group->exchange;
	struct ring_frame *frame = taken->frame;
	struct request *request;
	struct endpoint *endpoint;
	struct inbound in = {
		.header = frame->header,
		.bytes = frame->bytes,
		.pieces = frame->pieces,
		.count = frame->count,
		.fd = taken->fd,
	};

	if (router_is_too_late(exchange, taken, &request))
		return OUTBOX_TAKE;
	if (router_lacks_fd(taken)) {
		router_give_back(exchange, taken, "fd-missing",
			"its descriptor is lost: the master was replaced");
		return OUTBOX_TAKE;
	}
	endpoint = router_choose(group, frame->header.from, NULL);
	if (endpoint == NULL) /* perhaps its sender alone is free */
		return router_choose(group, 0, NULL) == NULL ? OUTBOX_STOP
							     : OUTBOX_LEAVE;
	if (!router_takes_frames(endpoint))
		return OUTBOX_STOP;
	endpoint->last_any = ++exchange->stamp;
	router_keep_header(exchange, frame->bytes);
	if (request != NULL)
		router_assign(request, endpoint, &in);
	router_append(endpoint->outbox, &in, taken->source);
	peer_queued(endpoint->peer);
	return OUTBOX_TAKE;
}

void
router_dispatch(struct group *group)
{
	group->must_dispatch = false;
	if (group->waiting == NULL || group->waiting->queued == 0)
		return;
	outbox_take_some(group->waiting, router_dispatch_one, group);
	if (outbox_is_low(group->waiting))
		peer_wake_all(&group->waiting->paused);
}

static enum outbox_verdict
router_drop_late(void *context, struct outbox_taken *taken)
{
	struct request *request;

	return router_is_too_late(context, taken, &request) ? OUTBOX_TAKE
							    : OUTBOX_STOP;
}

/* Those that wait longest expire first, as a rule: the front will do. */
void
router_expire_waiting(struct exchange *exchange)
{
	for (struct link *l = exchange->groups.next; l != &exchange->groups;
		l = l->next) {
		struct group *group = list_member(l, struct group, link);

		if (group->waiting == NULL || group->waiting->queued == 0)
			continue;
		outbox_take_some(group->waiting, router_drop_late, exchange);
		if (outbox_is_low(group->waiting))
			peer_wake_all(&group->waiting->paused);
	}
}

/* Of all applications, for who names none and has none. */
static struct endpoint *
router_choose_of_all(struct peer *from)
{
	struct exchange *exchange = from->exchange;
	struct endpoint *best = NULL;

	for (struct link *l = exchange->groups.next; l != &exchange->groups;
		l = l->next)
		best = router_choose(
			list_member(l, struct group, link), from->id, best);
	return best;
}

bool
router_to_any(struct peer *from, struct group *group, struct inbound *in)
{
	struct exchange *exchange = from->exchange;
	struct endpoint *endpoint;

	if (group == NULL) {
		endpoint = router_choose_of_all(from);
		if (endpoint == NULL)
			return router_refuse(from, in, "not-running",
				"no application has a ready worker");
	} else {
		/* Who waits already comes first. */
		if (group->must_dispatch)
			router_dispatch(group);
		endpoint = router_choose(group, from->id, NULL);
		if (endpoint == NULL)
			return router_wait(from, group, in);
	}
	if (!router_to_endpoint(from, endpoint, in))
		return false;
	endpoint->last_any = ++exchange->stamp;
	return true;
}

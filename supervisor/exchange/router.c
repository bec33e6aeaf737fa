/*
 * router.c: from an address to whoever receives. It routes by the header and
 * parses no body. What is for 0 is router_zero.c's, ANY and ALL have files of
 * their own, requests and their answers are router_answer.c's, and what was
 * taken out of a ring is router_return.c's.
 */
#include "router.h"
#include "base/sys.h"

#include <string.h>

bool
router_refuse(struct peer *from, const struct inbound *in, const char *code,
	const char *message)
{
	struct exchange_losses *losses = &from->exchange->losses;

	if (in->header.kind == MUSTER_REPLY ||
		in->header.kind == MUSTER_ERROR) {
		losses->answers++;
	} else if (in->header.id == 0 && in->header.kind != MUSTER_REQUEST) {
		losses->uncounted++;
	} else {
		losses->returned++;
		peer_refuse(from, in->header.id, code, message, in->header.to);
	}
	if (in->fd >= 0)
		(void)sys_close(in->fd);
	return true;
}

/* Delivering to one ----------------------------------------------------- */

void
router_append(
	struct outbox *outbox, struct inbound *in, struct outbox_source source)
{
	uint32_t sequence = outbox_next_sequence(outbox);

	frame_stamp_sequence(in->bytes, sequence);
	outbox_count_in(outbox);
	if (in->count == 1 && in->fd < 0)
		outbox_append_run(outbox, in->pieces[0], sequence, source);
	else
		(void)outbox_append_pieces(outbox, in->pieces, in->count,
			sequence, source, in->fd);
}

struct outbox_source
router_source(const struct peer *from, const struct inbound *in)
{
	return (struct outbox_source){
		.channel = from->outbox->channel,
		.sequence = outbox_row(from->outbox)->received,
		.mark = peer_mark(from),
		.has_id =
			in->header.kind == MUSTER_MESSAGE && in->header.id != 0,
	};
}

bool
router_has_room(struct peer *from, struct outbox *outbox)
{
	if (outbox_has_room(outbox) &&
		(outbox_is_under_limit(outbox) || from->is_draining))
		return true;
	peer_pause(from, &outbox->paused);
	/* It is watched from now on, though nothing was added to it. */
	if (outbox->peer != NULL)
		exchange_mark_dirty(outbox->peer);
	return false;
}

void
router_check_limit(struct peer *from, struct outbox *outbox)
{
	if (!outbox_is_under_limit(outbox) && !from->is_draining)
		peer_pause(from, &outbox->paused);
}

bool
router_client_has_room(struct peer *client)
{
	if (outbox_has_room(client->outbox))
		return true;
	peer_doom(client, PEER_END_OVERFLOW, "it doesn't read what it is sent");
	return false;
}

/* Who has not joined pauses nobody: what it has no room for comes back. */
static bool
router_waits_for_join(const struct endpoint *endpoint)
{
	return endpoint->peer != NULL && !peer_has_joined(endpoint->peer);
}

/* Whether an endpoint can't have a frame, which is then refused. */
static bool
router_is_obstructed(struct peer *from, const struct endpoint *endpoint,
	const struct outbox *outbox, struct inbound *in)
{
	if (endpoint->is_dormant)
		return router_refuse(
			from, in, "not-running", "the worker is not running");
	if (router_waits_for_join(endpoint) &&
		(outbox->queued + router_size(in) > EXCHANGE_NOT_JOINED_BYTES ||
			!outbox_has_room(outbox)))
		return router_refuse(from, in, "not-joined",
			"the worker doesn't use its channel");
	return false;
}

bool
router_to_endpoint(
	struct peer *from, struct endpoint *endpoint, struct inbound *in)
{
	struct outbox *outbox = endpoint_outbox(endpoint);
	bool may_pause = !router_waits_for_join(endpoint);
	struct request *request;

	if (outbox == NULL) {
		peer_pause(from, &from->exchange->waits_memory);
		return false;
	}
	if (router_is_obstructed(from, endpoint, outbox, in) ||
		router_is_bad_request(from, in))
		return true;
	if (may_pause && !router_has_room(from, outbox))
		return false;
	if (in->header.kind == MUSTER_REQUEST) {
		request = router_open_request(from, in);
		if (request == NULL)
			return false;
		router_assign(request, endpoint, in);
	}
	frame_stamp_from(in->bytes, router_stamp(from));
	router_append(outbox, in, router_source(from, in));
	if (endpoint->peer != NULL)
		peer_queued(endpoint->peer);
	if (may_pause)
		router_check_limit(from, outbox);
	return true;
}

/* A message to a guest. It is asked nothing: only workers answer requests. */
static bool
router_to_client(struct peer *from, struct peer *client, struct inbound *in)
{
	if (in->header.kind == MUSTER_REQUEST)
		return router_refuse(
			from, in, "bad-request", "a guest answers no requests");
	if (in->fd >= 0 && !client->takes_fds)
		return router_refuse(from, in, "bad-request",
			"a descriptor can't travel to that guest");
	if (!router_client_has_room(client))
		return router_refuse(
			from, in, "no-such-worker", "the guest is gone");
	frame_stamp_from(in->bytes, router_stamp(from));
	router_append(client->outbox, in, router_source(from, in));
	peer_queued(client);
	return true;
}

/* Routing --------------------------------------------------------------- */

/*
 * The application that a frame to ANY or ALL names, or the sender's own; NULL
 * in `ret_group`: all of them. Returns false: there is none of that name.
 */
static bool
router_group(
	struct peer *from, const struct inbound *in, struct group **ret_group)
{
	uint32_t head = MUSTER_HEADER_SIZE + in->header.name_size;

	*ret_group = NULL;
	if (in->header.name_size == 0) {
		if (from->endpoint != NULL)
			*ret_group = from->endpoint->group;
		return true;
	}
	/* A frame in pieces has more than any name in its first one. */
	if (in->pieces[0].length < head)
		return false;
	*ret_group = exchange_group(from->exchange,
		(const char *)in->bytes + MUSTER_HEADER_SIZE,
		in->header.name_size);
	return *ret_group != NULL;
}

/* A frame to ANY or ALL. */
static bool
router_to_many(struct peer *from, struct inbound *in)
{
	struct group *group = NULL;

	if (from->role == PEER_GUEST && in->header.name_size == 0)
		return router_refuse(from, in, "bad-request",
			"a guest names the application");
	if (!router_group(from, in, &group))
		return router_refuse(from, in, "no-such-app",
			"there is no application of this name");
	return in->header.to == MUSTER_TO_ANY ? router_to_any(from, group, in)
					      : router_to_all(from, group, in);
}

static bool
router_to_address(struct peer *from, struct inbound *in)
{
	struct exchange *exchange = from->exchange;
	uint32_t to = in->header.to;
	struct endpoint *endpoint;
	struct peer *client;

	if (to == MUSTER_TO_ANY || to == MUSTER_TO_ALL)
		return router_to_many(from, in);
	if (in->header.name_size > 0)
		return router_refuse(from, in, "bad-request",
			"only frames to ANY or ALL name an application");
	if (to == MUSTER_TO_SUPERVISOR)
		return router_to_zero(from, in);
	endpoint = exchange_endpoint(exchange, to);
	if (endpoint != NULL)
		return router_to_endpoint(from, endpoint, in);
	client = exchange_client(exchange, to);
	if (client != NULL)
		return router_to_client(from, client, in);
	return router_refuse(
		from, in, "no-such-worker", "there is no worker of this id");
}

/*
 * Who has yet to introduce itself says that and nothing else: a stranger
 * `hello`, a worker on a new channel `resume`. Returns false when it didn't:
 * it is denied.
 */
static bool
router_is_introduced(struct peer *from, struct inbound *in)
{
	if ((from->role != PEER_STRANGER && !from->awaits_resume) ||
		(in->header.kind == MUSTER_REQUEST &&
			in->header.to == MUSTER_TO_SUPERVISOR))
		return true;
	if (in->fd >= 0)
		(void)sys_close(in->fd);
	if (from->awaits_resume) {
		peer_refuse_resume(from, in->header.id);
		return false;
	}
	peer_refuse(from, in->header.id, "denied",
		"the first frame is the request hello", 0);
	peer_end(from, PEER_END_DENIED, "it didn't say hello");
	return false;
}

/* Who may say that a frame came in from another host. */
static bool
router_is_bridge(const struct peer *from)
{
	return from->endpoint != NULL &&
	       from->endpoint->group->limits.is_bridge;
}

bool
router_route(struct peer *from, struct inbound *in)
{
	if ((in->header.flags & MUSTER_FLAG_FD) && in->fd < 0)
		return router_refuse(from, in, "fd-missing",
			"the descriptor didn't arrive with the frame");
	if (!router_is_introduced(from, in))
		return true;
	if ((in->header.flags & MUSTER_FLAG_BRIDGED) &&
		!router_is_bridge(from)) {
		in->header.flags &= (uint8_t)~MUSTER_FLAG_BRIDGED;
		frame_store(in->bytes, &in->header);
	}
	switch (in->header.kind) {
	case MUSTER_REPLY:
	case MUSTER_ERROR:
		return router_answer(from, in);
	case MUSTER_PUBLISH:
		return router_publish(from, in);
	default:
		return router_to_address(from, in);
	}
}

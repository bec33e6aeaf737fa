/*
 * router.c: from an address to whoever receives. It routes by the header, and
 * parses no body but that of what is addressed to 0 and belongs to the channel
 * itself (`ack`, `resume`). It also knows what becomes of a frame that nobody
 * can have, and of a request at each turn of its life.
 */
#include "base/json.h"
#include "base/sys.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nobody to say it to: counted. Else an error with the frame's id. */
static bool
router_refuse(struct peer *from, const struct inbound *in, const char *code,
	const char *message)
{
	if (in->header.kind == MUSTER_REPLY ||
		in->header.kind == MUSTER_ERROR) {
		from->exchange->losses.answers++;
	} else if (in->header.id == 0 && in->header.kind != MUSTER_REQUEST) {
		from->exchange->losses.uncounted++;
	} else {
		from->exchange->losses.returned++;
		peer_refuse(from, in->header.id, code, message, in->header.to);
	}
	if (in->fd >= 0)
		(void)sys_close(in->fd);
	return true;
}

/* The sender's address as receivers see it. */
static uint32_t
router_stamp(const struct peer *from)
{
	return from->role == PEER_OPERATOR ? MUSTER_TO_SUPERVISOR : from->id;
}

static uint32_t
router_size(const struct inbound *in)
{
	return MUSTER_HEADER_SIZE + in->header.size;
}

/* Delivering to one ----------------------------------------------------- */

/* Puts a stamped frame into an outbox that has room. */
static void
router_append(
	struct outbox *outbox, struct inbound *in, struct outbox_source source)
{
	uint32_t sequence = outbox_next_sequence(outbox);

	frame_stamp_sequence(in->bytes, sequence);
	outbox_row(outbox)->messages_in++;
	if (in->count == 1 && in->fd < 0)
		outbox_append_run(outbox, in->pieces[0], sequence, source);
	else
		(void)outbox_append_pieces(outbox, in->pieces, in->count,
			sequence, source, in->fd);
}

static struct outbox_source
router_source(const struct peer *from)
{
	return (struct outbox_source){
		.channel = from->outbox->channel,
		.sequence = outbox_row(from->outbox)->received,
	};
}

/*
 * Whether the outbox takes a frame of `from` now; if not, `from` waits for it.
 * Clients pause nobody and are never waited for, and who is being drained
 * isn't held back.
 */
static bool
router_has_room(struct peer *from, struct outbox *outbox)
{
	if (outbox_has_room(outbox) &&
		(outbox_is_under_limit(outbox) || from->is_draining))
		return true;
	peer_pause(from, &outbox->paused);
	return false;
}

/* The frame that fills a queue pauses its sender. */
static void
router_check_limit(struct peer *from, struct outbox *outbox)
{
	if (!outbox_is_under_limit(outbox) && !from->is_draining &&
		from->role == PEER_WORKER)
		peer_pause(from, &outbox->paused);
}

/* Why an endpoint can't have a frame, or NULL. */
static const char *
router_obstacle(const struct endpoint *endpoint, const struct outbox *outbox,
	const struct inbound *in)
{
	if (endpoint->is_dormant)
		return "not-running";
	if (endpoint->peer != NULL && !peer_has_joined(endpoint->peer) &&
		outbox->queued + router_size(in) > EXCHANGE_NOT_JOINED_BYTES)
		return "not-joined";
	return NULL;
}

static const char *
router_obstacle_text(const char *code)
{
	return strcmp(code, "not-running") == 0
		       ? "the worker is not running"
		       : "the worker doesn't use its channel";
}

/*
 * Opens the record of a request and stamps its number. Returns false when no
 * row is free: the asker waits.
 */
static bool
router_open_request(
	struct peer *from, struct inbound *in, struct request **ret_request)
{
	struct exchange *exchange = from->exchange;
	struct request *request;

	if (from->asking_count < MUSTER_OPEN_REQUESTS_SENDER) {
		request = requests_open(&exchange->requests, from,
			&from->asking, from->outbox->channel, in->header.id,
			in->header.to, in->header.timeout_ms);
		if (request != NULL) {
			from->asking_count++;
			*ret_request = request;
			return true;
		}
	}
	peer_pause(from, &exchange->waits_request);
	return false;
}

/* Hands a request to a peer, or to an endpoint that waits for one. */
static void
router_assign(
	struct request *request, struct endpoint *endpoint, struct inbound *in)
{
	struct peer *asked = endpoint->peer;

	if (asked != NULL)
		asked->answering_count++;
	requests_assign(request->table, request, asked,
		asked == NULL ? NULL : &asked->answering,
		asked == NULL ? MEMORY_NONE : asked->outbox->channel,
		asked == NULL ? 0 : asked->process, request->asker->process,
		endpoint->id);
	frame_stamp_id(in->bytes, request->number);
}

static bool
router_is_bad_request(struct peer *from, struct inbound *in)
{
	if (in->header.kind != MUSTER_REQUEST)
		return false;
	if (in->header.id == 0)
		return router_refuse(
			from, in, "bad-request", "a request needs an id");
	if (requests_find_of_asker(&from->exchange->requests,
		    from->outbox->channel, in->header.id) != NULL)
		return router_refuse(from, in, "bad-request",
			"a request with this id is open");
	return false;
}

/* A message or request to one endpoint. */
static bool
router_to_endpoint(
	struct peer *from, struct endpoint *endpoint, struct inbound *in)
{
	struct outbox *outbox = endpoint_outbox(endpoint);
	struct request *request;
	const char *obstacle;

	if (outbox == NULL) {
		peer_pause(from, &from->exchange->waits_memory);
		return false;
	}
	obstacle = router_obstacle(endpoint, outbox, in);
	if (obstacle != NULL)
		return router_refuse(
			from, in, obstacle, router_obstacle_text(obstacle));
	if (router_is_bad_request(from, in))
		return true;
	if (!router_has_room(from, outbox))
		return false;
	if (in->header.kind == MUSTER_REQUEST) {
		if (!router_open_request(from, in, &request))
			return false;
		router_assign(request, endpoint, in);
	}
	frame_stamp_from(in->bytes, router_stamp(from));
	router_append(outbox, in, router_source(from));
	if (endpoint->peer != NULL)
		peer_queued(endpoint->peer);
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
	if (!outbox_has_room(client->outbox)) {
		peer_end(client, PEER_END_OVERFLOW,
			"it doesn't read what it is sent");
		return router_refuse(
			from, in, "no-such-worker", "the guest is gone");
	}
	frame_stamp_from(in->bytes, router_stamp(from));
	router_append(client->outbox, in, router_source(from));
	peer_queued(client);
	return true;
}

/* ANY ------------------------------------------------------------------- */

static bool
router_is_free(const struct endpoint *endpoint)
{
	uint32_t bound = endpoint->group->limits.job_concurrency;

	return endpoint->is_ready && endpoint->peer != NULL &&
	       !endpoint->is_dormant && peer_has_joined(endpoint->peer) &&
	       (bound == 0 || endpoint->peer->answering_count < bound);
}

/* The fewest open requests; among equals the one that waited longest. */
static struct endpoint *
router_better(struct endpoint *a, struct endpoint *b)
{
	if (a == NULL)
		return b;
	if (b->peer->answering_count != a->peer->answering_count)
		return b->peer->answering_count < a->peer->answering_count ? b
									   : a;
	return b->last_any < a->last_any ? b : a;
}

/* Who of the group takes the next job of the endpoint `sender`, or NULL. */
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

static struct outbox *
router_waiting(struct group *group)
{
	struct exchange *exchange = group->exchange;

	if (group->waiting != NULL)
		return group->waiting;
	group->waiting = calloc(1, sizeof *group->waiting);
	if (group->waiting != NULL &&
		outbox_init(group->waiting, exchange->memory, MEMORY_WAITING,
			group->limits.queue_limit) < 0) {
		free(group->waiting);
		group->waiting = NULL;
	}
	return group->waiting;
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
	outbox = router_waiting(group);
	if (outbox == NULL) {
		peer_pause(from, &from->exchange->waits_memory);
		return false;
	}
	if (!router_has_room(from, outbox))
		return false;
	if (in->header.kind == MUSTER_REQUEST) {
		if (!router_open_request(from, in, &request))
			return false;
		requests_assign(request->table, request, NULL, NULL,
			MEMORY_NONE, 0, from->process, 0);
		frame_stamp_id(in->bytes, request->number);
	}
	frame_stamp_from(in->bytes, router_stamp(from));
	router_append(outbox, in, router_source(from));
	router_check_limit(from, outbox);
	return true;
}

/* Offers one waiting frame. Returns false: nobody is free, it stays. */
static bool
router_dispatch_one(void *context, struct outbox_taken *taken)
{
	struct group *group = context;
	struct exchange *exchange = group->exchange;
	struct ring_frame *frame = taken->frame;
	struct request *request = NULL;
	struct endpoint *endpoint;
	struct inbound in = {
		.header = frame->header,
		.bytes = frame->bytes,
		.pieces = frame->pieces,
		.count = frame->count,
		.fd = taken->fd,
	};

	if (frame->header.kind == MUSTER_REQUEST) {
		request = requests_find(&exchange->requests, frame->header.id);
		if (request == NULL) { /* it is too late */
			if (in.fd >= 0)
				(void)sys_close(in.fd);
			return true;
		}
	}
	endpoint = router_choose(group, frame->header.from, NULL);
	if (endpoint == NULL || !outbox_has_room(endpoint->outbox) ||
		!outbox_is_under_limit(endpoint->outbox))
		return false;
	endpoint->last_any = ++exchange->stamp;
	if (request != NULL)
		router_assign(request, endpoint, &in);
	router_append(endpoint->outbox, &in, taken->source);
	peer_queued(endpoint->peer);
	return true;
}

void
router_dispatch(struct group *group)
{
	group->must_dispatch = false;
	if (group->waiting == NULL)
		return;
	outbox_take_while(group->waiting, router_dispatch_one, group);
	if (group->waiting->queued <= group->waiting->limit / 2)
		peer_wake_all(&group->waiting->paused);
}

/* The application that a frame to ANY or ALL names; NULL: all of them. */
static bool
router_group(
	struct peer *from, const struct inbound *in, struct group **ret_group)
{
	const struct piece *first = &in->pieces[0];

	*ret_group = NULL;
	if (in->header.name_size == 0) {
		if (from->endpoint != NULL)
			*ret_group = from->endpoint->group;
		return true;
	}
	if (first->length < (uint32_t)MUSTER_HEADER_SIZE + in->header.name_size)
		return false;
	*ret_group = exchange_group(from->exchange,
		(const char *)in->bytes + MUSTER_HEADER_SIZE,
		in->header.name_size);
	return *ret_group != NULL;
}

static bool
router_to_any(struct peer *from, struct group *group, struct inbound *in)
{
	struct exchange *exchange = from->exchange;
	struct endpoint *endpoint = NULL;

	if (group != NULL) {
		/* Who waits already comes first. */
		if (group->waiting == NULL || group->waiting->queued == 0)
			endpoint = router_choose(group, from->id, NULL);
		if (endpoint == NULL)
			return router_wait(from, group, in);
	} else {
		for (struct link *l = exchange->groups.next;
			l != &exchange->groups; l = l->next)
			endpoint = router_choose(
				list_member(l, struct group, link), from->id,
				endpoint);
		if (endpoint == NULL)
			return router_refuse(from, in, "not-running",
				"no application has a ready worker");
	}
	endpoint->last_any = ++exchange->stamp;
	return router_to_endpoint(from, endpoint, in);
}

/* ALL ------------------------------------------------------------------- */

static bool
router_is_of_all(const struct endpoint *endpoint, const struct peer *from)
{
	return endpoint->is_ready && endpoint->peer != NULL &&
	       endpoint->id != from->id && peer_has_joined(endpoint->peer);
}

/* Calls `visit` for each receiver until it returns false. */
static bool
router_each_of_all(struct peer *from, struct group *only, struct inbound *in,
	bool (*visit)(
		struct peer *from, struct endpoint *to, struct inbound *in))
{
	struct exchange *exchange = from->exchange;

	for (struct link *g = exchange->groups.next; g != &exchange->groups;
		g = g->next) {
		struct group *group = list_member(g, struct group, link);

		if (only != NULL && group != only)
			continue;
		for (struct link *l = group->endpoints.next;
			l != &group->endpoints; l = l->next) {
			struct endpoint *to =
				list_member(l, struct endpoint, link);

			if (router_is_of_all(to, from) && !visit(from, to, in))
				return false;
		}
	}
	return true;
}

static bool
router_all_has_room(struct peer *from, struct endpoint *to, struct inbound *in)
{
	in->receivers++;
	return router_has_room(from, to->outbox);
}

/* One header for each receiver; the body is shared when it is long. */
static bool
router_all_deliver(struct peer *from, struct endpoint *to, struct inbound *in)
{
	struct outbox *outbox = to->outbox;
	struct frame_header header = in->header;
	struct piece pieces[RING_PIECES_MAX];
	uint32_t head = MUSTER_HEADER_SIZE + header.name_size;

	header.from = router_stamp(from);
	header.sequence = outbox_next_sequence(outbox);
	outbox_row(outbox)->messages_in++;
	if (in->count == 1 && router_size(in) <= (uint32_t)OUTBOX_COPY_MAX) {
		(void)outbox_append_copy(outbox, &header,
			in->bytes + MUSTER_HEADER_SIZE, router_source(from),
			true);
	} else {
		memcpy(pieces + 1, in->pieces, in->count * sizeof *pieces);
		pieces[1].offset += head;
		pieces[1].length -= head;
		if (outbox_copy_header(outbox, &header,
			    in->bytes + MUSTER_HEADER_SIZE, &pieces[0]) < 0)
			return true; /* router_to_all saw to the room */
		(void)outbox_append_pieces(outbox, pieces, in->count + 1,
			header.sequence, router_source(from), -1);
		memory_release(from->exchange->memory, pieces[0].block);
	}
	peer_queued(to->peer);
	router_check_limit(from, outbox);
	return true;
}

static bool
router_to_all(struct peer *from, struct group *only, struct inbound *in)
{
	struct exchange *exchange = from->exchange;

	if (in->header.kind == MUSTER_REQUEST)
		return router_refuse(from, in, "bad-request",
			"a request goes to one worker or to ANY, not to ALL");
	if (in->fd >= 0)
		return router_refuse(from, in, "bad-request",
			"a descriptor goes to one worker, not to ALL");
	in->receivers = 0;
	if (!router_each_of_all(from, only, in, router_all_has_room))
		return false;
	if (!memory_has_small(exchange->memory, in->receivers)) {
		peer_pause(from, &exchange->waits_memory);
		return false;
	}
	(void)router_each_of_all(from, only, in, router_all_deliver);
	return true;
}

/* Answers --------------------------------------------------------------- */

void
router_close_request(struct exchange *exchange, struct request *request)
{
	if (request->asker != NULL)
		request->asker->asking_count--;
	if (request->asked != NULL) {
		request->asked->answering_count--;
		request->asked->endpoint->group->must_dispatch = true;
	}
	requests_close(&exchange->requests, request);
	peer_wake_all(&exchange->waits_request);
}

void
router_fail_request(struct exchange *exchange, struct request *request,
	const char *code, const char *message)
{
	struct peer *asker = request->asker;
	uint64_t id = request->asker_id;
	uint32_t to = request->concerning;

	router_close_request(exchange, request);
	if (asker != NULL)
		peer_refuse(asker, id, code, message, to);
}

void
router_expired(struct request *request)
{
	struct exchange *exchange =
		list_member(request->table, struct exchange, requests);

	router_fail_request(exchange, request, "timeout",
		"no answer came in the request's time");
}

/* The answer goes to the process that asked, never to its successor. */
static bool
router_answer(struct peer *from, struct inbound *in)
{
	struct exchange *exchange = from->exchange;
	struct request *request =
		requests_find(&exchange->requests, in->header.id);
	struct peer *asker;

	if (request == NULL || request->asked != from ||
		request->asker == NULL || request->asker->has_ended)
		return router_refuse(from, in, "", "");
	asker = request->asker;
	if (asker->role == PEER_WORKER && !router_has_room(from, asker->outbox))
		return false;
	if (!outbox_has_room(asker->outbox)) {
		peer_end(asker, PEER_END_OVERFLOW,
			"it doesn't read what it is sent");
		return router_refuse(from, in, "", "");
	}
	frame_stamp_from(in->bytes, from->id);
	frame_stamp_id(in->bytes, request->asker_id);
	router_close_request(exchange, request);
	router_append(asker->outbox, in, router_source(from));
	peer_queued(asker);
	router_check_limit(from, asker->outbox);
	return true;
}

/* To 0 ------------------------------------------------------------------ */

/* The frame's name and body in one piece; `*ret_copy` is to be freed. */
static const char *
router_body(
	struct exchange *exchange, const struct inbound *in, char **ret_copy)
{
	uint32_t done = 0;
	char *copy;

	*ret_copy = NULL;
	if (in->count == 1)
		return (const char *)in->bytes + MUSTER_HEADER_SIZE;
	copy = malloc(router_size(in));
	if (copy == NULL)
		return NULL;
	for (uint32_t i = 0; i < in->count; i++) {
		memcpy(copy + done,
			memory_at(exchange->view, in->pieces[i].block,
				in->pieces[i].offset),
			in->pieces[i].length);
		done += in->pieces[i].length;
	}
	*ret_copy = copy;
	return copy + MUSTER_HEADER_SIZE;
}

/* A number of the circle 0 … 2^32 - 1 in a member of an object. */
static bool
router_number(json_t *object, const char *key, uint32_t *ret_number)
{
	json_t *value = json_object_get(object, key);
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 0 || number > UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

static void
router_take_ack(struct peer *from, json_t *body)
{
	uint32_t sequence;

	if (!router_number(body, "sequence", &sequence) ||
		outbox_ack(from->outbox, sequence) < 0) {
		peer_break(from, "it acknowledged what it was never sent");
		return;
	}
	exchange_mark_dirty(from);
}

/* What has no number though its sender counts: an `ack` or a `resume`. */
static bool
router_take_numberless(
	struct peer *from, const struct inbound *in, json_t *body)
{
	const char *event = json_text(body, "event");
	json_t *params = NULL;
	const char *method = json_method(body, &params);
	uint32_t received;

	/* The parameters alone, as the protocol's page shows them, will do. */
	if (method == NULL && json_object_get(body, "received") != NULL) {
		method = "resume";
		params = body;
	}
	if (from->awaits_resume) {
		if (in->header.kind != MUSTER_REQUEST || method == NULL ||
			strcmp(method, "resume") != 0 ||
			!router_number(params, "received", &received) ||
			peer_accept_resume(from, in->header.id, received) < 0) {
			peer_refuse_resume(from, in->header.id);
			return true;
		}
		return true;
	}
	if (in->header.kind == MUSTER_MESSAGE && event != NULL &&
		strcmp(event, "ack") == 0) {
		router_take_ack(from, body);
		return true;
	}
	peer_break(from, frame_fault_text(FRAME_BAD_SEQUENCE));
	return true;
}

static bool
router_is_numberless(const struct peer *from, const struct inbound *in)
{
	return from->role == PEER_WORKER && in->header.sequence == 0 &&
	       (from->awaits_resume ||
		       (outbox_row(from->outbox)->flags & MEMORY_TAKES_PART));
}

static bool
router_to_zero(struct peer *from, struct inbound *in)
{
	char *copy;
	const char *body;
	json_t *parsed;

	if (in->header.size > MUSTER_MAX_TO_SUPERVISOR)
		return router_refuse(from, in, "too-large",
			"a frame to the master has at most 1 MiB");
	if (in->fd >= 0)
		return router_refuse(from, in, "bad-request",
			"the master takes no descriptors");
	body = router_body(from->exchange, in, &copy);
	if (body == NULL)
		return router_refuse(
			from, in, "lost", "the master has no memory for it");
	if (router_is_numberless(from, in)) {
		parsed = json_read(body, in->header.size);
		(void)router_take_numberless(from, in, parsed);
		json_decref(parsed);
	} else if (from->awaits_resume) {
		peer_refuse_resume(from, in->header.id);
	} else if (in->header.kind == MUSTER_MESSAGE) {
		from->hooks->message(from, body, in->header.size);
	} else if (in->header.id == 0) {
		(void)router_refuse(
			from, in, "bad-request", "a request needs an id");
	} else {
		from->hooks->request(
			from, in->header.id, body, in->header.size);
	}
	free(copy);
	return true;
}

/* Routing --------------------------------------------------------------- */

static bool
router_to_address(struct peer *from, struct inbound *in)
{
	struct endpoint *endpoint;
	struct group *group = NULL;
	struct peer *client;
	uint32_t to = in->header.to;

	if (to == MUSTER_TO_ANY || to == MUSTER_TO_ALL) {
		if (from->role == PEER_GUEST && in->header.name_size == 0)
			return router_refuse(from, in, "bad-request",
				"a guest names the application");
		if (!router_group(from, in, &group))
			return router_refuse(from, in, "no-such-app",
				"there is no application of this name");
		return to == MUSTER_TO_ANY ? router_to_any(from, group, in)
					   : router_to_all(from, group, in);
	}
	if (in->header.name_size > 0)
		return router_refuse(from, in, "bad-request",
			"only frames to ANY or ALL name an application");
	endpoint = exchange_endpoint(from->exchange, to);
	if (endpoint != NULL)
		return router_to_endpoint(from, endpoint, in);
	client = exchange_client(from->exchange, to);
	if (client != NULL)
		return router_to_client(from, client, in);
	return router_refuse(
		from, in, "no-such-worker", "there is no worker of this id");
}

bool
router_route(struct peer *from, struct inbound *in)
{
	if ((in->header.flags & MUSTER_FLAG_FD) && in->fd < 0)
		return router_refuse(from, in, "fd-missing",
			"the descriptor didn't arrive with the frame");
	if (from->role == PEER_STRANGER &&
		(in->header.kind != MUSTER_REQUEST ||
			in->header.to != MUSTER_TO_SUPERVISOR)) {
		peer_refuse(from, in->header.id, "denied",
			"the first frame is the request hello", 0);
		peer_end(from, PEER_END_DENIED, "it didn't say hello");
		return router_refuse(from, in, "", "");
	}
	if (from->awaits_resume && (in->header.to != MUSTER_TO_SUPERVISOR)) {
		peer_refuse_resume(from, in->header.id);
		return true;
	}
	switch (in->header.kind) {
	case MUSTER_REPLY:
	case MUSTER_ERROR:
		return router_answer(from, in);
	case MUSTER_PUBLISH:
		/* A publish that has no subscriber is no error. */
		from->exchange->losses.uncounted++;
		if (in->fd >= 0)
			(void)sys_close(in->fd);
		return true;
	default:
		break;
	}
	if (in->header.to == MUSTER_TO_SUPERVISOR)
		return router_to_zero(from, in);
	return router_to_address(from, in);
}

/* Taken out of a ring --------------------------------------------------- */

void
router_give_back(struct exchange *exchange, struct outbox_taken *taken,
	const char *code, const char *message)
{
	const struct frame_header *header = &taken->frame->header;
	struct endpoint *endpoint = exchange_endpoint(exchange, header->from);
	struct request *request;

	if (taken->fd >= 0)
		(void)sys_close(taken->fd);
	switch (header->kind) {
	case MUSTER_REQUEST:
		request = requests_find(&exchange->requests, header->id);
		if (request != NULL)
			router_fail_request(exchange, request, code, message);
		return;
	case MUSTER_MESSAGE:
		if (header->from == MUSTER_TO_SUPERVISOR)
			return; /* an event: its receiver is gone */
		if (header->id != 0 && endpoint != NULL &&
			endpoint->peer != NULL) {
			exchange->losses.returned++;
			peer_refuse(endpoint->peer, header->id, code, message,
				header->to);
			return;
		}
		exchange->losses.uncounted++;
		return;
	default:
		exchange->losses.answers++;
	}
}

void
router_move(struct exchange *exchange, struct outbox_taken *taken,
	struct endpoint *to)
{
	const struct frame_header *header = &taken->frame->header;
	struct outbox *outbox = endpoint_outbox(to);
	struct request *request;
	struct inbound in = {
		.header = *header,
		.bytes = taken->frame->bytes,
		.pieces = taken->frame->pieces,
		.count = taken->frame->count,
		.fd = taken->fd,
	};

	/* An answer or an event was for the process, not for its successor. */
	if (header->kind == MUSTER_REPLY || header->kind == MUSTER_ERROR ||
		(header->from == MUSTER_TO_SUPERVISOR &&
			taken->source.channel == MEMORY_NONE)) {
		router_give_back(exchange, taken, "worker-died",
			"the worker ended before it took it");
		return;
	}
	if (to->is_dormant || outbox == NULL || !outbox_has_room(outbox)) {
		router_give_back(exchange, taken, "not-running",
			"the worker ended and has no successor");
		return;
	}
	if (header->kind == MUSTER_REQUEST) {
		request = requests_find(&exchange->requests, header->id);
		if (request == NULL) {
			if (in.fd >= 0)
				(void)sys_close(in.fd);
			return;
		}
		router_assign(request, to, &in);
	}
	router_append(outbox, &in, taken->source);
	if (to->peer != NULL)
		peer_queued(to->peer);
}

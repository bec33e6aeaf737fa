/*
 * router_answer.c: a request's life: opened, handed to a process, answered, or
 * ended without an answer. The table itself is requests.c's.
 */
#include "router.h"

bool
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

struct request *
router_open_request(struct peer *from, struct inbound *in)
{
	struct exchange *exchange = from->exchange;
	struct request *request = NULL;

	if (from->asking_count < MUSTER_OPEN_REQUESTS_SENDER)
		request = requests_open(&exchange->requests, from,
			&from->asking, from->outbox->channel, in->header.id,
			in->header.to, in->header.timeout_ms);
	if (request == NULL)
		peer_pause(from, &exchange->waits_request);
	else
		from->asking_count++;
	return request;
}

void
router_assign(
	struct request *request, struct endpoint *endpoint, struct inbound *in)
{
	struct peer *asked = endpoint->peer;

	if (asked != NULL) {
		asked->answering_count++;
		asked->handed++;
	}
	requests_assign(request->table, request, asked,
		asked == NULL ? NULL : &asked->answering,
		asked == NULL ? MEMORY_NONE : asked->outbox->channel,
		asked == NULL ? 0 : asked->process, request->asker->process,
		endpoint->id);
	frame_stamp_id(in->bytes, request->number);
}

void
router_close_request(struct exchange *exchange, struct request *request)
{
	memory_begin(exchange->memory);
	if (request->asker != NULL)
		request->asker->asking_count--;
	if (request->asked != NULL) {
		request->asked->answering_count--;
		request->asked->endpoint->group->must_dispatch = true;
	}
	requests_close(&exchange->requests, request);
	memory_commit(exchange->memory);
	peer_wake_all(&exchange->waits_request);
}

/* The error is queued and the row freed in one: it is told, and told once. */
void
router_fail_request(struct exchange *exchange, struct request *request,
	const char *code, const char *message)
{
	memory_begin(exchange->memory);
	if (request->asker != NULL)
		peer_refuse(request->asker, request->asker_id, code, message,
			request->concerning);
	router_close_request(exchange, request);
	memory_commit(exchange->memory);
}

void
router_expired(struct request *request)
{
	struct exchange *exchange =
		list_member(request->table, struct exchange, requests);
	bool has_waited = request->asked == NULL;

	router_fail_request(exchange, request, "timeout",
		"no answer came in the request's time");
	if (has_waited)
		router_expire_waiting(exchange);
}

/* The answer goes to the process that asked, never to its successor. */
bool
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
	if (asker->role == PEER_WORKER) {
		if (!router_has_room(from, asker->outbox))
			return false;
	} else if (!router_client_has_room(asker)) {
		return router_refuse(from, in, "", "");
	}
	frame_stamp_from(in->bytes, from->id);
	frame_stamp_id(in->bytes, request->asker_id);
	router_append(asker->outbox, in, router_source(from, in));
	router_close_request(exchange, request);
	peer_queued(asker);
	if (asker->role == PEER_WORKER)
		router_check_limit(from, asker->outbox);
	return true;
}

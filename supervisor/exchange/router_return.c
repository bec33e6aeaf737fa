/*
 * router_return.c: frames that were taken out of a ring again: back to who sent
 * them, or on to who comes next.
 */
#include "base/sys.h"
#include "router.h"

/* A connection that 0 had handed over goes to whoever handed it. Its frame is
 * short, so that it lies in one piece. */
static bool
router_return_connection(
	struct exchange *exchange, const struct outbox_taken *taken)
{
	const struct ring_frame *frame = taken->frame;

	if (taken->fd < 0 || taken->source.channel != MEMORY_NONE ||
		frame->count != 1 || exchange->returned == NULL)
		return false;
	exchange->returned(frame->header.to,
		(const char *)frame->bytes + MUSTER_HEADER_SIZE,
		frame->header.size, taken->fd, exchange->returned_data);
	return true;
}

void
router_give_back(struct exchange *exchange, struct outbox_taken *taken,
	const char *code, const char *message)
{
	const struct frame_header *header = &taken->frame->header;
	struct request *request;
	struct peer *sender;

	if (router_return_connection(exchange, taken))
		return;
	if (taken->fd >= 0)
		(void)sys_close(taken->fd);
	switch (header->kind) {
	case MUSTER_REQUEST:
		request = requests_find(&exchange->requests, header->id);
		if (request != NULL)
			router_fail_request(exchange, request, code, message);
		return;
	case MUSTER_MESSAGE:
		if (taken->source.channel == MEMORY_NONE)
			return; /* an event: its receiver is gone */
		/* The process itself: its successor may use the same id. */
		sender = header->id == 0
				 ? NULL
				 : exchange_sender(exchange, &taken->source);
		if (sender == NULL) {
			exchange->losses.uncounted++;
			return;
		}
		exchange->losses.returned++;
		peer_refuse(sender, header->id, code, message, header->to);
		return;
	case MUSTER_PUBLISH: /* it was for many: there is nobody to tell */
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
		taken->source.channel == MEMORY_NONE) {
		router_give_back(exchange, taken, "worker-died",
			"the worker ended before it took it");
		return;
	}
	if (router_lacks_fd(taken)) {
		router_give_back(exchange, taken, "fd-missing",
			"its descriptor is lost: the master was replaced");
		return;
	}
	if (to->is_dormant || outbox == NULL || !outbox_has_room(outbox)) {
		router_give_back(exchange, taken, "not-running",
			"the worker ended and has no successor");
		return;
	}
	router_keep_header(exchange, in.bytes);
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

/*
 * peer_say.c: what 0 says to a peer: messages, answers, errors, and that its
 * frames were taken in.
 */
#include "base/json.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>

/* Acknowledging --------------------------------------------------------- */

static void
peer_send_ack(struct peer *peer)
{
	peer->outbox->owes_ack = true;
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
	while (!list_is_empty(&exchange->ack_due))
		peer_send_ack(
			list_member(exchange->ack_due.next, struct peer, ack));
}

/* Saying ---------------------------------------------------------------- */

int
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
peer_send_text(struct peer *peer, enum muster_kind kind, uint64_t id,
	const char *text, size_t size)
{
	struct frame_header header = {
		.size = (uint32_t)size,
		.kind = (uint8_t)kind,
		.to = peer->id,
		.id = id,
	};
	struct outbox *outbox = peer->outbox;
	struct memory_channel *row = outbox_row(outbox);
	uint32_t sent = row->sent;

	if (peer->has_ended || peer->doom_reason != NULL)
		return -EPIPE;
	memory_begin(outbox->memory);
	header.sequence = outbox_next_sequence(outbox);
	if (!outbox_has_room(outbox) ||
		outbox_append_copy(outbox, &header, text,
			(struct outbox_source){.channel = MEMORY_NONE},
			true) < 0) {
		/* The channel ends rather than lose a frame in silence. */
		journal_set(outbox->view->journal, row->sent, sent);
		memory_commit(outbox->memory);
		peer_doom(peer, PEER_END_OVERFLOW,
			"there is no room for what it is to be told");
		return -EOVERFLOW;
	}
	outbox_count_in(outbox);
	memory_commit(outbox->memory);
	peer_queued(peer);
	return peer->doom_reason == NULL ? 0 : -EOVERFLOW;
}

int
peer_send(struct peer *peer, json_t *body)
{
	size_t size;
	char *text;
	int r;

	if (peer->role == PEER_WORKER && !peer_has_joined(peer))
		return -ENOTCONN;
	if (peer->has_ended)
		return -EPIPE;
	text = json_write(body, &size);
	if (text == NULL)
		return -ENOMEM;
	r = peer_send_text(peer, MUSTER_MESSAGE, 0, text, size);
	free(text);
	return r;
}

void
peer_reply(struct peer *peer, uint64_t id, json_t *result)
{
	size_t size;
	char *text;

	if (result == NULL) {
		(void)peer_send_text(peer, MUSTER_REPLY, id, "{}", 2);
		return;
	}
	text = json_write(result, &size);
	if (text == NULL)
		return;
	(void)peer_send_text(peer, MUSTER_REPLY, id, text, size);
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
		(void)peer_send_text(peer, MUSTER_ERROR, id, text, size);
	free(text);
	json_decref(body);
}

void
peer_error(
	struct peer *peer, uint64_t id, const char *code, const char *message)
{
	peer_refuse(peer, id, code, message, 0);
}

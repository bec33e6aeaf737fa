/*
 * peer_hand.c: connections that 0 accepts and hands over to workers.
 *
 * Which worker is the caller's choice. The count of those that are open lies in
 * the exchange memory, so that it outlives the brain; the connections
 * themselves wait in the outbox until they are acknowledged.
 */
#include "base/sys.h"
#include "state.h"

#include <errno.h>
#include <string.h>

bool
peer_has_room(struct peer *peer)
{
	const struct outbox *outbox = peer->outbox;

	if (peer->has_ended || peer->doom_reason != NULL ||
		!peer_has_joined(peer))
		return false;
	if (outbox->fd_count < OUTBOX_FDS_UNACKED && outbox_has_room(outbox) &&
		outbox_is_under_limit(outbox))
		return true;
	peer->wants_room = true;
	return false;
}

void
peer_tell_room(struct peer *peer)
{
	const struct outbox *outbox = peer->outbox;

	if (!peer->wants_room || outbox->fd_count > OUTBOX_FDS_UNACKED / 2 ||
		!outbox_is_low(outbox))
		return;
	peer->wants_room = false;
	if (peer->hooks != NULL && peer->hooks->has_room != NULL)
		peer->hooks->has_room(peer);
}

int
peer_hand_over(struct peer *peer, const char *body, size_t size, int fd)
{
	struct frame_header header = {
		.size = (uint32_t)size,
		.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.to = peer->id,
	};
	struct outbox *outbox = peer->outbox;
	struct memory_channel *row = outbox_row(outbox);
	struct piece piece;
	uint8_t *room;
	int r;

	if (!peer_has_room(peer))
		return -EAGAIN;
	memory_begin(outbox->memory);
	room = outbox_copies_take(&outbox->copies, outbox->memory,
		MUSTER_HEADER_SIZE + header.size, true, &piece);
	r = room == NULL ? -ENOMEM : outbox_reserve_fd(outbox);
	if (r == 0) {
		header.sequence = outbox_next_sequence(outbox);
		frame_store(room, &header);
		memcpy(room + MUSTER_HEADER_SIZE, body, size);
		(void)outbox_append_pieces(outbox, &piece, 1, header.sequence,
			(struct outbox_source){.channel = MEMORY_NONE}, fd);
		outbox_count_in(outbox);
		journal_set(outbox->view->journal, row->connections,
			row->connections + 1);
	}
	memory_commit(outbox->memory);
	if (r == 0) {
		peer->handed++;
		peer_queued(peer);
	}
	return r;
}

uint64_t
peer_handed(const struct peer *peer)
{
	return peer->handed;
}

uint32_t
peer_connections(const struct peer *peer)
{
	return outbox_row(peer->outbox)->connections;
}

void
peer_connections_done(struct peer *peer, uint32_t count)
{
	struct memory_channel *row = outbox_row(peer->outbox);

	/* More than were handed over is no harm: it is only said. */
	journal_set(peer->outbox->view->journal, row->connections,
		count < row->connections ? row->connections - count : 0);
}

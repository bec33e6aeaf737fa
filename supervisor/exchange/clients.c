/*
 * clients.c: what operators and guests may take of the exchange memory, so that
 * no number of them keeps workers waiting. Each has its own bounds (a queue of
 * EXCHANGE_CLIENT_QUEUE, a frame); here are those of all together.
 */
#include "base/sys.h"
#include "state.h"

#include <sys/socket.h>

/* A quarter of what there is. */
static uint64_t
clients_share(const struct exchange *exchange)
{
	return (uint64_t)memory_large_count(exchange->memory) *
	       MEMORY_LARGE_SIZE / 4;
}

bool
clients_may_begin(struct peer *peer, uint32_t size, uint32_t missing)
{
	struct exchange *exchange = peer->exchange;

	if (peer->role == PEER_WORKER)
		return true;
	/* One alone always may, or it could never. */
	if (exchange->client_frames > 0 &&
		exchange->client_frames + size > clients_share(exchange)) {
		peer_pause(peer, &exchange->waits_memory);
		return false;
	}
	exchange->client_frames += size;
	peer->frame_share = size;
	peer->missing_before = missing;
	ev_timer_set(&peer->queue_timer, EXCHANGE_CLIENT_FRAME_MS / 1000.0, 0);
	ev_timer_start(exchange->loop, &peer->queue_timer);
	return true;
}

void
clients_end_frame(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;

	if (peer->frame_share == 0)
		return;
	exchange->client_frames -= peer->frame_share;
	peer->frame_share = 0;
	ev_timer_stop(exchange->loop, &peer->queue_timer);
	peer_wake_all(&exchange->waits_memory);
}

void
clients_on_timer(struct peer *peer)
{
	/* One that is paused can't come on. */
	if (peer->missing == peer->missing_before && !peer_is_paused(peer)) {
		peer_doom(peer, PEER_END_OVERFLOW,
			"it began a long frame and doesn't end it");
		return;
	}
	peer->missing_before = peer->missing;
	ev_timer_set(&peer->queue_timer, EXCHANGE_CLIENT_FRAME_MS / 1000.0, 0);
	ev_timer_start(peer->exchange->loop, &peer->queue_timer);
}

void
clients_check_queues(struct exchange *exchange)
{
	struct peer *longest = NULL;
	uint64_t sum = 0;

	for (struct link *l = exchange->peers.next; l != &exchange->peers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, link);

		if (peer->role == PEER_WORKER || peer->has_ended ||
			peer->doom_reason != NULL)
			continue;
		sum += peer->outbox->queued;
		if (longest == NULL ||
			peer->outbox->queued > longest->outbox->queued)
			longest = peer;
	}
	if (sum > clients_share(exchange))
		peer_doom(longest, PEER_END_OVERFLOW,
			"it doesn't read what it is sent, and memory is short");
}

bool
clients_take_fds(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t size = sizeof domain;

	return sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       domain == AF_UNIX;
}

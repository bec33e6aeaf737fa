/*
 * peer_resume.c: processes that outlived the brain: their rows in the exchange
 * memory, and the first frame on their new channels.
 */
#include "base/json.h"
#include "base/sys.h"
#include "router.h"

#include <errno.h>

/* The row of a worker's process, or MEMORY_NONE. */
static uint32_t
peer_find_row(struct exchange *exchange, uint64_t process)
{
	uint32_t used = memory_channels_used(exchange->memory);

	for (uint32_t c = 0; c < used; c++)
		if (exchange->view->channels[c].use == MEMORY_WORKER &&
			exchange->view->channels[c].process == process)
			return c;
	return MEMORY_NONE;
}

bool
exchange_wants_channel(struct exchange *exchange, uint64_t process)
{
	uint32_t channel = peer_find_row(exchange, process);
	uint32_t flags;

	if (channel == MEMORY_NONE)
		return false;
	flags = exchange->view->channels[channel].flags;
	return !(flags & MEMORY_SETTLED) || (flags & MEMORY_TAKES_PART);
}

int
peer_resume(struct endpoint *endpoint, uint64_t process, json_t *welcome,
	int fd, const struct peer_hooks *hooks, void *data,
	struct peer **ret_peer)
{
	struct exchange *exchange = endpoint->group->exchange;
	uint32_t channel = peer_find_row(exchange, process);
	struct peer *peer = NULL;
	struct memory_channel *row;

	if (channel != MEMORY_NONE)
		peer = peer_make(exchange, hooks, data);
	if (peer == NULL) {
		if (fd >= 0)
			(void)sys_close(fd);
		return channel == MEMORY_NONE ? -ENOENT : -ENOMEM;
	}
	outbox_adopt(peer->outbox, exchange->memory, channel,
		endpoint->group->limits.queue_limit);
	row = outbox_row(peer->outbox);
	peer->role = PEER_WORKER;
	peer->takes_fds = true;
	peer->outbox->peer = peer;
	peer->endpoint = endpoint;
	peer->id = endpoint->id;
	peer->generation = row->generation;
	peer->process = process;
	peer->awaits_resume = true;
	peer->welcome = json_incref(welcome);
	/* Without a channel now it takes no part from now on. */
	if (fd < 0)
		journal_set(exchange->view->journal, row->flags,
			(row->flags | MEMORY_SETTLED) &
				~(uint32_t)(MEMORY_JOINED | MEMORY_TAKES_PART));
	peer_watch(peer, fd);
	list_append(&exchange->peers, &peer->link);
	if (peer->outbox->queued > 0)
		peer_queued(peer); /* it doesn't wait for ever */
	*ret_peer = peer;
	return 0;
}

/* What an earlier brain left for the peer and can't be written as it was. */
static void
peer_lost(void *context, struct outbox_taken *taken)
{
	struct peer *peer = context;
	const struct frame_header *header = &taken->frame->header;
	bool is_fd = router_lacks_fd(taken);
	const char *code = is_fd ? "fd-missing" : "lost";
	const char *message =
		is_fd ? "its descriptor is lost: the master was replaced"
		      : "the exchange memory is damaged";

	if (!is_fd)
		peer->exchange->losses.damaged++;
	/* Its request is closed: in place of an answer stands an error. */
	if (header->kind == MUSTER_REPLY || header->kind == MUSTER_ERROR)
		peer_refuse(peer, header->id, code, message, header->from);
	router_give_back(peer->exchange, taken, code, message);
}

int
peer_mend(struct peer *peer)
{
	return outbox_mend(peer->outbox, peer_lost, peer);
}

int
peer_accept_resume(struct peer *peer, uint64_t id, uint32_t received)
{
	struct memory_channel *row = outbox_row(peer->outbox);
	uint32_t mine = row->received;
	int r;

	/* One that never wrote is settled by its first frame as any other: what
	 * waits for it is numbered then. */
	if (row->flags & MEMORY_SETTLED) {
		r = outbox_rewind(peer->outbox, received);
		if (r == 0)
			r = peer_mend(peer);
		if (r < 0)
			return r;
	} else if (received != 0) {
		return -EPROTO;
	}
	r = peer_send_uncounted(peer, MUSTER_REPLY, id, peer->welcome, &mine);
	if (r < 0)
		return r;
	json_decref(peer->welcome);
	peer->welcome = NULL;
	peer->awaits_resume = false;
	peer->outbox->is_open = row->flags & MEMORY_JOINED;
	peer_queued(peer);
	return 0;
}

void
peer_refuse_resume(struct peer *peer, uint64_t id)
{
	json_t *body = json_pack("{s:s, s:s}", "code", "denied", "message",
		"the channel begins with a resume that fits");

	if (body != NULL &&
		peer_send_uncounted(peer, MUSTER_ERROR, id, body, NULL) == 0)
		(void)outbox_write(peer->outbox, peer->fd);
	json_decref(body);
	peer_end(peer, PEER_END_DENIED, "its resume doesn't fit");
}

/*
 * router_all.c: one frame to many. Each receiver gets a header of its own; a
 * short body is copied with it, a long one is shared by all. A descriptor is
 * duplicated for each.
 */
#include "base/sys.h"
#include "router.h"

#include <string.h>

struct router_all {
	struct peer *from;
	struct inbound *in;
	uint32_t receivers;
	uint32_t blocks; /* small blocks that their copies may take */
	/* Where headers go when there isn't a block for each receiver. */
	struct outbox_copies *common;
	bool lacks_fds; /* not everybody's descriptor could be duplicated */
};

/* Whether the receiver gets a copy of the whole frame. */
static bool
router_is_copied(const struct router_all *all, const struct outbox *outbox)
{
	return all->common == NULL && all->in->count == 1 && all->in->fd < 0 &&
	       router_size(all->in) <= outbox_copy_max(outbox);
}

static uint32_t
router_head_size(const struct router_all *all)
{
	return MUSTER_HEADER_SIZE + all->in->header.name_size;
}

/* A worker without room pauses the sender; a client without is passed by. */
static bool
router_all_has_room(struct router_all *all, struct peer *to)
{
	uint32_t size = router_is_copied(all, to->outbox)
				? router_size(all->in)
				: router_head_size(all);

	if (to->role != PEER_WORKER) {
		if (!router_client_has_room(to)) {
			list_remove(&to->receiving);
			return true;
		}
	} else if (!router_has_room(all->from, to->outbox)) {
		return false;
	}
	all->receivers++;
	if (!outbox_copies_has_room(to->outbox, size))
		all->blocks++;
	return true;
}

/* The header alone is copied; what follows it is shared. `fd` is taken over. */
static void
router_all_share(struct router_all *all, struct outbox *outbox,
	const struct frame_header *header, int fd)
{
	const struct inbound *in = all->in;
	struct outbox_copies *copies =
		all->common != NULL ? all->common : &outbox->copies;
	struct piece pieces[RING_PIECES_MAX + 1];
	uint32_t head = router_head_size(all);
	uint8_t *room = outbox_copies_take(
		copies, outbox->memory, head, true, &pieces[0]);

	if (room == NULL) { /* router_to_all saw to it that there is some */
		if (fd >= 0)
			(void)sys_close(fd);
		return;
	}
	frame_store(room, header);
	memcpy(room + MUSTER_HEADER_SIZE, in->bytes + MUSTER_HEADER_SIZE,
		header->name_size);
	memcpy(pieces + 1, in->pieces, in->count * sizeof *pieces);
	pieces[1].offset += head;
	pieces[1].length -= head;
	(void)outbox_append_pieces(outbox, pieces, in->count + 1,
		header->sequence, router_source(all->from, all->in), fd);
}

static void
router_all_deliver(struct router_all *all, struct peer *to)
{
	struct outbox *outbox = to->outbox;
	struct frame_header header = all->in->header;
	bool is_copied = router_is_copied(all, outbox);
	int fd = all->in->fd;

	if (fd >= 0)
		fd = sys_dup(fd, 0);
	if (fd < 0 && all->in->fd >= 0) {
		all->lacks_fds = true;
		return;
	}
	header.from = router_stamp(all->from);
	header.sequence = outbox_next_sequence(outbox);
	outbox_count_in(outbox);
	if (!is_copied || outbox_append_copy(outbox, &header,
				  all->in->bytes + MUSTER_HEADER_SIZE,
				  router_source(all->from, all->in), true) < 0)
		router_all_share(all, outbox, &header, fd);
	peer_queued(to);
	if (to->role == PEER_WORKER)
		router_check_limit(all->from, outbox);
}

/* Whether there is room for all; if not, the sender waits. */
static bool
router_all_prepare(struct router_all *all, struct link *receivers,
	struct outbox_copies *common)
{
	struct memory *memory = all->from->exchange->memory;
	uint64_t heads;

	for (struct link *l = receivers->next, *next; l != receivers;
		l = next) {
		next = l->next;
		if (!router_all_has_room(
			    all, list_member(l, struct peer, receiving)))
			return false;
	}
	if (memory_has_small(memory, all->blocks))
		return true;
	all->common = common;
	heads = (uint64_t)all->receivers * router_head_size(all);
	if (memory_has_small(
		    memory, (uint32_t)(heads / (MEMORY_SMALL_SIZE / 2)) + 1))
		return true;
	peer_pause(all->from, &all->from->exchange->waits_memory);
	return false;
}

bool
router_to_receivers(
	struct peer *from, struct link *receivers, struct inbound *in)
{
	struct outbox_copies common = {.block = MEMORY_NONE};
	struct router_all all = {.from = from, .in = in};

	if (!router_all_prepare(&all, receivers, &common))
		return false;
	for (struct link *l = receivers->next; l != receivers; l = l->next)
		router_all_deliver(
			&all, list_member(l, struct peer, receiving));
	outbox_copies_drop(&common, from->exchange->memory);
	if (all.lacks_fds)
		return router_refuse(from, in, "fd-missing",
			"too many descriptors are open: not all got theirs");
	if (in->fd >= 0)
		(void)sys_close(in->fd);
	return true;
}

void
router_forget_receivers(struct link *receivers)
{
	while (!list_is_empty(receivers))
		list_remove(receivers->next);
}

/* The ready workers of a group. */
static void
router_collect(struct peer *from, struct group *group, struct link *receivers)
{
	for (struct link *l = group->endpoints.next; l != &group->endpoints;
		l = l->next) {
		struct endpoint *to = list_member(l, struct endpoint, link);

		if (to->is_ready && to->peer != NULL && to->id != from->id &&
			peer_has_joined(to->peer))
			list_append(receivers, &to->peer->receiving);
	}
}

bool
router_to_all(struct peer *from, struct group *only, struct inbound *in)
{
	struct link *groups = &from->exchange->groups;
	struct link receivers;
	bool was_taken;

	if (in->header.kind == MUSTER_REQUEST)
		return router_refuse(from, in, "bad-request",
			"a request goes to one worker or to ANY, not to ALL");
	list_init(&receivers);
	if (only != NULL)
		router_collect(from, only, &receivers);
	else
		for (struct link *g = groups->next; g != groups; g = g->next)
			router_collect(from, list_member(g, struct group, link),
				&receivers);
	was_taken = router_to_receivers(from, &receivers, in);
	router_forget_receivers(&receivers);
	return was_taken;
}

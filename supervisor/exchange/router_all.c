/*
 * router_all.c: a broadcast. Each receiver gets a header of its own; a short
 * body is copied with it, a long one is shared by all. A descriptor is
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

/* Calls `visit` for each receiver until it returns false. */
static bool
router_each_of_all(struct router_all *all, struct group *only,
	bool (*visit)(struct router_all *all, struct endpoint *to))
{
	struct exchange *exchange = all->from->exchange;

	for (struct link *g = exchange->groups.next; g != &exchange->groups;
		g = g->next) {
		struct group *group = list_member(g, struct group, link);

		if (only != NULL && group != only)
			continue;
		for (struct link *l = group->endpoints.next;
			l != &group->endpoints; l = l->next) {
			struct endpoint *to =
				list_member(l, struct endpoint, link);

			if (to->is_ready && to->peer != NULL &&
				to->id != all->from->id &&
				peer_has_joined(to->peer) && !visit(all, to))
				return false;
		}
	}
	return true;
}

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

static bool
router_all_has_room(struct router_all *all, struct endpoint *to)
{
	uint32_t size = router_is_copied(all, to->outbox)
				? router_size(all->in)
				: router_head_size(all);

	all->receivers++;
	if (!outbox_copies_has_room(to->outbox, size))
		all->blocks++;
	return router_has_room(all->from, to->outbox);
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

static bool
router_all_deliver(struct router_all *all, struct endpoint *to)
{
	struct outbox *outbox = to->outbox;
	struct frame_header header = all->in->header;
	bool is_copied = router_is_copied(all, outbox);
	int fd = all->in->fd;

	if (fd >= 0)
		fd = sys_dup(fd, 0);
	if (fd < 0 && all->in->fd >= 0) {
		all->lacks_fds = true;
		return true;
	}
	header.from = router_stamp(all->from);
	header.sequence = outbox_next_sequence(outbox);
	outbox_count_in(outbox);
	if (!is_copied || outbox_append_copy(outbox, &header,
				  all->in->bytes + MUSTER_HEADER_SIZE,
				  router_source(all->from, all->in), true) < 0)
		router_all_share(all, outbox, &header, fd);
	peer_queued(to->peer);
	router_check_limit(all->from, outbox);
	return true;
}

bool
router_to_all(struct peer *from, struct group *only, struct inbound *in)
{
	struct memory *memory = from->exchange->memory;
	struct outbox_copies common = {.block = MEMORY_NONE};
	struct router_all all = {.from = from, .in = in};
	uint64_t heads;

	if (in->header.kind == MUSTER_REQUEST)
		return router_refuse(from, in, "bad-request",
			"a request goes to one worker or to ANY, not to ALL");
	if (!router_each_of_all(&all, only, router_all_has_room))
		return false;
	if (!memory_has_small(memory, all.blocks)) {
		heads = (uint64_t)all.receivers * router_head_size(&all);
		all.common = &common;
		if (!memory_has_small(memory,
			    (uint32_t)(heads / (MEMORY_SMALL_SIZE / 2)) + 1)) {
			peer_pause(from, &from->exchange->waits_memory);
			return false;
		}
	}
	(void)router_each_of_all(&all, only, router_all_deliver);
	outbox_copies_drop(&common, memory);
	if (all.lacks_fds)
		return router_refuse(from, in, "fd-missing",
			"too many descriptors are open: not all got theirs");
	if (in->fd >= 0)
		(void)sys_close(in->fd);
	return true;
}

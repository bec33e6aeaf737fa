/*
 * intake.c: from the bytes of a channel to whole frames.
 *
 * All channels are read into one shared block of the exchange memory, 256 KiB
 * at a time; where the frames go decides who keeps the block. The walk checks
 * headers and sequences, and joins neighbours for one worker into runs, since
 * a stream from one worker to another is what must be fast. All that is not a
 * plain message to a worker goes to router.c, frame by frame.
 *
 * An unfinished frame is kept by reference when it is long, as a copy when it
 * is short; so its header always lies in one piece, and a client that sends
 * half a frame pins no block.
 */
#include "base/json.h"
#include "base/sys.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the walk knows besides the peer. */
struct walk {
	struct peer *peer;
	struct memory_channel *row;
	uint32_t block;
	uint32_t at, end; /* in the block */
	uint8_t *base;	  /* of the block */
	uint32_t max_message;
	uint32_t frames; /* taken, and of these with a number: */
	uint32_t counted;
	uint64_t bytes;

	/* The run under way: neighbours for one receiver. */
	struct peer *to;
	uint32_t to_id;
	uint32_t run_start;
	uint32_t run_frames;
	uint32_t run_last; /* the receiver's number of its last frame */
	uint64_t run_room; /* bytes that the receiver's queue still takes */
};

/* Descriptors ----------------------------------------------------------- */

static int
intake_claim_fd(struct peer *peer)
{
	int fd;

	if (peer->fd_count == 0)
		return -1;
	fd = peer->fds[0];
	peer->fd_count--;
	memmove(peer->fds, peer->fds + 1, peer->fd_count * sizeof *peer->fds);
	return fd;
}

static void
intake_keep_fd(struct peer *peer, int fd)
{
	if (peer->fds == NULL) {
		peer->fd_room = 2 * MUSTER_FDS_MAX;
		peer->fds = malloc(peer->fd_room * sizeof *peer->fds);
	}
	if (peer->fds == NULL || peer->fd_count == peer->fd_room) {
		(void)sys_close(fd);
		peer->unclaimed++;
		peer->exchange->losses.descriptors++;
		return;
	}
	peer->fds[peer->fd_count++] = fd;
}

/* Every control message is walked: what isn't wanted is closed. */
static void
intake_collect_fds(struct peer *peer, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL;
		c = CMSG_NXTHDR(message, c)) {
		size_t size = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i + sizeof(int) <= size; i += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i, sizeof fd);
			intake_keep_fd(peer, fd);
		}
	}
}

/* After a walk over all whole headers: what no frame took is closed. */
static void
intake_close_unclaimed(struct peer *peer)
{
	while (peer->fd_count > 0) {
		(void)sys_close(intake_claim_fd(peer));
		peer->unclaimed++;
		peer->exchange->losses.descriptors++;
	}
	free(peer->fds);
	peer->fds = NULL;
	if (peer->unclaimed >= MUSTER_FDS_UNCLAIMED_MAX)
		peer_end(peer, PEER_END_DESCRIPTORS,
			"it sent descriptors that belong to no frame");
}

/* Whether the peer may go on: it neither ended nor waits for room. */
static bool
intake_may_go_on(const struct peer *peer)
{
	return !peer->has_ended && list_is_empty(&peer->pause);
}

/* Runs ------------------------------------------------------------------ */

static void
walk_end_run(struct walk *walk)
{
	struct outbox *outbox;

	if (walk->run_frames == 0)
		return;
	outbox = walk->to->outbox;
	outbox_append_run(outbox,
		(struct piece){
			.block = walk->block,
			.offset = walk->run_start,
			.length = walk->at - walk->run_start,
		},
		walk->run_last,
		(struct outbox_source){
			.channel = walk->peer->outbox->channel,
			.sequence = walk->row->received,
		});
	outbox_row(outbox)->messages_in += walk->run_frames;
	walk->run_frames = 0;
	peer_queued(walk->to);
	if (!outbox_is_under_limit(outbox) && !walk->peer->is_draining)
		peer_pause(walk->peer, &outbox->paused);
}

/*
 * Makes the worker `to` the receiver of runs, when frames for it need no more
 * than a stamp: it has joined, and its queue takes frames.
 */
static bool
walk_choose(struct walk *walk, uint32_t to)
{
	struct endpoint *endpoint = exchange_endpoint(walk->peer->exchange, to);
	struct outbox *outbox;

	walk->to = NULL;
	if (endpoint == NULL || endpoint->peer == NULL || endpoint->is_dormant)
		return false;
	outbox = endpoint->peer->outbox;
	if (!(outbox_row(outbox)->flags & MEMORY_JOINED) ||
		!outbox_is_under_limit(outbox) || !outbox_has_room(outbox))
		return false;
	walk->to = endpoint->peer;
	walk->to_id = to;
	walk->run_room = outbox->limit - outbox->queued;
	return true;
}

/*
 * The fast way: a plain message from a joined worker to another. Returns false
 * when the frame must take the slow one.
 */
static inline bool
walk_run(struct walk *walk, const struct frame_header *header, uint32_t total)
{
	uint8_t *bytes = walk->base + walk->at;

	if (walk->to == NULL || header->to != walk->to_id) {
		walk_end_run(walk);
		if (!intake_may_go_on(walk->peer) ||
			!walk_choose(walk, header->to))
			return false;
	}
	if (walk->run_frames++ == 0)
		walk->run_start = walk->at;
	walk->run_last = outbox_next_sequence(walk->to->outbox);
	frame_stamp_from(bytes, walk->peer->id);
	frame_stamp_sequence(bytes, walk->run_last);
	walk->at += total;
	return true;
}

/* Sequences ------------------------------------------------------------- */

/*
 * The first frame of a process settles whether it takes part, and joins it,
 * unless that frame is a `resume`.
 */
static void
walk_join(struct walk *walk)
{
	struct peer *peer = walk->peer;

	walk->row->flags |= MEMORY_JOINED;
	outbox_renumber(peer->outbox);
	peer->outbox->is_open = true;
	peer_queued(peer);
	if (peer->endpoint->is_ready)
		peer->endpoint->group->must_dispatch = true;
	peer->hooks->joined(peer);
}

/*
 * Checks the number of a whole frame. What has none though its sender counts
 * is a frame to 0 (`ack`, `resume`), and router.c checks that it is one.
 */
static enum frame_fault
walk_sequence(struct walk *walk, const struct frame_header *header)
{
	struct memory_channel *row = walk->row;

	if (walk->peer->role != PEER_WORKER)
		return header->sequence == 0 ? FRAME_OK : FRAME_BAD_SEQUENCE;
	if (walk->peer->awaits_resume)
		return FRAME_OK;
	if (!(row->flags & MEMORY_SETTLED)) {
		if (header->sequence > 1)
			return FRAME_BAD_SEQUENCE;
		row->flags |= MEMORY_SETTLED;
		if (header->sequence == 1)
			row->flags |= MEMORY_TAKES_PART;
	}
	if (!(row->flags & MEMORY_TAKES_PART)) {
		if (header->sequence != 0)
			return FRAME_BAD_SEQUENCE;
	} else if (header->sequence == 0) {
		return header->to == MUSTER_TO_SUPERVISOR ? FRAME_OK
							  : FRAME_BAD_SEQUENCE;
	} else if (header->sequence != frame_next_sequence(row->received)) {
		return FRAME_BAD_SEQUENCE;
	}
	if (!(row->flags & MEMORY_JOINED))
		walk_join(walk);
	return FRAME_OK;
}

/* The slow way ---------------------------------------------------------- */

static void
walk_count(struct walk *walk, const struct frame_header *header)
{
	walk->frames++;
	if (header->sequence == 0)
		return;
	walk->row->received = header->sequence;
	walk->counted++;
	walk->bytes += header->size + MUSTER_HEADER_SIZE;
}

/*
 * Routes a whole frame. Returns false when it was not taken: the peer has
 * ended, or is paused and the frame will be offered again.
 */
static bool
walk_route(struct walk *walk, struct inbound *in)
{
	struct peer *peer = walk->peer;
	enum frame_fault fault = walk_sequence(walk, &in->header);

	if (fault != FRAME_OK) {
		peer_break(peer, frame_fault_text(fault));
		return false;
	}
	if (peer->has_ended)
		return false;
	if (peer->role == PEER_WORKER && !peer->is_draining &&
		in->header.id != 0 && !outbox_is_under_limit(peer->outbox)) {
		/* What can have an answer waits until the answers that it got
		 * already are read. Acknowledgements never wait. */
		peer_pause(peer, &peer->outbox->paused);
		return false;
	}
	in->fd = peer->claimed_fd;
	if ((in->header.flags & MUSTER_FLAG_FD) && in->fd < 0)
		in->fd = intake_claim_fd(peer);
	peer->claimed_fd = in->fd;
	if (!router_route(peer, in))
		return false;
	peer->claimed_fd = -1;
	walk_count(walk, &in->header);
	return true;
}

/* Unfinished frames ----------------------------------------------------- */

static bool
intake_add_piece(struct peer *peer, struct piece piece)
{
	if (peer->pieces == NULL)
		peer->pieces = malloc(RING_PIECES_MAX * sizeof *peer->pieces);
	if (peer->pieces == NULL || peer->piece_count == RING_PIECES_MAX)
		return false;
	memory_reference(peer->exchange->memory, piece.block);
	peer->pieces[peer->piece_count++] = piece;
	return true;
}

static void
intake_drop_pieces(struct peer *peer)
{
	for (uint32_t i = 0; i < peer->piece_count; i++)
		memory_release(peer->exchange->memory, peer->pieces[i].block);
	peer->exchange->promised -= peer->missing;
	peer->piece_count = 0;
	peer->missing = 0;
	free(peer->pieces);
	peer->pieces = NULL;
}

/* More of the long frame that is under way. */
static void
walk_take_missing(struct walk *walk)
{
	struct peer *peer = walk->peer;
	uint32_t here = walk->end - walk->at;

	if (here > peer->missing)
		here = peer->missing;
	if (here == 0)
		return;
	if (!intake_add_piece(peer, (struct piece){.block = walk->block,
					    .offset = walk->at,
					    .length = here})) {
		peer_break(peer, "a frame came in too many pieces");
		return;
	}
	peer->missing -= here;
	peer->exchange->promised -= here;
	walk->at += here;
}

/* The long frame is whole: it goes as its pieces. */
static void
walk_route_pieces(struct walk *walk)
{
	struct peer *peer = walk->peer;
	struct inbound in = {
		.pieces = peer->pieces, .count = peer->piece_count};

	in.bytes = memory_at(peer->exchange->view, peer->pieces[0].block,
		peer->pieces[0].offset);
	frame_load(in.bytes, &in.header);
	if (walk_route(walk, &in))
		intake_drop_pieces(peer);
}

/*
 * Room for what is still to come of a long frame is promised when its header
 * is known, so that frames that are half in can't keep each other waiting for
 * ever.
 */
static bool
intake_has_room_for(struct exchange *exchange, uint32_t missing)
{
	uint64_t free_bytes = (uint64_t)memory_large_free(exchange->memory) *
			      MEMORY_LARGE_SIZE;

	return exchange->promised + missing + EXCHANGE_LARGE_RESERVE <=
	       free_bytes;
}

/* What is left at the end of a read is the start of a frame. */
static void
walk_keep_start(struct walk *walk)
{
	struct peer *peer = walk->peer;
	struct exchange *exchange = peer->exchange;
	struct frame_header header = {.size = 0};
	uint32_t left = walk->end - walk->at;
	enum frame_fault fault;

	if (left >= MUSTER_HEADER_SIZE) {
		frame_load(walk->base + walk->at, &header);
		fault = frame_check(&header, walk->max_message);
		if (fault != FRAME_OK) {
			peer_break(peer, frame_fault_text(fault));
			return;
		}
		if ((header.flags & MUSTER_FLAG_FD) && peer->claimed_fd < 0)
			peer->claimed_fd = intake_claim_fd(peer);
	}
	if (left < EXCHANGE_STASH_MAX) {
		peer->stash = memory_take_small(exchange->memory, false);
		if (peer->stash == MEMORY_NONE) {
			peer_pause(peer, &exchange->waits_memory);
			return;
		}
		memcpy(memory_at(exchange->view, peer->stash, 0),
			walk->base + walk->at, left);
		peer->stash_size = left;
		walk->at = walk->end;
		return;
	}
	peer->missing = MUSTER_HEADER_SIZE + header.size - left;
	if (!intake_has_room_for(exchange, peer->missing)) {
		peer->missing = 0;
		peer_pause(peer, &exchange->waits_memory);
		return;
	}
	exchange->promised += peer->missing;
	if (!intake_add_piece(peer, (struct piece){.block = walk->block,
					    .offset = walk->at,
					    .length = left})) {
		peer_break(peer, "there is no memory for a long frame");
		return;
	}
	walk->at = walk->end;
}

/* The walk -------------------------------------------------------------- */

static inline bool
walk_is_plain(const struct walk *walk, const struct frame_header *header)
{
	return header->kind == MUSTER_MESSAGE && header->flags == 0 &&
	       header->name_size == 0 && header->to - 1 < MUSTER_FIRST_CLIENT &&
	       header->size - 1 < walk->max_message;
}

/* Walks whole frames until one can't be taken or the bytes end. */
static void
walk_frames(struct walk *walk)
{
	struct peer *peer = walk->peer;
	bool is_fast = peer->role == PEER_WORKER && !peer->awaits_resume;
	struct frame_header header;

	while (walk->end - walk->at >= MUSTER_HEADER_SIZE) {
		uint32_t left = walk->end - walk->at;
		struct piece piece;
		struct inbound in;
		uint32_t expected;

		frame_load(walk->base + walk->at, &header);
		expected = walk->row->flags & MEMORY_TAKES_PART
				   ? frame_next_sequence(walk->row->received)
				   : 0;
		if (is_fast && walk_is_plain(walk, &header) &&
			header.sequence == expected &&
			(walk->row->flags & MEMORY_JOINED) &&
			header.size <= left - MUSTER_HEADER_SIZE &&
			walk_run(walk, &header,
				MUSTER_HEADER_SIZE + header.size)) {
			walk_count(walk, &header);
			/* The frame that fills a queue is the last for now. */
			if (walk->at - walk->run_start > walk->run_room) {
				walk_end_run(walk);
				walk->to = NULL;
				if (!intake_may_go_on(peer))
					return;
			}
			continue;
		}
		walk_end_run(walk);
		walk->to = NULL;
		if (!intake_may_go_on(peer))
			return;
		if (frame_check(&header, walk->max_message) == FRAME_OK &&
			header.size > left - MUSTER_HEADER_SIZE)
			return;
		if (frame_check(&header, walk->max_message) != FRAME_OK) {
			peer_break(peer, frame_fault_text(frame_check(
						 &header, walk->max_message)));
			return;
		}
		piece = (struct piece){
			.block = walk->block,
			.offset = walk->at,
			.length = MUSTER_HEADER_SIZE + header.size,
		};
		in = (struct inbound){
			.header = header,
			.bytes = walk->base + walk->at,
			.pieces = &piece,
			.count = 1,
		};
		if (!walk_route(walk, &in))
			return;
		walk->at += piece.length;
		if (!intake_may_go_on(peer))
			return;
	}
	walk_end_run(walk);
}

/* Walks the bytes `at` … `end` of a block and keeps what is left of them. */
static void
intake_walk(struct peer *peer, uint32_t block, uint32_t at, uint32_t end)
{
	struct exchange *exchange = peer->exchange;
	struct walk walk = {
		.peer = peer,
		.row = outbox_row(peer->outbox),
		.block = block,
		.at = at,
		.end = end,
		.base = memory_at(exchange->view, block, 0),
		.max_message =
			peer->endpoint != NULL
				? peer->endpoint->group->limits.max_message
				: MUSTER_MAX_MESSAGE,
	};

	if (peer->missing > 0)
		walk_take_missing(&walk);
	if (!peer->has_ended && peer->piece_count > 0 && peer->missing == 0)
		walk_route_pieces(&walk);
	if (intake_may_go_on(peer) && peer->missing == 0)
		walk_frames(&walk);
	if (intake_may_go_on(peer) && peer->missing == 0 && walk.at < walk.end)
		walk_keep_start(&walk);

	walk.row->messages_out += walk.frames;
	peer_count_read(peer, walk.counted, walk.bytes);
	if (peer->has_ended)
		return;
	if (walk.at < walk.end) { /* it is paused: the rest waits with it */
		peer->rest = (struct piece){.block = block,
			.offset = walk.at,
			.length = walk.end - walk.at};
		memory_reference(exchange->memory, block);
	} else if (intake_may_go_on(peer)) {
		intake_close_unclaimed(peer);
	}
}

/* What waited while the peer was paused comes before what is read. */
static void
intake_walk_rest(struct peer *peer)
{
	struct piece rest = peer->rest;

	if (rest.length == 0) {
		if (peer->piece_count > 0 && peer->missing == 0)
			intake_walk(peer, peer->pieces[0].block, 0, 0);
		return;
	}
	peer->rest.length = 0;
	intake_walk(peer, rest.block, rest.offset, rest.offset + rest.length);
	memory_release(peer->exchange->memory, rest.block);
}

/* Reading --------------------------------------------------------------- */

/* Makes the shared block have room. Returns false: no block is free. */
static bool
intake_prepare_block(struct exchange *exchange)
{
	if (exchange->receive_block != MEMORY_NONE) {
		if (memory_references(
			    exchange->memory, exchange->receive_block) == 1)
			exchange->receive_fill = 0;
		if (MEMORY_LARGE_SIZE - exchange->receive_fill >=
			EXCHANGE_RECEIVE_MIN)
			return true;
		memory_release(exchange->memory, exchange->receive_block);
	}
	exchange->receive_block = memory_take_large(exchange->memory);
	exchange->receive_fill = 0;
	return exchange->receive_block != MEMORY_NONE;
}

/* The copied start of a frame goes in front of what is read next. */
static uint32_t
intake_unstash(struct peer *peer, uint8_t *to)
{
	uint32_t size = peer->stash_size;

	if (size == 0)
		return 0;
	memcpy(to, memory_at(peer->exchange->view, peer->stash, 0), size);
	return size;
}

static void
intake_drop_stash(struct peer *peer)
{
	if (peer->stash_size == 0)
		return;
	memory_release(peer->exchange->memory, peer->stash);
	peer->stash_size = 0;
}

static ssize_t
intake_receive(struct peer *peer, uint8_t *to, size_t size)
{
	union {
		char room[CMSG_SPACE(MUSTER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = to, .iov_len = size};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof control.room,
	};
	ssize_t n = sys_recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC);

	if (n >= 0 && message.msg_controllen > 0)
		intake_collect_fds(peer, &message);
	return n;
}

/* Books a read for the fairness of turns. */
static void
intake_book(struct peer *peer, size_t asked, size_t got)
{
	struct exchange *exchange = peer->exchange;

	exchange->turn_bytes += (uint32_t)got;
	peer->is_greedy = got == asked;
	if (got >= EXCHANGE_BUSY_BYTES)
		exchange->busy++;
}

bool
intake_read(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;
	uint32_t start, stashed;
	size_t room;
	ssize_t n;

	intake_walk_rest(peer);
	if (!intake_may_go_on(peer))
		return false;
	if (!intake_prepare_block(exchange)) {
		peer_pause(peer, &exchange->waits_memory);
		return false;
	}
	start = exchange->receive_fill;
	stashed = intake_unstash(peer,
		memory_at(exchange->view, exchange->receive_block, start));
	room = MEMORY_LARGE_SIZE - start - stashed;
	if (peer->is_greedy && exchange->busy_before > 1 &&
		room > EXCHANGE_GREEDY_BYTES)
		room = EXCHANGE_GREEDY_BYTES;
	n = intake_receive(peer,
		memory_at(exchange->view, exchange->receive_block,
			start + stashed),
		room);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		peer_end(peer, PEER_END_CLOSED,
			n == 0 || n == -ECONNRESET ? "its end was closed"
						   : "reading failed");
		return false;
	}
	intake_book(peer, room, (size_t)n);
	intake_drop_stash(peer);
	exchange->receive_fill = start + stashed + (uint32_t)n;
	intake_walk(
		peer, exchange->receive_block, start, exchange->receive_fill);
	return intake_may_go_on(peer);
}

void
intake_fini(struct peer *peer)
{
	intake_drop_stash(peer);
	intake_drop_pieces(peer);
	if (peer->rest.length > 0)
		memory_release(peer->exchange->memory, peer->rest.block);
	peer->rest.length = 0;
	while (peer->fd_count > 0)
		(void)sys_close(intake_claim_fd(peer));
	free(peer->fds);
	peer->fds = NULL;
	if (peer->claimed_fd >= 0)
		(void)sys_close(peer->claimed_fd);
	peer->claimed_fd = -1;
}

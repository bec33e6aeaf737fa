/*
 * intake.c: the reading side of a channel.
 *
 * All channels are read into one shared block of the exchange memory, 256 KiB
 * at a time; where the frames go decides who keeps the block. walk.c takes them
 * apart. What it leaves is kept here: a copy of the start of a short frame (so
 * its header lies in one piece, and a client that sends half a frame pins no
 * block), and a long frame by reference, the rest of which is read into blocks
 * of its own. What can't be routed yet, since its receiver has no room, stays
 * where it is and waits with the peer.
 */
#include "base/sys.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool
intake_may_go_on(const struct peer *peer)
{
	return !peer->has_ended && peer->doom_reason == NULL &&
	       list_is_empty(&peer->pause);
}

/* Descriptors ----------------------------------------------------------- */

int
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
intake_drop_fd(struct peer *peer, int fd)
{
	(void)sys_close(fd);
	peer->unclaimed++;
	peer->exchange->losses.descriptors++;
}

static void
intake_keep_fd(struct peer *peer, int fd)
{
	if (peer->fds == NULL) {
		peer->fd_room = 2 * MUSTER_FDS_MAX;
		peer->fds = malloc(peer->fd_room * sizeof *peer->fds);
	}
	if (peer->fds == NULL || peer->fd_count == peer->fd_room)
		intake_drop_fd(peer, fd);
	else
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

/*
 * After a walk over all whole headers: what no frame took is closed. A header
 * of which only a part has come yet may still want the oldest.
 */
static void
intake_close_unclaimed(struct peer *peer)
{
	if (peer->stash_size > 0 && peer->stash_size < MUSTER_HEADER_SIZE)
		return;
	while (peer->fd_count > 0)
		intake_drop_fd(peer, intake_claim_fd(peer));
	free(peer->fds);
	peer->fds = NULL;
	if (peer->unclaimed >= MUSTER_FDS_UNCLAIMED_MAX)
		peer_end(peer, PEER_END_DESCRIPTORS,
			"it sent descriptors that belong to no frame");
}

/* Unfinished frames ----------------------------------------------------- */

/* Room for one more part of the long frame under way. */
static bool
intake_grow(struct peer *peer)
{
	struct piece *many;

	if (peer->pieces == NULL)
		peer->pieces = peer->few;
	if (peer->pieces != peer->few || peer->piece_count < INTAKE_PIECES_FEW)
		return peer->piece_count < INTAKE_PIECES_MAX;
	many = malloc(INTAKE_PIECES_MAX * sizeof *many);
	if (many == NULL)
		return false;
	memcpy(many, peer->few, sizeof peer->few);
	peer->pieces = many;
	return true;
}

/* Adds to the long frame under way; neighbours join. */
static bool
intake_add_piece(struct peer *peer, struct piece piece)
{
	struct piece *last = peer->piece_count == 0
				     ? NULL
				     : &peer->pieces[peer->piece_count - 1];

	if (last != NULL && last->block == piece.block &&
		last->offset + last->length == piece.offset) {
		last->length += piece.length;
		return true;
	}
	if (!intake_grow(peer))
		return false;
	memory_reference(peer->exchange->memory, piece.block);
	peer->pieces[peer->piece_count++] = piece;
	return true;
}

void
intake_drop_pieces(struct peer *peer)
{
	struct memory *memory = peer->exchange->memory;

	for (uint32_t i = 0; i < peer->piece_count; i++)
		memory_release(memory, peer->pieces[i].block);
	memory_release(memory, peer->own_block);
	peer->own_block = MEMORY_NONE;
	peer->exchange->promised -= peer->missing;
	clients_end_frame(peer);
	peer->piece_count = 0;
	peer->missing = 0;
	if (peer->pieces != peer->few)
		free(peer->pieces);
	peer->pieces = NULL;
}

/*
 * Room for what is still to come of a long frame is promised when its header
 * is known, so that frames that are half in can't keep each other waiting for
 * ever. Returns false when the peer has to wait for it, or has ended since that
 * frame could never have it.
 */
static bool
intake_promise(struct peer *peer, uint32_t size, uint32_t missing)
{
	struct exchange *exchange = peer->exchange;
	uint64_t wanted = exchange->promised + missing + EXCHANGE_LARGE_RESERVE;

	if ((uint64_t)missing + EXCHANGE_LARGE_RESERVE >
		(uint64_t)memory_large_count(exchange->memory) *
			MEMORY_LARGE_SIZE) {
		peer_break(peer, "the size is over what memory_limit allows");
		return false;
	}
	if (wanted > (uint64_t)memory_large_free(exchange->memory) *
			     MEMORY_LARGE_SIZE) {
		peer_pause(peer, &exchange->waits_memory);
		return false;
	}
	if (!clients_may_begin(peer, size, missing))
		return false;
	exchange->promised += missing;
	peer->missing = missing;
	return true;
}

/* A start that is short is copied. */
static bool
intake_stash(struct peer *peer, const uint8_t *bytes, uint32_t size)
{
	struct exchange *exchange = peer->exchange;

	peer->stash = memory_take_small(exchange->memory, false);
	if (peer->stash == MEMORY_NONE) {
		peer_pause(peer, &exchange->waits_memory);
		return false;
	}
	memcpy(memory_at(exchange->view, peer->stash, 0), bytes, size);
	peer->stash_size = size;
	return true;
}

bool
intake_keep_start(struct peer *peer, struct piece start)
{
	const uint8_t *bytes =
		memory_at(peer->exchange->view, start.block, start.offset);
	struct frame_header header = {.size = 0};

	if (start.length >= MUSTER_HEADER_SIZE) {
		frame_load(bytes, &header);
		if ((header.flags & MUSTER_FLAG_FD) && peer->claimed_fd < 0)
			peer->claimed_fd = intake_claim_fd(peer);
	}
	if (start.length < EXCHANGE_STASH_MAX)
		return intake_stash(peer, bytes, start.length);
	if (!intake_promise(peer, header.size,
		    MUSTER_HEADER_SIZE + header.size - start.length))
		return false;
	if (intake_add_piece(peer, start))
		return true;
	peer_break(peer, "there is no memory for a long frame");
	return false;
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

/* Walking --------------------------------------------------------------- */

static void
intake_walk(struct peer *peer, uint32_t block, uint32_t at, uint32_t end)
{
	peer->is_walking = true;
	at = walk_bytes(peer, block, at, end);
	peer->is_walking = false;
	if (peer->has_ended)
		return;
	if (at < end) { /* it is paused: the rest waits with it */
		peer->rest = (struct piece){
			.block = block, .offset = at, .length = end - at};
		memory_reference(peer->exchange->memory, block);
	} else if (intake_may_go_on(peer)) {
		intake_close_unclaimed(peer);
	}
}

/* What waited while the peer was paused comes before what is read. */
static void
intake_walk_rest(struct peer *peer)
{
	struct piece rest = peer->rest;

	if (rest.length > 0) {
		peer->rest.length = 0;
		intake_walk(peer, rest.block, rest.offset,
			rest.offset + rest.length);
		memory_release(peer->exchange->memory, rest.block);
	} else if (peer->piece_count > 0 && peer->missing == 0) {
		intake_walk(peer, peer->pieces[0].block, 0, 0);
	}
}

/* Reading --------------------------------------------------------------- */

/* Makes the shared block have room. Returns false: no block is free. */
static bool
intake_prepare_block(struct exchange *exchange)
{
	struct memory *memory = exchange->memory;

	if (exchange->receive_block != MEMORY_NONE) {
		if (memory_references(memory, exchange->receive_block) == 1)
			exchange->receive_fill = 0;
		if (MEMORY_LARGE_SIZE - exchange->receive_fill >=
			EXCHANGE_RECEIVE_MIN)
			return true;
		memory_release(memory, exchange->receive_block);
	}
	exchange->receive_block = memory_take_large(memory);
	exchange->receive_fill = 0;
	return exchange->receive_block != MEMORY_NONE;
}

/* Makes the block of the long frame under way have room. */
static bool
intake_prepare_own(struct peer *peer)
{
	struct memory *memory = peer->exchange->memory;

	if (peer->own_block != MEMORY_NONE) {
		if (peer->own_fill < MEMORY_LARGE_SIZE)
			return true;
		memory_release(memory, peer->own_block);
	}
	peer->own_block = memory_take_large(memory);
	peer->own_fill = 0;
	return peer->own_block != MEMORY_NONE;
}

static ssize_t
intake_receive(struct peer *peer, struct iovec *iov, size_t count)
{
	union {
		char room[CMSG_SPACE(MUSTER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr message = {
		.msg_iov = iov,
		.msg_iovlen = count,
		.msg_control = control.room,
		.msg_controllen = sizeof control.room,
	};
	ssize_t n = sys_recvmsg(
		peer->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n >= 0 && message.msg_controllen > 0)
		intake_collect_fds(peer, &message);
	return n;
}

/* How much of `room` may be read at once: who fills its reads gets less while
 * others have input. */
static uint32_t
intake_share(const struct peer *peer, uint32_t room)
{
	if (peer->is_greedy && peer->exchange->busy_before > 1 &&
		room > EXCHANGE_GREEDY_BYTES)
		return EXCHANGE_GREEDY_BYTES;
	return room;
}

/*
 * Reads into `iov`. Returns how much came; 0: nothing, or the channel is at its
 * end.
 */
static uint32_t
intake_fetch(struct peer *peer, struct iovec *iov, size_t count)
{
	struct exchange *exchange = peer->exchange;
	size_t asked = iov[0].iov_len + (count > 1 ? iov[1].iov_len : 0);
	ssize_t n = intake_receive(peer, iov, count);

	/* Where the kernel lacks memory, it is there to be read again. */
	if (n == -EAGAIN || n == -ENOMEM || n == -ENOBUFS)
		return 0;
	if (n <= 0) {
		peer_end(peer, PEER_END_CLOSED,
			n == 0 || n == -ECONNRESET ? "its end was closed"
						   : "reading failed");
		return 0;
	}
	exchange->turn_bytes += (uint32_t)n;
	peer->is_greedy = (size_t)n == asked;
	if (n >= EXCHANGE_BUSY_BYTES)
		exchange->busy++;
	return (uint32_t)n;
}

/* More of the long frame under way, and what follows it. */
static void
intake_read_long(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;
	uint32_t start = exchange->receive_fill, room, n, mine;
	struct iovec iov[2];

	if (!intake_prepare_own(peer)) {
		peer_pause(peer, &exchange->waits_memory);
		return;
	}
	room = MEMORY_LARGE_SIZE - peer->own_fill;
	room = intake_share(peer, room < peer->missing ? room : peer->missing);
	iov[0].iov_base =
		memory_at(exchange->view, peer->own_block, peer->own_fill);
	iov[0].iov_len = room;
	iov[1].iov_base =
		memory_at(exchange->view, exchange->receive_block, start);
	iov[1].iov_len = MEMORY_LARGE_SIZE - start;
	n = intake_fetch(peer, iov, room == peer->missing ? 2 : 1);
	if (n == 0)
		return;
	mine = n < room ? n : room;
	if (!intake_add_piece(peer, (struct piece){.block = peer->own_block,
					    .offset = peer->own_fill,
					    .length = mine})) {
		peer_break(peer, "a frame came in too many pieces");
		return;
	}
	peer->own_fill += mine;
	peer->missing -= mine;
	exchange->promised -= mine;
	if (peer->missing > 0)
		return;
	exchange->receive_fill = start + n - mine;
	intake_walk(
		peer, exchange->receive_block, start, exchange->receive_fill);
}

static void
intake_read_frames(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;
	uint32_t start = exchange->receive_fill, stashed, n;
	uint8_t *to = memory_at(exchange->view, exchange->receive_block, start);
	struct iovec iov;

	stashed = intake_unstash(peer, to);
	iov.iov_base = to + stashed;
	iov.iov_len = intake_share(peer, MEMORY_LARGE_SIZE - start - stashed);
	n = intake_fetch(peer, &iov, 1);
	if (n == 0)
		return;
	intake_drop_stash(peer);
	exchange->receive_fill = start + stashed + n;
	intake_walk(
		peer, exchange->receive_block, start, exchange->receive_fill);
}

bool
intake_read(struct peer *peer)
{
	struct exchange *exchange = peer->exchange;
	uint32_t before;

	/* From inside one of its own hooks: its walk isn't over. */
	if (peer->is_walking || peer->has_ended || peer->fd < 0)
		return false;
	/* Not in the middle of another's frame, or that counts: what is read
	 * may go where it lies. */
	if (memory_is_changing(peer->exchange->memory))
		memory_commit_early(peer->exchange->memory);
	intake_walk_rest(peer);
	if (!intake_may_go_on(peer))
		return false;
	if (!intake_prepare_block(exchange)) {
		peer_pause(peer, &exchange->waits_memory);
		return false;
	}
	before = exchange->turn_bytes;
	if (peer->missing > 0)
		intake_read_long(peer);
	else
		intake_read_frames(peer);
	return exchange->turn_bytes != before && intake_may_go_on(peer);
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

/*
 * walk.c: over the bytes of a read, from frame to frame. It checks headers and
 * sequences and joins neighbours for one worker into runs, since a stream from
 * one worker to another is what must be fast. All that is not a plain message
 * to a worker goes to router.c, frame by frame. How the bytes came in is
 * intake.c's.
 */
#include "state.h"

#include <string.h>

/* What the walk knows besides the peer. */
struct walk {
	struct peer *peer;
	struct memory_channel *row;
	uint32_t block;
	uint32_t at, end; /* in the block */
	uint8_t *base;	  /* of the block */
	uint32_t max_message;
	uint32_t counted; /* frames taken that have a number, */
	uint64_t bytes;	  /* and their bytes */
};

/* Runs ------------------------------------------------------------------ */

/* A run under way: neighbours for one receiver. */
struct run {
	struct peer *to;
	uint32_t to_id;
	uint32_t room;	   /* bytes that the receiver's queue still takes */
	uint32_t received; /* number of the last frame, as its sender counts */
	uint32_t sent;	   /* and as it is counted for the receiver */
	uint32_t frames;
	uint64_t ids; /* 0: no frame of it has an id */
};

/*
 * Kind, flags and size of the name of a plain message, as they lie in memory:
 * one word to compare.
 */
static inline bool
walk_is_plain(const uint8_t *bytes)
{
	static const uint8_t plain[4] = {MUSTER_MESSAGE, 0, 0, 0};

	return memcmp(bytes + offsetof(struct frame_header, kind), plain,
		       sizeof plain) == 0;
}

static inline uint32_t
walk_field(const uint8_t *bytes, size_t offset)
{
	uint32_t field;

	memcpy(&field, bytes + offset, sizeof field);
	return le32toh(field);
}

/*
 * Whether frames of the peer to the worker `to` need no more than a stamp: both
 * have joined, and the receiver's queue takes frames.
 */
static bool
walk_choose(struct walk *walk, uint32_t to, struct run *run)
{
	struct peer *peer = walk->peer;
	struct endpoint *endpoint;
	struct outbox *outbox;
	uint64_t room;

	if (peer->role != PEER_WORKER || peer->awaits_resume ||
		peer->claimed_fd >= 0 || !(walk->row->flags & MEMORY_JOINED))
		return false;
	endpoint = exchange_endpoint(peer->exchange, to);
	if (endpoint == NULL || endpoint->peer == NULL || endpoint->is_dormant)
		return false;
	outbox = endpoint->peer->outbox;
	if (!(outbox_row(outbox)->flags & MEMORY_JOINED) ||
		!outbox_is_under_limit(outbox) || !outbox_has_room(outbox))
		return false;
	room = outbox->limit - outbox->queued;
	*run = (struct run){
		.to = endpoint->peer,
		.to_id = to,
		.room = room > MEMORY_LARGE_SIZE ? MEMORY_LARGE_SIZE
						 : (uint32_t)room,
		.received = walk->row->received,
		.sent = outbox_row(outbox)->sent,
	};
	return true;
}

/*
 * Stamps frame after frame, as long as they are plain, whole, in sequence and
 * for the same receiver, and its queue takes them; the frame that fills it is
 * the last. Returns where it ended. This is the loop that must be fast.
 */
static uint8_t *
walk_stamp(const struct walk *walk, struct run *run)
{
	const bool in_counts = walk->row->flags & MEMORY_TAKES_PART;
	const bool out_counts =
		outbox_row(run->to->outbox)->flags & MEMORY_TAKES_PART;
	const uint32_t from = walk->peer->id, to = run->to_id;
	const uint32_t max_message = walk->max_message;
	uint8_t *at = walk->base + walk->at;
	uint8_t *const start = at, *const end = walk->base + walk->end;
	uint32_t received = run->received, sent = run->sent;
	uint64_t ids = 0, id;
	uint32_t frames = 0;

	while (end - at >= MUSTER_HEADER_SIZE) {
		uint32_t size =
			walk_field(at, offsetof(struct frame_header, size));
		uint32_t next = in_counts ? frame_next_sequence(received) : 0;

		if (!walk_is_plain(at) || size - 1 >= max_message ||
			size > (size_t)(end - at) - MUSTER_HEADER_SIZE ||
			walk_field(at, offsetof(struct frame_header, to)) !=
				to ||
			walk_field(at, offsetof(struct frame_header,
					       sequence)) != next)
			break;
		memcpy(&id, at + offsetof(struct frame_header, id), sizeof id);
		ids |= id;
		received = next;
		sent = out_counts ? frame_next_sequence(sent) : 0;
		frame_stamp_from(at, from);
		frame_stamp_sequence(at, sent);
		at += MUSTER_HEADER_SIZE + size;
		frames++;
		if ((size_t)(at - start) > run->room)
			break;
	}
	run->received = received;
	run->sent = sent;
	run->frames = frames;
	run->ids = ids;
	return at;
}

/*
 * Takes a run of plain messages to the worker that the frame at hand names.
 * Returns false when not one frame could go this way.
 */
static bool
walk_run(struct walk *walk, uint32_t to)
{
	struct peer *peer = walk->peer;
	struct journal *journal = peer->exchange->view->journal;
	struct outbox *outbox;
	struct piece piece = {.block = walk->block, .offset = walk->at};
	struct run run;

	if (!walk_is_plain(walk->base + walk->at) ||
		!walk_choose(walk, to, &run))
		return false;
	piece.length =
		(uint32_t)(walk_stamp(walk, &run) - walk->base) - walk->at;
	if (run.frames == 0)
		return false;
	outbox = run.to->outbox;
	/* What was stamped lies where nobody refers to it yet. */
	memory_begin(peer->exchange->memory);
	if (outbox_row(outbox)->flags & MEMORY_TAKES_PART)
		journal_set(journal, outbox_row(outbox)->sent, run.sent);
	outbox_append_run(outbox, piece, run.sent,
		(struct outbox_source){
			.channel = peer->outbox->channel,
			.sequence = run.received,
			.mark = peer_mark(peer),
			.has_id = run.ids != 0,
		});
	journal_set(journal, outbox_row(outbox)->messages_in,
		outbox_row(outbox)->messages_in + run.frames);
	journal_set(journal, walk->row->messages_out,
		walk->row->messages_out + run.frames);
	if (walk->row->flags & MEMORY_TAKES_PART) {
		journal_set(journal, walk->row->received, run.received);
		walk->counted += run.frames;
		walk->bytes += piece.length;
	}
	memory_commit(peer->exchange->memory);
	walk->at += piece.length;
	if (piece.length >= EXCHANGE_BUSY_BYTES)
		peer->stream_to = to;
	peer_queued(run.to);
	if (!outbox_is_under_limit(outbox) && !peer->is_draining)
		peer_pause(peer, &outbox->paused);
	return true;
}

/* Sequences ------------------------------------------------------------- */

/* The first frame of a process joins it, unless that frame is a `resume`. */
static void
walk_join(struct walk *walk)
{
	struct peer *peer = walk->peer;

	journal_set(peer->exchange->view->journal, walk->row->flags,
		walk->row->flags | MEMORY_JOINED);
	outbox_renumber(peer->outbox);
	peer->outbox->is_open = true;
	peer_queued(peer);
	peer->endpoint->group->must_dispatch = true;
	peer->hooks->joined(peer);
}

/* Whether the number fits. What has none though its sender counts is a frame to
 * 0 (`ack`, `resume`), and router_zero.c checks that it is one. */
static bool
walk_is_in_sequence(struct walk *walk, const struct frame_header *header)
{
	struct journal *journal = walk->peer->exchange->view->journal;
	struct memory_channel *row = walk->row;

	if (!(row->flags & MEMORY_SETTLED)) {
		if (header->sequence > 1)
			return false;
		/* It is settled now whether this process takes part. */
		journal_set(journal, row->flags,
			row->flags | MEMORY_SETTLED |
				(header->sequence == 1 ? MEMORY_TAKES_PART
						       : 0));
	}
	if (!(row->flags & MEMORY_TAKES_PART))
		return header->sequence == 0;
	if (header->sequence == 0)
		return header->to == MUSTER_TO_SUPERVISOR;
	return header->sequence == frame_next_sequence(row->received);
}

static enum frame_fault
walk_sequence(struct walk *walk, const struct frame_header *header)
{
	struct peer *peer = walk->peer;

	if (peer->role != PEER_WORKER)
		return header->sequence == 0 ? FRAME_OK : FRAME_BAD_SEQUENCE;
	if (peer->awaits_resume)
		return FRAME_OK;
	if (!walk_is_in_sequence(walk, header))
		return FRAME_BAD_SEQUENCE;
	if (!(walk->row->flags & MEMORY_JOINED))
		walk_join(walk);
	return FRAME_OK;
}

/* The slow way ---------------------------------------------------------- */

static void
walk_count(struct walk *walk, const struct frame_header *header)
{
	struct journal *journal = walk->peer->exchange->view->journal;

	journal_set(
		journal, walk->row->messages_out, walk->row->messages_out + 1);
	if (header->sequence == 0 || walk->peer->has_ended)
		return;
	journal_set(journal, walk->row->received, header->sequence);
	walk->counted++;
	walk->bytes += header->size + MUSTER_HEADER_SIZE;
}

/*
 * What can have an answer waits until the peer has read what it was answered
 * before. Acknowledgements never wait.
 */
static bool
walk_may_be_answered(struct peer *peer, const struct frame_header *header)
{
	struct outbox *outbox = peer->outbox;

	if (peer->role != PEER_WORKER || peer->is_draining || header->id == 0 ||
		(outbox_is_under_limit(outbox) && outbox_has_room(outbox)))
		return true;
	peer_pause(peer, &outbox->paused);
	return false;
}

/* The work of walk_route. */
static bool
walk_route_whole(struct walk *walk, struct inbound *in)
{
	struct peer *peer = walk->peer;
	enum frame_fault fault = walk_sequence(walk, &in->header);

	if (fault != FRAME_OK) {
		peer_break(peer, frame_fault_text(fault));
		return false;
	}
	if (peer->has_ended || !walk_may_be_answered(peer, &in->header))
		return false;
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

/*
 * Routes a whole frame: all that it causes in the exchange memory, and that it
 * was received, is one change. A brain that dies in the middle has not had it,
 * and its sender sends it again. Returns false when it was not taken: the peer
 * has ended, or is paused and the frame will be offered again.
 */
static bool
walk_route(struct walk *walk, struct inbound *in)
{
	struct memory *memory = walk->peer->exchange->memory;
	bool was_taken;

	memory_begin(memory);
	was_taken = walk_route_whole(walk, in);
	memory_commit(memory);
	return was_taken;
}

/* A long frame has come in whole: it goes as its pieces. */
static void
walk_pieces(struct walk *walk)
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

/* What is left of a read is the start of a frame: intake.c keeps it. */
static void
walk_start(struct walk *walk)
{
	struct piece start = {
		.block = walk->block,
		.offset = walk->at,
		.length = walk->end - walk->at,
	};

	if (intake_keep_start(walk->peer, start))
		walk->at = walk->end;
}

/* Walks whole frames until one can't be taken or the bytes end. */
static void
walk_frames(struct walk *walk)
{
	while (walk->end - walk->at >= MUSTER_HEADER_SIZE) {
		uint32_t left = walk->end - walk->at;
		struct frame_header header;
		enum frame_fault fault;
		struct piece piece;
		struct inbound in;

		frame_load(walk->base + walk->at, &header);
		fault = frame_check(&header, walk->max_message);
		if (fault != FRAME_OK) {
			peer_break(walk->peer, frame_fault_text(fault));
			return;
		}
		if (header.size > left - MUSTER_HEADER_SIZE)
			return;
		if (!walk_run(walk, header.to)) {
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
		}
		if (!intake_may_go_on(walk->peer))
			return;
	}
}

static uint32_t
walk_max_message(const struct peer *peer)
{
	if (peer->endpoint != NULL && !peer->is_retired)
		return peer->endpoint->group->limits.max_message;
	return peer->role == PEER_STRANGER ? EXCHANGE_STRANGER_MESSAGE
					   : MUSTER_MAX_MESSAGE;
}

uint32_t
walk_bytes(struct peer *peer, uint32_t block, uint32_t at, uint32_t end)
{
	struct walk walk = {
		.peer = peer,
		.row = outbox_row(peer->outbox),
		.block = block,
		.at = at,
		.end = end,
		.base = memory_at(peer->exchange->view, block, 0),
		.max_message = walk_max_message(peer),
	};

	if (peer->piece_count > 0 && peer->missing == 0)
		walk_pieces(&walk);
	if (intake_may_go_on(peer) && peer->missing == 0)
		walk_frames(&walk);
	if (intake_may_go_on(peer) && walk.at < walk.end)
		walk_start(&walk);

	peer_count_read(peer, walk.counted, walk.bytes);
	return walk.at;
}

/*
 * memory.h: the exchange memory: what of the messages must outlive the brain.
 *
 * One memory file that the keeper holds: blocks into which channels are read,
 * a row and a ring of entries for each channel, and the tables of open requests
 * and of subscriptions.
 * The layout is plain structs with one writer; what can be derived (who refers
 * to a block, which rows are free) lives in the heap and is counted again when
 * a brain starts.
 *
 * Blocks come in two sizes: large ones are read into, small ones hold what is
 * copied together. Each has a count of references; the last one frees it.
 */
#ifndef MUSTER_EXCHANGE_MEMORY_H
#define MUSTER_EXCHANGE_MEMORY_H

#include "base/record.h"
#include "journal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MEMORY_LARGE_SIZE = 256 * 1024,
	MEMORY_SMALL_SIZE = 16 * 1024,
	MEMORY_CHANNELS_MAX = 8192,
	MEMORY_RING_SIZE = 4096, /* entries; a power of two */
	MEMORY_REQUESTS_MAX = 65536,
	MEMORY_TOLD_MAX = 65536, /* endpoints */
	MEMORY_SUBSCRIPTIONS_MAX = 65536,
	/* Small blocks that only what 0 says may use. */
	MEMORY_RESERVE = 256,
};

#define MEMORY_NONE UINT32_MAX /* no block, no channel */

enum memory_use {
	MEMORY_FREE = 0,
	MEMORY_WORKER,	/* the channel of a process */
	MEMORY_CLIENT,	/* an operator's or a guest's: ends with the brain */
	MEMORY_WAITING, /* frames of an endpoint or a group without a process */
	MEMORY_USES,
};

enum memory_flag {
	MEMORY_SETTLED = 1,    /* its first frame told whether it takes part */
	MEMORY_TAKES_PART = 2, /* counts, acknowledges and resumes */
	MEMORY_JOINED = 4,
	MEMORY_LEAVING = 8, /* of MEMORY_WAITING: it is being emptied */
};

/* The row of a channel. */
struct memory_channel {
	uint32_t use;	  /* enum memory_use */
	uint32_t flags;	  /* enum memory_flag */
	uint64_t process; /* of MEMORY_WAITING with id 0: a group's mark */
	uint32_t id;	  /* the endpoint's address */
	uint32_t generation;
	uint32_t received;    /* sequence of the last frame taken in */
	uint32_t sent;	      /* sequence of the last frame put into the ring */
	uint32_t acked;	      /* the last sequence that the peer acknowledged */
	uint32_t head;	      /* ring: the first entry in use; free-running */
	uint32_t tail;	      /* ring: behind the last; raised by one store */
	uint32_t connections; /* handed over to it and not done */
	/* ring: the first entry not wholly written, and in the upper half how
	 * many bytes of it are. While the kernel is called: behind all that it
	 * was offered. */
	uint64_t written;
	uint64_t messages_in;  /* frames passed on to it */
	uint64_t messages_out; /* frames taken from it */
};

/* The two halves of memory_channel::written. */
static inline uint64_t
memory_progress(uint32_t position, uint32_t bytes)
{
	return (uint64_t)bytes << 32 | position;
}

static inline uint32_t
memory_position(uint64_t written)
{
	return (uint32_t)written;
}

enum memory_entry_flag {
	MEMORY_CONTINUES = 1, /* the frame goes on in the next entry */
	MEMORY_PIECE = 2,     /* part of a frame of several entries */
	MEMORY_WITH_FD = 4,   /* a descriptor travels with it */
	MEMORY_TAKEN = 8,     /* taken out of the middle: passed over */
	MEMORY_WITH_ID =
		16, /* a frame in it has an id: all are of one sender */
	MEMORY_ENTRY_FLAGS = 31,
};

/*
 * An entry of a ring: a run of whole frames, or one piece of a frame that lies
 * in several places.
 */
struct memory_entry {
	uint32_t block, offset, length;
	uint32_t flags;	 /* enum memory_entry_flag */
	uint32_t last;	 /* sequence of the last frame that ends here */
	uint32_t sender; /* channel and sequence of the last frame's sender */
	uint32_t sender_sequence;
	uint32_t sender_mark; /* which process or client that channel was */
};

/* An open request; `number` 0: a free row. */
struct memory_request {
	uint64_t number;
	uint64_t asker_process;
	uint64_t asker_id;	/* as the asker wrote it */
	uint64_t asked_process; /* 0: waits for one */
	int64_t deadline_ns;	/* monotonic; 0: none */
	uint32_t asker_channel;
	uint32_t asked_channel; /* MEMORY_NONE: waits */
	uint32_t asked_id;	/* endpoint; 0: ANY */
	uint32_t concerning;	/* the address as it was written */
};

/* A subscription; `size` 0: a free row. */
struct memory_subscription {
	uint32_t channel; /* whose it is, … */
	uint32_t mark;	  /* … and which process or client that was */
	uint8_t size;	  /* bytes of the pattern; written last */
	char pattern[255];
};

struct memory_place {
	_Alignas(8)
		uint8_t bytes[RECORD_PLACE_SIZE(sizeof(struct memory_request))];
};

struct memory; /* private to memory.c but for the inline access below */

struct memory_view {
	uint8_t *large; /* first large block */
	uint8_t *small; /* first small block */
	uint32_t large_count;
	struct memory_channel *channels;
	struct memory_entry *entries;
	/* Every change of what lies in the memory goes through it. */
	struct journal *journal;
};

/*
 * Maps `fd` (taken over, closed). An empty file is laid out with blocks for
 * `limit` bytes; one that is laid out keeps its limit: a change that was under
 * way is undone, rows and entries that don't add up are set aside (see
 * memory_faults), and the references are counted from its rings.
 * Returns 0; -EPROTO: another layout, nothing changed; -ENOMEM; or what the
 * calls said. `*ret_was_used` tells whether an earlier brain laid it out.
 */
int memory_open(
	int fd, uint64_t limit, struct memory **ret_memory, bool *ret_was_used);
void memory_close(struct memory **memory);

const struct memory_view *memory_view(const struct memory *memory);

/* How many rows, entries and requests were set aside in this life. */
uint64_t memory_faults(const struct memory *memory);

/*
 * All changes until the commit happen together or not at all; changes within
 * changes are part of the outermost. Blocks and rows that are freed meanwhile
 * can be taken again after the commit, not before.
 */
void memory_begin(struct memory *memory);
void memory_commit(struct memory *memory);

/* Whether a change is under way. */
bool memory_is_changing(const struct memory *memory);

/*
 * What was changed so far counts, though the change is not over: before what
 * can't be taken back.
 */
void memory_commit_early(struct memory *memory);

/* The byte at `offset` of `block`. */
static inline uint8_t *
memory_at(const struct memory_view *view, uint32_t block, uint32_t offset)
{
	if (block < view->large_count)
		return view->large + (size_t)block * MEMORY_LARGE_SIZE + offset;
	return view->small +
	       (size_t)(block - view->large_count) * MEMORY_SMALL_SIZE + offset;
}

static inline struct memory_entry *
memory_entry_at(
	const struct memory_view *view, uint32_t channel, uint32_t position)
{
	return &view->entries[(size_t)channel * MEMORY_RING_SIZE +
			      (position & (MEMORY_RING_SIZE - 1))];
}

/*
 * Takes a block, with one reference. `privileged`: may use the reserve.
 * Returns MEMORY_NONE when none is free.
 */
uint32_t memory_take_large(struct memory *memory);
uint32_t memory_take_small(struct memory *memory, bool privileged);

/* Whether `count` small blocks are free without the reserve. */
bool memory_has_small(const struct memory *memory, uint32_t count);

void memory_reference(struct memory *memory, uint32_t block);
void memory_release(struct memory *memory, uint32_t block);
uint32_t memory_references(const struct memory *memory, uint32_t block);

/* How many large blocks are free, and how many there are. */
uint32_t memory_large_free(const struct memory *memory);
uint32_t memory_large_count(const struct memory *memory);

/* Whether so little is free that nothing small should pin a large block. */
bool memory_is_tight(const struct memory *memory);

/*
 * Whether a block was freed since this was last asked: who waits for room may
 * try again.
 */
bool memory_had_release(struct memory *memory);

/* Takes a free row, zeroed but for `use`; MEMORY_NONE when none is free. */
uint32_t memory_take_channel(struct memory *memory, enum memory_use use);
/* Frees a row; nobody refers to the blocks of its ring any more. */
void memory_free_channel(struct memory *memory, uint32_t channel);

/* Rows that were ever used are 0 … this minus 1. */
uint32_t memory_channels_used(const struct memory *memory);

/* A number that was never given out before in the memory's life, from 0. */
uint32_t memory_next_client(struct memory *memory);

/*
 * Whether the endpoint `id` was announced as ready. Of ids from MEMORY_TOLD_MAX
 * on nothing is kept: always false.
 */
bool memory_is_told(const struct memory *memory, uint32_t id);
void memory_set_told(struct memory *memory, uint32_t id, bool told);

/* Requests: rows that were ever written are 0 … used minus 1. */
uint32_t memory_requests_used(const struct memory *memory);
void memory_write_request(struct memory *memory, uint32_t row,
	const struct memory_request *request);
int memory_read_request(struct memory *memory, uint32_t row,
	struct memory_request *ret_request);

/*
 * Subscriptions: takes a free row for a pattern of 1 to 255 bytes; MEMORY_NONE
 * when none is free.
 */
uint32_t memory_take_subscription(struct memory *memory, uint32_t channel,
	uint32_t mark, const char *pattern, uint32_t size);
void memory_free_subscription(struct memory *memory, uint32_t row);

/* Rows that were ever taken are 0 … used minus 1. */
uint32_t memory_subscriptions_used(const struct memory *memory);
const struct memory_subscription *memory_subscription_at(
	const struct memory *memory, uint32_t row);

#endif

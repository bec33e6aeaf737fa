/*
 * memory.c: the blocks and rows of the exchange memory.
 *
 * It hands them out and counts references. It doesn't know what a frame is:
 * rings are filled by outbox.c, requests by requests.c. How the file is laid
 * out and read again is memory_open.c's.
 */
#include "memory_state.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
	MEMORY_KEEP_RESIDENT = 64, /* free large blocks that keep their pages */
};

const struct memory_view *
memory_view(const struct memory *memory)
{
	return &memory->view;
}

uint32_t
memory_take_large(struct memory *memory)
{
	uint32_t block;

	if (memory->free_large_count > 0) {
		block = memory->free_large[--memory->free_large_count];
		if (memory->cold_large > memory->free_large_count)
			memory->cold_large = memory->free_large_count;
	} else if (memory->fresh_large < memory->head->large_count) {
		block = memory->fresh_large++;
	} else {
		return MEMORY_NONE;
	}
	memory->references[block] = 1;
	return block;
}

bool
memory_has_small(const struct memory *memory, uint32_t count)
{
	return memory->free_small_count + memory->head->small_count -
		       memory->fresh_small >=
	       count + MEMORY_RESERVE;
}

uint32_t
memory_take_small(struct memory *memory, bool privileged)
{
	uint32_t never = memory->head->small_count - memory->fresh_small;
	uint32_t block;

	if (!privileged && memory->free_small_count + never <= MEMORY_RESERVE)
		return MEMORY_NONE;
	if (memory->free_small_count > 0)
		block = memory->free_small[--memory->free_small_count];
	else if (never > 0)
		block = memory->head->large_count + memory->fresh_small++;
	else
		return MEMORY_NONE;
	memory->references[block] = 1;
	return block;
}

void
memory_reference(struct memory *memory, uint32_t block)
{
	memory->references[block]++;
}

static void
memory_free_block(struct memory *memory, uint32_t block)
{
	memory->had_release = true;
	if (block >= memory->head->large_count) {
		memory->free_small[memory->free_small_count++] = block;
		return;
	}
	memory->free_large[memory->free_large_count++] = block;
	/* After a burst, pages go back to the system: those of the block that
	 * lies deepest, since the next to be taken is the top. */
	if (memory->free_large_count - memory->cold_large >
		MEMORY_KEEP_RESIDENT) {
		block = memory->free_large[memory->cold_large++];
		(void)madvise(memory_at(&memory->view, block, 0),
			MEMORY_LARGE_SIZE, MADV_REMOVE);
	}
}

void
memory_release(struct memory *memory, uint32_t block)
{
	if (block == MEMORY_NONE)
		return;
	if (memory->journal.depth > 0) {
		if (memory->given_up[block]++ == 0)
			memory->given_list[memory->given_count++] = block;
		return;
	}
	if (--memory->references[block] == 0)
		memory_free_block(memory, block);
}

/* Changes --------------------------------------------------------------- */

/* What the change gave up can be taken from now on. */
static void
memory_give_up(struct memory *memory)
{
	while (memory->given_count > 0) {
		uint32_t block = memory->given_list[--memory->given_count];

		memory->references[block] -= memory->given_up[block];
		memory->given_up[block] = 0;
		if (memory->references[block] == 0)
			memory_free_block(memory, block);
	}
	while (memory->given_channel_count > 0)
		memory->free_channels[memory->free_channel_count++] =
			memory->given_channels[--memory->given_channel_count];
}

void
memory_begin(struct memory *memory)
{
	memory->journal.depth++;
}

void
memory_commit_early(struct memory *memory)
{
	journal_forget(&memory->journal);
	memory_give_up(memory);
}

void
memory_commit(struct memory *memory)
{
	if (--memory->journal.depth > 0)
		return;
	journal_forget(&memory->journal);
	if (memory->given_count > 0 || memory->given_channel_count > 0)
		memory_give_up(memory);
}

bool
memory_is_changing(const struct memory *memory)
{
	return memory->journal.depth > 0;
}

uint64_t
memory_faults(const struct memory *memory)
{
	return memory->faults;
}

/* Counts ---------------------------------------------------------------- */

uint32_t
memory_references(const struct memory *memory, uint32_t block)
{
	return memory->references[block];
}

uint32_t
memory_large_free(const struct memory *memory)
{
	return memory->free_large_count + memory->head->large_count -
	       memory->fresh_large;
}

uint32_t
memory_large_count(const struct memory *memory)
{
	return memory->head->large_count;
}

bool
memory_is_tight(const struct memory *memory)
{
	return memory_large_free(memory) < memory->head->large_count / 4;
}

bool
memory_had_release(struct memory *memory)
{
	bool had = memory->had_release;

	memory->had_release = false;
	return had;
}

uint32_t
memory_take_channel(struct memory *memory, enum memory_use use)
{
	struct memory_channel *row;
	uint32_t channel;

	if (memory->free_channel_count > 0)
		channel = memory->free_channels[--memory->free_channel_count];
	else if (memory->head->channels_used < MEMORY_CHANNELS_MAX)
		channel = memory->head->channels_used++;
	else
		return MEMORY_NONE;
	row = &memory->view.channels[channel];
	/* What else a free row holds means nothing, whatever happens now. */
	memset(row, 0, sizeof *row);
	journal_set(&memory->journal, row->use, use);
	return channel;
}

void
memory_free_channel(struct memory *memory, uint32_t channel)
{
	struct memory_channel *row = &memory->view.channels[channel];

	journal_set(&memory->journal, row->use, MEMORY_FREE);
	if (memory->journal.depth > 0)
		memory->given_channels[memory->given_channel_count++] = channel;
	else
		memory->free_channels[memory->free_channel_count++] = channel;
}

uint32_t
memory_channels_used(const struct memory *memory)
{
	return memory->head->channels_used;
}

uint32_t
memory_next_client(struct memory *memory)
{
	return memory->head->clients_used++;
}

bool
memory_is_told(const struct memory *memory, uint32_t id)
{
	return id < MEMORY_TOLD_MAX &&
	       (memory->told[id / 8] >> id % 8 & 1) != 0;
}

void
memory_set_told(struct memory *memory, uint32_t id, bool told)
{
	uint8_t bit = (uint8_t)(1u << id % 8), *byte;

	if (id >= MEMORY_TOLD_MAX)
		return;
	byte = &memory->told[id / 8];
	journal_set(&memory->journal, *byte,
		(uint8_t)(told ? *byte | bit : *byte & ~bit));
}

uint32_t
memory_requests_used(const struct memory *memory)
{
	return memory->head->requests_used;
}

void
memory_write_request(struct memory *memory, uint32_t row,
	const struct memory_request *request)
{
	struct memory_place *place = &memory->requests[row];

	journal_save(&memory->journal, place, sizeof *place);
	record_write(place, request, sizeof *request);
	JOURNAL_CRASH_POINT();
	if (row >= memory->head->requests_used)
		memory->head->requests_used = row + 1;
}

int
memory_read_request(
	struct memory *memory, uint32_t row, struct memory_request *ret_request)
{
	int r = record_read(
		&memory->requests[row], ret_request, sizeof *ret_request);

	if (r == -EBADMSG)
		memory->faults++;
	return r;
}

/* Subscriptions --------------------------------------------------------- */

uint32_t
memory_take_subscription(struct memory *memory, uint32_t channel, uint32_t mark,
	const char *pattern, uint32_t size)
{
	struct journal *journal = &memory->journal;
	struct memory_subscription *taken;
	uint32_t row;

	if (memory->free_subscription_count > 0)
		row = memory->free_subscriptions
			      [--memory->free_subscription_count];
	else if (memory->head->subscriptions_used < MEMORY_SUBSCRIPTIONS_MAX)
		row = memory->head->subscriptions_used++;
	else
		return MEMORY_NONE;
	taken = &memory->subscriptions[row];
	/* It may have been freed in this very change. */
	journal_save(journal, taken, sizeof *taken);
	taken->channel = channel;
	taken->mark = mark;
	memcpy(taken->pattern, pattern, size);
	journal_barrier();
	taken->size = (uint8_t)size;
	journal_barrier();
	return row;
}

void
memory_free_subscription(struct memory *memory, uint32_t row)
{
	journal_set(&memory->journal, memory->subscriptions[row].size, 0);
	memory->free_subscriptions[memory->free_subscription_count++] = row;
}

uint32_t
memory_subscriptions_used(const struct memory *memory)
{
	return memory->head->subscriptions_used;
}

const struct memory_subscription *
memory_subscription_at(const struct memory *memory, uint32_t row)
{
	return &memory->subscriptions[row];
}

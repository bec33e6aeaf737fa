/*
 * memory_open.c: the exchange memory's layout: how it is made, and how what an
 * earlier brain left is read. Nothing of that is believed: a file may be
 * damaged, and a damaged one must neither stop nor mislead a brain.
 */
#include "base/sys.h"
#include "exchange.h"
#include "memory_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEMORY_MAGIC UINT64_C(0x6567616863786521)

enum {
	MEMORY_VERSION = 3,
	MEMORY_PAGE = 4096,
	MEMORY_BLOCKS_MIN = 16, /* large blocks at least */
};

static size_t
memory_round(size_t size)
{
	return (size + MEMORY_PAGE - 1) & ~(size_t)(MEMORY_PAGE - 1);
}

/* Where the parts lie; the same sum for a new file and for a used one. */
struct memory_plan {
	size_t journal, told, channels, entries, requests, subscriptions;
	size_t small, large, size;
};

static struct memory_plan
memory_plan(uint32_t large_count, uint32_t small_count)
{
	struct memory_plan plan;

	plan.journal = memory_round(sizeof(struct memory_head));
	plan.told = plan.journal + memory_round(sizeof(struct journal_log));
	plan.channels = plan.told + memory_round(MEMORY_TOLD_MAX / 8);
	plan.requests =
		plan.channels + memory_round(MEMORY_CHANNELS_MAX *
					     sizeof(struct memory_channel));
	plan.subscriptions =
		plan.requests +
		memory_round(MEMORY_REQUESTS_MAX * sizeof(struct memory_place));
	plan.entries = plan.subscriptions +
		       memory_round(MEMORY_SUBSCRIPTIONS_MAX *
				    sizeof(struct memory_subscription));
	plan.small = plan.entries + (size_t)MEMORY_CHANNELS_MAX *
					    MEMORY_RING_SIZE *
					    sizeof(struct memory_entry);
	plan.large = plan.small + (size_t)small_count * MEMORY_SMALL_SIZE;
	plan.size = plan.large + (size_t)large_count * MEMORY_LARGE_SIZE;
	return plan;
}

/* Three quarters of the limit are large blocks, the rest small ones. */
static void
memory_share(uint64_t limit, uint32_t *ret_large, uint32_t *ret_small)
{
	uint64_t large = limit / 4 * 3 / MEMORY_LARGE_SIZE;
	uint64_t small = limit / 4 / MEMORY_SMALL_SIZE;

	if (large < MEMORY_BLOCKS_MIN)
		large = MEMORY_BLOCKS_MIN;
	if (large > 1u << 20)
		large = 1u << 20;
	if (small < 2 * MEMORY_RESERVE)
		small = 2 * MEMORY_RESERVE;
	if (small > 1u << 24)
		small = 1u << 24;
	*ret_large = (uint32_t)large;
	*ret_small = (uint32_t)small;
}

static int
memory_map(struct memory *memory, int fd, const struct memory_plan *plan)
{
	void *base;
	int r;

	r = sys_mmap(plan->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, &base);
	if (r < 0)
		return r;
	memory->base = base;
	memory->size = plan->size;
	memory->head = base;
	memory->view.channels = (void *)(memory->base + plan->channels);
	memory->view.entries = (void *)(memory->base + plan->entries);
	memory->view.small = memory->base + plan->small;
	memory->view.large = memory->base + plan->large;
	memory->requests = (void *)(memory->base + plan->requests);
	memory->subscriptions = (void *)(memory->base + plan->subscriptions);
	memory->told = memory->base + plan->told;
	memory->journal.base = memory->base;
	memory->journal.log = (void *)(memory->base + plan->journal);
	memory->view.journal = &memory->journal;
	return 0;
}

/*
 * Reads the head of a file of `size` bytes and checks that it is ours.
 * Returns 1: it is; 0: a brain died before the file was laid out, nothing is in
 * it; or a negative errno.
 */
static int
memory_check_head(int fd, off_t size, uint32_t *ret_large, uint32_t *ret_small)
{
	struct memory_head head;
	struct memory_plan plan;
	void *page;
	int r;

	if (size < MEMORY_PAGE)
		return size == 0 ? 0 : -EPROTO;
	r = sys_mmap(MEMORY_PAGE, PROT_READ, MAP_SHARED, fd, &page);
	if (r < 0)
		return r;
	memcpy(&head, page, sizeof head);
	(void)sys_munmap(page, MEMORY_PAGE);

	if (head.magic == 0)
		return 0;
	if (head.magic != MEMORY_MAGIC || head.version != MEMORY_VERSION ||
		head.size != (uint64_t)size || head.large_count > 1u << 20 ||
		head.small_count > 1u << 24)
		return -EPROTO;
	plan = memory_plan(head.large_count, head.small_count);
	if (plan.size != (size_t)size)
		return -EPROTO;
	*ret_large = head.large_count;
	*ret_small = head.small_count;
	return 1;
}

static int
memory_allocate(struct memory *memory, uint32_t large, uint32_t small)
{
	const size_t blocks = (size_t)large + small;

	memory->view.large_count = large;
	memory->references = calloc(blocks, sizeof(uint32_t));
	memory->given_up = calloc(blocks, sizeof(uint32_t));
	memory->given_list = calloc(blocks, sizeof(uint32_t));
	memory->free_large = calloc(large, sizeof(uint32_t));
	memory->free_small = calloc(small, sizeof(uint32_t));
	memory->free_channels = calloc(MEMORY_CHANNELS_MAX, sizeof(uint32_t));
	memory->given_channels = calloc(MEMORY_CHANNELS_MAX, sizeof(uint32_t));
	memory->free_subscriptions =
		calloc(MEMORY_SUBSCRIPTIONS_MAX, sizeof(uint32_t));
	if (memory->references == NULL || memory->free_subscriptions == NULL ||
		memory->given_up == NULL || memory->given_list == NULL ||
		memory->free_large == NULL || memory->free_small == NULL ||
		memory->free_channels == NULL || memory->given_channels == NULL)
		return -ENOMEM;
	return 0;
}

/* What was found ------------------------------------------------------------
 */

/* Whether an entry lies inside a block. */
static bool
memory_is_sane(const struct memory *memory, const struct memory_entry *entry)
{
	uint32_t large = memory->head->large_count;
	uint32_t size =
		entry->block < large ? MEMORY_LARGE_SIZE : MEMORY_SMALL_SIZE;

	return entry->block < large + memory->head->small_count &&
	       entry->offset <= size && entry->length <= size - entry->offset &&
	       (entry->flags & ~(uint32_t)MEMORY_ENTRY_FLAGS) == 0 &&
	       (entry->sender == MEMORY_NONE ||
		       entry->sender < MEMORY_CHANNELS_MAX);
}

/* An entry that doesn't add up is passed over. */
static void
memory_mend_entry(struct memory *memory, struct memory_entry *entry)
{
	if ((entry->block == MEMORY_NONE && entry->length == 0 &&
		    entry->flags == MEMORY_TAKEN) ||
		memory_is_sane(memory, entry))
		return;
	memory->faults++;
	*entry = (struct memory_entry){.block = MEMORY_NONE,
		.flags = MEMORY_TAKEN,
		.sender = MEMORY_NONE};
}

/* Makes a row add up: what was never written by us goes. */
static void
memory_mend_row(struct memory *memory, uint32_t channel)
{
	struct memory_channel *row = &memory->view.channels[channel];
	struct memory_entry *last;
	uint32_t written = memory_position(row->written);

	if (row->use == MEMORY_FREE)
		return;
	if (row->use >= MEMORY_USES ||
		row->tail - row->head > MEMORY_RING_SIZE) {
		memory->faults++;
		row->head = row->tail;
		row->written = memory_progress(row->tail, 0);
		if (row->use >= MEMORY_USES)
			row->use = MEMORY_FREE;
		return;
	}
	if (written - row->head > row->tail - row->head) {
		memory->faults++;
		row->written = memory_progress(row->head, 0);
	}
	for (uint32_t p = row->head; p != row->tail; p++)
		memory_mend_entry(
			memory, memory_entry_at(&memory->view, channel, p));
	if (row->head == row->tail)
		return;
	last = memory_entry_at(&memory->view, channel, row->tail - 1);
	if (last->flags & MEMORY_CONTINUES) {
		memory->faults++;
		last->flags &= ~(uint32_t)MEMORY_CONTINUES;
	}
}

/* Counts who refers to what, from the rings that an earlier brain left. */
static void
memory_recount(struct memory *memory)
{
	uint32_t large_count = memory->head->large_count;
	uint32_t large = 0, small = 0;

	for (uint32_t c = memory->head->channels_used; c-- > 0;) {
		struct memory_channel *channel = &memory->view.channels[c];

		memory_mend_row(memory, c);
		if (channel->use == MEMORY_FREE) {
			memory->free_channels[memory->free_channel_count++] = c;
			continue;
		}
		for (uint32_t p = channel->head; p != channel->tail; p++) {
			uint32_t block =
				memory_entry_at(&memory->view, c, p)->block;

			if (block == MEMORY_NONE)
				continue;
			memory->references[block]++;
			if (block < large_count && block >= large)
				large = block + 1;
			if (block >= large_count &&
				block - large_count >= small)
				small = block - large_count + 1;
		}
	}
	memory->fresh_large = large;
	memory->fresh_small = small;
	while (large-- > 0)
		if (memory->references[large] == 0)
			memory->free_large[memory->free_large_count++] = large;
	while (small-- > 0) {
		uint32_t block = memory->head->large_count + small;

		if (memory->references[block] == 0)
			memory->free_small[memory->free_small_count++] = block;
	}
}

/* Reads what an earlier brain left; it died at any instruction. */
static void
memory_recover(struct memory *memory)
{
	struct memory_head *head = memory->head;

	if (journal_undo(&memory->journal, memory->size) < 0)
		memory->faults++;
	if (head->channels_used > MEMORY_CHANNELS_MAX ||
		head->requests_used > MEMORY_REQUESTS_MAX ||
		head->subscriptions_used > MEMORY_SUBSCRIPTIONS_MAX) {
		memory->faults++;
		if (head->channels_used > MEMORY_CHANNELS_MAX)
			head->channels_used = MEMORY_CHANNELS_MAX;
		if (head->requests_used > MEMORY_REQUESTS_MAX)
			head->requests_used = MEMORY_REQUESTS_MAX;
		if (head->subscriptions_used > MEMORY_SUBSCRIPTIONS_MAX)
			head->subscriptions_used = MEMORY_SUBSCRIPTIONS_MAX;
	}
	for (uint32_t row = head->subscriptions_used; row-- > 0;)
		if (memory->subscriptions[row].size == 0)
			memory->free_subscriptions
				[memory->free_subscription_count++] = row;
	memory_recount(memory);
}

static void
memory_lay_out(struct memory *memory, uint32_t large, uint32_t small)
{
	struct memory_head *head = memory->head;

	head->version = MEMORY_VERSION;
	head->large_count = large;
	head->small_count = small;
	head->size = memory->size;
	journal_barrier();
	head->magic = MEMORY_MAGIC;
}

static int
memory_open_with(struct memory *memory, int fd, uint64_t limit, bool *ret_used)
{
	struct memory_plan plan;
	struct stat status;
	uint32_t large = 0, small = 0;
	int used, r;

	r = sys_fstat(fd, &status);
	if (r < 0)
		return r;
	used = memory_check_head(fd, status.st_size, &large, &small);
	if (used < 0)
		return used;
	if (!used)
		memory_share(limit, &large, &small);
	plan = memory_plan(large, small);
	if (!used) {
		r = sys_ftruncate(fd, (off_t)plan.size);
		if (r < 0)
			return r;
	}
	r = memory_map(memory, fd, &plan);
	if (r < 0)
		return r;
	r = memory_allocate(memory, large, small);
	if (r < 0)
		return r;
	if (used)
		memory_recover(memory);
	else
		memory_lay_out(memory, large, small);
	*ret_used = used;
	return 0;
}

int
exchange_check(int memory_fd)
{
	uint32_t large, small;
	struct stat status;
	int r = sys_fstat(memory_fd, &status);

	if (r >= 0)
		r = memory_check_head(
			memory_fd, status.st_size, &large, &small);
	return r < 0 ? r : 0;
}

int
memory_open(
	int fd, uint64_t limit, struct memory **ret_memory, bool *ret_was_used)
{
	struct memory *memory = calloc(1, sizeof *memory);
	int r = -ENOMEM;

	if (memory != NULL)
		r = memory_open_with(memory, fd, limit, ret_was_used);
	(void)sys_close(fd);
	if (r < 0) {
		memory_close(&memory);
		return r;
	}
	*ret_memory = memory;
	return 0;
}

void
memory_close(struct memory **memory)
{
	struct memory *m = *memory;

	if (m == NULL)
		return;
	if (m->base != NULL)
		(void)sys_munmap(m->base, m->size);
	free(m->references);
	free(m->given_up);
	free(m->given_list);
	free(m->given_channels);
	free(m->free_large);
	free(m->free_small);
	free(m->free_channels);
	free(m->free_subscriptions);
	free(m);
	*memory = NULL;
}

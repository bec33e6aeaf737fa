/*
 * memory.c: the layout of the exchange memory, its blocks and its rows.
 *
 * It maps the file, hands out blocks and rows, and counts references. It
 * doesn't know what a frame is: rings are filled by outbox.c, requests by
 * requests.c. Separate, because everything in it must keep its meaning from
 * one brain to the next.
 */
#include "memory.h"

#include "base/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEMORY_MAGIC UINT64_C(0x6567616863786521)

enum {
	MEMORY_VERSION = 1,
	MEMORY_PAGE = 4096,
	MEMORY_BLOCKS_MIN = 16,	   /* large blocks at least */
	MEMORY_KEEP_RESIDENT = 64, /* free large blocks that keep their pages */
};

struct memory_head {
	uint64_t magic; /* written last */
	uint32_t version;
	uint32_t large_count, small_count;
	uint32_t channels_used; /* rows ever taken */
	uint32_t requests_used; /* rows ever written */
	uint32_t clients_used;	/* addresses ever given to clients */
	uint64_t size;		/* of the file */
};

struct memory {
	struct memory_view view;
	uint8_t *base;
	size_t size;
	struct memory_head *head;
	struct memory_place *requests;

	uint32_t *references;		   /* a count for each block */
	uint32_t *free_large, *free_small; /* stacks: the last freed is warm */
	uint32_t free_large_count, free_small_count;
	uint32_t cold_large; /* of free_large, from the bottom: without pages */
	uint32_t fresh_large, fresh_small; /* never used from here on */
	uint32_t *free_channels;
	uint32_t free_channel_count;
	bool had_release;
};

static size_t
memory_round(size_t size)
{
	return (size + MEMORY_PAGE - 1) & ~(size_t)(MEMORY_PAGE - 1);
}

/* Where the parts lie; the same sum for a new file and for a used one. */
struct memory_plan {
	size_t channels, entries, requests, small, large, size;
};

static struct memory_plan
memory_plan(uint32_t large_count, uint32_t small_count)
{
	struct memory_plan plan;

	plan.channels = memory_round(sizeof(struct memory_head));
	plan.requests =
		plan.channels + memory_round(MEMORY_CHANNELS_MAX *
					     sizeof(struct memory_channel));
	plan.entries =
		plan.requests +
		memory_round(MEMORY_REQUESTS_MAX * sizeof(struct memory_place));
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
	return 0;
}

/* Reads the head of a file of `size` bytes and checks that it is ours. */
static int
memory_check_head(int fd, off_t size, uint32_t *ret_large, uint32_t *ret_small)
{
	struct memory_head head;
	struct memory_plan plan;
	void *page;
	int r;

	if (size < MEMORY_PAGE)
		return -EPROTO;
	r = sys_mmap(MEMORY_PAGE, PROT_READ, MAP_SHARED, fd, &page);
	if (r < 0)
		return r;
	memcpy(&head, page, sizeof head);
	(void)sys_munmap(page, MEMORY_PAGE);

	if (head.magic != MEMORY_MAGIC || head.version != MEMORY_VERSION ||
		head.size != (uint64_t)size || head.large_count > 1u << 20 ||
		head.small_count > 1u << 24)
		return -EPROTO;
	plan = memory_plan(head.large_count, head.small_count);
	if (plan.size != (size_t)size ||
		head.channels_used > MEMORY_CHANNELS_MAX ||
		head.requests_used > MEMORY_REQUESTS_MAX)
		return -EPROTO;
	*ret_large = head.large_count;
	*ret_small = head.small_count;
	return 0;
}

static int
memory_allocate(struct memory *memory, uint32_t large, uint32_t small)
{
	memory->view.large_count = large;
	memory->references = calloc((size_t)large + small, sizeof(uint32_t));
	memory->free_large = calloc(large, sizeof(uint32_t));
	memory->free_small = calloc(small, sizeof(uint32_t));
	memory->free_channels = calloc(MEMORY_CHANNELS_MAX, sizeof(uint32_t));
	if (memory->references == NULL || memory->free_large == NULL ||
		memory->free_small == NULL || memory->free_channels == NULL)
		return -ENOMEM;
	return 0;
}

/* Whether an entry lies inside a block. */
static bool
memory_is_sane(const struct memory *memory, const struct memory_entry *entry)
{
	uint32_t large = memory->head->large_count;
	uint32_t size =
		entry->block < large ? MEMORY_LARGE_SIZE : MEMORY_SMALL_SIZE;

	return entry->block < large + memory->head->small_count &&
	       entry->offset <= size && entry->length <= size - entry->offset;
}

/* Whether the ring of a row adds up; what doesn't was never written by us. */
static bool
memory_ring_is_sane(const struct memory *memory, uint32_t channel)
{
	const struct memory_channel *row = &memory->view.channels[channel];

	if (row->tail - row->head > MEMORY_RING_SIZE ||
		row->written - row->head > row->tail - row->head)
		return false;
	for (uint32_t p = row->head; p != row->tail; p++)
		if (!memory_is_sane(
			    memory, memory_entry_at(&memory->view, channel, p)))
			return false;
	return true;
}

/* Counts who refers to what, from the rings that an earlier brain left. */
static void
memory_recount(struct memory *memory)
{
	uint32_t large_count = memory->head->large_count;
	uint32_t large = 0, small = 0;

	for (uint32_t c = memory->head->channels_used; c-- > 0;) {
		struct memory_channel *channel = &memory->view.channels[c];

		if (channel->use == MEMORY_FREE) {
			memory->free_channels[memory->free_channel_count++] = c;
			continue;
		}
		if (!memory_ring_is_sane(memory, c))
			channel->head = channel->written = channel->tail;
		for (uint32_t p = channel->head; p != channel->tail; p++) {
			uint32_t block =
				memory_entry_at(&memory->view, c, p)->block;

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

static int
memory_open_with(struct memory *memory, int fd, uint64_t limit, bool *ret_used)
{
	struct memory_plan plan;
	struct stat status;
	uint32_t large, small;
	bool used;
	int r;

	r = sys_fstat(fd, &status);
	if (r < 0)
		return r;
	used = status.st_size > 0;
	if (used) {
		r = memory_check_head(fd, status.st_size, &large, &small);
		if (r < 0)
			return r;
		plan = memory_plan(large, small);
	} else {
		memory_share(limit, &large, &small);
		plan = memory_plan(large, small);
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
	if (used) {
		memory_recount(memory);
	} else {
		memory->head->version = MEMORY_VERSION;
		memory->head->large_count = large;
		memory->head->small_count = small;
		memory->head->size = plan.size;
		memory->head->magic = MEMORY_MAGIC;
	}
	*ret_used = used;
	return 0;
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
	free(m->free_large);
	free(m->free_small);
	free(m->free_channels);
	free(m);
	*memory = NULL;
}

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

void
memory_release(struct memory *memory, uint32_t block)
{
	if (block == MEMORY_NONE || --memory->references[block] > 0)
		return;
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
	memset(row, 0, sizeof *row);
	row->use = use;
	return channel;
}

void
memory_free_channel(struct memory *memory, uint32_t channel)
{
	memory->view.channels[channel].use = MEMORY_FREE;
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

uint32_t
memory_requests_used(const struct memory *memory)
{
	return memory->head->requests_used;
}

void
memory_write_request(struct memory *memory, uint32_t row,
	const struct memory_request *request)
{
	record_write(&memory->requests[row], request, sizeof *request);
	if (row >= memory->head->requests_used)
		memory->head->requests_used = row + 1;
}

int
memory_read_request(const struct memory *memory, uint32_t row,
	struct memory_request *ret_request)
{
	return record_read(
		&memory->requests[row], ret_request, sizeof *ret_request);
}

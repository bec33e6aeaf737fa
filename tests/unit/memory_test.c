/* The exchange memory: blocks, rows, and what a second brain finds. */
#include "base/sys.h"
#include "exchange/memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct memory *memory;
static int file;

static void
open_it(void)
{
	bool used = true;

	file = sys_memfd("exchange", MFD_CLOEXEC);
	cr_assert_eq(memory_open(dup(file), 16 << 20, &memory, &used), 0);
	cr_assert_not(used);
}

static void
close_it(void)
{
	memory_close(&memory);
	(void)close(file);
}

static void
reopen(void)
{
	bool used = false;

	memory_close(&memory);
	cr_assert_eq(memory_open(dup(file), 1, &memory, &used), 0);
	cr_assert(used);
}

TestSuite(memory, .init = open_it, .fini = close_it);

Test(memory, large_blocks_run_out_and_come_back)
{
	uint32_t count = memory_large_count(memory), last = MEMORY_NONE;

	cr_expect_eq(memory_large_free(memory), count);
	cr_expect_not(memory_is_tight(memory));
	for (uint32_t i = 0; i < count; i++) {
		last = memory_take_large(memory);
		cr_assert_neq(last, MEMORY_NONE);
		memset(memory_at(memory_view(memory), last, 0), 1,
			MEMORY_LARGE_SIZE);
	}
	cr_expect_eq(memory_take_large(memory), MEMORY_NONE);
	cr_expect(memory_is_tight(memory));
	cr_expect_not(memory_had_release(memory));
	memory_reference(memory, last);
	memory_release(memory, last);
	cr_expect_not(memory_had_release(memory));
	memory_release(memory, last);
	cr_expect(memory_had_release(memory));
	cr_expect_not(memory_had_release(memory));
	cr_expect_eq(memory_take_large(memory), last);
	memory_release(memory, MEMORY_NONE);
}

Test(memory, small_blocks_keep_a_reserve)
{
	uint32_t count = 0;

	while (memory_take_small(memory, false) != MEMORY_NONE)
		count++;
	cr_expect_gt(count, 0);
	cr_expect_not(memory_has_small(memory, 1));
	for (int i = 0; i < MEMORY_RESERVE; i++)
		cr_assert_neq(memory_take_small(memory, true), MEMORY_NONE);
	cr_expect_eq(memory_take_small(memory, true), MEMORY_NONE);
}

Test(memory, rows_are_clean_when_taken_again)
{
	uint32_t first = memory_take_channel(memory, MEMORY_WORKER);

	memory_view(memory)->channels[first].sent = 9;
	memory_free_channel(memory, first);
	cr_expect_eq(memory_take_channel(memory, MEMORY_CLIENT), first);
	cr_expect_eq(memory_view(memory)->channels[first].sent, 0);
	for (int i = 1; i < MEMORY_CHANNELS_MAX; i++)
		cr_assert_neq(memory_take_channel(memory, MEMORY_WORKER),
			MEMORY_NONE);
	cr_expect_eq(memory_take_channel(memory, MEMORY_WORKER), MEMORY_NONE);
}

/* Puts an entry of `block` into the ring of `channel`. */
static void
put(uint32_t channel, uint32_t block, uint32_t offset, uint32_t length)
{
	struct memory_channel *row = &memory_view(memory)->channels[channel];

	*memory_entry_at(memory_view(memory), channel, row->tail) =
		(struct memory_entry){
			.block = block, .offset = offset, .length = length};
	row->tail++;
}

Test(memory, a_second_brain_counts_the_references_again)
{
	uint32_t channel = memory_take_channel(memory, MEMORY_WORKER);
	uint32_t kept = memory_take_large(memory);
	uint32_t lost = memory_take_large(memory);
	uint32_t small = memory_take_small(memory, false);
	uint32_t free_before;

	put(channel, kept, 0, 100);
	put(channel, kept, 100, 100);
	put(channel, small, 0, 100);
	cr_expect_neq(kept, lost);
	free_before = memory_large_free(memory);
	cr_expect_eq(memory_next_client(memory), 0);
	reopen();
	cr_expect_eq(memory_references(memory, kept), 2);
	cr_expect_eq(memory_references(memory, small), 1);
	cr_expect_eq(memory_references(memory, lost), 0);
	cr_expect_eq(memory_large_free(memory), free_before + 1);
	cr_expect_eq(memory_next_client(memory), 1);
	cr_expect_eq(memory_channels_used(memory), channel + 1);
}

Test(memory, what_does_not_add_up_is_not_believed)
{
	uint32_t far = memory_take_channel(memory, MEMORY_WORKER);
	uint32_t wrong = memory_take_channel(memory, MEMORY_WORKER);

	put(far, 1 << 30, 0, 100);
	put(wrong, 0, MEMORY_LARGE_SIZE - 10, 100);
	memory_view(memory)->channels[far].head = 77;
	reopen();
	for (uint32_t c = far; c <= wrong; c++)
		cr_expect_eq(memory_view(memory)->channels[c].head,
			memory_view(memory)->channels[c].tail);
	cr_expect_eq(memory_large_free(memory), memory_large_count(memory));
}

Test(memory, another_layout_is_left_alone)
{
	struct memory *other = NULL;
	bool used;
	uint64_t magic;

	cr_expect_eq(pread(file, &magic, sizeof magic, 0), sizeof magic);
	magic++;
	cr_expect_eq(pwrite(file, &magic, sizeof magic, 0), sizeof magic);
	cr_expect_eq(memory_open(dup(file), 1, &other, &used), -EPROTO);
	cr_expect_null(other);
	magic--;
	cr_expect_eq(pwrite(file, &magic, sizeof magic, 0), sizeof magic);
	cr_expect_eq(ftruncate(file, 4096), 0);
	cr_expect_eq(memory_open(dup(file), 1, &other, &used), -EPROTO);
}

Test(memory, requests_are_kept)
{
	struct memory_request request = {.number = 7, .asker_id = 8}, read;

	cr_expect_eq(memory_requests_used(memory), 0);
	memory_write_request(memory, 3, &request);
	cr_expect_eq(memory_requests_used(memory), 4);
	reopen();
	cr_expect_eq(memory_read_request(memory, 3, &read), 0);
	cr_expect_eq(read.number, 7);
	cr_expect_eq(memory_read_request(memory, 2, &read), -ENOENT);
}

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
	memory_view(memory)->channels[wrong].written = 999;
	reopen();
	cr_expect_eq(memory_view(memory)->channels[far].head,
		memory_view(memory)->channels[far].tail);
	cr_expect_eq(memory_entry_at(memory_view(memory), wrong, 0)->flags,
		MEMORY_TAKEN);
	cr_expect_eq(memory_view(memory)->channels[wrong].written, 0);
	cr_expect_eq(memory_faults(memory), 3);
	cr_expect_eq(memory_large_free(memory), memory_large_count(memory));
	reopen();
	cr_expect_eq(memory_faults(memory), 0);
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

Test(memory, a_brain_that_died_before_the_layout_was_done_left_nothing)
{
	uint64_t none = 0;
	bool used = true;

	memory_close(&memory);
	cr_expect_eq(pwrite(file, &none, sizeof none, 0), sizeof none);
	cr_assert_eq(memory_open(dup(file), 16 << 20, &memory, &used), 0);
	cr_expect_not(used);
}

Test(memory, a_change_that_was_not_finished_never_was)
{
	uint32_t channel = memory_take_channel(memory, MEMORY_WORKER);
	struct memory_request before = {.number = 5}, after = {.number = 6};
	struct memory_channel *row;

	memory_write_request(memory, 1, &before);
	row = &memory_view(memory)->channels[channel];
	row->sent = 7;
	memory_begin(memory);
	journal_set(memory_view(memory)->journal, row->sent, 8);
	memory_begin(memory);
	journal_set(memory_view(memory)->journal, row->sent, 9);
	memory_write_request(memory, 1, &after);
	memory_write_request(memory, 1, &after);
	memory_free_channel(memory, channel);
	/* Its row can't be another's before it is over. */
	cr_expect_neq(memory_take_channel(memory, MEMORY_CLIENT), channel);
	memory_commit(memory); /* of the inner one alone */
	reopen();
	row = &memory_view(memory)->channels[channel];
	cr_expect_eq(row->use, MEMORY_WORKER);
	cr_expect_eq(row->sent, 7);
	cr_expect_eq(memory_read_request(memory, 1, &after), 0);
	cr_expect_eq(after.number, 5);
	cr_expect_eq(
		memory_view(memory)->channels[channel + 1].use, MEMORY_FREE);
	reopen(); /* and it is not undone again */
	cr_expect_eq(memory_view(memory)->channels[channel].sent, 7);
}

Test(memory, what_a_change_gives_up_can_be_taken_after_it)
{
	uint32_t block = memory_take_small(memory, false), other;

	memory_begin(memory);
	memory_reference(memory, block);
	memory_release(memory, block);
	memory_release(memory, block);
	other = memory_take_small(memory, false);
	cr_expect_neq(other, block);
	cr_expect_not(memory_had_release(memory));
	memory_commit(memory);
	cr_expect(memory_had_release(memory));
	cr_expect_eq(memory_references(memory, block), 0);
	cr_expect_eq(memory_take_small(memory, false), block);
}

Test(memory, a_change_too_large_for_the_journal_is_kept_as_far_as_it_got)
{
	uint32_t channel = memory_take_channel(memory, MEMORY_WORKER);
	struct journal *journal = memory_view(memory)->journal;
	struct memory_channel *row = &memory_view(memory)->channels[channel];

	memory_begin(memory);
	while (journal->overflows == 0)
		journal_set(journal, row->sent, row->sent + 1);
	row->acked = row->sent;
	journal_set(journal, row->sent, row->sent + 1);
	reopen();
	row = &memory_view(memory)->channels[channel];
	cr_expect_eq(row->sent + 1, row->acked);
}

Test(memory, a_journal_of_nonsense_is_not_followed)
{
	struct journal *journal = memory_view(memory)->journal;
	uint64_t nonsense[] = {0, 7, 8, 16, JOURNAL_SIZE, JOURNAL_SIZE + 8,
		UINT64_MAX, UINT64_MAX - 7};

	for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
		journal = memory_view(memory)->journal;
		memset(journal->log->bytes, (int)(0x11 * i), 4096);
		journal->log->used = nonsense[i];
		reopen();
		cr_expect_eq(
			memory_faults(memory), nonsense[i] != 0, "at %zu", i);
	}
}

/* Found by exchange_damage_test: a head that changes after it was checked. */
Test(memory, a_journal_never_reaches_the_head)
{
	struct journal_log *log = memory_view(memory)->journal->log;
	uint32_t count = memory_large_count(memory), nonsense = 1;
	uint64_t where = 12 << 16 | sizeof nonsense; /* the blocks' count */

	memcpy(log->bytes, &nonsense, sizeof nonsense);
	memcpy(log->bytes + 8, &where, sizeof where);
	log->used = 16;
	reopen();
	cr_expect_eq(memory_large_count(memory), count);
	cr_expect_eq(memory_faults(memory), 1);
}

/* Walking a ring: runs, pieces, and what doesn't add up. */
#include "base/sys.h"
#include "exchange/ring.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct memory *memory;
static const struct memory_view *view;
static uint32_t channel, block, fill;

static void
open_it(void)
{
	bool used;

	cr_assert_eq(memory_open(sys_memfd("exchange", MFD_CLOEXEC), 8 << 20,
			     &memory, &used),
		0);
	view = memory_view(memory);
	channel = memory_take_channel(memory, MEMORY_WORKER);
	block = memory_take_large(memory);
	fill = 0;
}

static void
close_it(void)
{
	memory_close(&memory);
}

TestSuite(ring, .init = open_it, .fini = close_it);

/* A frame in the block; returns its whole size. */
static uint32_t
put_frame(uint64_t id, uint32_t size)
{
	struct frame_header header = {
		.size = size, .kind = MUSTER_MESSAGE, .id = id};

	frame_store(memory_at(view, block, fill), &header);
	fill += MUSTER_HEADER_SIZE + size;
	return MUSTER_HEADER_SIZE + size;
}

static void
put_entry(uint32_t offset, uint32_t length, uint32_t flags)
{
	struct memory_channel *row = &view->channels[channel];

	*memory_entry_at(view, channel, row->tail++) =
		(struct memory_entry){.block = block,
			.offset = offset,
			.length = length,
			.flags = flags};
}

/* The ids of all frames, in order, as text. */
static const char *
walk(void)
{
	static char ids[256];
	struct ring_cursor cursor = {.position = view->channels[channel].head};
	struct ring_frame frame;

	ids[0] = '\0';
	while (ring_next(
		view, channel, view->channels[channel].tail, &cursor, &frame)) {
		char id[24];
		uint64_t total = 0;

		for (uint32_t i = 0; i < frame.count; i++)
			total += frame.pieces[i].length;
		cr_expect_eq(total, frame.header.size + MUSTER_HEADER_SIZE);
		(void)snprintf(id, sizeof id, "%s%u", ids[0] ? " " : "",
			(unsigned int)frame.header.id);
		strcat(ids, id);
	}
	return ids;
}

Test(ring, runs_and_pieces_in_order)
{
	uint32_t run = put_frame(1, 10) + put_frame(2, 100), at = fill;
	uint32_t size = put_frame(3, 1000), last;

	put_entry(0, run, 0);
	put_entry(at, 200, MEMORY_PIECE | MEMORY_CONTINUES);
	put_entry(at + 200, 300, MEMORY_PIECE | MEMORY_CONTINUES);
	put_entry(at + 500, size - 500, MEMORY_PIECE);
	last = fill;
	put_entry(last, put_frame(4, 1), 0);
	cr_expect_str_eq(walk(), "1 2 3 4");
	memory_entry_at(view, channel, 0)->flags |= MEMORY_TAKEN;
	cr_expect_str_eq(walk(), "3 4");
	for (uint32_t p = 1; p < 4; p++)
		memory_entry_at(view, channel, p)->flags |= MEMORY_TAKEN;
	cr_expect_str_eq(walk(), "4");
}

Test(ring, what_does_not_add_up_is_passed_over)
{
	uint32_t first = put_frame(1, 10), at = fill;
	uint32_t second = put_frame(2, 100), next;

	put_entry(0, first, 0);
	put_entry(at, second - 1, 0); /* cut */
	put_entry(at, 20, MEMORY_PIECE);
	put_entry(at, 20, 0);
	next = fill;
	put_entry(next, put_frame(3, 1), 0);
	put_entry(at, second, MEMORY_PIECE | MEMORY_CONTINUES); /* no end */
	cr_expect_str_eq(walk(), "1 3");
}

/* Found by exchange_damage_test: such an entry lies in no block. */
Test(ring, a_frame_with_a_piece_that_was_set_aside_is_none)
{
	uint32_t size = put_frame(1, 100), last = fill;

	put_entry(0, size, MEMORY_PIECE | MEMORY_CONTINUES);
	put_entry(0, 0, MEMORY_TAKEN);
	memory_entry_at(view, channel, 1)->block = MEMORY_NONE;
	put_entry(last, put_frame(2, 1), 0);
	cr_expect_str_eq(walk(), "2");
}

/* An outbox by itself: joining, copying, writing, splitting, writing again. */
#include "base/sys.h"
#include "exchange/outbox.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct memory *memory;
static struct outbox box;
static int pair[2];
static uint32_t block, fill;

static void
open_it(void)
{
	bool used;

	cr_assert_eq(memory_open(sys_memfd("exchange", MFD_CLOEXEC), 16 << 20,
			     &memory, &used),
		0);
	cr_assert_eq(outbox_init(&box, memory, MEMORY_WORKER, 1 << 20), 0);
	outbox_row(&box)->flags = MEMORY_SETTLED | MEMORY_TAKES_PART;
	box.is_open = true;
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	block = memory_take_large(memory);
	fill = 0;
}

static void
close_it(void)
{
	uint32_t large = memory_large_count(memory);

	outbox_fini(&box);
	memory_release(memory, block);
	cr_expect_eq(memory_large_free(memory), large, "a block is lost");
	memory_close(&memory);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

TestSuite(outbox, .init = open_it, .fini = close_it);

static const struct outbox_source one = {.channel = 0, .mark = 1};

/* A frame of `size` bytes in the block, numbered and appended. */
static void
append(uint32_t size, struct outbox_source source)
{
	struct frame_header header = {.size = size - MUSTER_HEADER_SIZE,
		.kind = MUSTER_MESSAGE,
		.sequence = outbox_next_sequence(&box)};
	uint8_t *bytes = memory_at(box.view, block, fill);

	frame_store(bytes, &header);
	memset(bytes + MUSTER_HEADER_SIZE, '1', header.size);
	outbox_append_run(&box,
		(struct piece){.block = block, .offset = fill, .length = size},
		header.sequence, source);
	fill += size;
}

static uint32_t
entries(void)
{
	return outbox_row(&box)->tail - outbox_row(&box)->head;
}

/* Reads `count` frames and expects numbers from `first` on. */
static void
expect_numbers(uint32_t first, uint32_t count)
{
	static uint8_t bytes[1 << 20];
	struct frame_header header;
	size_t at = 0;
	ssize_t n = read(pair[1], bytes, sizeof bytes);

	for (uint32_t i = 0; i < count; i++) {
		cr_assert_leq(at + MUSTER_HEADER_SIZE, (size_t)n);
		frame_load(bytes + at, &header);
		cr_expect_eq(header.sequence, first + i);
		at += MUSTER_HEADER_SIZE + header.size;
	}
	cr_expect_eq(at, (size_t)n);
}

Test(outbox, neighbours_join_and_strangers_do_not)
{
	const struct outbox_source named = {
		.channel = 0, .mark = 1, .has_id = true};
	const struct outbox_source other = {.channel = 1, .mark = 2};
	const struct outbox_source zero = {.channel = MEMORY_NONE};

	outbox_row(&box)[1].use = MEMORY_WORKER;
	for (int i = 0; i < 10; i++)
		append(1000, one);
	cr_expect_eq(entries(), 1);
	append(1000, other); /* nobody will be told of any of them */
	cr_expect_eq(entries(), 1);
	append(1000, named);
	cr_expect_eq(entries(), 2);
	append(1000, zero);
	cr_expect_eq(entries(), 3);
	append(1000, one);
	cr_expect_eq(entries(), 4);
	cr_expect_eq(box.queued, 14000);
	cr_expect_eq(outbox_write(&box, pair[0]), 1);
	cr_expect_eq(box.queued, 0);
	cr_expect_eq(box.unacked, 14000);
	expect_numbers(1, 14);
	cr_expect_eq(outbox_ack(&box, 15), -EPROTO);
	cr_expect_eq(outbox_ack(&box, 12), 0);
	cr_expect_eq(entries(), 2);
	cr_expect_eq(outbox_ack(&box, 12), 0);
	cr_expect_eq(outbox_ack(&box, 14), 0);
	cr_expect_eq(entries(), 0);
	cr_expect_eq(box.unacked, 0);
	cr_expect_eq(memory_references(memory, block), 1);
}

Test(outbox, small_runs_are_copied_together)
{
	for (int i = 0; i < 50; i++) {
		append(100, one);
		fill += 300; /* others' frames lie between */
	}
	cr_expect_eq(entries(), 1);
	cr_expect_eq(memory_references(memory, block), 1);
	append(600, one);
	cr_expect_eq(memory_references(memory, block), 2);
	cr_expect_eq(outbox_write(&box, pair[0]), 1);
	expect_numbers(1, 51);
}

Test(outbox, an_ack_owed_is_said_once_with_the_newest_number)
{
	char text[256] = "";

	outbox_row(&box)->received = 7;
	box.owes_ack = true;
	outbox_row(&box)->received = 9;
	cr_expect_eq(outbox_write(&box, pair[0]), 1);
	cr_expect_gt(read(pair[1], text, sizeof text - 1), 32);
	cr_expect_str_eq(text + 32, "{\"event\":\"ack\",\"sequence\":9}");
	cr_expect_not(box.owes_ack);
}

Test(outbox, a_resumed_receiver_gets_again_what_it_had_not)
{
	for (int i = 0; i < 5; i++)
		append(1000, one);
	cr_expect_eq(outbox_write(&box, pair[0]), 1);
	expect_numbers(1, 5);
	append(1000, one);
	cr_expect_eq(outbox_rewind(&box, 7), -EPROTO);
	cr_expect_eq(outbox_rewind(&box, 3), 0);
	cr_expect_eq(outbox_rewind(&box, 2), -EPROTO);
	cr_expect_eq(box.queued, 3000);
	cr_expect_eq(outbox_write(&box, pair[0]), 1);
	expect_numbers(4, 3);
	cr_expect_eq(outbox_ack(&box, 6), 0);
}

/*
 * A brain was killed with a frame in the middle of the pipe. Its rest has no
 * beginning on the next channel, where nothing but `resume` is answered first.
 */
Test(outbox, what_an_earlier_brain_began_is_not_finished_elsewhere)
{
	struct outbox next;
	int small = 4096;
	int second[2];
	char byte;

	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (int i = 0; i < 60; i++)
		append(1700, one);
	for (uint32_t size = 1700; box.written_bytes == 0; size++) {
		append(size, one);
		cr_expect_eq(outbox_write(&box, pair[0]), 0);
		cr_assert_geq(read(pair[1], &(char[50]){0}, 50), 0);
	}
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, second), 0);

	outbox_adopt(&next, memory, box.channel, 1 << 20);
	cr_expect_gt(next.written_bytes, 0);
	cr_expect_eq(outbox_write(&next, second[0]), 1);
	cr_expect_lt(recv(second[1], &byte, 1, 0), 0);
	cr_expect_eq(errno, EAGAIN);
	cr_expect_eq(outbox_rewind(&next, 1), 0);
	next.is_open = true;
	(void)outbox_write(&next, second[0]);
	(void)shutdown(second[0], SHUT_WR);
	box = next;
	(void)dup2(second[0], pair[0]);
	(void)dup2(second[1], pair[1]);
	(void)close(second[0]);
	(void)close(second[1]);
	expect_numbers(2, outbox_row(&box)->sent - 1);
}

static int taken_count;
static uint32_t taken_bytes;

static void
count_taken(void *context, struct outbox_taken *taken)
{
	(void)context;
	taken_count++;
	taken_bytes += taken->frame->header.size + MUSTER_HEADER_SIZE;
	cr_expect_not(taken->was_written);
}

Test(outbox, split_keeps_the_frame_that_was_begun)
{
	static uint8_t bytes[1 << 20];
	struct frame_header header;
	struct outbox rest;
	int small = 4096;
	size_t at = 0;
	uint32_t number = 0;
	char peek;
	ssize_t n;

	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (int i = 0; i < 60; i++)
		append(1700, one);
	cr_expect_eq(outbox_write(&box, pair[0]), 0);
	cr_assert_gt(box.taken, 0);
	cr_assert_eq(outbox_split(&box, &rest), 0);
	cr_expect_lt(box.queued, 1700);
	outbox_take_all(&rest, count_taken, NULL);
	outbox_fini(&rest);
	cr_expect_eq(box.taken + box.queued + taken_bytes, 60 * 1700);
	cr_expect_eq(outbox_row(&box)->sent, 60 - (uint32_t)taken_count);
	append(1700, one); /* the next number, without a gap */
	for (;;) {
		n = read(pair[1], bytes + at, sizeof bytes - at);
		if (n > 0)
			at += (size_t)n;
		else if (outbox_write(&box, pair[0]) == 1 && box.queued == 0 &&
			 recv(pair[1], &peek, 1, MSG_PEEK) < 0)
			break;
	}
	for (size_t p = 0; p < at; p += MUSTER_HEADER_SIZE + header.size) {
		frame_load(bytes + p, &header);
		cr_expect_eq(header.sequence, ++number);
	}
	cr_expect_eq(number, 61 - (uint32_t)taken_count);
}

static enum outbox_verdict
take_second(void *context, struct outbox_taken *taken)
{
	int *seen = context;

	(void)taken;
	return ++*seen == 2 ? OUTBOX_TAKE : OUTBOX_LEAVE;
}

Test(outbox, one_may_be_taken_out_of_the_middle)
{
	int seen = 0;

	outbox_row(&box)->flags = 0;
	box.keeps_single = true;
	for (int i = 0; i < 3; i++)
		append(100, one);
	cr_expect_eq(entries(), 3);
	outbox_take_some(&box, take_second, &seen);
	cr_expect_eq(seen, 3);
	cr_expect_eq(box.queued, 200);
	cr_expect_eq(entries(), 3);
	seen = 1; /* takes the first now: the taken one goes with it */
	outbox_take_some(&box, take_second, &seen);
	cr_expect_eq(entries(), 1);
	cr_expect_eq(box.queued, 100);
}

Test(outbox, long_copies_of_0_go_in_pieces)
{
	static char text[700000];
	static uint8_t bytes[1 << 20];
	struct frame_header header = {
		.size = sizeof text, .kind = MUSTER_MESSAGE, .sequence = 1};
	size_t at = 0;

	memset(text, 'y', sizeof text);
	outbox_row(&box)->sent = 1;
	cr_assert_eq(
		outbox_append_copy(&box, &header, text,
			(struct outbox_source){.channel = MEMORY_NONE}, true),
		0);
	while (at < sizeof text + MUSTER_HEADER_SIZE) {
		ssize_t n;

		cr_assert_geq(outbox_write(&box, pair[0]), 0);
		n = read(pair[1], bytes + at, sizeof bytes - at);
		cr_assert_gt(n, 0);
		at += (size_t)n;
	}
	cr_expect_eq(memcmp(bytes + MUSTER_HEADER_SIZE, text, sizeof text), 0);
}

Test(outbox, a_gone_receiver_is_told_apart_from_a_full_one)
{
	append(1000, one);
	(void)close(pair[1]);
	cr_expect_eq(outbox_write(&box, pair[0]), -EPIPE);
	pair[1] = -1;
}

/* Batches and unfinished lines, with a kill at each step. */
#include "mechanism/output_memory.h"

#include "base/sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	SLOT = 41,
	CURRENT = 1, /* which word of the file is the batch under way */
};

struct world {
	int fd, pipe[2];
	struct output_memory *memory;
	struct output_batch batch;
};

/* What dead brains had is never tidied up, and no leak either. */
static void
bury(void *thing)
{
	static void *buried[4096];
	static size_t count;

	cr_assert_lt(count, sizeof(buried) / sizeof(*buried));
	buried[count++] = thing;
}

static void
kill_brain(struct world *world)
{
	bury(world->memory);
	cr_assert_eq(output_memory_open(dup(world->fd), &world->memory), 0);
}

static void
tear_down(struct world *world)
{
	output_memory_close(&world->memory);
}

static void
set_up(struct world *world)
{
	memset(world, 0, sizeof(*world));
	world->fd = output_memory_make();
	cr_assert_geq(world->fd, 0);
	cr_assert_eq(sys_pipe(world->pipe, O_NONBLOCK), 0);
	kill_brain(world);
}

static ssize_t
take(struct world *world, const char *text)
{
	ssize_t size = (ssize_t)strlen(text);

	cr_assert_eq(write(world->pipe[1], text, strlen(text)), size);
	return output_memory_take(
		world->memory, SLOT, 71, world->pipe[0], &world->batch);
}

static void
expect_batch(const struct world *world, const char *text)
{
	cr_expect_eq(world->batch.size, strlen(text));
	cr_expect_eq(memcmp(world->batch.bytes, text, strlen(text)), 0);
}

/* Whether the next brain finds a batch; it is in the world then. */
static bool
finds(struct world *world)
{
	int32_t pid = 0;
	uint64_t printed = 0;
	bool found = output_memory_find(
		world->memory, SLOT, &pid, &printed, &world->batch);

	cr_expect_eq(pid, found ? 71 : 0);
	return found;
}

Test(output_memory, what_is_left_begins_the_next_batch)
{
	struct world world;

	set_up(&world);
	cr_expect_eq(take(&world, "one\ntw"), 6);
	expect_batch(&world, "one\ntw");
	output_memory_end(world.memory, 2, false);
	cr_expect_not(output_memory_is_empty(world.memory, SLOT));
	cr_expect_eq(take(&world, "o"), 1);
	expect_batch(&world, "two");
	output_memory_end(world.memory, 3, true);
	cr_expect_eq(take(&world, "\n"), 1);
	expect_batch(&world, "two\n");
	cr_expect(world.batch.is_continued);
	output_memory_end(world.memory, 0, false);
	cr_expect(output_memory_is_empty(world.memory, SLOT));
	cr_expect_eq(take(&world, ""), -EAGAIN);
	close(world.pipe[1]);
	cr_expect_eq(output_memory_take(world.memory, SLOT, 71, world.pipe[0],
			     &world.batch),
		0);
	tear_down(&world);
}

Test(output_memory, a_batch_that_was_not_ended_is_found)
{
	struct world world;

	set_up(&world);
	take(&world, "ha");
	output_memory_end(world.memory, 2, false);
	kill_brain(&world);
	cr_expect_not(finds(&world));
	take(&world, "lf\nx");
	kill_brain(&world);
	cr_expect(finds(&world));
	expect_batch(&world, "half\nx");
	/* And again, when that brain dies as well. */
	kill_brain(&world);
	cr_expect(finds(&world));
	expect_batch(&world, "half\nx");
	output_memory_end(world.memory, 1, false);
	kill_brain(&world);
	cr_expect_not(finds(&world));
	take(&world, "y\n");
	expect_batch(&world, "xy\n");
	tear_down(&world);
}

Test(output_memory, a_batch_belongs_to_its_slot)
{
	struct world world;
	uint64_t printed;
	int32_t pid;

	set_up(&world);
	take(&world, "one\n");
	output_memory_note(world.memory, 12);
	kill_brain(&world);
	cr_expect_not(output_memory_find(
		world.memory, SLOT + 1, &pid, &printed, &world.batch));
	cr_expect(output_memory_find(
		world.memory, SLOT, &pid, &printed, &world.batch));
	cr_expect_eq(printed, 12u);
	kill_brain(&world);
	output_memory_clear(world.memory, SLOT);
	cr_expect_not(finds(&world));
	tear_down(&world);
}

/* The end is two stores: what is kept, then that no batch is under way. */
Test(output_memory, a_kill_within_the_end_counts_it_once)
{
	_Atomic uint64_t *words;
	struct world world;
	uint64_t current;
	void *base;

	set_up(&world);
	cr_assert_eq(sys_mmap(4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			     world.fd, &base),
		0);
	words = base;
	take(&world, "one\ntw");
	current = words[CURRENT];
	output_memory_end(world.memory, 2, false);
	words[CURRENT] = current;
	kill_brain(&world);
	cr_expect_not(finds(&world));
	take(&world, "o\n");
	expect_batch(&world, "two\n");
	tear_down(&world);
}

/* A brain dies when it has said that it begins, and has taken nothing. */
Test(output_memory, a_kill_before_anything_was_taken)
{
	struct world world;

	set_up(&world);
	take(&world, "ha");
	output_memory_end(world.memory, 2, false);
	output_memory_take_kept(world.memory, SLOT, 71, &world.batch);
	kill_brain(&world);
	cr_expect(finds(&world));
	expect_batch(&world, "ha");
	output_memory_end(world.memory, 2, false);
	take(&world, "lf\n");
	expect_batch(&world, "half\n");
	tear_down(&world);
}

Test(output_memory, a_line_may_be_as_long_as_a_piece)
{
	static char bytes[OUTPUT_KEPT_SIZE + 1];
	struct world world;

	set_up(&world);
	memset(bytes, 'x', OUTPUT_KEPT_SIZE);
	cr_expect_eq(take(&world, bytes), OUTPUT_KEPT_SIZE);
	output_memory_end(world.memory, OUTPUT_KEPT_SIZE, true);
	kill_brain(&world);
	cr_expect_eq(take(&world, "\n"), 1);
	cr_expect_eq(world.batch.size, (size_t)OUTPUT_KEPT_SIZE + 1);
	cr_expect_eq(memcmp(world.batch.bytes, bytes, OUTPUT_KEPT_SIZE), 0);
	tear_down(&world);
}

Test(output_memory, the_last_slot_has_its_place)
{
	struct world world;

	set_up(&world);
	cr_assert_eq(write(world.pipe[1], "end", 3), 3);
	cr_expect_eq(output_memory_take(world.memory, OUTPUT_SLOTS - 1, 71,
			     world.pipe[0], &world.batch),
		3);
	output_memory_end(world.memory, 3, false);
	cr_expect_not(output_memory_is_empty(world.memory, OUTPUT_SLOTS - 1));
	output_memory_clear(world.memory, OUTPUT_SLOTS - 1);
	cr_expect(output_memory_is_empty(world.memory, OUTPUT_SLOTS - 1));
	tear_down(&world);
}

Test(output_memory, another_file_is_refused)
{
	struct output_memory *memory;
	uint64_t magic = 5;
	int fd = sys_memfd("other", 0);

	cr_expect_eq(output_memory_open(dup(fd), &memory), -EPROTO);
	close(fd);
	fd = output_memory_make();
	cr_assert_eq(pwrite(fd, &magic, sizeof(magic), 0), 8);
	cr_expect_eq(output_memory_open(fd, &memory), -EPROTO);
}

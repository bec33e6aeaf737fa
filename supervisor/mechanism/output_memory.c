/*
 * The memory of output: one batch, and an unfinished line for each pipe.
 *
 * Why not read(): a brain that dies between read() and the note of how much it
 * read loses the bytes, or prints them again. splice() into a file moves the
 * bytes and the file's position in one call, and the position belongs to the
 * open file, which the keeper holds.
 *
 * A kill tears no aligned word, so words are all that is needed to tell what
 * counts: `current` (the batch under way) and, for each slot, what is kept. A
 * kept line has two halves, so that the new one is written beside the old one;
 * and the word carries the number of the batch that wrote it, so that a brain
 * which died between the two stores of an end doesn't count the batch twice.
 *
 * How lines look and where they go is mechanism/output's business.
 */
#include "mechanism/output_memory.h"

#include "base/sys.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_MAGIC UINT64_C(0x317475706d74736d) /* "mstmput1" */

enum {
	HALVES = 2,
	/* A word: number of the batch, which half, continued or not, size. */
	SIZE_BITS = 15,
	SIZE_MASK = (1 << SIZE_BITS) - 1,
	CONTINUED_BIT = 1 << SIZE_BITS,
	HALF_BIT = 1 << (SIZE_BITS + 1),
	NUMBER_SHIFT = SIZE_BITS + 2,
	PAGE = 4096,
};

_Static_assert((int)OUTPUT_KEPT_SIZE <= (int)SIZE_MASK, "a size fits");
_Static_assert((int)OUTPUT_SLOTS <= (int)SIZE_MASK, "a slot, plus 1, fits");

struct memory_head {
	_Atomic uint64_t magic;
	/* Number of the batch << SIZE_BITS | slot + 1, or the number alone. */
	_Atomic uint64_t current;
	_Atomic uint64_t printed;
	_Atomic int64_t pid;
	_Atomic uint64_t kept[OUTPUT_SLOTS];
};

enum {
	HEAD_SIZE = (sizeof(struct memory_head) + PAGE - 1) / PAGE * PAGE,
	/* The unfinished line is put in front of what is taken. */
	TAKEN_START = HEAD_SIZE + OUTPUT_KEPT_SIZE,
	KEPT_START = TAKEN_START + OUTPUT_BATCH_SIZE,
};

#define MEMORY_SIZE                                                            \
	((uint64_t)KEPT_START +                                                \
		(uint64_t)OUTPUT_SLOTS * HALVES * OUTPUT_KEPT_SIZE)

struct output_memory {
	int fd;
	uint8_t *base;
	struct memory_head *head;
	/* Of the batch under way. */
	uint32_t slot;
	size_t kept, size;
};

int
output_memory_make(void)
{
	int fd = sys_memfd("output", MFD_CLOEXEC);
	int r = fd;

	if (r >= 0)
		r = sys_ftruncate(fd, (off_t)MEMORY_SIZE);
	if (r < 0 && fd >= 0)
		sys_close(fd);
	return r < 0 ? r : fd;
}

int
output_memory_open(int fd, struct output_memory **ret_memory)
{
	struct output_memory *memory = NULL;
	uint64_t magic;
	struct stat status;
	void *base;
	int r = sys_fstat(fd, &status);

	if (r < 0)
		goto fail;
	r = -EPROTO;
	if ((uint64_t)status.st_size != MEMORY_SIZE)
		goto fail;
	r = -ENOMEM;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		goto fail;
	r = sys_mmap(
		MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, &base);
	if (r < 0)
		goto fail;
	memory->fd = fd;
	memory->base = base;
	memory->head = base;
	magic = atomic_load(&memory->head->magic);
	if (magic && magic != MEMORY_MAGIC) {
		output_memory_close(&memory);
		return -EPROTO;
	}
	atomic_store(&memory->head->magic, MEMORY_MAGIC);
	*ret_memory = memory;
	return 0;
fail:
	free(memory);
	sys_close(fd);
	return r;
}

void
output_memory_close(struct output_memory **memory)
{
	struct output_memory *at = *memory;

	*memory = NULL;
	if (!at)
		return;
	sys_munmap(at->base, MEMORY_SIZE);
	sys_close(at->fd);
	free(at);
}

/* What is kept ------------------------------------------------------------- */

static uint64_t
word_of(const struct output_memory *memory, uint32_t slot)
{
	uint64_t word = atomic_load_explicit(
		&memory->head->kept[slot], memory_order_acquire);

	/* Nobody writes another; but a size is never trusted further. */
	return (word & SIZE_MASK) > OUTPUT_KEPT_SIZE ? 0 : word;
}

static char *
half_of(const struct output_memory *memory, uint32_t slot, bool second)
{
	uint64_t place = (uint64_t)slot * HALVES + second;

	return (char *)memory->base + KEPT_START + place * OUTPUT_KEPT_SIZE;
}

bool
output_memory_is_empty(const struct output_memory *memory, uint32_t slot)
{
	return !(word_of(memory, slot) & SIZE_MASK);
}

/* The batch ---------------------------------------------------------------- */

static uint64_t
current_number(const struct output_memory *memory)
{
	return atomic_load(&memory->head->current) >> SIZE_BITS;
}

static void
set_current(struct output_memory *memory, uint64_t number, uint32_t slot_word)
{
	atomic_store_explicit(&memory->head->current,
		number << SIZE_BITS | slot_word, memory_order_release);
}

void
output_memory_clear(struct output_memory *memory, uint32_t slot)
{
	uint64_t current = atomic_load(&memory->head->current);

	if ((current & SIZE_MASK) == slot + 1)
		set_current(memory, current >> SIZE_BITS, 0);
	if (!atomic_load(&memory->head->kept[slot]))
		return;
	atomic_store(&memory->head->kept[slot], 0);
	/* Where that fails the pages stay until the slot is used again. */
	(void)sys_fallocate(memory->fd,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)(half_of(memory, slot, false) - (char *)memory->base),
		(off_t)HALVES * OUTPUT_KEPT_SIZE);
}

/* Puts the unfinished line in front of the `taken` bytes. */
static void
put_together(struct output_memory *memory, uint32_t slot, size_t taken,
	struct output_batch *ret_batch)
{
	uint64_t word = word_of(memory, slot);
	char *start = (char *)memory->base + TAKEN_START;

	memory->slot = slot;
	memory->kept = word & SIZE_MASK;
	memory->size = memory->kept + taken;
	memcpy(start - memory->kept, half_of(memory, slot, word & HALF_BIT),
		memory->kept);
	*ret_batch = (struct output_batch){
		.bytes = start - memory->kept,
		.size = memory->size,
		.is_continued = word & CONTINUED_BIT,
	};
}

/* Everything is set before `current` says that it counts. */
static int
begin(struct output_memory *memory, uint32_t slot, int32_t pid)
{
	off_t at = sys_lseek(memory->fd, TAKEN_START, SEEK_SET);

	if (at < 0)
		return (int)at;
	atomic_store_explicit(&memory->head->printed, 0, memory_order_relaxed);
	atomic_store_explicit(&memory->head->pid, pid, memory_order_relaxed);
	set_current(memory, current_number(memory) + 1, slot + 1);
	return 0;
}

ssize_t
output_memory_take(struct output_memory *memory, uint32_t slot, int32_t pid,
	int fd, struct output_batch *ret_batch)
{
	int r = begin(memory, slot, pid);
	ssize_t n;

	if (r < 0)
		return r;
	n = sys_splice(fd, memory->fd, NULL, OUTPUT_BATCH_SIZE);
	if (n > 0)
		put_together(memory, slot, (size_t)n, ret_batch);
	else
		set_current(memory, current_number(memory), 0);
	return n;
}

void
output_memory_take_kept(struct output_memory *memory, uint32_t slot,
	int32_t pid, struct output_batch *ret_batch)
{
	(void)begin(memory, slot, pid);
	put_together(memory, slot, 0, ret_batch);
}

bool
output_memory_find(struct output_memory *memory, uint32_t slot,
	int32_t *ret_pid, uint64_t *ret_printed, struct output_batch *ret_batch)
{
	uint64_t current = atomic_load(&memory->head->current);
	off_t end = sys_lseek(memory->fd, 0, SEEK_CUR);

	if ((current & SIZE_MASK) != slot + 1)
		return false;
	/* It was ended, but for the last store; or it had not begun. */
	if (word_of(memory, slot) >> NUMBER_SHIFT == current >> SIZE_BITS ||
		end < TAKEN_START || end > KEPT_START) {
		set_current(memory, current >> SIZE_BITS, 0);
		return false;
	}
	*ret_pid = (int32_t)atomic_load(&memory->head->pid);
	*ret_printed = atomic_load(&memory->head->printed);
	put_together(memory, slot, (size_t)(end - TAKEN_START), ret_batch);
	return true;
}

void
output_memory_note(struct output_memory *memory, uint64_t printed)
{
	atomic_store_explicit(
		&memory->head->printed, printed, memory_order_release);
}

void
output_memory_end(struct output_memory *memory, size_t left, bool is_continued)
{
	uint32_t slot = memory->slot;
	uint64_t number = current_number(memory);
	uint64_t word = word_of(memory, slot);
	bool half = word & HALF_BIT;
	size_t before = memory->kept;
	const char *from = (char *)memory->base + TAKEN_START - before +
			   memory->size - left;

	if (left == memory->size) {
		/* It only grew: what is kept stays where it is. */
		memcpy(half_of(memory, slot, half) + before, from + before,
			left - before);
	} else if (left) {
		half = !half;
		memcpy(half_of(memory, slot, half), from, left);
	}
	word = number << NUMBER_SHIFT | (half ? HALF_BIT : 0) |
	       (is_continued ? CONTINUED_BIT : 0) | left;
	atomic_store_explicit(
		&memory->head->kept[slot], word, memory_order_release);
	set_current(memory, number, 0);
}

/*
 * The memory of events: a ring of texts between two positions that only grow.
 *
 * A text lies in one piece. Where it would go over the ring's end, what is left
 * there is filled by one entry that is no text. The writer first moves `first`
 * past what it is about to overwrite, then writes, then moves `tail`. A kill
 * leaves both as they were at some instruction, and each is right.
 *
 * Which events there are and what they say is fleet/events' business.
 */
#include "mechanism/event_memory.h"

#include "base/record.h"
#include "base/sys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_MAGIC UINT64_C(0x31746e7665747375) /* "ustevnt1" */

enum {
	HEAD_SIZE = 4096,
	MEMORY_SIZE = HEAD_SIZE + EVENT_MEMORY_SIZE,
};

struct memory_head {
	_Atomic uint64_t magic;
	_Atomic uint64_t first; /* the oldest entry … */
	_Atomic uint64_t tail; /* … and behind the newest; bytes ever written */
};

/* In front of each text; all begin at multiples of its size. */
struct entry {
	uint32_t size; /* of the text; FILLER: up to the ring's end */
	uint32_t crc;  /* of the text */
};

#define FILLER UINT32_MAX

struct event_memory {
	struct memory_head *head;
	uint8_t *ring;
	size_t count;
};

int
event_memory_make(void)
{
	int fd = sys_memfd("events", MFD_CLOEXEC);
	int r = fd;

	if (r >= 0)
		r = sys_ftruncate(fd, MEMORY_SIZE);
	if (r < 0 && fd >= 0)
		sys_close(fd);
	return r < 0 ? r : fd;
}

/* Entries ------------------------------------------------------------------ */

static struct entry *
entry_at(const struct event_memory *memory, uint64_t position)
{
	return (struct entry *)(void *)(memory->ring +
					position % EVENT_MEMORY_SIZE);
}

/* How far it is from `position` to the ring's end. */
static uint64_t
rest_of(uint64_t position)
{
	return EVENT_MEMORY_SIZE - position % EVENT_MEMORY_SIZE;
}

/* What a text takes, with its NUL. */
static uint64_t
length_of(uint64_t size)
{
	return (sizeof(struct entry) + size + 1 + 7) / 8 * 8;
}

static uint64_t
entry_length(const struct event_memory *memory, uint64_t position)
{
	uint32_t size = entry_at(memory, position)->size;

	return size == FILLER ? rest_of(position) : length_of(size);
}

static bool
is_text(const struct event_memory *memory, uint64_t position)
{
	return entry_at(memory, position)->size != FILLER;
}

/* Counts the texts; false: the entries don't lead from `first` to `tail`. */
static bool
count_texts(struct event_memory *memory)
{
	uint64_t at = atomic_load(&memory->head->first);
	uint64_t tail = atomic_load(&memory->head->tail);

	if (at % 8 || at > tail || tail - at > EVENT_MEMORY_SIZE)
		return false;
	while (at < tail) {
		uint64_t length = entry_length(memory, at);

		if (length > rest_of(at) || length > tail - at)
			return false;
		memory->count += is_text(memory, at);
		at += length;
	}
	return memory->count <= EVENT_MEMORY_TEXTS;
}

/* Opening ------------------------------------------------------------------ */

int
event_memory_open(int fd, struct event_memory **ret_memory)
{
	struct event_memory *memory = calloc(1, sizeof(*memory));
	struct stat status;
	uint64_t magic;
	void *base = NULL;
	int r = memory ? sys_fstat(fd, &status) : -ENOMEM;

	if (r == 0 && status.st_size != MEMORY_SIZE)
		r = -EPROTO;
	if (r == 0)
		r = sys_mmap(MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, &base);
	/* The mapping is enough from now on. */
	sys_close(fd);
	if (r < 0) {
		free(memory);
		return r;
	}
	memory->head = base;
	memory->ring = (uint8_t *)base + HEAD_SIZE;
	magic = atomic_load(&memory->head->magic);
	if ((magic && magic != MEMORY_MAGIC) || !count_texts(memory)) {
		event_memory_close(&memory);
		return -EPROTO;
	}
	atomic_store(&memory->head->magic, MEMORY_MAGIC);
	*ret_memory = memory;
	return 0;
}

void
event_memory_close(struct event_memory **memory)
{
	struct event_memory *at = *memory;

	*memory = NULL;
	if (!at)
		return;
	sys_munmap(at->head, MEMORY_SIZE);
	free(at);
}

/* Adding ------------------------------------------------------------------- */

static void
drop_oldest(struct event_memory *memory)
{
	uint64_t first = atomic_load(&memory->head->first);

	memory->count -= is_text(memory, first);
	atomic_store(&memory->head->first, first + entry_length(memory, first));
}

/* Until `length` bytes behind the tail are free. */
static void
make_room(struct event_memory *memory, uint64_t length)
{
	uint64_t tail = atomic_load(&memory->head->tail);

	while (tail + length - atomic_load(&memory->head->first) >
		EVENT_MEMORY_SIZE)
		drop_oldest(memory);
	/* What was dropped doesn't count any more before it is written over. */
	atomic_thread_fence(memory_order_seq_cst);
}

/* The entry behind the tail counts. */
static void
move_tail(struct event_memory *memory, uint64_t length)
{
	uint64_t tail = atomic_load(&memory->head->tail);

	atomic_store(&memory->head->tail, tail + length);
}

void
event_memory_add(struct event_memory *memory, const char *text, size_t size)
{
	uint64_t length = length_of(size);
	uint64_t tail = atomic_load(&memory->head->tail);
	struct entry *entry;

	if (size >= EVENT_MEMORY_SIZE || length > EVENT_MEMORY_SIZE)
		return;
	while (memory->count >= EVENT_MEMORY_TEXTS)
		drop_oldest(memory);
	if (length > rest_of(tail)) {
		make_room(memory, rest_of(tail));
		entry_at(memory, tail)->size = FILLER;
		move_tail(memory, rest_of(tail));
		tail += rest_of(tail);
	}
	make_room(memory, length);
	entry = entry_at(memory, tail);
	entry->size = (uint32_t)size;
	entry->crc = record_crc(0, text, size);
	memcpy(entry + 1, text, size);
	((char *)(entry + 1))[size] = '\0';
	move_tail(memory, length);
	memory->count++;
}

void
event_memory_walk(const struct event_memory *memory,
	void (*visit)(const char *text, size_t size, void *data), void *data)
{
	uint64_t tail = atomic_load(&memory->head->tail);
	uint64_t at = atomic_load(&memory->head->first);

	while (at < tail) {
		const struct entry *entry = entry_at(memory, at);
		const char *text = (const char *)(entry + 1);

		if (is_text(memory, at) && text[entry->size] == '\0' &&
			record_crc(0, text, entry->size) == entry->crc)
			visit(text, entry->size, data);
		at += entry_length(memory, at);
	}
}

/* Texts in a ring that outlives its writer: bounds, damage, and a kill at each
 * step. */
#include "mechanism/event_memory.h"

#include "base/sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(event_memory, .timeout = 100);

enum {
	HEAD = 4096,
	FIRST = 1, /* words of the head */
	TAIL = 2,
};

struct seen {
	size_t count, bytes;
	long first, last; /* the numbers that the texts begin with */
	bool has_gap;
};

static void
see(const char *text, size_t size, void *data)
{
	struct seen *seen = data;
	long number = strtol(text, NULL, 10);

	cr_assert_eq(strlen(text), size);
	if (!seen->count++)
		seen->first = number;
	else if (number != seen->last + 1)
		seen->has_gap = true;
	seen->last = number;
	seen->bytes += size;
}

static struct seen
look(const struct event_memory *memory)
{
	struct seen seen = {0};

	event_memory_walk(memory, see, &seen);
	return seen;
}

/* A text that begins with its number and has `size` bytes or more. */
static void
add(struct event_memory *memory, long number, size_t size)
{
	static char text[EVENT_MEMORY_SIZE + 1];
	size_t used = (size_t)snprintf(text, sizeof(text), "%ld ", number);

	if (size > used) {
		memset(text + used, 'x', size - used);
		used = size;
	}
	event_memory_add(memory, text, used);
}

static struct event_memory *
reopen(int fd)
{
	struct event_memory *memory = NULL;

	cr_assert_eq(event_memory_open(dup(fd), &memory), 0);
	return memory;
}

Test(event_memory, the_last_texts_are_kept)
{
	int fd = event_memory_make();
	struct event_memory *memory = reopen(fd);
	struct seen seen;

	for (long i = 1; i <= EVENT_MEMORY_TEXTS + 5; i++)
		add(memory, i, 0);
	seen = look(memory);
	cr_expect_eq(seen.count, EVENT_MEMORY_TEXTS);
	cr_expect_eq(seen.first, 6);
	cr_expect_eq(seen.last, EVENT_MEMORY_TEXTS + 5);
	cr_expect_not(seen.has_gap);
	event_memory_close(&memory);

	/* The next brain sees the same, and goes on. */
	memory = reopen(fd);
	add(memory, EVENT_MEMORY_TEXTS + 6, 0);
	seen = look(memory);
	cr_expect_eq(seen.count, EVENT_MEMORY_TEXTS);
	cr_expect_eq(seen.first, 7);
	cr_expect_not(seen.has_gap);
	event_memory_close(&memory);
	close(fd);
}

/* Of every length, so that each distance from the ring's end comes up. */
Test(event_memory, their_bytes_are_bounded)
{
	int fd = event_memory_make();
	struct event_memory *memory = reopen(fd);
	struct seen seen;

	for (long i = 1; i <= 3000; i++) {
		add(memory, i, (size_t)(i * 7919 % 60000));
		if (i % 97)
			continue;
		seen = look(memory);
		cr_assert_eq(seen.last, i);
		cr_assert_not(seen.has_gap);
		cr_assert_leq(seen.bytes, (size_t)EVENT_MEMORY_SIZE);
	}
	cr_expect_gt(look(memory).bytes, (size_t)EVENT_MEMORY_SIZE * 9 / 10);
	event_memory_close(&memory);
	close(fd);
}

Test(event_memory, one_may_fill_it_and_none_is_larger)
{
	int fd = event_memory_make();
	struct event_memory *memory = reopen(fd);

	add(memory, 1, 10);
	add(memory, 2, EVENT_MEMORY_SIZE);
	cr_expect_eq(look(memory).last, 1);
	add(memory, 3, EVENT_MEMORY_SIZE - 9);
	cr_expect_eq(look(memory).count, 1);
	cr_expect_eq(look(memory).first, 3);
	add(memory, 4, 10);
	cr_expect_eq(look(memory).count, 1);
	cr_expect_eq(look(memory).first, 4);
	event_memory_close(&memory);
	memory = reopen(fd);
	cr_expect_eq(look(memory).first, 4);
	event_memory_close(&memory);
	close(fd);
}

/* J-like damage: whatever stands there, nothing is read beyond the ring. */
Test(event_memory, nonsense_is_refused)
{
	static const uint64_t wrong[] = {
		1, 8, 24, EVENT_MEMORY_SIZE, UINT64_MAX, UINT64_MAX - 7};
	int fd = event_memory_make();
	struct event_memory *memory = reopen(fd);
	uint64_t *words;

	add(memory, 1, 100);
	add(memory, 2, 100);
	event_memory_close(&memory);
	words = mmap(NULL, HEAD * 2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(words, MAP_FAILED);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		uint64_t was = words[FIRST];

		words[FIRST] = wrong[i];
		cr_expect_eq(event_memory_open(dup(fd), &memory), -EPROTO);
		words[FIRST] = was;
		was = words[TAIL];
		words[TAIL] = wrong[i];
		cr_expect_eq(event_memory_open(dup(fd), &memory), -EPROTO);
		words[TAIL] = was;
		was = words[HEAD / 8];
		words[HEAD / 8] = wrong[i];
		cr_expect_eq(event_memory_open(dup(fd), &memory), -EPROTO);
		words[HEAD / 8] = was;
	}
	/* A text alone is passed over. */
	((char *)words)[HEAD + 20] ^= 1;
	memory = reopen(fd);
	cr_expect_eq(look(memory).count, 1);
	cr_expect_eq(look(memory).first, 2);
	event_memory_close(&memory);
	words[0] = 5;
	cr_expect_eq(event_memory_open(dup(fd), &memory), -EPROTO);
	munmap(words, HEAD * 2);
	cr_assert_eq(ftruncate(fd, HEAD), 0);
	cr_expect_eq(event_memory_open(fd, &memory), -EPROTO);
}

/* Goes over the ring's end, and drops the first text, which lies there. */
static void
write_over_the_end(int fd)
{
	struct event_memory *memory = NULL;

	if (event_memory_open(dup(fd), &memory) < 0)
		_exit(1);
	raise(SIGSTOP);
	event_memory_add(memory, "4 comes over the end of the ring", 32);
	raise(SIGSTOP);
	_exit(0);
}

/*
 * The writer is stopped behind each single instruction of an addition: what
 * would be found if it were killed there is whole.
 */
Test(event_memory, a_kill_at_any_instruction_leaves_whole_texts)
{
	int fd = event_memory_make(), status;
	struct event_memory *memory = reopen(fd);
	bool with_first = false, without_both = false, with_last = false;
	long steps = 0;
	pid_t pid;

	add(memory, 1, EVENT_MEMORY_SIZE - 240);
	add(memory, 2, 90);
	add(memory, 3, 90);
	cr_assert_eq(look(memory).first, 1);
	event_memory_close(&memory);
	pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		write_over_the_end(fd);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	for (; !with_last; steps++) {
		cr_assert_lt(steps, 100000);
		cr_assert(WIFSTOPPED(status));
		memory = reopen(fd);
		struct seen seen = look(memory);
		cr_assert_not(seen.has_gap, "after %ld steps", steps);
		cr_assert_geq(seen.last, 3, "after %ld steps", steps);
		cr_assert_leq(seen.first, 2, "after %ld steps", steps);
		with_first |= seen.first == 1;
		without_both |= seen.first == 2 && seen.last == 3;
		with_last |= seen.last == 4;
		event_memory_close(&memory);
		ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	cr_expect(with_first && without_both);
	close(fd);
}

/*
 * journal.h: several changes of the exchange memory that happen together or not
 * at all, whenever the brain is killed.
 *
 * Between begin and commit each word is saved before it is changed. Commit
 * forgets what was saved, by one store; a brain that finds something saved was
 * preceded by one that died in between, and puts it back. So a frame that was
 * half routed was never read: its sender sends it again.
 *
 * A process dies between two instructions and its stores are seen in their
 * order by who maps the memory after it, on any processor; so only the compiler
 * must be kept from reordering them.
 *
 * What is saved lies in the memory file; what else there is to know while a
 * change is under way, here. For the loop's thread.
 */
#ifndef MUSTER_EXCHANGE_JOURNAL_H
#define MUSTER_EXCHANGE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Tests kill the brain here: between any two stores. */
#ifdef EXCHANGE_CRASH_POINTS
void exchange_crash_point(void);
#define JOURNAL_CRASH_POINT() exchange_crash_point()
#else
#define JOURNAL_CRASH_POINT() ((void)0)
#endif

enum {
	/* Enough for a broadcast to all rows. A change that needs more is kept
	 * as far as it got, and what follows is a change of its own. */
	JOURNAL_SIZE = 8 << 20,
};

/* In the memory file. */
struct journal_log {
	uint64_t used; /* bytes; 0: nothing is under way */
	/* For each save the bytes, padded to 8, then a word: where they belong
	 * in the file, shifted by 16, and how many they are. */
	uint8_t bytes[JOURNAL_SIZE];
};

struct journal {
	uint8_t *base; /* of the memory file */
	struct journal_log *log;
	uint32_t depth; /* 0: nothing is under way */
	/* Entries were taken from a ring's ends in this change: others that
	 * are put there must save them. */
	bool has_shrunk;
	uint64_t overflows;
};

static inline void
journal_barrier(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	JOURNAL_CRASH_POINT();
}

/* Saves `size` bytes (under 64 KiB) that are about to be changed; outside of a
 * change nothing. */
static inline void
journal_save(struct journal *journal, const void *at, uint32_t size)
{
	struct journal_log *log = journal->log;
	uint64_t padded = (size + 7u) & ~7u;
	uint64_t where, used;

	if (journal->depth == 0)
		return;
	if (log->used + padded + sizeof where > JOURNAL_SIZE) {
		journal->overflows++;
		log->used = 0;
		journal_barrier();
	}
	used = log->used;
	where = (uint64_t)((const uint8_t *)at - journal->base) << 16 | size;
	memcpy(log->bytes + used, at, size);
	memcpy(log->bytes + used + padded, &where, sizeof where);
	journal_barrier();
	log->used = used + padded + sizeof where;
	journal_barrier();
}

/* Changes one field of the memory: saved before, when a change is under way. */
#define journal_set(journal, field, value)                                     \
	do {                                                                   \
		journal_save((journal), &(field), sizeof(field));              \
		(field) = (value);                                             \
		journal_barrier();                                             \
	} while (0)

/* Forgets what was saved: all that was changed counts. */
static inline void
journal_forget(struct journal *journal)
{
	journal_barrier();
	journal->log->used = 0;
	journal->has_shrunk = false;
	journal_barrier();
}

/*
 * Puts back what a change that was under way has overwritten, in a file of
 * `size` bytes. May itself be cut short and done again.
 * Returns 1: it did; 0: nothing was under way; -EBADMSG: what is saved doesn't
 * add up and was put back only as far as it did.
 */
int journal_undo(struct journal *journal, size_t size);

#endif

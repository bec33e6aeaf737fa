/*
 * journal.c: the way back after a brain that died in the middle of a change.
 * The way forward is inline, since every message goes it.
 */
#include "journal.h"

#include <errno.h>

/*
 * Puts the last save below `*used` back and lowers it. Returns false: that is
 * none.
 */
static bool
journal_undo_one(struct journal *journal, size_t size, uint64_t *used)
{
	struct journal_log *log = journal->log;
	/* The head and the journal itself, which stand first, are never saved:
	 * the head was checked before. */
	uint64_t first = (uint64_t)((uint8_t *)(log + 1) - journal->base);
	uint64_t where, length, padded;

	if (*used < sizeof where || *used % 8 != 0)
		return false;
	memcpy(&where, log->bytes + *used - sizeof where, sizeof where);
	length = where & 0xffff;
	where >>= 16;
	padded = (length + 7) & ~UINT64_C(7);
	if (length == 0 || padded + sizeof where > *used || where < first ||
		where > size || length > size - where)
		return false;
	*used -= padded + sizeof where;
	memcpy(journal->base + where, log->bytes + *used, length);
	JOURNAL_CRASH_POINT();
	return true;
}

int
journal_undo(struct journal *journal, size_t size)
{
	uint64_t used = journal->log->used;
	int r = used > 0;

	if (used > JOURNAL_SIZE)
		r = -EBADMSG;
	/* The newest first: what was saved twice gets its oldest value. */
	while (r == 1 && used > 0)
		if (!journal_undo_one(journal, size, &used))
			r = -EBADMSG;
	journal_forget(journal);
	return r;
}

/*
 * ledger.h: what a brain must remember, in a memory file that the keeper holds.
 *
 * The file has a head and tables of fixed records. What the records mean is
 * the business of who hands in the plan of the tables; the ledger sees to it
 * that a brain that dies at any instruction leaves for each row either the old
 * record or the new one. A decision is written before it is carried out, and
 * its outcome after.
 *
 * A record whose bytes are all zero is an empty row, so a plan's record has at
 * least one field that is never 0.
 *
 * Brains of different versions take over from each other, so a row has room
 * behind its record. What a newer brain keeps there an older one leaves as it
 * is when it writes the record; to a newer one the room of a row that only an
 * older one wrote is zeros. Likewise with tables: a plan may go on behind the
 * file's last table, and an older brain doesn't see what it doesn't know. So
 * fields and tables are added at the end, and zero means what it meant before;
 * all else takes another version.
 *
 * Memory is touched only where rows are in use: the head counts how far each
 * table was filled, and nobody reads behind that. Loop's thread only.
 */
#ifndef MUSTER_LEDGER_H
#define MUSTER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum {
	LEDGER_TABLES_MAX = 16,
	LEDGER_RECORD_MAX = 1024, /* bytes of one row's room */
};

struct ledger;

struct ledger_table {
	uint32_t record_size; /* bytes, a multiple of 8 */
	uint32_t rows;
	uint32_t room; /* bytes of a row, a multiple of 8; 0: the record's */
};

/*
 * Opens the ledger in the memory file `fd` (taken over, also on failure).
 * `version` is that of the plan; another one, or rows of another room, is
 * another ledger. One whose head was never written is emptied and counts as
 * new.
 * Returns 0; -EPROTO: it was written by another version, nothing was changed;
 * -EFBIG: the plan doesn't fit into the file; -EINVAL: the plan itself is
 * wrong; -ENOMEM; or what mapping the file said.
 */
int ledger_open(int fd, uint32_t version, const struct ledger_table *tables,
	uint32_t table_count, struct ledger **ret_ledger);
void ledger_close(struct ledger **ledger);

/*
 * Whether ledger_open would take the file, for who may not touch it. `fd` is
 * borrowed. Returns as ledger_open.
 */
int ledger_check(int fd, uint32_t version, const struct ledger_table *tables,
	uint32_t table_count);

/* Whether no head is there yet: a first start, or one that died before it. */
bool ledger_is_new(const struct ledger *ledger);

/* Writes the head: from now on a new brain goes on from what is written. */
void ledger_seal(struct ledger *ledger);

/*
 * Writes `record` into a free row of `table`.
 * Returns 0 and the row; -ENOSPC: the table is full.
 */
int ledger_add(struct ledger *ledger, uint32_t table, const void *record,
	uint32_t *ret_row);

/*
 * Writes `record` into `row`, in use or not.
 * Returns 0; -ERANGE: no such table or row.
 */
int ledger_write(struct ledger *ledger, uint32_t table, uint32_t row,
	const void *record);

/* Frees `row`. Returns 0; -ERANGE: no such table or row. */
int ledger_erase(struct ledger *ledger, uint32_t table, uint32_t row);

/*
 * Reads `row`.
 * Returns 0; -ENOENT: the row is empty; -EBADMSG: no copy of it is right: the
 * caller sets it aside and says so; -ERANGE: no such table or row.
 */
int ledger_read(const struct ledger *ledger, uint32_t table, uint32_t row,
	void *ret_record);

/* How many rows from the first on may be in use: the bound of a reader. */
uint32_t ledger_used(const struct ledger *ledger, uint32_t table);

#endif

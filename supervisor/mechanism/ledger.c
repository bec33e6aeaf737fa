/*
 * The ledger: a head, then places of base/record for each row of each table.
 *
 * It knows sizes and rows, and nothing of what is written: that is fleet's
 * business (fleet/state). Which rows are free it learns when it opens, by
 * reading the rows that the head says were used; it keeps that in private
 * memory. Nothing here is decided by what a row holds.
 *
 * Order of the stores: a row is whole before the count that covers it is
 * raised, and everything is whole before the head is written.
 */
#include "mechanism/ledger.h"

#include "base/record.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LEDGER_MAGIC UINT64_C(0x726567646c74736d) /* "mstldger" */

enum {
	TABLES_START = 4096, /* the head and the counts lie before it */
	TABLE_ALIGN = 64,
	COUNTS_START = 64,
	SHAPES_START = 1024,
};

struct ledger_head {
	_Atomic uint64_t magic;
	uint32_t version;
	uint32_t table_count; /* as many shapes follow at SHAPES_START */
	uint64_t size;	      /* of the file, in bytes */
};

struct shape {
	uint32_t room, rows;
};

struct table {
	struct ledger_table plan;
	uint64_t start; /* offset of the first place */
	uint64_t place; /* bytes of one */
	uint32_t used;
	uint32_t first_free; /* no row before it is free */
	uint64_t *taken;     /* one bit a row */
};

struct ledger {
	uint8_t *base;
	uint64_t size;
	uint32_t version;
	uint32_t table_count;
	bool is_new;
	struct table tables[LEDGER_TABLES_MAX];
};

static struct ledger_head *
head_of(const struct ledger *ledger)
{
	return (struct ledger_head *)ledger->base;
}

static struct shape *
shape_of(const struct ledger *ledger, uint32_t table)
{
	return (struct shape *)(ledger->base + SHAPES_START) + table;
}

static void *
count_place(const struct ledger *ledger, uint32_t table)
{
	return ledger->base + COUNTS_START +
	       table * RECORD_PLACE_SIZE(sizeof(uint64_t));
}

static void *
row_place(const struct ledger *ledger, const struct table *table, uint32_t row)
{
	return ledger->base + table->start + row * table->place;
}

static bool
is_zero(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		if (at[i])
			return false;
	return true;
}

static bool
is_taken(const struct table *table, uint32_t row)
{
	return table->taken[row / 64] >> row % 64 & 1;
}

static void
mark(struct table *table, uint32_t row, bool taken)
{
	uint64_t bit = UINT64_C(1) << row % 64;

	if (taken) {
		table->taken[row / 64] |= bit;
	} else {
		table->taken[row / 64] &= ~bit;
		if (row < table->first_free)
			table->first_free = row;
	}
}

/* Places the tables one behind the other; the plan is checked on the way. */
static int
lay_out(struct ledger *ledger, const struct ledger_table *plans)
{
	uint64_t at = TABLES_START;

	for (uint32_t i = 0; i < ledger->table_count; i++) {
		struct table *table = &ledger->tables[i];
		const struct ledger_table *plan = &plans[i];

		table->plan = *plan;
		if (!plan->room)
			table->plan.room = plan->record_size;
		if (!plan->record_size || table->plan.room % 8 ||
			plan->record_size > table->plan.room ||
			table->plan.room > LEDGER_RECORD_MAX || !plan->rows)
			return -EINVAL;
		table->start = at;
		table->place = RECORD_PLACE_SIZE((uint64_t)table->plan.room);
		at += table->place * plan->rows;
		at = (at + TABLE_ALIGN - 1) / TABLE_ALIGN * TABLE_ALIGN;
		if (at > ledger->size)
			return -EFBIG;
		table->taken = calloc((plan->rows + 63) / 64, 8);
		if (!table->taken)
			return -ENOMEM;
	}
	return 0;
}

/* Learns what the last brain left: how far tables go, which rows are free. */
static void
learn(struct ledger *ledger)
{
	uint8_t record[LEDGER_RECORD_MAX];

	for (uint32_t i = 0; i < ledger->table_count; i++) {
		struct table *table = &ledger->tables[i];
		uint64_t used = 0;
		int r = record_read(
			count_place(ledger, i), &used, sizeof(used));

		/* A count that can't be read hides no row: all are looked at,
		 * and the empty ones tell themselves. */
		if (r == -EBADMSG || used > table->plan.rows)
			used = table->plan.rows;
		else if (r < 0)
			used = 0;
		table->used = (uint32_t)used;
		for (uint32_t row = 0; row < table->used; row++)
			if (ledger_read(ledger, i, row, record) != -ENOENT)
				mark(table, row, true);
	}
}

/* Returns 0; -ENOENT: no head; -EPROTO. Writes nothing. */
static int
check_head(const struct ledger *ledger)
{
	struct ledger_head *head = head_of(ledger);
	uint64_t magic =
		atomic_load_explicit(&head->magic, memory_order_acquire);

	if (magic == 0)
		return -ENOENT;
	if (magic != LEDGER_MAGIC || head->version != ledger->version ||
		head->size != ledger->size ||
		head->table_count > LEDGER_TABLES_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < head->table_count && i < ledger->table_count;
		i++)
		if (shape_of(ledger, i)->room != ledger->tables[i].plan.room ||
			shape_of(ledger, i)->rows !=
				ledger->tables[i].plan.rows)
			return -EPROTO;
	return 0;
}

/* Tells what tables there are; those behind the ones that are known stay. */
static void
write_shapes(struct ledger *ledger)
{
	struct ledger_head *head = head_of(ledger);

	for (uint32_t i = head->table_count; i < ledger->table_count; i++)
		*shape_of(ledger, i) =
			(struct shape){ledger->tables[i].plan.room,
				ledger->tables[i].plan.rows};
	atomic_thread_fence(memory_order_release);
	if (head->table_count < ledger->table_count)
		head->table_count = ledger->table_count;
}

static int
read_head(struct ledger *ledger, int fd)
{
	int r = check_head(ledger);

	if (r == -ENOENT) {
		ledger->is_new = true;
		/* What a brain left that died before it wrote the head. */
		return sys_fallocate(fd,
			FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			(off_t)ledger->size);
	}
	if (r < 0)
		return r;
	write_shapes(ledger);
	learn(ledger);
	return 0;
}

/* Maps the file and places the tables; the head isn't looked at. */
static int
map(int fd, int protection, uint32_t version, const struct ledger_table *tables,
	uint32_t table_count, struct ledger **ret_ledger)
{
	struct ledger *ledger;
	struct stat status;
	void *base;
	int r;

	if (!table_count || table_count > LEDGER_TABLES_MAX)
		return -EINVAL;
	r = sys_fstat(fd, &status);
	if (r < 0)
		return r;
	if (status.st_size < TABLES_START)
		return -EFBIG;
	ledger = calloc(1, sizeof(*ledger));
	if (!ledger)
		return -ENOMEM;
	ledger->size = (uint64_t)status.st_size;
	ledger->version = version;
	ledger->table_count = table_count;
	r = lay_out(ledger, tables);
	if (r >= 0)
		r = sys_mmap(ledger->size, protection, MAP_SHARED, fd, &base);
	if (r < 0) {
		ledger_close(&ledger);
		return r;
	}
	ledger->base = base;
	*ret_ledger = ledger;
	return 0;
}

int
ledger_open(int fd, uint32_t version, const struct ledger_table *tables,
	uint32_t table_count, struct ledger **ret_ledger)
{
	struct ledger *ledger = NULL;
	int r = map(fd, PROT_READ | PROT_WRITE, version, tables, table_count,
		&ledger);

	if (r >= 0)
		r = read_head(ledger, fd);
	sys_close(fd);
	if (r < 0)
		ledger_close(&ledger);
	else
		*ret_ledger = ledger;
	return r;
}

int
ledger_check(int fd, uint32_t version, const struct ledger_table *tables,
	uint32_t table_count)
{
	struct ledger *ledger = NULL;
	int r = map(fd, PROT_READ, version, tables, table_count, &ledger);

	if (r >= 0)
		r = check_head(ledger);
	ledger_close(&ledger);
	return r == -ENOENT ? 0 : r;
}

void
ledger_close(struct ledger **ledger)
{
	if (!*ledger)
		return;
	for (uint32_t i = 0; i < LEDGER_TABLES_MAX; i++)
		free((*ledger)->tables[i].taken);
	if ((*ledger)->base)
		sys_munmap((*ledger)->base, (*ledger)->size);
	free(*ledger);
	*ledger = NULL;
}

bool
ledger_is_new(const struct ledger *ledger)
{
	return ledger->is_new;
}

void
ledger_seal(struct ledger *ledger)
{
	struct ledger_head *head = head_of(ledger);

	head->version = ledger->version;
	head->size = ledger->size;
	write_shapes(ledger);
	atomic_store_explicit(&head->magic, LEDGER_MAGIC, memory_order_release);
	ledger->is_new = false;
}

static struct table *
find_row(struct ledger *ledger, uint32_t table, uint32_t row)
{
	if (table >= ledger->table_count ||
		row >= ledger->tables[table].plan.rows)
		return NULL;
	return &ledger->tables[table];
}

int
ledger_write(
	struct ledger *ledger, uint32_t table, uint32_t row, const void *record)
{
	struct table *at = find_row(ledger, table, row);
	uint8_t whole[LEDGER_RECORD_MAX];
	void *place;

	if (!at)
		return -ERANGE;
	place = row_place(ledger, at, row);
	/* What stands behind the record is a newer brain's. */
	if (at->plan.room > at->plan.record_size &&
		record_read(place, whole, at->plan.room) < 0)
		memset(whole, 0, at->plan.room);
	memcpy(whole, record, at->plan.record_size);
	record_write(place, whole, at->plan.room);
	mark(at, row, true);
	if (row >= at->used) {
		uint64_t used = row + 1;

		at->used = row + 1;
		record_write(count_place(ledger, table), &used, sizeof(used));
	}
	return 0;
}

int
ledger_add(struct ledger *ledger, uint32_t table, const void *record,
	uint32_t *ret_row)
{
	struct table *at = find_row(ledger, table, 0);

	if (!at)
		return -ERANGE;
	for (uint32_t row = at->first_free; row < at->plan.rows; row++) {
		if (is_taken(at, row))
			continue;
		at->first_free = row + 1;
		*ret_row = row;
		return ledger_write(ledger, table, row, record);
	}
	at->first_free = at->plan.rows;
	return -ENOSPC;
}

int
ledger_erase(struct ledger *ledger, uint32_t table, uint32_t row)
{
	struct table *at = find_row(ledger, table, row);
	uint8_t zeros[LEDGER_RECORD_MAX] = {0};

	if (!at)
		return -ERANGE;
	if (row >= at->used || !is_taken(at, row))
		return 0;
	record_write(row_place(ledger, at, row), zeros, at->plan.room);
	mark(at, row, false);
	return 0;
}

int
ledger_read(const struct ledger *ledger, uint32_t table, uint32_t row,
	void *ret_record)
{
	uint8_t record[LEDGER_RECORD_MAX];
	const struct table *at;
	int r;

	if (table >= ledger->table_count ||
		row >= ledger->tables[table].plan.rows)
		return -ERANGE;
	at = &ledger->tables[table];
	if (row >= at->used)
		return -ENOENT;
	r = record_read(row_place(ledger, at, row), record, at->plan.room);
	if (r < 0)
		return r;
	if (is_zero(record, at->plan.record_size))
		return -ENOENT;
	memcpy(ret_record, record, at->plan.record_size);
	return 0;
}

uint32_t
ledger_used(const struct ledger *ledger, uint32_t table)
{
	return table < ledger->table_count ? ledger->tables[table].used : 0;
}

/*
 * table.c: places, two indexes and a queue over one array; no system call. What
 * happens to a process is in keeper.c.
 */
#include "keeper/table.h"

#include <string.h>

enum { BY_PROCESS, BY_PID };

static uint64_t
key_of(const struct row *row, int by)
{
	return by == BY_PID ? (uint64_t)row->info.pid : row->process;
}

/* The link that leads to the row of `key`, or the empty one at the end. */
static uint16_t *
link_to(struct table *table, int by, uint64_t key)
{
	uint16_t *link = &table->heads_by[by][key % TABLE_HEADS];

	while (*link && key_of(&table->rows[*link], by) != key)
		link = &table->rows[*link].next_by[by];
	return link;
}

static struct row *
find(struct table *table, int by, uint64_t key)
{
	uint16_t index = *link_to(table, by, key);

	return index ? &table->rows[index] : NULL;
}

static uint16_t
index_of(const struct table *table, const struct row *row)
{
	return (uint16_t)(row - table->rows);
}

static void
hang_in(struct table *table, int by, struct row *row)
{
	*link_to(table, by, key_of(row, by)) = index_of(table, row);
	row->next_by[by] = 0;
}

static void
take_out(struct table *table, int by, struct row *row)
{
	*link_to(table, by, key_of(row, by)) = row->next_by[by];
}

struct row *
table_add(struct table *table, uint64_t process)
{
	struct row *row;

	if (table->free) {
		row = &table->rows[table->free];
		table->free = row->next;
	} else if (table->high < KEEPER_PROCESSES_MAX) {
		row = &table->rows[++table->high];
	} else {
		return NULL;
	}
	*row = (struct row){
		.process = process, .pidfd = -1, .exec_pipe = -1, .cgroup = -1};
	hang_in(table, BY_PROCESS, row);
	return row;
}

void
table_free(struct table *table, struct row *row)
{
	take_out(table, BY_PROCESS, row);
	if (row->queued) {
		uint16_t index = index_of(table, row), before = table->first;

		while (before != index && table->rows[before].next != index)
			before = table->rows[before].next;
		if (before == index) {
			table_shift(table);
		} else {
			table->rows[before].next = row->next;
			if (table->last == index)
				table->last = before;
		}
	}
	row->process = 0;
	row->next = table->free;
	table->free = index_of(table, row);
}

struct row *
table_find(struct table *table, uint64_t process)
{
	return find(table, BY_PROCESS, process);
}

struct row *
table_find_pid(struct table *table, pid_t pid)
{
	return find(table, BY_PID, (uint64_t)pid);
}

void
table_set_pid(struct table *table, struct row *row, pid_t pid)
{
	row->info.pid = pid;
	hang_in(table, BY_PID, row);
	table->alive++;
}

void
table_clear_pid(struct table *table, struct row *row)
{
	take_out(table, BY_PID, row);
	table->alive--;
}

void
table_queue(struct table *table, struct row *row, enum table_news news)
{
	row->news |= (uint8_t)news;
	if (row->queued)
		return;
	row->queued = true;
	row->next = 0;
	if (table->first)
		table->rows[table->last].next = index_of(table, row);
	else
		table->first = index_of(table, row);
	table->last = index_of(table, row);
}

struct row *
table_first(struct table *table)
{
	return table->first ? &table->rows[table->first] : NULL;
}

void
table_shift(struct table *table)
{
	struct row *row = &table->rows[table->first];

	table->first = row->next;
	row->queued = false;
	row->news = 0;
}

/*
 * table.h: the keeper's processes, one row each, from the request to start one
 * until its exit was acknowledged. Rows keep their places. A row that the
 * brain must be told about waits in a queue, so what doesn't fit the pair's
 * buffer needs no memory of its own.
 */
#ifndef MUSTER_TABLE_H
#define MUSTER_TABLE_H

#include "keeper/keeper_protocol.h"

#include <stdbool.h>
#include <stdint.h>

enum { TABLE_HEADS = 1024 };

/* What is to be told, in this order. */
enum table_news {
	NEWS_SPAWNED = 1,
	NEWS_EXECED = 2,
	NEWS_EXITED = 4,
	NEWS_FAILED = 8, /* the last news: the row is then freed */
};

struct row {
	uint64_t process; /* 0: the row is free */
	struct keeper_row info;
	uint32_t failed_stage; /* 0: it has not failed */
	int32_t failed_error;  /* positive errno */
	int pidfd;
	int exec_pipe; /* -1 once it has told what it had to */
	bool executes; /* … that it is about to */
	int cgroup;    /* directory, or -1 */
	uint8_t news;  /* set of enum table_news */
	bool queued;
	bool released;	     /* a brain knows of it, so it may execute */
	uint16_t next_by[2]; /* row of the same head: by process, by pid */
	uint16_t next;	     /* in the queue, or among the free rows */
};

struct table {
	uint16_t high; /* rows 1 … high were used at some time */
	uint16_t free;
	uint16_t first, last; /* the queue of news */
	uint32_t alive;	      /* rows with a pid that is not reaped */
	uint16_t heads_by[2][TABLE_HEADS];
	struct row rows[KEEPER_PROCESSES_MAX + 1]; /* 0 is none */
};

/* A fresh row, its descriptors -1; NULL: the table is full. */
struct row *table_add(struct table *table, uint64_t process);

/* Hands the row back. Its descriptors must be closed. */
void table_free(struct table *table, struct row *row);

/* NULL: there is none. A pid counts from table_set_pid() to …_clear_pid(). */
struct row *table_find(struct table *table, uint64_t process);
struct row *table_find_pid(struct table *table, pid_t pid);

/* The pid is this row's; after the reap the number may be another's. */
void table_set_pid(struct table *table, struct row *row, pid_t pid);
void table_clear_pid(struct table *table, struct row *row);

/* Adds news to the row, and the row to the queue. */
void table_queue(struct table *table, struct row *row, enum table_news news);

/* The row that waits longest, or NULL; table_shift() takes it out. */
struct row *table_first(struct table *table);
void table_shift(struct table *table);

#endif

/* table_test.c: rows are found by both numbers, and news wait in order. */
#include "keeper/table.h"

#include <criterion/criterion.h>

TestSuite(table, .timeout = 60);

static struct table table;

Test(table, finds_by_process_and_pid)
{
	/* Numbers that share a head of the index. */
	struct row *a = table_add(&table, 5);
	struct row *b = table_add(&table, 5 + TABLE_HEADS);

	table_set_pid(&table, a, 77);
	table_set_pid(&table, b, 77 + TABLE_HEADS);
	cr_assert_eq(table.alive, 2);
	cr_assert_eq(table_find(&table, 5), a);
	cr_assert_eq(table_find(&table, 5 + TABLE_HEADS), b);
	cr_assert_eq(table_find_pid(&table, 77), a);
	cr_assert_eq(table_find_pid(&table, 77 + TABLE_HEADS), b);
	cr_assert_null(table_find(&table, 6));
	cr_assert_null(table_find_pid(&table, 5));
	table_clear_pid(&table, a);
	cr_assert_eq(table.alive, 1);
	cr_assert_null(table_find_pid(&table, 77));
	cr_assert_eq(table_find(&table, 5), a, "until it is freed");
	table_free(&table, a);
	cr_assert_null(table_find(&table, 5));
	cr_assert_eq(table_find(&table, 5 + TABLE_HEADS), b);
}

Test(table, is_full_at_its_bound)
{
	for (int i = 1; i <= KEEPER_PROCESSES_MAX; i++)
		cr_assert_not_null(table_add(&table, (uint64_t)i));
	cr_assert_null(table_add(&table, 99999));
	table_free(&table, table_find(&table, 100));
	cr_assert_not_null(table_add(&table, 99999));
	cr_assert_null(table_add(&table, 99998));
	cr_assert_not_null(table_find(&table, 99999));
}

Test(table, news_wait_in_order_and_only_once)
{
	struct row *rows[4];

	for (int i = 0; i < 4; i++) {
		rows[i] = table_add(&table, (uint64_t)i + 1);
		table_queue(&table, rows[i], NEWS_SPAWNED);
	}
	table_queue(&table, rows[0], NEWS_EXECED);
	cr_assert_eq(table_first(&table), rows[0]);
	cr_assert_eq(rows[0]->news, NEWS_SPAWNED | NEWS_EXECED);
	/* The last, one in the middle, and the first are freed unheard. */
	table_free(&table, rows[3]);
	table_free(&table, rows[1]);
	table_free(&table, rows[0]);
	cr_assert_eq(table_first(&table), rows[2]);
	rows[1] = table_add(&table, 9);
	table_queue(&table, rows[1], NEWS_EXITED);
	table_shift(&table);
	cr_assert_eq(rows[2]->news, 0);
	cr_assert_eq(table_first(&table), rows[1]);
	table_shift(&table);
	cr_assert_null(table_first(&table));
}

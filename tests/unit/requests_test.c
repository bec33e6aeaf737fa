/* The table of open requests: rows, numbers, deadlines, and a second life. */
#include "base/clock.h"
#include "base/sys.h"
#include "exchange/requests.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

static struct memory *memory;
static struct requests table;
static struct ev_loop *loop;
static struct link asking, answering;
static int file, expired;

static void
on_expired(struct request *request)
{
	expired++;
	requests_close(request->table, request);
}

static void
open_it(void)
{
	bool used;

	file = sys_memfd("exchange", MFD_CLOEXEC);
	loop = ev_loop_new(0);
	cr_assert_eq(memory_open(dup(file), 8 << 20, &memory, &used), 0);
	cr_assert_eq(requests_init(&table, loop, memory, on_expired), 0);
	list_init(&asking);
	list_init(&answering);
}

static void
close_it(void)
{
	requests_fini(&table);
	memory_close(&memory);
	ev_loop_destroy(loop);
	(void)close(file);
}

TestSuite(requests, .init = open_it, .fini = close_it);

static struct request *
ask(uint32_t channel, uint64_t id, uint32_t timeout_ms)
{
	struct request *request = requests_open(
		&table, NULL, &asking, channel, id, 9, timeout_ms);

	if (request != NULL)
		requests_assign(
			&table, request, NULL, &answering, 2, 22, 11, 9);
	return request;
}

Test(requests, numbers_are_new_for_each_delivery)
{
	struct request *request = ask(1, 5, 0);
	uint64_t first = request->number, second;

	cr_expect_eq(requests_find(&table, first), request);
	requests_assign(&table, request, NULL, &answering, 3, 33, 11, 9);
	second = request->number;
	cr_expect_neq(first, second);
	cr_expect_null(requests_find(&table, first));
	cr_expect_eq(requests_find(&table, second), request);
	requests_close(&table, request);
	cr_expect_null(requests_find(&table, second));
	cr_expect_null(requests_find(&table, 0));
	cr_expect(list_is_empty(&asking));
	cr_expect(list_is_empty(&answering));
	request = ask(1, 5, 0); /* the same row, another number */
	cr_expect_gt(request->number, second);
}

Test(requests, the_table_is_full_and_then_has_room)
{
	struct request *request;

	for (uint32_t i = 0; i < MEMORY_REQUESTS_MAX; i++)
		cr_assert_not_null(ask(i % 7, i, 0));
	cr_expect_null(ask(1, 1, 0));
	for (uint32_t i = 0; i < MEMORY_REQUESTS_MAX; i += 101) {
		request = requests_find_of_asker(&table, i % 7, i);
		cr_assert_not_null(request);
		cr_expect_eq(request->asker_id, i);
		cr_expect_null(requests_find_of_asker(&table, i % 7 + 1, i));
	}
	requests_close(&table, request);
	cr_expect_not_null(ask(3, 1 << 20, 0));
}

Test(requests, time_runs_out)
{
	struct request *late = ask(1, 1, 20), *timely = ask(1, 2, 20);

	(void)late;
	(void)ask(1, 3, 0);
	requests_close(&table, timely);
	ev_run(loop, 0); /* ends: no timer is left */
	cr_expect_eq(expired, 1);
	cr_expect_eq(table.open, 1);
}

static bool
adopt(void *context, struct request *request, const struct memory_request *row)
{
	(void)context;
	cr_expect_eq(row->asker_process, 11);
	cr_expect_eq(row->asked_process, 22);
	if (row->asker_id == 3)
		return false;
	list_append(&asking, &request->of_asker);
	return true;
}

Test(requests, a_second_brain_takes_them_over)
{
	uint64_t number, last;
	bool used;

	number = ask(1, 1, 0)->number;
	(void)ask(1, 2, 30);
	(void)ask(1, 3, 0);
	last = ask(1, 4, 0)->number;
	requests_close(&table, requests_find(&table, last));
	requests_fini(&table);
	memory_close(&memory);
	list_init(&asking);
	list_init(&answering);
	cr_assert_eq(memory_open(dup(file), 1, &memory, &used), 0);
	cr_assert_eq(requests_init(&table, loop, memory, on_expired), 0);
	requests_recover(&table, adopt, NULL);
	cr_expect_eq(table.open, 2);
	cr_expect_not_null(requests_find(&table, number));
	cr_expect_not_null(requests_find_of_asker(&table, 1, 2));
	cr_expect_null(requests_find_of_asker(&table, 1, 3));
	ev_run(loop, 0);
	cr_expect_eq(expired, 1); /* its deadline went on */
	cr_expect_gt(ask(1, 9, 0)->number >> 16, last >> 16);
}

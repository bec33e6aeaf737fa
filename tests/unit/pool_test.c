/* pool: from any set of slots to any number, by steps. */
#include "policy/pool.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(pool, .timeout = 20);

struct slots {
	uint32_t numbers[POOL_MAX + 8];
	size_t count;
	unsigned added, removed;
};

static void
settle(struct slots *slots, uint32_t desired)
{
	struct pool_step step;
	size_t least = slots->count;

	slots->added = slots->removed = 0;
	while ((step = pool_next(desired, slots->numbers, slots->count)).kind !=
		POOL_DONE) {
		cr_assert_leq(slots->added + slots->removed, 2 * POOL_MAX);
		if (step.kind == POOL_ADD) {
			cr_assert_eq(slots->removed, 0, "removed, then added");
			slots->numbers[slots->count++] = step.instance;
			slots->added++;
			continue;
		}
		slots->removed++;
		for (size_t i = 0; i < slots->count; i++)
			if (slots->numbers[i] == step.instance) {
				slots->numbers[i] =
					slots->numbers[--slots->count];
				break;
			}
	}
	if (desired >= least)
		cr_assert_geq(slots->count, least);
}

Test(pool, grows_from_nothing)
{
	struct slots slots = {0};

	settle(&slots, 4);
	cr_assert_eq(slots.count, 4);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(slots.numbers[i], i);
}

Test(pool, shrinks_from_the_top)
{
	const uint32_t there[] = {3, 0, 2, 1};
	struct pool_step step = pool_next(2, there, 4);

	cr_expect_eq(step.kind, POOL_REMOVE);
	cr_expect_eq(step.instance, 3);
	step = pool_next(0, there + 1, 1);
	cr_expect_eq(step.kind, POOL_REMOVE);
	cr_expect_eq(step.instance, 0);
	cr_expect_eq(pool_next(0, NULL, 0).kind, POOL_DONE);
}

Test(pool, fills_gaps_first)
{
	struct slots slots = {.numbers = {0, 2}, .count = 2};
	struct pool_step step = pool_next(2, slots.numbers, 2);

	cr_expect_eq(step.kind, POOL_ADD);
	cr_expect_eq(step.instance, 1);
	settle(&slots, 2);
	cr_expect_eq(slots.added, 1);
	cr_expect_eq(slots.removed, 1);
}

Test(pool, is_bounded)
{
	struct slots slots = {0};

	settle(&slots, UINT32_MAX);
	cr_expect_eq(slots.count, POOL_MAX);
	slots.numbers[0] = UINT32_MAX;
	cr_expect_eq(pool_next(0, slots.numbers, 1).instance, UINT32_MAX);
}

Test(pool, any_sequence_of_wishes_settles)
{
	struct slots slots = {0};

	srand(7);
	for (int i = 0; i < 300; i++) {
		uint32_t desired = (uint32_t)rand() % 40;

		settle(&slots, desired);
		cr_assert_eq(slots.count, desired);
	}
}

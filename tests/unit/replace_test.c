/* When a worker has served long enough. */
#include "policy/replace.h"

#include <criterion/criterion.h>

Test(replace, nothing_is_bounded)
{
	const struct replace_rules none = {0};
	const struct replace_facts much = {
		1ull << 40, 1ll << 40, 1ull << 40, 7};

	cr_expect_eq(replace_decide(&none, &much), REPLACE_NONE);
}

Test(replace, memory_is_what_it_is)
{
	const struct replace_rules rules = {.memory = 1000};
	struct replace_facts facts = {.process = 1, .memory = 1000};

	cr_expect_eq(replace_decide(&rules, &facts), REPLACE_NONE);
	facts.memory++;
	cr_expect_eq(replace_decide(&rules, &facts), REPLACE_MEMORY);
}

Test(replace, the_others_are_spread)
{
	const struct replace_rules rules = {
		.lifetime_ms = 100000, .requests = 1000};
	int early = 0, late = 0;

	for (uint64_t process = 1; process <= 1000; process++) {
		struct replace_facts facts = {.process = process};

		facts.age_ms = 89999;
		cr_assert_eq(replace_decide(&rules, &facts), REPLACE_NONE);
		facts.age_ms = 100000;
		early += replace_decide(&rules, &facts) == REPLACE_LIFETIME;
		facts.age_ms = 110000;
		cr_assert_eq(replace_decide(&rules, &facts), REPLACE_LIFETIME);
		facts.age_ms = 0;
		facts.requests = 899;
		cr_assert_eq(replace_decide(&rules, &facts), REPLACE_NONE);
		facts.requests = 1000;
		late += replace_decide(&rules, &facts) == REPLACE_NONE;
		facts.requests = 1100;
		cr_assert_eq(replace_decide(&rules, &facts), REPLACE_REQUESTS);
	}
	cr_expect(early > 400 && early < 600, "%d", early);
	cr_expect(late > 400 && late < 600, "%d", late);
}

Test(replace, a_bound_of_one)
{
	const struct replace_rules rules = {.requests = 1};
	struct replace_facts facts = {.process = 3};

	cr_expect_eq(replace_decide(&rules, &facts), REPLACE_NONE);
	facts.requests = 1;
	cr_expect_eq(replace_decide(&rules, &facts), REPLACE_REQUESTS);
}

Test(replace, failures_are_far_between)
{
	cr_expect_eq(replace_pause_ms(1), 10000);
	cr_expect_eq(replace_pause_ms(2), 20000);
	cr_expect_eq(replace_pause_ms(6), 300000);
	cr_expect_eq(replace_pause_ms(4000000000u), 300000);
}

#include "run_options.h"

#include <criterion/criterion.h>

#define HOME(...) run_options_home((char *[]){__VA_ARGS__, NULL})

Test(run_options, find_the_home)
{
	cr_expect_str_eq(HOME("--home", "/a", "--", "prog"), "/a");
	cr_expect_str_eq(HOME("--home=/a", "prog"), "/a");
	cr_expect_str_eq(HOME("-n", "4", "--home", "/a", "prog"), "/a");
	cr_expect_str_eq(HOME("-n4", "--home", "/a", "prog"), "/a");
	cr_expect_str_eq(HOME("--wait-ready", "--home", "/a"), "/a");
	cr_expect_str_eq(HOME("--waitReady", "--home", "/a"), "/a");
	cr_expect_str_eq(HOME("--no-autorestart", "--home", "/a"), "/a");
	cr_expect_str_eq(HOME("--raw", "--name", "x", "--home", "/a"), "/a");
	cr_expect_str_eq(HOME("--home", "/a", "--home", "/b"), "/b");
}

Test(run_options, leave_the_programs_words_alone)
{
	cr_expect_null(HOME("prog", "--home", "/a"));
	cr_expect_null(HOME("--", "--home", "/a"));
	cr_expect_null(HOME("-n", "4", "prog", "--home", "/a"));
	cr_expect_null(HOME("--name", "--home", "/a"));
	cr_expect_null(HOME("-e", "--home=/a", "prog"));
	cr_expect_null(HOME("--home"));
	cr_expect_null(HOME("-"));
}

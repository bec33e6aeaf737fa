#include "nearest.h"

#include <criterion/criterion.h>

static const char *const words[] = {
	"ls", "send", "reload", NULL, "events", "version", "restart"};

static const char *
near(const char *word)
{
	return nearest_word(word, words, sizeof(words) / sizeof(words[0]));
}

Test(nearest, finds_each_kind_of_slip)
{
	cr_expect_str_eq(near("sned"), "send");
	cr_expect_str_eq(near("reloda"), "reload");
	cr_expect_str_eq(near("relod"), "reload");
	cr_expect_str_eq(near("eventss"), "events");
	cr_expect_str_eq(near("versoin"), "version");
	cr_expect_str_eq(near("vershon"), "version");
	cr_expect_str_eq(near("lss"), "ls");
	cr_expect_str_eq(near("send"), "send");
}

Test(nearest, takes_the_nearest_of_two)
{
	static const char *const two[] = {"restart", "resort"};

	cr_expect_str_eq(nearest_word("restar", two, 2), "restart");
	cr_expect_str_eq(nearest_word("resor", two, 2), "resort");
}

Test(nearest, is_silent_about_strangers)
{
	cr_expect_null(near("frobnicate"));
	cr_expect_null(near(""));
	cr_expect_null(near("xy"));
	cr_expect_null(nearest_word("send", words, 0));
}

Test(nearest, bounds_its_input)
{
	char word[200];

	memset(word, 'r', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	cr_expect_null(near(word));
	word[63] = '\0';
	cr_expect_null(near(word));
}

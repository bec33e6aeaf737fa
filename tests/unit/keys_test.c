/* keys: the table is sound, and every spelling finds its key. */
#include "config/config.h"
#include "config/keys.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

TestSuite(keys, .timeout = 20);

static const struct key *
find(const char *name)
{
	return keys_find(name, strlen(name));
}

Test(keys, table_is_sound)
{
	size_t count;
	const struct key *keys = keys_all(&count);

	cr_assert_gt(count, 30);
	cr_assert_leq(count, 64, "config.c keeps one bit a key");
	for (size_t i = 0; i < count; i++) {
		const struct key *key = &keys[i];
		size_t size = strlen(key->help);
		json_t *fallback =
			json_loads(key->fallback, JSON_DECODE_ANY, NULL);

		cr_expect_neq(fallback, NULL, "%s: default", key->name);
		json_decref(fallback);
		cr_expect_leq(key->least, key->most, "%s", key->name);
		cr_expect_gt(size, 10, "%s has no help", key->name);
		cr_expect_eq(find(key->name), key);
		cr_expect_geq(key->change, KEY_CHANGE_LIVE);
		cr_expect_lt(key->offset, sizeof(struct app_config));
		for (size_t j = 0; j < i; j++) {
			cr_expect_neq(keys[j].offset, key->offset);
			cr_expect(key->letter == 0 ||
				  keys[j].letter != key->letter);
		}
	}
}

Test(keys, every_spelling)
{
	cr_expect_str_eq(find("kill_timeout")->name, "kill_timeout");
	cr_expect_str_eq(find("killTimeout")->name, "kill_timeout");
	cr_expect_str_eq(find("kill-timeout")->name, "kill_timeout");
	cr_expect_str_eq(find("expBackoffRestartDelay")->name,
		"exp_backoff_restart_delay");
	cr_expect_str_eq(find("command")->name, "script");
	cr_expect_eq(find(""), NULL);
	cr_expect_eq(find("kill_timeou"), NULL);
	cr_expect_eq(keys_find("name\0x", 6), NULL);
	cr_expect_eq(keys_find("name", 3), NULL);
	cr_expect_str_eq(keys_find_letter('n')->name, "instances");
	cr_expect_eq(keys_find_letter('\0'), NULL);
	cr_expect_eq(keys_find_letter('z'), NULL);
}

Test(keys, distance)
{
	cr_expect_eq(keys_distance("", ""), 0);
	cr_expect_eq(keys_distance("abc", ""), 3);
	cr_expect_eq(keys_distance("", "abc"), 3);
	cr_expect_eq(keys_distance("kitten", "sitting"), 3);
	cr_expect_eq(keys_distance("listen", "lisetn"), 1);
	cr_expect_eq(keys_distance("same", "same"), 0);
}

Test(keys, nearest)
{
	char long_name[300];

	cr_expect_str_eq(keys_nearest("max_restart"), "max_restarts");
	cr_expect_str_eq(keys_nearest("maxRestart"), "max_restarts");
	cr_expect_str_eq(keys_nearest("isntances"), "instances");
	cr_expect_str_eq(keys_nearest("instance"), "instances");
	cr_expect_eq(keys_nearest("qqqqqqqqqqqq"), NULL);
	memset(long_name, 'x', sizeof(long_name));
	long_name[299] = '\0';
	cr_expect_eq(keys_nearest(long_name), NULL);
}

Test(keys, names_that_change_nothing_may_stand_there)
{
	cr_expect_not_null(keys_passed_over("pmx"));
	cr_expect_not_null(keys_passed_over("talksTo"));
	cr_expect_not_null(keys_passed_over("talks-to"));
	cr_expect_null(keys_passed_over("scirpt"));
	/* What is a key is read. */
	cr_expect_null(keys_passed_over("script"));
	cr_expect_null(keys_find("pmx", 3));
}

/* json_test.c: the one set of rules for reading and writing. */
#include "base/json.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(json, .timeout = 20);

static json_t *
read_text(const char *text)
{
	return json_read(text, strlen(text));
}

Test(json, reads_any_value_at_the_top)
{
	const char *texts[] = {"1", "\"x\"", "null", "[]", "{\"a\":[1]}"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		json_t *value = read_text(texts[i]);
		size_t size;
		char *again = json_write(value, &size);

		cr_assert_str_eq(again, texts[i]);
		cr_assert_eq(size, strlen(texts[i]));
		free(again);
		json_decref(value);
	}
}

Test(json, refuses_what_is_wrong)
{
	const char *texts[] = {
		"", "{", "{\"a\":1,\"a\":2}", "1 2", "nul", "\"\xff\"", "[1,]"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		cr_assert_null(read_text(texts[i]), "%s", texts[i]);
}

Test(json, keeps_nul_in_strings)
{
	json_t *value = read_text("[\"a\\u0000b\"]");
	size_t size;
	char *text = json_write(value, &size);

	cr_assert_eq(json_string_length(json_array_get(value, 0)), 3);
	cr_assert_str_eq(text, "[\"a\\u0000b\"]");
	free(text);
	json_decref(value);
}

Test(json, parameters_are_an_object_or_none)
{
	const char *wrong[] = {"1", "\"x\"", "[]", "true"};
	const char *right[] = {"{}", "{\"a\":1}", "null"};

	cr_expect(json_is_params(NULL));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		json_t *value = read_text(wrong[i]);

		cr_expect_not(json_is_params(value), "%s", wrong[i]);
		json_decref(value);
	}
	for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++) {
		json_t *value = read_text(right[i]);

		cr_expect(json_is_params(value), "%s", right[i]);
		json_decref(value);
	}
}

Test(json, takes_a_method_call_apart)
{
	json_t *call = read_text("{\"method\":\"ls\",\"params\":{\"a\":1}}");
	json_t *bare = read_text("{\"method\":\"ls\"}");
	json_t *other = read_text("{\"method\":7}");
	json_t *params = call;

	cr_assert_str_eq(json_method(call, &params), "ls");
	cr_assert_eq(json_integer_value(json_object_get(params, "a")), 1);
	cr_assert_str_eq(json_method(bare, &params), "ls");
	cr_assert_null(params);
	params = call;
	cr_assert_null(json_method(other, &params));
	cr_assert_eq(params, call, "untouched on failure");
	cr_assert_null(json_method(NULL, &params));
	json_decref(call);
	json_decref(bare);
	json_decref(other);
}

Test(json, finds_text)
{
	json_t *object = read_text("{\"a\":\"x\",\"b\":1}");

	cr_assert_str_eq(json_text(object, "a"), "x");
	cr_assert_null(json_text(object, "b"));
	cr_assert_null(json_text(object, "c"));
	json_decref(object);
}

/* What people write into JSON, and what must not be touched. */
#include "config/relaxed.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void
check(const char *text, const char *wanted)
{
	char copy[256];

	snprintf(copy, sizeof(copy), "%s", text);
	relaxed_strip(copy, strlen(copy));
	cr_expect_str_eq(copy, wanted);
}

Test(relaxed, comments)
{
	check("{} // end", "{}       ");
	check("{} // end\n1", "{}       \n1");
	check("[/* a\nb */1]", "[    \n    1]");
	check("/* open", "       ");
	check("/", "/");
	check("[1/2]", "[1/2]");
}

Test(relaxed, commas)
{
	check("[1,2,]", "[1,2 ]");
	check("{\"a\":1 , // b\n }", "{\"a\":1       \n }");
	check("[1,,]", "[1, ]");
	check("[,]", "[ ]");
	check(",", ",");
}

Test(relaxed, strings)
{
	check("[\"// no\", \"/* no */\"]", "[\"// no\", \"/* no */\"]");
	check("[\"a,]\"]", "[\"a,]\"]");
	check("[\"\\\"// no,]\"]", "[\"\\\"// no,]\"]");
	check("\"open // ", "\"open // ");
	check("\"\\", "\"\\");
}

/* Lines and columns of what is left are what they were; nothing is read or
 * written outside. */
Test(relaxed, any_bytes)
{
	static const char letters[] = "{}[]\",:/*\\\n a1";
	unsigned seed = 7;

	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)(round % 24);
		char *text = malloc(size + 1);
		char *before = malloc(size + 1);

		for (size_t i = 0; i < size; i++) {
			seed = seed * 1103515245 + 12345;
			text[i] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		memcpy(before, text, size);
		relaxed_strip(text, size);
		for (size_t i = 0; i < size; i++)
			cr_assert(text[i] == before[i] || text[i] == ' ');
		free(text);
		free(before);
	}
}

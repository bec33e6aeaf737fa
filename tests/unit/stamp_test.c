/* Moments in words. */
#include "mechanism/stamp.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void
be_in_delhi(void)
{
	setenv("TZ", "IST-5:30", 1);
	tzset();
}

TestSuite(stamp, .init = be_in_delhi);

Test(stamp, tokens)
{
	static const struct {
		const char *format, *text;
	} cases[] = {
		{STAMP_ISO, "2026-11-27T18:35:09.042+05:30"},
		{"YYYY-MM-DD HH:mm:ss.SSS Z", "2026-11-27 18:35:09.042 +05:30"},
		{"DD.MM.YY hh:mm A a ZZ", "27.11.26 06:35 PM pm +0530"},
		{"X x", "1795784709 1795784709042"},
		{"[at] HH [o'clock]: q [", "at 18 o'clock: q ["},
		{"", ""},
	};
	char text[STAMP_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct timespec when = {1795784709, 42999999};

		cr_expect_eq(stamp_format(cases[i].format, when, text),
			strlen(cases[i].text));
		cr_expect_str_eq(text, cases[i].text);
	}
}

Test(stamp, too_much_is_cut)
{
	char format[400], text[STAMP_MAX];

	memset(format, 'Y', sizeof(format) - 1);
	format[sizeof(format) - 1] = '\0';
	cr_expect_eq(stamp_format(format, (struct timespec){0}, text),
		(size_t)STAMP_MAX - 1);
}

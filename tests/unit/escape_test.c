#include "escape.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void
expect(const char *text, size_t size, const char *shown)
{
	char *escaped = escape_text(text, size);

	cr_expect_str_eq(escaped, shown);
	free(escaped);
}

#define EXPECT(text, shown) expect(text, sizeof(text) - 1, shown)

Test(escape, leaves_text_as_it_is)
{
	EXPECT("", "");
	EXPECT("plain ~ text", "plain ~ text");
	EXPECT("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
	EXPECT("\xe6\x97\xa5\xf0\x9f\x90\x8e", "\xe6\x97\xa5\xf0\x9f\x90\x8e");
}

Test(escape, shows_what_drives_a_terminal)
{
	EXPECT("a\x1b[2Jb", "a\\x1b[2Jb");
	EXPECT("a\nb\rc\td", "a\\nb\\rc\\td");
	EXPECT("bell\a del\x7f", "bell\\x07 del\\x7f");
	EXPECT("nul\0!", "nul\\x00!");
	/* The one-character CSI, as UTF-8 and as a bare byte. */
	EXPECT("\xc2\x9b", "\\u{009b}");
	EXPECT("\x9b", "\\x9b");
}

Test(escape, shows_what_turns_or_hides_text)
{
	EXPECT("\xe2\x80\xae", "\\u{202e}");
	EXPECT("\xe2\x81\xa6", "\\u{2066}");
	EXPECT("\xe2\x80\x8b", "\\u{200b}");
	EXPECT("\xef\xbb\xbf", "\\u{feff}");
	EXPECT("\xf3\xa0\x81\x81", "\\u{e0041}");
}

Test(escape, takes_malformed_bytes_one_by_one)
{
	EXPECT("\xff", "\\xff");
	EXPECT("\xc3", "\\xc3");		   /* cut off */
	EXPECT("\xc3(", "\\xc3(");		   /* no continuation */
	EXPECT("\xc0\x80", "\\xc0\\x80");	   /* overlong */
	EXPECT("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* surrogate */
	EXPECT("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	EXPECT("\xe6\x97x", "\\xe6\\x97x");
}

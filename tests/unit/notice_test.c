/* What a notification says, and what it can't break. */
#include "mechanism/notice.h"

#include <criterion/criterion.h>
#include <string.h>

static struct notice
read_text(const char *text)
{
	struct notice notice;

	notice_read(text, strlen(text), &notice);
	return notice;
}

Test(notice, each_key)
{
	struct notice n = read_text("READY=1\nSTATUS=all is well\n"
				    "WATCHDOG=1\nSTOPPING=1\n"
				    "EXTEND_TIMEOUT_USEC=1500001");

	cr_expect(n.ready && n.stopping && n.is_alive && !n.is_hung);
	cr_expect(n.has_status);
	cr_expect_str_eq(n.status, "all is well");
	cr_expect_eq(n.extend_ms, 1501);
	cr_expect_eq(n.ignored, 0u);
	cr_expect(read_text("WATCHDOG=trigger").is_hung);
}

Test(notice, what_means_nothing)
{
	struct notice n =
		read_text("READY=0\nREADY\n=1\nMAINPID=1\nFDSTORE=1\n"
			  "READY=11\nWATCHDOG=triggers\n"
			  "EXTEND_TIMEOUT_USEC=-1\n"
			  "EXTEND_TIMEOUT_USEC=\n"
			  "EXTEND_TIMEOUT_USEC=9999999999999999999\n");

	cr_expect_not(n.ready || n.is_alive || n.is_hung || n.has_status);
	cr_expect_eq(n.extend_ms, 0);
	cr_expect_eq(n.ignored, 10u);
	n = read_text("");
	cr_expect_eq(n.ignored, 0u);
}

Test(notice, a_long_status_is_cut_between_characters)
{
	char text[NOTICE_STATUS_SIZE * 4] = "STATUS=";

	while (strlen(text) < sizeof(text) - 4)
		strcat(text, "ä");
	cr_expect_eq(strlen(read_text(text).status) % 2, 0ul);
	cr_expect_gt(
		strlen(read_text(text).status), (size_t)NOTICE_STATUS_SIZE - 4);
	/* Not a start of a character anywhere. */
	memset(text + 7, 0x80, sizeof(text) - 8);
	cr_expect_str_eq(read_text(text).status, "");
}

Test(notice, any_bytes)
{
	char bytes[NOTICE_SIZE_MAX];
	struct notice notice;
	unsigned seed = 1;

	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = (char)(seed >> 16);
		}
		memcpy(bytes + round, "\nSTATUS=", 8);
		notice_read(bytes, sizeof(bytes), &notice);
		cr_assert_lt(strlen(notice.status), sizeof(notice.status));
	}
	notice_read("READY=1\0garbage", 15, &notice);
	cr_expect(notice.ready);
}

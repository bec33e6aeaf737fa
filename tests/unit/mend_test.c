/* Advice for failed starts: for what users meet, and nothing made up. */
#include "fleet/mend.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static void
expect_advice(enum keeper_stage stage, int error, const char *program,
	const char *part)
{
	const char *advice = mend_start(stage, error, program);

	cr_assert_not_null(advice, "stage %d, %s", (int)stage, strerror(error));
	cr_expect_not_null(strstr(advice, part), "%s", advice);
}

Test(mend, a_missing_program_is_looked_for_where_it_was)
{
	expect_advice(KEEPER_STAGE_EXEC, ENOENT, "nothere", "PATH");
	expect_advice(KEEPER_STAGE_EXEC, ENOENT, "./nothere", "interpreter");
}

Test(mend, each_stage_has_its_own)
{
	expect_advice(KEEPER_STAGE_EXEC, EACCES, "/tmp", "not a folder");
	expect_advice(KEEPER_STAGE_EXEC, ENOEXEC, "./x", "#!");
	expect_advice(KEEPER_STAGE_DIRECTORY, ENOENT, "./x", "cwd");
	expect_advice(KEEPER_STAGE_DIRECTORY, EACCES, "./x", "enter");
	expect_advice(KEEPER_STAGE_LIMITS, EPERM, "./x", "root");
	expect_advice(KEEPER_STAGE_USER, EPERM, "./x", "root");
	expect_advice(KEEPER_STAGE_FORK, EAGAIN, "./x", "ulimit -u");
}

Test(mend, nothing_is_made_up)
{
	cr_expect_null(mend_start(KEEPER_STAGE_EXEC, EIO, "./x"));
	cr_expect_null(mend_start(KEEPER_STAGE_FORK, ENOMEM, "./x"));
	cr_expect_null(mend_start(KEEPER_STAGE_TABLE, ENOSPC, "./x"));
}

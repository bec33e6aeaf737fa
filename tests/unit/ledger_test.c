/* The ledger: what a new brain finds, also of a brain that died in between. */
#include "mechanism/ledger.h"

#include "base/record.h"
#include "base/sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 1 << 20, ROWS = 100 };

struct thing {
	uint64_t number;
	char text[24];
};

static const struct ledger_table plan[] = {
	{.record_size = 8, .rows = 1},
	{.record_size = sizeof(struct thing), .rows = ROWS},
};

static int
make_file(void)
{
	int fd = sys_memfd("ledger", 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(sys_ftruncate(fd, SIZE), 0);
	return fd;
}

static struct ledger *
reopen(int file)
{
	struct ledger *ledger = NULL;

	cr_assert_eq(ledger_open(dup(file), 1, plan, 2, &ledger), 0);
	return ledger;
}

Test(ledger, what_was_sealed_is_read_again)
{
	int file = make_file();
	struct ledger *ledger = reopen(file);
	struct thing thing = {7, "seven"}, read = {0};
	uint32_t row = 99;

	cr_assert(ledger_is_new(ledger));
	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	cr_expect_eq(row, 0);
	thing.number = 8;
	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	cr_expect_eq(row, 1);
	ledger_seal(ledger);
	cr_expect_not(ledger_is_new(ledger));
	ledger_close(&ledger);

	ledger = reopen(file);
	cr_assert_not(ledger_is_new(ledger));
	cr_expect_eq(ledger_used(ledger, 1), 2);
	cr_assert_eq(ledger_read(ledger, 1, 1, &read), 0);
	cr_expect_eq(read.number, 8);
	cr_expect_str_eq(read.text, "seven");
	cr_expect_eq(ledger_read(ledger, 0, 0, &read), -ENOENT);
	ledger_close(&ledger);
	close(file);
}

Test(ledger, a_first_start_that_died_leaves_nothing)
{
	int file = make_file();
	struct ledger *ledger = reopen(file);
	struct thing thing = {7, "seven"};
	uint32_t row;

	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	ledger_close(&ledger);
	ledger = reopen(file);
	cr_expect(ledger_is_new(ledger));
	cr_expect_eq(ledger_used(ledger, 1), 0);
	cr_expect_eq(ledger_read(ledger, 1, 0, &thing), -ENOENT);
	ledger_close(&ledger);
	close(file);
}

Test(ledger, erased_rows_are_given_again)
{
	int file = make_file();
	struct ledger *ledger = reopen(file);
	struct thing thing = {1, ""};
	uint32_t row;

	for (int i = 0; i < ROWS; i++)
		cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	cr_expect_eq(ledger_add(ledger, 1, &thing, &row), -ENOSPC);
	cr_assert_eq(ledger_erase(ledger, 1, 42), 0);
	cr_expect_eq(ledger_read(ledger, 1, 42, &thing), -ENOENT);
	ledger_seal(ledger);
	ledger_close(&ledger);
	ledger = reopen(file);
	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	cr_expect_eq(row, 42);
	cr_expect_eq(ledger_add(ledger, 1, &thing, &row), -ENOSPC);
	ledger_close(&ledger);
	close(file);
}

Test(ledger, another_version_or_plan_changes_nothing)
{
	int file = make_file();
	struct ledger *ledger = reopen(file), *other = NULL;
	struct ledger_table changed[2] = {plan[0], plan[1]};
	struct thing thing = {7, "seven"};
	uint32_t row;

	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	ledger_seal(ledger);
	cr_expect_eq(ledger_open(dup(file), 2, plan, 2, &other), -EPROTO);
	changed[1].rows--;
	cr_expect_eq(ledger_open(dup(file), 1, changed, 2, &other), -EPROTO);
	cr_expect_null(other);
	cr_expect_eq(ledger_read(ledger, 1, 0, &thing), 0);
	ledger_close(&ledger);
	close(file);
}

Test(ledger, a_plan_that_does_not_fit_is_refused)
{
	struct ledger_table wide[] = {{.record_size = 512, .rows = 1 << 20}};
	struct ledger_table odd[] = {{.record_size = 12, .rows = 1}};
	struct ledger *ledger = NULL;

	cr_expect_eq(ledger_open(make_file(), 1, wide, 1, &ledger), -EFBIG);
	cr_expect_eq(ledger_open(make_file(), 1, odd, 1, &ledger), -EINVAL);
	cr_expect_eq(ledger_open(make_file(), 1, odd, 0, &ledger), -EINVAL);
	cr_expect_null(ledger);
}

Test(ledger, a_torn_record_is_set_aside_alone)
{
	int file = make_file();
	struct ledger *ledger = reopen(file);
	struct thing thing = {7, "seven"};
	uint8_t *bytes;
	void *base = NULL;
	uint32_t row;

	for (int i = 0; i < 3; i++)
		cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	ledger_seal(ledger);
	ledger_close(&ledger);
	cr_assert_eq(
		sys_mmap(SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, &base),
		0);
	/* Every byte of the second "seven": its row has no right copy left. */
	bytes = memmem(base, SIZE, "seven", 5);
	bytes = memmem(bytes + 1, SIZE / 2, "seven", 5);
	cr_assert_not_null(bytes);
	bytes[1] ^= 0xff;
	ledger = reopen(file);
	cr_expect_eq(ledger_read(ledger, 1, 0, &thing), 0);
	cr_expect_eq(ledger_read(ledger, 1, 1, &thing), -EBADMSG);
	cr_expect_eq(ledger_read(ledger, 1, 2, &thing), 0);
	/* It isn't given to another as long as nobody erases it. */
	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	cr_expect_eq(row, 3);
	ledger_close(&ledger);
	close(file);
}

Test(ledger, touches_only_pages_in_use)
{
	int file = make_file();
	struct ledger *ledger = reopen(file);
	struct thing thing = {7, "seven"};
	struct stat status;
	uint32_t row;

	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	ledger_seal(ledger);
	ledger_close(&ledger);
	ledger = reopen(file);
	cr_assert_eq(sys_fstat(file, &status), 0);
	cr_expect_leq(status.st_blocks * 512, 3 * 4096);
	ledger_close(&ledger);
	close(file);
}

/* K06: what a newer brain keeps behind a record survives an older one. */
Test(ledger, a_newer_brains_fields_survive_an_older_one)
{
	struct new_thing {
		struct thing thing;
		uint64_t extra;
	} record = {{7, "seven"}, 42};
	const struct ledger_table older[] = {
		{.record_size = sizeof(struct thing), .rows = 9, .room = 64}};
	const struct ledger_table newer[] = {
		{.record_size = sizeof(record), .rows = 9, .room = 64},
		{.record_size = 8, .rows = 2}};
	struct ledger *ledger = NULL;
	struct thing thing = {8, "eight"};
	uint64_t word = 5;
	uint32_t row;
	int file = make_file();

	/* An older one starts, a newer one takes over and knows more. */
	cr_assert_eq(ledger_open(dup(file), 1, older, 1, &ledger), 0);
	cr_assert_eq(ledger_add(ledger, 0, &thing, &row), 0);
	ledger_seal(ledger);
	ledger_close(&ledger);
	cr_assert_eq(ledger_check(file, 1, newer, 2), 0);
	cr_assert_eq(ledger_open(dup(file), 1, newer, 2, &ledger), 0);
	cr_assert_eq(ledger_read(ledger, 0, 0, &record), 0);
	cr_expect_eq(record.thing.number, 8u);
	cr_expect_eq(record.extra, 0u, "what was never written is 0");
	record.extra = 42;
	cr_assert_eq(ledger_write(ledger, 0, 0, &record), 0);
	cr_assert_eq(ledger_add(ledger, 1, &word, &row), 0);
	ledger_close(&ledger);

	/* The older one again, which writes the same row. */
	cr_assert_eq(ledger_open(dup(file), 1, older, 1, &ledger), 0);
	thing.number = 9;
	cr_assert_eq(ledger_write(ledger, 0, 0, &thing), 0);
	ledger_close(&ledger);

	cr_assert_eq(ledger_open(dup(file), 1, newer, 2, &ledger), 0);
	cr_assert_eq(ledger_read(ledger, 0, 0, &record), 0);
	cr_expect_eq(record.thing.number, 9u);
	cr_expect_eq(record.extra, 42u);
	word = 0;
	cr_assert_eq(ledger_read(ledger, 1, 0, &word), 0);
	cr_expect_eq(word, 5u);
	/* A row that is given anew has nothing of the one before. */
	ledger_erase(ledger, 0, 0);
	ledger_close(&ledger);
	cr_assert_eq(ledger_open(dup(file), 1, older, 1, &ledger), 0);
	cr_assert_eq(ledger_add(ledger, 0, &thing, &row), 0);
	ledger_close(&ledger);
	cr_assert_eq(ledger_open(dup(file), 1, newer, 2, &ledger), 0);
	cr_assert_eq(ledger_read(ledger, 0, 0, &record), 0);
	cr_expect_eq(record.extra, 0u);
	ledger_close(&ledger);
	close(file);
}

Test(ledger, a_check_changes_nothing)
{
	int file = make_file();
	struct ledger *ledger = reopen(file);
	struct ledger_table changed[2] = {plan[0], plan[1]};
	struct thing thing = {7, "seven"};
	uint32_t row;

	cr_expect_eq(ledger_check(file, 1, plan, 2), 0);
	cr_assert_eq(ledger_add(ledger, 1, &thing, &row), 0);
	/* Without a head it is empty for who opens it, not for who checks. */
	cr_expect_eq(ledger_check(file, 1, plan, 2), 0);
	cr_expect_eq(ledger_read(ledger, 1, 0, &thing), 0);
	ledger_seal(ledger);
	cr_expect_eq(ledger_check(file, 1, plan, 2), 0);
	cr_expect_eq(ledger_check(file, 2, plan, 2), -EPROTO);
	changed[1].room = 64;
	cr_expect_eq(ledger_check(file, 1, changed, 2), -EPROTO);
	ledger_close(&ledger);
	close(file);
}

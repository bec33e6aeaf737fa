/* vault_test.c: names lead to their descriptors, and none is left over. */
#include "keeper/vault.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TestSuite(vault, .timeout = 60);

static struct vault vault;

static int
some_fd(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(vault, keeps_replaces_and_drops)
{
	int first = some_fd(), second = some_fd(), other = some_fd();

	cr_assert_eq(vault_put(&vault, "a", first), 0);
	cr_assert_eq(vault_put(&vault, "b", other), 0);
	cr_assert_eq(vault_find(&vault, "a"), first);
	cr_assert_eq(vault_put(&vault, "a", second), 0);
	cr_assert_eq(is_open(first), 0);
	cr_assert_eq(vault_find(&vault, "a"), second);
	cr_assert_eq(vault.count, 2);
	vault_drop(&vault, "a");
	cr_assert_eq(is_open(second), 0);
	cr_assert_eq(vault_find(&vault, "a"), -ENOENT);
	cr_assert_eq(vault_find(&vault, "b"), other);
	vault_drop(&vault, "a");
	vault_drop(&vault, "b");
	cr_assert_eq(vault.count, 0);
}

Test(vault, refuses_bad_names_and_closes)
{
	char endless[KEEPER_NAME_SIZE];
	int first = some_fd(), second = some_fd();

	memset(endless, 'x', sizeof(endless));
	cr_assert_eq(vault_put(&vault, "", first), -EINVAL);
	cr_assert_eq(vault_put(&vault, endless, second), -EINVAL);
	cr_assert_eq(is_open(first), 0);
	cr_assert_eq(is_open(second), 0);
	cr_assert_eq(vault_find(&vault, endless), -EINVAL);
	vault_drop(&vault, endless);
	endless[KEEPER_NAME_SIZE - 1] = '\0';
	cr_assert_eq(vault_put(&vault, endless, some_fd()), 0);
	cr_assert_geq(vault_find(&vault, endless), 0);
}

static const char *
name_of(int i)
{
	static char name[KEEPER_NAME_SIZE];

	snprintf(name, sizeof(name), "pipe/%d/out", i);
	return name;
}

/* Numbers that are no descriptors: closing them does nothing. */
enum { FAKE = 1 << 24 };

Test(vault, a_full_one_says_so_and_stays_right)
{
	for (int i = 0; i < KEEPER_VAULT_MAX; i++)
		cr_assert_eq(vault_put(&vault, name_of(i), FAKE + i), 0);
	cr_assert_eq(vault_put(&vault, "more", FAKE), -ENOSPC);
	cr_assert_eq(vault_put(&vault, name_of(7), FAKE + 7), 0);
	/* Every third goes, in an order that moves others about. */
	for (int i = KEEPER_VAULT_MAX - 1; i >= 0; i--)
		if (i % 3 == 0)
			vault_drop(&vault, name_of(i));
	for (int i = 0; i < KEEPER_VAULT_MAX; i++)
		cr_assert_eq(vault_find(&vault, name_of(i)),
			i % 3 == 0 ? -ENOENT : FAKE + i);
	cr_assert_eq(
		vault.count, KEEPER_VAULT_MAX - (KEEPER_VAULT_MAX + 2) / 3);
	for (uint32_t i = 1; i <= vault.count; i++)
		cr_assert_eq(vault_find(&vault, vault.entries[i].name),
			vault.entries[i].fd);
}

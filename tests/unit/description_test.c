/* The description of a child as the keeper will find it. */
#include "fleet/description.h"

#include "base/sys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *argv[] = {"program", "one", "", NULL};
static char *env[] = {
	"A=1", DESCRIPTION_LISTEN_PID, "LISTEN_PIDS=2", "B=", NULL};
static const struct child_fd fds[] = {{"null", 0, 0}, {"out.1", 2, 0}};
static const struct child_limit limits[] = {{7, 0, 100, 200}};
static const uint32_t groups[] = {4, 5, 6};

static struct child_plan
sample(void)
{
	return (struct child_plan){
		.program = "/bin/program",
		.directory = "/tmp",
		.argv = argv,
		.env = env,
		.fds = fds,
		.fd_count = 2,
		.limits = limits,
		.limit_count = 1,
		.groups = groups,
		.group_count = 3,
		.flags = CHILD_HAS_USER | CHILD_HAS_NICE,
		.uid = 12,
		.gid = 13,
		.umask = 022,
		.nice = -3,
	};
}

static const uint8_t *
map(int fd, struct child_description *ret_head)
{
	struct stat status;
	void *base = NULL;

	cr_assert_geq(fd, 0, "%d", fd);
	cr_assert_eq(fstat(fd, &status), 0);
	cr_assert_eq(sys_mmap((size_t)status.st_size, PROT_READ, MAP_PRIVATE,
			     fd, &base),
		0);
	memcpy(ret_head, base, sizeof(*ret_head));
	cr_assert_eq(ret_head->size, status.st_size);
	return base;
}

static const char *
text_of(const uint8_t *base, uint32_t table, uint32_t i)
{
	uint64_t at;

	memcpy(&at, base + table + i * sizeof(at), sizeof(at));
	return at ? (const char *)base + at : NULL;
}

Test(description, says_all_that_was_planned)
{
	struct child_plan plan = sample();
	struct child_description head;
	int fd = description_make(&plan);
	const uint8_t *base = map(fd, &head);

	cr_expect_eq(head.magic, CHILD_MAGIC);
	cr_expect_eq(head.version, CHILD_VERSION);
	cr_expect_eq(head.flags, CHILD_HAS_USER | CHILD_HAS_NICE);
	cr_expect_str_eq((const char *)base + head.program, "/bin/program");
	cr_expect_str_eq((const char *)base + head.directory, "/tmp");
	cr_assert_eq(head.argc, 3);
	for (uint32_t i = 0; i < 3; i++)
		cr_expect_str_eq(text_of(base, head.argv, i), argv[i]);
	cr_expect_null(text_of(base, head.argv, 3));
	cr_assert_eq(head.envc, 4);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_str_eq(text_of(base, head.env, i), env[i]);
	cr_expect_null(text_of(base, head.env, 4));
	cr_expect_eq(head.argv % 8 + head.env % 8 + head.fds % 8, 0);
	cr_expect_eq(head.fd_count, 2);
	cr_expect_eq(memcmp(base + head.fds, fds, sizeof(fds)), 0);
	cr_expect_eq(head.limit_count, 1);
	cr_expect_eq(memcmp(base + head.limits, limits, sizeof(limits)), 0);
	cr_expect_eq(head.group_count, 3);
	cr_expect_eq(memcmp(base + head.groups, groups, sizeof(groups)), 0);
	cr_expect_eq(head.uid, 12);
	cr_expect_eq(head.gid, 13);
	cr_expect_eq(head.umask, 022);
	cr_expect_eq(head.nice, -3);
	cr_expect_str_eq((const char *)base + head.listen_pid, "0000000000");
	cr_expect_str_eq((const char *)base + head.listen_pid - 11,
		DESCRIPTION_LISTEN_PID);
	cr_expect_eq(head.watchdog_pid, 0);
	close(fd);
}

Test(description, is_sealed)
{
	struct child_plan plan = sample();
	int fd = description_make(&plan);

	cr_assert_geq(fd, 0);
	cr_expect_eq(pwrite(fd, "x", 1, 0), -1);
	cr_expect_eq(errno, EPERM);
	cr_expect_eq(ftruncate(fd, 0), -1);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

Test(description, bounds_are_kept)
{
	static struct child_fd many[CHILD_FDS_MAX + 1];
	static const struct child_fd twice[] = {{"a", 3, 0}, {"b", 3, 0}};
	static const struct child_fd high[] = {{"a", CHILD_FDS_MAX, 0}};
	struct child_plan plan = sample();
	char *big = malloc(CHILD_SIZE_MAX), *long_argv[] = {big, NULL};

	plan.fds = many;
	plan.fd_count = CHILD_FDS_MAX + 1;
	cr_expect_eq(description_make(&plan), -EINVAL);
	plan.fds = twice;
	plan.fd_count = 2;
	cr_expect_eq(description_make(&plan), -EINVAL);
	plan.fds = high;
	plan.fd_count = 1;
	cr_expect_eq(description_make(&plan), -EINVAL);
	plan = sample();
	memset(big, 'x', CHILD_SIZE_MAX - 1);
	big[CHILD_SIZE_MAX - 1] = '\0';
	plan.argv = long_argv;
	cr_expect_eq(description_make(&plan), -E2BIG);
	free(big);
}

/*
 * Lays a child's plan out as child_description.h says and seals it.
 *
 * What is in the plan is fleet/process's business. The keeper checks all of it
 * again; what is checked here is what a configuration could get wrong.
 */
#include "fleet/description.h"

#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The file as it grows. Errors stick: who appends needn't look each time. */
struct draft {
	uint8_t *bytes;
	size_t size, room;
	int error;
};

/* Appends `size` bytes (NULL: zeros) at a multiple of `align`. Returns where
 * they are, or 0. */
static uint32_t
append(struct draft *draft, const void *bytes, size_t size, size_t align)
{
	size_t at = (draft->size + align - 1) / align * align;
	size_t room = draft->room ? draft->room : 4096;
	uint8_t *grown;

	if (draft->error)
		return 0;
	if (size > CHILD_SIZE_MAX || at + size > CHILD_SIZE_MAX) {
		draft->error = -E2BIG;
		return 0;
	}
	while (room < at + size)
		room *= 2;
	if (room > draft->room) {
		grown = realloc(draft->bytes, room);
		if (!grown) {
			draft->error = -ENOMEM;
			return 0;
		}
		draft->bytes = grown;
		draft->room = room;
	}
	memset(draft->bytes + draft->size, 0, at - draft->size);
	if (bytes && size)
		memcpy(draft->bytes + at, bytes, size);
	else
		memset(draft->bytes + at, 0, size);
	draft->size = at + size;
	return (uint32_t)at;
}

static uint32_t
append_text(struct draft *draft, const char *text)
{
	return append(draft, text, strlen(text) + 1, 1);
}

/* A table of offsets that ends with 0, and the strings. Returns the table. */
static uint32_t
append_list(struct draft *draft, char *const *list, uint32_t *ret_count)
{
	uint32_t count = 0, table;

	while (list[count])
		count++;
	table = append(draft, NULL, (count + 1) * sizeof(uint64_t), 8);
	for (uint32_t i = 0; i < count && !draft->error; i++) {
		uint64_t at = append_text(draft, list[i]);

		if (!draft->error)
			memcpy(draft->bytes + table + i * sizeof(at), &at,
				sizeof(at));
	}
	*ret_count = count;
	return table;
}

/* Where the digits are of the variable that starts as `name` does. */
static uint32_t
find_digits(const struct draft *draft, uint32_t table, uint32_t count,
	const char *name)
{
	size_t size = strcspn(name, "=") + 1;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t at;

		memcpy(&at, draft->bytes + table + i * sizeof(at), sizeof(at));
		if (!strcmp((char *)draft->bytes + at, name))
			return (uint32_t)(at + size);
	}
	return 0;
}

static bool
is_in_bounds(const struct child_plan *plan)
{
	bool taken[CHILD_FDS_MAX] = {false};

	if (plan->fd_count > CHILD_FDS_MAX ||
		plan->group_count > CHILD_GROUPS_MAX ||
		plan->limit_count > CHILD_LIMITS_MAX || !plan->argv[0])
		return false;
	for (size_t i = 0; i < plan->fd_count; i++) {
		int32_t number = plan->fds[i].number;

		if (number < 0 || number >= CHILD_FDS_MAX || taken[number])
			return false;
		taken[number] = true;
	}
	return true;
}

static void
lay_out(struct draft *draft, const struct child_plan *plan)
{
	struct child_description head = {
		.magic = CHILD_MAGIC,
		.version = CHILD_VERSION,
		.flags = plan->flags,
		.fd_count = (uint32_t)plan->fd_count,
		.limit_count = (uint32_t)plan->limit_count,
		.group_count = (uint32_t)plan->group_count,
		.uid = plan->uid,
		.gid = plan->gid,
		.umask = plan->umask,
		.nice = plan->nice,
	};

	append(draft, NULL, sizeof(head), 8);
	head.fds = append(
		draft, plan->fds, plan->fd_count * sizeof(*plan->fds), 8);
	head.limits = append(draft, plan->limits,
		plan->limit_count * sizeof(*plan->limits), 8);
	head.groups = append(draft, plan->groups,
		plan->group_count * sizeof(*plan->groups), 8);
	head.program = append_text(draft, plan->program);
	if (plan->directory)
		head.directory = append_text(draft, plan->directory);
	head.argv = append_list(draft, plan->argv, &head.argc);
	head.env = append_list(draft, plan->env, &head.envc);
	if (draft->error)
		return;
	head.listen_pid =
		find_digits(draft, head.env, head.envc, DESCRIPTION_LISTEN_PID);
	head.watchdog_pid = find_digits(
		draft, head.env, head.envc, DESCRIPTION_WATCHDOG_PID);
	head.size = (uint32_t)draft->size;
	memcpy(draft->bytes, &head, sizeof(head));
}

int
description_make(const struct child_plan *plan)
{
	struct draft draft = {0};
	ssize_t n;
	int fd = -1, r;

	if (!is_in_bounds(plan))
		return -EINVAL;
	lay_out(&draft, plan);
	r = draft.error;
	if (r < 0)
		goto out;
	r = fd = sys_memfd("muster-child", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r < 0)
		goto out;
	n = sys_write(fd, draft.bytes, draft.size);
	r = n < 0 ? (int)n : (size_t)n < draft.size ? -ENOSPC : 0;
	if (r < 0)
		goto out;
	r = sys_fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
out:
	free(draft.bytes);
	if (r < 0 && fd >= 0)
		sys_close(fd);
	return r < 0 ? r : fd;
}

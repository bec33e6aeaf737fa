/*
 * vault.c: what must outlive a brain, by name. It knows nothing of what the
 * descriptors are; the brain puts, takes and drops (keeper.c), spawn.c looks
 * up what a child gets.
 */
#include "keeper/vault.h"
#include "base/sys.h"

#include <errno.h>
#include <string.h>

bool
vault_name_is_valid(const char *name)
{
	return name[0] && memchr(name, '\0', KEEPER_NAME_SIZE);
}

/* The link that leads to `name`, or the empty one where it would be hung in. */
static uint16_t *
link_to(const struct vault *vault, const char *name)
{
	const uint16_t *link;
	uint32_t hash = 2166136261u;

	for (const char *at = name; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	link = &vault->heads[(hash ^ hash >> 16) % VAULT_HEADS];
	while (*link && strcmp(vault->entries[*link].name, name) != 0)
		link = &vault->entries[*link].next;
	return (uint16_t *)(uintptr_t)link;
}

int
vault_put(struct vault *vault, const char *name, int fd)
{
	struct vault_entry *entry;
	uint16_t *link;

	if (!vault_name_is_valid(name)) {
		sys_close(fd);
		return -EINVAL;
	}
	link = link_to(vault, name);
	entry = &vault->entries[*link];
	if (*link) {
		sys_close(entry->fd);
	} else if (vault->count < KEEPER_VAULT_MAX) {
		*link = (uint16_t)++vault->count;
		entry = &vault->entries[*link];
		memcpy(entry->name, name, strlen(name) + 1);
		entry->next = 0;
	} else {
		sys_close(fd);
		return -ENOSPC;
	}
	entry->fd = fd;
	return 0;
}

int
vault_find(const struct vault *vault, const char *name)
{
	uint16_t index;

	if (!vault_name_is_valid(name))
		return -EINVAL;
	index = *link_to(vault, name);
	return index ? vault->entries[index].fd : -ENOENT;
}

void
vault_drop(struct vault *vault, const char *name)
{
	uint16_t *link, index, last;

	if (!vault_name_is_valid(name))
		return;
	link = link_to(vault, name);
	index = *link;
	if (!index)
		return;
	sys_close(vault->entries[index].fd);
	*link = vault->entries[index].next;
	/* The last entry moves into the gap, so that all stay dense. */
	last = (uint16_t)vault->count--;
	if (index != last) {
		link = link_to(vault, vault->entries[last].name);
		vault->entries[index] = vault->entries[last];
		*link = index;
	}
}

/*
 * vault.h: descriptors by name, for as long as the keeper lives. A dense array
 * and a small index: few pages are touched while few descriptors are kept, and
 * an entry is found without a walk through 20,000 others.
 */
#ifndef MUSTER_VAULT_H
#define MUSTER_VAULT_H

#include "keeper/keeper_protocol.h"

#include <stdbool.h>
#include <stdint.h>

enum { VAULT_HEADS = 4096 };

struct vault {
	uint32_t count; /* entries 1 … count are in use */
	uint16_t heads[VAULT_HEADS];
	struct vault_entry {
		char name[KEEPER_NAME_SIZE];
		int fd;
		uint16_t next; /* of the same head; 0: none */
	} entries[KEEPER_VAULT_MAX + 1];
};

/* True for 1 to 31 bytes and a NUL within the 32 bytes at `name`. */
bool vault_name_is_valid(const char *name);

/*
 * Keeps `fd` under `name`; the descriptor that was there is closed. Takes `fd`
 * in any case: on failure it is closed.
 * Returns 0; -EINVAL: no valid name; -ENOSPC: KEEPER_VAULT_MAX are kept.
 */
int vault_put(struct vault *vault, const char *name, int fd);

/* The descriptor, still the vault's; -EINVAL: no valid name; -ENOENT. */
int vault_find(const struct vault *vault, const char *name);

/* Closes and forgets. Entries may change their places. */
void vault_drop(struct vault *vault, const char *name);

#endif

/*
 * given.h: listening sockets that musterd was started with (systemd's socket
 * activation): they are adopted in place of sockets of our own.
 */
#ifndef MUSTER_FLEET_GIVEN_H
#define MUSTER_FLEET_GIVEN_H

#include "config/config_file.h"
#include "fleet/keeper_client.h"
#include "mechanism/listener.h"

#include <stddef.h>

struct given_socket {
	int fd; /* -1: taken */
	char text[LISTENER_TEXT_SIZE];
	char name[64];
};

struct given {
	struct given_socket sockets[KEEPER_GIVEN_MAX];
	size_t count;
	size_t offered; /* names in the vault */
	struct keeper_client *keeper;
};

/* Takes them from the vault. `environment` tells their names. What is no
 * listening socket is said and left out. */
void given_load(struct given *given, struct keeper_client *keeper,
	char *const *environment);

/*
 * Where no application of `set` says where it listens, a single one listens on
 * all that was given.
 * Returns 0; -EINVAL: there are several; -ENOMEM.
 */
int given_configure(const struct given *given, struct config_set *set);

/* The one of that address, which is the caller's then; -1: none. */
int given_take(struct given *given, const struct listen_config *config);

/* The plan is written down, or failed: the keeper forgets them under these
 * names, and what nobody took is said and closed. */
void given_fini(struct given *given);

#endif

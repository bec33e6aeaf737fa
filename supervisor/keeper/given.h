/*
 * given.h: sockets that whoever started musterd had opened for it: systemd's
 * socket activation (sd_listen_fds(3)): LISTEN_PID, LISTEN_FDS, from 3 on.
 */
#ifndef MUSTER_KEEPER_GIVEN_H
#define MUSTER_KEEPER_GIVEN_H

#include "keeper/vault.h"

/* How many descriptors from 3 on are meant for this process. */
int given_count(void);

/* Keeps them in the vault, as KEEPER_VAULT_GIVEN with a number from 0 on.
 * Returns 0, or as vault_put. */
int given_keep(struct vault *vault, int count);

#endif

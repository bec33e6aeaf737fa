/*
 * bus.h: the TCP socket on which programs outside may join as guests, and the
 * token that they must know. Both are in the vault, so they outlive the brain;
 * the file with the token is read at a start, and when a configuration that
 * names it is applied. Who comes in there is control's business.
 */
#ifndef MUSTER_BUS_H
#define MUSTER_BUS_H

#include "config/daemon_config.h"

struct fleet;

enum {
	BUS_TOKEN_MIN = 16,
	BUS_TOKEN_MAX = 255, /* bytes */
};

/*
 * Opens what `muster` asks for, when it asks and nothing is open, and takes the
 * token. `ret_words`, of FLEET_WORDS_SIZE bytes, says what is wrong.
 * Returns 0 or a negative errno: nothing has changed.
 */
int bus_take(struct fleet *fleet, const struct daemon_config *muster,
	char *ret_words);

/* Takes from the vault what an earlier brain, or the plan, put there. */
void bus_rebuild(struct fleet *fleet);

/* The listening socket, borrowed, or -1; and the token, "" where there is
 * none. */
int fleet_bus(const struct fleet *fleet);
const char *fleet_bus_token(const struct fleet *fleet);

void bus_close(struct fleet *fleet);

#endif

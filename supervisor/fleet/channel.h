/*
 * channel.h: what the exchange tells of workers' channels.
 */
#ifndef MUSTER_FLEET_CHANNEL_H
#define MUSTER_FLEET_CHANNEL_H

#include "exchange/exchange.h"

/* The peer's data is the process. */
extern const struct peer_hooks channel_hooks;

#endif

/*
 * channel_out.h: what channel.c needs of the writing half. Not for owners of a
 * channel, who find everything in channel.h.
 */
#ifndef MUSTER_CHANNEL_OUT_H
#define MUSTER_CHANNEL_OUT_H

#include "channel.h"

/* The first block. Returns 0 or -ENOMEM. */
int channel_out_init(struct channel *channel);
void channel_out_fini(struct channel *channel);

/* The descriptor is gone: forgets the control frame under way. */
void channel_out_suspend(struct channel *channel);

/* A new descriptor: the request `resume` goes first, the rest is held. */
void channel_out_resume(struct channel *channel, uint64_t id);

#endif

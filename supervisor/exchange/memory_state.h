/*
 * memory_state.h: the exchange memory's own struct, for memory.c and
 * memory_open.c only.
 */
#ifndef MUSTER_EXCHANGE_MEMORY_STATE_H
#define MUSTER_EXCHANGE_MEMORY_STATE_H

#include "memory.h"

struct memory_head {
	uint64_t magic; /* written last */
	uint32_t version;
	uint32_t large_count, small_count;
	uint32_t channels_used;	     /* rows ever taken */
	uint32_t requests_used;	     /* rows ever written */
	uint32_t clients_used;	     /* addresses ever given to clients */
	uint32_t subscriptions_used; /* rows ever taken */
	uint64_t size;		     /* of the file */
};

struct memory {
	struct memory_view view;
	uint8_t *base;
	size_t size;
	struct memory_head *head;
	struct memory_place *requests;
	struct memory_subscription *subscriptions;
	uint8_t *told; /* a bit for each endpoint's address */

	uint32_t *references;		   /* a count for each block */
	uint32_t *free_large, *free_small; /* stacks: the last freed is warm */
	uint32_t free_large_count, free_small_count;
	uint32_t cold_large; /* of free_large, from the bottom: without pages */
	uint32_t fresh_large, fresh_small; /* never used from here on */
	uint32_t *free_channels;
	uint32_t free_channel_count;
	uint32_t *free_subscriptions;
	uint32_t free_subscription_count;
	bool had_release;

	/* What was given up in a change that is under way: it lies there as it
	 * was until the commit, since the change may still be undone. */
	struct journal journal;
	uint32_t *given_up;   /* references, by block */
	uint32_t *given_list; /* the blocks that have some */
	uint32_t given_count;
	uint32_t *given_channels; /* rows */
	uint32_t given_channel_count;
	uint64_t faults;
};

#endif

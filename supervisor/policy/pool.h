/*
 * pool.h: how the slots of an application get from the number that is there to
 * the number that is wanted. Instances are numbered from 0 without a gap; who
 * is added gets the lowest free number, who goes has the highest. Pure.
 */
#ifndef MUSTER_POOL_H
#define MUSTER_POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
	POOL_MAX = 4096, /* slots of one application */
};

enum pool_step_kind {
	POOL_DONE,   /* the slots are as wanted */
	POOL_ADD,    /* make a slot with this instance number */
	POOL_REMOVE, /* the slot with this instance number has to go */
};

struct pool_step {
	enum pool_step_kind kind;
	uint32_t instance;
};

/*
 * The next step from the slots `instances` (borrowed; `count` numbers in any
 * order, of the slots that are there and aren't on their way out) to `desired`
 * ones. Adding comes before removing. Carry it out and ask again until
 * POOL_DONE. A `desired` over POOL_MAX counts as POOL_MAX.
 */
struct pool_step pool_next(
	uint32_t desired, const uint32_t *instances, size_t count);

#endif

/*
 * pool: compares the slots that an application has with those that it should
 * have, one step at a time. It leaves making and stopping slots to fleet/app;
 * it is apart because the choice of numbers is what scripts and
 * NODE_APP_INSTANCE rely on, and is easily got wrong between two scalings.
 */
#include "policy/pool.h"

#include <limits.h>

enum {
	WORD_BITS = sizeof(unsigned long) * CHAR_BIT,
};

struct pool_step
pool_next(uint32_t desired, const uint32_t *instances, size_t count)
{
	unsigned long taken[POOL_MAX / WORD_BITS] = {0};
	struct pool_step step = {.kind = POOL_DONE};

	if (desired > POOL_MAX)
		desired = POOL_MAX;
	for (size_t i = 0; i < count; i++) {
		uint32_t instance = instances[i];

		if (instance < desired) {
			taken[instance / WORD_BITS] |=
				1UL << (instance % WORD_BITS);
		} else if (step.kind == POOL_DONE || instance > step.instance) {
			step.kind = POOL_REMOVE;
			step.instance = instance;
		}
	}
	for (uint32_t instance = 0; instance < desired; instance++)
		if ((taken[instance / WORD_BITS] >> (instance % WORD_BITS) &
			    1) == 0)
			return (struct pool_step){POOL_ADD, instance};
	return step;
}

/*
 * depends.h: whether applications that name each other in depends_on can be
 * brought into an order at all.
 */
#ifndef MUSTER_DEPENDS_H
#define MUSTER_DEPENDS_H

#include "config/config_file.h"

/*
 * Checks the applications of `set` among each other and, where `place` tells of
 * those that exist already (config_place.find), with these. Returns 0; -EINVAL:
 * a name is unknown, or they wait for each other; `ret_error` says which.
 */
int depends_check(const struct config_set *set,
	const struct config_place *place, struct config_error *ret_error);

#endif

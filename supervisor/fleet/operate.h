/*
 * operate.h: what an operator has done to workers, and who waits for it; what
 * fleet.c and core.c need of it. fleet_operate and its like are in fleet.h.
 *
 * What shall be is written down before it is begun, as rows of slots and
 * applications, so that the next brain goes on with it. Who waits is told
 * nothing then: the connection ended with the brain.
 */
#ifndef MUSTER_FLEET_OPERATE_H
#define MUSTER_FLEET_OPERATE_H

struct fleet;

/* Looks whether what somebody waits for has come, and forgets applications that
 * were deleted; at the end of a turn. */
void operate_check(struct fleet *fleet);

/* Forgets who waits. */
void operate_free(struct fleet *fleet);

#endif

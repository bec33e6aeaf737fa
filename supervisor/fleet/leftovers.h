/*
 * leftovers.h: what a brain that died left in the vault.
 */
#ifndef MUSTER_FLEET_LEFTOVERS_H
#define MUSTER_FLEET_LEFTOVERS_H

struct fleet;

/* Drops what nobody has claimed, when everything that is known was made again.
 */
void leftovers_drop(struct fleet *fleet);

#endif

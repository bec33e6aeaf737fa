/*
 * past.h: what the brains before this one leave to be told: the events that
 * they kept, and how the last of them ended. Loop's thread, while the fleet is
 * rebuilt.
 */
#ifndef MUSTER_PAST_H
#define MUSTER_PAST_H

struct fleet;

/*
 * Keeps events from now on, behind those of earlier brains; where these can't
 * be read that is said, and they are begun anew.
 * Returns 0, or what making and mapping memory said.
 */
int past_open(struct fleet *fleet);

/* Raises the event `took_over` where the brain before this one died. */
void past_tell(struct fleet *fleet);

#endif

/*
 * upgrade.h: another executable takes over.
 *
 * First the new program is asked whether it can read what this one has written:
 * it is run once, beside everything, with the memory files to look at. Only
 * when it says yes does this brain end, and the keeper executes the next from
 * the new file; where that one doesn't come up, the old one goes on.
 *
 * One at a time. Loop's thread only.
 */
#ifndef MUSTER_UPGRADE_H
#define MUSTER_UPGRADE_H

#include "fleet/fleet.h"
#include "fleet/keeper_client.h"

#include <stdbool.h>

struct upgrade;

void upgrade_free(struct upgrade **upgrade);

/* What the keeper tells of the process that was asked. False: it is another. */
bool upgrade_took_exit(
	struct fleet *fleet, uint64_t process, const struct keeper_row *row);
bool upgrade_took_failure(struct fleet *fleet, uint64_t process,
	enum keeper_stage stage, int error);

/* The keeper is ready for the next brain, or refuses. */
void upgrade_renewed(struct fleet *fleet, int result);

/* Says, when this brain is the result of one, how it went. */
void upgrade_report(struct fleet *fleet);

#endif

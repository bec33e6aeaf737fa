/*
 * unit.h: the systemd unit that starts the daemon, and what was saved, at boot.
 */
#ifndef MUSTER_UNIT_H
#define MUSTER_UNIT_H

#include <limits.h>
#include <stdbool.h>

/* Where it lies: for root /etc/systemd/system/muster.service, for others their
 * own folder. `verb` begins messages. Returns CLI_DONE or CLI_FAILED. */
int unit_path(const char *verb, char ret_path[PATH_MAX]);

/* Its text, new; NULL without memory or when this program can't be found. */
char *unit_text(const char *verb);

#endif

/*
 * daemon.h: musterd beside this command, and the daemon that it becomes.
 */
#ifndef MUSTER_DAEMON_H
#define MUSTER_DAEMON_H

#include <limits.h>

/*
 * Writes musterd's path, as beside /proc/self/exe, to `ret_path` of PATH_MAX:
 * never from PATH, since the two belong together and PATH may be anybody's.
 * Returns CLI_DONE; CLI_FAILED after a message that begins with `verb`.
 */
int daemon_find(const char *verb, char ret_path[PATH_MAX]);

/*
 * Sees to it that a daemon runs in this home: starts one where none does, and
 * waits until it answers. Many at once start one.
 * Returns CLI_DONE; CLI_FAILED after a message.
 */
int daemon_ensure(void);

#endif

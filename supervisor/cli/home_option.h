/*
 * home_option.h: the option --home.
 */
#ifndef MUSTER_HOME_OPTION_H
#define MUSTER_HOME_OPTION_H

#include <stdbool.h>

/*
 * Sets MUSTER_HOME to `folder`, made absolute, since musterd doesn't stay in
 * the folder in which it was started. NULL and "" are no folder.
 * Returns true; or false, after a line on stderr.
 */
bool home_option_set(const char *folder);

#endif

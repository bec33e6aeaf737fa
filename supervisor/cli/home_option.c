/*
 * home_option: --home DIR stands for MUSTER_HOME=DIR, before every verb and
 * among the options of `run`. Through the environment it reaches the rules of
 * base/home and musterd alike.
 */
#include "home_option.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool
home_option_set(const char *folder)
{
	char here[PATH_MAX];
	char path[2 * PATH_MAX];

	if (folder == NULL || folder[0] == '\0') {
		fputs("muster: '--home' needs a value: DIR\n", stderr);
		return false;
	}
	if (folder[0] == '/') {
		snprintf(path, sizeof(path), "%s", folder);
	} else if (getcwd(here, sizeof(here)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", here, folder);
	} else {
		fprintf(stderr,
			"muster: --home %s: the working directory: %s\n",
			folder, strerror(errno));
		return false;
	}
	return setenv("MUSTER_HOME", path, 1) == 0;
}

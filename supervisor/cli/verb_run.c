/*
 * verb_run: becomes musterd, in the same process and with the same arguments,
 * so that who started `muster run` has the supervisor's pid. The options are
 * musterd's to judge: it reads them by the table of configuration keys.
 *
 * musterd is taken from beside this executable, never from PATH: the two
 * belong together, and PATH may be anybody's.
 */
#include "home_option.h"
#include "run_options.h"
#include "verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes musterd's path, as beside /proc/self/exe, to `ret_path`. */
static int
find_musterd(char ret_path[PATH_MAX])
{
	static const char name[] = "musterd";
	ssize_t size = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);

	if (size < 0)
		return -errno;
	ret_path[size] = '\0';
	/* A replaced file reads as "/bin/muster (deleted)"; the folder counts.
	 */
	char *slash = strrchr(ret_path, '/');
	if (slash == NULL ||
		(size_t)(slash + 1 - ret_path) + sizeof(name) > PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(slash + 1, name, sizeof(name));
	return 0;
}

int
verb_run(const struct call *call)
{
	char path[PATH_MAX];
	const char *home = run_options_home(call->words);
	int result = find_musterd(path);

	if (home != NULL && !home_option_set(home))
		return CLI_USAGE;
	if (result < 0) {
		fprintf(stderr,
			"muster: run: /proc/self/exe can't be read (%s); "
			"is /proc mounted?\n",
			strerror(-result));
		return CLI_FAILED;
	}
	char **arguments = calloc((size_t)call->count + 3, sizeof(*arguments));
	if (arguments == NULL) {
		fputs("muster: run: no memory\n", stderr);
		return CLI_FAILED;
	}
	arguments[0] = "musterd";
	arguments[1] = "run";
	memcpy(arguments + 2, call->words,
		(size_t)call->count * sizeof(*arguments));
	execv(path, arguments);
	fprintf(stderr,
		"muster: run: %s: %s; muster and musterd must lie in "
		"the same folder\n",
		path, strerror(errno));
	free(arguments);
	return CLI_FAILED;
}

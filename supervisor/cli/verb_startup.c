/*
 * verb_startup: writes a systemd unit, or prints it. Enabling it is left to
 * systemctl and its user.
 */
#include "unit.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes the folders above the file. */
static void
make_folders(const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash != NULL;
		slash = strchr(slash + 1, '/')) {
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		(void)mkdir(part, 0755);
	}
}

static int
write_unit(const char *path, const char *text)
{
	FILE *file;

	make_folders(path);
	file = fopen(path, "we");
	if (file != NULL && fputs(text, file) >= 0 && fclose(file) == 0)
		return CLI_DONE;
	fprintf(stderr, "muster: startup: %s: %s\n", path, strerror(errno));
	return CLI_FAILED;
}

int
verb_startup(const struct call *call)
{
	const char *user = geteuid() == 0 ? "" : "--user ";
	char path[PATH_MAX];
	char *text = unit_text("startup");
	int code = text == NULL ? CLI_FAILED : unit_path("startup", path);

	if (code == CLI_DONE && call->values[OPTION_startup_print] != NULL) {
		fputs(text, stdout);
		free(text);
		return CLI_DONE;
	}
	if (code == CLI_DONE)
		code = write_unit(path, text);
	free(text);
	if (code == CLI_DONE)
		printf("wrote %s\n"
		       "now: systemctl %sdaemon-reload && systemctl %senable "
		       "--now muster, and 'muster save' whenever the "
		       "applications have changed\n",
			path, user, user);
	return code;
}

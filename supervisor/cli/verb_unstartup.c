/* verb_unstartup: removes the systemd unit. */
#include "unit.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int
verb_unstartup(const struct call *call)
{
	const char *user = geteuid() == 0 ? "" : "--user ";
	char path[PATH_MAX];
	int code = unit_path("unstartup", path);

	(void)call;
	if (code != CLI_DONE)
		return code;
	if (unlink(path) < 0) {
		fprintf(stderr, "muster: unstartup: %s: %s\n", path,
			strerror(errno));
		return CLI_FAILED;
	}
	printf("removed %s\nnow: systemctl %sdisable --now muster\n", path,
		user);
	return CLI_DONE;
}

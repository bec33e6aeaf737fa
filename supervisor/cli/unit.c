/*
 * unit: KillMode=mixed leaves stopping to the supervisor and ends what is left
 * by SIGKILL; Delegate=yes gives it a cgroup of its own.
 */
#include "unit.h"

#include "daemon.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
unit_path(const char *verb, char ret_path[PATH_MAX])
{
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int size;

	if (geteuid() == 0)
		size = snprintf(ret_path, PATH_MAX,
			"/etc/systemd/system/muster.service");
	else if (base != NULL && *base == '/')
		size = snprintf(ret_path, PATH_MAX,
			"%s/systemd/user/muster.service", base);
	else
		size = snprintf(ret_path, PATH_MAX,
			"%s/.config/systemd/user/muster.service",
			home != NULL ? home : "");
	if (size < PATH_MAX && *ret_path == '/' &&
		(geteuid() == 0 || base != NULL || home != NULL))
		return CLI_DONE;
	fprintf(stderr, "muster: %s: no HOME is set\n", verb);
	return CLI_FAILED;
}

char *
unit_text(const char *verb)
{
	char musterd[PATH_MAX], muster[PATH_MAX];
	const char *home = getenv("MUSTER_HOME");
	const char *path = getenv("PATH");
	char *text = NULL;

	if (daemon_find(verb, musterd) != CLI_DONE)
		return NULL;
	/* "…/musterd" without its last letter. */
	memcpy(muster, musterd, strlen(musterd) + 1);
	muster[strlen(muster) - 1] = '\0';
	if (asprintf(&text,
		    "[Unit]\n"
		    "Description=muster, a process supervisor\n"
		    "After=network.target\n"
		    "\n"
		    "[Service]\n"
		    "Type=exec\n"
		    "%s%s%s"
		    "Environment=PATH=%s\n"
		    "ExecStart=%s daemon\n"
		    "ExecStartPost=-%s resurrect\n"
		    "ExecReload=%s reload all\n"
		    "ExecStop=%s kill\n"
		    "Restart=on-failure\n"
		    "KillMode=mixed\n"
		    "Delegate=yes\n"
		    "LimitNOFILE=infinity\n"
		    "\n"
		    "[Install]\n"
		    "WantedBy=%s\n",
		    home != NULL ? "Environment=MUSTER_HOME=" : "",
		    home != NULL ? home : "", home != NULL ? "\n" : "",
		    path != NULL ? path : "/usr/local/bin:/usr/bin:/bin",
		    musterd, muster, muster, muster,
		    geteuid() == 0 ? "multi-user.target" : "default.target") <
		0)
		return NULL;
	return text;
}

/*
 * home.c: where files are, and whether a folder may be trusted. It makes
 * folders but no files: lock and sockets are the keeper's, state and logs are
 * made by who writes them first. Apart from both because command and keeper
 * must come to the same answer.
 */
#include "base/home.h"
#include "base/sys.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* The XDG rules: a relative path there is to be ignored. */
static const char *
xdg(const char *name)
{
	const char *value = variable(name);

	return value && value[0] == '/' ? value : NULL;
}

static int
format_path(char *ret_path, const char *format, const char *text)
{
	int size = snprintf(ret_path, HOME_PATH_SIZE, format, text);

	return size < 0 || size >= HOME_PATH_SIZE ? -ENAMETOOLONG : 0;
}

static int
resolve_override(struct home *home, const char *folder)
{
	char here[HOME_PATH_SIZE] = "";
	int error = 0;

	if (folder[0] == '/') {
		error = format_path(home->state, "%s", folder);
	} else {
		/* The daemon leaves this directory, so the name must not
		 * depend on it. */
		if (!getcwd(here, sizeof(here)))
			return -errno;
		error = home_path(home->state, here, folder, 0);
	}
	if (!error)
		error = format_path(home->runtime, "%s", home->state);
	return error ? error : format_path(home->logs, "%s/logs", home->state);
}

static int
is_ours(const struct stat *info)
{
	return S_ISDIR(info->st_mode) && info->st_uid == geteuid();
}

static int
resolve_runtime(char *ret_path)
{
	const char *given = xdg("XDG_RUNTIME_DIR");
	struct stat info;
	char uid[16];
	int error;

	if (given)
		return format_path(ret_path, "%s/muster", given);
	snprintf(uid, sizeof(uid), "%u", (unsigned int)geteuid());
	format_path(ret_path, "/run/user/%s", uid);
	if (sys_stat(ret_path, &info) == 0 && is_ours(&info))
		return format_path(ret_path, "/run/user/%s/muster", uid);
	format_path(ret_path, "/tmp/muster-%s", uid);
	/* Anybody may make a folder of this name in /tmp. */
	error = sys_lstat(ret_path, &info);
	if (error == 0 && (!is_ours(&info) || (info.st_mode & 0777) != 0700))
		return -EPERM;
	return 0;
}

static int
resolve_state(char *ret_path)
{
	const char *given = xdg("XDG_STATE_HOME");
	const char *folder = variable("HOME");

	if (given)
		return format_path(ret_path, "%s/muster", given);
	if (!folder) {
		const struct passwd *entry = getpwuid(geteuid());

		if (!entry || !entry->pw_dir || !*entry->pw_dir)
			return -ENOENT;
		folder = entry->pw_dir;
	}
	return format_path(ret_path, "%s/.local/state/muster", folder);
}

int
home_resolve(struct home *ret_home)
{
	const char *override = variable("MUSTER_HOME");
	struct home home;
	int error;

	if (override) {
		error = resolve_override(&home, override);
	} else if (geteuid() == 0) {
		error = format_path(home.runtime, "%s", "/run/muster");
		format_path(home.state, "%s", "/var/lib/muster");
		format_path(home.logs, "%s", "/var/log/muster");
	} else {
		error = resolve_runtime(home.runtime);
		if (!error)
			error = resolve_state(home.state);
		if (!error)
			error = home_path(home.logs, home.state, "logs", 0);
	}
	if (!error)
		*ret_home = home;
	return error;
}

int
home_make_folder(const char *path)
{
	char part[HOME_PATH_SIZE];
	size_t length = strlen(path);
	struct stat info;
	int error;

	if (length == 0)
		return -ENOENT;
	if (length >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		error = sys_mkdir(part, 0700);
		/* A part that exists may refuse with another error than
		 * EEXIST (a read-only root); the stat below decides. */
		if (error && sys_stat(part, &info) != 0)
			return error;
	}
	error = sys_stat(path, &info);
	if (error)
		return error;
	if (!S_ISDIR(info.st_mode))
		return -ENOTDIR;
	return is_ours(&info) && !(info.st_mode & 022) ? 0 : -EPERM;
}

int
home_path(char *ret_path, const char *folder, const char *name, int is_socket)
{
	char path[HOME_PATH_SIZE];
	int bound = is_socket ? HOME_SOCKET_PATH_MAX : HOME_PATH_SIZE - 1;
	int size = snprintf(path, sizeof(path), "%s/%s", folder, name);

	if (size < 0 || size > bound)
		return -ENAMETOOLONG;
	memcpy(ret_path, path, (size_t)size + 1);
	return 0;
}

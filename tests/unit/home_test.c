/* home_test.c: the rules for folders, and which folders are trusted. */
#include "base/home.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(home, .timeout = 20);

static void
clear(void)
{
	unsetenv("MUSTER_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", "/home/nobody", 1);
}

/* The outcome of a child with another user: 0 when `check` returned true. */
static int
as_user(uid_t uid, int (*check)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setresuid(uid, uid, uid) == 0 && check() ? 0 : 1);
	waitpid(pid, &status, 0);
	return status;
}

static char *
scratch(char *path)
{
	strcpy(path, "/tmp/home_test.XXXXXX");
	cr_assert_not_null(mkdtemp(path));
	return path;
}

Test(home, everything_under_muster_home)
{
	struct home home;

	clear();
	setenv("MUSTER_HOME", "/srv/m", 1);
	setenv("XDG_RUNTIME_DIR", "/run/x", 1);
	cr_assert_eq(home_resolve(&home), 0);
	cr_assert_str_eq(home.runtime, "/srv/m");
	cr_assert_str_eq(home.state, "/srv/m");
	cr_assert_str_eq(home.logs, "/srv/m/logs");
}

Test(home, a_relative_home_becomes_absolute)
{
	struct home home;

	clear();
	cr_assert_eq(chdir("/usr"), 0);
	setenv("MUSTER_HOME", "lib", 1);
	cr_assert_eq(home_resolve(&home), 0);
	cr_assert_str_eq(home.runtime, "/usr/lib");
}

Test(home, too_long_a_home_is_refused)
{
	static char name[HOME_PATH_SIZE];
	struct home home;

	clear();
	memset(name, 'x', sizeof(name) - 1);
	name[0] = '/';
	setenv("MUSTER_HOME", name, 1);
	cr_assert_eq(home_resolve(&home), -ENAMETOOLONG);
}

static int
root_has_system_folders(void)
{
	struct home home;

	return home_resolve(&home) == 0 &&
	       !strcmp(home.runtime, "/run/muster") &&
	       !strcmp(home.state, "/var/lib/muster") &&
	       !strcmp(home.logs, "/var/log/muster");
}

static int
user_has_xdg_folders(void)
{
	struct home home;

	setenv("XDG_RUNTIME_DIR", "/run/x", 1);
	return home_resolve(&home) == 0 &&
	       !strcmp(home.runtime, "/run/x/muster") &&
	       !strcmp(home.state, "/home/nobody/.local/state/muster") &&
	       !strcmp(home.logs, "/home/nobody/.local/state/muster/logs");
}

static int
user_falls_back_to_tmp(void)
{
	struct home home;

	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	return home_resolve(&home) == 0 &&
	       !strcmp(home.runtime, "/tmp/muster-54321") &&
	       !strcmp(home.state, "/s/muster");
}

static int
a_foreign_folder_is_refused(void)
{
	struct home home;

	return home_resolve(&home) == -EPERM;
}

Test(home, by_user)
{
	clear();
	if (geteuid() != 0)
		cr_skip_test("needs root to become others");
	cr_assert_eq(root_has_system_folders(), 1);
	cr_assert_eq(as_user(54321, user_has_xdg_folders), 0);
	cr_assert_eq(as_user(54321, user_falls_back_to_tmp), 0);
	cr_assert_eq(mkdir("/tmp/muster-54321", 0700), 0);
	cr_assert_eq(as_user(54321, a_foreign_folder_is_refused), 0);
	cr_assert_eq(chown("/tmp/muster-54321", 54321, 0), 0);
	cr_assert_eq(as_user(54321, user_falls_back_to_tmp), 0);
	cr_assert_eq(chmod("/tmp/muster-54321", 0755), 0);
	cr_assert_eq(as_user(54321, a_foreign_folder_is_refused), 0);
	cr_assert_eq(rmdir("/tmp/muster-54321"), 0);
}

Test(home, makes_folders_with_their_parents)
{
	char root[64], path[128];
	struct stat info;

	snprintf(path, sizeof(path), "%s/a/b", scratch(root));
	cr_assert_eq(home_make_folder(path), 0);
	cr_assert_eq(home_make_folder(path), 0, "once more");
	cr_assert_eq(stat(path, &info), 0);
	cr_assert_eq(info.st_mode & 0777, 0700);
	cr_assert_eq(chmod(path, 0770), 0);
	cr_assert_eq(home_make_folder(path), -EPERM);
	rmdir(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	cr_assert_eq(home_make_folder(path), -ENOTDIR);
	unlink(path);
	snprintf(path, sizeof(path), "%s/a", root);
	rmdir(path);
	rmdir(root);
}

static int
somebody_elses(void)
{
	return home_make_folder("/usr") == -EPERM;
}

Test(home, trusts_only_own_folders)
{
	if (geteuid() != 0)
		cr_skip_test("needs root to become others");
	cr_assert_eq(as_user(54321, somebody_elses), 0);
}

Test(home, a_socket_path_has_a_bound)
{
	char folder[200], path[HOME_PATH_SIZE] = "kept";

	memset(folder, 'x', sizeof(folder));
	folder[HOME_SOCKET_PATH_MAX - 2] = '\0';
	cr_assert_eq(home_path(path, folder, "s", 1), 0);
	cr_assert_eq(strlen(path), HOME_SOCKET_PATH_MAX);
	strcpy(path, "kept");
	cr_assert_eq(home_path(path, folder, "ss", 1), -ENAMETOOLONG);
	cr_assert_str_eq(path, "kept");
	cr_assert_eq(home_path(path, folder, "ss", 0), 0);
}
